"""What the user sees while runs train: a live display on a terminal, plain lines elsewhere."""

import contextlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmark.training.request import GRID
from benchmark.training.spec import RunSpec

# Without a live display, epochs are reported no more often than this.
_LINE_SECONDS = 2.0
# Imports and tracing of one run, for the first guess of the time left.
_START_SECONDS = 4.0
# Of training seen, before its speed is believed: the first epoch's end holds tracing too.
_ENOUGH_SECONDS = 3.0


@contextlib.contextmanager
def screen(console: Console | None = None) -> Iterator[Console]:
    """Provide the given console, or one on what is standard output now.

    That one keeps its own copy of it, since a run in this process sends standard output to its
    log.
    """
    if console or Console().is_jupyter:
        yield console or Console(highlight=False)
        return
    try:
        number = os.dup(sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        yield Console(file=sys.stdout, highlight=False)
        return
    with open(number, "w", encoding=sys.stdout.encoding, errors="replace") as file:
        yield Console(file=file, highlight=False)


def say(console: Console, text: str) -> None:
    """Print a line as it is, not cut to the width of the screen."""
    console.print(text, markup=False, soft_wrap=True)


@dataclass
class _Pace:
    """When a run began, when it first reported steps, and what it reported last."""

    begun: float
    first: tuple[float, int] | None = None
    last: tuple[float, int] | None = None


class Work:
    """How much is done, in training steps, and how long the rest will take."""

    def __init__(
        self,
        specs: list[RunSpec],
        steps_per_epoch: Callable[[RunSpec], int],
        seconds_per_step: Callable[[RunSpec], float],
        jobs: int,
    ) -> None:
        self.per_epoch = {spec.run: steps_per_epoch(spec) for spec in specs}
        self.totals = {spec.run: self.per_epoch[spec.run] * spec.epochs for spec in specs}
        self.done = dict.fromkeys(self.per_epoch, 0)
        self._paces: dict[str, _Pace] = {}
        self._active: set[str] = set()
        self._left = set(self.per_epoch)
        self._jobs = jobs
        # Before there is a speed to go by.
        self._guess = {spec.run: seconds_per_step(spec) for spec in specs}

    @property
    def total(self) -> int:
        """Steps of all runs."""
        return sum(self.totals.values())

    @property
    def finished(self) -> int:
        """Steps done so far."""
        return sum(self.done.values())

    def begin(self, run: str) -> None:
        """A run starts, or starts again after its worker was lost."""
        self._paces[run] = _Pace(time.monotonic())
        self._active.add(run)

    def reach(self, run: str, epoch: int, steps: int) -> None:
        """A run has done `steps` of its epoch (counted from 1)."""
        self.done[run] = (epoch - 1) * self.per_epoch[run] + steps
        pace = self._paces.setdefault(run, _Pace(time.monotonic()))
        pace.last = (time.monotonic(), self.done[run])
        pace.first = pace.first or pace.last

    def end(self, run: str) -> None:
        """A run has ended, early or not."""
        self.done[run] = self.totals[run]
        self._active.discard(run)
        self._left.discard(run)

    def seconds_left(self) -> float:
        """Estimate from the speed of the runs so far; before there is one, a rough guess.

        What comes before a run's first report (imports, tracing) is counted apart: it does not
        grow with the steps.
        """
        if self.finished == self.total:
            return 0.0
        paces = [pace for pace in list(self._paces.values()) if pace.first]
        seconds = sum(pace.last[0] - pace.first[0] for pace in paces)
        steps = sum(pace.last[1] - pace.first[1] for pace in paces)
        if steps and seconds > _ENOUGH_SECONDS:
            starting = sum(pace.first[0] - pace.begun for pace in paces) / len(paces)
            work = (self.total - self.finished) * seconds / steps
        else:
            starting = _START_SECONDS
            work = sum((self.totals[run] - self.done[run]) * self._guess[run] for run in self.done)
        to_start = sum(1 for run in self._left - self._active if not self.done[run])
        return (work + to_start * starting) / max(min(self._jobs, len(self._left)), 1)


def duration(seconds: float) -> str:
    """Return a duration as text a person reads: "about 3 min"."""
    if not seconds:
        return "nothing"
    if seconds < 90:
        return f"about {max(round(seconds), 1)} s"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min"
    return f"about {seconds / 3600:.1f} h"


class Display:
    """Shows events of runs; use as a context manager."""

    def __init__(self, console: Console, specs: list[RunSpec], work: Work) -> None:
        self._console = console
        self._specs = {spec.run: spec for spec in specs}
        self._varied = [name for name in GRID if len({getattr(spec, name) for spec in specs}) > 1]
        self._work = work
        self._active: dict[str, dict[str, Any]] = {}
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
        self._bar_task = self._bar.add_task("", total=max(self._work.total, 1), left="")

    def __enter__(self) -> "Display":
        widgets = self._console.is_jupyter and importlib.util.find_spec("ipywidgets")
        if self._console.is_terminal or widgets:
            self._live = Live(
                get_renderable=self._view,
                console=self._console,
                refresh_per_second=4,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._live:
            self._live.__exit__(*error)

    def event(self, event: dict[str, Any]) -> None:
        """Take in what a run reports."""
        run, kind = event["run"], event["kind"]
        if run not in self._specs or run in self._recorded:
            return
        if kind == "start":
            self._work.begin(run)
            self._active[run] = {"epoch": 0}
        elif kind == "steps":
            self._work.reach(run, event["epoch"], event["steps"])
            shown = {"epoch": event["epoch"], "loss": event["loss"]}
            self._active[run] = {**self._active.get(run, {}), **shown}
        elif kind == "epoch":
            row = event["row"]
            self._work.reach(run, int(row["epoch"]) + 1, 0)
            self._active[run] = row
            if time.monotonic() - self._last_line > _LINE_SECONDS:
                self._line(run, f"epoch {row['epoch']}/{self._specs[run].epochs}", row)
        elif kind == "end":
            self._active.pop(run, None)

    def ended(self, record: dict[str, Any]) -> None:
        """A run has its record."""
        run = record["run"]
        self._work.end(run)
        self._active.pop(run, None)
        self._recorded.add(run)
        text = record["status"] + (f": {record['error']}" if record.get("error") else "")
        self._line(run, f"{text} ({len(self._recorded)} of {len(self._specs)} runs)", {})

    def _line(self, run: str, text: str, row: dict[str, Any]) -> None:
        """Print a plain line where there is no live display."""
        if self._live:
            return
        scores = "".join(
            f", {name} {row[name]:.4f}" for name in ("loss", "val_accuracy") if name in row
        )
        self._last_line = time.monotonic()
        left = duration(self._work.seconds_left())
        say(self._console, f"{self._label(run)}: {text}{scores}; left: {left}")

    def _view(self) -> Group:
        left = duration(self._work.seconds_left())
        self._bar.update(
            self._bar_task,
            completed=self._work.finished,
            description=f"{len(self._recorded)} of {len(self._specs)} runs",
            left=left,
        )
        table = Table(box=None, pad_edge=False)
        for heading in ("run", "epoch", "loss", "val. accuracy"):
            table.add_column(heading, justify="left" if heading == "run" else "right")
        for run, shown in list(self._active.items()):
            loss, accuracy = shown.get("loss"), shown.get("val_accuracy")
            table.add_row(
                self._label(run),
                f"{shown['epoch']}/{self._specs[run].epochs}" if shown["epoch"] else "starting",
                "" if loss is None else f"{loss:.4f}",
                "" if accuracy is None else f"{accuracy:.2%}",
            )
        return Group(self._bar, table)

    def _label(self, run: str) -> str:
        spec = self._specs[run]
        settings = [f"{name.replace('_', ' ')} {getattr(spec, name)}" for name in self._varied]
        return ", ".join([spec.activation, *settings, f"seed {spec.seed}"])
