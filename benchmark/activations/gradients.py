"""The derivative of an activation by automatic differentiation; TensorFlow loads when called."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from benchmark.activations.types import Elementwise, Tensor

# Where slopes are compared: beyond, an activation is mostly straight or flat.
_REACH, _POINTS = 8.0, 192
# Steps of the difference quotients: those of float32 are good to three digits with either.
_STEP, _SMALL_STEP = 2.0**-5, 2.0**-7
# Relative difference from which two slopes disagree, and the number of points that may by chance:
# some lie beside a kink.
_SLOPE_TOLERANCE, _KINKS = 0.02, 4


def value_and_gradient(
    function: Elementwise, x: Tensor, upstream: Tensor = None, unconnected: str = "none"
) -> tuple[Tensor, Tensor]:
    """Return f(x) and the gradient of its sum with respect to x, in the shape of x.

    Args:
        function: f, of a tensor of the shape of x.
        x: where it is evaluated.
        upstream: weights of the sum, in the shape of f(x); None is 1 for each element.
        unconnected: what the gradient is where f(x) does not depend on x by differentiable
            operations, as in a step made of comparisons: "none" (None) or "zero".
    """
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.convert_to_tensor(function(x))
    return value, tape.gradient(value, x, upstream, unconnected)


def value_and_slope(function: Elementwise, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return f(x) and f'(x), both in the shape of x, as the backward pass gives the latter.

    The gradient that comes from above is 2, so that a `tf.custom_gradient` that leaves it out of
    its product is found out.
    """
    import tensorflow as tf

    value, gradient = value_and_gradient(function, x, 2.0 * tf.ones_like(x), unconnected="zero")
    return value, gradient / 2.0


class WrongSlope(NamedTuple):
    """Where the gradient differs from the slope of the values: x, the one and the other."""

    x: float
    gradient: float
    slope: float


def wrong_slope(
    evaluate: Callable[[np.ndarray], Sequence[np.ndarray]],
) -> WrongSlope | None:
    """Compare an activation's gradient with difference quotients of its values.

    A place counts only where two quotients, of a large and of a small step, agree: not beside a
    kink, and not where the function swings faster than the steps.

    Args:
        evaluate: returns f(x) and f'(x) for float32 points, shape (16, 60).

    Returns:
        The place of the greatest difference; None where there are no more than a few.
    """
    x = np.random.default_rng(0).uniform(-_REACH, _REACH, _POINTS).astype(np.float32)
    steps = np.array([0.0, -_STEP, _STEP, -_SMALL_STEP, _SMALL_STEP], np.float32)
    points = x + steps[:, None]
    results = evaluate(points.reshape(16, -1))
    values, gradients = (part.astype(float).reshape(points.shape) for part in results)
    # In float32 the steps are not exactly what was added.
    coarse = (values[2] - values[1]) / (points[2] - points[1])
    slope, gradient = (values[4] - values[3]) / (points[4] - points[3]), gradients[0]
    rounding = 8 * np.finfo(np.float32).eps * np.abs(values).max(axis=0) / _SMALL_STEP
    allowed = _SLOPE_TOLERANCE * (np.abs(slope) + np.abs(gradient)) + rounding
    apart = np.abs(gradient - slope)
    disagree = (apart > allowed) & (np.abs(coarse - slope) <= allowed)
    if disagree.sum() <= _KINKS:
        return None
    worst = int(np.argmax(np.where(disagree, apart, 0.0)))
    return WrongSlope(float(x[worst]), float(gradient[worst]), float(slope[worst]))
