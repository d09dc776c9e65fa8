"""Time this benchmark's training against plain Keras, PyTorch and the machine's limit.

Usage: python perf/compare.py [--quick] [--rounds 5] [--steps 40] [--output results/perf]

Every round times every system once on every activation, one after another, so that a machine whose
speed drifts is unfair to none. Then what comes beside the training: start-up, the cost per run of
many tiny runs (perf/overhead.py), tables and figures of many runs (perf/rebuild.py). Writes
speed.csv (measure, activation, system, value, unit) and speed.md. PyTorch is left out where it is
not installed.
"""

import argparse
import importlib.util
import shlex
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import overhead
import rebuild

from benchmark.activations import ARTICLE_SIX
from benchmark.results.formats import csv_text, write_atomic
from benchmark.results.provenance import cores

BATCH = 128
# Tiny runs, and recorded runs of 30 epochs; fewer with --quick.
RUNS = {False: (500, 10_000), True: (60, 1_000)}


@dataclass
class Lane:
    """One way to run the trainings: so many processes of a system at once."""

    name: str
    system: str
    processes: int
    threads: int
    running: list[subprocess.Popen] = field(default_factory=list)
    # Milliseconds per step of the whole lane, by activation, a value per round.
    times: dict[str, list[float]] = field(default_factory=dict)
    memory: float = 0.0

    def start(self) -> None:
        """Start the processes."""
        command = [sys.executable, str(HERE / "systems.py"), self.system, str(self.threads)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.running = [
            subprocess.Popen(command, stderr=subprocess.DEVNULL, bufsize=1, **pipes)
            for _ in range(self.processes)
        ]

    def wait(self) -> None:
        """Wait until the processes are ready."""
        for process in self.running:
            if process.stdout.readline().strip() != "ready":
                raise RuntimeError(f"{self.name} did not start: run {shlex.join(process.args)}")

    def run(self, activation: str, steps: int) -> float:
        """Train on all processes at once; return milliseconds per step of the lane."""
        for process in self.running:
            print(activation, steps, file=process.stdin)
        answers = [process.stdout.readline().split() for process in self.running]
        self.memory = max(self.memory, *(float(memory) for _, memory in answers))
        slowest = max(float(seconds) for seconds, _ in answers)
        return slowest * 1000 / (steps * self.processes)

    def stop(self) -> None:
        """End the processes."""
        for process in self.running:
            process.stdin.close()
            process.wait()


def lanes(quick: bool) -> list[Lane]:
    """Return what is timed on this machine."""
    count = cores()
    kept = [
        Lane("ours", "ours", count, 1),
        Lane("ours, one run", "ours", 1, 1),
        Lane("plain Keras", "keras", 1, 0),
        Lane("plain Keras, 1 thread", "keras", 1, 1),
        Lane("limit", "limit", count, 1),
    ]
    if importlib.util.find_spec("torch"):
        kept += [
            Lane("PyTorch", "torch", 1, count),
            Lane("PyTorch compiled", "torch-compiled", 1, count),
        ]
        if not quick:
            kept += [Lane("PyTorch, side by side", "torch", count, 1)]
    return kept


def measure(timed: list[Lane], activations: list[str], rounds: int, steps: int) -> None:
    """Fill in the lanes' times."""
    for lane in timed:
        lane.start()
    for lane in timed:
        lane.wait()
        for activation in activations:
            lane.run(activation, 2)
    for number in range(rounds):
        for activation in activations:
            for lane in timed:
                lane.times.setdefault(activation, []).append(lane.run(activation, steps))
        print(f"round {number + 1} of {rounds}", flush=True)
    for lane in timed:
        lane.stop()


def whole(lane: Lane) -> list[float]:
    """Return for each round the milliseconds per step over all activations together."""
    return [statistics.mean(values) for values in zip(*lane.times.values())]


def rows(timed: list[Lane]) -> list[dict]:
    """Return the rows of speed.csv."""
    kept = []
    for lane in timed:
        for activation, times in [*lane.times.items(), ("all", whole(lane))]:
            values = {
                "step_median": (statistics.median(times), "ms"),
                "step_min": (min(times), "ms"),
                "throughput": (BATCH * 1000 / statistics.median(times), "images/s"),
            }
            kept += [
                {"measure": m, "activation": activation, "system": lane.name, "value": v, "unit": u}
                for m, (v, u) in values.items()
            ]
        kept.append(
            {
                "measure": "peak_memory",
                "activation": "all",
                "system": lane.name,
                "value": lane.memory,
                "unit": "MB",
            }
        )
    return kept


def better(timed: list[Lane], prefix: str) -> Lane | None:
    """Return the faster of the lanes of that system that run one training at a time."""
    found = [lane for lane in timed if lane.name.startswith(prefix) and lane.processes == 1]
    return min(found, key=lambda lane: statistics.median(whole(lane)), default=None)


def table(timed: list[Lane]) -> str:
    """Return the comparison as Markdown."""
    activations = list(timed[0].times)
    lines = [
        "Milliseconds per training step of 128 images: median over the rounds (minimum).",
        "",
        "| system | " + " | ".join(activations) + " | all | peak memory of a process |",
        "| --- |" + " --- |" * (len(activations) + 2),
    ]
    for lane in timed:
        columns = [*lane.times.values(), whole(lane)]
        cells = [f"{statistics.median(times):.1f} ({min(times):.1f})" for times in columns]
        lines.append(f"| {lane.name} | " + " | ".join(cells) + f" | {lane.memory:.0f} MB |")
    ours, limit = timed[0], next(lane for lane in timed if lane.system == "limit")
    lines += ["", "Ratios of medians:", ""]
    for prefix in ("plain Keras", "PyTorch"):
        other = better(timed, prefix)
        if other:
            ratio = statistics.median(whole(other)) / statistics.median(whole(ours))
            each = ", ".join(
                f"{name} {statistics.median(other.times[name]) / statistics.median(times):.2f}"
                for name, times in ours.times.items()
            )
            lines.append(f"- {other.name} over ours, whole job: {ratio:.2f} ({each})")
    over = statistics.median(whole(ours)) / statistics.median(whole(limit))
    lines.append(f"- ours over the matrix-product limit: {over:.2f}")
    medians = {name: statistics.median(times) for name, times in ours.times.items()}
    slowest = max(medians, key=medians.get)
    if "relu" in medians:
        ratio = medians[slowest] / medians["relu"]
        lines.append(f"- slowest of ours ({slowest}) over relu: {ratio:.2f}")
    return "\n".join(lines) + "\n"


def beside(quick: bool) -> tuple[list[dict], str]:
    """Measure what comes beside the training; return rows of speed.csv and Markdown."""
    tiny, recorded = RUNS[quick]
    found = overhead.measure(overhead.HERE_WORKERS, cores(), tiny)
    rebuilt = rebuild.rebuild_seconds(recorded, rounds=1 if quick else 3)
    values = {
        "start_up": (found["start"], "until the first step of the first run is done"),
        "first_run": (
            found["first"],
            "training of a worker's first run of an activation (compiled)",
        ),
        "overhead_per_run": (found["overhead"], f"per run beyond its training, {tiny} tiny runs"),
        "tables": (
            rebuilt["total"] - rebuilt["figures"],
            f"tables from {recorded} runs of 30 epochs",
        ),
        "tables_and_figures": (rebuilt["total"], "the same with the figures"),
    }
    lines = ["", "| what | seconds |", "| --- | --- |"]
    lines += [f"| {text} | {value:.3g} |" for value, text in values.values()]
    return [
        {"measure": name, "activation": "all", "system": "ours", "value": value, "unit": "s"}
        for name, (value, _) in values.items()
    ], "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="relu and gelu, 2 rounds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40, help="steps timed at once")
    parser.add_argument("--output", type=Path, default=Path("results/perf"))
    options = parser.parse_args()
    activations = ["relu", "gelu"] if options.quick else list(ARTICLE_SIX)
    timed = lanes(options.quick)
    measure(timed, activations, 2 if options.quick else options.rounds, options.steps)
    options.output.mkdir(parents=True, exist_ok=True)
    columns = ("measure", "activation", "system", "value", "unit")
    write_atomic(options.output / "speed.csv", csv_text(columns, rows(timed)))
    more, text = beside(options.quick)
    write_atomic(options.output / "speed.csv", csv_text(columns, rows(timed) + more))
    write_atomic(options.output / "speed.md", table(timed) + text)
    print(table(timed) + text)


if __name__ == "__main__":
    main()
