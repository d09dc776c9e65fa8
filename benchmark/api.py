"""The same from Python: `compare`, `load_results`, `register_activation`."""

import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmark.activations import Activation, custom_objects, register_activation, resolve
from benchmark.data import loading
from benchmark.errors import RequestError, unknown
from benchmark.execution.progress import Display, Work, duration, say, screen
from benchmark.experiments.runner import run_experiments, show_claims
from benchmark.formatting import counted, listing, mean_and_deviation, plain
from benchmark.results.folder import Store
from benchmark.results.schema import DONE, spec_columns
from benchmark.training.options import whole_number
from benchmark.training.request import (
    BASELINE,
    DEFAULT_OUTPUT,
    Request,
    expand,
    expand_tuned,
    expand_tuning,
    request,
)
from benchmark.training.spec import COMPARISON, TUNED, TUNING, RunSpec, check_style, multiply_adds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from rich.console import Console

    from benchmark.execution.cluster import Cluster

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


def load_results(output: str | Path = DEFAULT_OUTPUT) -> Results:
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
    output: str | Path = DEFAULT_OUTPUT,
    fresh: bool = False,
    style: str = "light",
    baseline: str | None = None,
    tensorboard: bool = False,
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
        baseline: the activation that the others are compared with; by default ReLU.
        tensorboard: write event files for TensorBoard too, into `output`/tensorboard.
        console: where progress is shown; by default standard output.
        **settings: `loss`, `model`, `optimizer`, `learning_rate`, `batch_size`, `initializer` (a
            value or a list each), `limit`, `preset`, `threads`, `deterministic`, `precision`;
            `tune_learning_rates`, a list from which each activation gets its own, chosen on
            validation data by runs with `tune_seeds` (a count or a list; by default 3).

    Returns:
        The epochs and the runs as DataFrames; `purpose` in the latter tells the runs with shared
        settings ("comparison") from those at an activation's own learning rate ("tuned") and from
        those that chose it ("tuning"). A run that crashed has status "failed", one whose
        loss became non-finite "diverged".

    Raises:
        RequestError: a setting cannot be used; nothing was trained.
        OSError: the disk is full or the output became unusable on the way.
        KeyboardInterrupt: as ever; what is recorded stays, the same call goes on from there.
    """
    from benchmark.report import build
    from benchmark.results import request_file
    from benchmark.results.tensorboard import check, write

    given = {"activations": activations, "dataset": dataset, "seeds": seeds, "epochs": epochs}
    given |= {"data_dir": data_dir, "baseline": baseline, **settings}
    wanted = _request(activations, seeds, epochs, settings)
    if jobs is not None:
        jobs = whole_number("jobs", jobs, most=1024)
    if jobs and scheduler:
        raise RequestError(
            f"jobs {jobs} cannot be used with a scheduler: there are as many runs at once as its"
            " workers have threads"
        )
    check_style(style)
    baseline = _checked_baseline(baseline, wanted)
    if tensorboard:
        check()
    with _connected(scheduler) as cluster:
        job = _prepared(wanted, dataset, data_dir, cluster)
        store = Store(output)
        store.prepare()
        with screen(console) as shown:
            with store.lock():
                resolved = request_file.of_comparison(wanted, job.specs, baseline)
                request_file.write(store, request_file.COMPARE, given, resolved)
                _run_missing(job, job.specs, job.purposes, jobs, store, fresh, shown, cluster)
                tuned = _tuned_runs(job, wanted, store, shown)
                recorded = {spec.run: spec for spec in [*job.specs, *tuned]}
                purposes = {**dict.fromkeys(recorded, TUNED), **job.purposes}
                if tuned:
                    # A report of what is there lists them from now on, as unfinished.
                    store.write_tables(recorded, purposes)
                    say(shown, "Learning rates are chosen: each activation's own next.")
                    _run_missing(job, tuned, purposes, jobs, store, fresh, shown, cluster)
                # It would show the numbers of before.
                store.remove("report.html")
                figures = build.write_runs(store, recorded, purposes, style, baseline, job.data)
                results = Results(*store.tables())
                if tensorboard:
                    events = write(store, results.runs, results.epochs)
                    say(shown, f"For TensorBoard: tensorboard --logdir {events}")
            _show_end(shown, store, results.runs, figures)
    return results


def _checked_baseline(name: str | None, wanted: Request) -> str:
    if name is None:
        return [*{BASELINE}.intersection(wanted.activations), *wanted.activations][0]
    name = resolve(name).name
    if name not in wanted.activations:
        raise RequestError(
            f"baseline {name!r} is not among the activations compared: give one of"
            f" {listing(wanted.activations)}"
        )
    return name


def _tuned_runs(job: "_Job", wanted: Request, store: Store, console: "Console") -> list[RunSpec]:
    """Return the final runs at each activation's own learning rate, by what is recorded, without
    those at the shared one, which are there already."""
    from benchmark.stats.summary import chosen_rates

    if not wanted.tune_learning_rates:
        return []
    runs = store.runs({spec.run: spec for spec in job.specs}, job.purposes)
    chosen = chosen_rates(runs)
    without = [name for name in wanted.activations if name not in set(chosen["activation"])]
    if without:
        say(console, f"No learning rate chosen, since no run ended well: {listing(without)}.")
    keys = ["model", "optimizer", "loss_function", "batch_size", "initializer", "activation"]
    rates = dict(zip(chosen[keys].itertuples(index=False, name=None), chosen["learning_rate"]))

    def rate(spec: RunSpec) -> float | None:
        columns = spec_columns(spec, spec.run)
        return rates.get(tuple(columns[key] for key in keys))

    specs = expand_tuned(wanted, job.data.name, job.data.sha256, job.device, rate)
    return [spec for spec in specs if spec.run not in job.purposes]


@contextlib.contextmanager
def _connected(scheduler: str | None) -> "Iterator[Cluster | None]":
    """Provide the cluster at that address; None for no address."""
    if scheduler is None:
        yield None
        return
    from benchmark.execution.cluster import Cluster

    with contextlib.closing(Cluster(scheduler)) as cluster:
        yield cluster


class _Job(NamedTuple):
    """A request whose data were found: all that is decided before anything is written."""

    specs: list[RunSpec]
    purposes: dict[str, str]
    located: loading.Located
    data: loading.Dataset
    device: str
    examples: dict[tuple[str, int | None], int]
    entries: list[Activation]
    gpus: int
    threads: int


def _prepared(
    wanted: Request,
    dataset: str,
    data_dir: str | Path | None,
    cluster: "Cluster | None" = None,
) -> _Job:
    from benchmark.results import provenance

    located = loading.locate(dataset, data_dir or os.environ.get("BENCHMARK_DATA_DIR") or None)
    data = loading.load(located)
    gpus = cluster.gpus() if cluster else len(provenance.gpus())
    device = "GPU" if gpus else "CPU"
    choosing = expand_tuning(wanted, data.name, data.sha256, device)
    specs = [*choosing, *expand(wanted, data.name, data.sha256, device)]
    purposes = {spec.run: COMPARISON for spec in specs}
    purposes |= {spec.run: TUNING for spec in choosing}
    kinds = {(spec.validation, spec.limit) for spec in specs}
    examples = {kind: len(loading.split(data, *kind).x_train) for kind in kinds}
    entries = [entry for name in wanted.activations if (entry := resolve(name)).is_user]
    return _Job(specs, purposes, located, data, device, examples, entries, gpus, wanted.threads)


def _request(activations: Any, seeds: Any, epochs: Any, settings: dict[str, Any]) -> Request:
    known = Request.__dataclass_fields__
    for name in settings:
        if name not in known:
            raise unknown("setting", name, known)
    return request(activations=activations, seeds=seeds, epochs=epochs, **settings)


def _run_missing(
    job: _Job,
    specs: list[RunSpec],
    purposes: dict[str, str],
    jobs: int | None,
    store: Store,
    fresh: bool,
    console: "Console",
    cluster: "Cluster | None",
) -> None:
    """Train what is not done yet."""
    from benchmark.activations import plugins
    from benchmark.execution import workers
    from benchmark.results import provenance

    entries = plugins.pack(job.entries)
    described = provenance.describe()
    source = {"origin": job.data.origin, "file": Path(job.data.path).name}
    facts = {
        "environment": described,
        "data": {"name": job.data.name, **source, "sha256": job.data.sha256},
    }
    if job.located.note:
        say(console, job.located.note)
    tasks = workers.tasks_for(specs, store, job.located, entries, facts, fresh, purposes)
    first, names = specs[0], {spec.activation for spec in specs}
    say(
        console,
        f"{counted(len(specs), 'run')}: {counted(len(names), 'activation')} on"
        f" {job.data.name} ({job.located.origin}), {counted(first.epochs, 'epoch')} each;"
        f" {len(specs) - len(tasks)} already done. Device: {first.device}, {first.precision}.",
    )
    if tasks:
        store.write_environment(described)
        if cluster:
            fit = max(1, job.gpus or cluster.threads())
        else:
            fit = provenance.workers_that_fit(job.gpus, job.threads)
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
    from benchmark.execution import workers
    from benchmark.execution.task import DISK_FULL

    height, width = job.data.x_train.shape[1:3]

    def steps_per_epoch(spec: RunSpec) -> int:
        return -(-job.examples[spec.validation, spec.limit] // spec.batch_size)

    def seconds_per_step(spec: RunSpec) -> float:
        # Forward and backward, at a rate that a CPU core of today reaches.
        work = 3 * multiply_adds(spec.model, height, width) * spec.batch_size
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
    with workers.workers(jobs, here, specs[0], lambda text: say(console, text), cluster) as pool:
        if job.entries:
            for warning in pool.check(tasks[0].entries, specs[0]):
                say(console, f"Warning: {warning}")
        with Display(console, specs, work) as display:
            for record in pool.run(tasks, display.event):
                display.ended(record)
                if record.get("error") == DISK_FULL:
                    # The others would only fill it again.
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), tasks[0].output)


def _show_end(console: "Console", store: Store, runs: "pd.DataFrame", figures: list[Path]) -> None:
    """Print the table of results and where the files are."""
    from rich.table import Table

    from benchmark.stats.summary import SETTINGS

    summary, comparisons = store.table("summary.csv"), store.table("comparisons.csv")
    varied = [name for name in SETTINGS if summary[name].nunique(dropna=False) > 1]
    table = Table()
    for heading in ("activation", *varied):
        table.add_column(heading, overflow="fold")
    baselines = comparisons["baseline"].unique()
    against = [f"against {name}" for name in baselines]
    for heading in ("validation accuracy", "test accuracy", *against, "s per epoch", "seeds"):
        table.add_column(heading, justify="right", overflow="fold")
    verdicts = _verdicts(comparisons)
    ordered = summary.sort_values("test_accuracy_mean", ascending=False, na_position="last")
    for row in ordered.to_dict("records"):
        seeds = str(row["n_completed"])
        seeds += "".join(
            f", {row[f'n_{kind}']:.0f} {kind.replace('_', ' ')}"
            for kind in ("not_learned", "diverged", "failed")
            if row[f"n_{kind}"] > 0
        )
        table.add_row(
            row["activation"],
            *(plain(row[name]) for name in varied),
            mean_and_deviation(row, "val_accuracy", "%"),
            mean_and_deviation(row, "test_accuracy", "%"),
            *(verdicts.get(_setting(row), "–") for _ in baselines),
            mean_and_deviation(row, "seconds_per_epoch", ""),
            seeds,
        )
    console.print(table)
    for run in runs[runs["status"] == "failed"].itertuples():
        say(console, f"Failed: {run.run}: {run.error} (see {store.folder(run.run).log})")
    names = "history, runs, summary, comparisons, pairs, ranks, time_to_accuracy"
    say(console, f"Tables: {store.path}/ {names} (.csv)")
    if figures:
        shown = dict.fromkeys(path.stem for path in figures)
        say(console, f"Figures: {figures[0].parent}/ {', '.join(shown)} (.png, .svg)")


def _verdicts(comparisons: "pd.DataFrame") -> dict[tuple, str]:
    rows = comparisons[comparisons["metric"] == "test_accuracy"].to_dict("records")
    return {_setting(row): row["verdict"] for row in rows}


def _setting(row: dict[str, Any]) -> tuple:
    """Return what tells rows of a table apart; of tuned ones the learning rate does not."""
    from benchmark.stats.summary import SETTINGS

    own = row["rates"] == "tuned"
    names = [name for name in SETTINGS if not (own and name == "learning_rate")]
    return (row["activation"], *(plain(row[name]) for name in names))


def failures(results: Results) -> int:
    """Return how many of the runs are not done."""
    return int((~results.runs["status"].isin(DONE)).sum())


def rebuild(
    output: str | Path,
    style: str = "light",
    baseline: str | None = None,
    console: "Console | None" = None,
) -> None:
    """Write the tables, the figures and the page of a folder anew from its runs and experiments.

    `baseline` is the activation that the others are compared with; by default that of the tables
    there, else ReLU.

    Raises:
        RequestError: the folder holds neither, no run has the baseline, or another command is at
            work in the folder.
        ReportError: the report notebook could not be executed; tables and figures are written.
    """
    from benchmark.experiments import catalogue, claims_table
    from benchmark.experiments.figures import redraw_experiments
    from benchmark.report import build

    store = Store(output)
    recorded = store.recorded() if store.path.is_dir() else {}
    measured = [name for name in catalogue.catalogue() if name in store.measured()]
    if not recorded and not measured:
        raise RequestError(
            f"{str(output)!r} holds neither runs nor experiments: give the --output folder of an"
            " earlier command"
        )
    check_style(style)
    with store.lock(), screen(console) as shown:
        undrawn = redraw_experiments(store, style)
        if recorded:
            figures = build.write_runs(
                store,
                recorded,
                store.purposes(),
                style,
                _known_as(baseline),
                _data_at_hand(recorded),
            )
            _show_end(shown, store, store.table("runs.csv"), figures)
        claims = claims_table.write_claims(store)
        if measured:
            show_claims(shown, store, claims)
        for name, why in undrawn.items():
            say(shown, f"Not drawn anew: {name}: {why}")
        _write_page(store, shown)


def _known_as(activation: str | None) -> str | None:
    """Return the catalogue's name of an activation; of one that is not registered here, its own."""
    with contextlib.suppress(RequestError):
        return activation and resolve(activation).name
    return activation


def _data_at_hand(recorded: dict[str, RunSpec]) -> loading.Dataset | None:
    """Return the images of these runs if they come with the installed packages."""
    kept = {spec.data_sha256 for spec in recorded.values()}
    if {spec.dataset for spec in recorded.values()} != {"digits"}:
        return None
    data = loading.load(loading.locate("digits", None))
    return data if kept == {data.sha256} else None


def write_page(output: str | Path, console: "Console | None" = None) -> None:
    """Write report.html of a folder whose tables are there.

    Raises:
        RequestError: another command is at work in the folder.
        ReportError: the report notebook could not be executed.
    """
    store = Store(output)
    with store.lock(), screen(console) as shown:
        _write_page(store, shown)


def _write_page(store: Store, console: "Console") -> None:
    from benchmark.report import build

    say(console, "Writing the page.")
    build.write_page(store)
    say(console, f"Page: {store.path}/report.html")


def merge(
    sources: "Sequence[str | Path]",
    output: str | Path,
    style: str = "light",
    console: "Console | None" = None,
) -> None:
    """Join the results folders of several machines in a new one; draw its figures, write its page.

    Raises:
        RequestError: a source cannot be used, the sources contradict each other, or there is
            something in `output` already.
        ReportError: the report notebook could not be executed; tables and figures are written.
    """
    from benchmark.experiments import catalogue
    from benchmark.results import merge as merge_results

    # One that has the machine to itself measures times.
    with_times = [name for name, one in catalogue.catalogue().items() if one.alone]

    check_style(style)
    with screen(console) as shown:
        for line in merge_results.merge(sources, output, with_times):
            say(shown, line)
    rebuild(output, style, console=console)
