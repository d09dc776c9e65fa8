"""Files with users' own activations: loading one, and what lies beside it."""

import contextlib
import dataclasses
import hashlib
import importlib.util
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from benchmark.activations import Activation, add_entry, user_entries
from benchmark.errors import RequestError, one_line

# How long a file may take to load, and the check of a function.
CHECK_SECONDS = 60.0


def load_plugin(
    path: str | Path,
    seconds: float = CHECK_SECONDS,
    say: Callable[[str], None] = lambda line: None,
) -> list[Activation]:
    """Run a Python file that registers activations and return their entries.

    It may import modules and packages that lie beside it; they travel to the workers with it.
    Where an installed module has the same name, that one is imported.

    Args:
        path: of the file.
        seconds: how long it may take.
        say: is told in a line, once there is a file, that it is loaded now.

    Raises:
        RequestError: the file cannot be read, raises, does not end, or registers nothing.
    """
    path = Path(path).expanduser()
    text = _text(path)
    before = {id(entry) for entry in user_entries()}
    module_name = "benchmark_plugin_" + hashlib.sha256(text.encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(module_name, path.resolve())
    if spec is None:
        raise RequestError(f"plugin {str(path)!r} is not a Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    say(f"Loading your activations from {path}.")
    try:
        with _found_beside(path), _time_limit(seconds, path):
            exec(compile(text, str(path), "exec"), module.__dict__)
    except RequestError:
        raise
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        if path.stem in sys.stdlib_module_names:
            reason += f" (Python has a module {path.stem!r} of its own: rename the file)"
        raise RequestError(f"plugin {str(path)!r}: {reason}") from error
    added = [entry for entry in user_entries() if id(entry) not in before]
    if not added:
        raise RequestError(
            f"plugin {str(path)!r} registers no activation: put @register_activation above a"
            " function in it (from benchmark import register_activation)"
        )
    return _with_modules(added, path.resolve())


def _text(path: Path) -> str:
    try:
        # Heeds a byte order mark and a declared encoding, as Python does.
        return importlib.util.decode_source(path.read_bytes())
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise RequestError(f"plugin {str(path)!r} cannot be read: {reason}") from error


@contextlib.contextmanager
def _found_beside(path: Path) -> Iterator[None]:
    """Let the file import what lies beside it."""
    # Last: a file called random.py must not hide Python's own module.
    folders = [folder] if (folder := str(path.resolve().parent)) not in sys.path else []
    sys.path.extend(folders)
    try:
        yield
    finally:
        for folder in folders:
            sys.path.remove(folder)


class _TimeUp(BaseException):
    """Not an Exception: the file may catch those."""


@contextlib.contextmanager
def _time_limit(seconds: float, path: Path) -> Iterator[None]:
    """End the block after so long; only the main thread can be ended, and not on Windows.

    Raises:
        RequestError: it took longer.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TimeUp

    kept = signal.signal(signal.SIGALRM, stop)
    # And every second from then on, should the file catch it.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    except _TimeUp as error:
        raise RequestError(
            f"plugin {str(path)!r} was not loaded within {seconds:g} s: look for a loop that does"
            " not end, or give more time with --check-seconds"
        ) from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, kept)


def _with_modules(entries: list[Activation], path: Path) -> list[Activation]:
    """Register the entries with the source of their file and of the modules beside it.

    The whole file counts, and those modules too: helpers in them decide the numbers.
    """
    modules = _modules_beside(path)
    source = "\n".join(
        importlib.util.decode_source(file.read_bytes()) for file in modules.values() if file
    )
    complete = [
        dataclasses.replace(entry, source=source, modules=tuple(modules)) for entry in entries
    ]
    for entry in complete:
        add_entry(entry)
    return complete


def _modules_beside(path: Path) -> dict[str, Path | None]:
    """Return by name the loaded modules that are this file or lie in its folder, and their files;
    None for a package without one."""
    return {
        name: Path(module.__file__) if module.__file__ else None
        for name, module in sorted(sys.modules.items())
        if name not in ("__main__", "__mp_main__") and _is_beside(name, module, path.parent)
    }


def _is_beside(name: str, module: object, folder: Path) -> bool:
    # Some libraries' modules have an answer to any name that is asked of them, `__path__` too.
    named, spec = getattr(module, "__file__", None), getattr(module, "__spec__", None)
    file = Path(named if isinstance(named, str) else "")
    if file.parent == folder and file.suffix == ".py":
        return True
    # Packages of this project and installed ones are wherever the workers are.
    if name.split(".")[0] == "benchmark" or folder.name in ("site-packages", "dist-packages"):
        return False
    inside = folder.joinpath(*name.split("."))
    files = (inside.with_suffix(".py"), inside / "__init__.py")
    folders = getattr(spec, "submodule_search_locations", None) or ()
    return file in files or str(inside) in folders
