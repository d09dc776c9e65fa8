import dataclasses
import hashlib
import io
import json
import os

import numpy as np
import pandas as pd
import pytest

from benchmark.errors import RequestError
from benchmark.results import formats, schema
from benchmark.results.folder import Store
from benchmark.results.formats import csv_text, write_atomic
from benchmark.results.schema import HISTORY_COLUMNS
from benchmark.training import spec as spec_training
from benchmark.training.loop import Checkpoint, Outcome
from benchmark.training.spec import RunSpec

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
    store = Store(tmp_path)
    store.prepare()
    folder = store.folder(SPEC.run)
    folder.path.mkdir()
    return folder


def finish(folder):
    return folder.finish(SPEC, OUTCOME, np.array([3, 2]), {"peak_memory_mb": 1.5})


def by_name(specs):
    return {spec.run: spec for spec in specs}


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


@pytest.mark.parametrize("text", ["a,b", 'a"b', "a\nb", "a\rb", '"'])
def test_cells_that_need_quotes_have_them(text):
    assert csv_text("a", [{"a": text}]) == 'a\n"' + text.replace('"', '""') + '"\n'


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
    table = pd.read_csv(folder.path / "predictions.csv.gz")
    assert table.to_csv(index=False) == (
        "index,true,predicted,probability\n0,3,3,0.25\n1,2,1,0.1\n"
    )
    assert RunSpec(**record["spec"]) == SPEC


@pytest.mark.parametrize("name", ["history.csv", "predictions.csv.gz", "run.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "empty"])
def test_damage_is_noticed(folder, name, damage):
    finish(folder)
    path = folder.path / name
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        changed = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
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
    for position in range(0, len(data), 97):
        flipped = bytearray(data)
        flipped[position] ^= 1
        path.write_bytes(flipped)
        assert folder.checkpoint() is None
    path.write_bytes(data)
    assert folder.checkpoint() is not None


def save_sealed(folder, content):
    (folder.path / "checkpoint").write_bytes(hashlib.sha256(content).digest() + content)


def archive(save=np.savez, **arrays):
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def as_bytes(rows):
    return np.frombuffer(json.dumps(rows).encode(), np.uint8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an archive",
        archive(array_0=np.zeros(2)),
        archive(rows=np.frombuffer(b"not json", np.uint8)),
        archive(rows=as_bytes({"epoch": 1})),
        archive(rows=as_bytes([{"epoch": 1}])),
        archive(rows=as_bytes(ROWS[1:])),
        archive(rows=as_bytes([{**ROWS[0], "loss": "0.5"}])),
        archive(rows=as_bytes(ROWS), array_1=np.zeros(2)),
        archive(np.savez_compressed, rows=as_bytes(ROWS), array_0=np.zeros(10**6)),
    ],
    ids=range(10),
)
def test_checkpoints_with_a_right_digest_and_odd_content_are_not_used(folder, content):
    save_sealed(folder, content)
    assert folder.checkpoint() is None


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
    store = Store(tmp_path)
    store.prepare()
    (tmp_path / ".runs.csv.123.tmp").write_text("half")
    store.prepare()
    assert (tmp_path / ".runs.csv.123.tmp").exists()
    with store.lock():
        assert not (tmp_path / ".runs.csv.123.tmp").exists()


def test_second_command_is_refused(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    with (
        store.lock(),
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
    store = Store(tmp_path)
    unfinished = dataclasses.replace(SPEC, activation="elu")
    other = store.folder(unfinished.run)
    other.path.mkdir()
    other.write_history(unfinished, ROWS[:1])
    failed = dataclasses.replace(SPEC, activation="tanh")
    store.folder(failed.run).fail(failed, "ValueError: it, broke", {})
    store.write_tables(by_name([SPEC, unfinished, failed]))
    history, runs = store.tables()
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
    assert store.recorded() == by_name([SPEC, unfinished, failed])
    statuses = [state.status for state in store.run_states().values()]
    assert sorted(statuses) == ["complete", "failed", "unfinished"]


def recorded(name, index):
    return {"activation": {"name": name, "index": index}}


def test_tables_to_the_byte(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    names = ("relu", "elu", "tanh", "selu", 'my, "own"')
    specs = [dataclasses.replace(SPEC, activation=name) for name in names]
    complete, unfinished, failed, damaged, diverged = specs
    folders = [store.folder(spec.run) for spec in specs]
    for folder in folders:
        folder.path.mkdir()
    facts = {"data": {"origin": "here, é"}, "peak_memory_mb": 1.5}
    busy = {**facts, "load": {"start": 0.75, "end": 1.5, "own": 1.0}}
    folders[0].finish(complete, OUTCOME, np.array([3, 2]), {**busy, **recorded("relu", 1)})
    folders[1].write_history(unfinished, ROWS[:1])
    folders[2].fail(failed, 'ValueError: "a"\nb', {})
    folders[3].finish(damaged, OUTCOME, np.array([3, 2]), {**facts, **recorded("selu", 4)})
    text = (folders[3].path / "run.json").read_text()
    (folders[3].path / "run.json").write_text(text.replace(" 42,", " 43,"))
    lost = {"loss": float("inf"), "val_loss": float("nan")}
    nothing = Outcome("diverged", [{**ROWS[0], **lost}], {}, np.zeros(0), np.zeros(0), 42)
    folders[4].finish(diverged, nothing, np.zeros(0), {**facts, **recorded('my, "own"', 21)})

    purposes = {failed.run: "tuning"}
    assert store.write_tables(by_name(specs), purposes) == {"relu": 1, 'my, "own"': 21}
    assert store.purposes()[failed.run] == "tuning"

    adam, cross = "adam,0.001,categorical_crossentropy,0", "categorical_crossentropy"
    own = '"my, ""own"""'
    own_run = f'"{diverged.run.replace(chr(34), chr(34) * 2)}"'
    first, second = "0.43333333333333335,0.3333333333333333,2.0,0.5", "0.7666666666666666"
    assert (tmp_path / "history.csv").read_text(encoding="utf-8").splitlines() == [
        ",".join(HISTORY_COLUMNS),
        f"digits,cnn,relu,{adam},1,{first},0.25,{complete.run}",
        f"digits,cnn,relu,{adam},2,{second},0.3333333333333333,2.0,0.5,0.5,{complete.run}",
        f"digits,cnn,elu,{adam},1,{first},0.25,{unfinished.run}",
        f"digits,cnn,{own},{adam},1,inf,0.3333333333333333,nan,0.5,0.25,{own_run}",
    ]
    settings = ",,,,128,2,,article,holdout,1,CPU,False,float32,comparison,2,0.5"
    scores = f"{second},0.3333333333333333,2.0,0.5,0.7,0.5,0.75,0.375,1.5"
    lost_scores = "inf,0.3333333333333333,nan,0.5,,,0.25,0.25,1.5"
    assert (tmp_path / "runs.csv").read_text(encoding="utf-8").split("\n", 1)[1] == (
        f"{complete.run},digits,cnn,relu,adam,0.001,{cross},0,complete,2,{scores},{settings},1.5,1.0,42,,"
        '"here, é",,\n'
        f"{unfinished.run},digits,cnn,elu,adam,0.001,{cross},0,unfinished,1,,,,,,,,,,{settings},"
        ",,,,,,\n"
        f"{failed.run},digits,cnn,tanh,adam,0.001,{cross},0,failed,0,,,,,,,,,,"
        f"{settings.replace('comparison', 'tuning')},"
        ',,,,,,"ValueError: ""a""\nb"\n'
        f"{damaged.run},digits,cnn,selu,adam,0.001,{cross},0,damaged,0,,,,,,,,,,{settings},"
        ",,,,,,run.json is not as the run left it\n"
        f"{own_run},digits,cnn,{own},adam,0.001,{cross},0,diverged,1,{lost_scores},{settings},,,42,,"
        '"here, é",,\n'
    )


def test_tables_read_each_record_once_and_check_it(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.prepare()
    specs = [dataclasses.replace(SPEC, seed=seed) for seed in range(4)]
    for spec in specs:
        store.folder(spec.run).path.mkdir()
        store.folder(spec.run).finish(spec, OUTCOME, np.array([3, 2]), {})
    assert store.recorded() == by_name(specs)
    # Damage after that look at the records is noticed: nothing is remembered.
    path = store.folder(specs[2].run).path / "run.json"
    path.write_text(path.read_text().replace('"test_accuracy": 0.5', '"test_accuracy": 0.9'))
    checked, checksum = [], formats._checksum
    monkeypatch.setattr(
        formats, "_checksum", lambda content: checked.append(content) or checksum(content)
    )
    store.write_tables(by_name(specs))
    assert [content["run"] for content in checked] == [spec.run for spec in specs]
    runs = store.tables()[1]
    assert runs["status"].tolist() == ["complete", "complete", "damaged", "complete"]
    assert runs["test_accuracy"].isna().tolist() == [False, False, True, False]


def test_binary_scores_beside_binary_cross_entropy(tmp_path):
    spec = dataclasses.replace(SPEC, loss="binary_crossentropy")
    scores = schema.final_scores(spec, ROWS, TEST)
    assert scores["val_binary_accuracy"] == 0.9
    assert scores["test_binary_accuracy"] == 0.8
    assert "binary_accuracy" not in schema.final_scores(SPEC, ROWS, TEST)


def test_score_on_the_standard_test_set(folder, tmp_path):
    outcome = dataclasses.replace(OUTCOME, test={**TEST, "standard_test_accuracy": 0.25})
    folder.finish(SPEC, outcome, np.array([3, 2]), {})
    store = Store(tmp_path)
    store.write_tables({SPEC.run: SPEC})
    assert store.tables()[1]["standard_test_accuracy"].tolist() == [0.25]


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
    assert set(record["checksums"]) == {"history.csv", "predictions.csv.gz"}


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"", b"\xff\xfe\x00", b"run\nnot-there\n"])
def test_damaged_list_of_runs(folder, tmp_path, content):
    finish(folder)
    (tmp_path / "runs.csv").write_bytes(content)
    store = Store(tmp_path)
    assert store.recorded() == by_name([SPEC])
    (tmp_path / "history.csv").write_bytes(b"")
    with pytest.raises(RequestError, match="is damaged"):
        store.tables()


def test_home_is_understood(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Store("~/results").path == tmp_path / "results"


def test_runs_of_another_version_keep_their_names(tmp_path, monkeypatch):
    """What was recorded is reported, also where the same settings would be named otherwise now."""
    store = Store(tmp_path)
    store.prepare()
    folder = store.folder(SPEC.run)
    folder.path.mkdir()
    folder.finish(SPEC, OUTCOME, np.array([3, 2]), recorded("relu", 1))
    store.write_tables(store.recorded())
    tables = [(tmp_path / name).read_bytes() for name in ("history.csv", "runs.csv")]
    name = SPEC.run
    monkeypatch.setattr(spec_training, "PROTOCOL", 99)
    assert SPEC.run != name
    store.write_tables(store.recorded())
    assert [(tmp_path / name).read_bytes() for name in ("history.csv", "runs.csv")] == tables
