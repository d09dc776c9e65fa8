import numpy as np
import pytest

from benchmark import activations
from benchmark.activations import (
    names,
    resolve,
)
from tests.activations.closed_forms import (
    CLOSED,
    ELEMENTWISE,
    LEFT,
    RIGHT,
    error,
    grid,
    value_and_gradient,
)


def test_every_elementwise_activation_has_a_closed_form():
    assert set(CLOSED) == set(ELEMENTWISE)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_float32_agrees_with_closed_form(name):
    x = grid(np.float32)
    value, gradient = value_and_gradient(name, x)
    exact = x.astype(np.float64)
    assert value.dtype == gradient.dtype == np.float32
    assert error(value, CLOSED[name][0](exact)) <= 2e-6
    assert error(gradient, CLOSED[name][1](exact)) <= 2e-6


@pytest.mark.parametrize("name", [n for n in ELEMENTWISE if not resolve(n).is_layer])
def test_float64_agrees_with_closed_form(name):
    x = grid(np.float64)
    value, gradient = value_and_gradient(name, x)
    # TensorFlow's leaky ReLU keeps its slope as float32: 0.2 is then off by a part in 7e7.
    bound = 2e-8 if name == "leaky_relu" else 1e-12
    assert error(value, CLOSED[name][0](x)) <= bound
    assert error(gradient, CLOSED[name][1](x)) <= bound


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_limits_at_huge_input(name):
    for sign, limits, default in ((-1, LEFT, (0.0, 0.0)), (1, RIGHT, ("x", 1.0))):
        wanted_value, wanted_slope = limits.get(name, default)
        for size in (1e3, 1e10, 1e20, 1e30):
            x = np.full((1, 1), sign * size, np.float32)
            value, gradient = value_and_gradient(name, x)
            wanted = wanted_slope * sign * size if wanted_value == "x" else wanted_value
            # softsign and squareplus come near their limit like 1 / x.
            np.testing.assert_allclose(value, [[wanted]], rtol=2e-6, atol=2 / size)
            np.testing.assert_allclose(gradient, [[wanted_slope]], rtol=2e-6, atol=2 / size)


def test_known_constants():
    def derivative_maximum(name):
        x = np.linspace(-10, 10, 400001)[:, None]
        return value_and_gradient(name, x)[1].max()

    def minimum(name):
        x = np.linspace(-3, 1, 400001)[:, None]
        value = value_and_gradient(name, x)[0]
        return value.min(), x[value.argmin(), 0]

    assert derivative_maximum("sigmoid") == pytest.approx(0.25, abs=1e-9)
    assert derivative_maximum("tanh") == pytest.approx(1.0, abs=1e-9)
    assert derivative_maximum("gelu_exact") == pytest.approx(1.1289041452, abs=1e-8)
    assert derivative_maximum("silu") == pytest.approx(1.0998393201, abs=1e-8)
    assert minimum("gelu")[0] == pytest.approx(-0.1700407506, abs=1e-9)
    assert minimum("gelu")[1] == pytest.approx(-0.7524614221, abs=1e-5)
    assert minimum("gelu_exact")[0] == pytest.approx(-0.1699712075, abs=1e-9)
    assert minimum("silu")[0] == pytest.approx(-0.2784645428, abs=1e-9)
    assert minimum("mish")[0] == pytest.approx(-0.3088434130, abs=1e-9)


def test_article_details():
    assert tuple(names()[:6]) == activations.ARTICLE_SIX
    selu = resolve("selu")
    assert (selu.initializer, selu.dropout) == ("lecun_normal", "alpha_dropout")
    others = [resolve(n) for n in names() if n != "selu"]
    assert {(e.initializer, e.dropout) for e in others} == {("glorot_uniform", "dropout")}
    assert dict(resolve("leaky_relu").parameters) == {"negative_slope": 0.2}
    assert all(resolve(n).formula and resolve(n).paper for n in names())


def test_prelu_has_one_slope_per_channel():
    layer = resolve("prelu").layer(seed=0)
    layer.build((None, 5, 5, 7))
    assert [tuple(w.shape) for w in layer.weights] == [(1, 1, 7)]
    assert np.all(layer.weights[0].numpy() == 0.25)


def test_rrelu_is_random_in_training_with_the_stated_range():
    layer = resolve("rrelu").layer(seed=3)
    x = -np.ones((400, 250), np.float32)
    slopes = -layer(x, training=True).numpy()
    assert 1 / 8 <= slopes.min() < 0.1251
    assert 0.3332 < slopes.max() <= 1 / 3 + 1e-7
    # 100 000 uniform draws: the mean's standard error is 0.0002.
    assert slopes.mean() == pytest.approx(11 / 48, abs=0.001)
    assert not np.array_equal(slopes, -layer(x, training=True).numpy())
    again = resolve("rrelu").layer(seed=3)
    assert np.array_equal(slopes, -again(x, training=True).numpy())


def test_maxout_takes_the_larger_piece():
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 10)).astype(np.float32)
    value = resolve("maxout").layer(seed=0)(x).numpy()
    assert np.array_equal(value, np.maximum(x[..., :5], x[..., 5:]))
