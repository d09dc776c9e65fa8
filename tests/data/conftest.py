import dataclasses
import socket

import pytest

from benchmark.data import catalogue, downloads, loading
from benchmark.data.loading import load
from tests.data.files import (
    FASHION,
    FASHION_FILES,
    MNIST,
    N_TEST,
    N_TRAIN,
    NPZ,
    SIDE,
    Server,
    content_hash,
    download,
    synthetic_signals,
)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A small catalogue, with every place that is looked in under `tmp_path` and no network."""
    for name, arrays, files in (
        ("mnist", MNIST, {"mnist.npz": NPZ}),
        ("fashion_mnist", FASHION, FASHION_FILES),
    ):
        entry = dataclasses.replace(
            catalogue.CATALOGUE[name],
            sha256=content_hash(arrays),
            n_train=N_TRAIN,
            n_test=N_TEST,
            example_shape=(SIDE, SIDE),
            downloads=tuple(download(*item) for item in files.items()),
        )
        monkeypatch.setitem(catalogue.CATALOGUE, name, entry)
    signals = dataclasses.replace(
        catalogue.CATALOGUE["mnist1d"],
        sha256=content_hash(synthetic_signals()),
        n_train=20,
        n_test=30,
        n_standard=10,
        example_shape=(6,),
        bundled=synthetic_signals,
    )
    monkeypatch.setitem(catalogue.CATALOGUE, "mnist1d", signals)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("BENCHMARK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(loading, "SYSTEM_FOLDER", str(tmp_path / "system"))
    # Bound until the test is over, so that nobody else answers there.
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(downloads, "DOWNLOAD_ADDRESS", address)
        load.cache_clear()
        yield tmp_path
        load.cache_clear()


@pytest.fixture
def server(places, monkeypatch):
    running = Server()
    monkeypatch.setattr(downloads, "DOWNLOAD_ADDRESS", running.address)
    yield running
    running.close()
