"""What a task is, and what doing one in this process takes: settings, output, errors."""

import contextlib
import errno
import functools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, TextIO

from benchmark.data import loading

DISK_FULL = "the disk is full"
# Between two events of a task's progress.
EVENT_SECONDS = 0.5

# What a task reports: its name as "run", a "kind", and by kind more:
#   "start": it begins, or begins again after its worker was lost.
#   "progress", "milestone": "share" of it done, 0 to 1, and "detail" in words; a milestone (the
#       end of an epoch) is worth a line where there is no live display.
#   "end": this attempt is over.
#   "note": of the one who waits for it: "detail" is worth a line.
Event = dict[str, Any]
Report = Callable[[Event], None]
# What is known of a finished task: at least "run" and "status", of a failed one "error".
Record = dict[str, Any]


class Settings(NamedTuple):
    """How TensorFlow is set up in a process: threads, "CPU" or "GPU", determinism, and the user's
    environment variables that are kept (see `benchmark.training.environment`)."""

    threads: int = 1
    device: str = "CPU"
    deterministic: bool = False
    kept_environment: str = ""


class Task(Protocol):
    """One piece of work, a training run or an experiment. All of it travels to its worker."""

    @property
    def name(self) -> str:
        """Name among all tasks of a folder."""

    @property
    def label(self) -> str:
        """What the display calls it."""

    @property
    def settings(self) -> Settings:
        """What TensorFlow must be set to."""

    @property
    def seconds(self) -> float:
        """About how long it takes on one core."""

    @property
    def quiet_seconds(self) -> float:
        """About how long it may go without a report, on one core."""

    @property
    def alone(self) -> bool:
        """Whether nothing else may run beside it, because it measures time."""

    @property
    def user_activations(self) -> bytes:
        """The user's activations that it needs, packed; empty where there are none."""

    def is_done(self) -> bool:
        """Return whether the folder has its results already, and they are wanted."""

    def execute(self, report: Report) -> Record:
        """Do it in this process and return its record; an error is recorded, not raised."""

    def failed(self, error: str) -> Record:
        """Record that it could not be done."""


class Unwanted(BaseException):
    """Raised by a report function to end a task that nobody waits for any more."""


@functools.lru_cache(maxsize=1)
def split_of(located: loading.Located, validation: str, limit: int | None = None) -> Any:
    """Return a dataset's hash and its split; the last one is kept."""
    dataset = loading.load(located)
    return dataset.sha256, loading.split(dataset, validation, limit)


# What TensorFlow was set to in this process by a task.
_current: Settings | None = None


def current_settings() -> Settings | None:
    """Return what a task has set TensorFlow to in this process; None before there was one."""
    return _current


@functools.cache
def configure_once(settings: Settings) -> bool:
    """Set up TensorFlow for the tasks of this process; False where it runs otherwise already."""
    global _current
    from benchmark.training.environment import settle

    # Before the next import, which loads TensorFlow.
    if not settle(settings.kept_environment):
        return False
    from benchmark.training.setup import configure

    gpu = _worker_number() if settings.device == "GPU" else None
    ready = configure(settings.threads, gpu, settings.deterministic)
    _current = settings if ready else _current
    return ready


def configure_for(settings: Settings) -> None:
    """Set up TensorFlow in this process.

    Raises:
        RuntimeError: it runs with other settings already, or sees no GPU where one is asked for.
    """
    if not configure_once(settings):
        raise RuntimeError("TensorFlow was in use in this process before its settings were made")
    import tensorflow as tf

    if settings.device == "GPU" and not tf.config.list_physical_devices("GPU"):
        raise RuntimeError("TensorFlow sees no GPU on this machine: `doctor` says why")


def _worker_number() -> int:
    """Return the number of this local worker, which picks its GPU; 0 without workers."""
    from distributed import get_worker

    try:
        name = get_worker().name
    except ValueError:
        return 0
    return name if isinstance(name, int) else 0


@contextlib.contextmanager
def output_into(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """Send what this process prints, C libraries included, to the end of a file."""
    with open(path, "a", buffering=1, encoding="utf-8") as log:
        for stream in (sys.stdout, sys.stderr):
            # Nobody may read them any more.
            with contextlib.suppress(BrokenPipeError):
                stream.flush()
        copies = [os.dup(1), os.dup(2)]
        try:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                yield log
        finally:
            for number, copy in enumerate(copies, start=1):
                os.dup2(copy, number)
                os.close(copy)


def error_line(error: BaseException) -> str:
    """Return an error in one line, as records have it."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return DISK_FULL
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
