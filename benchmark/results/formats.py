"""How files are written: CSV cells, whole or not at all, records sealed with a hash."""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

_to_be_quoted = re.compile('[,"\r\n]').search


def cell(value: Any) -> str:
    """Return a CSV cell: empty for None, else the shortest text that reads back exactly."""
    if value is None:
        return ""
    # In NumPy's own text a float32 is as short as a float32 needs.
    if isinstance(value, np.floating):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    text = str(value)
    if _to_be_quoted(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def csv_text(columns: Iterable[str], rows: Iterable[dict[str, Any]]) -> str:
    """Return the CSV text of the rows, with a header; missing keys are empty cells."""
    columns = list(columns)
    lines = [",".join(columns)]
    lines += [",".join(cell(row.get(column)) for column in columns) for row in rows]
    return "\n".join(lines) + "\n"


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file so that at any moment it is either the old one or the new one, whole."""
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def sha256(data: bytes) -> str:
    """Return the hash as hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _seal(record: dict[str, Any]) -> str:
    return sha256(json.dumps(record, sort_keys=True).encode())


def write_sealed(path: Path, record: dict[str, Any]) -> None:
    """Write a record as JSON, sealed with a hash of itself."""
    # Through JSON and back, so that the seal is of what a reader will see.
    record = json.loads(json.dumps(record))
    text = json.dumps({**record, "seal": _seal(record)}, indent=1)
    write_atomic(path, text + "\n")


def read_sealed(path: Path) -> dict[str, Any] | None:
    """Return a record without its seal, or None if there is none or it is damaged."""
    try:
        record = json.loads(path.read_bytes())
        seal = record.pop("seal")
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    return record if seal == _seal(record) else None
