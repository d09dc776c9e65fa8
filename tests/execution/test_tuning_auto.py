"""A grid of learning rates that extends itself, with runs that are recorded but not trained."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmark import compare
from benchmark.errors import RequestError
from benchmark.execution import engine
from benchmark.results.folder import Store
from benchmark.results.merge import merge
from benchmark.training.loop import Outcome
from benchmark.training.request import expand_tuning, request

pytestmark = pytest.mark.usefixtures("no_figures")
# Where each activation's validation accuracy is highest; the last is beyond the ladder.
BEST = {"relu": 1e-3, "elu": 3e-2, "gelu": 3e-3, "selu": 1e-6}
TRIED = {
    "relu": [3e-4, 1e-3, 3e-3],
    "elu": [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1],
    "gelu": [3e-4, 1e-3, 3e-3, 1e-2],
    "selu": [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3],
}
CHOSEN = {"relu": 1e-3, "elu": 3e-2, "gelu": 3e-3, "selu": 1e-5}
SETTINGS = {"dataset": "digits", "limit": 200, "epochs": 1, "seeds": 1, "tune_seeds": 2}


def record(run):
    """Record what training would: the farther from the best rate, the lower the accuracy."""
    accuracy = 0.9 - 0.05 * abs(np.log10(run.spec.learning_rate / BEST[run.spec.activation]))
    scores = {"accuracy": accuracy, "loss": 1 - accuracy}
    rows = [{"epoch": 1, **scores, **{f"val_{k}": v for k, v in scores.items()}, "seconds": 0.5}]
    labels = np.arange(10)
    test = {f"test_{k}": v for k, v in scores.items()}
    outcome = Outcome("complete", rows, test, labels, np.full(10, 0.5), 42)
    run.folder.path.mkdir(parents=True, exist_ok=True)
    return run.folder.finish(run.spec, outcome, labels, run.facts)


@pytest.fixture
def rounds(monkeypatch):
    """Activations and rates of the runs that the engine was asked for, round by round."""
    asked = []

    def carry_out(tasks, *words, **more):
        asked.append([(run.spec.activation, run.spec.learning_rate) for run in tasks])
        for run in tasks:
            record(run)

    monkeypatch.setattr(engine, "carry_out", carry_out)
    return asked


def tune(output, names=tuple(BEST), **more):
    console = Console(file=io.StringIO(), width=200)
    settings = {**SETTINGS, "tune_learning_rates": "auto", **more}
    compare(list(names), output=output, console=console, **settings)
    return console.file.getvalue()


def tried(output):
    table = pd.read_csv(output / "tuning.csv")
    chosen = table[table["chosen"]].set_index("activation")["learning_rate"].to_dict()
    return table.groupby("activation")["learning_rate"].agg(list).to_dict(), chosen


def test_it_goes_on_while_the_best_lies_at_an_edge(tmp_path, rounds):
    said = tune(tmp_path)
    assert tried(tmp_path) == (TRIED, CHOSEN)
    # Each round has the next rate of those at an edge, with two seeds.
    assert rounds[1] == [("elu", 1e-2), ("gelu", 1e-2), ("selu", 1e-4)] * 2
    assert rounds[2] == [("elu", 3e-2), ("selu", 3e-5)] * 2
    assert rounds[3] == [("elu", 0.1), ("selu", 1e-5)] * 2
    # Then the final runs; ReLU's own rate is the shared one.
    assert rounds[4] == [("elu", 3e-2), ("gelu", 3e-3), ("selu", 1e-5)]
    assert len(rounds) == 5
    assert said.count("at the edge of those tried") == 3
    edges = pd.read_csv(tmp_path / "tuning.csv").query("at_edge")["activation"]
    assert edges.tolist() == ["selu"]
    (asked,) = json.loads((tmp_path / "request.json").read_text())["requests"]
    assert asked["resolved"]["tune_learning_rates"] == "auto"


def test_done_is_not_done_again(tmp_path, rounds):
    tune(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in ("runs.csv", "tuning.csv")}
    rounds.clear()
    tune(tmp_path)
    assert rounds == []
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("killed_at", [(0, 3), (1, 1), (4, 0)])
def test_killed_in_a_round_it_goes_on_to_the_same_end(tmp_path, monkeypatch, rounds, killed_at):
    names = ["elu", "selu"]
    tune(tmp_path / "whole", names)
    carry_out, started = engine.carry_out, []

    def killed(tasks, *words, **more):
        started.append(tasks)
        if len(started) - 1 == killed_at[0]:
            # In another order, as workers end their runs.
            for run in tasks[::-1][: killed_at[1]]:
                record(run)
            raise KeyboardInterrupt
        carry_out(tasks, *words, **more)

    with monkeypatch.context() as patched:
        patched.setattr(engine, "carry_out", killed)
        with pytest.raises(KeyboardInterrupt):
            tune(tmp_path / "killed", names)
    tune(tmp_path / "killed", names)
    tables = [(tmp_path / name / "tuning.csv").read_bytes() for name in ("killed", "whole")]
    assert tables[0] == tables[1]
    runs = [set(pd.read_csv(tmp_path / name / "runs.csv")["run"]) for name in ("killed", "whole")]
    assert runs[0] == runs[1]


def test_runs_of_a_later_round_decide_nothing_before_it(tmp_path, rounds):
    """What another command left at a rate that is not tried yet is not seen."""
    tune(tmp_path, ["relu"], tune_learning_rates=[1e-3, 1e-2], tune_seeds=2)
    tune(tmp_path, ["relu"])
    assert tried(tmp_path)[0] == {"relu": TRIED["relu"]}


def test_folders_with_grids_that_extended_themselves_are_merged(tmp_path, rounds):
    tune(tmp_path / "a", ["relu", "elu"])
    tune(tmp_path / "b", ["gelu", "selu"])
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    assert len(Store(tmp_path / "c").recorded()) == sum(
        len(pd.read_csv(tmp_path / name / "runs.csv")) for name in "ab"
    )


def test_a_grid_that_stopped_at_an_edge_is_not_merged_with_one_that_went_on(tmp_path, rounds):
    tune(tmp_path / "a", ["gelu"])
    tune(tmp_path / "b", ["elu"], tune_learning_rates=[3e-4, 1e-3, 3e-3])
    with pytest.raises(RequestError, match="chose the learning rate of elu by other rates"):
        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")


def test_auto_is_checked_like_rates():
    wanted = request("relu", tune_learning_rates=" Auto ")
    specs = expand_tuning(wanted, "digits", "abc", "CPU")
    assert sorted({spec.learning_rate for spec in specs}) == [3e-4, 1e-3, 3e-3]
    assert {spec.seed for spec in specs} == {1000, 1001, 1002}
