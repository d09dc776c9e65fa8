import dataclasses
import functools
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmark.activations import (
    catalogue,
    fingerprint,
    plugins,
    register_activation,
    resolve,
)
from tests.activations.test_plugins import PLUGIN


def test_plugin_hash_covers_its_helpers(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    before = fingerprint.fingerprint(plugins.load_plugin(path)[0])
    assert fingerprint.fingerprint(plugins.load_plugin(path)[0]) == before
    path.write_text(PLUGIN.replace("3.0", "4.0"))
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
    uncompiled = dataclasses.replace(resolve("mine"), compiled=False)
    assert fingerprint.fingerprint(uncompiled) != fingerprint.fingerprint(resolve("mine"))


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    slope: float

    def __call__(self, x):
        return self.slope * x


def test_fingerprint_covers_an_object_without_a_dictionary():
    hashes = []
    for slope in (0.1, 0.1, 0.2):
        register_activation("mine")(Slotted(slope))
        hashes.append(fingerprint.fingerprint(resolve("mine")))
    assert hashes[0] == hashes[1] != hashes[2]


def test_fingerprint_is_the_same_in_another_process(tmp_path):
    path = tmp_path / "mine.py"
    # With a class of another module, which is no value.
    path.write_text("import numpy as np\n" + PLUGIN.replace("(1 +", "(np.float32(1) +"))
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
