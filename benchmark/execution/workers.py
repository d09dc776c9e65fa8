"""Many runs: what is missing, workers, retries."""

import abc
import contextlib
import itertools
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import resource_tracker
from types import MappingProxyType
from typing import Any

from benchmark.activations import resolve
from benchmark.data import loading
from benchmark.errors import RequestError
from benchmark.execution.task import (
    Event,
    Task,
    check_entries,
    configure_once,
    error_line,
    output_into,
)
from benchmark.results.folder import Store
from benchmark.training.spec import COMPARISON, RunSpec

TOPIC = "activation-benchmark"
# A run whose worker was lost this often is given up: it is the run that kills them.
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
    flags = f"{os.environ.get('XLA_FLAGS', '')} {XLA_FLAGS}".strip()
    return {"XLA_FLAGS": flags, "KERAS_BACKEND": "tensorflow"}


@contextlib.contextmanager
def _interrupts_kept() -> Iterator[Callable[[], None]]:
    """Provide a function that raises if Ctrl-C was pressed.

    A KeyboardInterrupt that reaches Python inside a callback of TensorFlow can be lost there.
    """
    asked = False

    def remember(number: int, frame: Any) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    def stop_if_asked() -> None:
        if asked:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield stop_if_asked
        return
    kept = signal.signal(signal.SIGINT, remember)
    try:
        yield stop_if_asked
    finally:
        signal.signal(signal.SIGINT, kept or signal.SIG_DFL)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Put Ctrl-C off to the end of the block; processes started in it never hear of it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Its first start, in whatever thread, would let Ctrl-C through again.
    resource_tracker.ensure_running()
    kept = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, kept)


class InProcess:
    """Runs one after another in this process."""

    def check(self, entries: bytes, spec: RunSpec) -> list[str]:
        """Check the user's activations; see `check_entries`."""
        return check_entries(entries, spec)

    def run(self, tasks: list[Any], report: Callable[[Event], None]) -> Iterator[dict[str, Any]]:
        """Yield each task's record as it ends."""
        with _interrupts_kept() as stop_if_asked:

            def heard(event: Event) -> None:
                stop_if_asked()
                report(event)

            try:
                for task in tasks:
                    yield task.execute(heard)
                    stop_if_asked()
            finally:
                # The process is the user's: what was compiled would stay in its memory.
                if training := sys.modules.get("benchmark.training.kept_trainers"):
                    training.forget()


# What a run's end by the loss of its worker is called: by Dask, and by `child`.
_LOST = ("KilledWorker", "ChildLostError")
_SCHEDULER_LOST = "the connection to the scheduler broke"


class SchedulerLostError(OSError):
    """The connection to the scheduler broke; what has come back is recorded."""


class DaskWorkers(abc.ABC):
    """Runs at once on Dask workers: what is common to those here and those elsewhere."""

    _client: Any
    _topic: str
    # How many tasks are with Dask at a time; None: all.
    _ahead: int | None = None

    def check(self, entries: bytes, spec: RunSpec) -> list[str]:
        """Check the user's activations in a worker; see `check_entries`."""
        future = self._check(entries, spec)
        try:
            return future.result()
        except RequestError:
            raise
        except Exception as error:
            if future.cancelled():
                raise SchedulerLostError(_SCHEDULER_LOST) from error
            if type(error).__name__ in _LOST:
                problem = "one of them ends the process it runs in"
            else:
                problem = error_line(error)
            raise RequestError(f"the check of your activations failed: {problem}") from error

    def run(self, tasks: list[Task], report: Callable[[Event], None]) -> Iterator[dict[str, Any]]:
        """Yield each task's record as it ends; a lost worker costs its run a retry.

        Raises:
            SchedulerLostError: the scheduler has gone.
        """
        arrivals: queue.Queue = queue.Queue()
        self._client.subscribe_topic(self._topic, lambda event: arrivals.put(event[1]))
        waiting, to_come = {}, iter(enumerate(tasks))

        def start_next() -> None:
            for place, task in itertools.islice(to_come, 1):
                future = self._start(task, place)
                waiting[future.key] = (task, future)
                future.add_done_callback(lambda done: arrivals.put(done))

        for _ in range(self._ahead or len(tasks)):
            start_next()
        while waiting:
            try:
                # Bounded, so that Ctrl-C is heard on every system.
                arrival = arrivals.get(timeout=1.0)
            except queue.Empty:
                continue
            if isinstance(arrival, dict):
                report(arrival)
                continue
            task, future = waiting.pop(arrival.key)
            if future.cancelled():
                raise SchedulerLostError(_SCHEDULER_LOST)
            start_next()
            yield self._record(task, future)
            future.release()

    def _record(self, task: Task, future: Any) -> dict[str, Any]:
        try:
            return self._arrived(task, future.result())
        except Exception as error:
            reason = error_line(error)
            if type(error).__name__ == "KilledWorker":
                reason = f"its worker was lost {error.allowed_failures + 1} times"
            elif type(error).__name__ == "ChildLostError":
                reason = f"its process was lost {LOST_WORKERS} times: {error}"
            return task.failed(reason)

    @abc.abstractmethod
    def _check(self, entries: bytes, spec: RunSpec) -> Any:
        """Return the future of the warnings of `check_entries`."""

    @abc.abstractmethod
    def _start(self, task: Task, place: int) -> Any:
        """Return the future of a task, the earlier the lower its place."""

    @abc.abstractmethod
    def _arrived(self, task: Task, answer: Any) -> dict[str, Any]:
        """Return the task's record, its files in their place."""


class LocalWorkers(DaskWorkers):
    """Runs at once in worker processes of a local Dask cluster, one run each at a time."""

    _topic = TOPIC

    def __init__(self, jobs: int) -> None:
        self._cluster = None
        self._stack = contextlib.ExitStack()
        try:
            # The workers leave Ctrl-C to this process.
            with _interrupts_held():
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
        self._stack.enter_context(_main_module_hidden())
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
        # A task waits here: one that waits at a worker would be counted among what killed it.
        self._ahead = jobs

    def _check(self, entries: bytes, spec: RunSpec) -> Any:
        return self._client.submit(check_entries, entries, spec, pure=False)

    def _start(self, task: Task, place: int) -> Any:
        key = f"{TOPIC}-{task.name}"
        return self._client.submit(_execute_on_worker, task, key=key, pure=False, priority=-place)

    def _arrived(self, task: Task, answer: dict[str, Any]) -> dict[str, Any]:
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


def _execute_on_worker(task: Task) -> dict[str, Any]:
    from distributed import get_worker

    worker = get_worker()
    return task.execute(lambda event: worker.log_event(TOPIC, event))


@contextlib.contextmanager
def _main_module_hidden() -> Iterator[None]:
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
def workers(
    jobs: int,
    here: bool,
    spec: RunSpec,
    say: Callable[[str], None],
    cluster: DaskWorkers | None = None,
) -> Iterator[InProcess | DaskWorkers]:
    """Provide what carries out the runs: the cluster, which stays connected, else this process if
    `here`, else `jobs` workers.

    Where TensorFlow already runs in this process with other settings than the spec's, there is
    one worker instead, and `say` is told.
    """
    if cluster:
        yield cluster
        return
    if here:
        with output_into(os.devnull):
            ready = configure_once(spec.threads, spec.device, spec.deterministic)
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


def tasks_for(
    specs: list[RunSpec],
    store: Store,
    located: loading.Located,
    entries: bytes,
    facts: dict[str, Any],
    fresh: bool,
    purposes: Mapping[str, str] = MappingProxyType({}),
) -> list[Task]:
    """Return a task for each run that is not done yet, or if `fresh` for each.

    `facts` go into each record, with what is known of its activation and what the run is for.
    """
    missing = [spec for spec in specs if fresh or not store.folder(spec.run).done()]
    output = str(store.path.resolve())

    def known(spec: RunSpec) -> dict[str, Any]:
        purpose = purposes.get(spec.run, COMPARISON)
        return {**facts, "purpose": purpose, "activation": _known_of(spec)}

    return [Task(spec, located, output, entries, known(spec), fresh) for spec in missing]


def _known_of(spec: RunSpec) -> dict[str, Any]:
    entry = resolve(spec.activation)
    kept = ("name", "formula", "paper", "initializer", "recommended", "dropout", "index")
    known = {name: getattr(entry, name) for name in kept}
    return {**known, "parameters": dict(entry.parameters), "sha256": spec.activation_sha256}
