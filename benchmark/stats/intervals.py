"""Numbers in, numbers out: estimates with intervals.

Functions that take samples work on the last axis: (n,) is one sample and (m, n) are m of them. NaN
is a missing value. No result depends on the order of the values in a sample.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

# From this many values on an interval is bootstrapped: Student's t assumes a normal distribution,
# which fewer values could not contradict.
BOOTSTRAP_FROM = 20
RESAMPLES = 4000
# Of fewer values half of them say nothing that the mean or the median does not.
IQM_FROM = 8
# What separates rounding errors of 64-bit arithmetic from real differences.
_NOISE = 1e-12
_ROWS_AT_ONCE = 512


class Estimates(NamedTuple):
    """Estimates of the last axis' samples, each of shape (...); NaN where there is none."""

    n: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    median: np.ndarray
    iqm: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray


def estimates(values: ArrayLike, level: float = 0.95) -> Estimates:
    """Return mean, standard deviation, median, interquartile mean and the mean's interval.

    `values` (..., n). The standard deviation has n - 1 in its denominator; it and the interval
    are NaN for fewer than two values and where a value is infinite, the interquartile mean for
    fewer than eight.
    """
    values = np.asarray(values, float)
    rows = _sorted_rows(values)
    n = (~np.isnan(rows)).sum(axis=1)
    mean, std = _moments(rows, n)
    low, high = _interval(rows, n, mean, std, level)
    iqm = np.where(n >= IQM_FROM, _interquartile_mean(rows, n), np.nan)
    parts = (n, mean, std, _median(rows, n), iqm, low, high)
    return Estimates(*(part.reshape(values.shape[:-1]) for part in parts))


def mean_interval(values: ArrayLike, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the confidence interval of the mean of each sample, (..., n) → two of (...).

    Below 20 values it is Student's t interval ("Student" 1908, The probable error of a mean).
    From 20 on it is the bootstrap-t interval (Efron and Tibshirani 1993, An Introduction to the
    Bootstrap, section 12.5), which follows a skewed distribution; where resamples without any
    spread leave it without an end, it is Student's again. NaN for fewer than two values.
    """
    interval = estimates(values, level)
    return interval.ci_low, interval.ci_high


def interquartile_mean(values: ArrayLike) -> np.ndarray:
    """Return the mean of each sample's middle half, (..., n) → (...).

    A quarter of the sample is cut off at each end, a value that lies across a cut counting with
    the part inside it. (Agarwal et al. 2021, Deep Reinforcement Learning at the Edge of the
    Statistical Precipice, section 4.3, cut off whole values only.)
    """
    values = np.asarray(values, float)
    rows = _sorted_rows(values)
    n = (~np.isnan(rows)).sum(axis=1)
    return _interquartile_mean(rows, n).reshape(values.shape[:-1])


def rows_of(values: np.ndarray) -> np.ndarray:
    """Return samples (..., n) as (m, n), also where m or n is 0."""
    return values.reshape(math.prod(values.shape[:-1]), values.shape[-1])


def _sorted_rows(values: np.ndarray) -> np.ndarray:
    """Return samples (..., n) as (m, n), sorted, missing values last.

    An empty sample gets one missing value.
    """
    rows = np.sort(rows_of(values), axis=1)
    return rows if rows.shape[1] else np.full((len(rows), 1), np.nan)


def median(values: ArrayLike) -> np.ndarray:
    """Return the median of each sample, (..., n) → (...); it may be infinite."""
    values = np.asarray(values, float)
    rows = _sorted_rows(values)
    return _median(rows, (~np.isnan(rows)).sum(axis=1)).reshape(values.shape[:-1])


def _moments(rows: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(n > 0, np.nansum(rows, axis=1) / n, np.nan)
        # Summing equal values must not give them a spread.
        last = rows[np.arange(len(rows)), np.maximum(n - 1, 0)]
        mean = np.where((n > 0) & (rows[:, 0] == last), last, mean)
        squares = np.nansum((rows - mean[:, None]) ** 2, axis=1)
        std = np.where(n > 1, np.sqrt(squares / (n - 1)), np.nan)
    return mean, np.where(np.isfinite(mean), std, np.nan)


def _median(rows: np.ndarray, n: np.ndarray) -> np.ndarray:
    at = np.arange(len(rows))
    lower, upper = rows[at, np.maximum(n - 1, 0) // 2], rows[at, n // 2]
    with np.errstate(invalid="ignore"):
        return np.where(lower == upper, lower, (lower + upper) / 2)


def _interquartile_mean(rows: np.ndarray, n: np.ndarray) -> np.ndarray:
    place = np.arange(rows.shape[1])
    start, end = n[:, None] / 4, 3 * n[:, None] / 4
    weights = np.clip(np.minimum(place + 1, end) - np.maximum(place, start), 0, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = np.where(weights > 0, weights * rows, 0)
        return np.where(n > 0, parts.sum(axis=1) / weights.sum(axis=1), np.nan)


def _interval(
    rows: np.ndarray, n: np.ndarray, mean: np.ndarray, std: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    some = np.isfinite(std)
    error = np.divide(std, np.sqrt(n), where=some, out=np.full(len(rows), np.nan))
    t = stats.t.ppf((1 + level) / 2, np.maximum(n - 1, 1))
    below, above = t * error, t * error
    for size in np.unique(n[some & (n >= BOOTSTRAP_FROM)]):
        (at,) = np.nonzero(some & (n == size) & (std > 0))
        for chunk in np.split(at, range(_ROWS_AT_ONCE, len(at), _ROWS_AT_ONCE)):
            standard = (rows[chunk, :size] - mean[chunk, None]) / std[chunk, None]
            lower, upper = _studentized(standard, level)
            fits = np.isfinite(lower) & np.isfinite(upper)
            # An estimate too high by much is one whose true mean lies far below it.
            below[chunk] = np.where(fits, upper * error[chunk], below[chunk])
            above[chunk] = np.where(fits, -lower * error[chunk], above[chunk])
    return mean - below, mean + above


def _studentized(standard: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the quantiles of the bootstrapped t of samples (m, n) with mean 0 and deviation 1."""
    n = standard.shape[1]
    shares = resamples(n)
    # No `@`: its result depends on the number of threads, which also get in each other's way.
    mean, square = (np.einsum("mn,nr->mr", power, shares) for power in (standard, standard**2))
    variance = (square - mean**2) * n / (n - 1)
    flat = variance <= _NOISE
    with np.errstate(divide="ignore", invalid="ignore"):
        t = mean * np.sqrt(n) / np.sqrt(np.where(flat, 0, variance))
    t[np.isnan(t)] = 0
    outside = round(RESAMPLES * (1 - level) / 2)
    t.partition([outside, RESAMPLES - 1 - outside], axis=1)
    return t[:, outside], t[:, -1 - outside]


# A table of 100 seeds has 3 MB.
@functools.lru_cache(maxsize=16)
def resamples(n: int) -> np.ndarray:
    """Return the share of each of n sorted values in resamples, (n, RESAMPLES), always the same.

    The mirror image of every resample is another one, so that turning all signs turns the interval.
    """
    drawn = np.random.default_rng(20).multinomial(n, np.full(n, 1 / n), size=RESAMPLES // 2)
    return np.concatenate([drawn, drawn[:, ::-1]]).T / n


def differences(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Return a - b, exactly 0 where the two are equal up to rounding errors; (..., n)."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    with np.errstate(invalid="ignore"):
        difference = a - b
        noise = np.abs(difference) <= _NOISE * np.maximum(np.abs(a), np.abs(b))
    # Two infinite losses are equal.
    return np.where((a == b) | (noise & np.isfinite(a) & np.isfinite(b)), 0.0, difference)


def improvement(differences: ArrayLike) -> np.ndarray:
    """Return the share of pairs with a positive difference, ties half; (..., n) → (...).

    Seeds pair up: unlike in Agarwal et al. 2021, only values of the same pair are compared.
    """
    pairs = np.asarray(differences, float)
    n = (~np.isnan(pairs)).sum(axis=-1)
    wins = (pairs > 0).sum(axis=-1) + (pairs == 0).sum(axis=-1) / 2
    return np.where(n > 0, wins / np.maximum(n, 1), np.nan)


def sampling_error(accuracy: ArrayLike, examples: ArrayLike) -> np.ndarray:
    """Return the standard error that an accuracy has from the choice of the test examples.

    √(p (1 - p) / n), the binomial distribution's; (...).
    """
    p = np.asarray(accuracy, float)
    return np.sqrt(p * (1 - p) / np.asarray(examples, float))
