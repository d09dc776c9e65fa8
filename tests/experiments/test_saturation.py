import io
import itertools

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy.special import expit

from benchmark.activations import names, register_activation, resolve
from benchmark.data import loading
from benchmark.errors import RequestError
from benchmark.experiments import derivatives
from benchmark.experiments.base import Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED
from benchmark.experiments.studies import saturation
from benchmark.plotting import style
from benchmark.plotting.palette import line_styles
from benchmark.training import stacked

EXPERIMENT = saturation.EXPERIMENT


def small(activations=("tanh", "relu", "prelu", "maxout"), epochs=1, rates=(0.1,), **fields):
    """Measure two seeds of two hidden layers and read the table back from its file."""
    settings = {"depth": 2, "epochs": epochs, "learning_rates": list(rates)}
    data = loading.split(loading.load(loading.locate("digits")), limit=200)
    entries = tuple(map(resolve, activations))
    return reread(saturation.measure(Setting(entries, (0, 1), settings, "digits", data, **fields)))


def reread(table):
    return pd.read_csv(io.StringIO(table.to_csv(index=False)))


def made_up(activation, shares, rate=0.1, seeds=(0,), **columns):
    """Return a table with these saturated shares, (epochs, layers), at epochs 0, 1, 2, ..."""
    rows = []
    for seed, (epoch, layers) in itertools.product(seeds, enumerate(shares)):
        for layer, share in enumerate(layers, start=1):
            common = {"activation": activation, "learning_rate": rate, "seed": seed}
            values = dict.fromkeys(saturation.MEASURED, 0.5)
            values |= {"saturated": share, "left": share, "right": 0.0, "diverged": False}
            values |= {"accuracy": 0.9, "units": 8, "batch_size": 10, "dataset": "digits"}
            rows.append({**common, "epoch": epoch, "layer": layer, "images": 5, **values})
    return pd.DataFrame(rows).assign(**columns)


def found(table, place):
    return EXPERIMENT.findings(reread(table))[place]


@pytest.mark.parametrize(
    ("name", "largest"),
    [
        ("sigmoid", 0.25),
        ("tanh", 1.0),
        ("silu", 1.0998393201),
        ("gelu_exact", 1.1289041452),
        ("prelu", 1.0),
        ("maxout", 1.0),
    ],
)
def test_steepest_agrees_with_known_constants(name, largest):
    assert derivatives.steepest(resolve(name)) == pytest.approx(largest, abs=1e-6)


def test_steepest_at_a_kink_is_right_to_the_width_of_the_grid():
    assert derivatives.steepest(resolve("selu")) == pytest.approx(1.7580993408, rel=1.1e-3)


def test_hard_saturation_is_told_from_soft():
    hard = {name for name in names() if derivatives.is_hard(resolve(name))}
    assert hard == {"relu", "relu6", "hard_silu"}


@pytest.mark.parametrize(
    ("name", "derivative"),
    [
        ("sigmoid", lambda z: expit(z) * expit(-z)),
        ("relu", lambda z: (z > 0) * 1.0),
        ("softsign", lambda z: (1 + np.abs(z)) ** -2.0),
        ("linear", np.ones_like),
        ("prelu", lambda z: np.where(z > 0, 1.0, 0.25)),
        ("rrelu", lambda z: np.where(z > 0, 1.0, 11 / 48)),
    ],
)
def test_slopes_of_a_network_agree_with_closed_forms(name, derivative):
    # Layers with weights or noise compute in float32.
    dtype, close = ("float32", 1e-6) if resolve(name).is_layer else ("float64", 1e-12)
    made = stacked.Networks(resolve(name), [4, 6, 5, 3], [0, 1], gain=4.0, dtype=dtype)
    x = np.random.default_rng(0).normal(size=(7, 4))
    steep, outputs, z = derivatives.slopes(made, tf.constant(x, dtype))
    wanted = x @ made.kernels[0].numpy()
    np.testing.assert_allclose(z[0], wanted, atol=10 * close)
    for layer in range(2):
        np.testing.assert_allclose(steep[layer], derivative(z[layer].numpy()), rtol=close)
        assert steep[layer].shape == outputs[layer].shape == (2, 7, (6, 5)[layer])


def test_slopes_of_maxout_are_those_of_the_steepest_piece():
    made = stacked.Networks(resolve("maxout"), [4, 6, 3], [0])
    (steep,), (outputs,), (z,) = derivatives.slopes(made, tf.ones((7, 4)))
    assert steep.shape == outputs.shape == (1, 7, 6)
    np.testing.assert_array_equal(steep, 1.0)
    np.testing.assert_array_equal(outputs, z)


def test_describe_by_hand():
    steep = np.array([[[0.0, 0.25], [0.0125, 0.1]], [[0.2, 0.2], [0.2, 0.2]]])
    outputs = np.array([[[1.0, 2.0], [3.0, 6.0]], [[1.0, 1.0], [1.0, 1.0]]])
    z = np.array([[[-9.0, 1.0], [9.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]]])
    mean, sd, p98, slope, saturated, left, right = saturation.describe(steep, outputs, z, 0.25)[0]
    assert mean == 3
    assert sd == pytest.approx(np.sqrt(3.5), abs=1e-5)
    assert p98 == pytest.approx(6 - 0.06 * 3)
    assert slope == pytest.approx(0.3625)
    assert (saturated, left, right) == (0.5, 0.25, 0.25)
    assert list(saturation.describe(steep, outputs, z, 0.25)[1, 4:]) == [0, 0, 0]


def test_only_finite_networks_are_finite():
    made = stacked.Networks(resolve("relu"), [4, 6, 3], [0, 1, 2])
    made.kernels[0][1, 0, 0].assign(np.nan)
    assert list(derivatives.finite(made, np.array([1.0, 1.0, np.inf]))) == [True, False, False]


@pytest.mark.parametrize("epochs", [1, 2, 6, 60])
def test_recorded_epochs_hold_the_first_and_the_last(epochs):
    recorded = saturation.recorded_epochs(epochs)
    assert recorded == sorted(set(recorded))
    assert (recorded[0], recorded[-1]) == (0, epochs)


def test_measured_table_is_tidy_and_a_function_of_its_setting():
    told = []
    table = small(progress=lambda done, of: told.append((done, of)))
    assert len(table) == 4 * 2 * 2 * 2
    assert not table.isna().any().any()
    assert told == sorted(told)
    assert told[-1] == (4, 4)
    relu = table[table.activation == "relu"]
    assert (relu.right == 0).all()
    assert relu.saturated.between(0.2, 0.8).all()
    assert (table[table.activation.isin(["prelu", "maxout"])].saturated == 0).all()
    alone = small(activations=("relu",))
    pd.testing.assert_frame_equal(alone, relu.reset_index(drop=True))


def test_initial_outputs_agree_with_a_network_computed_by_hand():
    data = loading.split(loading.load(loading.locate("digits")), limit=200)
    setting = Setting((), (), {}, "digits", data)
    x = setting.pixels("val", standardized=True)[: saturation.IMAGES].astype(float)
    table = small(activations=("tanh",))
    made = stacked.Networks(
        resolve("tanh"), [64, 64, 64, 10], [1], initializer="lecun_uniform", gain=3**-0.5
    )
    kernels = [kernel.numpy()[0].astype(float) for kernel in made.kernels]
    # The ranges that the method's text tells of; 640 values come close to theirs.
    assert np.abs(kernels[0]).max() <= 1 / np.sqrt(64)
    assert np.abs(kernels[2]).max() == pytest.approx(np.sqrt(2 / (64 + 10)), rel=0.02)
    first = np.tanh(x @ kernels[0])
    second = np.tanh(first @ kernels[1])
    rows = table[(table.epoch == 0) & (table.seed == 1)]
    for outputs, row in zip((first, second), rows.itertuples()):
        assert row.mean == pytest.approx(outputs.mean(), abs=2e-5)
        assert row.sd == pytest.approx(outputs.std(), abs=2e-5)
        assert row.p98 == pytest.approx(np.percentile(outputs, 98), abs=2e-5)
        assert row.slope == pytest.approx((1 - outputs**2).mean(), abs=2e-5)
        assert row.saturated == pytest.approx((1 - outputs**2 <= 0.05).mean(), abs=2e-5)


def test_networks_that_diverge_are_told_and_left_blank():
    table = small(activations=("linear",), rates=(0.01, 1e6))
    lost = table[(table.learning_rate == 1e6) & (table.epoch == 1)]
    assert lost.diverged.all()
    assert lost.saturated.isna().all()
    assert (lost.accuracy == 0).all()
    assert not table[table.learning_rate == 0.01].diverged.any()
    drawn(table)


def sigmoid_outputs(last, below=0.5, flat=0.9, flat_below=0.0, rate=0.1):
    """Return a table of two layers; `flat` of the last one's outputs near 0 are saturated."""
    shares = [[flat_below, flat if mean < saturation.AT_ZERO else 0.0] for mean in last]
    table = made_up("sigmoid", shares, rate=rate, slope=0.01 if flat else 0.3)
    table.loc[table.layer == 1, "mean"] = below
    table.loc[table.layer == 2, "mean"] = last
    return table


@pytest.mark.parametrize(
    ("last", "below", "verdict"),
    [
        ([0.5, *[0.02] * 29], 0.5, HOLDS),
        ([0.5, *[0.02] * 12, *[0.4] * 9], 0.5, HOLDS),
        ([0.5, *[0.02] * 3, *[0.4] * 9], 0.5, IN_PART),
        ([*[0.5] * 15, *[0.02] * 15], 0.5, IN_PART),
        ([0.5, *[0.02] * 29], 0.02, IN_PART),
        ([0.5] * 30, 0.5, FAILS),
    ],
)
def test_verdict_on_sigmoid(last, below, verdict):
    assert found(sigmoid_outputs(last, below), 0).verdict == verdict


@pytest.mark.parametrize(
    ("flat", "flat_below", "verdict"),
    [(0.9, 0.0, HOLDS), (0.0, 0.0, IN_PART), (0.4, 0.0, IN_PART), (0.9, 0.8, IN_PART)],
)
def test_sigmoid_near_0_has_to_be_saturated_there_and_not_below(flat, flat_below, verdict):
    table = sigmoid_outputs([0.5, *[0.02] * 29], flat=flat, flat_below=flat_below)
    finding = found(table, 0)
    assert finding.verdict == verdict
    said = f"up to {flat:.0%} of its outputs were saturated, at epoch 1, and then at most"
    said = f"{said} {flat_below:.0%} in".replace("%", " %") if flat else "none of its outputs were"
    assert said in finding.evidence


def test_saturation_after_sigmoid_got_out_does_not_count():
    table = sigmoid_outputs([0.5, *[0.02] * 12, *[0.4] * 9], flat=0.0)
    table.loc[(table.layer == 2) & (table.epoch >= 13), "saturated"] = 0.9
    assert found(table, 0).verdict == IN_PART


def test_verdict_on_sigmoid_is_one_over_all_rates():
    table = pd.concat([sigmoid_outputs([0.5, *[0.02] * 29]), sigmoid_outputs([0.5] * 30, rate=1)])
    finding = found(table, 0)
    assert finding.verdict == IN_PART
    assert "at rate 0.1, 0.50 before training, seen below 0.1 from epoch 1" in finding.evidence
    assert "At rate 1, 0.50 before training, at least 0.5 up to epoch 29" in finding.evidence


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        ([[0, 0, 0], [0.1, 0.02, 0.01], [0.3, 0.2, 0.1]], HOLDS),
        ([[0, 0, 0], [0.1, 0.02, 0.01], [0.3, 0.2, 0.4]], IN_PART),
        ([[0, 0, 0], [0.02, 0.03, 0.1], [0.3, 0.2, 0.1]], IN_PART),
        ([[0, 0, 0], [0.02, 0.03, 0.1], [0.1, 0.2, 0.3]], FAILS),
        ([[0, 0, 0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], FAILS),
    ],
)
def test_verdict_on_tanh(shares, verdict):
    assert found(made_up("tanh", shares), 1).verdict == verdict


def test_evidence_on_tanh_tells_the_epochs():
    evidence = found(made_up("tanh", [[0, 0], [0.1, 0.02], [0.3, 0.04]]), 1).evidence
    assert evidence == (
        "First epoch at which 5 % of a layer's outputs were seen saturated: at rate 0.1 layer 1 at"
        " 1 and layer 2 never; the shares end at 30 % and 4 %, first layer to last."
    )


@pytest.mark.parametrize(
    ("softsign", "verdict"), [([0.1, 0.1], HOLDS), ([0.0, 0.3], IN_PART), ([0.4, 0.3], FAILS)]
)
def test_verdict_on_softsign(softsign, verdict):
    tanh = made_up("tanh", [[0, 0], [0.3, 0.2]], seeds=(0, 1))
    both = pd.concat([made_up("softsign", [[0, 0], softsign], seeds=(0, 1)), tanh])
    assert found(both, 2).verdict == verdict


def test_verdict_on_softsign_needs_a_rate_at_which_both_learned():
    both = [made_up("softsign", [[0], [0.1]]), made_up("tanh", [[0], [0.3]], accuracy=0.2)]
    finding = found(pd.concat(both), 2)
    assert finding.verdict == UNDECIDED
    assert "50 %" in finding.evidence


@pytest.mark.parametrize(
    ("ends", "right", "verdict"),
    [
        ((0.8, 0.9), 0.0, HOLDS),
        ((0.8, 0.48), 0.0, IN_PART),
        ((0.5, 0.48), 0.0, FAILS),
        ((0.8, 0.9), 0.1, FAILS),
    ],
)
def test_verdict_on_relu(ends, right, verdict):
    tables = [
        made_up("relu", [[0.5], [end]], rate=rate, right=right)
        for end, rate in zip(ends, (0.1, 0.3))
    ]
    assert found(pd.concat(tables), 3).verdict == verdict


def test_claims_without_their_activations_are_undecided():
    findings = EXPERIMENT.findings(made_up("elu", [[0, 0], [0.1, 0.1]]))
    assert [finding.verdict for finding in findings] == [UNDECIDED] * 4
    assert findings[2].evidence == "The table lacks softsign and tanh."


def test_claims_on_networks_that_all_diverged_are_undecided():
    table = made_up("sigmoid", [[0, 0], [np.nan, np.nan]], diverged=True)
    assert found(table, 0).verdict == UNDECIDED


def test_method_takes_its_numbers_from_the_table():
    text = EXPERIMENT.method(made_up("tanh", [[0, 0, 0]] * 8, rate=0.25))
    assert "3 hidden layers of 8 units were trained on digits for 7 epochs" in text
    assert "batches of 10, at learning rate 0.25, from 1 seed each" in text
    assert "After epoch 0, 1, 2, 3, 4, 5, 6 and 7 the outputs" in text
    assert "±√(2/(inputs + outputs))" in text
    assert "standard deviation" not in text
    assert "± is the standard deviation" in EXPERIMENT.method(made_up("tanh", [[0]], seeds=(0, 1)))


def drawn(table):
    with style.figure_style("light"):
        figures = EXPERIMENT.figures(table, line_styles())
        for figure in figures.values():
            figure.draw_without_rendering()
    assert figures.keys() == EXPERIMENT.captions.keys()
    return figures


def test_figures_show_each_rate_and_every_activation():
    tables = [
        made_up(name, [[0.0, 0.0], [share, share / 2]], rate=rate)
        for name, share in (("tanh", 0.4), ("relu", 0.6), ("sigmoid", 0.2))
        for rate in (0.1, 1)
    ]
    figures = drawn(reread(pd.concat(tables)))
    titles = [axes.get_title(loc="left") for axes in figures[""].axes]
    assert titles[:2] == ["sigmoid, learning rate 0.1", "tanh, learning rate 0.1"]
    top, bottom = figures["share"].axes[0], figures["share"].axes[2]
    assert [line.get_ydata()[-1] for line in top.lines] == pytest.approx([30, 45, 15])
    assert list(bottom.lines[0].get_ydata()) == pytest.approx([40, 20])


def test_figure_shows_the_mean_that_sigmoid_is_judged_by():
    tables = [made_up(name, [[0.0], [0.1]], mean=0.02, p98=0.7) for name in ("sigmoid", "tanh")]
    sigmoid, tanh = drawn(reread(pd.concat(tables)))[""].axes
    assert sigmoid.get_ylabel() == "Mean output"
    assert list(sigmoid.lines[0].get_ydata()) == [0.02, 0.02]
    assert tanh.get_ylabel() == "98th percentile"
    assert list(tanh.lines[0].get_ydata()) == [0.7, 0.7]


def test_figures_of_a_single_unknown_activation():
    @register_activation
    def my_step(x):
        return tf.cast(x > 0, x.dtype)

    table = small(activations=("my_step",))
    assert (table.saturated == 1).all()
    drawn(table)


@pytest.mark.parametrize(
    ("option", "bad"),
    [("depth", "1"), ("depth", "x"), ("epochs", 0), ("learning_rates", "0.1,-1")],
)
def test_bad_options_are_refused_by_name(option, bad):
    convert = next(o.convert for o in EXPERIMENT.options if o.name == option)
    with pytest.raises(RequestError, match=str(bad).split(",")[-1]):
        convert(bad)


def test_learning_rates_are_sorted():
    convert = next(o.convert for o in EXPERIMENT.options if o.name == "learning_rates")
    assert convert("1,0.1") == [0.1, 1.0]
