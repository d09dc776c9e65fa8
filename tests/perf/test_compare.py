"""The measuring stick measures itself here; its numbers are not for CI."""

import statistics
import subprocess
import sys
from pathlib import Path

import pytest

PERF = Path(__file__).parents[2] / "perf"
sys.path.insert(0, str(PERF))

import compare as stick  # noqa: E402
import overhead  # noqa: E402
import systems  # noqa: E402


def lane(name, system, processes, **times):
    return stick.Lane(name, system, processes, 1, times=dict(times), memory=100.0)


@pytest.fixture
def timed():
    return [
        lane("ours", "ours", 2, relu=[30.0, 32.0, 31.0], gelu=[33.0, 40.0, 34.1]),
        lane("plain Keras", "keras", 1, relu=[62.0, 61.0, 66.0], gelu=[99.0, 80.0, 90.0]),
        lane("plain Keras, 1 thread", "keras", 1, relu=[90.0] * 3, gelu=[95.0] * 3),
        lane("limit", "limit", 2, relu=[20.0, 21.0, 22.0], gelu=[20.0, 21.0, 22.0]),
    ]


def test_table_quotes_ratios_of_medians(timed):
    text = stick.table(timed)
    ours = statistics.median([31.5, 36.0, 32.55])
    keras = statistics.median([80.5, 70.5, 78.0])
    ratios = f"{keras / ours:.2f} (relu {62 / 31:.2f}, gelu {90 / 34.1:.2f})"
    assert f"plain Keras over ours, whole job: {ratios}" in text
    assert f"ours over the matrix-product limit: {ours / 21:.2f}" in text
    assert f"slowest of ours (gelu) over relu: {34.1 / 31:.2f}" in text
    assert "PyTorch" not in text


def test_speed_csv(timed):
    rows = stick.rows(timed)
    assert {row["measure"] for row in rows} == {
        "step_median",
        "step_min",
        "throughput",
        "peak_memory",
    }
    (relu,) = [
        row["value"]
        for row in rows
        if (row["measure"], row["activation"], row["system"]) == ("throughput", "relu", "ours")
    ]
    assert relu == 128_000 / 31


@pytest.mark.slow
def test_systems_answer():
    done = subprocess.run(
        [sys.executable, str(PERF / "systems.py"), "ours", "1"],
        input="relu 1\n",
        capture_output=True,
        text=True,
        timeout=200,
    )
    ready, answer = done.stdout.splitlines()
    seconds, memory = map(float, answer.split())
    assert ready == "ready"
    assert 0 < seconds < 60
    assert 100 < memory < 10_000


@pytest.mark.parametrize("system", ["keras", "limit"])
def test_systems_are_timed(system, monkeypatch):
    monkeypatch.setattr(systems, "EXAMPLES", systems.BATCH)
    monkeypatch.setattr(systems.MatrixProduct, "SIDE", 256)
    # The tests' own number of threads: TensorFlow cannot change it any more.
    assert systems.SYSTEMS[system](1).run("relu", 1) > 0


def test_overhead_table_extrapolates_from_what_was_measured():
    row = {"start": 5.0, "first": 1.0, "overhead": 0.05, "throughput": 18.0}
    row |= {"serial": 0.01, "event": 0.0005}
    places = [(where, n) for where in (overhead.HERE_WORKERS, overhead.CLUSTER) for n in (1, 2)]
    text = overhead.table(dict.fromkeys(places, row), 10.0)
    # 20 events of half a millisecond each, and 10 ms.
    assert "that is 20 ms: no more than 50 runs a second" in text
    assert f"| 100 | {3600 * 100 / 10.05:.0f} | {10 / 10.05:.1%} |" in text
    assert f"| 1000 | {3600 * 50:.0f} | {0.5:.1%} |" in text


@pytest.mark.slow
def test_overhead_is_measured():
    found = overhead.measure(overhead.CLUSTER, 1, 14)
    assert set(found) == {"start", "first", "overhead", "throughput", "serial", "event"}
    assert 0 < found["overhead"] < 5
    assert found["first"] < found["start"] + 30
    assert found["throughput"] < 1 / found["overhead"]
    assert found["event"] > 0
