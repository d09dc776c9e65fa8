"""One run, from `RunSpec` to history. Importing this loads TensorFlow."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from benchmark.activations import Activation
from benchmark.data.loading import Split
from benchmark.training.kept_trainers import trainer_for
from benchmark.training.setup import keras_defaults
from benchmark.training.spec import RunSpec
from benchmark.training.trainer import Trainer

Row = dict[str, float]


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

    `test` holds test_loss, test_accuracy and test_binary_accuracy, and standard_test_accuracy where
    the data have a second test set; `predicted` (n,) classes and `probability` (n,) theirs, for
    each test example. All three are empty for a diverged run.
    """

    status: str
    rows: list[Row]
    test: dict[str, float]
    predicted: np.ndarray
    probability: np.ndarray
    parameters: int


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
        data: examples and labels, as `loading.split` returns them.
        resume: the last checkpoint of an earlier, interrupted call.
        on_epoch: called after each epoch with a checkpoint to resume from.
        on_steps: called now and then with the epoch, its steps done and its running loss.

    Raises:
        CheckpointError: `resume` belongs to another model.
    """
    with keras_defaults(spec.precision):
        return _train(spec, entry, data, resume, on_epoch, on_steps)


def _train(
    spec: RunSpec,
    entry: Activation,
    data: Split,
    resume: Checkpoint | None,
    on_epoch: Callable[[Checkpoint], None],
    on_steps: Callable[[int, int, float], None],
) -> Outcome:
    trainer = trainer_for(spec, entry, data)
    rows = list(resume.rows) if resume else []
    if resume:
        trainer.restore(resume.arrays)
    while len(rows) < spec.epochs and not _diverged(rows):
        rows.append(_epoch(trainer, data, len(rows) + 1, on_steps))
        on_epoch(Checkpoint(rows, trainer.arrays()))
    status = "diverged" if _diverged(rows) else "complete"
    test: Row = {}
    predicted, probability = np.zeros(0, np.int64), np.zeros(0)
    if status == "complete":
        sums, predicted, probability = trainer.evaluate(data.x_test, data.y_test)
        test = _means("test_", sums)
        if data.x_standard is not None and data.y_standard is not None:
            standard, _, _ = trainer.evaluate(data.x_standard, data.y_standard)
            test["standard_test_accuracy"] = _means("", standard)["accuracy"]
    return Outcome(status, rows, test, predicted, probability, trainer.model.count_params())


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
