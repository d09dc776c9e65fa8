import functools
import os
import subprocess
import sys
import threading
import types
from pathlib import Path

import cloudpickle
import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import erfc, expit, log1p
from scipy.stats import norm

from benchmark import activations
from benchmark.activations import (
    catalogue,
    fingerprint,
    names,
    plugins,
    register_activation,
    resolve,
)
from benchmark.activations.plugins import check
from benchmark.errors import RequestError
from benchmark.plotting.palette import line_style

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


def test_every_elementwise_activation_has_a_closed_form():
    assert set(CLOSED) == set(ELEMENTWISE)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_float32_agrees_with_closed_form(name):
    x = grid(np.float32)
    value, gradient = value_and_gradient(name, x)
    exact = x.astype(np.float64)
    assert value.dtype == gradient.dtype == np.float32
    assert error(value, CLOSED[name][0](exact)) <= 2e-6
    assert error(gradient, CLOSED[name][1](exact)) <= 2e-6


@pytest.mark.parametrize("name", [n for n in ELEMENTWISE if not resolve(n).is_layer])
def test_float64_agrees_with_closed_form(name):
    x = grid(np.float64)
    value, gradient = value_and_gradient(name, x)
    # TensorFlow's leaky ReLU keeps its slope as float32: 0.2 is then off by a part in 7e7.
    bound = 2e-8 if name == "leaky_relu" else 1e-12
    assert error(value, CLOSED[name][0](x)) <= bound
    assert error(gradient, CLOSED[name][1](x)) <= bound


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_limits_at_huge_input(name):
    for sign, limits, default in ((-1, LEFT, (0.0, 0.0)), (1, RIGHT, ("x", 1.0))):
        wanted_value, wanted_slope = limits.get(name, default)
        for size in (1e3, 1e10, 1e20, 1e30):
            x = np.full((1, 1), sign * size, np.float32)
            value, gradient = value_and_gradient(name, x)
            wanted = wanted_slope * sign * size if wanted_value == "x" else wanted_value
            # softsign and squareplus come near their limit like 1 / x.
            np.testing.assert_allclose(value, [[wanted]], rtol=2e-6, atol=2 / size)
            np.testing.assert_allclose(gradient, [[wanted_slope]], rtol=2e-6, atol=2 / size)


def test_known_constants():
    def derivative_maximum(name):
        x = np.linspace(-10, 10, 400001)[:, None]
        return value_and_gradient(name, x)[1].max()

    def minimum(name):
        x = np.linspace(-3, 1, 400001)[:, None]
        value = value_and_gradient(name, x)[0]
        return value.min(), x[value.argmin(), 0]

    assert derivative_maximum("sigmoid") == pytest.approx(0.25, abs=1e-9)
    assert derivative_maximum("tanh") == pytest.approx(1.0, abs=1e-9)
    assert derivative_maximum("gelu_exact") == pytest.approx(1.1289041452, abs=1e-8)
    assert derivative_maximum("silu") == pytest.approx(1.0998393201, abs=1e-8)
    assert minimum("gelu")[0] == pytest.approx(-0.1700407506, abs=1e-9)
    assert minimum("gelu")[1] == pytest.approx(-0.7524614221, abs=1e-5)
    assert minimum("gelu_exact")[0] == pytest.approx(-0.1699712075, abs=1e-9)
    assert minimum("silu")[0] == pytest.approx(-0.2784645428, abs=1e-9)
    assert minimum("mish")[0] == pytest.approx(-0.3088434130, abs=1e-9)


def test_article_details():
    assert tuple(names()[:6]) == activations.ARTICLE_SIX
    selu = resolve("selu")
    assert (selu.initializer, selu.dropout) == ("lecun_normal", "alpha_dropout")
    others = [resolve(n) for n in names() if n != "selu"]
    assert {(e.initializer, e.dropout) for e in others} == {("glorot_uniform", "dropout")}
    assert dict(resolve("leaky_relu").parameters) == {"negative_slope": 0.2}
    assert all(resolve(n).formula and resolve(n).paper for n in names())


def test_prelu_has_one_slope_per_channel():
    layer = resolve("prelu").layer(seed=0)
    layer.build((None, 5, 5, 7))
    assert [tuple(w.shape) for w in layer.weights] == [(1, 1, 7)]
    assert np.all(layer.weights[0].numpy() == 0.25)


def test_rrelu_is_random_in_training_with_the_stated_range():
    layer = resolve("rrelu").layer(seed=3)
    x = -np.ones((400, 250), np.float32)
    slopes = -layer(x, training=True).numpy()
    assert 1 / 8 <= slopes.min() < 0.1251
    assert 0.3332 < slopes.max() <= 1 / 3 + 1e-7
    # 100 000 uniform draws: the mean's standard error is 0.0002.
    assert slopes.mean() == pytest.approx(11 / 48, abs=0.001)
    assert not np.array_equal(slopes, -layer(x, training=True).numpy())
    again = resolve("rrelu").layer(seed=3)
    assert np.array_equal(slopes, -again(x, training=True).numpy())


def test_maxout_takes_the_larger_piece():
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 10)).astype(np.float32)
    value = resolve("maxout").layer(seed=0)(x).numpy()
    assert np.array_equal(value, np.maximum(x[..., :5], x[..., 5:]))


@pytest.mark.parametrize(
    ("given", "name"),
    [("leaky-relu", "leaky_relu"), ("Swish", "silu"), ("GELU", "gelu"), ("identity", "linear")],
)
def test_aliases_resolve(given, name):
    assert resolve(given).name == name


def test_misspelt_name_lists_the_nearest():
    with pytest.raises(RequestError, match=r"'rellu'.*relu"):
        resolve("rellu")


def test_looks_are_distinct():
    line_styles = [line_style(resolve(name).index) for name in names()]
    assert len(set(line_styles)) == len(line_styles)


def test_catalogue_does_not_load_tensorflow():
    code = (
        "import sys, benchmark.activations as a; [a.resolve(n).index for n in a.names()];"
        "sys.exit(any(m in sys.modules for m in ('tensorflow', 'keras', 'pandas', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_saved_models_load_again(tmp_path):
    inputs = keras.Input((6,))
    outputs = []
    for name in names():
        entry = resolve(name)
        hidden = keras.layers.Dense(4 * entry.pieces)(inputs)
        outputs.append(entry.layer(seed=1)(hidden))
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "all.keras")
    x = np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "y.npz", *[y.numpy() for y in model(x)])
    # A new process, as a user has it.
    code = (
        "import sys, numpy as np, keras, benchmark\n"
        "model = keras.models.load_model('all.keras', custom_objects=benchmark.custom_objects())\n"
        "y = np.load('y.npz')\n"
        "for ours, name in zip(model(np.load('x.npy')), y.files):\n"
        "    assert np.array_equal(ours.numpy(), y[name])\n"
    )
    path = {"PYTHONPATH": str(Path(catalogue.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, **path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_saved_gelu_is_not_shadowed_by_the_builtin(tmp_path):
    model = keras.Sequential([keras.Input((1,)), resolve("gelu").layer(seed=0)])
    model.save(tmp_path / "gelu.keras")
    again = keras.models.load_model(
        tmp_path / "gelu.keras", custom_objects=activations.custom_objects()
    )
    x = np.full((1, 1), 2.698941, np.float32)
    # Here the two forms are farthest apart: 4.732355e-4.
    assert again(x).numpy()[0, 0] == pytest.approx(gelu_tanh(2.698941), abs=1e-6)


def test_register_in_one_line():
    @register_activation
    def cubic_mean(x):
        return x / (1.0 + x * x)

    entry = resolve("cubic-mean")
    assert entry.make is cubic_mean
    assert entry.is_user
    assert len(fingerprint.fingerprint(entry)) == 64
    assert check(entry) == []


def test_registering_again_replaces():
    for factor in (1.0, 2.0):
        register_activation("scaled")(lambda x, factor=factor: x * factor)
    assert resolve("scaled").make(3.0) == 6.0
    assert names().count("scaled") == 1


@pytest.mark.parametrize(
    "name", ["relu", "swish", "", "1st", "a b!", "x" * 41, "all", "NaN", "null"]
)
def test_names_that_cannot_be_registered(name):
    with pytest.raises(RequestError, match="cannot be used|is taken"):
        register_activation(name=name)(lambda x: x) if name else register_activation(" ")(
            lambda x: x
        )


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: tf.reduce_sum(x), "returns shape"),
        (lambda x: tf.cast(x, tf.float64), "returns float64"),
        (lambda x: tf.sqrt(x), "not finite at x = -30"),
        (lambda x: tf.where(x > 25.0, tf.exp(x * 10.0), x), "not finite at x"),
        (lambda x: tf.sqrt(tf.abs(x - x)), "gradient that is not finite"),
        (lambda x: tf.sign(tf.stop_gradient(x)), "has no gradient"),
        (lambda x: 1 / 0, "ZeroDivisionError"),
        (lambda x: x[..., :1], "returns shape"),
        (lambda x: "text", "text|raises|returns"),
        (lambda x: x * float(tf.reduce_max(x)) / 30, "part of a graph"),
        (lambda x: x - tf.reduce_mean(x, axis=0), "treat each element alone"),
    ],
)
def test_check_names_what_is_wrong(function, message):
    register_activation("bad_one")(function)
    with pytest.raises(RequestError, match=message) as caught:
        check(resolve("bad_one"))
    assert "'bad_one'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_check_warns_beyond_thirty():
    register_activation("explosive")(lambda x: tf.math.sinh(x))
    warnings = check(resolve("explosive"))
    assert len(warnings) == 2
    assert "'explosive'" in warnings[0]


PLUGIN = """
import tensorflow as tf
from benchmark import register_activation

FACTOR = 3.0

def helper(x):
    return tf.tanh(x) * FACTOR

@register_activation
def triple_tanh(x):
    "3 tanh(x)"
    return helper(x)
"""


def test_plugin_travels_to_another_process(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    (entry,) = plugins.load_plugin(path)
    assert (entry.name, entry.formula) == ("triple_tanh", "3 tanh(x)")
    packed = tmp_path / "entries"
    packed.write_bytes(plugins.pack([entry]))
    code = (
        "import sys, cloudpickle; (e,) = cloudpickle.loads(open(sys.argv[1], 'rb').read());"
        "assert abs(float(e.make(1.0)) - 2.2847825) < 1e-6"
    )
    assert subprocess.run([sys.executable, "-c", code, str(packed)]).returncode == 0


def test_plugin_hash_covers_its_helpers(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    before = fingerprint.fingerprint(plugins.load_plugin(path)[0])
    assert fingerprint.fingerprint(plugins.load_plugin(path)[0]) == before
    path.write_text(PLUGIN.replace("3.0", "4.0"))
    assert fingerprint.fingerprint(plugins.load_plugin(path)[0]) != before


def test_plugin_may_import_its_neighbour(tmp_path):
    (tmp_path / "neighbour_of_mine.py").write_text("def twice(x):\n    return 2.0 * x\n")
    path = tmp_path / "mine.py"
    path.write_text(
        "from pathlib import Path\nimport neighbour_of_mine\n"
        "from benchmark import register_activation\nassert Path(__file__).name == 'mine.py'\n"
        "@register_activation\ndef doubled(x):\n    return neighbour_of_mine.twice(x)\n"
    )
    (entry,) = plugins.load_plugin(path)
    assert entry.modules[1:] == ("neighbour_of_mine",)
    packed = tmp_path / "entries"
    packed.write_bytes(plugins.pack([entry]))
    code = (
        "import sys, cloudpickle; (e,) = cloudpickle.loads(open(sys.argv[1], 'rb').read());"
        "assert e.make(1.5) == 3.0"
    )
    assert subprocess.run([sys.executable, "-c", code, str(packed)]).returncode == 0
    before = fingerprint.fingerprint(entry)
    (tmp_path / "neighbour_of_mine.py").write_text("def twice(x):\n    return 3.0 * x\n")
    del sys.modules["neighbour_of_mine"]
    assert fingerprint.fingerprint(plugins.load_plugin(path)[0]) != before


FACTOR = 1.0


def scaled_by_global(x):
    return FACTOR * x


def test_fingerprint_covers_what_the_function_reaches(monkeypatch):
    def scaled(factor):
        return lambda x: factor * x

    def of(function, **settings):
        register_activation(name="mine", **settings)(function)
        return fingerprint.fingerprint(resolve("mine"))

    same = of(scaled(0.1))
    assert of(scaled(0.1)) == same
    assert of(scaled(0.9)) != same
    assert of(scaled(0.1), initializer="he_normal") != same
    assert of(scaled(np.ones(3))) != of(scaled(np.zeros(3)))
    assert of(scaled(tf.Variable(1.0))) != of(scaled(tf.Variable(2.0)))
    partial = functools.partial(tf.nn.leaky_relu, alpha=0.1)
    again = functools.partial(tf.nn.leaky_relu, alpha=0.1)
    assert of(partial) == of(again)
    assert of(partial) != of(functools.partial(tf.nn.leaky_relu, alpha=0.2))
    before = of(scaled_by_global)
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 2.0)
    assert fingerprint.fingerprint(resolve("mine")) != before
    assert fingerprint.fingerprint(resolve("relu")) == ""


def test_fingerprint_is_the_same_in_another_process(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    (entry,) = plugins.load_plugin(path)
    code = (
        "import sys; from benchmark.activations import fingerprint, plugins;"
        "print(fingerprint.fingerprint(plugins.load_plugin(sys.argv[1])[0]))"
    )
    root = {"PYTHONPATH": str(Path(catalogue.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env={**os.environ, **root},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == fingerprint.fingerprint(entry)


def test_fingerprint_survives_moves_inside_this_project(tmp_path):
    """A catalogue function counts by its package, not by the file that defines it."""
    path = tmp_path / "mine.py"
    path.write_text(
        "from benchmark import register_activation\n"
        "from benchmark.activations import gelu, resolve\n\n\n"
        "@register_activation\ndef twice_gelu(x):\n"
        '    return gelu(x) + resolve("gelu").function(x)\n'
    )
    (entry,) = plugins.load_plugin(path)
    # As it was when these functions were in benchmark/activations.py.
    before = "e0e9f07314d509b637cf8b487e4089d21d92d75b16bc2a38367a3ef1b2820476"
    assert fingerprint.fingerprint(entry) == before


def test_fingerprint_covers_constants_where_there_is_no_source():
    def of(expression):
        register_activation("mine")(eval(f"lambda x: {expression}"))
        return fingerprint.fingerprint(resolve("mine"))

    assert of("2.0 * x") == of("2.0 * x") != of("3.0 * x")
    assert of("(lambda y: 2.0 * y)(x)") != of("(lambda y: 3.0 * y)(x)")


def test_what_cannot_be_sent_is_named():
    lock = threading.Lock()

    @register_activation
    def guarded(x):
        with lock:
            return x

    with pytest.raises(RequestError, match="'guarded' cannot be sent to a worker"):
        plugins.pack([resolve("guarded")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_like_it", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        ("x = 1", "registers no activation"),
        ("import sys\nsys.exit('no')", "SystemExit: no"),
        ("from benchmark import register_activation\nregister_activation('relu')(abs)", "is taken"),
    ],
)
def test_plugin_that_cannot_be_used(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(RequestError, match=message) as caught:
        plugins.load_plugin(path)
    assert "\n" not in str(caught.value)


def test_plugin_that_is_not_there(tmp_path):
    with pytest.raises(RequestError, match="cannot be read"):
        plugins.load_plugin(tmp_path / "missing.py")


def test_catalogue_entries_need_no_packing():
    assert cloudpickle.loads(plugins.pack([])) == []


def test_fingerprint_covers_values_of_modules(monkeypatch):
    settings = types.ModuleType("my_settings")
    settings.SLOPE, settings.OTHER = 0.1, 1.0
    namespace = {"my_settings": settings, "tf": tf}
    exec("def mine(x):\n    return tf.maximum(x, my_settings.SLOPE * x)", namespace)
    register_activation("mine")(namespace["mine"])
    before = fingerprint.fingerprint(resolve("mine"))
    settings.OTHER = 2.0
    assert fingerprint.fingerprint(resolve("mine")) == before
    settings.SLOPE = 0.9
    assert fingerprint.fingerprint(resolve("mine")) != before
