"""One run in this process: from its last checkpoint to its record, with progress events."""

import contextlib
import errno
import functools
import io
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmark.activations import plugins, resolve
from benchmark.data import loading
from benchmark.errors import RequestError
from benchmark.results.folder import Store
from benchmark.results.provenance import peak_memory_mb, reset_peak_memory
from benchmark.results.run import RunFolder
from benchmark.training.spec import RunSpec

DISK_FULL = "the disk is full"
# Between two events of a run's progress inside an epoch.
EVENT_SECONDS = 0.5

Event = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """What a worker needs to do one run: all of it travels."""

    spec: RunSpec
    located: loading.Located
    output: str
    entries: bytes
    facts: dict[str, Any]
    fresh: bool

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.spec.run

    def execute(self, report: Callable[[Event], None]) -> dict[str, Any]:
        """Do the run in this process; see `execute`."""
        return execute(self, report)

    def failed(self, error: str) -> dict[str, Any]:
        """Record that the run could not be done, and return its record."""
        folder = Store(self.output).folder(self.spec.run)
        return failed(self.spec, folder, error, dict(self.facts))


@functools.lru_cache(maxsize=1)
def split_of(located: loading.Located, validation: str, limit: int | None = None) -> Any:
    """Return a dataset's hash and its split; the last one is kept."""
    dataset = loading.load(located)
    return dataset.sha256, loading.split(dataset, validation, limit)


@functools.cache
def configure_once(threads: int, device: str, deterministic: bool) -> bool:
    """Set up TensorFlow for the runs of this process; False where it runs otherwise already."""
    from benchmark.training.setup import configure

    gpu = _worker_number() if device == "GPU" else None
    return configure(threads, gpu, deterministic)


def configure_for(spec: Any) -> None:
    """Set up TensorFlow in this process with the spec's threads and device.

    Raises:
        RuntimeError: it runs with other settings already, or sees no GPU where one is asked for.
    """
    if not configure_once(spec.threads, spec.device, spec.deterministic):
        raise RuntimeError("TensorFlow was in use in this process before its settings were made")
    import tensorflow as tf

    if spec.device == "GPU" and not tf.config.list_physical_devices("GPU"):
        raise RuntimeError("TensorFlow sees no GPU on this machine: `doctor` says why")


def _worker_number() -> int:
    """Return the number of this local worker, which picks its GPU; 0 without workers."""
    from distributed import get_worker

    try:
        name = get_worker().name
    except ValueError:
        return 0
    return name if isinstance(name, int) else 0


@contextlib.contextmanager
def output_into(path: str | os.PathLike[str]) -> Iterator[io.TextIOBase]:
    """Send what this process prints, C libraries included, to the end of a file."""
    with open(path, "a", buffering=1, encoding="utf-8") as log:
        sys.stdout.flush()
        sys.stderr.flush()
        kept = [os.dup(1), os.dup(2)]
        try:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                yield log
        finally:
            for number, copy in enumerate(kept, start=1):
                os.dup2(copy, number)
                os.close(copy)


def check_entries(entries: bytes, spec: RunSpec) -> list[str]:
    """Check the user's activations in this process and return the warnings.

    Raises:
        RequestError: one of them cannot be trained with.
    """
    with output_into(os.devnull):
        configure_for(spec)
        return [warning for entry in plugins.unpack(entries) for warning in plugins.check(entry)]


def execute(task: Task, report: Callable[[Event], None]) -> dict[str, Any]:
    """Do one run in this process, from its last checkpoint on, and return its record.

    A run that raises is recorded as failed; the exception does not get out.
    """
    spec, folder = task.spec, Store(task.output).folder(task.spec.run)
    facts = dict(task.facts)
    report({"run": spec.run, "kind": "start"})
    try:
        with folder.lock(), output_into(folder.log) as log:
            if task.fresh:
                folder.clear()
            # A worker that was thought lost may have finished it.
            record = folder.done() or _execute(task, folder, log, report, facts)
    except Exception as error:
        record = failed(spec, folder, error_line(error), facts)
    report({"run": spec.run, "kind": "end"})
    return record


def _execute(task: Task, folder: RunFolder, log: Any, report: Callable, facts: dict) -> dict:
    spec = task.spec
    _say(log, f"run {spec.run}, process {os.getpid()}")
    try:
        reset_peak_memory()
        configure_for(spec)
        plugins.unpack(task.entries)
        from benchmark.training.loop import train
        from benchmark.training.trainer import CheckpointError

        sha256, data = split_of(task.located, spec.validation, spec.limit)
        if sha256 != spec.data_sha256:
            raise RequestError(f"the files of {spec.dataset} changed while the job ran")
        checkpoint = folder.checkpoint()
        if checkpoint:
            _say(log, f"going on after epoch {len(checkpoint.rows)} of {spec.epochs}")
            report(_epoch_event(spec, checkpoint.rows))

        def on_epoch(state: Any) -> None:
            folder.save_checkpoint(state)
            folder.write_history(spec, state.rows)
            _say(log, _epoch_line(spec, state.rows[-1]))
            report(_epoch_event(spec, state.rows))

        rest = (on_epoch, _steps_event(spec, report))
        entry = resolve(spec.activation)
        try:
            outcome = train(spec, entry, data, checkpoint, *rest)
        except CheckpointError as error:
            _say(log, f"{error}: starting anew")
            outcome = train(spec, entry, data, None, *rest)
        _say(log, outcome.status)
        facts["peak_memory_mb"] = peak_memory_mb()
        facts["finished"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return folder.finish(spec, outcome, data.y_test, facts)
    except Exception:
        traceback.print_exc(file=log)
        raise


def error_line(error: Exception) -> str:
    """Return an error in one line, as records have it."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return DISK_FULL
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def failed(spec: RunSpec, folder: RunFolder, error: str, facts: dict) -> dict[str, Any]:
    """Record a run that could not be done, where that can be written, and return its record."""
    try:
        return folder.fail(spec, error, facts)
    except OSError:
        # Nothing can be written; the command still hears of it.
        return {"run": spec.run, "status": "failed", "error": error}


def _say(log: Any, text: str) -> None:
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, file=log)


def _epoch_line(spec: RunSpec, row: dict[str, float]) -> str:
    return (
        f"epoch {row['epoch']}/{spec.epochs}: loss {row['loss']:.4f}, accuracy"
        f" {row['accuracy']:.4f}, val_loss {row['val_loss']:.4f}, val_accuracy"
        f" {row['val_accuracy']:.4f}, {row['seconds']:.1f} s"
    )


def _epoch_event(spec: RunSpec, rows: list[dict[str, float]]) -> Event:
    return {"run": spec.run, "kind": "epoch", "row": rows[-1]}


def _steps_event(spec: RunSpec, report: Callable[[Event], None]) -> Callable:
    last = 0.0

    def on_steps(epoch: int, steps: int, loss: float) -> None:
        nonlocal last
        if time.monotonic() - last > EVENT_SECONDS:
            last = time.monotonic()
            report({"run": spec.run, "kind": "steps", "epoch": epoch, "steps": steps, "loss": loss})

    return on_steps
