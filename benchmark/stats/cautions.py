"""What a reader must know of a run before its numbers are compared with those of others."""

from typing import TypeVar

import numpy as np
import pandas as pd

_Counts = TypeVar("_Counts", float, pd.Series)

# Other processes that keep more than this share of a machine's cores busy slow runs down.
BUSY_SHARE = 0.5
# Of an activation's complete runs, those that may be still improving without a warning.
IMPROVING_SHARE = 0.25


def under_load(runs: pd.DataFrame) -> pd.Series:
    """Return 1 for each run whose times were taken under load, 0 for others, NaN if not known.

    It was under load where `load`, the load average per core, exceeds `own_load`, the threads of
    the runs that trained side by side per core, by more than BUSY_SHARE.
    """
    if not {"load", "own_load"} <= set(runs):
        return pd.Series(np.nan, runs.index)
    of_others = runs["load"].astype(float) - runs["own_load"].astype(float)
    return (of_others > BUSY_SHARE).astype(float).where(of_others.notna())


def still_improving(history: pd.DataFrame) -> pd.Series:
    """Return whether each run in `history` was still improving at the end, indexed by run.

    It was where its validation loss fell to its lowest value only in the last tenth of its epochs,
    rounded down, but in the last epoch at least. The loss tells more than the accuracy, which
    takes few values on a small validation set.
    """
    epochs, losses = history["epoch"].astype(int), history["val_loss"].astype(float)
    lowest = losses.groupby(history["run"]).transform("min")
    best = epochs.where(losses == lowest).groupby(history["run"]).min()
    last = epochs.groupby(history["run"]).max()
    return best > last - (last // 10).clip(lower=1)


def too_short(n_still_improving: _Counts, n_completed: _Counts) -> _Counts:
    """Return whether more than a quarter of the complete runs were still improving at the end:
    a comparison of such runs is one of speed as much as of the end."""
    return n_still_improving > IMPROVING_SHARE * n_completed
