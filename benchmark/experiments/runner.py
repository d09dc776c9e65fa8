"""Experiments from a request to tables, figures and claims: what is missing is measured."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.data import loading
from benchmark.execution import engine
from benchmark.execution.progress import say
from benchmark.experiments.measurement import tasks_for
from benchmark.experiments.request import ExperimentsRequest, MeasurementSpec, specs_for
from benchmark.formatting import counted
from benchmark.results import provenance
from benchmark.results.folder import Store

if TYPE_CHECKING:
    from rich.console import Console


def find_data(
    wanted: ExperimentsRequest, dataset: str, data_dir: str | Path | None
) -> loading.Located | None:
    """Find the dataset, if one of the experiments needs one.

    Raises:
        RequestError: there is no such dataset, or it cannot be had.
    """
    loading.check_name(dataset)
    if not any(experiment.images for experiment in wanted.experiments):
        return None
    return loading.locate(dataset, data_dir or os.environ.get("BENCHMARK_DATA_DIR") or None)


def specs(wanted: ExperimentsRequest, located: loading.Located | None) -> list[MeasurementSpec]:
    """Return the experiments asked for, on this dataset."""
    data = loading.load(located) if located else None
    return specs_for(wanted, *((data.name, data.sha256) if data else ("", "")))


def measure(
    specs: list[MeasurementSpec],
    located: loading.Located | None,
    store: Store,
    console: "Console",
    *,
    jobs: int | None = None,
    fresh: bool = False,
    style: str = "light",
    hang_timeout: float | None = None,
) -> dict[str, str]:
    """Do the experiments that are not done; return the errors of those that failed, by name.

    Raises:
        RequestError: a user's activation cannot be measured.
        OSError: the disk is full.
    """
    environment = provenance.describe()
    facts = {"environment": environment, "data_origin": located.origin if located else ""}
    tasks = tasks_for(specs, store, located, facts, fresh, style)
    data = f", dataset: {located.name}" if located else ""
    if located and located.note:
        say(console, located.note)
    done = sum(task.finished() is not None for task in tasks)
    say(console, f"{counted(len(tasks), 'experiment')}{data}; {done} already done.")
    missing = engine.missing(tasks)
    if not missing:
        return {}
    store.write_environment(environment)
    at_once = jobs or provenance.workers_that_fit(0, 1)
    records = engine.carry_out(
        missing, console, noun="experiment", jobs=at_once, hang_timeout=hang_timeout
    )
    return {name: record["error"] for name, record in records.items() if record.get("error")}
