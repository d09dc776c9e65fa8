"""What is asked of the experiments, checked, and how it expands into one spec each."""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.activations import fingerprint, names, resolve
from benchmark.errors import RequestError, unknown
from benchmark.experiments import catalogue
from benchmark.experiments.base import Experiment, Option
from benchmark.training.options import activation_list, listed, seed_list

# What `run_experiments` takes beside the experiments' own options.
KEYWORDS = (
    *("activations", "seeds", "dataset", "data_dir", "jobs", "output", "fresh", "style"),
    "check_seconds",
)


@dataclass(frozen=True)
class MeasurementSpec:
    """Everything that decides an experiment's table, but for measured times.

    `activations` are pairs of name and hash of a user's source; `options` pairs of name and value.
    """

    experiment: str
    activations: tuple[tuple[str, str], ...]
    seeds: tuple[int, ...]
    options: tuple[tuple[str, Any], ...]
    dataset: str
    data_sha256: str
    protocol: int
    threads: int = 1
    device: str = "CPU"
    deterministic: bool = False

    @property
    def run(self) -> str:
        """Name of the experiment."""
        return self.experiment

    def as_json(self) -> dict[str, Any]:
        """Return the spec as it reads back from a record."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


@dataclass(frozen=True)
class ExperimentsRequest:
    """Experiments asked for, every setting checked, before any data are looked up.

    `activations` and `seeds` are None where each experiment's own apply, to which the
    activations `beside` are added; `options` are by experiment and name.
    """

    experiments: list[Experiment]
    activations: list[str] | None
    beside: list[str]
    seeds: list[int] | None
    options: dict[tuple[str, str], Any]


def request(
    chosen: Any = None,
    activations: Any = None,
    beside: Iterable[str] = (),
    seeds: Any = None,
    options: Mapping[str, Any] | None = None,
) -> ExperimentsRequest:
    """Check what was asked for.

    Args:
        chosen: names of experiments; None: all of them.
        activations: names, or "all"; None: each experiment's own and those `beside`.
        beside: further activations.
        seeds: a count or a list; None: each experiment's own.
        options: experiments' own options by name; those that are None are left out.

    Raises:
        RequestError: one of them cannot be used.
    """
    everything = list(catalogue.all_experiments().values())
    if chosen is not None:
        named = listed("experiments", chosen, lambda item: catalogue.resolve(item).name)
        everything = [experiment for experiment in everything if experiment.name in named]
    given = {name: value for name, value in (options or {}).items() if value is not None}
    known = {option.name for experiment in everything for option in experiment.options}
    for name in given:
        if name not in known:
            raise _stray(name, everything)
    return ExperimentsRequest(
        everything,
        None if activations is None else activation_list(activations),
        list(beside),
        None if seeds is None else seed_list(seeds),
        # Of options with one name each experiment has its own rules.
        {
            (experiment.name, option.name): _converted(experiment, option, given[option.name])
            for experiment in everything
            for option in experiment.options
            if option.name in given
        },
    )


def _converted(experiment: Experiment, option: Option, value: Any) -> Any:
    try:
        return option.convert(value)
    except RequestError as error:
        raise RequestError(f"{experiment.name}: {error}") from error


def _stray(name: str, chosen: list[Experiment]) -> RequestError:
    """Return the error for an option that none of the chosen experiments has."""
    owners = [
        experiment.name
        for experiment in catalogue.all_experiments().values()
        if name in (option.name for option in experiment.options)
    ]
    if not owners:
        own = {option.name for experiment in chosen for option in experiment.options}
        return unknown("option", name, sorted({*own, *KEYWORDS}))
    asked = ", ".join(experiment.name for experiment in chosen)
    option = name.replace("_", "-")
    return RequestError(f"option '--{option}' is of {', '.join(owners)}, not of {asked}")


def specs_for(wanted: ExperimentsRequest, dataset: str, data_sha256: str) -> list[MeasurementSpec]:
    """Return one spec per experiment, in the report's order."""
    return [_spec(wanted, experiment, dataset, data_sha256) for experiment in wanted.experiments]


def all_activations(wanted: ExperimentsRequest) -> list[str]:
    """Return the names of the activations that any of the experiments is to measure."""
    chosen = [_activations(wanted, experiment) for experiment in wanted.experiments]
    return list(dict.fromkeys(itertools.chain(*chosen)))


def _activations(wanted: ExperimentsRequest, experiment: Experiment) -> list[str]:
    if wanted.activations is not None:
        return wanted.activations
    own = names() if experiment.activations is None else experiment.activations
    return list(dict.fromkeys([*own, *wanted.beside]))


def _spec(
    wanted: ExperimentsRequest, experiment: Experiment, dataset: str, data_sha256: str
) -> MeasurementSpec:
    chosen = _activations(wanted, experiment)
    seeds = list(range(experiment.seeds)) if wanted.seeds is None else wanted.seeds
    return MeasurementSpec(
        experiment=experiment.name,
        activations=tuple((name, fingerprint.fingerprint(resolve(name))) for name in chosen),
        seeds=tuple(seeds) if experiment.seeds else (),
        options=tuple(
            (option.name, wanted.options.get((experiment.name, option.name), option.default))
            for option in experiment.options
        ),
        dataset=dataset if experiment.images else "",
        data_sha256=data_sha256 if experiment.images else "",
        protocol=experiment.protocol,
    )
