"""What is refused, what is warned of, and what must pass: each function by its own name."""

import math
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmark.activations import fingerprint, kernels, packing, register_activation, resolve
from benchmark.activations.checks import check
from benchmark.errors import RequestError


def branches(x):
    """Its gradient for x < 0 is NaN compiled, and 0 in TensorFlow's own kernels."""
    return tf.where(x > 1.0, tf.sqrt(x), 0.5 * (x + 1.0))


def if_positive(x):
    if x > 0:
        return x
    return 0.0 * x


@tf.custom_gradient
def scalar_gradient(x):
    return x, lambda upstream: tf.reduce_sum(upstream)


def mean_scaled(x):
    r = tf.nn.relu(x)
    return r / (1 + tf.reduce_mean(r))


def gated(x):
    a, b = tf.split(x, 2, -1)
    return a * tf.sigmoid(b)


# What its trace cannot be, or its results have not.
STRUCTURE = {
    "shape": (tf.reduce_sum, "returns shape"),
    "last": (lambda x: x[..., 0], "returns shape"),
    "dtype": (lambda x: tf.cast(x, tf.float64), "returns float64"),
    "text": (lambda x: "text", "returns shape"),
    "raises": (lambda x: 1 / 0, "raises ZeroDivisionError: division by zero"),
    "nothing": (lambda x: None, "raises ValueError: None values"),
    "flat": (lambda x: tf.sign(tf.stop_gradient(x)), "has no gradient"),
    "gradient": (
        scalar_gradient,
        r"has a gradient of shape \(\) for an input of shape \(4, 2, 3, 100\)",
    ),
    "gated": (gated, "is gated: it returns 50 channels for 100"),
    "if": (if_positive, r"gets tensors, not numbers: for `if` take tf\.where or keras\.ops\.where"),
    "numpy": (lambda x: np.sinh(x), "functions of NumPy or math those of TensorFlow"),
    "math": (lambda x: math.sinh(x), "functions of NumPy or math those of TensorFlow"),
}
NUMBERS = {
    "value": (tf.sqrt, "value that is not finite at x = -30"),
    "far": (lambda x: tf.where(x > 25.0, tf.exp(x * 10.0), x), "not finite at x"),
    # Compiled or not: where the branch is not taken, 0 times infinity.
    "trap": (lambda x: tf.where(x > 0, x, x * tf.sqrt(tf.abs(x - x))), "tf.where picks between"),
    "batch": (lambda x: x - tf.reduce_mean(x, axis=0), "treat each element alone"),
    "mean": (mean_scaled, "treat each element alone"),
    "softmax": (tf.nn.softmax, "treat each element alone"),
    "place": (
        lambda x: x * tf.random.stateless_uniform(tf.shape(x), [1, 2]),
        "treat each element alone",
    ),
    "noise": (lambda x: tf.nn.dropout(tf.nn.relu(x), 0.2), "another value in each call: noise"),
    "drawn": (lambda x: x * random.random(), "other values each time it is traced"),
}


@pytest.mark.parametrize("kind", [*STRUCTURE, *NUMBERS])
def test_check_names_what_is_wrong(kind):
    function, message = (STRUCTURE | NUMBERS)[kind]
    register_activation("bad_one")(function)
    with pytest.raises(RequestError, match=message) as caught:
        check(resolve("bad_one"))
    assert str(caught.value).startswith("activation 'bad_one' ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_check_warns_beyond_thirty():
    register_activation("explosive")(tf.math.sinh)
    verdict = check(resolve("explosive"))
    assert verdict.compiled
    assert len(verdict.warnings) == 2
    assert "'explosive'" in verdict.warnings[0]


@pytest.mark.parametrize("device", ["CPU", "GPU"])
def test_what_fails_compiled_only_is_not_compiled(device):
    register_activation("branches")(branches)
    compiled, warnings = check(resolve("branches"), device)
    assert not compiled
    assert len(warnings) == 1
    assert "is trained uncompiled" in warnings[0]
    assert "not finite at x = -30" in warnings[0]
    # The difference that it is about.
    x = tf.constant([[-2.0, 4.0]])
    for function, slope in ((branches, 0.5), (kernels.fused(branches), math.nan)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        np.testing.assert_array_equal(tape.gradient(value, x), [[slope, 0.25]])


@pytest.mark.parametrize(
    "function",
    [lambda x: keras.ops.where(x > 0, x, 0.1 * x), keras.activations.gelu],
    ids=["operations", "passed"],
)
def test_what_keras_has_can_be_used(function):
    register_activation("by_keras")(function)
    entry = resolve("by_keras")
    assert check(entry) == (True, [])
    assert len(fingerprint.fingerprint(entry)) == 64
    (unpacked,) = packing.unpack(packing.pack([entry]))
    x = tf.constant([-1.0, 2.0])
    assert np.array_equal(unpacked.make(x), function(x))


def test_wrong_gradient_is_a_warning():
    @register_activation
    @tf.custom_gradient
    def twice(x):
        return tf.nn.relu(x), lambda upstream: upstream * 2.0 * tf.cast(x > 0, x.dtype)

    compiled, warnings = check(resolve("twice"))
    assert compiled
    assert len(warnings) == 1
    assert "'twice' has a gradient that is not the slope of its values, 2 for 1 at" in warnings[0]
