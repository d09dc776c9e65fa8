import pandas as pd
import pytest

from benchmark.report import verdicts


def comparisons(*rows, baseline="relu", metric="test_accuracy", n_pairs=10):
    """Return rows of comparisons.csv: (activation, difference, verdict, further columns)."""
    return pd.DataFrame(
        [
            {
                "activation": name,
                "baseline": baseline,
                "metric": metric,
                "n_pairs": n_pairs,
                "difference": difference,
                "ci_low": None if difference is None else difference - 0.002,
                "ci_high": None if difference is None else difference + 0.002,
                "p_value": 0.002,
                "verdict": verdict,
                "mcnemar_p": None,
                "note": None,
                **dict(*more),
            }
            for name, difference, verdict, *more in rows
        ]
    ).astype({"difference": float, "ci_low": float, "ci_high": float, "mcnemar_p": float})


def test_verdicts_are_counted_and_named():
    table = comparisons(
        ("elu", 0.004, "better"),
        ("gelu", 0.007, "better"),
        ("sigmoid", -0.8, "worse"),
        ("selu", -0.001, "no difference shown"),
        ("mish", None, "too few seeds"),
    )
    assert verdicts.differences(table) == (
        "By test accuracy, of 5 activations compared with relu: 2 are better (gelu +0.70 points and"
        " elu +0.40 points); 1 is worse (sigmoid −80.00 points); for 1 no difference is shown"
        " (selu), which does not mean that there is none: the intervals of these reach from −0.30"
        " to +0.10 points; for 1 there are too few seeds (mish)."
    )


def test_many_verdicts_are_given_as_a_range():
    rows = [(str(place), -0.01 * (place + 1), "worse") for place in range(13)]
    assert verdicts.differences(comparisons(*rows)) == (
        "By test accuracy, of 13 activations compared with relu: none is better; 13 are worse (from"
        " −1.00 points (0) to −13.00 points (12))."
    )


WITHHELD = {"note": "verdict withheld: elu has more runs that are not complete (2 against 0)"}


def test_a_withheld_verdict_is_told_apart():
    rows = [
        ("elu", 0.004, "no difference shown", WITHHELD),
        ("selu", 0, "no difference shown", {"note": "odd"}),
    ]
    text = verdicts.differences(comparisons(*rows))
    assert "for 1 no difference is shown (selu), which" in text
    assert text.endswith("; for 1 the verdict is withheld (elu; see the notes).")
    assert verdicts.differences(comparisons(rows[0])) == (
        "By test accuracy, the verdict on elu against relu is withheld (+0.40 points over 10 pairs"
        " of runs; p = 0.002; elu has more runs that are not complete (2 against 0))."
    )
    assert verdicts.pairs(comparisons(*rows)) == (
        "Among all 2 pairs of activations no difference is shown; for 1 the verdict is withheld"
        " (pairs.csv says why)."
    )


def test_how_the_verdicts_came_about():
    rows = [("elu", 0.1, "better"), ("selu", 0.1, "too few seeds")]
    both = pd.concat([comparisons(*rows), comparisons(*rows, metric="test_loss")])
    assert verdicts.procedure(both) == (
        "(Wilcoxon's exact signed-rank test over runs of the same seed, at 5 %; Holm's correction"
        " keeps the chance of any false alarm among the 2 comparisons at 5 % at most, for this"
        " score alone.)"
    )
    assert verdicts.procedure(both[both["activation"] == "elu"]) == (
        "(Wilcoxon's exact signed-rank test over runs of the same seed, at 5 %.)"
    )
    assert verdicts.procedure(both[both["activation"] == "selu"]) == ""


def test_nothing_shown():
    table = comparisons(("elu", 0.0, "no difference shown"), ("selu", 0.0, "no difference shown"))
    text = verdicts.differences(table)
    assert "none is better; none is worse; for 2 no difference is shown (elu and selu)" in text


def test_an_undefined_interval_is_not_told():
    table = comparisons(
        ("elu", 0.0, "no difference shown", {"ci_low": None, "ci_high": None}),
        ("selu", -0.9, "worse", {"ci_low": None, "ci_high": None}),
    )
    assert verdicts.differences(table).endswith(
        "for 1 no difference is shown (elu), which does not mean that there is none."
    )


def test_a_loss_has_no_points():
    table = comparisons(
        ("elu", -0.05, "better"), ("selu", 0.04, "no difference shown"), metric="test_loss"
    )
    assert verdicts.differences(table, "test_loss") == (
        "By test loss, of 2 activations compared with relu: 1 is better (elu −0.05); none is worse;"
        " for 1 no difference is shown (selu), which does not mean that there is none."
    )
    assert verdicts.differences(table).startswith("There is nothing to compare")


def test_only_one_comparison():
    assert verdicts.differences(comparisons(("elu", 0.004, "better"))) == (
        "By test accuracy, elu is better than relu (+0.40 points over 10 pairs of runs; p = 0.002)."
    )
    text = verdicts.differences(comparisons(("elu", 0.004, "no difference shown")))
    assert text.startswith("By test accuracy, no difference between elu and relu is shown (+0.40")


def test_too_few_seeds_are_said_plainly():
    rows = [(name, 0.1, "too few seeds") for name in ("a", "b", "c", "d", "e")]
    assert verdicts.differences(comparisons(*rows, n_pairs=3)) == (
        "With 3 pairs of runs per comparison Wilcoxon's test with Holm's correction can show no"
        " difference from relu, however large: 5 comparisons at once take at least 8 seeds. The"
        " differences here are what these runs gave, and no more than that."
    )
    some = comparisons(*rows, n_pairs=3)
    some.loc[0, "n_pairs"] = 2
    assert verdicts.differences(some).startswith("With at most 3 pairs of runs per comparison")
    text = verdicts.differences(comparisons(*rows[:1], n_pairs=1))
    assert "With 1 pair of runs" in text
    assert "1 comparison takes at least 6 seeds" in text
    assert verdicts.differences(comparisons(*rows, n_pairs=0)).startswith("Nothing can be compared")
    assert verdicts.differences(comparisons(*rows).iloc[:0]).startswith(
        "There is nothing to compare"
    )


@pytest.mark.parametrize(("count", "seeds"), [(1, 6), (2, 7), (5, 8), (19, 10)])
def test_seeds_needed(count, seeds):
    # Twice 2^-n, times the comparisons, has to fall below 0.05.
    assert count * 2 / 2**seeds < 0.05 <= count * 2 / 2 ** (seeds - 1)
    assert verdicts.seeds_needed(count) == seeds


def test_one_pair_of_networks():
    rows = [("a", 0.1, "too few seeds", {"mcnemar_p": 0.01}), ("b", 0.1, "too few seeds")]
    text = verdicts.differences(comparisons(*rows, n_pairs=1))
    assert "a difference from relu's network is shown for a (p = 0.01)." in text
    rows[0][3]["mcnemar_p"] = 0.5
    text = verdicts.differences(comparisons(*rows, n_pairs=1))
    assert "is shown for none. That is said of these networks" in text


def test_pairs():
    table = comparisons(("elu", 0.1, "better"), ("gelu", -0.1, "worse"), ("mish", 0, "no"))
    assert verdicts.pairs(table) == (
        "Among all 3 pairs of activations, 2 are told apart: elu over relu and relu over gelu"
        " (Holm's correction for 3; pairs.csv has them all)."
    )
    assert verdicts.pairs(table.iloc[2:]) == ""
    assert verdicts.pairs(pd.concat([table.iloc[2:]] * 2)) == (
        "Among all 2 pairs of activations no difference is shown."
    )
    few = comparisons(*[("elu", 0.1, "too few seeds")] * 190)
    assert verdicts.pairs(few) == (
        "Of the 190 pairs of activations none can be told apart with 10 seeds: Holm's correction"
        " for so many takes at least 13 (pairs.csv has the numbers)."
    )
    few.loc[0, "n_pairs"] = 9
    assert "told apart with at most 10 seeds:" in verdicts.pairs(few)
    assert verdicts.pairs(few.assign(n_pairs=0)) == ""


def ranks(p, blocks=10, distance=1.5):
    return pd.DataFrame(
        {
            "activation": ["relu", "elu", "selu"],
            "mean_rank": [2.5, 1.2, 2.3],
            "n_blocks": blocks,
            "n_activations": 3,
            "friedman_p": p,
            "critical_difference": distance,
        }
    )


def test_ranks():
    text = (
        "Ranked by test accuracy within 10 seeds that all 3 activations completed, the mean rank"
        " goes from 1.20 (elu) to 2.50 (relu)."
    )
    assert verdicts.ranking(ranks(0.001)) == (
        f"{text} They differ (Friedman's test: p = 0.001); two activations are told apart where"
        " their mean ranks differ by more than 1.50 (Nemenyi's critical difference)."
    )
    assert verdicts.ranking(ranks(0.2)) == (
        f"{text} Friedman's test does not show that the ranks differ (p = 0.2)."
    )
    assert verdicts.ranking(ranks(0.001, blocks=9)).endswith(
        "critical difference). Both are approximations, rough for 9 seeds; where they and the"
        " verdicts above disagree, the verdicts are the exact ones."
    )
    assert verdicts.ranking(ranks(0.2, blocks=9)).endswith(
        "(p = 0.2). It is an approximation, rough for 9 seeds."
    )
    assert verdicts.ranking(ranks(float("nan"))) == f"{text} That is too little for a test."
    assert verdicts.ranking(ranks(0.1).iloc[:0]) == ""
    assert verdicts.ranking(ranks(0.1, blocks=0)) == ""
    assert verdicts.ranking(ranks(float("nan"), blocks=1)).startswith(
        "Ranked by test accuracy within the one seed that"
    )
