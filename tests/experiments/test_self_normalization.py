import dataclasses
import io

import numpy as np
import pandas as pd
import pytest

from benchmark.activations import ALPHA_DROPOUT, DROPOUT, GLOROT, HE, LECUN, resolve
from benchmark.data import loading
from benchmark.errors import RequestError
from benchmark.experiments import base, claims
from benchmark.experiments.studies import self_normalization
from benchmark.plotting.palette import line_style
from benchmark.plotting.style import figure_style

NONE = self_normalization.NONE
SELU_CELLS = [(LECUN, NONE), *((k, ALPHA_DROPOUT) for k in (LECUN, GLOROT, HE)), (LECUN, DROPOUT)]


def path(name, start, gains, dropout=NONE, rate=0.0):
    entry = dataclasses.replace(resolve(name), dropout=dropout)
    mean, variance = (np.array([value], float) for value in start)
    return self_normalization.predicted_path(entry, mean, variance, gains, rate)[:, 0]


def test_selu_has_the_fixed_point_of_its_paper():
    np.testing.assert_allclose(path("selu", (0, 1), [1.0]), [[0, 0], [1, 1]], atol=1e-4)
    # From the far corner of the domain, thirty layers lead there.
    np.testing.assert_allclose(path("selu", (0.1, 1.5), [1.0] * 30)[:, -1], [0, 1], atol=2e-3)


def test_selu_contracts_as_its_paper_says():
    # The largest singular value of the map's Jacobian at (0, 1) is 0.787673: the mean does not
    # enter, so that it is the length of the derivative with respect to the variance.
    step = 0.02
    above, below = (path("selu", (0, 1 + sign * step), [1.0])[:, 1] for sign in (1, -1))
    assert np.linalg.norm((above - below) / (2 * step)) == pytest.approx(0.787673, abs=2e-4)


def test_relu_with_he_weights_keeps_the_second_moment():
    mean, variance = path("relu", (0, 1), [2.0] * 8)
    np.testing.assert_allclose(mean[1:], np.pi**-0.5, rtol=1e-3)
    np.testing.assert_allclose(variance + mean**2, 1, rtol=2e-3)


def test_maxout_takes_the_larger_of_two_normal_numbers():
    mean, variance = path("maxout", (0, 1), [1.0])
    assert mean[1] == pytest.approx(np.pi**-0.5, rel=1e-3)
    assert variance[1] == pytest.approx(1 - 1 / np.pi, rel=1e-3)


@pytest.mark.parametrize(("kind", "layer"), [(DROPOUT, "Dropout"), (ALPHA_DROPOUT, "AlphaDropout")])
def test_dropout_does_to_the_moments_what_the_layers_do(kind, layer):
    from benchmark.models import layers as layers_models

    x = np.random.default_rng(0).normal(0.4, 1.3, (500, 1000)).astype("float32")
    seen = np.asarray(getattr(layers_models, layer)(0.25, seed=1)(x, training=True), float)
    mean, variance = self_normalization.dropped(np.array(0.4), np.array(1.3**2), kind, 0.25)
    assert seen.mean() == pytest.approx(mean, abs=0.01)
    assert seen.var() == pytest.approx(variance, rel=0.01)


def test_alpha_dropout_keeps_zero_and_one_and_plain_dropout_does_not():
    zero, one = np.array(0.0), np.array(1.0)
    np.testing.assert_allclose(
        self_normalization.dropped(zero, one, ALPHA_DROPOUT, 0.1), [0, 1], atol=1e-12
    )
    np.testing.assert_allclose(self_normalization.dropped(zero, one, DROPOUT, 0.1), [0, 1 / 0.9])


def test_the_starts_are_exact():
    inputs = self_normalization.normal_starts((0, 5)).astype(float)
    assert inputs.shape == (
        2,
        len(self_normalization.STARTS) * self_normalization.EXAMPLES,
        self_normalization.WIDTH,
    )
    parts = inputs.reshape(2, len(self_normalization.STARTS), -1)
    for seed in range(2):
        found = np.stack([parts[seed].mean(1), parts[seed].var(1)], axis=1)
        np.testing.assert_allclose(found, self_normalization.STARTS, atol=1e-6)
    assert not np.allclose(inputs[0], inputs[1])


def test_companies():
    assert self_normalization.cells(resolve("relu")) == [(HE, NONE)]
    assert self_normalization.cells(resolve("tanh")) == [(GLOROT, NONE)]
    assert self_normalization.cells(resolve("selu")) == SELU_CELLS
    # Whatever the name: what an entry asks for decides.
    asking = dataclasses.replace(resolve("tanh"), name="mine", dropout=ALPHA_DROPOUT)
    assert self_normalization.cells(asking) == SELU_CELLS


@pytest.mark.parametrize("depth", [1, 2, 7, 32, 100])
def test_kept_layers(depth):
    layers = self_normalization.kept_layers(depth)
    assert layers[0] == 0
    assert layers[-1] == depth
    assert (np.diff(layers) > 0).all()


def setting(names, depth=3, epochs=1, seeds=(0, 1), progress=lambda done, of: None):
    data = loading.split(loading.load(loading.locate("digits")))
    entries = tuple(resolve(name) for name in names)
    options = {"depth": depth, "epochs": epochs}
    return base.Setting(entries, seeds, options, "digits", data, progress)


def reread(table):
    return pd.read_csv(io.StringIO(table.to_csv(index=False)))


@pytest.fixture(scope="module")
def measured():
    return reread(self_normalization.measure(setting(["linear", "selu"])))


def test_measured_moments_are_those_of_the_layers_outputs(measured):
    from benchmark.training import stacked

    nets = stacked.Networks(
        resolve("linear"), [self_normalization.WIDTH] * 4 + [10], [1], initializer=GLOROT
    )
    h = self_normalization.normal_starts((1,))[0, -self_normalization.EXAMPLES :].astype(float)
    rows = measured[(measured["activation"] == "linear") & (measured["seed"] == 1)]
    rows = rows[rows["start"] == "0.1, 1.5"].set_index("layer")
    for layer in range(1, 4):
        h = h @ nets.kernels[layer - 1].numpy()[0].astype(float)
        assert rows.loc[layer, "mean"] == pytest.approx(h.mean(), abs=1e-5)
        assert rows.loc[layer, "variance"] == pytest.approx(h.var(), rel=1e-4)


def test_measured_is_near_to_theory(measured):
    rows = measured[(measured["epoch"] == 0) & (measured["start"] != self_normalization.IMAGES)]
    assert (rows["mean"] - rows["predicted_mean"]).abs().max() < 0.15
    ratio = rows["variance"] / rows["predicted_variance"]
    assert ratio.between(0.7, 1.4).all()


def test_the_table_is_a_function_of_the_setting(measured):
    again = reread(self_normalization.measure(setting(["linear"])))
    first = measured[measured["activation"] == "linear"].reset_index(drop=True)
    columns = [name for name in again if name != "dropout_rate"]
    pd.testing.assert_frame_equal(again[columns], first[columns])


def test_rows_and_progress():
    calls = []
    asked = setting(["tanh"], depth=1, seeds=(3,), progress=lambda *parts: calls.append(parts))
    table = self_normalization.measure(asked)
    assert calls == [(number, 4) for number in range(1, 5)]
    assert len(table) == (len(self_normalization.STARTS) + 2) * 2
    assert not table.duplicated(["start", "epoch", "seed", "layer"]).any()
    trained = table[table["epoch"] > 0]
    assert trained["val_accuracy"].between(0, 1).all()
    assert trained["predicted_mean"].isna().all()


@pytest.mark.parametrize("style", ["light", "dark"])
def test_figures(measured, style):
    line_styles = {name: line_style(resolve(name).index) for name in ("linear", "selu")}
    with figure_style(style):
        both = self_normalization.figures(measured, line_styles)
        single = self_normalization.figures(
            measured[measured["activation"] == "linear"], line_styles
        )
    assert list(both) == ["", "company"]
    assert list(single) == [""]
    assert set(self_normalization.EXPERIMENT.captions) == set(both)
    for figure in both.values():
        assert len(figure.axes) == 4
        figure.canvas.draw()
    colors = {line.get_color() for line in both[""].axes[0].lines}
    assert {line_style.color for line_style in line_styles.values()} <= colors


def test_one_seed_and_one_activation_read_right():
    table = reread(self_normalization.measure(setting(["prelu"], depth=1, seeds=(0,))))
    assert "1 seed" in self_normalization.method(table)
    assert "1 epoch " in self_normalization.method(table)
    verdicts = {finding.verdict for finding in self_normalization.findings(table)}
    assert verdicts == {claims.UNDECIDED}


def made(cells):
    """Return a table from {(activation, initializer, dropout): (means and variances by start at
    the last layer, mean and variance after training)}."""
    rows = []
    starts = {
        f"{mean:g}, {variance:g}": (mean, variance) for mean, variance in self_normalization.STARTS
    }
    for (name, initializer, dropout), (ends, after) in cells.items():
        shared = {
            **{"activation": name, "initializer": initializer, "dropout": dropout, "depth": 4},
            **{"dropout_rate": 0.05, "seed": 0, "finite": True, "dataset": "digits"},
            **{"width": 8, "learning_rate": 0.01, "train_examples": 5, "val_accuracy": 0.5},
        }
        for (start, inputs), end in zip(starts.items(), ends):
            for layer, (mean, variance) in ((0, inputs), (4, end)):
                place = {"start": start, "epoch": 0, "layer": layer}
                rows.append({**shared, **place, "mean": mean, "variance": variance})
        for layer in (0, 2, 4):
            mean, variance = after if layer else (0, 1)
            place = {"start": "images", "epoch": 2, "layer": layer}
            rows.append({**shared, **place, "mean": mean, "variance": variance})
    return pd.DataFrame(rows)


DRAWN = [(0.01, 1.0 + 0.01 * number) for number in range(5)], (0.05, 1.2)
# As plain dropout does it: drawn together, at another variance of the domain.
MOVED = [(0.02, 1.26 + 0.01 * number) for number in range(5)], (0.02, 1.39)
# In the domain, but where each start was: not drawn.
KEPT = list(self_normalization.STARTS), (0.0, 1.0)
AWAY = [(0.5, 0.3)] * 5, (0.5, 0.3)
RELU, TANH = ("relu", HE, NONE), ("tanh", GLOROT, NONE)
SELU = ("selu", LECUN, NONE)


def verdicts(cells):
    return [finding.verdict for finding in self_normalization.findings(made(cells))]


def company(whole, glorot, he, plain):
    ends = (DRAWN, whole, glorot, he, plain)
    return {("selu", *cell): end for cell, end in zip(SELU_CELLS, ends)}


@pytest.mark.parametrize(
    ("cells", "verdict"),
    [
        ({SELU: DRAWN, RELU: AWAY, TANH: KEPT}, claims.HOLDS),
        ({SELU: DRAWN, RELU: AWAY, TANH: DRAWN}, claims.IN_PART),
        ({SELU: AWAY, RELU: AWAY}, claims.FAILS),
        ({SELU: KEPT, RELU: AWAY}, claims.FAILS),
        ({SELU: DRAWN}, claims.UNDECIDED),
        ({RELU: DRAWN}, claims.UNDECIDED),
    ],
)
def test_only_selu(cells, verdict):
    assert verdicts(cells)[0] == verdict


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [
        ((DRAWN, AWAY, AWAY, AWAY), claims.HOLDS),
        ((DRAWN, DRAWN, AWAY, AWAY), claims.IN_PART),
        ((DRAWN, AWAY, AWAY, MOVED), claims.IN_PART),
        ((DRAWN, DRAWN, DRAWN, DRAWN), claims.FAILS),
        ((AWAY, AWAY, AWAY, AWAY), claims.FAILS),
    ],
)
def test_company(ends, verdict):
    assert verdicts(company(*ends))[1] == verdict


@pytest.mark.parametrize(
    ("cells", "verdict"),
    [
        ({SELU: DRAWN, RELU: AWAY}, claims.HOLDS),
        ({SELU: AWAY, RELU: AWAY}, claims.FAILS),
        ({SELU: DRAWN, RELU: DRAWN}, claims.FAILS),
        ({RELU: DRAWN, TANH: DRAWN}, claims.UNDECIDED),
    ],
)
def test_after_training(cells, verdict):
    assert verdicts(cells)[2] == verdict


def test_the_evidence_has_the_numbers():
    texts = [
        finding.evidence for finding in self_normalization.findings(made({SELU: DRAWN, RELU: AWAY}))
    ]
    assert "selu is at mean 0.010 and variance 1.00 to 1.04" in texts[0]
    assert "5.71 % remain" in texts[0]
    assert "relu at mean 0.500 and variance 0.300" in texts[0]
    assert "relu 0 % (last layer at mean 0.500 and variance 0.300; validation" in texts[2]


def test_one_domain_for_before_and_after_training():
    held, trained = (
        self_normalization.findings(made(company(DRAWN, AWAY, AWAY, MOVED)))[1],
        self_normalization.findings(made({SELU: MOVED, RELU: AWAY}))[2],
    )
    assert "LeCun + plain dropout: mean 0.020 and variance 1.26 to 1.30 (held, though around" in (
        held.evidence
    )
    assert "LeCun + AlphaDropout: mean 0.010 and variance 1.00 to 1.04 (held);" in held.evidence
    assert trained.verdict == claims.HOLDS


def test_infinite_numbers_are_said():
    table = made({SELU: DRAWN, RELU: AWAY})
    last = (table["activation"] == "relu") & (table["layer"] == 4)
    table.loc[last, ["mean", "variance"]] = np.nan
    table.loc[last, "finite"] = False
    found = self_normalization.findings(table)
    assert "relu at infinite numbers" in found[0].evidence
    assert "last layer at infinite numbers" in found[2].evidence
    assert "nan" not in found[0].evidence + found[2].evidence


@pytest.mark.parametrize(("option", "value"), [("depth", "0"), ("depth", "deep"), ("epochs", "-1")])
def test_bad_options(option, value):
    convert = next(
        each for each in self_normalization.EXPERIMENT.options if each.name == option
    ).convert
    with pytest.raises(RequestError, match=f"{option} '{value}' cannot be used"):
        convert(value)
    assert convert("7") == 7
