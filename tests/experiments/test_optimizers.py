import itertools

import numpy as np
import pandas as pd
import pytest

from benchmark.activations import resolve
from benchmark.data import loading
from benchmark.errors import RequestError
from benchmark.experiments.base import Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED
from benchmark.experiments.studies import optimizers
from benchmark.plotting import palette
from benchmark.plotting.style import figure_style

LEARNING, TANH, BATCHES = range(3)
OPTIONS = {option.name: option for option in optimizers.EXPERIMENT.options}


def table(**changes):
    """A result of two activations, two seeds and two epochs; `changes` are functions of a row."""
    rows = []
    sizes = [(name, 128) for name in optimizers.MIDDLE_RATES] + [("adam", 16), ("adam", 32)]
    for activation, (optimizer, size), seed, epoch in itertools.product(
        ("sigmoid", "tanh"), sizes, (0, 1), (1, 2)
    ):
        row = {
            "learning_rate": optimizers.MIDDLE_RATES[optimizer],
            "seed": seed,
            "epoch": epoch,
            "steps": epoch * 1152 // size,
            "loss": 1.0 / epoch,
            "val_loss": 1.0 / epoch,
            "val_accuracy": 0.9,
            "test_accuracy": 0.9,
            "reached": True,
            "target_steps": 10,
            "diverged": False,
            "chosen": True,
            "at_edge": False,
            "activation": activation,
            "optimizer": optimizer,
            "batch_size": size,
            "networks": 6,
            "seconds": 128 / size,
            "target_loss": 0.5,
            "hidden_layers": 3,
            "units": 128,
            "dataset": "digits",
            "examples": 1149,
        }
        rows.append(row | {name: change(row) for name, change in changes.items()})
    return pd.DataFrame(rows)


def with_rates(made, steps, **changes):
    """Give each optimizer a grid of three rates, of which the middle one is chosen.

    `steps` is a function of a row and the rate's factor 0.1, 1 or 10; other columns likewise.
    """
    last = made[(made.epoch == made.epoch.max()) & (made.batch_size == 128)]
    others = [last.assign(chosen=False, factor=factor) for factor in (0.1, 10.0)]
    made = pd.concat([made.assign(factor=1.0), *others], ignore_index=True)
    made["learning_rate"] *= made.factor
    for name, change in {"target_steps": steps, **changes}.items():
        made[name] = [change(row, row["factor"]) for row in made.to_dict("records")]
    return made


def verdicts(made):
    return [finding.verdict for finding in optimizers.findings(made)]


def test_steps_to_a_target_are_counted_from_the_mean_of_a_window():
    losses = np.array([[4.0, 4.0], [0.0, 4.0], [2.0, 4.0], [1.0, np.nan], [9.0, 0.0]])
    # Means of two: 2, 1, 1.5, 5 and 4, 4, nan, nan.
    assert optimizers.first_steps(losses, 1.5, 2).tolist() == [3, 0]
    assert optimizers.first_steps(losses, 2.0, 2).tolist() == [2, 0]
    assert optimizers.first_steps(losses, 0.5, 1).tolist() == [2, 5]
    assert optimizers.first_steps(losses, 9.0, 6).tolist() == [0, 0]


def test_best_rate_has_the_highest_mean_accuracy_then_the_least_loss():
    def best(rows):
        names = ["learning_rate", "val_accuracy", "val_loss", "diverged"]
        return optimizers.best_rate(pd.DataFrame(rows, columns=names))

    two_seeds = [(0.1, 0.9, 1.0, False), (0.1, 0.5, 1.0, False), (1.0, 0.8, 9.0, False)]
    assert best(two_seeds) == 1.0
    assert best([(0.1, 0.9, 1.0, False), (1.0, 0.9, 0.5, False)]) == 1.0
    assert best([(0.1, 0.1, 2.0, False), (1.0, 0.9, np.nan, True)]) == 0.1


def both(row):
    order = list(optimizers.MIDDLE_RATES).index(row["optimizer"])
    return (30 if row["activation"] == "sigmoid" else 10) * 2**order


def test_both_choices_matter_only_where_the_steps_say_so():
    slow_sigmoid = table(target_steps=lambda row: 20 if row["activation"] == "sigmoid" else 10)
    assert verdicts(table())[LEARNING] == FAILS
    assert verdicts(slow_sigmoid)[LEARNING] == IN_PART
    finding = optimizers.findings(table(target_steps=both))[LEARNING]
    assert finding.verdict == HOLDS
    # Of ten pairs of optimizers four differ by 2, three by 4, two by 8 and one by 16.
    assert "two optimizers differ by a factor of 4, two activations by 3, two seeds by 1" in (
        finding.evidence
    )
    assert "from 10 (tanh with sgd) to 480 (sigmoid with adam)" in finding.evidence
    assert "No fastest rate lies at its grid's edge" in finding.evidence
    assert "coarse" not in finding.evidence
    assert "article" not in finding.claim


def test_one_slow_optimizer_of_five_does_not_make_the_choice_matter():
    made = table(target_steps=lambda row: 100 if row["optimizer"] == "sgd" else 10)
    assert verdicts(made)[LEARNING] == FAILS


def test_a_choice_must_matter_more_than_the_seed():
    made = table(target_steps=lambda row: both(row) * (2.5 if row["seed"] else 1))
    finding = optimizers.findings(made)[LEARNING]
    assert "two seeds by 2.5 (" in finding.evidence
    assert finding.verdict == FAILS
    alone = made[made.seed == 0]
    assert verdicts(alone)[LEARNING] == HOLDS
    assert "seeds by" not in optimizers.findings(alone)[LEARNING].evidence


def test_steps_are_those_of_the_fastest_rate():
    made = with_rates(table(), lambda row, factor: {0.1: 70, 1: 60, 10: 12}[factor])
    fast = optimizers.fastest(made)
    assert (fast.target_steps == 12).all()
    assert fast.highest.all()
    assert not fast.lowest.any()
    assert fast.gain.tolist() == fast.neighbour.tolist() == [5.0] * len(fast)
    inner = optimizers.fastest(
        with_rates(table(), lambda row, factor: {0.1: 40, 1: 10, 10: 30}[factor])
    )
    assert not (inner.highest | inner.lowest).any()
    assert set(inner.gain) == {4.0}
    assert set(inner.neighbour) == {3.0}
    # Neither one that loses a seed nor one that diverges is the fastest.
    lost = with_rates(
        table(),
        lambda row, factor: {0.1: 10, 1: 20, 10: 5}[factor],
        reached=lambda row, factor: factor != 0.1 or row["seed"] == 0,
        diverged=lambda row, factor: factor == 10 and row["seed"] == 0,
    )
    fast = optimizers.fastest(lost)
    assert (fast.target_steps == 20).all()
    assert np.isinf(fast.gain).all()
    assert set(fast.neighbour) == {0.25}
    one = optimizers.fastest(table())
    assert not (one.highest | one.lowest).any()
    assert one.neighbour.isna().all()


def test_pair_factors_are_those_of_all_pairs():
    index = pd.MultiIndex.from_product([["a", "b", "c"], [0, 1]], names=["activation", "seed"])
    steps = pd.Series([10, 20, 20, 20, 40, 20], index)
    assert sorted(optimizers.pair_factors(steps, "seed")) == [1, 2, 2]
    assert sorted(optimizers.pair_factors(steps, "activation")) == [1, 1, 1, 2, 2, 4]


@pytest.mark.parametrize(("beside", "verdict"), [(2, HOLDS), (3.5, IN_PART), (5, FAILS)])
def test_a_choice_must_matter_more_than_the_grid_is_coarse(beside, verdict):
    # Optimizers by 4, activations by 3.
    made = with_rates(
        table(), lambda row, factor: both(row) * {0.1: 9 * beside, 1: 1, 10: beside}[factor]
    )
    finding = optimizers.findings(made)[LEARNING]
    assert finding.verdict == verdict
    assert f"takes {beside} times as many steps (median), so that a smaller" in finding.evidence


def test_rates_at_the_edge_are_named():
    def steps(row, factor):
        edged = row["optimizer"] == "sgd" and row["activation"] == "tanh"
        return {0.1: 30, 1: 10, 10: 5 if edged else 40}[factor]

    evidence = optimizers.findings(with_rates(table(), steps))[LEARNING].evidence
    assert "1 of 10 fastest rates" in evidence
    assert "(tanh with sgd)" in evidence
    assert "The grid is coarse: the better one of the rates beside the fastest takes 3 times" in (
        evidence
    )


@pytest.mark.parametrize(
    ("below", "verdict"),
    [
        # Sigmoid needs 60 steps at the highest rate, tanh 10: another gain of 2 would not do.
        ({"adam": 120}, HOLDS),
        # Another gain of 10 would.
        ({}, IN_PART),
    ],
)
def test_a_grid_too_low_for_sigmoid_decides_nothing(below, verdict):
    def steps(row, factor):
        if row["activation"] == "tanh":
            return 10
        return {0.1: 900, 1: below.get(row["optimizer"], 600), 10: 60}[factor]

    finding = optimizers.findings(with_rates(table(), steps))[TANH]
    assert finding.verdict == verdict
    assert "Sigmoid is fastest at its grid's highest rate with sgd, momentum" in finding.evidence
    gain = "a factor of 2 with adam, is less than tanh's lead; with sgd, momentum, adagrad and"
    assert (gain in finding.evidence) == (verdict == HOLDS)
    assert "is too slow to tell what a higher one would bring." in finding.evidence


@pytest.mark.parametrize(
    ("steps", "verdict"), [((20, 10), HOLDS), ((10, 20), FAILS), ((10, 10), FAILS)]
)
def test_tanh_against_sigmoid_is_judged_by_pairs(steps, verdict):
    made = table(target_steps=lambda row: dict(zip(("sigmoid", "tanh"), steps))[row["activation"]])
    assert verdicts(made)[TANH] == verdict


def test_tanh_ahead_in_most_pairs_only_holds_in_part():
    made = table(
        target_steps=lambda row: (
            20 if (row["activation"] == "sigmoid") == (row["optimizer"] != "sgd") else 10
        )
    )
    finding = optimizers.findings(made)[TANH]
    assert finding.verdict == IN_PART
    assert "8 of 10 pairs" in finding.evidence
    assert "sgd 20 against 10" in finding.evidence


def test_never_reaching_the_target_loses_and_two_such_decide_nothing():
    alone = table(reached=lambda row: row["activation"] == "tanh")
    assert verdicts(alone)[TANH] == HOLDS
    assert "sgd 10 against never" in optimizers.findings(alone)[TANH].evidence
    assert verdicts(table(reached=lambda row: False))[TANH] == UNDECIDED


def test_missing_activations_leave_the_claim_undecided():
    made = table()
    alone = made[made.activation == "sigmoid"]
    assert verdicts(alone)[:2] == [UNDECIDED, UNDECIDED]
    assert optimizers.findings(alone)[TANH].evidence == "The table lacks tanh."


def test_small_batches_must_be_better_beyond_chance():
    def gain(points):
        return lambda row: 0.9 + (points / 100 if row["batch_size"] < 128 else 0)

    assert verdicts(table(test_accuracy=gain(2)))[BATCHES] == HOLDS
    # That they cost more is not half of the claim.
    assert verdicts(table(test_accuracy=gain(-2)))[BATCHES] == FAILS
    assert verdicts(table(test_accuracy=gain(0.3)))[BATCHES] == FAILS
    cheap = table(test_accuracy=gain(2), seconds=lambda row: row["batch_size"])
    assert verdicts(cheap)[BATCHES] == IN_PART
    only_16 = table(test_accuracy=lambda row: 0.92 if row["batch_size"] == 16 else 0.9)
    assert verdicts(only_16)[BATCHES] == IN_PART
    # Of one pair alone any gain would be some.
    pair = table(test_accuracy=gain(0.3))
    assert verdicts(pair[(pair.activation == "tanh") & (pair.seed == 0)])[BATCHES] == FAILS
    # A mean gain of one standard error is none.
    noisy = table(
        test_accuracy=lambda row: (
            0.9 + (0.02 * row["seed"] - 0.005 if row["batch_size"] < 128 else 0)
        )
    )
    assert verdicts(noisy)[BATCHES] == FAILS


def test_equal_steps_compare_the_last_epochs_within_them():
    made = table(
        val_accuracy=lambda row: 0.5 + 0.1 * row["epoch"] if row["batch_size"] == 128 else 0.6
    )
    # 18 steps of 128 against one epoch of 72 of 16: no such epoch.
    assert "too few epochs" in optimizers.findings(made)[BATCHES].evidence
    made.loc[made.batch_size == 16, "steps"] = 9 * made.epoch
    evidence = optimizers.findings(made)[BATCHES].evidence
    assert "18 of 128" in evidence
    assert "−10.00 ± 0.00 points at 16 (18 steps)" in evidence


def test_one_seed_and_one_activation_read_right():
    made = table()
    made = made[(made.activation == "tanh") & (made.seed == 0)]
    assert "1 seed and" in optimizers.method(made)
    assert "1\u202f149 standardized examples" in optimizers.method(made)
    assert "over 1 pair of" in optimizers.findings(made)[BATCHES].evidence
    assert "±" not in optimizers.findings(made)[BATCHES].evidence
    assert "±" not in optimizers.method(made)
    assert "± stands a standard error" in optimizers.method(table())


@pytest.mark.parametrize("name", ["light", "dark"])
def test_figures_show_what_the_captions_name(name):
    made = table(reached=lambda row: row["seed"] == 0 or row["activation"] == "tanh")
    made["at_edge"] = made.optimizer == "sgd"
    made.loc[made.optimizer == "adam", "learning_rate"] = 0.0003
    with figure_style(name):
        drawn = optimizers.figures(made, palette.line_styles())
        for figure in drawn.values():
            figure.canvas.draw()
    assert set(drawn) == set(optimizers.EXPERIMENT.captions)
    scores, steps, rates = drawn[""].axes
    assert [text.get_text() for text in steps.texts].count("1/2") == 5
    assert len(rates.patches) == 2
    assert [text.get_text() for text in rates.texts[:5]] == ["0.1", "0.03", "0.1", "0.003", "3e-4"]
    assert [axes.get_title(loc="left") for axes in drawn["curves"].axes] == list(
        optimizers.MIDDLE_RATES
    )


@pytest.mark.slow
def test_measured_table_repeats_and_is_complete():
    data = loading.split(loading.load(loading.locate("digits")), limit=160)
    options = {"factors": [0.1, 1.0], "epochs": 2}
    seen = []
    setting = Setting(
        (resolve("relu"),), (0, 3), options, "digits", data, lambda *now: seen.append(now)
    )
    made = optimizers.measure(setting)
    assert seen[-1][0] == seen[-1][1] == sum([2 * 1] * 5 + [2 * 8, 2 * 4])
    # Seven combinations: the best rate's two epochs and the other's last, for two seeds.
    assert len(made) == 7 * (2 + 1) * 2
    key = optimizers.KEY
    assert (made[made.chosen].groupby(key).learning_rate.nunique() == 1).all()
    finals = made[made.epoch == 2]
    for _, group in finals.groupby(key):
        accuracy = group.groupby("learning_rate").val_accuracy.mean()
        assert accuracy[group[group.chosen].learning_rate.iloc[0]] == accuracy.max()
    assert made.at_edge.all()
    assert set(made[made.batch_size == 16].steps) == {8, 16}
    again = optimizers.measure(setting)
    pd.testing.assert_frame_equal(made.drop(columns="seconds"), again.drop(columns="seconds"))


def test_options_name_what_is_wrong():
    assert OPTIONS["factors"].convert("0.1,1") == [0.1, 1.0]
    with pytest.raises(RequestError, match="'-1'"):
        OPTIONS["factors"].convert("1,-1")
    with pytest.raises(RequestError, match="'1' cannot be used: give a whole number of at least 2"):
        OPTIONS["epochs"].convert("1")
