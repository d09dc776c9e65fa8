"""`python -m benchmark COMMAND`, and what every command begins with."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

_INTERRUPTED = 130


def main() -> NoReturn:
    """Run `activation-benchmark COMMAND …`."""
    start("main")


def start(program: str) -> NoReturn:
    """Run a function of `benchmark.cli` and exit with its code.

    Ctrl-C ends the process without a traceback from the first moment to the last: while modules
    are loaded, and a second time when the first one has been answered.
    """
    # Where it is ignored, as in a background job, it stays so.
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeded:
        signal.signal(signal.SIGINT, _leave)
    from benchmark import cli

    try:
        if heeded:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = getattr(cli, program)()
    except KeyboardInterrupt:
        _leave(signal.SIGINT, None)
    if heeded:
        signal.signal(signal.SIGINT, lambda *_: os._exit(code))
    # Where Ctrl-C was answered but passed through an `exec` on its way, in an import for instance,
    # Python would die of the signal at its end; the next `exec` makes it forget (seen with 3.11).
    exec("")
    sys.exit(code)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, b"\nInterrupted.\n")
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
