"""What is asked of the experiments, checked, and how it expands into one spec each."""

import dataclasses
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
KEYWORDS = ("activations", "seeds", "dataset", "data_dir", "jobs", "output", "fresh", "style")


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
    everything = list(catalogue.catalogue().values())
    if chosen is not None:
        named = listed("experiments", chosen, lambda item: catalogue.resolve(item).name)
        everything = [made for made in everything if made.name in named]
    given = {name: value for name, value in (options or {}).items() if value is not None}
    known = {option.name for made in everything for option in made.options}
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
            (made.name, option.name): _converted(made, option, given[option.name])
            for made in everything
            for option in made.options
            if option.name in given
        },
    )


def _converted(made: Experiment, option: Option, value: Any) -> Any:
    try:
        return option.convert(value)
    except RequestError as error:
        raise RequestError(f"{made.name}: {error}") from error


def _stray(name: str, chosen: list[Experiment]) -> RequestError:
    """Return the error for an option that none of the chosen experiments has."""
    owners = [
        made.name
        for made in catalogue.catalogue().values()
        if name in (option.name for option in made.options)
    ]
    if not owners:
        own = {option.name for made in chosen for option in made.options}
        return unknown("option", name, sorted({*own, *KEYWORDS}))
    asked = ", ".join(made.name for made in chosen)
    option = name.replace("_", "-")
    return RequestError(f"option '--{option}' is of {', '.join(owners)}, not of {asked}")


def specs_for(wanted: ExperimentsRequest, dataset: str, data_sha256: str) -> list[MeasurementSpec]:
    """Return one spec per experiment, in the report's order."""
    return [_spec(wanted, made, dataset, data_sha256) for made in wanted.experiments]


def _spec(
    wanted: ExperimentsRequest, made: Experiment, dataset: str, data_sha256: str
) -> MeasurementSpec:
    chosen = wanted.activations
    if chosen is None:
        own = names() if made.activations is None else made.activations
        chosen = list(dict.fromkeys([*own, *wanted.beside]))
    seeds = list(range(made.seeds)) if wanted.seeds is None else wanted.seeds
    return MeasurementSpec(
        experiment=made.name,
        activations=tuple((name, fingerprint.fingerprint(resolve(name))) for name in chosen),
        seeds=tuple(seeds) if made.seeds else (),
        options=tuple(
            (option.name, wanted.options.get((made.name, option.name), option.default))
            for option in made.options
        ),
        dataset=dataset if made.images else "",
        data_sha256=data_sha256 if made.images else "",
        protocol=made.protocol,
    )
