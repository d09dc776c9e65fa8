"""TensorFlow and Keras set up for the runs of a process. Importing this loads TensorFlow."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from benchmark.errors import RequestError


def configure(threads: int = 1, gpu: int | None = None, deterministic: bool = False) -> bool:
    """Set up TensorFlow in this process, before its first operation.

    Args:
        threads: for one operation and between operations together.
        gpu: index of the GPU to use; None hides all of them.
        deterministic: make every operation repeatable bit for bit, at some cost.

    Returns False where TensorFlow already runs in this process with other settings.
    """
    config, threading = tf.config, tf.config.threading
    try:
        # Setting what is set already is refused once TensorFlow runs.
        if threading.get_intra_op_parallelism_threads() != threads:
            threading.set_intra_op_parallelism_threads(threads)
        if threading.get_inter_op_parallelism_threads() != threads:
            threading.set_inter_op_parallelism_threads(threads)
        gpus = config.list_physical_devices("GPU")
        if gpus:
            chosen = [] if gpu is None else [gpus[gpu % len(gpus)]]
            config.set_visible_devices(chosen, "GPU")
            for device in chosen:
                config.experimental.set_memory_growth(device, True)
    except RuntimeError:
        return False
    # A function is compiled for each network, which TensorFlow would warn about.
    tf.get_logger().setLevel("ERROR")
    # Reduced precision is never chosen silently.
    config.experimental.enable_tensor_float_32_execution(False)
    if deterministic:
        config.experimental.enable_op_determinism()
    return True


@contextlib.contextmanager
def keras_defaults(precision: str = "float32") -> Iterator[None]:
    """Set Keras's global settings, whatever the user's configuration says: they decide the numbers.

    Weights are float32, examples have their channels last; `precision` is Keras's dtype policy.

    Raises:
        RequestError: Keras runs on another backend than TensorFlow.
    """
    if keras.config.backend() != "tensorflow":
        raise RequestError(
            f"Keras runs on {keras.config.backend()!r} here: set KERAS_BACKEND=tensorflow"
        )
    defaults = (
        (keras.config.set_floatx, keras.config.floatx()),
        (keras.config.set_image_data_format, keras.config.image_data_format()),
        (keras.config.set_dtype_policy, keras.config.dtype_policy()),
    )
    try:
        for (restore, _), value in zip(defaults, ("float32", "channels_last", precision)):
            restore(value)
        yield
    finally:
        for restore, value in defaults:
            restore(value)
