"""Where tasks are carried out: in this process, or in workers of a Dask cluster on this machine."""

import abc
import itertools
import logging
import queue
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmark.activations.registry import temporary_registrations
from benchmark.errors import RequestError
from benchmark.execution import interrupts
from benchmark.execution.memory import oom_kills
from benchmark.execution.silence import Silence, Silent
from benchmark.execution.task import (
    Event,
    Record,
    Report,
    Settings,
    Task,
    error_line,
)

if TYPE_CHECKING:
    from distributed import Client, Future

TOPIC = "activation-benchmark"
# A task whose worker was lost this often is given up: it is the task that kills them.
LOST_WORKERS = 3


def silence_dask() -> dict[logging.Logger, int]:
    """Keep what Dask logs of lost connections to itself; return the levels there were."""
    # Its settings give several of its loggers a level of their own.
    names = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    kept = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger in kept:
        logger.setLevel(logging.CRITICAL)
    return kept


class Workers(abc.ABC):
    """What carries out tasks."""

    @abc.abstractmethod
    def run(self, tasks: Sequence[Task], report: Report) -> Iterator[Record]:
        """Yield each task's record as it ends."""


class InProcess(Workers):
    """Tasks one after another in this process."""

    def run(self, tasks: Sequence[Task], report: Report) -> Iterator[Record]:
        """Yield each task's record as it ends."""
        # A task registers copies of the user's activations, which have lost their source.
        with interrupts.remembered() as stop_if_asked, temporary_registrations():

            def report_or_stop(event: Event) -> None:
                stop_if_asked()
                report(event)

            try:
                for task in tasks:
                    yield task.execute(report_or_stop)
                    stop_if_asked()
            finally:
                # The process is the user's: what was compiled would stay in its memory.
                forget_trainers()


def forget_trainers() -> None:
    """Let go of what this process has compiled, if it has trained at all."""
    if kept_trainers := sys.modules.get("benchmark.training.kept_trainers"):
        kept_trainers.forget()


class Attempt(NamedTuple):
    """A task that is with Dask, how many there may be at once, and `oom_kills` at its start."""

    rank: int
    task: Task
    future: "Future"
    slots: int
    oom_kills: int


_SCHEDULER_LOST = "the connection to the scheduler broke"


class SchedulerLostError(OSError):
    """The connection to the scheduler broke; what has come back is recorded."""


class DaskWorkers(Workers):
    """Tasks at once on Dask workers, one each: what is common to those here and elsewhere."""

    _client: "Client"
    _topic: str
    _hang_timeout: float | None = None
    # Whether a task that is submitted begins, or waits for a worker of others.
    _begins_at_once = False
    _numbers = itertools.count()

    def run(self, tasks: Sequence[Task], report: Report) -> Iterator[Record]:
        """Yield each task's record as it ends; a lost worker costs its task a retry.

        Raises:
            SchedulerLostError: the scheduler has gone.
        """
        arrivals: queue.Queue[Any] = queue.Queue()
        self._client.subscribe_topic(self._topic, lambda event: arrivals.put(event[1]))
        submitted: dict[str, Attempt] = {}
        waiting, silence = deque(enumerate(tasks)), Silence(self._hang_timeout)

        def submit_more() -> None:
            # A task waits here: one that waits at a worker would be counted among what killed it.
            while waiting and len(submitted) < self._slots():
                attempt = self._attempt(*waiting.popleft())
                submitted[str(attempt.future.key)] = attempt
                if self._begins_at_once:
                    silence.begin(attempt.task)
                attempt.future.add_done_callback(arrivals.put)

        submit_more()
        while submitted:
            for silent in silence.look():
                self._heed(silent, submitted, report)
            try:
                # Bounded, so that Ctrl-C is heard on every system.
                arrival = arrivals.get(timeout=1.0)
            except queue.Empty:
                submit_more()
                continue
            if isinstance(arrival, dict):
                _hear(arrival, submitted, silence)
                report(arrival)
                continue
            attempt = submitted.pop(str(arrival.key))
            silence.end(attempt.task.name)
            if attempt.future.cancelled():
                raise SchedulerLostError(_SCHEDULER_LOST)
            if again := self._try_with_fewer(attempt, report):
                waiting.appendleft((attempt.rank, attempt.task))
            submit_more()
            if not again:
                yield self._record(attempt, attempt.task.name in silence.hung)
            attempt.future.release()

    def _attempt(self, rank: int, task: Task) -> Attempt:
        return Attempt(rank, task, self._start(task, rank), self._slots(), oom_kills())

    def _heed(self, silent: Silent, submitted: dict[str, Attempt], report: Report) -> None:
        """Say that a task is silent; end the worker of one that hangs."""
        task, seconds, hung = silent
        text = f"no sign of life for {seconds:.0f} s"
        keys = [key for key, attempt in submitted.items() if attempt.task is task]
        if hung and any(self._end_worker(key) for key in keys):
            text += ": its worker is ended, and it begins again"
        report({"run": task.name, "kind": "note", "detail": text})

    def _record(self, attempt: Attempt, hung: bool) -> Record:
        from distributed import KilledWorker

        task = attempt.task
        try:
            return self._arrived(task, attempt.future.result())
        except RequestError:
            # A worker that cannot be used would fail all the others too.
            raise
        except KilledWorker as error:
            reason = f"its worker was lost {error.allowed_failures + 1} times"
            if self._lacked_memory(attempt):
                reason += ", with nothing beside it, for want of memory"
            elif hung:
                reason += ": it gave no sign of life"
            return task.failed(reason)
        except Exception as error:
            return task.failed(error_line(error))

    def _start(self, task: Task, rank: int) -> "Future":
        """Submit a task, to begin the earlier the lower its rank."""
        key = f"{self._topic}-{task.name}-{next(self._numbers)}"
        call = (self._execute, task, self._topic)
        return self._submit(*call, settings=task.settings, key=key, priority=-rank)

    def _submit(
        self, function: Callable[..., Any], *arguments: Any, settings: Settings, **options: Any
    ) -> "Future":
        return self._client.submit(function, *arguments, pure=False, **options)

    # What a worker calls with the task and the topic of its events; its answer is for `_arrived`.
    _execute: Callable[..., Any]

    @abc.abstractmethod
    def _slots(self) -> int:
        """Return how many tasks may be with Dask now."""

    # What follows can be done and known of workers on this machine only.

    def _try_with_fewer(self, attempt: Attempt, report: Report) -> bool:
        """Return whether a task was lost for want of memory, and is to be tried beside fewer."""
        return False

    def _lacked_memory(self, attempt: Attempt) -> bool:
        """Return whether the system ended processes for want of memory since a task began."""
        return False

    def _end_worker(self, key: str) -> bool:
        """End the worker that does a task, which Dask then gives to another; return whether it is
        ours to end."""
        return False

    @abc.abstractmethod
    def _arrived(self, task: Task, answer: Any) -> Record:
        """Return the task's record, its files in their place."""


def _hear(event: Event, submitted: dict[str, Attempt], silence: Silence) -> None:
    """Take an event for a sign of life; with its start a task is at work."""
    if event["kind"] == "start":
        for attempt in submitted.values():
            if attempt.task.name == event["run"]:
                silence.begin(attempt.task)
    else:
        silence.heard(event["run"])
