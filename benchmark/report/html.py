"""The page of results: an executed notebook as one HTML file that needs nothing else."""

import copy
import html
import re
from pathlib import Path
from xml.etree.ElementTree import ParseError

from bs4 import BeautifulSoup, Tag
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from nbformat import NotebookNode

from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED
from benchmark.report.inline_svg import InlineSvg, inline
from benchmark.results.formats import read_file

KEY = "benchmark"
_HERE = Path(__file__).parent
_MARK = "figure {} of the page"
_TITLE = "Activation functions compared"
_VERDICTS = {
    HOLDS: "good",
    "better": "good",
    IN_PART: "part",
    FAILS: "bad",
    "worse": "bad",
    UNDECIDED: "open",
    "equal": "part",
    "same function": "part",
    "mixed": "open",
    "undecided": "open",
    "did not learn": "bad",
}
_MISSING = {"", "-", "–", "—", "nan", "none", "nat", "<na>"}
# "97.12 ± 0.10 %", "< 0.001", "−0.3", "2 of 10": the number that a cell begins with.
_NUMBER = re.compile(
    r"[<>≤≥≈]?\s*([+-]?(?:\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?|inf))(?!\w)", re.IGNORECASE
)
# A column with texts longer than this is read, not compared.
_WORDS = 40


def render(notebook: NotebookNode, figures: Path) -> str:
    """Return an executed notebook as a page: its texts and outputs, without its code.

    An output whose metadata has `{"benchmark": {"figure": NAME, "alt": …, "caption": …}}`, the
    caption in Markdown, becomes a figure: NAME.svg of the folder where that exists, drawn into
    the page so that activations can be hidden in it, else the output's own image. Outputs with
    `{"benchmark": {"caption_of": NAME}}` and messages on stderr are left out.

    Args:
        notebook: it is not changed.
        figures: the folder of the figures.
    """
    notebook = copy.deepcopy(notebook)
    drawn, drawings = _take_figures(notebook, figures)
    exporter = HTMLExporter(
        template_name="basic",
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    body = BeautifulSoup(exporter.from_notebook_node(notebook)[0], "html.parser")
    for style in body("style", scoped=True):
        style.decompose()
    for table in body("table"):
        _dress(table, body)
    for block in body("pre"):
        _keep_options_whole(block, body)
    contents = _contents(body)
    heading = body.find("h1")
    text = re.sub(f"<!--{_MARK.format('([0-9]+)')}-->", lambda mark: drawn[int(mark[1])], str(body))
    colors: dict[str, str] = {}
    for name, color in (item for drawing in drawings for item in drawing.items()):
        colors[name] = colors.get(name) or color
    return _page(
        title=heading.get_text().strip() if heading else _TITLE,
        contents=contents,
        body=text,
        bar=_bar(colors),
    )


def _page(title: str, contents: str, body: str, bar: str) -> str:
    style, script = ((_HERE / f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>
{style}</style>
</head>
<body>
{contents}<main>
{body}
{bar}</main>
<script>
{script}</script>
</body>
</html>
"""


# Figures


def _take_figures(notebook: NotebookNode, folder: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Put a comment in the place of each figure; return the figures and their activations.

    A figure is put back after the conversion, which would rewrite and swell its SVG.
    """
    drawn: list[str] = []
    drawings: list[dict[str, str]] = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        outputs: list[NotebookNode] = []
        for output in cell.outputs:
            about = output.get("metadata", {}).get(KEY, {})
            # A caption is shown once more for readers of the notebook.
            if output.get("name") == "stderr" or "caption_of" in about:
                continue
            if "figure" in about:
                markup, activations = _figure(output, about, folder, len(drawn))
                output.data = {"text/html": f"<!--{_MARK.format(len(drawn))}-->"}
                drawn.append(markup)
                drawings.append(activations)
            outputs.append(output)
        cell.outputs = outputs
    return drawn, drawings


def _figure(
    output: NotebookNode, about: dict[str, str], folder: Path, index: int
) -> tuple[str, dict[str, str]]:
    """Return a figure's markup and the colors of the activations that can be hidden in it."""
    name, alt, caption = (about.get(key, "") for key in ("figure", "alt", "caption"))
    drawing = _drawing(folder / f"{name}.svg", f"f{index}", alt)
    if drawing is None:
        source = "".join(output.data.get("image/png", "").split())
        picture = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{source}">'
        drawing = InlineSvg(picture, {})
    words = f"<figcaption>{markdown2html(caption).strip()}</figcaption>" if caption else ""
    box = _box(_start(words) or name)
    marks = " ".join(f'{key}="{html.escape(value)}"' for key, value in box.items())
    markup = (
        f'<figure id="figure-{html.escape(name)}">'
        f"<div {marks}>{drawing.markup}</div>{words}</figure>"
    )
    return markup, drawing.activations


def _start(words: str) -> str:
    """Return the first sentence of a caption, without its marks and full stop."""
    text = " ".join(BeautifulSoup(words, "html.parser").get_text().split())
    return re.split(r"\.(?:\s|$)", text)[0]


def _drawing(path: Path, prefix: str, alt: str) -> InlineSvg | None:
    try:
        return inline(read_file(path).decode(), prefix, alt)
    except (OSError, ValueError, KeyError, ParseError):
        return None


def _bar(activations: dict[str, str]) -> str:
    """Return the controls that hide activations, shown by the script where they can work."""
    if not activations:
        return ""
    chips, choices = [], []
    for name, color in sorted(activations.items()):
        text = html.escape(name)
        chips.append(
            f'<button type="button" aria-pressed="true" data-shows="{text}">'
            f'<span class="swatch" style="background:{color}"></span>{text}</button>'
        )
        choices.append(f"<option>{text}</option>")
    return f"""<div id="bar" role="group" aria-label="Activations shown in the figures" hidden>
<span class="fixed"><button type="button" data-all>all</button>
<button type="button" data-none>none</button>
<select aria-label="Show only one activation"><option value="">only …</option>{"".join(choices)}\
</select></span>
<span class="chips">{"".join(chips)}</span>
</div>
"""


def _box(name: str) -> dict[str, str]:
    """Return the attributes of a box that scrolls, which keys reach and which has a name then."""
    return {"class": "scroll", "tabindex": "0", "role": "region", "aria-label": name}


# Headings and commands


def _contents(body: BeautifulSoup) -> str:
    """Give every heading an id of its own; return the list of links to sections and their parts."""
    taken: set[str] = set()
    sections: list[list[str]] = []
    for heading in body(["h1", "h2", "h3", "h4"]):
        heading["id"] = _free(heading.get_text(), taken)
        text = html.escape(heading.get_text().strip())
        link = f'<a href="#{heading["id"]}">{text}</a>'
        if heading.name == "h2":
            sections.append([link])
        elif heading.name == "h3" and sections:
            sections[-1].append(link)
    if not sections:
        return ""
    items = [link + _list(parts) if parts else link for link, *parts in sections]
    return (
        '<nav aria-label="Contents"><details open><summary>Contents</summary>\n'
        f"{_list(items)}</details></nav>\n"
    )


def _list(items: list[str]) -> str:
    lines = [f"<li>{item}</li>" for item in items]
    return "\n".join(["<ol>", *lines, "</ol>"])


def _free(text: str, taken: set[str]) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{name}-{count}"
    taken.add(free)
    return free


def _keep_options_whole(block: Tag, body: BeautifulSoup) -> None:
    """Have a command's long line broken between its words, not at the hyphens of an option."""
    for text in block(string=re.compile(r"(^|\s)-")):
        parts: list[str | Tag] = []
        for part in re.split(r"(?<!\S)(-\S{,30})(?!\S)", text):
            if part.startswith("-"):
                whole = body.new_tag("span", attrs={"class": "option"})
                whole.string = part
                parts.append(whole)
            else:
                parts.append(part)
        text.replace_with(*parts)


# Tables


def _dress(table: Tag, body: BeautifulSoup) -> None:
    """Put a table into a box that scrolls, and mark its columns for style sheet and script."""
    table.wrap(body.new_tag("div", attrs=_box("Table")))
    del table["border"]
    for row in table("tr"):
        del row["style"]
    heads = table.select("thead tr")
    rows = [row(["td", "th"], recursive=False) for row in table.select("tbody tr")]
    if not heads or not rows or _merged(table):
        return
    for index, column in enumerate(zip(*rows)):
        kind = _mark(column)
        for row in heads:
            cells = row(["td", "th"], recursive=False)
            if index < len(cells):
                _add_class(cells[index], kind)
                if len(rows) > 1 and cells[index].get_text().strip():
                    cells[index]["data-sorts"] = ""


def _merged(table: Tag) -> bool:
    spans = (cell.get(key, "1") for cell in table(["td", "th"]) for key in ("colspan", "rowspan"))
    return any(span != "1" for span in spans)


def _mark(column: tuple[Tag, ...]) -> str:
    """Mark the cells of a column; return its kind: "number", "words", or "" for short texts."""
    texts = [cell.get_text().strip() for cell in column]
    for cell, text in zip(column, texts):
        if text in _VERDICTS:
            _add_class(cell, "verdict", _VERDICTS[text])
        if text.lower() in _MISSING:
            cell["data-missing"] = ""
    there = {text: number(text) for text in texts if text.lower() not in _MISSING}
    if there and None not in there.values():
        for cell, text in zip(column, texts):
            _add_class(cell, "number")
            if text in there:
                cell["data-value"] = str(there[text]).replace("inf", "Infinity")
        return "number"
    if any(len(text) > _WORDS for text in texts):
        for cell in column:
            _add_class(cell, "words")
        return "words"
    return ""


def number(text: str) -> float | None:
    """Return the number that a table's cell begins with: 97.12 of "97.12 ± 0.10 %", else None.

    Thousands may be set apart by thin spaces, and a minus may be a minus sign or a hyphen.
    """
    plain = re.sub("(?<=[0-9])[\u2009\u202f](?=[0-9])", "", text.strip()).replace("−", "-")
    match = _NUMBER.match(plain)
    return float(match[1]) if match else None


def _add_class(cell: Tag, *names: str) -> None:
    classes = [*cell.get_attribute_list("class"), *names]
    if any(classes):
        cell["class"] = " ".join(filter(None, classes))
