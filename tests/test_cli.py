"""The command line as its users meet it: help, exit codes, one line for a wrong request."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark import api, cli
from benchmark.results import provenance

ROOT = Path(__file__).parents[1]
TINY = "--dataset digits --limit 100 --epochs 1 --seeds 1 --activations relu --jobs 1".split()


def compare(*words):
    return cli.main(["compare", *map(str, words)])


def write_mnist(folder, **changes):
    """A file in the layout of MNIST; its pixels are not MNIST's."""
    arrays = {
        "x_train": np.zeros((60000, 28, 28), np.uint8),
        "y_train": np.zeros(60000, np.uint8),
        "x_test": np.zeros((10000, 28, 28), np.uint8),
        "y_test": np.zeros(10000, np.uint8),
        **changes,
    }
    np.savez_compressed(folder / "mnist.npz", **arrays)


def data_folder(tmp_path, kind):
    folder = tmp_path / "data"
    if kind == "missing":
        return folder
    folder.mkdir()
    path = folder / "mnist.npz"
    if kind == "text":
        path.write_text("this is no archive")
    elif kind == "truncated":
        write_mnist(folder)
        path.write_bytes(path.read_bytes()[:5000])
    elif kind == "pickled":
        write_mnist(folder, x_train=np.array([{"a": 1}], dtype=object))
    elif kind == "shape":
        write_mnist(folder, x_test=np.zeros((10000, 28, 27), np.uint8))
    elif kind == "labels":
        write_mnist(folder, y_train=np.full(60000, 10, np.uint8))
    elif kind == "pixels":
        write_mnist(folder)
    return folder


PLUGINS = {
    "raises": "raise RuntimeError('two\\nlines')",
    "shape": "@register_activation\ndef wrong_shape(x):\n    return x[..., :1]",
    "nan": "@register_activation\ndef all_nan(x):\n    return x * float('nan')",
    "taken": "@register_activation\ndef relu(x):\n    return x",
}
BAD = {
    "activation": (["--activations", "rellu"], "did you mean relu"),
    "no activation": (["--activations", ""], "empty item"),
    "dataset": (["--dataset", "mnits"], "did you mean mnist"),
    "seeds": (["--seeds", "-1"], "'-1'"),
    "epochs": (["--epochs", "0"], "'0'"),
    "batch size": (["--batch-size", "1,0"], "'0'"),
    "learning rate": (["--learning-rate", "-0.1"], "'-0.1'"),
    "limit": (["--limit", "99999999"], "99999999"),
    "limit of nothing": (["--limit", "0"], "'0'"),
    "optimizer": (["--optimizer", "adamm"], "did you mean adam"),
    "loss": (["--loss", "hinge"], "'hinge'"),
    "model": (["--model", "resnet"], "'resnet'"),
    "preset": (["--preset", "fast"], "'fast'"),
    "jobs": (["--jobs", "0"], "'0'"),
    "threads": (["--threads", "x"], "'x'"),
    "style": (["--style", "darc"], "did you mean dark"),
    "initializer": (["--initializer", "xavier"], "'xavier'"),
    "option": (["--epoch", "3"], "did you mean --epochs"),
    "option without value": (["--epochs"], "--epochs"),
    "output": (["--output", "/proc/nothing"], "/proc/nothing"),
    "check seconds": (["--check-seconds", "0"], "'0'"),
    "plugin missing": (["--plugin", "nowhere.py"], "nowhere.py"),
}


def one_line(text):
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    assert "Traceback" not in text
    return text


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a finished run; to be copied before it is changed."""
    output = tmp_path_factory.mktemp("trained")
    assert compare(*TINY, "--output", output) == 0
    return output


@pytest.fixture
def finished(trained, tmp_path):
    """A folder with a finished run, and the bytes of its files by path."""
    output = shutil.copytree(trained, tmp_path / "results")
    return output, {p: p.read_bytes() for p in output.rglob("*") if p.is_file()}


@pytest.mark.parametrize("kind", BAD)
def test_wrong_request(kind, tmp_path, capfd):
    words, message = BAD[kind]
    assert compare("--dataset", "digits", "--output", tmp_path / "out", *words) == 2
    out, err = capfd.readouterr()
    assert message in one_line(err)
    assert out == ""
    assert not list(tmp_path.glob("out/runs/*"))


@pytest.mark.parametrize(
    "kind", ["missing", "text", "truncated", "pickled", "shape", "labels", "pixels"]
)
@pytest.mark.parametrize("dataset", ["mnist", "auto"])
def test_wrong_data(kind, dataset, tmp_path, capfd):
    folder = data_folder(tmp_path, kind)
    words = ["--dataset", dataset, "--data-dir", folder, "--output", tmp_path / "out"]
    assert compare(*words) == 2
    assert str(folder) in one_line(capfd.readouterr().err)


@pytest.mark.parametrize("kind", PLUGINS)
def test_wrong_plugin(kind, tmp_path, finished, capfd):
    output, kept = finished
    plugin = tmp_path / "plugin.py"
    plugin.write_text(f"from benchmark import register_activation\n{PLUGINS[kind]}\n")
    capfd.readouterr()
    words = [word for word in TINY if word not in ("--activations", "relu")]
    assert compare(*words, "--plugin", plugin, "--output", output) == 2
    error = one_line(capfd.readouterr().err)
    assert {"raises": "plugin.py", "shape": "wrong_shape", "nan": "all_nan"}.get(
        kind, "relu"
    ) in error
    runs = {p: data for p, data in kept.items() if p.parent.parent.name == "runs"}
    assert runs
    assert all(path.read_bytes() == data for path, data in runs.items())


def test_wrong_request_leaves_results_alone(finished, capfd):
    output, kept = finished
    assert compare(*TINY, "--epochs", "-1", "--output", output) == 2
    assert all(path.read_bytes() == data for path, data in kept.items())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_output_without_permission(tmp_path, capfd):
    tmp_path.chmod(0o500)
    assert compare(*TINY, "--output", tmp_path / "out") == 2
    assert "cannot be written to" in one_line(capfd.readouterr().err)


@pytest.mark.parametrize("words", [["compair"], [], ["report", "--output", "nowhere"]])
def test_wrong_command(words, capfd):
    assert cli.main(words) == 2
    one_line(capfd.readouterr().err)


def test_second_command_on_the_same_output(tmp_path, capfd):
    from benchmark.results.folder import Store

    store = Store(tmp_path)
    store.prepare()
    with store.lock():
        assert compare(*TINY, "--output", tmp_path) == 2
    assert "in use by another command" in one_line(capfd.readouterr().err)


def test_help_is_quick_and_light():
    code = (
        "import sys; from benchmark import cli\n"
        "try: cli.run_all(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'pandas', 'matplotlib', 'distributed', 'numpy'}\n"
        "sys.exit(len(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0
    # Processor time: the clock would count what else the machine does.
    times = [processor_seconds([sys.executable, "run_all.py", "--help"]) for _ in range(3)]
    assert min(times) < 0.5


def processor_seconds(words):
    def used():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used()
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    return used() - before


def test_end_of_a_comparison(tmp_path, capfd):
    assert compare(*TINY, "--output", tmp_path) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "relu" in out
    assert "test accuracy" in out
    assert "accuracy, loss, final_accuracy" in out
    assert "1 run: 1 activation on digits" in out


def test_report_rebuilds(finished, capfd, no_page):
    output, kept = finished
    for name in ("summary.csv", "history.csv", "runs.csv", "comparisons.csv", "pairs.csv"):
        (output / name).unlink()
    (output / "figures" / "accuracy.png").unlink()
    assert cli.main(["report", "--output", str(output)]) == 0
    for path, data in kept.items():
        if path.suffix in (".csv", ".png", ".svg"):
            assert path.read_bytes() == data, path


def test_style_changes_the_figures(finished, no_page):
    output, kept = finished
    assert cli.main(["report", "--output", str(output), "--style", "dark"]) == 0
    figure = output / "figures" / "accuracy.png"
    assert figure.read_bytes() != kept[figure]


def test_status(finished, capfd):
    output, _ = finished
    next(output.glob("runs/*/history.csv")).write_text("damaged")
    capfd.readouterr()
    assert cli.main(["status", "--output", str(output)]) == 0
    assert "1 damaged" in capfd.readouterr().out


def test_list_shows_catalogue_and_plugin(tmp_path, capfd):
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "from benchmark import register_activation\n@register_activation\ndef mine(x): return x\n"
    )
    assert cli.main(["list", "--plugin", str(plugin)]) == 0
    out = capfd.readouterr().out
    assert all(word in out for word in ("squareplus", "mine", "fashion_mnist", "article"))


def test_doctor(monkeypatch, capfd):
    monkeypatch.setenv("KERAS_HOME", "/nowhere")
    assert cli.main(["doctor"]) == 0
    out = capfd.readouterr().out
    assert "tensorflow: 2." in out
    assert "GPU: " in out
    assert "digits: " in out


def fake_machine(monkeypatch, driver, **answer):
    found = {"gpus": [], "cuda_build": False, "messages": "", **answer}
    monkeypatch.setattr(provenance, "gpu_driver", lambda: driver)
    monkeypatch.setattr(provenance, "tensorflow_devices", lambda: found)


def test_advice_on_gpus(monkeypatch):
    from benchmark.report.describe import gpu_advice

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    fake_machine(monkeypatch, "")
    assert "No graphics driver" in gpu_advice()
    fake_machine(monkeypatch, "/dev/nvidia0")
    assert "built without CUDA" in gpu_advice()
    missing = "W0 Cannot dlopen some GPU libraries."
    fake_machine(monkeypatch, "/dev/nvidia0", cuda_build=True, messages=missing)
    assert "tensorflow[and-cuda]" in gpu_advice()
    assert missing in gpu_advice()
    fake_machine(monkeypatch, "/dev/nvidia0", cuda_build=True, gpus=["NVIDIA X"])
    assert gpu_advice() == "GPU: NVIDIA X"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "hidden by CUDA_VISIBLE_DEVICES" in gpu_advice()


def test_device_is_recorded_and_workers_follow_it(monkeypatch):
    fake_machine(monkeypatch, "/dev/nvidia0", cuda_build=True, gpus=["A", "B"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert provenance.gpus() == ["A", "B"]
    assert provenance.workers_that_fit(2, threads=1) == 2
    monkeypatch.setattr(provenance, "cores", lambda: 8)
    monkeypatch.setattr(provenance, "memory_bytes", lambda: 64 * 10**9)
    assert provenance.workers_that_fit(0, threads=1) == 8
    assert provenance.workers_that_fit(0, threads=4) == 2
    monkeypatch.setattr(provenance, "memory_bytes", lambda: 4 * 10**9)
    assert provenance.workers_that_fit(0, threads=1) == 2
    monkeypatch.setattr(provenance, "memory_bytes", lambda: 10**9)
    assert provenance.workers_that_fit(0, threads=1) == 1


def test_environment_can_be_written_down():
    facts = provenance.describe()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["versions"]["keras"].startswith("3.")
    assert facts["cores"] >= 1


def test_peak_memory_is_this_runs_own():
    provenance.reset_peak_memory()
    before = provenance.peak_memory_mb()
    block = np.ones(20_000_000)
    assert provenance.peak_memory_mb() > before + 100
    del block


def test_how_to_go_on(monkeypatch, capfd):
    def interrupted(**settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "compare", interrupted)
    words = ["compare", "--fresh", "--output", "a b", "--epochs", "3"]
    assert cli.main(words) == 130
    line = capfd.readouterr().err.strip()
    assert line.endswith("-m benchmark compare --output 'a b' --epochs 3")
    assert "python" in line.split("to go on: ")[1].split()[0]
