"""How learning rates were chosen: accuracy by rate, a panel for each activation."""

import math
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.formatting import number
from benchmark.plotting.palette import GRAY, LineStyle, line_styles_of
from benchmark.plotting.panels import grid
from benchmark.plotting.style import figure_style, per_cent, say, span

_SMALL = 7  # points
_FAR = 5  # an axis follows the error where errors differ by more than this factor
_STRETCHED = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998)
_LEAST_ERROR = 1e-3  # what an accuracy of one is drawn as, where the axis follows the error


def tuning_figure(
    tuning: pd.DataFrame,
    line_styles: Mapping[str, LineStyle],
    *,
    title: str = "",
    style: str = "light",
) -> Figure:
    """Draw mean validation accuracy by learning rate, one panel for each activation.

    The others' lines lie behind in gray; the chosen rate is marked and written above. Where some
    rates are far worse than the best, the axis is stretched toward 100 %.

    Args:
        tuning: one row per activation and learning rate, as in tuning.csv.
        line_styles: by activation; one that is not among them is drawn in gray.
        title: written above the panels.
        style: "light" or "dark".

    Raises:
        ValueError: for another style, and for a frame without rows or with several for one
            activation and rate.
    """
    if tuning.empty:
        raise ValueError("no rates to draw: the frame has no rows")
    if tuning.duplicated(["activation", "learning_rate"]).any():
        raise ValueError("several rows for one activation and rate: draw one setting at a time")
    tuning = tuning.sort_values(["activation", "learning_rate"])
    groups = {str(name): rows for name, rows in tuning.groupby("activation", sort=True)}
    all_line_styles = line_styles_of(groups, line_styles)
    columns = min(len(groups), 3 if len(groups) <= 9 else 4)
    with figure_style(style):
        figure, panels = grid(
            len(groups), columns, 1.45 if columns <= 3 else 1.5, title, sharex=True, sharey=True
        )
        for axes, (name, rows) in zip(panels, groups.items()):
            for other in groups.values():
                line = other["learning_rate"], other["val_accuracy_mean"]
                axes.plot(*line, color=GRAY, linewidth=0.6, alpha=0.5)
            _draw_rates(axes, rows, all_line_styles[name])
            between = " " if columns <= 3 else "\n"
            axes.set_title(_rates_title(name, rows, between), loc="left", fontsize=8)
        _scale_rates(panels[0], tuning["learning_rate"])
        _scale_accuracies(panels[0], tuning)
        figure.supylabel("Validation accuracy (%)", fontsize=8)
        for axes in panels[-columns:]:
            axes.set_xlabel("Learning rate")
            axes.tick_params(axis="x", labelbottom=True, labelsize=_SMALL)
        say(figure, title, _tuning_caption(tuning))
    return figure


def _draw_rates(axes: Axes, rows: pd.DataFrame, line_style: LineStyle) -> None:
    rates, mean = rows["learning_rate"], rows["val_accuracy_mean"]
    deviation = rows["val_accuracy_std"].fillna(0.0)
    if (deviation > 0).any():
        low, high = (mean - deviation).clip(lower=0), (mean + deviation).clip(upper=1)
        axes.fill_between(rates, low, high, color=line_style.color, alpha=0.18, linewidth=0)
    axes.plot(rates, mean, color=line_style.color, marker=line_style.marker)
    chosen = rows[rows["chosen"]]
    ring: dict[str, Any] = {
        "marker": "o",
        "markersize": 9,
        "markerfacecolor": "none",
        "linestyle": "",
    }
    color = matplotlib.rcParams["text.color"]
    axes.plot(chosen["learning_rate"], chosen["val_accuracy_mean"], color=color, **ring)
    lost = rows[(rows["n_diverged"] > 0) | (rows["n_failed"] > 0)]
    axes.plot(
        lost["learning_rate"],
        np.full(len(lost), 0.05),
        transform=axes.get_xaxis_transform(),
        color=line_style.color,
        marker="x",
        linestyle="",
        markeredgewidth=1.5,
    )


def _rates_title(name: str, rows: pd.DataFrame, between: str) -> str:
    chosen = rows[rows["chosen"]]
    if chosen.empty:
        return f"{name}:{between}none"
    edge = " (edge)" if chosen["at_edge"].iloc[0] else ""
    return f"{name}:{between}{number(chosen['learning_rate'].iloc[0])}{edge}"


def _scale_rates(axes: Axes, rates: pd.Series) -> None:
    """Scale the axis of learning rates, which all panels share."""
    first, last = rates.min(), rates.max()
    powers = range(math.ceil(math.log10(first) - 1e-9), math.floor(math.log10(last) + 1e-9) + 1)
    axes.set_xscale("log")
    axes.set_xlim(first / 1.35, last * 1.35)
    axes.set_xticks([10.0**power for power in powers] if len(powers) > 1 else sorted({first, last}))
    axes.xaxis.set_major_formatter(lambda rate, position: number(rate))
    axes.xaxis.set_minor_locator(ticker.NullLocator())


def _scale_accuracies(axes: Axes, tuning: pd.DataFrame) -> None:
    """Scale the axis of accuracies, which all panels share."""
    means = tuning["val_accuracy_mean"].dropna()
    if means.empty:
        means = pd.Series([0.0, 1.0])
    low, high = means.min(), means.max()
    far = 1 - low > _FAR * max(1 - high, _LEAST_ERROR)
    if far:
        axes.set_yscale("function", functions=(_by_error, _from_error))
        low, high = float(_by_error(low)), float(_by_error(high))
    # Crosses stand at the bottom.
    spread = high - low or 0.02
    low, high = low - 0.2 * spread, high + 0.1 * spread
    if far:
        ticks = [tick for tick in _STRETCHED if low < _by_error(tick) < high]
        axes.set_yticks(ticks[::-1][:: 1 + len(ticks) // 8])
        low, high = _from_error(low), _from_error(high)
    else:
        axes.yaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.set_ylim(low, high)
    axes.yaxis.set_major_formatter(per_cent)
    axes.yaxis.set_minor_locator(ticker.NullLocator())


def _by_error(accuracy: Any) -> Any:
    """Return the height of an accuracy where equal steps are equal ratios of errors."""
    return -np.log10(np.maximum(1 - np.asarray(accuracy, float), _LEAST_ERROR))


def _from_error(height: Any) -> Any:
    return 1 - 10.0 ** -np.asarray(height, float)


def _tuning_caption(tuning: pd.DataFrame) -> str:
    seeds = span(tuning.loc[tuning["n_completed"] > 0, "n_completed"])
    parts = ["one seed" if seeds == "1" else f"mean of {seeds} seeds"] if seeds else []
    if (tuning["val_accuracy_std"] > 0).any():
        parts.append("band: ± 1 standard deviation")
    parts.append("ring, and above: the rate chosen")
    if tuning.loc[tuning["chosen"], "at_edge"].any():
        parts.append("edge: no rate beyond it was tried")
    if tuning["activation"].nunique() > 1:
        parts.append("gray: the others")
    if (tuning[["n_diverged", "n_failed"]] > 0).any(axis=None):
        parts.append("×: a run diverged or failed")
    return "; ".join(parts)
