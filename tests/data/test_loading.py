import dataclasses
import gzip
import hashlib
import http.server
import io
import math
import os
import pickle
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from benchmark.data import catalogue, downloads, loading
from benchmark.data.catalogue import ARRAYS
from benchmark.data.containers import IDX_FILES
from benchmark.data.downloads import Download
from benchmark.data.loading import load, locate, split, whereabouts
from benchmark.errors import RequestError

REPOSITORY = Path(__file__).resolve().parents[2]
N_TRAIN, N_TEST, SIDE = 23, 10, 4


def synthetic(seed):
    rng = np.random.default_rng(seed)
    return {
        "x_train": rng.integers(0, 256, (N_TRAIN, SIDE, SIDE), dtype=np.uint8),
        "y_train": (np.arange(N_TRAIN) % 10).astype(np.uint8),
        "x_test": rng.integers(0, 256, (N_TEST, SIDE, SIDE), dtype=np.uint8),
        "y_test": np.arange(N_TEST, dtype=np.uint8),
    }


MNIST, FASHION = synthetic(1), synthetic(2)


def npz_bytes(arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def idx_bytes(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def gzipped_idx(arrays):
    return {
        IDX_FILES[name][0] + ".gz": gzip.compress(idx_bytes(arrays[name]), mtime=0)
        for name in ARRAYS
    }


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def download(name, content):
    return Download(name, hashlib.sha256(content).hexdigest(), len(content))


NPZ = npz_bytes(MNIST)
FASHION_FILES = gzipped_idx(FASHION)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A small catalogue, with every place that is looked in under `tmp_path` and no network."""
    for name, arrays, files in (
        ("mnist", MNIST, {"mnist.npz": NPZ}),
        ("fashion_mnist", FASHION, FASHION_FILES),
    ):
        entry = dataclasses.replace(
            catalogue.CATALOGUE[name],
            sha256=loading._hash(arrays),
            n_train=N_TRAIN,
            n_test=N_TEST,
            image_shape=(SIDE, SIDE),
            downloads=tuple(download(*item) for item in files.items()),
        )
        monkeypatch.setitem(catalogue.CATALOGUE, name, entry)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("BENCHMARK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(loading, "SYSTEM_FOLDER", str(tmp_path / "system"))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    monkeypatch.setattr(downloads, "DOWNLOAD_ADDRESS", address)
    load.cache_clear()
    yield tmp_path
    load.cache_clear()


class Server:
    """Serves `files`; a value that is a function gets the request handler and answers itself."""

    def __init__(self):
        self.files = {}
        self.requests = []
        self.released = threading.Event()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.lstrip("/")
                server.requests.append(name)
                content = server.files.get(name)
                if callable(content):
                    content(self)
                elif content is None:
                    self.send_error(404)
                else:
                    server.answer(self, content, len(content))

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    @staticmethod
    def answer(handler, content, length):
        handler.send_response(200)
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.wfile.write(content)

    def close(self):
        self.released.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server(places, monkeypatch):
    running = Server()
    monkeypatch.setattr(downloads, "DOWNLOAD_ADDRESS", running.address)
    yield running
    running.close()


def refusal(function, *args):
    with pytest.raises(RequestError) as caught:
        function(*args)
    message = str(caught.value)
    assert "\n" not in message
    return message


def assert_holds(dataset, arrays):
    for name in ARRAYS:
        found = getattr(dataset, name)
        expected = arrays[name][..., None] if name.startswith("x") else arrays[name]
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.uint8
        assert not found.flags.writeable


# The catalogue


def test_catalogue_order():
    assert catalogue.NAMES == ("mnist", "fashion_mnist", "digits")
    assert all(entry.name == name for name, entry in catalogue.CATALOGUE.items())


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


# The real data


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


# A given folder


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


def test_subfolder_named_for_the_data_comes_first(places):
    write(places / "data", gzipped_idx(MNIST))
    write(places / "data" / "fashion-mnist", FASHION_FILES)
    assert_holds(load(locate("fashion_mnist", places / "data")), FASHION)
    assert_holds(load(locate("mnist", places / "data")), MNIST)


def test_container_does_not_change_the_hash(places):
    write(places / "npz", {"mnist.npz": NPZ})
    write(places / "idx", gzipped_idx(MNIST))
    write(places / "fortran", {"mnist.npz": npz_bytes({k: v.copy("F") for k, v in MNIST.items()})})
    hashes = {load(locate("mnist", places / name)).sha256 for name in ("npz", "idx", "fortran")}
    assert hashes == {catalogue.CATALOGUE["mnist"].sha256}


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


# Damaged and wrong files


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


IMAGES, LABELS = (IDX_FILES[name][0] for name in ("x_train", "y_train"))
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
    "long": (IMAGES, idx_bytes(FASHION["x_train"]) + b"\0", "holds 369 values, expected 368"),
    "shape": (IMAGES, idx_bytes(FASHION["x_test"]), "x_train has shape (10, 4, 4), expected"),
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


def test_load_of_a_file_that_went(places):
    folder = write(places / "data", {"mnist.npz": NPZ})
    located = locate("mnist", folder)
    (folder / "mnist.npz").unlink()
    load.cache_clear()
    assert "No such file" in refusal(load, located)


# Caches


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
    assert "using digits" in note


# Downloads


def cached_files(places):
    return sorted(p.name for p in (places / "cache").rglob("*") if p.is_file())


def test_download_then_cache(places, server, capsys):
    server.files["mnist.npz"] = NPZ
    located = locate("auto")
    path = places / "cache" / "mnist.npz"
    assert located == loading.Located("mnist", "download", str(path))
    assert_holds(load(located), MNIST)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Downloading mnist (")
    assert captured.err.count("\n") == 1
    assert locate("mnist") == located
    assert server.requests == ["mnist.npz"]
    assert cached_files(places) == ["mnist.npz"]


def test_download_of_several_files(places, server):
    server.files.update(FASHION_FILES)
    located = locate("fashion_mnist")
    assert located.path == str(places / "cache" / "fashion-mnist")
    assert_holds(load(located), FASHION)
    assert cached_files(places) == sorted(FASHION_FILES)
    # Only what is damaged or missing is fetched again.
    server.requests.clear()
    (places / "cache" / "fashion-mnist" / (IMAGES + ".gz")).write_bytes(b"damaged")
    (places / "cache" / "fashion-mnist" / (LABELS + ".gz")).unlink()
    assert_holds(load(locate("fashion_mnist")), FASHION)
    assert sorted(server.requests) == [IMAGES + ".gz", LABELS + ".gz"]


def test_download_replaces_a_damaged_file_in_our_cache(places, server):
    server.files["mnist.npz"] = NPZ
    path = write(places / "cache", {"mnist.npz": NPZ[:50]}) / "mnist.npz"
    locate("mnist")
    assert path.read_bytes() == NPZ


def test_progress_bar_on_a_terminal(places, server, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    server.files["mnist.npz"] = NPZ
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    locate("mnist")
    assert "Downloading mnist" in terminal.getvalue()


def reset_connection(handler):
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.close_connection = True
    handler.connection.close()
    handler.wfile = handler.rfile = io.BytesIO()


FAILURES = {
    "404": (None, "the server answered 404"),
    "other content": (b"<html>log in</html>", "SHA-256"),
    "truncated": (lambda handler: Server.answer(handler, NPZ[:-9], len(NPZ)), "failed"),
    "broken": (reset_connection, "the connection failed"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failed_download(places, server, case):
    content, reason = FAILURES[case]
    if content is not None:
        server.files["mnist.npz"] = content
    message = refusal(locate, "mnist")
    assert reason in message
    assert server.address in message
    assert "put mnist.npz in a folder and pass --data-dir FOLDER" in message
    assert list((places / "cache").iterdir()) == []
    located = locate("auto")
    assert (located.name, located.origin) == ("digits", "scikit-learn")
    assert located.note.startswith("MNIST is not on this machine and could not be downloaded (")
    assert reason in located.note
    assert server.requests == ["mnist.npz"] * 2  # no retries


def test_no_server(places):
    assert "the connection failed" in refusal(locate, "mnist")
    assert locate("auto").name == "digits"


def test_bound_on_silence():
    assert downloads.SILENCE_SECONDS <= 15


@pytest.fixture
def impatient(monkeypatch):
    import requests  # noqa: F401 (its import is not to count as silence)

    monkeypatch.setattr(downloads, "SILENCE_SECONDS", 0.6)


@pytest.mark.parametrize("sent", [None, 0, 100])
def test_server_that_falls_silent(places, server, impatient, sent):
    def answer(handler):
        if sent is not None:
            Server.answer(handler, NPZ[:sent], len(NPZ))
        server.released.wait(20)

    server.files["mnist.npz"] = answer
    start = time.monotonic()
    assert locate("auto").name == "digits"
    assert time.monotonic() - start < 5
    assert list((places / "cache").iterdir()) == []


def test_name_lookup_that_hangs(places, impatient, monkeypatch):
    monkeypatch.setattr(downloads, "DOWNLOAD_ADDRESS", "http://data.invalid/")
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: released.wait(20) and [])
    start = time.monotonic()
    located = locate("auto")
    waited = time.monotonic() - start
    released.set()
    assert "nothing heard for 0.6 seconds" in located.note
    assert waited < 5
    assert list((places / "cache").iterdir()) == []


def test_server_that_is_slow_but_alive(places, server, impatient, monkeypatch):
    content = npz_bytes({**MNIST, "padding": np.random.default_rng(0).bytes(64_000)})
    entry = catalogue.CATALOGUE["mnist"]
    files = (download("mnist.npz", content),)
    monkeypatch.setitem(catalogue.CATALOGUE, "mnist", dataclasses.replace(entry, downloads=files))

    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        for start in range(0, len(content), 8192):
            handler.wfile.write(content[start : start + 8192])
            time.sleep(0.15)

    server.files["mnist.npz"] = drip
    start = time.monotonic()
    assert locate("auto").origin == "download"
    assert time.monotonic() - start > downloads.SILENCE_SECONDS


def test_cache_that_cannot_be_written(places, monkeypatch):
    (places / "file").write_bytes(b"")
    monkeypatch.setenv("BENCHMARK_CACHE_DIR", str(places / "file" / "cache"))
    assert "cannot be written" in refusal(locate, "mnist")
    assert locate("auto").name == "digits"


# Splitting


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
