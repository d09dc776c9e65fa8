"""What the commands show at their end: tables on the screen, and where the files are."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from benchmark.activations import as_shown
from benchmark.errors import this_python
from benchmark.execution.progress import say
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART
from benchmark.formatting import plain
from benchmark.report import facts
from benchmark.report.text import fill
from benchmark.results.folder import Store
from benchmark.stats.answer import Answer
from benchmark.stats.summary import SETTINGS

if TYPE_CHECKING:
    from rich.console import Console


def show_comparison(
    console: "Console", store: Store, runs: pd.DataFrame, figures: list[Path]
) -> None:
    """Print the table of a comparison, its failed and damaged runs, and where the files are."""
    console.print(_comparison_table(store.table("summary.csv"), store.table("comparisons.csv")))
    failed = runs[runs["status"] == "failed"]
    for run, error in zip(failed["run"].astype(str), failed["error"]):
        say(console, f"Failed: {run}: {error} (see {store.folder(run).log})")
    damaged = runs[runs["status"] == "damaged"]
    for run, problem in zip(damaged["run"].astype(str), damaged["error"]):
        say(console, f"Damaged, left out of all tables: {run}: {problem}")
    names = "history, runs, summary, comparisons, pairs, time_to_accuracy"
    say(console, f"Tables: {store.path}/ {names} (.csv); answer.json")
    report = f"{this_python()} -m benchmark report --output {shlex.quote(str(store.path))}"
    say(console, f"The page: {report}")
    if figures:
        stems = dict.fromkeys(path.stem for path in figures)
        say(console, f"Figures: {figures[0].parent}/ {', '.join(stems)} (.png, .svg)")


def show_answers(console: "Console", answers: Sequence[Answer]) -> None:
    """Print what to use, and why."""
    for answer in facts.answers(answers):
        text = fill("answer.txt", **answer)
        say(console, "\n" + text.replace("\n\n", "\n"))


def _comparison_table(summary: pd.DataFrame, comparisons: pd.DataFrame) -> Table:
    """Return the activations of each setting, the most accurate first. No number is wrapped."""
    varied = [name for name in SETTINGS if summary[name].nunique(dropna=False) > 1]
    baselines = list(comparisons["baseline"].unique())
    verdicts = {
        _setting(row): row["verdict"]
        for row in _records(comparisons[comparisons["metric"] == "test_accuracy"])
    }
    table = Table()
    table.add_column("activation", overflow="fold")
    for name in varied:
        table.add_column(name.replace("_", " "), overflow="fold")
    for heading in ("val. accuracy (%)", "test accuracy (%)"):
        table.add_column(heading, justify="right")
    for name in baselines:
        table.add_column(Text(f"against {name}"))
    table.add_column("epoch (s)", justify="right")
    table.add_column("runs", justify="right")
    ordered = summary.sort_values("test_accuracy_mean", ascending=False, na_position="last")
    for row in _records(ordered):
        table.add_row(
            Text(as_shown(str(row["activation"]))),
            *(Text(plain(row[name])) for name in varied),
            _joined(_spread(row, "val_accuracy")),
            _joined(_spread(row, "test_accuracy")),
            *(verdicts.get(_setting(row), "–") for _ in baselines),
            _two_decimals(row["seconds_per_epoch_median"]),
            _run_counts(row),
        )
    return table


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _spread(row: dict[str, Any], metric: str) -> str:
    """Return mean ± standard deviation in %, "91.4 ± 0.6"; "–" where there is no mean."""
    mean, deviation = 100 * row[f"{metric}_mean"], 100 * row[f"{metric}_std"]
    if pd.isna(mean):
        return "–"
    return f"{mean:.1f}" if pd.isna(deviation) else f"{mean:.1f} ± {deviation:.1f}"


def _two_decimals(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"


def _joined(text: str) -> str:
    """Return the text with spaces at which no line is broken."""
    return text.replace(" ", "\u00a0")


def _run_counts(row: dict[str, Any]) -> str:
    counts = {kind: row[f"n_{kind}"] for kind in ("not_learned", "diverged", "failed")}
    # Whether runs learned may be unknown (NaN).
    odd = [f"{count:.0f} {kind.replace('_', ' ')}" for kind, count in counts.items() if count > 0]
    return ", ".join([str(row["n_completed"]), *odd])


def _setting(row: dict[str, Any]) -> tuple[str, ...]:
    """Return what tells rows of a table apart; of tuned ones the learning rate does not."""
    own = row["rates"] == "tuned"
    names = [name for name in SETTINGS if not (own and name == "learning_rate")]
    return (row["activation"], *(plain(row[name]) for name in names))


def show_claims(console: "Console", store: Store, claims: pd.DataFrame) -> None:
    """Print how the claims of each experiment fared, and where the files are."""
    verdicts = list(dict.fromkeys([HOLDS, IN_PART, FAILS, *claims["verdict"]]))
    table = Table()
    table.add_column("experiment", overflow="fold")
    for verdict in verdicts:
        table.add_column(verdict, justify="right")
    for name, group in claims.groupby("experiment", sort=False):
        counts = group["verdict"].value_counts()
        table.add_row(str(name), *(str(counts.get(verdict, "")) for verdict in verdicts))
    console.print(table)
    say(console, f"Tables: {store.path}/experiments/; each claim with its evidence: claims.csv")
    say(console, f"Figures: {store.path}/figures/")
