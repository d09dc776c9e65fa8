"""Colors, line styles and markers of the curves; importing this does not load matplotlib."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.activations import names, resolve
from benchmark.errors import one_of

if TYPE_CHECKING:
    import pandas as pd

# Styles of whole figures.
STYLES = ("light", "dark")
# The hues of Okabe and Ito, with lightness shifted until every two of them lie at least 22 apart
# (CIELAB, Delta E 76) in normal vision and under simulated protanopia, deuteranopia and
# tritanopia. Contrast is at least 2.2:1 on white and 3.2:1 on black, so both styles share them.
PALETTE = ("#AB6E9A", "#1B5EA7", "#019857", "#00B8FF", "#F2930D", "#C03515", "#8356ED")
GRAY = "#8A8A8A"
LINESTYLES = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
# No crosses: a cross marks where a curve diverged.
MARKERS = ("o", "s", "^", "D", "v", "P", "<", "p")


def check_style(style: object) -> None:
    """Check the name of the figures' style.

    Raises:
        RequestError: there is no such style.
    """
    one_of("style", style, STYLES)


@dataclass(frozen=True)
class LineStyle:
    """Color, line style and marker of one activation, as matplotlib spells them."""

    color: str
    linestyle: str | tuple[int, tuple[float, ...]]
    marker: str


def line_style(index: int) -> LineStyle:
    """Return the line style of the activation with this index (0, 1, …) in the catalogue.

    The first seven differ in color and are solid; later ones take the colors again with other
    line styles and markers. Indices 0 to 55 all differ.
    """
    return LineStyle(
        PALETTE[index % len(PALETTE)],
        LINESTYLES[index // len(PALETTE) % len(LINESTYLES)],
        MARKERS[index % len(MARKERS)],
    )


def gray_line_style(index: int) -> LineStyle:
    """Return the line style of the index-th activation without a color; 0 to 31 differ."""
    return LineStyle(
        GRAY,
        LINESTYLES[index % len(LINESTYLES)],
        # The marker moves on one step further each time the line styles have all been used.
        MARKERS[(index + index // len(MARKERS)) % len(MARKERS)],
    )


def line_styles(recorded: dict[str, int] | None = None) -> dict[str, LineStyle]:
    """Return color, line style and marker of every registered activation.

    `recorded` gives the places in the palette of others, by name.
    """
    others = {name: line_style(index) for name, index in (recorded or {}).items()}
    return {**others, **{name: line_style(resolve(name).index) for name in names()}}


def all_line_styles(table: "pd.DataFrame", places: dict[str, int]) -> dict[str, LineStyle]:
    """Return the line style of every activation of a table, gray where none is known."""
    known = line_styles(places)
    there = table["activation"].dropna().unique() if "activation" in table else ()
    strangers = sorted(str(name) for name in there if name not in known)
    return {**known, **{name: gray_line_style(place) for place, name in enumerate(strangers)}}


def line_styles_of(
    names: Iterable[str], line_styles: Mapping[str, LineStyle]
) -> dict[str, LineStyle]:
    """Return each activation's line style: a gray one where `line_styles` has none."""
    names = list(names)
    strangers = sorted({name for name in names if name not in line_styles})
    grays = {name: gray_line_style(index) for index, name in enumerate(strangers)}
    return {name: line_styles.get(name) or grays[name] for name in names}
