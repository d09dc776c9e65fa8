"""Small data files as the benchmark reads them, and a server of such files."""

import gzip
import hashlib
import http.server
import io
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

from benchmark.data.catalogue import ARRAYS
from benchmark.data.containers import IDX_FILES
from benchmark.data.downloads import Download
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


def synthetic_signals():
    draw, arrays = np.random.default_rng(0), {}
    for part, n in (("train", 20), ("test", 30), ("standard", 10)):
        arrays[f"x_{part}"] = draw.standard_normal((n, 6)).astype(np.float32)
        arrays[f"y_{part}"] = (np.arange(n) % 10).astype(np.uint8)
    return arrays


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


def content_hash(arrays):
    """The hash that the catalogue holds: of name, type, shape and bytes of each array."""
    digest = hashlib.sha256()
    for name in arrays:
        digest.update(f"{name} {arrays[name].dtype.name} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def download(name, content):
    return Download(name, hashlib.sha256(content).hexdigest(), len(content))


NPZ = npz_bytes(MNIST)
FASHION_FILES = gzipped_idx(FASHION)


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


IMAGES, LABELS = (IDX_FILES[name][0] for name in ("x_train", "y_train"))
