"""The same from Python: `compare`, `load_results`, `register_activation`."""

import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmark import config, datasets
from benchmark.activations import Activation, custom_objects, register_activation, resolve
from benchmark.config import RunSpec
from benchmark.errors import RequestError, unknown
from benchmark.laboratory import run_experiments, show_claims
from benchmark.progress import Display, Work, duration, say, screen
from benchmark.store import DONE, Store
from benchmark.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from rich.console import Console

    from benchmark.cluster import Cluster

__all__ = [
    "Results",
    "compare",
    "custom_objects",
    "load_results",
    "register_activation",
    "run_experiments",
]


class Results(NamedTuple):
    """What a comparison gives.

    `epochs` has one row per run and epoch (the columns of history.csv), `runs` one per run (those
    of runs.csv).
    """

    epochs: "pd.DataFrame"
    runs: "pd.DataFrame"


def load_results(output: str | Path = config.DEFAULT_OUTPUT) -> Results:
    """Read the results of a comparison from its output folder.

    Raises:
        RequestError: the folder holds none.
    """
    return Results(*Store(output).tables())


def compare(
    activations: Any = None,
    dataset: str = "auto",
    seeds: Any = None,
    epochs: int | None = None,
    *,
    data_dir: str | Path | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    output: str | Path = config.DEFAULT_OUTPUT,
    fresh: bool = False,
    style: str = "light",
    console: "Console | None" = None,
    **settings: Any,
) -> Results:
    """Train the same network once per activation and seed, record every epoch, draw the curves.

    Finished runs in `output` are not trained again; an interrupted one goes on after its last
    complete epoch. Progress is shown as on the command line.

    Args:
        activations: names, or "all"; by default the article's six.
        dataset: "auto", "mnist", "fashion_mnist" or "digits".
        seeds: a count (5: seeds 0 to 4) or a list of seeds.
        epochs: epochs of each run.
        data_dir: folder with the data files; when given, nothing else is looked at.
        jobs: runs at once; by default as many as keep the machine busy. 1 trains in this process
            where TensorFlow is not yet in use here, and sets its threads for good.
        scheduler: address of a Dask scheduler, whose workers do the runs instead of this machine.
        output: folder of the results.
        fresh: train again what is finished already.
        style: of the figures, "light" or "dark".
        console: where progress is shown; by default standard output.
        **settings: `loss`, `model`, `optimizer`, `learning_rate`, `batch_size` (a value or a list
            each), `limit`, `initializer`, `preset`, `threads`, `deterministic`,
            `precision`.

    Returns:
        The epochs and the runs as DataFrames. A run that crashed has status "failed", one whose
        loss became non-finite "diverged".

    Raises:
        RequestError: a setting cannot be used; nothing was trained.
        OSError: the disk is full or the output became unusable on the way.
        KeyboardInterrupt: as ever; what is recorded stays, the same call goes on from there.
    """
    from benchmark import report

    wanted = _request(activations, seeds, epochs, settings)
    if jobs is not None:
        jobs = config.whole_number("jobs", jobs, most=1024)
    if jobs and scheduler:
        raise RequestError(
            f"jobs {jobs} cannot be used with a scheduler: there are as many runs at once as its"
            " workers have threads"
        )
    config.check_style(style)
    with _connected(scheduler) as cluster:
        job = _prepared(wanted, dataset, data_dir, cluster)
        store = Store(output)
        store.prepare()
        with screen(console) as shown:
            with store.lock():
                _run_missing(job, jobs, store, fresh, shown, cluster)
                figures = report.write(store, {spec.run: spec for spec in job.specs}, style)
                results = Results(*store.tables())
            _show_end(shown, store, results.runs, figures)
    return results


@contextlib.contextmanager
def _connected(scheduler: str | None) -> "Iterator[Cluster | None]":
    """Provide the cluster at that address; None for no address."""
    if scheduler is None:
        yield None
        return
    from benchmark.cluster import Cluster

    with contextlib.closing(Cluster(scheduler)) as cluster:
        yield cluster


class _Job(NamedTuple):
    """A request whose data were found: all that is decided before anything is written."""

    specs: list[RunSpec]
    located: datasets.Located
    data: datasets.Dataset
    examples: dict[tuple[str, int | None], int]
    entries: list[Activation]
    gpus: int
    threads: int


def _prepared(
    wanted: config.Request,
    dataset: str,
    data_dir: str | Path | None,
    cluster: "Cluster | None" = None,
) -> _Job:
    from benchmark import environment

    located = datasets.locate(dataset, data_dir or os.environ.get("BENCHMARK_DATA_DIR") or None)
    data = datasets.load(located)
    gpus = cluster.gpus() if cluster else len(environment.gpus())
    specs = config.expand(wanted, data.name, data.sha256, "GPU" if gpus else "CPU")
    kinds = {(spec.validation, spec.limit) for spec in specs}
    examples = {kind: len(datasets.split(data, *kind).x_train) for kind in kinds}
    entries = [entry for name in wanted.activations if (entry := resolve(name)).is_user]
    return _Job(specs, located, data, examples, entries, gpus, wanted.threads)


def _request(activations: Any, seeds: Any, epochs: Any, settings: dict[str, Any]) -> config.Request:
    known = config.Request.__dataclass_fields__
    for name in settings:
        if name not in known:
            raise unknown("setting", name, known)
    return config.request(activations=activations, seeds=seeds, epochs=epochs, **settings)


def _run_missing(
    job: _Job,
    jobs: int | None,
    store: Store,
    fresh: bool,
    console: "Console",
    cluster: "Cluster | None",
) -> None:
    """Train what is not done yet."""
    from benchmark import environment, plugins, scheduling

    entries = plugins.pack(job.entries)
    described = environment.describe()
    source = {"origin": job.data.origin, "file": Path(job.data.path).name}
    facts = {
        "environment": described,
        "data": {"name": job.data.name, **source, "sha256": job.data.sha256},
    }
    if job.located.note:
        say(console, job.located.note)
    tasks = scheduling.tasks_for(job.specs, store, job.located, entries, facts, fresh)
    first, names = job.specs[0], {spec.activation for spec in job.specs}
    say(
        console,
        f"{counted(len(job.specs), 'run')}: {counted(len(names), 'activation')} on"
        f" {job.data.name} ({job.located.origin}), {counted(first.epochs, 'epoch')} each;"
        f" {len(job.specs) - len(tasks)} already done. Device: {first.device}, {first.precision}.",
    )
    if tasks:
        store.write_environment(described)
        if cluster:
            fit = max(1, job.gpus or cluster.threads())
        else:
            fit = environment.workers_that_fit(job.gpus, job.threads)
        _train(job, tasks, jobs == 1, min(jobs or fit, len(tasks)), console, cluster)


def _train(
    job: _Job,
    tasks: list,
    here: bool,
    jobs: int,
    console: "Console",
    cluster: "Cluster | None",
) -> None:
    """Carry out the tasks; `here` is in this process, and only when asked for: the caller may
    have other uses for its TensorFlow."""
    from benchmark import execution, scheduling

    height, width = job.data.x_train.shape[1:3]

    def steps_per_epoch(spec: RunSpec) -> int:
        return -(-job.examples[spec.validation, spec.limit] // spec.batch_size)

    def seconds_per_step(spec: RunSpec) -> float:
        # Forward and backward, at a rate that a CPU core of today reaches.
        work = 3 * config.multiply_adds(spec.model, height, width) * spec.batch_size
        return 0.002 + work / (2e12 if spec.device == "GPU" else 5e10)

    def seconds(spec: RunSpec) -> float:
        return spec.epochs * steps_per_epoch(spec) * seconds_per_step(spec)

    # The slow ones first: none is left alone at the end. Among equals seed by seed, as asked for.
    tasks = sorted(tasks, key=lambda task: -seconds(task.spec))
    specs = [task.spec for task in tasks]
    work = Work(specs, steps_per_epoch, seconds_per_step, jobs)
    left = duration(work.seconds_left())
    say(console, f"Training {counted(len(tasks), 'run')}, {jobs} at once; time left: {left}.")
    if cluster:
        cluster.deliver(job.data)
        if not cluster.threads():
            say(console, "The cluster has no workers yet: the runs wait for the first.")
    with scheduling.workers(jobs, here, specs[0], lambda text: say(console, text), cluster) as pool:
        if job.entries:
            for warning in pool.check(tasks[0].entries, specs[0]):
                say(console, f"Warning: {warning}")
        with Display(console, specs, work) as display:
            for record in pool.run(tasks, display.event):
                display.ended(record)
                if record.get("error") == execution.DISK_FULL:
                    # The others would only fill it again.
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), tasks[0].output)


def _show_end(console: "Console", store: Store, runs: "pd.DataFrame", figures: list[Path]) -> None:
    """Print the table of results and where the files are."""
    from rich.table import Table

    from benchmark import statistics
    from benchmark.wording import mean_and_deviation

    summary = statistics.summarise(runs)
    varied = [name for name in statistics.SETTINGS if summary[name].nunique(dropna=False) > 1]
    table = Table()
    for heading in ("activation", *varied):
        table.add_column(heading, overflow="fold")
    for heading in ("validation accuracy", "test accuracy", "s per epoch", "seeds"):
        table.add_column(heading, justify="right", overflow="fold")
    ordered = summary.sort_values("test_accuracy_mean", ascending=False, na_position="last")
    for row in ordered.to_dict("records"):
        seeds = str(row["n_seeds"])
        seeds += "".join(
            f", {row[f'n_{status}']} {status}"
            for status in ("diverged", "failed")
            if row[f"n_{status}"]
        )
        table.add_row(
            row["activation"],
            *(str(row[name]) for name in varied),
            mean_and_deviation(row, "val_accuracy", "%"),
            mean_and_deviation(row, "test_accuracy", "%"),
            mean_and_deviation(row, "seconds_per_epoch", ""),
            seeds,
        )
    console.print(table)
    for run in runs[runs["status"] == "failed"].itertuples():
        say(console, f"Failed: {run.run}: {run.error} (see {store.folder(run.run).log})")
    say(console, f"Tables: {store.path}/ history.csv, runs.csv, summary.csv; page: report.html")
    if figures:
        say(console, f"Figures: {figures[0].parent}/ " + ", ".join(path.name for path in figures))


def failures(results: Results) -> int:
    """Return how many of the runs are not done."""
    return int((~results.runs["status"].isin(DONE)).sum())


def rebuild(output: str | Path, style: str = "light", console: "Console | None" = None) -> None:
    """Write the tables, the figures and the page of a folder anew from its runs and experiments.

    Raises:
        RequestError: the folder holds neither, or another command is at work in it.
    """
    from benchmark import experiments, report

    store = Store(output)
    recorded = store.recorded() if store.path.is_dir() else {}
    measured = [name for name in experiments.catalogue() if name in store.measured()]
    if not recorded and not measured:
        raise RequestError(
            f"{str(output)!r} holds neither runs nor experiments: give the --output folder of an"
            " earlier command"
        )
    config.check_style(style)
    with store.lock():
        undrawn = report.redraw_experiments(store, style)
        if recorded:
            figures = report.write_runs(store, recorded, style)
            runs = store.table("runs.csv")
        claims = report.write_page(store)
    with screen(console) as shown:
        if recorded:
            _show_end(shown, store, runs, figures)
        if measured:
            show_claims(shown, store, claims)
        for name, why in undrawn.items():
            say(shown, f"Not drawn anew: {name}: {why}")
