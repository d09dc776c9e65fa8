import io
import itertools
import math

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from matplotlib.figure import Figure
from scipy import integrate, optimize, stats

from benchmark.activations import resolve
from benchmark.data import loading
from benchmark.errors import RequestError
from benchmark.experiments.base import Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED
from benchmark.experiments.studies import losses as losses_studies
from benchmark.experiments.studies.losses import (
    ENTROPY,
    GRID,
    SQUARED,
    by_chance,
    descend,
    findings,
    flow_time,
    gradient,
    measure,
    method,
    network_rate,
)
from benchmark.plotting import palette
from benchmark.plotting.style import figure_style

OPTIONS = {"starts": (1.5, 4.0), "epochs": 1, "model": "mlp"}


def stored(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table as it is read back from its file."""
    return pd.read_csv(io.StringIO(table.to_csv(index=False)))


@pytest.fixture(scope="module")
def small():
    data = loading.split(loading.load(loading.locate("digits")))
    seen = []
    setting = Setting(
        (resolve("tanh"),), (0,), OPTIONS, "digits", data, lambda done, of: seen.append((done, of))
    )
    table = stored(measure(setting))
    assert seen[-1] == (5, 5)
    return table


def made_table(
    steps=((47, 10, 47), (233, 17, 77)),
    adam=((2, 4), (3, 5)) * 3,
    sgd=((2, 4), (3, 5)) * 3,
    slope=None,
    epochs=6,
):
    """Return a table by hand.

    `steps` until half-way by start (squared error, cross-entropy, matched); epochs to 80 % by
    seed, (cross-entropy, squared error), 0 for never; `slope` replaces cross-entropy's gradient.
    """
    rows = []
    kinds = [(SQUARED, "same", 0.15), (ENTROPY, "same", 0.15), (ENTROPY, "matched", 0.03)]
    for start, counts in zip((1.5, 4.0), steps):
        for (loss, rate, learning_rate), count in zip(kinds, counts):
            common = {
                "loss": loss, "rate": rate, "learning_rate": learning_rate, "start": start
            }  # fmt: skip
            rows.append({"part": "half", **common, "step": count, "output": 0.4})
            rows += [
                {"part": "curve", **common, "step": step, "output": 0.9 - step / 1000}
                for step in (0, 5)
            ]
    for loss in (SQUARED, ENTROPY):
        slopes = gradient(loss, GRID)
        if loss == ENTROPY and slope is not None:
            slopes = slope
        rows += [
            {"part": "gradient", "loss": loss, "z": z, "output": 1 / (1 + math.exp(-z)),
             "gradient": height}
            for z, height in zip(losses_studies.GRID, slopes)
        ]  # fmt: skip
    for optimizer, pairs in (("adam", adam), ("sgd", sgd)):
        for seed, arrivals in enumerate(pairs):
            for loss, arrival in zip((ENTROPY, SQUARED), arrivals):
                rows += [
                    {
                        "part": "network", "activation": "relu", "seed": seed, "loss": loss,
                        "optimizer": optimizer, "learning_rate": 0.1, "epoch": epoch,
                        "val_accuracy": 0.85 if 0 < arrival <= epoch else 0.6,
                        "outcome": "complete", "dataset": "digits", "model": "mlp",
                    }
                    for epoch in range(1, epochs + 1)
                ]  # fmt: skip
    return stored(pd.DataFrame(rows))


def verdicts(table):
    return [finding.verdict for finding in losses_studies.findings(table)]


@pytest.mark.parametrize("loss", [SQUARED, ENTROPY])
def test_gradient_is_that_of_the_cost(loss):
    z = np.linspace(-6, 6, 25)
    # Weight and bias share their gradient: input 1.
    w = tf.Variable(z)
    with tf.GradientTape() as tape:
        a = tf.sigmoid(w)
        cost = a * a / 2 if loss == SQUARED else -tf.math.log(1 - a)
    expected = tape.gradient(cost, w).numpy()
    assert gradient(loss, z) == pytest.approx(expected, rel=1e-9)


def test_squared_error_is_steepest_at_two_thirds():
    found = optimize.minimize_scalar(lambda z: -losses_studies.gradient(SQUARED, z), bounds=(-5, 5))
    assert found.x == pytest.approx(math.log(2), abs=1e-4)
    assert -found.fun == pytest.approx(4 / 27)


@pytest.mark.parametrize("loss", [SQUARED, ENTROPY])
def test_flow_time_is_the_integral(loss):
    expected, _ = integrate.quad(lambda z: 1 / losses_studies.gradient(loss, z), -0.5, 5.0)
    assert flow_time(loss, 5.0, -0.5) == pytest.approx(expected)


@pytest.mark.parametrize("loss", [SQUARED, ENTROPY])
def test_small_steps_take_the_time_of_the_flow(loss):
    rate, start = 1e-3, 3.0
    half = 1 / (1 + math.exp(-start)) / 2
    outputs = descend(loss, start, rate)
    steps = next(step for step, output in enumerate(outputs) if output <= half)
    last = math.log(half / (1 - half))
    assert 2 * rate * steps == pytest.approx(losses_studies.flow_time(loss, start, last), rel=2e-3)


def test_a_step_by_hand():
    outputs = list(itertools.islice(losses_studies.descend(SQUARED, 1.5, 0.15), 2))
    a = 1 / (1 + math.exp(-1.5))
    assert outputs == pytest.approx([a, 1 / (1 + math.exp(-1.5 + 0.3 * a**2 * (1 - a)))])
    # Nielsen's two starts, chapter 3.
    assert outputs[0] == pytest.approx(0.82, abs=5e-3)
    assert next(losses_studies.descend(SQUARED, 4.0, 0.15)) == pytest.approx(0.98, abs=5e-3)


def test_rates_match_at_the_best_start(small):
    steps = losses_studies.half_steps(small).loc[1.5]
    assert steps[ENTROPY, "matched"] == pytest.approx(steps[SQUARED, "same"], abs=1)
    assert steps[ENTROPY, "same"] < steps[SQUARED, "same"] / 4


@pytest.mark.parametrize("classes", [10, 47])
def test_rates_of_plain_descent_match_at_equal_probabilities(classes):
    logits = tf.Variable(tf.zeros((1, classes), tf.float64))
    y = tf.one_hot([3], classes, dtype=tf.float64)
    steps = []
    for loss in (ENTROPY, SQUARED):
        with tf.GradientTape() as tape:
            cost = keras.losses.get(losses_studies.KERAS_LOSSES[loss])(y, tf.nn.softmax(logits))
        rate = network_rate("sgd", loss, classes)
        steps.append(rate * tape.gradient(cost, logits).numpy())
    assert steps[0] == pytest.approx(steps[1], abs=1e-7)


def test_measured_table(small):
    assert small["part"].value_counts().to_dict() == {
        "gradient": 2 * len(losses_studies.GRID),
        "curve": 2 * 3 * len(losses_studies.CURVE_STEPS),
        "half": 6,
        "network": 4,
    }
    network = small[small["part"] == "network"]
    pairs = itertools.product(("adam", "sgd"), (ENTROPY, SQUARED))
    assert set(zip(network["optimizer"], network["loss"])) == set(pairs)
    assert network["val_accuracy"].between(0, 1).all()
    assert "1 seed per activation" in method(small)
    assert "1 epoch," in method(small)
    assert len(verdicts(small)) == 5


def test_claims_that_hold():
    table = made_table(steps=((47, 10, 47), (2330, 17, 77)))
    assert verdicts(table) == [HOLDS] * 5
    told = [finding.evidence for finding in losses_studies.findings(table)]
    assert "in 2\u202f330, 49.6 times" in told[0]
    assert "77 at the rate matched at 0.82" in told[2]
    assert "80 %: 2.5 against 4.5" in told[3]
    assert "6 pairs" in told[3]
    assert "sign test: p = 0.0156" in told[3]
    assert "after the last one: 85.0 % against 85.0 %" in told[3]


def test_claims_that_fail():
    table = made_table(
        steps=((47, 100, 100), (40, 100, 100)),
        adam=((4, 2), (0, 2)) * 3,
        sgd=((4, 2), (2, 4)) * 3,
        slope=-losses_studies.GRID,
    )
    assert verdicts(table) == [FAILS] * 5


def test_claims_that_hold_in_part():
    bent = np.abs(GRID)
    never = ((0, 0),) * 6
    # Eight wins and two losses: one loss too many for all of the claim.
    most = ((2, 4),) * 8 + ((4, 2),) * 2
    table = made_table(
        steps=((47, 10, 47), (60, 17, 77)), adam=(*most, (2, 4)), sgd=never, slope=bent
    )
    assert verdicts(table) == [IN_PART] * 4 + [UNDECIDED]
    assert "80 %: none against none" in losses_studies.findings(table)[4].evidence


def test_same_epoch_is_no_win():
    assert verdicts(made_table(adam=((3, 3),) * 6))[3] == FAILS
    assert verdicts(made_table(adam=((3, 0),) * 5 + ((3, 3),) * 3))[3] == IN_PART


def test_a_majority_that_chance_would_bring_is_none():
    chance = ((2, 4),) * 7 + ((4, 2),) * 5 + ((3, 3),) * 5
    found = findings(made_table(adam=chance))[3]
    assert found.verdict == FAILS
    assert "sign test: p = 0.387" in found.evidence
    few = findings(made_table(adam=((2, 4),) * 4))[3]
    assert few.verdict == UNDECIDED
    assert "So few pairs cannot show who is faster: it takes 5." in few.evidence


@pytest.mark.parametrize(("wins", "losses"), [(7, 5), (0, 3), (17, 0), (0, 0)])
def test_by_chance_is_the_sign_test(wins, losses):
    if wins + losses:
        expected = stats.binomtest(wins, wins + losses, alternative="greater").pvalue
    else:
        expected = 1.0
    assert by_chance(wins, losses) == pytest.approx(expected)


def test_final_accuracy_is_that_of_the_last_epochs():
    late = losses_studies.findings(made_table(adam=((2, 0),) * 6))[3].evidence
    assert "after the last one: 85.0 % against 60.0 %" in late


def test_diverged_runs_are_told():
    table = made_table()
    gone = (table["optimizer"] == "sgd") & (table["seed"] == 1) & (table["loss"] == SQUARED)
    table.loc[gone, "outcome"] = "diverged"
    adam, sgd = (finding.evidence for finding in losses_studies.findings(table)[3:])
    assert "Diverged" not in adam
    assert "Diverged: 1 run." in sgd


def test_one_start():
    table = made_table(steps=((47, 10, 47),))
    assert verdicts(table)[0] == verdicts(table)[2] == UNDECIDED
    with figure_style("light"):
        assert len(losses_studies.figures(table, palette.line_styles())[""].axes) == 3


@pytest.mark.parametrize("style", ["light", "dark"])
def test_figures(small, style):
    with figure_style(style):
        figures = losses_studies.figures(small, palette.line_styles())
        assert set(figures) == set(losses_studies.EXPERIMENT.captions)
        for figure in figures.values():
            assert isinstance(figure, Figure)
            figure.savefig(io.BytesIO())
    network = small[small["part"] == "network"]
    drawn = [line.get_ydata()[0] for line in figures["network"].axes[0].lines]
    assert sorted(drawn) == pytest.approx(sorted(100 - 100 * network["val_accuracy"]))


@pytest.mark.parametrize(
    ("name", "bad"),
    [("starts", "1.5,x"), ("starts", "-1"), ("starts", 20), ("epochs", 0), ("model", "rnn")],
)
def test_bad_options(name, bad):
    option = next(option for option in losses_studies.EXPERIMENT.options if option.name == name)
    with pytest.raises(RequestError, match=r"cannot be used|unknown model") as caught:
        option.convert(bad)
    assert "\n" not in str(caught.value)
    assert option.convert(option.default) == option.default
