"""What the report's sentences are about: DataFrames in, small dicts of numbers and names out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED
from benchmark.experiments.sections import Section
from benchmark.formatting import counted, duration, listing
from benchmark.plotting import catalogue
from benchmark.stats.answer import Answer, RuledOut
from benchmark.stats.cautions import too_short
from benchmark.stats.comparisons import ONLY_THESE
from benchmark.stats.summary import SETTINGS
from benchmark.stats.verdicts import BETTER, FEWEST_PAIRS, VERDICTS, WORSE
from benchmark.training.spec import COMPARISON, TUNING

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
    groups = {word: list(rows.loc[rows["verdict"] == word, "activation"]) for word in VERDICTS}
    return {
        "baseline": rows["baseline"].iloc[0],
        "count": len(rows),
        "groups": {word: who for word, who in groups.items() if who or word in (BETTER, WORSE)},
        "most_pairs": int(rows["n_pairs"].max()),
        "margin": rows["margin"].max(),
        "with_other_examples": bool(rows["crossed_low"].notna().any()),
        "only_these": list(rows.loc[rows["holds_for"] == ONLY_THESE, "activation"]),
        "contradicted": _contradicted(comparisons),
    }


def _contradicted(comparisons: pd.DataFrame) -> list[str]:
    """Return the activations that accuracy and loss judge in opposite ways."""
    by_metric = comparisons.pivot(index="activation", columns="metric", values="verdict")
    if not {"test_accuracy", "test_loss"} <= set(by_metric):
        return []
    either = by_metric.isin((BETTER, WORSE)).all(axis=1)
    return list(by_metric.index[either & (by_metric["test_accuracy"] != by_metric["test_loss"])])


def pairs(table: pd.DataFrame) -> Facts | None:
    """Return which of all pairs of activations in one setting are told apart, (better, worse).

    None where there are fewer than two pairs, or no pair of runs: nothing beyond `verdicts`.
    """
    table = table[table["metric"] == "test_accuracy"] if len(table) else table
    if len(table) < 2 or table["n_pairs"].max() == 0:
        return None
    shown = table[table["verdict"].isin((BETTER, WORSE))]
    better = shown["verdict"] == BETTER
    first = shown["activation"].where(better, shown["baseline"])
    second = shown["baseline"].where(better, shown["activation"])
    return {
        "count": len(table),
        "apart": list(zip(first, second)),
        "verdicts": {word: n for word in VERDICTS if (n := (table["verdict"] == word).sum())},
    }


def answers(found: Sequence[Answer]) -> list[Facts]:
    """Return what the template of the answer needs, for each setting; several have titles."""
    settings = [one["setting"] for one in found]
    values = {name: {one.get(name) for one in settings} for name in SETTINGS}
    # No learning rate is one for each activation: `rates` says so.
    values["learning_rate"] -= {None}
    varied = [name for name in SETTINGS if len(values[name]) > 1]
    titles = [
        catalogue.title(
            one["dataset"], one["model"], {name: one["setting"][name] for name in varied}
        )
        for one in found
    ]
    return [_answer(one, title if len(found) > 1 else "") for one, title in zip(found, titles)]


def _answer(found: Answer, title: str) -> Facts:
    best = next(iter(found["use"]), None)
    is_open = {name for pair in found["undecided"] if best in pair for name in pair}
    cost = found["cost"].get(best) if best and best != found["baseline"] else None
    return {
        "answer": found,
        "title": title,
        "best": best,
        # None that may be used is better or worse than another.
        "partners": [name for name in found["use"][1:] if name not in is_open],
        "rest": [name for name in found["use"][1:] if name in is_open],
        "cost": f" (an epoch takes {cost:.2g} times {found['baseline']}'s)" if cost else "",
        "ruled_out": {one["activation"]: _reason(one) for one in found["ruled_out"]},
        "duration": duration(found["seconds"]),
        "fewest": FEWEST_PAIRS,
    }


def _reason(one: RuledOut) -> str:
    if one["reason"] != WORSE:
        return f"{one['reason']} in {one['without_learning']} of {counted(one['runs'], 'run')}"
    beaten_by = one["beaten_by"]
    return f"worse than {listing(beaten_by) if len(beaten_by) < 4 else f'{len(beaten_by)} others'}"


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
    examples = rows["test_images"].dropna()
    return {
        "name": rows["dataset"].iloc[0],
        "limits": [None if pd.isna(limit) else int(limit) for limit in rows["limit"].unique()],
        "test_images": int(examples.iloc[0]) if len(examples) else None,
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
