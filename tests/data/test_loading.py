import hashlib
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from benchmark.data import catalogue, loading
from benchmark.data.loading import load, locate, split, whereabouts
from tests.data.files import (
    FASHION,
    FASHION_FILES,
    MNIST,
    N_TRAIN,
    NPZ,
    REPOSITORY,
    assert_holds,
    gzipped_idx,
    idx_bytes,
    refusal,
    write,
)


def test_no_heavy_import():
    code = (
        "import sys, benchmark.data.loading;"
        "print({'tensorflow', 'keras', 'sklearn', 'pooch', 'rich', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_unknown_name_gives_near_ones():
    assert refusal(locate, "fashion-mnist").endswith("did you mean fashion_mnist?")
    assert "choose from auto, mnist, fashion_mnist, digits" in refusal(locate, "cifar")


def test_digits():
    dataset = load(locate("digits"))
    assert (dataset.name, dataset.origin, dataset.path) == ("digits", "scikit-learn", "")
    assert dataset.sha256 == catalogue.CATALOGUE["digits"].sha256
    assert (dataset.scale, dataset.classes) == (16.0, 10)
    assert dataset.x_train.shape == (1437, 8, 8, 1)
    assert dataset.x_train.max() == 16
    parts = split(dataset)
    assert [len(x) for x in (parts.x_train, parts.x_val, parts.x_test)] == [1149, 288, 360]
    assert [len(y) for y in (parts.y_train, parts.y_val, parts.y_test)] == [1149, 288, 360]


def test_digits_are_scikit_learns_in_a_stratified_order():
    dataset = load(locate("digits"))
    rows = np.concatenate([dataset.x_train, dataset.x_test]).reshape(1797, 64)
    labels = np.concatenate([dataset.y_train, dataset.y_test])
    known = load_digits()
    order, known_order = (np.lexsort(values.T) for values in (rows, known.data))
    np.testing.assert_array_equal(rows[order], known.data[known_order])
    np.testing.assert_array_equal(labels[order], known.target[known_order])
    # Whatever the limit: two of a class more or fewer than its share at most.
    shares = np.bincount(labels) / len(labels)
    for cut in (100, 500, 1149, 1437):
        np.testing.assert_allclose(np.bincount(labels[:cut]), cut * shares, atol=2)


def test_digits_needs_no_folder(tmp_path):
    assert locate("digits", tmp_path / "none").origin == "scikit-learn"


def real_data():
    folders = [os.environ.get("BENCHMARK_TEST_DATA"), REPOSITORY.parent / "shared" / "data"]
    return next((f for f in folders if f and (Path(f) / "mnist.npz").exists()), None)


@pytest.mark.skipif(real_data() is None, reason="needs mnist.npz in BENCHMARK_TEST_DATA")
def test_real_mnist():
    load.cache_clear()
    dataset = load(locate("mnist", real_data()))
    assert dataset.x_train.shape == (60000, 28, 28, 1)
    assert dataset.x_test.shape == (10000, 28, 28, 1)
    assert dataset.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    # The published MD5 of the original file of training images.
    original = idx_bytes(dataset.x_train[..., 0])
    assert hashlib.md5(original).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"
    load.cache_clear()


@pytest.mark.parametrize("subfolder", ["", "mnist"])
def test_npz_in_given_folder(places, subfolder):
    write(places / "data" / subfolder, {"mnist.npz": NPZ})
    for name in ("mnist", "auto"):
        located = locate(name, places / "data")
        path = str(places / "data" / subfolder / "mnist.npz")
        assert located == loading.Located("mnist", "given folder", path)
        assert pickle.loads(pickle.dumps(located)) == located
        assert hash(located) is not None
        assert_holds(load(located), MNIST)


def test_subfolder_named_for_the_data_comes_first(places):
    write(places / "data", gzipped_idx(MNIST))
    write(places / "data" / "fashion-mnist", FASHION_FILES)
    assert_holds(load(locate("fashion_mnist", places / "data")), FASHION)
    assert_holds(load(locate("mnist", places / "data")), MNIST)


def test_given_folder_is_relative_or_of_the_user(places, monkeypatch):
    write(places / "data", {"mnist.npz": NPZ})
    monkeypatch.chdir(places)
    monkeypatch.setenv("HOME", str(places))
    path = str(places / "data" / "mnist.npz")
    assert locate("mnist", "data").path == path
    assert locate("mnist", "~/data").path == path


@pytest.mark.parametrize("name", ["mnist", "auto"])
def test_nothing_else_is_looked_at(places, server, name):
    server.files["mnist.npz"] = NPZ
    write(places / "keras" / "datasets", {"mnist.npz": NPZ})
    missing = places / "missing"
    assert f"data folder {str(missing)!r} cannot be read" in refusal(locate, name, missing)
    missing.mkdir()
    assert "holds no mnist: expected mnist.npz or train-images" in refusal(locate, name, missing)
    write(missing, {"mnist.npz": NPZ[:-100]})
    assert "cut short" in refusal(locate, name, missing)
    assert server.requests == []


def test_folder_that_is_a_file_or_empty_name(places):
    file = places / "mnist.npz"
    file.write_bytes(NPZ)
    assert "Not a directory" in refusal(locate, "mnist", file)
    assert "is empty" in refusal(locate, "mnist", "")
    assert "cannot be read" in refusal(locate, "mnist", "a\nb")
    assert "cannot be read" in refusal(locate, "mnist", "a\0b")


def test_file_damaged_between_two_calls(places):
    folder = write(places / "data", {"mnist.npz": NPZ})
    locate("mnist", folder)
    write(folder, {"mnist.npz": b"PK"})
    assert "cut short" in refusal(locate, "mnist", folder)


def test_whereabouts(places, server):
    assert "not on this machine" in whereabouts("mnist")
    folder = write(places / "data", {"mnist.npz": NPZ})
    assert whereabouts("mnist", folder) == f"given folder, {str(folder / 'mnist.npz')!r}"
    assert "holds no fashion_mnist" in whereabouts("fashion_mnist", folder)
    assert "scikit-learn" in whereabouts("digits")
    assert server.requests == []


def test_load_of_a_file_that_went(places):
    folder = write(places / "data", {"mnist.npz": NPZ})
    located = locate("mnist", folder)
    (folder / "mnist.npz").unlink()
    load.cache_clear()
    assert "No such file" in refusal(load, located)


def test_places_in_order(places, server):
    system = write(places / "system" / "fashion-mnist", FASHION_FILES)
    located = locate("fashion_mnist")
    assert (located.origin, located.path) == ("system package", str(system))
    keras = write(places / "keras" / "datasets" / "fashion-mnist", FASHION_FILES)
    located = locate("fashion_mnist")
    assert (located.origin, located.path) == ("Keras cache", str(keras))
    assert_holds(load(located), FASHION)
    assert server.requests == []


def test_keras_cache_without_keras_home(places, monkeypatch):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(places / "home"))
    folder = write(places / "home" / ".keras" / "datasets", {"mnist.npz": NPZ})
    assert locate("auto").path == str(folder / "mnist.npz")


def test_damaged_cache_is_passed_over(places, server):
    server.files["mnist.npz"] = NPZ
    damaged = write(places / "keras" / "datasets", {"mnist.npz": NPZ[:99]}) / "mnist.npz"
    located = locate("mnist")
    assert located.origin == "download"
    assert "passed over" in located.note
    assert str(damaged) in located.note
    assert damaged.read_bytes() == NPZ[:99]


def test_damaged_cache_is_told_where_nothing_else_is_found(places):
    path = write(places / "keras" / "datasets", {"mnist.npz": NPZ[:99]}) / "mnist.npz"
    assert f"passed over (data file {str(path)!r}" in refusal(locate, "mnist")
    note = locate("auto").note
    assert f"passed over (data file {str(path)!r}" in note
    assert "using mnist1d" in note


@pytest.fixture
def small(places):
    return load(locate("mnist", write(places / "data", {"mnist.npz": NPZ})))


@pytest.mark.parametrize("limit", [None, 10, 11, 12, 13, 14, N_TRAIN])
def test_holdout(small, limit):
    parts = split(small, "holdout", limit)
    n = limit or N_TRAIN
    cut = math.floor(n * (1.0 - 0.2))  # what Keras does for validation_split=0.2
    np.testing.assert_array_equal(parts.x_train, MNIST["x_train"][:cut, ..., None])
    np.testing.assert_array_equal(parts.y_train, MNIST["y_train"][:cut])
    np.testing.assert_array_equal(parts.x_val, MNIST["x_train"][cut:n, ..., None])
    np.testing.assert_array_equal(parts.y_val, MNIST["y_train"][cut:n])
    np.testing.assert_array_equal(parts.x_test, MNIST["x_test"][..., None])
    np.testing.assert_array_equal(parts.y_test, MNIST["y_test"])
    assert (parts.scale, parts.classes) == (255.0, 10)


def test_integer_cut_is_that_of_keras():
    assert all(n * 4 // 5 == math.floor(n * (1.0 - 0.2)) for n in range(10, 60001))


@pytest.mark.parametrize("limit", [None, 12])
def test_test_set_as_validation(small, limit):
    parts = split(small, "test", limit)
    np.testing.assert_array_equal(parts.x_train, MNIST["x_train"][:limit, ..., None])
    np.testing.assert_array_equal(parts.y_train, MNIST["y_train"][:limit])
    assert parts.x_val is parts.x_test is small.x_test
    assert parts.y_val is parts.y_test is small.y_test


@pytest.mark.parametrize("limit", [-1, 0, 9, N_TRAIN + 1])
def test_bad_limit(small, limit):
    message = refusal(split, small, "holdout", limit)
    assert message == (
        f"limit {limit} is not between 10 and 23, the number of training examples of mnist"
    )


def test_unknown_validation(small):
    assert "did you mean holdout?" in refusal(split, small, "hold_out")
