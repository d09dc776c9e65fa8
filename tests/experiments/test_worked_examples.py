import math

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy.special import expit
from scipy.stats import norm

from benchmark.activations import register_activation, resolve
from benchmark.experiments.base import Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED
from benchmark.experiments.studies import worked_examples
from benchmark.plotting.palette import line_style, line_styles
from benchmark.plotting.style import figure_style

EXPERIMENT = worked_examples.EXPERIMENT


def measured(*names, seeds=(0,)):
    calls = []
    setting = Setting(
        tuple(resolve(name) for name in names), seeds, {}, progress=lambda *call: calls.append(call)
    )
    table = EXPERIMENT.measure(setting)
    assert calls == sorted(calls)
    assert calls
    return table


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("worked") / "worked_examples.csv"
    measured("sigmoid", "tanh", "gelu").to_csv(path, index=False)
    return pd.read_csv(path)


def picked(table, example, case, quantity, activation):
    chosen = table[
        (table["example"] == example)
        & (table["case"] == case)
        & (table["quantity"] == quantity)
        & (table["activation"] == activation)
    ]
    return chosen.set_index("step")["value"]


def changed(table, value, **where):
    """The table with another value in the rows where these columns have these values."""
    chosen = np.logical_and.reduce([table[column] == wanted for column, wanted in where.items()])
    assert chosen.any()
    return table.assign(value=table["value"].where(~chosen, value))


def verdicts(table):
    return [finding.verdict for finding in EXPERIMENT.findings(table)]


def test_table(table):
    assert not table.isna().any().any()
    assert not table.duplicated(["example", "case", "step", "activation", "quantity"]).any()
    assert set(table["example"]) == {"vanishing", "exploding", "clipping", "gelu"}


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "gelu"])
@pytest.mark.parametrize("layers", [1, 2, 5, 10])
def test_chain_of_derivatives_by_automatic_differentiation(table, name, layers):
    weight = tf.Variable(0.2, dtype=tf.float64)
    with tf.GradientTape() as tape:
        a = resolve(name).function(weight * 1.0)
        for _ in range(layers - 1):
            a = resolve(name).function(a)
    gradient = tape.gradient(a, weight).numpy()
    assert picked(table, "vanishing", "chain", "gradient", name)[layers] == pytest.approx(
        gradient, rel=1e-12
    )
    new = picked(table, "vanishing", "chain", "new weight", name)[layers]
    assert new == pytest.approx(0.2 - 0.5 * gradient, rel=1e-12)


def test_chain_of_derivatives_in_closed_form(table):
    z, product = 0.2, 1.0
    for layer in range(1, 6):
        assert picked(table, "vanishing", "chain", "z", "sigmoid")[layer] == pytest.approx(z)
        product *= expit(z) * expit(-z)
        z = expit(z)
    assert product < 0.25**5
    assert picked(table, "vanishing", "chain", "gradient", "sigmoid")[5] == pytest.approx(product)


@pytest.mark.parametrize("case", ["as chosen", "input moved"])
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_exploding_chain_by_automatic_differentiation(table, name, case):
    chosen = picked(table, "exploding", case, "bias", name)
    biases = [tf.Variable(bias, dtype=tf.float64) for bias in chosen]
    with tf.GradientTape() as tape:
        a = picked(table, "exploding", case, "input", name)[0]
        for bias in biases:
            a = resolve(name).function(100.0 * a + bias)
    gradients = [gradient.numpy() for gradient in tape.gradient(a, biases)]
    found = picked(table, "exploding", case, "gradient", name).sort_index()
    np.testing.assert_allclose(found, gradients, rtol=1e-9)


def test_exploding_chain_in_closed_form(table):
    biases = picked(table, "exploding", "as chosen", "bias", "sigmoid")
    np.testing.assert_allclose(biases, [-100, -50, -50, -50])
    np.testing.assert_allclose(picked(table, "exploding", "as chosen", "factor", "sigmoid"), 25.0)
    gradient = picked(table, "exploding", "as chosen", "gradient", "sigmoid")
    assert gradient[1] == pytest.approx(25**3 / 4)
    assert picked(table, "exploding", "as chosen", "gradient", "tanh")[1] == pytest.approx(1e6)


@pytest.mark.parametrize("case", list(worked_examples.GRADIENTS))
def test_clipping(table, case):
    gradient = np.array(worked_examples.GRADIENTS[case])
    by_value = tf.clip_by_value(gradient, -0.5, 0.5).numpy()
    by_norm = tf.clip_by_norm(gradient, 0.5).numpy()
    one = table[(table["example"] == "clipping") & (table["case"] == case)]
    one = one.set_index("quantity")["value"]
    for way, clipped in (("by value", by_value), ("by norm", by_norm)):
        found = [one[f"first component, {way}"], one[f"second component, {way}"]]
        np.testing.assert_allclose(found, clipped, rtol=1e-12)
        assert one[f"norm, {way}"] == pytest.approx(np.linalg.norm(clipped))
        cosine = clipped @ gradient / np.linalg.norm(clipped) / np.linalg.norm(gradient)
        angle = math.degrees(math.acos(min(1.0, cosine)))
        assert one[f"angle, {way}"] == pytest.approx(angle, abs=1e-5)


def test_angle_of_the_first_gradient(table):
    one = table[(table["case"] == "A") & (table["quantity"] == "angle, by value")]
    expected = math.degrees(math.atan2(0.4, 0.5) - math.atan2(0.4, 2.0))
    assert one["value"].item() == pytest.approx(expected)


def test_gelu_is_what_is_expected(table):
    x = picked(table, "gelu", "seed 0", "x", "gelu_exact")
    expected = picked(table, "gelu", "seed 0", "expected", "gelu_exact")
    np.testing.assert_allclose(expected, x * norm.cdf(x), atol=1e-15)
    error = picked(table, "gelu", "seed 0", "error", "gelu_exact")
    np.testing.assert_allclose(error, abs(x) * np.sqrt(norm.cdf(x) * norm.sf(x) / 1e6), rtol=1e-12)
    tanh = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    found = picked(table, "gelu", "seed 0", "tanh form", "gelu")
    np.testing.assert_allclose(found, tanh, atol=1e-12)
    mean = picked(table, "gelu", "seed 0", "mean", "gelu_exact")
    assert np.all(np.abs(mean - expected) <= 5 * error)


def test_table_is_a_function_of_the_seeds():
    first, again = measured("sigmoid", seeds=(3,)), measured("sigmoid", seeds=(3,))
    pd.testing.assert_frame_equal(first, again)
    other = measured("sigmoid", seeds=(4,))
    same = first["value"].eq(other["value"])
    assert set(first.loc[~same, "quantity"]) == {"mean"}


def test_layers_kinks_and_plugins():
    @register_activation
    def constant(x):
        return tf.ones_like(x)

    @register_activation
    def growing(x):
        return tf.exp(tf.exp(x))

    made = measured("prelu", "rrelu", "maxout", "relu", "constant", "growing")
    slopes = {
        name: picked(made, "exploding", "input moved", "factor", name)[1] / 100
        for name in ("prelu", "rrelu", "maxout", "relu", "constant")
    }
    # The input moves down: that is the slope on the left.
    assert slopes == pytest.approx(
        {"prelu": 0.25, "rrelu": 11 / 48, "maxout": 1.0, "relu": 0.0, "constant": 0.0}
    )
    assert not made["value"].isna().any()
    assert np.isinf(made.loc[made["activation"] == "growing", "value"]).any()
    assert verdicts(made) == [UNDECIDED, UNDECIDED, HOLDS, HOLDS]
    everyone = {name: line_style(resolve(name).index) for name in set(made["activation"]) - {"any"}}
    with figure_style("dark"):
        EXPERIMENT.figures(made, {**line_styles(), **everyone})[""].canvas.draw()


def test_default_table_holds_the_claims(table):
    assert verdicts(table) == [HOLDS] * 4
    vanishes, explodes, clips, expects = (f.evidence for f in EXPERIMENT.findings(table))
    assert "from 0.2 to 0.199671, by 0.165 % of it" in vanishes
    assert "(gelu) to 0.828 (tanh)" in vanishes
    assert "= 6.58e-4, and" in vanishes
    assert "factors of the 4 layers are 25, 25, 25 and 25." in explodes
    # 25³ between the first bias and the last, 25⁴ between input and output.
    assert "3\u202f906.25 at layer 1, 15\u202f625-fold, by the first 3 of them" in explodes
    assert explodes.split("all 4 together, ")[1].split(". ")[0].endswith("make 390\u202f625")
    assert "(2, 0.4) turns by 27.3° by value and 0.0° by norm" in clips
    assert "(−0.7, 1.2) turns" in clips
    assert "from −3 to 3, the mean of 1\u202f000\u202f000 draws lies" in expects
    assert "4.73e-4 away from it, at x = 2.7" in expects
    assert "reconstruction" in EXPERIMENT.method(table)
    assert "1\u202f000\u202f000 draws" in EXPERIMENT.method(table)
    assert "(1 seed)" in EXPERIMENT.method(table)


def test_claims_that_fail(table):
    large = changed(table, 0.1, quantity="new weight", activation="sigmoid", step=5)
    assert verdicts(large) == [FAILS, HOLDS, HOLDS, HOLDS]
    factor = changed(table, 0.9, quantity="factor", activation="sigmoid", case="as chosen")
    assert verdicts(factor) == [HOLDS, FAILS, HOLDS, HOLDS]
    level = changed(table, 0.25, quantity="gradient", activation="sigmoid", case="as chosen")
    assert verdicts(level) == [HOLDS, FAILS, HOLDS, HOLDS]
    clipped = changed(table, 0.7, quantity="norm, by norm", case="A")
    assert verdicts(clipped) == [HOLDS, HOLDS, IN_PART, HOLDS]
    assert "5 of 6" in EXPERIMENT.findings(clipped)[2].evidence
    mean = changed(table, 1.0, quantity="mean", step=11)
    assert verdicts(mean) == [HOLDS, HOLDS, HOLDS, FAILS]


def test_figure_of_one_activation():
    made = measured("sigmoid", seeds=(0, 1))
    assert "60 inputs and 2 seeds" in EXPERIMENT.findings(made)[3].evidence
    with figure_style("light"):
        (figure,) = EXPERIMENT.figures(made, line_styles()).values()
        figure.canvas.draw()
    assert len(figure.axes) == 4
    assert [text.get_text() for text in figure.axes[1].texts] == ["×25"] * 3
    assert figure.axes[0].texts[1].get_text() == "weight 0.2 → 0.1997"
