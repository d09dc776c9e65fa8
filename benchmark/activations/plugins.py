"""Users' own activations: loading a file of them, checking them, sending them to workers."""

import dataclasses
import hashlib
import importlib.util
import sys
from pathlib import Path

import numpy as np

from benchmark.activations import Activation, add_entry, user_entries
from benchmark.activations.gradients import value_and_gradient
from benchmark.errors import RequestError, one_line


def load_plugin(path: str | Path) -> list[Activation]:
    """Run a Python file that registers activations and return their entries.

    It may import modules that lie beside it; they travel to the workers with it.

    Raises:
        RequestError: the file cannot be read, raises, or registers nothing.
    """
    path = Path(path).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise RequestError(f"plugin {str(path)!r} cannot be read: {reason}") from error
    before = {id(entry) for entry in user_entries()}
    module_name = "benchmark_plugin_" + hashlib.sha256(text.encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(module_name, path.resolve())
    if spec is None:
        raise RequestError(f"plugin {str(path)!r} is not a Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)
    except RequestError:
        raise
    except (Exception, SystemExit) as error:
        raise RequestError(f"plugin {str(path)!r}: {_what(error)}") from error
    finally:
        sys.path.pop(0)
    # The whole file counts, and the modules beside it: helpers in them decide the numbers too.
    modules = _modules_beside(path.resolve())
    source = "\n".join(file.read_text() for file in modules.values())
    added = [entry for entry in user_entries() if id(entry) not in before]
    added = [dataclasses.replace(entry, source=source, modules=tuple(modules)) for entry in added]
    for entry in added:
        add_entry(entry)
    if not added:
        raise RequestError(
            f"plugin {str(path)!r} registers no activation: put @register_activation above a"
            " function in it (from benchmark import register_activation)"
        )
    return added


def _modules_beside(path: Path) -> dict[str, Path]:
    """Return the files, by name, of the loaded modules that are this file or lie in its folder."""
    files = {
        name: Path(getattr(module, "__file__", None) or "")
        for name, module in sorted(sys.modules.items())
        if name not in ("__main__", "__mp_main__")
    }
    return {
        name: file
        for name, file in files.items()
        if file.parent == path.parent and file.suffix == ".py"
    }


def _what(error: BaseException) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


def check(entry: Activation) -> list[str]:
    """Check a user's function before it is trained with.

    Shape, dtype, finite values and finite gradients in float32 on [-30, 30], each element treated
    alone, and the shapes of the comparison's layers. Returns warnings: what fails beyond that, up
    to ±1e4.

    Raises:
        RequestError: the function does not pass; the message names it.
    """
    import tensorflow as tf

    wrong = f"activation {entry.name!r}"
    inside = tf.linspace(-30.0, 30.0, 2401)[:-1]
    for x in (tf.reshape(inside, (4, 2, 3, 100)), tf.reshape(inside, (24, 100))):
        try:
            value, gradient = value_and_gradient(entry.function, x)
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
    try:
        # As in training: in a graph, the batch of unknown size.
        tf.function(entry.function).get_concrete_function(tf.TensorSpec((None, 5)))
    except Exception as error:
        raise RequestError(
            f"{wrong} cannot be part of a graph, use TensorFlow operations only: {_what(error)}"
        ) from error
    # The engine takes a batch in parts.
    part = value_and_gradient(entry.function, x[:12])[0]
    if not np.allclose(part, value[:12], rtol=1e-5, atol=1e-6):
        raise RequestError(
            f"{wrong} gives an element another value in another batch: it must treat each element"
            " alone"
        )
    right = tf.exp(tf.linspace(3.4, 9.21, 200))
    far = tf.concat([-right, right], 0)
    value, gradient = value_and_gradient(entry.function, far)
    warnings = []
    for what, numbers in (("value", value), ("gradient", gradient)):
        bad = far[~tf.math.is_finite(numbers)]
        if bad.shape[0]:
            warnings.append(f"{wrong} has a {what} that is not finite at x = {float(bad[0]):g}")
    return warnings


def pack(entries: list[Activation]) -> bytes:
    """Return the entries as bytes that another process can unpack without their modules.

    Raises:
        RequestError: one of them holds something that cannot be sent to another process.
    """
    import cloudpickle

    modules = {name: sys.modules[name] for entry in entries for name in entry.modules}
    for module in modules.values():
        cloudpickle.register_pickle_by_value(module)
    try:
        for entry in entries:
            try:
                cloudpickle.dumps(entry)
            except Exception as error:
                raise RequestError(
                    f"activation {entry.name!r} cannot be sent to a worker: {_what(error)}"
                ) from error
        return cloudpickle.dumps(entries)
    finally:
        for module in modules.values():
            cloudpickle.unregister_pickle_by_value(module)


def unpack(entries: bytes) -> list[Activation]:
    """Register the packed entries in this process and return them."""
    import cloudpickle

    unpacked = cloudpickle.loads(entries)
    for entry in unpacked:
        add_entry(entry)
    return unpacked
