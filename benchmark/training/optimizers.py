"""The optimizers by name, Keras's own. Keras is imported when one is made."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

# Keras's class, and its settings beside the learning rate where they are not Keras's defaults.
OPTIMIZERS: dict[str, tuple[str, dict[str, float]]] = {
    "adam": ("Adam", {}),
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.9}),
    "rmsprop": ("RMSprop", {}),
    "adagrad": ("Adagrad", {}),
}


def keras_optimizer(
    kind: str, learning_rate: float | Callable[[], Any], /, **settings: Any
) -> "keras.Optimizer":
    """Return a new optimizer.

    Args:
        kind: one of `OPTIMIZERS`.
        learning_rate: a number, or a function without arguments that returns the rate; what it
            returns may be an array that broadcasts against every variable.
        settings: further arguments of Keras's class.
    """
    import keras

    keras_name, own_settings = OPTIMIZERS[kind]
    return getattr(keras.optimizers, keras_name)(learning_rate, **own_settings, **settings)
