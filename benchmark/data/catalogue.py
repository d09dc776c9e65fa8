"""The catalogue of datasets: what is known of each before it is read.

To add a dataset, add an entry to `CATALOGUE`. The hash in it is of examples and labels, so that the
same data count as the same in whatever container they come; where it differs, the error of
`loading.load` gives the actual hash.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmark.data import mnist1d
from benchmark.data.downloads import Download
from benchmark.errors import one_of

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
STANDARD_ARRAYS = ("x_standard", "y_standard")


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a dataset before it is read.

    `example_shape` is (height, width) of images, (length,) of signals; `dtype` is theirs, and
    `scale` what they are divided by. `subfolders` and `npz_files` are the names looked for in a
    folder; IDX files have the same names in every dataset.

    `bundled` returns the arrays of a dataset that comes with the Python package `package`. Where
    they are `generated`, which takes seconds, they are kept in this project's cache, and their hash
    may be another on another processor. `n_standard` counts the examples of a second test set, the
    one of published scores, beside `n_test` others.

    `epochs` are those of a run where none are asked for; None leaves them to the preset. Accuracies
    at most `margin` percentage points apart count as equal.
    """

    name: str
    sha256: str
    n_train: int
    n_test: int
    example_shape: tuple[int, ...]
    dtype: str = "uint8"
    scale: float = 255.0
    classes: int = 10
    subfolders: tuple[str, ...] = ()
    npz_files: tuple[str, ...] = ()
    cache_folder: str = ""
    downloads: tuple[Download, ...] = ()
    package: str = ""
    bundled: Callable[[], dict[str, np.ndarray]] | None = None
    generated: bool = False
    n_standard: int = 0
    epochs: int | None = None
    margin: float = 0.5

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays: `ARRAYS`, and `STANDARD_ARRAYS` where there are some."""
        return (*ARRAYS, *STANDARD_ARRAYS) if self.n_standard else ARRAYS

    def form(self, array: str) -> tuple[str, tuple[int, ...]]:
        """Return the dtype and the shape that one of `arrays` has in its file."""
        kind, part = array.split("_")
        count = {"train": self.n_train, "test": self.n_test, "standard": self.n_standard}[part]
        return (self.dtype, (count, *self.example_shape)) if kind == "x" else ("uint8", (count,))


def _read_digits() -> dict[str, np.ndarray]:
    """Return scikit-learn's digits, which have no test set: 360 images become it.

    Not the last ones in scikit-learn's order, which are harder to read than those before.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = _stratified_order(digits.target)
    x, y = digits.images[order].astype(np.uint8), digits.target[order].astype(np.uint8)
    return {"x_train": x[:-360], "y_train": y[:-360], "x_test": x[-360:], "y_test": y[-360:]}


def _stratified_order(labels: np.ndarray) -> np.ndarray:
    """Return a fixed random order (n,) in which each stretch has the classes in their shares.

    So has each part, wherever training, validation and test set are cut.
    """
    # Unlike a Generator's, its numbers stay the same in all versions of NumPy.
    draw = np.random.RandomState(0)
    shuffled = draw.permutation(len(labels))
    positions = np.empty(len(labels))
    for label in np.unique(labels):
        of_class = labels[shuffled] == label
        count = of_class.sum()
        positions[of_class] = (np.arange(count) + draw.random_sample(count)) / count
    return shuffled[np.argsort(positions)]


_ENTRIES = (
    DatasetInfo(
        name="mnist",
        sha256="a01671389766172d0fe3c6ce94e27aea68db16480c3e1dda5bb946a18204cf3b",
        n_train=60000,
        n_test=10000,
        example_shape=(28, 28),
        subfolders=("mnist",),
        npz_files=("mnist.npz",),
        downloads=(
            Download(
                "mnist.npz",
                "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
                11490434,
            ),
        ),
        margin=0.1,
    ),
    DatasetInfo(
        name="fashion_mnist",
        sha256="9ada4c58fe1add22709fb509731f7f78d61f0ee1c98e67bf5a36588531fdd3b6",
        n_train=60000,
        n_test=10000,
        example_shape=(28, 28),
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
        sha256="fbb73b0897e7cd3345baabab37cf11727fb39265e5e50a7d90a3379c7ec6ef63",
        n_train=1437,
        n_test=360,
        example_shape=(8, 8),
        scale=16.0,
        package="scikit-learn",
        bundled=_read_digits,
        epochs=30,
    ),
    DatasetInfo(
        name="mnist1d",
        sha256="0789dd883f7d59682fadbd01fc95c7114a420a30596b37275b915a12b7139b38",
        n_train=4000,
        n_test=mnist1d.TEST_EXAMPLES,
        n_standard=1000,
        example_shape=(40,),
        dtype="float32",
        scale=1.0,
        package="mnist1d",
        bundled=mnist1d.generate,
        generated=True,
        epochs=40,
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
