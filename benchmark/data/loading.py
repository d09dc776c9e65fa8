"""The catalogue of datasets: find or fetch, verify, split; NumPy arrays out.

To add a dataset, add an entry to `CATALOGUE`. The hash in it is of pixels and labels, so that the
same data count as the same in whatever container they come; where it differs, the error of `load`
gives the hash found.
"""

import functools
import gzip
import hashlib
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.data import downloads
from benchmark.data.downloads import Download
from benchmark.errors import RequestError, one_line, unknown

# Where system packages put datasets (Debian's dataset-fashion-mnist, for one).
SYSTEM_FOLDER = "/usr/share/datasets"

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
IDX_FILES = {
    "x_train": ("train-images-idx3-ubyte", "train-images.idx3-ubyte"),
    "y_train": ("train-labels-idx1-ubyte", "train-labels.idx1-ubyte"),
    "x_test": ("t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte"),
    "y_test": ("t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte"),
}
_IDX_UNSIGNED_BYTE = 8
_GZIP_MAGIC = b"\x1f\x8b"
_SMALLEST_LIMIT = 10


@dataclass(frozen=True)
class Entry:
    """What is known of a dataset before it is read.

    `subfolders` and `npz_files` are the names looked for in a folder; IDX files have the same
    names in every dataset. `bundled` reads a dataset that comes inside a Python package.
    """

    name: str
    sha256: str
    n_train: int
    n_test: int
    image_shape: tuple[int, int]
    scale: float = 255.0
    classes: int = 10
    subfolders: tuple[str, ...] = ()
    npz_files: tuple[str, ...] = ()
    cache_folder: str = ""
    downloads: tuple[Download, ...] = ()
    bundled: Callable[[], dict[str, np.ndarray]] | None = None

    def shape(self, array: str) -> tuple[int, ...]:
        """Return the shape that one of `ARRAYS` has in its file."""
        count = self.n_train if array.endswith("train") else self.n_test
        return (count, *self.image_shape) if array.startswith("x") else (count,)


@dataclass(frozen=True)
class Located:
    """Where a dataset was found; small, so that it can be sent to the workers that load it.

    `path` is an `.npz` file or a folder of IDX files; it is empty for scikit-learn. `note` is a
    sentence for the user where the choice needs saying, else empty.
    """

    name: str
    origin: str
    path: str
    note: str = ""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A verified dataset; its arrays are read-only.

    `x_train` and `x_test` are uint8 (n, height, width, 1), `y_train` and `y_test` uint8 (n,).
    `sha256` is that of pixels and labels; `scale` is what pixels are divided by.
    """

    name: str
    origin: str
    path: str
    sha256: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    scale: float
    classes: int


@dataclass(frozen=True, eq=False)
class Split:
    """Training, validation and test parts, with shapes and types as in `Dataset`."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    scale: float
    classes: int


def _read_digits() -> dict[str, np.ndarray]:
    """Return scikit-learn's digits, which have no test set: the last 360 images become it."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    return {"x_train": x[:-360], "y_train": y[:-360], "x_test": x[-360:], "y_test": y[-360:]}


_ENTRIES = (
    Entry(
        name="mnist",
        sha256="a01671389766172d0fe3c6ce94e27aea68db16480c3e1dda5bb946a18204cf3b",
        n_train=60000,
        n_test=10000,
        image_shape=(28, 28),
        subfolders=("mnist",),
        npz_files=("mnist.npz",),
        downloads=(
            Download(
                "mnist.npz",
                "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
                11490434,
            ),
        ),
    ),
    Entry(
        name="fashion_mnist",
        sha256="9ada4c58fe1add22709fb509731f7f78d61f0ee1c98e67bf5a36588531fdd3b6",
        n_train=60000,
        n_test=10000,
        image_shape=(28, 28),
        subfolders=("fashion_mnist", "fashion-mnist"),
        npz_files=("fashion_mnist.npz", "fashion-mnist.npz"),
        cache_folder="fashion-mnist",
        # Hashes of the files as first published (their MD5s are known). Debian's hold the same
        # bytes under another gzip header.
        downloads=(
            Download(
                "train-labels-idx1-ubyte.gz",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                29515,
            ),
            Download(
                "train-images-idx3-ubyte.gz",
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                26421880,
            ),
            Download(
                "t10k-labels-idx1-ubyte.gz",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                5148,
            ),
            Download(
                "t10k-images-idx3-ubyte.gz",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                4422102,
            ),
        ),
    ),
    Entry(
        name="digits",
        sha256="01bd08f6a33f29015536d0632a525bceb680a3832f5ef4ff8dc19c9706950a69",
        n_train=1437,
        n_test=360,
        image_shape=(8, 8),
        scale=16.0,
        bundled=_read_digits,
    ),
)
CATALOGUE: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}
NAMES: tuple[str, ...] = tuple(CATALOGUE)


def locate(name: str, data_dir: str | Path | None = None) -> Located:
    """Find a dataset, downloading it if need be, and verify it.

    Looks in Keras's cache, where system packages put data, in this project's own cache and on the
    network; a damaged file in any of these is passed over. `auto` is MNIST, or `digits` where
    MNIST cannot be had.

    Args:
        name: one of `NAMES`, or `auto`.
        data_dir: a folder with the data. When given, nothing else is looked at. A dataset that
            comes inside scikit-learn needs no folder and ignores it.

    Raises:
        RequestError: if there is no such dataset, if it is missing from the given folder or
            damaged there, or if it can be neither found nor downloaded.
    """
    check_name(name)
    # What an earlier call read may have changed on disk since.
    load.cache_clear()
    entry = CATALOGUE["mnist" if name == "auto" else name]
    if entry.bundled:
        return Located(entry.name, "scikit-learn", "")
    if data_dir is not None:
        return _in_given_folder(entry, data_dir)
    located, damaged = _on_this_machine(entry)
    if located:
        return located
    try:
        return _download(entry, note=" ".join(damaged))
    except downloads.DownloadError as error:
        reason = str(error)
    if name == "auto":
        sentence = (
            f"MNIST is not on this machine and could not be downloaded ({reason});"
            " using digits from scikit-learn instead."
        )
        return Located("digits", "scikit-learn", "", note=" ".join([*damaged, sentence]))
    files = ", ".join(file.name for file in entry.downloads)
    looked = ", ".join(repr(folder) for _, folder in _places())
    sentence = (
        f"{name} is not on this machine (looked in {looked}) and could not be downloaded from"
        f" {downloads.DOWNLOAD_ADDRESS} ({reason}): put {files} in a folder and pass"
        " --data-dir FOLDER"
    )
    raise RequestError(". ".join([sentence, *damaged]))


def check_name(name: str) -> None:
    """Check the name of a dataset, "auto" included.

    Raises:
        RequestError: there is no such dataset.
    """
    if name not in ("auto", *CATALOGUE):
        raise unknown("dataset", name, ("auto", *CATALOGUE))


def whereabouts(name: str, data_dir: str | Path | None = None) -> str:
    """Return one line on where a dataset would come from; nothing is downloaded."""
    entry = _entry(name)
    if entry.bundled:
        return "comes with scikit-learn"
    try:
        located = _on_this_machine(entry)[0] if data_dir is None else locate(name, data_dir)
    except RequestError as error:
        return str(error)
    if located is None:
        return f"not on this machine; to be downloaded from {downloads.DOWNLOAD_ADDRESS}"
    return f"{located.origin}, {located.path!r}"


@functools.lru_cache(maxsize=1)
def load(located: Located) -> Dataset:
    """Read and verify a dataset: container, names, dtypes, shapes, label range, then the hash.

    Pickled objects are never read. The latest dataset is kept in memory, for repeated calls.

    Raises:
        RequestError: if a file is missing or is not what it should be; names the file.
    """
    entry = _entry(located.name)
    if entry.bundled:
        arrays, sources = entry.bundled(), dict.fromkeys(ARRAYS, "scikit-learn's " + entry.name)
    elif os.path.isdir(located.path):
        arrays, sources = _read_idx_folder(located.path)
    else:
        arrays, sources = _read_npz(located.path)
    sha256 = _verify(entry, arrays, sources, located.path or entry.name)
    for array in arrays.values():
        array.setflags(write=False)
    return Dataset(
        name=entry.name,
        origin=located.origin,
        path=located.path,
        sha256=sha256,
        x_train=arrays["x_train"][..., np.newaxis],
        y_train=arrays["y_train"],
        x_test=arrays["x_test"][..., np.newaxis],
        y_test=arrays["y_test"],
        scale=entry.scale,
        classes=entry.classes,
    )


def split(dataset: Dataset, validation: str = "holdout", limit: int | None = None) -> Split:
    """Split off the validation set, as views of the dataset's arrays.

    Args:
        dataset: what to split.
        validation: `holdout` is the last 20 % of the training examples, cut where Keras's
            `validation_split` cuts; `test` is the test set, and all training examples train.
        limit: keep the first so many training examples, from which the validation set is taken.

    Raises:
        RequestError: if `validation` is unknown, or `limit` is below 10 or more than there are.
    """
    if validation not in ("holdout", "test"):
        raise unknown("validation", validation, ("holdout", "test"))
    count = len(dataset.x_train)
    if limit is not None and not _SMALLEST_LIMIT <= limit <= count:
        raise RequestError(
            f"limit {limit!r} is not between {_SMALLEST_LIMIT} and {count},"
            f" the number of training examples of {dataset.name}"
        )
    x, y = dataset.x_train[:limit], dataset.y_train[:limit]
    if validation == "test":
        x_val, y_val = dataset.x_test, dataset.y_test
    else:
        cut = len(x) * 4 // 5
        x, x_val = x[:cut], x[cut:]
        y, y_val = y[:cut], y[cut:]
    return Split(
        x_train=x,
        y_train=y,
        x_val=x_val,
        y_val=y_val,
        x_test=dataset.x_test,
        y_test=dataset.y_test,
        scale=dataset.scale,
        classes=dataset.classes,
    )


def _entry(name: str) -> Entry:
    if name not in CATALOGUE:
        raise unknown("dataset", name, CATALOGUE)
    return CATALOGUE[name]


# Finding


def _cache_folder() -> str:
    import pooch

    chosen = os.environ.get("BENCHMARK_CACHE_DIR")
    return os.path.abspath(os.path.expanduser(chosen or pooch.os_cache("activation-benchmark")))


def _places() -> list[tuple[str, str]]:
    """Return the origins and folders to look in, in this order."""
    keras_home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    return [
        ("Keras cache", os.path.abspath(os.path.join(keras_home, "datasets"))),
        ("system package", SYSTEM_FOLDER),
        ("download", _cache_folder()),
    ]


def _in_given_folder(entry: Entry, data_dir: str | Path) -> Located:
    if not str(data_dir):
        raise RequestError("the name of the data folder is empty: pass --data-dir FOLDER")
    folder = os.path.abspath(os.path.expanduser(data_dir))
    try:
        os.listdir(folder)
    except (OSError, ValueError) as error:
        raise RequestError(f"data folder {folder!r} cannot be read: {one_line(error)}") from None
    path = next(_candidates(folder, entry), None)
    if path is None:
        idx = ", ".join(names[0] for names in IDX_FILES.values())
        raise RequestError(
            f"data folder {folder!r} holds no {entry.name}: expected {' or '.join(entry.npz_files)}"
            f" or {idx} (gzipped or not), there or in a subfolder {' or '.join(entry.subfolders)}"
        )
    located = Located(entry.name, "given folder", path)
    load(located)
    return located


def _on_this_machine(entry: Entry) -> tuple[Located | None, list[str]]:
    """Return the first sound copy, if any, and a sentence for each damaged one before it."""
    damaged: list[str] = []
    candidates = (
        (origin, path) for origin, folder in _places() for path in _candidates(folder, entry)
    )
    for origin, path in candidates:
        located = Located(entry.name, origin, path, note=" ".join(damaged))
        try:
            load(located)
        except RequestError as error:
            damaged.append(f"A damaged copy was passed over ({error}).")
        else:
            return located, damaged
    return None, damaged


def _candidates(folder: str, entry: Entry) -> Iterator[str]:
    """Yield `.npz` files and folders of IDX files; subfolders named for the data come first."""
    for place in (*(os.path.join(folder, name) for name in entry.subfolders), folder):
        for name in entry.npz_files:
            # A link that leads nowhere is there, and is reported as damaged.
            if os.path.lexists(path := os.path.join(place, name)):
                yield path
        if any(_idx_file(place, array) for array in ARRAYS):
            yield place


def _idx_file(folder: str, array: str) -> str | None:
    for name in IDX_FILES[array]:
        for ending in ("", ".gz"):
            if os.path.lexists(path := os.path.join(folder, name + ending)):
                return path
    return None


# Reading and verifying


def _data_error(source: str, problem: str) -> RequestError:
    return RequestError(f"data file {source!r}: {problem}")


def _read_npz(path: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
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
        raise _data_error(path, problem) from error
    if missing := [name for name in ARRAYS if not isinstance(arrays.get(name), np.ndarray)]:
        raise _data_error(path, f"has no array {', '.join(missing)}; expected {', '.join(ARRAYS)}")
    return arrays, dict.fromkeys(ARRAYS, path)


def _read_idx_folder(folder: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays, and for each the file it came from."""
    sources = {}
    for array, names in IDX_FILES.items():
        path = _idx_file(folder, array)
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
        raise _data_error(path, f"cannot be read: {one_line(error)}") from error
    if len(raw) < 4 or raw[:2] != b"\0\0":
        raise _data_error(path, "is not an IDX file, which begins with two zero bytes")
    kind, rank = raw[2], raw[3]
    if kind != _IDX_UNSIGNED_BYTE:
        raise _data_error(path, f"holds IDX type {kind}, expected 8 (uint8)")
    start = 4 + 4 * rank
    if len(raw) < start:
        raise _data_error(path, f"ends inside its header, expected {start} bytes of it")
    shape = struct.unpack(f">{rank}I", raw[4:start])
    if len(raw) - start != math.prod(shape):
        problem = f"holds {len(raw) - start} values, expected {math.prod(shape)} as its header says"
        raise _data_error(path, problem)
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def _hash(arrays: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 over name, dtype, shape and C-order bytes of each array."""
    digest = hashlib.sha256()
    for name in ARRAYS:
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.name} {array.shape}".encode())
        digest.update(array)
    return digest.hexdigest()


def _verify(
    entry: Entry, arrays: dict[str, np.ndarray], sources: dict[str, str], whole: str
) -> str:
    """Return the hash of the arrays, or raise RequestError about the file that is wrong."""
    for name in ARRAYS:
        array = arrays[name]
        if array.dtype != np.uint8:
            raise _data_error(sources[name], f"{name} is {array.dtype}, expected uint8")
        if array.shape != entry.shape(name):
            problem = f"{name} has shape {array.shape}, expected {entry.shape(name)}"
            raise _data_error(sources[name], problem)
        if name.startswith("y") and (largest := int(array.max())) >= entry.classes:
            problem = f"{name} holds the label {largest}, expected 0 to {entry.classes - 1}"
            raise _data_error(sources[name], problem)
    found = _hash(arrays)
    if found == entry.sha256:
        return found
    for other in CATALOGUE.values():
        if found == other.sha256:
            raise _data_error(whole, f"holds {other.name}, not {entry.name}")
    raise _data_error(
        whole,
        f"the pixels and labels are not those of {entry.name}"
        f" (SHA-256 {found}, expected {entry.sha256})",
    )


# Downloading


def _download(entry: Entry, note: str) -> Located:
    """Fetch what is missing or damaged in this project's cache, or raise DownloadError."""
    folder = os.path.join(_cache_folder(), entry.cache_folder)
    downloads.fetch(entry.downloads, folder, entry.name)
    npz = entry.downloads[0].name in entry.npz_files
    path = os.path.join(folder, entry.downloads[0].name) if npz else folder
    located = Located(entry.name, "download", path, note)
    try:
        load(located)
    except RequestError as error:
        raise downloads.DownloadError(str(error)) from error
    return located
