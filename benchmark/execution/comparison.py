"""A comparison from its request to recorded runs: data found, what is missing trained, tuned."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.activations import packing, resolve
from benchmark.data import loading
from benchmark.data.catalogue import info_of
from benchmark.execution import engine, seeds, tuning
from benchmark.execution.progress import say
from benchmark.execution.task import Settings
from benchmark.execution.training_run import TrainingRun
from benchmark.formatting import counted, listing, some
from benchmark.models.networks import NETWORKS
from benchmark.results import provenance
from benchmark.results.folder import Store
from benchmark.results.schema import DAMAGED
from benchmark.training import environment
from benchmark.training.rates import AUTO
from benchmark.training.request import (
    GRID,
    Request,
    expand,
    expand_tuned,
    expand_tuning,
    preset_for,
    rounds,
)
from benchmark.training.spec import COMPARISON, TUNED, TUNING, RunSpec

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from benchmark.execution.cluster import Cluster


@contextmanager
def connected(scheduler: str | None) -> "Iterator[Cluster | None]":
    """Provide the cluster at that address; None for no address.

    Raises:
        RequestError: there is no scheduler at that address.
    """
    if scheduler is None:
        yield None
        return
    from benchmark.execution.cluster import Cluster

    with closing(Cluster(scheduler)) as cluster:
        yield cluster


@dataclass(frozen=True)
class Comparison:
    """A request whose data were found: all that is decided before anything is written.

    `specs` are the runs whose settings are known from the start; those at activations' own
    learning rates follow when `TUNING` runs have chosen, and more seeds while the answer is open.
    `purposes` say by name what runs are for, `rounds` after how many seeds one looks whether it is
    known (none where seeds are fixed), `margin` which share of accuracy counts as equal.
    """

    request: Request
    located: loading.Located
    data: loading.Dataset
    device: str
    gpus: int
    specs: list[RunSpec]
    purposes: dict[str, str]
    rounds: list[int]
    margin: float
    started: float = field(default_factory=time.monotonic)

    @property
    def settings(self) -> Settings:
        """What TensorFlow must be set to."""
        spec = self.specs[0]
        return Settings(spec.threads, spec.device, spec.deterministic, spec.kept_environment)

    @property
    def recorded(self) -> dict[str, RunSpec]:
        """The runs by name."""
        return {spec.run: spec for spec in self.specs}

    def with_runs(self, specs: list[RunSpec], purpose: str) -> "Comparison":
        """Return the comparison with these runs too."""
        purposes = {**self.purposes, **{spec.run: purpose for spec in specs}}
        return replace(self, specs=[*self.specs, *specs], purposes=purposes)


def prepare(
    request: Request,
    dataset: str,
    data_dir: str | Path | None,
    cluster: "Cluster | None" = None,
    check: Callable[[list[str], Settings], None] = lambda names, settings: None,
    margin: float | None = None,
) -> Comparison:
    """Find the data and the device, and expand the request into runs.

    Args:
        request: what was asked for.
        dataset: name of the dataset, or "auto".
        data_dir: folder with the data files; None looks in the usual places.
        cluster: what will do the runs, if not this machine.
        margin: difference in accuracy (a share) up to which two activations count as equal; None is
            the dataset's own.
        check: called with the activations before the runs are named; see `checking.check_own`.

    Raises:
        RequestError: the data cannot be had, `limit` does not fit them, or TensorFlow does not
            start in the environment that is kept.
    """
    located = loading.locate(dataset, data_dir or os.environ.get("BENCHMARK_DATA_DIR") or None)
    data = loading.load(located)
    gpus = cluster.gpus() if cluster else len(provenance.gpus())
    device = "GPU" if gpus else "CPU"
    # On a cluster, the machine that asks checks, with or without a GPU of its own.
    here = "CPU" if cluster else device
    kept = environment.kept() if request.keep_environment else ""
    environment.check(kept)
    check(request.activations, Settings(request.threads, here, request.deterministic, kept))
    choosing = expand_tuning(request, data.name, data.sha256, device)
    specs = [*choosing, *expand(request, data.name, data.sha256, device)]
    for validation, limit in {(spec.validation, spec.limit) for spec in specs}:
        loading.split(data, validation, limit)
    purposes = {spec.run: COMPARISON for spec in specs}
    purposes |= {spec.run: TUNING for spec in choosing}
    preset = preset_for(request.preset, data.name, device == "GPU")
    return Comparison(
        request,
        located,
        data,
        device,
        gpus,
        specs,
        purposes,
        rounds=rounds(request, preset),
        margin=info_of(data.name).margin / 100 if margin is None else margin,
    )


def train(
    comparison: Comparison,
    store: Store,
    console: "Console",
    *,
    jobs: int | None = None,
    fresh: bool = False,
    cluster: "Cluster | None" = None,
    hang_timeout: float | None = None,
) -> tuple[dict[str, RunSpec], dict[str, str]]:
    """Train what is not done yet; return all runs by name, and what they are for.

    Raises:
        RequestError: a user's activation cannot be trained with, or a worker cannot be used.
        OSError: the disk is full, or the scheduler was lost.
    """

    train_missing = partial(
        _train_missing,
        store=store,
        console=console,
        jobs=jobs,
        fresh=fresh,
        cluster=cluster,
        hang_timeout=hang_timeout,
    )
    if comparison.located.note:
        say(console, comparison.located.note)
    train_missing(comparison)
    for next_round, purpose, words in _ROUNDS:
        # Decided by whole rounds alone, so that jobs, workers and interruptions change nothing.
        while specs := next_round(comparison, store, console):
            comparison = comparison.with_runs(specs, purpose)
            # A report of what is there lists them from now on, as unfinished.
            store.write_tables(comparison.recorded, comparison.purposes)
            if words:
                say(console, words)
            train_missing(replace(comparison, specs=specs))
    return comparison.recorded, comparison.purposes


def runs_beyond(comparison: Comparison, store: Store, console: "Console") -> list[RunSpec]:
    """Return the next runs that choose learning rates, where the grid extends itself: of each
    activation whose best rate lies at an edge of those tried, at the rate beyond."""
    request, data = comparison.request, comparison.data
    if request.tune_learning_rates != AUTO:
        return []
    rates = tuning.next_rates(store.runs(comparison.recorded, comparison.purposes))
    choosing, rate = replace(request, seeds=request.tune_seeds), tuning.by_run(rates)
    return expand_tuned(choosing, data.name, data.sha256, comparison.device, rate)


def tuned_runs(comparison: Comparison, store: Store, console: "Console") -> list[RunSpec]:
    """Return the final runs at each activation's own learning rate, by what is recorded, without
    those at the shared one, which are there already."""
    request, data = comparison.request, comparison.data
    if not request.tune_learning_rates or TUNED in comparison.purposes.values():
        return []
    rates = tuning.chosen_rates(store.runs(comparison.recorded, comparison.purposes))
    chosen = {activation for *_, activation in rates}
    without = [name for name in request.activations if name not in chosen]
    if without:
        say(console, f"No learning rate chosen, since no run ended well: {listing(without)}.")
    rate = tuning.by_run(rates)
    specs = expand_tuned(request, data.name, data.sha256, comparison.device, rate)
    return [spec for spec in specs if spec.run not in comparison.purposes]


def more_seeds(
    comparison: Comparison, store: Store, console: "Console", rates: str
) -> list[RunSpec]:
    """Return the runs of the next round of seeds: of the activations in pairs that are open."""
    purpose = {"shared": COMPARISON, "tuned": TUNED}[rates]
    if not comparison.rounds:
        return []
    own = [spec.seed for spec in comparison.specs if comparison.purposes[spec.run] == purpose]
    if not own:
        return []
    done = max(own) + 1
    runs = store.runs(comparison.recorded, comparison.purposes)
    found = seeds.answers(runs, comparison.margin, rates)
    say(console, seeds.progress(found, done))
    is_open = seeds.in_open_pairs(found)
    for first, last in pairwise([done, *(each for each in comparison.rounds if each > done)]):
        following = [
            spec
            for spec in _of_seeds(comparison, range(first, last), runs, rates)
            if is_open(spec) and spec.run not in comparison.purposes
        ]
        if following:
            return [] if _over_budget(comparison, console) else following
    return []


def _of_seeds(
    comparison: Comparison, more: range, runs: "pd.DataFrame", rates: str
) -> list[RunSpec]:
    request, data = replace(comparison.request, seeds=list(more)), comparison.data
    if rates == "shared":
        return expand(request, data.name, data.sha256, comparison.device)
    rate = tuning.by_run(tuning.chosen_rates(runs))
    return expand_tuned(request, data.name, data.sha256, comparison.device, rate)


def _over_budget(comparison: Comparison, console: "Console") -> bool:
    budget = comparison.request.time_budget
    over = budget is not None and time.monotonic() - comparison.started >= budget
    if over:
        say(console, f"The time budget of {budget:g} s is used up: no further seeds.")
    return over


# What follows the runs that are known from the start: what gives the next round's runs, from those
# that are recorded, and none once all is decided; what they are for; what is said before them.
_ROUNDS: tuple[tuple[Callable[..., list[RunSpec]], str, str], ...] = (
    (partial(more_seeds, rates="shared"), COMPARISON, ""),
    (
        runs_beyond,
        TUNING,
        "Best learning rates lie at the edge of those tried: the next ones beyond.",
    ),
    (tuned_runs, TUNED, "Learning rates are chosen: each activation's own next."),
    (partial(more_seeds, rates="tuned"), TUNED, ""),
)


def _train_missing(
    comparison: Comparison,
    store: Store,
    console: "Console",
    jobs: int | None,
    fresh: bool,
    cluster: "Cluster | None",
    hang_timeout: float | None,
) -> None:
    machine = provenance.describe()
    runs = training_runs(comparison, store, machine, fresh)
    missing = engine.missing(runs)
    first = comparison.specs[0]
    activations = {spec.activation for spec in comparison.specs}
    examples = len(comparison.data.x_train)
    part = f", the first {first.limit:,} of {examples:,} training examples" if first.limit else ""
    say(
        console,
        f"{counted(len(runs), 'run')}: {counted(len(activations), 'activation')} on"
        f" {comparison.data.name} ({comparison.located.origin}){part},"
        f" {counted(first.epochs, 'epoch')} each;"
        f" {len(runs) - len(missing)} already done. Device: {first.device}, {first.precision}.",
    )
    if damaged := [run.name for run in missing if run.folder.state().status == DAMAGED]:
        say(console, f"Damaged, done again: {some(damaged)}.")
    if not missing:
        return
    store.write_environment(machine)
    if cluster:
        cluster.prepare(comparison.data, comparison.settings)
        if not cluster.size():
            say(console, "The cluster has no workers yet: the runs wait for the first.")
        at_once = max(1, comparison.gpus or cluster.size())
    else:
        at_once = jobs or provenance.workers_that_fit(comparison.gpus, first.threads)
        missing = [replace(run, at_once=min(at_once, len(missing))) for run in missing]
    engine.carry_out(
        missing,
        console,
        noun="run",
        jobs=at_once,
        here=jobs == 1,
        cluster=cluster,
        hang_timeout=hang_timeout,
    )


def training_runs(
    comparison: Comparison, store: Store, machine: dict[str, Any], fresh: bool = False
) -> list[TrainingRun]:
    """Return the runs of a comparison as tasks; `machine`, as `provenance.describe` tells it, goes
    into each record."""
    data, specs = comparison.data, comparison.specs
    users = [one for name in comparison.request.activations if (one := resolve(name)).is_user]
    source = {"origin": data.origin, "file": Path(data.path).name, "sha256": data.sha256}
    facts = {"environment": machine, "data": {"name": data.name, **source}}
    common = (comparison.located, str(store.path.resolve()), packing.pack(users) if users else b"")
    known = {name: _known_of(name) for name in comparison.request.activations}
    seconds, label = _guess(comparison), _labels(specs)
    return [
        TrainingRun(
            spec,
            *common,
            facts={
                **facts,
                "purpose": comparison.purposes.get(spec.run, COMPARISON),
                "activation": {**known[spec.activation], "sha256": spec.activation_sha256},
            },
            fresh=fresh,
            seconds=seconds(spec),
            label=label(spec),
        )
        for spec in specs
    ]


def _known_of(name: str) -> dict[str, Any]:
    """Return what a record says of an activation."""
    activation = resolve(name)
    fields = ("name", "formula", "paper", "initializer", "recommended", "dropout", "index")
    known = {field: getattr(activation, field) for field in fields}
    return {**known, "parameters": dict(activation.parameters)}


def _guess(comparison: Comparison) -> Callable[[RunSpec], float]:
    """Return a function that guesses how many seconds a run takes."""
    shape = comparison.data.x_train.shape[1:-1]
    kinds = {(spec.validation, spec.limit) for spec in comparison.specs}
    examples = {kind: len(loading.split(comparison.data, *kind).x_train) for kind in kinds}

    def seconds(spec: RunSpec) -> float:
        # Forward and backward, at a rate that a CPU core of today reaches.
        work = 3 * NETWORKS[spec.model].multiply_adds(shape) * spec.batch_size
        step = 0.002 + work / (2e12 if spec.device == "GPU" else 5e10)
        return spec.epochs * -(-examples[spec.validation, spec.limit] // spec.batch_size) * step

    return seconds


def _labels(specs: list[RunSpec]) -> Callable[[RunSpec], str]:
    """Return a function that names a run by what tells it from the others."""
    varied = [name for name in GRID if len({getattr(spec, name) for spec in specs}) > 1]

    def label(spec: RunSpec) -> str:
        settings = [f"{name.replace('_', ' ')} {getattr(spec, name)}" for name in varied]
        return ", ".join([spec.activation, *settings, f"seed {spec.seed}"])

    return label
