"""Value and derivative of each elementwise activation in float64, written independently."""

import numpy as np
import tensorflow as tf
from scipy.special import erfc, expit, log1p
from scipy.stats import norm

from benchmark.activations import (
    names,
    resolve,
)

LAM, ALP = 1.0507009873554804934, 1.6732632423543772848
C = np.sqrt(2 / np.pi)


def softplus(x):
    return np.maximum(x, 0) + log1p(np.exp(-np.abs(x)))


def with_slope(slope):
    return (
        lambda x: np.where(x > 0, x, slope * x),
        lambda x: np.where(x > 0, 1.0, slope),
    )


def elu_pair(scale, alpha):
    return (
        lambda x: scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
        lambda x: scale * np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0))),
    )


def gelu_inner(x):
    return 2 * C * (x + 0.044715 * x**3), 2 * C * (1 + 3 * 0.044715 * x**2)


def gelu_tanh(x):
    return x * expit(gelu_inner(x)[0])


def gelu_tanh_prime(x):
    u, du = gelu_inner(x)
    return expit(u) + x * expit(u) * expit(-u) * du


def mish_prime(x):
    # With w = softplus(x): sech² w written without cancellation.
    w = softplus(x)
    return np.tanh(w) + x * expit(x) * 4 * np.exp(-2 * w) / (1 + np.exp(-2 * w)) ** 2


def hard_silu_prime(x):
    return np.where(x <= -3, 0.0, np.where(x >= 3, 1.0, (2 * x + 3) / 6))


# Closed forms of value and derivative in float64, written independently of the catalogue.
CLOSED = {
    "sigmoid": (expit, lambda x: expit(x) * expit(-x)),
    "relu": with_slope(0.0),
    "elu": elu_pair(1.0, 1.0),
    "leaky_relu": with_slope(0.2),
    "selu": elu_pair(LAM, ALP),
    "gelu": (gelu_tanh, gelu_tanh_prime),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "softplus": (softplus, expit),
    "softsign": (lambda x: x / (1 + np.abs(x)), lambda x: (1 + np.abs(x)) ** -2.0),
    "silu": (lambda x: x * expit(x), lambda x: expit(x) * (1 + x * expit(-x))),
    "mish": (lambda x: x * np.tanh(softplus(x)), mish_prime),
    "hard_silu": (lambda x: x * np.clip(x + 3, 0, 6) / 6, hard_silu_prime),
    "gelu_exact": (
        lambda x: x * erfc(-x / np.sqrt(2)) / 2,
        lambda x: norm.cdf(x) + x * norm.pdf(x),
    ),
    "relu6": (lambda x: np.clip(x, 0, 6), lambda x: ((x > 0) & (x < 6)).astype(float)),
    "celu": elu_pair(1.0, 1.0),
    "squareplus": (
        lambda x: np.where(x > 0, (x + np.sqrt(x * x + 4)) / 2, 2 / (np.sqrt(x * x + 4) - x)),
        lambda x: (1 + x / np.sqrt(x * x + 4)) / 2,
    ),
    "linear": (lambda x: x, np.ones_like),
    "prelu": with_slope(0.25),
    "rrelu": with_slope(11 / 48),
}
ELEMENTWISE = [name for name in names() if resolve(name).pieces == 1]
# Values and slopes in the limit, left and right: (value or slope of the asymptote).
LEFT = {
    "sigmoid": (0.0, 0.0),
    "elu": (-1.0, 0.0),
    "celu": (-1.0, 0.0),
    "selu": (-LAM * ALP, 0.0),
    "tanh": (-1.0, 0.0),
    "softsign": (-1.0, 0.0),
    "leaky_relu": ("x", 0.2),
    "prelu": ("x", 0.25),
    "rrelu": ("x", 11 / 48),
    "linear": ("x", 1.0),
}
RIGHT = {
    "sigmoid": (1.0, 0.0),
    "tanh": (1.0, 0.0),
    "softsign": (1.0, 0.0),
    "relu6": (6.0, 0.0),
    "selu": ("x", LAM),
}


def value_and_gradient(name, x):
    x = tf.constant(x)
    layer = resolve(name).layer(seed=1)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = layer(x, training=False) if resolve(name).is_layer else resolve(name).make(x)
    return value.numpy(), tape.gradient(value, x).numpy()


def grid(dtype):
    # Kinks are left out: there the derivative is a convention.
    x = np.linspace(-30, 30, 24001)
    x = x[np.min(np.abs(x[:, None] - [-3.0, 0.0, 3.0, 6.0]), axis=1) > 1e-9]
    return x.astype(dtype)[:, None]


def error(actual, wanted):
    """Absolute or relative error, whichever is smaller."""
    difference = np.abs(actual.astype(np.float64) - wanted)
    return np.max(np.minimum(difference, difference / np.maximum(np.abs(wanted), 1e-300)))
