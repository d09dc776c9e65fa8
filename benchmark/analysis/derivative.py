"""An activation and its derivative evaluated at points, by automatic differentiation."""

import numpy as np

from benchmark.activations import Activation
from benchmark.activations.gradients import value_and_gradient
from benchmark.activations.types import Elementwise


def elementwise(entry: Activation, dtype: str) -> Elementwise:
    """Return the activation as at test time, as a function of tensors of that dtype.

    It takes (n, pieces) and returns (n, 1). A learned slope has its initial value.
    """
    import keras

    if not entry.is_layer:
        return entry.make
    layer = entry.make(0)
    layer.dtype_policy = keras.DTypePolicy(dtype)
    return lambda x: layer(x, training=False)


def evaluated(function: Elementwise, x: np.ndarray, dtype: str) -> np.ndarray:
    """Return f(x) (n,) for points (n, pieces), in float64."""
    import tensorflow as tf

    value = tf.convert_to_tensor(function(tf.constant(x, dtype)))
    return value.numpy().astype(float).ravel()


def differentiated(
    function: Elementwise, x: np.ndarray, dtype: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return f(x) (n,) and its gradient (n, pieces) for points (n, pieces), in float64."""
    import tensorflow as tf

    value, slope = value_and_gradient(function, tf.constant(x, dtype), unconnected="zero")
    return value.numpy().astype(float).ravel(), slope.numpy().astype(float)


def precision(entry: Activation) -> str:
    """Return "float64", or "float32" for a user's function that can only compute in that."""
    import tensorflow as tf

    try:
        value = elementwise(entry, "float64")(tf.zeros((4, entry.pieces), tf.float64))
        return "float64" if value.dtype == tf.float64 else "float32"
    except Exception:
        return "float32"
