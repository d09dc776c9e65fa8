import pandas as pd
import pytest

from benchmark.plotting import catalogue
from benchmark.report import captions

RUNS = pd.DataFrame(
    {
        "activation": ["relu", "relu", "elu", "selu"],
        "status": ["complete", "complete", "complete", "failed"],
        "test_accuracy": [0.9, 0.92, 0.8, None],
        # What a failed run has taken does not count.
        "seconds_per_epoch": [0.5, 0.7, 1.0, 9.0],
    }
)
CURVES = pd.DataFrame(
    {
        "activation": ["relu", "relu", "elu", "elu"],
        "epoch": [1, 2, 1, 2],
        "val_accuracy_mean": [0.5, 0.9, 0.6, 0.7],
        "val_loss_mean": [1.0, 0.3, 0.9, 0.5],
    }
)
COMPARISONS = pd.DataFrame(
    {"activation": ["elu", "selu"], "baseline": "relu", "difference": [0.01, -0.02]}
)
CONFUSION = pd.DataFrame(
    {
        "role": ["best", "best", "worst"],
        "activation": ["relu", "relu", "elu"],
        "true": [0, 1, 0],
        "predicted": [0, 2, 1],
        "count": [9, 1, 4],
    }
)
EXPECTED = {
    "accuracy": (
        CURVES,
        "accuracy by epoch of 2 activations, training and validation; after the last epoch the"
        " validation accuracy is from 70.00 % (elu) to 90.00 % (relu).",
    ),
    "loss": (
        CURVES,
        "loss by epoch of 2 activations, training and validation; after the last epoch the"
        " validation loss is from 0.3 (relu) to 0.5 (elu).",
    ),
    "final_accuracy": (
        RUNS,
        "test accuracy of 3 runs of 2 activations; the means are from 80.00 % (elu) to 91.00 %"
        " (relu).",
    ),
    "differences": (
        COMPARISONS,
        "difference in test accuracy of 2 activations from relu, from −2.00 points (selu) to +1.00"
        " points (elu).",
    ),
    "ranks": (
        pd.DataFrame({"activation": ["relu", "elu"], "mean_rank": [1.25, 1.75]}),
        "mean ranks by test accuracy of 2 activations, from 1.25 (relu) to 1.75 (elu).",
    ),
    "accuracy_time": (
        RUNS,
        "validation accuracy against time of 2 activations; an epoch takes from 0.6 s (relu) to 1 s"
        " (elu).",
    ),
    "tuning": (
        pd.DataFrame(
            {
                "activation": ["relu", "relu", "elu"],
                "learning_rate": [0.1, 0.01, 0.1],
                "chosen": [False, True, True],
            }
        ),
        "validation accuracy by learning rate of 2 activations; the chosen rates are from 0.01"
        " (relu) to 0.1 (elu).",
    ),
    "confusion": (
        CONFUSION,
        "true class against predicted class; relu (best) misclassifies 10.00 %, elu (worst)"
        " misclassifies 100.00 % of the test images.",
    ),
    "misclassified": (
        CONFUSION.iloc[1:],
        "1 test image that relu (best) misclassifies, the first of class 1, taken for 2; 1 test"
        " image that elu (worst) misclassifies, the first of class 0, taken for 1.",
    ),
}


def test_every_kind_of_figure_has_a_caption():
    assert set(captions.CAPTIONS) == set(EXPECTED) == set(catalogue.KINDS)


@pytest.mark.parametrize("kind", EXPECTED)
def test_alternative(kind):
    rows, text = EXPECTED[kind]
    assert captions.alternative(kind, "CNN on digits", rows) == f"CNN on digits: {text}"


def test_without_numbers():
    nothing = CURVES.assign(val_accuracy_mean=float("nan"))
    assert captions.alternative("accuracy", "CNN", nothing) == (
        "CNN: accuracy by epoch of 2 activations, training and validation."
    )
    none = COMPARISONS.assign(difference=float("nan"))
    assert captions.alternative("differences", "CNN", none) == (
        "CNN: difference in test accuracy of 2 activations from relu."
    )
    not_timed = RUNS.assign(seconds_per_epoch=float("nan"))
    assert captions.alternative("accuracy_time", "CNN", not_timed) == (
        "CNN: validation accuracy against time of 2 activations."
    )


def test_one_activation_and_equal_ones():
    assert captions.alternative("accuracy", "CNN", CURVES.iloc[:2]).endswith(
        "of 1 activation, training and validation; after the last epoch the validation accuracy is"
        " 90.00 % (relu)."
    )
    equal = CURVES.assign(val_accuracy_mean=0.5)
    assert captions.alternative("accuracy", "CNN", equal).endswith("is 50.00 % (all).")
    ranks = pd.DataFrame(
        {"activation": ["relu", "elu", "selu"], "mean_rank": [0.3, 2.4, 0.1 + 0.2]}
    )
    assert captions.alternative("ranks", "CNN", ranks).endswith(
        "from 0.3 (relu and selu) to 2.4 (elu)."
    )


def test_captions_say_what_their_intervals_and_tests_are():
    assert "not corrected for the number of comparisons" in captions.CAPTIONS["differences"]
    assert "(an approximation)" in captions.CAPTIONS["ranks"]
    assert "at most as long as the median one" in captions.CAPTIONS["accuracy_time"]
    assert "where there are several that ended alike" in captions.CAPTIONS["final_accuracy"]
