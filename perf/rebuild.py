"""Time `python -m benchmark report`: tables and figures of many recorded runs, made anew.

Usage: python perf/rebuild.py [--runs 10000] [--epochs 30] [--rounds 3] [--output FOLDER]

The runs are recorded by the project's own writer, with made-up scores. That takes longer than what
is timed and is not timed. Every round is a process of its own; the files are in the system's cache.
"""

import argparse
import functools
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from benchmark.activations import names, resolve
from benchmark.results.folder import Store
from benchmark.training.spec import RunSpec

TEST_IMAGES = 360  # as many as `digits` has
PARTS = {
    "imports": "starting and ending Python, loading modules",
    "records": "reading the runs' files and verifying them",
    "tables": "the tables written and read back",
    "statistics": "means, intervals, pairs, verdicts",
    "figures": "drawing, as PNG and SVG",
    "page": "the report notebook executed and made a page",
    "rest": "lock, the table on the screen",
    "total": "the whole process",
}


def specs(runs: int, epochs: int) -> list[RunSpec]:
    """Return the settings of that many runs: all activations of the catalogue, seed by seed."""
    activations = list(names())
    turns = (divmod(number, len(activations)) for number in range(runs))
    return [
        RunSpec("digits", activations[turn], seed, epochs=epochs, data_sha256="0" * 64)
        for seed, turn in turns
    ]


def scores(epochs: int, draw: np.random.Generator) -> list[dict[str, Any]]:
    """Return the made-up epochs of a run, their numbers as long as a real one's."""
    start = np.exp(-np.arange(1, epochs + 1) / 8)
    columns = {
        "epoch": range(1, epochs + 1),
        "loss": (0.1 + 2.2 * start + draw.uniform(0, 0.05, epochs)).tolist(),
        "accuracy": (0.97 - 0.8 * start + draw.uniform(0, 0.03, epochs)).tolist(),
        "val_loss": (0.15 + 2.2 * start + draw.uniform(0, 0.05, epochs)).tolist(),
        "val_accuracy": (0.95 - 0.8 * start + draw.integers(0, 9, epochs) / 288).tolist(),
        "seconds": draw.uniform(0.03, 0.05, epochs).round(4).tolist(),
    }
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def build(output: Path, runs: int, epochs: int) -> None:
    """Record that many finished runs in a folder."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from benchmark.results import provenance
    from benchmark.training.loop import Outcome

    store, draw = Store(output), np.random.default_rng(0)
    store.prepare()
    described = provenance.describe()
    labels = draw.integers(0, 10, TEST_IMAGES)
    for spec in specs(runs, epochs):
        rows, entry = scores(epochs, draw), resolve(spec.activation)
        test = {"test_loss": rows[-1]["val_loss"], "test_accuracy": rows[-1]["val_accuracy"]}
        probability = draw.uniform(0.2, 1, TEST_IMAGES).astype(np.float32)
        facts = {
            "environment": described,
            "data": {"name": "digits", "origin": "made up", "sha256": spec.data_sha256},
            "activation": {"name": entry.name, "formula": entry.formula, "index": entry.index},
            "peak_memory_mb": 950.0,
        }
        folder = store.folder(spec.run)
        folder.path.mkdir()
        folder.finish(spec, Outcome("complete", rows, test, labels, probability, 1), labels, facts)


class Clock:
    """Seconds by part; where one part calls another, the time counts for the inner one alone."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._inner = [0.0]

    def timed(self, part: str, function: Callable) -> Callable:
        """Return the function with its time added to a part."""

        @functools.wraps(function)
        def call(*words: Any, **more: Any) -> Any:
            self._inner.append(0.0)
            start = time.perf_counter()
            try:
                return function(*words, **more)
            finally:
                whole = time.perf_counter() - start
                self.seconds[part] += whole - self._inner.pop()
                self._inner[-1] += whole

        return call


def rebuild(output: str) -> dict[str, float]:
    """Make tables and figures anew in this process; return the seconds by part."""
    from rich.console import Console

    from benchmark import api
    from benchmark.report import build as build_report
    from benchmark.results import folder as folder_results
    from benchmark.results import run, tables

    clock = Clock()
    parts = {
        "records": [(folder_results.Store, "survey"), (run.RunFolder, "state")],
        "tables": [
            (folder_results.Store, name) for name in ("write_tables", "write_table", "table")
        ],
        "statistics": [(tables, "derive")],
        "figures": [(build_report, "write_figures")],
        "page": [(build_report, "write_page")],
        "rest": [(api, "rebuild")],
    }
    for part, functions in parts.items():
        for owner, name in functions:
            setattr(owner, name, clock.timed(part, getattr(owner, name)))
    api.rebuild(output, console=Console(file=io.StringIO()))
    return clock.seconds


def rebuild_apart(output: Path) -> dict[str, float]:
    """Make tables and figures anew in a process of its own; return the seconds by part."""
    command = [sys.executable, str(Path(__file__)), "--rebuild", str(output)]
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    total = time.perf_counter() - start
    inside = json.loads(done.stdout)
    return {**inside, "imports": total - sum(inside.values()), "total": total}


def measure(
    runs: int, epochs: int, rounds: int, output: Path | None = None
) -> dict[str, list[float]]:
    """Return the seconds of every round by part (see PARTS).

    The runs are recorded in `output` where there is no such folder, without it in a temporary one.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = output or Path(temporary) / "results"
        if not folder.exists():
            build(folder, runs, epochs)
        taken = [rebuild_apart(folder) for _ in range(rounds)]
    return {part: [seconds[part] for seconds in taken] for part in PARTS}


def rebuild_seconds(runs: int = 10_000, epochs: int = 30, rounds: int = 3) -> dict[str, float]:
    """Return the medians over the rounds of the seconds that each part (see PARTS) takes."""
    times = measure(runs, epochs, rounds)
    return {part: statistics.median(values) for part, values in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="folder of the runs, made where there is none")
    parser.add_argument("--rebuild", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rebuild:
        print(json.dumps(rebuild(options.rebuild)))
        return
    times = measure(options.runs, options.epochs, options.rounds, options.output)
    print(f"Seconds, median of {options.rounds} rounds (minimum):")
    for part, values in times.items():
        print(f"{part:10} {statistics.median(values):6.2f} ({min(values):.2f})  {PARTS[part]}")


if __name__ == "__main__":
    main()
