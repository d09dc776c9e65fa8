"""The checkpoint of a run: its epochs so far and its arrays, in one file with a digest."""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.results.formats import read_file, write_atomic

_DIGEST_BYTES = 32
# Of each epoch.
_METRICS = ("loss", "accuracy", "binary_accuracy")
_NUMBERS = (*_METRICS, *(f"val_{name}" for name in _METRICS), "seconds")


def write(path: Path, rows: list[dict[str, Any]], arrays: list[np.ndarray]) -> None:
    """Write rows and arrays as one file: they are always of the same epoch."""
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(rows).encode(), np.uint8)
    named: dict[str, Any] = {f"array_{i}": array for i, array in enumerate(arrays)}
    np.savez(buffer, rows=text, **named)
    content = buffer.getvalue()
    write_atomic(path, hashlib.sha256(content).digest() + content)


def read(path: Path) -> tuple[list[dict[str, Any]], list[np.ndarray]] | None:
    """Return rows and arrays, or None if there is no checkpoint, or none that is whole."""
    try:
        data = read_file(path)
    except OSError:
        return None
    digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        return None
    try:
        return _unpacked(content)
    except Exception:
        # What is no checkpoint raises almost anything.
        return None


def _unpacked(content: bytes) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """Return the rows and the arrays of a checkpoint.

    Raises:
        Exception: of almost any kind, where it is none.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        # `write` does not compress, and what is compressed could be of any size.
        if sum(member.file_size for member in archive.infolist()) > len(content):
            raise ValueError("more than the file holds")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        rows = json.loads(archive["rows"].tobytes())
        arrays = [archive[f"array_{i}"] for i in range(len(archive.files) - 1)]
    for epoch, row in enumerate(rows, start=1):
        if row["epoch"] != epoch or not all(isinstance(row[name], float) for name in _NUMBERS):
            raise ValueError("rows that are no epochs")
    return rows, arrays
