"""How files are written: CSV cells, whole or not at all, records with a checksum."""

import contextlib
import csv
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


class _Lines(list[str]):
    """What `csv.writer` writes to, a line at a time."""

    write = list.append


def csv_text(columns: Iterable[str], rows: Iterable[Mapping[Any, Any]]) -> str:
    """Return the CSV text of the rows, with a header; missing keys and None are empty cells.

    Floats are in the shortest form that reads back exactly; a float32 as short as it needs.
    """
    columns = list(columns)
    lines = _Lines()
    # Before Python 3.13, a carriage return is quoted only if it is part of the line terminator.
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([row.get(column) for column in columns] for row in rows)
    return "".join(line[:-2] + "\n" for line in lines)


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


def _checksum(record: dict[str, Any]) -> str:
    return sha256(json.dumps(record, sort_keys=True).encode())


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record as JSON, with a checksum of itself under "seal"."""
    # Through JSON and back, so that the checksum is of what a reader will see.
    record = json.loads(json.dumps(record))
    text = json.dumps({**record, "seal": _checksum(record)}, indent=1)
    write_atomic(path, text + "\n")


def read_record(path: Path) -> dict[str, Any] | None:
    """Return a record without its checksum, or None if there is none or it is damaged."""
    try:
        record = json.loads(path.read_bytes())
        checksum = record.pop("seal")
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    return record if checksum == _checksum(record) else None
