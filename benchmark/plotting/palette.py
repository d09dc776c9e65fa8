"""Colours, line styles and markers of the curves; readable without matplotlib."""

from dataclasses import dataclass

# The hues of Okabe and Ito, with lightness shifted until every two of them lie at least 22 apart
# (CIELAB, Delta E 76) in normal vision and under simulated protanopia, deuteranopia and
# tritanopia. Contrast is at least 2.2:1 on white and 3.2:1 on black, so both styles share them.
PALETTE = ("#AB6E9A", "#1B5EA7", "#019857", "#00B8FF", "#F2930D", "#C03515", "#8356ED")
GREY = "#8A8A8A"
LINESTYLES = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
# No crosses: a cross marks where a curve diverged.
MARKERS = ("o", "s", "^", "D", "v", "P", "<", "p")


@dataclass(frozen=True)
class LineLook:
    """Colour, line style and marker of one activation, as matplotlib spells them."""

    colour: str
    linestyle: str | tuple[int, tuple[float, ...]]
    marker: str


def look(index: int) -> LineLook:
    """Return the look of the activation with this index (0, 1, …) in the catalogue.

    The first seven differ in colour and are solid; later ones take the colours again with other
    line styles and markers. Indices 0 to 55 all differ.
    """
    return LineLook(
        PALETTE[index % len(PALETTE)],
        LINESTYLES[index // len(PALETTE) % len(LINESTYLES)],
        MARKERS[index % len(MARKERS)],
    )


def grey_look(index: int) -> LineLook:
    """Return the look of the index-th activation that owns no colour: indices 0 to 31 differ."""
    return LineLook(
        GREY,
        LINESTYLES[index % len(LINESTYLES)],
        # The marker moves on one step further each time the line styles have all been used.
        MARKERS[(index + index // len(MARKERS)) % len(MARKERS)],
    )
