"""The report notebook as it is kept, and on folders that lack this and that."""

import dataclasses
import re
from html import escape as html_escape
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from benchmark import api
from benchmark.report import build, html, notebook
from benchmark.results.folder import Store
from benchmark.training.loop import Outcome
from benchmark.training.spec import RunSpec

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "notebooks" / "report.ipynb"
REFERENCE = ROOT / "results" / "reference" / "mnist1d"
IMAGES, EPOCHS = 40, 3
LABELS = np.arange(IMAGES) % 4
HOSTILE = "<img src=x onerror=alert(1)>"
NO_PREDICTIONS = (np.zeros(0, int), np.zeros(0))


def outcome(accuracy, seed, status="complete"):
    """A run that gets that share of the images right, with made-up epochs."""
    draw = np.random.default_rng(seed)
    wrong = np.arange(IMAGES) >= round(accuracy * IMAGES)
    predicted = np.where(wrong, (LABELS + 1) % 4, LABELS)
    end = float("nan") if status == "diverged" else 0.2
    rows = [
        {
            "epoch": epoch,
            "loss": end + 1 / epoch,
            "accuracy": accuracy * epoch / EPOCHS,
            "val_loss": end + 1.1 / epoch,
            "val_accuracy": accuracy * epoch / EPOCHS + draw.integers(3) / 288,
            "seconds": 0.5,
        }
        for epoch in range(1, EPOCHS + 1)
    ]
    if status == "diverged":
        return Outcome(status, rows, {}, *NO_PREDICTIONS, 42)
    test = {"test_loss": 1 - accuracy, "test_accuracy": float((predicted == LABELS).mean())}
    return Outcome(status, rows, test, predicted, np.full(IMAGES, 0.9), 42)


def record(store, spec, made):
    folder = store.folder(spec.run)
    folder.path.mkdir(parents=True)
    labels = LABELS if made.status == "complete" else np.zeros(0, int)
    place = {"name": spec.activation, "index": 3}
    folder.finish(spec, made, labels, {"peak_memory_mb": 100.0, "activation": place})


@pytest.fixture
def odd(tmp_path):
    """A folder in which everything has gone wrong that can."""
    store, specs = Store(tmp_path), []
    store.prepare()

    def spec(name, seed):
        specs.append(RunSpec("digits", name, seed, epochs=EPOCHS, data_sha256="0" * 64))
        return specs[-1]

    for seed in range(4):
        record(store, spec("relu", seed), outcome(0.9 + seed / 40, seed))
        # One of four does not get off the ground.
        record(store, spec("sigmoid", seed), outcome(0.25 if seed == 1 else 0.8, seed))
    for seed in range(2):
        record(store, spec("elu", seed), outcome(0.5, seed, "diverged"))
    store.folder(spec("selu", 0).run).fail(specs[-1], "ValueError: out of order", {})
    record(store, spec("selu", 1), outcome(0.85, 1))
    record(store, spec("tanh", 0), outcome(0.95, 0))
    store.folder(spec("gelu", 0).run).fail(specs[-1], "ValueError: all of them", {})
    spec("mish", 0)
    # No activation can be registered under such a name, but a folder's tables may have it.
    for seed in range(2):
        record(store, spec(HOSTILE, seed), outcome(0.97, seed))
    return store, {one.run: one for one in specs}


@pytest.mark.slow
def test_a_folder_with_failed_diverged_and_single_runs(odd):
    store, specs = odd
    build.write_runs(store, specs, {})
    executed = notebook.execute("report", store.path)
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    assert {output.output_type for output in outputs} == {"display_data"}
    told = html.render(executed, store.path / "figures")
    for words in (
        "1 of 4 runs did not learn",
        "diverged",
        "failed",
        "unfinished",
        "undecided",
        "gelu",
        "mish",
    ):
        assert words in told, words
    assert HOSTILE not in told
    assert html_escape(HOSTILE) in told
    summary = pd.read_csv(store.path / "summary.csv").set_index("activation")
    assert summary.loc["elu", ["n_completed", "n_diverged"]].tolist() == [0, 2]
    assert summary.loc["sigmoid", "n_not_learned"] == 1
    assert np.isnan(summary.loc["sigmoid", "test_accuracy_ci_low"])
    assert np.isnan(summary.loc["tanh", "test_accuracy_ci_low"])
    texts = [str(output.data.get("text/markdown", output.data["text/plain"])) for output in outputs]
    assert not re.search(r"\b(nan|None|inf)\b", " ".join(texts))


@pytest.mark.slow
@pytest.mark.parametrize("kept", [["failed"], ["diverged"], ["unfinished"]])
def test_a_folder_without_a_complete_run(tmp_path, kept, capfd):
    store = Store(tmp_path)
    store.prepare()
    spec = RunSpec("digits", "relu", 0, epochs=EPOCHS, data_sha256="0" * 64)
    store.folder(spec.run).path.mkdir(parents=True)
    if kept == ["failed"]:
        store.folder(spec.run).fail(spec, "ValueError: no", {})
    elif kept == ["diverged"]:
        record(store, dataclasses.replace(spec, seed=1), outcome(0.3, 0, "diverged"))
        spec = dataclasses.replace(spec, seed=1)
    build.write_runs(store, {spec.run: spec}, {})
    build.write_page(store)
    assert kept[0] in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_report_on_experiments_alone(tmp_path):
    api.run_experiments("worked_examples", jobs=1, output=tmp_path)
    api.rebuild(tmp_path)
    told = (tmp_path / "report.html").read_text()
    assert told.count("<figure") == 1
    assert "Final accuracy" not in told


def test_the_kept_notebook_shows_the_reference_results():
    kept = nbformat.read(REPORT, as_version=4)
    outputs = [output for cell in kept.cells for output in cell.get("outputs", [])]
    assert {output.output_type for output in outputs} == {"display_data"}
    shown = {
        output.metadata["benchmark"]["figure"]
        for output in outputs
        if "figure" in output.metadata.get("benchmark", {})
    }
    assert shown == {path.stem for path in REFERENCE.glob("figures/*.png")}
    assert REPORT.stat().st_size < 2e6
    (named,) = (cell for cell in kept.cells if "folder" in cell.metadata.get("tags", []))
    assert named.source == 'FOLDER = "../results/reference/mnist1d"'


@pytest.mark.slow
def test_the_kept_notebook_is_what_running_it_gives():
    def texts(read):
        return [
            output.data["text/markdown"]
            for cell in read.cells
            for output in cell.get("outputs", [])
            if "text/markdown" in output.get("data", {})
        ]

    assert texts(notebook.execute("report", REFERENCE)) == texts(nbformat.read(REPORT, 4))
