import base64
import inspect
import io
import re
from types import SimpleNamespace

import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from benchmark.errors import RequestError
from benchmark.experiments.claims import FAILS, HOLDS, Finding
from benchmark.plotting.catalogue import KINDS, Part
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
    experiment = SimpleNamespace(title="Vanishing gradients")
    return SimpleNamespace(experiment=experiment, findings=[Finding("", v, "") for v in verdicts])


def test_alternative_of_an_experiment_says_what_it_found():
    alternative = sections._experiment_alternative
    text = alternative(section(HOLDS, FAILS, HOLDS), 1, 2)
    assert text.startswith("Vanishing gradients, figure 1 of 2: 3 claims;")
    assert "holds: 2, does not hold: 1." in text
    assert alternative(section(HOLDS), 1, 1) == "Vanishing gradients: 1 claim; holds: 1."
    assert alternative(section(), 1, 1) == "Vanishing gradients."


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_of_figure_has_a_caption_and_is_shown(kind):
    assert kind.caption.endswith(".")
    assert f'_figures(results, part, "{kind.section}")' in inspect.getsource(sections)


RUNS = pd.DataFrame(
    {
        "activation": ["relu", "relu", "elu", "selu"],
        "status": ["complete", "complete", "complete", "failed"],
        "test_accuracy": [0.9, 0.92, 0.8, None],
        # What a failed run has taken does not count.
        "seconds_per_epoch": [0.5, 0.7, 1.0, 9.0],
    }
)
CURVES = pd.DataFrame(
    {
        "activation": ["relu", "relu", "elu", "elu"],
        "epoch": [1, 2, 1, 2],
        "val_accuracy_mean": [0.5, 0.9, 0.6, 0.7],
        "val_loss_mean": [1.0, 0.3, 0.9, 0.5],
    }
)
COMPARISONS = pd.DataFrame(
    {"activation": ["elu", "selu"], "baseline": "relu", "difference": [0.01, -0.02]}
)
TUNING = pd.DataFrame(
    {
        "activation": ["relu", "relu", "elu"],
        "learning_rate": [0.1, 0.01, 0.1],
        "chosen": [False, True, True],
    }
)
CONFUSION = pd.DataFrame(
    {
        "role": ["best", "best", "worst"],
        "activation": ["relu", "relu", "elu"],
        "true": [0, 1, 0],
        "predicted": [0, 2, 1],
        "count": [9, 1, 4],
        "n_runs": 1,
    }
)
ALTERNATIVES = {
    "accuracy": (CURVES, ["2 activations", "from 70.00 % (elu) to 90.00 % (relu)."]),
    "loss": (CURVES, ["2 activations", "from 0.3 (relu) to 0.5 (elu)."]),
    "final_accuracy": (RUNS, ["2 activations", "80.00 % (elu) to 91.00 % (relu)."]),
    "differences": (COMPARISONS, ["from −2.00 points (selu) to +1.00 points (elu)."]),
    "accuracy_time": (RUNS, ["2 activations", "from 0.6 s (relu) to 1 s (elu)."]),
    "tuning": (TUNING, ["2 activations", "from 0.01 (relu) to 0.1 (elu)."]),
    "confusion": (CONFUSION, ["2 activations", "from 10.00 % (relu) to 100.00 % (elu)."]),
    "misclassified": (CONFUSION, ["2 activations", "from 1 (elu) to 2 (relu)."]),
}


def test_every_kind_of_figure_has_an_alternative():
    assert set(ALTERNATIVES) == set(KINDS)


def alternative(kind, title, rows):
    return sections.alternative(KINDS[kind], Part((), title, rows))


@pytest.mark.parametrize("kind", ALTERNATIVES)
def test_alternative(kind):
    rows, expected = ALTERNATIVES[kind]
    text = alternative(kind, "CNN on digits", rows)
    assert text.startswith("CNN on digits: ")
    assert text.endswith(".")
    for part in expected:
        assert part in text


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("accuracy", CURVES.assign(val_accuracy_mean=float("nan"))),
        ("differences", COMPARISONS.assign(difference=float("nan"))),
        ("accuracy_time", RUNS.assign(seconds_per_epoch=float("nan"))),
        ("tuning", TUNING.assign(chosen=False)),
    ],
)
def test_alternative_without_numbers(kind, rows):
    assert alternative(kind, "CNN", rows).endswith(" 2 activations.")


def test_alternative_of_one_activation_and_of_equal_ones():
    text = alternative("accuracy", "CNN", CURVES.iloc[:2])
    assert "1 activation;" in text
    assert text.endswith(" 90.00 % (relu).")
    equal = alternative("accuracy", "CNN", CURVES.assign(val_accuracy_mean=0.5))
    assert equal.endswith(" 50.00 % (elu and relu).")


def test_an_alternative_is_plain_text():
    rows = CURVES.replace("relu", "<_a_>").replace("elu", "<_a_>")
    assert "(<_a_>)" in alternative("accuracy", "A & B", rows)


# The same again


def folder(tmp_path, requests=(), environment=None, runs=1, names=()):
    """What `reproduction` reads of a folder's results."""
    return SimpleNamespace(
        folder=tmp_path,
        requests=list(requests),
        environment=environment or {},
        runs=pd.DataFrame({"run": ["a"] * runs}),
        sections=[SimpleNamespace(name=name) for name in names],
    )


def request(command, *experiments, **given):
    return {"command": command, "given": given, "resolved": {name: {} for name in experiments}}


def again(shown, results):
    sections.reproduction(results)
    return shown[-1][0].data


def test_commands_are_shown_as_given_once_and_in_order(shown, tmp_path):
    words = ["python", "run_all.py", "--output", "my results"]
    requests = [
        request("compare", words=words),
        request("experiments", "cost", words=words),
        request("experiments", "losses", arguments={"names": ["losses"], "seeds": 2}),
    ]
    text = again(shown, folder(tmp_path, requests, names=["cost", "losses"]))
    assert re.findall("```(sh|python)\n(.*)\n```", text) == [
        ("sh", "python run_all.py --output 'my results'"),
        ("python", "run_experiments(names=['losses'], seeds=2)"),
    ]
    assert "before requests were recorded" not in text


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        ([], "The runs and experiments of this folder were made before"),
        ([request("compare", words=["x"])], "Experiments of this folder were made before"),
        ([request("experiments", "cost", words=["x"])], "The runs of this folder were made before"),
        ([request("compare", words=["x"]), request("experiments", "losses", words=["x"])], "Exp"),
    ],
)
def test_a_folder_without_a_request_says_so(shown, tmp_path, requests, said):
    assert said in again(shown, folder(tmp_path, requests, names=["cost"]))


def test_a_merged_folder_says_where_the_requests_are(shown, tmp_path):
    text = again(shown, folder(tmp_path, environment={"merged_from": [{}, {}]}))
    assert "merged from several" in text
    assert "before requests were recorded" not in text


def test_a_commit_with_changes_is_not_the_whole_truth(shown, tmp_path):
    text = again(shown, folder(tmp_path, environment={"git_commit": "abc"}))
    assert "at commit abc." in text
    text = again(shown, folder(tmp_path, environment={"git_commit": "abc+changes"}))
    assert "at commit abc, with changes that were not committed" in text


def test_a_hostile_request_stays_inside_its_block(shown, tmp_path):
    requests = [request("compare", words=["a", "\n```\n<script>"])]
    text = again(shown, folder(tmp_path, requests))
    assert text.count("````") == 2
    assert text.index("<script>") < text.rindex("````")
