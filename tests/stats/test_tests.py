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


def test_smallest_adjusted_bounds_what_holm_gives():
    assert tests.smallest_adjusted([8] * 5).tolist() == [5 * 2 / 256] * 5
    # Four tests of 12 pairs may all come before the one of 7.
    found = tests.smallest_adjusted([12, 12, 12, 12, 7])
    assert found[-1] == 2 / 128
    assert tests.smallest_adjusted([0, 6]).tolist() == [1, 2 / 64]
    draw = np.random.default_rng(3)
    for _ in range(200):
        n = draw.integers(1, 12, size=6)
        p = np.array([tests.wilcoxon_exact(draw.normal(1, 1, k)) for k in n])
        assert (tests.holm(p) >= tests.smallest_adjusted(n) - 1e-15).all()


def test_smallest_p():
    assert tests.smallest_p(8, 5) == 5 * 2 / 256
    assert tests.smallest_p([5, 6], 1).tolist() == [2 / 32, 2 / 64]
    assert tests.smallest_p([0, 1], 3).tolist() == [1, 1]
    assert tests.smallest_p(0, 0) == 1
    for n in (3, 6, 9):
        alike = tests.wilcoxon_exact(np.tile(np.arange(1, n + 1), (4, 1)))
        assert tests.holm(alike)[0] == tests.smallest_p(n, 4)


@pytest.mark.parametrize(("a", "b"), [(0, 0), (5, 0), (3, 9), (9, 3), (4, 4), (77, 41)])
def test_mcnemar_agrees_with_scipy(a, b):
    expected = stats.binomtest(a, a + b).pvalue if a + b else 1.0
    assert tests.mcnemar_exact(a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("ties", [False, True])
def test_friedman_agrees_with_scipy(ties):
    scores = draw().normal(size=(8, 5)) + np.arange(5) / 3
    scores = scores.round(0 if ties else 9)
    ranking = tests.friedman_and_critical_difference(scores)
    expected = stats.friedmanchisquare(*scores.T)
    assert ranking.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    np.testing.assert_allclose(ranking.mean_ranks, stats.rankdata(-scores, axis=1).mean(axis=0))


def test_ranking_of_too_little():
    for scores in (np.ones((0, 3)), np.ones((1, 3)), np.ones((4, 1))):
        ranking = tests.friedman_and_critical_difference(scores)
        assert len(ranking.mean_ranks) == scores.shape[1]
        assert np.isnan([ranking.p_value, ranking.critical_difference]).all()
    assert tests.friedman_and_critical_difference(np.ones((4, 3))).p_value == 1


# Demšar 2006, table 5(a), k = 2 to 10.
def test_nemenyi_quantiles():
    published = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    found = [tests.nemenyi_quantile(k) for k in range(2, 11)]
    np.testing.assert_allclose(found, published, atol=1.1e-3)


def test_critical_difference_of_demsars_example():
    # Section 3.2.2: four algorithms on fourteen data sets.
    ranking = tests.friedman_and_critical_difference(draw().normal(size=(14, 4)))
    assert ranking.critical_difference == pytest.approx(1.25, abs=0.005)
