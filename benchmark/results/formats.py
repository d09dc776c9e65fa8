"""How files are written and read: whole or not at all, links not followed, checksums compared."""

import contextlib
import csv
import errno
import hashlib
import json
import os
import stat
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
        if path.is_dir():
            set_aside(path)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def not_a_file(path: Path) -> bool:
    """Return whether something else, or a link, lies where one of our files belongs."""
    return path.is_symlink() or path.is_dir()


def set_aside(path: Path) -> None:
    """Make room where one of our files or folders belongs: a link is removed, its target stays;
    anything else is renamed to NAME.old."""
    if path.is_symlink():
        path.unlink()
    else:
        path.rename(path.with_name(f"{path.name}.old"))


def remove(path: Path) -> None:
    """Remove one of our files if it is there; a folder in its place is set aside."""
    if path.is_dir():
        set_aside(path)
    path.unlink(missing_ok=True)


# Links are not followed, and what is no file does not block; Windows has neither flag.
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_READ |= getattr(os, "O_BINARY", 0)


def read_file(path: Path) -> bytes:
    """Return the content of a file of a results folder.

    Raises:
        OSError: it is missing, a link, or no file.
    """
    try:
        descriptor = os.open(path, _READ)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "is a link, which is not followed", str(path)) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is not a file", str(path))
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def sha256(data: bytes) -> str:
    """Return the hash as hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def matches(data: bytes, checksum: str) -> bool:
    """Return whether a text file has this checksum, perhaps before its line ends became CRLF, as
    git on Windows and spreadsheets write them."""
    if sha256(data) == checksum:
        return True
    return b"\r\n" in data and sha256(data.replace(b"\r\n", b"\n")) == checksum


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
        data = read_file(path)
        record = json.loads(data)
        checksum = record.pop("seal")
        intact = checksum == _checksum(record)
        # JSON can spell halves of characters, which no file can hold.
        if b"\\ud" in data.lower():
            json.dumps(record, ensure_ascii=False).encode()
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None
    return record if intact else None
