"""A training run as a task: from its last checkpoint to its record, with progress events."""

import os
import time
import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TextIO

from benchmark.activations import packing, resolve
from benchmark.data import loading
from benchmark.errors import RequestError
from benchmark.execution.task import (
    EVENT_SECONDS,
    Event,
    Record,
    Report,
    Settings,
    configure_for,
    error_line,
    output_into,
    split_of,
)
from benchmark.results.folder import Store
from benchmark.results.provenance import describe, load_average, peak_memory_mb, reset_peak_memory
from benchmark.results.run import RunFolder
from benchmark.training.spec import RunSpec

if TYPE_CHECKING:
    from benchmark.training.loop import Checkpoint, Outcome


@dataclass(frozen=True)
class TrainingRun:
    """One run of the comparison.

    `facts` go into its record: environment, data, activation, purpose. `fresh` does it again
    where it is done. `seconds` is a guess of how long it takes. `at_once` is how many runs train
    side by side on its machine, itself included; None where that is not known.
    """

    spec: RunSpec
    located: loading.Located
    output: str
    user_activations: bytes
    facts: dict[str, Any]
    fresh: bool
    seconds: float = 1.0
    label: str = ""
    alone: bool = False
    at_once: int | None = None

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.spec.run

    @property
    def settings(self) -> Settings:
        """What TensorFlow must be set to."""
        spec = self.spec
        return Settings(spec.threads, spec.device, spec.deterministic, spec.kept_environment)

    @property
    def quiet_seconds(self) -> float:
        """An epoch: most of it is reported on, but not validation at its end."""
        return self.seconds / self.spec.epochs

    @property
    def folder(self) -> RunFolder:
        """The run's files."""
        return Store(self.output).folder(self.spec.run)

    @property
    def own_load(self) -> float | None:
        """Threads per core of the runs side by side: the load that they make at most."""
        if self.at_once is None:
            return None
        return round(self.at_once * self.spec.threads / (os.cpu_count() or 1), 3)

    def is_done(self) -> bool:
        """Return whether its files are whole and it is not to be done again."""
        return not self.fresh and self.folder.done() is not None

    def execute(self, report: Report) -> Record:
        """Do the run in this process, from its last checkpoint on, and return its record.

        One that raises is recorded as failed; the exception does not get out.
        """
        report({"run": self.name, "kind": "start"})
        facts = dict(self.facts)
        try:
            with self.folder.lock(), output_into(self.folder.log) as log:
                if self.fresh:
                    self.folder.clear()
                # A worker that was thought lost may have finished it.
                record = self.folder.done() or self._execute(log, report, facts)
        except Exception as error:
            record = self._failed(error_line(error), facts)
        report({"run": self.name, "kind": "end"})
        return record

    def failed(self, error: str) -> Record:
        """Record that the run could not be done, where that can be written."""
        return self._failed(error, dict(self.facts))

    def _failed(self, error: str, facts: dict[str, Any]) -> Record:
        try:
            return self.folder.fail(self.spec, error, facts)
        except OSError:
            # Nothing can be written; the command still hears of it.
            return {"run": self.name, "status": "failed", "error": error}

    def moved(self, folder: str, data_path: str) -> "TrainingRun":
        """Return the run as another machine does it: in that folder, with the data there."""
        located = replace(self.located, path=data_path) if self.located.path else self.located
        # Not the machine that asked: the one that trains.
        facts = {**self.facts, "environment": describe()}
        return replace(self, located=located, output=folder, facts=facts, fresh=False, at_once=None)

    def _execute(self, log: TextIO, report: Report, facts: dict[str, Any]) -> Record:
        spec = self.spec
        _write(log, f"run {spec.run}, process {os.getpid()}")
        try:
            reset_peak_memory()
            load = {"start": load_average(), "own": self.own_load}
            configure_for(self.settings)
            if self.user_activations:
                packing.unpack(self.user_activations)
            sha256, data = split_of(self.located, spec.validation, spec.limit)
            if sha256 != spec.data_sha256:
                raise RequestError(f"the files of {spec.dataset} changed while the job ran")
            outcome = self._train(data, log, report)
            _write(log, outcome.status)
            facts["peak_memory_mb"] = peak_memory_mb()
            facts["load"] = {**load, "end": load_average()}
            facts["finished"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            return self.folder.finish(spec, outcome, data.y_test, facts)
        except Exception:
            traceback.print_exc(file=log)
            raise

    def _train(self, data: loading.Split, log: TextIO, report: Report) -> "Outcome":
        from benchmark.training.loop import train
        from benchmark.training.trainer import CheckpointError

        spec, folder = self.spec, self.folder
        checkpoint = folder.checkpoint()
        if checkpoint:
            _write(log, f"going on after epoch {len(checkpoint.rows)} of {spec.epochs}")
            report(_event(spec, len(checkpoint.rows), ""))
        elif folder.has_checkpoint():
            _write(log, "the checkpoint cannot be read: starting anew")

        def on_epoch(state: "Checkpoint") -> None:
            folder.save_checkpoint(state)
            folder.write_history(spec, state.rows)
            _write(log, _epoch_line(spec, state.rows[-1]))
            report(_event(spec, len(state.rows), _scores(state.rows[-1])))

        callbacks = (on_epoch, _StepReporter(spec, len(data.x_train), report))
        activation = resolve(spec.activation)
        try:
            return train(spec, activation, data, checkpoint, *callbacks)
        except CheckpointError as error:
            _write(log, f"{error}: starting anew")
            return train(spec, activation, data, None, *callbacks)


class _StepReporter:
    """Reports progress inside an epoch, not too often."""

    def __init__(self, spec: RunSpec, examples: int, report: Report) -> None:
        self._spec, self._report, self._last = spec, report, 0.0
        self._steps = -(-examples // spec.batch_size)

    def __call__(self, epoch: int, steps: int, loss: float) -> None:
        if time.monotonic() - self._last > EVENT_SECONDS:
            self._last = time.monotonic()
            share = (epoch - 1 + steps / self._steps) / self._spec.epochs
            detail = f"epoch {epoch}/{self._spec.epochs}, loss {loss:.4f}"
            event = {"run": self._spec.run, "kind": "progress", "share": share, "detail": detail}
            self._report(event)


def _event(spec: RunSpec, epochs: int, scores: str) -> Event:
    detail = f"epoch {epochs}/{spec.epochs}{scores}"
    share = epochs / spec.epochs
    return {"run": spec.run, "kind": "milestone", "share": share, "detail": detail}


def _scores(row: dict[str, float]) -> str:
    return f", loss {row['loss']:.4f}, val_accuracy {row['val_accuracy']:.4f}"


def _epoch_line(spec: RunSpec, row: dict[str, float]) -> str:
    return (
        f"epoch {row['epoch']}/{spec.epochs}: loss {row['loss']:.4f}, accuracy"
        f" {row['accuracy']:.4f}, val_loss {row['val_loss']:.4f}, val_accuracy"
        f" {row['val_accuracy']:.4f}, {row['seconds']:.1f} s"
    )


def _write(log: TextIO, text: str) -> None:
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, file=log)
