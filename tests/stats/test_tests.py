import itertools

import numpy as np
import pytest
from scipy import stats

from benchmark.stats import tests


def draw(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3, -1, 2], [3, -1, 2]),
        ([2, -2, 1, 0, 5], [2.5, -2.5, 1, 0, 4]),
        ([-4, -4, -4, np.nan], [-2, -2, -2, 0]),
        ([np.inf, 1, -np.inf], [2.5, 1, -2.5]),
        ([0, 0], [0, 0]),
    ],
)
def test_signed_ranks_by_hand(values, expected):
    assert tests.signed_ranks(values).tolist() == expected
    rows = tests.signed_ranks([values, values[::-1]])
    assert rows.tolist() == [expected, expected[::-1]]


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([1, 2, 3, 4, 5], 2 / 32),
        ([-1, -2, -3, -4, -5, -6], 2 / 64),
        # Ranks 1 to 4; sums of at most 1: none and {1}.
        ([-1, 2, 3, 4], 4 / 16),
        # Three ranks 2; at most one of three signs against: 4 of 8, twice.
        ([1, 1, -1], 1),
        # Ranks 1.5, 1.5, 3.5, 3.5, 5; sums of at most 1.5: none and two single ones.
        ([1, -1, 2, 2, 3], 2 * 3 / 32),
        ([0, 0, 1, 2], 2 / 4),
        ([0, 0], 1),
        ([0.3], 1),
    ],
)
def test_signed_rank_test_by_hand(differences, expected):
    assert tests.wilcoxon_exact(differences) == pytest.approx(expected, rel=1e-12)


def test_signed_rank_test_of_nothing():
    assert np.isnan(tests.wilcoxon_exact([]))
    assert np.isnan(tests.wilcoxon_exact([np.nan, np.nan]))


@pytest.mark.parametrize("n", [3, 6, 10, 25, 50])
def test_signed_rank_test_agrees_with_scipy_without_ties(n):
    rows = draw(n).normal(0.3, 1, size=(20, n))
    expected = [stats.wilcoxon(row, method="exact").pvalue for row in rows]
    np.testing.assert_allclose(tests.wilcoxon_exact(rows), expected, rtol=1e-9)


@pytest.mark.parametrize("n", [4, 7, 10])
def test_signed_rank_test_agrees_with_all_permutations_with_ties(n):
    rows = draw(n).integers(-2, 5, size=(10, n)).astype(float)
    method = stats.PermutationMethod(n_resamples=np.inf)
    for row in rows:
        expected = stats.wilcoxon(row[row != 0], method=method).pvalue
        assert tests.wilcoxon_exact(row) == pytest.approx(expected, rel=1e-12)


def test_signed_rank_test_counts_all_signs():
    differences = np.array([1, -1, 2, 2, -3, 4, 4, 4, 9])
    ranks = stats.rankdata(np.abs(differences))
    signs = np.array(list(itertools.product([0, 1], repeat=len(ranks))))
    sums, observed = signs @ ranks, ranks[differences > 0].sum()
    tails = (sums <= observed).mean(), (sums >= observed).mean()
    assert tests.wilcoxon_exact(differences) == pytest.approx(2 * min(tails), rel=1e-12)


def test_signed_rank_test_of_many_pairs():
    differences = draw().normal(0.2, 1, size=150)
    expected = stats.wilcoxon(differences, method="approx").pvalue
    assert tests.wilcoxon_exact(differences) == pytest.approx(expected, rel=1e-12)
    exact = stats.wilcoxon(differences[:100], method="exact").pvalue
    assert tests.wilcoxon_exact(differences[:100]) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5, 0.6], [1, 1]),
        ([0.02, np.nan, 0.03], [0.04, np.nan, 0.04]),
        ([], []),
    ],
)
def test_holm_by_hand(p_values, expected):
    np.testing.assert_allclose(tests.holm(p_values), expected, rtol=1e-12)


def test_student_agrees_with_scipy():
    values = draw().normal(0.3, 1, (6, 9))
    found = tests.student_p(9, values.mean(axis=1), values.std(axis=1, ddof=1))
    np.testing.assert_allclose(found, stats.ttest_1samp(values, 0, axis=1).pvalue, rtol=1e-9)
    assert tests.student_p([1, 4, 4], [0.5, 0.0, 0.5], [np.nan, 0.0, 0.0])[1:].tolist() == [1, 0]
    assert np.isnan(tests.student_p(1, 0.5, np.nan))
