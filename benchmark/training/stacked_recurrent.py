"""Small recurrent networks, many of one shape computed side by side, for the experiments.

Importing this loads TensorFlow.
"""

import itertools
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from benchmark.activations import GLOROT, Activation
from benchmark.activations.kernels import fused
from benchmark.models.networks import ACTIVATION, WEIGHTS, derived_seed
from benchmark.training.stacked import clip_by_norm, stacked_optimizer

ORTHOGONAL, IDENTITY = "orthogonal", "identity"
CLIP_NORM = 1.0  # of each variable's gradient, against explosion
_GATES = {"lstm": 4, "gru": 3}
_AT_ONCE = 200  # sequences to evaluate: more would fill the memory


class RecurrentNetworks:
    """Recurrent networks: sequences → one recurrent layer → its last state → logits.

    There is one for each learning rate and seed, in this order. Sequences are (time, seeds,
    batch, inputs): a stream per seed, the same at each of its rates. Initial weights are drawn as
    Keras's layers do (Glorot, orthogonal; the forget gate's bias is 1), and are the same for all
    networks of one seed and shape.

    Args:
        cell: "simple", h' = f(x W + h U + b), or "lstm" or "gru" with Keras's equations.
        entry: the activation f of a simple cell; the others have tanh and sigmoid as usual.
        widths: inputs, units, classes.
        seeds: of the weights.
        rates: learning rates, of Adam.

    Attributes:
        variables: W, U, b, the output's kernel and bias, and the GRU's bias inside its reset gate;
            each has a leading axis of n networks.
    """

    def __init__(
        self,
        cell: str,
        entry: Activation,
        widths: tuple[int, int, int],
        seeds: Sequence[int],
        rates: Sequence[float],
    ) -> None:
        self.cell, self.entry, self.rates, self._widths = cell, entry, list(rates), widths
        self.units, pairs = widths[1], list(itertools.product(rates, seeds))
        self.n, self._seeds = len(pairs), [seed for _, seed in pairs]
        self._width = self.units * _GATES.get(cell, entry.pieces)
        self._layers = self._activations()
        self.variables = [tf.Variable(values, dtype="float32") for values in self._start()]
        self._optimizers = self._adam_optimizers([rate for rate, _ in pairs])
        others = [v for layer in self._layers for v in layer.variables]
        others += [v for adam, _ in self._optimizers for v in adam.variables]
        self._others = [(variable, np.asarray(variable)) for variable in others]
        # A function is compiled for each set of networks, which TensorFlow would warn about.
        tf.get_logger().setLevel("ERROR")
        self._gradients = tf.function(self._loss_gradients, jit_compile=self._compiles())
        self._run = tf.function(self._steps, reduce_retracing=True)

    def _start(self, recurrent: str = ORTHOGONAL, forget_bias: float = 1.0) -> list[np.ndarray]:
        inputs, units, classes = self._widths
        shapes = (
            (GLOROT, (inputs, self._width)),
            (recurrent, (units, self._width)),
            (GLOROT, (units, classes)),
        )
        kernel, u, output = (
            np.stack([_drawn(kind, seed, number, shape) for seed in self._seeds])
            for number, (kind, shape) in enumerate(shapes)
        )
        bias = np.zeros((self.n, 1, self._width))
        inner = [np.zeros_like(bias)] if self.cell == "gru" else []
        if self.cell == "lstm":
            bias[..., units : 2 * units] = forget_bias
        return [kernel, u, bias, output, np.zeros((self.n, 1, classes)), *inner]

    def restart(self, recurrent: str = ORTHOGONAL, forget_bias: float = 1.0) -> None:
        """Go to initial weights, as if nothing had been learned; compiled functions stay.

        Args:
            recurrent: "orthogonal", or "identity" for U = 1 (Le, Jaitly & Hinton 2015,
                arXiv:1504.00941).
            forget_bias: of the LSTM's forget gate.
        """
        for variable, value in zip(self.variables, self._start(recurrent, forget_bias)):
            variable.assign(value)
        for variable, value in self._others:
            variable.assign(value)

    def _activations(self) -> list[keras.Layer]:
        """Return a Keras layer per network where the activation has weights or noise."""
        if self.cell != "simple" or not self.entry.is_layer:
            return []
        activations = [self.entry.make(derived_seed(seed, ACTIVATION, 1)) for seed in self._seeds]
        for layer in activations:
            layer.build((None, self._width))
        return activations

    def _adam_optimizers(
        self, rates: Sequence[float]
    ) -> list[tuple[keras.Optimizer, list[tf.Variable]]]:
        """Return Adam for the common variables, and one for each network's own."""
        parts = [(np.reshape(rates, (-1, 1, 1)), self.variables)]
        parts += [
            (np.asarray(rate), layer.trainable_variables)
            for rate, layer in zip(rates, self._layers)
        ]
        return [(stacked_optimizer("adam", rate, own), own) for rate, own in parts if own]

    def _compiles(self) -> bool:
        """Whether XLA can compile the step, which makes it several times as fast."""
        if self.cell != "simple" or self.entry.native:
            return True
        if self.entry.is_layer:
            # The state of a noise generator cannot change within a compiled loop.
            return not any(layer.non_trainable_variables for layer in self._layers)
        return self.entry.compiled and fused(self.entry.make) is not self.entry.make

    def _activated(self, z: tf.Tensor, training: bool) -> tf.Tensor:
        if not self._layers:
            return self.entry.make(z)
        each = [layer(z[i], training=training) for i, layer in enumerate(self._layers)]
        return tf.cast(tf.stack(each), z.dtype)

    def _step(
        self, h: tf.Tensor, c: tf.Tensor, z: tf.Tensor, weights: list[tf.Tensor], training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the next hidden and cell state; z is x W + b. Only an LSTM has a cell state."""
        inner = tf.matmul(h, weights[1])
        if self.cell == "gru":
            # Cho et al. 2014, arXiv:1406.1078, eqs. 5 to 8; the reset after the product, as in
            # Keras.
            z_update, z_reset, z_new = tf.split(z, 3, axis=-1)
            h_update, h_reset, h_new = tf.split(inner + weights[5], 3, axis=-1)
            update = tf.sigmoid(z_update + h_update)
            new = tf.tanh(z_new + tf.sigmoid(z_reset + h_reset) * h_new)
            return update * h + (1 - update) * new, c
        if self.cell == "lstm":
            # Gers, Schmidhuber & Cummins 2000, Learning to forget.
            write, keep, new, read = tf.split(z + inner, 4, axis=-1)
            c = tf.sigmoid(keep) * c + tf.sigmoid(write) * tf.tanh(new)
            return tf.sigmoid(read) * tf.tanh(c), c
        return self._activated(z + inner, training), c

    def _begin(self, x: ArrayLike, dtype: str) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
        """Return the weights, x W + b of all steps of time and the zero state."""
        weights = [tf.cast(variable, dtype) for variable in self.variables]
        inputs = tf.tile(tf.cast(x, dtype), (1, len(self.rates), 1, 1))
        state = tf.zeros((self.n, inputs.shape[2], self.units), dtype)
        return weights, tf.matmul(inputs, weights[0]) + weights[2], state

    def logits(self, x: ArrayLike, training: bool = False) -> tf.Tensor:
        """Return the logits (n, batch, classes) of sequences (time, seeds, batch, inputs)."""
        weights, z, h = self._begin(x, "float32")
        c = h
        for t in tf.range(z.shape[0]):
            h, c = self._step(h, c, z[t], weights, training)
        return tf.matmul(h, weights[3]) + weights[4]

    def _loss_gradients(self, x: tf.Tensor, y: tf.Tensor) -> list[list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            labels = tf.tile(y, (len(self.rates), 1))
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, self.logits(x, True))
            # Each network's gradients depend on its own loss alone.
            total = tf.reduce_sum(tf.reduce_mean(each, axis=1))
        return tape.gradient(total, [variables for _, variables in self._optimizers])

    def _steps(self, x: tf.Tensor, y: tf.Tensor) -> None:
        for step in tf.range(tf.shape(x)[0]):
            common, *own = self._gradients(x[step], y[step])
            parts = [clip_by_norm(common, CLIP_NORM)]
            parts += [[tf.clip_by_norm(g, CLIP_NORM) for g in part] for part in own]
            for (adam, variables), gradients in zip(self._optimizers, parts):
                adam.apply(gradients, variables)

    def train(self, x: np.ndarray, y: np.ndarray) -> None:
        """Make a step with each batch: (steps, time, seeds, batch, inputs), (steps, seeds, batch).

        The loss is the mean cross-entropy after the last step of time.
        """
        self._run(tf.constant(x), tf.constant(y))

    def accuracy(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the shares of right answers, (rates, seeds), on (time, seeds, batch, inputs)."""
        parts = [
            tf.argmax(self.logits(x[:, :, first : first + _AT_ONCE]), -1).numpy()
            for first in range(0, x.shape[2], _AT_ONCE)
        ]
        said = np.concatenate(parts, axis=1).reshape(len(self.rates), *y.shape)
        return (said == y).mean(-1)

    def gradients(self, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
        """Return the norms of the right logit's gradient with respect to each earlier state.

        By state, "hidden" and in an LSTM "cell": arrays (time, rates, seeds), the last step first;
        Euclidean norms, means over the sequences, in float64 since they may fall below 1e-38.
        """
        with tf.GradientTape() as tape:
            weights, z, h = self._begin(x, "float64")
            c, states = h, []
            for now in tf.unstack(z):
                h, c = self._step(h, c, now, weights, False)
                states.append((h, c))
            labels = tf.tile(y, (len(self.rates), 1))
            total = tf.reduce_sum(tf.gather(tf.matmul(h, weights[3]), labels, batch_dims=2))
        kinds = ("hidden", "cell") if self.cell == "lstm" else ("hidden",)
        wanted = {kind: list(parts) for kind, parts in zip(kinds, zip(*states))}
        found = tape.gradient(total, wanted, unconnected_gradients="zero")
        return {kind: self._norms(parts) for kind, parts in found.items()}

    def _norms(self, gradients: list[tf.Tensor]) -> np.ndarray:
        """Return (time, rates, seeds), the last step first, of (n, batch, units) for each step."""
        norms = tf.reduce_mean(tf.norm(tf.stack(gradients), axis=-1), axis=-1).numpy()
        return norms[::-1].reshape(len(norms), len(self.rates), -1)


def _drawn(kind: str, seed: int, number: int, shape: tuple[int, int]) -> np.ndarray:
    """Return initial weights: ones on the diagonal, or drawn by Keras's initializer."""
    if kind == IDENTITY:
        return np.eye(*shape)
    config = {"seed": derived_seed(seed, WEIGHTS, number)}
    initializer = keras.initializers.get({"class_name": kind, "config": config})
    return np.asarray(initializer(shape), float)
