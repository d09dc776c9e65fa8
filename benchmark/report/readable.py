"""Tables for readers: numbers with their units and deviations as texts, in a telling order."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from benchmark.activations import as_shown
from benchmark.formatting import mean_and_deviation, number, plain
from benchmark.plotting.catalogue import Part
from benchmark.report import facts
from benchmark.report.text import percentage, signed

_COUNTS = ("completed", "not_learned", "diverged", "failed", "unfinished")
_RARE = [*(name.replace("_", " ") for name in _COUNTS[1:]), "note"]


def final(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the final scores of a setting's activations as texts, best first."""
    ordered = summary.sort_values(
        ["test_accuracy_mean", "activation"], ascending=[False, True], na_position="last"
    )
    rows = []
    for row in ordered.to_dict("records"):
        first = {"activation": as_shown(row["activation"])}
        if row["rates"] == "tuned":
            first["learning rate"] = plain(row["learning_rate"])
        rows.append(
            {
                **first,
                "test accuracy": mean_and_deviation(row, "test_accuracy", "%"),
                "95 % interval": _percentages(
                    row["test_accuracy_ci_low"], row["test_accuracy_ci_high"]
                ),
                # Without a mistake the estimate is 0, which would say too much.
                "sampling error": _or_dash(row["test_sampling_error"] or None, _points),
                "median": percentage(row["test_accuracy_median"]),
                "interquartile mean": percentage(row["test_accuracy_iqm"]),
                "test loss": mean_and_deviation(row, "test_loss", ""),
                "validation accuracy": mean_and_deviation(row, "val_accuracy", "%"),
                "best epoch's": mean_and_deviation(row, "best_val_accuracy", "%"),
                "mean over epochs": mean_and_deviation(row, "val_accuracy_auc", "%"),
                **{name.replace("_", " "): _count(row[f"n_{name}"]) for name in _COUNTS},
                "note": "" if pd.isna(row["note"]) else row["note"],
            }
        )
    table = pd.DataFrame(rows).rename(columns={"completed": "runs"})
    # Columns of what did not happen tell nothing.
    empty = [name for name in _RARE if table[name].isin([0, "–", ""]).all()]
    return table.drop(columns=empty)


def _points(share: float) -> str:
    return f"{100 * share:.2f}"


def _count(value: float) -> int | str:
    return "–" if pd.isna(value) else int(value)


def _percentages(low: float, high: float) -> str:
    return "–" if pd.isna(low) else f"{100 * low:.2f} to {100 * high:.2f}"


def differences(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return the comparisons of test accuracy of one setting as texts, the best first."""
    rows = comparisons[comparisons["metric"] == "test_accuracy"]
    losses = comparisons[comparisons["metric"] == "test_loss"]
    by_loss = dict(zip(losses["activation"], losses["verdict"]))
    ordered = rows.sort_values(["difference", "activation"], ascending=[False, True])
    table = pd.DataFrame(
        {
            "activation": [as_shown(name) for name in ordered["activation"]],
            "against": ordered["baseline"],
            "difference, points": [_or_dash(v, signed) for v in ordered["difference"]],
            "95 % interval": _intervals(ordered, "ci"),
            "with other examples too": _intervals(ordered, "crossed"),
            "pairs": ordered["n_pairs"],
            "evidence": [_or_dash(value, number) for value in ordered["e_value"]],
            "better in": [
                _or_dash(value, lambda share: f"{100 * share:.0f} %")
                for value in ordered["probability_of_improvement"]
            ],
            "verdict": ordered["verdict"],
            "holds for": ordered["holds_for"].astype(object).fillna(""),
            "by test loss": [by_loss.get(name, "–") for name in ordered["activation"]],
            "note": ordered["note"].astype(object).fillna(""),
        }
    )
    rare = ("with other examples too", "holds for", "note")
    return table.drop(columns=[name for name in rare if table[name].isin(["–", ""]).all()])


def _intervals(rows: pd.DataFrame, name: str) -> list[str]:
    ends = zip(rows[f"{name}_low"], rows[f"{name}_high"])
    return ["–" if pd.isna(low) else f"{signed(low)} to {signed(high)}" for low, high in ends]


def _or_dash(value: float | None, form: Callable[[float], str]) -> str:
    return "–" if pd.isna(value) else form(value)


def settings(parts: Sequence[Part]) -> pd.DataFrame:
    """Return the test accuracies of all activations (rows) in all settings (columns) as texts."""
    columns = {
        ", ".join(part.labels): {
            as_shown(row["activation"]): mean_and_deviation(row, "test_accuracy", "%")
            for row in part.rows.to_dict("records")
        }
        for part in parts
    }
    table = pd.DataFrame(columns).fillna("–")
    return table.rename_axis("activation").reset_index()


def tuning(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Return the learning rates tried in one setting with the activations that each was chosen
    for, the activations whose rate is at the grid's edge, and those without a choice."""
    chosen = rows[facts.is_true(rows["chosen"])]
    owners = {
        f"{rate:g}": ", ".join(chosen.loc[chosen["learning_rate"] == rate, "activation"]) or "–"
        for rate in sorted(rows["learning_rate"].unique())
    }
    table = pd.DataFrame({"learning rate": owners.keys(), "chosen for": owners.values()})
    edge = list(chosen.loc[facts.is_true(chosen["at_edge"]), "activation"])
    return table, edge, sorted(set(rows["activation"]) - set(chosen["activation"]))


def mistakes(roles: Sequence[facts.Facts]) -> pd.DataFrame:
    """Return what `facts.mistakes` gives as texts."""
    return pd.DataFrame(
        {
            "mean test accuracy": role["role"],
            "activation": role["activation"],
            "misclassified": percentage(role["share"]),
            "most frequent mistake": _mistake(role),
            "runs": role["runs"],
        }
        for role in roles
    )


def _mistake(role: facts.Facts) -> str:
    worst = role["worst"]
    if worst is None:
        return "–"
    count = f"{worst['count']} of {role['errors']}"
    return f"{worst['true']} read as {worst['predicted']} ({count})"


def cost(summary: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """Return the costs of a setting's activations as texts, the fastest epoch first."""
    reached = {(row["activation"], row["target"]): row for row in times.to_dict("records")}
    targets = sorted({target for _, target in reached})
    ordered = summary.sort_values(["seconds_per_epoch_median", "activation"]).to_dict("records")
    return pd.DataFrame(
        {
            "activation": as_shown(row["activation"]),
            "an epoch": _or_dash(row["seconds_per_epoch_median"], _seconds),
            "a run": _or_dash(row["seconds_median"], _seconds),
            "peak memory": mean_and_deviation(row, "peak_memory_mb", "MB"),
            **{
                f"to {100 * target:g} %": _reached(reached.get((row["activation"], target)))
                for target in targets
            },
        }
        for row in ordered
    )


def _seconds(median: float) -> str:
    return f"{median:.1f} s" if median >= 10 else f"{median:.3f} s"


def _reached(row: Mapping[Any, Any] | None) -> str:
    if row is None:
        return "–"
    if pd.isna(row["epochs_median"]):
        reached = int(row["n_reached"])
        return f"{reached} of {int(row['n_runs'])} runs" if reached else "–"
    epochs = "1 epoch" if row["epochs_median"] == 1 else f"{row['epochs_median']:g} epochs"
    return f"{epochs}, {number(row['seconds_median'])} s"
