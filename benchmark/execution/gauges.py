"""What the user sees while experiments run: a bar each on a terminal, plain lines elsewhere."""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmark.execution.progress import duration, say


class Gauges:
    """Shows events of experiments; use as a context manager.

    `seconds` tells about how long each takes; `jobs` run at once.
    """

    def __init__(self, console: Console, seconds: dict[str, float], jobs: int) -> None:
        self._console, self._seconds, self._jobs = console, seconds, jobs
        self._shares = dict.fromkeys(seconds, 0.0)
        self._recorded: set[str] = set()
        self._began: dict[str, float] = {}
        self._spent = self._expected = 0.0
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
        )
        self._whole = self._bars.add_task("", total=1.0, left="")
        self._rows: dict[str, Any] = {}

    def __enter__(self) -> "Gauges":
        if self._console.is_terminal:
            self._bars.start()
        self._update()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    def event(self, event: dict[str, Any]) -> None:
        """Take in what an experiment reports."""
        name, kind = event["run"], event["kind"]
        if name not in self._shares or name in self._recorded:
            return
        if kind == "start":
            # Again, if its worker was lost.
            self._began[name], self._shares[name] = time.monotonic(), 0.0
            if name not in self._rows:
                self._rows[name] = self._bars.add_task(name, total=1.0, left="")
        elif kind == "part":
            self._shares[name] = min(event["done"] / max(event["of"], 1), 1.0)
        self._update()

    def ended(self, record: dict[str, Any]) -> None:
        """An experiment has its record."""
        name = record["run"]
        self._recorded.add(name)
        self._shares[name] = 1.0
        if name in self._rows:
            self._bars.remove_task(self._rows.pop(name))
        if name in self._began:
            self._spent += time.monotonic() - self._began[name]
            self._expected += self._seconds[name]
        self._update()
        text = record["status"] + (f": {record['error']}" if record.get("error") else "")
        left = duration(self.seconds_left())
        count = f"{len(self._recorded)} of {len(self._shares)} experiments"
        say(self._console, f"{name}: {text} ({count}); left: {left}")

    def seconds_left(self) -> float:
        """Estimate from the table of times, scaled by how long the finished ones took."""
        pace = self._spent / self._expected if self._expected else 1.0
        rest = {name: self._seconds[name] * (1 - share) for name, share in self._shares.items()}
        at_once = max(min(self._jobs, len(rest) - len(self._recorded)), 1)
        # However many run at once, the longest takes its time.
        return pace * max(sum(rest.values()) / at_once, max(rest.values(), default=0.0))

    def _update(self) -> None:
        done = sum(self._seconds[name] * share for name, share in self._shares.items())
        self._bars.update(
            self._whole,
            completed=done / max(sum(self._seconds.values()), 1e-9),
            description=f"{len(self._recorded)} of {len(self._shares)} experiments",
            left=f"left: {duration(self.seconds_left())}",
        )
        for name, row in self._rows.items():
            self._bars.update(row, completed=self._shares[name])
