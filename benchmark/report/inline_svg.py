"""matplotlib's SVG files, prepared to stand together in one HTML page."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass

# Artists of an activation carry this and its name as their id.
GROUP = "activation:"
# What matplotlib draws with. The file may be another's: nothing else is taken over, above all
# nothing that acts (see `_is_inert` too).
_DRAWN = {
    *("svg", "g", "defs", "path", "use", "text", "tspan", "clipPath", "image", "pattern"),
    *("rect", "circle", "ellipse", "line", "polyline", "polygon"),
}
_LONG = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
_POINTS = {"d", "points", "x", "y"}
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_STROKE = re.compile(r"stroke: ?(#[0-9a-f]{6})")
_INK = {"#000000", "#ffffff"}


@dataclass(frozen=True)
class InlineSvg:
    """Markup to put into a page, and the colors of its activations in order of appearance."""

    markup: str
    activations: dict[str, str]


def inline(svg: str, prefix: str, alt: str) -> InlineSvg:
    """Return an SVG file's drawing as an element of an HTML page.

    Ids that are used begin with the prefix afterwards, so that those of several drawings differ;
    others are left out. A group with id "activation:NAME" becomes one with `data-activation`
    "NAME". Coordinates are rounded to a hundredth of a point. What matplotlib's own style sheet
    says holds for a whole document, so it has to be in that of the page.

    Args:
        svg: the text of the file.
        prefix: letters and digits, different for every drawing of a page.
        alt: what the drawing shows, for those who cannot see it.

    Raises:
        xml.etree.ElementTree.ParseError: the text is no SVG.
    """
    root = ET.fromstring(svg)
    if _local(root.tag) != "svg":
        raise ET.ParseError(f"begins with {_local(root.tag)}")
    names = _new_ids(root, prefix)
    activations: dict[str, str] = {}
    for element in root.iter():
        _trim(element)
        element.tag = _local(element.tag)
        attributes = ((_local(key), value) for key, value in element.attrib.items())
        element.attrib = {key: value for key, value in attributes if _is_inert(key, value)}
        name = element.attrib.pop("id", "")
        if name in names:
            element.set("id", names[name])
        if name.startswith(GROUP):
            activation = name.removeprefix(GROUP)
            element.set("data-activation", activation)
            color = activations.get(activation) or _color(element)
            activations[activation] = color
        _shorten(element, names)
    width = float(root.attrib.pop("width").removesuffix("pt"))
    for key in ("height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-label", alt)
    # Never much larger than drawn: its letters would shout.
    root.set("style", f"max-width:{1.2 * width:.0f}pt")
    return InlineSvg(ET.tostring(root, encoding="unicode"), activations)


def _trim(element: ET.Element) -> None:
    for child in list(element):
        if _local(child.tag) not in _DRAWN:
            element.remove(child)
        if not (child.tail or "").strip():
            child.tail = None
    if not (element.text or "").strip():
        element.text = None


def _is_inert(key: str, value: str) -> bool:
    """Return whether an attribute neither runs a script nor refers to anything elsewhere."""
    if key == "href":
        return value.startswith(("#", "data:image/png;"))
    return not key.lower().startswith("on")


def _local(name: str) -> str:
    """Return a name without its namespace, which HTML knows by itself."""
    return name.rpartition("}")[2]


def _new_ids(root: ET.Element, prefix: str) -> dict[str, str]:
    """Return new ids for those that something in the drawing refers to."""
    used = {name for element in root.iter() for name in _references(element)}
    ids = (element.get("id") for element in root.iter())
    known = dict.fromkeys(name for name in ids if name in used)
    return {name: f"{prefix}-{number}" for number, name in enumerate(known)}


def _references(element: ET.Element) -> Iterator[str]:
    for key, value in element.attrib.items():
        if _local(key) == "href" and value.startswith("#"):
            yield value[1:]
        yield from _REFERENCE.findall(value)


def _color(group: ET.Element) -> str:
    """Return the first color of a line in a group; "" where it has only letters and areas."""
    for element in group.iter():
        for color in _STROKE.findall(element.get("style", "")):
            if color not in _INK:
                return color
    return ""


def _shorten(element: ET.Element, names: dict[str, str]) -> None:
    for key, value in element.attrib.items():
        if key in _POINTS:
            value = " ".join(_LONG.sub(_rounded, value).split())
        elif key == "style":
            value = value.replace(": ", ":").replace("; ", ";")
        elif key == "href" and value.startswith("#"):
            value = f"#{names.get(value[1:], value[1:])}"
        value = _REFERENCE.sub(lambda match: f"url(#{names.get(match[1], match[1])})", value)
        element.set(key, value)


def _rounded(match: re.Match[str]) -> str:
    text = f"{float(match[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
