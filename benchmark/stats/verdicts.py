"""Which of two is better, from differences of paired runs: valid whenever one looks.

The evidence is a martingale, so that adding seeds to a comparison and looking again does not
inflate its errors. Functions take differences (m, n), a row for each of m pairs of activations and
a column for each seed, in the order of seeds; NaN is a missing value.

Without a difference, the two runs of a seed are taken to be independent draws of the same
distribution. `docs/statistics.md` says what that rules out.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

ALPHA = 0.05
# Variance of the normal prior on the standardized difference.
PRIOR_VARIANCE = 1.0
# Before that many pairs no interval has bounds: outcomes that are opposed in every seed, the same
# scores in another order, would break the promise of small families.
FEWEST_PAIRS = 8
# After how many pairs equality is tested, each time at a third of ALPHA.
EQUALITY_LOOKS = (10, 20, 40)
# How many more pairs are considered when it is asked how many would decide.
MOST_PAIRS = 1000

BETTER, WORSE, EQUAL, MIXED = "better", "worse", "equal", "mixed"
UNDECIDED, NOT_LEARNED, SAME = "undecided", "did not learn", "same function"
VERDICTS = (BETTER, WORSE, EQUAL, MIXED, UNDECIDED, NOT_LEARNED, SAME)


class Evidence(NamedTuple):
    """What the differences of m pairs of activations show; arrays (m,), NaN where there is nothing.

    Attributes:
        n: pairs of runs.
        mean, median, std: of the differences; the deviation has n - 1 in its denominator.
        e_value: the largest so far, evidence against no difference.
        low, high: the intersection of the confidence sequence so far, infinite where it has no
            bounds yet; empty (low above high) where its parts contradict each other.
        equal_low, equal_high: the interval of the equality test at its latest look.
        equal: within the margin by an equality test or by the confidence sequence.
    """

    n: np.ndarray
    mean: np.ndarray
    median: np.ndarray
    std: np.ndarray
    e_value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    equal_low: np.ndarray
    equal_high: np.ndarray
    equal: np.ndarray


def e_value(n: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return the evidence of n differences against their mean being 0; any shapes that broadcast.

    The Bayes factor of Student's t for a normal prior of variance g on the standardized difference
    and the right-Haar prior on the scale, which is an e-process (Lai 1976, On confidence sequences;
    Pérez-Ortiz, Lardy, de Heide & Grünwald 2022, E-statistics, group invariance and anytime valid
    testing):

        (1 + n g)^(-1/2) · [(1 + t²/(n-1)) / (1 + t²/((1 + n g)(n-1)))]^(n/2)
    """
    wider = 1 + n * PRIOR_VARIANCE
    explained, rest = n * mean**2, (n - 1) * std**2
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (rest + explained) / (rest + explained / wider)
        # Without any difference there is neither signal nor noise.
        ratio = np.where(explained + rest > 0, ratio, 1.0)
    return np.exp(n / 2 * np.log(ratio) - np.log(wider) / 2)


def half_width(n: np.ndarray, std: np.ndarray, threshold: float) -> np.ndarray:
    """Return half the width of the confidence sequence after n differences.

    It holds the means against which `e_value` is below the threshold; it is infinite while these
    are all, and below `FEWEST_PAIRS`.
    """
    wider = 1 + n * PRIOR_VARIANCE
    c = (threshold * np.sqrt(wider)) ** (2 / n)
    with np.errstate(invalid="ignore", divide="ignore"):
        width = std / np.sqrt(n) * np.sqrt((n - 1) * (c - 1) / (1 - c / wider))
    return np.where((c < wider) & (n >= FEWEST_PAIRS), width, np.inf)


def evidence(differences: np.ndarray, family: int, margin: float = np.nan) -> Evidence:
    """Return what these differences show, in a family of so many comparisons.

    Args:
        differences: (m, n), in the order of seeds.
        family: number of comparisons over which the probability of a false verdict is held.
        margin: differences up to it count as equal; NaN means that none do.
    """
    rows = _without_gaps(differences)
    n = (~np.isnan(rows)).sum(axis=1)
    counts, means, deviations = _prefixes(rows)
    values = e_value(counts, means, deviations)
    half = half_width(counts, deviations, family / ALPHA)
    low = np.fmax.reduce(means - half, axis=1, initial=-np.inf)
    high = np.fmin.reduce(means + half, axis=1, initial=np.inf)
    equal_low, equal_high, equal = _equality(n, means, deviations, margin)
    at, last = np.arange(len(rows)), np.maximum(n - 1, 0)
    some = n > 0
    return Evidence(
        n=n,
        mean=np.where(some, means[at, last], np.nan),
        median=_medians(rows, some),
        std=np.where(n > 1, deviations[at, last], np.nan),
        e_value=np.where(some, np.fmax.reduce(values, axis=1, initial=0.0), np.nan),
        low=low,
        high=high,
        equal_low=equal_low,
        equal_high=equal_high,
        equal=equal | ((-margin < low) & (low <= high) & (high < margin)),
    )


def verdicts(found: Evidence) -> np.ndarray:
    """Return the verdict on each pair, (m,), where a positive difference is better.

    Those that follow from more than the differences, `SAME` and `NOT_LEARNED`, are the caller's.
    """
    outside = (found.low > 0) | (found.high < 0)
    direction = np.where(found.low > 0, 1, -1)
    contrary = outside & (np.sign(found.median) == -direction)
    conditions = [
        (found.low > found.high) | contrary,
        found.low > 0,
        found.high < 0,
        found.equal,
    ]
    return np.select(conditions, [MIXED, BETTER, WORSE, EQUAL], UNDECIDED).astype(object)


def pairs_needed(found: Evidence, family: int, margin: float = np.nan) -> np.ndarray:
    """Return about how many more pairs of runs would decide, (m,), by the present mean and spread.

    NaN where these are not known, or `MOST_PAIRS` would not.
    """
    mean, std = np.abs(found.mean)[:, None], found.std[:, None]
    n = found.n[:, None] + np.arange(1, MOST_PAIRS + 1)
    half = half_width(n, std, family / ALPHA)
    looks = np.isin(n, EQUALITY_LOOKS)
    with np.errstate(invalid="ignore"):
        decided = (mean > half) | (mean + half < margin)
        decided |= looks & (mean + _equality_half(n, std) < margin)
    more = np.argmax(decided, axis=1) + 1.0
    return np.where(decided.any(axis=1), more, np.nan)


def letters(apart: np.ndarray) -> list[str]:
    """Return for each of k activations the letters of the groups it is in.

    Two share a letter exactly where they are not told apart (Piepho 2004, An algorithm for a
    letter-based representation of all-pairwise comparisons).

    Args:
        apart: (k, k), symmetric, True where two are told apart.
    """
    k = len(apart)
    groups = [frozenset(range(k))] if k else []
    for first, second in zip(*np.nonzero(np.triu(apart, 1))):
        split = [
            part
            for group in groups
            for part in (
                (group - {first}, group - {second}) if {first, second} <= group else (group,)
            )
        ]
        groups = [group for group in set(split) if not any(group < other for other in split)]
    ordered = sorted(groups, key=sorted)
    return [
        "".join(_letter(i) for i, group in enumerate(ordered) if one in group) for one in range(k)
    ]


def _letter(number: int) -> str:
    # Past z come the letters with accents.
    return chr(ord("a") + number) if number < 26 else chr(0x100 + number - 26)


def _without_gaps(differences: np.ndarray) -> np.ndarray:
    """Return the values of each row moved to its beginning, missing ones to its end; (m, n ≥ 1)."""
    rows = np.asarray(differences, float)
    if not rows.shape[1]:
        return np.full((len(rows), 1), np.nan)
    return np.take_along_axis(rows, np.argsort(np.isnan(rows), axis=1, kind="stable"), axis=1)


def _prefixes(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return count (n,), mean and deviation (m, n) of the first 1, 2, … values of each row."""
    counts = np.arange(1, rows.shape[1] + 1)
    # Equal values must not get a spread by rounding.
    shifted = rows - rows[:, :1]
    sums, squares = np.cumsum(shifted, axis=1), np.cumsum(shifted**2, axis=1)
    spread = np.maximum(squares - sums**2 / counts, 0) / np.maximum(counts - 1, 1)
    return counts, rows[:, :1] + sums / counts, np.sqrt(spread)


def _medians(rows: np.ndarray, some: np.ndarray) -> np.ndarray:
    filled = np.where(some[:, None], rows, 0.0)
    return np.where(some, np.nanmedian(filled, axis=1), np.nan)


def _equality_half(n: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return half the interval of two one-sided t-tests at a third of ALPHA each."""
    quantile = stats.t.ppf(1 - ALPHA / len(EQUALITY_LOOKS), np.maximum(n - 1, 1))
    return quantile * std / np.sqrt(n)


def _equality(
    n: np.ndarray, means: np.ndarray, deviations: np.ndarray, margin: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return bounds at the latest look, and whether any look found equality (Schuirmann 1987)."""
    low, high = np.full(len(n), np.nan), np.full(len(n), np.nan)
    equal = np.zeros(len(n), bool)
    for look in EQUALITY_LOOKS:
        if look > means.shape[1]:
            break
        reached = (n >= look) & ~equal
        middle, half = means[:, look - 1], _equality_half(np.array(look), deviations[:, look - 1])
        low, high = np.where(reached, middle - half, low), np.where(reached, middle + half, high)
        equal |= reached & (-margin < middle - half) & (middle + half < margin)
    return low, high, equal
