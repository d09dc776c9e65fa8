"""The derivative of an activation by automatic differentiation; TensorFlow loads when called."""

from benchmark.activations.types import Elementwise, Tensor


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
