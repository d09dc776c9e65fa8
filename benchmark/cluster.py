"""The runs on an existing Dask cluster: workers that share neither disk nor data with us.

Their machines need this project installed and nothing else. Data and a user's activations travel
to them, a finished run's files travel back; what is recorded is recorded here.
"""

import contextlib
import functools
import io
import logging
import pickle
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client, WorkerPlugin, get_worker

from benchmark import datasets, environment, scheduling
from benchmark.child import Children
from benchmark.config import RunSpec
from benchmark.errors import RequestError, one_line
from benchmark.scheduling import Event, Task
from benchmark.store import Store

CONNECT_SECONDS = 10
_children = Children()


class _Delivery(WorkerPlugin):
    """Brings the data to each worker of a job, those that join later included."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self._content = content

    def setup(self, worker: Any) -> None:
        """Keep the data in the worker's own folder."""
        self.path = Path(worker.local_directory) / f"{self.name}.npz"
        self.path.write_bytes(self._content)

    def teardown(self, worker: Any) -> None:
        """Clear up after the job."""
        self.path.unlink(missing_ok=True)
        _children.end_idle()


def packed(data: datasets.Dataset) -> bytes:
    """Return the dataset as the content of an .npz file; nothing where each machine has it."""
    if not data.path:
        return b""
    if data.path.endswith(".npz"):
        return Path(data.path).read_bytes()
    buffer = io.BytesIO()
    arrays = {name: getattr(data, name) for name in datasets.ARRAYS}
    for name in ("x_train", "x_test"):
        arrays[name] = arrays[name][..., 0]
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


class Cluster(scheduling.DaskWorkers):
    """Runs on the workers of an existing scheduler: one for each of their threads, or per GPU."""

    def __init__(self, address: str) -> None:
        """Connect to the scheduler.

        Raises:
            RequestError: there is none at that address, or one of another Dask.
        """
        self._address = address
        self._job = f"{scheduling.TOPIC}-{uuid.uuid4().hex[:12]}"
        self._topic = self._job
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(_log_of_dask_silenced())
        try:
            client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError, ImportError) as error:
            self._stack.close()
            raise RequestError(
                f"scheduler {address!r} cannot be reached ({one_line(error)}): give the address"
                " that `dask scheduler` prints, tcp://host:8786 for instance"
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

    def deliver(self, data: datasets.Dataset) -> None:
        """Send the data to every worker, now or when it joins.

        Raises:
            RequestError: a worker cannot take them, for want of this project for instance.
        """
        plugin = _Delivery(self._job, packed(data))
        try:
            self._client.register_plugin(plugin, name=plugin.name)
        except Exception as error:
            raise RequestError(
                f"a worker of {self._address} cannot take the data"
                f" ({type(error).__name__}: {one_line(error)}): it needs this project installed, in"
                " the same version as here"
            ) from error
        self._stack.callback(self._forget, plugin.name)

    def _forget(self, name: str) -> None:
        # Where the scheduler is gone there is nothing left to clear up.
        with contextlib.suppress(Exception):
            self._client.unregister_worker_plugin(name)

    def _submit(self, function: Callable, *arguments: Any, spec: RunSpec, **options: Any) -> Any:
        if spec.device == "GPU":
            options["resources"] = {"GPU": 1}
        content = pickle.dumps((_on_worker, (self._job, spec, function, *arguments)))
        return self._client.submit(_opener(), content, **options)

    def _check(self, entries: bytes, spec: RunSpec) -> Any:
        return self._submit(_check_in_child, entries, spec, spec=spec, pure=False)

    def _start(self, task: Task, place: int) -> Any:
        key = f"{task.spec.run}-{self._job}"
        return self._submit(
            *(_run_in_child, task),
            **{"spec": task.spec, "key": key, "priority": -place, "pure": False},
            retries=scheduling.LOST_WORKERS - 1,
        )

    def _arrived(self, task: Task, answer: tuple[dict, dict[str, bytes]]) -> dict[str, Any]:
        record, files = answer
        if record["run"] != task.spec.run:
            raise RuntimeError(
                "its worker has another version of this project: install the same one"
            )
        Store(task.output).folder(task.spec.run).receive(files)
        return record

    def kill(self) -> None:
        """Give the runs up: their workers stop them at the next event."""

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

        function, arguments = pickle.loads(content)
        return function(*arguments)

    return call


@contextlib.contextmanager
def _log_of_dask_silenced() -> Iterator[None]:
    """Keep what Dask logs of lost connections off the screen: it is said in one line instead."""
    logger = logging.getLogger("distributed")
    kept = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(kept)


def _on_worker(job: str, spec: RunSpec, function: Callable, *arguments: Any) -> Any:
    """Call a function in a process of this worker that does runs of this kind."""
    worker = get_worker()
    key = worker.get_current_task()

    def wanted() -> bool:
        held = worker.state.tasks.get(key)
        return held is not None and held.state == "executing"

    settings = (spec.threads, spec.device, spec.deterministic)
    path = worker.plugins[job].path
    # A worker may have more threads than there is memory for.
    memory = worker.memory_manager.memory_limit or environment.memory_bytes()
    room = _room(max(1, int(memory) // environment.WORKER_BYTES))
    with room, _children.one(settings, scheduling.worker_environment()) as child:
        return child.ask(
            *(function, str(path), *arguments),
            heard=functools.partial(worker.log_event, job),
            wanted=wanted,
        )


@functools.cache
def _room(runs: int) -> threading.Semaphore:
    return threading.Semaphore(runs)


def _check_in_child(path: str, entries: bytes, spec: RunSpec, report: Callable) -> list[str]:
    return scheduling.check_entries(entries, spec)


def _run_in_child(
    path: str, task: Task, report: Callable[[Event], None]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Do a run in a folder of its own; return its record and its files by name."""
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as output:
        located = replace(task.located, path=path) if task.located.path else task.located
        # Not the machine that asked: the one that trains.
        facts = {**task.facts, "environment": environment.describe()}
        there = replace(task, located=located, output=output, facts=facts, fresh=False)
        record = scheduling.execute(there, report)
        return record, Store(output).folder(task.spec.run).files()
