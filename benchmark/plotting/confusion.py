"""Confusion matrices of the best and the worst activation, and the most misclassified examples."""

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from benchmark.formatting import counted
from benchmark.plotting.palette import GRAY, LineStyle
from benchmark.plotting.panels import HEAT, heat_map
from benchmark.plotting.style import WIDTH, figure_style, per_cent, say

_ROLES = ("best", "worst")
_IN_A_ROW = 6  # examples
_SMALL, _CELL = 7, 6  # points


def confusion_figure(
    confusion: pd.DataFrame,
    line_styles: Mapping[str, LineStyle],
    *,
    title: str = "",
    style: str = "light",
) -> Figure:
    """Draw the confusion matrices of the best and the worst activation's networks.

    Rows are true classes, cells the share of the class's test examples in percent. The diagonal,
    what is right, is left in gray, so that the errors can be seen.

    Args:
        confusion: one row per role, true and predicted class, as in confusion.csv.
        line_styles: the activations' line styles; they are not needed here.
        title: written above the panels.
        style: "light" or "dark".

    Raises:
        ValueError: for another style, and for a frame without rows or with several for one cell.
    """
    if confusion.empty:
        raise ValueError("nothing to draw: the frame has no rows")
    if confusion.duplicated(["role", "true", "predicted"]).any():
        raise ValueError("several rows for one cell: draw one setting at a time")
    roles = _roles(confusion)
    classes = np.union1d(confusion["true"], confusion["predicted"])
    shares = {role: _shares(rows, classes) for role, rows in roles.items()}
    errors = np.concatenate([_errors(share).ravel() for share in shares.values()])
    errors = errors[np.isfinite(errors)]
    norm = LogNorm(errors.min(), max(errors.max(), 2 * errors.min())) if errors.size else LogNorm()
    with figure_style(style):
        figure = Figure(figsize=(WIDTH, WIDTH / 2 + 0.3), layout="constrained")
        panels = list(figure.subplots(1, 2))
        for axes, (role, rows) in zip(panels, roles.items()):
            image = _draw_confusion(axes, shares[role], classes, norm, style)
            axes.set_title(_confusion_title(role, rows), loc="left")
            axes.set_xlabel("Predicted class")
        for unused in panels[len(roles) :]:
            unused.axis("off")
        panels[0].set_ylabel("True class")
        if errors.size:
            bar = figure.colorbar(image, ax=panels[: len(roles)], shrink=0.8, aspect=30, pad=0.02)
            bar.locator = ticker.LogLocator(subs=(1, 2, 5))
            bar.set_label("Share of the true class (%)")
            bar.ax.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
            bar.minorticks_off()
        say(figure, title, _confusion_caption(roles))
    return figure


def misclassified_figure(
    misclassified: pd.DataFrame,
    line_styles: Mapping[str, LineStyle],
    *,
    title: str = "",
    style: str = "light",
) -> Figure | None:
    """Draw the test examples that the best and the worst activation's networks misclassified most.

    Args:
        misclassified: one row per role and example, as in misclassified.csv; without pixels it
            is left out. One of height 1 is a signal, drawn as a line.
        line_styles: the activations' line styles; they are not needed here.
        title: written above the examples.
        style: "light" or "dark".

    Returns:
        None if no row has pixels.

    Raises:
        ValueError: for another style, for a row with a wrong number of values, and for several
            rows of one role and example.
    """
    shown = misclassified[misclassified["pixels"].notna()]
    if shown.empty:
        return None
    if shown.duplicated(["role", "index"]).any():
        raise ValueError("several rows for one example: draw one setting at a time")
    roles = _roles(shown)
    lines = [-(-len(rows) // _IN_A_ROW) for rows in roles.values()]
    with figure_style(style):
        figure = Figure(
            figsize=(WIDTH, 1.45 * sum(lines) + 0.2 * len(lines) + 0.5),
            layout=ConstrainedLayoutEngine(h_pad=0.07),
        )
        blocks = figure.subfigures(len(roles), 1, squeeze=False, height_ratios=lines)[:, 0]
        for block, n_lines, (role, rows) in zip(blocks, lines, roles.items()):
            name, n_runs = rows["activation"].iloc[0], int(rows["n_runs"].iloc[0])
            words = f"{role.capitalize()}: {name}, {counted(n_runs, 'run')}"
            block.suptitle(words, x=0.01, ha="left", fontsize=9, weight="normal")
            places = list(block.subplots(n_lines, _IN_A_ROW, squeeze=False).flat)
            for axes in places[len(rows) :]:
                axes.remove()
            for axes, record in zip(places, rows.to_dict("records")):
                _draw_example(axes, record)
        say(figure, title, _MISCLASSIFIED_CAPTION)
    return figure


_MISCLASSIFIED_CAPTION = (
    "test examples misclassified in most runs, with the class most often taken for the true one; in"
    " how many runs; mean probability given to that class there"
)


def _roles(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each role; one activation that is both is shown once."""
    roles = {role: frame[frame["role"] == role] for role in _ROLES}
    roles = {role: rows for role, rows in roles.items() if len(rows)}
    if len({rows["activation"].iloc[0] for rows in roles.values()}) < len(roles):
        return {role: roles[role] for role in _ROLES[:1]}
    return roles


def _shares(rows: pd.DataFrame, classes: np.ndarray) -> np.ndarray:
    """Return the percentages of each true class, (n_classes, n_classes); NaN without examples."""
    table = rows.pivot(index="true", columns="predicted", values="count")
    counts = table.reindex(index=classes, columns=classes).fillna(0).to_numpy(float)
    totals = counts.sum(axis=1, keepdims=True)
    return 100 * np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)


def _errors(shares: np.ndarray) -> np.ndarray:
    """Return the shares off the diagonal, NaN where there are none."""
    wrong = np.where(np.eye(len(shares), dtype=bool), np.nan, shares)
    return np.where(wrong > 0, wrong, np.nan)


def _draw_confusion(
    axes: Axes, shares: np.ndarray, classes: np.ndarray, norm: LogNorm, style: str
) -> AxesImage:
    """Draw one matrix and return its image, for the color bar."""
    # Rare errors come close to the background.
    colors = HEAT if style == "dark" else f"{HEAT}_r"
    names = [str(name) for name in classes]
    image = heat_map(axes, _errors(shares), names, names, text="{}", norm=norm, cmap=colors)
    for cell in axes.texts:
        cell.set(text=_share(float(cell.get_text())), fontsize=_CELL)
    for index, right in enumerate(np.diag(shares)):
        corner = (index - 0.5, index - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=GRAY, alpha=0.2, linewidth=0))
        if np.isfinite(right):
            axes.text(
                index, index, _share(right), ha="center", va="center", fontsize=_CELL, alpha=0.6
            )
    axes.set_aspect("equal")
    axes.tick_params(length=0)
    return image


def _share(percentage: float) -> str:
    """Return a percentage in at most three characters: "0.3", "97", "0"."""
    return f"{percentage:.1f}" if 0 < percentage < 9.95 else f"{percentage:.0f}"


def _confusion_title(role: str, rows: pd.DataFrame) -> str:
    right = rows.loc[rows["true"] == rows["predicted"], "count"].sum() / rows["count"].sum()
    return (
        f"{role.capitalize()}: {rows['activation'].iloc[0]}, {per_cent(round(right, 4), 0)} % right"
    )


def _confusion_caption(roles: Mapping[str, pd.DataFrame]) -> str:
    runs = sorted({int(rows["n_runs"].iloc[0]) for rows in roles.values()})
    counts = " or ".join(counted(count, "run") for count in runs)
    return f"percent of the test examples of a class, counted over {counts}; gray: right"


def _draw_example(axes: Axes, record: Mapping[Hashable, Any]) -> None:
    """Draw an image or a signal, and below it what it is and what it is taken for."""
    pixels = np.array(str(record["pixels"]).split(), dtype=float)
    shape = int(record["height"]), int(record["width"])
    if pixels.size != shape[0] * shape[1]:
        raise ValueError(
            f"example {record['index']} has {pixels.size} values instead of {shape[0]} × {shape[1]}"
        )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if shape[0] == 1:
        axes.plot(pixels, color=GRAY)
        axes.set_box_aspect(1)
    else:
        # Ink is dark on light paper in both styles: images look like what was written.
        axes.imshow(pixels.reshape(shape), cmap="gray_r", vmin=0, vmax=record["scale"])
    words = f"true {record['true']}, read as {record['predicted']}\n"
    words += f"{record['n_misclassified']} of {counted(record['n_runs'], 'run')}"
    if math.isfinite(record["probability"]):
        words += f", {100 * record['probability']:.0f} %"
    axes.set_xlabel(words, fontsize=_SMALL)
