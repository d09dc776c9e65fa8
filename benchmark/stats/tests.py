"""Tests for a fixed number of pairs: Student's t, signed ranks, Holm's correction.

Functions that take samples work on the last axis: (n,) is one sample and (m, n) are m of them. NaN
is a missing value. No result depends on the order of the values in a sample.
"""

import functools

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from benchmark.stats.intervals import rows_of

# Beyond this many pairs the normal approximation of the signed-rank test is exact enough.
EXACT_UP_TO = 100
_SAME = 1e-9


def signed_ranks(differences: ArrayLike) -> np.ndarray:
    """Return the ranks of the absolute differences with the signs of these, (..., n).

    Zeros are left out (rank 0, as missing values), ties share their mean rank; two values that
    differ by rounding errors only are tied.
    """
    values = np.asarray(differences, float)
    rows = rows_of(values)
    if not rows.size:
        return np.zeros(values.shape)
    sizes = np.where((rows == 0) | np.isnan(rows), np.nan, np.abs(rows))
    order = np.argsort(sizes, axis=1, kind="stable")
    ordered = np.take_along_axis(sizes, order, axis=1)
    finite = np.where(np.isfinite(ordered), ordered, 0)
    with np.errstate(invalid="ignore"):
        # Between two infinite ones the step is NaN, and no step.
        new = np.diff(ordered, axis=1) > _SAME * finite.max(axis=1, initial=0)[:, None]
    missing = np.isnan(ordered)
    first = np.ones((len(rows), 1), bool)
    starts = np.concatenate([first, new | (missing[:, 1:] & ~missing[:, :-1])], axis=1)
    ends = np.concatenate([starts[:, 1:], first], axis=1)
    position = np.broadcast_to(np.arange(rows.shape[1]), rows.shape)
    begin = np.maximum.accumulate(np.where(starts, position, 0), axis=1)
    last = rows.shape[1] - 1
    end = np.where(ends, position, last)[:, ::-1]
    end = np.minimum.accumulate(end, axis=1)[:, ::-1]
    ranks = np.empty(rows.shape)
    np.put_along_axis(ranks, order, np.where(missing, 0, (begin + end) / 2 + 1), axis=1)
    return (np.sign(np.nan_to_num(rows)) * ranks).reshape(values.shape)


def student_p(n: ArrayLike, mean: ArrayLike, std: ArrayLike) -> np.ndarray:
    """Return the two-sided p of Student's t-test of n differences; any shapes that broadcast.

    `std` has n - 1 in its denominator. NaN below two pairs; 1 where all differences are 0.
    """
    n, mean, std = np.asarray(n), np.asarray(mean, float), np.asarray(std, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.abs(mean) * np.sqrt(n) / std
    t = np.where((mean == 0) & (std == 0), 0.0, t)
    return np.where(n > 1, 2 * stats.t.sf(t, np.maximum(n - 1, 1)), np.nan)


def wilcoxon_exact(differences: ArrayLike) -> np.ndarray:
    """Return the two-sided p of the signed-rank test of each row of differences, (..., n) → (...).

    Wilcoxon 1945, Individual comparisons by ranking methods. Zeros are dropped, ties share their
    mean rank, and p is exact: the share of the 2^n assignments of signs to these very ranks
    whose sum lies as far out, counted by dynamic programming. Beyond 100 pairs it is the normal
    approximation. Without any difference p is 1; of no pairs it is NaN.
    """
    values = np.asarray(differences, float)
    rows = rows_of(values)
    p_values = [_p_of_ranks(ranks[ranks != 0]) for ranks in signed_ranks(rows)]
    p = np.where(np.isnan(rows).all(axis=1), np.nan, np.array(p_values, float))
    return p.reshape(values.shape[:-1])


def _p_of_ranks(ranks: np.ndarray) -> float:
    if len(ranks) > EXACT_UP_TO:
        return float(stats.wilcoxon(ranks, method="approx").pvalue)
    if not len(ranks):
        return 1.0
    # Mean ranks are halves: doubled they are whole.
    doubled = (2 * ranks).astype(int)
    cumulative = _cumulative(tuple(np.sort(np.abs(doubled)).tolist()))
    above, below = doubled[doubled > 0].sum(), -doubled[doubled < 0].sum()
    # The distribution is symmetric: the smaller sum's lower tail is the larger one's upper tail.
    return min(1.0, 2 * float(cumulative[min(above, below)]))


@functools.lru_cache(maxsize=4096)
def _cumulative(doubled: tuple[int, ...]) -> np.ndarray:
    """Return P(sum of the positive ranks ≤ s) for s = 0 … under random signs."""
    share = np.zeros(sum(doubled) + 1)
    share[0] = 1.0
    for rank in doubled:
        moved = np.zeros_like(share)
        moved[rank:] = share[:-rank]
        share = (share + moved) / 2
    return np.cumsum(share)


def holm(p_values: ArrayLike) -> np.ndarray:
    """Return the adjusted p-values, (k,), of a family of tests; missing ones stay missing.

    Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    p = np.asarray(p_values, float)
    adjusted = np.full(p.shape, np.nan)
    (known,) = np.nonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted
