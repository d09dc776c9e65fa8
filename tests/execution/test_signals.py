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
# Presses Ctrl-C when a module is asked for, or at exit, and runs a way in.
PRESS = """
import atexit, os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
press = lambda: os.kill(os.getpid(), signal.SIGINT)
class Finder:
    def find_spec(self, name, *rest):
        if name == moment:
            press()
_, moment, *sys.argv = sys.argv
program = sys.argv[0]
if moment == "exit":
    atexit.register(press)
sys.meta_path.insert(0, Finder())
run = runpy.run_path if program.endswith(".py") else runpy.run_module
run(program, run_name="__main__")
"""


def pressed(moment, *words):
    return subprocess.run(
        [sys.executable, "-c", PRESS, moment, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("module", ["benchmark.cli", "argparse", "benchmark.activations"])
@pytest.mark.parametrize("program", ["benchmark", "run_all.py"])
def test_ctrl_c_while_modules_are_loaded(program, module):
    done = pressed(module, program, "--help")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "\nInterrupted.\n"


def test_a_second_ctrl_c_at_the_end_changes_nothing():
    done = pressed("exit", "benchmark", "compair")
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
