import io

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark import statistics

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


@pytest.fixture
def runs():
    return pd.read_csv(io.StringIO(RUNS))


@pytest.fixture
def curves(runs):
    return statistics.curves(pd.read_csv(io.StringIO(HISTORY)), runs)


def test_summary(runs):
    summary = statistics.summarise(runs)
    assert summary["activation"].tolist() == ["relu", "elu", "elu"]
    counts = summary[["n_seeds", "n_diverged", "n_failed"]].to_numpy().tolist()
    assert counts == [[2, 1, 0], [1, 0, 1], [1, 0, 0]]
    first = summary.iloc[0]
    assert first["test_accuracy_mean"] == pytest.approx(np.mean([0.9, 0.8]))
    # Over the square root of n, it is scipy's standard error.
    error = first["test_accuracy_std"] / np.sqrt(2)
    assert error == pytest.approx(stats.sem([0.9, 0.8]))
    assert first["seconds_per_epoch_mean"] == 2.0
    assert pd.isna(summary.iloc[1]["test_accuracy_std"])
    assert list(summary.columns[:3]) == ["dataset", "model", "activation"]


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


def test_infinite_losses_are_no_warning(runs):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        statistics.curves(pd.read_csv(io.StringIO(HISTORY)), runs)


def test_empty_history(runs):
    history = pd.read_csv(io.StringIO(HISTORY)).iloc[:0]
    assert statistics.curves(history, runs).empty


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
        runs.append(
            {**run, **rest, "limit": limit, "validation": "holdout", "precision": "float32"}
        )
        for epoch in range(1, int(draw.integers(1, 5))):
            values = draw.choice([*draw.random(6), np.nan, np.inf], len(statistics.METRICS))
            history.append({**run, "epoch": epoch, **dict(zip(statistics.METRICS, values))})
    return pd.DataFrame(history), pd.DataFrame(runs)


@pytest.mark.parametrize("seed", range(20))
def test_curves_agree_with_numpy_group_by_group(seed):
    history, runs = random_tables(np.random.default_rng(seed))
    limits = dict(zip(runs["run"], runs["limit"].fillna(-1)))
    groups = {}
    for row in history.to_dict("records"):
        key = limits[row["run"]], row["activation"], row["epoch"]
        groups.setdefault(key, []).append(row)
    curves = statistics.curves(history, runs)
    found = zip(curves["limit"].fillna(-1), curves["activation"], curves["epoch"])
    assert list(found) == list(groups), "in the order of their first rows"
    for (_, row), rows in zip(curves.iterrows(), groups.values()):
        assert row["n_seeds"] == len({each["seed"] for each in rows})
        for metric in statistics.METRICS:
            values = np.array([each[metric] for each in rows])
            with np.errstate(invalid="ignore"):
                # No deviation, of one seed or with infinite values, is no band.
                present = values[~np.isnan(values)]
                spread = np.nan_to_num(present.std(ddof=1)) if len(present) > 1 else 0.0
                expected = values.mean() + np.array([0, -1, 1]) * spread
            parts = row[[f"{metric}_{part}" for part in ("mean", "low", "high")]].to_numpy(float)
            np.testing.assert_allclose(parts, expected, rtol=1e-12)
