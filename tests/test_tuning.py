"""Learning rates chosen on validation data: from the command to the tables."""

import pandas as pd
import pytest

from benchmark import api, cli, compare, config, report
from benchmark.errors import RequestError

SMALL = {"dataset": "digits", "limit": 200, "epochs": 2, "model": "mlp", "seeds": 2, "jobs": 1}
TUNED = {**SMALL, "tune_learning_rates": [1e-5, 1e-3, 1e-2], "tune_seeds": 2}


@pytest.fixture(scope="module")
def output(tmp_path_factory):
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
    assert (summary["n_seeds"] == 2).all()
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
    monkeypatch.setattr(report, "write_page", lambda store: None)
    kept = (output / "summary.csv").read_bytes(), (output / "tuning.csv").read_bytes()
    api.rebuild(output)
    assert ((output / "summary.csv").read_bytes(), (output / "tuning.csv").read_bytes()) == kept
    assert pd.read_csv(output / "runs.csv").equals(runs)


@pytest.mark.slow
def test_killed_between_the_stages_goes_on_with_the_same_choice(output, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:

        def killed(*settings):
            raise KeyboardInterrupt

        patched.setattr(config, "expand_tuned", killed)
        with pytest.raises(KeyboardInterrupt):
            compare(["relu", "tanh"], output=tmp_path, **TUNED)
    compare(["relu", "tanh"], output=tmp_path, **TUNED)
    for name in ("tuning.csv", "comparisons.csv", "ranks.csv"):
        assert (tmp_path / name).read_bytes() == (output / name).read_bytes()


@pytest.mark.slow
def test_a_comparison_without_tuning_leaves_no_tuning_table(output, tmp_path):
    compare(["relu"], output=tmp_path, **{**TUNED, "seeds": 1, "tune_seeds": 1})
    assert (tmp_path / "tuning.csv").exists()
    compare(["relu"], output=tmp_path, **{**SMALL, "seeds": 1})
    assert not (tmp_path / "tuning.csv").exists()
    assert not list((tmp_path / "figures").glob("tuning*"))


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
