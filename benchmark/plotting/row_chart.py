"""A chart with a row for each activation: runs as points, estimates with intervals."""

import math
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.activations import as_shown
from benchmark.plotting.palette import LineStyle
from benchmark.plotting.style import WIDTH, group_id, per_cent

_ROW = 0.36  # inches; a row of the charts, one for each activation
_MARGIN = 1.1  # inches; title, axis label, caption
SMALL = 7  # points; notes beside the rows
MUTED = "0.5"  # a gray that can be read on white and on black
_POINT = 3.3  # points; the marker of a run
_SWARM = (-0.4, 0.08)  # where a row's points may lie, in rows from its middle, upwards negative
ESTIMATE = 0.26  # where its mean and median lie


@dataclass(frozen=True)
class Row:
    """One activation's line in a chart: values, an estimate with its interval, a note."""

    name: str
    line_style: LineStyle
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


def row_chart(
    rows: list[Row], extra: float, least: float, including: float | None = None
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
        axes.set_yticks(range(len(rows)), [as_shown(row.name) for row in rows])
        for place, (tick, row) in enumerate(zip(axes.yaxis.get_major_ticks(), rows)):
            tick.set_gid(group_id(row.name))
            if place % 2:
                axes.axhspan(
                    place - 0.5, place + 0.5, color=MUTED, alpha=0.09, linewidth=0, zorder=0
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


def _limits(rows: list[Row], including: float | None) -> list[tuple[float, float]]:
    """Return the lowest and highest value of each panel: of all, and of those close together.

    A closer view leaves out what lies below a wide gap in the lower half of all values, if the
    values above it span less than a third of the range of all.
    """
    reach = [row.reach for row in rows]
    values = np.concatenate([*reach, [] if including is None else [including]])
    if not values.size:
        return [(0.0, 1.0)]
    whole = (float(values.min()), float(values.max()))
    positions = np.sort(np.concatenate([_positions(row) for row in rows]))[::-1]
    most = max(2, math.ceil(len(positions) / 2))
    if len(positions) <= most:
        return [whole]
    # The gap that is widest relative to the range above it, unless that range is next to nothing.
    gaps, above = -np.diff(positions)[most - 1 :], positions[0] - positions[most - 1 : -1]
    upper = positions[
        : most + int((gaps / (above + 0.02 * (whole[1] - whole[0]) + 1e-12)).argmax())
    ]
    if including is not None:
        upper = np.append(upper, including)
    shown = [values for values, row in zip(reach, rows) if (_positions(row) >= upper.min()).all()]
    near = np.concatenate([upper, *shown])
    close = (float(near.min()), float(near.max()))
    return [whole, close] if close[1] - close[0] < (whole[1] - whole[0]) / 3 else [whole]


def _positions(row: Row) -> np.ndarray:
    """Return the values that say where a row lies: its points, or else its estimate."""
    positions = row.points if row.points.size else np.array([row.estimate])
    return positions[np.isfinite(positions)]


def _point_outside(axes: Axes, place: int, row: Row) -> None:
    """Note at a panel's left edge what lies beyond it."""
    outside = _positions(row)
    outside = outside[outside < axes.get_xlim()[0]]
    if outside.size:
        ends = dict.fromkeys(per_cent(round(end, 3), 0) for end in (outside.min(), outside.max()))
        count = f"{outside.size} at " if outside.size < len(_positions(row)) else ""
        _note(axes, 0.01, place, row.name, f"← {count}{' to '.join(ends)}")


def _note(axes: Axes, x: float, y: float, name: str, text: str) -> None:
    """Write beside a row; x is a share of the panel's width."""
    axes.text(
        x,
        y,
        text,
        transform=axes.get_yaxis_transform(),
        va="center",
        fontsize=SMALL,
        gid=group_id(name),
    )


def draw_swarm(axes: Axes, place: int, row: Row) -> None:
    """Draw a row's points so that none hides another: close ones lie one above the other."""
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
        marker=row.line_style.marker,
        markersize=5 if alone else _POINT,
        markeredgewidth=0,
        color=row.line_style.color,
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


def draw_estimate(axes: Axes, y: float, row: Row) -> None:
    """Draw a row's mean with its interval, and its median, where they lie in the panel."""
    if row.estimate < axes.get_xlim()[0]:
        return
    style: dict[str, Any] = {"color": row.line_style.color, "gid": group_id(row.name)}
    if math.isfinite(row.low) and math.isfinite(row.high):
        axes.plot([row.low, row.high], [y, y], linewidth=1.6, zorder=3, **style)
    if math.isfinite(row.estimate):
        axes.plot([row.estimate], [y], linestyle="", marker="o", markersize=5, zorder=4, **style)
    if math.isfinite(row.median):
        style["color"] = matplotlib.rcParams["text.color"]
        axes.plot([row.median], [y], linestyle="", **_MEDIAN, zorder=5, **style)


_MEDIAN: dict[str, Any] = {"marker": "|", "markersize": 8, "markeredgewidth": 1.3}
