"""The results of a comparison, drawn from its tables: test accuracies and their differences.

DataFrame in, Figure out: no files, no statistics. Each function takes the rows of one setting.
"""

import dataclasses
import math
from collections.abc import Hashable, Mapping
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.formatting import counted, listing
from benchmark.plotting.confusion import confusion_figure, misclassified_figure
from benchmark.plotting.curves import time_figure
from benchmark.plotting.palette import LineStyle, line_styles_of
from benchmark.plotting.row_chart import (
    ESTIMATE,
    MUTED,
    SMALL,
    Row,
    draw_estimate,
    draw_swarm,
    row_chart,
)
from benchmark.plotting.style import figure_style, per_cent, say, span
from benchmark.plotting.tuning import tuning_figure

__all__ = [
    "confusion_figure",
    "differences_figure",
    "final_figure",
    "misclassified_figure",
    "time_figure",
    "tuning_figure",
]


def final_figure(
    runs: pd.DataFrame,
    summary: pd.DataFrame,
    letters: Mapping[str, str],
    line_styles: Mapping[str, LineStyle],
    *,
    title: str = "",
    style: str = "light",
) -> Figure:
    """Draw the test accuracy of every complete run, with mean, interval and median, best first.

    Where some runs lie far below the rest, a second panel shows a closer view of the rest. An extra
    row shows how far one accuracy may be off because the test set is a sample.

    Args:
        runs: one row per run: `activation`, `status`, `test_accuracy`, perhaps `test_images`.
        summary: one row per activation, as in summary.csv.
        letters: by activation, as `stats.comparisons.letters` gives them; perhaps none.
        line_styles: by activation; one that is not among them is drawn in gray.
        title: written above the panels.
        style: "light" or "dark".

    Raises:
        ValueError: for another style, a summary without rows or with several for an activation.
    """
    _one_setting(summary)
    rows = _final_rows(runs, summary, letters, line_styles)
    error = _sampling_error(summary, rows)
    with figure_style(style):
        figure, panels = row_chart(rows, extra=1.3 if error else 0.2, least=3 * error)
        for axes in panels:
            for place, row in enumerate(rows):
                draw_swarm(axes, place, row)
                draw_estimate(axes, place + ESTIMATE, row)
            axes.xaxis.set_major_formatter(per_cent)
            axes.set_xlabel("Test accuracy (%)")
        if error:
            _draw_sampling_error(panels[-1], len(rows), error, runs)
        say(figure, title, _final_caption(rows, bool(letters)))
    return figure


def differences_figure(
    comparisons: pd.DataFrame,
    line_styles: Mapping[str, LineStyle],
    *,
    title: str = "",
    style: str = "light",
) -> Figure:
    """Draw each activation's difference in test accuracy to the baseline, with the verdict.

    Args:
        comparisons: one row per activation, as in comparisons.csv; rows of other metrics than
            test_accuracy are left out.
        line_styles: by activation; one that is not among them is drawn in gray.
        title: written above the panels.
        style: "light" or "dark".

    Raises:
        ValueError: for another style, and for a frame without rows, with several for an
            activation, or with several baselines.
    """
    comparisons = comparisons[comparisons["metric"] == "test_accuracy"]
    _one_setting(comparisons)
    (baseline,) = _only(comparisons["baseline"])
    rows = _difference_rows(comparisons, line_styles)
    with figure_style(style):
        figure, panels = row_chart(rows, extra=0.2, least=0.0, including=0.0)
        for axes in panels:
            axes.axvline(0, color=matplotlib.rcParams["text.color"], linewidth=0.8, zorder=1)
            for place, row in enumerate(rows):
                draw_estimate(axes, place, row)
            axes.xaxis.set_major_formatter(per_cent)
            axes.set_xlabel(f"Difference to {baseline}\n(percentage points)")
        say(figure, title, _difference_caption(comparisons))
    return figure


def _one_setting(frame: pd.DataFrame) -> None:
    if frame.empty:
        raise ValueError("nothing to draw: the frame has no rows")
    if frame["activation"].duplicated().any():
        raise ValueError("several rows for one activation: draw one setting at a time")


def _only(values: pd.Series) -> list[Any]:
    found = list(values.unique())
    if len(found) > 1:
        raise ValueError(f"several baselines, {listing(map(str, found))}: draw one at a time")
    return found


def _final_rows(
    runs: pd.DataFrame,
    summary: pd.DataFrame,
    letters: Mapping[str, str],
    line_styles: Mapping[str, LineStyle],
) -> list[Row]:
    complete = runs[runs["status"] == "complete"]
    points = {
        name: group.to_numpy(float)
        for name, group in complete.groupby("activation")["test_accuracy"]
    }
    all_line_styles = line_styles_of(summary["activation"], line_styles)
    ordered = summary.sort_values(
        ["test_accuracy_mean", "activation"], ascending=[False, True], na_position="last"
    )
    rows = [
        _final_row(record, points.get(record["activation"], np.array([])), all_line_styles)
        for record in ordered.to_dict("records")
    ]
    return [
        dataclasses.replace(
            row, note="\n".join(filter(None, [letters.get(row.name, ""), row.note]))
        )
        for row in rows
    ]


def _final_row(
    record: Mapping[Hashable, Any], points: np.ndarray, line_styles: Mapping[str, LineStyle]
) -> Row:
    points = points[np.isfinite(points)]
    mean, median, low, high = (
        record[f"test_accuracy_{part}"] for part in ("mean", "median", "ci_low", "ci_high")
    )
    if 0 < record["n_not_learned"] < record["n_completed"]:
        # Between two outcomes there is a mean, but no run is like it.
        mean = math.nan
    if len(points) == 1:
        mean = median = math.nan
    name = record["activation"]
    return Row(name, line_styles[name], points, mean, low, high, median, _counts(record))


def _or_worst(value: float) -> float:
    return value if math.isfinite(value) else -math.inf


def _counts(record: Mapping[Hashable, Any]) -> str:
    """Return what else happened to an activation's runs: "2 of 10 did not learn", "1 diverged"."""
    parts = []
    if record["n_not_learned"] > 0:
        parts.append(f"{record['n_not_learned']:.0f} of {record['n_completed']:.0f} did not learn")
    others = ("diverged", "failed", "unfinished")
    counts = {word: record[f"n_{word}"] for word in others if record[f"n_{word}"] > 0}
    parts.append(", ".join(f"{count:.0f} {word}" for word, count in counts.items()))
    return "\n".join(part for part in parts if part)


def _difference_rows(comparisons: pd.DataFrame, line_styles: Mapping[str, LineStyle]) -> list[Row]:
    all_line_styles = line_styles_of(comparisons["activation"], line_styles)
    rows = [
        Row(
            record["activation"],
            all_line_styles[record["activation"]],
            np.array([]),
            record["difference"],
            record["ci_low"],
            record["ci_high"],
            math.nan,
            record["verdict"],
        )
        for record in comparisons.to_dict("records")
    ]
    return sorted(rows, key=lambda row: (-_or_worst(row.estimate), row.name))


def _sampling_error(summary: pd.DataFrame, rows: list[Row]) -> float:
    """Return the test set's sampling error at the best activation's accuracy, 0 if unknown."""
    best = summary.set_index("activation")["test_sampling_error"].get(rows[0].name, math.nan)
    return float(best) if math.isfinite(best) else 0.0


def _draw_sampling_error(axes: Axes, place: float, error: float, runs: pd.DataFrame) -> None:
    """Draw a bar as long as the error on both sides, with words, below the last row."""
    middle, y = sum(axes.get_xlim()) / 2, place - 0.15
    axes.errorbar([middle], [y], xerr=[error], color=MUTED, capsize=3, linewidth=1.2)
    sizes = runs["test_images"].dropna().tolist() if "test_images" in runs else []
    of = f" ({counted(sizes[0], 'test example')})" if sizes else ""
    axes.text(
        middle,
        y + 0.2,
        f"sampling error of one\naccuracy{of}: ± {100 * error:.2g} points",
        ha="center",
        va="top",
        fontsize=SMALL,
    )


def _final_caption(rows: list[Row], with_letters: bool) -> str:
    runs = span(len(row.points) for row in rows if row.points.size)
    if not runs:
        return "no run is complete"
    parts = [f"small marks: {runs} complete run{'' if runs == '1' else 's'} of each"]
    if any(math.isfinite(row.estimate) for row in rows):
        interval = any(math.isfinite(row.low) for row in rows)
        parts.append(f"●: mean{' with 95 % interval' if interval else ''}")
    if any(math.isfinite(row.median) for row in rows):
        parts.append("|: median")
    if len(rows) > 1:
        parts.append("in order of the mean, best first")
    if with_letters:
        parts.append("two that share a letter are not told apart")
    if any(row.points.size > 1 and not math.isfinite(row.estimate) for row in rows):
        parts.append("no mean where only some runs learned")
    return "; ".join(parts)


def _difference_caption(comparisons: pd.DataFrame) -> str:
    pairs = span(comparisons["n_pairs"])
    parts = [f"mean over {pairs} pair{'' if pairs == '1' else 's'} of runs with the same seed"]
    if comparisons["ci_low"].notna().any():
        parts.append("line: confidence sequence for all pairs at once")
    return "; ".join(parts)
