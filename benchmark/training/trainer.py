"""One run, from `RunSpec` to history. Importing this loads TensorFlow."""

import contextlib
import functools
import gc
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from benchmark.activations.catalogue import Activation
from benchmark.activations.kernels import fused
from benchmark.data.loading import Split
from benchmark.errors import RequestError
from benchmark.models.networks import BUILDERS
from benchmark.training.optimizers import make_optimizer
from benchmark.training.spec import RunSpec

# Steps in one compiled call: few enough for a lively display, many enough to hide Python.
CHUNK = 16
# Enough for the whole catalogue; what was compiled is never quite freed by TensorFlow.
KEPT_TRAINERS = 32
EVALUATION_BATCH = {"CPU": 128, "GPU": 2000}
# The convolutions take a batch in parts whose largest layer has this many bytes, so that a core's
# cache holds what is passed on. Fixed, since the rounding of sums depends on it.
PART_BYTES = 2_500_000
# Each part is nodes of the graph: more would take long to compile.
MOST_PARTS = 16

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
    # The engine compiles a function per network: TensorFlow takes that for a mistake and says so.
    tf.get_logger().setLevel("ERROR")
    # Reduced precision is never chosen silently.
    config.experimental.enable_tensor_float_32_execution(False)
    if deterministic:
        config.experimental.enable_op_determinism()
    return True


def batch_order(seed: int, epoch: int, examples: int) -> np.ndarray:
    """Return the order of the training examples in an epoch, shape (examples,), int32.

    A function of seed and epoch alone, so that runs pair up and resume.
    """
    return np.random.default_rng([seed, epoch]).permutation(examples).astype(np.int32)


class Trainer:
    """A model and its optimizer, with compiled steps over images kept on the device as uint8.

    The model is a plain stack of layers. Its convolutional part, up to the first `Flatten` or the
    first layer with a state, sees each image alone: on a CPU a batch goes through it, and back, in
    parts that fit into the cache.
    """

    def __init__(self, spec: RunSpec, model: keras.Sequential, data: Split) -> None:
        self.spec, self.model, self._data = spec, model, data
        self.optimizer = make_optimizer(spec)
        self.optimizer.build(model.trainable_variables)
        # Each of them starts as a constant.
        self._optimizer_start = [np.ravel(value)[0] for value in self.optimizer.variables]
        self._loss = keras.losses.get(spec.loss)
        self._x, self._y = _on_device(data)
        self._head, self._tail = _divided(model.layers)
        whole, on_cpu = spec.batch_size, spec.device == "CPU"
        self._part = max(_part_size(self._head), -(-whole // MOST_PARTS)) if on_cpu else whole
        self._train_by_size: dict[int, Callable] = {}
        self._evaluate = self._compiled(self._evaluate_batch)

    def _compiled(self, function: Callable, *signature: Any) -> Callable:
        # XLA pays on a GPU; its convolutions on a CPU are several times slower than oneDNN's.
        return tf.function(
            function, jit_compile=self.spec.device == "GPU", input_signature=signature or None
        )

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
        features, gradients_of = self._features(self._pixels(tf.gather(self._x, indices)))
        with tf.GradientTape() as tape:
            tape.watch(features)
            probabilities = _through(self._tail, features, training=True)
            loss, right, binary = self._scores(labels, probabilities)
            # Scaled in float16 only, where small gradients would vanish; `apply` undoes it.
            scaled = self.optimizer.scale_loss(tf.reduce_mean(loss))
        tail = _weights(self._tail)
        upstream, *gradients = tape.gradient(scaled, [features, *tail])
        weights = [*_weights(self._head), *tail]
        self.optimizer.apply([*gradients_of(upstream), *gradients], weights)
        return _sums(loss, right, binary)

    def _features(self, pixels: Any) -> tuple[Any, Callable[[Any], list]]:
        """Return what the convolutional part makes of the images, and a function from its gradient
        to those of the part's weights.

        The order is forced: each part runs to its end before the next begins.
        """
        weights, done = _weights(self._head), []
        for part in _parts(pixels, self._part):
            with tf.control_dependencies([features for _, features in done[-1:]]):
                part = tf.identity(part)
            with tf.GradientTape() as tape:
                done.append((tape, _through(self._head, part, training=True)))
        features = tf.concat([features for _, features in done], 0)

        def gradients_of(upstream: Any) -> list:
            total = None
            for (tape, features), part in zip(done, _parts(upstream, self._part)):
                with tf.control_dependencies(total or []):
                    part = tf.identity(part)
                gradients = tape.gradient(features, weights, part)
                total = [a + b for a, b in zip(total, gradients)] if total else gradients
            return total

        return features, gradients_of

    def _train_steps(self, batches: Any) -> Any:
        """Train on batches of indices, shape (steps, batch), and return the sums (4,)."""
        total = tf.zeros(4, tf.float64)
        for indices in batches:
            total += self._step(indices)
        return total

    def _train(self, batches: np.ndarray) -> np.ndarray:
        """Do as `_train_steps` does, compiled once for each size of batch."""
        size = batches.shape[1]
        if size not in self._train_by_size:
            signature = tf.TensorSpec((None, size), tf.int32)
            self._train_by_size[size] = self._compiled(self._train_steps, signature)
        return self._train_by_size[size](tf.constant(batches)).numpy()

    def _evaluate_batch(self, images: Any, labels: Any) -> tuple[Any, ...]:
        """Return for each image the scores (3, batch), the class and its probability."""
        probabilities = self.model(self._pixels(images), training=False)
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

    def evaluate(self, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
        """Score (n, height, width, 1) images: sums (4,), classes (n,), probabilities (n,)."""
        size, parts = EVALUATION_BATCH[self.spec.device], []
        for first in range(0, len(images), size):
            # The last batch is filled up with its last image: one shape, compiled once.
            rows = np.minimum(np.arange(first, first + size), len(images) - 1)
            parts.append([part.numpy() for part in self._evaluate(images[rows], labels[rows])])
        scores, classes, tops = (
            np.concatenate(kind, -1)[..., : len(images)] for kind in zip(*parts)
        )
        return np.append(scores.sum(1), len(images)), classes, tops

    def _variables(self) -> list[Any]:
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
        shapes = [tuple(variable.shape) for variable in variables]
        if shapes != [array.shape for array in arrays]:
            raise CheckpointError(
                "the checkpoint's arrays are not those of this model and optimizer"
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)


class _Kept(NamedTuple):
    entry: Activation
    data: Split
    trainer: Trainer


# By settings without seed and epochs, in the order of their last use.
_kept: dict[RunSpec, _Kept] = {}


def _divided(layers: list) -> tuple[list, list]:
    """Return the layers that see each image alone and have no state, and those from there on."""
    for place, layer in enumerate(layers):
        # A state is of noise, or of statistics over the batch.
        if isinstance(layer, keras.layers.Flatten) or layer.non_trainable_variables:
            return layers[:place], layers[place:]
    return [], layers


def _part_size(head: list) -> int:
    """Return the number of images in a part."""
    values = max((math.prod(layer.output.shape[1:]) for layer in head), default=1)
    return max(1, PART_BYTES // (4 * values))


def _parts(batch: Any, size: int) -> list:
    whole, rest = divmod(batch.shape[0], size)
    return tf.split(batch, [size] * whole + [rest] * bool(rest))


def _through(layers: list, values: Any, training: bool) -> Any:
    for layer in layers:
        values = layer(values, training=training)
    return values


def _weights(layers: list) -> list:
    return [weight for layer in layers for weight in layer.trainable_variables]


@functools.lru_cache(maxsize=1)
def _on_device(data: Split) -> tuple[Any, Any]:
    """Return the training images and labels as tensors, the same ones for every run on them."""
    return tf.constant(data.x_train), tf.constant(data.y_train)


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
    with keras_defaults(spec.precision):
        return _train(spec, entry, data, resume, on_epoch, on_steps)


@contextlib.contextmanager
def keras_defaults(precision: str = "float32") -> Iterator[None]:
    """Set Keras's global settings, whatever the user's configuration says: they decide the numbers.

    Weights are float32, images have their channels last; `precision` is Keras's dtype policy.

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
        for (restore, _), value in zip(kept, ("float32", "channels_last", precision)):
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
    trainer = _trainer(spec, entry, data)
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
    return Outcome(status, rows, test, predicted, probability, trainer.model.count_params())


def _trainer(spec: RunSpec, entry: Activation, data: Split) -> Trainer:
    """Return a trainer at the start of the run.

    Where an earlier run differed only in seed and epochs, it is that run's, already compiled.
    """
    key = replace(spec, seed=0, epochs=1)
    kept = _kept.pop(key, None)
    # An entry of the catalogue is one object; of a user's function the hash, in the key, tells all.
    if kept and not (kept.data is data and (kept.entry is entry or spec.activation_sha256)):
        kept = None
    with _garbage_collected():
        # Of a model for a trainer that is there, only the values are needed.
        form = _uncompiled if kept or spec.device == "GPU" else compiled
        made = form(entry, spec.precision)
        shape = data.x_train.shape[1:]
        model = BUILDERS[spec.model](made, shape, data.classes, spec.seed, spec.initializer)
        if kept:
            kept.trainer.restart(spec, model)
            del model
        else:
            kept = _Kept(entry, data, Trainer(spec, model, data))
    _kept[key] = kept
    while len(_kept) > KEPT_TRAINERS:
        del _kept[next(iter(_kept))]
    return kept.trainer


def forget() -> None:
    """Let go of what is kept for further seeds."""
    _kept.clear()
    fused.cache_clear()


@contextlib.contextmanager
def _garbage_collected() -> Iterator[None]:
    """Collect what the block leaves in reference cycles at its end, without a look at the rest."""
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

    In 16 bits it computes in float32 and reads and writes 16: what lies between the operations of
    a composite function may overflow.
    """
    if entry.native or entry.is_layer:
        return entry
    return _as_layer(entry, fused(_in_float32(entry.make, precision)))


def _uncompiled(entry: Activation, precision: str) -> Activation:
    """Return the same but for the kernel: on a GPU the whole step is compiled."""
    if entry.native or entry.is_layer:
        return entry
    return _as_layer(entry, _in_float32(entry.make, precision))


def _as_layer(entry: Activation, function: Callable) -> Activation:
    # As a layer of its own: under the function's name Keras keeps the user's form.
    return replace(entry, is_layer=True, make=lambda seed: keras.layers.Activation(function))


def _in_float32(function: Callable, precision: str) -> Callable:
    if precision == "float32":
        return function
    return lambda x: tf.cast(function(tf.cast(x, tf.float32)), x.dtype)


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
