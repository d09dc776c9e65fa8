"""Ctrl-C where Python alone would lose it, or let it through too early."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from types import FrameType


@contextlib.contextmanager
def remembered() -> Iterator[Callable[[], None]]:
    """Provide a function that raises if Ctrl-C was pressed.

    A KeyboardInterrupt that reaches Python inside a callback of TensorFlow can be lost there, and
    one in the import of an extension becomes an ImportError.
    """
    asked = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    def stop_if_asked() -> None:
        if asked:
            raise KeyboardInterrupt

    elsewhere = threading.current_thread() is not threading.main_thread()
    # As in a job in the background.
    if elsewhere or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield stop_if_asked
        return
    kept = signal.signal(signal.SIGINT, remember)
    try:
        yield stop_if_asked
    finally:
        signal.signal(signal.SIGINT, kept or signal.SIG_DFL)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Put Ctrl-C off to the end of the block; processes started in it never hear of it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Its first start, in whatever thread, would let Ctrl-C through again.
    resource_tracker.ensure_running()
    kept = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, kept)
