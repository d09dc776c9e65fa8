"""The commands that make a folder's comparison anew, read off its table of runs."""

import itertools
import json
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from benchmark.activations import ARTICLE_SIX, names
from benchmark.experiments import catalogue
from benchmark.experiments.base import Experiment
from benchmark.training.request import BASELINE, FIRST_TUNING_SEED, preset_for
from benchmark.training.spec import COMPARISON, TUNING

# What one command has one value of, and what it may list: options by column.
_SINGLE = (
    *("dataset", "validation", "epochs_asked", "limit", "threads"),
    *("deterministic", "precision", "device"),
)
_LISTED = {
    "activation": "--activations",
    "seed": "--seeds",
    "model": "--model",
    "optimizer": "--optimizer",
    "learning_rate": "--learning-rate",
    "loss_function": "--loss",
    "batch_size": "--batch-size",
    "initializer": "--initializer",
}
_DEFAULTS = {
    "model": ("cnn",),
    "optimizer": ("adam",),
    "learning_rate": (0.001,),
    "batch_size": (128,),
    "initializer": ("article",),
}
_USUAL = {"threads": 1, "precision": "float32"}
# In one folder a second command's tables would take the place of the first one's.
_PART, _WHOLE = "results/part-{}", "results/merged"


def commands(
    runs: pd.DataFrame,
    measured: Mapping[str, Mapping[str, Any]] | None = None,
    baseline: str | None = None,
) -> list[str]:
    """Return the commands that carry out these runs again, and the experiments measured.

    They state what differs from the defaults, and are as few as full grids of settings allow:
    usually one. FILE and FOLDER stand for what the tables do not know: a plug-in, a data folder.

    Args:
        runs: rows of runs.csv; may be empty.
        measured: the records of the folder's experiments by name, as `Store.measurement` has
            them; of one that is empty the defaults are taken.
        baseline: what the other activations were compared with; None is the default.
    """
    measured = measured or {}
    grids = [grid for part in _parts(runs) for grid in _grids(part)] if len(runs) else []
    everything = bool(grids) and _come_with(grids[0], measured)
    lines = []
    for number, grid in enumerate(grids, start=1):
        first = everything and number == 1
        program = ["run_all.py"] if first else ["-m", "benchmark", "compare"]
        output = ["--output", _PART.format(number)] if len(grids) > 1 else []
        lines.append(shlex.join(["python", *program, *_options(grid, baseline), *output]))
    for words in [] if everything else _measurements(measured):
        output = ["--output", _PART.format(1)] if len(grids) > 1 else []
        lines.append(shlex.join(["python", "-m", "benchmark", "experiments", *words, *output]))
    if len(grids) > 1:
        parts = [_PART.format(number + 1) for number in range(len(grids))]
        lines.append(shlex.join(["python", "-m", "benchmark", "merge", *parts, "--output", _WHOLE]))
    return lines


def _parts(runs: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the runs in parts that share what a command has one value of, tuning included."""
    runs = runs.reset_index(drop=True)
    if "purpose" not in runs:
        runs = runs.assign(purpose=COMPARISON)
    fixed = [name for name in _LISTED if name not in ("seed", "learning_rate")]
    keys = [*(name for name in _SINGLE if name in runs), *fixed]
    tuning = {
        values: (tuple(sorted(set(rows["learning_rate"]))), tuple(sorted(set(rows["seed"]))))
        for values, rows in _grouped(runs[runs["purpose"] == TUNING], keys)
    }
    final = runs[runs["purpose"] == COMPARISON].copy()
    final["tuning"] = [tuning.get(values) for values in _plain_rows(final, keys)]
    single = [name for name in (*_SINGLE, "tuning") if name in final]
    return [part for _, part in _grouped(final, single)]


def _grouped(frame: pd.DataFrame, keys: list[str]) -> list[tuple[tuple, pd.DataFrame]]:
    """Return the rows by the values of these columns, in order of appearance."""
    rows: dict[tuple, list[int]] = {}
    for place, values in enumerate(_plain_rows(frame, keys)):
        rows.setdefault(values, []).append(place)
    return [(values, frame.iloc[places]) for values, places in rows.items()]


def _plain_rows(frame: pd.DataFrame, keys: list[str]) -> Iterable[tuple]:
    # NaN equals nothing, None itself.
    plain = frame[keys].astype(object).where(frame[keys].notna(), None)
    return plain.itertuples(index=False, name=None)


def _grids(part: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the rows in few parts that each hold all combinations of their values."""
    combinations = set(_plain_rows(part, list(_LISTED)))
    full = itertools.product(*(part[name].unique() for name in _LISTED))
    if combinations == set(full):
        return [part]
    # Values that are combined with the same others may stay together.
    splits = [_split(part, name) for name in _LISTED]
    fewest = min((split for split in splits if len(split) > 1), key=len)
    return [grid for piece in fewest for grid in _grids(piece)]


def _split(part: pd.DataFrame, name: str) -> list[pd.DataFrame]:
    others = [other for other in _LISTED if other != name]
    alike: dict[frozenset, list[Any]] = {}
    for value, rows in part.groupby(name, sort=False):
        alike.setdefault(frozenset(_plain_rows(rows, others)), []).append(value)
    return [part[part[name].isin(values)] for values in alike.values()]


def _options(grid: pd.DataFrame, baseline: str | None) -> list[str]:
    first = grid.iloc[0]
    article = first["validation"] == "test"
    preset = preset_for("article" if article else None, first["dataset"], first["device"] == "GPU")
    # Elsewhere the defaults are another machine's own.
    known = article or first["dataset"] == "digits"
    defaults = {**_DEFAULTS, "activation": ARTICLE_SIX, "loss_function": (preset.loss,)}
    if known:
        defaults["seed"] = tuple(range(preset.seeds))
    words = ["--dataset", first["dataset"]]
    if (grid["data_origin"] == "given folder").any():
        words += ["--data-dir", "FOLDER"]
    if article:
        words += ["--preset", "article"]
    if grid["activation_sha256"].astype(object).fillna("").ne("").any():
        words += ["--plugin", "FILE"]
    for name, option in _LISTED.items():
        values = list(dict.fromkeys(grid[name]))
        if set(values) != set(defaults.get(name, ())):
            words += [option, _listed(name, values)]
    if not known or first["epochs_asked"] != preset.epochs:
        words += ["--epochs", str(int(first["epochs_asked"]))]
    if not pd.isna(first["limit"]):
        words += ["--limit", str(int(first["limit"]))]
    for name, usual in _USUAL.items():
        if first[name] != usual:
            words += [f"--{name}", str(first[name])]
    if first["deterministic"]:
        words += ["--deterministic"]
    there = list(grid["activation"])
    if baseline in there and baseline != (BASELINE if BASELINE in there else there[0]):
        words += ["--baseline", baseline]
    return words + _tuning_options(first["tuning"])


def _listed(name: str, values: list[Any]) -> str:
    if name == "seed":
        return _seeds(sorted(values), first=0)
    if name == "activation" and values != list(ARTICLE_SIX) and set(values) == set(names()):
        return "all"
    return ",".join(str(value) for value in values)


def _seeds(seeds: list[int], first: int) -> str:
    """Return a count where the seeds are counted from `first`, else a list."""
    if seeds == list(range(first, first + len(seeds))):
        return str(len(seeds))
    # A number alone is a count.
    return ",".join(str(seed) for seed in (seeds if len(seeds) > 1 else seeds * 2))


def _tuning_options(tuning: tuple[tuple, tuple] | None) -> list[str]:
    if not tuning:
        return []
    rates, seeds = tuning
    words = ["--tune-learning-rates", ",".join(str(float(rate)) for rate in rates)]
    asked = _seeds(list(seeds), first=FIRST_TUNING_SEED)
    # Three are the default.
    return words if asked == "3" else [*words, "--tune-seeds", asked]


# Experiments


def _come_with(grid: pd.DataFrame, measured: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether run_all.py with this grid of runs measures these very experiments."""
    # It takes those activations along that its command line names.
    compared = list(dict.fromkeys(grid["activation"]))
    beside = [] if set(compared) == set(ARTICLE_SIX) else compared
    return set(measured) == set(catalogue.catalogue()) and not any(
        _own_options(catalogue.resolve(name), record, beside) for name, record in measured.items()
    )


def _measurements(measured: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Return what the commands that measure these experiments say, one for each choice."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, record in measured.items():
        words = _own_options(catalogue.resolve(name), record)
        alike.setdefault(tuple(words), []).append(name)
    everything = set(catalogue.catalogue())
    return [
        [*([] if set(chosen) == everything else chosen), *words] for words, chosen in alike.items()
    ]


def _own_options(
    made: Experiment, record: Mapping[str, Any], beside: Iterable[str] = ()
) -> list[str]:
    """Return the options of a measurement that are not the experiment's defaults."""
    spec = record.get("spec")
    if not spec:
        return []
    words = []
    if made.images and spec["dataset"] != "digits":
        words += ["--dataset", spec["dataset"]]
    if made.images and record.get("data_origin") == "given folder":
        words += ["--data-dir", "FOLDER"]
    there = [name for name, _ in spec["activations"]]
    usual = names() if made.activations is None else made.activations
    if there != list(dict.fromkeys([*usual, *beside])):
        if any(sha256 for _, sha256 in spec["activations"]):
            words += ["--plugin", "FILE"]
        words += ["--activations", "all" if there == list(names()) else ",".join(there)]
    if made.seeds and spec["seeds"] != list(range(made.seeds)):
        words += ["--seeds", _seeds(spec["seeds"], first=0)]
    defaults = {option.name: option.default for option in made.options}
    for name, value in spec["options"]:
        if name in defaults and value != _as_read(defaults[name]):
            values = value if isinstance(value, list) else [value]
            words += [f"--{name.replace('_', '-')}", ",".join(str(item) for item in values)]
    return words


def _as_read(value: Any) -> Any:
    """Return a value as it reads back from a record."""
    return json.loads(json.dumps(value))
