"""Processes that do the runs of a cluster's workers, one for each thread of a worker.

A worker may have any number of threads, but TensorFlow's settings, a run's log and what was
compiled belong to a process. Requests go in by the process's input, events and answers come out by
its output, pickled. It ends with its worker, and after a while without work.
"""

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

IDLE_SECONDS = 300.0
_EVENT, _ANSWER, _ERROR = "event", "answer", "error"


class ChildLostError(RuntimeError):
    """The process ended without an answer: it was killed, or there was no memory left."""


class NoLongerWantedError(RuntimeError):
    """Whoever asked has gone away."""


class Child:
    """Such a process, seen from the worker."""

    def __init__(self, environment: dict[str, str]) -> None:
        # The code of this worker, wherever that was found; -P: not what lies in its folder.
        paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            **environment,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "benchmark.execution.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            env=environment,
        )

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def ask(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        heard: Callable[[Any], None] = lambda event: None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> Any:
        """Call `function(*arguments, report)` there and return its answer.

        What it reports goes to `heard`; `wanted` is asked every second whether to go on.

        Raises:
            ChildLostError: the process ended.
            NoLongerWantedError: `wanted` said no; the process was ended.
            Exception: whatever the function raised.
        """
        messages: queue.Queue = queue.Queue()
        threading.Thread(target=self._read, args=(messages,), daemon=True).start()
        try:
            with contextlib.suppress(OSError):
                # If the process has ended, the reader says so.
                _write(self._process.stdin, (function, arguments))
            while True:
                try:
                    kind, value = messages.get(timeout=1.0)
                except queue.Empty:
                    kind = ""
                if kind == _ANSWER:
                    return value
                if kind == _ERROR:
                    raise value
                if kind == _EVENT:
                    heard(value)
                if not wanted():
                    raise NoLongerWantedError("whoever asked for this run has gone away")
        except (ChildLostError, NoLongerWantedError):
            self.kill()
            raise

    def _read(self, messages: queue.Queue) -> None:
        """Pass on what the process writes, up to the end of a request."""
        kind = _EVENT
        while kind == _EVENT:
            try:
                kind, value = pickle.load(self._process.stdout)
            except Exception:
                # At its end; or what came is no answer, and neither is what follows.
                self._process.kill()
                self._process.wait()
                words = f"the run's process ended: {self._last_words()}"
                kind, value = _ERROR, ChildLostError(words)
            messages.put((kind, value))

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def _last_words(self) -> str:
        self._messages.seek(0)
        lines = self._messages.read().decode(errors="replace").strip().splitlines()
        return f"exit code {self._process.returncode}{': ' + lines[-1][:300] if lines else ''}"


class Children:
    """The processes of a worker, kept for further runs with the same settings."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[Any, list[Child]] = {}

    @contextlib.contextmanager
    def one(self, settings: Any, environment: dict[str, str]) -> Iterator[Child]:
        """Lend a process in which only runs with these TensorFlow settings are done."""
        with self._lock:
            idle = [child for child in self._idle.pop(settings, []) if child.alive]
            child = idle.pop() if idle else None
            if idle:
                self._idle[settings] = idle
        child = child or Child(environment)
        try:
            yield child
        except BaseException:
            child.kill()
            raise
        with self._lock:
            self._idle.setdefault(settings, []).append(child)

    def end_idle(self) -> None:
        """End the processes that have nothing to do."""
        with self._lock:
            idle = [child for children in self._idle.values() for child in children]
            self._idle.clear()
        for child in idle:
            child.kill()


def _write(pipe: Any, message: Any) -> None:
    pickle.dump(message, pipe)
    pipe.flush()


def _travelling(error: Exception) -> Exception:
    """Return the error, or its words where it would not come out of a pickle again."""
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


def main() -> None:
    """Answer requests until the input ends or nothing has come for a while."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    # What libraries print must not get between the answers.
    os.dup2(2, 1)
    while True:
        idle = threading.Timer(IDLE_SECONDS, os._exit, [0])
        idle.daemon = True
        idle.start()
        try:
            function, arguments = pickle.load(requests)
        except EOFError:
            return
        finally:
            idle.cancel()
        try:
            answer = function(*arguments, lambda event: _write(answers, (_EVENT, event)))
        except Exception as error:
            _write(answers, (_ERROR, _travelling(error)))
        else:
            _write(answers, (_ANSWER, answer))


if __name__ == "__main__":
    main()
