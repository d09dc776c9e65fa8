"""What a comparison has found, drawn from its tables: scores, differences, ranks, mistakes.

DataFrame in, Figure out: no files, no statistics. Each function takes the rows of one setting.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.formatting import counted, listing, number
from benchmark.plotting.critical_difference import ranks_figure
from benchmark.plotting.curves import (
    WIDTH,
    figure_style,
    group_id,
    looks_of,
    per_cent,
    say,
    span,
    time_figure,
)
from benchmark.plotting.details import confusion_figure, misread_figure, tuning_figure
from benchmark.plotting.palette import LineLook

__all__ = [
    "confusion_figure",
    "differences_figure",
    "final_figure",
    "misread_figure",
    "ranks_figure",
    "time_figure",
    "tuning_figure",
]

_ROW = 0.36  # inches; a row of the charts, one for each activation
_MARGIN = 1.1  # inches; title, axis label, caption
_SMALL = 7  # points; notes beside the rows
_MUTED = "0.5"  # a grey that can be read on white and on black
_POINT = 3.3  # points; the marker of a run
_SWARM = (-0.4, 0.08)  # where a row's points may lie, in rows from its middle, upwards negative
_ESTIMATE = 0.26  # where its mean and median lie


@dataclass(frozen=True)
class _Row:
    """One activation's line in a chart: values, an estimate with its interval, a note."""

    name: str
    look: LineLook
    points: np.ndarray  # (n_runs,)
    estimate: float
    low: float
    high: float
    median: float
    note: str

    @property
    def reach(self) -> np.ndarray:
        """All finite values of the row."""
        values = np.array([*self.points, self.estimate, self.low, self.high, self.median])
        return values[np.isfinite(values)]


def final_figure(
    runs: pd.DataFrame,
    summary: pd.DataFrame,
    looks: Mapping[str, LineLook],
    *,
    title: str = "",
    style: str = "light",
) -> Figure:
    """Draw the test accuracy of every complete run, with mean, interval and median, best first.

    Where some runs lie far below the rest, a second panel shows the rest closer. An extra row
    shows how far the accuracy may be off because the test set is a sample.

    Args:
        runs: one row per run: `activation`, `status`, `test_accuracy`, perhaps `test_images`.
        summary: one row per activation, as in summary.csv.
        looks: the activations' looks; an activation that is not among them is drawn in grey.
        title: written above the panels.
        style: "light" or "dark".

    Raises:
        ValueError: for another style, a summary without rows or with several for an activation.
    """
    _one_setting(summary)
    rows = _final_rows(runs, summary, looks)
    error = _sampling_error(summary, rows)
    with figure_style(style):
        figure, panels = _chart(rows, extra=1.3 if error else 0.2, least=3 * error)
        for axes in panels:
            for place, row in enumerate(rows):
                _draw_swarm(axes, place, row)
                _draw_estimate(axes, place + _ESTIMATE, row)
            axes.xaxis.set_major_formatter(per_cent)
            axes.set_xlabel("Test accuracy (%)")
        if error:
            _draw_sampling_error(panels[-1], len(rows), error, runs)
        say(figure, title, _final_caption(rows))
    return figure


def differences_figure(
    comparisons: pd.DataFrame,
    looks: Mapping[str, LineLook],
    *,
    title: str = "",
    style: str = "light",
) -> Figure:
    """Draw each activation's difference in test accuracy to the baseline, with the verdict.

    Args:
        comparisons: one row per activation, as in comparisons.csv; rows of other metrics than
            test_accuracy are left out.
        looks: the activations' looks; an activation that is not among them is drawn in grey.
        title: written above the panels.
        style: "light" or "dark".

    Raises:
        ValueError: for another style, and for a frame without rows, with several for an
            activation, or with several baselines.
    """
    comparisons = comparisons[comparisons["metric"] == "test_accuracy"]
    _one_setting(comparisons)
    (baseline,) = _only(comparisons["baseline"])
    rows = _difference_rows(comparisons, looks)
    with figure_style(style):
        figure, panels = _chart(rows, extra=0.2, least=0.0, including=0.0)
        for axes in panels:
            axes.axvline(0, color=matplotlib.rcParams["text.color"], linewidth=0.8, zorder=1)
            for place, row in enumerate(rows):
                _draw_estimate(axes, place, row)
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


# Rows


def _final_rows(
    runs: pd.DataFrame, summary: pd.DataFrame, looks: Mapping[str, LineLook]
) -> list[_Row]:
    complete = runs[runs["status"] == "complete"]
    points = {
        name: group.to_numpy(float)
        for name, group in complete.groupby("activation")["test_accuracy"]
    }
    all_looks = looks_of(summary["activation"], looks)
    ordered = summary.sort_values(
        ["test_accuracy_mean", "activation"], ascending=[False, True], na_position="last"
    )
    return [
        _final_row(record, points.get(record["activation"], np.array([])), all_looks)
        for record in ordered.to_dict("records")
    ]


def _final_row(record: dict[str, Any], points: np.ndarray, looks: Mapping[str, LineLook]) -> _Row:
    points = points[np.isfinite(points)]
    mean, median, low, high = (
        record[f"test_accuracy_{part}"] for part in ("mean", "median", "ci_low", "ci_high")
    )
    if 0 < record["n_not_learned"] < record["n_seeds"]:
        # Between two outcomes there is a mean, but no run is like it.
        mean = math.nan
    if len(points) == 1:
        mean = median = math.nan
    name = record["activation"]
    return _Row(name, looks[name], points, mean, low, high, median, _counts(record))


def _or_worst(value: float) -> float:
    return value if math.isfinite(value) else -math.inf


def _counts(record: dict[str, Any]) -> str:
    """Return what else became of an activation's runs: "2 of 10 did not learn", "1 diverged"."""
    parts = []
    if record["n_not_learned"] > 0:
        parts.append(f"{record['n_not_learned']:.0f} of {record['n_seeds']:.0f} did not learn")
    others = ("diverged", "failed", "unfinished")
    counts = {word: record[f"n_{word}"] for word in others if record[f"n_{word}"] > 0}
    parts.append(", ".join(f"{count:.0f} {word}" for word, count in counts.items()))
    return "\n".join(part for part in parts if part)


def _difference_rows(comparisons: pd.DataFrame, looks: Mapping[str, LineLook]) -> list[_Row]:
    all_looks = looks_of(comparisons["activation"], looks)
    rows = [
        _Row(
            record["activation"],
            all_looks[record["activation"]],
            np.array([]),
            record["difference"],
            record["ci_low"],
            record["ci_high"],
            math.nan,
            _verdict(record),
        )
        for record in comparisons.to_dict("records")
    ]
    return sorted(rows, key=lambda row: (-_or_worst(row.estimate), row.name))


def _verdict(record: dict[str, Any]) -> str:
    """Return the verdict in words, with the p-value it rests on."""
    if record["verdict"] == "too few seeds" or not math.isfinite(record["p_adjusted"]):
        return record["verdict"]
    return f"{record['verdict']} (p = {number(record['p_adjusted'])})"


# The chart


def _chart(
    rows: list[_Row], extra: float, least: float, including: float | None = None
) -> tuple[Figure, list[Axes]]:
    """Return a figure with a line for each row, best on top, and one or two panels side by side.

    `extra` is the height below the last row, in rows; every panel is at least `least` wide and
    has the value `including` in it, in the values' unit.
    """
    height = _ROW * (len(rows) + extra) + _MARGIN
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    limits = _limits(rows, including)
    shares = [1] if len(limits) == 1 else [1, 1.8]
    panels = list(
        figure.subplots(1, len(limits), sharey=True, squeeze=False, width_ratios=shares)[0]
    )
    for axes, (low, high) in zip(panels, limits):
        pad = max(0.06 * (high - low), (least - (high - low)) / 2) or 0.01
        axes.set_xlim(low - pad, high + pad)
        axes.set_ylim(len(rows) - 0.5 + extra, -0.5)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axes.tick_params(axis="y", length=0)
        axes.grid(False, axis="y")
        axes.set_yticks(range(len(rows)), [row.name for row in rows])
        for place, (tick, row) in enumerate(zip(axes.yaxis.get_major_ticks(), rows)):
            tick.set_gid(group_id(row.name))
            if place % 2:
                axes.axhspan(
                    place - 0.5, place + 0.5, color=_MUTED, alpha=0.09, linewidth=0, zorder=0
                )
    if len(panels) > 1:
        panels[0].set_title("All", loc="left")
        panels[1].set_title("Closer view", loc="left")
        for place, row in enumerate(rows):
            _point_outside(panels[1], place, row)
    for place, row in enumerate(rows):
        if row.note:
            _note(panels[-1], 1.02, place, row.name, row.note)
    return figure, panels


def _limits(rows: list[_Row], including: float | None) -> list[tuple[float, float]]:
    """Return the lowest and highest value of each panel: of all, and of those close together.

    A closer view leaves out what lies below a wide gap in the lower half of all values, if the
    values above it span less than a third of the range of all.
    """
    reach = [row.reach for row in rows]
    values = np.concatenate([*reach, [] if including is None else [including]])
    if not values.size:
        return [(0.0, 1.0)]
    whole = (float(values.min()), float(values.max()))
    places = np.sort(np.concatenate([_places(row) for row in rows]))[::-1]
    most = max(2, math.ceil(len(places) / 2))
    if len(places) <= most:
        return [whole]
    # The widest gap for the range above it; of next to no range that is no merit.
    gaps, above = -np.diff(places)[most - 1 :], places[0] - places[most - 1 : -1]
    kept = places[: most + int((gaps / (above + 0.02 * (whole[1] - whole[0]) + 1e-12)).argmax())]
    if including is not None:
        kept = np.append(kept, including)
    near = [kept] + [
        values for values, row in zip(reach, rows) if (_places(row) >= kept.min()).all()
    ]
    near = np.concatenate(near)
    close = (float(near.min()), float(near.max()))
    return [whole, close] if close[1] - close[0] < (whole[1] - whole[0]) / 3 else [whole]


def _places(row: _Row) -> np.ndarray:
    """Return the values that say where a row lies: its points, or else its estimate."""
    places = row.points if row.points.size else np.array([row.estimate])
    return places[np.isfinite(places)]


def _point_outside(axes: Axes, place: int, row: _Row) -> None:
    """Say at a panel's left edge what lies beyond it."""
    outside = _places(row)
    outside = outside[outside < axes.get_xlim()[0]]
    if outside.size:
        ends = dict.fromkeys(per_cent(round(end, 3), 0) for end in (outside.min(), outside.max()))
        count = f"{outside.size} at " if outside.size < len(_places(row)) else ""
        _note(axes, 0.01, place, row.name, f"← {count}{' to '.join(ends)}")


def _note(axes: Axes, x: float, y: float, name: str, text: str) -> None:
    """Write beside a row; x is a share of the panel's width."""
    axes.text(
        x,
        y,
        text,
        transform=axes.get_yaxis_transform(),
        va="center",
        fontsize=_SMALL,
        gid=group_id(name),
    )


def _draw_swarm(axes: Axes, place: int, row: _Row) -> None:
    """Draw a row's points so that none hides another: those too close lie one above the other."""
    if not row.points.size:
        return
    low, high = axes.get_xlim()
    values = np.sort(row.points)
    lanes = _lanes(values, 0.018 * (high - low) * (1 if len(axes.figure.axes) > 1 else 0.7))
    start, end = _SWARM
    step = min(0.15, (end - start) / max(1, lanes.max()))
    # A single run has no estimate below it.
    alone = len(values) == 1
    middle = 0 if alone else (start + end - step * lanes.max()) / 2
    axes.plot(
        values,
        place + middle + step * lanes,
        linestyle="",
        marker=row.look.marker,
        markersize=5 if alone else _POINT,
        markeredgewidth=0,
        color=row.look.colour,
        alpha=0.75,
        gid=group_id(row.name),
        zorder=2,
    )


def _lanes(values: np.ndarray, apart: float) -> np.ndarray:
    """Return for each of the sorted values the first lane whose last value is far enough off."""
    ends: list[float] = []
    lanes = []
    for value in values:
        lane = next((i for i, end in enumerate(ends) if value - end >= apart), len(ends))
        ends[lane : lane + 1] = [value]
        lanes.append(lane)
    return np.array(lanes)


def _draw_estimate(axes: Axes, y: float, row: _Row) -> None:
    """Draw a row's mean with its interval, and its median, where they lie in the panel."""
    if row.estimate < axes.get_xlim()[0]:
        return
    style = {"color": row.look.colour, "gid": group_id(row.name)}
    if math.isfinite(row.low) and math.isfinite(row.high):
        axes.plot([row.low, row.high], [y, y], linewidth=1.6, zorder=3, **style)
    if math.isfinite(row.estimate):
        axes.plot([row.estimate], [y], linestyle="", marker="o", markersize=5, zorder=4, **style)
    if math.isfinite(row.median):
        style["color"] = matplotlib.rcParams["text.color"]
        axes.plot([row.median], [y], linestyle="", **_MEDIAN, zorder=5, **style)


_MEDIAN = {"marker": "|", "markersize": 8, "markeredgewidth": 1.3}


def _sampling_error(summary: pd.DataFrame, rows: list[_Row]) -> float:
    """Return the test set's sampling error at the best activation's accuracy, 0 if unknown."""
    best = summary.set_index("activation")["test_sampling_error"].get(rows[0].name, math.nan)
    return float(best) if math.isfinite(best) else 0.0


def _draw_sampling_error(axes: Axes, place: float, error: float, runs: pd.DataFrame) -> None:
    """Draw a bar as long as the error on both sides, with words, below the last row."""
    middle, y = sum(axes.get_xlim()) / 2, place - 0.15
    axes.errorbar([middle], [y], xerr=[error], color=_MUTED, capsize=3, linewidth=1.2)
    images = runs["test_images"].dropna() if "test_images" in runs else []
    of = f" ({counted(images.iloc[0], 'image')})" if len(images) else ""
    axes.text(
        middle,
        y + 0.2,
        f"sampling error of the\ntest set{of}: ± {100 * error:.2g} points",
        ha="center",
        va="top",
        fontsize=_SMALL,
    )


def _final_caption(rows: list[_Row]) -> str:
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
    if any(row.points.size > 1 and not math.isfinite(row.estimate) for row in rows):
        parts.append("no mean where only some runs learned")
    return "; ".join(parts)


def _difference_caption(comparisons: pd.DataFrame) -> str:
    pairs = span(comparisons["n_pairs"])
    parts = [f"mean over {pairs} pair{'' if pairs == '1' else 's'} of runs with the same seed"]
    if comparisons["ci_low"].notna().any():
        parts.append("line: 95 % interval, uncorrected")
    if (
        comparisons["p_adjusted"].notna().any()
        and (comparisons["verdict"] != "too few seeds").any()
    ):
        parts.append("p: Wilcoxon signed-rank test, adjusted (Holm)")
    return "; ".join(parts)
