"""Reading the files that datasets come in: `.npz` and folders of IDX files, gzipped or not."""

import gzip
import math
import os
import struct
import tempfile
import zipfile
import zlib
from typing import IO, Any

import numpy as np

from benchmark.data.catalogue import DatasetInfo
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


def read_npz(entry: DatasetInfo, path: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays, and for each the file it came from.

    Nothing is unpacked before its header promises the type and shape that the catalogue has.
    """
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("it is not a zip archive, or one cut short")
            with zipfile.ZipFile(file) as archive:
                members = set(archive.namelist())
                missing = [name for name in entry.arrays if f"{name}.npy" not in members]
                names = [] if missing else entry.arrays
                arrays = {name: _read_npy(entry, path, archive, name) for name in names}
    except RequestError:
        raise
    except Exception as error:
        # A damaged zip archive raises almost anything.
        problem = f"cannot be read as .npz without pickled objects: {one_line(error)}"
        raise data_error(path, problem) from error
    if missing:
        expected = ", ".join(entry.arrays)
        raise data_error(path, f"has no array {', '.join(missing)}; expected {expected}")
    return arrays, dict.fromkeys(entry.arrays, path)


def write_npz(arrays: dict[str, Any], path: str) -> None:
    """Write the arrays so that the file is never there in part.

    Raises:
        OSError: it cannot be written.
    """
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        whole = os.path.join(temporary, "arrays.npz")
        np.savez_compressed(whole, **arrays)
        os.replace(whole, path)


def _read_npy(entry: DatasetInfo, path: str, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        readers = {(1, 0): np.lib.format.read_array_header_1_0}
        read_header = readers.get(version, np.lib.format.read_array_header_2_0)
        shape, _, dtype = read_header(member)
    if dtype.hasobject:
        raise ValueError("object arrays are pickled")
    check_form(entry, path, name, dtype, shape)
    with archive.open(f"{name}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def check_form(
    entry: DatasetInfo, source: str, array: str, dtype: np.dtype, shape: tuple[int, ...]
) -> None:
    """Check type and shape of an array against the catalogue.

    Raises:
        RequestError: they are others; names the file.
    """
    expected_dtype, expected_shape = entry.form(array)
    if dtype != expected_dtype:
        raise data_error(source, f"{array} is {dtype}, expected {expected_dtype}")
    if shape != expected_shape:
        raise data_error(source, f"{array} has shape {shape}, expected {expected_shape}")


def read_idx_folder(
    entry: DatasetInfo, folder: str
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays, and for each the file it came from."""
    sources = {}
    for array, names in IDX_FILES.items():
        path = find_idx_file(folder, array)
        if path is None:
            raise RequestError(f"data folder {folder!r} has no {names[0]}, gzipped or not")
        sources[array] = path
    return {array: _read_idx(entry, path, array) for array, path in sources.items()}, sources


def _read_idx(entry: DatasetInfo, path: str, array: str) -> np.ndarray:
    """Return the array in an IDX file: two zero bytes, type, rank, sizes, then the values."""
    try:
        with open(path, "rb") as file:
            # Told by the content, since some programs unpack a file and leave its name.
            packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            file.seek(0)
            with gzip.open(file) if packed else file as content:
                return _idx_array(entry, path, array, content)
    except (OSError, EOFError, zlib.error) as error:
        raise data_error(path, f"cannot be read: {one_line(error)}") from error


def _idx_array(
    entry: DatasetInfo, path: str, array: str, content: IO[bytes] | gzip.GzipFile
) -> np.ndarray:
    start = content.read(4)
    if len(start) < 4 or start[:2] != b"\0\0":
        raise data_error(path, "is not an IDX file, which begins with two zero bytes")
    kind, rank = start[2:]
    if kind != _IDX_UNSIGNED_BYTE:
        raise data_error(path, f"holds IDX type {kind}, expected {_IDX_UNSIGNED_BYTE} (uint8)")
    sizes = content.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise data_error(path, f"ends inside its header, expected {4 + 4 * rank} bytes of it")
    shape = struct.unpack(f">{rank}I", sizes)
    check_form(entry, path, array, np.dtype(np.uint8), shape)
    count = math.prod(shape)
    # One value more than there should be is enough to know that there are too many.
    values = content.read(count + 1)
    if len(values) != count:
        held = f"{len(values)} values" if len(values) < count else "more values"
        raise data_error(path, f"holds {held}, expected {count} as its header says")
    return np.frombuffer(values, np.uint8).reshape(shape)
