"""Time what a run costs beyond its training: start-up, scheduling, records; here and on a cluster.

Usage: python perf/overhead.py [--runs 500] [--output results/perf]

Tiny runs (60 images of digits, one epoch) of two activations and many seeds, with one worker and
with two. Writes overhead.csv (measure, workers, where, value, unit) and overhead.md.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from benchmark.execution import comparison, task
from benchmark.execution.cluster import Cluster
from benchmark.execution.local import LocalWorkers
from benchmark.results import provenance
from benchmark.results.folder import Store
from benchmark.results.formats import csv_text, write_atomic
from benchmark.training.request import request

ACTIVATIONS = ("relu", "gelu")
HERE_WORKERS, CLUSTER = "this machine", "cluster"


@contextlib.contextmanager
def pool(where: str, workers: int, job: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Provide workers, and the processes besides this one that schedule for them."""
    if where == HERE_WORKERS:
        with contextlib.closing(LocalWorkers(workers)) as local:
            yield local, []
        return
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        address = Path(folder) / "scheduler.json"
        names = [["scheduler", "--host", "127.0.0.1", "--port", "0"]]
        names[0] += ["--dashboard-address", "127.0.0.1:0"]
        names += [["worker", "--nthreads", "1", "--no-dashboard"] for _ in range(workers)]
        started = []
        for words in names:
            command = [sys.executable, "-m", "dask", *words, "--scheduler-file", str(address)]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            started.append(subprocess.Popen(command, cwd=folder, env=_environment(folder), **quiet))
            stack.callback(started[-1].wait)
            stack.callback(started[-1].terminate)
            while not address.exists():
                time.sleep(0.1)
        with contextlib.closing(Cluster(json.loads(address.read_text())["address"])) as cluster:
            while cluster.size() < workers:
                time.sleep(0.1)
            cluster.prepare(job.data, job.settings)
            yield cluster, [psutil.Process(started[0].pid)]


def _environment(folder: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(HERE.parent), "TMPDIR": folder}


def prepared(runs: int) -> Any:
    """Return the tiny runs as a job."""
    seeds = -(-runs // len(ACTIVATIONS))
    wanted = request(activations=list(ACTIVATIONS), seeds=seeds, epochs=1, limit=60)
    return comparison.prepare(wanted, "digits", None)


def measure(where: str, workers: int, runs: int) -> dict[str, float]:
    """Do the runs and return seconds: `start` until the first step, `first` for a worker's first
    run of an activation (tracing and compiling), `overhead` for each run beyond its training, and
    `serial`, the processor time per run of what there is only one of: this process and the
    scheduler; on a cluster `event`, the same for each event of a run's progress."""
    job = prepared(runs)
    with tempfile.TemporaryDirectory() as output:
        store = Store(output)
        store.prepare()
        tasks = comparison.training_runs(job, store, provenance.describe())
        first_step, ends, training = [], [], []
        begun = time.perf_counter()

        def heard(event: dict) -> None:
            if event["kind"] in ("progress", "milestone") and not first_step:
                first_step.append(time.perf_counter() - begun)

        with pool(where, workers, job) as (kept, others):

            def used() -> float:
                return time.process_time() + sum(sum(p.cpu_times()[:2]) for p in others)

            processor = used()
            for record in kept.run(tasks, heard):
                ends.append(time.perf_counter())
                training.append(record["scores"]["seconds"])
            processor = used() - processor
            event = event_seconds(kept, used) if where == CLUSTER else 0.0
    # Each worker compiles each activation once, at its first run of it.
    warm = min(2 * workers * len(ACTIVATIONS), len(ends) // 2)
    cycle = (ends[-1] - ends[warm]) * workers / (len(ends) - 1 - warm)
    return {
        "start": first_step[0],
        "first": statistics.median(sorted(training, reverse=True)[: workers * len(ACTIVATIONS)]),
        "overhead": cycle - statistics.mean(training[warm + 1 :]),
        "throughput": workers / cycle,
        "serial": processor / len(ends),
        "event": event,
    }


def event_seconds(kept: Any, used: Callable[[], float], events: int = 2000) -> float:
    """Return the processor time that an event of a run costs the scheduler and this process."""

    def chatter(topic: str) -> None:
        from distributed import get_worker

        for step in range(events):
            get_worker().log_event(topic, {"run": "x" * 40, "kind": "progress", "share": step})

    heard = []
    kept._client.subscribe_topic("chatter", heard.append)
    before = used()
    kept._client.submit(chatter, "chatter").result()
    while len(heard) < events:
        time.sleep(0.05)
    return (used() - before) / events


def table(found: dict[tuple[str, int], dict[str, float]], run_seconds: float) -> str:
    """Return the figures as Markdown, with what more workers would give."""
    lines = [
        "| where | workers | first step after | first run of an activation | overhead per run |"
        " runs per second |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (where, workers), row in found.items():
        lines.append(
            f"| {where} | {workers} | {row['start']:.1f} s | {row['first']:.2f} s |"
            f" {row['overhead']:.3f} s | {row['throughput']:.1f} |"
        )
    row = found[CLUSTER, 2]
    events = run_seconds / task.EVENT_SECONDS
    serial = row["serial"] + events * row["event"]
    lines += [
        "",
        f"The scheduler and the process that asks need {row['serial'] * 1000:.1f} ms of processor"
        f" time per run together, and {row['event'] * 1000:.2f} ms per event of its progress. For"
        f" runs of {run_seconds:.0f} s of training (MNIST, 3 epochs), which send {events:.0f} of"
        f" them, that is {serial * 1000:.0f} ms: no more than {1 / serial:.0f} runs a second,"
        " however many workers. Computed from that:",
        "",
        "| workers | runs per hour | of the ideal |",
        "| --- | --- | --- |",
    ]
    overhead = found[CLUSTER, 2]["overhead"]
    for workers in (1, 2, 10, 100, 1000):
        rate = min(workers / (run_seconds + overhead), 1 / serial)
        lines.append(f"| {workers} | {rate * 3600:.0f} | {rate * run_seconds / workers:.1%} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument(
        "--run-seconds", type=float, default=40.0, help="of the runs extrapolated to"
    )
    parser.add_argument("--output", type=Path, default=Path("results/perf"))
    options = parser.parse_args()
    found = {}
    for where in (HERE_WORKERS, CLUSTER):
        for workers in (1, 2):
            found[where, workers] = measure(where, workers, options.runs)
            print(where, workers, found[where, workers], flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "measure": name,
            "workers": workers,
            "where": where,
            "value": value,
            "unit": "runs/s" if name == "throughput" else "s",
        }
        for (where, workers), row in found.items()
        for name, value in row.items()
    ]
    columns = ("measure", "workers", "where", "value", "unit")
    write_atomic(options.output / "overhead.csv", csv_text(columns, rows))
    write_atomic(options.output / "overhead.md", table(found, options.run_seconds))
    print(table(found, options.run_seconds))


if __name__ == "__main__":
    main()
