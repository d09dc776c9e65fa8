import itertools
import math
import warnings

import numpy as np
import pytest
from scipy import stats

from benchmark.stats import intervals, tests


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def draw(seed=0):
    return np.random.default_rng(seed)


def test_small_samples_have_students_interval():
    values = draw().normal(size=7)
    expected = stats.t.interval(0.9, 6, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose(intervals.mean_interval(values, 0.9), expected, rtol=1e-12)


def bootstrap_t(values, resamples):
    """Efron and Tibshirani's recipe, step by step."""
    t = [(each.mean() - values.mean()) / stats.sem(each) for each in resamples]
    low, high = np.quantile(t, [0.025, 0.975])
    return values.mean() - high * stats.sem(values), values.mean() - low * stats.sem(values)


def test_large_samples_have_a_bootstrapped_interval():
    values = np.sort(draw(1).exponential(size=25))
    low, high = intervals.mean_interval(values)
    counts = np.round(25 * intervals._resamples(25).T).astype(int)
    same = bootstrap_t(values, (np.repeat(values, each) for each in counts))
    np.testing.assert_allclose([low, high], same, atol=0.005 * (high - low))
    others = bootstrap_t(values, draw(2).choice(values, (4000, 25)))
    np.testing.assert_allclose([low, high], others, atol=0.05 * (high - low))
    assert high - values.mean() > 1.3 * (values.mean() - low), "skewed as the values are"


@pytest.mark.parametrize("n", [19, 20])
def test_the_bootstrap_starts_at_twenty(n):
    values = draw(3).exponential(size=n)
    student = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert np.allclose(intervals.mean_interval(values), student) == (n < 20)


def test_resamples_without_spread_leave_students_interval():
    values = np.eye(20)[0]
    student = stats.t.interval(0.95, 19, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose(intervals.mean_interval(values), student, rtol=1e-12)


@pytest.mark.parametrize("n", [6, 30])
def test_order_and_company_do_not_matter(n):
    values = draw().lognormal(size=n)
    alone = intervals.estimates(values)
    shuffled = intervals.estimates(draw(5).permutation(values))
    among = intervals.estimates([draw(6).normal(size=n + 2), [*values, np.nan, np.nan]])
    for one, same, other in zip(alone, shuffled, among):
        assert one == same
        np.testing.assert_allclose(other[1], one, rtol=1e-12)


@pytest.mark.parametrize("n", [6, 30])
def test_turned_signs_turn_the_interval(n):
    values = draw().lognormal(size=n)
    low, high = intervals.mean_interval(values)
    np.testing.assert_allclose(intervals.mean_interval(-values), [-high, -low], rtol=1e-9)


def test_equal_values_have_no_spread():
    found = intervals.estimates([0.1] * 3)
    assert (found.mean, found.std, found.ci_low, found.ci_high) == (0.1, 0.0, 0.1, 0.1)
    assert intervals.mean_interval([0.1] * 30) == (0.1, 0.1)


def test_estimates_agree_with_numpy():
    values = draw().normal(size=(4, 9))
    found = intervals.estimates(values)
    np.testing.assert_allclose(found.mean, values.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.std, values.std(axis=1, ddof=1), rtol=1e-12)
    np.testing.assert_array_equal(found.median, np.median(values, axis=1))
    assert found.n.tolist() == [9] * 4


def test_too_little_to_estimate():
    for values in ([], [np.nan]):
        found = intervals.estimates(values)
        assert found.n == 0
        assert np.isnan(found[1:]).all()
    single = intervals.estimates([3.0, np.nan])
    assert (single.n, single.mean, single.median, single.iqm) == (1, 3, 3, 3)
    assert np.isnan([single.std, single.ci_low, single.ci_high]).all()
    infinite = intervals.estimates([1.0, 2.0, np.inf])
    assert (infinite.mean, infinite.median) == (np.inf, 2)
    assert np.isnan([infinite.std, infinite.ci_low, infinite.ci_high]).all()


def test_median_may_be_infinite():
    samples = [[1, np.inf, np.inf], [1, 2, np.inf], [1, np.inf, np.nan]]
    assert intervals.median(samples).tolist() == [np.inf, 2, np.inf]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3, 100], 2.5),
        # 0.75 of the second, all of the third and 0.75 of the fourth.
        ([0, 1, 2, 4, 100], (0.75 * 1 + 2 + 0.75 * 4) / 2.5),
        # A quarter of 3 is 0.75: a quarter of the outer two stays.
        ([0, 1, 10], (0.25 * 0 + 1 + 0.25 * 10) / 1.5),
        ([7], 7),
    ],
)
def test_interquartile_mean_by_hand(values, expected):
    assert intervals.interquartile_mean(values) == pytest.approx(expected, rel=1e-12)


def test_interquartile_mean_agrees_with_scipy_where_quarters_are_whole():
    values = draw().normal(size=12)
    expected = stats.trim_mean(values, 0.25)
    assert intervals.interquartile_mean(values) == pytest.approx(expected, rel=1e-12)


# What the interval reaches; the exponential distribution's skewness is 2.
@pytest.mark.parametrize(
    ("law", "n", "least", "most"),
    [
        ("normal", 5, 0.92, 0.98),
        ("normal", 10, 0.92, 0.98),
        ("normal", 30, 0.92, 0.98),
        # Student's t with few skewed values: 0.90, below what it promises.
        ("exponential", 10, 0.87, 0.93),
        ("exponential", 30, 0.92, 0.98),
    ],
)
def test_coverage(law, n, least, most):
    samples = getattr(draw(n), law)(size=(1000, n))
    low, high = intervals.mean_interval(samples)
    truth = {"normal": 0.0, "exponential": 1.0}[law]
    covered = np.mean((low <= truth) & (truth <= high))
    assert least <= covered <= most


def test_equal_up_to_rounding_is_equal():
    a = np.array([350, 2, 0.1 + 0.2, np.inf, 5]) / [360, 360, 1, 1, 1]
    b = np.array([349, 1, 0.3, np.inf, np.nan]) / [360, 360, 1, 1, 1]
    found = intervals.differences(a, b)
    assert found[0] != found[1], "rounding errors are the point here"
    assert found[2:4].tolist() == [0, 0]
    assert np.isnan(found[4])
    assert tests.signed_ranks(found).tolist() == [1.5, 1.5, 0, 0, 0]
    # Small real differences stay.
    assert intervals.differences(2.0000001, 2.0) == pytest.approx(1e-7)


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


# Newcombe 1998, Two-sided confidence intervals for the single proportion, table I, method 3.
@pytest.mark.parametrize(
    ("wins", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_interval_of_the_probability_of_improvement(wins, n, low, high):
    a = np.where(np.arange(n) < wins, 1.0, -1.0)
    share, *interval = intervals.probability_of_improvement(a, np.zeros(n))
    assert share == pytest.approx(wins / n)
    np.testing.assert_allclose(interval, [low, high], atol=5e-5)


def test_ties_count_half_and_missing_values_not():
    share, low, high = intervals.probability_of_improvement(
        [1, 2, 3, np.nan, 5], [0, 2, 4, 1, np.nan]
    )
    assert share == 0.5
    assert low + high == pytest.approx(1)
    assert np.isnan(intervals.probability_of_improvement([np.nan], [1])[0])


@pytest.mark.parametrize(("a", "b"), [(0, 0), (5, 0), (3, 9), (9, 3), (4, 4), (77, 41)])
def test_mcnemar_agrees_with_scipy(a, b):
    expected = stats.binomtest(a, a + b).pvalue if a + b else 1.0
    assert tests.mcnemar_exact(a, b) == pytest.approx(expected, rel=1e-9)


def test_sampling_error():
    assert intervals.sampling_error(0.9, 360) == pytest.approx(math.sqrt(0.9 * 0.1 / 360))
    assert intervals.sampling_error([1.0, 0.5], [100, 100]).tolist() == [0, 0.05]


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
