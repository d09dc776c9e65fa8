"""Many experiments: what is missing, workers, progress, and what is said at the end."""

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.data import catalogue, loading
from benchmark.execution.progress import say, screen
from benchmark.experiments import catalogue as catalogue_experiments
from benchmark.experiments import measurement
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART
from benchmark.formatting import counted
from benchmark.results.folder import Store
from benchmark.training.options import whole_number
from benchmark.training.request import DEFAULT_OUTPUT
from benchmark.training.spec import check_style

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    from rich.console import Console


def run_experiments(
    names: Any = None,
    activations: Any = None,
    seeds: Any = None,
    *,
    dataset: str = "digits",
    data_dir: str | Path | None = None,
    jobs: int | None = None,
    output: str | Path = DEFAULT_OUTPUT,
    fresh: bool = False,
    style: str = "light",
    console: "Console | None" = None,
    beside: "Iterable[str]" = (),
    **options: Any,
) -> dict[str, "pd.DataFrame"]:
    """Measure what the theory says of activation functions; write tables and figures.

    An experiment that is done in `output` with the same settings is not done again.

    Args:
        names: of experiments; by default all of them (`python -m benchmark list`).
        activations: names, or "all"; by default each experiment's own, and those `beside`.
        seeds: a count or a list; by default each experiment's own.
        dataset: for the experiments that need images.
        data_dir: folder with the data files; when given, nothing else is looked at.
        jobs: experiments at once; by default as many as keep the machine busy.
        output: folder of the results.
        fresh: measure again what is done already.
        style: of the figures, "light" or "dark".
        console: where progress is shown; by default standard output.
        beside: activations added to each experiment's own.
        **options: the experiments' own, such as `depths` of gradient_flow.

    Returns:
        The tables by experiment, without those that failed.

    Raises:
        RequestError: a setting cannot be used; nothing was measured.
        OSError: the disk is full or the output became unusable on the way.
        KeyboardInterrupt: as ever; finished experiments stay.
    """
    from benchmark.experiments import claims_table
    from benchmark.results import request_file

    given = {"names": names, "activations": activations, "seeds": seeds, "dataset": dataset}
    given |= {"data_dir": data_dir, "beside": beside, **options}
    wanted = measurement.request(names, activations, beside, seeds, options)
    if jobs is not None:
        jobs = whole_number("jobs", jobs, most=1024)
    check_style(style)
    catalogue.check_name(dataset)
    located = data = None
    if any(made.images for made in wanted.experiments):
        located = loading.locate(dataset, data_dir or os.environ.get("BENCHMARK_DATA_DIR") or None)
        data = loading.load(located)
    known = (data.name, data.sha256) if data else ("", "")
    specs = measurement.specs_for(wanted, *known)
    store = Store(output)
    store.prepare()
    with screen(console) as shown:
        with store.lock():
            resolved = {spec.experiment: spec.as_json() for spec in specs}
            request_file.write(store, request_file.EXPERIMENTS, given, resolved)
            # It would show the numbers of before.
            store.remove("report.html")
            failed = _measure_missing(specs, located, jobs, store, fresh, style, shown)
            claims = claims_table.write_claims(store)
            tables = {
                spec.experiment: store.table(f"experiments/{spec.experiment}.csv")
                for spec in specs
                if spec.experiment not in failed
            }
        show_claims(shown, store, claims)
        for name, error in failed.items():
            say(shown, f"Failed: {name}: {error} (see {store.path}/experiments/{name}.error.txt)")
    return tables


def _measure_missing(
    specs: list,
    located: loading.Located | None,
    jobs: int | None,
    store: Store,
    fresh: bool,
    style: str,
    console: "Console",
) -> dict[str, str]:
    """Do the experiments that are not done; return the errors of those that failed, by name."""
    from benchmark.execution import workers
    from benchmark.execution.gauges import Gauges
    from benchmark.execution.task import DISK_FULL
    from benchmark.results import provenance

    described = provenance.describe()
    facts = {"environment": described, "data_origin": located.origin if located else ""}
    tasks = measurement.tasks_for(specs, store, located, facts, fresh, style)
    on = f", images: {located.name}" if located else ""
    if located and located.note:
        say(console, located.note)
    done = 0 if fresh else sum(bool(measurement.finished(store, spec)) for spec in specs)
    say(console, f"{counted(len(specs), 'experiment')}{on}; {done} already done.")
    if not tasks:
        return {}
    store.write_environment(described)
    jobs = min(jobs or provenance.workers_that_fit(0, 1), len(tasks))
    made = {task.name: catalogue_experiments.resolve(task.name) for task in tasks}
    # One that takes times has the machine to itself; of the others the long ones start first.
    groups = [[task] for task in tasks if made[task.name].alone]
    rest = [task for task in tasks if not made[task.name].alone]
    groups.append(sorted(rest, key=lambda task: -made[task.name].seconds))
    failed = {}
    with workers.workers(jobs, False, tasks[0].spec, lambda text: say(console, text)) as pool:
        users = [task for task in tasks if any(sha for _, sha in task.spec.activations)]
        if users:
            for warning in pool.check(users[0].entries, users[0].spec):
                say(console, f"Warning: {warning}")
        seconds = {name: experiment.seconds for name, experiment in made.items()}
        with Gauges(console, seconds, jobs) as gauges:
            for record in (record for group in groups for record in pool.run(group, gauges.event)):
                gauges.ended(record)
                if record.get("error") == DISK_FULL:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(store.path))
                if record.get("error"):
                    failed[record["run"]] = record["error"]
    return failed


def show_claims(console: "Console", store: Store, claims: "pd.DataFrame") -> None:
    """Print how the claims of each experiment fared, and where the files are."""
    from rich.table import Table

    verdicts = list(dict.fromkeys([HOLDS, IN_PART, FAILS, *claims["verdict"]]))
    table = Table()
    table.add_column("experiment", overflow="fold")
    for verdict in verdicts:
        table.add_column(verdict, justify="right")
    for name, group in claims.groupby("experiment", sort=False):
        counts = group["verdict"].value_counts()
        table.add_row(name, *(str(counts.get(verdict, "")) for verdict in verdicts))
    console.print(table)
    say(console, f"Tables: {store.path}/experiments/; each claim with its evidence: claims.csv")
    say(console, f"Figures: {store.path}/figures/")
