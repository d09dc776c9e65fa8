import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from scipy import stats

from benchmark.stats import comparisons, crossed, tests, verdicts
from benchmark.stats.verdicts import (
    BETTER,
    EQUAL,
    MIXED,
    NOT_LEARNED,
    SAME,
    UNDECIDED,
    WORSE,
)

RUN = {
    **{"dataset": "digits", "model": "cnn", "optimizer": "adam", "learning_rate": 0.001},
    **{"loss_function": "ce", "status": "complete", "val_accuracy": 0.9, "val_loss": 0.3},
    **{"batch_size": 128, "epochs_asked": 5, "limit": np.nan, "initializer": "article"},
    **{"validation": "holdout", "precision": "float32", "purpose": "comparison"},
    **{"test_images": 360, "majority_share": 0.1},
}


def made(scores, **settings):
    """Return the runs of test accuracies by activation and seed.

    None is a run that failed, "diverged" one that diverged. The test loss is 1 - accuracy.
    """
    rows = []
    for activation, values in scores.items():
        for seed, value in enumerate(values):
            row = {**RUN, **settings, "activation": activation, "seed": seed}
            row["run"] = f"{activation}-{seed}" + "".join(f"-{each}" for each in settings.values())
            ended = not isinstance(value, str | None)
            row["test_accuracy"] = value if ended else np.nan
            row["test_loss"] = 1 - row["test_accuracy"]
            rows.append({**row, "status": "complete" if ended else value or "failed"})
    return pd.DataFrame(rows)


def drawn(activations, seeds, generator, shift=0.0):
    """Return accuracies of activations a0, a1, …, the last better by `shift`."""
    base = generator.normal(0.9, 0.01, seeds)
    table = base + generator.normal(0, 0.01, (activations, seeds))
    table[-1] += shift
    return {f"a{i}": values.tolist() for i, values in enumerate(table)}


def by_activation(table, metric="test_accuracy"):
    return table[table["metric"] == metric].set_index("activation")


def compared(scores, baseline="relu", metric="test_accuracy", **options):
    return by_activation(comparisons.compare(made(scores), baseline, **options), metric)


MARGIN = {"digits": 0.005}
RAMP = np.arange(10) / 1000


def test_columns():
    runs = made({"relu": [0.9], "elu": [0.8]})
    table = comparisons.compare(runs, "relu")
    assert list(table) == comparisons.COLUMNS
    assert list(table)[2:10] == [
        *("metric", "activation", "baseline", "n_pairs", "difference", "ci_low", "ci_high"),
        "verdict",
    ]
    assert table["rates"].tolist() == ["shared", "shared"]
    assert list(comparisons.all_pairs(runs)) == comparisons.PAIR_COLUMNS


def test_numbers_of_a_comparison():
    scores = drawn(4, 10, np.random.default_rng(0), shift=0.03)
    found = compared(scores, "a0", margins=MARGIN)
    assert found.index.tolist() == ["a1", "a2", "a3"]
    for name, row in found.iterrows():
        each = np.subtract(scores[name], scores["a0"])
        assert row["difference"] == pytest.approx(each.mean())
        assert row["median_difference"] == pytest.approx(np.median(each))
        assert row["probability_of_improvement"] == np.mean(each > 0)
        assert (row["n_higher"], row["n_lower"]) == ((each > 0).sum(), (each < 0).sum())
        assert (row["n_pairs"], row["n_left_out"]) == (10, 0)
        # Six pairs of four activations are the family.
        expected = verdicts.evidence(each[None], 6, 0.005)
        assert row["e_value"] == pytest.approx(expected.e_value[0])
        np.testing.assert_allclose(
            row[["ci_low", "ci_high"]].to_numpy(float), [expected.low[0], expected.high[0]]
        )
        assert row["equal_high"] == pytest.approx(expected.equal_high[0])
        assert row["verdict"] == verdicts.verdicts(expected)[0]
        assert row["margin"] == 0.005
    assert found.loc["a3", "verdict"] == BETTER


def test_the_fixed_sample_check_agrees_with_scipy():
    scores = drawn(4, 10, np.random.default_rng(1), shift=0.02)
    pairs = comparisons.all_pairs(made(scores))
    pairs = pairs[pairs["metric"] == "test_accuracy"]
    each = [
        np.subtract(scores[a], scores[b]) for a, b in zip(pairs["activation"], pairs["baseline"])
    ]
    t = [stats.ttest_1samp(differences, 0).pvalue for differences in each]
    ranks = [stats.wilcoxon(differences, method="exact").pvalue for differences in each]
    np.testing.assert_allclose(pairs["fixed_t_p"], t)
    np.testing.assert_allclose(pairs["fixed_wilcoxon_p"], ranks)
    np.testing.assert_allclose(pairs["fixed_t_p_holm"], tests.holm(t))
    np.testing.assert_allclose(pairs["fixed_wilcoxon_p_holm"], tests.holm(ranks))


def test_comparisons_and_pairs_cannot_contradict_each_other():
    scores = drawn(5, 12, np.random.default_rng(2), shift=0.03)
    pairs = comparisons.all_pairs(made(scores), MARGIN)
    turn = {BETTER: WORSE, WORSE: BETTER}
    for baseline in scores:
        table = comparisons.compare(made(scores), baseline, MARGIN)
        for row in table.to_dict("records"):
            names = {row["activation"], baseline}
            (pair,) = [
                each
                for each in pairs.to_dict("records")
                if {each["activation"], each["baseline"]} == names
                and each["metric"] == row["metric"]
            ]
            turned = pair["activation"] == baseline
            assert row["verdict"] == (
                turn.get(pair["verdict"], pair["verdict"]) if turned else pair["verdict"]
            )
            assert row["e_value"] == pair["e_value"]
            low, high = (
                (-pair["ci_high"], -pair["ci_low"]) if turned else (pair["ci_low"], pair["ci_high"])
            )
            np.testing.assert_array_equal([row["ci_low"], row["ci_high"]], [low, high])


def test_of_a_loss_less_is_better():
    scores = {"relu": 0.5 + RAMP, "elu": 0.8 + 2 * RAMP}
    accuracy, loss = compared(scores).loc["elu"], compared(scores, metric="test_loss").loc["elu"]
    assert loss["difference"] == pytest.approx(-accuracy["difference"])
    assert loss["ci_low"] == pytest.approx(-accuracy["ci_high"])
    assert loss["ci_high"] < 0 < accuracy["ci_low"]
    assert loss["n_lower"] == accuracy["n_higher"] == 10
    for row in (accuracy, loss):
        assert row["verdict"] == BETTER
        assert row["probability_of_improvement"] == 1
    assert compared(scores, "elu", "test_loss").loc["relu", "verdict"] == WORSE
    # No margin is in the unit of a loss.
    equal = {"relu": 0.9 + RAMP, "elu": 0.9 + RAMP + np.tile([1e-4, -1e-4], 5)}
    assert compared(equal, margins=MARGIN).loc["elu", "verdict"] == EQUAL
    assert compared(equal, metric="test_loss", margins=MARGIN).loc["elu", "verdict"] == UNDECIDED


def test_seeds_of_which_one_run_failed_are_left_out():
    scores = {"relu": [0.9, None, 0.8, 0.7], "elu": [0.8, 0.8, None, 0.75], "selu": [None] * 4}
    found = compared(scores)
    elu, selu = found.loc["elu"], found.loc["selu"]
    assert (elu["n_pairs"], elu["n_left_out"]) == (2, 2)
    assert elu["difference"] == pytest.approx((-0.1 + 0.05) / 2)
    assert (selu["n_pairs"], selu["n_left_out"]) == (0, 4)
    assert selu["note"] == "no seed of which both runs are complete"
    assert selu["verdict"] == UNDECIDED
    assert np.isnan(selu[["difference", "e_value", "seeds_needed"]].to_numpy(float)).all()


def test_a_diverged_run_counts_as_guessing():
    relu, elu = [0.9, 0.91, 0.92, 0.93], [0.95, 0.96, "diverged", 0.97]
    row = compared({"relu": relu, "elu": elu}).loc["elu"]
    assert row["n_pairs"] == 4
    assert row["difference"] == pytest.approx((0.05 + 0.05 + (0.1 - 0.92) + 0.04) / 4)
    assert row["note"].startswith("1 of 4 runs of elu did not learn or end")
    loss = compared({"relu": relu, "elu": elu}, metric="test_loss").loc["elu"]
    assert (loss["n_pairs"], loss["n_left_out"]) == (3, 1)


def test_the_one_that_diverges_does_not_win_by_its_loss():
    relu, elu = 0.8 + RAMP, [*(0.9 + 2 * RAMP[:-1]), "diverged"]
    assert (
        compared({"relu": relu, "elu": elu}, metric="test_loss").loc["elu", "verdict"] == UNDECIDED
    )
    assert (
        compared({"relu": relu, "elu": elu}, "elu", "test_loss").loc["relu", "verdict"] == UNDECIDED
    )
    # It may lose.
    loser = {"relu": [*(0.8 + RAMP[:-1]), "diverged"], "elu": 0.9 + 2 * RAMP}
    assert compared(loser, metric="test_loss").loc["elu", "verdict"] == BETTER


def test_not_learned_goes_before_better_and_worse():
    scores = {"relu": 0.9 + RAMP, "elu": [*([0.1] * 6), *(0.9 + RAMP[:4])], "selu": [0.1] * 10}
    found = compared(scores)
    assert found["verdict"].to_dict() == {"elu": NOT_LEARNED, "selu": NOT_LEARNED}
    of_elu = compared(scores, "elu")
    # The verdict is about the activation, not the baseline.
    assert of_elu.loc["relu", "verdict"] in (BETTER, UNDECIDED)
    assert of_elu.loc["relu", "note"].startswith("elu did not learn")
    assert of_elu.loc["selu", "verdict"] == NOT_LEARNED
    pairs = comparisons.all_pairs(made(scores))
    pairs = pairs[pairs["metric"] == "test_accuracy"]
    assert list(zip(pairs["activation"], pairs["baseline"])) == [
        ("elu", "relu"),
        ("elu", "selu"),
        ("selu", "relu"),
    ]
    assert set(pairs["verdict"]) == {NOT_LEARNED}
    # Half of the runs are not more than half.
    half = {"relu": 0.9 + RAMP, "elu": [*([0.1] * 5), *(0.9 + RAMP[:5])]}
    assert compared(half).loc["elu", "verdict"] != NOT_LEARNED


def test_same_function():
    scores = {"relu": 0.9 + RAMP, "relu6": 0.9 + RAMP, "elu": 0.9 + RAMP * 1.0001}
    found = compared(scores, margins=MARGIN)
    assert found["verdict"].to_dict() == {"elu": EQUAL, "relu6": SAME}
    runs = made(scores)
    runs.loc[(runs["activation"] == "relu6") & (runs["seed"] == 3), "test_loss"] += 1e-9
    found = by_activation(comparisons.compare(runs, "relu", MARGIN))
    assert found.loc["relu6", "verdict"] == EQUAL, "another loss is of another function"


def test_mixed_says_which_way_seeds_went():
    values = np.concatenate([np.linspace(-0.02, -0.01, 12), np.linspace(0.3, 0.4, 11)])
    row = compared({"relu": np.full(23, 0.5), "elu": 0.5 + values}).loc["elu"]
    assert row["verdict"] == MIXED
    assert row["note"] == "higher in 11 of 23 seeds, lower in 12"


def test_skewed_differences_carry_a_note():
    values = np.array([0.011, 0.012, 0.013, 0.01, 0.014, 0.012, 0.011, -0.2])
    row = compared({"relu": np.full(8, 0.7), "elu": 0.7 + values}).loc["elu"]
    assert row["note"] == "skewed differences: higher in 7 of 8 seeds, lower in 1"
    assert compared({"relu": 0.9 + RAMP, "elu": 0.9 - RAMP}).loc["elu", "note"] == ""


def test_seeds_needed_are_those_of_undecided_pairs():
    scores = {"relu": 0.8 + RAMP, "elu": 0.9 + 2 * RAMP, "selu": 0.8 + 3 * RAMP[::-1]}
    found = compared(scores)
    assert found.loc["elu", "verdict"] == BETTER
    assert np.isnan(found.loc["elu", "seeds_needed"])
    assert found.loc["selu", "verdict"] == UNDECIDED
    assert found.loc["selu", "seeds_needed"] > 0


def test_equal_accuracies_tie_in_spite_of_rounding():
    row = compared({"relu": [0.1 + 0.2] * 3, "elu": [0.3] * 3}).loc["elu"]
    assert (row["difference"], row["n_higher"], row["n_lower"]) == (0, 0, 0)


def test_infinite_losses():
    runs = made({"relu": [0.9] * 8, "elu": [0.8] * 8})
    runs["test_loss"] = np.inf
    row = by_activation(comparisons.compare(runs, "relu"), "test_loss").loc["elu"]
    assert row["difference"] == 0
    runs.loc[runs["activation"] == "elu", "test_loss"] = 0.5
    row = by_activation(comparisons.compare(runs, "relu"), "test_loss").loc["elu"]
    assert (row["n_pairs"], row["n_left_out"]) == (0, 8)


def test_settings_stay_apart():
    small = made({"relu": [0.5, 0.6], "elu": [0.7, 0.9]}, limit=100)
    large = made({"relu": [0.9, 0.9], "elu": [0.9, 0.9]}, limit=200)
    alone = made({"elu": [0.1, 0.1]}, limit=300)
    table = comparisons.compare(pd.concat([alone, large, small]), "relu")
    found = table[table["metric"] == "test_accuracy"]
    assert found["limit"].tolist() == [100, 200], "without the baseline there is no row"
    np.testing.assert_allclose(found["difference"], [0.25, 0])
    assert comparisons.compare(alone, "relu").empty


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


def test_several_runs_of_a_seed_are_one_pair():
    runs = made({"relu": [0.5, 0.6], "elu": [0.7, 0.8]})
    again = runs.assign(run=runs["run"] + "-gpu", test_accuracy=runs["test_accuracy"] + 0.1)
    again = again[again["activation"] == "elu"]
    row = by_activation(comparisons.compare(pd.concat([runs, again]), "relu")).loc["elu"]
    assert (row["n_pairs"], row["n_left_out"]) == (2, 0)
    assert row["difference"] == pytest.approx(0.25)


def right(runs, generator, examples=400):
    """Return which examples each run has right, as many as its accuracy says."""
    return {
        run: generator.permutation(examples) < round(accuracy * examples)
        for run, accuracy in zip(runs["run"], runs["test_accuracy"])
    }


def test_the_crossed_interval_qualifies_a_verdict():
    scores = {"relu": 0.7 + RAMP, "elu": 0.72 + 2 * RAMP, "selu": 0.95 + RAMP}
    runs = made(scores)
    hits = right(runs, np.random.default_rng(3))
    found = by_activation(comparisons.compare(runs, "relu", right=hits))
    assert found["verdict"].tolist() == [BETTER, BETTER]
    assert found["holds_for"].to_dict() == {
        "elu": comparisons.ONLY_THESE,
        "selu": comparisons.LIKE_THESE,
    }
    names = [f"{activation}-{seed}" for seed in range(10) for activation in ("elu", "relu")]
    each = crossed.accuracies(np.array([hits[name] for name in names]))
    expected = crossed.interval(each[::2] - each[1::2])
    np.testing.assert_allclose(
        found.loc["elu", ["crossed_low", "crossed_high"]].to_numpy(float), expected
    )
    without = by_activation(comparisons.compare(runs, "relu"))
    assert without["verdict"].tolist() == found["verdict"].tolist()
    assert set(without["holds_for"]) == {""}
    loss = by_activation(comparisons.compare(runs, "relu", right=hits), "test_loss")
    assert loss["crossed_low"].isna().all()


def test_where_more_seeds_cannot_help():
    # The same examples in every seed: all the doubt is in the examples.
    runs = made({"relu": [0.75] * 10, "elu": [0.7625] * 10})
    runs["test_loss"] = runs["seed"] / 100
    order = np.random.default_rng(4)
    hits = {"relu": order.permutation(400) < 300, "elu": order.permutation(400) < 305}
    by_run = {run: hits[name] for run, name in zip(runs["run"], runs["activation"])}
    row = by_activation(comparisons.compare(runs, "relu", right=by_run)).loc["elu"]
    assert (row["verdict"], row["holds_for"]) == (BETTER, comparisons.ONLY_THESE)
    assert "it would take more test examples" in row["note"]


def test_predictions_of_another_test_set_are_left_out():
    runs = made({"relu": [0.7, 0.7, 0.7], "elu": [0.8, 0.8, 0.8]})
    hits = right(runs, np.random.default_rng(5))
    hits["elu-1"] = hits["elu-1"][:100]
    found = by_activation(comparisons.compare(runs, "relu", right=hits))
    assert np.isfinite(found.loc["elu", "crossed_low"])


def test_which_runs_are_compared():
    scores = {"relu": [0.5, None, "diverged"], "elu": [None, 0.7, 0.6]}
    assert comparisons.compared_runs(made(scores)) == ["elu-1", "elu-2", "relu-0"]
    assert comparisons.compared_runs(made({"relu": [0.5]})) == []
    many = comparisons.compared_runs(made({"relu": [0.5] * 50, "elu": [0.5] * 50}))
    assert len(many) == 2 * comparisons.QUALIFYING_SEEDS


def test_letters_of_a_setting():
    scores = {
        **{"a": 0.7 + RAMP, "b": 0.9 + 2 * RAMP, "c": 0.9 + 2 * RAMP[::-1]},
        **{"d": [0.1] * 10, "e": [0.1001] * 10},
    }
    found = comparisons.letters(comparisons.all_pairs(made(scores)))
    assert found == {"b": "a", "c": "a", "a": "b", "e": "c", "d": "c"}
    assert list(found) == ["b", "c", "a", "e", "d"], "best first"
    assert comparisons.letters(comparisons.all_pairs(made({"a": [0.5]}))) == {}


@pytest.mark.parametrize("seed", range(5))
def test_order_of_rows_does_not_matter(seed):
    generator = np.random.default_rng(seed)
    scores = drawn(4, 5, generator) | drawn(2, 22, generator)
    scores["a2"][2] = None
    runs = pd.concat([made(scores, limit=limit) for limit in (100, 200)])
    runs = pd.concat([runs, made({"a0": [0.5], "a1": [0.6]})])
    hits = right(runs.dropna(subset="test_accuracy"), generator, 50)
    functions = [
        lambda frame: comparisons.compare(frame, "a0", MARGIN, hits),
        lambda frame: comparisons.all_pairs(frame, MARGIN, hits),
    ]
    for function in functions:
        expected = function(runs)
        assert len(expected)
        shuffled = runs.sample(frac=1, random_state=seed)
        assert_frame_equal(function(shuffled), expected, check_exact=True)
        assert_frame_equal(function(runs), expected, check_exact=True)


def test_tables_of_nothing():
    runs = made({"relu": [0.9, 0.8], "elu": [0.8, 0.9]})
    for frame in (runs.iloc[:0], runs.iloc[[0]]):
        assert list(comparisons.compare(frame, "relu")) == comparisons.COLUMNS
        assert comparisons.compare(frame, "relu").empty
        assert comparisons.all_pairs(frame).empty
    failed = runs.assign(status="failed", test_accuracy=np.nan, test_loss=np.nan)
    assert set(comparisons.compare(failed, "relu")["verdict"]) == {UNDECIDED}
    assert comparisons.compare(failed, "relu")["n_left_out"].tolist() == [2, 2]


@pytest.mark.slow
def test_equal_activations_are_seldom_told_apart():
    generator = np.random.default_rng(7)
    parts = [made(drawn(7, 12, generator), epochs_asked=number) for number in range(200)]
    pairs = comparisons.all_pairs(pd.concat(parts))
    pairs = pairs[pairs["metric"] == "test_accuracy"]
    assert len(pairs) == 200 * 21
    wrong = pairs["verdict"].isin([BETTER, WORSE, MIXED]).groupby(pairs["epochs_asked"]).any()
    assert wrong.mean() <= 0.05


@pytest.mark.slow
def test_a_real_difference_is_found():
    # Of √2 · 0.01 / √12 the standard error is 0.0041.
    generator = np.random.default_rng(8)
    parts = [made(drawn(3, 12, generator, 0.03), epochs_asked=number) for number in range(100)]
    found = by_activation(comparisons.compare(pd.concat(parts), "a0"))
    assert (found.loc["a2", "verdict"] == BETTER).sum() >= 80
