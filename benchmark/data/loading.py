"""Datasets: find or download, verify, split; NumPy arrays out."""

import functools
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.data import downloads
from benchmark.data.catalogue import ARRAYS, CATALOGUE, DatasetInfo, check_name, info_of
from benchmark.data.containers import (
    IDX_FILES,
    check_form,
    data_error,
    find_idx_file,
    read_idx_folder,
    read_npz,
)
from benchmark.errors import RequestError, one_line, one_of

# Where system packages put datasets (Debian's dataset-fashion-mnist, for one).
SYSTEM_FOLDER = "/usr/share/datasets"
_SMALLEST_LIMIT = 10


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
    # The files may have changed on disk since an earlier call.
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
    folders = ", ".join(repr(folder) for _, folder in _places())
    sentence = (
        f"{name} is not on this machine (looked in {folders}) and could not be downloaded from"
        f" {downloads.DOWNLOAD_ADDRESS} ({reason}): put {files} in a folder and pass"
        " --data-dir FOLDER"
    )
    raise RequestError(". ".join([sentence, *damaged]))


def whereabouts(name: str, data_dir: str | Path | None = None) -> str:
    """Return one line on where a dataset would come from; nothing is downloaded."""
    entry = info_of(name)
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
    entry = info_of(located.name)
    if entry.bundled:
        arrays, sources = entry.bundled(), dict.fromkeys(ARRAYS, "scikit-learn's " + entry.name)
    elif os.path.isdir(located.path):
        arrays, sources = read_idx_folder(entry, located.path)
    else:
        arrays, sources = read_npz(entry, located.path)
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
    one_of("validation", validation, ("holdout", "test"))
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


def _in_given_folder(entry: DatasetInfo, data_dir: str | Path) -> Located:
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


def _on_this_machine(entry: DatasetInfo) -> tuple[Located | None, list[str]]:
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


def _candidates(folder: str, entry: DatasetInfo) -> Iterator[str]:
    """Yield `.npz` files and folders of IDX files; subfolders named for the data come first."""
    for candidate in (*(os.path.join(folder, name) for name in entry.subfolders), folder):
        for name in entry.npz_files:
            # A link that leads nowhere counts, and is reported as damaged.
            if os.path.lexists(path := os.path.join(candidate, name)):
                yield path
        if any(find_idx_file(candidate, array) for array in ARRAYS):
            yield candidate


def _hash(arrays: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 over name, dtype, shape and C-order bytes of each array."""
    digest = hashlib.sha256()
    for name in ARRAYS:
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.name} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _verify(
    entry: DatasetInfo, arrays: dict[str, np.ndarray], sources: dict[str, str], whole: str
) -> str:
    """Return the hash of the arrays, or raise RequestError about the file that is wrong."""
    for name in ARRAYS:
        array = arrays[name]
        check_form(entry, sources[name], name, array.dtype, array.shape)
        if name.startswith("y") and (largest := int(array.max())) >= entry.classes:
            problem = f"{name} holds the label {largest}, expected 0 to {entry.classes - 1}"
            raise data_error(sources[name], problem)
    sha256 = _hash(arrays)
    if sha256 == entry.sha256:
        return sha256
    for other in CATALOGUE.values():
        if sha256 == other.sha256:
            raise data_error(whole, f"holds {other.name}, not {entry.name}")
    raise data_error(
        whole,
        f"the pixels and labels are not those of {entry.name}"
        f" (SHA-256 {sha256}, expected {entry.sha256})",
    )


def _download(entry: DatasetInfo, note: str) -> Located:
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
