"""The results folder: where its files are, its lock, its tables read and written."""

import contextlib
import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import RequestError
from benchmark.results.formats import csv_text, read_record, sha256, write_atomic, write_record
from benchmark.results.run import RunFolder
from benchmark.results.schema import DONE, HISTORY_COLUMNS, RUN_COLUMNS, spec_columns, spec_of
from benchmark.training.spec import COMPARISON, RunSpec

if TYPE_CHECKING:
    import pandas as pd

# Beside the experiments' tables: what all of them say.
CLAIMS = "claims"


class Store:
    """The folder that `--output` names."""

    def __init__(self, output: str | Path) -> None:
        self.path = Path(output).expanduser()

    @property
    def log(self) -> Path:
        """What a command said after its screen had gone away."""
        return self.path / "log.txt"

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
            for temporary in (p for at in folders for p in self.path.glob(f"{at}.*.tmp")):
                temporary.unlink(missing_ok=True)
            yield
        finally:
            lock.release()

    def folder(self, run: str) -> RunFolder:
        """Return the folder of the run of that name."""
        return RunFolder(self.path / "runs" / run)

    def write_tables(
        self, runs: dict[str, RunSpec], purposes: dict[str, str] | None = None
    ) -> dict[str, int]:
        """Write history.csv and runs.csv for these runs by name, finished or not.

        `purposes` says what runs are for, by name; the others are for the comparison. Returns the
        positions in the palette that the runs recorded, by activation.
        """
        history, table, positions = self._tables(runs, purposes or {})
        write_atomic(self.path / "history.csv", history)
        write_atomic(self.path / "runs.csv", table)
        return positions

    def runs(self, runs: dict[str, RunSpec], purposes: dict[str, str]) -> "pd.DataFrame":
        """Return what runs.csv would hold of these runs."""
        import pandas as pd

        return pd.read_csv(io.StringIO(self._tables(runs, purposes)[1]))

    def _tables(
        self, runs: dict[str, RunSpec], purposes: dict[str, str]
    ) -> tuple[str, str, dict[str, int]]:
        """Return the texts of history.csv and runs.csv, and the positions in the palette."""
        header = ",".join(HISTORY_COLUMNS) + "\n"
        bodies, rows, positions = [header], [], {}
        test_sets: dict[str, dict[str, Any]] = {}
        # One pass that keeps no record: among thousands, reading them is what takes the time.
        for name, spec in runs.items():
            settings, folder = spec_columns(spec, name), self.folder(name)
            record, history = folder.record(), _history_text(folder.path)
            bodies.append(history.removeprefix(header))
            row = _run_row(settings, record, _epochs_in(history))
            # All runs of the same data share a test set: it is read from the first complete one.
            if row["status"] == "complete" and not test_sets.get(spec.data_sha256):
                test_sets[spec.data_sha256] = folder.test_set()
            rows.append({**row, "purpose": purposes.get(name) or COMPARISON})
            if record and record.get("activation"):
                positions[record["activation"]["name"]] = record["activation"]["index"]
        for row in rows:
            row |= test_sets.get(row["data_sha256"], {})
        return "".join(bodies), csv_text(RUN_COLUMNS, rows), positions

    def write_table(self, name: str, frame: "pd.DataFrame") -> None:
        """Write a DataFrame as CSV: no index column, floats as in the other tables."""
        records = frame.astype(object).where(frame.notna(), None).to_dict("records")
        write_atomic(self.path / name, csv_text(frame.columns, records))

    def write_text(self, name: str, text: str) -> None:
        """Write a file of text."""
        write_atomic(self.path / name, text)

    def remove(self, name: str) -> None:
        """Remove one of the tables, or the page, if it is there."""
        (self.path / name).unlink(missing_ok=True)

    def write_environment(self, facts: dict[str, Any]) -> None:
        """Write environment.json."""
        write_atomic(self.path / "environment.json", json.dumps(facts, indent=1) + "\n")

    def remove_figures(self, kinds: Iterable[str], keep: list[Path]) -> None:
        """Remove the figures of these kinds that are not among those to keep."""
        for kind in kinds:
            for path in self.figures(kind):
                if path not in keep:
                    path.unlink(missing_ok=True)

    def figures(self, kind: str) -> list[Path]:
        """Return the figures of a kind, "accuracy" or an experiment's name, in order of name."""
        folder = self.path / "figures"
        # Not KIND*: among experiments "losses" is not a kind of "loss".
        paths = (*folder.glob(f"{kind}.*"), *folder.glob(f"{kind}-*.*"))
        return sorted(path for path in paths if path.suffix in (".png", ".svg"))

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
        record = read_record(self._experiment(name, "json"))
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
        write_record(self._experiment(name, "json"), {**record, "checksum": checksum})
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

        The settings of an unfinished run, which has no record, are read from runs.csv. The names
        are those of the folders: another version of this project may have given them.
        """
        listed: dict[str, dict[str, str]] = {}
        with contextlib.suppress(OSError, KeyError, TypeError, ValueError, csv.Error):
            text = (self.path / "runs.csv").read_text(encoding="utf-8")
            listed = {row["run"]: row for row in csv.DictReader(io.StringIO(text))}
        names = listed or [path.name for path in sorted((self.path / "runs").glob("*/"))]
        specs = {}
        for name in names:
            record = self.folder(name).record()
            with contextlib.suppress(KeyError, TypeError, ValueError):
                specs[name] = RunSpec(**record["spec"]) if record else spec_of(listed[name])
        return specs

    def purposes(self) -> dict[str, str]:
        """Return what each recorded run is for, by name: as runs.csv has it, else its record."""
        listed = {}
        with contextlib.suppress(OSError, KeyError, TypeError, ValueError, csv.Error):
            text = (self.path / "runs.csv").read_text(encoding="utf-8")
            listed = {row["run"]: row["purpose"] for row in csv.DictReader(io.StringIO(text))}
        for path in (self.path / "runs").glob("*/"):
            if not listed.get(path.name):
                record = RunFolder(path).record() or {}
                listed[path.name] = record.get("purpose", COMPARISON)
        return listed

    def predictions(self, runs: Iterable[str]) -> "pd.DataFrame":
        """Return the test predictions of these runs: `run`, `index`, `true`, `predicted` and
        `probability`, that of the predicted class. Runs without predictions are left out."""
        import pandas as pd

        frames = []
        for run in runs:
            with contextlib.suppress(OSError, ValueError):
                frame = pd.read_csv(self.folder(run).path / "predictions.csv")
                frames.append(frame.assign(run=run))
        columns = ["run", "index", "true", "predicted", "probability"]
        return pd.concat(frames)[columns] if frames else pd.DataFrame(columns=columns)

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
