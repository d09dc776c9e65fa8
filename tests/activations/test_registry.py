import contextlib
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from benchmark import activations
from benchmark.activations import (
    catalogue,
    fingerprint,
    names,
    register_activation,
    registry,
    resolve,
)
from benchmark.errors import RequestError
from tests.activations.closed_forms import (
    gelu_tanh,
)


@pytest.mark.parametrize(
    ("given", "name"),
    [("leaky-relu", "leaky_relu"), ("Swish", "silu"), ("GELU", "gelu"), ("identity", "linear")],
)
def test_aliases_resolve(given, name):
    assert resolve(given).name == name


def test_misspelt_name_lists_the_nearest():
    with pytest.raises(RequestError, match=r"'rellu'.*relu"):
        resolve("rellu")


def test_catalogue_does_not_load_tensorflow():
    code = (
        "import sys, benchmark.activations as a; [a.resolve(n).index for n in a.names()];"
        "sys.exit(any(m in sys.modules for m in ('tensorflow', 'keras', 'pandas', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.slow
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


def test_registering_again_replaces():
    for factor in (1.0, 2.0):
        register_activation("scaled")(lambda x, factor=factor: x * factor)
    assert resolve("scaled").make(3.0) == 6.0
    assert names().count("scaled") == 1


def test_temporary_registrations_are_undone():
    register_activation("mine")(lambda x: x)
    before = names()
    with contextlib.suppress(RuntimeError), registry.temporary_registrations():
        register_activation("mine")(lambda x: 2 * x)
        register_activation("yours")(lambda x: x)
        assert names() == [*before, "yours"]
        raise RuntimeError
    assert names() == before
    assert resolve("mine").make(3.0) == 3.0


@pytest.mark.parametrize(
    "name",
    ["relu", "swish", "", "1st", "a b!", "x" * 41, "all", "NaN", "null", "softmax", "Step"]
    + ["=1+1", "+x", "-x", "@x", "ä", "x/y", "..", "<b>", "x\ny"],
)
def test_names_that_cannot_be_registered(name):
    with pytest.raises(RequestError, match="cannot be used|is taken"):
        register_activation(name=name)(lambda x: x) if name else register_activation(" ")(
            lambda x: x
        )


def test_names_that_can_be_registered():
    for given, name in (("relu2.5", "relu2.5"), ("My-Own_One", "my_own_one"), ("x" * 40, "x" * 40)):
        register_activation(given)(lambda x: x)
        assert resolve(given).name == name
    rule = r'at most 40 letters, digits, "_", "-" and "\." that begins with a letter'
    with pytest.raises(RequestError, match=rule):
        register_activation("=1+1")(lambda x: x)
