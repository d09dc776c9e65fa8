import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from benchmark.errors import RequestError
from benchmark.results import tensorboard
from benchmark.results.folder import Store
from benchmark.training.loop import Outcome
from benchmark.training.spec import RunSpec

pytest.importorskip("tensorboard")

RELU = RunSpec("digits", "relu", 3, epochs=2, limit=500)
ELU = RunSpec("digits", "elu", 0, epochs=2)
SELU = RunSpec("digits", "selu", 0, epochs=2)
FINISHED = {"finished": "1970-01-01T00:16:40Z"}
TEST = {"test_loss": 0.75, "test_accuracy": 0.5}


def rows(loss=0.5, count=2):
    scores = {"accuracy": 0.25, "val_loss": 2.0, "val_accuracy": 0.125}
    return [
        {"epoch": epoch, "loss": loss / epoch, **scores, "seconds": 2.0 * epoch}
        for epoch in range(1, count + 1)
    ]


@pytest.fixture
def store(tmp_path):
    """A run that is complete, one that diverged after an epoch, one that failed at once."""
    store = Store(tmp_path)
    store.prepare()
    for spec in (RELU, ELU, SELU):
        store.folder(spec.run).path.mkdir()
    done = Outcome("complete", rows(), TEST, np.array([1]), np.array([0.5]), 42)
    store.folder(RELU.run).finish(RELU, done, np.array([1]), FINISHED)
    lost = Outcome("diverged", rows(np.nan, 1), {}, np.zeros(0), np.zeros(0), 42)
    store.folder(ELU.run).finish(ELU, lost, np.zeros(0), FINISHED)
    store.folder(SELU.run).fail(SELU, "ValueError: no", {})
    store.write_tables({spec.run: spec for spec in (RELU, ELU, SELU)}, {})
    return store


def written(store):
    history, runs = store.tables()
    folder = tensorboard.write(store, runs, history)
    assert folder == store.path / "tensorboard"
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def read(store, spec):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(store.path / "tensorboard" / spec.run))
    return accumulator.Reload()


def points(accumulator, tag):
    return [(event.step, event.wall_time, event.value) for event in accumulator.Scalars(tag)]


def session(accumulator):
    from tensorboard.plugins.hparams import metadata

    contents = accumulator.PluginTagToContent("hparams")
    start = contents["_hparams_/session_start_info"]
    end = contents.get("_hparams_/session_end_info")
    return (
        metadata.parse_session_start_info_plugin_data(start),
        end and metadata.parse_session_end_info_plugin_data(end),
    )


def test_every_epoch_and_the_test_at_their_times(store):
    written(store)
    events = read(store, RELU)
    assert points(events, "loss") == [(1, 996.0, 0.5), (2, 1000.0, 0.25)]
    assert points(events, "accuracy") == [(1, 996.0, 0.25), (2, 1000.0, 0.25)]
    assert points(events, "val_loss") == [(1, 996.0, 2.0), (2, 1000.0, 2.0)]
    assert points(events, "val_accuracy") == [(1, 996.0, 0.125), (2, 1000.0, 0.125)]
    assert points(events, "test_loss") == [(2, 1000.0, 0.75)]
    assert points(events, "test_accuracy") == [(2, 1000.0, 0.5)]


def test_settings_and_seed_are_hyperparameters(store):
    from tensorboard.plugins.hparams import api_pb2

    written(store)
    start, end = session(read(store, RELU))
    hyperparameters = {
        name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()
    }
    assert hyperparameters == {
        "dataset": "digits",
        "model": "cnn",
        "activation": "relu",
        "optimizer": "adam",
        "learning_rate": 0.001,
        "loss_function": "categorical_crossentropy",
        "seed": 3,
        "batch_size": 128,
        "epochs_asked": 2,
        "limit": "500",
        "initializer": "article",
        "validation": "holdout",
        "threads": 1,
        "device": "CPU",
        "deterministic": False,
        "precision": "float32",
        "purpose": "comparison",
    }
    assert start.hparams["deterministic"].WhichOneof("kind") == "bool_value"
    assert start.group_name == RELU.run
    assert (start.start_time_secs, end.end_time_secs) == (994.0, 1000.0)
    assert end.status == api_pb2.STATUS_SUCCESS


def test_a_diverged_run_ends_without_a_test(store):
    written(store)
    events = read(store, ELU)
    assert np.isnan(points(events, "loss")[0][2])
    assert "test_loss" not in events.Tags()["scalars"]
    assert session(events)[0].hparams["limit"].string_value == "all"


def test_a_failed_run_is_marked_and_an_unfinished_one_is_open(store):
    from tensorboard.plugins.hparams import api_pb2

    for spec in (ELU, SELU):
        store.folder(spec.run).clear()
        store.folder(spec.run).write_history(spec, rows())
    store.folder(SELU.run).fail(SELU, "ValueError: no", {})
    store.write_tables({spec.run: spec for spec in (ELU, SELU)}, {})
    written(store)
    assert session(read(store, ELU))[1] is None
    assert session(read(store, SELU))[1].status == api_pb2.STATUS_FAILURE
    at = (store.folder(ELU.run).path / "history.csv").stat().st_mtime
    assert points(read(store, ELU), "val_loss")[1][1] == at


def test_written_again_it_is_the_same(store):
    first = {name: path.read_bytes() for name, path in written(store).items()}
    assert set(first) == {f"{spec.run}/{tensorboard._FILE}" for spec in (RELU, ELU)}
    assert {name: path.read_bytes() for name, path in written(store).items()} == first


def test_runs_that_are_no_longer_asked_for_go(store):
    written(store)
    (store.path / "tensorboard" / ELU.run / "mine.txt").touch()
    store.write_tables({RELU.run: RELU}, {})
    assert set(written(store)) == {f"{RELU.run}/{tensorboard._FILE}", f"{ELU.run}/mine.txt"}
    store.write_tables({ELU.run: ELU}, {})
    written(store)
    assert not (store.path / "tensorboard" / RELU.run).exists()


def test_tensorboards_own_table_of_hyperparameters(store):
    """What the plug-in makes of the files: one session each, the scores as metrics."""
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2, list_session_groups
    from tensorboard.plugins.hparams.backend_context import Context

    written(store)
    logdir = str(store.path / "tensorboard")
    multiplexer = EventMultiplexer().AddRunsFromDirectory(logdir)
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, logdir)
    context = Context(TBContext(data_provider=provider))
    metadata = context.hparams_metadata(RequestContext(), "")
    experiment = context.experiment_from_metadata(RequestContext(), "", True, metadata, [], 100)
    assert {"test_accuracy", "val_loss"} <= {info.name.tag for info in experiment.metric_infos}
    assert "seed" in {info.name for info in experiment.hparam_infos}

    statuses = [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_UNKNOWN]
    asked = api_pb2.ListSessionGroupsRequest(
        start_index=0, slice_size=10, allowed_statuses=statuses
    )
    handler = list_session_groups.Handler(RequestContext(), context, "", asked)
    groups = {group.name: group for group in handler.run().session_groups}
    assert set(groups) == {RELU.run, ELU.run}
    values = {metric.name.tag: metric.value for metric in groups[RELU.run].metric_values}
    assert values["test_accuracy"] == 0.5


def test_without_tensorboard_a_line_says_what_to_install(store, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(RequestError, match=r"--tensorboard needs .*: pip install tensorboard$"):
        tensorboard.check()
    with pytest.raises(RequestError):
        tensorboard.write(store, pd.DataFrame(), pd.DataFrame())


def test_tensorflow_is_not_loaded(store):
    code = f"""
import sys
from benchmark.results import tensorboard
from benchmark.results.folder import Store
assert "tensorboard" not in sys.modules
store = Store({str(store.path)!r})
history, runs = store.tables()
tensorboard.write(store, runs, history)
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
