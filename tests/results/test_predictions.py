"""Predictions of today, compressed, and those that earlier versions left."""

import io

import numpy as np
import pandas as pd
import pytest

from benchmark.errors import RequestError
from benchmark.results import predictions
from benchmark.results.folder import Store
from benchmark.results.merge import merge
from tests.results.folders import age, finish, report, spec_of

TRUE, PREDICTED = np.array([3, 2, 1]), np.array([3, 1, 1])


def test_pandas_reads_them_with_four_digits():
    # 0.12345 is a little more as a float32, 0.5 has no more digits.
    shares = np.array([0.99986213, 0.12345, 0.5], np.float32)
    table = pd.read_csv(io.BytesIO(predictions.packed(TRUE, PREDICTED, shares)), compression="gzip")
    assert list(table) == ["index", "true", "predicted", "probability"]
    assert table["index"].tolist() == [0, 1, 2]
    assert table["true"].tolist() == TRUE.tolist()
    assert table["predicted"].tolist() == PREDICTED.tolist()
    assert table["probability"].tolist() == [0.9999, round(0.12345, 4), 0.5]


def test_a_diverged_run_has_none():
    none = np.zeros(0, int)
    content = predictions.packed(none, none, np.zeros(0))
    assert predictions.unpacked(predictions.NAME, content) == b"index,true,predicted,probability\n"


def test_equal_predictions_are_equal_files(monkeypatch):
    shares = np.array([0.25, 0.5, 1.0], np.float32)
    before = predictions.packed(TRUE, PREDICTED, shares)
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert predictions.packed(TRUE, PREDICTED, shares + 1e-6) == before
    # Of the header: no file name follows, time 0, no system named.
    assert before[:10] == b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff"


def test_rounding_again_changes_nothing():
    shares = np.random.default_rng(0).random(1000, np.float32)
    table = predictions.unpacked(
        predictions.NAME, predictions.packed(np.arange(1000), np.arange(1000), shares)
    )
    assert predictions.rounded(table) == table


@pytest.fixture
def older(tmp_path):
    """A folder with a run of an earlier version, and its run."""
    store = Store(tmp_path / "a")
    store.prepare()
    folder = finish(store, spec_of())
    age(folder.path)
    assert not (folder.path / "predictions.csv.gz").exists()
    return store, folder


def test_older_runs_are_done_and_read(older):
    store, folder = older
    assert folder.done()
    store.write_tables({folder.path.name: spec_of()})
    runs = pd.read_csv(store.path / "runs.csv")
    assert runs[["status", "test_images"]].to_numpy().tolist() == [["complete", 40]]
    table = store.predictions([folder.path.name])
    assert len(table) == 40
    assert (table["probability"] == 0.75001).all()


def test_older_runs_are_reported_and_damage_is_seen(older, tables_only):
    store, folder = older
    store.write_tables({folder.path.name: spec_of()})
    report(store.path)
    assert pd.read_csv(store.path / "confusion.csv")["count"].sum() > 0
    table = (folder.path / "predictions.csv").read_bytes()
    (folder.path / "predictions.csv").write_bytes(table.replace(b"\n", b"\r\n"))
    assert folder.done()
    (folder.path / "predictions.csv").write_bytes(table.replace(b"0.75001", b"0.85001", 1))
    assert folder.state().problem == "predictions.csv is not as the run left it"


def other(tmp_path, probability=0.75001):
    """Return a folder with the same run by this version, and another one."""
    store = Store(tmp_path / "b")
    store.prepare()
    finish(store, spec_of())
    age(finish(store, spec_of("elu")).path, probability)
    return store


def test_older_and_newer_runs_are_merged(older, tmp_path):
    store, folder = older
    lines = merge([store.path, other(tmp_path).path], tmp_path / "c")
    assert "1 run;" in lines[1]
    merged = Store(tmp_path / "c")
    assert merged.folder(folder.path.name).done() == folder.done()
    assert (merged.folder(folder.path.name).path / "predictions.csv").exists()
    assert merged.folder(spec_of("elu").run).done()


def test_other_predictions_of_an_older_run_are_refused(older, tmp_path):
    store, _ = older
    newer = other(tmp_path)
    # Less than half of the last digit.
    age(finish(store, spec_of("elu")).path, 0.75004)
    with pytest.raises(RequestError, match=f"run {spec_of('elu').run} has other .* 3e-5,"):
        merge([store.path, newer.path], tmp_path / "c")
    finish(newer, spec_of("elu"))
    merge([store.path, newer.path], tmp_path / "c")
    age(finish(store, spec_of()).path, 0.7502)
    with pytest.raises(RequestError, match="largest difference 0.0002, in probability"):
        merge([store.path, newer.path], tmp_path / "d")


def test_a_run_done_again_leaves_one_file(older, tmp_path):
    store, folder = older
    newer = other(tmp_path).folder(folder.path.name)
    folder.receive(newer.files())
    assert not (folder.path / "predictions.csv").exists()
    assert folder.done() == newer.done()
    age(folder.path)
    finish(store, spec_of())
    assert not (folder.path / "predictions.csv").exists()
    folder.clear()
    assert {path.name for path in folder.path.iterdir()} <= {".lock"}
