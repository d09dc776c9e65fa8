"""Slopes |f′(z)| of activations, alone and in networks: what counts as saturated or inactive.

TensorFlow is loaded when one of these is called.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.activations import Activation
from benchmark.analysis.derivative import differentiated

if TYPE_CHECKING:
    from benchmark.training.stacked import Networks

# The largest slope is looked for between minus and plus this.
REACH = 10.0


def steepest(entry: Activation) -> float:
    """Return the largest |f′(z)| for z from -10 to 10, at test time.

    Of an activation with several pieces, one runs over these values and the others are 0.
    """
    return float(_slopes_on_grid(entry).max())


def is_hard(entry: Activation) -> bool:
    """Return whether f′ is exactly 0 on a stretch of -10 to 10, in float64 (hard saturation)."""
    return bool((_slopes_on_grid(entry) == 0).mean() > 0.01)


def _slopes_on_grid(entry: Activation) -> np.ndarray:
    z = np.zeros((20001, entry.pieces))
    z[:, 0] = np.linspace(-REACH, REACH, len(z))
    return np.abs(differentiated(entry.function, z, "float64")[1]).max(axis=1)


def slopes(made: "Networks", x: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """Return |f′(z)|, the outputs f(z) and z of each hidden layer, tensors (n, examples, units).

    By automatic differentiation, at test time. Of a unit with several pieces, the largest slope
    and the largest z. For networks without batch normalization.
    """
    import tensorflow as tf

    with tf.GradientTape(persistent=True) as tape:
        passed = made.forward(x)
    found = [
        tape.gradient(post, pre, unconnected_gradients="zero")
        for post, pre in zip(passed.post, passed.pre)
    ]
    pieces = made.entry.pieces
    tallest = [tf.reduce_max(tf.stack(tf.split(z, pieces, -1)), 0) for z in passed.pre]
    steep = [tf.reduce_max(tf.stack(tf.split(tf.abs(s), pieces, -1)), 0) for s in found]
    return steep, passed.post, tallest


def finite(made: "Networks", losses: np.ndarray) -> np.ndarray:
    """Return which networks have only finite weights and losses, (n,)."""
    import tensorflow as tf

    sums = [tf.reduce_sum(tf.abs(part), axis=(1, 2)) for part in (*made.kernels, *made.biases)]
    return np.isfinite(np.stack([part.numpy() for part in sums])).all(0) & np.isfinite(losses)
