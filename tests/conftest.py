"""Settings for all tests: TensorFlow with one thread, as the runs have it, and quiet."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

from benchmark.activations import packing, registry


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


@pytest.fixture(autouse=True)
def registrations_undone():
    with registry.temporary_registrations():
        yield


@pytest.fixture(autouse=True)
def checked_here(monkeypatch):
    """Users' activations checked in this process: one of its own takes seconds to start."""
    from benchmark.execution import checking

    def checked(entries, settings, seconds):
        from benchmark.activations.checks import check

        unpacked = packing.unpack(packing.pack(entries))
        return [check(entry, settings.device) for entry in unpacked]

    monkeypatch.setattr(checking, "checked", checked)


@pytest.fixture
def no_page(monkeypatch):
    """The report without its page, which takes a notebook's kernel and many seconds."""
    from benchmark.report import build

    monkeypatch.setattr(build, "write_page", lambda store: None)


@pytest.fixture
def no_figures(monkeypatch):
    """Tables without the figures of the comparison, which take most of a small one's time."""
    from benchmark.report import build

    monkeypatch.setattr(build, "write_figures", lambda *arguments: [])


@pytest.fixture
def tables_only(monkeypatch, no_page, no_figures):
    """The report without its page and any figures."""
    from benchmark.experiments import figures

    monkeypatch.setattr(figures, "draw_experiment", lambda *arguments: [])
