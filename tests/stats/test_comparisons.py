import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from scipy import stats

from benchmark.stats import comparisons, tests

RUN = {
    **{"dataset": "digits", "model": "cnn", "optimizer": "adam", "learning_rate": 0.001},
    **{"loss_function": "ce", "status": "complete", "val_accuracy": 0.9, "val_loss": 0.3},
    **{"batch_size": 128, "epochs_asked": 5, "limit": np.nan, "initializer": "article"},
    **{"validation": "holdout", "precision": "float32", "purpose": "comparison"},
    **{"test_images": 360, "majority_share": 0.1},
}


def made(scores, **settings):
    """Return the runs of test accuracies by activation and seed; None is a run that failed.

    The test loss is 1 - accuracy.
    """
    rows = []
    for activation, values in scores.items():
        for seed, value in enumerate(values):
            row = {**RUN, **settings, "activation": activation, "seed": seed}
            row["run"] = f"{activation}-{seed}" + "".join(f"-{each}" for each in settings.values())
            row["test_accuracy"] = np.nan if value is None else value
            row["test_loss"] = 1 - row["test_accuracy"]
            rows.append({**row, "status": "failed" if value is None else "complete"})
    return pd.DataFrame(rows)


def drawn(activations, seeds, generator, shift=0.0):
    """Return accuracies of activations a0, a1, …, the last better by `shift`."""
    base = generator.normal(0.9, 0.01, seeds)
    table = base + generator.normal(0, 0.01, (activations, seeds))
    table[-1] += shift
    return {f"a{i}": values.tolist() for i, values in enumerate(table)}


def predictions(**hits):
    """Return the predictions of runs, given as strings with a 1 for each image they have right."""
    frames = [
        pd.DataFrame(
            {
                "run": run.replace("_", "-"),
                "index": range(len(text)),
                "true": 3,
                "predicted": [3 if each == "1" else 5 for each in text],
            }
        )
        for run, text in hits.items()
    ]
    return pd.concat(frames).sample(frac=1, random_state=3)


def by_activation(table, metric="test_accuracy"):
    return table[table["metric"] == metric].set_index("activation")


def test_columns():
    table = comparisons.compare(made({"relu": [0.9], "elu": [0.8]}), "relu")
    assert list(table) == comparisons.COLUMNS
    assert list(table)[:13] == [
        *("dataset", "model", "activation", "baseline", "metric", "n_pairs", "difference"),
        *("ci_low", "ci_high", "p_value", "p_adjusted", "probability_of_improvement", "verdict"),
    ]
    assert table["rates"].tolist() == ["shared", "shared"]
    pairs = comparisons.all_pairs(made({"relu": [0.9], "elu": [0.8]}))
    assert list(pairs) == comparisons.COLUMNS


def test_comparison_agrees_with_scipy():
    scores = drawn(4, 10, np.random.default_rng(0), shift=0.02)
    table = comparisons.compare(made(scores), "a0")
    found = by_activation(table)
    assert found.index.tolist() == ["a1", "a2", "a3"]
    differences = {name: np.subtract(scores[name], scores["a0"]) for name in found.index}
    p = [stats.wilcoxon(each, method="exact").pvalue for each in differences.values()]
    np.testing.assert_allclose(found["p_value"], p, rtol=1e-9)
    np.testing.assert_allclose(found["p_adjusted"], tests.holm(p), rtol=1e-9)
    for name, each in differences.items():
        row = found.loc[name]
        assert row["difference"] == pytest.approx(each.mean())
        assert row["median_difference"] == pytest.approx(np.median(each))
        expected = stats.t.interval(0.95, 9, loc=each.mean(), scale=stats.sem(each))
        np.testing.assert_allclose(row[["ci_low", "ci_high"]].to_numpy(float), expected)
        assert row["probability_of_improvement"] == np.mean(each > 0)
        assert 0 < row["probability_low"] < row["probability_of_improvement"]
        assert (row["n_pairs"], row["n_left_out"]) == (10, 0)
    assert found.loc["a3", "verdict"] == comparisons.BETTER


def test_of_a_loss_less_is_better():
    scores = {"relu": [0.5 + i / 100 for i in range(8)], "elu": [0.8 + i / 70 for i in range(8)]}
    table = comparisons.compare(made(scores), "relu")
    accuracy, loss = by_activation(table), by_activation(table, "test_loss")
    assert loss.loc["elu", "difference"] == pytest.approx(-accuracy.loc["elu", "difference"])
    assert loss.loc["elu", "difference"] < 0
    for row in (accuracy.loc["elu"], loss.loc["elu"]):
        assert row["verdict"] == comparisons.BETTER
        assert row["probability_of_improvement"] == 1
    worse = by_activation(comparisons.compare(made(scores), "elu"), "test_loss")
    assert worse.loc["relu", "verdict"] == comparisons.WORSE


@pytest.mark.parametrize(
    ("activations", "seeds", "smallest", "verdict"),
    [
        (2, 5, 2 / 32, comparisons.TOO_FEW),
        (2, 6, 2 / 64, comparisons.BETTER),
        (6, 7, 5 * 2 / 128, comparisons.TOO_FEW),
        (6, 8, 5 * 2 / 256, comparisons.BETTER),
        (2, 1, 1, comparisons.TOO_FEW),
    ],
)
def test_how_many_seeds_it_takes(activations, seeds, smallest, verdict):
    ramp = np.arange(seeds) / 1000
    scores = {f"a{i}": (0.5 + i / 20 + (i + 1) * ramp).tolist() for i in range(activations)}
    table = by_activation(comparisons.compare(made(scores), "a0"))
    assert table["smallest_p_adjusted"].tolist() == [smallest] * (activations - 1)
    assert table["verdict"].tolist() == [verdict] * (activations - 1)
    assert table["p_adjusted"].tolist() == [smallest] * (activations - 1)


def test_seeds_of_which_one_run_failed_are_left_out():
    scores = {"relu": [0.9, None, 0.8, 0.7], "elu": [0.8, 0.8, None, 0.75], "selu": [None] * 4}
    found = by_activation(comparisons.compare(made(scores), "relu"))
    elu, selu = found.loc["elu"], found.loc["selu"]
    assert (elu["n_pairs"], elu["n_left_out"]) == (2, 2)
    assert elu["difference"] == pytest.approx((-0.1 + 0.05) / 2)
    assert elu["smallest_p_adjusted"] == 0.5, "one pair of activations can be tested"
    assert (selu["n_pairs"], selu["n_left_out"]) == (0, 4)
    assert selu["note"] == "no seed of which both runs are complete"
    assert selu["verdict"] == comparisons.TOO_FEW
    assert np.isnan(selu[["difference", "p_value", "p_adjusted"]].to_numpy(float)).all()


def test_the_one_that_fails_more_often_does_not_win():
    ramp = [i / 1000 for i in range(9)]
    relu = [0.8 + each for each in ramp]
    elu = [0.9 + 2 * each for each in ramp]
    one = by_activation(comparisons.compare(made({"relu": relu, "elu": [*elu[:-1], None]}), "relu"))
    assert one.loc["elu", "p_adjusted"] < 0.05
    assert one.loc["elu", "verdict"] == comparisons.NO_DIFFERENCE
    assert one.loc["elu", "note"] == (
        "verdict withheld: elu has more runs that are not complete (1 against 0)"
    )
    other = by_activation(
        comparisons.compare(made({"relu": relu, "elu": [*elu[:-1], None]}), "elu")
    )
    assert other.loc["relu", "verdict"] == comparisons.NO_DIFFERENCE
    # The same the other way round: it may lose.
    loser = by_activation(
        comparisons.compare(made({"relu": [*relu[:-1], None], "elu": elu}), "relu")
    )
    assert loser.loc["elu", "verdict"] == comparisons.BETTER
    both = {"relu": [None, *relu[1:]], "elu": [*elu[:-1], None]}
    assert by_activation(comparisons.compare(made(both), "relu")).loc["elu", "n_pairs"] == 7
    assert by_activation(comparisons.compare(made(both), "relu")).loc["elu", "verdict"] == "better"


def test_two_outcomes_have_no_interval():
    # Better in nine of ten seeds; the tenth did not learn.
    relu = [0.90 + i / 1000 for i in range(10)]
    elu = [*(each + 0.02 + each / 10 for each in relu[:-1]), 0.1]
    row = by_activation(comparisons.compare(made({"relu": relu, "elu": elu}), "relu")).loc["elu"]
    assert np.isnan(row[["ci_low", "ci_high"]].to_numpy(float)).all()
    assert row["note"].startswith("some runs of elu did not learn: no interval of the mean")
    expected = stats.wilcoxon(np.subtract(elu, relu), method="exact").pvalue
    assert row["p_value"] == pytest.approx(expected)
    turned = by_activation(comparisons.compare(made({"relu": relu, "elu": elu}), "elu")).loc["relu"]
    assert np.isnan(turned["ci_low"])
    never = by_activation(comparisons.compare(made({"relu": relu, "elu": [0.1] * 10}), "relu"))
    assert never.loc["elu", "note"] == ""
    assert never.loc["elu", "verdict"] == comparisons.WORSE
    assert not np.isnan(never.loc["elu", "ci_low"])


def test_mean_and_ranks_that_disagree_give_no_verdict():
    relu = [0.80 + i / 1000 for i in range(12)]
    elu = [*(each + 0.01 + each / 100 for each in relu[:-1]), 0.2]
    row = by_activation(comparisons.compare(made({"relu": relu, "elu": elu}), "relu")).loc["elu"]
    assert row["p_adjusted"] < 0.05
    assert row["difference"] < 0
    assert row["probability_of_improvement"] > 0.5
    assert row["verdict"] == comparisons.NO_DIFFERENCE
    assert row["note"] == "verdict withheld: mean and ranks point opposite ways"


def test_equal_accuracies_tie_in_spite_of_rounding():
    # Of 360 images, 340 + 2 and 1 + 1 … right: each pair differs by one image.
    relu = [n / 360 for n in (349, 1, 100, 340)]
    elu = [n / 360 for n in (350, 2, 101, 339)]
    row = by_activation(comparisons.compare(made({"relu": relu, "elu": elu}), "relu")).loc["elu"]
    assert row["p_value"] == 2 * 5 / 16, "one of four equal differences has the other sign"


def test_infinite_losses():
    runs = made({"relu": [0.9] * 8, "elu": [0.8] * 8})
    runs.loc[runs["activation"] == "elu", "test_loss"] = np.inf
    row = by_activation(comparisons.compare(runs, "relu"), "test_loss").loc["elu"]
    assert row["difference"] == np.inf
    assert np.isnan(row["ci_low"])
    assert row["verdict"] == comparisons.WORSE
    runs["test_loss"] = np.inf
    row = by_activation(comparisons.compare(runs, "relu"), "test_loss").loc["elu"]
    assert (row["difference"], row["p_value"]) == (0, 1)


def test_settings_stay_apart():
    small = made({"relu": [0.5, 0.6], "elu": [0.7, 0.9]}, limit=100)
    large = made({"relu": [0.9, 0.9], "elu": [0.9, 0.9]}, limit=200)
    alone = made({"elu": [0.1, 0.1]}, limit=300)
    table = comparisons.compare(pd.concat([alone, large, small]), "relu")
    found = table[table["metric"] == "test_accuracy"]
    assert found["limit"].tolist() == [100, 200], "without the baseline there is no row"
    np.testing.assert_allclose(found["difference"], [0.25, 0])
    assert comparisons.compare(alone, "relu").empty
    assert comparisons.ranks(alone)["mean_rank"].tolist() == [1]


def test_tuned_rates_are_one_setting():
    def tuned(activation, rate):
        scores = {activation: [0.5, 0.6]}
        tried = made(scores, learning_rate=rate).assign(purpose="tuning")
        final = made(scores, learning_rate=rate).assign(purpose="tuned")
        return pd.concat([tried.assign(run=tried["run"] + "t", seed=tried["seed"] + 9), final])

    runs = pd.concat([tuned("relu", 0.1), tuned("elu", 0.2), made({"relu": [0.9], "elu": [0.8]})])
    found = by_activation(comparisons.compare(runs, "relu"))
    assert found["rates"].tolist() == ["shared", "tuned"]
    assert found["n_pairs"].tolist() == [1, 2]
    assert found["learning_rate"].fillna(-1).tolist() == [0.001, -1]
    assert comparisons.ranks(runs)["rates"].tolist() == ["shared"] * 2 + ["tuned"] * 2


def test_all_pairs():
    scores = drawn(4, 10, np.random.default_rng(1), shift=0.03)
    pairs = comparisons.all_pairs(made(scores))
    names = list(zip(pairs["activation"], pairs["baseline"]))
    assert names == [
        *(("a0", "a1"), ("a0", "a2"), ("a0", "a3"), ("a1", "a2"), ("a1", "a3"), ("a2", "a3"))
    ]
    assert set(pairs["metric"]) == {"test_accuracy"}
    assert set(pairs["smallest_p_adjusted"]) == {6 * 2 / 1024}
    np.testing.assert_allclose(pairs["p_adjusted"], tests.holm(pairs["p_value"]))
    # A pair's own numbers are those that the comparison with a baseline has.
    alone = by_activation(comparisons.compare(made(scores), "a3"))
    row = pairs[(pairs["activation"] == "a2") & (pairs["baseline"] == "a3")].iloc[0]
    for name in ("difference", "ci_low", "ci_high", "p_value", "probability_of_improvement"):
        assert row[name] == alone.loc["a2", name]


def test_single_runs_are_compared_image_by_image():
    runs = made({"relu": [0.5], "elu": [0.75], "selu": [0.5]})
    table = predictions(relu_0="111111000000", elu_0="011111111000", other="111111111111")
    found = by_activation(comparisons.compare(runs, "relu", table))
    elu, selu = found.loc["elu"], found.loc["selu"]
    assert (elu["only_activation_right"], elu["only_baseline_right"]) == (3, 1)
    assert elu["mcnemar_p"] == pytest.approx(stats.binomtest(3, 4).pvalue)
    assert elu["verdict"] == comparisons.TOO_FEW
    assert pd.isna(selu[["mcnemar_p", "only_activation_right"]]).all(), "no predictions of it"
    losses = by_activation(comparisons.compare(runs, "relu", table), "test_loss")
    assert losses["mcnemar_p"].isna().all()
    pair = comparisons.all_pairs(runs, table).iloc[0]
    assert (pair["activation"], pair["baseline"]) == ("elu", "relu")
    assert (pair["only_activation_right"], pair["only_baseline_right"]) == (3, 1)


def test_several_seeds_need_no_predictions():
    runs = made({"relu": [0.5, 0.6], "elu": [0.75, 0.7]})
    table = predictions(relu_0="1100", relu_1="1100", elu_0="1110", elu_1="1110")
    assert comparisons.compare(runs, "relu", table)["mcnemar_p"].isna().all()
    # Not even where a run is the only one to compare with a third activation.
    runs = pd.concat([runs, made({"selu": [0.5]})])
    found = by_activation(comparisons.compare(runs, "selu", table))
    assert found["mcnemar_p"].isna().all()
    table = pd.concat([table, predictions(selu_0="0001")])
    pairs = comparisons.all_pairs(runs, table)
    named = pairs[pairs["mcnemar_p"].notna()]
    assert named["baseline"].tolist() == ["selu", "selu"]
    assert named["n_pairs"].tolist() == [1, 1]


def test_which_predictions_are_needed():
    scores = {"relu": [0.5, 0.6, None], "elu": [None, 0.7, 0.6], "selu": [0.5, 0.5, 0.5]}
    assert comparisons.single_pairs(made(scores)) == ["elu-1", "relu-1"]
    assert comparisons.single_pairs(made(scores), "selu") == []
    assert comparisons.single_pairs(made(scores), "elu") == ["elu-1", "relu-1"]
    assert comparisons.single_pairs(made({"relu": [0.5]})) == []


def test_ranks():
    scores = {"a": [0.9, 0.9, 0.8], "b": [0.8, 0.9, 0.9], "c": [0.7, 0.7, 0.7]}
    table = comparisons.ranks(made(scores))
    assert list(table) == comparisons.RANK_COLUMNS
    assert table["activation"].tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(table["mean_rank"], [(1 + 1.5 + 2) / 3, (2 + 1.5 + 1) / 3, 3])
    expected = stats.friedmanchisquare(*scores.values()).pvalue
    np.testing.assert_allclose(table["friedman_p"], expected)
    assert set(table["n_blocks"]) == {3}
    assert set(table["n_activations"]) == {3}


def test_ranks_tie_in_spite_of_rounding():
    table = comparisons.ranks(made({"a": [0.1 + 0.2, 0.5], "b": [0.3, 0.5]}))
    assert table["mean_rank"].tolist() == [1.5, 1.5]


def test_ranking_leaves_out_what_would_leave_no_blocks():
    scores = {
        **{"a": [0.9, 0.8, 0.9, 0.9], "b": [0.8, 0.7, None, 0.8], "single": [0.9, *[None] * 3]},
        "failed": [None] * 4,
    }
    table = comparisons.ranks(made(scores))
    assert table["activation"].tolist() == ["a", "b"]
    assert table["n_blocks"].tolist() == [3, 3]
    assert table["mean_rank"].tolist() == [1, 2]
    disjoint = comparisons.ranks(made({"a": [0.9, None], "b": [None, 0.9]}))
    assert disjoint["n_blocks"].tolist() == [0, 0]
    assert disjoint["mean_rank"].isna().all()


def test_sets_of_activations_not_told_apart():
    # Always in this order: mean ranks 1 to 5. With 14 blocks the critical difference is 1.63.
    scores = {name: [0.9 - 0.1 * i + s / 1000 for s in range(14)] for i, name in enumerate("vwxyz")}
    table = comparisons.ranks(made(scores))
    assert table["critical_difference"].iloc[0] == pytest.approx(1.63, abs=0.005)
    assert table["set"].tolist() == ["a", "ab", "bc", "cd", "d"]
    # With 40 blocks it is 0.96: all are told apart.
    more = {name: [0.9 - 0.1 * i + s / 1000 for s in range(40)] for i, name in enumerate("vwxyz")}
    assert comparisons.ranks(made(more))["set"].tolist() == ["a", "b", "c", "d", "e"]


def test_without_a_difference_all_share_a_set():
    table = comparisons.ranks(made({"a": [0.9, 0.8], "b": [0.8, 0.9], "c": [0.7, 0.8]}))
    assert table["friedman_p"].iloc[0] > 0.05
    assert table["set"].tolist() == ["a", "a", "a"]


def test_more_sets_than_letters():
    scores = {f"a{i:02}": [0.9 - i / 100 + s / 1e5 for s in range(3000)] for i in range(30)}
    sets = comparisons.ranks(made(scores))["set"]
    assert sets.nunique() == 30
    assert sets.str.len().eq(1).all()


def test_several_runs_of_a_seed_are_one_pair():
    runs = made({"relu": [0.5, 0.6], "elu": [0.7, 0.8]})
    again = runs.assign(run=runs["run"] + "-gpu", test_accuracy=runs["test_accuracy"] + 0.1)
    again = again[again["activation"] == "elu"]
    row = by_activation(comparisons.compare(pd.concat([runs, again]), "relu")).loc["elu"]
    assert (row["n_pairs"], row["n_left_out"]) == (2, 0)
    assert row["difference"] == pytest.approx(0.25)


@pytest.mark.parametrize("seed", range(5))
def test_order_of_rows_does_not_matter(seed):
    generator = np.random.default_rng(seed)
    scores = drawn(4, 5, generator) | drawn(2, 22, generator)
    scores["a2"][2] = None
    runs = pd.concat([made(scores, limit=limit) for limit in (100, 200)])
    runs = pd.concat([runs, made({"a0": [0.5], "a1": [0.6]})])
    table = predictions(a0_0="1100", a1_0="1010")
    functions = [
        lambda frame: comparisons.compare(frame, "a0", table),
        lambda frame: comparisons.all_pairs(frame, table),
        comparisons.ranks,
    ]
    for function in functions:
        expected = function(runs)
        assert len(expected)
        shuffled = runs.sample(frac=1, random_state=seed)
        assert_frame_equal(function(shuffled), expected, check_exact=True)
        assert_frame_equal(function(runs), expected, check_exact=True)


def test_tables_of_nothing():
    runs = made({"relu": [0.9, 0.8], "elu": [0.8, 0.9]})
    empty = predictions(relu_0="1").iloc[:0]
    for frame in (runs.iloc[:0], runs.iloc[[0]]):
        assert list(comparisons.compare(frame, "relu", empty)) == comparisons.COLUMNS
        assert comparisons.compare(frame, "relu", empty).empty
        assert comparisons.all_pairs(frame).empty
        assert list(comparisons.ranks(frame)) == comparisons.RANK_COLUMNS
    failed = runs.assign(status="failed", test_accuracy=np.nan, test_loss=np.nan)
    assert set(comparisons.compare(failed, "relu")["verdict"]) == {comparisons.TOO_FEW}
    assert comparisons.compare(failed, "relu")["n_left_out"].tolist() == [2, 2]
    assert comparisons.ranks(failed).empty


def null(shift=0.0, repetitions=1000, seeds=10):
    """Return comparisons of six activations with a baseline, in many independent settings."""
    generator = np.random.default_rng(7)
    parts = [
        made(drawn(7, seeds, generator, shift), epochs_asked=number)
        for number in range(repetitions)
    ]
    table = comparisons.compare(pd.concat(parts), "a0")
    return table[table["metric"] == "test_accuracy"]


@pytest.mark.slow
def test_equal_activations_are_seldom_told_apart():
    found = null()
    assert len(found) == 6000
    assert set(found["verdict"]) <= {
        comparisons.BETTER,
        comparisons.WORSE,
        comparisons.NO_DIFFERENCE,
    }
    for verdict in (comparisons.BETTER, comparisons.WORSE):
        # In a family of six, at least one.
        wrong = (found["verdict"] == verdict).groupby(found["epochs_asked"]).any()
        assert wrong.mean() <= 0.05
    either = found["verdict"] != comparisons.NO_DIFFERENCE
    assert either.groupby(found["epochs_asked"]).any().mean() <= 0.05


@pytest.mark.slow
def test_a_real_difference_is_found():
    # Of √2 · 0.01 / 10 seeds the standard error is 0.0045.
    found = null(shift=0.03, repetitions=100)
    better = found[found["verdict"] == comparisons.BETTER]
    assert (better["activation"] == "a6").sum() >= 90
