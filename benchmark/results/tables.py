"""The tables beside runs.csv: statistics of the recorded runs."""

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd

from benchmark.activations import CONTROL
from benchmark.data.catalogue import CATALOGUE, DatasetInfo
from benchmark.data.loading import Dataset
from benchmark.errors import RequestError
from benchmark.formatting import listing
from benchmark.results.folder import Store
from benchmark.stats import comparisons, confusion, summary
from benchmark.stats.answer import Answer, answers
from benchmark.training.request import BASELINE

_PIXELS = ["height", "width", "scale", "pixels"]


def derive(
    store: Store,
    history: pd.DataFrame,
    runs: pd.DataFrame,
    baseline: str | None = None,
    data: Dataset | None = None,
    margin: float | None = None,
) -> dict[str, pd.DataFrame]:
    """Return the tables computed from history.csv and runs.csv, by the names of their files.

    Args:
        store: the folder, for the predictions of runs.
        history: the epochs.
        runs: the runs.
        baseline: what the others are compared with; None is the one of the folder's last tables,
            else ReLU, else the first activation.
        data: the dataset, to show the misclassified examples; None takes those shown before.
        margin: difference in accuracy (a share) up to which two count as equal; None is that of
            the folder's last tables, else each dataset's own.

    Raises:
        RequestError: no run has the baseline.
    """
    baseline = _baseline(store, runs, baseline)
    margins = _margins(store, runs, margin)
    right = store.right(comparisons.compared_runs(runs))
    predictions = store.predictions(sorted(confusion.best_and_worst(runs)["run"]))
    tables = {
        "summary": summary.summarize(runs, history),
        "time_to_accuracy": summary.time_to_accuracy(history, runs),
        "comparisons": comparisons.compare(runs, baseline, margins, right),
        "pairs": comparisons.all_pairs(runs, margins, right),
        "tuning": summary.tuning(runs),
        "confusion": confusion.confusion(predictions, runs),
    }
    misclassified = confusion.misclassified(predictions, runs)
    before = _optional(store, "misclassified.csv")
    tables["misclassified"] = _with_pixels(misclassified, data, before)
    return tables


def write(store: Store, tables: dict[str, pd.DataFrame], runs: pd.DataFrame) -> None:
    """Write the tables and the answer; one of learning rates only where some were chosen."""
    # Of older versions: seeds are no blocks for a test of ranks.
    store.remove("ranks.csv")
    for name, table in tables.items():
        if name == "tuning" and table.empty:
            store.remove("tuning.csv")
        else:
            store.write_table(f"{name}.csv", table)
    store.write_text("answer.json", json.dumps(answer(tables, runs), indent=2) + "\n")


def _baseline(store: Store, runs: pd.DataFrame, wanted: str | None) -> str:
    activations = list(dict.fromkeys(runs["activation"]))
    if wanted is None:
        last = _optional(store, "comparisons.csv").get("baseline", pd.Series(dtype=str))
        candidates = [*last.dropna().unique(), BASELINE, *activations]
        return next(name for name in candidates if name in activations)
    if wanted not in activations:
        raise RequestError(
            f"baseline {wanted!r} is not among the activations compared: give one of"
            f" {listing(activations)}"
        )
    return wanted


def _optional(store: Store, name: str) -> pd.DataFrame:
    """Return a table of an earlier command, without rows if there is none or it is damaged."""
    try:
        return store.table(name)
    except RequestError:
        return pd.DataFrame()


def answer(tables: Mapping[str, pd.DataFrame], runs: pd.DataFrame) -> list[Answer]:
    """Return what to use in each setting, by the tables that `derive` gives."""
    baselines = tables["comparisons"].get("baseline", pd.Series(dtype=str))
    baseline = next(iter(baselines), BASELINE)
    final = summary.final_runs(runs)
    return answers(tables["pairs"], tables["summary"], final, baseline, CONTROL)


def answers_by(runs: pd.DataFrame, margins: Mapping[str, float]) -> list[Answer]:
    """Return what to use in each setting by these runs, before there are tables of them."""
    pairs = comparisons.all_pairs(runs, margins)
    rows, final = summary.summarize(runs), summary.final_runs(runs)
    return answers(pairs, rows, final, BASELINE, CONTROL)


def answer_of(store: Store, runs: pd.DataFrame) -> list[Answer]:
    """Return the answer by the tables of a folder; none where these are missing or older."""
    tables = {name: _optional(store, f"{name}.csv") for name in ("comparisons", "pairs", "summary")}
    if tables["summary"].empty or set(comparisons.PAIR_COLUMNS) - set(tables["pairs"]):
        return []
    return answer(tables, runs)


def _margins(store: Store, runs: pd.DataFrame, wanted: float | None) -> dict[str, float]:
    """Return by dataset up to which difference two activations count as equal."""
    last = _optional(store, "pairs.csv")
    if not {"dataset", "metric", "margin"} <= set(last):
        last = pd.DataFrame(columns=["dataset", "metric", "margin"])
    before = last[last["metric"] == "test_accuracy"].groupby("dataset")["margin"].max()
    return {
        name: wanted if wanted is not None else _or_own(before.get(name), name)
        for name in runs["dataset"].unique()
    }


def _or_own(margin: object, dataset: str) -> float:
    """Return a margin read from a table, or the dataset's own where it is none."""
    if isinstance(margin, float) and 0 < margin < 1:
        return margin
    entry = CATALOGUE.get(dataset, DatasetInfo)
    return entry.margin / 100


def _with_pixels(
    misclassified: pd.DataFrame, data: Dataset | None, before: pd.DataFrame
) -> pd.DataFrame:
    """Fill in the examples, from the data or from the table written before."""
    if misclassified.empty:
        return misclassified
    if data is not None:
        indices = set(misclassified["index"])
        examples = {(data.name, index): _pixels(data, index) for index in indices}
    else:
        examples = _examples_of(before)
    wanted = zip(misclassified["dataset"], misclassified["index"])
    shown = [examples.get(key, [None] * len(_PIXELS)) for key in wanted]
    filled = pd.DataFrame(shown, columns=_PIXELS, index=misclassified.index, dtype=object)
    return misclassified.assign(**{name: filled[name] for name in _PIXELS})


def _examples_of(before: pd.DataFrame) -> dict[tuple, list]:
    """Return an earlier table's examples, by dataset and index, but no damaged ones."""
    if not {"dataset", "index", *_PIXELS} <= set(before):
        return {}
    rows = before.dropna(subset=_PIXELS)
    keys = zip(rows["dataset"], rows["index"])
    examples = zip(keys, rows[_PIXELS].astype(object).to_numpy().tolist())
    return {key: example for key, example in examples if _is_whole(*example)}


def _is_whole(height: object, width: object, scale: object, pixels: object) -> bool:
    try:
        rows, columns = (int(float(str(number))) for number in (height, width))
        values = np.array([float(str(scale)), *map(float, str(pixels).split())])
    except (ValueError, OverflowError):
        return False
    whole = rows * columns == len(values) - 1 > 0
    return whole and bool(np.isfinite(values).all()) and values[0] > 0


def _pixels(data: Dataset, index: int) -> list:
    """Return height, width, scale and values of a test example; a signal's height is 1."""
    pixels = np.atleast_2d(data.x_test[index][..., 0])
    return [*pixels.shape, data.scale, " ".join(str(value) for value in pixels.ravel())]
