"""What the report's sentences are about: DataFrames in, small dicts of numbers and names out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED
from benchmark.experiments.sections import Section
from benchmark.formatting import counted
from benchmark.stats.cautions import too_short
from benchmark.stats.comparisons import ALPHA, BETTER, NO_DIFFERENCE, TOO_FEW, WORSE
from benchmark.stats.summary import SETTINGS
from benchmark.stats.tests import smallest_p
from benchmark.training.spec import COMPARISON, TUNING

WITHHELD = "verdict withheld"
Facts = dict[str, Any]


def ends(values: pd.Series) -> list[Facts]:
    """Return the highest and the lowest of these values, by activation, with all that have it.

    Values that differ by rounding errors alone count as equal; of equal ones there is one end.
    """
    values = values.dropna().sort_index()
    if values.empty:
        return []
    equal = [
        {"value": end, "names": list(values.index[np.isclose(values, end, rtol=1e-9, atol=0)])}
        for end in (values.max(), values.min())
    ]
    return equal[:1] if equal[0]["names"] == equal[1]["names"] else equal


def standing(summary: pd.DataFrame) -> Facts:
    """Return who is best and worst in test accuracy, and who did not learn, in one setting."""
    rows = summary.set_index("activation")
    extremes = ends(rows["test_accuracy_mean"].astype(float))
    for end in extremes:
        low, high = (rows[f"test_accuracy_ci_{side}"][end["names"][0]] for side in ("low", "high"))
        # Each of several has an interval of its own.
        known = len(end["names"]) == 1 and pd.notna(low)
        end["interval"] = (100 * low, 100 * high) if known else None
    lost = {
        name: {
            status: int(row[f"n_{status}"])
            for status in ("diverged", "failed", "unfinished")
            if row[f"n_{status}"] > 0
        }
        for name, row in rows[rows["n_completed"] == 0].iterrows()
    }
    return {
        "ends": extremes,
        "single": rows["n_completed"].max() == 1,
        "not_learned": affected(summary, "n_not_learned"),
        "too_short": {
            name: counts
            for name, counts in affected(summary, "n_still_improving").items()
            if too_short(*counts)
        },
        "lost": lost,
    }


def affected(summary: pd.DataFrame, count: str) -> dict[str, tuple[int, int]]:
    """Return how many of its complete runs this column counts, and how many there are, by
    activation, in one setting; those of which it counts none are left out."""
    if count not in summary:
        # A table of an earlier version.
        return {}
    rows = summary[summary[count] > 0]
    counts = zip(rows["activation"], rows[count].astype(int), rows["n_completed"].astype(int))
    return {name: (runs, of) for name, runs, of in counts}


def claims(sections: Sequence[Section]) -> dict[str, int]:
    """Return how many claims of these experiments have each verdict."""
    verdicts = [finding.verdict for section in sections for finding in section.findings]
    return {
        verdict: verdicts.count(verdict)
        for verdict in (HOLDS, IN_PART, FAILS, UNDECIDED)
        if verdict in verdicts
    }


# Differences


def verdicts(comparisons: pd.DataFrame) -> Facts | None:
    """Return what the comparisons of one setting in test accuracy show; None of none."""
    rows = comparisons[comparisons["metric"] == "test_accuracy"] if len(comparisons) else None
    if rows is None or rows.empty:
        return None
    rows = rows.sort_values("difference", key=abs, ascending=False, kind="stable")
    verdict = rows["verdict"].mask(_withheld(rows), WITHHELD)
    order = [BETTER, WORSE, NO_DIFFERENCE, WITHHELD, TOO_FEW, *verdict]
    groups = {word: list(rows.loc[verdict == word, "activation"]) for word in order}
    open_rows = rows[verdict == NO_DIFFERENCE].dropna(subset="ci_low")
    tested = rows[rows["mcnemar_p"].notna()]
    apart = tested[tested["mcnemar_p"] < ALPHA]
    return {
        "baseline": rows["baseline"].iloc[0],
        "count": len(rows),
        "groups": {word: who for word, who in groups.items() if who or word in (BETTER, WORSE)},
        "interval": (open_rows["ci_low"].min(), open_rows["ci_high"].max())
        if len(open_rows)
        else None,
        "single_pairs": None
        if tested.empty
        else dict(zip(apart["activation"], apart["mcnemar_p"])),
        **_pairs_needed(rows),
    }


def pairs(table: pd.DataFrame) -> Facts | None:
    """Return which of all pairs of activations in one setting are told apart, (better, worse).

    None where there are fewer than two pairs, or no pair of runs: nothing beyond `verdicts`.
    """
    if len(table) < 2 or table["n_pairs"].max() == 0:
        return None
    shown = table[table["verdict"].isin((BETTER, WORSE))]
    better = shown["verdict"] == BETTER
    first = shown["activation"].where(better, shown["baseline"])
    second = shown["baseline"].where(better, shown["activation"])
    return {
        "count": len(table),
        "apart": list(zip(first, second)),
        "withheld": int(_withheld(table).sum()),
        **_pairs_needed(table),
    }


def _withheld(rows: pd.DataFrame) -> pd.Series:
    """Return which rows a test tells apart, but their notes say why that is no verdict."""
    # A column without any note reads as numbers.
    return rows["note"].astype(object).fillna("").str.contains(WITHHELD, regex=False)


def _pairs_needed(rows: pd.DataFrame) -> Facts:
    return {
        "too_few": bool((rows["verdict"] == TOO_FEW).all()),
        "most_pairs": int(rows["n_pairs"].max()),
        "uneven": rows["n_pairs"].nunique() > 1,
        "seeds_needed": seeds_needed(len(rows)),
    }


def seeds_needed(comparisons: int) -> int:
    """Return with how many paired seeds that many comparisons can show a difference at all."""
    seeds = 1
    while smallest_p(seeds, comparisons) >= ALPHA:
        seeds += 1
    return seeds


def ranking(ranks: pd.DataFrame) -> Facts | None:
    """Return the test on the mean ranks of one setting; None where nothing is ranked.

    With fewer than ten blocks Friedman's and Nemenyi's tests are rough approximations.
    """
    if ranks.empty or ranks["n_blocks"].iloc[0] < 1 or ranks["n_activations"].iloc[0] < 2:
        return None
    first: Facts = {str(name): value for name, value in ranks.iloc[0].items()}
    tested = not pd.isna(first["friedman_p"])
    return {
        **first,
        "tested": tested,
        "apart": tested and first["friedman_p"] < ALPHA,
        "rough": first["n_blocks"] < 10,
    }


# How the runs were made


def statuses(runs: pd.DataFrame) -> Facts:
    """Return how many runs there are, by status those of each activation, and which are damaged."""
    return {
        "count": len(runs),
        "damaged": list(runs.loc[runs["status"] == "damaged", "run"]),
        "statuses": {
            status: rows["activation"].value_counts(sort=False).to_dict()
            for status, rows in runs.groupby("status")
        },
    }


def protocol(runs: pd.DataFrame) -> Facts:
    """Return data, settings and seeds of these rows of runs.csv, one or more of them compared."""
    final = runs[runs["purpose"] != TUNING]
    tuning = runs[runs["purpose"] == TUNING]
    shared = runs[runs["purpose"] == COMPARISON]
    names = (
        *("model", "optimizer", "batch_size", "epochs_asked", "loss_function", "initializer"),
        *("validation", "device", "threads", "precision"),
    )
    keys = [*(name for name in SETTINGS if name in final), "activation"]
    seeds = final.groupby(keys, dropna=False)["seed"].agg(frozenset)
    return {
        **{name: _values(final[name]) for name in names},
        "datasets": [_dataset(rows) for _, rows in final.groupby("dataset", sort=False)],
        "rates": _values(shared["learning_rate"]),
        "activations": list(final["activation"].unique()),
        "seeds": _ranged(final["seed"]),
        "n_seeds": final["seed"].nunique(),
        "uneven": seeds.nunique() > 1,
        "tuning": {
            "count": len(tuning),
            "seeds": _ranged(tuning["seed"]),
            "rates": _values(tuning["learning_rate"]),
        },
    }


def machine(environment: Facts) -> list[str]:
    """Return processor, cores, GPUs and versions, as far as environment.json tells them."""
    cores, versions = environment.get("cores"), environment.get("versions") or {}
    parts = [
        environment.get("processor"),
        counted(cores, "core") if cores else None,
        *(environment.get("gpus") or []),
        *(
            f"{name} {versions[name]}"
            for name in ("tensorflow", "keras", "python")
            if name in versions
        ),
    ]
    return [str(part) for part in parts if part]


def _values(column: pd.Series) -> list[str]:
    values = sorted(column.dropna().unique())
    return [value if isinstance(value, str) else f"{value:g}" for value in values]


def _ranged(column: pd.Series) -> list[str]:
    """Return the different seeds as texts, more than three in a row as one, "0 to 9"."""
    seeds = sorted(column.unique())
    if len(seeds) > 3 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return [f"{seeds[0]} to {seeds[-1]}"]
    return [str(seed) for seed in seeds]


def _dataset(rows: pd.DataFrame) -> Facts:
    images = rows["test_images"].dropna()
    return {
        "name": rows["dataset"].iloc[0],
        "limits": [None if pd.isna(limit) else int(limit) for limit in rows["limit"].unique()],
        "test_images": int(images.iloc[0]) if len(images) else None,
        "majority_share": rows["majority_share"].max(),
    }


def is_true(column: pd.Series) -> pd.Series:
    """Return a column of a table as truth values: with empty cells it reads back as texts."""
    return column.astype(str) == "True"


def mistakes(confusion: pd.DataFrame) -> list[Facts]:
    """Return the share misclassified and the most frequent mistake, by role, of one setting."""
    roles = []
    for role, rows in confusion.groupby("role", sort=False):
        wrong = rows[(rows["true"] != rows["predicted"]) & (rows["count"] > 0)]
        order = wrong.sort_values(["count", "true", "predicted"], ascending=[False, True, True])
        total, errors = rows["count"].sum(), int(wrong["count"].sum())
        if total:
            roles.append(
                {
                    "role": role,
                    "activation": rows["activation"].iloc[0],
                    "share": errors / total,
                    "errors": errors,
                    "runs": int(rows["n_runs"].iloc[0]),
                    "worst": order.iloc[0].to_dict() if errors else None,
                }
            )
    return roles
