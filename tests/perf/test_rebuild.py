"""The measuring stick for `report`; its numbers are not for CI."""

import sys
import types
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "perf"))

import rebuild as stick

from benchmark.activations import names
from benchmark.results.folder import Store


@pytest.mark.slow
def test_runs_are_rebuilt_and_timed(tmp_path):
    output = tmp_path / "made"
    times = stick.measure(runs=60, epochs=3, rounds=1, output=output)
    history, runs = Store(output).tables()
    assert len(history) == 180
    assert (runs["status"] == "complete").all()
    assert pd.read_csv(output / "summary.csv")["n_completed"].tolist() == [3] * len(names())
    assert (output / "report.html").exists()
    (total,) = times.pop("total")
    assert min(seconds for (seconds,) in times.values()) > 0
    assert sum(seconds for (seconds,) in times.values()) == pytest.approx(total)


def test_medians_by_part(monkeypatch):
    monkeypatch.setattr(stick, "build", lambda *words: None)
    taken = iter([5.0, 1.0, 2.0])
    monkeypatch.setattr(
        stick, "rebuild_apart", lambda folder: dict.fromkeys(stick.PARTS, next(taken))
    )
    assert stick.rebuild_seconds(60, 3) == dict.fromkeys(stick.PARTS, 2.0)


def test_time_counts_for_the_inner_part_alone(monkeypatch):
    now = [0.0]

    def takes(seconds):
        now[0] += seconds

    monkeypatch.setattr(stick, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))
    clock = stick.Clock()
    inner = clock.timed("records", lambda: takes(5))
    clock.timed("tables", lambda: (inner(), inner(), takes(2)))()
    assert clock.seconds["records"] == 10
    assert clock.seconds["tables"] == 2
