import itertools
import types

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from benchmark.activations import names, register_activation, resolve
from benchmark.analysis.graph_cost import has_exponential, kept_bytes
from benchmark.errors import RequestError
from benchmark.experiments.base import Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED
from benchmark.experiments.studies import cost
from benchmark.plotting.palette import line_styles
from benchmark.plotting.style import figure_style

EXPERIMENT = cost.EXPERIMENT


def hand_made(**times):
    """A table of two sizes: per activation its time in both forms, and whether exponential."""
    rows = []
    for (name, (ms, exponential, kept)), elements in itertools.product(
        times.items(), (2**14, 2**20)
    ):
        for form, passes in itertools.product(("written", "trained"), ("forward", "both")):
            rows.append(row(name, ms, elements, form, passes, exponential, kept))
    return pd.DataFrame(rows)


def row(name, ms, elements, form, passes, exponential=False, kept=4.0, inputs="normal"):
    return {
        "activation": name,
        "form": form,
        "exponential": exponential,
        "passes": passes,
        "inputs": inputs,
        "kept_input": 0.0,
        "kept_output": 4.0,
        "kept_between": kept - 4.0,
        "elements": elements,
        "rounds": 2,
        "ms_per_million": ms,
        "median": 2 * ms,
        "threads": 1,
    }


def sparse(times):
    """ReLU's further rows: its time by inputs, 1 where none is given."""
    cases = itertools.product(
        ("both", "next layer"), ("positive", "half", "negative", "again"), (2**14, 2**20)
    )
    return pd.DataFrame(
        row("relu", times.get(inputs, 1.0), elements, "written", passes, inputs=inputs)
        for passes, inputs, elements in cases
    )


def table(negative=1.0, by_inputs=(), **times):
    further = sparse({"negative": negative, **dict(by_inputs)})
    return pd.concat([hand_made(relu=(1.0, False, 4.0), **times), further])


def verdicts(table):
    return [finding.verdict for finding in EXPERIMENT.findings(table)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linear", (0, 0, 0)),
        ("relu", (0, 4, 0)),
        ("sigmoid", (0, 4, 0)),
        ("leaky_relu", (4, 0, 0)),
        ("silu", (4, 0, 0)),
        # Its own gradient reads the value and the root.
        ("squareplus", (0, 4, 4)),
        # relu(x) and relu(-x), but not the slopes.
        ("prelu", (0, 0, 8)),
        # The slopes, and which inputs are positive, one byte each.
        ("rrelu", (0, 0, 5)),
        # Both pieces and the output.
        ("maxout", (0, 4, 8)),
    ],
)
def test_kept_bytes(name, expected):
    labels = cost.kernels_of(resolve(name))[0].labels
    assert tuple(labels[f"kept_{place}"] for place in ("input", "output", "between")) == expected


def test_kept_bytes_of_plain_operations():
    # d(x·exp(x)) reads x and exp(x); d(x + 1) nothing; d(x²) x; a reshaped input is the input.
    assert kept_bytes(lambda x: x * tf.exp(x)) == {
        "kept_input": 4, "kept_output": 0, "kept_between": 4,
    }  # fmt: skip
    assert sum(kept_bytes(lambda x: x + 1.0).values()) == 0
    assert kept_bytes(tf.square)["kept_input"] == 4
    reshaped = kept_bytes(lambda x: tf.reshape(tf.square(tf.reshape(x, [-1])), x.shape))
    assert reshaped == {"kept_input": 4, "kept_output": 0, "kept_between": 0}


def test_compiled_form_keeps_its_input_alone():
    mish = cost.kernels_of(resolve("mish"))
    assert [kernel.labels["form"] for kernel in mish] == ["written", "trained"]
    assert mish[0].labels["kept_between"] > 12
    assert [mish[1].labels[f"kept_{place}"] for place in ("input", "output", "between")] == [
        4,
        0,
        0,
    ]


def test_exponentials_are_found_in_the_graph():
    found = {name for name in names() if cost.kernels_of(resolve(name))[0].labels["exponential"]}
    assert found == {
        "sigmoid", "elu", "selu", "gelu", "tanh", "softplus", "silu", "mish", "gelu_exact", "celu",
    }  # fmt: skip


def test_exponentials_inside_a_function_are_found():
    inner = tf.function(tf.exp)
    assert has_exponential(lambda x: inner(x) + 1.0)
    assert not has_exponential(lambda x: tf.expand_dims(x, 0) + tf.sqrt(x))


def test_loop_runs_its_step_as_often_as_asked():
    count = tf.Variable(0)
    run = cost.repeated(lambda: [tf.cast(count.assign_add(1), tf.float32)], [tf.zeros(())])
    run(3)
    run(4)
    assert count.numpy() == 7


def measured(entries, **options):
    calls = []
    options = {"sizes": [1024], **options}
    setting = Setting(
        tuple(entries), (), options, progress=lambda done, of: calls.append((done, of))
    )
    made = EXPERIMENT.measure(setting)
    assert calls == sorted(calls)
    assert all(done < of for done, of in calls)
    return made


def test_measured_table_of_layers_and_a_plugin(tmp_path):
    @register_activation
    def doubled(x):
        return 2.0 * x

    chosen = ("maxout", "prelu", "rrelu", "hard_silu", "doubled")
    made = measured(resolve(name) for name in chosen)
    assert set(made["activation"]) == {"relu", *chosen}
    assert np.isfinite(made["ms_per_million"]).all()
    assert (made["ms_per_million"] > 0).all()
    assert not made.isna().any().any()
    normal = made[made["inputs"] == "normal"]
    assert len(normal) == len(normal.groupby(["activation", "form", "passes"])) == 6 * 2 * 2
    assert set(made["rounds"]) == {cost.MOST_ROUNDS}
    relu = normal[normal["activation"] == "relu"].groupby("form")["ms_per_million"].apply(list)
    assert relu["written"] == relu["trained"]
    assert (made["median"] >= made["ms_per_million"]).all()
    path = tmp_path / "cost.csv"
    made.to_csv(path, index=False)
    read = pd.read_csv(path)
    assert verdicts(read)[:2] == [UNDECIDED, UNDECIDED]
    assert "an exponential" in EXPERIMENT.findings(read)[0].evidence
    assert "elu and leaky_relu" in EXPERIMENT.findings(read)[1].evidence
    assert "6 activations" in EXPERIMENT.method(read)
    controls = read[read["inputs"] == "again"]
    assert list(controls["passes"]) == ["both", "next layer"]
    assert "fastest of 17 rounds" in EXPERIMENT.method(read)
    with figure_style("dark"):
        drawn = EXPERIMENT.figures(read, line_styles())
    assert set(drawn) == set(EXPERIMENT.captions)
    labels = [label.get_text() for label in drawn[""].axes[0].get_yticklabels()]
    assert sorted(labels) == sorted(("relu", *chosen))


def test_claims_that_hold():
    made = table(
        1.0, {"positive": 2.0}, leaky_relu=(1.0, False, 4.0), elu=(2.0, True, 8.0),
        gelu=(9.0, True, 20.0),
    )  # fmt: skip
    assert verdicts(made) == [HOLDS, HOLDS, HOLDS, HOLDS]
    first, second, third, fourth = (f.evidence for f in EXPERIMENT.findings(made))
    assert "the 2 with an exponential" in first
    assert "2 (elu) to 9 (gelu) as written" in first
    assert "16\u202f384 elements" in first
    assert first.endswith("none clearly faster (by size, form, and with either).")
    assert "2 at 16\u202f384" in second
    assert (
        "Of 2 comparisons, 2 are clearly slower (by more than the noise, a factor of 1.1)" in second
    )
    assert "0.50 (0.50) at 16\u202f384" in third
    assert "as trained 2 of 2 (8 bytes with elu to 20 bytes with gelu)" in fourth


def test_claims_that_fail():
    made = table(1.0, leaky_relu=(1.0, False, 4.0), elu=(1.05, True, 4.0))
    assert verdicts(made) == [FAILS, FAILS, FAILS, FAILS]
    evidence = [finding.evidence for finding in EXPERIMENT.findings(made)]
    assert "elu takes, in units of ReLU's time, 1.05 (elu) as written and as trained" in evidence[0]
    # By two sizes, ReLU and Leaky ReLU; the trained form repeats the written one.
    assert "Of 4 comparisons, none are clearly slower" in evidence[0]
    assert "4 within the noise" in evidence[0]
    assert evidence[0].endswith("those not clearly slower: elu.")
    assert "1.00 (1.00) at 16\u202f384" in evidence[2]
    assert "as trained none of 1 (4 bytes with elu)" in evidence[3]


def test_claims_that_hold_in_part():
    made = table(0.5, leaky_relu=(1.0, False, 4.0), elu=(3.0, True, 4.0), selu=(3.0, True, 8.0))
    large = (made["activation"].isin(["elu", "selu"])) & (made["elements"] == 2**20)
    made["ms_per_million"] = made["ms_per_million"].mask(large, 1.0)
    # One of two sizes; all zeros, but not half of them; one of two activations.
    assert verdicts(made) == [IN_PART, FAILS, IN_PART, IN_PART]


def exponentials(count, ms):
    return {f"made_{place}": (ms, True, 4.0) for place in range(count)}


def test_a_few_comparisons_within_the_noise_do_not_change_the_verdict():
    others = {"leaky_relu": (1.0, False, 4.0), **exponentials(19, 3.0)}
    assert verdicts(table(**others, tanh=(1.05, True, 4.0)))[0] == HOLDS
    assert verdicts(table(**others, tanh=(0.9, True, 4.0)))[0] == HOLDS
    # One stray in twenty may be chance; two are not, and nor is one of few.
    assert verdicts(table(**others, tanh=(0.9, True, 4.0), silu=(0.9, True, 4.0)))[0] == FAILS
    few = {"leaky_relu": (1.0, False, 4.0), **exponentials(4, 3.0)}
    assert verdicts(table(**few, tanh=(0.9, True, 4.0)))[0] == FAILS
    evidence = EXPERIMENT.findings(table(**others, tanh=(0.9, True, 4.0)))[0].evidence
    assert "76 are clearly slower" in evidence
    assert "none within the noise, 4 clearly faster" in evidence


@pytest.mark.parametrize("inputs", ["half", "again"])
def test_what_the_controls_differ_by_is_noise(inputs):
    cheap = {"leaky_relu": (1.0, False, 4.0), "elu": (1.25, True, 4.0)}
    assert verdicts(table(0.8, **cheap))[:3] == [HOLDS, HOLDS, IN_PART]
    noisy = table(0.8, {inputs: 0.75}, **cheap)
    assert list(cost.noise(noisy)) == pytest.approx([1 / 0.75] * 2)
    assert verdicts(noisy)[:3] == [FAILS, FAILS, FAILS]
    assert "differ by factors of up to 1.33 by size" in EXPERIMENT.method(noisy)
    # The next layer's pair counts too.
    layer = noisy[(noisy["passes"] == "next layer") | (noisy["inputs"] == "normal")]
    assert list(cost.noise(layer)) == pytest.approx([1 / 0.75] * 2)
    assert list(cost.noise(table(**cheap))) == [cost.CLEARLY] * 2
    # Each size has a noise of its own.
    small = table(0.8, **cheap)
    small.loc[(small["inputs"] == inputs) & (small["elements"] == 2**14), "ms_per_million"] = 0.75
    assert list(cost.noise(small)) == pytest.approx([1 / 0.75, cost.CLEARLY])
    assert verdicts(small)[:2] == [IN_PART, FAILS]
    assert "1.1 to 1.33), 2 within the noise" in EXPERIMENT.findings(small)[0].evidence


def test_half_of_the_outputs_at_zero_count_too():
    noisy = {"half": 0.5, "again": 0.5}
    made = table(0.5, noisy)
    made.loc[(made["inputs"] == "normal"), "ms_per_million"] = 0.5
    assert verdicts(made)[2] == HOLDS
    made.loc[(made["inputs"] == "half") & (made["passes"] == "both"), "ms_per_million"] = 0.52
    made.loc[made["inputs"].isin(["half", "again"]) & (made["passes"] == "next layer"),
             "ms_per_million"] = 1.0  # fmt: skip
    assert verdicts(made)[2] == IN_PART


def test_without_leaky_relu():
    made = table(elu=(2.0, True, 4.0))
    assert verdicts(made)[:2] == [UNDECIDED, UNDECIDED]
    assert EXPERIMENT.findings(made)[0].evidence == "The table lacks leaky_relu."


def test_relu_alone():
    made = table()
    assert verdicts(made) == [UNDECIDED, UNDECIDED, FAILS, UNDECIDED]
    assert "of 1 activation, each" in EXPERIMENT.method(made)
    with figure_style("light"):
        assert set(EXPERIMENT.figures(made, line_styles())) == set(EXPERIMENT.captions)


def test_fastest_round_counts_less_the_empty_loop(monkeypatch):
    now = [0.0]

    def spending(*seconds):
        due = iter(seconds)

        def run(times):
            now[0] += next(due)

        return run

    monkeypatch.setattr(cost, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))
    # The first round, with tracing, does not count.
    monkeypatch.setattr(cost, "repeated", lambda step, start: spending(50, 2, 1, 3))
    slow = cost.Case({"form": "written"}, spending(100, 5, 4, 9), repeats=True)
    nothing = cost.Case({"form": "written"}, spending(100, 1, 1.5, 1.2))
    rows = cost.time_cases([slow, nothing], 2**26, lambda done, of: None)
    assert [row["form"] for row in rows] == ["written", "trained", "written"]
    assert [row["rounds"] for row in rows] == [3, 3, 3]
    unit = 1e9 / 2**26
    expected = [(3, 4), (3, 4), (cost.LEAST_SHARE, 0.2)]
    found = [(row["ms_per_million"] / unit, row["median"] / unit) for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize("bad", ["0", "1000", "1025", "x", "", 2**27, "1024,"])
def test_bad_sizes(bad):
    with pytest.raises(RequestError, match="size") as caught:
        cost.sizes_option(bad)
    assert "\n" not in str(caught.value)


def test_sizes():
    assert cost.sizes_option("4096, 1024,4096") == [1024, 4096]
