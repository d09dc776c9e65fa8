"""Ctrl-C from the first moment to the last, and a screen that goes away."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark import compare
from benchmark.execution import progress

ROOT = Path(__file__).parents[2]
# Presses Ctrl-C when a module is imported, or at exit.
PRESS = """
import atexit, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
moment, how = os.environ["MOMENT"], os.environ["HOW"]
def press():
    if how == "exec":
        exec("os.kill(os.getpid(), signal.SIGINT)")
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt as error:
        if how == "extension":
            raise ImportError("initialization failed") from error
        raise
class Finder:
    def find_spec(self, name, *rest):
        if name == moment:
            press()
if moment == "exit":
    atexit.register(press)
sys.meta_path.insert(0, Finder())
"""


def pressed(folder, moment, *words, how="plain"):
    """Run a command in which Ctrl-C is pressed at that moment."""
    (folder / "sitecustomize.py").write_text(PRESS)
    path = os.pathsep.join([str(folder), str(ROOT)])
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path, "MOMENT": moment, "HOW": how},
    )


@pytest.mark.parametrize("module", ["benchmark.cli", "argparse", "benchmark.activations"])
@pytest.mark.parametrize("program", ["-m benchmark", "run_all.py"])
def test_ctrl_c_while_modules_are_loaded(tmp_path, program, module):
    done = pressed(tmp_path, module, *program.split(), "--help")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "\nInterrupted.\n"


@pytest.mark.parametrize("how", ["plain", "exec", "extension"])
def test_ctrl_c_in_an_import_of_the_command(tmp_path, how):
    """Inside an `exec`, Python would die of the signal; of an extension it makes another error."""
    words = ["-m", "benchmark", "compare", "--output", str(tmp_path / "out")]
    done = pressed(tmp_path, "benchmark.api", *words, how=how)
    assert done.returncode == 130
    assert done.stderr.startswith("\nInterrupted. Finished epochs are kept; to go on:")
    assert done.stderr.count("\n") == 2


def test_a_second_ctrl_c_at_the_end_changes_nothing(tmp_path):
    done = pressed(tmp_path, "exit", "-m", "benchmark", "compair")
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown command 'compair'")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["list"], ["compare", "--help"]])
def test_a_closed_pipe_ends_quietly(words):
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmark", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 0


@contextlib.contextmanager
def gone():
    """A standard output that nobody reads any more."""
    there, here = os.pipe()
    os.close(there)
    with open(here, "w") as file, contextlib.redirect_stdout(file):
        try:
            yield
        finally:
            # What it still holds cannot be written.
            with open(os.devnull, "w") as nothing:
                os.dup2(nothing.fileno(), here)


def test_lines_go_to_a_file_once_the_screen_has_gone(tmp_path):
    with gone(), progress.screen(instead=tmp_path / "log.txt") as console:
        progress.say(console, "first")
        progress.say(console, "second")
    assert (tmp_path / "log.txt").read_text() == "first\nsecond\n"


def test_a_link_is_not_written_through(tmp_path):
    (tmp_path / "log.txt").symlink_to(tmp_path / "victim")
    with gone(), progress.screen(instead=tmp_path / "log.txt") as console:
        progress.say(console, "first")
    assert not (tmp_path / "victim").exists()


def test_a_comparison_whose_screen_goes_away_goes_on(tmp_path):
    with gone():
        print("of a script, still to be written")
        runs = compare(["relu"], "digits", 1, 1, limit=100, jobs=1, output=tmp_path).runs
    assert runs["status"].tolist() == ["complete"]
    assert "relu, seed 0: complete (1 of 1 run)" in (tmp_path / "log.txt").read_text()
