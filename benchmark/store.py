"""The one place that knows paths and file formats: atomic writes, resume, lock, loading."""

import contextlib
import csv
import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.config import RunSpec
from benchmark.errors import RequestError
from benchmark.formats import csv_text, read_sealed, sha256, write_atomic, write_sealed

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.training import Checkpoint, Outcome

HISTORY_COLUMNS = (
    "dataset",
    "model",
    "activation",
    "optimizer",
    "learning_rate",
    "loss_function",
    "seed",
    "epoch",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "seconds",
    "run",
)
SCORES = (
    "epochs",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "test_loss",
    "test_accuracy",
    "seconds",
    "seconds_per_epoch",
    "peak_memory_mb",
)
BINARY_SCORES = ("binary_accuracy", "val_binary_accuracy", "test_binary_accuracy")
SETTINGS = (
    "batch_size",
    "epochs_asked",
    "limit",
    "initializer",
    "validation",
    "threads",
    "device",
    "deterministic",
    "precision",
)
RUN_COLUMNS = (
    *("run", "dataset", "model", "activation", "optimizer", "learning_rate", "loss_function"),
    *("seed", "status"),
    *SCORES,
    *BINARY_SCORES,
    *SETTINGS,
    *("parameters", "data_sha256", "data_origin", "activation_sha256", "error"),
)
DONE = ("complete", "diverged")
# Beside the experiments' tables: what all of them say.
CLAIMS = "claims"
_DIGEST_BYTES = 32
RUN_FILES = ("history.csv", "predictions.csv")
_TRAVELLING = ("run.json", *RUN_FILES, "log.txt")
# Scores that only the binary cross-entropy of the source's protocol calls for.
_BINARY_LOSS = "binary_crossentropy"


def spec_columns(spec: RunSpec, run: str) -> dict[str, Any]:
    """Return the name and the settings of a run under the names they have in the tables."""
    fields = dict(vars(spec))
    fields["loss_function"] = fields.pop("loss")
    fields["epochs_asked"] = fields.pop("epochs")
    return {**fields, "run": run}


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

    @contextlib.contextmanager
    def lock(self, seconds: float = 60) -> Iterator[None]:
        """Hold the folder, so that a worker left over from a killed command cannot write too.

        Raises:
            filelock.Timeout: another process held it all the time.
        """
        from filelock import FileLock

        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / ".lock", timeout=seconds):
            for left_over in self.path.glob(".*.tmp"):
                left_over.unlink(missing_ok=True)
            yield

    def record(self) -> dict[str, Any] | None:
        """Return run.json, or None if there is none or it is damaged."""
        return read_sealed(self.path / "run.json")

    def done(self) -> dict[str, Any] | None:
        """Return the record of a finished run whose files are as it left them, else None."""
        record = self.record()
        if not record or record["status"] not in DONE:
            return None
        try:
            for name, checksum in record["checksums"].items():
                if sha256((self.path / name).read_bytes()) != checksum:
                    return None
        except OSError:
            return None
        return record

    def checkpoint(self) -> "Checkpoint | None":
        """Return where an interrupted run stopped, or None if there is nothing whole."""
        from benchmark.training import Checkpoint

        try:
            data = self._checkpoint.read_bytes()
        except OSError:
            return None
        digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            rows = json.loads(archive["rows"].tobytes())
            arrays = [archive[f"array_{i}"] for i in range(len(archive.files) - 1)]
        return Checkpoint(rows, arrays)

    def save_checkpoint(self, checkpoint: "Checkpoint") -> None:
        """Write rows and arrays as one file: they are always of the same epoch."""
        buffer = io.BytesIO()
        rows = np.frombuffer(json.dumps(checkpoint.rows).encode(), np.uint8)
        arrays = {f"array_{i}": array for i, array in enumerate(checkpoint.arrays)}
        np.savez(buffer, rows=rows, **arrays)
        content = buffer.getvalue()
        write_atomic(self._checkpoint, hashlib.sha256(content).digest() + content)

    def write_history(self, spec: RunSpec, rows: list[dict[str, Any]]) -> None:
        """Write history.csv, one row per epoch."""
        settings = spec_columns(spec, spec.run)
        text = csv_text(HISTORY_COLUMNS, ({**settings, **row} for row in rows))
        write_atomic(self.path / "history.csv", text)

    def finish(
        self, spec: RunSpec, outcome: "Outcome", labels: np.ndarray, facts: dict[str, Any]
    ) -> dict[str, Any]:
        """Write the files of a finished run, run.json last, and return its record.

        `labels` (n,) are the true classes of the test images; `facts` join the record as they
        are (environment, data, activation, peak memory).
        """
        self.write_history(spec, outcome.rows)
        columns = ("index", "true", "predicted", "probability")
        predictions = zip(labels.tolist(), outcome.predicted.tolist(), outcome.probability)
        rows = (dict(zip(columns, (i, *row))) for i, row in enumerate(predictions))
        write_atomic(self.path / "predictions.csv", csv_text(columns, rows))
        record = {
            "run": spec.run,
            "status": outcome.status,
            "spec": dataclasses.asdict(spec),
            "scores": final_scores(spec, outcome.rows, outcome.test),
            "parameters": outcome.parameters,
            **facts,
            "checksums": {name: sha256((self.path / name).read_bytes()) for name in RUN_FILES},
        }
        self._write_record(record)
        self._checkpoint.unlink(missing_ok=True)
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
            "spec": dataclasses.asdict(spec),
            **facts,
        }
        self._write_record(record)
        return record

    def _write_record(self, record: dict[str, Any]) -> None:
        write_sealed(self.path / "run.json", record)

    def files(self) -> dict[str, bytes]:
        """Return the content of the run's files by name, to be `receive`d by another store."""
        paths = (self.path / name for name in _TRAVELLING)
        return {path.name: path.read_bytes() for path in paths if path.exists()}

    def receive(self, files: dict[str, bytes]) -> None:
        """Write the files of a run that was done elsewhere, run.json last.

        Raises:
            filelock.Timeout: another process holds the folder.
        """
        with self.lock():
            for name in reversed(_TRAVELLING):
                if name in files:
                    write_atomic(self.path / name, files[name])
            if "predictions.csv" in files:
                # Of an attempt here.
                self._checkpoint.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget the run, the record first."""
        for name in ("run.json", "checkpoint", *RUN_FILES, "log.txt"):
            (self.path / name).unlink(missing_ok=True)


def final_scores(
    spec: RunSpec, rows: list[dict[str, Any]], test: dict[str, float]
) -> dict[str, Any]:
    """Return the last epoch's and the test's scores, and the time: seconds of all epochs, and
    the median epoch's (the first one holds the tracing of the graph)."""
    seconds = [row["seconds"] for row in rows]
    scores = {
        **{name: rows[-1][name] for name in ("loss", "accuracy", "val_loss", "val_accuracy")},
        "epochs": len(rows),
        "test_loss": test.get("test_loss"),
        "test_accuracy": test.get("test_accuracy"),
        "seconds": round(sum(seconds), 4),
        "seconds_per_epoch": float(np.median(seconds)),
    }
    if spec.loss == _BINARY_LOSS:
        scores["binary_accuracy"] = rows[-1]["binary_accuracy"]
        scores["val_binary_accuracy"] = rows[-1]["val_binary_accuracy"]
        scores["test_binary_accuracy"] = test.get("test_binary_accuracy")
    return scores


class Store:
    """The folder that `--output` names."""

    def __init__(self, output: str | Path) -> None:
        self.path = Path(output).expanduser()

    def prepare(self) -> None:
        """Create the folder and see that it can be written to.

        Raises:
            RequestError: it cannot.
        """
        try:
            (self.path / "runs").mkdir(parents=True, exist_ok=True)
            write_atomic(self.path / ".writable", "")
            (self.path / ".writable").unlink(missing_ok=True)
        except OSError as error:
            raise RequestError(
                f"output {str(self.path)!r} cannot be written to ({error.strerror}): give a folder"
                " that can, with --output"
            ) from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder against other commands; the system releases a killed command's lock.

        Raises:
            RequestError: another command holds it.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise RequestError(
                f"output {str(self.path)!r} is in use by another command: wait for it or give"
                " another folder with --output"
            ) from error
        try:
            # What a killed command was writing.
            folders = ("", "figures/", "experiments/")
            for left_over in (p for at in folders for p in self.path.glob(f"{at}.*.tmp")):
                left_over.unlink(missing_ok=True)
            yield
        finally:
            lock.release()

    def folder(self, run: str) -> RunFolder:
        """Return the folder of the run of that name."""
        return RunFolder(self.path / "runs" / run)

    def write_tables(self, runs: dict[str, RunSpec]) -> dict[str, int]:
        """Write history.csv and runs.csv for these runs by name, finished or not.

        Returns the places in the palette that the runs recorded, by activation.
        """
        header = ",".join(HISTORY_COLUMNS) + "\n"
        bodies, rows, places = [header], [], {}
        # One pass that keeps no record: among thousands, reading them is what takes the time.
        for name, spec in runs.items():
            settings, folder = spec_columns(spec, name), self.folder(name)
            record, history = folder.record(), _history_text(folder.path)
            bodies.append(history.removeprefix(header))
            rows.append(_run_row(settings, record, _epochs_in(history)))
            if record and record.get("activation"):
                places[record["activation"]["name"]] = record["activation"]["index"]
        write_atomic(self.path / "history.csv", "".join(bodies))
        write_atomic(self.path / "runs.csv", csv_text(RUN_COLUMNS, rows))
        return places

    def write_table(self, name: str, frame: "pd.DataFrame") -> None:
        """Write a DataFrame as CSV: no index column, floats as in the other tables."""
        records = frame.astype(object).where(frame.notna(), None).to_dict("records")
        write_atomic(self.path / name, csv_text(frame.columns, records))

    def write_text(self, name: str, text: str) -> None:
        """Write a file of text."""
        write_atomic(self.path / name, text)

    def write_environment(self, facts: dict[str, Any]) -> None:
        """Write environment.json."""
        write_atomic(self.path / "environment.json", json.dumps(facts, indent=1) + "\n")

    def remove_figures(self, kinds: tuple[str, ...], keep: list[Path]) -> None:
        """Remove the figures of these kinds that are not among those to keep."""
        for kind in kinds:
            for path in self.figures(kind):
                if path not in keep:
                    path.unlink(missing_ok=True)

    def figures(self, kind: str) -> list[Path]:
        """Return the figures of a kind, "accuracy" or an experiment's name, in order of name."""
        folder = self.path / "figures"
        # Not KIND*: among experiments "losses" is not a kind of "loss".
        found = (*folder.glob(f"{kind}.*"), *folder.glob(f"{kind}-*.*"))
        return sorted(path for path in found if path.suffix in (".png", ".svg"))

    def write_figure(self, name: str, formats: dict[str, bytes]) -> list[Path]:
        """Write figures/NAME.png and the like; return the paths."""
        folder = self.path / "figures"
        folder.mkdir(exist_ok=True)
        paths = [folder / f"{name}.{ending}" for ending in formats]
        for path, content in zip(paths, formats.values()):
            write_atomic(path, content)
        return paths

    def _experiment(self, name: str, ending: str) -> Path:
        return self.path / "experiments" / f"{name}.{ending}"

    def measurement(self, name: str) -> dict[str, Any] | None:
        """Return the record of an experiment whose table is as it left it, else None."""
        record = read_sealed(self._experiment(name, "json"))
        try:
            table = self._experiment(name, "csv").read_bytes()
        except OSError:
            return None
        return record if record and record["checksum"] == sha256(table) else None

    def write_experiment(self, name: str, frame: "pd.DataFrame") -> None:
        """Write an experiment's table."""
        self._experiment(name, "csv").parent.mkdir(parents=True, exist_ok=True)
        self.write_table(f"experiments/{name}.csv", frame)

    def write_measurement(self, name: str, record: dict[str, Any]) -> None:
        """Write the record of an experiment whose table and figures are there."""
        checksum = sha256(self._experiment(name, "csv").read_bytes())
        write_sealed(self._experiment(name, "json"), {**record, "checksum": checksum})
        self._experiment(name, "error.txt").unlink(missing_ok=True)

    @contextlib.contextmanager
    def experiment_lock(self, name: str, seconds: float = 120) -> Iterator[None]:
        """Hold an experiment's files, against a worker left over from a killed command.

        Raises:
            filelock.Timeout: another process held them all the time.
        """
        from filelock import FileLock

        self._experiment(name, "csv").parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / "experiments" / f".{name}.lock", timeout=seconds):
            yield

    def failures(self) -> dict[str, str]:
        """Return why the last attempt at an experiment failed, one line each, by name."""
        texts = (self.path / "experiments").glob("*.error.txt")
        return {
            path.name.removesuffix(".error.txt"): path.read_text(errors="replace").split("\n")[0]
            for path in sorted(texts)
        }

    def write_failure(self, name: str, text: str) -> None:
        """Write what an experiment that failed left to read; its last table stays."""
        self._experiment(name, "csv").parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._experiment(name, "error.txt"), text)

    def measured(self) -> list[str]:
        """Return the names of the experiments that have a table here."""
        tables = (self.path / "experiments").glob("*.csv")
        return sorted(path.stem for path in tables if path.stem != CLAIMS)

    def recorded(self) -> dict[str, RunSpec]:
        """Return the recorded runs by name: those that runs.csv lists, else all.

        The names are those of the folders: another version of this project may have given them.
        """
        folders = []
        with contextlib.suppress(OSError, KeyError, TypeError, ValueError, csv.Error):
            text = (self.path / "runs.csv").read_text(encoding="utf-8")
            listed = [row["run"] for row in csv.DictReader(io.StringIO(text))]
            folders = [self.path / "runs" / run for run in listed]
        folders = folders or sorted((self.path / "runs").glob("*/"))
        records = ((path.name, RunFolder(path).record()) for path in folders)
        return {name: RunSpec(**record["spec"]) for name, record in records if record}

    def run_states(self) -> list[tuple[str, str, int]]:
        """Return name, status and finished epochs of every run, in the order of their names."""
        states = []
        for path in sorted((self.path / "runs").glob("*/")):
            folder = RunFolder(path)
            record = folder.record()
            status = record["status"] if record else "unfinished"
            if status in DONE and not folder.done():
                status = "damaged"
            states.append((path.name, status, _epochs_in(_history_text(path))))
        return states

    def tables(self) -> tuple["pd.DataFrame", "pd.DataFrame"]:
        """Read history.csv and runs.csv.

        Raises:
            RequestError: the folder holds no results.
        """
        return self.table("history.csv"), self.table("runs.csv")

    def table(self, name: str) -> "pd.DataFrame":
        """Read one of the tables.

        Raises:
            RequestError: it is missing or damaged.
        """
        import pandas as pd

        try:
            return pd.read_csv(self.path / name)
        except FileNotFoundError as error:
            raise RequestError(
                f"{str(self.path)!r} holds no results ({name} is missing): give the --output"
                " folder of an earlier comparison"
            ) from error
        except ValueError as error:
            raise RequestError(
                f"{str(self.path / name)!r} is damaged: `python -m benchmark report --output"
                f" {self.path}` makes it anew"
            ) from error


def _history_text(folder: Path) -> str:
    try:
        return (folder / "history.csv").read_text(encoding="utf-8")
    except OSError:
        return ""


def _epochs_in(history: str) -> int:
    return max(history.count("\n") - 1, 0)


def _run_row(
    settings: dict[str, Any], record: dict[str, Any] | None, epochs: int
) -> dict[str, Any]:
    row = {**settings, "status": "unfinished", "epochs": epochs}
    if record:
        row |= record.get("scores", {})
        row |= {name: record.get(name) for name in ("status", "error", "parameters")}
        row["peak_memory_mb"] = record.get("peak_memory_mb")
        row["data_origin"] = record.get("data", {}).get("origin")
    return row
