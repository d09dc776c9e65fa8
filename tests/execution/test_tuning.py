"""Learning rates chosen on validation data: from the command to the tables."""

import dataclasses
import shutil

import pandas as pd
import pytest

from benchmark import api, cli, compare
from benchmark.errors import RequestError
from benchmark.execution import comparison, engine
from benchmark.report import build, sections
from benchmark.results.folder import Store
from benchmark.stats import summary as summary_stats
from benchmark.training import request

pytestmark = pytest.mark.usefixtures("no_figures")
SMALL = {"dataset": "digits", "limit": 200, "epochs": 2, "model": "mlp", "seeds": 2, "jobs": 1}
TUNED = {**SMALL, "tune_learning_rates": [1e-5, 1e-3, 1e-2], "tune_seeds": 2}


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """A tuned comparison, with its figures."""
    folder = tmp_path_factory.mktemp("tuned")
    compare(["relu", "tanh"], output=folder, **TUNED)
    return folder


@pytest.fixture(scope="module")
def runs(output):
    return pd.read_csv(output / "runs.csv")


@pytest.mark.slow
def test_each_run_says_what_it_is_for(runs):
    counts = runs.groupby(["activation", "purpose"]).size()
    assert (counts.xs("tuning", level="purpose") == 6).all()
    assert (counts.xs("comparison", level="purpose") == 2).all()
    tuning = runs[runs["purpose"] == "tuning"]
    assert set(tuning["seed"]) == {1000, 1001}
    assert set(runs[runs["purpose"] != "tuning"]["seed"]) == {0, 1}


@pytest.mark.slow
def test_chosen_by_validation_alone(output, runs):
    tuning = runs[runs["purpose"] == "tuning"]
    means = tuning.groupby(["activation", "learning_rate"])["val_accuracy"].mean()
    table = pd.read_csv(output / "tuning.csv")
    chosen = table[table["chosen"]].set_index("activation")["learning_rate"]
    assert len(table) == 6
    for name in ("relu", "tanh"):
        assert means[name, chosen[name]] == means[name].max()
    # Two epochs at 1e-5 learn nothing.
    assert (chosen > 1e-5).all()


@pytest.mark.slow
def test_both_tables_stand_side_by_side(output, runs):
    summary = pd.read_csv(output / "summary.csv")
    assert summary.groupby("activation")["rates"].agg(set).eq({"shared", "tuned"}).all()
    assert (summary["n_completed"] == 2).all()
    table = pd.read_csv(output / "tuning.csv").query("chosen").set_index("activation")
    tuned = summary[summary["rates"] == "tuned"].set_index("activation")
    assert tuned["learning_rate"].to_dict() == table["learning_rate"].to_dict()
    names = {path.stem for path in (output / "figures").glob("*.png")}
    assert {"accuracy-shared", "accuracy-tuned", "tuning"} <= names
    # The shared rate, where it was the best, is not trained twice.
    again = runs[(runs["purpose"] == "tuned") & (runs["learning_rate"] == 0.001)]
    assert again.empty


@pytest.mark.slow
def test_done_is_not_done_again_and_report_keeps_the_purposes(output, runs, monkeypatch, capfd):
    compare(["relu", "tanh"], output=output, **TUNED)
    assert "Training" not in capfd.readouterr().out
    assert pd.read_csv(output / "runs.csv").equals(runs)
    monkeypatch.setattr(build, "write_page", lambda store: None)
    kept = (output / "summary.csv").read_bytes(), (output / "tuning.csv").read_bytes()
    api.rebuild(output)
    assert ((output / "summary.csv").read_bytes(), (output / "tuning.csv").read_bytes()) == kept
    assert pd.read_csv(output / "runs.csv").equals(runs)


@pytest.mark.slow
def test_killed_between_the_stages_goes_on_with_the_same_choice(output, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:

        def killed(*settings):
            raise KeyboardInterrupt

        patched.setattr(comparison, "expand_tuned", killed)
        with pytest.raises(KeyboardInterrupt):
            compare(["relu", "tanh"], output=tmp_path, **TUNED)
    compare(["relu", "tanh"], output=tmp_path, **TUNED)
    for name in ("tuning.csv", "comparisons.csv", "pairs.csv"):
        assert (tmp_path / name).read_bytes() == (output / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("stage", [1, 2])
def test_a_report_of_what_a_killed_job_left(tmp_path, output, monkeypatch, no_page, stage):
    stages, carry_out = [], engine.carry_out

    def killed(*words, **more):
        stages.append(words)
        if len(stages) == stage:
            raise KeyboardInterrupt
        return carry_out(*words, **more)

    if stage == 1:
        # All runs of the first stage are there, and no table yet.
        shutil.copytree(output / "runs", tmp_path / "runs")
        for run in pd.read_csv(output / "runs.csv").query("purpose == 'tuned'")["run"]:
            shutil.rmtree(tmp_path / "runs" / run)
    monkeypatch.setattr(engine, "carry_out", killed)
    with pytest.raises(KeyboardInterrupt):
        compare(["relu", "tanh"], output=tmp_path, **TUNED)
    api.rebuild(tmp_path)
    runs = pd.read_csv(tmp_path / "runs.csv")
    told = []
    monkeypatch.setattr(sections, "_say", lambda heading, text: told.append(heading))
    monkeypatch.setattr(sections, "display", lambda *words, **more: None)
    results = sections.read(tmp_path)
    for part in ("in_short", "setting", "final", "side_by_side", "limits", "reproduction"):
        getattr(sections, part)(results)
    assert "What was done" in told
    assert set(runs[runs["purpose"] == "tuning"]["seed"]) == {1000, 1001}
    assert set(runs[runs["purpose"] != "tuning"]["seed"]) == {0, 1}
    if stage == 2:
        assert set(runs[runs["purpose"] == "tuned"]["status"]) == {"unfinished"}
        summary = pd.read_csv(tmp_path / "summary.csv")
        assert set(summary[summary["rates"] == "tuned"]["activation"]) == {"relu", "tanh"}


@pytest.mark.slow
def test_runs_without_a_table_know_what_they_were_for(output, tmp_path, no_page):
    folder = tmp_path / "copy"
    shutil.copytree(output, folder)
    (folder / "runs.csv").unlink()
    api.rebuild(folder)
    before, after = (
        pd.read_csv(at / "runs.csv").set_index("run")["purpose"] for at in (output, folder)
    )
    assert after.sort_index().equals(before.sort_index())


def test_tuned_runs_at_the_shared_rate_are_not_done_again(tmp_path, monkeypatch):
    specs = request.expand(request.request("relu", seeds=2), "digits", "abc", "CPU")
    wanted = request.request("relu", seeds=2, tune_learning_rates="0.001,0.01")
    prepared = comparison.prepare(wanted, "digits", None)
    data = dataclasses.replace(prepared.data, sha256="abc")
    purposes = {spec.run: "comparison" for spec in specs}
    prepared = dataclasses.replace(prepared, data=data, specs=specs, purposes=purposes)
    for rate, count in ((0.001, 0), (0.01, 2)):
        row = {name: getattr(specs[0], name, None) for name in summary_stats.SETTINGS}
        chosen = pd.DataFrame(
            [{**row, "activation": "relu", "loss_function": specs[0].loss, "learning_rate": rate}]
        )
        monkeypatch.setattr(summary_stats, "chosen_rates", lambda runs, chosen=chosen: chosen)
        tuned = comparison.tuned_runs(prepared, Store(tmp_path), None)
        assert [s.learning_rate for s in tuned] == [rate] * count


@pytest.mark.slow
def test_a_comparison_without_tuning_leaves_no_tuning_table(tmp_path):
    compare(["relu"], output=tmp_path, **{**TUNED, "seeds": 1, "tune_seeds": 1})
    assert (tmp_path / "tuning.csv").exists()
    compare(["relu"], output=tmp_path, **{**SMALL, "seeds": 1})
    assert not (tmp_path / "tuning.csv").exists()


def test_baseline_must_be_compared(tmp_path):
    with pytest.raises(RequestError, match="'selu' is not among .*: give one of relu and tanh"):
        compare(["relu", "tanh"], output=tmp_path, baseline="selu", **SMALL)
    with pytest.raises(RequestError, match="rellu"):
        compare(["relu", "tanh"], output=tmp_path, baseline="rellu", **SMALL)
    assert not list(tmp_path.iterdir())


def test_command_line_says_what_is_wrong(tmp_path, capfd):
    words = ["compare", "--dataset", "digits", "--tune-seeds", "2", "--output", str(tmp_path)]
    assert cli.main(words) == 2
    assert capfd.readouterr().err.startswith("error: tune seeds '2' need learning rates")
