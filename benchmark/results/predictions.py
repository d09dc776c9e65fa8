"""A run's predictions of the test examples as a file: compressed CSV, which pandas reads as it is.

Columns: `index` of the example, its `true` and its `predicted` class, and the `probability` of the
latter to 4 digits. Equal predictions are equal files.
"""

import gzip
import io
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from benchmark.results.formats import csv_text, read_file

NAME = "predictions.csv.gz"
# As earlier versions left it: not compressed, with every digit of the probability.
OLDER_NAME = "predictions.csv"
COLUMNS = ("index", "true", "predicted", "probability")
_DIGITS = 4
_LEVEL = 6
# What is compressed could be of any size. This is enough for millions of examples.
_MOST_BYTES = 10**8
# Of zlib: a gzip header and its checksum.
_GZIP = 31


def packed(true: np.ndarray, predicted: np.ndarray, probability: np.ndarray) -> bytes:
    """Return the file of these predictions, each argument of shape (n,)."""
    values = zip(true.tolist(), predicted.tolist(), probability)
    table = csv_text(COLUMNS, (dict(zip(COLUMNS, (i, *row))) for i, row in enumerate(values)))
    file = io.BytesIO()
    with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as archive:
        archive.write(rounded(table.encode()))
    return file.getvalue()


def rounded(table: bytes) -> bytes:
    """Return a table of predictions with probabilities to 4 digits."""
    header, *rows = table.decode().splitlines()
    cells = (row.rpartition(",") for row in rows)
    lines = (f"{before},{_short(share)}" for before, _, share in cells)
    return "".join(f"{line}\n" for line in (header, *lines)).encode()


def _short(cell: str) -> str:
    try:
        return str(round(float(cell), _DIGITS))
    except ValueError:
        # Of a table that no run has left.
        return cell


def recorded_name(checksums: Collection[str]) -> str:
    """Return the name of the predictions' file of a run that left files of these names."""
    return NAME if NAME in checksums else OLDER_NAME


def unpacked(name: str, content: bytes) -> bytes:
    """Return the table in a file of this name.

    Raises:
        ValueError: it is not compressed as a run does it, or is too large.
    """
    if name != NAME:
        return content
    archive = zlib.decompressobj(_GZIP)
    try:
        table = archive.decompress(content, _MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"{name} cannot be unpacked ({error})") from error
    if not archive.eof or archive.unused_data:
        raise ValueError(f"{name} cannot be unpacked: it is not one whole archive")
    return table


def read(folder: Path, checksums: Collection[str]) -> bytes:
    """Return the table of predictions in the folder of a run that left files of these names.

    Raises:
        OSError: it is missing, a link, or no file.
        ValueError: it is not compressed as a run does it, or is too large.
    """
    name = recorded_name(checksums)
    return unpacked(name, read_file(folder / name))
