import itertools

import pytest

from benchmark.training.rates import LADDER, START, beyond, may_be_auto


def test_the_ladder_rises_by_factors_of_about_three():
    assert all(2.9 < high / low < 3.4 for low, high in itertools.pairwise(LADDER))
    assert (LADDER[0], LADDER[-1]) == (1e-5, 0.3)
    assert set(START) < set(LADDER)


@pytest.mark.parametrize(
    ("tried", "chosen", "following"),
    [
        (START, 1e-3, None),
        (START, 3e-3, 1e-2),
        (START, 3e-4, 1e-4),
        ((1e-3, 3e-3, 3e-4, 1e-2), 3e-3, None),
        ((3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3), 0.3, None),
        ((1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3), 1e-5, None),
        ((1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3), 3e-3, 1e-2),
    ],
)
def test_the_next_rate_lies_beyond_the_edge(tried, chosen, following):
    assert beyond(tried, chosen) == following
    # Where it goes on it has not ended.
    assert may_be_auto(tried, chosen) == (following is None)


@pytest.mark.parametrize("tried", [(1e-3, 3e-3), (*START, 3e-2), (*START, 2e-3), (1e-4, *START)])
def test_other_grids_are_told(tried):
    assert may_be_auto(tried, 1e-3) == (tried == (1e-4, *START))
