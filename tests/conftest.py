"""Settings for all tests: TensorFlow with one thread, as the runs have it, and quiet."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

from benchmark.activations import registry


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


@pytest.fixture(autouse=True)
def registrations_undone():
    with registry.temporary_registrations():
        yield


@pytest.fixture
def no_page(monkeypatch):
    """The report without its page, which takes a notebook's kernel and many seconds."""
    from benchmark.report import build

    monkeypatch.setattr(build, "write_page", lambda store: None)


@pytest.fixture
def no_figures(monkeypatch, no_page):
    """The report without its page and its figures: its tables alone."""
    from benchmark.experiments import figures
    from benchmark.report import build

    monkeypatch.setattr(build, "write_figures", lambda *words: [])
    monkeypatch.setattr(figures, "draw_experiment", lambda *words: [])
