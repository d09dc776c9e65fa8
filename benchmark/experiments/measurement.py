"""Experiments from what was asked for to their tables and figures: one in this process, what is
missing of many."""

import contextlib
import dataclasses
import json
import os
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.activations import fingerprint, names, plugins, resolve
from benchmark.data import loading
from benchmark.errors import RequestError, unknown
from benchmark.execution.task import EVENT_SECONDS, configure_for, error_line, output_into, split_of
from benchmark.experiments import catalogue
from benchmark.experiments.base import Experiment, Option, Setting
from benchmark.results.folder import Store
from benchmark.training.options import activation_list, listed, seed_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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
class Request:
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
    beside: "Iterable[str]" = (),
    seeds: Any = None,
    options: "Mapping[str, Any] | None" = None,
) -> Request:
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
    return Request(
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


def specs_for(wanted: Request, dataset: str, data_sha256: str) -> list[MeasurementSpec]:
    """Return one spec per experiment, in the report's order."""
    return [_spec(wanted, made, dataset, data_sha256) for made in wanted.experiments]


def _spec(wanted: Request, made: Experiment, dataset: str, data_sha256: str) -> MeasurementSpec:
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


@dataclass(frozen=True)
class Measurement:
    """What a worker needs to do one experiment: all of it travels."""

    spec: MeasurementSpec
    located: loading.Located | None
    output: str
    entries: bytes
    facts: dict[str, Any]
    fresh: bool
    style: str

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return self.spec.experiment

    def execute(self, report: "Callable[[dict[str, Any]], None]") -> dict[str, Any]:
        """Do the experiment in this process, as far as it is not done, and return its record.

        One that raises is recorded as failed; the exception does not get out.
        """
        report({"run": self.name, "kind": "start"})
        try:
            with Store(self.output).experiment_lock(self.name), output_into(os.devnull):
                record = self._execute(report)
        except Exception as error:
            record = self.failed(error_line(error), traceback.format_exc())
        report({"run": self.name, "kind": "end"})
        return record

    def _execute(self, report: "Callable[[dict[str, Any]], None]") -> dict[str, Any]:
        from benchmark.experiments.figures import draw_experiment

        store = Store(self.output)
        # A plug-in's colors are wanted for drawing too.
        plugins.unpack(self.entries)
        record = None if self.fresh else finished(store, self.spec)
        if record is None:
            record = self._measure(store, report)
        places = {name: resolve(name).index for name, _ in self.spec.activations}
        figures = [path.name for path in draw_experiment(store, self.name, self.style, places)]
        record |= {"places": places, "style": self.style, "figures": figures}
        store.write_measurement(self.name, record)
        return {**record, "run": self.name}

    def _measure(self, store: Store, report: "Callable[[dict[str, Any]], None]") -> dict[str, Any]:
        """Write the table and return the record, without what is known of the figures."""
        configure_for(self.spec)
        start = time.perf_counter()
        store.write_experiment(
            self.name, catalogue.resolve(self.name).measure(self._setting(report))
        )
        return {
            "experiment": self.name,
            "status": "complete",
            "spec": self.spec.as_json(),
            "seconds": round(time.perf_counter() - start, 1),
            **self.facts,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }

    def _setting(self, report: "Callable[[dict[str, Any]], None]") -> Setting:
        last = 0.0

        def progress(done: int, of: int) -> None:
            nonlocal last
            if time.monotonic() - last > EVENT_SECONDS:
                last = time.monotonic()
                report({"run": self.name, "kind": "part", "done": done, "of": of})

        data = None
        if self.spec.dataset:
            sha256, data = split_of(self.located, "holdout")
            if sha256 != self.spec.data_sha256:
                raise RequestError(f"the files of {self.spec.dataset} changed while the job ran")
        return Setting(
            entries=tuple(resolve(name) for name, _ in self.spec.activations),
            seeds=self.spec.seeds,
            options=dict(self.spec.options),
            dataset=self.spec.dataset,
            data=data,
            progress=progress,
        )

    def failed(self, error: str, text: str = "") -> dict[str, Any]:
        """Write down why the experiment could not be done, and return its record."""
        with contextlib.suppress(OSError):
            Store(self.output).write_failure(self.name, f"{error}\n{text}")
        return {"run": self.name, "status": "failed", "error": error}


def finished(store: Store, spec: MeasurementSpec) -> dict[str, Any] | None:
    """Return the record of the experiment if it was done with this very spec, else None."""
    record = store.measurement(spec.experiment)
    return record if record and record["spec"] == spec.as_json() else None


def _drawn(store: Store, record: dict[str, Any], style: str) -> bool:
    there = {path.name for path in store.figures(record["experiment"])}
    return record["style"] == style and set(record["figures"]) <= there


def tasks_for(
    specs: list[MeasurementSpec],
    store: Store,
    located: loading.Located | None,
    facts: dict[str, Any],
    fresh: bool,
    style: str,
) -> list[Measurement]:
    """Return a task for each experiment that is not done or not drawn yet, or if `fresh` for each.

    `facts` go into each record.
    """

    def done(spec: MeasurementSpec) -> bool:
        record = None if fresh else finished(store, spec)
        return bool(record) and _drawn(store, record, style)

    missing = [spec for spec in specs if not done(spec)]
    entries = [resolve(name) for spec in missing for name, _ in spec.activations]
    users = list({entry.name: entry for entry in entries if entry.is_user}.values())
    packed, output = plugins.pack(users), str(store.path.resolve())
    return [Measurement(spec, located, output, packed, facts, fresh, style) for spec in missing]
