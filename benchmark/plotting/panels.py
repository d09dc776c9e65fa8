"""What figures share: panels, legends, heat maps. To be used inside `figure_style`."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.typing import ColorType, LegendLocType

from benchmark.plotting.palette import LineStyle
from benchmark.plotting.style import WIDTH

# Perceptually uniform, and readable in every kind of color vision.
HEAT = "cividis"


def grid(
    count: int, columns: int, row_height: float = 1.9, title: str = "", **shared: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure as wide as a page's text and `count` axes in rows of `columns`.

    `row_height` is in inches; `shared` goes to `Figure.subplots` (sharex, sharey).
    """
    rows = -(-count // columns)
    height = rows * row_height + (0.35 if title else 0.1)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for unused in axes[count:]:
        unused.remove()
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    return figure, axes[:count]


def artist(line_style: LineStyle) -> dict[str, Any]:
    """Return an activation's line style as keyword arguments of `Axes.plot`, without its marker."""
    return {"color": line_style.color, "linestyle": line_style.linestyle}


def legend(
    figure: Figure,
    line_styles: Mapping[str, LineStyle],
    names: Sequence[str],
    markers: bool = False,
    loc: LegendLocType = "outside right upper",
) -> None:
    """Put a legend of these activations beside the panels."""
    handles = [
        Line2D(
            [], [], **artist(line_styles[name]), marker=line_styles[name].marker if markers else ""
        )
        for name in names
    ]
    figure.legend(handles=handles, labels=list(names), loc=loc)


def heat_map(
    axes: Axes,
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    text: str | None = None,
    **options: Any,
) -> AxesImage:
    """Draw values (rows, columns) as colored cells and return the image, for a color bar.

    `text` is a format such as "{:.2f}", with which each cell's number is written;
    `options` go to `Axes.imshow` (norm, cmap, vmin, vmax). Cells without a number are left blank.
    """
    options.setdefault("cmap", HEAT)
    image = axes.imshow(values, aspect="auto", interpolation="nearest", **options)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.grid(False)
    if text:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                color = _readable_on(tuple(np.ravel(image.cmap(image.norm(value)))))
                axes.text(column, row, text.format(value), ha="center", va="center", color=color)
    return image


def _readable_on(background: ColorType) -> str:
    red, green, blue = matplotlib.colors.to_rgb(background)
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
