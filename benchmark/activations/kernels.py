"""Activations and dropout compiled to one kernel each. Importing this loads TensorFlow."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf


@functools.lru_cache(maxsize=16)
def fused(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return an elementwise function whose value and whose gradient are one kernel each.

    Written in TensorFlow operations, a function like GELU runs over its input a dozen times; what
    XLA compiles reads it once. The gradient is recomputed from the input, so that nothing else is
    kept for the backward pass. A function that XLA cannot compile is returned as it is. Repeated
    calls with a function return the same one, with what was compiled for it.
    """
    forward = tf.function(function, jit_compile=True)

    @tf.function(jit_compile=True)
    def backward(x: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return tape.gradient(value, x, upstream)

    @tf.custom_gradient
    def compiled(x: tf.Tensor) -> Any:
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
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return a function of inputs, of any shape, and a seed (2,): dropout in one kernel.

    It sets a share `rate`, exact in `random_bits(rate)`, of the inputs to `dropped` and makes
    `input * scale + shift` of the others.
    """
    bits = random_bits(rate)

    def select(inputs: tf.Tensor, words: tf.Tensor, shift: float, dropped: float) -> tf.Tensor:
        # The draws in a word belong to elements far apart: so the shifts are whole-array ones.
        shifts = tf.constant([[place] for place in range(0, 32, bits)], tf.uint32)
        draws = tf.bitwise.bitwise_and(tf.bitwise.right_shift(words, shifts), 2**bits - 1)
        kept = draws >= tf.constant(round(rate * 2**bits), tf.uint32)
        kept = tf.reshape(tf.reshape(kept, [-1])[: tf.size(inputs)], tf.shape(inputs))
        return tf.where(kept, inputs * scale + shift, tf.constant(dropped, inputs.dtype))

    forward = _jit(functools.partial(select, shift=shift, dropped=dropped))
    backward = _jit(functools.partial(select, shift=0.0, dropped=0.0))

    @tf.custom_gradient
    def drop(inputs: tf.Tensor, seed: tf.Tensor) -> Any:
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
        # At once, even where this is asked while a step is traced.
        with tf.init_scope():
            tf.function(lambda x: x + 1.0, jit_compile=True)(tf.ones(1))
    except Exception:
        return False
    return True
