"""Where tasks are carried out: in this process, or in workers of a Dask cluster on this machine."""

import abc
import contextlib
import itertools
import logging
import os
import queue
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from benchmark.activations.registry import temporary_registrations
from benchmark.errors import RequestError
from benchmark.execution import interrupts
from benchmark.execution.task import (
    Event,
    Record,
    Report,
    Settings,
    Task,
    configure_once,
    error_line,
    output_into,
)

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

TOPIC = "activation-benchmark"
# A task whose worker was lost this often is given up: it is the task that kills them.
LOST_WORKERS = 3
# XLA uses half of an AVX-512 register unless told otherwise. It changes no bit of a result.
XLA_FLAGS = "--xla_cpu_prefer_vector_width=512"


def silence_dask() -> dict[logging.Logger, int]:
    """Keep what Dask logs of lost connections to itself; return the levels there were."""
    # Its settings give several of its loggers a level of their own.
    names = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    kept = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger in kept:
        logger.setLevel(logging.CRITICAL)
    return kept


def worker_environment() -> dict[str, str]:
    """Return the environment variables that a process needs before it loads TensorFlow."""
    flags = os.environ.get("XLA_FLAGS", "")
    if XLA_FLAGS not in flags:
        flags = f"{flags} {XLA_FLAGS}".strip()
    return {"XLA_FLAGS": flags, "KERAS_BACKEND": "tensorflow"}


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


_SCHEDULER_LOST = "the connection to the scheduler broke"


class SchedulerLostError(OSError):
    """The connection to the scheduler broke; what has come back is recorded."""


class DaskWorkers(Workers):
    """Tasks at once on Dask workers, one each: what is common to those here and elsewhere."""

    _client: "Client"
    _topic: str

    def run(self, tasks: Sequence[Task], report: Report) -> Iterator[Record]:
        """Yield each task's record as it ends; a lost worker costs its task a retry.

        Raises:
            SchedulerLostError: the scheduler has gone.
        """
        arrivals: queue.Queue[Any] = queue.Queue()
        self._client.subscribe_topic(self._topic, lambda event: arrivals.put(event[1]))
        submitted: dict[str, tuple[Task, Future]] = {}
        waiting = iter(enumerate(tasks))

        def submit_more() -> None:
            # A task waits here: one that waits at a worker would be counted among what killed it.
            free = max(self._slots() - len(submitted), 0)
            for rank, task in itertools.islice(waiting, free):
                future = self._start(task, rank)
                submitted[str(future.key)] = (task, future)
                future.add_done_callback(arrivals.put)

        submit_more()
        while submitted:
            try:
                # Bounded, so that Ctrl-C is heard on every system.
                arrival = arrivals.get(timeout=1.0)
            except queue.Empty:
                submit_more()
                continue
            if isinstance(arrival, dict):
                report(arrival)
                continue
            task, future = submitted.pop(str(arrival.key))
            if future.cancelled():
                raise SchedulerLostError(_SCHEDULER_LOST)
            submit_more()
            yield self._record(task, future)
            future.release()

    def _record(self, task: Task, future: "Future") -> Record:
        from distributed import KilledWorker

        try:
            return self._arrived(task, future.result())
        except RequestError:
            # A worker that cannot be used would fail all the others too.
            raise
        except KilledWorker as error:
            return task.failed(f"its worker was lost {error.allowed_failures + 1} times")
        except Exception as error:
            return task.failed(error_line(error))

    def _start(self, task: Task, rank: int) -> "Future":
        """Submit a task, to begin the earlier the lower its rank."""
        key = f"{self._topic}-{task.name}"
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

    @abc.abstractmethod
    def _arrived(self, task: Task, answer: Any) -> Record:
        """Return the task's record, its files in their place."""


class LocalWorkers(DaskWorkers):
    """Worker processes of a Dask cluster on this machine; they write into the folder themselves."""

    _topic = TOPIC

    def __init__(self, jobs: int) -> None:
        self._cluster: LocalCluster | None = None
        self._stack = contextlib.ExitStack()
        try:
            # The workers leave Ctrl-C to this process.
            with interrupts.held():
                self._open(jobs)
        except BaseException:
            self.kill()
            self.close()
            raise

    def _open(self, jobs: int) -> None:
        import dask
        from distributed import Client, LocalCluster

        settings = {
            "distributed.scheduler.allowed-failures": LOST_WORKERS - 1,
            "distributed.comm.timeouts.connect": "60s",
        }
        self._stack.enter_context(dask.config.set(settings))
        self._stack.enter_context(main_module_hidden())
        self._cluster = self._stack.enter_context(
            LocalCluster(
                n_workers=jobs,
                threads_per_worker=1,
                processes=True,
                # Their number heeds the memory; Dask's own limit would stop a run early.
                memory_limit=0,
                # Any free port: another job may have the usual one.
                dashboard_address="127.0.0.1:0",
                silence_logs="CRITICAL",
                env=worker_environment(),
            )
        )
        self._client = self._stack.enter_context(Client(self._cluster))
        self._jobs = jobs

    def _slots(self) -> int:
        return self._jobs

    @staticmethod
    def _execute(task: Task, topic: str) -> Record:
        from distributed import get_worker

        worker = get_worker()
        return task.execute(lambda event: worker.log_event(topic, event))

    def _arrived(self, task: Task, answer: Record) -> Record:
        return answer

    def kill(self) -> None:
        """End the workers at once; what they recorded is whole whenever that happens."""
        # Connections break now, and threads of Dask may say so until the process ends.
        silence_dask()
        for nanny in self._cluster.workers.values() if self._cluster else ():
            with contextlib.suppress(OSError, TypeError, AttributeError):
                os.kill(nanny.pid, signal.SIGKILL)

    def close(self) -> None:
        """Stop the workers and undo the settings."""
        self._stack.close()


@contextlib.contextmanager
def main_module_hidden() -> Iterator[None]:
    """Keep spawned workers from running the user's script again.

    Python would import the main script in each new process, so that a script without a
    `__name__` guard starts its comparison anew there. The workers need nothing of it.
    """
    main = sys.modules["__main__"]
    kept = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    try:
        main.__spec__ = None
        if "__file__" in kept:
            del main.__file__
        yield
    finally:
        for name, value in kept.items():
            setattr(main, name, value)


@contextlib.contextmanager
def open_workers(
    jobs: int,
    here: bool,
    settings: Settings,
    say: Callable[[str], None],
    cluster: Workers | None = None,
) -> Iterator[Workers]:
    """Provide what carries out tasks: the cluster, which stays connected, else this process if
    `here`, else `jobs` workers on this machine.

    Where TensorFlow already runs in this process with other settings there is one worker instead,
    and `say` is told.
    """
    if cluster:
        yield cluster
        return
    if here:
        with output_into(os.devnull):
            ready = configure_once(settings)
        if ready:
            yield InProcess()
            return
        configure_once.cache_clear()
        say(
            "TensorFlow already runs in this process with other settings: using one worker process."
        )
    pool = LocalWorkers(jobs)
    try:
        yield pool
    except BaseException:
        # What Dask says of workers killed under it helps nobody.
        with output_into(os.devnull):
            pool.kill()
            pool.close()
        raise
    pool.close()
