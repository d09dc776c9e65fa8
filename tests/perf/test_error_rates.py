"""The simulation of error rates: that it runs, and that it would notice a broken core."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

PERF = Path(__file__).parents[2] / "perf"
sys.path.insert(0, str(PERF))

import error_rates as stick  # noqa: E402
import noise as noises  # noqa: E402

from benchmark.stats import verdicts  # noqa: E402

NORMAL = noises.Noise("normal", noises.normal)


def false_jobs(repetitions=200):
    """Return what is measured of jobs of seven equal activations, looked at after every seed."""
    rows = pd.DataFrame(stick.false_differences(NORMAL, 7, repetitions))
    return rows[rows["looks"] == stick.EVERY_SEED].set_index("measure")


def test_false_differences_are_rare_and_repeated_t_tests_are_not():
    rows = false_jobs()
    assert rows.loc["false", "value"] < 0.05 < rows.loc["t_tests", "low"]
    assert stick.promise(rows.loc["false"]) != "does not hold"


def test_a_core_of_repeated_t_tests_breaks_the_promise(monkeypatch):
    def fixed_sample(n, std, threshold):
        quantile = stats.t.ppf(1 - 1 / (2 * threshold), np.maximum(n - 1, 1))
        return np.where(n >= 8, quantile * std / np.sqrt(n), np.inf)

    monkeypatch.setattr(verdicts, "half_width", fixed_sample)
    rows = false_jobs()
    assert rows.loc["false", "value"] == rows.loc["t_tests", "value"]
    assert stick.promise(rows.loc["false"]) == "does not hold"


def test_equality_looked_for_three_times_at_the_full_level_breaks_the_promise(monkeypatch):
    rate = stick.false_equality(NORMAL, 0.5, 1500)[0]
    monkeypatch.setattr(verdicts, "ALPHA", len(verdicts.EQUALITY_LOOKS) * verdicts.ALPHA)
    broken = stick.false_equality(NORMAL, 0.5, 1500)[0]
    assert rate["value"] < 0.05 < broken["low"]


@pytest.mark.parametrize("noise", noises.noises(), ids=lambda noise: noise.name)
def test_noise_favors_no_activation(noise):
    scores = noise.draw(np.random.default_rng(0), (4000, 10, 3))
    assert scores.shape == (4000, 10, 3)
    means = scores.mean(axis=(0, 1))
    errors = scores.std(axis=(0, 1)) / np.sqrt(scores[..., 0].size)
    np.testing.assert_array_less(np.abs(means - means.mean()), 4 * errors.max())


def test_recorded_noise_has_the_spread_of_the_recorded_differences():
    runs = pd.read_csv(noises.ROOT / "results/reference/mnist/runs.csv")
    scores = runs.pivot(index="seed", columns="activation", values="test_accuracy")
    scores = 100 * scores.drop(columns="sigmoid").to_numpy()
    first, second = np.triu_indices(scores.shape[1], 1)
    variances = (scores[:, first] - scores[:, second]).var(axis=0, ddof=1)
    pool = noises.residuals("mnist")
    assert 2 * np.mean(pool**2) == pytest.approx(variances.mean())


def test_files(tmp_path, monkeypatch, capsys):
    words = ["error_rates.py", "--repetitions", "20", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(stick, "noises", lambda: noises.noises()[:2])
    stick.main()
    rows = pd.read_csv(tmp_path / "error_rates.csv")
    assert rows.columns.tolist() == stick.COLUMNS
    assert (rows["repetitions"] == 20).all()
    keys = ["question", "noise", "activations", "difference", "margin", "looks", "measure"]
    assert not rows.duplicated(keys).any()
    rates = rows[rows["measure"] != "median_seeds"]
    assert (rates["low"] <= rates["value"]).all()
    assert (rates["value"] <= rates["high"]).all()
    text = (tmp_path / "error_rates.md").read_text()
    assert text in capsys.readouterr().out
    power = rows[(rows["question"] == stick.POWER) & (rows["difference"] == 3)]
    medians = power[power["measure"] == "median_seeds"].set_index("noise")["value"]
    for name, median in medians.items():
        assert 7 <= median <= 10
        assert f"| 3 | {median:g} | 100.0 % |" in text, name
