from types import SimpleNamespace

import pandas as pd

from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED, Finding
from benchmark.report import story


def summary(**rows):
    """Return rows of summary.csv: name=(mean test accuracy, complete runs, further columns)."""
    usual = {
        "test_accuracy_ci_low": None,
        "test_accuracy_ci_high": None,
        "test_sampling_error": None,
        "n_not_learned": 0,
        "n_diverged": 0,
        "n_failed": 0,
        "n_unfinished": 0,
        "note": None,
        "epochs_asked": 30,
    }
    return pd.DataFrame(
        [
            {
                "activation": name,
                "test_accuracy_mean": mean,
                "n_completed": seeds,
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
        " lowest is sigmoid's, 10.00 %. Other test images would change elu's accuracy, typically by"
        " about 1.43 points (the standard error of the sample); the intervals do not hold this, for"
        " all runs are tested on the same images. sigmoid: 3 of 3 runs did not learn. Not to learn"
        " means: test accuracy at most 5 points above guessing the most frequent class."
    )


def test_sampling_error_without_intervals_and_of_the_first_that_has_one():
    table = summary(elu=(0.92, 1), relu=(0.91, 1, {"test_sampling_error": 0.0143}))
    assert story.final(table).endswith(
        "seed's. Other test images would change relu's accuracy, typically by about 1.43 points"
        " (the standard error of the sample)."
    )
    perfect = table.assign(test_accuracy_mean=1.0, test_sampling_error=0.0)
    assert story.final(perfect) == "All have a test accuracy of 100.00 %."


def test_equal_ones_are_all_named():
    interval = {"test_accuracy_ci_low": 0.9, "test_accuracy_ci_high": 0.94}
    # Equal but for a rounding error.
    table = summary(
        relu=(0.3, 3, interval), elu=(0.1 + 0.2, 3, interval), selu=(0.2, 3), gelu=(0.2, 3)
    )
    assert story.headline(table) == (
        "The highest mean test accuracy is elu's and relu's, 30.00 %; the lowest is gelu's and"
        " selu's, 20.00 %."
    )
    assert story.headline(table.iloc[2:]) == "All have a mean test accuracy of 20.00 %."
    assert story.headline(summary(a=(0.2, 1), b=(0.2, 1))) == "All have a test accuracy of 20.00 %."
    many = summary(worst=(0.1, 2), **{f"a{place}": (0.2, 2) for place in range(13)})
    assert "accuracy is that of 13 activations, 20.00 %; the lowest is worst's" in (
        story.headline(many)
    )


def test_counts_beside_missing_ones_are_whole():
    table = summary(relu=(0.9, 3), elu=(0.1, 9, {"n_not_learned": 1}), selu=(0.8, 3))
    table["n_not_learned"] = [float("nan"), 1.0, 0.0]
    assert story.not_learned(table).endswith(": elu in 1 of 9 runs.")


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
    lost = {"n_diverged": 2, "n_failed": 1}
    table = summary(relu=(None, 0, lost), elu=(0.8, 2), gelu=(0.7, 2))
    assert story.headline(table).endswith(
        "the lowest is gelu's, 70.00 %. Without a complete run: relu (2 diverged and 1 failed)."
    )
    assert story.headline(table.iloc[:1]) == (
        "No run is complete yet. Without a complete run: relu (2 diverged and 1 failed)."
    )
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
    equal = table.assign(val_accuracy_mean=0.5, val_accuracy_auc_mean=[0.3, 0.3, 0.2])
    assert story.learning(equal) == (
        "After 30 epochs all have a validation accuracy of 50.00 %. Over all epochs together, which"
        " counts how fast a network learns too, elu and relu are ahead (30.00 % on average)."
    )
    equal = table.assign(val_accuracy_mean=[0.5, 0.5, 0.2], val_accuracy_auc_mean=0.25)
    assert story.learning(equal) == (
        "After 30 epochs elu's and relu's validation accuracy is 50.00 %, the highest; sigmoid's,"
        " 20.00 %, is the lowest. Over all epochs together, which counts how fast a network learns"
        " too, all are equal (25.00 % on average)."
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
        "Chosen by mean validation accuracy (passing over rates at which a run was lost, where"
        " there are others): of the learning rates 0.001 and 0.01, 0.001 for relu and selu; 0.01"
        " for elu. At the grid's edge, where a rate beyond it might do better:"
        " relu and elu."
    )
    assert story.tuned(table.assign(chosen=False)) == (
        "Of the learning rates 0.001 and 0.01 none could be chosen yet."
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
    misclassified = pd.DataFrame(
        {
            "role": ["best", "best", "worst"],
            "activation": ["elu", "elu", "relu"],
            "index": [30, 7, 1],
            "true": [4, 8, 2],
            "predicted": [9, 1, 3],
            "n_misclassified": [2, 1, 1],
            "n_runs": [2, 2, 1],
        }
    )
    assert story.mistakes(pd.concat([best, worst]), misclassified) == (
        "elu, the best in mean test accuracy, misclassifies 10.00 % of the test images (2 runs);"
        " its most frequent mistake is to read 4 as 9 (6 of 10). relu, the worst in mean test"
        " accuracy, misclassifies 0.00 % of the test images (1 run). Of the test images, elu is"
        " most wrong about number 30 (in 2 of 2 runs): class 4, taken for 9."
    )
    assert story.mistakes(worst, misclassified.iloc[:0]) == (
        "relu, the worst in mean test accuracy, misclassifies 0.00 % of the test images (1 run)."
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
            "activation": ["relu", "elu", "selu", "sigmoid", "tanh", "gelu"] * 3,
            "target": [0.9] * 6 + [0.95] * 6 + [0.99] * 6,
            "n_runs": [5, 5, 5, 5, 5, 0] * 3,
            "n_reached": [5, 5, 5, 2, 0, 0] + [1, 0, 0, 0, 0, 0] + [0] * 6,
            "epochs_median": [5.5, 1, 1, None, None, None] + [None] * 12,
        }
    )
    assert story.time_to_accuracy(table) == (
        "To 90 % validation accuracy: elu and selu after 1 epoch, the last to get there after 5.5"
        " epochs; in no more than half of the runs: sigmoid (2 of 5); in no run: tanh. To 95 %"
        " validation accuracy: in no more than half of the runs: relu (1 of 5); in no run: elu,"
        " selu, sigmoid and tanh. No run reaches 99 % validation accuracy."
    )
    assert story.time_to_accuracy(table.iloc[:0]) == ""


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
        {
            "activation": ["relu", "elu"],
            "target": 0.9,
            "n_runs": 3,
            "n_reached": 3,
            "epochs_median": 2,
        }
    )
    assert (
        story.time_to_accuracy(table) == "To 90 % validation accuracy: elu and relu after 2 epochs."
    )
