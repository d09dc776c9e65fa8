"""Tasks that report nothing any more, because their worker hangs or was stopped.

A task at work reports now and then, inside a long epoch too, from the thread that does the work.
"""

import time
from typing import NamedTuple

from benchmark.execution.task import Task

# A task may be silent three times as long as it is expected to be, and as long as this. A GPU that
# TensorFlow holds no code for compiles it first, which takes many minutes.
_LEAST_SECONDS = {"CPU": 60.0, "GPU": 900.0}
_EXPECTED_TIMES = 3
# Whoever looks comes back sooner, unless it was stopped itself.
_LOOK_SECONDS = 5.0


class Silent(NamedTuple):
    """A task that has reported nothing for so many seconds; `hung` if it is not waited for."""

    task: Task
    seconds: float
    hung: bool


class Silence:
    """How long each task at work has reported nothing.

    Time counts only while this process runs too: after Ctrl-Z and `fg` no worker is to blame.
    `hung` names the tasks that were taken for hung.
    """

    def __init__(self, hang_timeout: float | None = None) -> None:
        """Take a task for hung after `hang_timeout` seconds; by default six times the expected.

        Until its first report, while modules are loaded, the default applies in any case.
        """
        self._timeout = hang_timeout
        self._tasks: dict[str, Task] = {}
        self._seconds: dict[str, float] = {}
        self._longest: dict[str, float] = {}
        self._named: set[str] = set()
        self._reporting: set[str] = set()
        self.hung: set[str] = set()
        self._looked = time.monotonic()

    def begin(self, task: Task) -> None:
        """A task is at work from now on."""
        self._tasks[task.name] = task
        self._seconds[task.name] = 0.0
        self._named.discard(task.name)
        self._reporting.discard(task.name)

    def heard(self, name: str) -> None:
        """A task has reported."""
        if name in self._tasks:
            self._longest[name] = max(self._longest.get(name, 0.0), self._seconds[name])
            self._seconds[name] = 0.0
            self._named.discard(name)
            self._reporting.add(name)

    def end(self, name: str) -> None:
        """A task is at work no more."""
        self._tasks.pop(name, None)

    def look(self) -> list[Silent]:
        """Return the tasks that are silent or hung since the last look. A hung one begins anew."""
        now = time.monotonic()
        passed, self._looked = min(now - self._looked, _LOOK_SECONDS), now
        silent = []
        for name, task in self._tasks.items():
            self._seconds[name] += passed
            seconds, hang = self._seconds[name], self._hang_seconds(task)
            if seconds >= hang:
                silent.append(Silent(task, seconds, hung=True))
                self.begin(task)
                self.hung.add(name)
            elif seconds >= hang / 2 and name not in self._named:
                silent.append(Silent(task, seconds, hung=False))
                self._named.add(name)
        return silent

    def _hang_seconds(self, task: Task) -> float:
        if self._timeout is not None and task.name in self._reporting:
            return self._timeout
        expected = max(task.quiet_seconds, self._longest.get(task.name, 0.0))
        return 2 * max(_EXPECTED_TIMES * expected, _LEAST_SECONDS[task.settings.device])
