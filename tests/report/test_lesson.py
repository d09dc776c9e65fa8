"""The lesson notebook: complete, clean as it is kept, and free of errors from top to bottom."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from benchmark import activations
from benchmark.experiments import catalogue

LESSON = Path(__file__).parents[2] / "notebooks" / "activation_functions.ipynb"
MOST_BYTES = 1_500_000


@pytest.fixture
def lesson():
    return nbformat.read(LESSON, as_version=4)


def text(lesson, kind):
    return "\n".join(cell.source for cell in lesson.cells if cell.cell_type == kind)


def outputs(lesson):
    return [output for cell in lesson.cells for output in cell.get("outputs", [])]


def named(lesson, name):
    return next(cell for cell in lesson.cells if cell.id == name)


def results(lesson):
    """Return the folder that the lesson reads."""
    return LESSON.parent / re.search(r'^RESULTS = "(.+?)"', text(lesson, "code"), re.M)[1]


def shown_figures(lesson):
    """Return the (experiment, key) of every figure that the lesson draws from a table."""
    calls = re.findall(r"^(?:measured|figures)\((.+)\)$", text(lesson, "code"), re.M)
    asked = [re.findall(r'"(\w*)"', call) for call in calls]
    return [(name, key) for name, *keys in asked for key in keys]


class TestContent:
    def test_every_activation_is_explained_drawn_and_checked(self, lesson):
        told, code = text(lesson, "markdown"), text(lesson, "code")
        drawn = set(re.findall(r'"(\w+)"', "".join(re.findall(r"^draw\((.+)\)$", code, re.M))))
        drawn.add("maxout")  # of two numbers: it has a cell of its own
        checked = named(lesson, "check-formulas").source
        for name in activations.names():
            assert f"`{name}`" in told, name
            assert name in drawn, name
            assert f'"{name}": (' in checked or name == "maxout", name
        assert 'resolve("maxout").function' in code

    def test_every_experiment_is_shown_with_its_claims(self, lesson):
        measured = re.findall(r'^measured\("(\w+)"', text(lesson, "code"), re.M)
        assert sorted(measured) == sorted(catalogue.all_experiments())

    def test_figures_and_tables_exist(self, lesson):
        folder = results(lesson)
        for name, key in shown_figures(lesson):
            assert key in catalogue.resolve(name).captions, (name, key)
        missing = [
            name
            for name in (*catalogue.all_experiments(), "claims")
            if not (folder / "experiments" / f"{name}.csv").exists()
        ]
        assert not missing
        assert (folder / "summary.csv").exists()

    def test_links_lead_to_headings(self, lesson):
        told = text(lesson, "markdown")
        headings = re.findall(r"^#+ (.+)$", told, re.M)
        places = {heading.replace("`", "").strip().replace(" ", "-") for heading in headings}
        links = re.findall(r"\]\(#(.+?)\)(?=[\s,.;:)|·]|$)", told)
        assert links
        assert not set(links) - places

    def test_formulas_and_code_marks_are_closed(self, lesson):
        for cell in lesson.cells:
            if cell.cell_type == "markdown":
                assert cell.source.count("$$") % 2 == 0, cell.id
                assert cell.source.replace("$$", "").count("$") % 2 == 0, cell.id
                assert cell.source.count("`") % 2 == 0, cell.id
                for opening, closing in (("<details>", "</details>"), (r"\begin", r"\end")):
                    assert cell.source.count(opening) == cell.source.count(closing), cell.id


class TestAsKept:
    def test_cell_names_are_words_of_their_own(self, lesson):
        ids = [cell.id for cell in lesson.cells]
        assert len(set(ids)) == len(ids)
        assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in ids)

    def test_executed_in_order_without_noise(self, lesson):
        code = [cell for cell in lesson.cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
        kinds = {(output.output_type, output.get("name")) for output in outputs(lesson)}
        assert kinds <= {("stream", "stdout"), ("display_data", None), ("execute_result", None)}
        pictures = sum("image/png" in output.get("data", {}) for output in outputs(lesson))
        assert pictures >= len(shown_figures(lesson))

    def test_small_and_without_traces_of_a_machine(self, lesson):
        kept = LESSON.read_text(encoding="utf-8")
        assert len(kept.encode()) < MOST_BYTES
        words = re.sub(r'"image/png": "[^"]*"', "", kept)
        assert not re.search(r"(?<![\w.])/(home|root|work|tmp|usr|Users)/|[A-Z]:\\\\", words)
        assert not re.search(r"0x[0-9a-f]{8}|Warning|Traceback", words)
        assert all(set(cell.metadata) <= {"tags"} for cell in lesson.cells)


@pytest.mark.slow
def test_runs_from_top_to_bottom(lesson):
    # What an exercise gives as code is run with the rest.
    blocks = re.findall(r"```python\n(.+?)```", named(lesson, "exercises").source, re.S)
    assert len(blocks) == 1
    lesson.cells += [nbformat.v4.new_code_cell(block) for block in blocks]
    for cell in lesson.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    client = NotebookClient(lesson, timeout=120, resources={"metadata": {"path": LESSON.parent}})
    client.execute()
    found = outputs(lesson)
    assert {output.get("name") for output in found if output.output_type == "stream"} == {"stdout"}
    pictures = sum("image/png" in output.get("data", {}) for output in found)
    assert pictures >= len(shown_figures(lesson))
    printed = "".join(output.text for output in named(lesson, "check-formulas").outputs)
    assert printed.startswith(f"{len(activations.names()) - 1} functions and their derivatives")
