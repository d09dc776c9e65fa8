"""A hash of all that decides a user's activation, so that a change of it trains its runs anew."""

import functools
import hashlib
import inspect
import types
from typing import Any

import numpy as np

from benchmark.activations import Activation


def fingerprint(entry: Activation) -> str:
    """Return a hash of what decides a user's activation; empty for the catalogue's own.

    It covers the file, the modules beside it, and what the function reaches: its source, defaults,
    closure, and the functions and values of its own module, as they are at this moment.
    """
    if not entry.is_user:
        return ""
    settings = (entry.source, entry.initializer, entry.recommended, entry.dropout)
    # Uncompiled gives other numbers; the hashes of all others stay.
    form = () if entry.compiled else ("uncompiled",)
    text = repr(((*settings, *form), _described(entry.make, _home(entry), set())))
    return hashlib.sha256(text.encode()).hexdigest()


def _home(entry: Activation) -> set[str | None]:
    """Return the names of the modules whose functions and classes count with their contents."""
    module = getattr(entry.make, "__module__", None)
    if isinstance(entry.make, types.FunctionType) and str(module).startswith("keras."):
        # Its name says what it is, in whatever version.
        module = None
    return {"__main__", module, *entry.modules}


def _described(value: Any, home: set[str | None], seen: set[int]) -> Any:
    """Return what can be written down of a value: the same for equal ones in any process."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return repr(value)
    if id(value) in seen:
        return "seen"
    seen = seen | {id(value)}
    if isinstance(value, (list, tuple)):
        return [_described(item, home, seen) for item in value]
    if isinstance(value, dict):
        pairs = [(_described(key, home, seen), _described(value[key], home, seen)) for key in value]
        return sorted(pairs, key=repr)
    # Not a module or a class, which may have attributes of those names too.
    is_value = not isinstance(value, (types.ModuleType, type))
    if is_value and (hasattr(value, "numpy") or hasattr(value, "tobytes")):
        array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
        return (str(array.dtype), array.shape, array.tobytes())
    if isinstance(value, functools.partial):
        return _described((value.func, value.args, value.keywords), home, seen)
    if hasattr(value, "python_function"):  # tf.function
        return _described(value.python_function, home, seen)
    kind = value if isinstance(value, (type, types.FunctionType)) else type(value)
    if kind.__module__ not in home:
        name = getattr(value, "__qualname__", getattr(value, "__name__", ""))
        return (_package(kind.__module__), kind.__qualname__, name)
    if isinstance(value, types.FunctionType):
        return _described_function(value, home, seen)
    inside = {} if isinstance(value, type) else _attributes(value)
    return (_source(kind), _described(inside, home, seen))


def _attributes(value: Any) -> dict[str, Any]:
    if hasattr(value, "__dict__"):
        return vars(value)
    return {name: getattr(value, name, None) for name in getattr(value, "__slots__", ())}


def _described_function(function: types.FunctionType, home: set[str | None], seen: set[int]) -> Any:
    names = _names(function.__code__)
    reached = {name: function.__globals__[name] for name in names & set(function.__globals__)}
    # Of a module, what is asked of it by name: not by its dictionary, which may be filled lazily.
    for name, value in list(reached.items()):
        if isinstance(value, types.ModuleType):
            asked = [attribute for attribute in names if hasattr(value, attribute)]
            reached |= {f"{name}.{attribute}": getattr(value, attribute) for attribute in asked}
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    parts = (function.__defaults__, function.__kwdefaults__, cells, reached)
    return (_source(function), [_described(part, home, seen) for part in parts])


def _names(code: types.CodeType) -> set[str]:
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*(_names(constant) for constant in inner))


def _package(module: str) -> str:
    """Return the name of a module; of this project's, the package: its files may be moved."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "benchmark" else module


def _source(function: types.FunctionType | type) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return repr(_described_code(code)) if code else function.__qualname__


def _described_code(code: types.CodeType) -> Any:
    """Return what decides a function that has no source: instructions, names and constants."""
    constants = [
        _described_code(constant)
        if isinstance(constant, types.CodeType)
        # The order of a set differs between processes.
        else sorted(map(repr, constant))
        if isinstance(constant, frozenset)
        else repr(constant)
        for constant in code.co_consts
    ]
    return (code.co_code, code.co_names, constants)
