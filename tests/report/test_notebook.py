import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat import v4

import benchmark
from benchmark.errors import ReportError
from benchmark.report import notebook

WRITES_PID = "import os, pathlib; pathlib.Path('pid').write_text(str(os.getpid()))"


def folder_cell():
    return v4.new_code_cell("FOLDER = '../results'", metadata={"tags": ["folder"]})


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Put notebooks beside an otherwise empty package."""
    monkeypatch.setattr(notebook, "_PACKAGE", tmp_path / "package")
    (tmp_path / "notebooks").mkdir()

    def write(name, *sources, cells=None):
        cells = cells or [folder_cell(), *map(v4.new_code_cell, sources)]
        path = tmp_path / "notebooks" / f"{name}.ipynb"
        nbformat.write(v4.new_notebook(cells=cells), path)
        return path

    return write


def printed(executed):
    return [
        output["text"].rstrip("\n")
        for cell in executed.cells
        for output in cell.get("outputs", [])
        if output.get("name") == "stdout"
    ]


def ended(folder):
    return not psutil.pid_exists(int((folder / "notebooks" / "pid").read_text()))


def test_report_is_found():
    assert notebook.find("report") == Path(benchmark.__file__).parents[1] / "notebooks/report.ipynb"


def test_installed_notebook_comes_before_one_beside_the_package(write, tmp_path):
    beside = write("a")
    assert notebook.find("a") == beside
    inside = tmp_path / "package" / "notebooks" / "a.ipynb"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(beside.read_bytes())
    assert notebook.find("a") == inside


def test_missing_notebook_says_where_it_should_be(write, tmp_path):
    with pytest.raises(ReportError) as caught:
        notebook.execute("nope", tmp_path)
    inside, beside = (tmp_path / part / "nope.ipynb" for part in ("package/notebooks", "notebooks"))
    assert str(caught.value) == f"notebook 'nope' is missing: it should be {inside} or {beside}"


def test_executed_notebook_has_the_outputs_of_the_folder(write, tmp_path, monkeypatch):
    # Quotes and letters of other languages, given as seen from here.
    folder = tmp_path / 'it\'s "ü"'
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    path = write(
        "a",
        "print(FOLDER)",
        "import os, sys; print(os.getcwd()); print(sys.executable)",
        "import benchmark; print(benchmark.__file__)",
    )
    before = path.read_bytes()
    executed = notebook.execute("a", Path(folder.name))
    assert executed.cells[0].source == f"FOLDER = {str(folder)!r}"
    assert printed(executed) == [
        str(folder),
        f"{tmp_path / 'notebooks'}\n{sys.executable}",
        benchmark.__file__,
    ]
    assert path.read_bytes() == before
    assert [cell.execution_count for cell in executed.cells] == [1, 2, 3, 4]
    assert not any("execution" in cell.metadata for cell in executed.cells)


def test_kernel_imports_what_this_process_would(write, tmp_path, monkeypatch):
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "only_here.py").write_text("value = 7")
    write("a", "import only_here; print(only_here.value)")
    monkeypatch.chdir(tmp_path)
    # As given in a notebook, from another working directory than the kernel's.
    monkeypatch.syspath_prepend("extra")
    assert printed(notebook.execute("a", tmp_path)) == ["7"]


def test_settings_of_the_user_do_not_matter(write, tmp_path, monkeypatch):
    kernel = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(json.dumps({"argv": ["false"], "display_name": "x", "language": "python"}))
    start = tmp_path / "ipython" / "profile_default" / "startup" / "a.py"
    start.parent.mkdir(parents=True)
    start.write_text("print = None")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    write("a", "print('fine')")
    assert printed(notebook.execute("a", tmp_path)) == ["fine"]


def test_it_runs_where_an_event_loop_runs(write, tmp_path):
    write("a", "print('fine')")

    async def inside():
        return notebook.execute("a", tmp_path)

    assert printed(asyncio.run(inside())) == ["fine"]


def test_error_of_a_cell_is_one_line(write, tmp_path, capfd):
    text = v4.new_markdown_cell("Words do not count.")
    raising = v4.new_code_cell("raise KeyError('two\\nlines')")
    after = v4.new_code_cell("pathlib.Path('after').touch()")
    write("a", cells=[folder_cell(), text, v4.new_code_cell(WRITES_PID), raising, after])
    with pytest.raises(ReportError) as caught:
        notebook.execute("a", tmp_path)
    assert str(caught.value) == r"a.ipynb, code cell 3: KeyError: 'two\nlines'"
    assert not (tmp_path / "notebooks" / "after").exists()
    assert ended(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_message_of_many_lines_becomes_one(write, tmp_path):
    write("a", "raise ValueError('two\\n  lines')")
    with pytest.raises(ReportError, match=r"^a\.ipynb, code cell 2: ValueError: two lines$"):
        notebook.execute("a", tmp_path)


def test_slow_cell_is_given_up(write, tmp_path, capfd):
    write("a", WRITES_PID, "import time; time.sleep(60)")
    begun = time.monotonic()
    with pytest.raises(ReportError) as caught:
        notebook.execute("a", tmp_path, timeout=1)
    assert str(caught.value) == "a.ipynb, code cell 3: not finished after 1 second"
    assert time.monotonic() - begun < 30
    assert ended(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_kernel_that_dies_is_an_error(write, tmp_path):
    write("a", "import os; os._exit(1)")
    with pytest.raises(ReportError, match="code cell 2: the kernel died"):
        notebook.execute("a", tmp_path)


def test_kernel_that_does_not_start_says_why(write, tmp_path, monkeypatch, capfd):
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\necho 'something first' >&2\necho 'no ipykernel here' >&2\nexit 1\n"
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    write("a")
    with pytest.raises(ReportError, match=r"^no kernel for a\.ipynb: no ipykernel here$"):
        notebook.execute("a", tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("count", [0, 2])
def test_exactly_one_cell_sets_the_folder(write, tmp_path, count):
    write("a", cells=[v4.new_markdown_cell("Words."), *(folder_cell() for _ in range(count))])
    with pytest.raises(ReportError, match=f"a.ipynb has {count} cells tagged 'folder'"):
        notebook.execute("a", tmp_path)


def test_damaged_notebook_is_named(write, tmp_path):
    path = write("a")
    path.write_text("{")
    with pytest.raises(ReportError, match=r"a\.ipynb cannot be read as a notebook"):
        notebook.execute("a", tmp_path)


@pytest.mark.slow
def test_ctrl_c_ends_the_kernel_without_noise(write, tmp_path):
    write("a", WRITES_PID, "import time; time.sleep(60)")
    script = (
        "import pathlib, sys; from benchmark.report import notebook\n"
        f"notebook._PACKAGE = pathlib.Path({str(tmp_path / 'package')!r})\n"
        "try: notebook.execute('a', pathlib.Path('.'))\n"
        "except KeyboardInterrupt: sys.exit(130)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(benchmark.__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    pid = tmp_path / "notebooks" / "pid"
    while not (pid.exists() and pid.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[0] == ""
    assert process.returncode == 130
    assert ended(tmp_path)
