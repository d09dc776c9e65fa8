import numpy as np
import pytest
import tensorflow as tf

from benchmark.activations import names, resolve
from benchmark.activations.gradients import value_and_gradient, value_and_slope, wrong_slope


def test_value_and_gradient_of_a_cube():
    x = tf.constant([[-1.0, 2.0], [0.5, 3.0]], tf.float64)
    value, gradient = value_and_gradient(lambda x: x**3, x)
    np.testing.assert_allclose(value, x**3)
    np.testing.assert_allclose(gradient, 3 * x**2)
    _, weighted = value_and_gradient(lambda x: x**3, x, upstream=2 * tf.ones_like(x))
    np.testing.assert_allclose(weighted, 6 * x**2)


def test_gradient_of_what_does_not_depend_on_x():
    x = tf.constant([1.0, 2.0])
    assert value_and_gradient(tf.ones_like, x)[1] is None
    _, gradient = value_and_gradient(tf.ones_like, x, unconnected="zero")
    assert gradient.numpy().tolist() == [0.0, 0.0]


def wrong_slope_of(function):
    return wrong_slope(
        lambda x: [part.numpy() for part in value_and_slope(function, tf.constant(x))]
    )


@pytest.mark.parametrize(
    "function",
    [
        *(resolve(name).make for name in names() if not resolve(name).is_layer),
        lambda x: tf.where(x > 0, tf.ones_like(x), tf.zeros_like(x)),
        lambda x: x + tf.sin(100 * x),
        lambda x: 1e4 + 0.01 * x,
        lambda x: 1e-4 * tf.exp(x),
        lambda x: tf.abs(tf.abs(tf.abs(x - 1) - 2) - 3),
    ],
)
def test_right_slopes_are_left_alone(function):
    assert wrong_slope_of(function) is None


@tf.custom_gradient
def without_upstream(x):
    return tf.tanh(x), lambda upstream: 1 - tf.tanh(x) ** 2


@tf.custom_gradient
def straight_through(x):
    return tf.round(x), lambda upstream: upstream


@tf.custom_gradient
def wrong_on_one_side(x):
    return tf.nn.relu(x), lambda upstream: upstream * tf.where(x > 0, 1.0, 0.05)


@pytest.mark.parametrize(
    ("function", "gradient", "slope"),
    [(without_upstream, 0.5, 1), (straight_through, 1, 0), (wrong_on_one_side, 0.05, 0)],
)
def test_wrong_slopes_are_seen(function, gradient, slope):
    wrong = wrong_slope_of(function)
    assert wrong.gradient == pytest.approx(gradient, abs=1e-3)
    assert wrong.slope == pytest.approx(slope, abs=1e-3)
