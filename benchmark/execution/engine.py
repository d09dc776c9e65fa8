"""The one job engine: of many tasks those that are missing, done, with retries and progress."""

import errno
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from benchmark.execution.local import open_workers
from benchmark.execution.progress import Display, Estimate, duration, say
from benchmark.execution.task import DISK_FULL, Record, Task
from benchmark.execution.workers import Workers
from benchmark.formatting import counted

if TYPE_CHECKING:
    from rich.console import Console

_AnyTask = TypeVar("_AnyTask", bound=Task)


def missing(tasks: Iterable[_AnyTask]) -> list[_AnyTask]:
    """Return the tasks whose results are not in their folder, or are wanted again."""
    return [task for task in tasks if not task.is_done()]


def carry_out(
    tasks: Sequence[Task],
    console: "Console",
    *,
    noun: str,
    jobs: int,
    here: bool = False,
    cluster: Workers | None = None,
    hang_timeout: float | None = None,
) -> dict[str, Record]:
    """Do the tasks and return their records by name.

    Those that measure time come first, each with the machine to itself; then the long ones, so
    that none is left alone at the end. A lost worker costs its task a retry.

    Args:
        tasks: what to do, one or more, all with the same settings.
        console: where progress is shown.
        noun: what one task is called on the screen, "run" for instance.
        jobs: how many at once.
        here: do them in this process, if TensorFlow is not in use here with other settings. Only
            when asked for: the caller may have other uses for it.
        cluster: workers to use instead of this machine's.
        hang_timeout: seconds without a report after which a worker of this machine is ended; by
            default six times what is expected of the task, and 120 at least.

    Raises:
        OSError: the disk is full, the scheduler was lost, or no worker can be started; what is
            recorded stays.
    """
    at_once = min(jobs, len(tasks))
    estimate = Estimate({task.name: task.seconds for task in tasks}, at_once)
    left = duration(estimate.seconds_left())
    say(console, f"Doing {counted(len(tasks), noun)}, {at_once} at once; time left: {left}.")
    groups = [[task] for task in tasks if task.alone]
    groups.append(sorted((t for t in tasks if not t.alone), key=lambda task: -task.seconds))
    records = {}
    settings = tasks[0].settings
    with (
        open_workers(
            at_once, here, settings, lambda text: say(console, text), cluster, hang_timeout
        ) as workers,
        Display(console, tasks, at_once, noun) as display,
    ):
        for record in (r for group in groups for r in workers.run(group, display.event)):
            display.ended(record)
            records[record["run"]] = record
            if record.get("error") == DISK_FULL:
                # The others would only fill it again.
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return records
