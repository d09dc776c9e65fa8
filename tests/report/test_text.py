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
        table = comparisons(("elu", 0.1, "better"), ("selu", 0, "undecided"))
        text = in_short(summary(relu=(0.9, 3)), table, {"holds": 2, "does not hold": 1})
        assert "Compared with relu: 1 better (elu); 0 worse; 1 undecided (selu)." in text
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
                "verdict": verdict,
                "crossed_low": None,
                "holds_for": None,
                "margin": 0.005,
                "note": None,
                **dict(*more),
            }
            for name, difference, verdict, *more in rows
        ]
    ).astype({"difference": float, "ci_low": float, "ci_high": float})


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
                ("sigmoid", -0.8, "did not learn"),
                ("selu", -0.001, "equal"),
                ("mish", None, "undecided"),
            )
        )
        assert "compared with relu: 2 better (gelu and elu); 0 worse; 1 equal (selu);" in text
        assert "1 undecided (mish); 1 did not learn (sigmoid)." in text
        assert "*Equal* is within 0.5 points" in text

    def test_many_are_not_named(self):
        rows = [(f"a{place}", -0.01, "worse") for place in range(13)]
        assert "0 better; 13 worse. " in differences(comparisons(*rows))

    def test_nothing_to_compare(self):
        rows = [("a", 0.1, "undecided")]
        none = differences(comparisons(*rows, n_pairs=0))
        assert none.startswith("Nothing can be compared with relu")
        assert differences(comparisons(*rows).iloc[:0]).startswith("There is nothing to compare")
        assert differences(pd.DataFrame()).startswith("There is nothing to compare")

    def test_what_holds_on_these_examples_only(self):
        only = {"holds_for": "these test examples"}
        text = differences(comparisons(("elu", 0.01, "better", only), ("selu", 0.1, "better")))
        assert "For elu the verdict holds on these test examples" in text

    def test_the_interval_with_other_examples_is_explained_where_it_is_known(self):
        row = ("elu", 0.01, "better")
        assert "*With other examples too*" not in differences(comparisons(row))
        text = differences(comparisons((*row, {"crossed_low": -0.01})))
        assert "*With other examples too* says what other seeds and other test examples" in text

    def test_accuracy_and_loss_that_disagree_are_both_said(self):
        table = comparisons(("elu", 0.01, "better"), ("selu", 0.01, "better"))
        loss = comparisons(("elu", 0.2, "worse"), ("selu", -0.2, "better"))
        text = differences(pd.concat([table, loss.assign(metric="test_loss")]))
        assert "Accuracy and loss disagree about elu: better by the one" in text
        assert "disagree" not in differences(table)


def pairs(table):
    text = fill("pairs.md", pairs=facts.pairs(table))
    assert not re.search(r"\b(nan|None|inf)\b", text)
    return text


class TestPairs:
    def test_those_told_apart(self):
        rows = [("elu", 0.1, "better"), ("gelu", -0.1, "worse"), ("mish", 0, "equal")]
        table = comparisons(*rows)
        text = pairs(table)
        assert "Of all 3 pairs of activations, 2 are told apart: elu over relu, relu over" in text
        assert "By verdict (pairs.csv has them all): better 1, worse 1, equal 1." in text
        assert pairs(table.iloc[2:]) == ""
        assert "0 are told apart." in pairs(pd.concat([table.iloc[2:]] * 2))
        assert pairs(table.assign(n_pairs=0)) == ""


ANSWER = {
    **{"dataset": "mnist1d", "model": "cnn", "setting": {"learning_rate": 0.001}},
    **{"baseline": "relu", "use": ["relu", "gelu", "elu"], "cost": {"relu": 1.0, "gelu": 1.5}},
    **{"equal": [["relu", "gelu"]], "undecided": [["relu", "elu"]], "seeds_needed": 4},
    "ruled_out": [
        {
            **{"activation": "sigmoid", "reason": "did not learn", "beaten_by": []},
            **{"without_learning": 7, "runs": 8},
        },
        {"activation": "tanh", "reason": "worse", "beaten_by": ["relu", "gelu"]},
    ],
    **{
        "margin": 0.005,
        "without_runs": [],
        "control": "linear",
        "control_beaten": True,
        "seeds": 8,
        "seconds": 300.0,
    },
}


def answer(**changed):
    (values,) = facts.answers([{**ANSWER, **changed}])
    text = fill("answer.txt", **values)
    assert not re.search(r"\b(nan|inf|.None)\b|[.:,][A-Za-z]| \.", text)
    return text.split("\n\n")


class TestAnswer:
    def test_one_to_use(self):
        assert answer() == [
            "Use relu. gelu is equal to it within 0.5 points; it is the cheapest of them. Not told"
            " apart from it yet: elu.",
            "About 4 more seeds would decide between relu and elu.",
            "Ruled out: sigmoid (did not learn in 7 of 8 runs), tanh (worse than relu and gelu).",
            "Up to 8 seeds each, about 5 min of training.",
        ]

    def test_the_cost_of_another_than_the_baseline(self):
        first = answer(use=["gelu", "relu"], undecided=[], equal=[["gelu", "relu"]])[0]
        assert first.startswith("Use gelu (an epoch takes 1.5 times relu's). relu is equal to it")

    def test_a_task_that_cannot_tell_says_so_first(self):
        first, second = answer(control_beaten=False)[:2]
        assert first.startswith("So far this task does not tell activations from none: linear, no")
        assert second.startswith("Use relu.")
        assert answer(control_beaten=None)[0].startswith("Use relu.")

    def test_nothing_shown(self):
        nothing = {"equal": [], "ruled_out": [], "undecided": [["relu", "gelu"]]}
        lines = answer(use=["relu", "gelu"], **nothing)
        assert lines[0] == (
            "No difference is shown between relu and gelu; relu is the cheapest to train."
        )
        unknown = {**nothing, "seeds_needed": None}
        assert answer(use=["relu", "gelu"], **unknown)[1] == "1 pair of these is open."
        few = answer(use=["relu", "gelu"], seeds=2, **unknown)[1]
        assert few == "1 pair of these is open. No difference is shown before 8 seeds."

    def test_all_that_are_equal_to_the_best_are_named(self):
        # Beside each other relu and elu are open: the groups do not tell of both.
        lines = answer(use=["gelu", "relu", "elu"], equal=[["gelu", "relu"]])
        assert "relu and elu are equal to it within 0.5 points" in lines[0]
        assert "Not told apart" not in lines[0]
        twice = answer(undecided=[["relu", "elu"], ["gelu", "elu"]])
        assert twice[1] == "About 4 more seeds would decide the first of 2 open pairs."

    def test_the_only_one_left_and_none(self):
        left = {"equal": [], "undecided": []}
        assert (
            answer(use=["relu"], **left)[0] == "Use relu: it is the only one that is not ruled out."
        )
        alone = {**left, "use": ["relu"], "ruled_out": []}
        assert answer(**alone)[0] == (
            "relu is better than linear, no activation at all. There is no other activation to"
            " compare relu with."
        )
        failed = answer(**alone, control=None, control_beaten=None, without_runs=["gelu"])
        assert failed[:2] == [
            "There is no other activation to compare relu with.",
            "Without a finished run: gelu.",
        ]
        assert answer(use=[], **left)[0] == "None of these can be recommended."
        nothing = {**left, "ruled_out": [], "control_beaten": None, "seeds": 0}
        assert answer(use=[], **nothing) == ["There is nothing to compare yet."]

    def test_several_settings_have_titles(self):
        setting = {"learning_rate": 0.001, "initializer": "article", "rates": "shared"}
        others = [setting, {**setting, "initializer": "shared"}]
        first, second = facts.answers([{**ANSWER, "setting": each} for each in others])
        assert first["title"] == "CNN on mnist1d, initializer article"
        assert second["title"] == "CNN on mnist1d, initializer shared"
        assert fill("answer.txt", **second).startswith(f"{second['title']}: Use relu.")
        tuned = {**ANSWER, "setting": {**setting, "learning_rate": None, "rates": "tuned"}}
        first, second = facts.answers([{**ANSWER, "setting": setting}, tuned])
        assert first["title"] == "CNN on mnist1d, shared learning rate"
        assert second["title"] == "CNN on mnist1d, each at its own learning rate"
        assert facts.answers([ANSWER])[0]["title"] == ""


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
        assert text.startswith("4 runs, all complete.\n\n- **Data:** digits, all training ex")
        for part in (
            "360 test examples, scored once at the end (guessing the most frequent class would give"
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
        assert "digits, all training examples. Validation" in text
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
            "digits, the first 100 or all training examples",
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
    assert "not what other test examples would" in text
    assert "It is not that of a difference" in text
    assert "at most 5 points above guessing" in text
