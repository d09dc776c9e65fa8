"""A scheduler and its workers as processes of their own, with folders of their own."""

import asyncio
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark import cli, compare
from benchmark.activations import registry
from benchmark.data import loading
from benchmark.errors import RequestError
from benchmark.execution import cluster, comparison
from benchmark.execution.training_run import TrainingRun
from benchmark.results import run
from benchmark.training.spec import RunSpec
from tests.data.test_loading import real_data
from tests.execution.test_comparison import histories, predictions

ROOT = Path(__file__).parents[2]
SMALL = {"dataset": "digits", "limit": 300, "epochs": 3, "seeds": 1}
WORKERS = ("--nworkers", "1", "--nthreads", "1", "--no-dashboard")
LONG = {"activations": "relu,elu", "dataset": "digits", "limit": 300, "seeds": 2, "epochs": 60}


HIDDEN = """
import sys
class Hidden:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] == "benchmark":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
"""


class Cluster:
    """What a user starts by hand: `dask scheduler`, and machines with a worker each."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = {}

    def open(self, machines):
        self.folder.mkdir()
        self.start("scheduler", "scheduler", "--host", "127.0.0.1", "--port", "0")
        self.address = self._file()["address"]
        for name in machines:
            self.start(name, "worker", self.address, *WORKERS)

    def start(self, name, *words, project=True):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        words += ("--scheduler-file", str(folder / "file.json")) if name == "scheduler" else ()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
        # A task that ends its workers is given up sooner than by default.
        environment["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = "1"
        if not project:
            (folder / "sitecustomize.py").write_text(HIDDEN)
            environment["PYTHONPATH"] = str(folder)
        if name == "scheduler":
            words += ("--dashboard-address", "127.0.0.1:0")
        with open(folder / "log", "wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "dask", *words],
                cwd=folder,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def _file(self):
        path = self.folder / "scheduler" / "file.json"
        for _ in range(300):
            if path.exists() and path.read_text():
                return json.loads(path.read_text())
            time.sleep(0.1)
        raise TimeoutError((self.folder / "scheduler" / "log").read_text())

    def lose(self, name):
        """A machine goes: its processes end without a word."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    @contextlib.contextmanager
    def joined(self, name, *words, **more):
        """A further machine for a while; what it left goes with it."""
        self.start(name, "worker", self.address, *words, **more)
        wait_until(lambda: "Registered to" in self.log(name))
        before = self.log("scheduler").count("Remove worker")
        try:
            yield
        finally:
            if name in self.processes:
                self.lose(name)
            wait_until(lambda: self.log("scheduler").count("Remove worker") > before)
            shutil.rmtree(self.folder / name)

    def log(self, name):
        return (self.folder / name / "log").read_text()

    def begun(self, name="*"):
        """The logs of the runs that the workers of a machine, or of all, have under way."""
        return list(self.folder.glob(f"{name}/**/runs/*/log.txt"))

    def close(self):
        for name in list(self.processes):
            self.lose(name)


@contextlib.contextmanager
def opened(folder, machines=("one",)):
    started = Cluster(folder)
    try:
        started.open(machines)
        yield started
    finally:
        started.close()


@pytest.fixture(scope="module")
def steady(tmp_path_factory):
    """A cluster of one machine that no test takes from it."""
    with opened(tmp_path_factory.mktemp("steady") / "cluster") as started:
        yield started


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The long comparison on this machine alone."""
    output = tmp_path_factory.mktemp("local")
    compare(output=output, jobs=1, **LONG)
    return output


def wait_until(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def started(output, address):
    """Start the long comparison on the cluster and wait until epochs are done there."""
    options = [f"--{name}={value}" for name, value in LONG.items()]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmark", "compare", *options),
            *("--output", str(output), "--scheduler", address),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background may have been told to ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for line in process.stdout:
        if ": epoch " in line:
            return process
    raise AssertionError(process.stderr.read())


@pytest.mark.slow
def test_a_lost_worker_costs_a_retry_and_no_bit(steady, local, tmp_path):
    with steady.joined("three", *WORKERS):
        process = started(tmp_path / "out", steady.address)
        wait_until(lambda: steady.begun("three"))
        steady.lose("three")
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert histories(tmp_path / "out") == histories(local)
    assert predictions(tmp_path / "out") == predictions(local)
    runs = pd.read_csv(tmp_path / "out" / "runs.csv")
    assert runs["status"].tolist() == ["complete"] * 4
    # Of the run that was lost with its machine, what came back is of one attempt.
    begun = [
        path.read_text().count(" run digits-") for path in (tmp_path / "out").glob("**/log.txt")
    ]
    assert begun == [1] * 4
    # Nothing was left behind by those that are still there.
    wait_until(lambda: not steady.begun())


@pytest.mark.slow
def test_a_lost_scheduler_costs_nothing_that_was_recorded(local, tmp_path):
    with opened(tmp_path / "cluster") as cluster:
        process = started(tmp_path / "out", cluster.address)
        wait_until(lambda: list((tmp_path / "out").glob("runs/*/run.json")))
        cluster.lose("scheduler")
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "connection to the scheduler broke" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("runs/*/run.json")}
    assert 1 <= len(kept) < 4
    # Here, or on the cluster when it is back: the same command goes on.
    compare(output=tmp_path / "out", jobs=1, **LONG)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert histories(tmp_path / "out") == histories(local)


@pytest.mark.slow
def test_activations_travel(steady, tmp_path):
    """An activation from a file that lies only here."""
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "from benchmark import register_activation\nimport tensorflow as tf\nSLOPE = 0.3\n"
        "@register_activation\ndef steep(x):\n    return tf.maximum(x, SLOPE * x)\n"
    )

    def histories_of(name, *more):
        words = "compare --dataset digits --limit 300 --activations steep --epochs 2 --seeds 1"
        words = [*words.split(), "--plugin", str(plugin), "--output", str(tmp_path / name), *more]
        with registry.temporary_registrations():
            assert cli.main(words) == 0
        return histories(tmp_path / name)

    there = histories_of("there", "--scheduler", steady.address)
    assert there == histories_of("here", "--jobs", "1")


@pytest.mark.slow
@pytest.mark.skipif(real_data() is None, reason="needs mnist.npz in BENCHMARK_TEST_DATA")
def test_data_travel(steady, tmp_path, monkeypatch):
    """Data that lie only here: the workers look for none."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mnist.npz").symlink_to(real_data() / "mnist.npz")
    settings = {"dataset": "mnist", "data_dir": tmp_path / "data", "limit": 200, "epochs": 1}
    compare(["relu"], seeds=1, jobs=1, output=tmp_path / "here", **settings)
    there = tmp_path / "there"
    compare(["relu"], seeds=1, scheduler=steady.address, output=there, **settings)
    assert histories(there) == histories(tmp_path / "here")
    assert predictions(there) == predictions(tmp_path / "here")
    # Cleared up after the job.
    wait_until(lambda: not list(steady.folder.glob("*/**/*.npz")))


@pytest.mark.slow
def test_runs_stop_when_nobody_wants_them_any_more(steady, tmp_path):
    process = started(tmp_path / "out", steady.address)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "Finished runs are kept" in errors
    # They stop at the end of an epoch, and leave nothing in their folders.
    wait_until(lambda: not list(steady.folder.glob("*/**/runs")))


@pytest.mark.slow
def test_a_worker_without_the_project_is_named(steady, tmp_path):
    with (
        steady.joined("bare", *WORKERS[2:], "--no-nanny", project=False),
        pytest.raises(RequestError, match="cannot be used: .*: install this project there"),
    ):
        compare(["relu"], scheduler=steady.address, output=tmp_path / "out", **SMALL)


@pytest.mark.slow
def test_a_worker_with_several_threads_is_refused(steady, tmp_path):
    with (
        steady.joined("wide", "--nthreads", "2", "--no-nanny"),
        pytest.raises(RequestError, match=r"has 2 threads.*`dask worker .* --nthreads 1`"),
    ):
        compare(["relu"], scheduler=steady.address, output=tmp_path / "out", **SMALL)


@pytest.mark.slow
def test_workers_set_up_for_another_job_start_anew(steady, tmp_path):
    for threads in (1, 2):
        results = compare(
            ["relu"], scheduler=steady.address, output=tmp_path, threads=threads, **SMALL
        )
        assert set(results.runs["status"]) == {"complete"}


@pytest.mark.slow
def test_workers_may_come_later(tmp_path, capfd):
    with opened(tmp_path / "cluster", machines=()) as cluster:
        start = threading.Timer(5, cluster.start, ["one", "worker", cluster.address, *WORKERS])
        start.start()
        results = compare(["relu"], scheduler=cluster.address, output=tmp_path / "out", **SMALL)
    assert results.runs["status"].tolist() == ["complete"]
    assert "no workers yet" in capfd.readouterr().out


def test_no_scheduler_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense://x", "127.0.0.1:no", ""):
        with pytest.raises(RequestError, match=r"scheduler '.*' cannot be reached"):
            compare(["relu"], scheduler=address, output=tmp_path / "out", **SMALL)
    assert not (tmp_path / "out").exists()


def test_what_never_answers_is_no_scheduler(tmp_path, monkeypatch):
    """Another server at that port, the scheduler's own web page for instance."""
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(RequestError, match="cannot be reached"):
            compare(["relu"], scheduler=address, output=tmp_path / "out", **SMALL)


def test_the_event_loop_of_a_notebook_is_not_in_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)

    async def ask():
        compare(["relu"], scheduler="tcp://127.0.0.1:9", output=tmp_path / "out", **SMALL)

    with pytest.raises(RequestError, match="cannot be reached") as caught:
        asyncio.run(ask())
    assert "event loop" not in str(caught.value)


def test_jobs_are_the_clusters_own(tmp_path):
    with pytest.raises(RequestError, match="jobs 2 cannot be used with a scheduler"):
        compare(["relu"], scheduler="tcp://127.0.0.1:9", jobs=2, output=tmp_path, **SMALL)


def test_packed_data_are_the_same_data(tmp_path):
    draw = np.random.default_rng(0)
    images, labels = draw.integers(0, 256, (50, 28, 28, 1), np.uint8), np.arange(50) % 10
    data = loading.Dataset(
        "mnist", "here", "a file", "", images, labels.astype(np.uint8), *(images, labels), 255.0, 10
    )
    (tmp_path / "x.npz").write_bytes(cluster.packed(data))
    # What is an .npz file already travels as it is.
    file = dataclasses.replace(data, path=str(tmp_path / "x.npz"))
    assert cluster.packed(file) == (tmp_path / "x.npz").read_bytes()
    with np.load(tmp_path / "x.npz") as archive:
        arrays = dict(archive)
    assert np.array_equal(arrays["x_train"], images[..., 0])
    assert np.array_equal(arrays["y_test"], labels)
    # What comes inside a package is there on each machine.
    assert cluster.packed(loading.load(loading.locate("digits"))) == b""


def test_files_of_a_run_travel(tmp_path):
    compare(["relu"], output=tmp_path / "a", jobs=1, **SMALL)
    (folder,) = (tmp_path / "a" / "runs").glob("*")
    files = run.RunFolder(folder).files()
    assert set(files) == {"run.json", "history.csv", "predictions.csv.gz", "log.txt"}
    there = run.RunFolder(tmp_path / "b" / "runs" / folder.name)
    there.path.mkdir(parents=True)
    (there.path / "checkpoint").write_bytes(b"of an earlier attempt here")
    there.receive({**files, "../../stray": b"no"})
    assert there.done() == run.RunFolder(folder).done()
    assert {path.name for path in there.path.iterdir()} == {*files, ".lock"}
    assert not list(tmp_path.glob("**/stray"))


def test_a_gpu_run_asks_for_a_gpu(monkeypatch):
    asked = []

    class Client:
        def submit(self, *arguments, **options):
            asked.append(options)

    made = cluster.Cluster.__new__(cluster.Cluster)
    made._client, made._topic = Client(), "job"
    located = loading.locate("digits")
    for device in ("CPU", "GPU"):
        spec = RunSpec("digits", "relu", 0, device=device)
        made._start(TrainingRun(spec, located, "", b"", {}, False), 5)
    assert "resources" not in asked[0]
    assert asked[1]["resources"] == {"GPU": 1}
    assert [options["priority"] for options in asked] == [-5, -5]


def test_a_gpu_run_without_gpu_fails_and_says_why(tmp_path, monkeypatch):
    prepare = comparison.prepare

    def on_gpu(*arguments, **more):
        prepared = prepare(*arguments, **more)
        specs = [dataclasses.replace(spec, device="GPU") for spec in prepared.specs]
        return dataclasses.replace(prepared, specs=specs, device="GPU")

    monkeypatch.setattr(comparison, "prepare", on_gpu)
    results = compare(["relu"], output=tmp_path, jobs=1, **SMALL)
    assert results.runs["status"].tolist() == ["failed"]
    assert "no GPU on this machine" in results.runs["error"][0]
