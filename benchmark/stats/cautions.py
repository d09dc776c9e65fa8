"""What a reader must know of a run before its numbers are compared with those of others."""

import numpy as np
import pandas as pd

# Other processes that keep more than this share of a machine's cores busy slow runs down.
BUSY_SHARE = 0.5


def under_load(runs: pd.DataFrame) -> pd.Series:
    """Return 1 for each run whose times were taken under load, 0 for others, NaN if not known.

    It was under load where `load`, the load average per core, exceeds `own_load`, the threads of
    the runs that trained side by side per core, by more than BUSY_SHARE.
    """
    if not {"load", "own_load"} <= set(runs):
        return pd.Series(np.nan, runs.index)
    of_others = runs["load"].astype(float) - runs["own_load"].astype(float)
    return (of_others > BUSY_SHARE).astype(float).where(of_others.notna())
