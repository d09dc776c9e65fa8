import dataclasses
import io
import os
import socket
import struct
import sys
import threading
import time

import numpy as np
import pytest

from benchmark.data import catalogue, downloads, loading
from benchmark.data.loading import load, locate
from tests.data.files import (
    FASHION,
    FASHION_FILES,
    IMAGES,
    LABELS,
    MNIST,
    NPZ,
    Server,
    assert_holds,
    download,
    npz_bytes,
    refusal,
    write,
)


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
    assert (located.name, located.origin) == ("mnist1d", "generated")
    assert located.note.startswith("MNIST is not on this machine and could not be downloaded (")
    assert reason in located.note
    assert server.requests == ["mnist.npz"] * 2  # no retries


def test_no_server(places):
    assert "the connection failed" in refusal(locate, "mnist")
    assert locate("auto").name == "mnist1d"


def test_bound_on_silence():
    assert downloads.SILENCE_SECONDS <= 15


@pytest.fixture
def impatient(monkeypatch):
    import requests  # noqa: F401 (its import is not to count as silence)

    monkeypatch.setattr(downloads, "SILENCE_SECONDS", 0.6)


@pytest.mark.parametrize("sent", [None, 0, 100])
def test_server_that_falls_silent(places, server, impatient, sent):
    waited_out = []

    def answer(handler):
        if sent is not None:
            Server.answer(handler, NPZ[:sent], len(NPZ))
        waited_out.append(not server.released.wait(60))

    server.files["mnist.npz"] = answer
    assert locate("auto").name == "mnist1d"
    assert waited_out == [], "given up while the server was silent"
    assert os.listdir(places / "cache") == ["mnist1d.npz"]


def test_name_lookup_that_hangs(places, impatient, monkeypatch):
    monkeypatch.setattr(downloads, "DOWNLOAD_ADDRESS", "http://data.invalid/")
    released, waited_out = threading.Event(), []

    def lookup(*args, **kwargs):
        waited_out.append(not released.wait(60))
        return []

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    located = locate("auto")
    assert waited_out == []
    released.set()
    assert "nothing heard for 0.6 seconds" in located.note
    assert os.listdir(places / "cache") == ["mnist1d.npz"]


def test_server_that_is_slow_but_alive(places, server, monkeypatch):
    content = npz_bytes({**MNIST, "padding": np.random.default_rng(0).bytes(64_000)})
    entry = catalogue.CATALOGUE["mnist"]
    files = (download("mnist.npz", content),)
    monkeypatch.setitem(catalogue.CATALOGUE, "mnist", dataclasses.replace(entry, downloads=files))
    # The whole takes longer than the bound on silence, each part a tenth of it.
    parts, silence = 12, 3.0
    monkeypatch.setattr(downloads, "SILENCE_SECONDS", silence)
    size = -(-len(content) // parts)
    sent_after = []

    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        begun = time.monotonic()
        for start in range(0, len(content), size):
            time.sleep(silence / 10)
            sent_after.append(time.monotonic() - begun)
            handler.wfile.write(content[start : start + size])

    server.files["mnist.npz"] = drip
    assert locate("auto").origin == "download"
    assert sent_after[-1] > silence


def test_cache_that_cannot_be_written(places, monkeypatch):
    (places / "file").write_bytes(b"")
    monkeypatch.setenv("BENCHMARK_CACHE_DIR", str(places / "file" / "cache"))
    assert "cannot be written" in refusal(locate, "mnist")
    assert locate("auto").name == "mnist1d"
