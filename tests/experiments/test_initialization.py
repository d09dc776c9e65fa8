import io
import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.activations import ALPHA_DROPOUT, DROPOUT, GLOROT, LECUN, resolve
from benchmark.data import loading
from benchmark.errors import RequestError
from benchmark.experiments import base, claims
from benchmark.experiments.studies import initialization
from benchmark.plotting.palette import line_style
from benchmark.plotting.style import figure_style


def setting(names, depths=(1,), seeds=(0, 1), progress=lambda done, of: None):
    data = loading.split(loading.load(loading.locate("digits")))
    entries = tuple(resolve(name) for name in names)
    options = {"epochs": 1, "depths": list(depths)}
    return base.Setting(entries, seeds, options, "digits", data, progress)


def reread(table):
    return pd.read_csv(io.StringIO(table.to_csv(index=False)))


@pytest.mark.parametrize("name", ["relu", "maxout"])
def test_networks_side_by_side_have_the_weights_of_each(name):
    from benchmark.training import stacked

    entry, widths, seeds = resolve(name), [6, 5, 4, 3], (2, 9)
    together = initialization.with_initializers(entry, widths, seeds)
    assert together.seeds == [2, 9] * 4
    for place, kind in enumerate(initialization.INITIALIZERS):
        alone = stacked.Networks(entry, widths, seeds, initializer=kind)
        for mine, theirs in zip(together.kernels, alone.kernels):
            found = mine.numpy()[2 * place : 2 * place + 2]
            np.testing.assert_array_equal(found, theirs.numpy())


def test_networks_of_one_seed_drop_the_same_units():
    nets = initialization.with_initializers(resolve("relu"), [6, 40, 3], (2, 9))
    # Where all are active, what is 0 was dropped.
    for bias in nets.biases[:-1]:
        bias.assign_add(100 * np.ones(bias.shape))
    (post,) = nets.forward(np.ones((5, 6)), training=True).post
    dropped = post.numpy() == 0
    assert 0.1 < dropped.mean() < 0.4
    for place in range(2, nets.n):
        np.testing.assert_array_equal(dropped[place], dropped[place - 2])
    assert (dropped[0] != dropped[1]).any()


def test_orthogonal_weights_are_orthogonal():
    nets = initialization.with_initializers(resolve("relu"), [8, 8, 8, 3], (0,))
    kernel = nets.kernels[1].numpy()[list(initialization.INITIALIZERS).index("orthogonal")]
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(8), atol=1e-5)


@pytest.fixture(scope="module")
def measured():
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(initialization, "DEPTH_EPOCHS", 2)
        patch.setattr(initialization, "TRAIN_EXAMPLES", 500)
        asked = setting(["relu", "linear"], progress=lambda *parts: calls.append(parts))
        table = initialization.measure(asked)
    return reread(table), calls


def test_the_table(measured):
    table, calls = measured
    # Two activations with two dropouts, an epoch each; three depths of two epochs.
    assert calls == [(number, 10) for number in range(1, 11)]
    cells, deep = (
        table[table["question"] == q] for q in (initialization.COMPANY, initialization.DEPTH)
    )
    assert len(cells) == 2 * 4 * 2 * 2
    assert len(deep) == 3 * 2 * 2
    assert set(zip(deep["activation"], deep["depth"])) == {
        ("linear", 0),
        ("linear", 1),
        ("relu", 1),
    }
    own = cells[cells["own"]]
    assert set(own["initializer"]) == {GLOROT}
    assert set(own["dropout"]) == {DROPOUT}
    assert table["held_out_accuracy"].between(0, 1).all()
    # Of more training images than the limit, the first so many.
    assert table["train_examples"].unique().tolist() == [500]
    assert table["held_out_examples"].iloc[0] == 288 + 360


def test_without_a_hidden_layer_it_is_softmax_regression():
    """Its gradient, computed by hand."""
    from benchmark.training import stacked

    asked = setting(["linear"])
    nets = stacked.Networks(resolve("linear"), [64, 10], [0], dtype="float64")
    x, y = asked.pixels("train")[:50], asked.labels("train")[:50]
    weights = nets.kernels[0].numpy()[0]
    scores = np.exp(x @ weights)
    share = scores / scores.sum(1, keepdims=True)
    expected = x.T @ (share - np.eye(10)[y]) / len(y)
    np.testing.assert_allclose(nets.gradients(x, y).kernels[0].numpy()[0], expected, atol=1e-7)


@pytest.mark.parametrize("style", ["light", "dark"])
def test_figures(measured, style):
    table, _ = measured
    line_styles = {name: line_style(resolve(name).index) for name in ("relu", "linear")}
    with figure_style(style):
        figures = initialization.figures(table, line_styles)
        single = initialization.figures(made({"relu": 80}), line_styles)
    assert set(figures) == set(initialization.EXPERIMENT.captions) == {"", "depth"}
    assert set(single) == {""}
    for figure in (*figures.values(), *single.values()):
        figure.canvas.draw()
    plain, alpha, _ = figures[""].axes
    assert len(plain.texts) == 2 * 4
    assert len(plain.patches) == 2
    assert not alpha.patches


def row(question, name, seed, accuracy, **rest):
    return {
        **{"question": question, "activation": name, "seed": seed, "finite": True, "epochs": 3},
        **{"depth": 3, "learning_rate": 0.001, "train_loss": 0.1, "train_accuracy": 0.99},
        **{"held_out_accuracy": accuracy / 100, "initializer": GLOROT, "dropout": "none"},
        **{"own": False, "dataset": "digits", "train_examples": 9, "held_out_examples": 5, **rest},
    }


def made(accuracies, seeds=2, depths=()):
    """Return a table from per cents: {activation: one for all cells, or {(initializer, dropout):
    its own}}, and for the depth question {(activation, depth): …}; seeds differ by 0.2."""
    rows = []
    for name, given in accuracies.items():
        for kind, dropout in itertools.product(
            initialization.INITIALIZERS, initialization.DROPOUTS
        ):
            value = given.get((kind, dropout), 50) if isinstance(given, dict) else given
            rows += [
                row(
                    initialization.COMPANY,
                    name,
                    s,
                    value + 0.2 * s,
                    initializer=kind,
                    dropout=dropout,
                )
                for s in range(seeds)
            ]
    for (name, depth), value in dict(depths).items():
        rows += [
            row(
                initialization.DEPTH,
                name,
                s,
                value + 0.2 * s,
                depth=depth,
                learning_rate=rate,
                **fit,
            )
            for rate, fit in ((0.001, {"train_loss": 0.1}), (0.01, {"train_loss": 0.5}))
            for s in range(seeds)
        ]
    return pd.DataFrame(rows)


BARE, WEIGHTS = (GLOROT, DROPOUT), (LECUN, DROPOUT)
DROPPED, WHOLE = (GLOROT, ALPHA_DROPOUT), (LECUN, ALPHA_DROPOUT)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({BARE: 80, WEIGHTS: 80, DROPPED: 80, WHOLE: 90}, claims.HOLDS),
        ({BARE: 80, WEIGHTS: 85, DROPPED: 70, WHOLE: 75}, claims.IN_PART),
        ({BARE: 80, WEIGHTS: 80, DROPPED: 80.2, WHOLE: 80.4}, claims.FAILS),
        ({BARE: 80, WEIGHTS: 70, DROPPED: 70, WHOLE: 70}, claims.FAILS),
    ],
)
def test_needs_company(values, verdict):
    found = initialization.findings(made({"selu": values}))[0]
    assert found.verdict == verdict
    assert f"together {'+' if values[WHOLE] > 80 else '−'}" in found.evidence


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({BARE: 90, WEIGHTS: 90, WHOLE: 90}, claims.HOLDS),
        ({BARE: 90, WEIGHTS: 80, WHOLE: 80}, claims.IN_PART),
        ({BARE: 80, WEIGHTS: 90, WHOLE: 70}, claims.IN_PART),
        # Ahead only with what was made for it.
        ({BARE: 80, WEIGHTS: 80, WHOLE: 90}, claims.FAILS),
        # Better than the median of the others is not better than they are.
        ({BARE: 80.7, WEIGHTS: 80.7, WHOLE: 80.7}, claims.FAILS),
        ({BARE: 80, WEIGHTS: 80, WHOLE: 70}, claims.FAILS),
    ],
)
def test_function(values, verdict):
    # The linear control does not count among the others.
    table = made({"selu": values, "relu": 80, "tanh": 81, "sigmoid": 20, "linear": 99})
    found = initialization.findings(table)[1]
    assert found.verdict == verdict
    place = 1 if values[BARE] > 81 else 2
    assert f"place {place} of 4" in found.evidence
    gap = f"{values[BARE] - 81:+.1f}".replace("-", "−")
    assert f"{gap} ± 0.0 percentage points from the best of the others (tanh)" in found.evidence
    assert found.evidence.count("place") == 3


@pytest.mark.parametrize(
    ("deep", "verdict"),
    [(80.5, claims.HOLDS), (77, claims.IN_PART), (83, claims.FAILS)],
)
def test_linear(deep, verdict):
    depths = {("linear", 0): 80, ("linear", 1): 80, ("linear", 4): deep, ("relu", 1): 95}
    found = initialization.findings(made({}, depths=depths))[2]
    assert found.verdict == verdict
    assert "With relu: 1 +15.0 ± 0.0" in found.evidence


def test_faster_fitting_is_told_apart_from_accuracy():
    table = made({}, depths={("linear", 0): 80, ("linear", 1): 80, ("linear", 4): 80})
    same = initialization.findings(table)[2].evidence
    assert "the single layer classifies 99.0 % correctly, the deeper ones 99.0 %." in same
    table.loc[table["depth"] == 4, "train_accuracy"] = 1.0
    faster = initialization.findings(table)[2].evidence
    assert "the deeper ones 99.0 to 100.0 %, which is faster fitting" in faster


def test_a_single_layer_has_higher_rates(measured):
    deep = measured[0][measured[0]["question"] == initialization.DEPTH]
    rates = deep.groupby("depth")["learning_rate"].unique().map(set)
    assert rates[0] == {0.01, 0.1}
    assert rates[1] == {0.001, 0.01}
    assert "(0.01 and 0.1 without a hidden layer, else 0.001 and 0.01)" in (
        initialization.method(measured[0])
    )
    assert "± stands the standard error" in initialization.method(measured[0])


@pytest.mark.parametrize(
    ("softplus", "verdict"),
    [
        (80, claims.HOLDS),
        (70, claims.HOLDS),
        (85, claims.FAILS),
        ({**{(k, DROPOUT): 78 for k in initialization.INITIALIZERS}, BARE: 85}, claims.IN_PART),
    ],
)
def test_softplus(softplus, verdict):
    assert initialization.findings(made({"softplus": softplus, "relu": 80}))[3].verdict == verdict


def test_missing_activations_leave_claims_undecided():
    found = initialization.findings(made({"tanh": 80}))
    assert {finding.verdict for finding in found} == {claims.UNDECIDED}
    assert [finding.evidence.split("lacks ")[1] for finding in found] == [
        "selu.",
        "selu.",
        "linear.",
        "softplus and relu.",
    ]
    alone = initialization.findings(made({"selu": 80, "linear": 70}))[1]
    assert alone.evidence == "The table lacks activations to compare selu with."


def test_one_seed_reads_right():
    names = {"selu": {BARE: 80, WHOLE: 90}, "relu": 70, "softplus": 60}
    table = made(names, seeds=1, depths={("linear", 0): 80, ("linear", 2): 80})
    texts = [
        initialization.method(table),
        *(finding.evidence for finding in initialization.findings(table)),
    ]
    assert "clipped; 1 seed)" in texts[0]
    assert all("(1 seed)" in text for text in texts[1:])
    assert not any("±" in text or "nan" in text for text in texts)


def test_an_effect_must_exceed_the_chance_of_the_seeds():
    steady, wild = pd.Series([2.0, 2.1, 1.9]), pd.Series([9.0, -4.0, 1.0])
    assert initialization.is_clear(steady)
    assert not initialization.is_clear(wild)
    assert wild.sem() == pytest.approx(stats.sem(wild))
    assert not initialization.is_clear(pd.Series([0.4, 0.4, 0.4]))
    assert initialization.is_clear(pd.Series([0.6]))


def test_the_rate_with_the_lower_training_loss_is_taken():
    table = made({}, depths={("linear", 0): 80, ("linear", 2): 80})
    assert set(initialization.best_rates(table)["learning_rate"]) == {0.001}
    # An infinite loss is an empty one in the table.
    table.loc[(table["learning_rate"] == 0.001) & (table["depth"] == 2), "train_loss"] = np.nan
    best = initialization.best_rates(table).groupby("depth")["learning_rate"].unique()
    assert best[0] == [0.001]
    assert best[2] == [0.01]
    table["finite"] = table["train_loss"].notna()
    assert "loss of 2 networks became infinite" in initialization.method(
        pd.concat([made({"relu": 80}), table])
    )


@pytest.mark.parametrize("value", ["0", "1,x", "", "1,,2"])
def test_bad_depths(value):
    convert = next(
        each for each in initialization.EXPERIMENT.options if each.name == "depths"
    ).convert
    with pytest.raises(RequestError, match="depth"):
        convert(value)
    assert convert("3,1") == [3, 1]
