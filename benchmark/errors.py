"""The errors that users see as one line, their wording, and the command that helps."""

import difflib
import os
import shlex
import sys
from collections.abc import Collection, Iterable


class RequestError(ValueError):
    """A request that cannot be carried out as given.

    The message is one line that quotes the bad value and says what would be good. The command
    line prints it and exits with code 2.
    """


class ReportError(RuntimeError):
    """The report notebook could not be executed; the message is one line."""


def unknown(kind: str, name: object, valid: Iterable[str]) -> RequestError:
    """Return the error for a misspelt name, with the nearest valid names or else all of them."""
    names = list(valid)
    near = difflib.get_close_matches(str(name).strip().lower(), names, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(names)}"
    return RequestError(f"unknown {kind} {name!r}: {hint}")


def one_of(kind: str, value: object, valid: Collection[str]) -> None:
    """Check that a value is one of the valid ones.

    Raises:
        RequestError: it is not; the message names the nearest valid ones.
    """
    if value not in valid:
        raise unknown(kind, value, valid)


def one_line(error: BaseException) -> str:
    """Return an exception's message as one line: of a system error, the system's own words."""
    system = error.strerror if isinstance(error, OSError) else None
    return " ".join(str(system or error).split()) or type(error).__name__


def this_python() -> str:
    """Return how to call this Python from here."""
    near = os.path.relpath(sys.executable)
    return shlex.quote(sys.executable if near.startswith("..") else near)
