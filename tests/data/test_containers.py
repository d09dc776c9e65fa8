import gzip
import pickle
import tracemalloc

import numpy as np
import pytest

from benchmark.data import catalogue
from benchmark.data.catalogue import ARRAYS
from benchmark.data.containers import IDX_FILES
from benchmark.data.loading import load, locate
from tests.data.files import (
    FASHION,
    FASHION_FILES,
    IMAGES,
    LABELS,
    MNIST,
    N_TRAIN,
    NPZ,
    SIDE,
    assert_holds,
    gzipped_idx,
    idx_bytes,
    npz_bytes,
    refusal,
    write,
)


@pytest.mark.parametrize("subfolder", ["", "fashion_mnist", "fashion-mnist"])
@pytest.mark.parametrize("spelling", [0, 1])
@pytest.mark.parametrize("gzipped", [False, True])
def test_idx_in_given_folder(places, subfolder, spelling, gzipped):
    files = {}
    for name in ARRAYS:
        content = idx_bytes(FASHION[name])
        file = IDX_FILES[name][spelling]
        files[file + ".gz" * gzipped] = gzip.compress(content) if gzipped else content
    folder = write(places / "data" / subfolder, files)
    located = locate("fashion_mnist", places / "data")
    assert located.path == str(folder)
    assert_holds(load(located), FASHION)


def test_unpacked_file_that_kept_its_name(places):
    files = {name: gzip.decompress(content) for name, content in FASHION_FILES.items()}
    assert_holds(load(locate("fashion_mnist", write(places / "data", files))), FASHION)


def test_container_does_not_change_the_hash(places):
    write(places / "npz", {"mnist.npz": NPZ})
    write(places / "idx", gzipped_idx(MNIST))
    write(places / "fortran", {"mnist.npz": npz_bytes({k: v.copy("F") for k, v in MNIST.items()})})
    hashes = {load(locate("mnist", places / name)).sha256 for name in ("npz", "idx", "fortran")}
    assert hashes == {catalogue.CATALOGUE["mnist"].sha256}


class Touch:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def changed(**arrays):
    return npz_bytes({**MNIST, **arrays})


def with_value(array, value):
    array = array.copy()
    array.flat[3] = value
    return array


BAD_NPZ = {
    "empty": (b"", "cut short"),
    "text": (b"hello", "cut short"),
    "truncated": (NPZ[: len(NPZ) // 2], "cut short"),
    "bits flipped": (NPZ[:200] + bytes(50) + NPZ[250:], "cannot be read"),
    "array missing": (npz_bytes({k: MNIST[k] for k in ARRAYS[:3]}), "has no array y_test"),
    "dtype": (changed(x_train=MNIST["x_train"].astype(float)), "x_train is float64, expected"),
    "label dtype": (changed(y_test=MNIST["y_test"].astype(int)), "y_test is int64, expected"),
    "count": (changed(x_test=MNIST["x_test"][:9]), "has shape (9, 4, 4), expected (10, 4, 4)"),
    "rank": (changed(x_test=MNIST["x_test"][..., None]), "has shape (10, 4, 4, 1), expected"),
    "label 10": (changed(y_train=with_value(MNIST["y_train"], 10)), "the label 10, expected 0 to"),
    "pixel": (changed(x_test=with_value(MNIST["x_test"], 77)), "not those of mnist (SHA-256"),
    "other data": (npz_bytes(FASHION), "holds fashion_mnist, not mnist"),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_bad_npz(places, case):
    content, expected = BAD_NPZ[case]
    folder = write(places / "data", {"mnist.npz": content})
    message = refusal(locate, "mnist", folder)
    assert message.startswith(f"data file {str(folder / 'mnist.npz')!r}: ")
    assert expected in message


def test_pickles_are_never_read(places):
    trap = places / "trap"
    objects = changed(x_train=np.array([Touch(trap)], dtype=object))
    for content in (objects, pickle.dumps(Touch(trap))):
        folder = write(places / "data", {"mnist.npz": content})
        assert "without pickled objects" in refusal(locate, "mnist", folder)
    assert not trap.exists()


PACKED = FASHION_FILES[IMAGES + ".gz"]
BAD_IDX = {
    "truncated": (IMAGES, PACKED[: len(PACKED) // 2], "cannot be read"),
    "checksum": (IMAGES, PACKED[:-8] + bytes(8), "cannot be read"),
    "not gzip": (IMAGES, b"\x1f\x8bhello", "cannot be read"),
    "text": (IMAGES, b"hello", "is not an IDX file"),
    "empty": (IMAGES, b"", "is not an IDX file"),
    "type": (IMAGES, b"\0\0\x0d\x03" + bytes(12), "holds IDX type 13, expected 8"),
    "header": (IMAGES, b"\0\0\x08\x03\0\0", "ends inside its header"),
    "short": (IMAGES, idx_bytes(FASHION["x_train"])[:-1], "holds 367 values, expected 368"),
    "long": (IMAGES, idx_bytes(FASHION["x_train"]) + b"\0", "holds more values, expected 368"),
    "shape": (IMAGES, idx_bytes(FASHION["x_test"]), "x_train has shape (10, 4, 4), expected"),
    "rank": (IMAGES, b"\0\0\x08\xff" + bytes(4 * 255), "x_train has shape (0, 0, 0, 0,"),
    "label 10": (LABELS, idx_bytes(with_value(FASHION["y_train"], 10)), "holds the label 10"),
}


@pytest.mark.parametrize("case", BAD_IDX)
def test_bad_idx(places, case):
    name, content, expected = BAD_IDX[case]
    folder = write(places / "data", {**FASHION_FILES, name + ".gz": content})
    message = refusal(locate, "fashion_mnist", folder)
    assert message.startswith(f"data file {str(folder / name) + '.gz'!r}: ")
    assert expected in message


def test_missing_idx_file(places):
    folder = write(places / "data", FASHION_FILES)
    (folder / (LABELS + ".gz")).unlink()
    assert f"has no {LABELS}" in refusal(locate, "fashion_mnist", folder)


def test_idx_of_other_data(places):
    folder = write(places / "data", FASHION_FILES)
    assert "holds fashion_mnist, not mnist" in refusal(locate, "mnist", folder)


BOMB = np.zeros(60_000_000, np.uint8)


def idx_of(shape):
    return b"\0\0\x08" + bytes([len(shape)]) + b"".join(n.to_bytes(4) for n in shape)


PACKED_IMAGES = IMAGES + ".gz"
BOMBS = {
    "sizes": (PACKED_IMAGES, idx_of((60_000_000,)), "x_train has shape (60000000,)"),
    "more than its sizes": (PACKED_IMAGES, idx_of((N_TRAIN, SIDE, SIDE)), "holds more values"),
    "array": ("mnist.npz", {"x_train": BOMB}, "x_train has shape (60000000,)"),
    "text": ("mnist.npz", {"x_train": np.zeros(1, "S60000000")}, "x_train is |S60000000"),
}


@pytest.mark.parametrize("case", BOMBS)
def test_no_more_is_unpacked_than_the_catalogue_has(places, case):
    """Small files that would become large ones are refused before they do."""
    file, content, expected = BOMBS[case]
    if isinstance(content, bytes):
        files = {**FASHION_FILES, file: gzip.compress(content + BOMB.tobytes(), 1)}
        name = "fashion_mnist"
    else:
        files, name = {file: npz_bytes({**MNIST, **content})}, "mnist"
    folder = write(places / "data", files)
    tracemalloc.start()
    message = refusal(locate, name, folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert expected in message
    assert peak < 5_000_000


def test_other_arrays_of_an_archive_are_not_unpacked(places):
    folder = write(places / "data", {"mnist.npz": npz_bytes({**MNIST, "other": BOMB})})
    tracemalloc.start()
    assert_holds(load(locate("mnist", folder)), MNIST)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()
