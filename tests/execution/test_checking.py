"""The process that checks users' activations, and what becomes of what it finds."""

import os
import time

import pytest
import tensorflow as tf

from benchmark.activations import register_activation, resolve
from benchmark.errors import RequestError
from benchmark.execution import checking
from benchmark.execution.task import Settings
from tests.activations.test_checks import branches

# Other tests have the check done in this process.
in_its_process = checking.checked


@pytest.fixture
def lines(monkeypatch):
    """What is said."""
    monkeypatch.setattr(checking, "_verdicts", {})
    return []


def check_own(lines, *names):
    checking.check_own(names, Settings(), 60.0, lines.append)


def test_what_is_found_is_registered_and_said_once_more_without_a_check(lines):
    register_activation("branches")(branches)
    check_own(lines, "relu", "branches", "branches")
    assert lines[0] == "Checking your activations: branches."
    assert lines[1].startswith("Warning: activation 'branches' is trained uncompiled")
    assert not resolve("branches").compiled
    check_own(lines, "branches")
    assert lines[2:] == lines[1:2]
    register_activation("branches")(lambda x: 0.3 * x)
    check_own(lines, "branches")
    assert lines[3:] == ["Checking your activations: branches."]
    assert resolve("branches").compiled


def test_the_catalogues_own_need_no_check(lines):
    check_own(lines, "relu", "gelu")
    assert lines == []


@pytest.mark.slow
def test_function_that_does_not_end():
    def endless(x):
        # Not a loop of Python: nothing there would hear a signal.
        return tf.while_loop(lambda x: True, lambda x: (x + 1.0,), (x,))[0]

    register_activation("fine")(lambda x: 0.5 * x)
    register_activation(endless)
    start = time.monotonic()
    with pytest.raises(
        RequestError, match=r"'endless' was not checked within 3 s: look for a loop"
    ):
        in_its_process([resolve("fine"), resolve("endless")], Settings(), 3.0)
    assert time.monotonic() - start < 60


@pytest.mark.slow
def test_function_that_ends_its_process():
    register_activation("deadly")(lambda x: os._exit(3))
    with pytest.raises(RequestError, match="'deadly' ends the process it runs in"):
        in_its_process([resolve("deadly")], Settings(), 60.0)


@pytest.mark.slow
def test_what_the_process_finds_comes_back():
    register_activation("doubled")(lambda x: 2.0 * x)
    register_activation("total")(tf.reduce_sum)
    with pytest.raises(RequestError, match="activation 'total' returns shape"):
        in_its_process([resolve("doubled"), resolve("total")], Settings(), 60.0)
