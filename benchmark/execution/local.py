"""Workers on this machine: this process, or processes of a Dask cluster of our own."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from benchmark.execution import interrupts, scratch
from benchmark.execution.memory import oom_kills
from benchmark.execution.task import (
    Record,
    Report,
    Settings,
    Task,
    configure_once,
    error_line,
    output_into,
)
from benchmark.execution.workers import (
    LOST_WORKERS,
    TOPIC,
    Attempt,
    DaskWorkers,
    InProcess,
    Workers,
    silence_dask,
)

if TYPE_CHECKING:
    from distributed import Future, LocalCluster


class WorkersLostError(OSError):
    """The workers on this machine could not be started."""


class LocalWorkers(DaskWorkers):
    """Worker processes of a Dask cluster on this machine; they write into the folder themselves.

    One that reports nothing for `hang_timeout` seconds is ended (see `Silence`).

    Raises:
        WorkersLostError: they end while they start, again and again.
    """

    _topic = TOPIC
    _begins_at_once = True

    def __init__(self, jobs: int, hang_timeout: float | None = None) -> None:
        self._cluster: LocalCluster | None = None
        self._stack = contextlib.ExitStack()
        self._jobs, self._hang_timeout = jobs, hang_timeout
        for attempt in range(1, LOST_WORKERS + 1):
            try:
                # The workers leave Ctrl-C to this process.
                with interrupts.held():
                    self._open(jobs)
                return
            except BaseException as error:
                self.drop()
                if not isinstance(error, Exception):
                    raise
                if attempt == LOST_WORKERS:
                    reason = f"the workers ended {attempt} times while they started"
                    raise WorkersLostError(f"{reason} ({error_line(error)})") from error

    def _open(self, jobs: int) -> None:
        import dask
        from distributed import Client, LocalCluster

        folder = self._stack.enter_context(scratch.folder())
        settings = {
            # Of the scheduler too.
            "temporary-directory": folder,
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
                # For what TensorFlow writes.
                env=dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder),
            )
        )
        self._client = self._stack.enter_context(Client(self._cluster))

    def _slots(self) -> int:
        return self._jobs

    def _try_with_fewer(self, attempt: Attempt, report: Report) -> bool:
        alone = attempt.slots == 1
        if alone or not self._lacked_memory(attempt) or not _was_lost(attempt.future):
            return False
        fewer = attempt.slots // 2
        self._jobs = min(self._jobs, fewer)
        text = f"its worker lacked memory; {fewer} at once from now on"
        report({"run": attempt.task.name, "kind": "note", "detail": text})
        return True

    def _lacked_memory(self, attempt: Attempt) -> bool:
        return oom_kills() > attempt.oom_kills

    def _end_worker(self, key: str) -> bool:
        busy = [address for address, keys in self._client.processing().items() if key in keys]
        self._kill(lambda nanny: nanny.worker_address in busy)
        return True

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
        self._kill(lambda nanny: True)

    def _kill(self, chosen: Callable[[Any], bool]) -> None:
        """End worker processes, stopped or not, by the nannies that look after them."""
        for nanny in self._cluster.workers.values() if self._cluster else ():
            with contextlib.suppress(OSError, TypeError, AttributeError):
                if chosen(nanny):
                    os.kill(nanny.pid, signal.SIGKILL)

    def drop(self) -> None:
        """Kill and close; what Dask says of workers killed under it helps nobody."""
        with output_into(os.devnull):
            self.kill()
            self.close()

    def close(self) -> None:
        """Stop the workers and undo the settings."""
        self._stack.close()


def _was_lost(future: "Future") -> bool:
    from distributed import KilledWorker

    return future.status == "error" and isinstance(future.exception(), KilledWorker)


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
    hang_timeout: float | None = None,
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
            "TensorFlow or Keras is in use in this process with other settings: using one worker"
            " process."
        )
    pool = LocalWorkers(jobs, hang_timeout)
    try:
        yield pool
    except BaseException:
        pool.drop()
        raise
    pool.close()
