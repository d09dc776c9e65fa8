"""The crossed bootstrap: seeds and test examples are both samples.

Resamples are always the same, so that equal runs give equal intervals.
"""

import functools

import numpy as np

RESAMPLES = 1000
# Every pair of runs and every size of sample draws from these.
_SEED = 13


def accuracies(right: np.ndarray) -> np.ndarray:
    """Return the accuracy of each run in each resample of the test examples, (r, RESAMPLES).

    Args:
        right: (r, examples), True where a run classifies an example correctly.
    """
    counts = _draws(right.shape[1])
    # Whole numbers below 2^24: 32 bits are exact, in any order of summation.
    return (right.astype(np.float32) @ counts).astype(float) / right.shape[1]


def interval(differences: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of a mean difference over seeds and test examples.

    Both are resampled, each by itself (Owen 2007, The pigeonhole bootstrap).

    Args:
        differences: (n, RESAMPLES), those of n paired runs in each resample of the examples.
        level: of the interval.
    """
    return _quantiles(
        np.einsum("nr,nr->r", differences, _draws(len(differences))), differences, level
    )


def examples_interval(differences: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return the interval that would be left with ever more seeds: over test examples alone.

    Arguments as in `interval`.
    """
    return _quantiles(differences.sum(axis=0), differences, level)


def _quantiles(sums: np.ndarray, differences: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(sums / len(differences), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@functools.lru_cache(maxsize=8)
def _draws(n: int) -> np.ndarray:
    """Return how often each of n values is drawn in each resample, (n, RESAMPLES)."""
    generator = np.random.default_rng([_SEED, n])
    return generator.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).T.astype(np.float32)
