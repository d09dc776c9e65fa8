"""The tables beside runs.csv: statistics of the recorded runs."""

import numpy as np
import pandas as pd

from benchmark.data.loading import Dataset
from benchmark.errors import RequestError
from benchmark.formatting import listing
from benchmark.results.folder import Store
from benchmark.stats import comparisons, confusion, summary
from benchmark.training.request import BASELINE

_PIXELS = ["height", "width", "scale", "pixels"]


def derive(
    store: Store,
    history: pd.DataFrame,
    runs: pd.DataFrame,
    baseline: str | None = None,
    data: Dataset | None = None,
) -> dict[str, pd.DataFrame]:
    """Return the tables computed from history.csv and runs.csv, by the names of their files.

    Args:
        store: the folder, for the predictions of runs.
        history: the epochs.
        runs: the runs.
        baseline: what the others are compared with; None is the one of the folder's last tables,
            else ReLU, else the first activation.
        data: the images, to show those that are misclassified; None takes those shown before.

    Raises:
        RequestError: no run has the baseline.
    """
    baseline = _baseline(store, runs, baseline)
    predictions = store.predictions(_runs_to_read(runs))
    tables = {
        "summary": summary.summarize(runs, history),
        "time_to_accuracy": summary.time_to_accuracy(history, runs),
        "comparisons": comparisons.compare(runs, baseline, predictions),
        "pairs": comparisons.all_pairs(runs, predictions),
        "ranks": comparisons.ranks(runs),
        "tuning": summary.tuning(runs),
        "confusion": confusion.confusion(predictions, runs),
    }
    misclassified = confusion.misclassified(predictions, runs)
    before = _optional(store, "misclassified.csv")
    tables["misclassified"] = _with_pixels(misclassified, data, before)
    return tables


def write(store: Store, tables: dict[str, pd.DataFrame]) -> None:
    """Write the tables; one of learning rates only where some were chosen."""
    for name, table in tables.items():
        if name == "tuning" and table.empty:
            store.remove("tuning.csv")
        else:
            store.write_table(f"{name}.csv", table)


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


def _runs_to_read(runs: pd.DataFrame) -> list[str]:
    """Return the runs whose predictions matter: those of the best and the worst activation, and
    single ones, whose differences only the images can judge."""
    return sorted({*confusion.best_and_worst(runs)["run"], *comparisons.single_pairs(runs)})


def _with_pixels(
    misclassified: pd.DataFrame, data: Dataset | None, before: pd.DataFrame
) -> pd.DataFrame:
    """Fill in the images, from the data or from the table written before."""
    if misclassified.empty:
        return misclassified
    if data is not None:
        images = {(data.name, index): _image(data, index) for index in set(misclassified["index"])}
    else:
        images = _images_of(before)
    wanted = zip(misclassified["dataset"], misclassified["index"])
    shown = [images.get(key, [None] * len(_PIXELS)) for key in wanted]
    filled = pd.DataFrame(shown, columns=_PIXELS, index=misclassified.index, dtype=object)
    return misclassified.assign(**{name: filled[name] for name in _PIXELS})


def _images_of(before: pd.DataFrame) -> dict[tuple, list]:
    """Return the images that an earlier table shows, by dataset and index, but no damaged ones."""
    if not {"dataset", "index", *_PIXELS} <= set(before):
        return {}
    rows = before.dropna(subset=_PIXELS)
    keys = zip(rows["dataset"], rows["index"])
    images = zip(keys, rows[_PIXELS].astype(object).to_numpy().tolist())
    return {key: image for key, image in images if _is_whole(*image)}


def _is_whole(height: object, width: object, scale: object, pixels: object) -> bool:
    try:
        rows, columns = (int(float(str(number))) for number in (height, width))
        values = np.array([float(str(scale)), *map(float, str(pixels).split())])
    except (ValueError, OverflowError):
        return False
    whole = rows * columns == len(values) - 1 > 0
    return whole and bool(np.isfinite(values).all()) and values[0] > 0


def _image(data: Dataset, index: int) -> list:
    """Return the columns of a test image; a signal is an image of height 1."""
    pixels = np.atleast_2d(data.x_test[index][..., 0])
    return [*pixels.shape, data.scale, " ".join(str(value) for value in pixels.ravel())]
