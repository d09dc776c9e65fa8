import numpy as np
import pandas as pd
import pytest

from benchmark.stats import cautions
from benchmark.stats.summary import summarize
from tests.stats.test_summary import epochs, made


def test_own_runs_are_no_load():
    # Of two cores: one run, two runs, and two beside as many processes of others.
    runs = pd.DataFrame({"load": [0.5, 1.0, 2.0], "own_load": [0.5, 1.0, 1.0]})
    assert cautions.under_load(runs).tolist() == [0, 0, 1]
    # Half of the cores is not more than half.
    assert cautions.under_load(runs.assign(load=runs["own_load"] + 0.5)).tolist() == [0, 0, 0]


def test_what_is_not_known_is_no_load():
    unknown = pd.DataFrame({"load": [np.nan, 3.0, None], "own_load": [1.0, np.nan, None]})
    assert cautions.under_load(unknown).isna().all()
    assert cautions.under_load(unknown[["load"]]).isna().all()


def test_loaded_runs_are_counted_and_noted():
    busy, quiet = {"load": 1.6, "own_load": 1.0}, {"load": 1.1, "own_load": 1.0}
    older = {"load": np.nan, "own_load": np.nan}
    rows = [
        *({"activation": "elu", **load} for load in (busy, quiet, older, busy)),
        *({"activation": "relu", **load} for load in (older, older)),
        *({"activation": "selu", **load} for load in (quiet, quiet)),
        {"activation": "elu", "status": "failed", **busy},
    ]
    table = summarize(made(*rows)).set_index("activation")
    np.testing.assert_array_equal(table["n_under_load"], [2, np.nan, 0])
    assert table["note"].tolist() == [
        "1 of 5 runs failed; times of 2 of 4 runs taken under load",
        "",
        "",
    ]


def history(run, losses):
    return epochs(run, [0.5] * len(losses), losses=losses)


@pytest.mark.parametrize(
    ("n_epochs", "first_of_last"), [(1, 1), (3, 3), (10, 10), (19, 19), (20, 19), (30, 28)]
)
def test_the_last_tenth(n_epochs, first_of_last):
    for best in range(1, n_epochs + 1):
        losses = [1.0] * n_epochs
        losses[best - 1] = 0.5
        improving = cautions.still_improving(history("a", losses))
        assert improving.to_dict() == {"a": best >= first_of_last}


def test_a_loss_that_stays_or_is_lost_does_not_improve():
    table = pd.concat(
        [
            # The lowest value was reached before.
            history("level", [1.0, *[0.5] * 19]),
            history("lost", [np.nan] * 20),
            history("risen", [1.0, np.inf, *[2.0] * 18]),
            history("falling", [1 / epoch for epoch in range(1, 21)]),
        ]
    )
    order = np.random.default_rng(0).permutation(len(table))
    improving = cautions.still_improving(table.iloc[order])
    assert improving.to_dict() == {
        **{"falling": True, "level": False, "lost": False, "risen": False}
    }


def test_noise_alone_seldom_warns():
    rng = np.random.default_rng(0)
    seeds, jobs = 10, 300
    losses = rng.standard_normal((jobs, seeds, 30))
    table = pd.DataFrame(
        {
            "run": np.repeat(np.arange(jobs * seeds), 30),
            "epoch": np.tile(np.arange(1, 31), jobs * seeds),
            "val_loss": losses.ravel(),
        }
    )
    improving = cautions.still_improving(table).to_numpy().reshape(jobs, seeds)
    assert improving.mean() == pytest.approx(0.1, abs=0.02)
    # Three or more of ten, at one chance in ten: 7 %.
    warned = [cautions.too_short(runs.sum(), seeds) for runs in improving]
    assert np.mean(warned) == pytest.approx(0.07, abs=0.04)


def test_more_than_a_quarter_is_noted():
    still, done = [1 / epoch for epoch in range(1, 21)], [0.5, *[1.0] * 19]
    losses = {"elu": [still, done, done, done], "relu": [still, still, done, done]}
    runs = made(*({"activation": name, "epochs_asked": 20} for name in losses for _ in range(4)))
    curves = [each for name in losses for each in losses[name]]
    table = pd.concat(history(run, each) for run, each in zip(runs["run"], curves))
    summary = summarize(runs, table)
    assert summary["n_still_improving"].tolist() == [1, 2]
    assert summary["note"].tolist() == [
        "",
        "2 of 4 runs still improving at the end (speed is compared too)",
    ]
    assert summarize(runs)["n_still_improving"].isna().all()
