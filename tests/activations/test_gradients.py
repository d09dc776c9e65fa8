import numpy as np
import tensorflow as tf

from benchmark.activations.gradients import value_and_gradient


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
