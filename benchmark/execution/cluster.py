"""Tasks on an existing Dask cluster: workers that share neither disk nor data with us.

Their machines, and the scheduler's, need this project installed and nothing else. A worker is a
process with one thread, and does one task at a time. Data and a user's activations travel to the
workers, a finished run's files travel back; what is recorded is recorded here.
"""

import asyncio
import concurrent.futures
import contextlib
import io
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client, Future, Security, Worker, WorkerPlugin, get_worker, rpc

from benchmark.data import catalogue, loading
from benchmark.errors import RequestError, one_line
from benchmark.execution import task as tasks
from benchmark.execution import workers
from benchmark.execution.task import Event, Record, Settings, Task
from benchmark.execution.training_run import TrainingRun

CONNECT_SECONDS = 10
FORGET_SECONDS = 10
# Between two looks at how many workers there are.
COUNT_SECONDS = 1.0


class Delivery(WorkerPlugin):
    """Brings the data to each worker of a job, those that join later included."""

    def __init__(self, job: str, content: bytes) -> None:
        self.name, self._content = job, content
        self.path = ""

    def setup(self, worker: Worker) -> None:
        """Keep the data in the worker's own folder."""
        # What takes its memory is compiled code, which no waiting frees: it would pause for ever.
        worker.memory_manager.memory_pause_fraction = False
        self.path = os.path.join(worker.local_directory, f"{self.name}.npz")
        Path(self.path).write_bytes(self._content)

    def teardown(self, worker: Worker) -> None:
        """Clear up after the job."""
        Path(self.path).unlink(missing_ok=True)
        tasks.split_of.cache_clear()
        if not worker.state.executing_count:
            workers.forget_trainers()


def packed(data: loading.Dataset) -> bytes:
    """Return the dataset as the content of an .npz file; nothing where each machine has it."""
    if not data.path:
        return b""
    if data.path.endswith(".npz"):
        return Path(data.path).read_bytes()
    buffer = io.BytesIO()
    arrays = {name: getattr(data, name) for name in catalogue.ARRAYS}
    for name in ("x_train", "x_test"):
        arrays[name] = arrays[name][..., 0]
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


class Cluster(workers.DaskWorkers):
    """The workers of an existing scheduler, one task each, or one per GPU."""

    def __init__(self, address: str) -> None:
        """Connect to the scheduler.

        Raises:
            RequestError: there is none at that address, or one of another Dask.
        """
        self._address = address
        self._topic = f"{workers.TOPIC}-{uuid.uuid4().hex[:12]}"
        self._delivered = False
        self._counted = (0.0, 1)
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(_log_of_dask_silenced())
        try:
            # In a thread: a notebook has an event loop of its own in this one.
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                pool.submit(asyncio.run, _identity(address)).result()
            client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except Exception as error:
            self._stack.close()
            raise RequestError(
                f"scheduler {address!r} cannot be reached ({one_line(error) or 'no answer'}): give"
                " the address that `dask scheduler` prints, tcp://host:8786 for instance"
            ) from error
        self._client = self._stack.enter_context(client)

    def _workers(self) -> dict[str, dict[str, Any]]:
        return self._client.scheduler_info(n_workers=-1)["workers"]

    def gpus(self) -> int:
        """Return the number of GPUs that workers offer as a resource."""
        return int(sum(worker["resources"].get("GPU", 0) for worker in self._workers().values()))

    def size(self) -> int:
        """Return the number of workers."""
        return len(self._workers())

    def _slots(self) -> int:
        """Return how many tasks to have with Dask: as many as there are workers, who may join."""
        seen, slots = self._counted
        if time.monotonic() - seen > COUNT_SECONDS:
            # A lost scheduler is noticed by the tasks that it had.
            with contextlib.suppress(OSError, KeyError):
                slots = max(1, self.gpus() or self.size())
            self._counted = (time.monotonic(), slots)
        return slots

    def prepare(self, data: loading.Dataset, settings: Settings) -> None:
        """Send the data to every worker, now or when it joins; once for all tasks of a job.

        Workers whose TensorFlow runs with other settings, of another job, are started anew.

        Raises:
            RequestError: a worker has several threads, does another job with other settings, lacks
                this project, or cannot take the data.
        """
        if self._delivered:
            return
        for address, worker in self._workers().items():
            if worker["nthreads"] > 1:
                raise RequestError(_several_threads(address, worker["nthreads"], self._address))
        try:
            self._client.run_on_scheduler(tasks.current_settings)
            self._restart_others(settings)
            self._stack.callback(self._forget)
            self._client.register_plugin(Delivery(self._topic, packed(data)), name=self._topic)
        except RequestError:
            raise
        except Exception as error:
            reason = tasks.error_line(error)
            if "ModuleNotFoundError" in reason:
                reason += ": install this project there, in the same version as here"
            raise RequestError(
                f"a machine of scheduler {self._address} cannot be used: {reason}"
            ) from error
        self._delivered = True

    def _restart_others(self, settings: Settings) -> None:
        set_up = self._client.run(tasks.current_settings)
        others = [address for address, other in set_up.items() if other not in (None, settings)]
        if not others:
            return
        processing = self._client.processing()
        for address in others:
            if processing.get(address):
                raise RequestError(f"worker {address} does a job with other settings: wait for it")
        try:
            self._client.restart_workers(others)
        except ValueError as error:
            raise RequestError(_set_up_otherwise(others[0])) from error

    def _forget(self) -> None:
        # Where the scheduler or a worker is gone there may be nothing left to clear up.
        with contextlib.suppress(Exception):
            assert self._client.scheduler
            unregister = self._client.scheduler.unregister_worker_plugin
            self._client.sync(unregister, name=self._topic, callback_timeout=FORGET_SECONDS)

    def _submit(
        self, function: Callable[..., Any], *arguments: Any, settings: Settings, **options: Any
    ) -> Future:
        if settings.device == "GPU":
            options["resources"] = {"GPU": 1}
        return super()._submit(function, *arguments, settings=settings, **options)

    @staticmethod
    def _execute(task: TrainingRun, topic: str) -> tuple[Record, dict[str, bytes]]:
        """Do a run in a folder of its own; return its record and its files by name."""
        worker = get_worker()
        # Of a worker that joined late.
        if worker.state.nthreads > 1:
            scheduler = worker.scheduler.address
            raise RequestError(_several_threads(worker.address, worker.state.nthreads, scheduler))
        if tasks.current_settings() not in (None, task.settings):
            raise RequestError(_set_up_otherwise(worker.address))
        key = worker.get_current_task()

        def report(event: Event) -> None:
            # Dask cannot stop a task that runs: it stops itself once its future is gone.
            state = worker.state.tasks.get(key)
            if state is None or state.state != "executing":
                raise tasks.Unwanted
            worker.log_event(topic, event)

        try:
            with tempfile.TemporaryDirectory(dir=worker.local_directory) as folder:
                delivery = worker.plugins[topic]
                assert isinstance(delivery, Delivery)
                there = task.moved(folder, delivery.path)
                record = there.execute(report)
                files = there.folder.files()
        except OSError as error:
            # Not to be taken for the disk of the machine that asks.
            raise RuntimeError(f"a worker's {type(error).__name__}: {error}") from error
        if record.get("error") == tasks.DISK_FULL:
            raise RuntimeError("the disk of a worker is full")
        return record, files

    def _arrived(self, task: Task, answer: tuple[Record, dict[str, bytes]]) -> Record:
        record, files = answer
        if record["run"] != task.name:
            raise RuntimeError(
                "its worker has another version of this project: install the same one"
            )
        assert isinstance(task, TrainingRun)
        task.folder.receive(files)
        return record

    def close(self) -> None:
        """Leave the cluster; what is not done there is dropped."""
        self._stack.close()


def _several_threads(worker: str, threads: int, scheduler: str) -> str:
    return (
        f"worker {worker} has {threads} threads: a worker does one task at a time; start N of them"
        f" with `dask worker {scheduler} --nworkers N --nthreads 1`"
    )


def _set_up_otherwise(worker: str) -> str:
    return (
        f"worker {worker} was set up for other threads or another device by an earlier job: start"
        " it anew"
    )


async def _identity(address: str) -> dict[str, Any]:
    # Certificates are those that Dask's configuration names.
    secured = Security().get_connection_args("client")
    async with rpc(address, connection_args=secured) as scheduler:
        # What answers at another port may be no scheduler, and never say so.
        return await asyncio.wait_for(scheduler.identity(), CONNECT_SECONDS)


@contextlib.contextmanager
def _log_of_dask_silenced() -> Iterator[None]:
    """Keep what Dask logs of lost connections off the screen: it is said in one line instead."""
    levels = workers.silence_dask()
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
