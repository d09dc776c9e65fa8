"""Signals, (length, channels), are trained with as images are."""

import dataclasses

import keras
import numpy as np
import pytest

from benchmark.activations import resolve
from benchmark.data.loading import Split
from benchmark.models.networks import NETWORKS, build_cnn
from benchmark.training.loop import train
from benchmark.training.spec import RunSpec
from benchmark.training.trainer import Trainer, batch_order

SHAPE, SIZE, STEPS = (40, 1), 32, 12


@pytest.fixture(scope="module")
def signals():
    draw = np.random.default_rng(0)
    x = draw.standard_normal((STEPS * SIZE, *SHAPE)).astype(np.float32)
    y = draw.integers(0, 10, len(x)).astype(np.uint8)
    return Split(x, y, x[:40], y[:40], x[:50], y[:50], 1.0, 10)


def spec(activation="relu", **settings):
    return RunSpec("mnist1d", activation, **{"seed": 7, "batch_size": SIZE, "epochs": 1} | settings)


@pytest.mark.parametrize(("activation", "length"), [("relu", 40), ("tanh", 15)])
def test_training_is_that_of_plain_keras(signals, activation, length):
    """The article's network in one dimension, of Keras's own layers, by Keras's own `fit`."""
    x = signals.x_train[:, :length]
    plain = keras.Sequential(
        [
            keras.Input((length, 1)),
            keras.layers.Conv1D(32, 3, activation=activation),
            keras.layers.Conv1D(64, 3, activation=activation),
            keras.layers.MaxPooling1D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation=activation),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model = build_cnn(resolve(activation), (length, 1), seed=7, dropout=False)
    plain.set_weights(model.get_weights())
    plain.compile(keras.optimizers.Adam(0.001, clipvalue=0.5), "categorical_crossentropy")
    order = batch_order(7, 1, len(x))
    labels = keras.utils.to_categorical(signals.y_train[order], 10)
    history = plain.fit(x[order], labels, batch_size=SIZE, shuffle=False, verbose=0)

    data = Split(
        x, *(signals.y_train, x[:9], signals.y_val[:9], x[:9], signals.y_test[:9]), 1.0, 10
    )
    *_, (steps, sums) = Trainer(spec(activation), model, data).train_epoch(1)
    assert steps == STEPS
    assert sums[0] / sums[3] == pytest.approx(history.history["loss"][0], rel=1e-5)
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_on_signals(signals, name):
    outcome = train(spec("selu", model=name), resolve("selu"), signals)
    assert outcome.status == "complete"
    assert outcome.predicted.shape == (50,)
    assert "standard_test_accuracy" not in outcome.test


def test_the_standard_test_set_is_scored_beside(signals):
    data = dataclasses.replace(signals, x_standard=signals.x_test, y_standard=signals.y_test)
    scores = train(spec(model="mlp"), resolve("relu"), data).test
    assert scores["standard_test_accuracy"] == scores["test_accuracy"]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(40, 1), (15, 1), (8, 8, 1), (28, 27, 1)])
def test_multiply_adds_are_those_of_the_layers(name, shape):
    """But for the output layer: positions of each layer times the size of its kernel."""
    model = NETWORKS[name].build(resolve("relu"), shape)
    weighted = [layer for layer in model.layers[:-1] if layer.weights]
    positions = [np.prod(layer.output.shape[1:-1], dtype=int) for layer in weighted]
    total = sum(p * np.prod(layer.kernel.shape) for p, layer in zip(positions, weighted))
    assert NETWORKS[name].multiply_adds(shape[:-1]) == total
