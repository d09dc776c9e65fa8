"""One run, from `RunSpec` to history. Importing this loads TensorFlow."""

import contextlib
import gc
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmark.activations import Activation
from benchmark.config import CLIP_VALUE, RunSpec
from benchmark.datasets import Split
from benchmark.errors import RequestError
from benchmark.kernels import fused
from benchmark.models import BUILDERS

# Steps in one compiled call: few enough for a lively display, many enough to hide Python.
CHUNK = 16
EVALUATION_BATCH = 500

Row = dict[str, float]


class CheckpointError(ValueError):
    """A checkpoint that this model cannot go on from, of another version of Keras for instance."""


@dataclass
class Checkpoint:
    """A run after its last complete epoch.

    `rows` holds one dictionary per epoch, `arrays` every variable of model and optimizer: weights,
    moments, step counter and the states of the seed generators.
    """

    rows: list[Row] = field(default_factory=list)
    arrays: list[np.ndarray] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """A finished run: "complete", or "diverged" where a loss became non-finite.

    `test` holds test_loss, test_accuracy and test_binary_accuracy; `predicted` (n,) classes and
    `probability` (n,) theirs, for each test image. All three are empty for a diverged run.
    """

    status: str
    rows: list[Row]
    test: dict[str, float]
    predicted: np.ndarray
    probability: np.ndarray
    parameters: int


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
    # Reduced precision is never chosen silently.
    config.experimental.enable_tensor_float_32_execution(False)
    if deterministic:
        config.experimental.enable_op_determinism()
    return True


def make_optimizer(spec: RunSpec) -> keras.Optimizer:
    """Return the run's optimizer, gradients clipped by value at 0.5 as in the article."""
    rate = {"learning_rate": spec.learning_rate, "clipvalue": CLIP_VALUE}
    if spec.optimizer == "momentum":
        return keras.optimizers.SGD(momentum=0.9, **rate)
    kinds = {
        "adam": keras.optimizers.Adam,
        "sgd": keras.optimizers.SGD,
        "rmsprop": keras.optimizers.RMSprop,
        "adagrad": keras.optimizers.Adagrad,
    }
    return kinds[spec.optimizer](**rate)


def batch_order(seed: int, epoch: int, examples: int) -> np.ndarray:
    """Return the order of the training examples in an epoch, shape (examples,), int32.

    A function of seed and epoch alone, so that runs pair up and resume.
    """
    return np.random.default_rng([seed, epoch]).permutation(examples).astype(np.int32)


class Trainer:
    """A model and its optimizer, with compiled steps over images kept on the device as uint8."""

    def __init__(self, spec: RunSpec, model: keras.Model, data: Split) -> None:
        self.spec, self.model, self._data = spec, model, data
        self.optimizer = make_optimizer(spec)
        self.optimizer.build(model.trainable_variables)
        self._loss = keras.losses.get(spec.loss)
        self._x, self._y = tf.constant(data.x_train), tf.constant(data.y_train)
        # XLA pays on a GPU; its convolutions on a CPU are several times slower than oneDNN's.
        graph = tf.function(jit_compile=spec.device == "GPU")
        self._train = graph(self._train_steps)
        self._evaluate = graph(self._evaluate_batch)

    def _scores(self, labels: Any, probabilities: Any) -> tuple[Any, Any, Any]:
        """Return loss (batch,), right or not (batch,) and binary accuracy (batch,), float64."""
        one_hot = tf.one_hot(tf.cast(labels, tf.int32), self._data.classes)
        loss = self._loss(one_hot, probabilities)
        right = tf.argmax(probabilities, -1) == tf.cast(labels, tf.int64)
        binary = tf.reduce_mean(tf.cast((probabilities > 0.5) == (one_hot > 0.5), tf.float64), -1)
        return loss, tf.cast(right, tf.float64), binary

    def _pixels(self, images: Any) -> Any:
        return tf.cast(images, tf.float32) / self._data.scale

    def _step(self, indices: Any) -> Any:
        """Train on the images (batch,) and return the sums of loss, accuracies and the count."""
        labels = tf.gather(self._y, indices)
        with tf.GradientTape() as tape:
            probabilities = self.model(self._pixels(tf.gather(self._x, indices)), training=True)
            loss, right, binary = self._scores(labels, probabilities)
            mean_loss = tf.reduce_mean(loss)
        weights = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(mean_loss, weights), weights)
        return _sums(loss, right, binary)

    def _train_steps(self, batches: Any) -> Any:
        """Train on batches of indices, shape (steps, batch), and return the sums (4,)."""
        total = tf.zeros(4, tf.float64)
        for indices in batches:
            total += self._step(indices)
        return total

    def _evaluate_batch(self, images: Any, labels: Any) -> tuple[Any, Any, Any]:
        probabilities = self.model(self._pixels(images), training=False)
        sums = _sums(*self._scores(labels, probabilities))
        return sums, tf.argmax(probabilities, -1), tf.reduce_max(probabilities, -1)

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
            total += self._train(tf.constant(chunk)).numpy()
            steps += len(chunk)
            yield steps, total

    def evaluate(self, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
        """Score (n, height, width, 1) images: sums (4,), classes (n,), probabilities (n,)."""
        total, classes, tops = np.zeros(4), [], []
        for first in range(0, len(images), EVALUATION_BATCH):
            part = slice(first, first + EVALUATION_BATCH)
            sums, predicted, top = self._evaluate(tf.constant(images[part]), labels[part])
            total += sums.numpy()
            classes.append(predicted.numpy())
            tops.append(top.numpy())
        return total, np.concatenate(classes), np.concatenate(tops)

    def _variables(self) -> list[Any]:
        # A layer's `variables`, unlike its `weights`, hold its seed generator's state.
        return [*self.model.variables, *self.optimizer.variables]

    def arrays(self) -> list[np.ndarray]:
        """Return every variable of model and optimizer."""
        return [np.asarray(variable) for variable in self._variables()]

    def restore(self, arrays: list[np.ndarray]) -> None:
        """Set every variable.

        Raises:
            CheckpointError: the arrays are not those of this model and optimizer.
        """
        variables = self._variables()
        shapes = [tuple(variable.shape) for variable in variables]
        if shapes != [array.shape for array in arrays]:
            raise CheckpointError(
                "the checkpoint's arrays are not those of this model and optimizer"
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)


def _sums(loss: Any, right: Any, binary: Any) -> Any:
    columns = [tf.cast(loss, tf.float64), right, binary, tf.ones_like(right)]
    return tf.reduce_sum(tf.stack(columns), axis=1)


def _means(prefix: str, sums: np.ndarray) -> Row:
    loss, accuracy, binary = (float(value) for value in sums[:3] / sums[3])
    return {
        f"{prefix}loss": loss,
        f"{prefix}accuracy": accuracy,
        f"{prefix}binary_accuracy": binary,
    }


def train(
    spec: RunSpec,
    entry: Activation,
    data: Split,
    resume: Checkpoint | None = None,
    on_epoch: Callable[[Checkpoint], None] = lambda checkpoint: None,
    on_steps: Callable[[int, int, float], None] = lambda epoch, steps, loss: None,
) -> Outcome:
    """Train one run to its end.

    Args:
        spec: what to train; its threads and device must have been set with `configure`.
        entry: the activation of that name.
        data: images and labels, as `datasets.split` returns them.
        resume: where an earlier, interrupted call stopped.
        on_epoch: called after each epoch with what is needed to go on from there.
        on_steps: called now and then with the epoch, its steps done and its running loss.

    Raises:
        CheckpointError: `resume` belongs to another model.
    """
    with keras_defaults():
        return _train(spec, entry, data, resume, on_epoch, on_steps)


@contextlib.contextmanager
def keras_defaults() -> Iterator[None]:
    """Set Keras's global settings to its defaults, whatever the user's configuration says.

    They decide the numbers: float32, channels last.

    Raises:
        RequestError: Keras runs on another backend than TensorFlow.
    """
    if keras.config.backend() != "tensorflow":
        raise RequestError(
            f"Keras runs on {keras.config.backend()!r} here: set KERAS_BACKEND=tensorflow"
        )
    kept = (
        (keras.config.set_floatx, keras.config.floatx()),
        (keras.config.set_image_data_format, keras.config.image_data_format()),
        (keras.config.set_dtype_policy, keras.config.dtype_policy()),
    )
    try:
        for (restore, _), value in zip(kept, ("float32", "channels_last", "float32")):
            restore(value)
        yield
    finally:
        for restore, value in kept:
            restore(value)


def _train(
    spec: RunSpec,
    entry: Activation,
    data: Split,
    resume: Checkpoint | None,
    on_epoch: Callable[[Checkpoint], None],
    on_steps: Callable[[int, int, float], None],
) -> Outcome:
    height, width, channels = data.x_train.shape[1:]
    build = BUILDERS[spec.model]
    entry = compiled(entry) if spec.device == "CPU" else entry
    model = build(entry, (height, width, channels), data.classes, spec.seed, spec.initializer)
    trainer = Trainer(spec, model, data)
    rows = list(resume.rows) if resume else []
    if resume:
        trainer.restore(resume.arrays)
    while len(rows) < spec.epochs and not _diverged(rows):
        rows.append(_epoch(trainer, data, len(rows) + 1, on_steps))
        on_epoch(Checkpoint(rows, trainer.arrays()))
    status = "diverged" if _diverged(rows) else "complete"
    test, predicted, probability = {}, np.zeros(0, np.int64), np.zeros(0)
    if status == "complete":
        sums, predicted, probability = trainer.evaluate(data.x_test, data.y_test)
        test = _means("test_", sums)
    outcome = Outcome(status, rows, test, predicted, probability, model.count_params())
    del trainer, model
    gc.collect()
    return outcome


def compiled(entry: Activation) -> Activation:
    """Return the entry with its function as one kernel; on a GPU the whole step is compiled."""
    if entry.native or entry.is_layer:
        return entry
    function = fused(entry.make)
    # As a layer of its own: under the function's name Keras keeps the user's form.
    return replace(entry, is_layer=True, make=lambda seed: keras.layers.Activation(function))


def _epoch(trainer: Trainer, data: Split, epoch: int, on_steps: Callable) -> Row:
    start = time.perf_counter()
    for steps, sums in trainer.train_epoch(epoch):
        on_steps(epoch, steps, float(sums[0] / sums[3]))
    row = _means("", sums)
    row |= _means("val_", trainer.evaluate(data.x_val, data.y_val)[0])
    return {"epoch": epoch, **row, "seconds": round(time.perf_counter() - start, 4)}


def _diverged(rows: list[Row]) -> bool:
    return bool(rows) and not (
        math.isfinite(rows[-1]["loss"]) and math.isfinite(rows[-1]["val_loss"])
    )
