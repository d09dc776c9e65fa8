"""From a request to files: one process, several workers, kills, failures."""

import errno
import hashlib
import io
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmark import api, cli, compare, load_results, register_activation
from benchmark.activations import resolve
from benchmark.activations.fingerprint import fingerprint
from benchmark.errors import RequestError
from benchmark.execution import local, workers
from benchmark.results import run as run_results
from benchmark.results.run import write_atomic
from benchmark.training.loop import Checkpoint
from tests.activations.test_checks import branches

pytestmark = pytest.mark.usefixtures("no_figures")
ROOT = Path(__file__).parents[2]
SMALL = {"dataset": "digits", "limit": 200, "epochs": 2, "seeds": 1}


def without_seconds(text):
    lines = [line.split(",") for line in text.splitlines()]
    place = lines[0].index("seconds")
    return [line[:place] + line[place + 1 :] for line in lines]


def histories(output):
    paths = sorted(Path(output).glob("runs/*/history.csv"))
    return {path.parent.name: without_seconds(path.read_text()) for path in paths}


def predictions(output):
    paths = sorted(Path(output).glob("runs/*/predictions.csv.gz"))
    return {path.parent.name: path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Output of a small comparison in this process, with its figures."""
    output = tmp_path_factory.mktemp("finished")
    compare(["relu", "selu"], output=output, jobs=1, **SMALL)
    return output


def test_compare_gives_tidy_frames(finished):
    epochs, runs, (answer,) = load_results(finished)
    assert len(epochs) == 4
    assert runs["status"].tolist() == ["complete", "complete"]
    assert runs["activation"].tolist() == ["relu", "selu"]
    assert sorted(answer["use"]) == ["relu", "selu"]
    assert (runs["data_origin"] == "scikit-learn").all()
    assert (runs["data_sha256"].str.len() == 64).all()
    assert (runs["peak_memory_mb"] > 10).all()
    assert (runs["load"] >= 0).all()
    # One thread at a time.
    assert runs["own_load"].tolist() == [round(1 / os.cpu_count(), 3)] * 2
    last = epochs[epochs["epoch"] == 2].set_index("run")["val_accuracy"]
    assert last.to_dict() == runs.set_index("run")["val_accuracy"].to_dict()


def test_all_files_of_the_contract(finished):
    names = {path.name for path in finished.iterdir()}
    tables = "history runs summary comparisons pairs time_to_accuracy confusion misclassified"
    wanted = {f"{name}.csv" for name in tables.split()} | {"runs", "figures"}
    wanted |= {"answer.json", "environment.json", "request.json"}
    assert {name for name in names if not name.startswith(".")} == wanted
    figures = {path.name for path in (finished / "figures").iterdir()}
    kinds = "accuracy loss final_accuracy differences accuracy_time confusion misclassified"
    assert figures == {f"{kind}.{end}" for kind in kinds.split() for end in ("png", "svg")}
    for folder in (finished / "runs").iterdir():
        files = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        assert files == {"history.csv", "run.json", "predictions.csv.gz", "log.txt"}
    record = json.loads(next(finished.glob("runs/*/run.json")).read_text())
    assert record["environment"]["versions"]["tensorflow"]
    assert record["data"]["origin"] == "scikit-learn"


def test_summary_counts_means_and_deviations(finished):
    summary = pd.read_csv(finished / "summary.csv").set_index("activation")
    runs = pd.read_csv(finished / "runs.csv").set_index("activation")
    assert summary["n_completed"].tolist() == [1, 1]
    assert summary.loc["relu", "test_accuracy_mean"] == runs.loc["relu", "test_accuracy"]
    assert summary["test_accuracy_std"].isna().all()


def test_log_tells_the_epochs(finished):
    log = next(finished.glob("runs/*relu*/log.txt")).read_text()
    assert "epoch 1/2: loss" in log
    assert "epoch 2/2: loss" in log


def test_finished_runs_are_not_touched(finished):
    def times():
        return {
            path: path.stat().st_mtime_ns
            for path in finished.glob("runs/*/*")
            if not path.name.startswith(".")
        }

    before = times()
    compare(["relu", "selu"], output=finished, jobs=1, **SMALL)
    assert times() == before


def test_damaged_run_is_done_again(finished):
    before = histories(finished), predictions(finished)
    victim = next(finished.glob("runs/*relu*/predictions.csv.gz"))
    untouched = next(finished.glob("runs/*selu*/run.json"))
    stamp = untouched.stat().st_mtime_ns
    victim.write_text("index,true")
    compare(["relu", "selu"], output=finished, jobs=1, **SMALL)
    assert (histories(finished), predictions(finished)) == before
    assert untouched.stat().st_mtime_ns == stamp


def test_fresh_trains_again_to_the_same_numbers(finished):
    before = histories(finished)
    stamp = next(finished.glob("runs/*relu*/run.json")).stat().st_mtime_ns
    compare(["relu", "selu"], output=finished, jobs=1, fresh=True, **SMALL)
    assert histories(finished) == before
    assert next(finished.glob("runs/*relu*/run.json")).stat().st_mtime_ns > stamp


def test_slow_runs_start_first(tmp_path, monkeypatch):
    started = []

    def run(self, tasks, report):
        started.extend((task.spec.model, task.spec.seed, task.spec.activation) for task in tasks)
        return iter(())

    monkeypatch.setattr(workers.InProcess, "run", run)
    settings = {**SMALL, "seeds": 2, "model": ["mlp", "cnn"]}
    compare(["relu", "selu"], output=tmp_path, jobs=1, **settings)
    wanted = [(m, s, a) for m in ("cnn", "mlp") for s in (0, 1) for a in ("relu", "selu")]
    assert started == wanted


def test_interrupted_run_goes_on_after_its_last_epoch(tmp_path, finished, monkeypatch):
    saved = run_results.RunFolder.save_checkpoint

    def stop(folder, checkpoint):
        saved(folder, checkpoint)
        raise KeyboardInterrupt

    monkeypatch.setattr(run_results.RunFolder, "save_checkpoint", stop)
    with pytest.raises(KeyboardInterrupt):
        compare(["relu"], output=tmp_path, jobs=1, **SMALL)
    monkeypatch.undo()
    assert not list(tmp_path.glob("runs/*/run.json"))
    compare(["relu", "selu"], output=tmp_path, jobs=1, **SMALL)
    assert histories(tmp_path) == histories(finished)
    assert predictions(tmp_path) == predictions(finished)
    log = next(tmp_path.glob("runs/*relu*/log.txt")).read_text()
    assert "going on after epoch 1 of 2" in log
    assert "epoch 2/2" in log.split("going on")[1]
    assert "epoch 1/2" not in log.split("going on")[1]


def test_run_that_crashes_is_recorded_and_the_others_go_on(tmp_path, monkeypatch):
    import benchmark.training.loop as training

    whole = training.train

    def train(spec, *rest):
        if spec.activation == "relu":
            print("about to crash")
            raise ZeroDivisionError("on purpose")
        return whole(spec, *rest)

    monkeypatch.setattr(training, "train", train)
    results = compare(["relu", "selu"], output=tmp_path, jobs=1, **SMALL)
    assert results.runs["status"].tolist() == ["failed", "complete"]
    assert results.runs["error"].tolist()[0] == "ZeroDivisionError: on purpose"
    record = json.loads(next(tmp_path.glob("runs/*relu*/run.json")).read_text())
    assert "about to crash" in record["log_end"]
    assert "Traceback" in record["log_end"]
    assert api.failures(results) == 1
    monkeypatch.undo()
    assert api.failures(compare(["relu", "selu"], output=tmp_path, jobs=1, **SMALL)) == 0


def test_divergence_is_recorded(tmp_path):
    results = compare(
        ["linear"], output=tmp_path, jobs=1, learning_rate=1e30, **{**SMALL, "epochs": 4}
    )
    assert results.runs["status"].tolist() == ["diverged"]
    assert api.failures(results) == 0
    assert pd.read_csv(tmp_path / "summary.csv")["n_diverged"].tolist() == [1]
    before = next(tmp_path.glob("runs/*/run.json")).stat().st_mtime_ns
    compare(["linear"], output=tmp_path, jobs=1, learning_rate=1e30, **{**SMALL, "epochs": 4})
    assert next(tmp_path.glob("runs/*/run.json")).stat().st_mtime_ns == before


def test_full_disk_on_the_way(finished, monkeypatch, capfd):
    before = histories(finished)
    write = write_atomic

    def full(path, content):
        if "elu-s1" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(run_results, "write_atomic", full)
    words = "--dataset digits --limit 200 --epochs 2 --seeds 1,2 --activations elu --jobs 1"
    assert cli.main(["compare", *words.split(), "--output", str(finished)]) == 1
    out, err = capfd.readouterr()
    assert err == ("error: the disk is full; what is recorded stays, the same command goes on\n")
    assert "elu, seed 1: failed: the disk is full" in out
    assert "seed 2" not in out
    assert {name: rows for name, rows in histories(finished).items() if name in before} == before


def test_own_activations_from_python(tmp_path):
    @register_activation
    def half_relu(x):
        import tensorflow as tf

        return 0.5 * tf.nn.relu(x)

    register_activation("branches")(branches)
    names = ["half_relu", "branches"]
    before = [fingerprint(resolve(name)) for name in names]
    screen = io.StringIO()
    console = Console(file=screen, width=200)
    runs = compare(names, output=tmp_path, jobs=1, console=console, **SMALL).runs
    # The second is NaN where it is compiled.
    assert runs["status"].tolist() == ["complete", "complete"]
    hashes = [fingerprint(resolve(name)) for name in names]
    assert runs["activation_sha256"].tolist() == hashes
    assert hashes[0] == before[0]
    assert hashes[1] != before[1]
    said = screen.getvalue()
    assert said.startswith("Checking your activations: half_relu and branches.")
    assert "'branches' is trained uncompiled" in said


def test_own_activation_that_is_wrong_is_named_before_training(tmp_path):
    @register_activation
    def nothing_but_nan(x):
        return x * float("nan")

    with pytest.raises(RequestError, match="'nothing_but_nan' has a value that is not finite"):
        compare(["nothing_but_nan"], output=tmp_path, jobs=1, **SMALL)
    assert not list(tmp_path.glob("runs/*/run.json"))


def test_functions_not_asked_for_are_left_alone(tmp_path):
    register_activation("broken_one")(lambda x: x * float("nan"))
    results = compare(["relu"], output=tmp_path, jobs=1, **SMALL)
    assert results.runs["status"].tolist() == ["complete"]


def test_fresh_forgets_nothing_before_the_request_is_found_good(tmp_path, finished):
    before = histories(finished)
    register_activation("broken_one")(lambda x: x * float("nan"))
    with pytest.raises(RequestError, match="broken_one"):
        compare(["relu", "broken_one"], output=finished, jobs=1, fresh=True, **SMALL)
    assert histories(finished) == before


def test_wrong_request_creates_no_folder(tmp_path):
    for wrong in ({"dataset": "mnits"}, {"dataset": "digits", "limit": 10**6}, {"style": "x"}):
        with pytest.raises(RequestError):
            compare(["relu"], output=tmp_path / "new", jobs=1, **wrong)
    assert not (tmp_path / "new").exists()


def test_data_folder_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCHMARK_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(RequestError, match="nowhere"):
        compare(["relu"], "auto", output=tmp_path, jobs=1)


def test_checkpoint_of_another_model_is_begun_anew(tmp_path, finished):
    compare(["relu"], output=tmp_path, jobs=1, **SMALL)
    folder = run_results.RunFolder(next(tmp_path.glob("runs/*")))
    (folder.path / "run.json").unlink()
    names = ("loss", "accuracy", "binary_accuracy")
    row = dict.fromkeys([*names, *(f"val_{name}" for name in names), "seconds"], 0.5)
    folder.save_checkpoint(Checkpoint([{"epoch": 1, **row}], [np.zeros(3)]))
    compare(["relu"], output=tmp_path, jobs=1, **SMALL)
    assert folder.done()
    assert histories(tmp_path).items() <= histories(finished).items()
    assert "starting anew" in folder.log.read_text()


def test_a_checkpoint_that_cannot_be_read_is_begun_anew(tmp_path, finished):
    """One with a right digest and unreadable content made the run fail at every attempt."""
    victim = next(finished.glob("runs/*relu*"))
    folder = run_results.RunFolder(tmp_path / "runs" / victim.name)
    folder.path.mkdir(parents=True)
    content = b"not an archive"
    (folder.path / "checkpoint").write_bytes(hashlib.sha256(content).digest() + content)
    compare(["relu"], output=tmp_path, jobs=1, **SMALL)
    assert folder.done()
    assert histories(tmp_path).items() <= histories(finished).items()
    assert "checkpoint cannot be read: starting anew" in folder.log.read_text()


def test_article_preset_end_to_end(tmp_path):
    settings = {**SMALL, "epochs": 2, "preset": "article"}
    results = compare(["relu"], output=tmp_path, jobs=1, **settings)
    (run,) = results.runs.to_dict("records")
    assert (run["validation"], run["loss_function"]) == ("test", "binary_crossentropy")
    # The test set is the validation set, and both accuracies stand side by side.
    assert run["val_accuracy"] == run["test_accuracy"]
    assert run["val_loss"] == run["test_loss"]
    assert run["test_binary_accuracy"] == run["val_binary_accuracy"] > run["test_accuracy"]


def test_unknown_setting_is_refused(tmp_path):
    with pytest.raises(RequestError, match=r"'learningrate'.*learning_rate"):
        compare(["relu"], output=tmp_path, learningrate=0.1)
    with pytest.raises(RequestError, match="unknown setting 'auto'"):
        compare(["relu"], output=tmp_path, auto=True)


def test_nothing_is_left_behind(tmp_path, finished):
    import keras
    import matplotlib

    np.random.seed(5)
    state, backend = np.random.get_state()[1].copy(), matplotlib.get_backend()
    settings, here = dict(matplotlib.rcParams), Path.cwd()
    main = sys.modules["__main__"]
    kept = getattr(main, "__file__", None), main.__spec__
    compare(["relu", "selu"], output=finished, jobs=1, fresh=True, **SMALL)
    assert np.array_equal(np.random.get_state()[1], state)
    assert matplotlib.get_backend() == backend
    assert dict(matplotlib.rcParams) == settings
    assert (getattr(main, "__file__", None), main.__spec__) == kept
    assert Path.cwd() == here
    assert keras.config.floatx() == "float32"


# Long enough to be killed on the way, as a command and in this process.
LONG = {"activations": "selu,rrelu", "dataset": "digits", "limit": 300, "seeds": 2, "epochs": 6}


def command(output, *more):
    options = [f"--{name}={value}" for name, value in LONG.items()]
    return [sys.executable, "-m", "benchmark", "compare", *options, "--output", str(output), *more]


def run(words, **options):
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, **options)


def started(words):
    """Start a command that can be interrupted as from a keyboard."""
    return subprocess.Popen(
        words,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A parent that runs in the background may have Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_until(condition, seconds=200):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    output = tmp_path_factory.mktemp("uninterrupted")
    compare(output=output, jobs=1, **LONG)
    return output


@pytest.mark.slow
def test_jobs_do_not_change_the_numbers(tmp_path, uninterrupted):
    done = run(command(tmp_path, "--jobs", "2"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "Registering" not in done.stdout
    assert "oneDNN" not in done.stdout
    assert "left:" in done.stdout
    assert histories(tmp_path) == histories(uninterrupted)
    assert predictions(tmp_path) == predictions(uninterrupted)


def epochs_done(output):
    return sum(log.read_text().count(": loss") for log in Path(output).glob("runs/*/log.txt"))


@pytest.mark.slow
@pytest.mark.parametrize("place", range(int(os.environ.get("BENCHMARK_TEST_KILLS", "2"))))
def test_killed_job_goes_on_bit_for_bit(tmp_path, uninterrupted, place):
    dice = random.Random(place)
    process = started(command(tmp_path, "--jobs", dice.choice("12")))
    epochs = dice.randrange(24)
    wait_until(lambda: epochs_done(tmp_path) >= epochs or process.poll() is not None)
    time.sleep(dice.uniform(0, 0.5))
    if dice.random() < 0.5:
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for record in tmp_path.glob("runs/*/run.json"):
        assert json.loads(record.read_text())["status"] == "complete"
    compare(output=tmp_path, jobs=1, **LONG)
    assert histories(tmp_path) == histories(uninterrupted)
    assert predictions(tmp_path) == predictions(uninterrupted)
    assert not list(tmp_path.glob("runs/*/checkpoint*"))
    assert not list(tmp_path.rglob(".*.tmp"))


@pytest.mark.slow
def test_lost_worker_costs_a_retry_not_the_job(tmp_path, uninterrupted):
    import psutil

    process = subprocess.Popen(command(tmp_path, "--jobs", "2"), cwd=ROOT, stdout=subprocess.PIPE)
    killed = 0
    while not killed and process.poll() is None:
        logs = list(tmp_path.glob("runs/*/log.txt"))
        busy = [log for log in logs if " epoch 1/6" in log.read_text()]
        unfinished = [log for log in busy if not (log.parent / "run.json").exists()]
        if unfinished:
            text = unfinished[0].read_text()
            pid = int(text.split("process ")[1].split()[0])
            psutil.Process(pid).kill()
            killed += 1
        time.sleep(0.02)
    out, _ = process.communicate(timeout=200)
    assert killed
    assert process.returncode == 0, out
    assert histories(tmp_path) == histories(uninterrupted)


KILLS_ITS_WORKER = """
import os
import tensorflow as tf
from benchmark import register_activation

def die(x):
    os.kill(os.getpid(), 9)
    return x

@register_activation
def deadly(x):
    # Those of the first convolution, which no check has.
    return die(x) if x.shape[-1] == 32 else tf.identity(x)
"""


@pytest.mark.slow
def test_run_that_kills_its_workers_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "LOST_WORKERS", 2)
    plugin = tmp_path / "plugin.py"
    plugin.write_text(KILLS_ITS_WORKER)
    words = "compare --dataset digits --limit 100 --epochs 1 --seeds 1 --activations deadly,relu"
    words += f" --jobs 2 --plugin {plugin} --output {tmp_path / 'out'}"
    assert cli.main(words.split()) == 1
    runs = load_results(tmp_path / "out").runs
    assert runs["status"].tolist() == ["failed", "complete"]
    assert runs["error"].tolist()[0] == "its worker was lost 2 times"


def interrupted(process):
    """Press Ctrl-C and return what was printed on standard error."""
    os.killpg(process.pid, signal.SIGINT)
    start = time.monotonic()
    out, errors = process.communicate(timeout=100)
    assert time.monotonic() - start < 30
    assert process.returncode == 130, out
    assert len(errors.strip().splitlines()) == 1, errors
    return errors


@pytest.mark.slow
def test_interrupt_stops_within_seconds_and_says_how_to_go_on(tmp_path):
    process = started(command(tmp_path, "--epochs", "2000", "--jobs", "2"))
    wait_until(lambda: list(tmp_path.glob("runs/*/history.csv")))
    assert "to go on:" in interrupted(process)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "jobs"), [("workers start", 1), ("workers start", 2), ("first run", 1)]
)
def test_interrupt_at_start_up(tmp_path, stage, jobs):
    process = started(command(tmp_path, "--jobs", str(jobs)))
    if stage == "first run":
        wait_until(lambda: list(tmp_path.glob("runs/*/log.txt")))
    else:
        # The last line before them.
        assert any("Doing 4 runs" in line for line in process.stdout)
    errors = interrupted(process)
    if stage == "first run":
        words = shlex.split(errors.split("to go on: ")[1])
        assert words[1:3] == ["-m", "benchmark"]
        assert cli.main(words[3:]) == 0


@pytest.mark.slow
def test_script_without_a_main_guard(tmp_path):
    """In a script or notebook, with workers and a function of its own."""
    script = tmp_path / "script.py"
    script.write_text(
        "import tensorflow as tf\n"
        "from benchmark import compare, register_activation\n"
        "print('started')\n"
        "@register_activation\n"
        "def my_swish(x):\n"
        "    return x * tf.sigmoid(1.5 * x)\n"
        "results = compare(['my_swish', 'relu'], dataset='digits', limit=100, seeds=1,\n"
        "                  epochs=1, jobs=2, output='out')\n"
        "runs = results.runs\n"
        "assert runs['status'].tolist() == ['complete', 'complete'], runs\n"
        "assert __file__ and __name__ == '__main__'\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("started") == 1
