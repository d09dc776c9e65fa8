import dataclasses
import io
import json
import os

import numpy as np
import pandas as pd
import pytest

from benchmark import store
from benchmark.config import RunSpec
from benchmark.errors import RequestError
from benchmark.store import HISTORY_COLUMNS, Store, csv_text, write_atomic
from benchmark.training import Checkpoint, Outcome

SPEC = RunSpec("digits", "relu", 0, epochs=2)
ROWS = [
    {
        "epoch": epoch,
        "loss": 0.1 + epoch / 3,
        "accuracy": 1 / 3,
        "binary_accuracy": 0.9,
        "val_loss": 2.0,
        "val_accuracy": 0.5,
        "val_binary_accuracy": 0.9,
        "seconds": 0.25 * epoch,
    }
    for epoch in (1, 2)
]
TEST = {"test_loss": 0.7, "test_accuracy": 0.5, "test_binary_accuracy": 0.8}
OUTCOME = Outcome("complete", ROWS, TEST, np.array([3, 1]), np.array([0.25, 0.1], np.float32), 42)


@pytest.fixture
def folder(tmp_path):
    kept = Store(tmp_path)
    kept.prepare()
    made = kept.folder(SPEC.run)
    made.path.mkdir()
    return made


def finish(folder):
    return folder.finish(SPEC, OUTCOME, np.array([3, 2]), {"peak_memory_mb": 1.5})


def test_numbers_read_back_exactly():
    values = [0.1, 1 / 3, 1e-300, 123456789.123456789, float("nan"), float("inf"), -float("inf")]
    text = csv_text(["value"], [{"value": v} for v in values])
    lines = text.splitlines()[1:]
    assert lines[0] == "0.1"
    assert lines[4:] == ["nan", "inf", "-inf"]
    read = pd.read_csv(io.StringIO(text))["value"]
    assert np.array_equal(read, values, equal_nan=True)


def test_cells():
    rows = [{"a": None, "b": 'say "x", y', "c": np.float32(0.1), "d": True}]
    assert csv_text("abcde", rows) == 'a,b,c,d,e\n,"say ""x"", y",0.1,True,\n'


def test_history_has_the_contracts_columns(folder):
    folder.write_history(SPEC, ROWS)
    frame = pd.read_csv(folder.path / "history.csv")
    assert ",".join(frame.columns) == (
        "dataset,model,activation,optimizer,learning_rate,loss_function,seed,epoch,loss,"
        "accuracy,val_loss,val_accuracy,seconds,run"
    )
    assert frame["epoch"].tolist() == [1, 2]
    assert frame["run"].unique().tolist() == [SPEC.run]
    assert frame["loss_function"].unique().tolist() == ["categorical_crossentropy"]


def test_finished_run(folder):
    folder.save_checkpoint(Checkpoint(ROWS, [np.zeros(3)]))
    record = finish(folder)
    assert folder.done() == record
    assert folder.checkpoint() is None
    assert record["scores"]["seconds_per_epoch"] == 0.375
    assert (folder.path / "predictions.csv").read_text() == (
        "index,true,predicted,probability\n0,3,3,0.25\n1,2,1,0.1\n"
    )
    assert RunSpec(**record["spec"]) == SPEC


@pytest.mark.parametrize("name", ["history.csv", "predictions.csv", "run.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "empty"])
def test_damage_is_noticed(folder, name, damage):
    finish(folder)
    path = folder.path / name
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        changed = data.replace(b"5", b"6")
        assert changed != data
        path.write_bytes({"cut": data[: len(data) // 2], "changed": changed, "empty": b""}[damage])
    assert folder.done() is None


@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"seal": 1}', "\x00\x01"])
def test_records_that_are_not_records(folder, text):
    (folder.path / "run.json").write_text(text)
    assert folder.record() is None


def test_failed_run_is_not_done(folder):
    folder.log.write_text("x" * 5000 + "the end")
    record = folder.fail(SPEC, "ValueError: no", {})
    assert record["log_end"].endswith("the end")
    assert folder.record()["status"] == "failed"
    assert folder.done() is None


def test_checkpoint_comes_back_bit_for_bit(folder):
    arrays = [np.array([np.nan, -0.0, 1e-45], np.float32), np.array(7), np.zeros((0, 3), np.int64)]
    folder.save_checkpoint(Checkpoint(ROWS, arrays))
    again = folder.checkpoint()
    assert again.rows == ROWS
    for ours, theirs in zip(arrays, again.arrays, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        assert ours.tobytes() == theirs.tobytes()


def test_damaged_checkpoints_are_not_used(folder):
    folder.save_checkpoint(Checkpoint(ROWS, [np.arange(1000.0)]))
    path = folder.path / "checkpoint"
    data = path.read_bytes()
    for length in (0, 10, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        assert folder.checkpoint() is None
    for place in range(0, len(data), 97):
        flipped = bytearray(data)
        flipped[place] ^= 1
        path.write_bytes(flipped)
        assert folder.checkpoint() is None
    path.write_bytes(data)
    assert folder.checkpoint() is not None


def test_write_is_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomic(path, "old")

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_left_over_temporary_files_go(folder):
    (folder.path / ".history.csv.123.tmp").write_text("half")
    with folder.lock():
        assert not list(folder.path.glob("*.tmp"))
        assert not list(folder.path.glob(".*.tmp"))


def test_left_over_tables_go_under_the_lock_only(tmp_path):
    kept = Store(tmp_path)
    kept.prepare()
    (tmp_path / ".runs.csv.123.tmp").write_text("half")
    kept.prepare()
    assert (tmp_path / ".runs.csv.123.tmp").exists()
    with kept.lock():
        assert not (tmp_path / ".runs.csv.123.tmp").exists()


def test_second_command_is_refused(tmp_path):
    kept = Store(tmp_path)
    kept.prepare()
    with (
        kept.lock(),
        pytest.raises(RequestError, match="in use by another command"),
        Store(tmp_path).lock(),
    ):
        pass
    with Store(tmp_path).lock():
        pass


def test_output_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cannot be written to"):
        Store(tmp_path / "file" / "deeper").prepare()


def test_tables(folder, tmp_path):
    finish(folder)
    kept = Store(tmp_path)
    unfinished = dataclasses.replace(SPEC, activation="elu")
    other = kept.folder(unfinished.run)
    other.path.mkdir()
    other.write_history(unfinished, ROWS[:1])
    failed = dataclasses.replace(SPEC, activation="tanh")
    kept.folder(failed.run).fail(failed, "ValueError: it, broke", {})
    kept.write_tables([SPEC, unfinished, failed])
    history, runs = kept.tables()
    assert tuple(history.columns) == HISTORY_COLUMNS
    assert history["activation"].tolist() == ["relu", "relu", "elu"]
    assert runs["status"].tolist() == ["complete", "unfinished", "failed"]
    assert runs["epochs"].tolist() == [2, 1, 0]
    assert runs["error"].tolist()[2] == "ValueError: it, broke"
    assert (
        list(runs.columns[:19])
        == (
            "run dataset model activation optimizer learning_rate loss_function seed status epochs"
            " loss accuracy val_loss val_accuracy test_loss test_accuracy seconds seconds_per_epoch"
            " peak_memory_mb"
        ).split()
    )
    assert runs.loc[0, "test_accuracy"] == 0.5
    assert runs["test_binary_accuracy"].isna().all()
    assert kept.specs() == [SPEC, failed]
    assert sorted(state[1] for state in kept.run_states()) == ["complete", "failed", "unfinished"]


def test_binary_scores_beside_binary_cross_entropy(tmp_path):
    spec = dataclasses.replace(SPEC, loss="binary_crossentropy")
    scores = store.final_scores(spec, ROWS, TEST)
    assert scores["val_binary_accuracy"] == 0.9
    assert scores["test_binary_accuracy"] == 0.8
    assert "binary_accuracy" not in store.final_scores(SPEC, ROWS, TEST)


def test_clear_forgets_the_run(folder):
    finish(folder)
    folder.clear()
    assert folder.record() is None
    assert not (folder.path / "history.csv").exists()


def test_no_results(tmp_path):
    with pytest.raises(RequestError, match=r"history.csv is missing"):
        Store(tmp_path).tables()


def test_record_is_json_others_can_read(folder):
    finish(folder)
    record = json.loads((folder.path / "run.json").read_text())
    assert record["status"] == "complete"
    assert set(record["checksums"]) == {"history.csv", "predictions.csv"}


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"", b"\xff\xfe\x00", b"run\nnot-there\n"])
def test_damaged_list_of_runs(folder, tmp_path, content):
    finish(folder)
    (tmp_path / "runs.csv").write_bytes(content)
    kept = Store(tmp_path)
    assert kept.specs() == ([] if b"not-there" in content else [SPEC])
    (tmp_path / "history.csv").write_bytes(b"")
    with pytest.raises(RequestError, match="is damaged"):
        kept.tables()


def test_home_is_understood(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Store("~/results").path == tmp_path / "results"
