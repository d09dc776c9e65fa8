"""Users' activations as bytes that another process can read without their files."""

import io
import sys
import types
from collections.abc import Collection
from typing import Any

import cloudpickle

from benchmark.activations.registry import Activation, add_entry
from benchmark.errors import RequestError, one_line

# Of a module, what tells how this process imported it.
_IMPORTED = {"__builtins__", "__cached__", "__file__", "__loader__", "__path__", "__spec__"}


def pack(entries: list[Activation]) -> bytes:
    """Return the entries as bytes that another process can unpack without their modules.

    Raises:
        RequestError: one of them holds something that cannot be sent to another process.
    """
    names = {name for entry in entries for name in entry.modules}
    modules = [sys.modules[name] for name in sorted(names)]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        for entry in entries:
            try:
                _dumps(entry, names)
            except Exception as error:
                raise RequestError(
                    f"activation {entry.name!r} cannot be sent to a worker:"
                    f" {type(error).__name__}: {one_line(error)}"
                ) from error
        return _dumps(entries, names)
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def unpack(entries: bytes) -> list[Activation]:
    """Register the packed entries in this process and return them."""
    unpacked = cloudpickle.loads(entries)
    for entry in unpacked:
        add_entry(entry)
    return unpacked


def _dumps(value: Any, modules: Collection[str]) -> bytes:
    with io.BytesIO() as file:
        _Pickler(file, modules).dump(value)
        return file.getvalue()


class _Pickler(cloudpickle.Pickler):
    """Takes a plug-in's modules by their contents, and a `tf.function` by what it was made of.

    cloudpickle itself follows modules that refer to each other for ever, and a `tf.function` that
    has been called holds graphs.
    """

    def __init__(self, file: io.BytesIO, modules: Collection[str]) -> None:
        super().__init__(file)
        self._modules = modules

    def reducer_override(self, value: Any) -> Any:
        """Return what rebuilds the value."""
        if isinstance(value, types.ModuleType) and value.__name__ in self._modules:
            contents = {k: v for k, v in vars(value).items() if k not in _IMPORTED}
            return types.ModuleType, (value.__name__,), contents
        library = str(type(value).__module__).split(".")[0]
        if library == "tensorflow" and hasattr(value, "python_function"):
            import tensorflow as tf

            return tf.function, (value.python_function,)
        return super().reducer_override(value)
