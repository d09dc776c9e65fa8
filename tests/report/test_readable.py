import pandas as pd

from benchmark.plotting.catalogue import Part
from benchmark.report import readable

SCORES = (
    *("test_accuracy", "test_loss", "val_accuracy", "best_val_accuracy", "val_accuracy_auc"),
    *("seconds", "seconds_per_epoch", "peak_memory_mb"),
)


def row(name, accuracy, **more):
    scores = {f"{metric}_mean": accuracy for metric in SCORES}
    scores |= {f"{metric}_std": 0.01 for metric in SCORES}
    usual = {
        "activation": name,
        "rates": "shared",
        "learning_rate": 0.001,
        "test_accuracy_ci_low": 0.7,
        "test_accuracy_ci_high": 0.8,
        "test_accuracy_median": accuracy,
        "test_accuracy_iqm": accuracy,
        "n_completed": 2,
        "n_not_learned": 0,
        "n_diverged": 0,
        "n_failed": 0,
        "n_unfinished": 0,
        "test_sampling_error": 0.0143,
        "note": None,
    }
    return {**usual, **scores, **more}


def test_final_scores_best_first():
    table = readable.final(pd.DataFrame([row("relu", 0.75), row("elu", 0.76), row("selu", 0.5)]))
    assert table["activation"].tolist() == ["elu", "relu", "selu"]
    assert table.iloc[1].to_dict() == {
        "activation": "relu",
        "test accuracy": "75.00 ± 1.00 %",
        "95 % interval": "70.00 to 80.00",
        "sampling error": "1.43",
        "median": "75.00 %",
        "interquartile mean": "75.00 %",
        "test loss": "0.750 ± 0.010",
        "validation accuracy": "75.00 ± 1.00 %",
        "best epoch's": "75.00 ± 1.00 %",
        "mean over epochs": "75.00 ± 1.00 %",
        "runs": 2,
    }


def test_final_counts_what_went_wrong():
    gone = dict.fromkeys([f"{metric}_mean" for metric in SCORES], float("nan"))
    lost = row("elu", float("nan"), **gone, n_completed=0, n_diverged=2)
    lost |= {"test_accuracy_ci_low": float("nan"), "test_accuracy_ci_high": float("nan")}
    table = readable.final(pd.DataFrame([lost, row("relu", 0.75)]))
    assert table["activation"].tolist() == ["relu", "elu"]
    assert table["diverged"].tolist() == [0, 2]
    assert "failed" not in table
    assert table.loc[1, ["test accuracy", "95 % interval", "median"]].tolist() == ["–"] * 3


def test_final_counts_are_whole_or_missing():
    rows = [row("relu", 0.75, n_not_learned=float("nan")), row("elu", 0.7, n_not_learned=1.0)]
    rows[1]["note"] = "1 of 2 runs did not learn"
    assert readable.final(pd.DataFrame(rows))["not learned"].tolist() == ["–", 1]
    assert readable.final(pd.DataFrame(rows))["note"].tolist() == ["", "1 of 2 runs did not learn"]
    assert "note" not in readable.final(pd.DataFrame(rows[:1]))
    assert "not learned" not in readable.final(pd.DataFrame(rows[:1]))


def test_the_control_is_told_apart():
    table = readable.final(pd.DataFrame([row("relu", 0.9), row("linear", 0.5)]))
    assert table["activation"].tolist() == ["relu", "linear (control)"]


def test_final_of_tuned_rates_has_them():
    table = readable.final(pd.DataFrame([row("relu", 0.7, rates="tuned", learning_rate=0.01)]))
    assert table.loc[0, "learning rate"] == "0.01"


def test_differences():
    rows = pd.DataFrame(
        {
            "activation": ["elu", "selu", "elu"],
            "baseline": "relu",
            "metric": ["test_accuracy", "test_accuracy", "test_loss"],
            "difference": [-0.0123, 0.02, 0.5],
            "ci_low": [-0.02, None, 0.4],
            "ci_high": [0.01, None, 0.6],
            "crossed_low": [-0.03, None, None],
            "crossed_high": [-0.001, None, None],
            "n_pairs": [10, 9, 10],
            "e_value": [1234.5, None, 0.1],
            "holds_for": ["examples like these", None, None],
            "probability_of_improvement": [0.25, 1.0, 0.1],
            "verdict": ["worse", "undecided", "better"],
            "note": [None, "odd", None],
        }
    )
    table = readable.differences(rows)
    assert table.to_dict("records") == [
        {
            "activation": "selu",
            "against": "relu",
            "difference, points": "+2.00",
            "95 % interval": "–",
            "with other examples too": "–",
            "pairs": 9,
            "evidence": "–",
            "better in": "100 %",
            "verdict": "undecided",
            "holds for": "",
            "by test loss": "–",
            "note": "odd",
        },
        {
            "activation": "elu",
            "against": "relu",
            "difference, points": "−1.23",
            "95 % interval": "−2.00 to +1.00",
            "with other examples too": "−3.00 to −0.10",
            "pairs": 10,
            "evidence": "1.23e3",
            "better in": "25 %",
            "verdict": "worse",
            "holds for": "examples like these",
            "by test loss": "better",
            "note": "",
        },
    ]
    assert "note" not in readable.differences(rows[rows["activation"] == "elu"])
    assert "holds for" not in readable.differences(rows.assign(holds_for=None))
    without = readable.differences(rows.assign(crossed_low=None, crossed_high=None))
    assert "with other examples too" not in without


def test_tuning():
    rows = pd.DataFrame(
        {
            "activation": ["relu", "relu", "elu", "elu", "selu", "selu", "mish", "mish"],
            "learning_rate": [0.001, 0.01] * 4,
            "chosen": [True, False, False, True, True, False, False, False],
            "at_edge": [True, False, False, True, False, False, False, False],
        }
    )
    for table in (rows, rows.astype({"chosen": str, "at_edge": str})):
        chosen, edge, missing = readable.tuning(table)
        assert chosen["learning rate"].tolist() == ["0.001", "0.01"]
        assert chosen["chosen for"].tolist() == ["relu, selu", "elu"]
        assert (edge, missing) == (["relu", "elu"], ["mish"])


def test_mistakes():
    roles = [
        {
            "role": "best",
            "activation": "elu",
            "share": 0.1,
            "errors": 10,
            "runs": 2,
            "worst": {"true": 4, "predicted": 9, "count": 6},
        },
        {
            "role": "worst",
            "activation": "relu",
            "share": 0.0,
            "errors": 0,
            "runs": 1,
            "worst": None,
        },
    ]
    table = readable.mistakes(roles)
    assert table["misclassified"].tolist() == ["10.00 %", "0.00 %"]
    assert table["most frequent mistake"].tolist() == ["4 read as 9 (6 of 10)", "–"]
    assert table["runs"].tolist() == [2, 1]


def test_settings_side_by_side():
    first = pd.DataFrame([row("relu", 0.75), row("elu", 0.5)])
    parts = [
        Part(("0.001", "cnn"), "", first),
        Part(("0.01", "cnn"), "", first.iloc[:1]),
    ]
    assert readable.settings(parts).to_dict("records") == [
        {"activation": "relu", "0.001, cnn": "75.00 ± 1.00 %", "0.01, cnn": "75.00 ± 1.00 %"},
        {"activation": "elu", "0.001, cnn": "50.00 ± 1.00 %", "0.01, cnn": "–"},
    ]


def test_cost():
    # The mean is not shown: one slow run would move it.
    times = ("seconds_per_epoch_median", "seconds_median")
    relu = row("relu", 20.0, **dict(zip(times, (19.0, 190.0))))
    elu = row("elu", 0.5, **dict(zip(times, (0.5, 4.5))))
    summary = pd.DataFrame([{**relu, "seconds_per_epoch_mean": 0.1}, elu])
    levels = pd.DataFrame(
        {
            "activation": ["relu", "relu", "elu", "elu"],
            "target": [0.9, 0.95, 0.9, 0.95],
            "n_runs": 5,
            "n_reached": [5, 3, 2, 0],
            "epochs_median": [1, 2.5, None, None],
            "seconds_median": [3.0, 7.5, None, None],
        }
    )
    assert readable.cost(summary, levels).to_dict("records") == [
        {
            "activation": "elu",
            "an epoch": "0.500 s",
            "a run": "4.500 s",
            "peak memory": "0.500 ± 0.010 MB",
            "to 90 %": "2 of 5 runs",
            "to 95 %": "–",
        },
        {
            "activation": "relu",
            "an epoch": "19.0 s",
            "a run": "190.0 s",
            "peak memory": "20.0 ± 0.0 MB",
            "to 90 %": "1 epoch, 3 s",
            "to 95 %": "2.5 epochs, 7.5 s",
        },
    ]
    assert list(readable.cost(summary, levels.iloc[:0])) == [
        *("activation", "an epoch", "a run", "peak memory"),
    ]
