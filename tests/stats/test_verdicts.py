"""The statistical core: closed forms against integrals, and error rates by simulation."""

import numpy as np
import pytest
from scipy import integrate, stats

from benchmark.stats import verdicts
from benchmark.stats.verdicts import BETTER, EQUAL, MIXED, UNDECIDED, WORSE, evidence, letters


def word(differences, family=1, margin=np.nan):
    return verdicts.verdicts(evidence(np.array([differences], float), family, margin))[0]


@pytest.mark.parametrize(("n", "t"), [(2, 0.4), (5, -3.0), (8, 2.7), (20, 0.0)])
def test_e_value_is_the_bayes_factor_of_t(n, t):
    def density(effect):
        likelihood = stats.nct.pdf(t, n - 1, np.sqrt(n) * effect)
        return likelihood * stats.norm.pdf(effect, scale=np.sqrt(verdicts.PRIOR_VARIANCE))

    ratio = integrate.quad(density, -8, 8)[0] / stats.t.pdf(t, n - 1)
    found = verdicts.e_value(np.array(n), np.array(t / np.sqrt(n)), np.array(1.0))
    assert found == pytest.approx(ratio, rel=1e-6)


def test_half_width_inverts_the_e_value():
    n, std, threshold = np.array([8, 12, 40]), np.array([0.5, 2.0, 1.0]), 21 / verdicts.ALPHA
    half = verdicts.half_width(n, std, threshold)
    assert np.isfinite(half).all()
    np.testing.assert_allclose(verdicts.e_value(n, half, std), threshold)


def test_when_the_interval_begins():
    def finite(n, family):
        return np.isfinite(verdicts.half_width(np.array(n), np.array(1.0), family / verdicts.ALPHA))

    assert [finite(n, 1) for n in (1, 7, 8)] == [False, False, True]
    assert [finite(n, 21) for n in (7, 8)] == [False, True]
    assert [finite(n, 190) for n in (8, 9)] == [False, True]


def test_evidence_of_a_sample():
    values = np.random.default_rng(3).normal(0.5, 1, 30)
    found = evidence(np.array([values, -values]), 3)
    each = [
        verdicts.e_value(np.array(n), values[:n].mean(), values[:n].std(ddof=1))
        for n in range(2, 31)
    ]
    np.testing.assert_allclose(found.e_value, max(each))
    halves = [
        verdicts.half_width(np.array(n), values[:n].std(ddof=1), 3 / verdicts.ALPHA)
        for n in range(2, 31)
    ]
    means = [values[:n].mean() for n in range(2, 31)]
    assert found.low[0] == pytest.approx(np.max(np.subtract(means, halves)))
    assert found.high[0] == pytest.approx(np.min(np.add(means, halves)))
    assert (found.low[1], found.high[1]) == (-found.high[0], -found.low[0])
    assert (found.n[0], found.mean[0], found.std[0], found.median[0]) == (
        30,
        pytest.approx(values.mean()),
        pytest.approx(values.std(ddof=1)),
        pytest.approx(np.median(values)),
    )


def test_missing_pairs_are_passed_over():
    values = np.random.default_rng(4).normal(0.5, 1, 12)
    gaps = np.insert(values, [0, 3, 3, 12], np.nan)
    for with_gaps, without in zip(evidence(gaps[None], 3, 0.1), evidence(values[None], 3, 0.1)):
        np.testing.assert_array_equal(with_gaps, without)


def test_nothing_and_one_difference_show_nothing():
    for values in ([np.nan, np.nan], [], [0.3], [0.0]):
        found = evidence(np.array([values], float), 1, 0.5)
        assert verdicts.verdicts(found)[0] == UNDECIDED
        assert not np.isfinite([found.low[0], found.high[0]]).any()
        assert np.isnan(verdicts.pairs_needed(found, 1, 0.5)[0])
    assert evidence(np.array([[0.3]]), 1).e_value[0] == pytest.approx(1)


def test_equal_differences_are_evidence_but_no_proof_at_once():
    assert word([0.1] * 7) == UNDECIDED
    assert word([0.1] * 8) == BETTER
    assert word([-0.1] * 8) == WORSE
    # By rounding they would have a spread.
    found = evidence(np.full((1, 9), 0.1), 1)
    assert (found.low[0], found.high[0], found.std[0]) == (0.1, 0.1, 0.0)
    assert word([0.0] * 50) == UNDECIDED
    assert word([0.0] * 50, margin=0.1) == EQUAL


def test_better_and_worse_in_a_family():
    values = np.random.default_rng(5).normal(1, 1, 12)
    assert word(values) == BETTER
    assert word(-values) == WORSE
    assert word(values, family=10**6) == UNDECIDED


def test_mixed_where_mean_and_median_disagree():
    # Nine small losses, then gains that carry the mean.
    values = [*np.linspace(-0.2, -0.1, 12), *np.linspace(9, 11, 11)]
    found = evidence(np.array([values]), 1)
    assert found.median[0] < 0 < found.mean[0]
    assert word(values) == MIXED


def test_mixed_where_the_intersection_is_empty():
    values = [*np.linspace(1.0, 1.1, 10), *np.linspace(-1.1, -1.0, 60)]
    found = evidence(np.array([values]), 1)
    assert found.low[0] > found.high[0]
    assert word(values) == MIXED


def test_equality_by_two_one_sided_tests():
    values = np.random.default_rng(6).normal(0, 0.2, 60)
    found = evidence(values[None, :25], 10**9, 0.5)
    assert word(values[:9], 10**9, 0.5) == UNDECIDED
    half = stats.t.ppf(1 - 0.05 / 3, 9) * stats.sem(values[:10])
    assert found.equal[0]
    assert found.equal_low[0] == pytest.approx(values[:10].mean() - half)
    assert found.equal_high[0] == pytest.approx(values[:10].mean() + half)
    for bound, side in ((-0.5, "greater"), (0.5, "less")):
        test = stats.ttest_1samp(values[:10], bound, alternative=side)
        assert test.pvalue < 0.05 / 3
    # The latest look's bounds where no look was enough.
    wide = evidence(values[None, :25] * 8, 10**9, 0.5)
    half = stats.t.ppf(1 - 0.05 / 3, 19) * stats.sem(values[:20] * 8)
    assert not wide.equal[0]
    assert wide.equal_high[0] - wide.equal_low[0] == pytest.approx(2 * half)


def test_a_shown_difference_goes_before_equality():
    values = np.random.default_rng(7).normal(0.3, 0.1, 40)
    assert evidence(values[None], 1, 0.5).equal[0]
    assert word(values, margin=0.5) == BETTER


def test_how_many_more_pairs_it_takes():
    generator = np.random.default_rng(8)
    values = generator.normal(0, 1, 12)
    values = (values - values.mean()) / values.std(ddof=1)
    found = evidence(np.array([values + 0.6, values]), 21)
    more = verdicts.pairs_needed(found, 21)
    total = int(12 + more[0])
    enough = verdicts.half_width(np.array([total - 1, total]), np.array(1.0), 21 / verdicts.ALPHA)
    assert enough[1] < 0.6 <= enough[0]
    assert np.isnan(more[1]), "with a mean of 0 no number of seeds shows a difference"
    # By a margin, at the next look.
    assert verdicts.pairs_needed(found, 21, 1.0)[1] == 8


def test_letters():
    def of(k, *pairs):
        apart = np.zeros((k, k), bool)
        for first, second in pairs:
            apart[first, second] = apart[second, first] = True
        return letters(apart)

    assert of(0) == []
    assert of(3) == ["a", "a", "a"]
    assert of(3, (0, 2)) == ["a", "ab", "b"]
    assert of(3, (0, 1), (0, 2), (1, 2)) == ["a", "b", "c"]
    assert of(4, (0, 2), (0, 3)) == ["a", "ab", "b", "b"]


@pytest.mark.parametrize("seed", range(20))
def test_two_share_a_letter_exactly_where_they_are_not_told_apart(seed):
    generator = np.random.default_rng(seed)
    k = 8
    apart = np.triu(generator.random((k, k)) < 0.4, 1)
    apart |= apart.T
    found = letters(apart)
    for first in range(k):
        for second in range(k):
            assert bool(set(found[first]) & set(found[second])) == (not apart[first, second])


def drawn(kind, shape, generator):
    """Return differences with mean 0 and deviation 1, symmetric about 0."""
    if kind == "heavy-tailed":
        return generator.standard_t(3, shape) / np.sqrt(3)
    if kind == "tied":
        return np.round(generator.normal(0, 1, shape))
    return generator.normal(0, 1, shape)


@pytest.mark.parametrize("kind", ["normal", "heavy-tailed", "tied"])
def test_looking_after_every_seed_inflates_nothing(kind):
    generator = np.random.default_rng(9)
    found = evidence(drawn(kind, (4000, 40), generator), 1)
    false = np.isin(verdicts.verdicts(found), [BETTER, WORSE, MIXED])
    assert 0 < false.mean() <= verdicts.ALPHA


def test_a_t_test_at_every_look_errs_far_more_often():
    values = np.random.default_rng(9).normal(0, 1, (4000, 40))
    looks = [stats.ttest_1samp(values[:, :n], 0, axis=1).pvalue < 0.05 for n in range(5, 41)]
    assert np.any(looks, axis=0).mean() > 0.15


def test_a_difference_of_the_margin_is_seldom_called_equal():
    values = np.random.default_rng(10).normal(0.5, 1, (4000, 40))
    found = evidence(values, 10**9, 0.5)
    assert 0 < found.equal.mean() <= verdicts.ALPHA
