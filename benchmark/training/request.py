"""A user's request, checked (`Request`), the presets, and the runs that a request expands into."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from benchmark.activations import CONTROL, resolve
from benchmark.errors import RequestError, one_of
from benchmark.training import environment
from benchmark.training.optimizers import OPTIMIZERS
from benchmark.training.options import (
    activation_list,
    choice,
    is_count,
    listed,
    positive_number,
    rate_list,
    seconds_of,
    seed_list,
    whole_number,
)
from benchmark.training.rates import AUTO, START
from benchmark.training.spec import INITIALIZERS, LOSSES, MODELS, PRECISIONS, RunSpec

DEFAULT_OUTPUT = "results/latest"
BASELINE = "relu"
# First seed of the runs that choose learning rates, far from the seeds that users count from 0.
FIRST_TUNING_SEED = 1000


@dataclass(frozen=True)
class Preset:
    """Settings that go together; any option overrides them.

    Without `seeds` there are as many as it takes, `most_seeds` at most.
    """

    seeds: int | None
    epochs: int
    loss: str = "categorical_crossentropy"
    validation: str = "holdout"
    limit: int | None = None
    most_seeds: int = 20


PRESETS = {
    "quick": Preset(seeds=1, epochs=3),
    "standard": Preset(seeds=5, epochs=12),
    "article": Preset(seeds=1, epochs=100, loss="binary_crossentropy", validation="test"),
}
# Of large datasets on a CPU a part, so that there is an answer in less than half an hour.
PART = Preset(seeds=None, epochs=10, limit=4000, most_seeds=8)
# Seeds of the first round, and how many each other one adds.
FIRST_ROUND, ROUND = 8, 4


def preset_for(name: str | None, dataset: str, gpu: bool) -> Preset:
    """Return the named preset, or without a name the one that suits dataset and machine.

    Raises:
        RequestError: there is no preset of that name.
    """
    if name is not None:
        one_of("preset", name, tuple(PRESETS))
        return PRESETS[name]
    # Imports NumPy, which `--help` does without.
    from benchmark.data.catalogue import info_of

    if epochs := info_of(dataset).epochs:
        return Preset(seeds=None, epochs=epochs)
    return dataclasses.replace(PRESETS["standard"], seeds=None) if gpu else PART


GRID = ("model", "optimizer", "learning_rate", "loss", "batch_size", "initializer")


@dataclass(frozen=True)
class Request:
    """What a user asked for, checked, before the dataset is looked up.

    The fields named in `GRID`, `activations` and `seeds` hold one or more values each; `seeds`,
    `epochs` and `loss` may be None: the preset's. `tune_learning_rates` are those among which
    each activation's own is chosen, empty where none is, or `rates.AUTO`; `tune_seeds` are the
    seeds of the runs that choose. With `auto` there are as many seeds as it takes, at most
    `most_seeds`, in rounds of which none begins after `time_budget` seconds.
    """

    activations: list[str]
    seeds: list[int] | None
    auto: bool
    most_seeds: int | None
    time_budget: float | None
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
    keep_environment: bool
    tune_learning_rates: list[float] | str
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
    keep_environment: bool = False,
    tune_learning_rates: object = None,
    tune_seeds: object = None,
    control: bool = False,
    most_seeds: object = None,
    time_budget: object = None,
) -> Request:
    """Check every setting of a request.

    Without `activations`, or with `control`, the control is among the activations.

    Raises:
        RequestError: one of them cannot be used; the message quotes it.
    """
    if preset is not None:
        one_of("preset", preset, tuple(PRESETS))
    auto = str(seeds).strip().lower() == AUTO or (seeds is None and preset is None)
    wanted = None if auto or seeds is None else seed_list(seeds)
    _check_auto(auto, {"most seeds": most_seeds, "time budget": time_budget})
    most = None if most_seeds is None else whole_number("most seeds", most_seeds, most=10**6)
    count = (most or Preset.most_seeds) if auto or preset is None else PRESETS[preset].seeds
    chosen = activation_list(activations)
    if (control or activations is None) and CONTROL not in chosen:
        chosen.append(CONTROL)
    return Request(
        activations=chosen,
        seeds=wanted,
        auto=auto,
        most_seeds=most,
        time_budget=None if time_budget is None else seconds_of("time budget", time_budget),
        epochs=None if epochs is None else whole_number("epochs", epochs),
        loss=None if loss is None else listed("loss", loss, choice("loss", LOSSES)),
        model=listed("model", model, choice("model", MODELS)),
        optimizer=listed("optimizer", optimizer, choice("optimizer", OPTIMIZERS)),
        learning_rate=listed(
            "learning rate", learning_rate, lambda item: positive_number("learning rate", item)
        ),
        batch_size=listed("batch size", batch_size, lambda item: whole_number("batch size", item)),
        limit=None if limit is None else whole_number("limit", limit),
        initializer=listed("initializer", initializer, choice("initializer", INITIALIZERS)),
        preset=preset,
        threads=whole_number("threads", threads, most=1024),
        deterministic=bool(deterministic),
        precision=choice("precision", PRECISIONS)(precision),
        keep_environment=bool(keep_environment),
        **_tuning(tune_learning_rates, tune_seeds, wanted or range(count or 0), preset),
    )


def _check_auto(auto: bool, options: dict[str, object]) -> None:
    for name, value in options.items():
        if value is not None and not auto:
            raise RequestError(f"{name} {value!r} needs --seeds auto: leave out one of the two")


def _tuning(
    rates: object, tune_seeds: object, seeds: Iterable[int], preset: str | None
) -> dict[str, Any]:
    """Return the checked learning rates to choose from and the seeds that choose."""
    if rates is None:
        if tune_seeds is not None:
            raise RequestError(
                f"tune seeds {tune_seeds!r} need learning rates to choose from: give them with"
                " --tune-learning-rates, auto or 3e-4,1e-3,3e-3 for instance"
            )
        return {"tune_learning_rates": [], "tune_seeds": []}
    if preset is not None and PRESETS[preset].validation == "test":
        raise RequestError(
            f"preset {preset!r} validates on the test set, which must not choose learning rates:"
            " leave out --tune-learning-rates or take another preset"
        )
    automatic = isinstance(rates, str) and rates.strip().lower() == AUTO
    chosen = AUTO if automatic else rate_list(rates)
    if len(chosen) < 2:
        raise RequestError(
            f"tune learning rates {rates!r} leave no choice: give auto, or two or more, separated"
            " by commas"
        )
    asked = 3 if tune_seeds is None else tune_seeds
    choosing = seed_list(asked)
    if is_count(asked):
        choosing = [FIRST_TUNING_SEED + seed for seed in choosing]
    both = sorted(set(choosing) & set(seeds))
    if both:
        raise RequestError(
            f"seed {both[0]} is among the tune seeds and the seeds: the final runs need seeds that"
            f" chose nothing; give others, {FIRST_TUNING_SEED} and above for instance"
        )
    return {"tune_learning_rates": chosen, "tune_seeds": choosing}


def rounds(wanted: Request, preset: Preset) -> list[int]:
    """Return after how many seeds, from 0 on, one looks whether it is known; [] without `auto`."""
    if not wanted.auto:
        return []
    most = wanted.most_seeds or preset.most_seeds
    return [*range(FIRST_ROUND, most, ROUND), most]


def expand(wanted: Request, dataset: str, data_sha256: str, device: str) -> list[RunSpec]:
    """Return one `RunSpec` per combination of settings, activation and seed.

    With `auto` they are those of the first round. All activations of one seed come before the next
    seed, so that a job that is stopped early holds complete comparisons.
    """
    return _expanded(wanted, dataset, data_sha256, device)


def expand_tuning(wanted: Request, dataset: str, data_sha256: str, device: str) -> list[RunSpec]:
    """Return the runs that choose each activation's learning rate, none where none is asked for;
    with `rates.AUTO` those of the first round."""
    if not wanted.tune_learning_rates:
        return []
    rates = wanted.tune_learning_rates
    first = list(START) if isinstance(rates, str) else rates
    grid = dataclasses.replace(wanted, learning_rate=first, seeds=wanted.tune_seeds)
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
    from benchmark.activations.fingerprint import fingerprint

    preset = preset_for(wanted.preset, dataset, device == "GPU")
    kept = environment.kept() if wanted.keep_environment else ""
    settings = {
        **{name: getattr(wanted, name) for name in GRID},
        "loss": wanted.loss or [preset.loss],
    }
    first_round = next(iter(rounds(wanted, preset)), preset.seeds or 0)
    return [
        RunSpec(
            **dict(zip(GRID, values)),
            dataset=dataset,
            activation=name,
            seed=seed,
            epochs=wanted.epochs or preset.epochs,
            limit=wanted.limit or preset.limit,
            validation=preset.validation,
            threads=wanted.threads,
            device=device,
            deterministic=wanted.deterministic,
            precision=wanted.precision,
            data_sha256=data_sha256,
            activation_sha256=fingerprint(resolve(name)),
            kept_environment=kept,
        )
        for values in itertools.product(*settings.values())
        for seed in wanted.seeds or range(first_round)
        for name in wanted.activations
    ]
