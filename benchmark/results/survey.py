"""Which runs a folder has: those that runs.csv lists, or all where it cannot be believed."""

import contextlib
import csv
import io
import os
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.errors import RequestError
from benchmark.formatting import some
from benchmark.results.formats import read_file
from benchmark.results.run_state import read_run_record
from benchmark.results.schema import spec_of
from benchmark.training.options import path_part
from benchmark.training.spec import COMPARISON, TUNED, TUNING, RunSpec

_PURPOSES = (COMPARISON, TUNED, TUNING)


@dataclass(frozen=True)
class Survey:
    """Settings and purposes of a folder's runs by name, and what to say of the others.

    The names are those of the folders: another version of this project may have given them.
    """

    specs: dict[str, RunSpec] = field(default_factory=dict)
    purposes: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def survey(path: Path) -> Survey:
    """Return the runs of the folder at `path`.

    Settings are read from runs.csv, which has those of unfinished runs too, or else from the
    records; tables are made from what `RunFolder.state` says.

    Raises:
        RequestError: runs.csv is there, but no record of a run: tables from these would have no
            numbers.
    """
    names = run_names(path)
    recorded = {name for name in names if os.path.lexists(path / "runs" / name / "run.json")}
    if not recorded and (path / "runs.csv").exists():
        raise RequestError(
            f"{str(path / 'runs.csv')!r} is there, but runs/ beside it has no record of a run:"
            " bring that folder back, or remove the table"
        )
    rows: dict[str, dict[str, str]] = {}
    found = Survey()
    try:
        rows = _listed(path, recorded)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, csv.Error):
        found.notes.append("runs.csv is damaged: the runs are listed anew from runs/.")
    damaged: list[str] = []
    unknown: list[str] = []
    for name in rows or names:
        try:
            settings = _settings(path / "runs" / name, rows.get(name, {}))
        except ValueError:
            (damaged if name in recorded else unknown).append(name)
            continue
        found.specs[name], found.purposes[name] = settings
    if damaged:
        found.notes.append(f"Damaged, with settings unknown, and left out: {some(damaged)}.")
    if unknown:
        found.notes.append(f"Unfinished, with settings unknown, and left out: {some(unknown)}.")
    return found


def run_names(path: Path) -> list[str]:
    """Return the names of the folders of runs, links among them, in order."""
    try:
        entries = list(os.scandir(path / "runs"))
    except OSError:
        return []
    return sorted(entry.name for entry in entries if entry.is_dir() and _is_name(entry.name))


def _is_name(text: str) -> bool:
    try:
        path_part("run", text)
    except RequestError:
        return False
    return True


def _listed(path: Path, recorded: set[str]) -> dict[str, dict[str, str]]:
    """Return the rows of runs.csv by run.

    Raises:
        FileNotFoundError: there is none.
        OSError, ValueError, csv.Error: it is damaged, or cut short.
    """
    text = read_file(path / "runs.csv").decode("utf-8-sig")
    table = list(csv.DictReader(io.StringIO(text, newline="")))
    rows = {row.get("run") or "": row for row in table}
    whole = text.endswith("\n") and all(None not in (*row, *row.values()) for row in table)
    if not whole or len(rows) < len(table) or not all(map(_is_name, rows)):
        raise ValueError("rows or cells are missing, or no names of runs")
    # history.csv is written with it: a run that is there alone has been cut off here.
    if not recorded & set(rows) or (_runs_with_epochs(path) & recorded) - set(rows):
        raise ValueError("runs are missing")
    return rows


def _runs_with_epochs(path: Path) -> set[str]:
    """Return the runs in history.csv, as far as it can be read."""
    try:
        text = read_file(path / "history.csv").decode("utf-8-sig")
    except (OSError, ValueError):
        return set()
    if '"' in text:
        return {row[-1] for row in csv.reader(io.StringIO(text, newline="")) if row}
    return {line.rpartition(",")[2] for line in text.splitlines()}


def _settings(folder: Path, row: dict[str, str]) -> tuple[RunSpec, str]:
    """Return what a run's settings are and what it is for.

    Raises:
        ValueError: its row does not say, and its record is missing or damaged.
    """
    spec, purpose = None, row.get("purpose", "")
    with contextlib.suppress(KeyError, ValueError):
        spec = spec_of(row)
    if spec and purpose in _PURPOSES:
        return spec, purpose
    try:
        record, recorded = read_run_record(folder)
    except ValueError:
        if spec is None:
            raise
        return spec, COMPARISON
    purpose = purpose if purpose in _PURPOSES else record.get("purpose", COMPARISON)
    return spec or recorded, purpose
