"""Reading the files that datasets come in: `.npz` and folders of IDX files, gzipped or not."""

import gzip
import math
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from benchmark.data.catalogue import ARRAYS
from benchmark.errors import RequestError, one_line

IDX_FILES = {
    "x_train": ("train-images-idx3-ubyte", "train-images.idx3-ubyte"),
    "y_train": ("train-labels-idx1-ubyte", "train-labels.idx1-ubyte"),
    "x_test": ("t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte"),
    "y_test": ("t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte"),
}
_IDX_UNSIGNED_BYTE = 8
_GZIP_MAGIC = b"\x1f\x8b"


def find_idx_file(folder: str, array: str) -> str | None:
    """Return the path of one of `ARRAYS` as an IDX file in this folder, or None."""
    for name in IDX_FILES[array]:
        for ending in ("", ".gz"):
            if os.path.lexists(path := os.path.join(folder, name + ending)):
                return path
    return None


def data_error(source: str, problem: str) -> RequestError:
    """Return the error for a data file that is not what it should be."""
    return RequestError(f"data file {source!r}: {problem}")


def read_npz(path: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays, and for each the file it came from."""
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("it is not a zip archive, or one cut short")
            file.seek(0)
            with np.load(file, allow_pickle=False) as content:
                arrays = {name: content[name] for name in ARRAYS if name in content}
    except Exception as error:
        # A damaged zip archive raises almost anything.
        problem = f"cannot be read as .npz without pickled objects: {one_line(error)}"
        raise data_error(path, problem) from error
    if missing := [name for name in ARRAYS if not isinstance(arrays.get(name), np.ndarray)]:
        raise data_error(path, f"has no array {', '.join(missing)}; expected {', '.join(ARRAYS)}")
    return arrays, dict.fromkeys(ARRAYS, path)


def read_idx_folder(folder: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays, and for each the file it came from."""
    sources = {}
    for array, names in IDX_FILES.items():
        path = find_idx_file(folder, array)
        if path is None:
            raise RequestError(f"data folder {folder!r} has no {names[0]}, gzipped or not")
        sources[array] = path
    return {array: _read_idx(path) for array, path in sources.items()}, sources


def _read_idx(path: str) -> np.ndarray:
    """Return the array in an IDX file: two zero bytes, type, rank, sizes, then the values."""
    try:
        raw = Path(path).read_bytes()
        # Told by the content, since some programs unpack a file and leave its name.
        if raw.startswith(_GZIP_MAGIC):
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise data_error(path, f"cannot be read: {one_line(error)}") from error
    if len(raw) < 4 or raw[:2] != b"\0\0":
        raise data_error(path, "is not an IDX file, which begins with two zero bytes")
    kind, rank = raw[2], raw[3]
    if kind != _IDX_UNSIGNED_BYTE:
        raise data_error(path, f"holds IDX type {kind}, expected 8 (uint8)")
    start = 4 + 4 * rank
    if len(raw) < start:
        raise data_error(path, f"ends inside its header, expected {start} bytes of it")
    shape = struct.unpack(f">{rank}I", raw[4:start])
    if len(raw) - start != math.prod(shape):
        problem = f"holds {len(raw) - start} values, expected {math.prod(shape)} as its header says"
        raise data_error(path, problem)
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)
