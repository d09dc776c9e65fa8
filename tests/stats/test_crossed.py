"""The crossed bootstrap against the variances that it estimates."""

import numpy as np
import pytest

from benchmark.stats import crossed


def test_accuracies_are_those_of_resamples():
    right = np.random.default_rng(0).random((5, 400)) < 0.8
    found = crossed.accuracies(right)
    assert found.shape == (5, crossed.RESAMPLES)
    np.testing.assert_allclose(found.mean(axis=1), right.mean(axis=1), atol=0.003)
    p = right.mean(axis=1)
    np.testing.assert_allclose(found.std(axis=1), np.sqrt(p * (1 - p) / 400), rtol=0.1)
    # A run alone has the resamples that it has beside others.
    np.testing.assert_array_equal(crossed.accuracies(right[2:3])[0], found[2])


def test_the_interval_has_both_errors():
    generator = np.random.default_rng(1)
    seeds, examples = 0.02 * generator.normal(size=(30, 1)), generator.normal(0, 0.01, (1, 1000))
    low, high = crossed.interval(seeds + examples)
    alone = np.sqrt(seeds.std() ** 2 / 30 + 0.01**2)
    assert (high - low) / (2 * 1.96) == pytest.approx(alone, rel=0.1)
    low, high = crossed.examples_interval(seeds + examples)
    assert (high - low) / (2 * 1.96) == pytest.approx(0.01, rel=0.1)


def test_turned_differences_turn_the_interval():
    differences = np.random.default_rng(2).normal(0.1, 1, (8, crossed.RESAMPLES))
    low, high = crossed.interval(differences)
    assert crossed.interval(-differences) == pytest.approx((-high, -low))


@pytest.mark.slow
def test_coverage():
    """Networks of two activations err on examples of different difficulty."""
    generator = np.random.default_rng(3)
    inside = 0
    for _ in range(200):
        easy = generator.normal(1.0, 1.0, 300)
        gap = 0.1 + generator.normal(0, 0.1, 300)
        skill = generator.normal(0, 0.1, (2, 15, 1))
        noise = generator.normal(0, 0.5, (2, 15, 300))
        score = np.stack([easy, easy + gap])[:, None] + skill + noise
        right = score > 0
        each = crossed.accuracies(right.reshape(30, 300))
        low, high = crossed.interval(each[15:] - each[:15])
        inside += low <= _true_difference() <= high
    assert 0.90 <= inside / 200 <= 0.99


def _true_difference():
    from scipy import stats

    first = stats.norm.sf(0, 1.0, np.sqrt(1 + 0.01 + 0.25))
    return stats.norm.sf(0, 1.1, np.sqrt(1 + 0.01 + 0.01 + 0.25)) - first
