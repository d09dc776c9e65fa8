"""What the records in a results folder must look like to be believed: their fields and types.

Fields that are not known here are allowed: a later version may have written them.
"""

import json
import textwrap
import time
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    create_model,
    model_validator,
)

from benchmark.results.formats import read_file
from benchmark.results.predictions import recorded_name
from benchmark.results.schema import DONE
from benchmark.training.options import path_part
from benchmark.training.spec import RunSpec

# Of a reason, which may quote what it is about.
_MOST_LETTERS = 200
_CONFIG = ConfigDict(strict=True, extra="ignore")

_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Seconds = Annotated[FiniteFloat, Field(ge=0)]
_Count = Annotated[int, Field(ge=0, le=10**15)]
_Place = Annotated[int, Field(ge=0, le=10**6)]


def _timestamp(text: str) -> str:
    time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    return text


def _name(text: str) -> str:
    return path_part("name", text)


_Timestamp = Annotated[str, AfterValidator(_timestamp)]
_Name = Annotated[str, AfterValidator(_name)]


def check_run(record: dict[str, Any]) -> None:
    """Check the content of run.json, but for the values of settings: RunSpec knows these.

    Raises:
        ValueError: a field is missing or of another kind; the message is one line.
    """
    _check(_Run, record)


def check_measurement(record: dict[str, Any]) -> None:
    """Check the record of an experiment.

    Raises:
        ValueError: a field is missing or of another kind; the message is one line.
    """
    _check(_Measurement, record)


def read_environment(path: Path) -> dict[str, Any]:
    """Return what an environment.json holds; nothing where it is missing or damaged."""
    try:
        facts = json.loads(read_file(path))
        _check(_Environment, facts)
    except (OSError, ValueError, RecursionError):
        return {}
    return facts


def _check(model: "type[BaseModel]", content: Any) -> None:
    try:
        model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        reason = textwrap.shorten(first["msg"].removeprefix("Value error, "), _MOST_LETTERS)
        raise ValueError(f"{field}: {reason}" if field else reason) from error


class _Model(BaseModel):
    model_config = _CONFIG


class _Environment(_Model):
    """What `provenance.describe` tells of a machine."""

    versions: dict[str, str] = {}
    git_commit: str = ""
    processor: str = ""
    cores: _Count = 0
    gpus: list[str] = []
    merged_from: list[dict[str, Any]] = []


class _Data(_Model):
    origin: str = ""


class _Activation(_Model):
    name: str = ""
    formula: str = ""
    index: _Place = 0


class _Load(_Model):
    """Load averages per core, and what of them was the command's own."""

    start: _Seconds | None = None
    end: _Seconds | None = None
    own: _Seconds | None = None


class _Scores(_Model):
    epochs: Annotated[int, Field(ge=1)]
    loss: float
    accuracy: _Share
    val_loss: float
    val_accuracy: _Share
    test_loss: float | None
    test_accuracy: _Share | None
    seconds: _Seconds
    seconds_per_epoch: _Seconds
    binary_accuracy: _Share | None = None
    val_binary_accuracy: _Share | None = None
    test_binary_accuracy: _Share | None = None
    standard_test_accuracy: _Share | None = None


_SPEC_TYPES = get_type_hints(RunSpec)
_SPEC_FIELDS: dict[str, Any] = {
    name: (_SPEC_TYPES[name], getattr(RunSpec, name, ...)) for name in RunSpec.__dataclass_fields__
}
# The fields of a run's settings, with their defaults, as RunSpec has them.
_Spec: Any = create_model("_Spec", __config__=_CONFIG, **_SPEC_FIELDS)


class _Run(_Model):
    """run.json."""

    run: _Name
    status: Literal["complete", "diverged", "failed"]
    spec: _Spec
    scores: _Scores | None = None
    checksums: dict[str, str] = {}
    parameters: _Count | None = None
    purpose: Literal["comparison", "tuned", "tuning"] = "comparison"
    peak_memory_mb: _Seconds | None = None
    finished: _Timestamp | None = None
    load: _Load = _Load()
    error: str | None = None
    data: _Data = _Data()
    activation: _Activation | None = None
    environment: _Environment = _Environment()

    @model_validator(mode="after")
    def _agrees(self) -> "_Run":
        if self.status not in DONE:
            return self
        files = {"history.csv", recorded_name(self.checksums)}
        if self.scores is None or not files <= set(self.checksums):
            raise ValueError("a finished run has scores, and checksums of its files")
        if self.scores.epochs > self.spec.epochs:
            raise ValueError("there are more epochs than were asked for")
        if self.status == "complete" and self.scores.test_accuracy is None:
            raise ValueError("a complete run has a test accuracy")
        return self


class _MeasurementSpec(_Model):
    activations: list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    dataset: str
    data_sha256: str


class _Measurement(_Model):
    """The record of an experiment."""

    status: Literal["complete"]
    spec: _MeasurementSpec
    seconds: _Seconds
    checksum: str
    places: dict[str, _Place] = {}
    style: str = ""
    figures: list[str] = []
    environment: _Environment = _Environment()
