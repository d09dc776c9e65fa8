"""More seeds while it is not known which activation to use: what is open by the runs so far."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from benchmark.formatting import counted, listing
from benchmark.results.schema import spec_columns
from benchmark.stats.answer import Answer
from benchmark.stats.summary import SETTINGS
from benchmark.training.spec import RunSpec

if TYPE_CHECKING:
    import pandas as pd

# More pairs than this are counted.
_MOST_PAIRS = 6


def answers(runs: "pd.DataFrame", margin: float, rates: str) -> list[Answer]:
    """Return the answers by these runs, at shared or tuned rates ("shared", "tuned")."""
    from benchmark.results import tables

    found = tables.answers_by(runs, dict.fromkeys(runs["dataset"].unique(), margin))
    return [answer for answer in found if answer["setting"]["rates"] == rates]


def in_open_pairs(found: Sequence[Answer]) -> Callable[[RunSpec], bool]:
    """Return a function that says whether a run is of an activation, in its setting, with a pair
    that is not decided."""
    open_names = {_key(one): {name for pair in one["undecided"] for name in pair} for one in found}

    def is_open(spec: RunSpec) -> bool:
        columns = spec_columns(spec, spec.run)
        keys = [
            tuple({**columns, "rates": rates, "learning_rate": rate}[name] for name in SETTINGS)
            for rates, rate in (("shared", spec.learning_rate), ("tuned", None))
        ]
        return any(spec.activation in open_names.get(key, ()) for key in keys)

    return is_open


def _key(answer: Answer) -> tuple:
    values = {"dataset": answer["dataset"], "model": answer["model"], **answer["setting"]}
    return tuple(values[name] for name in SETTINGS)


def progress(found: Sequence[Answer], seeds: int) -> str:
    """Return one line on what is open after so many seeds."""
    pairs = [" and ".join(pair) for answer in found for pair in answer["undecided"]]
    ruled_out = {one["activation"] for answer in found for one in answer["ruled_out"]}
    few = 0 < len(pairs) <= _MOST_PAIRS
    names = f" ({'; '.join(pairs)})" if few else ""
    out = f"; ruled out: {listing(sorted(ruled_out))}" if ruled_out and len(found) == 1 else ""
    return f"After {seeds} seeds {counted(len(pairs), 'pair')} open{names}{out}."
