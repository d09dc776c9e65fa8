"""Sealed records that are not what a run leaves are damage; what a later version adds is none."""

import gzip
import hashlib
import shutil

import pandas as pd
import pytest

from benchmark.errors import RequestError
from benchmark.results.folder import Store
from tests.results.folders import finish, reseal, spec_of


def fields(record, *path):
    for name in path[:-1]:
        record = record[name]
    return record, path[-1]


ODD = [
    ("spec.activation", ["relu"]),
    ("spec.activation", None),
    ("spec.activation", ""),
    ("spec.activation", "a\0b"),
    ("spec.activation", "\ud800"),
    ("spec.dataset", "x/../../victim/PWN"),
    ("spec.dataset", ".."),
    ("spec.epochs", -1),
    ("spec.epochs", 1e30),
    ("spec.epochs", "2"),
    ("spec.optimizer", []),
    ("spec.seed", True),
    ("spec.limit", 0.5),
    ("spec", None),
    ("status", ["complete"]),
    ("status", "done"),
    ("run", "../x"),
    ("run", "another"),
    ("scores", None),
    ("scores.test_accuracy", "0.9"),
    ("scores.test_accuracy", float("nan")),
    ("scores.test_accuracy", None),
    ("scores.val_accuracy", 1.5),
    ("scores.epochs", 3),
    ("scores.epochs", -2),
    ("scores.seconds", float("inf")),
    ("checksums", []),
    ("checksums", {}),
    ("checksums", {"../../secret": "0"}),
    ("activation.index", "3"),
    ("activation.index", -1),
    ("activation.name", None),
    ("environment.versions", []),
    ("environment.gpus", "none"),
    ("data.origin", 3),
    ("parameters", 1.5),
    ("purpose", "mine"),
    ("finished", "yesterday"),
    ("error", []),
]


@pytest.mark.parametrize(("field", "value"), ODD, ids=str)
def test_odd_fields_are_damage(tmp_path, field, value):
    store = Store(tmp_path)
    folder = finish(store, spec_of())

    def change(record):
        within, name = fields(record, *field.split("."))
        within[name] = value

    reseal(folder.path, change)
    state = folder.state()
    assert (state.status, state.record) == ("damaged", None)
    assert state.problem.startswith(("run.json", "history.csv has other epochs"))
    assert "\n" not in state.problem
    assert folder.done() is None


def test_a_missing_field_is_damage(tmp_path):
    for name in ("run", "status", "spec", "scores", "checksums"):
        folder = finish(Store(tmp_path), spec_of())
        reseal(folder.path, lambda record, name=name: record.pop(name))
        assert folder.state().status == "damaged", name


def test_what_a_later_version_adds_is_no_damage(tmp_path):
    folder = finish(Store(tmp_path), spec_of())

    def add(record):
        record["new"] = record["scores"]["new"] = record["environment"]["new"] = [1]
        # At its default, or the name would be another.
        record["spec"]["new"] = None

    reseal(folder.path, add)
    assert folder.done()
    assert folder.state().spec == spec_of()
    other = folder.path.with_name(f"{folder.path.name[:-1]}x")
    history = (folder.path / "history.csv").read_text().replace(folder.path.name, other.name)
    folder.path.rename(other)
    reseal(other, lambda record: record.update(run=other.name), history=history)
    assert "does not know" in Store(tmp_path).folder(other.name).state().problem


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (",1,0.5,", ",1,text,"),
        (",1,0.5,", ",-1,0.5,"),
        (",1,0.5,", ",1e30,0.5,"),
        (",1,0.5,0.45,", ",1,0.5,4.5,"),
        (",2,0.25,", ",3,0.25,"),
        ("relu", "elu"),
        ("epoch", "step"),
        ("0.25,mnist", "0.25,digits"),
        ("dataset,", "\ufeffdataset,"),
    ],
)
def test_odd_epochs_are_damage(tmp_path, old, new):
    folder = finish(Store(tmp_path), spec_of())
    history = (folder.path / "history.csv").read_text()
    assert old in history
    reseal(folder.path, history=history.replace(old, new))
    assert folder.state().problem.startswith("history.csv")


def test_odd_predictions_are_damage(tmp_path):
    folder = finish(Store(tmp_path), spec_of())
    predictions = pd.read_csv(folder.path / "predictions.csv.gz").to_csv(index=False)
    for text in ("", "x", predictions.replace("0.75", "<b>"), predictions.replace("index", "i")):
        reseal(folder.path, predictions=text)
        assert folder.state().problem == "predictions.csv.gz is not a table of predictions"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"index", "incorrect header check"),
        (gzip.compress(b"index")[:-9], "not one whole archive"),
        (gzip.compress(b"index") * 2, "not one whole archive"),
        # Zeros compress to a thousandth.
        (gzip.compress(bytes(10**8 + 1)), "not one whole archive"),
    ],
    ids=["no archive", "cut", "two", "huge"],
)
def test_odd_archives_are_damage(tmp_path, content, reason):
    folder = finish(Store(tmp_path), spec_of())
    (folder.path / "predictions.csv.gz").write_bytes(content)
    checksum = hashlib.sha256(content).hexdigest()
    reseal(folder.path, lambda record: record["checksums"].update({"predictions.csv.gz": checksum}))
    assert folder.state().problem.startswith("predictions.csv.gz cannot be unpacked")
    assert reason in folder.state().problem


def test_a_copied_run_is_not_another(tmp_path):
    store = Store(tmp_path)
    folder = finish(store, spec_of())
    shutil.copytree(folder.path, store.folder(spec_of("elu").run).path)
    assert store.folder(spec_of("elu").run).state().problem.startswith("run.json is of another run")


def test_a_figure_cannot_be_elsewhere(tmp_path):
    store = Store(tmp_path / "a")
    store.prepare()
    with pytest.raises(RequestError, match="cannot be part of a file's name"):
        store.write_figure("accuracy-../../victim", {"png": b""})
