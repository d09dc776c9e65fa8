"""A model with its optimizer and compiled steps. Importing this loads TensorFlow."""

import functools
import math
from collections.abc import Callable, Iterator
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf

from benchmark.data.loading import Split
from benchmark.training.optimizers import keras_optimizer
from benchmark.training.spec import CLIP_VALUE, RunSpec

Layers: TypeAlias = list[keras.Layer]

# Steps in one compiled call: few enough for a lively display, many enough to hide Python.
CHUNK = 16
EVALUATION_BATCH = {"CPU": 128, "GPU": 2000}
# The convolutions take a batch in parts whose largest layer has this many bytes, so that a core's
# cache holds what is passed on. Fixed, since the rounding of sums depends on it.
PART_BYTES = 2_500_000
# Each part is nodes of the graph: more would take long to compile.
MOST_PARTS = 16


class CheckpointError(ValueError):
    """A checkpoint that does not fit this model, of another version of Keras for instance."""


def batch_order(seed: int, epoch: int, examples: int) -> np.ndarray:
    """Return the order of the training examples in an epoch, shape (examples,), int32.

    A function of seed and epoch alone, so that runs pair up and resume.
    """
    return np.random.default_rng([seed, epoch]).permutation(examples).astype(np.int32)


def make_optimizer(spec: RunSpec) -> keras.Optimizer:
    """Return the run's optimizer, gradients clipped by value at 0.5 as in the article.

    In mixed float16 it scales the loss, and skips steps whose gradients overflow.
    """
    # A fixed name: for each new one that Keras gives, TensorFlow would keep a kernel per variable.
    optimizer = keras_optimizer(
        spec.optimizer, spec.learning_rate, clipvalue=CLIP_VALUE, name=spec.optimizer
    )
    if spec.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale")
    return optimizer


class Trainer:
    """A model and its optimizer, with compiled steps over examples kept on the device.

    The model is a plain stack of layers. Its convolutional part, up to the first `Flatten` or the
    first layer with a state, sees each example alone: on a CPU a batch goes through it, and back,
    in parts that fit into the cache. On a GPU XLA compiles the steps, unless `compiled` is false
    because an activation fails with it.
    """

    def __init__(
        self, spec: RunSpec, model: keras.Sequential, data: Split, compiled: bool = True
    ) -> None:
        self.spec, self.model, self._data = spec, model, data
        # XLA pays on a GPU; its convolutions on a CPU are several times slower than oneDNN's.
        self._by_xla = compiled and spec.device == "GPU"
        self.optimizer = make_optimizer(spec)
        self.optimizer.build(model.trainable_variables)
        # Each variable of an optimizer starts with one value everywhere.
        self._optimizer_start = [np.ravel(value)[0] for value in self.optimizer.variables]
        self._loss = keras.losses.get(spec.loss)
        self.x, self.y = _on_device(data)
        self._head, self._tail = _divided(model.layers)
        whole, on_cpu = spec.batch_size, spec.device == "CPU"
        self._part = max(_part_size(self._head), -(-whole // MOST_PARTS)) if on_cpu else whole
        self._train_by_size: dict[int, Callable] = {}
        self._evaluate = self._compiled(self._evaluate_batch)

    def _compiled(self, function: Callable, *signature: tf.TensorSpec) -> Callable:
        return tf.function(function, jit_compile=self._by_xla, input_signature=signature or None)

    def _scores(
        self, labels: tf.Tensor, probabilities: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return loss (batch,), right or not (batch,) and binary accuracy (batch,), float64."""
        one_hot = tf.one_hot(tf.cast(labels, tf.int32), self._data.classes)
        loss = self._loss(one_hot, probabilities)
        right = tf.argmax(probabilities, -1) == tf.cast(labels, tf.int64)
        binary = tf.reduce_mean(tf.cast((probabilities > 0.5) == (one_hot > 0.5), tf.float64), -1)
        return loss, tf.cast(right, tf.float64), binary

    def _scaled(self, examples: tf.Tensor) -> tf.Tensor:
        return tf.cast(examples, tf.float32) / self._data.scale

    def _step(self, indices: tf.Tensor) -> tf.Tensor:
        """Train on the examples (batch,) and return the sums of loss, accuracies and the count."""
        labels = tf.gather(self.y, indices)
        features, gradients_of = self._features(self._scaled(tf.gather(self.x, indices)))
        with tf.GradientTape() as tape:
            tape.watch(features)
            probabilities = _through(self._tail, features, training=True)
            loss, right, binary = self._scores(labels, probabilities)
            # Scaled in float16 only, where small gradients would vanish; `apply` scales back.
            scaled = self.optimizer.scale_loss(tf.reduce_mean(loss))
        tail = _weights(self._tail)
        upstream, *gradients = tape.gradient(scaled, [features, *tail])
        weights = [*_weights(self._head), *tail]
        self.optimizer.apply([*gradients_of(upstream), *gradients], weights)
        return _sums(loss, right, binary)

    def _features(
        self, examples: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], list[tf.Tensor]]]:
        """Return the convolutional part's output, and a function from the gradient of that to the
        gradients of the part's weights.

        The order is forced: each part runs to its end before the next begins.
        """
        weights = _weights(self._head)
        done: list[tuple[tf.GradientTape, tf.Tensor]] = []
        for part in _parts(examples, self._part):
            with tf.control_dependencies([features for _, features in done[-1:]]):
                part = tf.identity(part)
            with tf.GradientTape() as tape:
                done.append((tape, _through(self._head, part, training=True)))
        features = tf.concat([features for _, features in done], 0)

        def gradients_of(upstream: tf.Tensor) -> list[tf.Tensor]:
            total: list[tf.Tensor] = []
            for (tape, features), part in zip(done, _parts(upstream, self._part)):
                with tf.control_dependencies(total):
                    part = tf.identity(part)
                gradients = tape.gradient(features, weights, part)
                total = [a + b for a, b in zip(total, gradients)] if total else gradients
            return total

        return features, gradients_of

    def _train_steps(self, batches: tf.Tensor) -> tf.Tensor:
        """Train on batches of indices, shape (steps, batch), and return the sums (4,)."""
        total = tf.zeros(4, tf.float64)
        for indices in batches:
            total += self._step(indices)
        return total

    def _train(self, batches: np.ndarray) -> np.ndarray:
        """Run `_train_steps`, compiled once for each size of batch."""
        size = batches.shape[1]
        if size not in self._train_by_size:
            signature = tf.TensorSpec((None, size), tf.int32)
            self._train_by_size[size] = self._compiled(self._train_steps, signature)
        return self._train_by_size[size](tf.constant(batches)).numpy()

    def _evaluate_batch(self, examples: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return for each example the scores (3, batch), the class and its probability."""
        probabilities = self.model(self._scaled(examples), training=False)
        loss, right, binary = self._scores(labels, probabilities)
        scores = tf.stack([tf.cast(loss, tf.float64), right, binary])
        return scores, tf.argmax(probabilities, -1), tf.reduce_max(probabilities, -1)

    def train_epoch(self, epoch: int) -> Iterator[tuple[int, np.ndarray]]:
        """Train for an epoch (counted from 1); yield after each chunk steps done and sums (4,)."""
        size = self.spec.batch_size
        order = batch_order(self.spec.seed, epoch, len(self._data.x_train))
        whole = len(order) // size
        chunks = [
            order[first * size : min(first + CHUNK, whole) * size].reshape(-1, size)
            for first in range(0, whole, CHUNK)
        ]
        if len(order) % size:
            chunks.append(order[None, whole * size :])
        steps, total = 0, np.zeros(4)
        for chunk in chunks:
            total += self._train(chunk)
            steps += len(chunk)
            yield steps, total

    def evaluate(self, examples: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
        """Score (n, …) examples, as in `Split`: sums (4,), classes (n,), probabilities (n,)."""
        size, parts = EVALUATION_BATCH[self.spec.device], []
        for first in range(0, len(examples), size):
            # The last batch is filled up with its last example: one shape, compiled once.
            rows = np.minimum(np.arange(first, first + size), len(examples) - 1)
            parts.append([part.numpy() for part in self._evaluate(examples[rows], labels[rows])])
        scores, classes, tops = (
            np.concatenate(kind, -1)[..., : len(examples)] for kind in zip(*parts)
        )
        return np.append(scores.sum(1), len(examples)), classes, tops

    def _variables(self) -> list[keras.Variable]:
        # A layer's `variables`, unlike its `weights`, hold its seed generator's state.
        return [*self.model.variables, *self.optimizer.variables]

    def arrays(self) -> list[np.ndarray]:
        """Return every variable of model and optimizer."""
        return [np.asarray(variable) for variable in self._variables()]

    def restart(self, spec: RunSpec, model: keras.Sequential) -> None:
        """Go to the start of another run: the same but for its seed and epochs.

        `model` is as it was built for that run; its values are copied.
        """
        self.spec = spec
        for variable, value in zip(self.model.variables, model.variables, strict=True):
            variable.assign(value)
        for variable, value in zip(self.optimizer.variables, self._optimizer_start, strict=True):
            variable.assign(np.full(variable.shape, value))

    def restore(self, arrays: list[np.ndarray]) -> None:
        """Set every variable.

        Raises:
            CheckpointError: the arrays are not those of this model and optimizer.
        """
        variables = self._variables()
        forms = [(array.shape, array.dtype) for array in self.arrays()]
        if forms != [(array.shape, array.dtype) for array in arrays]:
            raise CheckpointError(
                "the checkpoint's arrays are not those of this model and optimizer"
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)


def _divided(layers: Layers) -> tuple[Layers, Layers]:
    """Return the layers that see each example alone and have no state, and those from there on."""
    for index, layer in enumerate(layers):
        # A state is of noise, or of statistics over the batch.
        if isinstance(layer, keras.layers.Flatten) or layer.non_trainable_variables:
            return layers[:index], layers[index:]
    return [], layers


def _part_size(head: Layers) -> int:
    """Return the number of examples in a part."""
    values = max((math.prod(layer.output.shape[1:]) for layer in head), default=1)
    return max(1, PART_BYTES // (4 * values))


def _parts(batch: tf.Tensor, size: int) -> list[tf.Tensor]:
    whole, rest = divmod(batch.shape[0], size)
    sizes = [size] * whole
    return tf.split(batch, [*sizes, rest] if rest else sizes)


def _through(layers: Layers, values: tf.Tensor, training: bool) -> tf.Tensor:
    for layer in layers:
        values = layer(values, training=training)
    return values


def _weights(layers: Layers) -> list[keras.Variable]:
    return [weight for layer in layers for weight in layer.trainable_variables]


@functools.lru_cache(maxsize=1)
def _on_device(data: Split) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the training examples and labels as tensors, the same ones for every run on them."""
    return tf.constant(data.x_train), tf.constant(data.y_train)


def _sums(loss: tf.Tensor, right: tf.Tensor, binary: tf.Tensor) -> tf.Tensor:
    columns = [tf.cast(loss, tf.float64), right, binary, tf.ones_like(right)]
    return tf.reduce_sum(tf.stack(columns), axis=1)
