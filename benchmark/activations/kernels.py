"""Activations and dropout compiled to one kernel each. Importing this loads TensorFlow."""

import functools
from collections.abc import Callable

import tensorflow as tf

from benchmark.activations.gradients import value_and_gradient
from benchmark.activations.types import Elementwise, Tensor


@functools.lru_cache(maxsize=16)
def fused(function: Elementwise) -> Elementwise:
    """Return an elementwise function whose value and whose gradient are one kernel each.

    Written in TensorFlow operations, a function like GELU runs over its input a dozen times; what
    XLA compiles reads it once. The gradient is recomputed from the input, so that nothing else is
    stored for the backward pass. A function that XLA cannot compile is returned as it is. Calling
    this again with the same function returns the same kernels, already compiled.
    """
    forward = tf.function(function, jit_compile=True)

    @tf.function(jit_compile=True)
    def backward(x: Tensor, upstream: Tensor) -> Tensor:
        return value_and_gradient(function, x, upstream)[1]

    @tf.custom_gradient
    def compiled(x: Tensor) -> tuple[Tensor, Elementwise]:
        return forward(x), lambda upstream: backward(x, upstream)

    try:
        x = tf.ones((1, 2))
        forward(x), backward(x, x)
    except Exception:
        return function
    return compiled


def random_bits(rate: float) -> int:
    """Return the fewest random bits, 1, 2, 4 or 8, in which a probability is exact; 0 if none."""
    fitting = (bits for bits in (1, 2, 4, 8) if (rate * 2**bits).is_integer())
    return next(fitting, 0) if 0 < rate < 1 else 0


@functools.cache
def dropping(
    rate: float, scale: float, shift: float = 0.0, dropped: float = 0.0
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function of inputs, of any shape, and a seed (2,): dropout in one kernel.

    It sets a share `rate`, exact in `random_bits(rate)`, of the inputs to `dropped`; the others
    become `input * scale + shift`.
    """
    bits = random_bits(rate)

    def select(inputs: Tensor, words: Tensor, shift: float, dropped: float) -> Tensor:
        # The draws in a word belong to elements far apart, so that each shift is of a whole array.
        shifts = tf.constant([[first_bit] for first_bit in range(0, 32, bits)], tf.uint32)
        draws = tf.bitwise.bitwise_and(tf.bitwise.right_shift(words, shifts), 2**bits - 1)
        keep = draws >= tf.constant(round(rate * 2**bits), tf.uint32)
        keep = tf.reshape(tf.reshape(keep, [-1])[: tf.size(inputs)], tf.shape(inputs))
        return tf.where(keep, inputs * scale + shift, tf.constant(dropped, inputs.dtype))

    forward = _jit(functools.partial(select, shift=shift, dropped=dropped))
    backward = _jit(functools.partial(select, shift=0.0, dropped=0.0))

    @tf.custom_gradient
    def drop(inputs: Tensor, seed: Tensor) -> tuple[Tensor, Callable]:
        count = (tf.size(inputs) * bits + 31) // 32
        words = tf.random.stateless_uniform([count], seed, None, None, tf.uint32)
        return forward(inputs, words), lambda upstream: (backward(upstream, words), None)

    return drop


def _jit(function: Callable) -> Callable:
    return tf.function(function, jit_compile=True) if xla_works() else function


@functools.cache
def xla_works() -> bool:
    """Return whether this build of TensorFlow can compile for the CPU."""
    try:
        # Run now, even if called while a step is being traced.
        with tf.init_scope():
            tf.function(lambda x: x + 1.0, jit_compile=True)(tf.ones(1))
    except Exception:
        return False
    return True
