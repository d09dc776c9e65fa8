"""What Python users call: `compare`, `run_experiments`, `load_results`, `register_activation`."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmark.activations import custom_objects, register_activation, resolve
from benchmark.activations.plugins import CHECK_SECONDS
from benchmark.errors import RequestError, unknown
from benchmark.execution.checking import check_own
from benchmark.execution.progress import say, screen
from benchmark.execution.task import Settings
from benchmark.formatting import listing
from benchmark.plotting.palette import check_style
from benchmark.results.folder import Store
from benchmark.results.schema import DONE
from benchmark.training.options import positive_number, whole_number
from benchmark.training.request import BASELINE, DEFAULT_OUTPUT, Request, request

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from benchmark.stats.answer import Answer

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
    of runs.csv). `answer` says what to use, in each setting (the list of answer.json; see
    `stats.answer.Answer`).
    """

    epochs: "pd.DataFrame"
    runs: "pd.DataFrame"
    answer: "list[Answer]"


def load_results(output: str | Path = DEFAULT_OUTPUT) -> Results:
    """Read the results of a comparison from its output folder.

    Raises:
        RequestError: the folder holds none.
    """
    return _results(Store(output))


def _results(store: Store) -> Results:
    from benchmark.results import tables

    epochs, runs = store.tables()
    return Results(epochs, runs, tables.answer_of(store, runs))


def compare(
    activations: Any = None,
    dataset: str = "auto",
    seeds: Any = None,
    epochs: int | None = None,
    *,
    data_dir: str | Path | None = None,
    jobs: int | None = None,
    hang_timeout: float | None = None,
    scheduler: str | None = None,
    output: str | Path = DEFAULT_OUTPUT,
    fresh: bool = False,
    style: str = "light",
    baseline: str | None = None,
    margin: float | None = None,
    control: bool = False,
    tensorboard: bool = False,
    check_seconds: float = CHECK_SECONDS,
    console: "Console | None" = None,
    **settings: Any,
) -> Results:
    """Train the same network once per activation and seed, record every epoch, draw the curves.

    Finished runs in `output` are not trained again; an interrupted one goes on after its last
    complete epoch. Progress is shown as on the command line.

    Args:
        activations: names, or "all"; by default the article's six and the control.
        dataset: "auto", "mnist", "fashion_mnist", "digits" or "mnist1d".
        seeds: "auto" (by default, without a preset): as many as it takes to know which to use; a
            count (5: seeds 0 to 4), or a list of seeds.
        epochs: epochs of each run.
        data_dir: folder with the data files; when given, nothing else is looked at.
        jobs: runs at once; by default as many as keep the machine busy. 1 trains in this process
            where TensorFlow is not yet in use here, and sets its threads for good.
        hang_timeout: seconds without a sign of life after which a worker is ended and its run given
            to another; by default six times its expected epoch, and 120 at least.
        scheduler: address of a Dask scheduler, whose workers do the runs instead of this machine.
        output: folder of the results.
        fresh: train again what is finished already.
        style: of the figures, "light" or "dark".
        baseline: the activation that the others are compared with; by default ReLU.
        margin: points of accuracy up to which two activations count as equal; by default 0.5, on
            MNIST 0.1.
        control: add `linear`, no activation at all, which the others should beat.
        tensorboard: write event files for TensorBoard too, into `output`/tensorboard.
        check_seconds: how long the check of one of your own activations may take.
        console: where progress is shown; by default standard output.
        **settings: `loss`, `model`, `optimizer`, `learning_rate`, `batch_size`, `initializer` (a
            value or a list each), `limit`, `preset`, `most_seeds` and `time_budget` of "auto",
            `threads`, `deterministic`, `precision`, `keep_environment` (environment variables that
            change numbers stay as they are); `tune_learning_rates`, a list from which each
            activation gets its own, or "auto", chosen on validation data by runs with `tune_seeds`
            (a count or a list; by default 3).

    Returns:
        The epochs and the runs as DataFrames, and the answer. The column `purpose` of the runs
        tells those with shared settings ("comparison") from those at an activation's own
        learning rate ("tuned") and from those that chose it ("tuning"). A run that crashed
        has status "failed", one whose loss became non-finite "diverged".

    Raises:
        RequestError: a setting cannot be used; nothing was trained.
        OSError: the disk is full or the output became unusable on the way.
        KeyboardInterrupt: as ever; what is recorded stays, the same call goes on from there.
    """
    from benchmark.execution import comparison
    from benchmark.report import build
    from benchmark.report.screen import show_answers, show_comparison
    from benchmark.results import request_file
    from benchmark.results import tensorboard as event_files

    given = {"activations": activations, "dataset": dataset, "seeds": seeds, "epochs": epochs}
    given |= {"data_dir": data_dir, "baseline": baseline, "margin": margin, "control": control}
    given |= settings
    wanted = _request(activations, seeds, epochs, {**settings, "control": control})
    share = _checked_margin(margin)
    jobs = _checked_jobs(jobs)
    check_seconds = positive_number("check seconds", check_seconds)
    hang_timeout = _checked_timeout(hang_timeout)
    if jobs and scheduler:
        raise RequestError(
            f"jobs {jobs} cannot be used with a scheduler: there are as many runs at once as it has"
            " workers"
        )
    check_style(style)
    baseline = _checked_baseline(baseline, wanted)
    if tensorboard:
        event_files.check()
    store = Store(output)
    with comparison.connected(scheduler) as cluster, screen(console, store.log) as shown:
        check = partial(check_own, seconds=check_seconds, say=partial(say, shown))
        prepared = comparison.prepare(wanted, dataset, data_dir, cluster, check, margin=share)
        store.prepare()
        with store.lock():
            resolved = request_file.of_comparison(wanted, prepared.specs, baseline)
            with request_file.recorded(store, request_file.COMPARE, given, resolved):
                recorded, purposes = comparison.train(
                    prepared,
                    store,
                    shown,
                    jobs=jobs,
                    fresh=fresh,
                    cluster=cluster,
                    hang_timeout=hang_timeout,
                )
            # It would show the numbers of before.
            store.remove("report.html")
            drawn = (style, baseline, prepared.data, prepared.margin)
            figures = build.write_runs(store, recorded, purposes, *drawn)
            results = _results(store)
            if tensorboard:
                events = event_files.write(store, results.runs, results.epochs)
                say(shown, f"For TensorBoard: tensorboard --logdir {events}")
        show_comparison(shown, store, results.runs, figures)
        show_answers(shown, results.answer)
    return results


def _request(activations: Any, seeds: Any, epochs: Any, settings: dict[str, Any]) -> Request:
    known = {*Request.__dataclass_fields__, "control"} - {"auto"}
    for name in settings:
        if name not in known:
            raise unknown("setting", name, known)
    return request(activations=activations, seeds=seeds, epochs=epochs, **settings)


def _checked_jobs(jobs: object) -> int | None:
    return None if jobs is None else whole_number("jobs", jobs, most=1024)


def _checked_timeout(seconds: object) -> float | None:
    return None if seconds is None else positive_number("hang timeout", seconds)


def _checked_margin(points: object) -> float | None:
    """Return a margin as a share of the examples."""
    if points is None:
        return None
    margin = positive_number("margin", points)
    if margin >= 100:
        raise RequestError(f"margin {points!r} is not below 100 points: give 0.5, for instance")
    return margin / 100


def _checked_baseline(name: str | None, wanted: Request) -> str:
    if name is None:
        return BASELINE if BASELINE in wanted.activations else wanted.activations[0]
    name = resolve(name).name
    if name not in wanted.activations:
        raise RequestError(
            f"baseline {name!r} is not among the activations compared: give one of"
            f" {listing(wanted.activations)}"
        )
    return name


def failures(results: Results) -> int:
    """Return how many of the runs are not done."""
    return int((~results.runs["status"].isin(DONE)).sum())


def run_experiments(
    names: Any = None,
    activations: Any = None,
    seeds: Any = None,
    *,
    dataset: str = "digits",
    data_dir: str | Path | None = None,
    jobs: int | None = None,
    hang_timeout: float | None = None,
    output: str | Path = DEFAULT_OUTPUT,
    fresh: bool = False,
    style: str = "light",
    console: "Console | None" = None,
    beside: Iterable[str] = (),
    check_seconds: float = CHECK_SECONDS,
    **options: Any,
) -> dict[str, "pd.DataFrame"]:
    """Measure what the theory says of activation functions; write tables and figures.

    An experiment that is done in `output` with the same settings is not done again.

    Args:
        names: of experiments; by default all of them (`python -m benchmark list`).
        activations: names, or "all"; by default each experiment's own, and those `beside`.
        seeds: a count or a list; by default each experiment's own.
        dataset: for the experiments that need data.
        data_dir: folder with the data files; when given, nothing else is looked at.
        jobs: experiments at once; by default as many as keep the machine busy.
        hang_timeout: seconds without a sign of life after which a worker is ended and its
            experiment given to another; by default six times its expected time.
        output: folder of the results.
        fresh: measure again what is done already.
        style: of the figures, "light" or "dark".
        console: where progress is shown; by default standard output.
        beside: activations added to each experiment's own.
        check_seconds: how long the check of one of your own activations may take.
        **options: the experiments' own, such as `depths` of gradient_flow.

    Returns:
        The tables by experiment, without those that failed.

    Raises:
        RequestError: a setting cannot be used; nothing was measured.
        OSError: the disk is full or the output became unusable on the way.
        KeyboardInterrupt: as ever; finished experiments stay.
    """
    from benchmark.experiments import claims_table, runner
    from benchmark.experiments.request import all_activations
    from benchmark.experiments.request import request as experiments_request
    from benchmark.report.screen import show_claims
    from benchmark.results import request_file

    beside = list(beside)
    given = {"names": names, "activations": activations, "seeds": seeds, "dataset": dataset}
    given |= {"data_dir": data_dir, "beside": beside, **options}
    wanted = experiments_request(names, activations, beside, seeds, options)
    jobs = _checked_jobs(jobs)
    check_seconds = positive_number("check seconds", check_seconds)
    hang_timeout = _checked_timeout(hang_timeout)
    check_style(style)
    located = runner.find_data(wanted, dataset, data_dir)
    store = Store(output)
    store.prepare()
    with screen(console, store.log) as shown:
        chosen = all_activations(wanted)
        check_own(chosen, Settings(), check_seconds, partial(say, shown))
        with store.lock():
            # It would show the numbers of before.
            store.remove("report.html")
            specs = runner.specs(wanted, located)
            resolved = {spec.experiment: spec.as_json() for spec in specs}
            with request_file.recorded(store, request_file.EXPERIMENTS, given, resolved):
                failed = runner.measure(
                    specs,
                    located,
                    store,
                    shown,
                    jobs=jobs,
                    fresh=fresh,
                    style=style,
                    hang_timeout=hang_timeout,
                )
            claims = claims_table.write_claims(store)
            tables = {
                experiment.name: store.table(f"experiments/{experiment.name}.csv")
                for experiment in wanted.experiments
                if experiment.name not in failed
            }
        show_claims(shown, store, claims)
        for name, error in failed.items():
            say(shown, f"Failed: {name}: {error} (see {store.path}/experiments/{name}.error.txt)")
    return tables


def rebuild(
    output: str | Path,
    style: str = "light",
    baseline: str | None = None,
    console: "Console | None" = None,
    margin: float | None = None,
) -> None:
    """Write the tables, the figures and the page of a folder anew from its runs and experiments.

    `baseline` is the activation that the others are compared with; by default that of the tables
    there, else ReLU; `margin` are the points of accuracy up to which two count as equal, by default
    those of the tables there.

    Raises:
        RequestError: the folder holds neither, no run has the baseline, or another command is at
            work in the folder.
        ReportError: the report notebook could not be executed; tables and figures are written.
    """
    from benchmark.report import rebuild as report

    store = Store(output)
    report.check_something_is_there(store)
    check_style(style)
    share = _checked_margin(margin)
    with store.lock(), screen(console, store.log) as shown:
        report.rebuild(store, style, baseline, share, shown)


def write_page(output: str | Path, console: "Console | None" = None) -> None:
    """Write report.html of a folder whose tables are there, and show the answer.

    Raises:
        RequestError: another command is at work in the folder.
        ReportError: the report notebook could not be executed.
    """
    from benchmark.report import rebuild as report
    from benchmark.report.screen import show_answers

    store = Store(output)
    with store.lock(), screen(console, store.log) as shown:
        report.write_page(store, shown)
        show_answers(shown, load_results(output).answer)


def merge(
    sources: Sequence[str | Path],
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
    with_times = [name for name, one in catalogue.all_experiments().items() if one.alone]

    check_style(style)
    with screen(console) as shown:
        for line in merge_results.merge(sources, output, with_times):
            say(shown, line)
    rebuild(output, style, console=console)
