"""request.json: the commands that a folder's results come from, as given and as resolved."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from benchmark.errors import RequestError
from benchmark.results.formats import (
    read_file,
    read_record,
    remove,
    write_atomic,
    write_record,
)

if TYPE_CHECKING:
    from benchmark.results.folder import Store
    from benchmark.training.request import Request
    from benchmark.training.spec import RunSpec

FILE = "request.json"
COMPARE, EXPERIMENTS = "compare", "experiments"
# The words of the shell command at work, None where Python calls.
_words: ContextVar[list[str] | None] = ContextVar("words", default=None)


@contextlib.contextmanager
def asked_as(words: Sequence[str]) -> Iterator[None]:
    """Record requests as these words of a shell command instead of a call's arguments."""
    token = _words.set(list(words))
    try:
        yield
    finally:
        _words.reset(token)


@contextlib.contextmanager
def recorded(
    store: "Store", command: str, given: Mapping[str, Any], resolved: Mapping[str, Any]
) -> Iterator[None]:
    """Record a request while it is carried out; one that turns out wrong leaves no trace."""
    path = store.path / FILE
    try:
        before = read_file(path)
    except OSError:
        before = None
    write(store, command, given, resolved)
    try:
        yield
    except RequestError:
        if before is None:
            remove(path)
        else:
            write_atomic(path, before)
        raise


def write(
    store: "Store", command: str, given: Mapping[str, Any], resolved: Mapping[str, Any]
) -> None:
    """Add a request to the folder's request.json, after those whose results stay in the folder.

    A comparison replaces the one before; experiments replace requests for none but the same.

    Args:
        store: the folder.
        command: `COMPARE` or `EXPERIMENTS`.
        given: arguments of the call; those that are None or empty count as not given. In a shell
            command its words are recorded instead.
        resolved: every setting with its value; of experiments by their names.
    """
    words = _words.get()
    arguments = {name: _plain(value) for name, value in given.items()}
    arguments = {name: value for name, value in arguments.items() if value not in (None, [])}
    request = {
        "command": command,
        "given": {"arguments": arguments} if words is None else {"words": words},
        "resolved": {name: _plain(value) for name, value in resolved.items()},
    }
    earlier = [old for old in read(store) if not _replaces(request, old)]
    write_record(store.path / FILE, {"requests": [*earlier, request]})


def read(store: "Store") -> list[dict[str, Any]]:
    """Return the requests of a folder, the oldest first; none where the file is missing, damaged
    or not of this project.

    Each has `command`, `resolved`, and `given`, which holds `words` (of a shell command) or
    `arguments` (of a Python call, by name).
    """
    record = read_record(store.path / FILE) or {}
    requests = record.get("requests")
    whole = isinstance(requests, list) and all(map(_is_request, requests))
    return requests if whole and requests else []


def of_comparison(wanted: "Request", specs: "Sequence[RunSpec]", baseline: str) -> dict[str, Any]:
    """Return every setting of a comparison, those that the preset decided included."""
    final = [spec for spec in specs if spec.seed not in wanted.tune_seeds]
    first = final[0]
    return {
        **dataclasses.asdict(wanted),
        "seeds": list(dict.fromkeys(spec.seed for spec in final)),
        "loss": list(dict.fromkeys(spec.loss for spec in final)),
        **{
            name: getattr(first, name)
            for name in ("epochs", "validation", "dataset", "data_sha256", "device")
        },
        "baseline": baseline,
    }


def _replaces(new: dict[str, Any], old: dict[str, Any]) -> bool:
    if new["command"] != old["command"]:
        return False
    return new["command"] == COMPARE or set(old["resolved"]) <= set(new["resolved"])


def _is_request(value: Any) -> bool:
    if not isinstance(value, dict) or value.get("command") not in (COMPARE, EXPERIMENTS):
        return False
    given = value.get("given")
    if not isinstance(given, dict) or not isinstance(value.get("resolved"), dict):
        return False
    words = given.get("words")
    if isinstance(words, list):
        return bool(words) and all(isinstance(word, str) for word in words)
    return isinstance(given.get("arguments"), dict)


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it: paths and objects as texts, sequences as lists."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)
