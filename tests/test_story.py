from types import SimpleNamespace

import pandas as pd

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
        sigmoid=(0.1, 3, {"n_not_learned": 3, "note": "3 of 3 runs did not learn"}),
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
    assert story.final(table) == (
        "The highest mean test accuracy is elu's, 92.00 % (95 % interval 90.00 to 94.00); the"
        " lowest is sigmoid's, 10.00 %. The choice of the test images alone gives elu's accuracy a"
        " standard error of 1.43 points, which no interval over seeds contains: all runs are tested"
        " on the same images. sigmoid: 3 of 3 runs did not learn. Not to learn means: test accuracy"
        " at most 5 points above guessing the most frequent class."
    )


def test_one_activation_and_one_run():
    assert story.headline(summary(relu=(0.9, 1))) == "The test accuracy of relu is 90.00 %."
    assert story.headline(summary(relu=(0.9, 2))) == "The mean test accuracy of relu is 90.00 %."


def test_one_run_each_tells_nothing_of_seeds():
    text = story.headline(summary(relu=(0.9, 1), elu=(0.8, 1, {"n_not_learned": 1})))
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
    odd = {"note": "1 of 3 runs is odd"}
    table = summary(relu=(0.9, 3), elu=(0.5, 3, odd), gelu=(0.6, 3), selu=(0.7, 3, odd))
    assert story.final(table).endswith("elu and selu: 1 of 3 runs is odd.")


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
            "index": [30, 7, 1],
            "true": [4, 8, 2],
            "predicted": [9, 1, 3],
            "n_misread": [2, 1, 1],
            "n_runs": [2, 2, 1],
        }
    )
    assert story.mistakes(pd.concat([best, worst]), misread) == (
        "elu, the best in mean test accuracy, misreads 10.00 % of the test images (2 runs); its"
        " most frequent mistake is to read 4 as 9 (6 of 10). relu, the worst in mean test accuracy,"
        " misreads 0.00 % of the test images (1 run). Of the test images, elu is most wrong about"
        " number 30 (in 2 of 2 runs): class 4, taken for 9."
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


def test_levels_reached_together():
    table = pd.DataFrame(
        {"activation": ["relu", "elu"], "level": [0.9, 0.9], "epochs_median": [2, 2]}
    )
    assert story.levels(table) == "To 90 % validation accuracy: elu and relu after 2 epochs."
