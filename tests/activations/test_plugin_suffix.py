import pytest

from benchmark.activations import plugins
from benchmark.errors import RequestError


def test_plugin_that_is_not_a_python_file(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("x = 1")
    with pytest.raises(RequestError, match=r"not a Python file: its name must end in \.py"):
        plugins.load_plugin(path)
