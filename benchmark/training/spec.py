"""What a run is (`RunSpec`), the presets, and how a request expands into runs."""

import dataclasses
import hashlib
import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.activations.catalogue import ARTICLE_SIX, names, resolve
from benchmark.errors import RequestError, unknown

MODELS = ("cnn", "mlp")
OPTIMIZERS = ("adam", "sgd", "momentum", "rmsprop", "adagrad")
LOSSES = ("categorical_crossentropy", "binary_crossentropy", "mean_squared_error")
INITIALIZERS = ("article", "shared", "recommended")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# Raised when the same settings would give other numbers than before.
PROTOCOL = 2
CLIP_VALUE = 0.5
STYLES = ("light", "dark")
DEFAULT_OUTPUT = "results/latest"
BASELINE = "relu"
# What a run is for, as runs.csv says it: the settings that all share, an activation's own learning
# rate, or the choice of that rate.
COMPARISON, TUNED, TUNING = "comparison", "tuned", "tuning"
# Seeds that choose learning rates: far from those that a user counts from 0.
FIRST_TUNING_SEED = 1000


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides the numbers of one training run.

    `limit` is the number of training examples kept (None: all); `validation` is "holdout" (the
    last 20 % of these) or "test" (the source script's own protocol); `threads` counts the
    TensorFlow threads; `device` is "CPU" or "GPU"; `precision` is Keras's dtype policy;
    `data_sha256` and `activation_sha256` are hashes of pixels with labels, and of a user's
    activation source.
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

    def __post_init__(self) -> None:
        _one_of("model", self.model, MODELS)
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        _one_of("loss", self.loss, LOSSES)
        _one_of("initializer", self.initializer, INITIALIZERS)
        _one_of("validation", self.validation, ("holdout", "test"))
        _one_of("device", self.device, ("CPU", "GPU"))
        _one_of("precision", self.precision, PRECISIONS)
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
        text = json.dumps({**vars(self), "protocol": PROTOCOL}, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        return f"{self.dataset}-{self.model}-{self.activation}-s{self.seed}-{digest}"


def _one_of(kind: str, value: object, valid: Sequence[str]) -> None:
    if value not in valid:
        raise unknown(kind, value, valid)


def whole_number(kind: str, value: object, least: int = 1, most: int = 10**9) -> int:
    """Return the value as an integer from `least` to `most`.

    Raises:
        RequestError: it is not one.
    """
    try:
        number = int(str(value).strip())
    except ValueError:
        number = None
    if number is None or not least <= number <= most:
        upper = f" and at most {most}" if most < 10**9 else ""
        raise RequestError(
            f"{kind} {str(value)!r} cannot be used: give a whole number of at least {least}{upper}"
        )
    return number


def positive_number(kind: str, value: object) -> float:
    """Return the value as a finite number above 0.

    Raises:
        RequestError: it is not one.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise RequestError(f"{kind} {str(value)!r} cannot be used: give a number above 0")
    return number


def check_style(style: object) -> None:
    """Check the name of the figures' style.

    Raises:
        RequestError: there is no such style.
    """
    _one_of("style", style, STYLES)


def listed(kind: str, value: object, convert: Callable[[Any], Any]) -> list[Any]:
    """Return the converted items of a list, or of a text separated by commas, without repeats.

    Raises:
        RequestError: there are none, or one cannot be converted.
    """
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, (list, tuple, range, set)):
        items = [items]
    items = [item.strip() if isinstance(item, str) else item for item in items]
    if not items or "" in items:
        raise RequestError(f"{kind} {value!r} holds an empty item: give one or more values")
    return list(dict.fromkeys(convert(item) for item in items))


def rate_list(value: object) -> list[float]:
    """Return learning rates in rising order, of a list or of a text separated by commas.

    Raises:
        RequestError: there are none, or one is not above 0.
    """
    rates = listed("learning rates", value, lambda item: positive_number("learning rate", item))
    return sorted(rates)


def seed_list(value: object) -> list[int]:
    """Return the seeds for a count (5: 0 to 4) or a list ("0,3,7" or a sequence of integers).

    Raises:
        RequestError: it is neither, or holds a seed below 0.
    """
    if _is_count(value):
        return list(range(whole_number("seeds", value, most=10**6)))
    return listed("seeds", value, lambda item: whole_number("seed", item, 0, 2**31 - 1))


def _is_count(seeds: object) -> bool:
    return isinstance(seeds, int) or (isinstance(seeds, str) and "," not in seeds)


def activation_list(value: object) -> list[str]:
    """Return the names of the activations asked for; "all" is the whole catalogue.

    Raises:
        RequestError: a name is unknown, or the list is empty.
    """
    if value is None:
        return list(ARTICLE_SIX)
    if value == "all":
        return names()
    return listed("activations", value, lambda item: resolve(item).name)


@dataclass(frozen=True)
class Preset:
    """Settings that go together; any option overrides them."""

    seeds: int
    epochs: int
    loss: str = "categorical_crossentropy"
    validation: str = "holdout"


PRESETS = {
    "quick": Preset(seeds=1, epochs=3),
    "standard": Preset(seeds=5, epochs=12),
    "article": Preset(seeds=1, epochs=100, loss="binary_crossentropy", validation="test"),
}
DIGITS_DEFAULT = Preset(seeds=3, epochs=30)


def preset_for(name: str | None, dataset: str, gpu: bool) -> Preset:
    """Return the named preset, or without a name the one that suits dataset and machine.

    Raises:
        RequestError: there is no preset of that name.
    """
    if name is not None:
        _one_of("preset", name, tuple(PRESETS))
        return PRESETS[name]
    if dataset == "digits":
        return DIGITS_DEFAULT
    return PRESETS["standard" if gpu else "quick"]


def multiply_adds(model: str, height: int, width: int) -> int:
    """Return the multiply-adds of one image of that size through the network, forward."""
    if model == "mlp":
        return height * width * 128 + 2 * 128 * 128
    first, second = (height - 2) * (width - 2), (height - 4) * (width - 4)
    pooled = ((height - 4) // 2) * ((width - 4) // 2) * 64
    return first * 9 * 32 + second * 9 * 32 * 64 + pooled * 128


GRID = ("model", "optimizer", "learning_rate", "loss", "batch_size", "initializer")


@dataclass(frozen=True)
class Request:
    """What a user asked for, checked, before the dataset is looked up.

    The fields named in `GRID`, `activations` and `seeds` hold one or more values each; `seeds`,
    `epochs` and `loss` may be None: the preset's. `tune_learning_rates` are those among which
    each activation gets its own, empty where none is to be chosen; `tune_seeds` are the seeds of
    the runs that choose.
    """

    activations: list[str]
    seeds: list[int] | None
    epochs: int | None
    loss: list[str] | None
    model: list[str]
    optimizer: list[str]
    learning_rate: list[float]
    batch_size: list[int]
    initializer: list[str]
    limit: int | None
    preset: str | None
    threads: int
    deterministic: bool
    precision: str
    tune_learning_rates: list[float]
    tune_seeds: list[int]


def request(
    activations: object = None,
    seeds: object = None,
    epochs: object = None,
    loss: object = None,
    model: object = "cnn",
    optimizer: object = "adam",
    learning_rate: object = 0.001,
    batch_size: object = 128,
    limit: object = None,
    initializer: object = "article",
    preset: str | None = None,
    threads: object = 1,
    deterministic: bool = False,
    precision: str = "float32",
    tune_learning_rates: object = None,
    tune_seeds: object = None,
) -> Request:
    """Check every setting of a request.

    Raises:
        RequestError: one of them cannot be used; the message quotes it.
    """
    if preset is not None:
        _one_of("preset", preset, tuple(PRESETS))
    wanted = None if seeds is None else seed_list(seeds)
    return Request(
        activations=activation_list(activations),
        seeds=wanted,
        epochs=None if epochs is None else whole_number("epochs", epochs),
        loss=None if loss is None else listed("loss", loss, _choice("loss", LOSSES)),
        model=listed("model", model, _choice("model", MODELS)),
        optimizer=listed("optimizer", optimizer, _choice("optimizer", OPTIMIZERS)),
        learning_rate=listed(
            "learning rate", learning_rate, lambda item: positive_number("learning rate", item)
        ),
        batch_size=listed("batch size", batch_size, lambda item: whole_number("batch size", item)),
        limit=None if limit is None else whole_number("limit", limit),
        initializer=listed("initializer", initializer, _choice("initializer", INITIALIZERS)),
        preset=preset,
        threads=whole_number("threads", threads, most=1024),
        deterministic=bool(deterministic),
        precision=_choice("precision", PRECISIONS)(precision),
        **_tuning(tune_learning_rates, tune_seeds, wanted, preset),
    )


def _tuning(
    rates: object, tune_seeds: object, seeds: list[int] | None, preset: str | None
) -> dict[str, list]:
    """Return the checked learning rates to choose from and the seeds that choose."""
    if rates is None:
        if tune_seeds is not None:
            raise RequestError(
                f"tune seeds {tune_seeds!r} need learning rates to choose from: give them with"
                " --tune-learning-rates, 3e-4,1e-3,3e-3 for instance"
            )
        return {"tune_learning_rates": [], "tune_seeds": []}
    if preset is not None and PRESETS[preset].validation == "test":
        raise RequestError(
            f"preset {preset!r} validates on the test set, which must not choose learning rates:"
            " leave out --tune-learning-rates or take another preset"
        )
    chosen = rate_list(rates)
    if len(chosen) < 2:
        raise RequestError(
            f"tune learning rates {rates!r} leave no choice: give two or more, separated by commas"
        )
    asked = 3 if tune_seeds is None else tune_seeds
    found = seed_list(asked)
    if _is_count(asked):
        found = [FIRST_TUNING_SEED + seed for seed in found]
    both = sorted(set(found) & set(seeds or range(max(p.seeds for p in PRESETS.values()))))
    if both:
        raise RequestError(
            f"seed {both[0]} is among the tune seeds and the seeds: the final runs need seeds that"
            f" chose nothing; give others, {FIRST_TUNING_SEED} and above for instance"
        )
    return {"tune_learning_rates": chosen, "tune_seeds": found}


def _choice(kind: str, valid: Sequence[str]) -> Callable[[Any], str]:
    def convert(item: Any) -> str:
        name = str(item).lower().replace("-", "_")
        _one_of(kind, name, valid)
        return name

    return convert


def expand(wanted: Request, dataset: str, data_sha256: str, device: str) -> list[RunSpec]:
    """Return one `RunSpec` per combination of settings, activation and seed.

    All activations of one seed come before the next seed, so that a job that is stopped early
    holds complete comparisons.
    """
    return _expanded(wanted, dataset, data_sha256, device)


def expand_tuning(wanted: Request, dataset: str, data_sha256: str, device: str) -> list[RunSpec]:
    """Return the runs that choose each activation's learning rate, none where none is asked for."""
    if not wanted.tune_learning_rates:
        return []
    grid = dataclasses.replace(
        wanted, learning_rate=wanted.tune_learning_rates, seeds=wanted.tune_seeds
    )
    return _expanded(grid, dataset, data_sha256, device)


def expand_tuned(
    wanted: Request,
    dataset: str,
    data_sha256: str,
    device: str,
    chosen: Callable[[RunSpec], float | None],
) -> list[RunSpec]:
    """Return the final runs at each activation's own learning rate.

    `chosen` gives the rate for a run's activation and settings, None where none could be chosen.
    """
    one_rate = dataclasses.replace(wanted, learning_rate=wanted.learning_rate[:1])
    specs = _expanded(one_rate, dataset, data_sha256, device)
    rates = [(spec, chosen(spec)) for spec in specs]
    return [dataclasses.replace(spec, learning_rate=rate) for spec, rate in rates if rate]


def _expanded(wanted: Request, dataset: str, data_sha256: str, device: str) -> list[RunSpec]:
    from benchmark.activations.plugins import fingerprint

    preset = preset_for(wanted.preset, dataset, device == "GPU")
    settings = {
        **{name: getattr(wanted, name) for name in GRID},
        "loss": wanted.loss or [preset.loss],
    }
    return [
        RunSpec(
            **dict(zip(GRID, values)),
            dataset=dataset,
            activation=name,
            seed=seed,
            epochs=wanted.epochs or preset.epochs,
            limit=wanted.limit,
            validation=preset.validation,
            threads=wanted.threads,
            device=device,
            deterministic=wanted.deterministic,
            precision=wanted.precision,
            data_sha256=data_sha256,
            activation_sha256=fingerprint(resolve(name)),
        )
        for values in itertools.product(*settings.values())
        for seed in wanted.seeds or range(preset.seeds)
        for name in wanted.activations
    ]
