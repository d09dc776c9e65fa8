import base64
import io
from types import SimpleNamespace

import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from benchmark.errors import RequestError
from benchmark.experiments.claims import FAILS, HOLDS, Finding
from benchmark.report import sections


@pytest.fixture
def shown(monkeypatch):
    """What is displayed: (data, metadata)."""
    outputs = []
    monkeypatch.setattr(
        sections,
        "display",
        lambda data, metadata=None, raw=False: outputs.append((data, metadata)),
    )
    return outputs


@pytest.fixture
def figure():
    made = Figure(figsize=(2, 1))
    made.subplots().plot([0, 1], color="#C03515")
    return made


def test_a_folder_without_results_says_how_to_make_some(tmp_path):
    with pytest.raises(RequestError, match=r"holds no results: make some with `python run_all.py"):
        sections.read(tmp_path)


def test_a_figure_is_a_small_png_with_a_palette(figure):
    with Image.open(io.BytesIO(sections.png(figure, sections.DPI))) as picture:
        assert (picture.format, picture.mode) == ("PNG", "P")
        assert picture.size == (2 * sections.DPI, sections.DPI)
        # The line is still in its color.
        assert (0xC0, 0x35, 0x15) in {
            color for _, color in picture.convert("RGB").getcolors(maxcolors=256)
        }


def test_a_figure_carries_its_name_alternative_and_caption(shown, figure):
    sections.show_figure(figure, "loss", "Loss falls.", "Loss by epoch.")
    (data, metadata), (caption, about) = shown
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert metadata == {
        "benchmark": {"figure": "loss", "alt": "Loss falls.", "caption": "Loss by epoch."},
        "image/png": {"alt": "Loss falls."},
    }
    assert caption.data == "*Loss by epoch.*"
    assert about == {"benchmark": {"caption_of": "loss"}}


def test_a_table_is_shown_whole(shown):
    text = "long " * 30 + "<end>"
    sections.show_table(pd.DataFrame({"a": [text], "b": [None]}))
    ((data, _),) = shown
    assert f"<td>{text[:-5]}&lt;end&gt;</td>" in data["text/html"]
    assert data["text/plain"] == f"a\tb\n{text}\t–\n"


def section(*verdicts):
    made = SimpleNamespace(title="Vanishing gradients")
    return SimpleNamespace(experiment=made, findings=[Finding("", v, "") for v in verdicts])


def test_alternative_of_an_experiment_says_what_it_found():
    told = sections._experiment_alternative
    assert told(section(HOLDS, FAILS, HOLDS), "figure 1 of 2") == (
        "Vanishing gradients, figure 1 of 2: of 3 claims, 2 hold and 1 does not hold."
    )
    assert told(section(HOLDS), "") == "Vanishing gradients: of 1 claim, 1 holds."
    assert told(section(), "") == "Vanishing gradients."


def test_too_few_seeds_are_said_once():
    row = {"activation": "elu", "baseline": "relu", "n_pairs": 1, "verdict": "too few seeds"}
    row |= {"mcnemar_p": None, "note": ""}
    metrics = ("test_accuracy", "test_loss")
    text = sections._differences(pd.DataFrame([{**row, "metric": metric} for metric in metrics]))
    assert text.count("can show no difference from relu") == 1


def test_a_commit_with_changes_is_not_the_whole_truth():
    assert sections._told_commit("abc") == "`abc`"
    assert sections._told_commit("abc+changes") == (
        "`abc`, with changes that were not committed: the same numbers are not certain"
    )
