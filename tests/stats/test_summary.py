import io

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from scipy import stats

from benchmark.stats import summary as summary_stats

RUNS = """run,dataset,model,activation,optimizer,learning_rate,loss_function,seed,status,\
test_accuracy,test_loss,val_accuracy,val_loss,seconds_per_epoch,batch_size,epochs_asked,limit,\
initializer,validation,precision
a0,digits,cnn,relu,adam,0.001,ce,0,complete,0.9,0.3,0.91,0.31,1.0,128,2,,article,holdout,float32
a1,digits,cnn,relu,adam,0.001,ce,1,complete,0.8,0.5,0.81,0.51,3.0,128,2,,article,holdout,float32
a2,digits,cnn,relu,adam,0.001,ce,2,diverged,,,0.1,,2.0,128,2,,article,holdout,float32
b0,digits,cnn,elu,adam,0.001,ce,0,complete,0.7,0.6,0.71,0.61,1.5,128,2,,article,holdout,float32
b1,digits,cnn,elu,adam,0.001,ce,1,failed,,,,,,128,2,,article,holdout,float32
c0,digits,cnn,elu,adam,0.01,ce,0,complete,0.6,0.7,0.61,0.71,1.5,128,2,,article,holdout,float32
"""
HISTORY = """dataset,model,activation,optimizer,learning_rate,loss_function,seed,epoch,loss,\
accuracy,val_loss,val_accuracy,seconds,run
digits,cnn,relu,adam,0.001,ce,0,1,1.0,0.5,1.1,0.4,1,a0
digits,cnn,relu,adam,0.001,ce,0,2,0.8,0.6,0.9,0.5,1,a0
digits,cnn,relu,adam,0.001,ce,1,1,2.0,0.3,2.1,0.2,1,a1
digits,cnn,relu,adam,0.001,ce,1,2,1.8,0.4,1.9,0.3,1,a1
digits,cnn,relu,adam,0.001,ce,2,1,3.0,0.1,3.1,0.1,1,a2
digits,cnn,relu,adam,0.001,ce,2,2,nan,0.1,nan,0.1,1,a2
digits,cnn,elu,adam,0.001,ce,0,1,1.5,0.2,inf,0.2,1,b0
digits,cnn,elu,adam,0.01,ce,0,1,0.5,0.7,0.5,0.7,1,c0
"""
RUN = {
    **{"dataset": "digits", "model": "cnn", "activation": "relu", "optimizer": "adam"},
    **{"learning_rate": 0.001, "loss_function": "ce", "seed": 0, "status": "complete"},
    **{"test_accuracy": 0.9, "test_loss": 0.3, "val_accuracy": 0.9, "val_loss": 0.3},
    **{"seconds": 10.0, "seconds_per_epoch": 1.0, "peak_memory_mb": 900.0, "batch_size": 128},
    **{"epochs_asked": 5, "limit": np.nan, "initializer": "article", "validation": "holdout"},
    **{"precision": "float32", "purpose": "comparison", "test_images": 360},
    "majority_share": 0.1,
}


@pytest.fixture
def runs():
    return pd.read_csv(io.StringIO(RUNS))


@pytest.fixture
def history():
    return pd.read_csv(io.StringIO(HISTORY))


@pytest.fixture
def curves(history, runs):
    return summary_stats.curves(history, runs)


def made(*rows):
    """Return runs that differ from RUN in what is given."""
    return pd.DataFrame([{"run": f"r{i:03}", **RUN, **row} for i, row in enumerate(rows)])


def epochs(run, accuracies, seconds=1.0, losses=None):
    losses = losses or [1 - each for each in accuracies]
    return pd.DataFrame(
        {
            **{"run": run, "epoch": range(1, len(accuracies) + 1), "loss": losses},
            **{"accuracy": accuracies, "val_loss": losses, "val_accuracy": accuracies},
            "seconds": seconds,
        }
    )


def test_summary(runs):
    summary = summary_stats.summarize(runs)
    assert summary["activation"].tolist() == ["elu", "relu", "elu"]
    assert summary["learning_rate"].tolist() == [0.001, 0.001, 0.01]
    counts = summary[["n_completed", "n_diverged", "n_failed"]].to_numpy().tolist()
    assert counts == [[1, 0, 1], [2, 1, 0], [1, 0, 0]]
    relu = summary.iloc[1]
    assert relu["test_accuracy_mean"] == pytest.approx(np.mean([0.9, 0.8]))
    # Over the square root of n, it is scipy's standard error.
    error = relu["test_accuracy_std"] / np.sqrt(2)
    assert error == pytest.approx(stats.sem([0.9, 0.8]))
    interval = relu[["test_accuracy_ci_low", "test_accuracy_ci_high"]].to_numpy(float)
    np.testing.assert_allclose(interval, stats.t.interval(0.95, 1, loc=0.85, scale=error))
    assert relu["test_accuracy_median"] == pytest.approx(0.85)
    assert relu["seconds_per_epoch_mean"] == 2.0
    assert np.isnan(relu["peak_memory_mb_mean"]), "not in these runs"
    assert pd.isna(summary.iloc[0]["test_accuracy_std"])


def test_columns_of_the_summary(runs, history):
    columns = list(summary_stats.summarize(runs, history))
    assert columns[:3] == ["dataset", "model", "activation"]
    assert columns[3:13] == summary_stats.SETTINGS[2:]
    assert columns[13:20] == [
        *("n_completed", "n_diverged", "n_failed", "n_unfinished", "n_not_learned"),
        *("n_under_load", "n_still_improving"),
    ]
    parts = ["mean", "std", "ci_low", "ci_high", "median", "iqm"]
    assert columns[20:26] == [f"test_accuracy_{part}" for part in parts]
    assert columns[-2:] == ["test_sampling_error", "note"]
    assert columns[20:-2] == [
        f"{metric}_{part}" for metric in summary_stats.SUMMARY_METRICS for part in parts
    ]


def test_scores_of_the_curve(history, runs):
    relu = summary_stats.summarize(runs, history).iloc[1]
    # Of the two complete runs.
    assert relu["best_val_accuracy_mean"] == pytest.approx(np.mean([0.5, 0.3]))
    assert relu["best_val_loss_mean"] == pytest.approx(np.mean([0.9, 1.9]))
    assert relu["val_accuracy_auc_mean"] == pytest.approx(np.mean([0.45, 0.25]))
    without = summary_stats.summarize(runs)
    assert without["val_accuracy_auc_mean"].isna().all()


def test_infinite_scores_have_no_spread(runs):
    runs.loc[0, "test_loss"] = np.inf
    relu = summary_stats.summarize(runs).iloc[1]
    assert relu["test_loss_mean"] == np.inf
    assert np.isnan(relu["test_loss_std"])


def test_two_outcomes_have_no_interval():
    # 0.15 is the majority's share and the margin: no more than guessing.
    scores = [0.9, 0.92, 0.15, 0.1]
    learned = [{"activation": "selu", "test_accuracy": each} for each in scores[:2]]
    table = made(*({"test_accuracy": each} for each in scores), *learned)
    relu, selu = summary_stats.summarize(table).to_dict("records")
    assert relu["n_not_learned"] == 2
    assert relu["note"] == "2 of 4 runs did not learn: two outcomes, no interval of a mean"
    assert relu["test_accuracy_std"] == pytest.approx(np.std(scores, ddof=1))
    ends = [name for name in relu if name.endswith(("ci_low", "ci_high"))]
    costs = [name for name in ends if name.startswith(tuple(summary_stats.COSTS))]
    assert {name for name in ends if not np.isnan(relu[name])} == set(costs)
    assert selu["n_not_learned"] == 0
    assert selu["note"] == ""
    assert not np.isnan(selu["test_accuracy_ci_low"])


def test_where_no_run_learned_there_is_one_outcome():
    row = summary_stats.summarize(made({"test_accuracy": 0.1}, {"test_accuracy": 0.11})).iloc[0]
    assert row["note"] == "2 of 2 runs did not learn"
    assert not np.isnan(row["test_accuracy_ci_low"])


def test_learning_that_cannot_be_told(runs):
    summary = summary_stats.summarize(runs)
    assert summary["n_not_learned"].isna().all()
    failed = summary_stats.summarize(runs.assign(status="failed", test_accuracy=np.nan))
    assert failed["n_not_learned"].tolist() == [0, 0, 0]
    assert failed["note"].tolist() == [
        *("2 of 2 runs failed", "3 of 3 runs failed", "1 of 1 runs failed")
    ]


def test_notes(runs):
    runs.loc[1, "status"] = "unfinished"
    notes = summary_stats.summarize(runs)["note"].tolist()
    assert notes == [
        "1 of 2 runs failed; one complete run: no interval",
        "1 of 3 runs diverged; 1 of 3 runs unfinished; one complete run: no interval",
        "one complete run: no interval",
    ]


def test_sampling_error():
    row = summary_stats.summarize(made({"test_accuracy": 0.8}, {"test_accuracy": 1.0})).iloc[0]
    assert row["test_sampling_error"] == pytest.approx(np.sqrt(0.9 * 0.1 / 360))


def test_curves_mean_and_band(curves):
    row = curves[(curves["activation"] == "relu") & (curves["epoch"] == 1)].iloc[0]
    values = [1.0, 2.0, 3.0]
    assert row["n_seeds"] == 3
    assert row["loss_mean"] == pytest.approx(2.0)
    assert row["loss_high"] - row["loss_mean"] == pytest.approx(stats.tstd(values))
    assert row["loss_mean"] - row["loss_low"] == pytest.approx(stats.tstd(values))


def test_no_mean_where_a_seed_diverged(curves):
    row = curves[(curves["activation"] == "relu") & (curves["epoch"] == 2)].iloc[0]
    assert np.isnan(row["loss_mean"])
    assert np.isnan(row["val_loss_mean"])
    assert row["accuracy_mean"] == pytest.approx(np.mean([0.6, 0.4, 0.1]))


def test_one_seed_has_no_band_and_settings_stay_apart(curves):
    rows = curves[curves["activation"] == "elu"]
    assert rows["learning_rate"].tolist() == [0.001, 0.01]
    assert rows["n_seeds"].tolist() == [1, 1]
    assert (rows["loss_low"] == rows["loss_mean"]).all()
    assert (rows["loss_high"] == rows["loss_mean"]).all()
    assert np.isinf(rows["val_loss_mean"].iloc[0])


def random_tables(draw):
    """Return runs of two settings, some of whose epochs are missing, infinite or NaN."""
    runs, history = [], []
    for number in range(12):
        run = {
            **{"run": f"r{number}", "dataset": "digits", "model": "cnn", "optimizer": "adam"},
            **{"activation": str(draw.choice(["relu", "elu"])), "learning_rate": 0.001},
            **{"loss_function": "ce", "seed": int(draw.integers(4))},
        }
        limit = draw.choice([np.nan, 100.0])
        rest = {"batch_size": 128, "epochs_asked": 3, "initializer": "article"}
        status = str(draw.choice(["complete", "diverged"]))
        more = {"validation": "holdout", "precision": "float32", "status": status}
        last = dict(zip(summary_stats.FINAL_SCORES, draw.random(4)))
        runs.append({**run, **rest, "limit": limit, **more, **last})
        for epoch in range(1, int(draw.integers(1, 5))):
            values = draw.choice(
                [*draw.random(6), np.nan, np.inf], len(summary_stats.EPOCH_METRICS)
            )
            values = dict(zip(summary_stats.EPOCH_METRICS, values))
            history.append({**run, "epoch": epoch, **values, "seconds": draw.random()})
    return pd.DataFrame(history), pd.DataFrame(runs)


@pytest.mark.parametrize("seed", range(20))
def test_curves_agree_with_numpy_group_by_group(seed):
    history, runs = random_tables(np.random.default_rng(seed))
    limits = dict(zip(runs["run"], runs["limit"].fillna(1e9)))
    groups = {}
    for row in history.to_dict("records"):
        key = limits[row["run"]], row["activation"], row["epoch"]
        groups.setdefault(key, []).append(row)
    curves = summary_stats.curves(history, runs)
    found = zip(curves["limit"].fillna(10**9), curves["activation"], curves["epoch"])
    assert list(found) == sorted(groups)
    for (_, row), (_, rows) in zip(curves.iterrows(), sorted(groups.items())):
        assert row["n_seeds"] == len({each["seed"] for each in rows})
        for metric in summary_stats.EPOCH_METRICS:
            values = np.array([each[metric] for each in rows])
            with np.errstate(invalid="ignore"):
                # No deviation, of one seed or with infinite values, is no band.
                present = values[~np.isnan(values)]
                spread = np.nan_to_num(present.std(ddof=1)) if len(present) > 1 else 0.0
                expected = values.mean() + np.array([0, -1, 1]) * spread
            parts = row[[f"{metric}_{part}" for part in ("mean", "low", "high")]].to_numpy(float)
            np.testing.assert_allclose(parts, expected, rtol=1e-12)


def test_levels():
    runs = made(
        *({"seed": seed} for seed in range(3)),
        *({"activation": "elu", "seed": seed} for seed in range(3)),
        {"activation": "elu", "seed": 3, "status": "failed"},
    )
    runs.loc[4, "status"] = "diverged"
    history = pd.concat(
        [
            epochs("r000", [0.5, 0.9, 0.96, 0.94, 0.97], seconds=1.0),
            epochs("r001", [0.9, 0.9, 0.9, 0.95], seconds=2.0),
            epochs("r002", [0.1, 0.2, 0.97], seconds=3.0),
            epochs("r003", [0.9, 0.95], seconds=1.0),
            epochs("r004", [0.8, 0.9, 0.1], seconds=1.0),
            epochs("r005", [0.1, 0.1], seconds=1.0),
        ]
    )
    found = summary_stats.time_to_accuracy(history, runs)
    assert list(found) == [
        *summary_stats.SETTINGS,
        *("activation", "target", "n_runs", "n_reached", "epochs_median", "seconds_median"),
    ]
    relu, elu = (found[found["activation"] == name] for name in ("relu", "elu"))
    assert relu["target"].tolist() == [0.9, 0.95, 0.97]
    assert relu["n_runs"].tolist() == [3, 3, 3]
    assert relu["n_reached"].tolist() == [3, 3, 2]
    # First epochs (2, 1, 3), (3, 4, 3) and (5, never, 3); seconds 2, 2, 9; 3, 8, 9; 5, never, 9.
    assert relu["epochs_median"].tolist() == [2, 3, 5]
    assert relu["seconds_median"].tolist() == [2, 8, 9]
    assert elu["n_runs"].tolist() == [3, 3, 3], "a run that failed has no say"
    assert elu["n_reached"].tolist() == [2, 1, 0]
    np.testing.assert_array_equal(elu["epochs_median"], [2, np.nan, np.nan])


def test_compilation_does_not_count_as_time_to_a_level():
    history = epochs("r000", [0.5, 0.9, 0.96], seconds=1.0)
    slow = history.assign(seconds=history["seconds"].mask(history["epoch"] == 1, 9.0))
    quick = history.assign(seconds=history["seconds"].mask(history["epoch"] == 1, 0.5))
    runs = made({"seed": 0})
    for started, seconds in ((slow, 2.0), (quick, 1.5)):
        found = summary_stats.time_to_accuracy(started, runs).set_index("target")
        assert found.loc[0.9, "seconds_median"] == seconds


def test_only_known_datasets_have_levels(history, runs):
    assert summary_stats.time_to_accuracy(history, runs.assign(dataset="letters")).empty


TUNED = [
    # Seeds and validation accuracies at 0.0001, 0.001, 0.01.
    *({"learning_rate": rate, "seed": seed, "val_accuracy": score}
      for rate, scores in ((0.0001, (0.5, 0.7)), (0.001, (0.8, 0.9)), (0.01, (0.86, 0.83)))
      for seed, score in zip((100, 101), scores)),
]  # fmt: skip


def tuning_runs(*more):
    return made(*({**row, "purpose": "tuning"} for row in TUNED), *more)


def test_tuning():
    table = summary_stats.tuning(tuning_runs({}))
    assert list(table) == [
        *("dataset", "model", "activation", "optimizer", "loss_function", "batch_size"),
        *("epochs_asked", "limit", "initializer", "validation", "precision", "learning_rate"),
        *("n_completed", "n_diverged", "n_failed", "val_accuracy_mean", "val_accuracy_std"),
        *("chosen", "at_edge"),
    ]
    assert table["learning_rate"].tolist() == [0.0001, 0.001, 0.01]
    np.testing.assert_allclose(table["val_accuracy_mean"], [0.6, 0.85, 0.845])
    assert table["val_accuracy_std"].iloc[1] == pytest.approx(np.std([0.8, 0.9], ddof=1))
    assert table["chosen"].tolist() == [False, True, False]
    assert not table["at_edge"].any()


@pytest.mark.parametrize(
    ("change", "chosen", "at_edge"),
    [
        # A rate with a run that is not complete is out.
        ([(2, "status", "diverged")], 0.01, True),
        ([(2, "status", "failed")], 0.01, True),
        ([(2, "status", "unfinished")], 0.01, True),
        # Unless all have one: then by the runs that are complete, 0.5, 0.8 and 0.86.
        ([(i, "status", "diverged") for i in (1, 3, 5)], 0.01, True),
        # Equal accuracies but for rounding: 0.85 by 0.7 and 1.0. The lower loss wins.
        ([(4, "val_accuracy", 0.7), (5, "val_accuracy", 1.0), (4, "val_loss", 0.2)], 0.01, True),
        ([(4, "val_accuracy", 0.7), (5, "val_accuracy", 1.0), (4, "val_loss", 0.4)], 0.001, False),
        # With equal losses the smaller rate.
        ([(4, "val_accuracy", 0.7), (5, "val_accuracy", 1.0)], 0.001, False),
    ],
)
def test_choice_of_the_learning_rate(change, chosen, at_edge):
    runs = tuning_runs()
    for row, column, value in change:
        runs.loc[row, column] = value
    row = summary_stats.chosen_rates(runs).iloc[0]
    assert row["learning_rate"] == chosen
    assert row["at_edge"] == at_edge


def test_no_rate_is_chosen_where_none_was_completed():
    runs = tuning_runs().assign(status="diverged")
    assert len(summary_stats.tuning(runs)) == 3
    assert summary_stats.chosen_rates(runs).empty


def test_final_runs():
    elsewhere = [
        {**row, "purpose": "tuning", "activation": "elu", "val_accuracy": row["learning_rate"]}
        for row in TUNED
    ]
    runs = tuning_runs(
        *elsewhere,
        {"seed": 0},  # ReLU's own rate is the shared one
        {"activation": "elu", "seed": 0, "test_accuracy": 0.7},
        {"activation": "elu", "seed": 0, "learning_rate": 0.01, "purpose": "tuned"},
        {"activation": "gelu", "seed": 0},  # not tuned
    )
    final = summary_stats.final_runs(runs)
    found = final[["rates", "activation", "learning_rate", "run"]].to_numpy().tolist()
    assert found == [
        ["shared", "elu", 0.001, "r013"],
        ["shared", "gelu", 0.001, "r015"],
        ["shared", "relu", 0.001, "r012"],
        ["tuned", "elu", 0.01, "r014"],
        ["tuned", "relu", 0.001, "r012"],
    ]
    summary = summary_stats.summarize(runs)
    assert summary["n_completed"].tolist() == [1] * 5, "tuning runs are in no summary"
    history = pd.concat([epochs("r012", [0.5]), epochs("r014", [0.7]), epochs("r000", [0.1])])
    curves = summary_stats.curves(history, runs)
    found = curves[["rates", "activation", "accuracy_mean"]].to_numpy().tolist()
    assert found == [["shared", "relu", 0.5], ["tuned", "elu", 0.7], ["tuned", "relu", 0.5]]
    # One setting, whatever rate each activation has.
    assert curves["learning_rate"].fillna(-1).tolist() == [0.001, -1, -1]
    levels = summary_stats.time_to_accuracy(history, runs)
    assert sorted(set(levels["learning_rate"])) == [0.001, 0.01]


def test_older_runs_are_comparisons(runs):
    final = summary_stats.final_runs(runs)
    assert sorted(final["run"]) == sorted(runs["run"])
    assert set(final["rates"]) == {"shared"}
    assert final["test_images"].isna().all()


@pytest.mark.parametrize("seed", range(5))
def test_order_of_rows_does_not_matter(seed):
    draw = np.random.default_rng(seed)
    history, runs = random_tables(draw)
    runs = runs.assign(majority_share=0.1, test_images=360.0, seconds=draw.random(12))
    tried = runs.assign(purpose="tuning", run=runs["run"] + "t", seed=runs["seed"] + 100)
    runs = pd.concat([runs.assign(purpose="comparison"), tried])
    tables = [
        lambda h, r: summary_stats.summarize(r, h),
        summary_stats.curves,
        summary_stats.time_to_accuracy,
        lambda h, r: summary_stats.tuning(r),
        lambda h, r: summary_stats.final_runs(r),
    ]
    for table in tables:
        expected = table(history, runs)
        assert len(expected)
        shuffled = history.sample(frac=1, random_state=seed), runs.sample(frac=1, random_state=seed)
        assert_frame_equal(table(*shuffled), expected, check_exact=True)
        assert_frame_equal(table(history, runs), expected, check_exact=True)


def test_tables_of_nothing(history, runs):
    # As pandas reads a file that has only a header.
    header = RUNS.split("\n")[0] + "\n"
    nothing = pd.read_csv(io.StringIO(header))
    no_epochs = pd.read_csv(io.StringIO(HISTORY.split("\n")[0] + "\n"))
    for table in (summary_stats.summarize, summary_stats.tuning, summary_stats.final_runs):
        assert table(nothing).empty
    for table in (summary_stats.curves, summary_stats.time_to_accuracy):
        assert table(no_epochs, nothing).empty
        assert list(table(no_epochs, nothing)) == list(table(history, runs))
    assert summary_stats.curves(no_epochs, runs).empty
    assert summary_stats.time_to_accuracy(no_epochs, runs)["n_reached"].sum() == 0
    summary = summary_stats.summarize(runs, no_epochs)
    assert_frame_equal(summary, summary_stats.summarize(runs))
    one = runs.iloc[[0]]
    assert summary_stats.summarize(one, history)["n_completed"].tolist() == [1]
    assert summary_stats.curves(history, one)["epoch"].tolist() == [1, 2]
