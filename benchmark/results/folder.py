"""The results folder: where its files are, its lock, its tables read and written."""

import contextlib
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import RequestError, one_line
from benchmark.formatting import some
from benchmark.results import predictions
from benchmark.results.formats import (
    csv_text,
    matches,
    not_a_file,
    read_file,
    read_record,
    remove,
    set_aside,
    sha256,
    write_atomic,
    write_record,
)
from benchmark.results.run import RunFolder
from benchmark.results.run_state import RunState
from benchmark.results.schema import (
    BINARY_SCORES,
    DAMAGED,
    HISTORY_COLUMNS,
    RUN_COLUMNS,
    SCORES,
    STANDARD_SCORE,
    UNFINISHED,
    spec_columns,
)
from benchmark.results.survey import Survey, run_names, survey
from benchmark.training.options import path_part
from benchmark.training.spec import COMPARISON, RunSpec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Beside the experiments' tables: what all of them say.
CLAIMS = "claims"
_PREDICTIONS = {"index": int, "true": int, "predicted": int, "probability": float}
# A table of all pairs of classes must fit into memory.
_MOST_CLASSES = 1000
# Names in the folder that lead to others: written into, not replaced.
_OWN = ("runs", "experiments", "figures", "tensorboard", ".lock", ".merging")


class Store:
    """The folder that `--output` names."""

    def __init__(self, output: str | Path) -> None:
        """Raises RequestError where what is written into is a link, or of another kind."""
        self.path = Path(output).expanduser()
        for name in _OWN:
            path = self.path / name
            if path.is_symlink():
                raise RequestError(
                    f"{str(path)!r} is a link, and links inside a results folder are not followed:"
                    " remove it"
                )
            if path.exists() and path.is_dir() == (name == ".lock"):
                right = "file" if name == ".lock" else "folder"
                raise RequestError(f"{str(path)!r} is no {right}: move it elsewhere")

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

        `purposes` says what runs are for, by name; the others are for the comparison. Damaged runs
        are listed, without numbers. Returns the positions in the palette that the runs recorded,
        by activation.

        Raises:
            RequestError: no run has a whole record any more; the tables that are there stay.
        """
        history, rows, positions = self._rows(runs, purposes or {})
        lost = all(row["status"] in (UNFINISHED, DAMAGED) for row in rows)
        if rows and lost and (self.path / "runs.csv").exists():
            raise RequestError(
                f"{str(self.path / 'runs')!r} has no whole record of {some(list(runs))}: nothing is"
                " written; bring the folder back, or do the comparison again"
            )
        write_atomic(self.path / "history.csv", history)
        write_atomic(self.path / "runs.csv", csv_text(RUN_COLUMNS, rows))
        return positions

    def runs(self, runs: dict[str, RunSpec], purposes: dict[str, str]) -> "pd.DataFrame":
        """Return what runs.csv would hold of these runs."""
        import pandas as pd

        return pd.read_csv(io.StringIO(csv_text(RUN_COLUMNS, self._rows(runs, purposes)[1])))

    def _rows(
        self, runs: dict[str, RunSpec], purposes: dict[str, str]
    ) -> tuple[str, list[dict[str, Any]], dict[str, int]]:
        """Return the text of history.csv, the rows of runs.csv, and positions in the palette."""
        header = ",".join(HISTORY_COLUMNS) + "\n"
        bodies, rows, positions = [header], [], {}
        test_sets: dict[str, dict[str, Any]] = {}
        # One pass that keeps no record: among thousands, reading them is what takes the time.
        for name, spec in runs.items():
            folder = self.folder(name)
            state = folder.state(spec)
            spec = state.spec or spec
            bodies.append(state.history)
            # All runs of the same data share a test set: it is read from the first complete one.
            whole = state.record if state.status == "complete" else None
            if whole and not test_sets.get(spec.data_sha256):
                test_sets[spec.data_sha256] = folder.test_set(whole)
            purpose = purposes.get(name) or COMPARISON
            rows.append({**_run_row(spec_columns(spec, name), state), "purpose": purpose})
            known = (state.record or {}).get("activation") or {}
            if "name" in known and "index" in known:
                positions[known["name"]] = known["index"]
        for row in rows:
            row |= test_sets.get(row["data_sha256"], {})
        return "".join(bodies), rows, positions

    def write_table(self, name: str, frame: "pd.DataFrame") -> None:
        """Write a DataFrame as CSV: no index column, floats as in the other tables."""
        records = frame.astype(object).where(frame.notna(), None).to_dict("records")
        write_atomic(self.path / name, csv_text(frame.columns, records))

    def write_text(self, name: str, text: str | bytes) -> None:
        """Write a file of text."""
        write_atomic(self.path / name, text)

    def remove(self, name: str) -> None:
        """Remove one of the tables, or the page, if it is there."""
        remove(self.path / name)

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
        path_part("figure", name)
        paths = [folder / f"{name}.{ending}" for ending in formats]
        for path, content in zip(paths, formats.values()):
            write_atomic(path, content)
        return paths

    def _experiment(self, name: str, ending: str) -> Path:
        return self.path / "experiments" / f"{name}.{ending}"

    def measurement(self, name: str) -> dict[str, Any] | None:
        """Return the record of an experiment whose table is as it left it, else None."""
        from benchmark.results.records import check_measurement

        record = read_record(self._experiment(name, "json"))
        try:
            check_measurement(record or {})
            table = read_file(self._experiment(name, "csv"))
        except (OSError, ValueError):
            return None
        return record if record and matches(table, record["checksum"]) else None

    def write_experiment(self, name: str, frame: "pd.DataFrame") -> None:
        """Write an experiment's table."""
        self._experiment(name, "csv").parent.mkdir(parents=True, exist_ok=True)
        self.write_table(f"experiments/{name}.csv", frame)

    def write_measurement(self, name: str, record: dict[str, Any]) -> None:
        """Write the record of an experiment whose table and figures are there."""
        checksum = sha256(self._experiment(name, "csv").read_bytes())
        write_record(self._experiment(name, "json"), {**record, "checksum": checksum})
        remove(self._experiment(name, "error.txt"))

    @contextlib.contextmanager
    def experiment_lock(self, name: str, seconds: float = 120) -> Iterator[None]:
        """Hold an experiment's files, against a worker left over from a killed command.

        Raises:
            filelock.Timeout: another process held them all the time.
        """
        from filelock import FileLock

        self._experiment(name, "csv").parent.mkdir(parents=True, exist_ok=True)
        path = self.path / "experiments" / f".{name}.lock"
        if not_a_file(path):
            set_aside(path)
        with FileLock(path, timeout=seconds):
            yield

    def failures(self) -> dict[str, str]:
        """Return why the last attempt at an experiment failed, one line each, by name."""
        failures = {}
        for path in sorted((self.path / "experiments").glob("*.error.txt")):
            with contextlib.suppress(OSError):
                text = read_file(path).decode(errors="replace")
                failures[path.name.removesuffix(".error.txt")] = text.split("\n")[0]
        return failures

    def write_failure(self, name: str, text: str) -> None:
        """Write what an experiment that failed left to read; its last table stays."""
        self._experiment(name, "csv").parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._experiment(name, "error.txt"), text)

    def measured(self) -> list[str]:
        """Return the names of the experiments that left a table or a record here."""
        paths = (self.path / "experiments").glob("*.*")
        return sorted({path.stem for path in paths if path.suffix in (".csv", ".json")} - {CLAIMS})

    def survey(self) -> Survey:
        """Return settings and purposes of the runs that runs.csv lists, or of all where it cannot
        be believed, and what to say of the others.

        Raises:
            RequestError: runs.csv is there, but no record of a run.
        """
        return survey(self.path)

    def recorded(self) -> dict[str, RunSpec]:
        """Return the settings of these runs by name."""
        return self.survey().specs

    def purposes(self) -> dict[str, str]:
        """Return what each of these runs is for, by name."""
        return self.survey().purposes

    def predictions(self, runs: Iterable[str]) -> "pd.DataFrame":
        """Return the test predictions of these runs: `run`, `index`, `true`, `predicted` and
        `probability`, that of the predicted class. Runs that are not whole are left out."""
        import pandas as pd

        frames = []
        for run in runs:
            folder = self.folder(run)
            with contextlib.suppress(OSError, ValueError):
                if record := folder.done():
                    text = io.BytesIO(predictions.read(folder.path, record["checksums"]))
                    frame = pd.read_csv(text, dtype=_PREDICTIONS)
                    if (frame[["true", "predicted"]] < _MOST_CLASSES).all(axis=None):
                        frames.append(frame.assign(run=run))
        columns = ["run", *_PREDICTIONS]
        return pd.concat(frames)[columns] if frames else pd.DataFrame(columns=columns)

    def right(self, runs: Iterable[str]) -> "dict[str, np.ndarray]":
        """Return by run which test examples it classifies correctly, (examples,), in their order;
        runs that are not whole are left out."""
        right = {}
        for run in runs:
            frame = self.predictions([run])
            if len(frame):
                ordered = frame.sort_values("index")
                right[run] = (ordered["true"] == ordered["predicted"]).to_numpy()
        return right

    def run_states(self) -> dict[str, RunState]:
        """Return what every run's folder holds, in the order of their names."""
        return {name: self.folder(name).state() for name in run_names(self.path)}

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

        path = self.path / name
        try:
            return pd.read_csv(io.BytesIO(read_file(path)))
        except FileNotFoundError as error:
            raise RequestError(
                f"{str(self.path)!r} holds no results ({name} is missing): give the --output"
                " folder of an earlier comparison"
            ) from error
        except (OSError, ValueError) as error:
            command = "experiments --fresh" if name.startswith("experiments/") else "report"
            raise RequestError(
                f"{str(path)!r} is damaged ({one_line(error)}): `python -m benchmark {command}"
                f" --output {self.path}` makes it anew"
            ) from error


def _run_row(settings: dict[str, Any], state: RunState) -> dict[str, Any]:
    row = {**settings, "status": state.status, "epochs": state.epochs}
    if state.status == DAMAGED:
        return {**row, "error": state.problem}
    record = state.record or {}
    row |= {name: record.get(name) for name in ("error", "parameters", "peak_memory_mb")}
    row["data_origin"] = record.get("data", {}).get("origin")
    load = record.get("load") or {}
    averages = [load[at] for at in ("start", "end") if load.get(at) is not None]
    row |= {"load": max(averages, default=None), "own_load": load.get("own")}
    scores = record.get("scores") or {}
    names = (*SCORES, *BINARY_SCORES, STANDARD_SCORE)
    return row | {name: scores[name] for name in names if name in scores}
