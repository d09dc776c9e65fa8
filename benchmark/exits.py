"""How a command ends: its exit code, and one line for what went wrong."""

import argparse
import contextlib
import errno
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

from benchmark.errors import ReportError, RequestError, this_python
from benchmark.execution import interrupts
from benchmark.results import request_file
from benchmark.training import environment

DONE, SOME_FAILED, WRONG_REQUEST, INTERRUPTED = 0, 1, 2, 130
Command: TypeAlias = Callable[[argparse.Namespace], int]


def guarded(
    parse: Callable[[list[str]], tuple[Command, argparse.Namespace]],
    arguments: Sequence[str] | None,
    program: str,
) -> int:
    """Run a command and return the exit code.

    Args:
        parse: returns the command for some words, and its options.
        arguments: the words; by default those of the command line.
        program: what follows `python` on it.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # A terminal may lack a sign that is shown.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        command, options = parse(words)
        # Before anything loads TensorFlow, a plug-in for instance.
        keep = getattr(options, "keep_environment", False)
        environment.settle(environment.kept() if keep else "")
        with request_file.asked_as(["python", *program.split(), *words]):
            return _interruptible(command, options)
    except RequestError as error:
        _complain(f"error: {error}")
        return WRONG_REQUEST
    except ReportError as error:
        _complain(f"error: report.html could not be made: {error}; tables and figures are written")
        return SOME_FAILED
    except KeyboardInterrupt:
        _complain(_interrupted(words, program))
        return INTERRUPTED
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else str(error)
        _complain(f"error: {reason}; what is recorded stays, the same command goes on")
        return SOME_FAILED
    finally:
        _flush()


def _interruptible(command: Command, options: argparse.Namespace) -> int:
    """Run a command; an error that Ctrl-C has become in a library's import is Ctrl-C again."""
    with interrupts.remembered() as stop_if_asked:
        try:
            return command(options)
        except Exception:
            stop_if_asked()
            raise


def _complain(text: str) -> None:
    # Nobody may be there to read it.
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)


def _flush() -> None:
    """Write what is left for standard output, or drop it where nobody reads it any more."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:
        # Python itself would try again at its end, and complain.
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())


def _interrupted(words: Sequence[str], program: str) -> str:
    """Return what stays after Ctrl-C, and the command that goes on from there."""
    # Not --fresh: that would forget what is done.
    again = shlex.join(word for word in words if word != "--fresh")
    # Of runs elsewhere only the finished ones are here.
    elsewhere = any(word.startswith("--scheduler") for word in words)
    finished = "runs" if elsewhere else "epochs"
    if words[:1] == ["experiments"]:
        finished = "experiments"
    elif program == "run_all.py":
        finished += " and experiments"
    line = f"{this_python()} {program} {again}".strip()
    return f"\nInterrupted. Finished {finished} are kept; to go on: {line}"
