"""The columns of the tables that hold many runs, and runs as rows of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmark.training.spec import RunSpec

HISTORY_COLUMNS = (
    "dataset",
    "model",
    "activation",
    "optimizer",
    "learning_rate",
    "loss_function",
    "seed",
    "epoch",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "seconds",
    "run",
)
SCORES = (
    "epochs",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "test_loss",
    "test_accuracy",
    "seconds",
    "seconds_per_epoch",
    "peak_memory_mb",
)
BINARY_SCORES = ("binary_accuracy", "val_binary_accuracy", "test_binary_accuracy")
# On the second test set that few datasets have.
STANDARD_SCORE = "standard_test_accuracy"
SETTINGS = (
    "batch_size",
    "epochs_asked",
    "limit",
    "initializer",
    "validation",
    "threads",
    "device",
    "deterministic",
    "precision",
)
# What a run is for, what its test set is like, and how busy its machine was.
CIRCUMSTANCES = ("purpose", "test_images", "majority_share", "load", "own_load")
RUN_COLUMNS = (
    *("run", "dataset", "model", "activation", "optimizer", "learning_rate", "loss_function"),
    *("seed", "status"),
    *SCORES,
    *BINARY_SCORES,
    STANDARD_SCORE,
    *SETTINGS,
    *CIRCUMSTANCES,
    *("parameters", "data_sha256", "data_origin", "activation_sha256", "error"),
)
DONE = ("complete", "diverged")
# Beside "failed": no record yet, and one that cannot be believed.
UNFINISHED, DAMAGED = "unfinished", "damaged"
# Scores that only the binary cross-entropy of the source's protocol calls for.
_BINARY_LOSS = "binary_crossentropy"


def spec_columns(spec: RunSpec, run: str) -> dict[str, Any]:
    """Return the name and the settings of a run under the names they have in the tables."""
    fields = dict(vars(spec))
    fields["loss_function"] = fields.pop("loss")
    fields["epochs_asked"] = fields.pop("epochs")
    return {**fields, "run": run}


def spec_of(row: Mapping[str, str]) -> RunSpec:
    """Return the settings of a run from its cells in runs.csv.

    Raises:
        KeyError, ValueError: a cell is missing or damaged.
    """
    texts = ("dataset", "activation", "model", "optimizer", "initializer", "validation", "device")
    fields: dict[str, Any] = {
        **{name: row[name] for name in (*texts, "precision", "data_sha256", "activation_sha256")},
        **{name: int(row[name]) for name in ("seed", "batch_size", "threads")},
    }
    return RunSpec(
        **fields,
        learning_rate=float(row["learning_rate"]),
        loss=row["loss_function"],
        epochs=int(row["epochs_asked"]),
        limit=int(row["limit"]) if row["limit"] else None,
        deterministic=row["deterministic"] == "True",
    )


def final_scores(
    spec: RunSpec, rows: list[dict[str, Any]], test: dict[str, float]
) -> dict[str, Any]:
    """Return the last epoch's and the test's scores, and the time: seconds of all epochs, and
    the median epoch's (the first one holds the tracing of the graph)."""
    seconds = [row["seconds"] for row in rows]
    scores = {
        **{name: rows[-1][name] for name in ("loss", "accuracy", "val_loss", "val_accuracy")},
        "epochs": len(rows),
        "test_loss": test.get("test_loss"),
        "test_accuracy": test.get("test_accuracy"),
        "seconds": round(sum(seconds), 4),
        "seconds_per_epoch": float(np.median(seconds)),
    }
    if STANDARD_SCORE in test:
        scores[STANDARD_SCORE] = test[STANDARD_SCORE]
    if spec.loss == _BINARY_LOSS:
        scores["binary_accuracy"] = rows[-1]["binary_accuracy"]
        scores["val_binary_accuracy"] = rows[-1]["val_binary_accuracy"]
        scores["test_binary_accuracy"] = test.get("test_binary_accuracy")
    return scores
