from types import SimpleNamespace

import pandas as pd
import pytest

from benchmark import story
from benchmark.experiments import FAILS, HOLDS, IN_PART, UNDECIDED, Finding


def summary(**rows):
    """Return rows of summary.csv: name=(mean test accuracy, complete runs, further columns)."""
    usual = {
        "test_accuracy_ci_low": None,
        "test_accuracy_ci_high": None,
        "test_sampling_error": None,
        "n_not_learned": 0,
        "note": None,
        "epochs_asked": 30,
    }
    return pd.DataFrame(
        [
            {
                "activation": name,
                "test_accuracy_mean": mean,
                "n_seeds": seeds,
                **usual,
                **dict(*more),
            }
            for name, (mean, seeds, *more) in rows.items()
        ]
    ).astype({"test_accuracy_mean": float, "test_sampling_error": float})


def test_best_and_worst():
    table = summary(
        sigmoid=(0.1, 3, {"n_not_learned": 3}),
        elu=(
            0.92,
            3,
            {
                "test_accuracy_ci_low": 0.9,
                "test_accuracy_ci_high": 0.94,
                "test_sampling_error": 0.0143,
            },
        ),
        relu=(0.91, 3),
    )
    assert story.headline(table) == (
        "The highest mean test accuracy is elu's, 92.00 % (95 % interval 90.00 to 94.00); the"
        " lowest is sigmoid's, 10.00 %. Not learnt (test accuracy at most 5 points above guessing"
        " the most frequent class): sigmoid in 3 of 3 runs."
    )
    assert (
        "Other test images of the same kind and number would change an accuracy by 1.43 points"
        " (standard error, at elu's)" in story.final(table)
    )


def test_one_activation_and_one_run():
    assert story.headline(summary(relu=(0.9, 1))) == "The test accuracy of relu is 90.00 %."
    assert story.headline(summary(relu=(0.9, 2))) == "The mean test accuracy of relu is 90.00 %."


def test_one_run_each_tells_nothing_of_seeds():
    text = story.final(summary(relu=(0.9, 1), elu=(0.8, 1, {"n_not_learned": 1})))
    assert text == (
        "The highest test accuracy is relu's, 90.00 %; the lowest is elu's, 80.00 %. With one run"
        " each there is no telling how much of that is the seed's. Not learnt (test accuracy at"
        " most 5 points above guessing the most frequent class): elu in its only run."
    )


def test_activations_without_complete_runs_have_no_place():
    table = summary(relu=(None, 0), elu=(0.8, 2), gelu=(0.7, 2))
    assert "the lowest is gelu's, 70.00 %" in story.headline(table)
    assert story.headline(table.iloc[:1]) == "No run is complete yet."
    assert story.final(table.iloc[:1]) == ("No run is complete: there is no final accuracy yet.")


def test_notes_are_told():
    table = summary(relu=(0.9, 3), elu=(0.5, 3, {"note": "1 of 3 runs is odd"}))
    assert story.final(table).endswith("elu: 1 of 3 runs is odd.")


def test_learning():
    table = summary(relu=(0.9, 3), elu=(0.8, 3), sigmoid=(None, 0))
    table["val_accuracy_mean"] = [0.95, 0.96, None]
    table["val_accuracy_auc_mean"] = [0.9, 0.8, None]
    assert story.learning(table) == (
        "After 30 epochs elu's validation accuracy is 96.00 %, the highest; relu's, 95.00 %, is the"
        " lowest. Over all epochs together, which counts how fast a network learns too, relu is"
        " ahead (90.00 % on average)."
    )
    assert story.learning(table.iloc[:1]) == (
        "After 30 epochs relu's validation accuracy is 95.00 %."
    )
    assert story.learning(table.iloc[2:]).startswith("No run is complete")


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
    assert story.differences(table) == (
        "By test accuracy, of 5 activations compared with relu: 2 are better (gelu +0.70 points and"
        " elu +0.40 points); 1 is worse (sigmoid −80.00 points); for 1 no difference is shown"
        " (selu), which does not mean that there is none: the intervals of these reach from −0.30"
        " to +0.10 points; for 1 there are too few seeds (mish). (Wilcoxon's exact signed-rank test"
        " over runs of the same seed; Holm's correction keeps the chance of any false alarm among"
        " the 5 comparisons at 5 %.)"
    )


def test_nothing_shown():
    table = comparisons(("elu", 0.0, "no difference shown"), ("selu", 0.0, "no difference shown"))
    text = story.differences(table)
    assert "none is better; none is worse; for 2 no difference is shown (elu and selu)" in text


def test_an_undefined_interval_is_not_told():
    table = comparisons(
        ("elu", 0.0, "no difference shown", {"ci_low": None, "ci_high": None}),
        ("selu", -0.9, "worse", {"ci_low": None, "ci_high": None}),
    )
    assert "for 1 no difference is shown (elu). (W" in story.differences(table)


def test_a_loss_has_no_points():
    table = comparisons(
        ("elu", -0.05, "better"), ("selu", 0.04, "no difference shown"), metric="test_loss"
    )
    text = story.differences(table, "test_loss")
    assert text.startswith(
        "By test loss, of 2 activations compared with relu: 1 is better (elu −0.05); none is worse;"
        " for 1 no difference is shown (selu). (W"
    )
    assert story.differences(table).startswith("There is nothing to compare")


def test_only_one_comparison():
    assert story.differences(comparisons(("elu", 0.004, "better"))) == (
        "By test accuracy, elu is better than relu (+0.40 points; Wilcoxon's exact signed-rank test"
        " over 10 pairs of runs of the same seed: p = 0.002)."
    )
    text = story.differences(comparisons(("elu", 0.004, "no difference shown")))
    assert text.startswith("By test accuracy, no difference between elu and relu is shown (+0.40")


def test_too_few_seeds_are_said_plainly():
    rows = [(name, 0.1, "too few seeds") for name in ("a", "b", "c", "d", "e")]
    assert story.differences(comparisons(*rows, n_pairs=3)) == (
        "With 3 pairs of runs per comparison no difference from relu can be shown, however large it"
        " is: 5 comparisons at once take at least 8 seeds. The differences here are what these runs"
        " gave, and no more than that."
    )
    text = story.differences(comparisons(*rows[:1], n_pairs=1))
    assert "With 1 pair of runs" in text
    assert "1 comparison takes at least 6 seeds" in text
    assert story.differences(comparisons(*rows, n_pairs=0)).startswith("Nothing can be compared")
    assert story.differences(comparisons(*rows).iloc[:0]).startswith("There is nothing to compare")


@pytest.mark.parametrize(("count", "seeds"), [(1, 6), (2, 7), (5, 8), (19, 10)])
def test_seeds_needed(count, seeds):
    # Twice 2^-n, times the comparisons, has to fall below 0.05.
    assert count * 2 / 2**seeds < 0.05 <= count * 2 / 2 ** (seeds - 1)
    assert story.seeds_needed(count) == seeds


def test_one_pair_of_networks():
    rows = [("a", 0.1, "too few seeds", {"mcnemar_p": 0.01}), ("b", 0.1, "too few seeds")]
    text = story.differences(comparisons(*rows, n_pairs=1))
    assert "a difference from relu's network is shown for a (p = 0.01)." in text
    rows[0][3]["mcnemar_p"] = 0.5
    text = story.differences(comparisons(*rows, n_pairs=1))
    assert "is shown for none. That is said of these networks" in text


def test_pairs():
    table = comparisons(("elu", 0.1, "better"), ("gelu", -0.1, "worse"), ("mish", 0, "no"))
    assert story.pairs(table) == (
        "Among all 3 pairs of activations, 2 are told apart: elu over relu and relu over gelu"
        " (Holm's correction for 3; pairs.csv has them all)."
    )
    assert story.pairs(table.iloc[2:]) == ""
    assert story.pairs(pd.concat([table.iloc[2:]] * 2)) == (
        "Among all 2 pairs of activations no difference is shown."
    )
    assert story.pairs(comparisons(*[("elu", 0.1, "too few seeds")] * 3)) == ""


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
    assert story.ranking(ranks(0.001)) == (
        f"{text} They differ (Friedman's test: p = 0.001); two activations are told apart where"
        " their mean ranks differ by more than 1.50 (Nemenyi's critical difference)."
    )
    assert story.ranking(ranks(0.2)) == (
        f"{text} Friedman's test does not show that the ranks differ (p = 0.2)."
    )
    assert story.ranking(ranks(float("nan"))) == f"{text} That is too little for a test."
    assert story.ranking(ranks(0.1).iloc[:0]) == ""
    assert story.ranking(ranks(0.1, blocks=0)) == ""
    assert story.ranking(ranks(float("nan"), blocks=1)).startswith(
        "Ranked by test accuracy within the one seed that"
    )


def test_tuned_rates():
    table = pd.DataFrame(
        {
            "activation": ["relu", "relu", "elu", "elu", "selu", "selu"],
            "learning_rate": [0.001, 0.01] * 3,
            "chosen": [True, False, False, True, True, False],
            "at_edge": [True, False, False, True, False, False],
        }
    )
    assert story.tuned(table) == (
        "Of the learning rates 0.001 and 0.01, the best in mean validation accuracy is 0.001 for"
        " relu and selu; 0.01 for elu. At the grid's edge, where a rate beyond it might do better:"
        " relu and elu."
    )
    assert story.tuned(table.assign(chosen=False)) == (
        "Of the learning rates 0.001 and 0.01, the best in mean validation accuracy is unknown:"
        " none could be chosen yet."
    )
    table.loc[0, "chosen"] = False
    assert story.tuned(table).endswith("Without a choice: relu.")
    assert story.tuned(table.iloc[:0]) == ""


def confusion(role, name, counts, runs=2):
    """Return rows of confusion.csv from {(true, predicted): count}."""
    return pd.DataFrame(
        [
            {
                "role": role,
                "activation": name,
                "true": t,
                "predicted": p,
                "count": n,
                "n_runs": runs,
            }
            for (t, p), n in counts.items()
        ]
    )


def test_mistakes():
    best = confusion("best", "elu", {(0, 0): 90, (4, 9): 6, (8, 1): 4})
    worst = confusion("worst", "relu", {(0, 0): 10, (4, 4): 10}, runs=1)
    misread = pd.DataFrame(
        {
            "role": ["best", "best", "worst"],
            "activation": ["elu", "elu", "relu"],
            "index": [7, 30, 1],
            "true": [8, 4, 2],
            "predicted": [1, 9, 3],
            "n_misread": [1, 2, 1],
            "n_runs": [2, 2, 1],
        }
    )
    assert story.mistakes(pd.concat([best, worst]), misread) == (
        "elu, the best in mean test accuracy, misreads 10.00 % of the test images (2 runs); its"
        " most frequent mistake is to read 4 as 9 (6 of 10). relu, the worst in mean test accuracy,"
        " misreads 0.00 % of the test images (1 run). Of the test images, elu misreads number 30"
        " most often (in 2 of 2 runs): a 4 taken for a 9."
    )
    assert story.mistakes(worst, misread.iloc[:0]) == (
        "relu, the worst in mean test accuracy, misreads 0.00 % of the test images (1 run)."
    )


def test_cost():
    table = pd.DataFrame(
        {
            "activation": ["relu", "elu"],
            "seconds_per_epoch_mean": [0.5, 1.0],
            "peak_memory_mb_mean": [900.0, 1200.0],
        }
    )
    assert story.cost(table).startswith(
        "An epoch takes 0.5 s with relu and 1 s with elu (2.00 times as much). A run's peak memory"
        " is 900 MB with relu and 1200 MB with elu (1.33 times as much). These are"
    )
    assert story.cost(table.iloc[:1]).startswith("An epoch takes 0.5 s with relu. A run's")
    assert "memory is" not in story.cost(table.assign(peak_memory_mb_mean=float("nan")))
    assert story.cost(table.assign(seconds_per_epoch_mean=float("nan"))) == ""


def test_levels():
    table = pd.DataFrame(
        {
            "activation": ["relu", "elu", "selu", "sigmoid"] * 2,
            "level": [0.9] * 4 + [0.99] * 4,
            "epochs_median": [5.5, 1, 1, None] + [None] * 4,
        }
    )
    assert story.levels(table) == (
        "To 90 % validation accuracy: elu and selu after 1 epoch, the last to get there after 5.5"
        " epochs; not within these runs: sigmoid. No activation reaches 99 % validation accuracy in"
        " more than half of its runs."
    )
    assert story.levels(table.iloc[:0]) == ""


def section(*verdicts):
    return SimpleNamespace(findings=[Finding("claim", verdict, "") for verdict in verdicts])


def test_claims_are_counted():
    sections = [section(HOLDS, HOLDS, IN_PART), section(FAILS, UNDECIDED), section()]
    assert story.claims(sections).startswith(
        "Of 5 claims about activation functions, 2 hold, 1 holds in part, 1 does not hold and 1 was"
        " not measured."
    )
    assert story.claims([section(HOLDS)]).startswith(
        "Of 1 claim about activation functions, 1 holds."
    )
    assert story.claims([section()]) == ""


def test_many_names_are_counted():
    assert story.named("abc") == "a, b and c"
    assert story.named(map(str, range(13))) == "13 activations"
