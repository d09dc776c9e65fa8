"""Names and messages from recorded files reach the page as text, never as markup."""

import dataclasses

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from benchmark.report import build, html, sections
from benchmark.results.folder import Store
from tests.results.folders import finish, reseal, spec_of

MARKUP = "<img src=x onerror=alert({})>"
ACTIVATION, DATASET, ERROR, PROCESSOR, COMMIT, VERSION = map(MARKUP.format, range(6))
# The page's sections, in the order of the notebook.
SECTIONS = (
    *("in_short", "setting", "curves", "final", "differences", "side_by_side", "mistakes"),
    *("cost", "experiments", "limits", "reproduction"),
)


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The page of a hostile folder, made in this process."""
    store, specs = Store(tmp_path), []
    store.prepare()
    for seed in range(2):
        for activation in ("relu", ACTIVATION):
            specs.append(spec_of(activation, seed))
    own = dataclasses.replace(spec_of(), dataset=DATASET, data_sha256="1" * 64)
    for spec in [*specs, own]:
        finish(store, spec)
    failed, damaged = spec_of(ACTIVATION, 7), spec_of(ACTIVATION, 8)
    store.folder(failed.run).fail(failed, ERROR, {})
    reseal(finish(store, damaged).path, lambda record: record.update(status=ERROR))
    every = [*specs, own, failed, damaged]
    facts = {"processor": PROCESSOR, "git_commit": COMMIT, "versions": {"keras": VERSION}}
    store.write_environment(facts)
    build.write_runs(store, {spec.run: spec for spec in every}, {})
    outputs = []

    def display(data, metadata=None, raw=False):
        data = data if raw else {"text/markdown": data.data}
        outputs.append(new_output("display_data", data, metadata=metadata or {}))

    monkeypatch.setattr(sections, "display", display)
    results = sections.read(store.path)
    for name in SECTIONS:
        getattr(sections, name)(results)
    return html.render(new_notebook(cells=[new_code_cell(outputs=outputs)]), tmp_path / "figures")


@pytest.mark.slow
def test_no_name_or_message_is_markup(page):
    assert "<img src=x" not in page
    for text in (ACTIVATION, DATASET, PROCESSOR, spec_of(ACTIVATION, 8).run):
        assert text.replace("<", "&lt;").replace(">", "&gt;") in page
    assert "1 damaged" in page
