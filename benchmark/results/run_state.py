"""Whether a run is whole: its record sealed and of the right form, its files those of the record.

Every reader of runs asks here: the tables, the report, `status`, `merge`, and a command that looks
for what is done. What is not whole is not believed, whoever wrote it.
"""

import csv
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import one_line
from benchmark.results import checkpoint
from benchmark.results.formats import csv_text, matches, read_file, read_record
from benchmark.results.predictions import COLUMNS, recorded_name, unpacked
from benchmark.results.schema import DAMAGED, DONE, HISTORY_COLUMNS, UNFINISHED, spec_columns
from benchmark.training.spec import RunSpec

_HISTORY_HEADER = ",".join(HISTORY_COLUMNS).encode()
_PREDICTION_HEADER = ",".join(COLUMNS).encode() + b"\n"
_OF_NUMBERS = b"0123456789.,-+e\n"
# Possessive: many times as fast, and nothing here needs a second try.
_NUMBER = rb"(?:-?\d++(?:\.\d++)?+(?:e[+-]?\d++)?+|nan|-?inf)"
_SHARE = rb"(?:0(?:\.\d++)?+|1(?:\.0)?+|\d(?:\.\d++)?+e-\d++)"
_SECONDS = rb"\d++(?:\.\d++)?+(?:e-\d++)?+"
# Lines of epoch, loss, accuracy, val_loss, val_accuracy and seconds.
_EPOCH = rb",".join([rb"\n\d++", _NUMBER, _SHARE, _NUMBER, _SHARE, _SECONDS])
_EPOCHS = re.compile(rb"(?:" + _EPOCH + rb")*+\n")


@dataclass(frozen=True)
class RunState:
    """What the folder of a run holds.

    `status` is the record's; "unfinished" where there is none yet; "damaged" where something
    cannot be believed, which `problem` names. `history` is the text of history.csv without its
    header. Of a damaged run there is no record and no history.
    """

    status: str
    record: dict[str, Any] | None = None
    spec: RunSpec | None = None
    history: str = ""
    problem: str = ""

    @property
    def epochs(self) -> int:
        """How many epochs the history has."""
        return self.history.count("\n")


def read_run_record(folder: Path) -> tuple[dict[str, Any], RunSpec]:
    """Return run.json, and the settings in it.

    Raises:
        ValueError: there is none, or it is damaged; the message says how.
    """
    from benchmark.results.records import check_run

    record = read_record(folder / "run.json")
    if record is None:
        raise ValueError("run.json is not as the run left it")
    try:
        check_run(record)
        spec = _spec_in(record, folder.name)
    except ValueError as error:
        raise ValueError(f"run.json: {error}") from error
    if record["run"] != folder.name:
        raise ValueError(f"run.json is of another run, {record['run']}")
    return record, spec


def _spec_in(record: dict[str, Any], name: str) -> RunSpec:
    fields = RunSpec.__dataclass_fields__
    known = {key: value for key, value in record["spec"].items() if key in fields}
    spec = RunSpec(**known)
    # A setting of a later version that is at its default is not part of the name.
    if len(known) < len(record["spec"]) and spec.run != name:
        raise ValueError("there are settings that this version does not know")
    return spec


def state_of(folder: Path, spec: RunSpec | None = None) -> RunState:
    """Return what the folder of a run holds; `spec` are the settings of one without a record."""
    try:
        return _state_of(folder, spec)
    except OSError as error:
        return RunState(DAMAGED, problem=f"{Path(error.filename).name}: {one_line(error)}")
    except ValueError as error:
        return RunState(DAMAGED, problem=one_line(error))


def _state_of(folder: Path, spec: RunSpec | None) -> RunState:
    if folder.is_symlink():
        raise ValueError("its folder is a link, which is not followed")
    if not os.path.lexists(folder / "run.json"):
        return RunState(UNFINISHED, spec=spec, history=_history_so_far(folder, spec))
    record, spec = read_run_record(folder)
    if record["status"] not in DONE:
        return RunState(record["status"], record, spec, _history_so_far(folder, spec))
    history = _with_plain_ends(_intact(folder / "history.csv", record))
    state = RunState(record["status"], record, spec, _epochs(history, spec, folder.name))
    if state.epochs != record["scores"]["epochs"]:
        raise ValueError("history.csv has other epochs than run.json")
    name = recorded_name(record["checksums"])
    predictions = _with_plain_ends(unpacked(name, _intact(folder / name, record)))
    header, body = predictions[: len(_PREDICTION_HEADER)], predictions[len(_PREDICTION_HEADER) :]
    if header != _PREDICTION_HEADER or body.translate(None, _OF_NUMBERS):
        raise ValueError(f"{name} is not a table of predictions")
    return state


def _intact(path: Path, record: dict[str, Any]) -> bytes:
    """Return the content of a finished run's file.

    Raises:
        ValueError: it does not match its checksum.
    """
    data = read_file(path)
    if not matches(data, record["checksums"][path.name]):
        raise ValueError(f"{path.name} is not as the run left it")
    return data


def _with_plain_ends(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n") if b"\r" in data else data


def history_text(spec: RunSpec, run: str, rows: Iterable[Mapping[str, Any]]) -> str:
    """Return what history.csv holds of a run with these epochs."""
    settings = spec_columns(spec, run)
    return csv_text(HISTORY_COLUMNS, ({**settings, **row} for row in rows))


def _history_so_far(folder: Path, spec: RunSpec | None) -> str:
    """Return the epochs of a run that is not done: those of its checkpoint, which has a digest, or
    of history.csv where there is no whole one; none where they are damaged or not known."""
    try:
        if spec and (saved := checkpoint.read(folder / "checkpoint")):
            history = history_text(spec, folder.name, saved[0]).encode()
        else:
            history = _with_plain_ends(read_file(folder / "history.csv"))
        return _epochs(history, spec, folder.name)
    except (OSError, ValueError, csv.Error):
        return ""


def _epochs(history: bytes, spec: RunSpec | None, run: str) -> str:
    """Return history.csv without its header.

    Raises:
        ValueError: it is not the history of this run, epoch by epoch.
    """
    header, _, body = history.partition(b"\n")
    if header != _HISTORY_HEADER or (body and not body.endswith(b"\n")):
        raise ValueError("history.csv is not a table of epochs")
    if spec is None:
        first = body.partition(b"\n")[0].decode()
        cells: Mapping[str, Any] = dict(zip(HISTORY_COLUMNS, next(csv.reader([first]))))
    else:
        cells = spec_columns(spec, run)
    before, after = _around_epoch(cells)
    count, lines = body.count(b"\n"), b"\n" + body
    if not lines.count(b"\n" + before) == lines.count(after + b"\n") == count:
        raise ValueError("history.csv is of another run")
    numbers = lines.replace(after + b"\n", b"\n").replace(b"\n" + before, b"\n")
    epochs = [line.partition(b",")[0] for line in numbers.split(b"\n")[1:-1]]
    numbered = epochs == [b"%d" % epoch for epoch in range(1, count + 1)]
    if not (numbered and _EPOCHS.fullmatch(numbers)):
        raise ValueError("history.csv does not have numbers epoch by epoch")
    return body.decode()


def _around_epoch(cells: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Return what stands before and after the numbers of each epoch: settings and name."""
    columns = (*HISTORY_COLUMNS[: HISTORY_COLUMNS.index("epoch")], "epoch", "run")
    # No name has this character.
    _, line, _ = csv_text(columns, [{**cells, "epoch": "\0"}]).encode().split(b"\n")
    before, _, after = line.partition(b"\0")
    return before, after
