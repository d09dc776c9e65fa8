import math

import numpy as np
import pytest
from scipy import stats

from benchmark.stats import intervals, tests


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
    counts = np.round(25 * intervals.resamples(25).T).astype(int)
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
        np.testing.assert_array_equal(one, same)
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
    assert (single.n, single.mean, single.median) == (1, 3, 3)
    assert np.isnan([single.iqm, single.std, single.ci_low, single.ci_high]).all()
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


def test_ties_count_half_and_missing_values_not():
    assert intervals.improvement([1, 0, -1, np.nan, 2]) == pytest.approx(2.5 / 4)
    assert np.isnan(intervals.improvement([[np.nan]])).all()


def test_sampling_error():
    assert intervals.sampling_error(0.9, 360) == pytest.approx(math.sqrt(0.9 * 0.1 / 360))
    assert intervals.sampling_error([1.0, 0.5], [100, 100]).tolist() == [0, 0.05]
