import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from benchmark.stats import confusion, summary
from tests.stats.test_comparisons import made

TRUE = [0, 0, 1, 1, 2]
# The classes predicted, and with what probability, by run.
PREDICTED = {
    "relu-0": ([0, 1, 1, 1, 2], [0.9, 0.6, 0.9, 0.9, 0.9]),
    "relu-1": ([0, 1, 1, 2, 2], [0.9, 0.8, 0.9, 0.5, 0.9]),
    "selu-0": ([1, 1, 2, 2, 0], [0.5] * 5),
    "selu-1": ([2, 1, 2, 2, 1], [0.4, 0.9, 0.5, 0.5, 0.6]),
    "selu-2": ([2, 1, 1, 2, 1], [0.7, 0.3, 0.5, 0.5, 0.7]),
    "elu-0": ([0, 0, 1, 1, 0], [1.0] * 5),
}


@pytest.fixture
def runs():
    scores = {"elu": [0.7, None], "relu": [0.8, 0.7], "selu": [0.0, 0.0, 0.2], "gelu": [None]}
    return made(scores)


@pytest.fixture
def predictions():
    frames = [
        pd.DataFrame(
            {"run": run, "index": range(5), "true": TRUE, "predicted": p, "probability": q}
        )
        for run, (p, q) in PREDICTED.items()
    ]
    return pd.concat(frames, ignore_index=True)


def test_best_and_worst(runs):
    found = confusion.best_and_worst(runs)
    assert list(found) == [*summary.SETTINGS, "role", "activation", "run"]
    assert found[["role", "run"]].to_numpy().tolist() == [
        *(["best", "relu-0"], ["best", "relu-1"]),
        *(["worst", "selu-0"], ["worst", "selu-1"], ["worst", "selu-2"]),
    ]


def test_best_and_worst_of_equals_and_of_one():
    equal = confusion.best_and_worst(made({"b": [0.3], "a": [0.1 + 0.2], "c": [0.3]}))
    assert equal["activation"].tolist() == ["a"]
    one = confusion.best_and_worst(made({"b": [0.3]}))
    assert one["role"].tolist() == ["best"]
    assert confusion.best_and_worst(made({"b": [None]})).empty


def test_settings_stay_apart():
    small = made({"relu": [0.5], "elu": [0.7]}, limit=100)
    large = made({"relu": [0.9], "elu": [0.8]}, limit=200)
    found = confusion.best_and_worst(pd.concat([large, small]))
    assert found[["limit", "role", "activation"]].to_numpy().tolist() == [
        *([100, "best", "elu"], [100, "worst", "relu"]),
        *([200, "best", "relu"], [200, "worst", "elu"]),
    ]


def test_confusion(predictions, runs):
    table = confusion.confusion(predictions, runs)
    assert list(table)[-6:] == ["role", "activation", "true", "predicted", "count", "n_runs"]
    matrices = {
        role: rows.pivot(index="true", columns="predicted", values="count").to_numpy().tolist()
        for role, rows in table.groupby("role")
    }
    assert matrices == {
        "best": [[2, 2, 0], [0, 3, 1], [0, 0, 2]],
        "worst": [[0, 4, 2], [0, 1, 5], [1, 2, 0]],
    }
    assert table.groupby("role")["n_runs"].unique().tolist() == [2, 3]


def test_confusion_counts_the_runs_at_hand(predictions, runs):
    table = confusion.confusion(predictions[predictions["run"] != "relu-1"], runs)
    best = table[table["role"] == "best"]
    assert set(best["n_runs"]) == {1}
    assert best["count"].sum() == 5


def test_misclassified(predictions, runs):
    table = confusion.misclassified(predictions, runs)
    assert list(table)[-12:] == [
        *("role", "activation", "index", "true", "predicted", "n_misclassified", "n_runs"),
        *("probability", "height", "width", "scale", "pixels"),
    ]
    names = ["index", "true", "predicted", "n_misclassified", "n_runs"]
    best, worst = (table[table["role"] == role] for role in ("best", "worst"))
    assert best[names].to_numpy().tolist() == [[1, 0, 1, 2, 2], [3, 1, 2, 1, 2]]
    np.testing.assert_allclose(best["probability"], [0.7, 0.5])
    # The class that most runs took it for, and how sure those were; the surest images first.
    assert worst[names].to_numpy().tolist() == [
        *([4, 2, 1, 3, 3], [1, 0, 1, 3, 3], [0, 0, 2, 3, 3], [3, 1, 2, 3, 3], [2, 1, 2, 2, 3])
    ]
    np.testing.assert_allclose(worst["probability"], [0.65, (0.5 + 0.9 + 0.3) / 3, 0.55, 0.5, 0.5])
    assert table["pixels"].isna().all()


def test_as_many_images_as_asked_for(predictions, runs):
    table = confusion.misclassified(predictions, runs, n=2)
    assert table["index"].tolist() == [1, 3, 4, 1]


def test_equally_frequent_mistakes(runs):
    frame = pd.DataFrame(
        {
            **{"run": ["relu-0", "relu-1"] * 2, "index": [0, 0, 1, 1], "true": 0},
            **{"predicted": [1, 2, 2, 1], "probability": [0.6, 0.7, 0.5, 0.5]},
        }
    )
    found = confusion.misclassified(frame, runs)
    assert found["predicted"].tolist() == [2, 1], "the surer one, then the smaller class"


def test_order_of_rows_does_not_matter(predictions, runs):
    for function in (confusion.confusion, confusion.misclassified):
        expected = function(predictions, runs)
        shuffled = (frame.sample(frac=1, random_state=1) for frame in (predictions, runs))
        assert_frame_equal(function(*shuffled), expected, check_exact=True)
    best = confusion.best_and_worst(runs)
    assert_frame_equal(confusion.best_and_worst(runs.iloc[::-1]), best, check_exact=True)


def test_tables_of_nothing(predictions, runs):
    for frame, of in ((predictions.iloc[:0], runs), (predictions, runs.iloc[:0])):
        for function in (confusion.confusion, confusion.misclassified):
            table = function(frame, of)
            assert table.empty
            assert list(table) == list(function(predictions, runs))
    no_mistakes = predictions.assign(predicted=predictions["true"])
    assert confusion.misclassified(no_mistakes, runs).empty
