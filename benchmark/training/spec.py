"""What a run is (`RunSpec`), and the values that its settings may have."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from benchmark.errors import one_of
from benchmark.models.networks import NETWORKS
from benchmark.training.optimizers import OPTIMIZERS
from benchmark.training.options import path_part, positive_number, whole_number

MODELS = tuple(NETWORKS)
LOSSES = ("categorical_crossentropy", "binary_crossentropy", "mean_squared_error")
INITIALIZERS = ("article", "shared", "recommended")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# Raised when the same settings would give other numbers than before.
PROTOCOL = 2
CLIP_VALUE = 0.5
# Purpose of a run, as in runs.csv: the comparison in equal settings, the one at each activation's
# tuned learning rate, or the choice of that rate.
COMPARISON, TUNED, TUNING = "comparison", "tuned", "tuning"
# Settings that are younger than runs on record: at their default these keep their names.
LATER_SETTINGS = ("kept_environment",)


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides the numbers of one training run.

    `limit` is the number of training examples used (None: all); `validation` is "holdout" (the
    last 20 % of these) or "test" (the source script's own protocol); `threads` counts the
    TensorFlow threads; `device` is "CPU" or "GPU"; `precision` is Keras's dtype policy;
    `data_sha256` and `activation_sha256` are hashes of examples with labels, and of a user's
    activation source; `kept_environment` holds the user's environment variables that were kept
    although they may change numbers (see `environment.kept`), "" where there are none.
    """

    dataset: str
    activation: str
    seed: int
    model: str = "cnn"
    optimizer: str = "adam"
    learning_rate: float = 0.001
    loss: str = "categorical_crossentropy"
    epochs: int = 3
    batch_size: int = 128
    limit: int | None = None
    initializer: str = "article"
    validation: str = "holdout"
    threads: int = 1
    device: str = "CPU"
    deterministic: bool = False
    precision: str = "float32"
    data_sha256: str = ""
    activation_sha256: str = ""
    kept_environment: str = ""

    def __post_init__(self) -> None:
        path_part("dataset", self.dataset)
        path_part("activation", self.activation)
        one_of("model", self.model, MODELS)
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        one_of("loss", self.loss, LOSSES)
        one_of("initializer", self.initializer, INITIALIZERS)
        one_of("validation", self.validation, ("holdout", "test"))
        one_of("device", self.device, ("CPU", "GPU"))
        one_of("precision", self.precision, PRECISIONS)
        whole_number("epochs", self.epochs)
        whole_number("batch size", self.batch_size)
        whole_number("threads", self.threads)
        whole_number("seed", self.seed, least=0, most=2**31 - 1)
        if self.limit is not None:
            whole_number("limit", self.limit)
        positive_number("learning rate", self.learning_rate)

    @property
    def run(self) -> str:
        """Name of the run: readable parts and a hash of all that decides its numbers."""
        text = json.dumps({**self.as_json(), "protocol": PROTOCOL}, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        return f"{self.dataset}-{self.model}-{self.activation}-s{self.seed}-{digest}"

    def as_json(self) -> dict[str, Any]:
        """Return the settings as they are recorded and named: `LATER_SETTINGS` only where they are
        not at their default."""
        return {
            name: value
            for name, value in vars(self).items()
            if name not in LATER_SETTINGS or value != getattr(RunSpec, name)
        }
