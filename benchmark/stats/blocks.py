"""The runs of each setting as arrays by seed and activation, for paired comparisons."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from benchmark.stats.summary import SETTINGS, final_runs, mostly, not_learned, with_shared_rates


@dataclass(frozen=True)
class Block:
    """The runs of one setting, by seed (rows, s) and activation (columns, k), both sorted."""

    settings: dict[str, Any]
    activations: np.ndarray
    recorded: np.ndarray  # (s, k) there is a run, whatever its status
    scores: dict[str, np.ndarray]  # (s, k) by metric, NaN where there is none
    learned: np.ndarray  # (s, k) complete, and not one that did not learn
    diverged: np.ndarray  # (k,) runs
    stuck: np.ndarray  # (k,) more than half of the runs did not learn
    names: np.ndarray  # (s, k) of complete runs, "" where there is none

    def same(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return for each pair of columns whether all its runs have equal scores, to the bit."""
        scores = list(self.scores.values())
        paired = [~(np.isnan(table[:, first]) | np.isnan(table[:, second])) for table in scores]
        unequal = [table[:, first] != table[:, second] for table in scores]
        differ = [(where & each).any(axis=0) for where, each in zip(paired, unequal)]
        return paired[-1].any(axis=0) & ~np.any(differ, axis=0)


def blocks(runs: pd.DataFrame) -> Iterator[Block]:
    """Give the settings one by one, sorted.

    Where several runs have the same seed (of a CPU and a GPU, say), their mean is the seed's score:
    they are no pairs of their own.
    """
    final = with_shared_rates(final_runs(runs))
    if final.empty:
        return
    final["limit"] = final["limit"].astype("Int64")
    final["missed"] = not_learned(final)
    number = final.groupby(SETTINGS, sort=False, dropna=False).ngroup().to_numpy()
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(final)]):
        yield _block(final.iloc[start:end])


def _block(rows: pd.DataFrame) -> Block:
    activations, column = np.unique(rows["activation"].to_numpy(str), return_inverse=True)
    seeds, row = np.unique(rows["seed"].to_numpy(), return_inverse=True)
    status = rows["status"].to_numpy()
    complete, diverged = status == "complete", status == "diverged"
    shape = (len(seeds), len(activations))
    names = np.full(shape, "", dtype=object)
    # The first of several of one seed.
    done = (row[complete], column[complete])
    names[done[0][::-1], done[1][::-1]] = rows["run"].to_numpy(str)[complete][::-1]
    guessed = rows["majority_share"].where(diverged).to_numpy(float)
    values = {
        "test_accuracy": np.where(diverged, guessed, rows["test_accuracy"].to_numpy(float)),
        "test_loss": rows["test_loss"].to_numpy(float),
    }
    missed = rows["missed"].to_numpy(bool)
    counts = [
        np.bincount(column[chosen], minlength=len(activations))
        for chosen in (complete, diverged, missed)
    ]
    return Block(
        settings={str(name): value for name, value in rows[SETTINGS].iloc[0].to_dict().items()},
        activations=activations.astype(object),
        recorded=_sums(shape, (row, column)) > 0,
        scores={
            metric: _means(shape, row, column, scores, complete | diverged)
            for metric, scores in values.items()
        },
        learned=(names != "") & (_sums(shape, (row[missed], column[missed])) == 0),
        diverged=counts[1],
        stuck=mostly(*counts),
        names=names,
    )


def _sums(
    shape: tuple[int, int], cells: tuple[np.ndarray, np.ndarray], values: np.ndarray | float = 1.0
) -> np.ndarray:
    """Return a table of that shape with the values (n,) added up in their cells."""
    table = np.zeros(shape)
    np.add.at(table, cells, values)
    return table


def _means(
    shape: tuple[int, int],
    row: np.ndarray,
    column: np.ndarray,
    values: np.ndarray,
    some: np.ndarray,
) -> np.ndarray:
    known = some & ~np.isnan(values)
    cells = (row[known], column[known])
    with np.errstate(invalid="ignore"):
        return _sums(shape, cells, values[known]) / _sums(shape, cells)
