"""Which differences between activations are real: runs of the same seed, compared pair by pair.

DataFrame in, DataFrame out, as in `stats.summary`; what decides is in `stats.verdicts`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmark.stats import crossed, intervals, tests, verdicts
from benchmark.stats.blocks import Block, blocks
from benchmark.stats.summary import SETTINGS, joined
from benchmark.stats.verdicts import BETTER, MIXED, NOT_LEARNED, SAME, UNDECIDED, WORSE

# Compared metrics: 1 where more is better, -1 where less is. The first is the primary one.
COMPARED_METRICS = {"test_accuracy": 1, "test_loss": -1}
LIKE_THESE, ONLY_THESE = "examples like these", "these test examples"
QUALIFYING_SEEDS = 40
# Sample skewness beyond which a note says so, and from how many pairs on. Eight normal differences
# exceed it in one sample of fifty.
SKEWED, _SKEWED_FROM = 1.5, 8
_FIRST = ["dataset", "model"]
_OTHERS = [name for name in SETTINGS if name not in _FIRST]
_VERDICT = [
    *("metric", "activation", "baseline", "n_pairs", "difference", "ci_low", "ci_high"),
    *("verdict", "e_value", "holds_for", "seeds_needed", "equal_low", "equal_high", "margin"),
    *("crossed_low", "crossed_high", "median_difference", "probability_of_improvement"),
    *("n_higher", "n_lower", "n_left_out"),
]
COLUMNS = [*_FIRST, *_VERDICT, "note", *_OTHERS]
FIXED_SAMPLE = ["fixed_t_p", "fixed_t_p_holm", "fixed_wilcoxon_p", "fixed_wilcoxon_p_holm"]
PAIR_COLUMNS = [*_FIRST, *_VERDICT, *FIXED_SAMPLE, "note", *_OTHERS]
# By run, which test examples it classifies correctly, (examples,).
Right = Mapping[str, np.ndarray]
# The columns of the first and the second activations of m pairs, (m,) each.
_Sides = tuple[np.ndarray, np.ndarray]


def compare(
    runs: pd.DataFrame,
    baseline: str,
    margins: Mapping[str, float] | None = None,
    right: Right | None = None,
) -> pd.DataFrame:
    """Return one row per setting, metric and other activation: its comparison with the baseline.

    These are the pairs of `all_pairs` that have the baseline, with the same verdicts. A setting
    without the baseline has no rows.
    """
    parts: list[pd.DataFrame] = []
    for block in blocks(runs):
        others = np.flatnonzero(block.activations != baseline)
        if 0 < len(others) < len(block.activations):
            (column,) = np.flatnonzero(block.activations == baseline)
            sides = others, np.full(len(others), column)
            parts += _both_metrics(block, sides, margins, right)
    return joined(parts, COLUMNS)


def all_pairs(
    runs: pd.DataFrame,
    margins: Mapping[str, float] | None = None,
    right: Right | None = None,
) -> pd.DataFrame:
    """Return one row per setting, metric and pair of activations, with the verdict on it.

    Pairs of runs are the seeds of which both are complete or diverged, in the order of seeds; the
    others count in `n_left_out`. A diverged run has the accuracy of guessing the most frequent
    class, and no loss. `difference` is the mean of activation - baseline; `ci_low` and `ci_high`
    are its confidence sequence's, empty while it has no bounds. All pairs of a setting are one
    family, each metric for itself. For a loss less is better: `verdict` and
    `probability_of_improvement` say so, the difference keeps its sign. `seeds_needed` is how many
    more would decide an undecided pair. The columns `fixed_…` are for a number of seeds that was
    fixed beforehand; no verdict depends on them.

    The names of a pair are in alphabetical order, but one that did not learn stands first.

    Args:
        runs: the columns of runs.csv.
        margins: by dataset, the difference in accuracy up to which two count as equal; of a
            dataset that is not named none are.
        right: what each run classifies correctly; without it no verdict is qualified.
    """
    parts = []
    for block in blocks(runs):
        if len(block.activations) > 1:
            first, second = np.triu_indices(len(block.activations), 1)
            turn = block.stuck[second] & ~block.stuck[first]
            sides = np.where(turn, second, first), np.where(turn, first, second)
            for rows in _both_metrics(block, sides, margins, right):
                for test in ("t", "wilcoxon"):
                    rows[f"fixed_{test}_p_holm"] = tests.holm(rows[f"fixed_{test}_p"])
                parts.append(rows)
    return joined(parts, PAIR_COLUMNS)


def compared_runs(runs: pd.DataFrame) -> list[str]:
    """Return the runs, sorted by name, whose predictions qualify verdicts.

    Those of a setting's first `QUALIFYING_SEEDS` do: of more the test examples alone have a say.
    """
    several = (block for block in blocks(runs) if len(block.activations) > 1)
    names = [block.names[:QUALIFYING_SEEDS] for block in several]
    return sorted({name for table in names for name in table.ravel().tolist() if name})


def letters(pairs: pd.DataFrame) -> dict[str, str]:
    """Return by activation its letters in one setting, in the order of the mean, best first.

    Two activations share a letter where they are not told apart. `pairs` are rows of `all_pairs`;
    those that did not learn are apart from those that did.
    """
    if pairs.empty:
        return {}
    rows = pairs[pairs["metric"] == "test_accuracy"]
    stuck = set(rows.loc[rows["verdict"] == NOT_LEARNED, "activation"])
    ahead = rows.groupby("activation")["difference"].sum()
    behind = rows.groupby("baseline")["difference"].sum()
    names = list(ahead.sub(behind, fill_value=0.0).sort_values(ascending=False).index)
    places = {name: place for place, name in enumerate(names)}
    apart = np.zeros((len(names), len(names)), bool)
    for first, second, verdict in zip(rows["activation"], rows["baseline"], rows["verdict"]):
        both = {first, second} <= stuck
        apart[places[first], places[second]] = not both and verdict in (BETTER, WORSE, NOT_LEARNED)
    return dict(zip(names, verdicts.letters(apart | apart.T)))


def _both_metrics(
    block: Block, sides: _Sides, margins: Mapping[str, float] | None, right: Right | None
) -> Iterator[pd.DataFrame]:
    margin = (margins or {}).get(str(block.settings["dataset"]), np.nan)
    yield _rows(block, sides, "test_accuracy", margin, right or {})
    # In no unit is there a margin for losses.
    yield _rows(block, sides, "test_loss", np.nan, {})


def _rows(block: Block, sides: _Sides, metric: str, margin: float, right: Right) -> pd.DataFrame:
    """Return the rows of these pairs, with the whole setting's pairs as their family."""
    first, second = sides
    sign, family = (
        COMPARED_METRICS[metric],
        len(block.activations) * (len(block.activations) - 1) // 2,
    )
    scores = block.scores[metric]
    differences = intervals.differences(scores[:, first], scores[:, second]).T
    # One infinite loss has no mean with others.
    differences[np.isinf(differences)] = np.nan
    found = verdicts.evidence(sign * differences, family, margin)
    words = _verdicts(block, sides, metric, found)
    needed = np.where(words == UNDECIDED, verdicts.pairs_needed(found, family, margin), np.nan)
    either = block.recorded[:, first] | block.recorded[:, second]
    frame = pd.DataFrame(
        {
            "metric": metric,
            "activation": block.activations[first],
            "baseline": block.activations[second],
            "n_pairs": found.n,
            "difference": sign * found.mean,
            **_bounds("ci", sign, found.low, found.high),
            "verdict": words,
            "e_value": found.e_value,
            "seeds_needed": needed,
            **_bounds("equal", sign, found.equal_low, found.equal_high),
            "margin": margin,
            "median_difference": sign * found.median,
            "probability_of_improvement": intervals.improvement(sign * differences),
            "n_higher": (differences > 0).sum(axis=1),
            "n_lower": (differences < 0).sum(axis=1),
            "n_left_out": either.sum(axis=0) - found.n,
            "fixed_t_p": tests.student_p(found.n, found.mean, found.std),
            "fixed_wilcoxon_p": tests.wilcoxon_exact(differences),
        }
    )
    qualified, remarks = _qualified(block, sides, words, right)
    notes = [
        "; ".join([*_notes(block, pair, row, values), *remark])
        for pair, row, values, remark in zip(
            zip(*sides), frame.to_dict("records"), differences, remarks
        )
    ]
    return frame.assign(**qualified, **block.settings, note=notes)


def _bounds(name: str, sign: int, low: np.ndarray, high: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns of an interval, empty where it has no end or contains nothing."""
    low, high = (low, high) if sign > 0 else (-high, -low)
    known = np.isfinite(low) & np.isfinite(high) & (low <= high)
    return {
        f"{name}_low": np.where(known, low, np.nan),
        f"{name}_high": np.where(known, high, np.nan),
    }


def _verdicts(block: Block, sides: _Sides, metric: str, found: verdicts.Evidence) -> np.ndarray:
    first, second = sides
    words = verdicts.verdicts(found)
    # A diverged run has no loss: the others must not win by it.
    excess = block.diverged[first] - block.diverged[second]
    flattered = ((words == BETTER) & (excess > 0)) | ((words == WORSE) & (excess < 0))
    if metric == "test_loss":
        words = np.where(flattered, UNDECIDED, words)
    return np.select(
        [block.same(first, second), block.stuck[first]], [SAME, NOT_LEARNED], words
    ).astype(object)


def _notes(
    block: Block, pair: tuple[int, int], row: dict[Any, Any], differences: np.ndarray
) -> list[str]:
    """Return what to know of one comparison."""
    if not row["n_pairs"]:
        return ["no seed of which both runs are complete"]
    notes = []
    if block.stuck[pair[1]]:
        notes.append(f"{row['baseline']} did not learn")
    for column in pair:
        learned, all_runs = block.learned[:, column].sum(), block.recorded[:, column].sum()
        if 0 < learned < all_runs and not block.stuck[column]:
            name = block.activations[column]
            notes.append(f"{all_runs - learned} of {all_runs} runs of {name} did not learn or end")
    counts = f"higher in {row['n_higher']} of {row['n_pairs']} seeds, lower in {row['n_lower']}"
    if row["verdict"] == MIXED:
        notes.append(counts)
    elif _is_skewed(differences):
        notes.append(f"skewed differences: {counts}")
    return notes


def _is_skewed(differences: np.ndarray) -> bool:
    values = differences[np.isfinite(differences)]
    if len(values) < _SKEWED_FROM or np.ptp(values) == 0:
        return False
    return bool(abs(stats.skew(values, bias=False)) > SKEWED)


def _qualified(
    block: Block, sides: _Sides, words: np.ndarray, right: Right
) -> tuple[dict[str, np.ndarray], list[list[str]]]:
    """Return the crossed bootstrap's columns, and a note where more seeds would not help."""
    low, high = np.full(len(words), np.nan), np.full(len(words), np.nan)
    holds_for = np.full(len(words), "", dtype=object)
    notes: list[list[str]] = [[] for _ in words]
    accuracies = _accuracies(block, right)
    for at, (first, second) in enumerate(zip(*sides)):
        differences = [
            accuracies[a] - accuracies[b]
            for a, b in zip(block.names[:, first], block.names[:, second])
            if a in accuracies and b in accuracies
        ]
        if not differences:
            continue
        low[at], high[at] = crossed.interval(np.array(differences))
        if words[at] in (BETTER, WORSE):
            inside = low[at] <= 0 <= high[at]
            holds_for[at] = ONLY_THESE if inside else LIKE_THESE
            ends = crossed.examples_interval(np.array(differences))
            if inside and ends[0] <= 0 <= ends[1]:
                notes[at].append("it would take more test examples, not seeds, to say more")
    return {"crossed_low": low, "crossed_high": high, "holds_for": holds_for}, notes


def _accuracies(block: Block, right: Right) -> dict[str, np.ndarray]:
    """Return by run its accuracy in each resample of the test examples."""
    names = [name for name in block.names.ravel().tolist() if name in right]
    sizes = [len(right[name]) for name in names]
    # Of another number of examples, predictions are of another test set.
    usual = max(set(sizes), key=sizes.count, default=0)
    names = [name for name, size in zip(names, sizes) if size == usual]
    if not names:
        return {}
    return dict(zip(names, crossed.accuracies(np.array([right[name] for name in names]))))
