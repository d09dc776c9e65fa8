import copy
import math
import re
import shutil
from html.parser import HTMLParser

import pandas as pd
import pytest
from matplotlib.figure import Figure
from nbformat import v4

from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED
from benchmark.plotting.style import group_id
from benchmark.report import html

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5Erk"
    "Jggg=="
)
VOID = {"meta", "img", "br", "hr", "input", "link"}
NAMES = ("relu", "elu", "a<b")


class Reader(HTMLParser):
    """Elements with their attributes and texts; fails where the tags do not nest."""

    def __init__(self, text):
        super().__init__()
        self.found, self.texts, self._open = [], [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("style", "script"):
            self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]

    def values(self, key):
        return [attributes[key] for _, attributes in self.found if key in attributes]


def draw(folder, name, activations):
    figure = Figure(figsize=(5, 2))
    axes = figure.subplots()
    for place, activation in enumerate(activations):
        color = f"#1b5e{place + 1:02x}"
        axes.plot([0, 1], [place, 1], color=color, gid=group_id(activation))
        axes.text(0.5, 0.5, activation, gid=group_id(activation))
    figure.savefig(folder / f"{name}.svg")


def shown(**data):
    return v4.new_output("display_data", data={key.replace("_", "/"): v for key, v in data.items()})


def figure(name, alt="What it shows.", caption="A caption."):
    about = {"figure": name, "alt": alt, "caption": caption}
    return [
        v4.new_output("display_data", {"image/png": PNG}, metadata={html.KEY: about}),
        v4.new_output(
            "display_data",
            {"text/markdown": f"*{caption}*"},
            metadata={html.KEY: {"caption_of": name}},
        ),
    ]


def table(frame):
    return shown(text_html=frame.to_html(index=False, border=0, na_rep="–"), text_plain="plain")


def code(*outputs):
    return v4.new_code_cell("secret_code = 1", outputs=list(outputs))


SCORES = pd.DataFrame(
    {
        "activation": ["relu", "elu", "a<b", "broken"],
        "test accuracy": ["97.12 ± 0.10 %", "100.00 ± 0.02 %", "−9.5 %", "–"],
        "verdict": ["better", "worse", "undecided", "did not learn"],
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    draw(folder, "accuracy", NAMES)
    draw(folder, "loss", NAMES[:2])
    return folder


@pytest.fixture(scope="module")
def notebook():
    return v4.new_notebook(
        cells=[
            v4.new_markdown_cell("# Which & why?\n\nText, `code`."),
            v4.new_markdown_cell("## Curves"),
            code(*figure("accuracy", 'relu > elu, "best" & 97 %', "Means; `x < 1`.")),
            code(*figure("loss", caption="")),
            code(*figure("drawn-nowhere", "An image.")),
            v4.new_markdown_cell("## Final accuracy\n\n### Digits"),
            code(table(SCORES), v4.new_output("stream", name="stderr", text="a warning")),
            v4.new_markdown_cell("## Curves\n\n```sh\npython run_all.py --seeds 3 -x a-b\n```"),
        ]
    )


@pytest.fixture(scope="module")
def text(notebook, folder):
    return html.render(notebook, folder)


@pytest.fixture(scope="module")
def read(text):
    return Reader(text)


def render(folder, *cells):
    return html.render(v4.new_notebook(cells=list(cells)), folder)


def test_notebook_is_left_as_it_is(notebook, folder):
    before = copy.deepcopy(notebook)
    html.render(notebook, folder)
    assert notebook == before


def test_same_notebook_gives_the_same_page(text, notebook, folder):
    assert html.render(notebook, folder) == text


def test_page_asks_for_nothing_outside_it(text, read):
    assert read.all("link") == []
    assert read.all("iframe") == []
    assert [attributes for attributes in read.all("script") if attributes] == []
    assert all(source.startswith("data:") for source in read.values("src"))
    assert all(target.startswith("#") for target in read.values("href"))
    assert not re.search(r"@import|https?://", text)


def test_code_and_messages_are_left_out(text):
    assert "secret_code" not in text
    assert "a warning" not in text


def test_title_is_the_first_heading(text):
    assert "<title>Which &amp; why?</title>" in text


def test_page_without_headings_has_a_title_and_no_contents(folder):
    text = render(folder, v4.new_markdown_cell("Text."))
    assert "<title>Activation functions compared</title>" in text
    assert "<nav" not in text


def test_ids_differ_and_all_references_lead_somewhere(text, read):
    ids = read.values("id")
    assert len(ids) == len(set(ids))
    targets = [target[1:] for target in read.values("href")]
    targets += re.findall(r"url\(#([^)]+)\)", text)
    assert targets
    assert set(targets) <= set(ids)


def test_contents_are_the_sections_and_their_parts(text):
    contents = "".join(text[text.index("<ol>") : text.index("</details>")].split("\n"))
    assert contents == (
        '<ol><li><a href="#curves">Curves</a></li>'
        '<li><a href="#final-accuracy">Final accuracy</a>'
        '<ol><li><a href="#digits">Digits</a></li></ol></li>'
        '<li><a href="#curves-2">Curves</a></li></ol>'
    )


def test_figures_are_drawings_with_words(read):
    assert [(svg["role"], svg["aria-label"]) for svg in read.all("svg")] == [
        ("img", 'relu > elu, "best" & 97 %'),
        ("img", "What it shows."),
    ]
    assert [made["id"] for made in read.all("figure")] == [
        "figure-accuracy",
        "figure-loss",
        "figure-drawn-nowhere",
    ]


def test_figure_without_drawing_is_its_image(read):
    assert read.all("img") == [{"alt": "An image.", "src": f"data:image/png;base64,{PNG}"}]


@pytest.mark.parametrize("drawing", [b"<svg><g>", b"<svg/>", b"<svg>\xff</svg>", b"<html/>"])
def test_damaged_drawing_gives_the_image(tmp_path, drawing):
    (tmp_path / "accuracy.svg").write_bytes(drawing)
    read = Reader(render(tmp_path, code(*figure("accuracy"))))
    assert [image["alt"] for image in read.all("img")] == ["What it shows."]


def test_captions_stand_once_under_their_figures(text):
    assert text.count("A caption.") == 1
    assert "<figcaption><p>Means; <code>x &lt; 1</code>.</p></figcaption>" in text
    assert text.count("<figcaption>") == 2


def test_one_button_for_each_activation_of_any_figure(read):
    buttons = [made for made in read.all("button") if "data-shows" in made]
    assert [made["data-shows"] for made in buttons] == ["a<b", "elu", "relu"]
    assert all(made["aria-pressed"] == "true" for made in buttons)
    colors = [made["style"] for made in read.all("span") if made.get("class") == "swatch"]
    assert colors == ["background:#1b5e03", "background:#1b5e02", "background:#1b5e01"]
    assert set(read.values("data-activation")) == set(NAMES)


def test_no_bar_without_figures_that_it_works_on(folder):
    assert 'id="bar"' not in render(folder, code(*figure("drawn-nowhere")))


def test_boxes_that_scroll_are_reached_by_keys_and_have_names(read):
    boxes = [made for made in read.all("div") if made.get("class") == "scroll"]
    names = ["Means; x < 1", "loss", "A caption", "Table"]
    assert boxes == [
        {"class": "scroll", "tabindex": "0", "role": "region", "aria-label": name} for name in names
    ]


def test_box_of_a_figure_is_named_by_the_first_sentence_of_its_caption(folder):
    told = 'Loss of *0.5* at "1" & 2.\nMore.'
    read = Reader(render(folder, code(*figure("loss", caption=told))))
    assert 'Loss of 0.5 at "1" & 2' in read.values("aria-label")


def test_bar_promises_no_arrow_keys(read):
    (bar,) = (made for made in read.all("div") if made.get("id") == "bar")
    assert bar["role"] == "group"


def test_script_reads_states_as_attributes(text):
    # Firefox has properties such as ariaPressed only since its version 119.
    assert not re.search(r"\.aria[A-Z]", text)


def test_table_is_in_its_own_box_and_has_no_looks_of_its_own(text):
    assert re.search('<div [^>]*class="scroll"[^>]*><table', text)
    assert "text-align" not in text[text.index("<table") : text.index("</table>")]


def test_numbers_of_a_table_can_be_sorted(text):
    found = re.findall(r"<td([^>]*)>([^<]*)</td>", text[text.index("<tbody") :])
    assert found[1::3] == [
        (' class="number" data-value="97.12"', "97.12 ± 0.10 %"),
        (' class="number" data-value="100.0"', "100.00 ± 0.02 %"),
        (' class="number" data-value="-9.5"', "−9.5 %"),
        (' class="number" data-missing=""', "–"),
    ]
    assert found[0::3] == [("", name) for name in ("relu", "elu", "a&lt;b", "broken")]
    heads = re.findall(r"<th([^>]*)>([^<]*)</th>", text)
    assert heads == [
        (' data-sorts=""', "activation"),
        (' class="number" data-sorts=""', "test accuracy"),
        (' data-sorts=""', "verdict"),
    ]


@pytest.mark.parametrize(
    ("verdict", "line_style"),
    [
        *((HOLDS, "good"), (IN_PART, "part"), (FAILS, "bad"), (UNDECIDED, "open")),
        *(("better", "good"), ("worse", "bad")),
        *(("undecided", "open"), ("did not learn", "bad"), ("equal", "part")),
    ],
)
def test_verdicts_are_told_apart(folder, verdict, line_style):
    text = render(folder, code(table(pd.DataFrame({"verdict": [verdict]}))))
    assert f'<td class="verdict {line_style}">{verdict}</td>' in text


def test_columns_of_sentences_are_marked(folder):
    text = render(folder, code(table(pd.DataFrame({"claim": ["a" * 41, "b"]}))))
    assert text.count('class="words"') == 3


def test_table_with_merged_cells_is_not_sorted(folder):
    index = pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["x", "y"])
    frame = pd.DataFrame({"value": [1, 2, 3, 4]}, index=index)
    assert 'data-sorts=""' not in render(folder, code(shown(text_html=frame.to_html())))


def test_one_row_needs_no_sorting(folder):
    assert 'data-sorts=""' not in render(folder, code(table(SCORES[:1])))


def test_options_of_commands_are_kept_whole(text):
    assert re.findall(r'<span class="option">([^<]*)</span>', text) == ["--seeds", "-x"]
    block = text[text.index("<pre>") : text.index("</pre>")]
    assert re.sub("<[^>]*>", "", block).strip() == "python run_all.py --seeds 3 -x a-b"


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("97.12 ± 0.10 %", 97.12),
        (" 3 ", 3),
        ("-0.5", -0.5),
        ("−0.5 points", -0.5),
        ("+0.31", 0.31),
        ("< 0.001", 0.001),
        ("1.2e-9", 1.2e-9),
        ("5E+3 s", 5000),
        (".5", 0.5),
        ("12\u202f345 steps", 12345),
        ("2 of 10", 2),
        ("inf", math.inf),
        ("-inf", -math.inf),
        ("relu", None),
        ("3x", None),
        ("infinite", None),
        ("", None),
        ("–", None),
        ("e5", None),
    ],
)
def test_number(cell, value):
    assert html.number(cell) == value


@pytest.fixture(scope="module")
def chromium():
    """The system's Chromium, headless; without it the tests of the open page are skipped."""
    playwright = pytest.importorskip("playwright.sync_api")
    programs = map(shutil.which, ("chromium", "chromium-browser", "chrome"))
    if not (program := next(filter(None, programs), None)):
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=program, args=["--no-sandbox"])


@pytest.fixture
def browse(chromium):
    """A function that opens a page in a window of this size."""
    pages = []

    def browse(path, width, height=900):
        size = {"width": width, "height": height}
        pages.append(chromium.new_page(viewport=size, is_mobile=width < 600))
        pages[-1].goto(path.as_uri())
        return pages[-1]

    yield browse
    for page in pages:
        page.close()


@pytest.fixture(scope="module")
def path(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(text, encoding="utf-8")
    return path


# Activations of which something can be seen in the figure with this number.
SEEN = """[...new Set([...document.querySelectorAll('figure')[{}].querySelectorAll(
    '[data-activation]')].filter((group) => group.getBoundingClientRect().width > 0)
    .map((group) => group.dataset.activation))].sort()"""
PRESSED = "[...bar.querySelectorAll('[data-shows]')].map((chip) => chip.ariaPressed).join(' ')"


@pytest.mark.parametrize("width", [390, 1440])
def test_page_fits_and_does_not_complain(browse, path, width):
    page = browse(path, width)
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.reload()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("innerWidth") == width
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]


def test_wide_table_scrolls_alone(browse, folder, tmp_path):
    wide = pd.DataFrame({f"a long heading {n}": ["0.123456789"] for n in range(30)})
    path = tmp_path / "wide.html"
    path.write_text(render(folder, code(table(wide))), encoding="utf-8")
    page = browse(path, 390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.querySelector('.scroll').scrollWidth") > 1000


def test_buttons_hide_activations_in_all_figures(browse, path):
    page = browse(path, 1440)
    both = [page.evaluate(SEEN.format(number)) for number in (0, 1)]
    assert both == [["a<b", "elu", "relu"], ["elu", "relu"]]
    page.click("[data-shows=elu]")
    both = [page.evaluate(SEEN.format(number)) for number in (0, 1)]
    assert both == [["a<b", "relu"], ["relu"]]
    assert page.evaluate(PRESSED) == "true false true"
    page.click("[data-none]")
    assert page.evaluate(SEEN.format(0)) == []
    page.click("[data-shows='a<b']")
    assert page.evaluate(SEEN.format(0)) == ["a<b"]
    page.click("[data-all]")
    assert page.evaluate(SEEN.format(0)) == ["a<b", "elu", "relu"]
    page.select_option("#bar select", "elu")
    assert page.evaluate(SEEN.format(0)) == ["elu"]
    assert page.evaluate(PRESSED) == "false true false"


def test_keyboard_reaches_buttons_and_headings(browse, path):
    page = browse(path, 1440)
    page.focus("#bar select")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.shows") == "a<b"
    page.keyboard.press("Space")
    assert page.evaluate(SEEN.format(0)) == ["elu", "relu"]
    page.keyboard.press("Enter")
    assert page.evaluate(SEEN.format(0)) == ["a<b", "elu", "relu"]
    page.focus("th button")
    page.keyboard.press("Enter")
    assert page.get_attribute("th", "aria-sort") == "ascending"


def test_headings_sort_and_empty_cells_stay_last(browse, path):
    page = browse(path, 1440)
    firsts = "[...document.querySelectorAll('tbody tr')].map((row) => row.cells[0].textContent)"
    label, number = page.locator("th").nth(0), page.locator("th").nth(1)
    number.locator("button").click()
    assert page.evaluate(firsts) == ["a<b", "relu", "elu", "broken"]
    assert number.get_attribute("aria-sort") == "ascending"
    number.locator("button").click()
    assert page.evaluate(firsts) == ["elu", "relu", "a<b", "broken"]
    assert number.get_attribute("aria-sort") == "descending"
    label.locator("button").click()
    assert page.evaluate(firsts) == ["a<b", "broken", "elu", "relu"]
    assert number.get_attribute("aria-sort") is None


def test_bar_is_there_where_it_works_and_not_on_paper(browse, path):
    page = browse(path, 1440, 300)
    after = "new Promise((done) => setTimeout(() => done(getComputedStyle(bar).{}), 100))"
    page.evaluate("document.getElementById('figure-loss').scrollIntoView()")
    assert page.evaluate(after.format("visibility")) == "visible"
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    assert page.evaluate(after.format("visibility")) == "hidden"
    page.emulate_media(media="print")
    assert page.evaluate(after.format("display")) == "none"
