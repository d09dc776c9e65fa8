"""Seeds until it is known: whole rounds, of the activations whose pairs are open."""

import dataclasses
import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmark import compare
from benchmark.errors import RequestError
from benchmark.execution import comparison
from benchmark.results.schema import spec_columns
from benchmark.training.request import Preset, request, rounds
from benchmark.training.spec import TUNING

MEANS = {"relu": 0.9, "gelu": 0.9, "tanh": 0.8, "sigmoid": 0.1, "linear": 0.6}


def noise(activation, seed, size):
    """Return the same noise for a seed whoever asks, another for each activation."""
    return size * np.random.default_rng([seed, len(activation), ord(activation[0])]).normal()


class MadeUp:
    """A store whose runs have made-up scores, and no files."""

    def __init__(self, spread=0.01, means=MEANS):
        self.spread, self.means = spread, means

    def runs(self, recorded, purposes):
        return pd.DataFrame(
            [
                {
                    **spec_columns(spec, name),
                    "purpose": purposes[name],
                    "status": "complete",
                    "test_accuracy": score,
                    "test_loss": 1 - score,
                    "val_accuracy": 1 - abs(np.log10(spec.learning_rate / 3e-3)) / 10,
                    "val_loss": 0.1,
                    "seconds": 1.0,
                    "seconds_per_epoch": 0.1,
                    "majority_share": 0.1,
                }
                for name, spec in recorded.items()
                for score in [self._score(spec)]
            ]
        )

    def _score(self, spec):
        spread = self.spread if self.means[spec.activation] > 0.1 else 0
        return self.means[spec.activation] + noise(spec.activation, spec.seed, spread)

    def write_tables(self, recorded, purposes):
        pass


@pytest.fixture
def trained(monkeypatch):
    """The names of activations of each round, with their seeds and rates, in place of training."""
    done = []
    monkeypatch.setattr(
        comparison, "_train_missing", lambda job, **options: done.append(list(job.specs))
    )

    def train(store, names, **settings):
        wanted = request(names, epochs=1, model="mlp", **settings)
        prepared = comparison.prepare(wanted, "digits", None)
        located = dataclasses.replace(prepared.located, note="Where the data are.")
        prepared = dataclasses.replace(prepared, located=located)
        screen = Console(file=io.StringIO(), width=500)
        done.clear()
        recorded, purposes = comparison.train(prepared, store, screen)
        told = [{name: [] for name in dict.fromkeys(s.activation for s in specs)} for specs in done]
        for counts, specs in zip(told, done):
            for spec in specs:
                if purposes[spec.run] != TUNING:
                    counts[spec.activation].append(spec.seed)
        return told, screen.file.getvalue(), recorded

    return train


def test_it_ends_once_all_is_decided(trained):
    told, screen, recorded = trained(MadeUp(), ["relu", "tanh", "sigmoid", "linear"])
    assert told == [{name: list(range(8)) for name in ("relu", "tanh", "sigmoid", "linear")}]
    assert "After 8 seeds 0 pairs open; ruled out: sigmoid and tanh." in screen
    assert len(recorded) == 32


def test_open_pairs_alone_go_on(trained):
    told, screen, _ = trained(MadeUp(0.02), list(MEANS))
    assert list(told[0]) == list(MEANS)
    later = [range(8, 12), range(12, 16), range(16, 20)]
    assert told[1:] == [{"relu": list(each), "gelu": list(each)} for each in later]
    assert "After 12 seeds 1 pair open (relu and gelu); ruled out: sigmoid and tanh." in screen
    assert screen.count("Where the data are.") == 1


def test_the_control_goes_on_while_it_is_not_beaten(trained):
    means = {**MEANS, "linear": 0.9}
    told, _, _ = trained(MadeUp(0.02, means), ["relu", "tanh", "linear"])
    assert set(told[1]) == {"relu", "linear"}


def test_equal_is_decided(trained):
    told, screen, _ = trained(MadeUp(0.0025), ["relu", "gelu"])
    assert [list(counts["relu"]) for counts in told] == [list(range(8)), list(range(8, 12))]
    assert "After 12 seeds 0 pairs open." in screen


def test_most_seeds_and_fixed_seeds(trained):
    told, _, _ = trained(MadeUp(0.02), ["relu", "gelu"], most_seeds=10)
    assert [counts["relu"] for counts in told] == [list(range(8)), [8, 9]]
    told, screen, _ = trained(MadeUp(0.02), ["relu", "gelu"], seeds=3)
    assert told == [{"relu": [0, 1, 2], "gelu": [0, 1, 2]}]
    assert "open" not in screen
    told, _, _ = trained(MadeUp(0.02), ["relu", "gelu"], preset="quick")
    assert told == [{"relu": [0], "gelu": [0]}]
    told, _, _ = trained(MadeUp(0.02), ["relu", "gelu"], seeds="auto", preset="standard")
    assert len(told) == 4


def test_no_round_begins_after_the_time_budget(trained):
    told, screen, _ = trained(MadeUp(0.02), ["relu", "gelu"], time_budget="0.000001s")
    assert len(told) == 1
    assert "The time budget of 1e-06 s is used up: no further seeds." in screen


def test_settings_go_on_each_by_itself(trained):
    class OneOpen(MadeUp):
        def _score(self, spec):
            shift = 0.2 if spec.activation == "gelu" and spec.learning_rate == 0.1 else 0
            return super()._score(spec) - shift

    told, _, recorded = trained(OneOpen(0.02), ["relu", "gelu"], learning_rate=[0.1, 0.2])
    assert len(told) == 4
    assert {spec.learning_rate for spec in recorded.values() if spec.seed >= 8} == {0.2}


def test_tuned_rates_have_rounds_of_their_own(trained):
    told, screen, recorded = trained(
        MadeUp(0.02), ["relu", "gelu", "tanh"], tune_learning_rates=[1e-3, 3e-3], tune_seeds=1
    )
    tuned = [s for s in recorded.values() if s.learning_rate == 3e-3 and s.seed < 1000]
    assert {s.seed for s in tuned if s.activation == "relu"} == set(range(20))
    assert {s.seed for s in tuned if s.activation == "tanh"} == set(range(8))
    assert screen.count("After 8 seeds") == 2


def test_rounds():
    preset = Preset(seeds=None, epochs=1)
    assert rounds(request(), preset) == [8, 12, 16, 20]
    assert rounds(request(most_seeds=30), preset)[-2:] == [28, 30]
    assert rounds(request(most_seeds=5), preset) == [5]
    assert rounds(request(most_seeds=8), preset) == [8]
    assert rounds(request(seeds=3), preset) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seeds": 3, "most_seeds": 9}, "most seeds 9 needs --seeds auto: leave out one of"),
        ({"preset": "quick", "time_budget": "5m"}, "time budget '5m' needs --seeds auto"),
        ({"time_budget": "soon"}, "time budget 'soon' cannot be used: give 90s, 10m or 2h"),
        ({"time_budget": "-5m"}, "time budget '-5m' cannot be used"),
        ({"most_seeds": 0}, "most seeds '0' cannot be used"),
        ({"tune_learning_rates": "auto", "tune_seeds": "19,"}, "seed 19 is among the tune seeds"),
    ],
)
def test_wrong_requests(settings, message):
    with pytest.raises(RequestError, match=message):
        request(**settings)


def test_times():
    assert request(time_budget="10m").time_budget == 600
    assert request(time_budget="2h").time_budget == 7200
    assert request(time_budget=90).time_budget == 90
    assert request(seeds="3,").seeds == [3]
    assert request(seeds=" Auto ").auto


def test_tune_seeds_may_be_any_that_the_final_runs_leave():
    rates = {"tune_learning_rates": [1e-3, 3e-3]}
    assert request(preset="standard", tune_seeds="7,8", **rates).tune_seeds == [7, 8]
    with pytest.raises(RequestError, match="seed 7 is among the tune seeds and the seeds"):
        request(tune_seeds="7,8", **rates)
    with pytest.raises(RequestError, match="seed 4 is among the tune seeds and the seeds"):
        request(preset="standard", tune_seeds="4,8", **rates)


@pytest.mark.slow
def test_whole_rounds_are_trained_and_found_again(tmp_path, no_figures):
    def job():
        return compare(
            ["tanh", "elu"],
            dataset="digits",
            limit=200,
            epochs=1,
            model="mlp",
            most_seeds=9,
            jobs=1,
            output=tmp_path / "out",
        )

    first = job()
    assert sorted(set(first.runs["seed"])) == list(range(9))
    (answer,) = first.answer
    assert answer["seeds"] == 9
    assert job().runs["run"].tolist() == first.runs["run"].tolist()
