"""Which differences between activations are real: runs of the same seed, compared pair by pair.

DataFrame in, DataFrame out, as in `stats.summary`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from benchmark.stats import intervals, tests
from benchmark.stats.summary import SETTINGS, final_runs, joined, not_learned, with_shared_rates

ALPHA = 0.05
BETTER, WORSE = "better", "worse"
NO_DIFFERENCE, TOO_FEW = "no difference shown", "too few seeds"
# Compared metrics: 1 where more is better, -1 where less is.
COMPARED_METRICS = {"test_accuracy": 1, "test_loss": -1}
_FIRST = ["dataset", "model"]
_OTHERS = [name for name in SETTINGS if name not in _FIRST]
COLUMNS = [
    *_FIRST,
    *("activation", "baseline", "metric", "n_pairs", "difference", "ci_low", "ci_high"),
    *("p_value", "p_adjusted", "probability_of_improvement", "verdict"),
    *("probability_low", "probability_high", "median_difference", "n_left_out"),
    *("smallest_p_adjusted", "mcnemar_p", "only_activation_right", "only_baseline_right", "note"),
    *_OTHERS,
]
RANK_COLUMNS = [
    *SETTINGS,
    *("activation", "mean_rank", "n_blocks", "n_activations", "friedman_p"),
    *("critical_difference", "set"),
]


@dataclass(frozen=True)
class _Block:
    """The runs of one setting, by seed (rows, s) and activation (columns, k), both sorted."""

    settings: dict[str, Any]
    activations: np.ndarray
    recorded: np.ndarray  # there is a run, whatever its status
    scores: dict[str, np.ndarray]  # by metric, NaN where no run is complete
    learned: np.ndarray  # complete, and not one that did not learn
    incomplete: np.ndarray  # (k,) runs that are not complete
    names: np.ndarray  # of complete runs, "" where there is none


def compare(
    runs: pd.DataFrame, baseline: str, predictions: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return one row per setting, other activation and metric: its difference to the baseline.

    Pairs are the seeds of which both runs are complete, the others count in `n_left_out`.
    `difference` is activation - baseline, its mean over pairs with a confidence interval, which
    is empty where some runs of either have learned and others have not. `p_value` is the exact
    signed-rank test's and `p_adjusted` Holm's, over the activations of one setting and metric;
    `smallest_p_adjusted` is what that many pairs could give at best. For a loss less is better:
    `verdict` and `probability_of_improvement` say so, the difference keeps its sign.

    `predictions` (columns run, index, true, predicted) of the runs that `single_pairs` names let
    McNemar's exact test compare single runs image by image. It judges these two trained networks
    only, no activation: the verdict stays "too few seeds".

    A setting without the baseline has no rows.
    """
    return _table(_against(runs, baseline), predictions)


def all_pairs(runs: pd.DataFrame, predictions: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return `compare`'s columns for each two activations of a setting, by test accuracy.

    Each pair is there once, in alphabetical order; Holm's family is all pairs of the setting.
    """
    return _table(_each_two(runs), predictions)


def single_pairs(runs: pd.DataFrame, baseline: str | None = None) -> list[str]:
    """Return the runs, sorted by name, of which `all_pairs` compares just one pair.

    These are those whose predictions McNemar's test needs; with a baseline, those for `compare`.
    """
    pairs = _each_two(runs) if baseline is None else _against(runs, baseline)
    return sorted(_single(pairs))


def ranks(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per setting and activation ranked: its mean rank by test accuracy.

    Rank 1 is the best, ties share their mean rank. The blocks are the seeds of which all ranked
    activations have complete runs; an activation is ranked if it has them for at least half of
    the seeds. `friedman_p` and `critical_difference` as in `stats.tests`; activations that share a
    letter in `set` do not differ significantly: all share one unless Friedman's test finds a
    difference.
    """
    parts = []
    for block in _blocks(runs):
        scores = block.scores["test_accuracy"]
        complete = ~np.isnan(scores)
        seeds = complete.any(axis=1).sum()
        (ranked,) = np.nonzero((complete.sum(axis=0) * 2 >= seeds) & complete.any(axis=0))
        rows = scores[:, ranked][complete[:, ranked].all(axis=1)]
        # Equal accuracies may differ by rounding errors.
        ranking = tests.friedman_and_critical_difference(np.round(rows, 12))
        part = {
            "activation": block.activations[ranked],
            "mean_rank": ranking.mean_ranks,
            "n_blocks": len(rows),
            "n_activations": len(ranked),
            "friedman_p": ranking.p_value,
            "critical_difference": ranking.critical_difference,
            "set": _sets(ranking),
        }
        parts.append(pd.DataFrame(part).assign(**block.settings))
    return joined(parts, RANK_COLUMNS)


def _sets(ranking: tests.Ranking) -> list[str]:
    """Return for each treatment the letters of the maximal groups without a difference it is in."""
    ranks = ranking.mean_ranks
    if not ranking.p_value < ALPHA:
        return ["a"] * len(ranks)
    letters, reached = [""] * len(ranks), -np.inf
    for start in np.unique(ranks):
        group = (ranks >= start) & (ranks - start < ranking.critical_difference)
        if ranks[group].max() > reached:
            reached = ranks[group].max()
            # Past z come the letters with accents.
            number = len(set("".join(letters)))
            letter = chr(ord("a") + number) if number < 26 else chr(0x100 + number - 26)
            letters = [text + letter if inside else text for text, inside in zip(letters, group)]
    return letters


# A setting, the activations of its pairs (m,) and (m,), and the metric.
_Family = tuple[_Block, np.ndarray, np.ndarray, str]


def _against(runs: pd.DataFrame, baseline: str) -> Iterator[_Family]:
    for block in _blocks(runs):
        others = np.flatnonzero(block.activations != baseline)
        if 0 < len(others) < len(block.activations):
            (column,) = np.flatnonzero(block.activations == baseline)
            for metric in COMPARED_METRICS:
                yield block, others, np.full(len(others), column), metric


def _each_two(runs: pd.DataFrame) -> Iterator[_Family]:
    for block in _blocks(runs):
        if len(block.activations) > 1:
            yield block, *np.triu_indices(len(block.activations), 1), "test_accuracy"


def _blocks(runs: pd.DataFrame) -> Iterator[_Block]:
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


def _block(rows: pd.DataFrame) -> _Block:
    activations, column = np.unique(rows["activation"].to_numpy(str), return_inverse=True)
    seeds, row = np.unique(rows["seed"].to_numpy(), return_inverse=True)
    complete = (rows["status"] == "complete").to_numpy()
    cells, shape = (row, column), (len(seeds), len(activations))
    done = (row[complete], column[complete])
    names = np.full(shape, "", dtype=object)
    # The first of several of one seed.
    names[done[0][::-1], done[1][::-1]] = rows["run"].to_numpy(str)[complete][::-1]
    recorded, number = _sums(shape, cells), _sums(shape, done)
    with np.errstate(invalid="ignore"):
        scores = {
            metric: _sums(shape, done, rows[metric].to_numpy(float)[complete]) / number
            for metric in COMPARED_METRICS
        }
    missed = _sums(shape, done, rows["missed"].to_numpy()[complete])
    return _Block(
        settings={str(name): value for name, value in rows[SETTINGS].iloc[0].to_dict().items()},
        activations=activations.astype(object),
        recorded=recorded > 0,
        scores=scores,
        learned=(number > 0) & (missed == 0),
        incomplete=(recorded - number).sum(axis=0).astype(int),
        names=names,
    )


def _sums(
    shape: tuple[int, int], cells: tuple[np.ndarray, np.ndarray], values: np.ndarray | float = 1.0
) -> np.ndarray:
    """Return a table of that shape with the values (n,) added up in their cells."""
    table = np.zeros(shape)
    np.add.at(table, cells, values)
    return table


def _table(pairs: Iterable[_Family], predictions: pd.DataFrame | None) -> pd.DataFrame:
    families = list(pairs)
    right = {} if predictions is None else _right(predictions, _single(families))
    return joined([_rows(*family, right) for family in families], COLUMNS)


def _single(families: Iterable[_Family]) -> set[str]:
    """Return the names of the runs that are the only pair of two activations."""
    names: set[str] = set()
    for block, first, second, _ in families:
        complete = block.names != ""
        both = complete[:, first] & complete[:, second]
        seeds, pairs = np.nonzero(both & (both.sum(axis=0) == 1))
        for side in (first, second):
            names.update(block.names[seeds, side[pairs]])
    return names


def _rows(
    block: _Block, first: np.ndarray, second: np.ndarray, metric: str, right: dict[str, np.ndarray]
) -> pd.DataFrame:
    """Return the rows of one family: activations `first` (m,) against `second` (m,)."""
    scores, sign = block.scores[metric], COMPARED_METRICS[metric]
    differences = intervals.differences(scores[:, first], scores[:, second]).T
    paired = ~np.isnan(differences)
    estimates = intervals.estimates(differences)
    two_outcomes = [_two_outcomes(block.learned[:, side].T, paired) for side in (first, second)]
    either = two_outcomes[0] | two_outcomes[1]
    p = tests.wilcoxon_exact(differences)
    probability, low, high = intervals.improvement(sign * differences)
    frame = pd.DataFrame(
        {
            "activation": block.activations[first],
            "baseline": block.activations[second],
            "metric": metric,
            "n_pairs": estimates.n,
            "difference": estimates.mean,
            "ci_low": np.where(either, np.nan, estimates.ci_low),
            "ci_high": np.where(either, np.nan, estimates.ci_high),
            "p_value": p,
            "p_adjusted": tests.holm(p),
            "probability_of_improvement": probability,
            "probability_low": low,
            "probability_high": high,
            "median_difference": estimates.median,
            "n_left_out": (block.recorded[:, first] | block.recorded[:, second]).sum(axis=0)
            - estimates.n,
            "smallest_p_adjusted": tests.smallest_adjusted(estimates.n),
        }
    )
    single = (estimates.n == 1) & (metric == "test_accuracy")
    frame = frame.assign(**_mcnemar(block, first, second, single, right), **block.settings)
    direction = np.sign(sign * tests.signed_ranks(differences).sum(axis=1))
    verdicts = _verdicts(frame, direction)
    decided = np.isin(verdicts, [BETTER, WORSE])
    flattered = decided & (_excess(block, first, second) * direction > 0)
    torn = decided & (np.sign(sign * estimates.mean) != direction)
    frame["verdict"] = np.where(flattered | torn, NO_DIFFERENCE, verdicts)
    frame["note"] = _notes(frame, block, (first, second), two_outcomes, flattered, torn)
    return frame


def _two_outcomes(learned: np.ndarray, paired: np.ndarray) -> np.ndarray:
    """Return whether some runs of the pairs (m, s) have learned and others have not, (m,)."""
    return (learned & paired).any(axis=1) & (~learned & paired).any(axis=1)


def _excess(block: _Block, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return how many more runs of `first` than of `second` are not complete, (m,)."""
    return block.incomplete[first] - block.incomplete[second]


def _verdicts(frame: pd.DataFrame, direction: np.ndarray) -> np.ndarray:
    shown = frame["p_adjusted"] < ALPHA
    possible = frame["smallest_p_adjusted"] < ALPHA
    conditions = [~possible, shown & (direction > 0), shown & (direction < 0)]
    return np.select(conditions, [TOO_FEW, BETTER, WORSE], NO_DIFFERENCE)


def _notes(
    frame: pd.DataFrame,
    block: _Block,
    sides: tuple[np.ndarray, np.ndarray],
    two_outcomes: list[np.ndarray],
    flattered: np.ndarray,
    torn: np.ndarray,
) -> list[str]:
    notes: list[list[str]] = [[] for _ in range(len(frame))]
    for pair in np.flatnonzero(frame["n_pairs"] == 0):
        notes[pair].append("no seed of which both runs are complete")
    for side, mixed in zip(sides, two_outcomes):
        for pair in np.flatnonzero(mixed):
            name = block.activations[side[pair]]
            notes[pair].append(f"some runs of {name} did not learn: no interval of the mean")
    for pair in np.flatnonzero(flattered):
        counts = [(block.incomplete[side[pair]], block.activations[side[pair]]) for side in sides]
        (fewer, _), (more, name) = sorted(counts)
        notes[pair].append(
            f"verdict withheld: {name} has more runs that are not complete ({more} against {fewer})"
        )
    for pair in np.flatnonzero(torn & ~flattered):
        notes[pair].append("verdict withheld: mean and ranks point opposite ways")
    return ["; ".join(parts) for parts in notes]


def _right(predictions: pd.DataFrame, names: set[str]) -> dict[str, np.ndarray]:
    """Return which test images, by index, each of the named runs has right."""
    ordered = predictions[predictions["run"].isin(names)].sort_values(["run", "index"])
    hits = (ordered["true"] == ordered["predicted"]).groupby(ordered["run"], sort=False)
    return {run: values.to_numpy() for run, values in hits}


def _mcnemar(
    block: _Block,
    first: np.ndarray,
    second: np.ndarray,
    single: np.ndarray,
    right: dict[str, np.ndarray],
) -> dict[str, Any]:
    """Return the columns of McNemar's test, empty but for pairs marked as `single` (m,)."""
    p = np.full(len(first), np.nan)
    columns = {
        name: pd.array([pd.NA] * len(first), dtype="Int64")
        for name in ("only_activation_right", "only_baseline_right")
    }
    complete = block.names != ""
    for pair in np.flatnonzero(single).tolist() if right else ():
        seed = np.argmax(complete[:, first[pair]] & complete[:, second[pair]])
        a, b = (right.get(block.names[seed, side[pair]]) for side in (first, second))
        if a is not None and b is not None and len(a) == len(b):
            only = int((a & ~b).sum()), int((b & ~a).sum())
            for column, count in zip(columns.values(), only):
                column[pair] = count
            p[pair] = tests.mcnemar_exact(*only)
    return {"mcnemar_p": p, **columns}
