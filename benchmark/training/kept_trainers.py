"""Trainers kept for further runs of the same settings, so that all seeds share the compiled steps.

Importing this loads TensorFlow.
"""

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import keras
import tensorflow as tf

from benchmark.activations import Activation
from benchmark.activations.kernels import fused
from benchmark.activations.types import Elementwise
from benchmark.data.loading import Split
from benchmark.models.networks import NETWORKS
from benchmark.training.spec import RunSpec
from benchmark.training.trainer import Trainer

# Enough for the whole catalogue; TensorFlow never frees compiled functions completely.
KEPT_TRAINERS = 32


class _Kept(NamedTuple):
    entry: Activation
    data: Split
    trainer: Trainer


# By settings without seed and epochs, in the order of their last use.
_kept: dict[RunSpec, _Kept] = {}


def trainer_for(spec: RunSpec, entry: Activation, data: Split) -> Trainer:
    """Return a trainer at the start of the run.

    Where an earlier run differed only in seed and epochs, it is that run's, already compiled.
    """
    key = replace(spec, seed=0, epochs=1)
    kept = _kept.pop(key, None)
    # An entry of the catalogue is one object; a user's function has its hash in the key.
    if kept and not (kept.data is data and (kept.entry is entry or spec.activation_sha256)):
        kept = None
    with _garbage_collected():
        # Of a model for an existing trainer only the values are needed.
        form = _uncompiled if kept or spec.device == "GPU" else compiled
        activation = form(entry, spec.precision)
        shape = data.x_train.shape[1:]
        build = NETWORKS[spec.model].build
        model = build(activation, shape, data.classes, spec.seed, spec.initializer)
        if kept:
            kept.trainer.restart(spec, model)
            del model
        else:
            kept = _Kept(entry, data, Trainer(spec, model, data, entry.compiled))
    _kept[key] = kept
    while len(_kept) > KEPT_TRAINERS:
        del _kept[next(iter(_kept))]
    return kept.trainer


def forget() -> None:
    """Drop all trainers and compiled activations."""
    _kept.clear()
    fused.cache_clear()


@contextlib.contextmanager
def _garbage_collected() -> Iterator[None]:
    """Free what the block leaves in reference cycles at its end, and only that."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect(0)
        if enabled:
            gc.enable()


def compiled(entry: Activation, precision: str = "float32") -> Activation:
    """Return the entry with its function as one kernel, where it is not one in TensorFlow.

    In 16 bits it reads and writes 16 bits but computes in float32, since intermediate values of a
    composite function may overflow.
    """
    if entry.native or entry.is_layer:
        return entry
    if not entry.compiled:
        return _uncompiled(entry, precision)
    return _as_layer(entry, fused(_in_float32(entry.make, precision)))


def _uncompiled(entry: Activation, precision: str) -> Activation:
    """Return the same without the kernel: on a GPU the whole step is compiled."""
    if entry.native or entry.is_layer:
        return entry
    return _as_layer(entry, _in_float32(entry.make, precision))


def _as_layer(entry: Activation, function: Elementwise) -> Activation:
    # As a layer of its own: under the function's name Keras keeps the user's form.
    return replace(entry, is_layer=True, make=lambda seed: keras.layers.Activation(function))


def _in_float32(function: Elementwise, precision: str) -> Elementwise:
    if precision == "float32":
        return function
    return lambda x: tf.cast(function(tf.cast(x, tf.float32)), x.dtype)
