"""The files of one run: history, predictions, record, log and checkpoint."""

import contextlib
import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.results import checkpoint, predictions
from benchmark.results.formats import (
    not_a_file,
    read_file,
    remove,
    set_aside,
    sha256,
    write_atomic,
    write_record,
)
from benchmark.results.run_state import RunState, history_text, read_run_record, state_of
from benchmark.results.schema import DONE, final_scores
from benchmark.training.spec import RunSpec

if TYPE_CHECKING:
    from benchmark.training.loop import Checkpoint, Outcome

_PREDICTION_FILES = (predictions.NAME, predictions.OLDER_NAME)
_TRANSFERRED = ("run.json", "history.csv", *_PREDICTION_FILES, "log.txt")


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def log(self) -> Path:
        """What the run printed."""
        return self.path / "log.txt"

    @property
    def _checkpoint(self) -> Path:
        return self.path / "checkpoint"

    def has_checkpoint(self) -> bool:
        """Return whether an interrupted run left something, whole or not."""
        return self._checkpoint.exists()

    @contextlib.contextmanager
    def lock(self, seconds: float = 60) -> Iterator[None]:
        """Hold the folder, so that a worker left over from a killed command cannot write too.

        Raises:
            filelock.Timeout: another process held it all the time.
        """
        from filelock import FileLock

        if self.path.is_symlink() or self.path.is_file():
            set_aside(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        if not_a_file(self.path / ".lock"):
            set_aside(self.path / ".lock")
        with FileLock(self.path / ".lock", timeout=seconds):
            for temporary in self.path.glob(".*.tmp"):
                temporary.unlink(missing_ok=True)
            if not_a_file(self.log):
                set_aside(self.log)
                self.log.write_text("log.txt was a link or a folder; this file is instead of it\n")
            yield

    def record(self) -> dict[str, Any] | None:
        """Return run.json, or None if there is none or it is damaged."""
        try:
            return read_run_record(self.path)[0]
        except ValueError:
            return None

    def state(self, spec: RunSpec | None = None) -> RunState:
        """Return whether the run is done and whole; `spec` are the settings of one that may have
        no record yet, whose epochs are believed as far as they are of these settings."""
        return state_of(self.path, spec)

    def done(self) -> dict[str, Any] | None:
        """Return the record of a finished run whose files are as it left them, else None."""
        state = self.state()
        return state.record if state.status in DONE else None

    def checkpoint(self) -> "Checkpoint | None":
        """Return where an interrupted run stopped, or None if there is nothing whole."""
        from benchmark.training.loop import Checkpoint

        saved = checkpoint.read(self._checkpoint)
        return Checkpoint(*saved) if saved else None

    def save_checkpoint(self, saved: "Checkpoint") -> None:
        """Write rows and arrays as one file: they are always of the same epoch."""
        checkpoint.write(self._checkpoint, saved.rows, saved.arrays)

    def write_history(self, spec: RunSpec, rows: list[dict[str, Any]]) -> None:
        """Write history.csv, one row per epoch."""
        write_atomic(self.path / "history.csv", history_text(spec, spec.run, rows))

    def finish(
        self, spec: RunSpec, outcome: "Outcome", labels: np.ndarray, facts: dict[str, Any]
    ) -> dict[str, Any]:
        """Write the files of a finished run, run.json last, and return its record.

        `labels` (n,) are the true classes of the test examples; `facts` join the record as they
        are (environment, data, activation, peak memory).
        """
        self.write_history(spec, outcome.rows)
        table = predictions.packed(labels, outcome.predicted, outcome.probability)
        write_atomic(self.path / predictions.NAME, table)
        # Of an earlier version.
        remove(self.path / predictions.OLDER_NAME)
        files = ("history.csv", predictions.NAME)
        record = {
            "run": spec.run,
            "status": outcome.status,
            "spec": spec.as_json(),
            "scores": final_scores(spec, outcome.rows, outcome.test),
            "parameters": outcome.parameters,
            **facts,
            "checksums": {name: sha256((self.path / name).read_bytes()) for name in files},
        }
        self._write_record(record)
        remove(self._checkpoint)
        return record

    def fail(self, spec: RunSpec, error: str, facts: dict[str, Any]) -> dict[str, Any]:
        """Write the record of a run that crashed, with its log's end, and return it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            facts = {**facts, "log_end": self.log.read_text(errors="replace")[-4000:]}
        record = {
            "run": spec.run,
            "status": "failed",
            "error": error,
            "spec": spec.as_json(),
            **facts,
        }
        self._write_record(record)
        return record

    def _write_record(self, record: dict[str, Any]) -> None:
        write_record(self.path / "run.json", record)

    def test_set(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the size of the test set and the share of its most frequent class; `record` is
        that of the run, whose files are whole."""
        try:
            table = predictions.read(self.path, record["checksums"]).decode()
            counts = Counter(row["true"] for row in csv.DictReader(table.splitlines()))
        except (OSError, KeyError, ValueError, csv.Error):
            return {}
        examples = counts.total()
        if not examples:
            return {}
        return {"test_images": examples, "majority_share": max(counts.values()) / examples}

    def files(self) -> dict[str, bytes]:
        """Return the content of the run's files by name, for another folder to `receive`."""
        files = {}
        for name in _TRANSFERRED:
            # A link is not followed.
            with contextlib.suppress(OSError):
                files[name] = read_file(self.path / name)
        return files

    def receive(self, files: dict[str, bytes]) -> None:
        """Write the files of a run that was done elsewhere, run.json last.

        Raises:
            filelock.Timeout: another process holds the folder.
        """
        with self.lock():
            for name in reversed(_TRANSFERRED):
                if name in files:
                    write_atomic(self.path / name, files[name])
            if not files.keys().isdisjoint(_PREDICTION_FILES):
                # Of an attempt here, or of an earlier version.
                for name in ("checkpoint", *_PREDICTION_FILES):
                    if name not in files:
                        remove(self.path / name)

    def clear(self) -> None:
        """Forget the run, the record first."""
        for name in (*_TRANSFERRED, "checkpoint"):
            remove(self.path / name)
