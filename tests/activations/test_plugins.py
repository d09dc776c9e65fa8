import subprocess
import sys
import threading

import cloudpickle
import pytest
import tensorflow as tf

from benchmark.activations import (
    fingerprint,
    plugins,
    register_activation,
    resolve,
)
from benchmark.activations.plugins import check
from benchmark.errors import RequestError

# Without TensorFlow, so that another process that loads it starts at once.
PLUGIN = """
from benchmark import register_activation

FACTOR = 3.0

def helper(x):
    return x / (1 + abs(x)) * FACTOR

@register_activation
def triple_softsign(x):
    "3 x / (1 + |x|)"
    return helper(x)
"""


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


def test_plugin_travels_to_another_process(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    (entry,) = plugins.load_plugin(path)
    assert (entry.name, entry.formula) == ("triple_softsign", "3 x / (1 + |x|)")
    packed = tmp_path / "entries"
    packed.write_bytes(plugins.pack([entry]))
    code = (
        "import sys, cloudpickle; (e,) = cloudpickle.loads(open(sys.argv[1], 'rb').read());"
        "assert e.make(1.0) == 1.5"
    )
    assert subprocess.run([sys.executable, "-c", code, str(packed)]).returncode == 0


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


def test_plugin_that_is_not_a_python_file(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("x = 1")
    with pytest.raises(RequestError, match=r"not a Python file: its name must end in \.py"):
        plugins.load_plugin(path)
