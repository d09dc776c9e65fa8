"""What a training run as a task knows of the others beside it."""

import os

import pytest

from benchmark import compare
from benchmark.execution import engine

SMALL = {"dataset": "digits", "limit": 200, "epochs": 2, "model": "mlp"}
pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture
def asked(monkeypatch):
    """The runs that the engine is asked to do, and does not do."""
    asked = []
    monkeypatch.setattr(engine, "carry_out", lambda tasks, *words, **more: asked.extend(tasks))
    return asked


@pytest.mark.parametrize(("jobs", "at_once"), [(1, 1), (3, 3), (8, 4)])
def test_runs_side_by_side_are_known(tmp_path, asked, jobs, at_once):
    compare(["relu", "elu"], seeds=2, jobs=jobs, output=tmp_path, **SMALL)
    assert [run.at_once for run in asked] == [at_once] * 4


def test_own_load_is_of_all_threads_per_core(tmp_path, asked, monkeypatch):
    compare(["relu"], seeds=2, jobs=2, threads=3, output=tmp_path, **SMALL)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert asked[0].own_load == 0.75
    # What else runs on a machine of a cluster is not known.
    assert asked[0].moved(str(tmp_path), "").own_load is None
