"""Templates: escapes, line ends, and what the texts must say of a comparison's numbers."""

import re

import mistune
import pandas as pd
import pytest
from nbconvert.filters import markdown2html

from benchmark.report import facts
from benchmark.report.text import _ENVIRONMENT, code_block, escape, fill, names

HOSTILE = [
    "<script>alert(1)</script>",
    "*a* _b_ `c`",
    "[a](javascript:b)",
    "![a](b)",
    "a\n\n# b\n- c",
    "$x$ | y & z &lt;",
    "\\*a\\*",
]


def rendered(markdown):
    """The text that a reader of the page sees, and the tags in it."""
    page = markdown2html(markdown)
    return page, set(re.findall(r"<(\w+)", page))


@pytest.mark.parametrize("text", HOSTILE)
def test_an_escaped_text_is_shown_as_it_is(text):
    page, tags = rendered(f"A {escape(text)}.")
    assert tags == {"p"}
    plain = re.sub("<[^>]*>", "", page).strip()
    assert mistune.util.unescape(plain).replace("\\$", "$") == "A " + re.sub("\n+", " ", text) + "."


@pytest.mark.parametrize("name", ["leaky_relu", "hard_silu", "97.12 %", "−0.31", "a-b (c)"])
def test_an_ordinary_text_is_left_alone(name):
    assert escape(name) == name


def test_code_cannot_end_its_block():
    text = code_block(["a ```", "<b>"], "sh")
    assert text == "````sh\na ```\n<b>\n````"
    assert code_block(["a"], "sh") == "```sh\na\n```"


def test_many_names_are_counted():
    assert names("abc") == "a, b and c"
    assert names(map(str, range(13))) == "13 activations"


def test_every_template_can_be_read():
    templates = _ENVIRONMENT.list_templates()
    assert templates
    for name in templates:
        assert name.endswith((".md.j2", ".txt.j2"))
        _ENVIRONMENT.get_template(name)


def summary(**rows):
    """Return rows of summary.csv: name=(mean test accuracy, complete runs, further columns)."""
    usual = {
        "test_accuracy_ci_low": None,
        "test_accuracy_ci_high": None,
        "n_not_learned": 0,
        "n_diverged": 0,
        "n_failed": 0,
        "n_unfinished": 0,
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
    ).astype({"test_accuracy_mean": float})


def in_short(table, comparisons=None, claims=(), title="CNN", copies=1):
    compared = None if comparisons is None else facts.verdicts(comparisons)
    setting = {"title": title, "compared": compared, **facts.standing(table)}
    text = fill("in_short.md", settings=[setting] * copies, claims=dict(claims))
    assert not re.search(r"\b(nan|None|inf)\b|[.:,][A-Za-z]", text)
    return text


def test_times_under_load_are_marked():
    table = summary(relu=(0.9, 3, {"n_under_load": 2}), elu=(0.9, 3, {"n_under_load": 0}))
    text = fill("under_load.md", loaded=facts.affected(table, "n_under_load"))
    assert text.startswith("Times taken under load, ")
    assert text.endswith(": relu in 2 of 3 runs.")
    # Tables of earlier versions do not say.
    older = facts.affected(summary(relu=(0.9, 3)), "n_under_load")
    assert fill("under_load.md", loaded=older) == ""


class TestInShort:
    def test_activations_still_improving(self):
        counts = {"relu": 2, "elu": 3, "selu": 0}
        rows = {name: (0.9, 8, {"n_still_improving": count}) for name, count in counts.items()}
        # Two of eight are not more than a quarter.
        assert "compared as much as where they end: elu in 3 of 8 runs." in in_short(
            summary(**rows)
        )
        many = {f"f{i}": (0.9, 8, {"n_still_improving": 8}) for i in range(13)}
        assert "as where they end: 13 activations." in in_short(summary(**many))
        assert "improving" not in in_short(summary(relu=(0.9, 8)))

    def test_best_worst_and_who_did_not_learn(self):
        interval = {"test_accuracy_ci_low": 0.9, "test_accuracy_ci_high": 0.94}
        text = in_short(
            summary(sigmoid=(0.1, 3, {"n_not_learned": 3}), elu=(0.92, 3, interval), relu=(0.91, 3))
        )
        assert "Highest mean test accuracy: elu, 92.00 % (95 % interval 90.00 to 94.00)" in text
        assert "lowest: sigmoid, 10.00 %." in text
        assert "sigmoid in 3 of 3 runs" in text
        assert "at most 5 points above guessing" in text

    def test_equal_ones_are_all_named_and_have_no_interval(self):
        interval = {"test_accuracy_ci_low": 0.9, "test_accuracy_ci_high": 0.94}
        # Equal but for a rounding error.
        table = summary(
            relu=(0.3, 3, interval), elu=(0.1 + 0.2, 3, interval), selu=(0.2, 3), gelu=(0.2, 3)
        )
        assert ": elu and relu, 30.00 %; lowest: gelu and selu, 20.00 %." in in_short(table)
        assert "Mean test accuracy: gelu and selu, 20.00 %." in in_short(table.iloc[2:])
        many = summary(worst=(0.1, 2), **{f"a{number}": (0.2, 2) for number in range(13)})
        assert "13 activations, 20.00 %; lowest: worst" in in_short(many)

    def test_one_run_each_tells_nothing_of_seeds(self):
        text = in_short(summary(relu=(0.9, 1), elu=(0.8, 1, {"n_not_learned": 1})))
        assert "Highest test accuracy: relu, 90.00 %" in text
        assert "no telling how much of that is the seed's" in text
        assert "elu in 1 of 1 run." in text
        assert "seed" not in in_short(summary(relu=(0.9, 1)))

    def test_lost_runs_are_named(self):
        table = summary(relu=(None, 0, {"n_diverged": 2, "n_failed": 1}), elu=(0.8, 2))
        lost = "Without a complete run: relu (2 diverged, 1 failed)."
        assert in_short(table).endswith(lost)
        assert f"No run is complete yet. {lost}" in in_short(table.iloc[:1])

    def test_counts_beside_missing_ones_are_whole(self):
        table = summary(relu=(0.9, 3), elu=(0.1, 9, {"n_not_learned": 1}))
        table["n_not_learned"] = [float("nan"), 1.0]
        assert ": elu in 1 of 9 runs." in in_short(table)

    def test_verdicts_and_claims_are_counted(self):
        table = comparisons(("elu", 0.1, "better"), ("selu", 0, "no difference shown"))
        text = in_short(summary(relu=(0.9, 3)), table, {"holds": 2, "does not hold": 1})
        assert "Compared with relu: 1 better (elu); 0 worse; 1 no difference shown (selu)." in text
        assert "3 claims about activation functions; holds: 2, does not hold: 1." in text

    def test_several_settings_have_their_titles(self):
        text = in_short(summary(relu=(0.9, 3)), copies=2, title="A <b>")
        assert text.count("\n- **A &lt;b&gt;:** Mean") == 1
        text = in_short(summary(relu=(0.9, 3)), copies=7)
        assert text.startswith("- 7 settings are compared")
        assert "relu" not in text

    def test_hostile_names_stay_text(self):
        name = HOSTILE[0]
        text = in_short(
            pd.concat([summary(**{name: (0.9, 3, {"n_not_learned": 1})}), summary(b=(0.1, 3))]),
            comparisons((name, 0.1, "better"), ("b", 0.1, "worse"), baseline=name),
        )
        page, tags = rendered(text)
        assert tags == {"ul", "li"}
        assert page.count("&lt;script&gt;") == 4


def comparisons(*rows, baseline="relu", metric="test_accuracy", n_pairs=10):
    """Return rows of comparisons.csv: (activation, difference, verdict, further columns)."""
    return pd.DataFrame(
        [
            {
                "activation": name,
                "baseline": baseline,
                "metric": metric,
                "n_pairs": n_pairs,
                "difference": difference,
                "ci_low": None if difference is None else difference - 0.002,
                "ci_high": None if difference is None else difference + 0.002,
                "p_value": 0.002,
                "verdict": verdict,
                "mcnemar_p": None,
                "note": None,
                **dict(*more),
            }
            for name, difference, verdict, *more in rows
        ]
    ).astype({"difference": float, "ci_low": float, "ci_high": float, "mcnemar_p": float})


def differences(table):
    text = fill("differences.md", compared=facts.verdicts(table))
    assert not re.search(r"\b(nan|None|inf)\b", text)
    return text


class TestDifferences:
    def test_verdicts_are_counted_and_named(self):
        text = differences(
            comparisons(
                ("elu", 0.004, "better"),
                ("gelu", 0.007, "better"),
                ("sigmoid", -0.8, "worse"),
                ("selu", -0.001, "no difference shown"),
                ("mish", None, "too few seeds"),
            )
        )
        assert "compared with relu: 2 better (gelu and elu); 1 worse (sigmoid);" in text
        assert "1 no difference shown (selu); 1 too few seeds (mish)." in text
        assert "the intervals reach from −0.30 to +0.10 points" in text
        assert "among the 5 comparisons" in text

    def test_many_are_not_named(self):
        rows = [(f"a{place}", -0.01, "worse") for place in range(13)]
        assert "0 better; 13 worse. " in differences(comparisons(*rows))

    def test_a_withheld_verdict_is_told_apart(self):
        withheld = {"note": "verdict withheld: elu has more runs that are not complete"}
        odd = {"note": "odd"}
        rows = [
            ("elu", 0.004, "no difference shown", withheld),
            ("selu", 0, "no difference shown", odd),
        ]
        text = differences(comparisons(*rows))
        assert "1 no difference shown (selu); 1 verdict withheld (elu)." in text
        assert "for 1 the verdict is withheld" in pairs(comparisons(*rows))

    def test_an_undefined_interval_is_not_told(self):
        undefined = {"ci_low": None, "ci_high": None}
        text = differences(comparisons(("elu", 0.0, "no difference shown", undefined)))
        assert text.endswith("there may still be one.")

    def test_one_comparison_needs_no_correction(self):
        text = differences(comparisons(("elu", 0.004, "better")))
        assert "Wilcoxon's exact signed-rank test" in text
        assert "Holm" not in text

    def test_too_few_seeds_are_said_plainly(self):
        rows = [(name, 0.1, "too few seeds") for name in ("a", "b", "c", "d", "e")]
        table = comparisons(*rows, n_pairs=3)
        text = differences(table)
        assert text.startswith("With 3 pairs of runs no difference from relu can be shown")
        assert text.endswith("for 5 comparisons takes at least 8 seeds.")
        table.loc[0, "n_pairs"] = 2
        assert differences(table).startswith("With at most 3 pairs of runs")
        assert "With 1 pair of runs" in differences(comparisons(*rows[:1], n_pairs=1))
        assert "1 comparison takes at least 6 seeds" in differences(comparisons(*rows[:1]))
        none = differences(comparisons(*rows, n_pairs=0))
        assert none.startswith("Nothing can be compared with relu")
        assert differences(table.iloc[:0]).startswith("There is nothing to compare")
        assert differences(pd.DataFrame()).startswith("There is nothing to compare")

    def test_one_pair_of_networks(self):
        rows = [("a", 0.1, "too few seeds", {"mcnemar_p": 0.01}), ("b", 0.1, "too few seeds")]
        text = differences(comparisons(*rows, n_pairs=1))
        assert "from relu's network is shown for a (p = 0.01). That is said of these net" in text
        rows[0][3]["mcnemar_p"] = 0.5
        assert "is shown for none." in differences(comparisons(*rows, n_pairs=1))


def pairs(table, ranks=None):
    ranks = pd.DataFrame() if ranks is None else ranks
    text = fill("pairs.md", pairs=facts.pairs(table), ranks=facts.ranking(ranks))
    assert not re.search(r"\b(nan|None|inf)\b", text)
    return text


class TestPairs:
    def test_those_told_apart(self):
        table = comparisons(("elu", 0.1, "better"), ("gelu", -0.1, "worse"), ("mish", 0, "no"))
        text = pairs(table)
        assert "Of all 3 pairs of activations, 2 are told apart: elu over relu, relu over" in text
        assert "Holm's correction for 3" in text
        assert pairs(table.iloc[2:]) == ""
        assert "0 are told apart (" in pairs(pd.concat([table.iloc[2:]] * 2))

    def test_too_few_seeds(self):
        table = comparisons(*[("elu", 0.1, "too few seeds")] * 190)
        assert pairs(table).endswith("for 190 comparisons takes at least 13 seeds.")
        table.loc[0, "n_pairs"] = 9
        assert pairs(table).startswith("With at most 10 pairs")
        assert pairs(table.assign(n_pairs=0)) == ""

    def test_ranks(self):
        def ranked(p, blocks=10):
            ranks = pd.DataFrame({"activation": ["relu", "elu"], "mean_rank": [1.8, 1.2]})
            more = {"n_blocks": blocks, "n_activations": 2, "critical_difference": 1.5}
            return pairs(pd.DataFrame(), ranks.assign(friedman_p=p, **more))

        assert "test shows that they differ (p = 0.001)" in ranked(0.001)
        assert "by more than 1.50 (Nemenyi's" in ranked(0.001)
        assert "approximations" not in ranked(0.001)
        assert ranked(0.2).endswith("does not show that they differ (p = 0.2).")
        assert "rough for 9 seeds" in ranked(0.001, blocks=9)
        assert "the 1 seed that" in ranked(float("nan"), blocks=1)
        assert ranked(float("nan")).endswith("too few for a test.")
        assert ranked(0.1, blocks=0) == ""


RUN = {
    "run": "digits-cnn-relu-s0-0123456789",
    "dataset": "digits",
    "model": "cnn",
    "activation": "relu",
    "optimizer": "adam",
    "learning_rate": 0.001,
    "loss_function": "categorical_crossentropy",
    "seed": 0,
    "status": "complete",
    "batch_size": 128,
    "epochs_asked": 30,
    "limit": None,
    "initializer": "article",
    "validation": "holdout",
    "threads": 1,
    "device": "CPU",
    "precision": "float32",
    "purpose": "comparison",
    "test_images": 360,
    "majority_share": 0.1028,
}
MACHINE = {
    "processor": "AMD EPYC",
    "cores": 2,
    "gpus": ["Some GPU"],
    "versions": {"tensorflow": "2.21.0", "keras": "3.15.1", "python": "3.11.7"},
}


def runs(*changes):
    return pd.DataFrame([{**RUN, **change} for change in changes]).astype({"limit": float})


def setting(table, environment=None, settings=()):
    compared = (table["purpose"] != "tuning").any()
    text = fill(
        "setting.md",
        **facts.statuses(table),
        protocol=facts.protocol(table) if compared else None,
        machine=facts.machine(environment or {}),
        clip=0.5,
        settings=settings,
        varied=["learning_rate"],
    )
    assert not re.search(r"\b(nan|None|inf)\b", text)
    return text


class TestSetting:
    def test_one_setting(self):
        changes = [{"activation": name, "seed": seed} for name in ("a", "b") for seed in (0, 1)]
        text = setting(runs(*changes), MACHINE)
        assert text.startswith("4 runs, all complete.\n\n- **Data:** digits, all training images,")
        for part in (
            "360 test images, scored once at the end (guessing the most frequent class would give"
            " 10.28 %)",
            "**Network:** cnn (two convolutions",
            "adam, learning rate 0.001, batches of 128, epochs: 30, categorical crossentropy",
            "**Initial weights:** article (Glorot uniform",
            "**Activations:** 2 (a, b).",
            "**Seeds:** 2 (0 and 1).",
            "AMD EPYC, 2 cores, Some GPU, tensorflow 2.21.0, keras 3.15.1, python 3.11.7, runs on"
            " CPU, threads: 1, float32.",
        ):
            assert part in text
        assert "Not every activation" not in text
        assert len(text.split("\n- ")) == 8

    def test_what_is_not_known_is_left_out(self):
        text = setting(runs({"test_images": None, "majority_share": None}))
        assert "1 run, complete." in text
        assert "digits, all training images. Validation" in text
        assert "**Machine:** runs on CPU" in text

    def test_a_test_set_that_validates_is_not_scored_once(self):
        assert "scored once" not in setting(runs({"validation": "test"}))

    def test_varied_settings(self):
        text = setting(
            runs(
                {"limit": 100, "model": "mine"},
                {"learning_rate": 0.01, "model": "mlp", "epochs_asked": 5},
                {"validation": "test", "threads": 2, "device": "GPU", "dataset": "mnist"},
            ),
            settings=["A", "B <c>"],
        )
        for part in (
            "learning rate 0.001 and 0.01",
            "mlp (three dense layers",
            " or mine or mlp",
            "epochs: 5 and 30",
            "digits, the first 100 or all training images",
            "; mnist, all training",
            "runs on CPU and GPU, threads: 1 and 2",
            "2 settings are compared, which differ in learning rate:\n\n- A\n- B &lt;c&gt;",
        ):
            assert part in text

    def test_seeds(self):
        text = setting(runs({}, {"seed": 1}, {"activation": "elu"}))
        assert "Not every activation has run with all of them." in text
        many = runs(*({"seed": seed} for seed in range(20)))
        assert "**Seeds:** 20 (0 to 19)." in setting(many)
        assert "**Seeds:** 4 (0, 2, 3 and 4)." in setting(many.iloc[[0, 2, 3, 4]])

    def test_tuning_runs_are_told_apart(self):
        tuning = {"purpose": "tuning", "seed": 1000}
        table = runs(
            {},
            {"purpose": "tuned", "learning_rate": 0.01},
            {**tuning, "learning_rate": 0.01},
            {**tuning, "learning_rate": 0.1},
        )
        text = setting(table)
        assert "**Seeds:** 1 (0)." in text
        assert "learning rate 0.001 and each activation's own, batches" in text
        assert "2 further runs with other seeds (1000) chose among 0.01 and 0.1" in text
        assert "none is compared yet" in setting(table.iloc[2:])

    def test_lost_runs_are_named(self):
        text = setting(
            runs(
                {},
                {"status": "diverged"},
                {"status": "diverged", "activation": "elu"},
                {"status": "diverged", "activation": "elu", "seed": 1},
                {"status": "failed"},
                {"status": "unfinished"},
            )
        )
        assert text.startswith("Of 6 runs: 1 complete; 3 diverged (relu 1, elu 2; the loss")
        assert "1 failed (relu 1; an error" in text
        assert "1 unfinished (relu 1; the same command goes on with them). Means" in text
        assert setting(runs({"status": "failed"})).startswith("Of 1 run: 0 complete; 1 failed")

    def test_damaged_runs_are_named(self):
        names = [{"status": "damaged", "run": f"relu-s{seed}", "seed": seed} for seed in range(5)]
        text = setting(runs({}, *names))
        assert "5 damaged (relu 5; their files are not as they were recorded" in text
        assert "Damaged: relu-s0, relu-s1, relu-s2 and 2 more." in text
        assert "amaged" not in setting(runs({}, {"status": "unfinished"}))


def limits(table, seeds=3, tuned=False):
    return fill(
        "limits.md",
        protocol=facts.protocol(table),
        datasets=list(table["dataset"].unique()),
        limited=table["limit"].notna().any(),
        seeds=seeds,
        tuned=tuned,
    )


class TestLimits:
    def test_usual_ones(self):
        text = limits(runs({}))
        assert text.startswith("- One dataset (digits) and one network (cnn) of few layers:")
        assert "- Seeds vary initial weights" in text
        assert "- All activations train with the same learning rate" in text
        for missing in ("test set also", "Only a part", "16 bits"):
            assert missing not in text

    def test_few_runs(self):
        assert "- No run is complete yet" in limits(runs({}), seeds=0)
        assert "- There is one run of each" in limits(runs({}), seeds=1)

    def test_odd_protocols(self):
        text = limits(
            runs(
                {"validation": "test", "limit": 100, "precision": "mixed_float16"},
                {"dataset": "mnist", "model": "mlp"},
            ),
            tuned=True,
        )
        assert "- 2 datasets (digits and mnist) and 2 networks (cnn and mlp)" in text
        assert "All activations train" not in text
        for part in ("Learning rates were", "The test set also", "Only a part", "Layers computed"):
            assert f"- {part}" in text


def test_tuning():
    text = fill("tuning.md", edge=["relu"], missing=["elu", "selu"])
    assert "a rate beyond it might do better: relu. No rate could" in text
    assert "No rate could be chosen for elu and selu." in text


def test_final():
    assert fill("final.md", complete=False, not_learned=False).startswith("No run is complete")
    text = fill("final.md", complete=True, not_learned=True)
    assert "not what other test images would" in text
    assert "at most 5 points above guessing" in text
