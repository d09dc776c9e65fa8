"""The critical-difference diagram: which activations' ranks do not differ significantly."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.formatting import counted, number
from benchmark.plotting.palette import LineStyle, line_styles_of
from benchmark.plotting.style import WIDTH, figure_style, group_id, say

# Inches, downwards from the axis of ranks unless said otherwise.
_SIDE = 1.75  # room for names at either side
_LABEL = 0.2  # between two names
_LANE = 0.085  # between two bars
_ABOVE = 0.75  # above the axis: ticks and the critical difference
_GAP = 0.14  # between axis and bars, bars and names


@dataclass(frozen=True)
class _Page:
    """Where ranks lie on the page."""

    width: float  # of the axis, inches
    n: int

    def x(self, rank: float) -> float:
        return _SIDE + self.width * (rank - 1) / max(1, self.n - 1)


def ranks_figure(
    ranks: pd.DataFrame,
    line_styles: Mapping[str, LineStyle],
    *,
    title: str = "",
    style: str = "light",
) -> Figure:
    """Draw mean ranks on an axis, bars joining those that do not differ significantly.

    The critical-difference diagram of Demšar, Statistical Comparisons of Classifiers over
    Multiple Data Sets, JMLR 7 (2006), section 3.2.2; the blocks are seeds instead of data sets.

    Args:
        ranks: one row per activation, as in ranks.csv; rows without a mean rank are left out.
        line_styles: by activation; one that is not among them is drawn in gray.
        title: written above the diagram.
        style: "light" or "dark".

    Raises:
        ValueError: for another style, where no activation has a rank, and where one has several.
    """
    ranks = ranks[ranks["mean_rank"].notna()].sort_values(["mean_rank", "activation"])
    if ranks.empty:
        raise ValueError("no ranks to draw: no seed is complete for all activations")
    if ranks["activation"].duplicated().any():
        raise ValueError("several ranks for one activation: draw one setting at a time")
    bars = _bars(ranks)
    below = 2 * _GAP + _LANE * (1 + max((lane for lane, _, _ in bars), default=-1))
    half = math.ceil(len(ranks) / 2)
    depth = below + _LABEL * half
    with figure_style(style):
        figure = Figure(figsize=(WIDTH, _ABOVE + depth + 0.5), layout="constrained")
        axes = figure.subplots()
        axes.axis("off")
        axes.set_xlim(0, WIDTH)
        axes.set_ylim(depth, -_ABOVE)
        page = _Page(WIDTH - 2 * _SIDE, len(ranks))
        _draw_axis(axes, page)
        _draw_critical_difference(axes, page, ranks["critical_difference"].iloc[0])
        color = matplotlib.rcParams["text.color"]
        for lane, low, high in bars:
            ends = [page.x(low) - 0.04, page.x(high) + 0.04]
            y = _GAP + _LANE * lane
            axes.plot(ends, [y, y], color=color, linewidth=2.6, zorder=3, solid_capstyle="butt")
        _draw_names(axes, page, ranks, line_styles, below)
        say(figure, title, _caption(ranks, bars))
    return figure


def _bars(ranks: pd.DataFrame) -> list[tuple[int, float, float]]:
    """Return lane, lowest and highest rank of each group of two or more that share a letter."""
    groups: dict[str, list[float]] = {}
    for letters, rank in zip(ranks["set"].fillna(""), ranks["mean_rank"]):
        for letter in str(letters):
            groups.setdefault(letter, []).append(rank)
    bars: list[tuple[int, float, float]] = []
    ends: list[float] = []
    for low, high in sorted((min(of), max(of)) for of in groups.values() if len(of) > 1):
        # Bars of one lane keep clear of each other.
        lane = next((i for i, end in enumerate(ends) if low - end > 0.3), len(ends))
        ends[lane : lane + 1] = [high]
        bars.append((lane, low, high))
    return bars


def _draw_axis(axes: Axes, page: _Page) -> None:
    line: dict[str, Any] = {"color": matplotlib.rcParams["text.color"], "linewidth": 0.8}
    axes.plot([page.x(1), page.x(max(2, page.n))], [0, 0], **line)
    every = 1 if page.n <= 12 else 2
    for rank in range(1, max(2, page.n) + 1):
        axes.plot([page.x(rank)] * 2, [0, -0.07 if (rank - 1) % every == 0 else -0.04], **line)
        if (rank - 1) % every == 0:
            axes.text(page.x(rank), -0.1, str(rank), ha="center", va="bottom")
    for rank, words, side in ((1, "best", "right"), (max(2, page.n), "worst", "left")):
        shift = -0.12 if side == "right" else 0.12
        axes.text(page.x(rank) + shift, 0, words, ha=side, va="center", style="italic")


def _draw_critical_difference(axes: Axes, page: _Page, difference: float) -> None:
    if not math.isfinite(difference):
        return
    line: dict[str, Any] = {"color": matplotlib.rcParams["text.color"], "linewidth": 1.2}
    y, start = -0.45, page.x(1)
    whole = page.x(max(2, page.n)) - start
    length = page.x(1 + difference) - start
    shown = min(length, whole)
    axes.plot([start, start + shown], [y, y], **line)
    for x in [start] if length > whole else [start, start + shown]:
        axes.plot([x, x], [y - 0.04, y + 0.04], **line)
    more = ", more than the axis is long" if length > whole else ""
    words = f"critical difference {number(difference)}{more}"
    axes.text(start, y - 0.07, words, ha="left", va="bottom")


def _draw_names(
    axes: Axes, page: _Page, ranks: pd.DataFrame, line_styles: Mapping[str, LineStyle], below: float
) -> None:
    """Write the better half at the left, the worse half at the right, and lead lines there.

    The outermost ranks are the uppermost names, so that no two lines cross.
    """
    all_line_styles = line_styles_of(ranks["activation"], line_styles)
    half = math.ceil(len(ranks) / 2)
    levels = [*range(half), *reversed(range(len(ranks) - half))]
    for place, (name, rank, level) in enumerate(
        zip(ranks["activation"], ranks["mean_rank"], levels)
    ):
        line_style, gid = all_line_styles[name], group_id(name)
        x, y = page.x(rank), below + _LABEL * (level + 0.3)
        left = place < half
        edge = _SIDE - 0.12 if left else WIDTH - _SIDE + 0.12
        axes.plot([x, x, edge], [0, y, y], color=line_style.color, linewidth=1.1, gid=gid, zorder=1)
        axes.plot(
            [x],
            [0],
            linestyle="",
            marker=line_style.marker,
            color=line_style.color,
            gid=gid,
            zorder=4,
        )
        text = f"{name}  {rank:.2f}" if left else f"{rank:.2f}  {name}"
        shift, side = (-0.06, "right") if left else (0.06, "left")
        axes.text(edge + shift, y, text, ha=side, va="center", gid=gid)


def _caption(ranks: pd.DataFrame, bars: list[tuple[int, float, float]]) -> str:
    blocks = int(ranks["n_blocks"].iloc[0])
    parts = [
        "mean ranks by test accuracy within this dataset,"
        f" {counted(blocks, 'seed')} as block{'' if blocks == 1 else 's'}"
    ]
    p_value = ranks["friedman_p"].iloc[0]
    if np.isfinite(p_value):
        parts.append(f"Friedman test: p = {number(p_value)}")
    if bars:
        parts.append("thick bars join what is not told apart (Nemenyi test, 5\u202f%)")
    return "; ".join(parts)
