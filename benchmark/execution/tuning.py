"""Learning rates by setting and activation, as the recorded runs chose them."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from benchmark.results.schema import spec_columns
from benchmark.stats import summary
from benchmark.training.rates import beyond
from benchmark.training.spec import RunSpec

if TYPE_CHECKING:
    import pandas as pd

# What a learning rate is chosen for; the activation is the last.
_KEYS = ["model", "optimizer", "loss_function", "batch_size", "initializer", "activation"]


def chosen_rates(runs: "pd.DataFrame") -> dict[tuple, float]:
    """Return the learning rates that these runs chose (see `summary.tuning`)."""
    table = summary.chosen_rates(runs)
    return dict(zip(table[_KEYS].itertuples(index=False, name=None), table["learning_rate"]))


def next_rates(runs: "pd.DataFrame") -> dict[tuple, float]:
    """Return the rates to try next, where these runs chose one at an edge (see `rates.beyond`)."""
    rates = {}
    for key, tried in summary.tuning(runs).groupby(_KEYS):
        for chosen in tried.loc[tried["chosen"], "learning_rate"]:
            following = beyond(list(tried["learning_rate"]), chosen)
            if following is not None:
                rates[key] = following
    return rates


def by_run(rates: Mapping[tuple, float]) -> Callable[[RunSpec], float | None]:
    """Return a function that gives a run's learning rate among these, None where it has none."""

    def rate(spec: RunSpec) -> float | None:
        columns = spec_columns(spec, spec.run)
        return rates.get(tuple(columns[key] for key in _KEYS))

    return rate
