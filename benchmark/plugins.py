"""Users' own activations: loading a file of them, checking them, sending them to workers."""

import dataclasses
import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from benchmark.activations import Activation, add_entry, tf, user_entries
from benchmark.errors import RequestError, one_line


def load_plugin(path: str | Path) -> list[Activation]:
    """Run a Python file that registers activations and return their entries.

    Raises:
        RequestError: the file cannot be read, raises, or registers nothing.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise RequestError(f"plugin {str(path)!r} cannot be read: {reason}") from error
    before = set(user_entries())
    module_name = "benchmark_plugin_" + hashlib.sha256(text.encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_loader(module_name, loader=None, origin=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)
    except RequestError:
        raise
    except Exception as error:
        raise RequestError(f"plugin {str(path)!r}: {_what(error)}") from error
    # The whole file counts: a helper function in it decides the numbers too.
    added = [entry for entry in user_entries() if entry not in before]
    added = [dataclasses.replace(entry, source=text) for entry in added]
    for entry in added:
        add_entry(entry)
    if not added:
        raise RequestError(
            f"plugin {str(path)!r} registers no activation: put @register_activation above a"
            " function in it (from benchmark import register_activation)"
        )
    return added


def _what(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


def check(entry: Activation) -> list[str]:
    """Check a user's function before it is trained with.

    Shape, dtype, finite values and finite gradients in float32 on [-30, 30], and the shapes of
    the comparison's layers. Returns warnings: what fails beyond that, up to ±1e4.

    Raises:
        RequestError: the function does not pass; the message names it.
    """
    wrong = f"activation {entry.name!r}"
    inside = tf.linspace(-30.0, 30.0, 2401)[:-1]
    for x in (tf.reshape(inside, (4, 2, 3, 100)), tf.reshape(inside, (24, 100))):
        try:
            value, gradient = _value_and_gradient(entry, x)
        except Exception as error:
            raise RequestError(f"{wrong} raises {_what(error)}") from error
        if value.shape != x.shape:
            raise RequestError(
                f"{wrong} returns shape {tuple(value.shape)} for an input of shape"
                f" {tuple(x.shape)}: it must keep the shape"
            )
        if value.dtype != x.dtype:
            raise RequestError(
                f"{wrong} returns {value.dtype.name} for {x.dtype.name}: it must keep the dtype"
            )
        if gradient is None:
            raise RequestError(f"{wrong} has no gradient: use TensorFlow operations only")
        for what, numbers in (("value", value), ("gradient", gradient)):
            bad = x[~tf.math.is_finite(numbers)]
            if bad.shape[0]:
                raise RequestError(
                    f"{wrong} has a {what} that is not finite at x = {float(bad[0]):g}: it must be"
                    " finite on [-30, 30]"
                )
    far = tf.concat([-tf.exp(tf.linspace(3.4, 9.21, 200)), tf.exp(tf.linspace(3.4, 9.21, 200))], 0)
    value, gradient = _value_and_gradient(entry, far)
    warnings = []
    for what, numbers in (("value", value), ("gradient", gradient)):
        bad = far[~tf.math.is_finite(numbers)]
        if bad.shape[0]:
            warnings.append(f"{wrong} has a {what} that is not finite at x = {float(bad[0]):g}")
    return warnings


def _value_and_gradient(entry: Activation, x: Any) -> tuple[Any, Any]:
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.convert_to_tensor(entry.function(x))
    return value, tape.gradient(value, x)


def pack(entries: list[Activation]) -> bytes:
    """Return the entries as bytes that another process can unpack without their modules."""
    import cloudpickle

    modules = {sys.modules.get(getattr(entry.make, "__module__", None)) for entry in entries}
    # The catalogue's module is at the other end too; a plugin's is not.
    modules = [m for m in modules if m and m.__name__.startswith("benchmark_plugin_")]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(entries)
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def unpack(entries: bytes) -> list[Activation]:
    """Register the packed entries in this process and return them."""
    import cloudpickle

    unpacked = cloudpickle.loads(entries)
    for entry in unpacked:
        add_entry(entry)
    return unpacked
