import random
import signal
import subprocess
import sys
import types

import pytest

from benchmark.activations import fingerprint, packing, plugins
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


def test_plugin_travels_to_another_process(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    (entry,) = plugins.load_plugin(path)
    assert (entry.name, entry.formula) == ("triple_softsign", "3 x / (1 + |x|)")
    packed = tmp_path / "entries"
    packed.write_bytes(packing.pack([entry]))
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
    packed.write_bytes(packing.pack([entry]))
    code = (
        "import sys, cloudpickle; (e,) = cloudpickle.loads(open(sys.argv[1], 'rb').read());"
        "assert e.make(1.5) == 3.0"
    )
    assert subprocess.run([sys.executable, "-c", code, str(packed)]).returncode == 0
    before = fingerprint.fingerprint(entry)
    (tmp_path / "neighbour_of_mine.py").write_text("def twice(x):\n    return 3.0 * x\n")
    del sys.modules["neighbour_of_mine"]
    assert fingerprint.fingerprint(plugins.load_plugin(path)[0]) != before


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


def test_plugin_that_is_not_a_python_file(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("x = 1")
    with pytest.raises(RequestError, match=r"not a Python file: its name must end in \.py"):
        plugins.load_plugin(path)


def plugin(path, body="    return x\n"):
    path.write_text(
        "import random\nfrom benchmark import register_activation\n"
        f"@register_activation\ndef own(x):\n{body}"
    )
    return path


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_plugin_in_another_encoding(tmp_path, encoding):
    path = tmp_path / "mine.py"
    text = f"# -*- coding: {encoding} -*-\n{PLUGIN.replace('3 x', 'café')}"
    path.write_text(text, encoding=encoding)
    (entry,) = plugins.load_plugin(path)
    assert entry.formula.startswith("café")


def test_plugin_that_is_not_text(tmp_path):
    path = tmp_path / "mine.py"
    path.write_bytes(b"x = '\xff\xfe'")
    with pytest.raises(RequestError, match="cannot be read: it is not UTF-8 text"):
        plugins.load_plugin(path)


@pytest.mark.parametrize("init", [True, False], ids=["package", "folder"])
def test_plugin_may_import_a_package_beside_it(tmp_path, init):
    name = f"package_of_mine_{init}"
    package = tmp_path / name
    package.mkdir()
    if init:
        (package / "__init__.py").write_text("")
    # Modules that refer to each other.
    (package / "inner.py").write_text(
        f"import {name}.slopes\n\ndef scaled(x):\n    return {name}.slopes.SLOPE * x\n"
    )
    (package / "slopes.py").write_text(f"import {name}.inner\nSLOPE = 2.0\n")
    path = plugin(tmp_path / "mine.py", f"    return {name}.inner.scaled(x)\n")
    path.write_text(f"import {name}.inner\n{path.read_text()}")
    (entry,) = plugins.load_plugin(path)
    assert entry.modules[1:] == (name, f"{name}.inner", f"{name}.slopes")
    packed = packing.pack([entry])
    before = fingerprint.fingerprint(entry)
    (package / "slopes.py").write_text(f"import {name}.inner\nSLOPE = 3.0\n")
    for module in entry.modules[1:]:
        del sys.modules[module]
    assert fingerprint.fingerprint(plugins.load_plugin(path)[0]) != before
    # As a worker has it: by what was packed alone.
    for module in entry.modules[1:]:
        del sys.modules[module]
    assert packing.unpack(packed)[0].make(1.5) == 3.0


def test_plugin_named_like_a_module_of_python(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "random")
    path = plugin(tmp_path / "random.py", "    return x + random.Random(0).random()\n")
    (entry,) = plugins.load_plugin(path)
    assert entry.make(1.0) == 1.0 + random.Random(0).random()
    path.write_text("raise ValueError('no')")
    with pytest.raises(RequestError, match=r"Python has a module 'random' of its own: rename"):
        plugins.load_plugin(path)


@pytest.mark.parametrize("caught", ["()", "Exception"])
def test_plugin_that_does_not_end(tmp_path, caught):
    path = tmp_path / "mine.py"
    path.write_text(f"try:\n    while True:\n        pass\nexcept {caught}:\n    pass\n")
    kept = signal.getsignal(signal.SIGALRM)
    with pytest.raises(RequestError, match=r"was not loaded within 0\.1 s: look for a loop"):
        plugins.load_plugin(path, seconds=0.1)
    assert signal.getsignal(signal.SIGALRM) is kept


def test_plugin_beside_modules_that_answer_to_any_name(tmp_path, monkeypatch):
    """As TensorBoard's stand-ins for TensorFlow do."""

    class Stub(types.ModuleType):
        def __getattr__(self, name):
            return 7

    monkeypatch.setitem(sys.modules, "stub", Stub("stub"))
    (tmp_path / "plugin.py").write_text(PLUGIN)
    assert plugins.load_plugin(tmp_path / "plugin.py")
