"""Small dense networks, many of one shape computed side by side, for the experiments.

Every array has a leading axis of n networks: they differ in seed, learning rate or scale of the
initial weights, and one operation serves all of them. Importing this loads TensorFlow.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from benchmark.activations import ALPHA_DROPOUT, GLOROT, Activation
from benchmark.models import layers
from benchmark.models.networks import ACTIVATION, DROPOUT, WEIGHTS, derived_seed
from benchmark.training.optimizers import keras_optimizer
from benchmark.training.trainer import batch_order

# As in Keras's BatchNormalization.
_MOMENTUM, _EPSILON = 0.99, 1e-3


@dataclass(frozen=True)
class Pass:
    """What a forward pass leaves, one tensor (n, batch, units) per hidden layer.

    `pre` holds the pre-activations z = h W + b (before batch normalization, where there is some),
    `post` the layer's outputs (after dropout, in training), `logits` (n, batch, classes).
    """

    pre: list[tf.Tensor]
    post: list[tf.Tensor]
    logits: tf.Tensor


@dataclass(frozen=True)
class Gradients:
    """Losses (n,) and their gradients.

    `kernels` and `biases` have one per layer, the output layer last, shaped as these are; `pre`
    one per hidden layer, (n, batch, units), of the batch's mean loss; `all` one for each of
    `Networks.variables`.
    """

    losses: tf.Tensor
    kernels: list[tf.Tensor]
    biases: list[tf.Tensor]
    pre: list[tf.Tensor]
    all: list[tf.Tensor]


@dataclass(frozen=True)
class Steps:
    """What happened in the steps of an epoch, in their order.

    `losses` (steps, n), of the batch before its step; `gradient_norms` and `update_norms`
    (steps, n, layers), Euclidean, of each layer's kernel; gradients before clipping, updates as
    they were made.
    """

    losses: np.ndarray
    gradient_norms: np.ndarray
    update_norms: np.ndarray


class Networks:
    """Dense networks: inputs → hidden layers with the activation → logits.

    With the same seed and widths the initial weights are those of `models.networks.build_mlp`.

    Args:
        entry: the activation after each hidden layer.
        widths: units of the inputs, of each hidden layer, and of the output.
        seeds: one per network.
        initializer: Keras name, for the hidden layers, or one per network; None is the entry's
            own. The output layer keeps Glorot.
        gain: initial weights, those of the output included, are multiplied by it; a number or
            one per network.
        batch_norm: normalize each hidden layer's pre-activations (Ioffe & Szegedy 2015).
        dropout: rate after each hidden layer, of the kind that the entry asks for.
        dtype: "float32" or, for checks, "float64".

    Attributes:
        kernels, biases: variables of shapes (n, inputs, units) and (n, 1, units), one per layer,
            the output layer last.
        variables: all that is trained.
    """

    def __init__(
        self,
        entry: Activation,
        widths: Sequence[int],
        seeds: Sequence[int],
        *,
        initializer: str | Sequence[str] | None = None,
        gain: float | Sequence[float] = 1.0,
        batch_norm: bool = False,
        dropout: float = 0.0,
        dtype: str = "float32",
    ) -> None:
        self.entry, self.seeds, self.dtype = entry, list(seeds), dtype
        self.n, self.depth = len(self.seeds), len(widths) - 2
        gains = np.broadcast_to(np.asarray(gain, float), self.n)
        kinds = np.broadcast_to(np.asarray(initializer or entry.initializer), self.n).tolist()
        self.kernels, self.biases = [], []
        for number, (fan_in, units) in enumerate(itertools.pairwise(widths), start=1):
            hidden = number <= self.depth
            units *= entry.pieces if hidden else 1
            drawn = [
                self._drawn(seed, kind if hidden else GLOROT, number, (fan_in, units))
                for seed, kind in zip(self.seeds, kinds)
            ]
            kernel = np.stack([scale * values for scale, values in zip(gains, drawn)])
            self.kernels.append(tf.Variable(kernel, dtype=dtype))
            self.biases.append(tf.Variable(np.zeros((self.n, 1, units)), dtype=dtype))
        self._norms = [self._norm(bias.shape) for bias in self.biases[:-1]] if batch_norm else []
        self._layers = [self._activations(number) for number in range(1, self.depth + 1)]
        self._dropouts = [self._dropout(number, dropout) for number in range(1, self.depth + 1)]
        scales = [part for norm in self._norms for part in norm[:2]]
        own = [v for row in self._layers for layer in row for v in layer.trainable_variables]
        self.variables = [*self.kernels, *self.biases, *scales, *own]
        # One network's slopes, say, have no axis of networks.
        self.own_variables = own
        # A function is compiled for each set of networks, which TensorFlow would warn about.
        tf.get_logger().setLevel("ERROR")
        self._evaluate = tf.function(self._evaluate_batch, reduce_retracing=True)

    def _drawn(self, seed: int, kind: str, number: int, shape: tuple[int, int]) -> np.ndarray:
        config = {"seed": derived_seed(seed, WEIGHTS, number)}
        initializer = keras.initializers.get({"class_name": kind, "config": config})
        return np.asarray(initializer(shape), float)

    def _norm(self, shape: Sequence[int]) -> list[tf.Variable]:
        """Return γ, β, moving mean and moving variance, (n, 1, units) each."""
        starts = (tf.ones, tf.zeros, tf.zeros, tf.ones)
        return [
            tf.Variable(start(shape, self.dtype), trainable=index < 2)
            for index, start in enumerate(starts)
        ]

    def _activations(self, number: int) -> list[keras.Layer]:
        """Return the layer's activation as one Keras layer per network; none for a function."""
        if not self.entry.is_layer:
            return []
        activations = [
            self.entry.make(derived_seed(seed, ACTIVATION, number)) for seed in self.seeds
        ]
        for layer in activations:
            layer.build((None, self.kernels[number - 1].shape[-1]))
        return activations

    def _dropout(self, number: int, rate: float) -> list[keras.Layer]:
        """Return one dropout layer per network, seeded as in the comparison; none without a rate.

        Each network then has the same masks whatever the others are.
        """
        if not rate:
            return []
        kind = layers.AlphaDropout if self.entry.dropout == ALPHA_DROPOUT else layers.Dropout
        return [kind(rate, seed=derived_seed(seed, DROPOUT, number)) for seed in self.seeds]

    def forward(self, x: ArrayLike, training: bool = False) -> Pass:
        """Compute (batch, inputs), or (n, batch, inputs) with examples of each network's own."""
        h = tf.convert_to_tensor(x, self.dtype)
        h = h[None] if h.shape.rank == 2 else h
        pre, post = [], []
        for layer in range(self.depth):
            z = tf.matmul(h, self.kernels[layer]) + self.biases[layer]
            pre.append(z)
            h = self._activated(layer, self._normalized(layer, z, training), training)
            if training and self._dropouts[layer]:
                each = zip(self._dropouts[layer], tf.unstack(h, self.n))
                h = tf.stack([dropout(values, training=True) for dropout, values in each])
            post.append(h)
        return Pass(pre, post, tf.matmul(h, self.kernels[-1]) + self.biases[-1])

    def _normalized(self, layer: int, z: tf.Tensor, training: bool) -> tf.Tensor:
        if not self._norms:
            return z
        scale, shift, mean, variance = self._norms[layer]
        if not training:
            return tf.nn.batch_normalization(z, mean, variance, shift, scale, _EPSILON)
        moments = tf.nn.moments(z, axes=[1], keepdims=True)
        for moving, now in zip((mean, variance), moments):
            moving.assign(_MOMENTUM * moving + (1 - _MOMENTUM) * tf.stop_gradient(now))
        return tf.nn.batch_normalization(z, *moments, shift, scale, _EPSILON)

    def _activated(self, number: int, z: tf.Tensor, training: bool) -> tf.Tensor:
        if not self._layers[number]:
            return self.entry.make(z)
        each = [layer(z[i], training=training) for i, layer in enumerate(self._layers[number])]
        return tf.stack(each)

    def gradients(self, x: ArrayLike, y: ArrayLike, training: bool = False) -> Gradients:
        """Return the mean cross-entropy of a batch with labels (batch,) or (n, batch), and its
        gradients."""
        with tf.GradientTape() as tape:
            passed = self.forward(x, training)
            losses = _cross_entropy(passed.logits, y)
            # Each network's gradients depend on its own loss alone.
            total = tf.reduce_sum(losses)
        everything, pre = tape.gradient(
            total, [self.variables, passed.pre], unconnected_gradients="zero"
        )
        n_layers = len(self.kernels)
        kernels, biases = everything[:n_layers], everything[n_layers : 2 * n_layers]
        return Gradients(losses, kernels, biases, pre, everything)

    def _evaluate_batch(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = self.forward(x).logits
        right = tf.argmax(logits, -1) == tf.broadcast_to(y, tf.shape(logits)[:2])
        return _cross_entropy(logits, y), tf.reduce_mean(tf.cast(right, tf.float64), 1)

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean loss (n,) and accuracy (n,) on (examples, inputs) with labels (examples,)."""
        x, y = tf.constant(x, self.dtype), tf.constant(y, tf.int64)
        return tuple(part.numpy() for part in self._evaluate(x, y))


def _cross_entropy(logits: tf.Tensor, y: ArrayLike) -> tf.Tensor:
    """Return each network's mean over the batch, (n,)."""
    labels = tf.broadcast_to(tf.cast(y, tf.int64), tf.shape(logits)[:2])
    each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(each, axis=1)


def clip_by_value(gradients: list[tf.Tensor], limit: float) -> list[tf.Tensor]:
    """Limit every component to ±limit, as Keras's `clipvalue` does."""
    return [tf.clip_by_value(gradient, -limit, limit) for gradient in gradients]


def clip_by_norm(gradients: list[tf.Tensor], limit: float) -> list[tf.Tensor]:
    """Limit the norm of each network's gradient of each variable, as Keras's `clipnorm` does."""
    # Those of one network's slopes, say, have no axis of networks.
    return [
        tf.clip_by_norm(g, limit, axes=(1, 2) if len(g.shape) == 3 else None) for g in gradients
    ]


def stacked_optimizer(name: str, rates: ArrayLike, variables: list[tf.Variable]) -> keras.Optimizer:
    """Return an optimizer of these variables whose learning rates broadcast against each of them.

    `rates` is a number, or (n, 1, 1) for variables that have a leading axis of n networks.
    """
    # A variable, not a constant: TensorFlow would fold that into other constants, which rounds
    # differently.
    learning_rates = tf.Variable(rates, dtype=variables[0].dtype, trainable=False)
    optimizer = keras_optimizer(name, lambda: learning_rates)
    optimizer.build(variables)
    return optimizer


class Training:
    """Trains networks on examples, each in the batch order of its seed, as the comparison does.

    Args:
        networks: what is trained.
        x, y: examples (examples, inputs) and their classes (examples,).
        optimizer: "sgd", "momentum" (0.9), "adagrad", "rmsprop" or "adam", Keras's own.
        learning_rate: a number or one per network.
        batch_size: examples per step; an epoch's last batch may be smaller.
        clip: what to do with the list of gradients before the step.
        watch: record the norms of gradients and updates; without, `Steps` has zeros there.
    """

    def __init__(
        self,
        networks: Networks,
        x: np.ndarray,
        y: np.ndarray,
        *,
        optimizer: str = "sgd",
        learning_rate: float | Sequence[float] = 0.01,
        batch_size: int = 128,
        clip: Callable[[list[tf.Tensor]], list[tf.Tensor]] | None = None,
        watch: bool = False,
    ) -> None:
        self.networks, self._clip, self._watch = networks, clip, watch
        self._x, self._y = tf.constant(x, networks.dtype), tf.constant(y, tf.int64)
        self._batch_size, self._epoch = batch_size, 0
        rates = np.broadcast_to(np.asarray(learning_rate, float), networks.n)
        own = {id(variable) for variable in networks.own_variables}
        shared = [v for v in networks.variables if id(v) not in own]
        # Keras multiplies by the rate: one per network broadcasts along the leading axis.
        self._parts = [(stacked_optimizer(optimizer, rates.reshape(-1, 1, 1), shared), shared)]
        if own:
            each = len(networks.own_variables) // (networks.n * networks.depth)
            for i, rate in enumerate(rates):
                mine = [
                    variable
                    for index, variable in enumerate(networks.own_variables)
                    if index // each % networks.n == i
                ]
                self._parts.append((stacked_optimizer(optimizer, rate, mine), mine))
        signature = tf.TensorSpec((None, networks.n, None), tf.int32)
        self._run = tf.function(self._steps, input_signature=[signature])

    def epoch(self) -> Steps:
        """Train for an epoch and return what happened in its steps."""
        self._epoch += 1
        count, size = len(self._y), self._batch_size
        orders = np.stack([batch_order(s, self._epoch, count) for s in self.networks.seeds])
        whole = count // size
        batches = orders[:, : whole * size].reshape(len(orders), whole, size).swapaxes(0, 1)
        chunks = [batches] if whole else []
        if count % size:
            chunks.append(orders[None, :, whole * size :])
        parts = [[part.numpy() for part in self._run(tf.constant(chunk))] for chunk in chunks]
        return Steps(*(np.concatenate(kind) for kind in zip(*parts)))

    def epochs(self, count: int) -> Iterator[Steps]:
        """Train for so many epochs, one at each step of the iteration."""
        return (self.epoch() for _ in range(count))

    def _steps(self, batches: tf.Tensor) -> tuple[tf.Tensor, ...]:
        steps, dtype = tf.shape(batches)[0], self.networks.dtype
        arrays = [tf.TensorArray(dtype, steps) for _ in range(3)]
        for step in tf.range(steps):
            values = self._step(batches[step])
            arrays = [array.write(step, value) for array, value in zip(arrays, values)]
        return tuple(array.stack() for array in arrays)

    def _step(self, indices: tf.Tensor) -> tuple[tf.Tensor, ...]:
        x, y = tf.gather(self._x, indices), tf.gather(self._y, indices)
        result = self.networks.gradients(x, y, training=True)
        gradients = self._clip(result.all) if self._clip else result.all
        by_variable = {id(v): g for v, g in zip(self.networks.variables, gradients)}
        kernels = self.networks.kernels
        before = [tf.identity(kernel) for kernel in kernels] if self._watch else []
        with tf.control_dependencies(before):
            for optimizer, variables in self._parts:
                optimizer.apply([by_variable[id(v)] for v in variables], variables)
        nothing = tf.zeros((self.networks.n, len(kernels)), self.networks.dtype)
        if not self._watch:
            return result.losses, nothing, nothing
        updates = [kernel - old for kernel, old in zip(kernels, before)]
        return result.losses, _norms(result.kernels), _norms(updates)


def _norms(arrays: list[tf.Tensor]) -> tf.Tensor:
    """Return each network's Euclidean norm of each array, (n, arrays)."""
    return tf.stack([tf.norm(array, axis=(1, 2)) for array in arrays], axis=1)
