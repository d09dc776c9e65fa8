"""Figures as files: PNG with a palette, SVG without dates or random names."""

import io

from matplotlib.figure import Figure


def rendered(figure: Figure, ending: str) -> bytes:
    """Return the figure as a file of that format, "png" or "svg"."""
    return png(figure, 150) if ending == "png" else _svg(figure)


def png(figure: Figure, dpi: int) -> bytes:
    """Return the figure as a PNG file with a palette of at most 256 colors, a third as large."""
    from PIL import Image

    buffer, small = io.BytesIO(), io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    picture = Image.open(buffer).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(small, format="PNG", optimize=True)
    return small.getvalue()


def _svg(figure: Figure) -> bytes:
    from matplotlib import rc_context

    buffer = io.BytesIO()
    # No date and no random names inside: the same results give the same file.
    with rc_context({"svg.hashsalt": "benchmark"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
