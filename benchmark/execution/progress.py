"""What the user sees while tasks run: a live display on a terminal, plain lines elsewhere."""

import contextlib
import errno
import importlib.util
import io
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmark.execution.task import Event, Record, Task
from benchmark.formatting import counted, duration

# Without a live display, milestones are reported no more often than this.
_LINE_SECONDS = 2.0
# Imports and tracing of one task, for the first guess of the time left.
_START_SECONDS = 4.0
# Of work seen, before its speed is believed: the first epoch's end holds tracing too.
_ENOUGH_SECONDS = 3.0


class _Screen(io.FileIO):
    """A copy of standard output; a file instead from when nobody reads it any more."""

    def __init__(self, number: int, instead: str | os.PathLike[str]) -> None:
        super().__init__(number, "w")
        self._instead = instead

    def write(self, data: Any) -> int:
        """Write to the screen, or to the file."""
        try:
            return super().write(data)
        except OSError as error:
            # A closed pipe, a terminal that has gone.
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            number = self._opened()
            os.dup2(number, self.fileno())
            os.close(number)
            return super().write(data)

    def _opened(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            # Not through a link, where the system can tell.
            return os.open(self._instead, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError:
            return os.open(os.devnull, flags)


@contextlib.contextmanager
def screen(
    console: Console | None = None, instead: str | os.PathLike[str] = os.devnull
) -> Iterator[Console]:
    """Provide the given console, or one on what is standard output now.

    That one keeps its own copy of it, since a run in this process sends standard output to its
    log. Where it is closed on the other side, lines are appended to the file `instead`.
    """
    if console or Console().is_jupyter:
        yield console or Console(highlight=False)
        return
    try:
        number = os.dup(sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        yield Console(file=sys.stdout, highlight=False)
        return
    raw = io.BufferedWriter(_Screen(number, instead))
    with io.TextIOWrapper(raw, encoding=sys.stdout.encoding, errors="replace") as file:
        yield Console(file=file, highlight=False)


def say(console: Console, text: str) -> None:
    """Print a line as it is, not cut to the width of the screen."""
    console.print(text, markup=False, soft_wrap=True)


@dataclass
class _Pace:
    """When a task began, and when it first and last reported which share is done."""

    begun: float
    first: tuple[float, float] | None = None
    last: tuple[float, float] = (0.0, 0.0)


class Estimate:
    """How much of the tasks is done and how long the rest will take, `jobs` of them at once.

    The tasks' own guesses of their seconds are the measure of work; how fast it goes is seen from
    what they report. What comes before a task's first report (imports, tracing) is counted apart:
    it does not grow with the work.
    """

    def __init__(self, seconds: dict[str, float], jobs: int) -> None:
        self._seconds, self._jobs = seconds, jobs
        self._shares = dict.fromkeys(seconds, 0.0)
        self._paces: dict[str, _Pace] = {}
        self._waiting, self._ended = set(seconds), set[str]()

    @property
    def share(self) -> float:
        """Share of all the work that is done, 0 to 1."""
        done = sum(self._seconds[name] * share for name, share in self._shares.items())
        return done / max(sum(self._seconds.values()), 1e-9)

    def begin(self, name: str) -> None:
        """A task starts, or starts again after its worker was lost."""
        self._paces[name] = _Pace(time.monotonic())
        self._shares[name] = 0.0
        self._waiting.discard(name)

    def reach(self, name: str, share: float) -> None:
        """A task has done this share of its work, perhaps in part by an earlier command."""
        self._shares[name] = min(share, 1.0)
        pace = self._paces.setdefault(name, _Pace(time.monotonic()))
        pace.last = (time.monotonic(), self._shares[name])
        pace.first = pace.first or pace.last
        self._waiting.discard(name)

    def end(self, name: str) -> None:
        """A task has ended, early or not."""
        self._shares[name] = 1.0
        self._waiting.discard(name)
        self._ended.add(name)
        pace = self._paces.get(name)
        if pace and not pace.first:
            # It reported nothing in between: all its time tells of its speed.
            pace.first, pace.last = (pace.begun, 0.0), (time.monotonic(), 1.0)

    def seconds_left(self) -> float:
        """Estimate from the speed of the tasks so far; before there is one, from their guesses."""
        factor, starting = self._speed()
        rest = {
            name: factor * self._seconds[name] * (1 - share)
            + (starting if name in self._waiting else 0.0)
            for name, share in self._shares.items()
        }
        left = len(rest) - len(self._ended)
        at_once = max(min(self._jobs, left), 1)
        # However many run at once, the longest takes its time.
        return max(sum(rest.values()) / at_once, max(rest.values(), default=0.0))

    def _speed(self) -> tuple[float, float]:
        """Return seconds per guessed second, and the seconds before a task's first report."""
        paces = {name: pace for name, pace in list(self._paces.items()) if pace.first}
        spent = sum(pace.last[0] - pace.first[0] for pace in paces.values() if pace.first)
        guessed = sum(
            self._seconds[name] * (pace.last[1] - pace.first[1])
            for name, pace in paces.items()
            if pace.first
        )
        if spent <= _ENOUGH_SECONDS or not guessed:
            return 1.0, _START_SECONDS
        begun = [pace.first[0] - pace.begun for pace in paces.values() if pace.first]
        return spent / guessed, sum(begun) / len(begun)


class Display:
    """Shows events of tasks; use as a context manager.

    `noun` is what one task is called: "run" or "experiment".
    """

    def __init__(self, console: Console, tasks: Sequence[Task], jobs: int, noun: str) -> None:
        self._console, self._noun = console, noun
        self._labels = {task.name: task.label for task in tasks}
        self._estimate = Estimate({task.name: task.seconds for task in tasks}, jobs)
        # What is shown of each active task: share done, and the rest in words.
        self._active: dict[str, tuple[float, str]] = {}
        self._recorded: set[str] = set()
        self._live: Live | None = None
        self._last_line = -_LINE_SECONDS
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left: {task.fields[left]}"),
            console=console,
        )
        self._whole = self._bar.add_task("", total=1.0, left="")

    def __enter__(self) -> "Display":
        widgets = self._console.is_jupyter and importlib.util.find_spec("ipywidgets")
        if self._console.is_terminal or widgets:
            self._live = Live(
                get_renderable=self.view,
                console=self._console,
                refresh_per_second=4,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.__exit__(kind, error, traceback)

    def event(self, event: Event) -> None:
        """Take in what a task reports."""
        name, kind = event["run"], event["kind"]
        if name not in self._labels or name in self._recorded:
            return
        if kind == "start":
            self._estimate.begin(name)
            self._active[name] = (0.0, "starting")
        elif kind == "end":
            self._active.pop(name, None)
        elif kind == "note":
            say(self._console, f"{self._labels[name]}: {event['detail']}")
        else:
            self._estimate.reach(name, event["share"])
            self._active[name] = (event["share"], event["detail"])
            if kind == "milestone" and time.monotonic() - self._last_line > _LINE_SECONDS:
                self._line(name, event["detail"])

    def ended(self, record: Record) -> None:
        """A task has its record."""
        name = record["run"]
        self._estimate.end(name)
        self._active.pop(name, None)
        self._recorded.add(name)
        error = f": {record['error']}" if record.get("error") else ""
        self._line(name, f"{record['status']}{error} ({self._counts()})")

    def _counts(self) -> str:
        return f"{len(self._recorded)} of {counted(len(self._labels), self._noun)}"

    def _line(self, name: str, text: str) -> None:
        """Print a plain line where there is no live display."""
        if self._live:
            return
        self._last_line = time.monotonic()
        left = duration(self._estimate.seconds_left())
        say(self._console, f"{self._labels[name]}: {text}; left: {left}")

    def view(self) -> Group:
        """Return what a live display shows now: the bar over all, a line per active task."""
        self._bar.update(
            self._whole,
            completed=self._estimate.share,
            description=self._counts(),
            left=duration(self._estimate.seconds_left()),
        )
        table = Table(box=None, pad_edge=False, show_header=False)
        for name, (share, detail) in list(self._active.items()):
            table.add_row(self._labels[name], f"{share:.0%}", detail)
        return Group(self._bar, table)
