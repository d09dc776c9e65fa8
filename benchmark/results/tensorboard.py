"""Event files for TensorBoard, written from the recorded tables."""

import calendar
import contextlib
import io
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.errors import RequestError
from benchmark.results.folder import Store
from benchmark.results.formats import write_atomic
from benchmark.results.schema import DONE, SETTINGS

FOLDER = "tensorboard"
# TensorBoard wants "tfevents" in it. One name: written again, a file replaces itself.
_FILE = "events.out.tfevents.benchmark"
_PER_EPOCH = ("loss", "accuracy", "val_loss", "val_accuracy")
_AT_THE_END = ("test_loss", "test_accuracy")
_HYPERPARAMETERS = (
    *("dataset", "model", "activation", "optimizer", "learning_rate", "loss_function", "seed"),
    *SETTINGS,
    "purpose",
)


def check() -> None:
    """See that TensorBoard's file format is at hand; it is an optional dependency.

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
    """Write one event file per run that has epochs, in place of those of before.

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
            (folder / run).mkdir(parents=True, exist_ok=True)
            write_atomic(folder / run / _FILE, _events(row, epochs[run], _ended(store, run)))
    for path in folder.glob(f"*/{_FILE}"):
        if path.parent.name not in epochs:
            path.unlink()
            # Whatever else is there is not of here.
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


def _events(row: dict[str, Any], epochs: pd.DataFrame, ended: float) -> bytes:
    """Return the content of a run's file."""
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

    file = io.BytesIO()
    records = RecordWriter(file)

    def add(at: float, step: int = 0, **content: Any) -> None:
        event = event_pb2.Event(wall_time=at, step=step, **content)
        records.write(event.SerializeToString(deterministic=True))

    def scalars(values: dict[str, float]) -> Any:
        pairs = [{"tag": tag, "simple_value": value} for tag, value in values.items()]
        return summary_pb2.Summary(value=[summary_pb2.Summary.Value(**pair) for pair in pairs])

    times = ended - epochs["seconds"].sum() + epochs["seconds"].cumsum()
    started = times.iloc[0] - epochs["seconds"].iloc[0]
    add(started, file_version="brain.Event:2")
    add(started, summary=_session_start(row, started))
    for at, epoch in zip(times, epochs.to_dict("records")):
        values = {name: epoch[name] for name in _PER_EPOCH}
        add(at, epoch["epoch"], summary=scalars(values))
    # A diverged run has none.
    final = {name: row[name] for name in _AT_THE_END if pd.notna(row[name])}
    if final:
        add(ended, int(epochs["epoch"].iloc[-1]), summary=scalars(final))
    if row["status"] in (*DONE, "failed"):
        add(ended, summary=_session_end(row["status"], ended))
    return file.getvalue()


def _session_start(row: dict[str, Any], started: float) -> Any:
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    info = plugin_data_pb2.SessionStartInfo(group_name=row["run"], start_time_secs=started)
    for name in _HYPERPARAMETERS:
        value = row[name]
        if name == "limit":
            info.hparams[name].string_value = "all" if pd.isna(value) else str(int(value))
        elif isinstance(value, bool):
            info.hparams[name].bool_value = value
        elif isinstance(value, str):
            info.hparams[name].string_value = value
        else:
            info.hparams[name].number_value = value
    data = plugin_data_pb2.HParamsPluginData(session_start_info=info)
    return _hyperparameters(metadata.SESSION_START_INFO_TAG, data)


def _session_end(status: str, ended: float) -> Any:
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    result = api_pb2.STATUS_FAILURE if status == "failed" else api_pb2.STATUS_SUCCESS
    info = plugin_data_pb2.SessionEndInfo(status=result, end_time_secs=ended)
    data = plugin_data_pb2.HParamsPluginData(session_end_info=info)
    return _hyperparameters(metadata.SESSION_END_INFO_TAG, data)


def _hyperparameters(tag: str, data: Any) -> Any:
    """Return the summary that holds this message of TensorBoard's plug-in for hyperparameters."""
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.hparams import metadata

    data.version = metadata.PLUGIN_DATA_VERSION
    about = summary_pb2.SummaryMetadata.PluginData(
        plugin_name=metadata.PLUGIN_NAME,
        # In a fixed order, unlike the plug-in's own helper: the same settings, the same bytes.
        content=data.SerializeToString(deterministic=True),
    )
    value = summary_pb2.Summary.Value(
        tag=tag,
        metadata=summary_pb2.SummaryMetadata(plugin_data=about),
        tensor=metadata.NULL_TENSOR,
    )
    return summary_pb2.Summary(value=[value])
