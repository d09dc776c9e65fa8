"""The runs on an existing Dask cluster: workers that share neither disk nor data with us.

Their machines need this project installed and nothing else. Data and a user's activations travel
to them, a finished run's files travel back; what is recorded is recorded here.
"""

import asyncio
import contextlib
import functools
import io
import pickle
import queue
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client, WorkerPlugin, get_worker, rpc

from benchmark.data import catalogue, loading
from benchmark.errors import RequestError, one_line
from benchmark.execution import workers
from benchmark.execution.child import Children
from benchmark.execution.task import DISK_FULL, Event, Task, check_entries, execute
from benchmark.results.folder import Store
from benchmark.training.spec import RunSpec

CONNECT_SECONDS = 10
FORGET_SECONDS = 10
_children = Children()


def _delivery(name: str, content: bytes) -> WorkerPlugin:
    """Return what brings the data to each worker of a job, those that join later included.

    A class inside a function travels as code: a worker without this project does not fail at it,
    only at the runs.
    """

    class Delivery(WorkerPlugin):
        def __init__(self) -> None:
            self.name = name

        def setup(self, worker: Any) -> None:
            """Keep the data in the worker's own folder."""
            import os

            self.path = os.path.join(worker.local_directory, f"{name}.npz")
            with open(self.path, "wb") as file:
                file.write(content)

        def teardown(self, worker: Any) -> None:
            """Clear up after the job."""
            import os
            import sys

            if os.path.exists(self.path):
                os.unlink(self.path)
            if "benchmark.execution.cluster" in sys.modules:
                sys.modules["benchmark.execution.cluster"].end_idle_children()

    return Delivery()


def end_idle_children() -> None:
    """End those processes of this worker that have nothing to do."""
    _children.end_idle()


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
    """Runs on the workers of an existing scheduler: one for each of their threads, or per GPU."""

    def __init__(self, address: str) -> None:
        """Connect to the scheduler.

        Raises:
            RequestError: there is none at that address, or one of another Dask.
        """
        self._address = address
        self._job = f"{workers.TOPIC}-{uuid.uuid4().hex[:12]}"
        self._topic = self._job
        self._delivered = False
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(_log_of_dask_silenced())
        try:
            # What answers at another port may be no scheduler, and never say so.
            _within(CONNECT_SECONDS, asyncio.run, _identity(address))
            client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except Exception as error:
            self._stack.close()
            raise RequestError(
                f"scheduler {address!r} cannot be reached ({one_line(error) or 'no answer'}): give"
                " the address that `dask scheduler` prints, tcp://host:8786 for instance"
            ) from error
        self._client = self._stack.enter_context(client)

    def _workers(self) -> list[dict[str, Any]]:
        return list(self._client.scheduler_info(n_workers=-1)["workers"].values())

    def gpus(self) -> int:
        """Return the number of GPUs that workers offer as a resource."""
        return int(sum(worker["resources"].get("GPU", 0) for worker in self._workers()))

    def threads(self) -> int:
        """Return the number of threads of all workers."""
        return sum(worker["nthreads"] for worker in self._workers())

    def deliver(self, data: loading.Dataset) -> None:
        """Send the data to every worker, now or when it joins; once for all runs of a job.

        Raises:
            RequestError: a worker lacks this project, or cannot take the data.
        """
        if self._delivered:
            return
        lacking = [worker for worker, found in self._client.run(_prober()).items() if not found]
        if lacking:
            raise RequestError(
                f"worker {lacking[0]} lacks this project: install it there, in the same version as"
                " here"
            )
        self._stack.callback(self._forget)
        try:
            self._client.register_plugin(_delivery(self._job, packed(data)), name=self._job)
        except Exception as error:
            raise RequestError(
                f"a worker of {self._address} cannot take the data: {type(error).__name__}:"
                f" {one_line(error)}"
            ) from error
        self._delivered = True

    def _forget(self) -> None:
        # Where the scheduler or a worker is gone there may be nothing left to clear up.
        with contextlib.suppress(Exception):
            _within(FORGET_SECONDS, self._client.unregister_worker_plugin, self._job)

    def _submit(self, function: Callable, *arguments: Any, spec: RunSpec, **options: Any) -> Any:
        if spec.device == "GPU":
            options["resources"] = {"GPU": 1}
        content = pickle.dumps((_on_worker, (self._job, spec, function, *arguments)))
        return self._client.submit(_opener(), content, **options)

    def _check(self, entries: bytes, spec: RunSpec) -> Any:
        return self._submit(_check_in_child, entries, spec, spec=spec, pure=False)

    def _start(self, task: Task, place: int) -> Any:
        # The job first: of tasks of one large group, a worker is sent no more than it can begin.
        key = f"{self._job}-{task.spec.run}"
        return self._submit(
            *(_run_in_child, task),
            **{"spec": task.spec, "key": key, "priority": -place, "pure": False},
            retries=workers.LOST_WORKERS - 1,
        )

    def _arrived(self, task: Task, answer: tuple[dict, dict[str, bytes]]) -> dict[str, Any]:
        record, files = answer
        if record["run"] != task.spec.run:
            raise RuntimeError(
                "its worker has another version of this project: install the same one"
            )
        Store(task.output).folder(task.spec.run).receive(files)
        return record

    def close(self) -> None:
        """Leave the cluster; what is not done there is dropped."""
        self._stack.close()


def _opener() -> Callable[[bytes], Any]:
    """Return a function that calls a pickled one.

    The scheduler reads what it passes on. Only of a function inside another does it get the code
    instead of the name: so its machine needs nothing of this project.
    """

    def call(content: bytes) -> Any:
        import pickle

        try:
            function, arguments = pickle.loads(content)
        except ImportError as error:
            raise RuntimeError(
                f"a worker lacks this project: install it there ({error})"
            ) from error
        return function(*arguments)

    return call


def _prober() -> Callable[[], bool]:
    """Return a function that says whether this project is installed, likewise."""

    def probe() -> bool:
        try:
            import benchmark.execution.cluster  # noqa: F401
        except ImportError:
            return False
        return True

    return probe


async def _identity(address: str) -> dict[str, Any]:
    async with rpc(address) as scheduler:
        return await scheduler.identity()


def _within(seconds: float, function: Callable, *arguments: Any) -> Any:
    """Call a function and return its answer.

    Raises:
        TimeoutError: it has not returned by then; it is left to itself.
    """
    answers: queue.Queue = queue.Queue()

    def call() -> None:
        try:
            answers.put((function(*arguments), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=call, daemon=True).start()
    try:
        answer, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if error:
        raise error
    return answer


@contextlib.contextmanager
def _log_of_dask_silenced() -> Iterator[None]:
    """Keep what Dask logs of lost connections off the screen: it is said in one line instead."""
    kept = workers.silence_dask()
    try:
        yield
    finally:
        for logger, level in kept.items():
            logger.setLevel(level)


def _on_worker(job: str, spec: RunSpec, function: Callable, *arguments: Any) -> Any:
    """Call a function in a process of this worker that does runs of this kind."""
    worker = get_worker()
    key = worker.get_current_task()

    def wanted() -> bool:
        held = worker.state.tasks.get(key)
        return held is not None and held.state == "executing"

    settings = (spec.threads, spec.device, spec.deterministic)
    environment = workers.worker_environment()
    try:
        with (
            _room(worker, spec.threads),
            tempfile.TemporaryDirectory(dir=worker.local_directory) as folder,
            _children.one(settings, environment) as child,
        ):
            return child.ask(
                *(function, str(worker.plugins[job].path), folder, *arguments),
                heard=functools.partial(worker.log_event, job),
                wanted=wanted,
            )
    except OSError as error:
        # Not to be taken for the disk of the machine that asks.
        raise RuntimeError(f"a worker's {type(error).__name__}: {error}") from error


_rooms: dict[int, threading.Semaphore] = {}
_rooms_lock = threading.Lock()


def _room(worker: Any, threads: int) -> threading.Semaphore:
    """Return what limits the runs at once to the worker's threads and memory."""
    from benchmark.results import provenance

    memory = worker.memory_manager.memory_limit or provenance.memory_bytes()
    runs = min(worker.state.nthreads // threads, int(memory) // provenance.WORKER_BYTES)
    with _rooms_lock:
        return _rooms.setdefault(max(1, runs), threading.Semaphore(max(1, runs)))


def _check_in_child(
    path: str, folder: str, entries: bytes, spec: RunSpec, report: Callable
) -> list[str]:
    return check_entries(entries, spec)


def _run_in_child(
    path: str, folder: str, task: Task, report: Callable[[Event], None]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Do a run in a folder of its own; return its record and its files by name."""
    from benchmark.results import provenance

    located = replace(task.located, path=path) if task.located.path else task.located
    # Not the machine that asked: the one that trains.
    facts = {**task.facts, "environment": provenance.describe()}
    there = replace(task, located=located, output=folder, facts=facts, fresh=False)
    record = execute(there, report)
    if record.get("error") == DISK_FULL:
        raise RuntimeError("the disk of a worker is full")
    return record, Store(folder).folder(task.spec.run).files()
