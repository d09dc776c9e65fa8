"""How the runs of a folder were made and what they do not show, in words: Markdown out."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from benchmark.formatting import counted, listing
from benchmark.report.story import named, percentage
from benchmark.stats.summary import SETTINGS
from benchmark.training.spec import CLIP_VALUE, COMPARISON, TUNING

_NETWORKS = {
    "cnn": "two convolutions (3×3, 32 and 64 channels), max-pooling, a dense layer of 128 and the"
    " softmax, with dropout of 0.25 and 0.5 (`cnn`, the article's)",
    "mlp": "three dense layers of 128 and the softmax, with dropout of 0.25, 0.25 and 0.5 (`mlp`)",
}
_WEIGHTS = {
    "article": "Glorot uniform, for SELU LeCun normal with AlphaDropout (`article`)",
    "shared": "Glorot uniform for all (`shared`)",
    "recommended": "those recommended for each activation (`recommended`)",
}
_VALIDATION = {
    "holdout": "the last 20 % of the training set, held out",
    "test": "the test set itself, as in the source's protocol",
}


def described(runs: pd.DataFrame, environment: dict[str, Any]) -> str:
    """Return how the runs were made: data, network, training, seeds, machine; as a list.

    Args:
        runs: rows of runs.csv, one or more.
        environment: what environment.json holds; may be empty.
    """
    final = runs[runs["purpose"] != TUNING]
    if final.empty:
        # A job that was stopped early.
        return "The runs that are there only serve to choose learning rates; none is compared yet."
    shared = runs[runs["purpose"] == COMPARISON]
    rate = f"learning rate {_values(shared, 'learning_rate')}"
    if (runs["purpose"] == TUNING).any():
        rate += " and each activation's own"
    epochs = counted(final["epochs_asked"].max(), "epoch")
    if final["epochs_asked"].nunique() > 1:
        epochs = f"{_values(final, 'epochs_asked')} epochs"
    lines = [
        f"**Data:** {_data(final)}. Validation: {_each(final, 'validation', _VALIDATION)}.",
        f"**Network:** {_each(final, 'model', _NETWORKS)}.",
        f"**Training:** {_values(final, 'optimizer')}, {rate}, batches of"
        f" {_values(final, 'batch_size')}, {epochs}, {_values(final, 'loss_function')}, gradients"
        f" clipped at ±{CLIP_VALUE:g} element by element.",
        f"**Initial weights:** {_each(final, 'initializer', _WEIGHTS)}; the softmax layer keeps"
        " Glorot uniform.",
        f"**Activations:** {len(final['activation'].unique())}"
        f" ({', '.join(dict.fromkeys(final['activation']))}).",
        _seeds(final),
        _tuning_runs(runs),
        _machine(final, environment),
    ]
    return _bullets(lines)


def _values(runs: pd.DataFrame, name: str) -> str:
    values = sorted(runs[name].dropna().unique())
    return listing(str(v).replace("_", " ") if isinstance(v, str) else f"{v:g}" for v in values)


def _each(runs: pd.DataFrame, name: str, words: dict[str, str]) -> str:
    """Return the words for the values of a setting, joined where there are several."""
    return "; or ".join(words.get(value, str(value)) for value in dict.fromkeys(runs[name]))


def _data(runs: pd.DataFrame) -> str:
    parts = []
    for name, rows in runs.groupby("dataset", sort=False):
        limits = ["all" if pd.isna(limit) else f"the first {limit:g}" for limit in _limits(rows)]
        text = f"{name}, {' or '.join(limits)} training images"
        images = rows["test_images"].dropna()
        if len(images):
            share = percentage(rows["majority_share"].max())
            # As validation images they are scored after every epoch.
            once = "" if (rows["validation"] == "test").any() else ", scored once at the end"
            text += (
                f", {counted(images.iloc[0], 'test image')}{once} (guessing the most frequent class"
                f" would give {share})"
            )
        parts.append(text)
    return "; ".join(parts)


def _limits(runs: pd.DataFrame) -> list[float]:
    return list(runs["limit"].drop_duplicates())


def _seeds(runs: pd.DataFrame) -> str:
    seeds = sorted(runs["seed"].unique())
    in_a_row = len(seeds) > 3 and seeds == list(range(seeds[0], seeds[-1] + 1))
    told = f"{seeds[0]} to {seeds[-1]}" if in_a_row else listing(str(seed) for seed in seeds)
    same = runs.groupby([*_known(runs, SETTINGS), "activation"], dropna=False)["seed"].agg(set)
    paired = (
        "A seed fixes batch order and, as far as initializer, dropout and layer sizes are the same,"
        " initial weights and dropout noise for every activation, so that runs pair up."
    )
    if same.map(frozenset).nunique() > 1:
        paired += " Not every activation has run with all of them."
    return f"**Seeds:** {len(seeds)} ({told}). {paired}"


def _known(table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in table]


def _tuning_runs(runs: pd.DataFrame) -> str:
    chosen = runs[runs["purpose"] == TUNING]
    if chosen.empty:
        return ""
    return (
        f"**Learning rates of their own:** {counted(len(chosen), 'further run')} with other seeds"
        f" ({_values(chosen, 'seed')}) chose among {_values(chosen, 'learning_rate')}, by"
        " validation accuracy."
    )


def _machine(runs: pd.DataFrame, environment: dict[str, Any]) -> str:
    parts = [str(environment[name]) for name in ("processor",) if environment.get(name)]
    if environment.get("cores"):
        parts.append(counted(environment["cores"], "core"))
    parts += [str(gpu) for gpu in environment.get("gpus") or []]
    versions = environment.get("versions", {})
    parts += [f"{n} {versions[n]}" for n in ("tensorflow", "keras", "python") if n in versions]
    threads = counted(runs["threads"].max(), "thread")
    if runs["threads"].nunique() > 1:
        threads = f"{_values(runs, 'threads')} threads"
    parts.append(f"runs on {_values(runs, 'device')} with {threads}, {_values(runs, 'precision')}")
    return f"**Machine:** {', '.join(parts)}."


def statuses(runs: pd.DataFrame) -> str:
    """Return how many runs there are and which did not complete, by activation."""
    counts = runs["status"].value_counts()
    total = counted(len(runs), "run")
    if counts.get("complete", 0) == len(runs):
        return f"{total}, all complete." if len(runs) > 1 else f"{total}, complete."
    told = [f"{counts.get('complete', 0)} complete"]
    for status, meaning in (
        ("diverged", "the loss became infinite or not a number: a finding, not a fault"),
        ("failed", "an error stopped them; each run's folder has its log"),
        ("unfinished", "the same command goes on with them"),
    ):
        rows = runs[runs["status"] == status]
        if len(rows):
            who = rows["activation"].value_counts(sort=False)
            told.append(
                f"{len(rows)} {status} ({named(f'{name} {n}' for name, n in who.items())};"
                f" {meaning})"
            )
    return f"Of {total}: {'; '.join(told)}. Means are over complete runs only."


def limits(runs: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Return what to keep in mind of a comparison, as a list that suits these runs."""
    final = runs[runs["purpose"] != TUNING]
    seeds = int(summary["n_completed"].max())
    lines = [_generality(final)]
    if seeds == 0:
        lines.append("No run is complete yet: nothing here is a result.")
    elif seeds == 1:
        lines.append("There is one run of each activation: it says nothing of the spread by seed.")
    else:
        lines.append(
            "Seeds vary initial weights, batch order and dropout, not the images: the intervals"
            " say what other seeds would give, not what other images would."
        )
    if (summary["rates"] == "tuned").any():
        lines.append(
            "Learning rates were chosen from a coarse grid; all else is the same for all, which"
            " may suit some activations better than others."
        )
    else:
        lines.append(
            "All activations train with the same learning rate and settings, which may suit some"
            " better than others (`--tune-learning-rates` gives each its own)."
        )
    if (final["validation"] == "test").any():
        lines.append(
            "The test set also served as validation set: its curves have been seen by whoever"
            " chooses by them."
        )
    if final["limit"].notna().any():
        lines.append("Only a part of the training images was used.")
    if (final["precision"] != "float32").any():
        lines.append("Layers computed in 16 bits in some runs, which decides results too.")
    lines.append("Times are this machine's; another processor or a GPU may order them otherwise.")
    return _bullets(lines)


def _generality(runs: pd.DataFrame) -> str:
    data, models = runs["dataset"].unique(), runs["model"].unique()
    which = f"{'One dataset' if len(data) == 1 else f'{len(data)} datasets'} ({listing(data)})"
    network = "one network" if len(models) == 1 else f"{len(models)} networks"
    return (
        f"{which} and {network} of few layers: in deeper or other networks, and on other data, the"
        " order may be another."
    )


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines if line)
