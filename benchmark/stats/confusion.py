"""Confusion of classes by the best and the worst activation: tables from runs' predictions.

DataFrame in, DataFrame out, as in `stats.summary`. Predictions have the columns run, index
(of the test example), true, predicted and probability (of the predicted class).
"""

from typing import Any

import numpy as np
import pandas as pd

from benchmark.stats.summary import SETTINGS, final_runs, joined, with_shared_rates

BEST, WORST = "best", "worst"
_KEYS = [*SETTINGS, "role", "activation"]
IMAGE_COLUMNS = ["height", "width", "scale", "pixels"]


def best_and_worst(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the complete runs of the activations with the best and worst mean test accuracy.

    One row per setting, role ("best", "worst") and `run`, sorted. An activation without a complete
    run is neither; of equals it is the first in the alphabet; where there is only one it is the
    best.
    """
    final = with_shared_rates(final_runs(runs))
    final["limit"] = final["limit"].astype("Int64")
    complete = final[final["status"] == "complete"]
    means = complete.groupby([*SETTINGS, "activation"], dropna=False)["test_accuracy"].mean()
    # Equal means may differ by rounding errors.
    table = means.astype(float).round(12).reset_index()
    parts = []
    for role, ascending in ((BEST, False), (WORST, True)):
        order = [*SETTINGS, "test_accuracy", "activation"]
        ranked = table.sort_values(order, ascending=[*[True] * len(SETTINGS), ascending, True])
        parts.append(ranked.drop_duplicates(SETTINGS).assign(role=role))
    chosen = pd.concat(parts).drop_duplicates([*SETTINGS, "activation"])
    chosen_runs = complete.merge(chosen[_KEYS], on=[*SETTINGS, "activation"])
    return chosen_runs.sort_values([*_KEYS, "seed", "run"])[[*_KEYS, "run"]].reset_index(drop=True)


def confusion(predictions: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return how often the best and the worst activation's runs predict each class for each.

    One row per setting, role, true and predicted class, also where `count`, the sum over runs, is
    0; `n_runs` is how many runs had predictions.
    """
    table = _of_roles(predictions, runs)
    keys = [*_KEYS, "true", "predicted"]
    if table.empty:
        return pd.DataFrame(columns=[*keys, "count", "n_runs"])
    parts = []
    for values, rows in table.groupby(_KEYS, dropna=False):
        classes = np.union1d(rows["true"], rows["predicted"])
        cells = pd.MultiIndex.from_product([classes, classes], names=["true", "predicted"])
        counts = rows.groupby(["true", "predicted"]).size().reindex(cells, fill_value=0)
        part = counts.rename("count").reset_index()
        settings: dict[str, Any] = dict(zip(_KEYS, values))
        parts.append(part.assign(n_runs=rows["run"].nunique(), **settings))
    return joined(parts, [*keys, "count", "n_runs"])


def misclassified(predictions: pd.DataFrame, runs: pd.DataFrame, n: int = 12) -> pd.DataFrame:
    """Return the n test examples that most runs of the best and the worst activation misclassify.

    One row per setting, role and example, the most often misclassified first; among equals those
    with the higher probability. `predicted` is the most frequent wrong class (of equals the one
    with the higher mean probability), `probability` the mean given to it by the runs that chose
    it, `n_misclassified` how many of the `n_runs` were wrong in any way. IMAGE_COLUMNS are empty,
    for the caller to fill in.
    """
    table = _of_roles(predictions, runs)
    columns = [*_KEYS, "index", "true", "predicted", "n_misclassified", "n_runs", "probability"]
    if table.empty:
        return pd.DataFrame(columns=[*columns, *IMAGE_COLUMNS])
    parts = []
    for values, rows in table.groupby(_KEYS, dropna=False):
        part = _most_misclassified(rows[rows["true"] != rows["predicted"]], n)
        settings: dict[str, Any] = dict(zip(_KEYS, values))
        parts.append(part.assign(n_runs=rows["run"].nunique(), **settings))
    frame = joined(parts, columns)
    empty = pd.Series(None, frame.index, dtype=object)
    return frame.assign(**dict.fromkeys(IMAGE_COLUMNS, empty))


def _most_misclassified(wrong: pd.DataFrame, n: int) -> pd.DataFrame:
    wrong = wrong.sort_values(["index", "predicted", "run"])
    by_class = wrong.groupby(["index", "true", "predicted"])
    classes = by_class.agg(votes=("run", "size"), probability=("probability", "mean")).reset_index()
    order = ["index", "votes", "probability", "predicted"]
    classes = classes.sort_values(order, ascending=[True, False, False, True])
    examples = classes.drop_duplicates("index").drop(columns="votes")
    examples = examples.assign(n_misclassified=examples["index"].map(wrong.groupby("index").size()))
    order = ["n_misclassified", "probability", "index"]
    return examples.sort_values(order, ascending=[False, False, True]).head(n)


def _of_roles(predictions: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    return predictions.merge(best_and_worst(runs), on="run")
