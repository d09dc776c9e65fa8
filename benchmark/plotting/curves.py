"""Learning curves, by epoch or by time. DataFrame in, Figure out: no files, no statistics."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.errors import one_of
from benchmark.formatting import listing
from benchmark.plotting.curve_data import (
    SIDES,
    Line,
    epoch_line,
    is_log,
    last_epoch,
    ranked,
    time_line,
    views_of,
)
from benchmark.plotting.palette import PALETTE, LineStyle, line_styles_of
from benchmark.plotting.panels import artist
from benchmark.plotting.style import WIDTH, figure_style, group_id, per_cent, say, span

_ROW_HEIGHT, _LEGEND_ENTRY = 2.3, 0.16  # inches
CURVE_METRICS = ("accuracy", "loss")


def curves_figure(
    curves: pd.DataFrame,
    metric: str,
    line_styles: Mapping[str, LineStyle],
    *,
    title: str = "",
    style: str = "light",
) -> Figure:
    """Draw one setting's curves by epoch, training beside validation, one line per activation.

    Where some activations lie far from the rest, a second row shows a closer view of the rest.
    A curve whose metric or loss stops being finite ends there, marked with a cross.

    Args:
        curves: one row per activation and epoch: `activation`, `epoch`, `n_seeds`,
            `loss_function`, and `_mean`, `_low` and `_high` of `loss`, `accuracy`, `val_loss` and
            `val_accuracy`.
        metric: "accuracy" or "loss".
        line_styles: by activation; one that is not among them is drawn in gray.
        title: written above the panels.
        style: "light" or "dark".

    Raises:
        ValueError: for another metric or style, for a frame without rows, and for one with
            several rows for an activation and epoch (more than one setting).
    """
    one_of("metric", metric, CURVE_METRICS)
    if curves.empty:
        raise ValueError("no curves to draw: the frame has no rows")
    if curves.duplicated(["activation", "epoch"]).any():
        raise ValueError("several rows for one activation and epoch: draw one setting at a time")
    lines = ranked(
        [
            epoch_line(str(name), group, metric)
            for name, group in curves.groupby("activation", sort=False)
        ],
        metric,
    )
    views = views_of(lines, metric)
    with figure_style(style):
        height = max(_ROW_HEIGHT * len(views) + 0.6, _LEGEND_ENTRY * len(lines) + 0.8)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        grid = figure.subplots(len(views), 2, sharex=True, sharey="row", squeeze=False)
        drawn = _with_line_styles(lines, line_styles)
        for axes_row, (name, limits) in zip(grid, views.items()):
            for axes, side in zip(axes_row, SIDES):
                _draw(axes, side, drawn)
                axes.set_title(SIDES[side] + name, loc="left")
            # The axes of a row share their scale and limits.
            _scale_values(axes_row[0], limits, metric)
            axes_row[0].set_ylabel(_value_label(curves, metric))
        for axes in grid[-1]:
            axes.set_xlabel("Epoch")
        _scale_epochs(grid[0, 0], lines)
        _legend(figure, drawn)
        say(figure, title, _caption(lines, metric))
    return figure


def time_figure(
    history: pd.DataFrame,
    runs: pd.DataFrame,
    line_styles: Mapping[str, LineStyle],
    *,
    title: str = "",
    style: str = "light",
) -> Figure:
    """Draw one setting's validation accuracy by the seconds spent so far, one line per activation.

    Both are medians over seeds at each epoch; start-up in the first epoch does not count. Where
    some activations lie far from the rest, a second panel shows the rest closer. A curve ends,
    with a cross, where a seed's loss stops being finite. Runs that failed or are unfinished are
    left out.

    Args:
        history: one row per run and epoch, as in history.csv.
        runs: one row per run: `run`, `activation`, `status`.
        line_styles: by activation; one that is not among them is drawn in gray.
        title: written above the panels.
        style: "light" or "dark".

    Raises:
        ValueError: for another style, and where no run has come to its end.
    """
    done = runs.loc[runs["status"].isin(["complete", "diverged"]), "run"]
    epochs = history[history["run"].isin(done)]
    if epochs.empty:
        raise ValueError("no curves to draw: no run is complete or diverged")
    lines = ranked(
        [time_line(str(name), group) for name, group in epochs.groupby("activation")], "accuracy"
    )
    views = views_of(lines, "accuracy")
    absent = sorted(set(runs["activation"]) - {line.name for line in lines})
    with figure_style(style):
        height = max(_ROW_HEIGHT + 0.8, _LEGEND_ENTRY * len(lines) + 0.8)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        drawn = _with_line_styles(lines, line_styles)
        for axes, (name, limits) in zip(
            figure.subplots(1, len(views), squeeze=False)[0], views.items()
        ):
            _draw(axes, "val_", drawn)
            axes.set_title(SIDES["val_"] + name, loc="left")
            axes.set_xlabel("Seconds of training")
            _scale_values(axes, limits, "accuracy")
            _scale_seconds(axes, lines)
        figure.axes[0].set_ylabel("Accuracy (%)")
        _legend(figure, drawn)
        say(figure, title, _time_caption(lines, absent))
    return figure


def _with_line_styles(
    lines: list[Line], line_styles: Mapping[str, LineStyle]
) -> list[tuple[Line, LineStyle]]:
    all_line_styles = line_styles_of([line.name for line in lines], line_styles)
    return [(line, all_line_styles[line.name]) for line in lines]


def _draw(axes: Axes, side: str, drawn: list[tuple[Line, LineStyle]]) -> None:
    """Draw one side's curves, the best on top."""
    # Many bands lie over each other: fainter, they leave the lines in view.
    alpha = 0.18 if len(drawn) <= len(PALETTE) else 0.08
    for rank, (line, line_style) in enumerate(drawn):
        curve, top = line.curves[side], 3 - rank / len(drawn)
        # Some six markers, at other epochs than those of the neighbors in the ranking.
        every = max(1, math.ceil(len(curve.epochs) / 6))
        if (curve.high > curve.low).any():
            axes.fill_between(
                curve.x,
                curve.low,
                curve.high,
                color=line_style.color,
                alpha=alpha,
                linewidth=0,
                zorder=top - 1,
                gid=group_id(line.name),
            )
        axes.plot(
            curve.x,
            curve.mean,
            label=line.name,
            gid=group_id(line.name),
            markevery=(rank % every, every),
            zorder=top,
            marker=line_style.marker,
            **artist(line_style),
        )
        if curve.diverged and curve.mean.size:
            _mark_divergence(axes, line, side, line_style)


def _mark_divergence(axes: Axes, line: Line, side: str, line_style: LineStyle) -> None:
    """Put a cross at the end of a curve."""
    curve = line.curves[side]
    axes.plot(
        curve.x[-1:],
        curve.mean[-1:],
        gid=group_id(line.name),
        color=line_style.color,
        marker="x",
        markersize=8,
        markeredgewidth=1.8,
        label=f"_{line.name} diverged",
        zorder=4,
    )


def _scale_values(axes: Axes, limits: tuple[float, float] | None, metric: str) -> None:
    if limits is None:
        return
    low, high = limits
    if metric == "loss" and is_log(limits):
        axes.set_yscale("log")
        pad = (high / low) ** 0.05
        axes.set_ylim(low / pad, high * pad)
        # Over few decades, powers of ten alone would be too few ticks.
        few = high / low < 1000
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if few else (1,), numticks=8))
        axes.yaxis.set_minor_locator(ticker.NullLocator())
        axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
        return
    # Constant curves have no height of their own.
    pad = 0.06 * (high - low) or 0.05 * abs(high) or 0.05
    axes.set_ylim(low - pad, high + pad)
    axes.yaxis.set_major_locator(ticker.MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    if metric == "accuracy":
        axes.yaxis.set_major_formatter(per_cent)


def _scale_seconds(axes: Axes, lines: list[Line]) -> None:
    times = np.concatenate([line.curves["val_"].x for line in lines])
    if times.size:
        first, last = float(times.min()), float(times.max())
        pad = 0.03 * (last - first) or 0.05 * last
        axes.set_xlim(first - pad, last + pad)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))


def _scale_epochs(axes: Axes, lines: list[Line]) -> None:
    last = last_epoch(lines)
    pad = max(0.5, 0.02 * last)
    axes.set_xlim(1 - pad, last + pad)
    ticks = ticker.MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]).tick_values(1, last)
    axes.set_xticks([tick for tick in ticks if 1 <= tick <= last])


def _value_label(curves: pd.DataFrame, metric: str) -> str:
    if metric == "accuracy":
        return "Accuracy (%)"
    return f"Loss\n({str(curves['loss_function'].iloc[0]).replace('_', ' ')})"


def _caption(lines: list[Line], metric: str) -> str:
    counts = {int(n) for line in lines for curve in line.curves.values() for n in curve.n_seeds}
    parts = []
    if counts == {1}:
        parts.append("one seed")
    elif counts:
        parts += [f"mean of {span(counts)} seeds", "band: ± 1 standard deviation"]
    if len(lines) > 1:
        parts.append(f"legend in order of final validation {metric}, best first")
    if any(line.diverged for line in lines):
        parts.append("×: diverged")
    return "; ".join(parts)


def _time_caption(lines: list[Line], absent: list[str]) -> str:
    seeds = span(n for line in lines for n in line.curves["val_"].n_seeds)
    parts = []
    if seeds:
        parts.append("one seed" if seeds == "1" else f"medians of {seeds} seeds at each epoch")
    parts.append("first epochs count as long as median ones, without start-up")
    if any(line.diverged for line in lines):
        parts.append("×: a seed diverged")
    if absent:
        parts.append(f"without a finished run: {listing(absent)}")
    return "; ".join(parts)


def _legend(figure: Figure, drawn: list[tuple[Line, LineStyle]]) -> None:
    legend = figure.legend(
        [Line2D([], [], marker=line_style.marker, **artist(line_style)) for _, line_style in drawn],
        [f"{line.name} (diverged)" if line.diverged else line.name for line, _ in drawn],
        loc="outside right center",
    )
    for (line, _), handle, text in zip(drawn, legend.get_lines(), legend.get_texts()):
        handle.set_gid(group_id(line.name))
        text.set_gid(group_id(line.name))
