"""The answer: what follows from verdicts, times and the control."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmark.stats import comparisons, summary
from benchmark.stats.answer import answers
from tests.stats.test_comparisons import MARGIN, made

RAMP = np.arange(12) / 1000
NOISE = np.tile([1e-3, -1e-3], 6)


def answered(scores, seconds=None, control="linear", baseline="relu", **settings):
    runs = made(scores, **settings)
    times = runs["activation"].map(seconds or {}).fillna(1.0)
    runs = runs.assign(seconds_per_epoch=times, seconds=10 * times)
    pairs = comparisons.all_pairs(runs, MARGIN)
    found = answers(pairs, summary.summarize(runs), summary.final_runs(runs), baseline, control)
    # As it stands in the file.
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


def one(*words, **more):
    (found,) = answered(*words, **more)
    return found


SCORES = {
    "relu": 0.9 + RAMP,
    "gelu": 0.9 + RAMP + NOISE,
    "tanh": 0.8 + 2 * RAMP,
    "sigmoid": [0.1] * 12,
    "linear": 0.7 + 3 * RAMP,
}


def test_what_to_use():
    found = one(SCORES, {"gelu": 2.0, "relu": 0.5})
    assert found["use"] == ["relu", "gelu"]
    assert found["equal"] == [["relu", "gelu"]]
    assert found["undecided"] == []
    assert found["seeds_needed"] is None
    assert {each["activation"]: each["reason"] for each in found["ruled_out"]} == {
        "sigmoid": "did not learn",
        "tanh": "worse",
    }
    assert found["ruled_out"][0]["without_learning"] == found["ruled_out"][0]["runs"] == 12
    assert found["ruled_out"][1]["beaten_by"] == ["gelu", "relu"]
    assert found["cost"]["gelu"] == 4.0
    assert (found["margin"], found["seeds"], found["control_beaten"]) == (0.005, 12, True)
    assert found["seconds"] == pytest.approx(12 * 10 * (2 + 0.5 + 3))
    assert (found["dataset"], found["model"], found["baseline"]) == ("digits", "cnn", "relu")
    assert found["setting"]["learning_rate"] == 0.001
    assert found["setting"]["limit"] is None


def test_the_cheapest_comes_first():
    scores = {name: SCORES["relu"] + NOISE * i for i, name in enumerate(["elu", "gelu", "relu"])}
    assert one(scores, {"elu": 1.0, "gelu": 0.5, "relu": 2.0})["use"] == ["gelu", "elu", "relu"]
    # As cheap as the cheapest: no reason to leave the baseline.
    assert one(scores, {"elu": 1.0, "gelu": 0.97, "relu": 1.01})["use"][0] == "relu"


def test_the_cheapest_is_the_cheapest_that_may_be_used():
    scores = {"relu": 0.9 + RAMP, "elu": 0.9 + RAMP + NOISE, "linear": 0.7 + 3 * RAMP}
    # The control is cheaper than any, and as cheap as elu alone.
    assert one(scores, {"linear": 0.94, "elu": 0.98})["use"] == ["relu", "elu"]
    without = {"relu": [None] * 12, "gelu": 0.9 + RAMP + NOISE, "elu": 0.9 + RAMP}
    found = one(without, {"gelu": 3.0})
    assert found["use"] == ["elu", "gelu"]
    assert found["cost"] == {}


def test_an_activation_without_a_run_is_named():
    found = one({"relu": 0.9 + RAMP, "gelu": [None] * 12})
    assert found["without_runs"] == ["gelu"]
    assert (found["use"], found["ruled_out"]) == (["relu"], [])
    assert one(SCORES)["without_runs"] == []


def test_the_control_is_never_the_answer():
    same = {"relu": 0.9 + RAMP, "linear": 0.9 + RAMP + NOISE}
    found = one(same)
    assert found["use"] == ["relu"]
    assert found["control_beaten"] is False
    assert found["ruled_out"] == []
    assert one(SCORES)["control_beaten"] is True
    assert one({"relu": 0.9 + RAMP, "linear": [0.1] * 12})["control_beaten"] is True
    without = one({"relu": 0.9 + RAMP, "elu": 0.9 + RAMP})
    assert (without["control"], without["control_beaten"]) == (None, None)


def test_what_did_not_learn_beats_no_control():
    stuck = [0.1] * 12
    assert one({"relu": stuck, "linear": stuck})["control_beaten"] is False
    alone = one({"linear": 0.9 + RAMP})
    assert (alone["control"], alone["control_beaten"]) == ("linear", None)


def test_a_seed_on_two_devices_is_one():
    scores = {name: SCORES[name] for name in ("relu", "gelu")}
    runs = pd.concat([made(scores, device="CPU"), made(scores, device="GPU")])
    runs = runs.assign(seconds=1.0, seconds_per_epoch=1.0)
    pairs = comparisons.all_pairs(runs, MARGIN)
    (found,) = answers(pairs, summary.summarize(runs), summary.final_runs(runs), "relu")
    assert found["seeds"] == 12


def test_few_seeds_leave_pairs_open():
    few = {"relu": [0.9, 0.91], "gelu": [0.92, 0.91], "elu": [0.9, 0.9]}
    found = one(few)
    assert sorted(found["use"]) == ["elu", "gelu", "relu"]
    assert len(found["undecided"]) == 3
    assert found["equal"] == []
    assert found["seeds_needed"] > 0


def test_a_group_is_equal_throughout():
    # The outer two are not equal, though each is to the middle one.
    scores = {"a": 0.9 + RAMP, "b": 0.9035 + RAMP + NOISE / 4, "c": 0.907 + RAMP}
    found = one(scores, baseline="a")
    for group in found["equal"]:
        assert not {"a", "c"} <= set(group)


def test_settings_have_an_answer_each():
    runs = pd.concat(
        [made(SCORES, limit=100), made({name: SCORES[name] for name in ("relu", "gelu")})]
    ).assign(seconds=1.0, seconds_per_epoch=1.0)
    pairs = comparisons.all_pairs(runs, MARGIN)
    found = answers(pairs, summary.summarize(runs), summary.final_runs(runs), "relu", "linear")
    assert [each["setting"]["limit"] for each in found] == [100, None]
    assert [each["control"] for each in found] == ["linear", None]


def test_one_activation_and_none():
    found = one({"relu": [0.9]})
    assert found["use"] == ["relu"]
    assert (found["margin"], found["undecided"]) == (None, [])
    failed = one({"relu": [None], "elu": [None]})
    assert failed["use"] == []
    assert failed["cost"] == {}
