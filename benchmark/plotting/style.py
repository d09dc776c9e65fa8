"""What all figures share: size, style, titles and captions, the line styles of activations."""

import textwrap
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib.style
from matplotlib.figure import Figure

from benchmark.plotting.palette import check_style

WIDTH = 17 / 2.54  # inches: the text width of a page
_TITLE_LINE, _CAPTION_LINE = 0.17, 0.13  # inches
_TITLE_WIDTH, _CAPTION_WIDTH = 80, 122  # characters
_COMMON: dict[str, Any] = {
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
_STYLES: dict[str, list[str | dict[str, Any]]] = {
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
    check_style(style)
    with _settings_lock, matplotlib.style.context(_STYLES[style]):
        yield


def group_id(name: str) -> str:
    """Return the id that all of an activation's artists carry, so that a page can hide them."""
    return f"activation:{name}"


def per_cent(value: float, position: float) -> str:
    """Return a share as a tick of an axis in percent has it, without the sign."""
    return f"{100 * value:.6g}".replace("-", "−")


def span(counts: Iterable[float]) -> str:
    """Return "3", or "2 to 5" where counts differ; "" without any."""
    whole = sorted({int(count) for count in counts})
    return " to ".join(str(count) for count in dict.fromkeys([*whole[:1], *whole[-1:]]))


def say(figure: Figure, title: str, caption: str) -> None:
    """Write a title above the panels and a caption below; every line adds to the height."""
    title, caption = textwrap.fill(title, _TITLE_WIDTH), textwrap.fill(caption, _CAPTION_WIDTH)
    lines = _TITLE_LINE * title.count("\n") + _CAPTION_LINE * caption.count("\n")
    figure.set_figheight(figure.get_figheight() + lines)
    figure.supxlabel(caption, x=0.01, ha="left", fontsize=7.5)
    if title:
        figure.suptitle(title, x=0.01, ha="left")
