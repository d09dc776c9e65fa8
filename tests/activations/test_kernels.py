import numpy as np
import pytest
import tensorflow as tf

from benchmark.activations import kernels, names, resolve
from benchmark.activations.kernels import fused
from benchmark.training.kept_trainers import compiled
from tests.activations.closed_forms import CLOSED, LEFT, RIGHT, error, grid

COMPOSITE = [n for n in names() if not (resolve(n).native or resolve(n).is_layer)]


def test_one_kernel_activations_stay_as_they_are():
    assert {"relu", "sigmoid", "elu", "selu", "leaky_relu"}.isdisjoint(COMPOSITE)
    assert {"gelu", "mish", "squareplus"} <= set(COMPOSITE)


@pytest.mark.parametrize("name", COMPOSITE)
def test_compiled_activation_agrees_with_closed_form(name):
    function = fused(resolve(name).make)
    assert function is not resolve(name).make
    x = tf.constant(grid(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    exact = x.numpy().astype(np.float64)
    assert error(value.numpy(), CLOSED[name][0](exact)) <= 2e-6
    upstream = tf.fill(tf.shape(x), 3.0)
    gradient = tape.gradient(value, x, upstream).numpy()
    assert error(gradient / 3, CLOSED[name][1](exact)) <= 2e-6


@pytest.mark.parametrize("name", COMPOSITE)
def test_compiled_activation_keeps_its_limits(name):
    function = fused(resolve(name).make)
    for sign, limits, default in ((-1, LEFT, (0.0, 0.0)), (1, RIGHT, ("x", 1.0))):
        value_limit, slope = limits.get(name, default)
        for size in (1e3, 1e20, 1e30):
            x = tf.constant([[sign * size]])
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = function(x)
            wanted = slope * sign * size if value_limit == "x" else value_limit
            np.testing.assert_allclose(value, [[wanted]], rtol=2e-6, atol=2 / size)
            np.testing.assert_allclose(tape.gradient(value, x), [[slope]], rtol=2e-6, atol=2 / size)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", COMPOSITE)
def test_compiled_activation_in_16_bits(name, dtype):
    """What overflows in 16 bits on the way, exp(x)² for instance, must not reach the result."""
    layer = compiled(resolve(name), f"mixed_{dtype}").layer(0)
    x = tf.cast(tf.linspace(-30.0, 30.0, 1201), dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = layer.activation(x)
    gradient = tape.gradient(value, x)
    exact = tf.cast(x, tf.float64).numpy()
    # Half a unit in the last place of 11 or 8 bits, and what float32 adds.
    bound = {"float16": 2**-11, "bfloat16": 2**-8}[dtype] + 2e-6
    for found, closed in ((value, CLOSED[name][0](exact)), (gradient, CLOSED[name][1](exact))):
        assert found.dtype == dtype
        found = tf.cast(found, tf.float64).numpy()
        assert np.all(np.abs(found - closed) <= bound * np.maximum(np.abs(closed), 1))


def test_whether_xla_works_is_found_out_inside_a_graph_too(monkeypatch):
    real = tf.function

    def without_xla(function=None, **options):
        if options.get("jit_compile"):
            raise ValueError("no XLA in this build")
        return real(function, **options)

    answers = []

    @real
    def graph():
        answers.append(kernels.xla_works())
        return 0

    kernels.xla_works.cache_clear()
    monkeypatch.setattr(kernels.tf, "function", without_xla)
    graph()
    monkeypatch.undo()
    kernels.xla_works.cache_clear()
    assert answers == [False]
    assert kernels.xla_works()


def test_what_xla_cannot_compile_is_left_alone():
    def odd(x):
        return tf.numpy_function(np.abs, [x], tf.float32)

    assert fused(odd) is odd


@pytest.mark.parametrize(
    ("rate", "bits"),
    [(0.5, 1), (0.25, 2), (0.75, 2), (3 / 16, 4), (3 / 256, 8), (0.3, 0), (0, 0), (1, 0)],
)
def test_random_bits_of_a_rate(rate, bits):
    assert kernels.random_bits(rate) == bits


def test_compiled_function_may_look_at_its_static_shape():
    def by_rank(x):
        return x * float(len(x.shape))

    function = fused(by_rank)
    for shape in ((1, 2), (3, 4, 5, 6), (2, 4, 5, 6), (7, 2)):
        assert np.all(function(tf.ones(shape)) == float(len(shape)))
