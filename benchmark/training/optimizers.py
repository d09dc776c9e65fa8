"""The optimizers, gradients clipped by value as in the article. Importing this loads Keras."""

import keras

from benchmark.training.spec import CLIP_VALUE, RunSpec


def make_optimizer(spec: RunSpec) -> keras.Optimizer:
    """Return the run's optimizer, gradients clipped by value at 0.5 as in the article.

    In mixed float16 it scales the loss, and skips steps whose gradients overflow.
    """
    optimizer = _plain_optimizer(spec)
    if spec.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale")
    return optimizer


def _plain_optimizer(spec: RunSpec) -> keras.Optimizer:
    # Under names that Keras makes up anew each time, TensorFlow would keep a kernel per variable.
    common = {"learning_rate": spec.learning_rate, "clipvalue": CLIP_VALUE, "name": spec.optimizer}
    if spec.optimizer == "momentum":
        return keras.optimizers.SGD(momentum=0.9, **common)
    kinds = {
        "adam": keras.optimizers.Adam,
        "sgd": keras.optimizers.SGD,
        "rmsprop": keras.optimizers.RMSprop,
        "adagrad": keras.optimizers.Adagrad,
    }
    return kinds[spec.optimizer](**common)
