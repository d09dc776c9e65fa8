"""DataFrame in, DataFrame out: no TensorFlow, no plotting, no files.

The same rows in another order give the same tables. Runs of older results folders lack the columns
`purpose`, `test_images` and `majority_share`: they count as a comparison's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from benchmark.stats import cautions, intervals

# The settings that define a comparison; `activation` and `seed` vary inside it.
SETTINGS = [
    "dataset",
    "model",
    "optimizer",
    "learning_rate",
    "loss_function",
    "batch_size",
    "epochs_asked",
    "limit",
    "initializer",
    "validation",
    "precision",
    "rates",
]
EPOCH_METRICS = ["loss", "accuracy", "val_loss", "val_accuracy"]
FINAL_SCORES = ["test_accuracy", "test_loss", "val_accuracy", "val_loss"]
# The best epoch's, and the mean over epochs: the area under the learning curve.
CURVE_SCORES = ["best_val_accuracy", "best_val_loss", "val_accuracy_auc"]
COSTS = ["seconds", "seconds_per_epoch", "peak_memory_mb"]
SUMMARY_METRICS = [*FINAL_SCORES, *CURVE_SCORES, *COSTS]
# A run has learned something if its test accuracy is that much above the share of the most
# frequent class.
MARGIN = 0.05
# Validation accuracies whose time of arrival is reported.
LEVELS = {
    "mnist": (0.97, 0.98, 0.99),
    "fashion_mnist": (0.85, 0.88, 0.90),
    "digits": (0.90, 0.95, 0.97),
    "mnist1d": (0.50, 0.70, 0.85),
}

_LATER_COLUMNS = ("purpose", "test_images", "majority_share")
_UNTUNED = [name for name in SETTINGS if name not in ("learning_rate", "rates")]
_STATUSES = {
    "n_completed": ["complete"],
    "n_diverged": ["diverged"],
    "n_failed": ["failed"],
    # A damaged run is one to be done again.
    "n_unfinished": ["unfinished", "damaged"],
}


@dataclass(frozen=True)
class _Groups:
    """Rows by group: the groups' `keys`, and each row's group and position in it."""

    keys: pd.DataFrame
    ids: np.ndarray
    positions: np.ndarray

    @classmethod
    def of(cls, frame: pd.DataFrame, names: list[str]) -> "_Groups":
        """Return the groups of a frame in the order in which they first appear."""
        grouped = frame.groupby(names, sort=False, dropna=False)
        keys = frame[names].drop_duplicates(ignore_index=True)
        if "limit" in keys:
            keys["limit"] = keys["limit"].astype("Int64")
        return cls(keys, grouped.ngroup().to_numpy(int), grouped.cumcount().to_numpy(int))

    def count(self, mask: pd.Series) -> np.ndarray:
        """Return how many rows of each group are marked."""
        marked = self.ids[mask.to_numpy(bool)]
        return np.bincount(marked, minlength=len(self.keys))

    def samples(self, values: pd.Series) -> np.ndarray:
        """Return the values by group, (groups, size of the largest), the rest NaN."""
        table = np.full((len(self.keys), self.positions.max(initial=0) + 1), np.nan)
        table[self.ids, self.positions] = values.to_numpy(float)
        return table


def final_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that are compared, not those that served to choose a learning rate.

    The column `rates` says with which: "shared", the one asked for, or "tuned", the activation's
    own. A run at a shared rate that is also its activation's own is there twice. Sorted by
    settings, activation and seed.
    """
    runs = _with_later_columns(runs)
    shared = runs[runs["purpose"] == "comparison"].assign(rates="shared")
    keys = [*_UNTUNED, "activation", "learning_rate"]
    candidates = runs[runs["purpose"].isin(["comparison", "tuned"])]
    tuned = candidates.merge(chosen_rates(runs)[keys], on=keys).assign(rates="tuned")
    # A column without rows has no type worth concatenating.
    final = pd.concat([shared, tuned] if len(tuned) else [shared], ignore_index=True)
    order = with_shared_rates(final).sort_values([*SETTINGS, "activation", "seed", "run"]).index
    return final.loc[order].reset_index(drop=True)


def with_shared_rates(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose learning rate is empty where each activation has its own.

    The rows of one setting then agree in all of SETTINGS.
    """
    return frame.assign(learning_rate=frame["learning_rate"].mask(frame["rates"] == "tuned"))


def joined(parts: Sequence[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """Return the rows of all parts with these columns, `limit` among them as whole numbers."""
    if not parts:
        return pd.DataFrame(columns=columns)
    frame = pd.concat(parts, ignore_index=True)[columns]
    frame["limit"] = frame["limit"].astype("Int64")
    return frame


def not_learned(runs: pd.DataFrame) -> pd.Series:
    """Return for each run whether it is complete and has not learned (see MARGIN).

    It is False where the share of the most frequent class is not known.
    """
    accuracy = runs["test_accuracy"].astype(float)
    return (runs["status"] == "complete") & (accuracy <= runs["majority_share"] + MARGIN)


def mostly(completed: ArrayLike, diverged: ArrayLike, missed: ArrayLike) -> np.ndarray:
    """Return whether an activation did not learn: more than half of its runs diverged or missed.

    Arguments: how many runs are complete, diverged, and complete without having learned (see
    MARGIN); any shapes that broadcast.
    """
    ended = np.asarray(completed) + np.asarray(diverged)
    return 2 * (np.asarray(diverged) + np.asarray(missed)) > ended


def tuning(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per setting, activation and learning rate that was tried, sorted.

    The rate with the highest mean final validation accuracy over the complete tuning runs is
    `chosen`; one with a run that is not complete only if all rates have such runs. Among equals it
    is the one with the lower mean validation loss, then the smaller rate. `at_edge` marks a
    chosen rate that is the smallest or the largest tried: a better one may lie outside.
    """
    setting = ["dataset", "model", "activation", *_UNTUNED[2:]]
    runs = _with_later_columns(runs)
    order = [*_UNTUNED, "activation", "learning_rate"]
    tried = runs[runs["purpose"] == "tuning"].sort_values(order)
    groups = _Groups.of(tried, [*setting, "learning_rate"])
    counts = _counts(tried, groups)
    complete = tried["status"] == "complete"
    accuracy, loss = (
        intervals.estimates(groups.samples(tried[name].where(complete)))
        for name in ("val_accuracy", "val_loss")
    )
    table = groups.keys.assign(
        **{name: counts[name] for name in ("n_completed", "n_diverged", "n_failed")},
        val_accuracy_mean=accuracy.mean,
        val_accuracy_std=accuracy.std,
    )
    by_setting = table.groupby(setting, sort=False, dropna=False)
    # In the order of what decides.
    merits = pd.DataFrame(
        {
            "setting": by_setting.ngroup(),
            "unsound": groups.count(~complete) > 0,
            # Equal means may differ by rounding errors.
            "error": -np.round(accuracy.mean, 12),
            "loss": np.round(loss.mean, 12),
            "rate": table["learning_rate"],
        }
    )
    ranked = merits[table["n_completed"] > 0].sort_values(list(merits.columns))
    table["chosen"] = table.index.isin(ranked.drop_duplicates("setting").index)
    rates = by_setting["learning_rate"]
    lowest, highest = (table["learning_rate"] == rates.transform(end) for end in ("min", "max"))
    return table.assign(at_edge=table["chosen"] & (lowest | highest))


def chosen_rates(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `tuning` with the chosen learning rates: one per setting and activation.

    An activation without a complete tuning run has none.
    """
    table = tuning(runs)
    return table[table["chosen"]].reset_index(drop=True)


def summarize(runs: pd.DataFrame, history: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return one row per setting and activation, sorted by them.

    Counts: `n_completed` complete runs, `n_diverged`, `n_failed`, `n_unfinished`, `n_not_learned`
    (complete, see MARGIN), `n_under_load` and `n_still_improving` (complete, see `cautions`); the
    last three are empty where that is not known. Of each of SUMMARY_METRICS over the complete runs:
    `_mean`, `_std`, `_ci_low`, `_ci_high`, `_median`, `_iqm` as `intervals.estimates` gives them.
    Where some runs have learned and others have not, no score has an interval of its mean.
    `test_sampling_error` is the standard error that the mean test accuracy has from the choice of
    the test examples; `note` describes irregularities in words.

    `history` gives the scores of CURVE_SCORES and `n_still_improving`, empty without it.
    """
    final = _with_curve_scores(final_runs(runs), history)
    groups = _Groups.of(final, ["dataset", "model", "activation", *SETTINGS[2:]])
    counts = _counts(final, groups)
    failures = groups.count(not_learned(final))
    complete = final["status"] == "complete"
    known = groups.count(complete & final["majority_share"].isna()) == 0
    counts["n_not_learned"] = failures if known.all() else np.where(known, failures, np.nan)
    marks = {
        "under_load": cautions.under_load(final),
        "still_improving": _improving(final, history),
    }
    for name, marked in marks.items():
        counts[f"n_{name}"] = _counted(groups, marked.where(complete))
    two_outcomes = (failures > 0) & (failures < counts["n_completed"])
    columns = {}
    for metric in SUMMARY_METRICS:
        values = final[metric] if metric in final else pd.Series(np.nan, final.index)
        estimates = intervals.estimates(groups.samples(values.where(complete)))
        unclear = two_outcomes & (metric not in COSTS)
        columns[f"{metric}_mean"], columns[f"{metric}_std"] = estimates.mean, estimates.std
        columns[f"{metric}_ci_low"] = np.where(unclear, np.nan, estimates.ci_low)
        columns[f"{metric}_ci_high"] = np.where(unclear, np.nan, estimates.ci_high)
        columns[f"{metric}_median"], columns[f"{metric}_iqm"] = estimates.median, estimates.iqm
    examples = intervals.median(groups.samples(final["test_images"].where(complete)))
    error = intervals.sampling_error(columns["test_accuracy_mean"], examples)
    notes = [_note(dict(zip(counts, row))) for row in zip(*counts.values())]
    return groups.keys.assign(**counts, **columns, test_sampling_error=error, note=notes)


def _with_later_columns(runs: pd.DataFrame) -> pd.DataFrame:
    """Return runs that have all columns, whichever version wrote them."""
    purpose = runs["purpose"] if "purpose" in runs else pd.Series(None, runs.index, dtype=object)
    numbers = {
        name: runs[name].astype(float) if name in runs else np.nan
        for name in ("test_images", "majority_share")
    }
    # In memory a column without any limit may have no type to join on.
    numbers["limit"] = runs["limit"].astype(float)
    return runs.assign(purpose=purpose.fillna("comparison"), **numbers)


def _counts(frame: pd.DataFrame, groups: _Groups) -> dict[str, np.ndarray]:
    return {name: groups.count(frame["status"].isin(words)) for name, words in _STATUSES.items()}


def _counted(groups: _Groups, marks: pd.Series) -> np.ndarray:
    """Return how many rows of each group have the mark 1, NaN where none has a mark."""
    known, marked = groups.count(marks.notna()) > 0, groups.count(marks > 0)
    return marked if known.all() else np.where(known, marked, np.nan)


def _improving(final: pd.DataFrame, history: pd.DataFrame | None) -> pd.Series:
    """Return 1 for each run that was still improving at the end, NaN where that is not known."""
    if history is None:
        return pd.Series(np.nan, final.index)
    return final["run"].map(cautions.still_improving(history).astype(float))


def _with_curve_scores(final: pd.DataFrame, history: pd.DataFrame | None) -> pd.DataFrame:
    if history is None:
        return final.assign(**dict.fromkeys(CURVE_SCORES, np.nan))
    # Summed in the order of epochs, whatever the order of the rows.
    epochs = history.sort_values("epoch", kind="stable")
    by_run = epochs.astype({"val_accuracy": float, "val_loss": float}).groupby("run")
    scores = pd.DataFrame(
        {
            "best_val_accuracy": by_run["val_accuracy"].max(),
            "best_val_loss": by_run["val_loss"].min(),
            "val_accuracy_auc": by_run["val_accuracy"].mean(),
        }
    )
    return final.merge(scores, left_on="run", right_index=True, how="left")


def _note(counts: dict[str, float]) -> str:
    complete = counts["n_completed"]
    asked = sum(counts[name] for name in _STATUSES)
    words = {"n_diverged": "diverged", "n_failed": "failed", "n_unfinished": "unfinished"}
    parts = [
        f"{counts[name]} of {asked} runs {word}" for name, word in words.items() if counts[name]
    ]
    if counts["n_not_learned"] > 0:
        few = f"{int(counts['n_not_learned'])} of {complete} runs did not learn"
        mixed = counts["n_not_learned"] < complete
        parts.append(f"{few}: two outcomes, no interval of a mean" if mixed else few)
    if counts["n_under_load"] > 0:
        parts.append(f"times of {int(counts['n_under_load'])} of {complete} runs taken under load")
    if cautions.too_short(counts["n_still_improving"], complete):
        improving = f"{int(counts['n_still_improving'])} of {complete} runs"
        parts.append(f"{improving} still improving at the end (speed is compared too)")
    if complete == 1:
        parts.append("one complete run: no interval")
    return "; ".join(parts)


def curves(history: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per setting, activation and epoch: the mean over seeds and a band.

    For each of loss, accuracy, val_loss and val_accuracy: `_mean`, `_low` and `_high`, the band
    being the mean plus and minus one standard deviation (equal to the mean for one seed). Sorted
    by settings, activation and epoch; the learning rate is empty where each activation has its own.
    """
    final = with_shared_rates(final_runs(runs))
    groups = _Groups.of(final, [*SETTINGS, "activation"])
    table = _epochs(history, final).assign(group=lambda rows: groups.ids[rows["order"]])
    # Summed in the order of seeds, whatever the order of the rows.
    table = table.sort_values(["group", "epoch", "order"])
    grouped = table.groupby(["group", "epoch"], sort=False)
    frame = grouped.agg(n_seeds=("seed", "nunique")).reset_index()
    # Where one seed has diverged there is no mean: that of the others would be too good.
    undefined = grouped[EPOCH_METRICS].count().lt(grouped.size(), axis=0)
    # An infinite loss gives an infinite mean and an undefined deviation; neither is an error.
    with np.errstate(invalid="ignore"):
        for metric in EPOCH_METRICS:
            mean = grouped[metric].mean().mask(undefined[metric]).to_numpy()
            spread = grouped[metric].std(ddof=1).fillna(0.0).to_numpy()
            frame[f"{metric}_mean"] = mean
            frame[f"{metric}_low"], frame[f"{metric}_high"] = mean - spread, mean + spread
    settings = groups.keys.loc[frame["group"]].reset_index(drop=True)
    return pd.concat([settings, frame.drop(columns="group")], axis=1)


def time_to_accuracy(history: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return when each activation reaches the validation accuracies of LEVELS.

    One row per setting, activation and target: `n_runs` complete or diverged runs, how many of
    them reached it, and the medians over these runs of the first epoch that did and of the
    seconds until its end, a first epoch counting at most as long as the run's median one. A run
    that never did counts as infinitely late: where that makes a median infinite it is empty.
    """
    final = final_runs(runs)
    epochs = _epochs(history, final).sort_values(["order", "epoch"])
    # The first epoch of a worker's first run includes compiling, no cost of the activation.
    usual = epochs.groupby("order")["seconds"].transform("median")
    slow_start = (epochs["epoch"] == 1) & (epochs["seconds"] > usual)
    epochs["until"] = epochs["seconds"].mask(slow_start, usual)
    epochs["until"] = epochs.groupby("order")["until"].cumsum()
    groups = _Groups.of(final, [*SETTINGS, "activation"])
    watched = final["status"].isin(["complete", "diverged"])
    parts = []
    for dataset, accuracies in LEVELS.items():
        of_dataset = groups.keys["dataset"] == dataset
        for target in accuracies:
            first = epochs[epochs["val_accuracy"] >= target].drop_duplicates("order")
            first = first.set_index("order").reindex(final.index)
            late = first[["epoch", "until"]].astype(float).fillna(np.inf).where(watched, axis=0)
            medians = {
                f"{name}_median": intervals.median(groups.samples(late[column]))
                for name, column in (("epochs", "epoch"), ("seconds", "until"))
            }
            part = groups.keys.assign(
                target=target,
                n_runs=groups.count(watched),
                n_reached=groups.count(watched & first["epoch"].notna()),
                **{name: np.where(np.isinf(m), np.nan, m) for name, m in medians.items()},
            )
            parts.append(part[of_dataset])
    return pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)


def _epochs(history: pd.DataFrame, final: pd.DataFrame) -> pd.DataFrame:
    """Return the epochs of the final runs; `order` is the run's position among these."""
    columns = history[["run", "epoch", *EPOCH_METRICS, "seconds"]]
    columns = columns.astype(dict.fromkeys([*EPOCH_METRICS, "seconds"], float))
    order = final[["run", "seed"]].assign(order=np.arange(len(final)))
    return columns.merge(order, on="run")
