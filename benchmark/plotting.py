"""DataFrame in, Figure out: no files, no statistics."""

import math
import textwrap
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.palette import PALETTE, LineLook, grey_look

METRICS = ("accuracy", "loss")
WIDTH = 17 / 2.54  # inches: the text width of a page
_ROW_HEIGHT, _LEGEND_ENTRY, _TITLE_LINE = 2.3, 0.16, 0.17  # inches
_SIDES = {"": "Training", "val_": "Validation"}

_COMMON = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "figure.titlesize": 10,
    "figure.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.handlelength": 3.6,
    "legend.labelspacing": 0.35,
}
_STYLES = {
    "light": ["default", _COMMON, {"axes.edgecolor": "0.4", "grid.color": "0.9"}],
    # The article drew with matplotlib's own dark background.
    "dark": ["default", "dark_background", _COMMON, {"grid.color": "0.22"}],
}
# matplotlib's settings belong to the process: two threads must not change them at once.
_settings_lock = threading.RLock()


@contextmanager
def figure_style(style: str) -> Iterator[None]:
    """Draw in style "light" or "dark" inside the with-block; all settings are restored after it.

    Raises:
        ValueError: for another style.
    """
    _one_of("style", style, _STYLES)
    with _settings_lock, matplotlib.style.context(_STYLES[style]):
        yield


def curves_figure(
    curves: pd.DataFrame,
    metric: str,
    looks: Mapping[str, LineLook],
    *,
    title: str = "",
    style: str = "light",
) -> Figure:
    """Draw one setting's curves by epoch, training beside validation, one line per activation.

    Where some activations lie far from the rest, a second row shows the rest closer. A curve
    whose metric or loss stops being finite ends there, marked with a cross.

    Args:
        curves: one row per activation and epoch: `activation`, `epoch`, `n_seeds`,
            `loss_function`, and `_mean`, `_low` and `_high` of `loss`, `accuracy`, `val_loss` and
            `val_accuracy`.
        metric: "accuracy" or "loss".
        looks: the activations' looks; an activation that is not among them is drawn in grey.
        title: written above the panels.
        style: "light" or "dark".

    Raises:
        ValueError: for another metric or style, for a frame without rows, and for one with
            several rows for an activation and epoch (more than one setting).
    """
    _one_of("metric", metric, METRICS)
    if curves.empty:
        raise ValueError("no curves to draw: the frame has no rows")
    if curves.duplicated(["activation", "epoch"]).any():
        raise ValueError("several rows for one activation and epoch: draw one setting at a time")
    lines = _ranked(
        [_line(name, group, metric) for name, group in curves.groupby("activation", sort=False)],
        metric,
    )
    views = _views(lines, metric)
    title = textwrap.fill(title, 80)
    with figure_style(style):
        height = max(_ROW_HEIGHT * len(views) + 0.6, _LEGEND_ENTRY * len(lines) + 0.8)
        height += _TITLE_LINE * title.count("\n")
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        grid = figure.subplots(len(views), 2, sharex=True, sharey="row", squeeze=False)
        drawn = _with_looks(lines, looks)
        for axes_row, (name, limits) in zip(grid, views.items()):
            for axes, side in zip(axes_row, _SIDES):
                _draw(axes, side, drawn)
                axes.set_title(_SIDES[side] + name, loc="left")
            # The axes of a row share their scale and limits.
            _scale_values(axes_row[0], limits, metric)
            axes_row[0].set_ylabel(_value_label(curves, metric))
        for axes in grid[-1]:
            axes.set_xlabel("Epoch")
        _scale_epochs(grid[0, 0], lines)
        _legend(figure, drawn)
        figure.supxlabel(_caption(lines, metric), x=0.01, ha="left", fontsize=7.5)
        if title:
            figure.suptitle(title, x=0.01, ha="left")
    return figure


@dataclass(frozen=True)
class _Curve:
    """Mean and band over seeds, arrays of shape (n_epochs,), up to where they are finite."""

    epochs: np.ndarray
    n_seeds: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    diverged: bool


@dataclass(frozen=True)
class _Line:
    """One activation's curves by side: "" is training and "val_" validation."""

    name: str
    curves: dict[str, _Curve]

    @property
    def diverged(self) -> bool:
        return any(curve.diverged for curve in self.curves.values())


def _line(name: str, group: pd.DataFrame, metric: str) -> _Line:
    group = group.sort_values("epoch")
    curves = {side: _curve(group, side, metric) for side in _SIDES}
    return _Line(str(name), curves)


def _curve(group: pd.DataFrame, side: str, metric: str) -> _Curve:
    # A network whose loss is lost still scores an accuracy, by luck: its curve ends there too.
    watched = group[[f"{side}{metric}_mean", f"{side}loss_mean"]].to_numpy(float)
    finite = np.isfinite(watched).all(axis=1)
    end = len(finite) if finite.all() else int(finite.argmin())
    values = [
        group[column].to_numpy(float)[:end]
        for column in (
            "epoch",
            "n_seeds",
            *(f"{side}{metric}_{part}" for part in ("mean", "low", "high")),
        )
    ]
    return _Curve(*values, diverged=end < len(finite))


def _ranked(lines: list[_Line], metric: str) -> list[_Line]:
    """Order by final validation value, best first; diverged curves have none and come last."""

    def place(line: _Line) -> tuple[bool, float]:
        if line.diverged:
            return True, 0.0
        final = float(line.curves["val_"].mean[-1])
        return False, -final if metric == "accuracy" else final

    return sorted(lines, key=place)


def _with_looks(lines: list[_Line], looks: Mapping[str, LineLook]) -> list[tuple[_Line, LineLook]]:
    strangers = sorted(line.name for line in lines if line.name not in looks)
    greys = {name: grey_look(index) for index, name in enumerate(strangers)}
    return [(line, looks.get(line.name) or greys[line.name]) for line in lines]


def _views(lines: list[_Line], metric: str) -> dict[str, tuple[float, float] | None]:
    """Return what each row is called, after "Training", and its limits (None: without data)."""
    views = {"": _limits(lines, metric)}
    others = _others(lines, metric)
    if others:
        views[" – closer view"] = _limits(others, metric, _last_epoch(others) // 2)
    return views


def _limits(lines: list[_Line], metric: str, after: int = 0) -> tuple[float, float] | None:
    """Return the lowest and the highest value of means and bands after an epoch."""
    values = []
    for line in lines:
        for curve in line.curves.values():
            late = curve.epochs > after
            values += [curve.mean[late], curve.high[late]]
            # A band may reach down to zero or below, which no log axis can follow.
            values += [curve.low[late]] if metric == "accuracy" else []
    values = np.concatenate(values)
    values = values[np.isfinite(values)]
    if metric == "accuracy":
        values = np.clip(values, 0, 1)
    return (float(values.min()), float(values.max())) if values.size else None


def _others(lines: list[_Line], metric: str) -> list[_Line]:
    """Return the lines that deserve a closer view without the rest, none where all lie together.

    They deserve it where in validation they keep to less than a third of the range of all, either
    in the last epoch or in the whole run; in the last epoch only if the range of all is a tenth
    of the whole run's or more: otherwise all merely end close together.
    """
    log = _is_log(_limits(lines, metric))
    whole = _extents(lines, log)
    final = _extents(lines, log, _last_epoch(lines) - 1)
    for extents, least in ((final, 0.1 * _spread(whole)), (whole, 0.0)):
        names = _group(extents, metric)
        if not names:
            continue
        spread = _spread(extents)
        close = _spread({name: extents[name] for name in names})
        if spread >= least and close < spread / 3:
            return [line for line in lines if line.name in names]
    return []


def _extents(lines: list[_Line], log: bool, after: int = 0) -> dict[str, tuple[float, float]]:
    """Return each line's lowest and highest validation mean after an epoch, as axis heights."""
    extents = {}
    for line in lines:
        curve = line.curves["val_"]
        means = curve.mean[curve.epochs > after]
        if means.size:
            heights = np.log10(means) if log else means
            extents[line.name] = (float(heights.min()), float(heights.max()))
    return extents


def _spread(extents: dict[str, tuple[float, float]]) -> float:
    if not extents:
        return 0.0
    return max(high for _, high in extents.values()) - min(low for low, _ in extents.values())


def _group(extents: dict[str, tuple[float, float]], metric: str) -> set[str]:
    """Split the lines by their worst values at the widest gap; return those on its better side.

    At least half of the lines stay, and at least two; none are returned where that is all.
    """
    fault = {name: -low if metric == "accuracy" else high for name, (low, high) in extents.items()}
    names = sorted(fault, key=fault.__getitem__)
    least = max(2, math.ceil(len(names) / 2))
    if len(names) <= least:
        return set()
    gaps = np.diff([fault[name] for name in names])
    return set(names[: least + int(gaps[least - 1 :].argmax())])


def _is_log(limits: tuple[float, float] | None) -> bool:
    """Return whether values between these limits span more than a decade."""
    return limits is not None and 0 < 10 * limits[0] < limits[1]


def _last_epoch(lines: list[_Line]) -> int:
    return max(
        (
            int(curve.epochs[-1])
            for line in lines
            for curve in line.curves.values()
            if curve.mean.size
        ),
        default=1,
    )


def _draw(axes: Axes, side: str, drawn: list[tuple[_Line, LineLook]]) -> None:
    """Draw one side's curves, the best on top."""
    # Many bands lie over each other: fainter, they leave the lines in view.
    alpha = 0.18 if len(drawn) <= len(PALETTE) else 0.08
    for rank, (line, look) in enumerate(drawn):
        curve, top = line.curves[side], 3 - rank / len(drawn)
        # Some six markers, at other epochs than those of the neighbours in the ranking.
        every = max(1, math.ceil(len(curve.epochs) / 6))
        if (curve.n_seeds > 1).any():
            axes.fill_between(
                curve.epochs,
                curve.low,
                curve.high,
                color=look.colour,
                alpha=alpha,
                linewidth=0,
                zorder=top - 1,
            )
        axes.plot(
            curve.epochs,
            curve.mean,
            label=line.name,
            markevery=(rank % every, every),
            zorder=top,
            **_artist(look),
        )
        if curve.diverged and curve.mean.size:
            axes.plot(
                curve.epochs[-1:],
                curve.mean[-1:],
                color=look.colour,
                marker="x",
                markersize=8,
                markeredgewidth=1.8,
                label=f"_{line.name} diverged",
                zorder=4,
            )


def _artist(look: LineLook) -> dict[str, object]:
    return {"color": look.colour, "linestyle": look.linestyle, "marker": look.marker}


def _scale_values(axes: Axes, limits: tuple[float, float] | None, metric: str) -> None:
    if limits is None:
        return
    low, high = limits
    if metric == "loss" and _is_log(limits):
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
        axes.yaxis.set_major_formatter(_per_cent)


def _per_cent(value: float, position: int) -> str:
    return f"{100 * value:.6g}"


def _scale_epochs(axes: Axes, lines: list[_Line]) -> None:
    last = _last_epoch(lines)
    pad = max(0.5, 0.02 * last)
    axes.set_xlim(1 - pad, last + pad)
    ticks = ticker.MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]).tick_values(1, last)
    axes.set_xticks([tick for tick in ticks if 1 <= tick <= last])


def _value_label(curves: pd.DataFrame, metric: str) -> str:
    if metric == "accuracy":
        return "Accuracy (%)"
    return f"Loss\n({str(curves['loss_function'].iloc[0]).replace('_', ' ')})"


def _caption(lines: list[_Line], metric: str) -> str:
    counts = {int(n) for line in lines for curve in line.curves.values() for n in curve.n_seeds}
    parts = []
    if counts == {1}:
        parts.append("one seed")
    elif counts:
        seeds = " to ".join(str(n) for n in sorted({min(counts), max(counts)}))
        parts += [f"mean of {seeds} seeds", "band: ± 1 standard deviation"]
    if len(lines) > 1:
        parts.append(f"legend in order of final validation {metric}, best first")
    if any(line.diverged for line in lines):
        parts.append("×: diverged")
    return "; ".join(parts)


def _legend(figure: Figure, drawn: list[tuple[_Line, LineLook]]) -> None:
    figure.legend(
        handles=[Line2D([], [], **_artist(look)) for _, look in drawn],
        labels=[f"{line.name} (diverged)" if line.diverged else line.name for line, _ in drawn],
        loc="outside right center",
    )


def _one_of(what: str, value: str, valid: tuple[str, ...] | dict[str, object]) -> None:
    if value not in valid:
        raise ValueError(f"unknown {what} {value!r}; one of: {', '.join(valid)}")
