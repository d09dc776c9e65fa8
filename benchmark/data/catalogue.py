"""The catalogue of datasets: what is known of each before it is read.

To add a dataset, add an entry to `CATALOGUE`. The hash in it is of pixels and labels, so that the
same data count as the same in whatever container they come; where it differs, the error of
`loading.load` gives the actual hash.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmark.data.downloads import Download
from benchmark.errors import one_of

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a dataset before it is read.

    `margin` is the difference in accuracy up to which two activations count as equal on it.
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
    margin: float = 0.005
    subfolders: tuple[str, ...] = ()
    npz_files: tuple[str, ...] = ()
    cache_folder: str = ""
    downloads: tuple[Download, ...] = ()
    bundled: Callable[[], dict[str, np.ndarray]] | None = None

    def shape(self, array: str) -> tuple[int, ...]:
        """Return the shape that one of `ARRAYS` has in its file."""
        count = self.n_train if array.endswith("train") else self.n_test
        return (count, *self.image_shape) if array.startswith("x") else (count,)


def _read_digits() -> dict[str, np.ndarray]:
    """Return scikit-learn's digits, which have no test set: the last 360 images become it."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    return {"x_train": x[:-360], "y_train": y[:-360], "x_test": x[-360:], "y_test": y[-360:]}


_ENTRIES = (
    DatasetInfo(
        name="mnist",
        sha256="a01671389766172d0fe3c6ce94e27aea68db16480c3e1dda5bb946a18204cf3b",
        n_train=60000,
        n_test=10000,
        image_shape=(28, 28),
        margin=0.001,
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
    DatasetInfo(
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
    DatasetInfo(
        name="digits",
        sha256="01bd08f6a33f29015536d0632a525bceb680a3832f5ef4ff8dc19c9706950a69",
        n_train=1437,
        n_test=360,
        image_shape=(8, 8),
        scale=16.0,
        bundled=_read_digits,
    ),
)
CATALOGUE: dict[str, DatasetInfo] = {entry.name: entry for entry in _ENTRIES}
NAMES: tuple[str, ...] = tuple(CATALOGUE)


def check_name(name: str) -> None:
    """Check the name of a dataset, "auto" included.

    Raises:
        RequestError: there is no such dataset.
    """
    one_of("dataset", name, ("auto", *CATALOGUE))


def info_of(name: str) -> DatasetInfo:
    """Return what is known of a dataset.

    Raises:
        RequestError: there is no such dataset; the message lists the nearest names.
    """
    one_of("dataset", name, CATALOGUE)
    return CATALOGUE[name]
