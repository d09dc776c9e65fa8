"""The same from Python: `compare`, `load_results`, `register_activation`."""

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmark import config, datasets
from benchmark.activations import custom_objects, register_activation, user_entries
from benchmark.config import RunSpec
from benchmark.errors import RequestError, unknown
from benchmark.store import DONE, Store

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

__all__ = ["Results", "compare", "custom_objects", "load_results", "register_activation"]

DEFAULT_OUTPUT = "results/latest"
STYLES = ("light", "dark")


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
    output: str | Path = DEFAULT_OUTPUT,
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
        output: folder of the results.
        fresh: train again what is finished already.
        style: of the figures, "light" or "dark".
        console: where progress is shown; by default standard output.
        **settings: `loss`, `model`, `optimizer`, `learning_rate`, `batch_size` (a value or a list
            each), `limit`, `initializer`, `preset`, `threads`, `deterministic`.

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
    if style not in STYLES:
        raise unknown("style", style, STYLES)
    from benchmark.progress import screen

    console = console or screen()
    store = Store(output)
    store.prepare()
    with store.lock():
        specs = _run_missing(wanted, dataset, data_dir, jobs, store, fresh, console)
        figures = report.write(store, specs, style)
    results = load_results(output)
    _show_end(console, store, results.runs, figures)
    return results


def _request(activations: Any, seeds: Any, epochs: Any, settings: dict[str, Any]) -> config.Request:
    known = config.Request.__dataclass_fields__
    for name in settings:
        if name not in known:
            raise unknown("setting", name, known)
    return config.request(activations=activations, seeds=seeds, epochs=epochs, **settings)


def _run_missing(
    wanted: config.Request,
    dataset: str,
    data_dir: str | Path | None,
    jobs: int | None,
    store: Store,
    fresh: bool,
    console: "Console",
) -> list[RunSpec]:
    """Train what is not done yet and return all runs asked for."""
    from benchmark import environment, plugins, scheduling
    from benchmark.progress import say

    located = datasets.locate(dataset, data_dir)
    data = datasets.load(located)
    gpus = environment.gpus()
    specs = config.expand(wanted, data.name, data.sha256, "GPU" if gpus else "CPU")
    sizes = {
        (spec.validation, spec.limit): len(
            datasets.split(data, spec.validation, spec.limit).x_train
        )
        for spec in specs
    }
    if located.note:
        say(console, located.note)
    if fresh:
        for spec in specs:
            store.folder(spec.run).clear()
    facts = {
        "environment": environment.describe(),
        "data": {
            "name": data.name,
            "origin": data.origin,
            "file": Path(data.path).name,
            "sha256": data.sha256,
        },
    }
    store.write_environment(facts["environment"])
    entries = plugins.pack(user_entries())
    tasks = scheduling.tasks_for(specs, store, located, entries, facts)
    first = specs[0]
    say(
        console,
        f"{_count(len(specs), 'run')}: {_count(len(wanted.activations), 'activation')} on"
        f" {data.name} ({located.origin}), {_count(first.epochs, 'epoch')} each;"
        f" {len(specs) - len(tasks)} already done. Device: {first.device}.",
    )
    if tasks:
        fit = environment.workers_that_fit(len(gpus), wanted.threads)
        _train(tasks, entries, jobs, min(jobs or fit, len(tasks)), sizes, console)
    return specs


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _train(
    tasks: list, entries: bytes, asked: int | None, jobs: int, sizes: dict, console: "Console"
) -> None:
    from benchmark import scheduling
    from benchmark.progress import Display, say

    specs = [task.spec for task in tasks]

    def steps_per_epoch(spec: RunSpec) -> int:
        return -(-sizes[spec.validation, spec.limit] // spec.batch_size)

    say(
        console,
        f"Training {_count(len(tasks), 'run')}, {jobs} at once; time left: being estimated.",
    )
    # Only when asked to: the caller's process may have other uses for TensorFlow.
    here = asked == 1
    with scheduling.workers(jobs, here, specs[0], lambda text: say(console, text)) as pool:
        if user_entries():
            for warning in pool.check(entries, specs[0]):
                say(console, f"Warning: {warning}")
        with Display(console, specs, steps_per_epoch) as display:
            for record in pool.run(tasks, display.event):
                display.ended(record)
                if record.get("error") == scheduling.DISK_FULL:
                    # The others would only fill it again.
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tasks[0].output))


def _show_end(console: "Console", store: Store, runs: "pd.DataFrame", figures: list[Path]) -> None:
    """Print the table of results and where the files are."""
    from rich.table import Table

    from benchmark import statistics
    from benchmark.progress import say
    from benchmark.report import spread

    summary = statistics.summarise(runs)
    varied = [name for name in statistics.SETTINGS if summary[name].nunique(dropna=False) > 1]
    table = Table("activation", *varied)
    for heading in ("validation accuracy", "test accuracy", "s per epoch", "seeds"):
        table.add_column(heading, justify="right")
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
            spread(row, "val_accuracy", "%"),
            spread(row, "test_accuracy", "%"),
            spread(row, "seconds_per_epoch", ""),
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
    """Write the tables, the figures and the page of a folder anew from its runs.

    Raises:
        RequestError: the folder holds no runs, or another command is at work in it.
    """
    from benchmark import report
    from benchmark.progress import screen

    store = Store(output)
    specs = store.specs() if store.path.is_dir() else []
    if not specs:
        raise RequestError(
            f"{str(output)!r} holds no runs: give the --output folder of an earlier comparison"
        )
    if style not in STYLES:
        raise unknown("style", style, STYLES)
    with store.lock():
        figures = report.write(store, specs, style)
    _show_end(console or screen(), store, load_results(output).runs, figures)
