"""What every experiment must keep to, and the command that runs them."""

import dataclasses
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark import cli
from benchmark.activations import register_activation, resolve
from benchmark.data import loading
from benchmark.errors import RequestError
from benchmark.experiments import base, catalogue, claims_table, sections
from benchmark.experiments import request as experiments_request
from benchmark.experiments.base import Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED
from benchmark.experiments.measurement import Measurement
from benchmark.plotting import palette
from benchmark.plotting.style import figure_style
from benchmark.results.folder import Store

ROOT = Path(__file__).parents[2]
NAMES = list(catalogue.all_experiments())
# Settings that keep the tests short; an experiment without any is tested at its own.
SMALL = {
    "cost": {"sizes": "1024"},
    "dead_units": {"learning_rates": "0.1", "epochs": "6"},
    "exploding": {"gains": "1,16", "depths": "3"},
    "gradient_flow": {"depths": "1,3", "initializers": "glorot_uniform"},
    "initialization": {"epochs": "2", "depths": "1"},
    "losses": {"epochs": "2", "starts": "1.5,4"},
    "optimizers": {"factors": "1", "epochs": "2"},
    "recurrent": {"lags": "5", "steps": "20"},
    "saturation": {"depth": "2", "epochs": "2", "learning_rates": "0.3"},
    "self_normalization": {"depth": "4", "epochs": "1"},
    "zero_centering": {"epochs": "1"},
}


def small_setting(name, activations, seeds=(0,)):
    made = catalogue.resolve(name)
    known = {option.name: option for option in made.options}
    options = {option.name: option.default for option in made.options}
    options |= {key: known[key].convert(text) for key, text in SMALL.get(name, {}).items()}
    data = loading.split(loading.load(loading.locate("digits")), limit=400)
    entries = tuple(resolve(activation) for activation in activations)
    pictures = {"dataset": "digits", "data": data} if made.images else {}
    return Setting(entries, seeds if made.seeds else (), options, **pictures)


def measured(tmp_path, name, activations, seeds=(0,)):
    """The table as a reader has it: through its file."""
    table = catalogue.resolve(name).measure(small_setting(name, activations, seeds))
    Store(tmp_path).write_table("table.csv", table)
    return pd.read_csv(tmp_path / "table.csv")


def plug_in():
    import tensorflow as tf

    @register_activation
    def bent(x):
        """x where x > 0, else 0.3 tanh(x)."""
        return tf.where(x > 0, x, 0.3 * tf.tanh(x))


def check_words_and_pictures(name, table):
    made = catalogue.resolve(name)
    assert made.method(table).endswith(".")
    findings = made.findings(table)
    assert findings
    for finding in findings:
        assert finding.verdict in (HOLDS, IN_PART, FAILS, UNDECIDED)
        assert finding.claim[0].isupper()
        for text in (finding.claim, finding.evidence):
            assert text.endswith(".")
            assert not {"nan", "inf"} & set(re.findall(r"\w+", text))
    with figure_style("light"):
        figures = made.figures(table, palette.all_line_styles(table, {}))
        for figure in figures.values():
            figure.canvas.draw()
    assert set(figures) <= set(made.captions)
    assert "" in figures


@pytest.mark.parametrize("name", NAMES)
def test_described(name):
    made = catalogue.resolve(name)
    assert made.title
    assert made.question.endswith("?")
    assert all(caption.endswith(".") for caption in made.captions.values())
    assert made.activations is None or [resolve(n).name for n in made.activations]
    for option in made.options:
        assert option.help
        assert option.convert(option.default) == option.default
        with pytest.raises(RequestError):
            option.convert("")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_works_for_activations_with_weights(name, tmp_path):
    check_words_and_pictures(name, measured(tmp_path, name, ["prelu", "maxout"]))


@pytest.mark.slow
# One trains the comparison's network, the other its own.
@pytest.mark.parametrize("name", ["losses", "saturation"])
def test_works_on_signals(name):
    x = np.random.default_rng(0).standard_normal((60, 40, 1)).astype(np.float32)
    y = (np.arange(60) % 10).astype(np.uint8)
    data = loading.Split(x, y, x, y, x, y, 1.0, 10)
    setting = dataclasses.replace(small_setting(name, ["relu"]), dataset="mnist1d", data=data)
    check_words_and_pictures(name, catalogue.resolve(name).measure(setting))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_plug_in_alone_is_measured_to_the_same_numbers_again(name, tmp_path):
    plug_in()
    first = measured(tmp_path, name, ["bent"], seeds=(1, 3))
    assert "bent" in set(first["activation"])
    check_words_and_pictures(name, first)
    if name == "cost":
        return  # Times are not the same.
    again = measured(tmp_path, name, ["bent"], seeds=(1, 3))
    timed = [column for column in first if "seconds" in column]
    pd.testing.assert_frame_equal(first.drop(columns=timed), again.drop(columns=timed))


def test_places_are_those_of_the_report():
    places = [made.place for made in catalogue.all_experiments().values()]
    assert places == sorted(set(places))


def test_catalogue_is_light():
    code = (
        "import sys; from benchmark.experiments import catalogue; catalogue.all_experiments();"
        "print([m for m in ('tensorflow', 'pandas', 'matplotlib', 'scipy') if m in sys.modules])"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pixels_standardized():
    setting = small_setting("dead_units", ["relu"])
    train = setting.pixels("train", standardized=True)
    assert train.shape == (320, 64)
    assert train.mean() == pytest.approx(0, abs=1e-5)
    assert train.std() == pytest.approx(1, abs=1e-5)
    assert setting.pixels("val").max() == 1
    assert setting.labels("test").dtype == np.int64


def wanted(names, **more):
    request = experiments_request.request(names, **more)
    specs = experiments_request.specs_for(request, "digits", "abc")
    return {spec.experiment: spec for spec in specs}


def test_specs():
    spec = wanted(["worked_examples"])["worked_examples"]
    assert spec.dataset == ""
    own = catalogue.resolve("dead_units").activations
    specs = wanted(None, beside=["mish", "relu"], seeds=2)
    assert list(specs) == NAMES
    assert [name for name, _ in specs["dead_units"].activations] == [*own, "mish"]
    assert specs["dead_units"].seeds == (0, 1)
    assert specs["dead_units"].data_sha256 == "abc"
    asked = wanted("dead-units", activations="relu,tanh")["dead_units"]
    assert [name for name, _ in asked.activations] == ["relu", "tanh"]
    assert len(wanted(["properties"])["properties"].activations) == 20


def run(output, *words):
    return cli.main(["experiments", "--jobs", "1", *map(str, words), "--output", str(output)])


BAD = {
    "name": (["gradient_flaw"], "did you mean gradient_flow?"),
    "option": (["--depth-s", "3"], "unknown option '--depth-s'"),
    "activation": (["--activations", "rellu"], "did you mean relu"),
    "seeds": (["--seeds", "0"], "seeds '0'"),
    "depths": (["gradient_flow", "--depths", "3,x"], "'x'"),
    "stray": (["cost", "--depths", "3"], "option '--depths' is of gradient_flow"),
    "dataset": (["dead_units", "--dataset", "mnits"], "did you mean mnist"),
    "unneeded dataset": (["cost", "--dataset", "mnits"], "did you mean mnist"),
    "one of several": (["dead_units", "zero_centering", "--epochs", "3"], "dead_units: epochs '3'"),
    "style": (["cost", "--style", "blue"], "unknown style 'blue'"),
    "jobs": (["cost", "--jobs", "none"], "jobs 'none'"),
}


@pytest.mark.parametrize("kind", BAD)
def test_wrong_request(kind, tmp_path, capfd):
    words, message = BAD[kind]
    assert run(tmp_path / "out", *words) == 2
    out, err = capfd.readouterr()
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert out == ""
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    output = tmp_path_factory.mktemp("finished")
    assert run(output, "worked_examples") == 0
    return output


def files(output):
    return {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}


def test_leaves_its_files(finished):
    table = pd.read_csv(finished / "experiments" / "worked_examples.csv")
    assert len(table)
    claims = pd.read_csv(finished / "experiments" / "claims.csv")
    assert list(claims) == claims_table.CLAIM_COLUMNS
    assert set(claims["experiment"]) == {"worked_examples"}
    record = json.loads((finished / "experiments" / "worked_examples.json").read_text())
    assert record["status"] == "complete"
    assert record["environment"]["versions"]["tensorflow"]
    for ending in ("png", "svg"):
        assert (finished / "figures" / f"worked_examples.{ending}").exists()
    (section,) = sections.sections(Store(finished))
    assert section.experiment is catalogue.resolve("worked_examples")
    assert [path.name for path in section.figures] == ["worked_examples.svg"]


def test_done_is_not_done_again(finished, capfd):
    before = files(finished)
    assert run(finished, "worked_examples") == 0
    assert "1 already done" in capfd.readouterr().out
    assert files(finished) == before


def test_report_rebuilds(finished, no_page):
    before = files(finished)
    (finished / "experiments" / "claims.csv").unlink()
    (finished / "figures" / "worked_examples.png").unlink()
    assert cli.main(["report", "--output", str(finished)]) == 0
    assert files(finished) == before


def test_what_counts_as_done(finished, tmp_path):
    spec = wanted(["worked_examples"])["worked_examples"]
    assert measurement(finished, spec).finished()
    other = wanted(["worked_examples"], activations="tanh")["worked_examples"]
    assert not measurement(finished, other).finished()
    table = finished / "experiments" / "worked_examples.csv"
    kept = table.read_bytes()
    table.write_bytes(kept[:-9])
    try:
        assert not measurement(finished, spec).finished()
    finally:
        table.write_bytes(kept)


def test_spec_follows_a_plug_in(tmp_path):
    plug_in()
    spec = wanted(["worked_examples"], activations="bent")["worked_examples"]
    register_activation(lambda x: x * 2.0, name="bent")
    assert wanted(["worked_examples"], activations="bent")["worked_examples"] != spec


def measurement(tmp_path, spec, style="light"):
    return Measurement(spec, None, str(tmp_path), b"", {}, False, style)


def test_failure_keeps_the_earlier_table(finished, monkeypatch, tmp_path):
    before = files(finished)
    made = catalogue.resolve("worked_examples")
    spec = wanted(["worked_examples"], activations="tanh")["worked_examples"]
    task = measurement(finished, spec)

    def breaks(setting):
        raise ArithmeticError("on purpose")

    broken = {**vars(made), "measure": breaks}
    monkeypatch.setattr(catalogue, "resolve", lambda name: base.Experiment(**broken))
    record = task.execute(lambda event: None)
    assert record["status"] == "failed"
    assert record["error"] == "ArithmeticError: on purpose"
    after = files(finished)
    told = finished / "experiments" / "worked_examples.error.txt"
    assert "on purpose" in after.pop(told).decode()
    told.unlink()
    assert after == before


def test_report_needs_something(tmp_path, capfd):
    assert cli.main(["report", "--output", str(tmp_path)]) == 2
    assert "holds neither runs nor experiments" in capfd.readouterr().err


def test_status_tells_of_experiments(finished, capfd):
    assert cli.main(["status", "--output", str(finished)]) == 0
    out = capfd.readouterr().out
    assert "worked_examples" in out
    assert "complete" in out
    assert "claims" not in out


JOB = (
    "experiments worked_examples saturation --activations relu,tanh --seeds 1 --depth 2 --epochs 2"
    " --learning-rates 0.3 --jobs 1 --output"
)


@pytest.mark.slow
def test_killed_job_goes_on_with_the_next_experiment(tmp_path, capfd):
    output, whole = tmp_path / "killed", tmp_path / "whole"
    words = [sys.executable, "-m", "benchmark", *JOB.split(), str(output)]
    job = subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    first = next(line for line in job.stdout if ": complete" in line).split(":")[0]
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    names = {"worked_examples", "saturation"}
    (second,) = names - {first}
    tables = {name: output / "experiments" / f"{name}.csv" for name in names}
    written = tables[first].stat().st_mtime_ns
    assert not (output / "experiments" / f"{second}.json").exists()
    assert cli.main([*JOB.split(), str(output)]) == 0
    assert "2 experiments, dataset: digits; 1 already done." in capfd.readouterr().out
    assert tables[first].stat().st_mtime_ns == written
    assert cli.main([*JOB.split(), str(whole)]) == 0
    for name in names:
        assert tables[name].read_bytes() == (whole / "experiments" / f"{name}.csv").read_bytes()


@pytest.mark.slow
def test_run_all_does_everything(tmp_path, monkeypatch, capfd):
    quick = catalogue.resolve("worked_examples")
    monkeypatch.setattr(catalogue, "all_experiments", lambda: {"worked_examples": quick})
    words = "--dataset digits --limit 100 --epochs 1 --seeds 1 --activations relu,mish --jobs 1"
    assert cli.run_all([*words.split(), "--output", str(tmp_path)]) == 0
    out = capfd.readouterr().out
    assert "2 of 2 runs" in out
    assert "1 of 1 experiment" in out
    table = pd.read_csv(tmp_path / "experiments" / "worked_examples.csv")
    # Its own, and those that were compared.
    assert {"sigmoid", "relu", "mish"} <= set(table["activation"])
    page = html.unescape((tmp_path / "report.html").read_text())
    figures = list((tmp_path / "figures").glob("*.svg"))
    assert "worked_examples" in {path.stem for path in figures}
    assert page.count("<figure") == len(figures) > 5
    assert quick.question in page


def test_each_experiment_converts_its_own_option():
    specs = wanted(["gradient_flow", "initialization"], options={"depths": "4,1"})
    assert dict(specs["gradient_flow"].options)["depths"] == [1, 4]
    with pytest.raises(RequestError, match="initialization: "):
        wanted(None, options={"depths": "60"})


def test_options_of_python_users():
    with pytest.raises(RequestError, match="did you mean activations"):
        experiments_request.request("cost", options={"activation": "relu"})


@pytest.fixture
def copied(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a,b\n1,2\n", "cannot be read"),
        ("", "unfinished or damaged"),
        (None, "unfinished or damaged"),
    ],
)
def test_table_of_no_use_is_told_of(copied, content, told, capfd, no_page):
    table = copied / "experiments" / "worked_examples.csv"
    kept = table.read_text()
    table.write_text(kept[: len(kept) // 2] if content is None else content)
    if told == "cannot be read":
        # As another version would have left it.
        store = Store(copied)
        record = json.loads((copied / "experiments" / "worked_examples.json").read_text())
        del record["seal"]
        store.write_measurement("worked_examples", record)
    assert cli.main(["report", "--output", str(copied)]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert ("Not drawn anew: worked_examples" in out) == (told == "cannot be read")
    (section,) = sections.sections(Store(copied))
    assert told in section.note
    assert "makes it anew" in section.note


def test_style_is_that_of_the_last_command(copied, no_page):
    figure = copied / "figures" / "worked_examples.png"
    light = figure.read_bytes()
    assert cli.main(["report", "--output", str(copied), "--style", "dark"]) == 0
    assert figure.read_bytes() != light
    assert run(copied, "worked-examples", "worked_examples") == 0
    assert figure.read_bytes() == light


def test_everything_failed(tmp_path, capfd):
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "import tensorflow as tf\nfrom benchmark import register_activation\n"
        "@register_activation\ndef narrow(x):\n"
        "    if x.dtype == tf.float64:\n        raise TypeError('no double')\n    return x\n"
    )
    output = tmp_path / "out"
    assert run(output, "worked_examples", "--activations", "narrow", "--plugin", plugin) == 1
    out = capfd.readouterr().out
    assert "Failed: worked_examples: TypeError: no double" in out
    assert cli.main(["status", "--output", str(output)]) == 0
    assert "Last attempt at worked_examples failed: TypeError: no double" in capfd.readouterr().out
    (section,) = sections.sections(Store(output))
    assert section.note.startswith("The last attempt failed: TypeError")


def test_help_where_the_terminal_knows_ascii_only():
    words = [sys.executable, "-m", "benchmark", "experiments", "--help"]
    narrow = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    done = subprocess.run(words, cwd=ROOT, env=narrow, capture_output=True, check=True)
    assert b"--depths" in done.stdout
