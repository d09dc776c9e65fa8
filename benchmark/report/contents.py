"""What a folder of results holds, read and checked for the report.

Nothing is trained, and TensorFlow is not loaded.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.errors import RequestError
from benchmark.experiments.sections import Section, sections
from benchmark.plotting import catalogue
from benchmark.plotting.palette import line_styles
from benchmark.results import request_file, tables
from benchmark.results.folder import Store
from benchmark.results.records import read_environment
from benchmark.results.schema import HISTORY_COLUMNS, RUN_COLUMNS
from benchmark.stats.answer import Answer
from benchmark.stats.comparisons import PAIR_COLUMNS
from benchmark.training.spec import COMPARISON

TABLES = (
    *("summary", "time_to_accuracy", "comparisons", "pairs"),
    *("tuning", "confusion", "misclassified"),
)


@dataclass(frozen=True)
class Results:
    """The tables of a folder, as DataFrames with the columns of the files of the same names.

    Those that the folder does not have are without rows. `environment` is what environment.json
    holds, `requests` what request.json holds (empty where there is none); `sections` are the
    experiments, `answer` what to use in each setting, `drawings` the figures of the comparison,
    `varied` the settings that vary.
    """

    folder: Path
    runs: pd.DataFrame
    history: pd.DataFrame
    summary: pd.DataFrame
    time_to_accuracy: pd.DataFrame
    comparisons: pd.DataFrame
    pairs: pd.DataFrame
    tuning: pd.DataFrame
    confusion: pd.DataFrame
    misclassified: pd.DataFrame
    environment: dict[str, Any]
    requests: list[dict[str, Any]]
    sections: list[Section]
    answer: list[Answer]
    drawings: list[catalogue.Drawing]
    varied: list[str]

    def settings(self, table: pd.DataFrame) -> list[catalogue.Part]:
        """Return the parts of a table that belong to one setting each."""
        return catalogue.parts(table, self.varied)

    def same(self, table: pd.DataFrame, part: catalogue.Part) -> pd.DataFrame:
        """Return the rows of another table for the same setting."""
        rows = [other.rows for other in self.settings(table) if other.labels == part.labels]
        return rows[0] if rows else table.iloc[:0]


def read(folder: str | Path) -> Results:
    """Read a folder of results; tables that an older version did not write are derived.

    Raises:
        RequestError: the folder holds no results.
    """
    store = Store(folder)
    experiments = sections(store)
    compared = (store.path / "runs.csv").exists()
    if not compared and not experiments:
        raise RequestError(
            f"{str(folder)!r} holds no results: make some with `python run_all.py --output"
            f" {folder}`, or set FOLDER to the --output folder of an earlier command"
        )
    history = store.table("history.csv") if compared else pd.DataFrame(columns=HISTORY_COLUMNS)
    runs = store.table("runs.csv") if compared else pd.DataFrame(columns=RUN_COLUMNS)
    runs = _with_new_columns(runs)
    others = _derived(store, history, runs) if len(runs) else dict.fromkeys(TABLES, pd.DataFrame())
    whole = {"history": history, "runs": runs, **others}
    known = line_styles(_palette_indices(store, runs))
    return Results(
        folder=store.path,
        **whole,
        environment=read_environment(store.path / "environment.json"),
        requests=request_file.read(store),
        sections=experiments,
        answer=tables.answer(whole, runs) if len(runs) else [],
        drawings=list(catalogue.of(whole, known)) if len(runs) else [],
        varied=catalogue.varied(runs) if len(runs) else [],
    )


def _with_new_columns(runs: pd.DataFrame) -> pd.DataFrame:
    """Add the columns that the tables of older versions lack."""
    missing = [name for name in ("test_images", "majority_share") if name not in runs]
    runs = runs.assign(**dict.fromkeys(missing, float("nan")))
    return runs if "purpose" in runs else runs.assign(purpose=COMPARISON)


def _derived(store: Store, history: pd.DataFrame, runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    needed = [name for name in TABLES if name != "tuning"]
    if all((store.path / f"{name}.csv").exists() for name in needed):
        there = {name: store.table(f"{name}.csv") for name in needed}
        chosen = (store.path / "tuning.csv").exists()
        # Of older versions pairs.csv lacks columns.
        if set(PAIR_COLUMNS) <= set(there["pairs"]):
            return {**there, "tuning": store.table("tuning.csv") if chosen else pd.DataFrame()}
    return tables.derive(store, history, runs)


def _palette_indices(store: Store, runs: pd.DataFrame) -> dict[str, int]:
    """Return the recorded palette indices of activations that are not registered here."""
    indices = {}
    for name, rows in runs[~runs["activation"].isin(line_styles())].groupby("activation"):
        records = (store.folder(run).record() for run in rows["run"])
        known = (record["activation"] for record in records if record and record.get("activation"))
        place = next((about["index"] for about in known if "index" in about), None)
        if place is not None:
            indices[str(name)] = place
    return indices
