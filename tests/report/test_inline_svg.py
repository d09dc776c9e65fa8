import io
import re
import xml.etree.ElementTree as ET

import pytest
from matplotlib.figure import Figure

from benchmark.plotting.style import group_id
from benchmark.report.inline_svg import GROUP, inline

HEAD = (
    '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"'
    ' xmlns:xlink="http://www.w3.org/1999/xlink" width="100pt" height="50pt" viewBox="0 0 100 50">'
)


def svg(inner: str) -> str:
    return f"{HEAD}{inner}</svg>"


def drawn(names=("relu", "elu")) -> str:
    figure = Figure(figsize=(2, 2))
    axes = figure.subplots()
    for place, name in enumerate(names):
        color = f"#1b5e{place + 1:02x}"
        axes.plot([0, 1], [place, 1], "o-", color=color, gid=group_id(name))
        axes.fill_between([0, 1], place, 1, color=color, alpha=0.2, lw=0, gid=group_id(name))
        axes.text(0.5, 0.5, name, gid=group_id(name))
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    return buffer.getvalue()


def elements(markup: str) -> list[ET.Element]:
    return list(ET.fromstring(markup).iter())


def test_nothing_that_acts_is_taken_over():
    """A file in a folder from elsewhere may hold anything."""
    hostile = (
        '<script>alert(1)</script><g onclick="alert(2)"><path d="M 0 0" ONLOAD="alert(3)"/></g>'
        '<foreignObject><iframe src="https://x"/></foreignObject><a href="javascript:alert(4)"/>'
        '<image xlink:href="https://x/y.png"/><use xlink:href="other.svg#x"/>'
        '<image xlink:href="data:image/png;base64,aa"/>'
    )
    markup = inline(svg(hostile), "f0", "").markup
    assert not re.search("alert|https?://x|iframe|other.svg", markup)
    assert markup.count("<path") == 1
    assert 'href="data:image/png;base64,aa"' in markup
    with pytest.raises(ET.ParseError):
        inline("<html><script>alert(1)</script></html>", "f0", "")


def test_figures_mark_activations_as_read_here():
    assert group_id("relu") == f"{GROUP}relu"


def test_every_group_of_an_activation_is_named():
    source = drawn()
    named = [e.get("data-activation") for e in elements(inline(source, "a", "").markup)]
    # Line, area and text of each.
    assert sorted(filter(None, named)) == ["elu"] * 3 + ["relu"] * 3


def test_color_is_that_of_the_line():
    # Areas come first in matplotlib's files, without a line.
    assert inline(drawn(), "a", "").activations == {"relu": "#1b5e01", "elu": "#1b5e02"}


def test_color_is_empty_where_there_are_only_letters():
    source = svg('<g id="activation:relu"><path d="M0 0" style="fill: #123456"/></g>')
    assert inline(source, "a", "").activations == {"relu": ""}


def test_black_is_no_color_of_an_activation():
    lines = '<path d="M0 0" style="stroke: #000000"/><path d="M0 0" style="stroke: #c03515"/>'
    source = svg(f'<g id="activation:relu">{lines}</g>')
    assert inline(source, "a", "").activations == {"relu": "#c03515"}


def test_two_drawings_share_no_id_and_refer_to_their_own():
    source = drawn()
    first, second = (elements(inline(source, prefix, "").markup) for prefix in "ab")
    ids = [[e.get("id") for e in drawing if e.get("id")] for drawing in (first, second)]
    assert not set(ids[0]) & set(ids[1])
    for own, drawing in zip(ids, (first, second)):
        assert len(own) == len(set(own))
        text = " ".join(" ".join(e.attrib.values()) for e in drawing)
        referred = re.findall(r"url\(#([^)]+)\)", text)
        referred += [e.get("href")[1:] for e in drawing if "href" in e.attrib]
        # All that are kept are used, and nothing refers to one that is gone.
        assert set(referred) == set(own)


def test_whole_drawing_is_an_image_with_words():
    root = elements(inline(svg(""), "a", 'relu > "elu" & more').markup)[0]
    assert root.attrib == {
        "viewBox": "0 0 100 50",
        "role": "img",
        "aria-label": 'relu > "elu" & more',
        "style": "max-width:120pt",
    }


def test_nothing_of_the_file_around_the_drawing_is_left():
    markup = inline(drawn(), "a", "").markup
    assert markup.startswith("<svg ")
    assert not re.search(r"<\?|DOCTYPE|<metadata|<style|http|xmlns|xlink|\n", markup)


@pytest.mark.parametrize(
    ("path", "short"),
    [
        ("M 63.213622 170.199545 \nL 63.2 -31.840095 \nz\n", "M 63.21 170.2 L 63.2 -31.84 z"),
        ("M -0.001 1.005e-05 L 1.999999 12.5", "M 0 0 L 2 12.5"),
        ("M 628 4666 Q 1.5 2", "M 628 4666 Q 1.5 2"),
    ],
)
def test_coordinates_are_rounded_to_hundredths(path, short):
    found = elements(inline(svg(f'<path d="{path}"/>'), "a", "").markup)[1]
    assert found.get("d") == short


def test_scales_keep_their_digits():
    scale = "translate(1.234567 2) scale(0.015625 -0.015625)"
    found = elements(inline(svg(f'<g transform="{scale}"/>'), "a", "").markup)[1]
    assert found.get("transform") == scale


def test_letters_that_are_text_stay():
    assert inline(svg("<text>a <tspan>b</tspan> c</text>"), "a", "").markup.endswith(
        "<text>a <tspan>b</tspan> c</text></svg>"
    )


def test_what_is_no_svg_is_an_error():
    with pytest.raises(ET.ParseError):
        inline("<svg", "a", "")
