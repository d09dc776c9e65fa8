"""DataFrame in, DataFrame out: no TensorFlow, no plotting, no files."""

import numpy as np
import pandas as pd

# What tells one comparison from another; `activation` and `seed` vary inside it.
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
]
METRICS = ["loss", "accuracy", "val_loss", "val_accuracy"]
SUMMARY_METRICS = ["test_accuracy", "test_loss", "val_accuracy", "val_loss", "seconds_per_epoch"]


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per setting and activation, in the order in which they first appear.

    Counts: `n_seeds` complete runs, `n_diverged`, `n_failed`. Means and standard deviations
    (n - 1 in the denominator; empty for fewer than two) are over the complete runs.
    """
    keys = ["dataset", "model", "activation", *SETTINGS[2:]]
    rows = []
    for values, group in runs.groupby(keys, sort=False, dropna=False):
        complete = group[group["status"] == "complete"]
        row = dict(zip(keys, values))
        row["n_seeds"] = len(complete)
        row["n_diverged"] = int((group["status"] == "diverged").sum())
        row["n_failed"] = int((group["status"] == "failed").sum())
        for metric in SUMMARY_METRICS:
            row[f"{metric}_mean"] = complete[metric].mean()
            row[f"{metric}_std"] = complete[metric].std(ddof=1)
        rows.append(row)
    frame = pd.DataFrame(rows)
    frame["limit"] = frame["limit"].astype("Int64")
    return frame


def curves(history: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per setting, activation and epoch: the mean over seeds and a band.

    For each of loss, accuracy, val_loss and val_accuracy: `_mean`, `_low` and `_high`, the band
    being the mean plus and minus one standard deviation (equal to the mean for one seed).
    """
    extra = [name for name in SETTINGS if name not in history.columns]
    table = history.merge(runs[["run", *extra]], on="run", how="left", validate="many_to_one")
    keys = [*SETTINGS, "activation", "epoch"]
    grouped = table.groupby(keys, sort=False, dropna=False)
    frame = grouped.agg(n_seeds=("seed", "nunique")).reset_index()
    # Where one seed has diverged there is no mean: that of the others would flatter.
    undefined = grouped[METRICS].count().lt(grouped.size(), axis=0)
    # An infinite loss gives an infinite mean and an undefined deviation; neither is a mishap.
    with np.errstate(invalid="ignore"):
        for metric in METRICS:
            mean = grouped[metric].mean().mask(undefined[metric]).to_numpy()
            spread = grouped[metric].std(ddof=1).fillna(0.0).to_numpy()
            frame[f"{metric}_mean"] = mean
            frame[f"{metric}_low"], frame[f"{metric}_high"] = mean - spread, mean + spread
    return frame
