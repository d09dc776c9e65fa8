"""Event files for TensorBoard, written from the recorded tables."""

import calendar
import contextlib
import io
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.errors import RequestError
from benchmark.results.folder import Store
from benchmark.results.formats import set_aside, write_atomic
from benchmark.results.schema import DONE, SETTINGS

FOLDER = "tensorboard"
# TensorBoard looks for "tfevents". A fixed name, so that a new file replaces the last one.
_FILE = "events.out.tfevents.benchmark"
_PER_EPOCH = ("loss", "accuracy", "val_loss", "val_accuracy")
_AT_THE_END = ("test_loss", "test_accuracy")
_HYPERPARAMETERS = (
    *("dataset", "model", "activation", "optimizer", "learning_rate", "loss_function", "seed"),
    *SETTINGS,
    "purpose",
)


def check() -> None:
    """Check that TensorBoard, an optional dependency, is installed.

    Raises:
        RequestError: it is not; the message says how to install it.
    """
    try:
        import tensorboard.plugins.hparams.metadata
        import tensorboard.summary.writer.record_writer  # noqa: F401
    except ImportError as error:
        raise RequestError(
            "--tensorboard needs the package tensorboard, which cannot be imported here:"
            " pip install tensorboard"
        ) from error


def write(store: Store, runs: pd.DataFrame, history: pd.DataFrame) -> Path:
    """Write one event file per run that has epochs, and remove those of other runs.

    Scalars are `loss`, `accuracy`, `val_loss` and `val_accuracy` of each epoch, at its number as
    the step, and `test_loss` and `test_accuracy` at the last one's; hyperparameters are the run's
    settings and its seed. Their times are those of training. The same tables give the same bytes.

    Args:
        store: the folder of the results; the files go to tensorboard/RUN/ in it.
        runs: rows of runs.csv.
        history: rows of history.csv.

    Returns:
        The folder to be given to `tensorboard --logdir`.

    Raises:
        RequestError: TensorBoard is not installed.
    """
    check()
    folder = store.path / FOLDER
    epochs = dict(list(history.groupby("run", sort=False)))
    for row in runs.to_dict("records"):
        run = row["run"]
        if run in epochs:
            if (folder / run).is_symlink():
                set_aside(folder / run)
            (folder / run).mkdir(parents=True, exist_ok=True)
            events = _events(row, epochs[run], _ended(store, run))
            write_atomic(folder / run / _FILE, _content(events))
    for path in folder.glob(f"*/{_FILE}"):
        if path.parent.name not in epochs and not path.parent.is_symlink():
            path.unlink()
            # A folder with files of another origin stays.
            with contextlib.suppress(OSError):
                path.parent.rmdir()
    return folder


def _ended(store: Store, run: str) -> float:
    """Return when the run's last epoch ended, in seconds since 1970."""
    path = store.folder(run).path
    record = store.folder(run).record() or {}
    if "finished" in record:
        return calendar.timegm(time.strptime(record["finished"], "%Y-%m-%dT%H:%M:%SZ"))
    return path.joinpath("history.csv").stat().st_mtime


def _content(events: Iterable[dict[str, Any]]) -> bytes:
    """Return the content of an event file; each event is the fields of its message."""
    from tensorboard.compat.proto import event_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

    file = io.BytesIO()
    records = RecordWriter(file)
    for fields in events:
        records.write(event_pb2.Event(**fields).SerializeToString(deterministic=True))
    return file.getvalue()


def _events(row: Mapping[Any, Any], epochs: pd.DataFrame, ended: float) -> Iterator[dict[str, Any]]:
    """Yield the events of a run, in the order of their times."""
    times = ended - epochs["seconds"].sum() + epochs["seconds"].cumsum()
    started = times.iloc[0] - epochs["seconds"].iloc[0]
    yield {"wall_time": started, "file_version": "brain.Event:2"}
    yield {"wall_time": started, "summary": _session_start(row, started)}
    for at, epoch in zip(times, epochs.to_dict("records")):
        values = {name: epoch[name] for name in _PER_EPOCH}
        yield {"wall_time": at, "step": epoch["epoch"], "summary": _scalars(values)}
    # A diverged run has none.
    final = {name: row[name] for name in _AT_THE_END if pd.notna(row[name])}
    if final:
        last = int(epochs["epoch"].iloc[-1])
        yield {"wall_time": ended, "step": last, "summary": _scalars(final)}
    if row["status"] in (*DONE, "failed"):
        yield {"wall_time": ended, "summary": _session_end(row["status"], ended)}


def _scalars(values: dict[str, float]) -> dict[str, Any]:
    return {"value": [{"tag": tag, "simple_value": value} for tag, value in values.items()]}


def _session_start(row: Mapping[Any, Any], started: float) -> dict[str, Any]:
    from tensorboard.plugins.hparams import metadata

    settings = {name: row[name] for name in _HYPERPARAMETERS}
    settings["limit"] = "all" if pd.isna(row["limit"]) else str(int(row["limit"]))
    info = {"hparams": settings, "group_name": row["run"], "start_time_secs": started}
    return _session(metadata.SESSION_START_INFO_TAG, session_start_info=info)


def _session_end(status: str, ended: float) -> dict[str, Any]:
    from tensorboard.plugins.hparams import metadata

    result = "STATUS_FAILURE" if status == "failed" else "STATUS_SUCCESS"
    info = {"status": result, "end_time_secs": ended}
    return _session(metadata.SESSION_END_INFO_TAG, session_end_info=info)


def _session(tag: str, **data: dict[str, Any]) -> dict[str, Any]:
    """Return the summary that holds this message of TensorBoard's HPARAMS plug-in.

    The plug-in's own `session_start_pb` serializes its settings in another order in each process
    and imports TensorFlow.
    """
    from google.protobuf.json_format import ParseDict
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    message = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION)
    content = ParseDict(data, message).SerializeToString(deterministic=True)
    plugin = {"plugin_name": metadata.PLUGIN_NAME, "content": content}
    value = {"tag": tag, "metadata": {"plugin_data": plugin}, "tensor": metadata.NULL_TENSOR}
    return {"value": [value]}
