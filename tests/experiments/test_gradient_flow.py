import dataclasses
import io
import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from benchmark.activations import GLOROT, HE, register_activation, resolve
from benchmark.data import loading
from benchmark.errors import RequestError
from benchmark.experiments.base import Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED
from benchmark.experiments.studies import gradient_flow
from benchmark.experiments.studies.gradient_flow import EXPERIMENT
from benchmark.plotting import palette
from benchmark.plotting.palette import line_style
from benchmark.plotting.style import figure_style
from benchmark.training.stacked import Networks, Training
from benchmark.training.trainer import batch_order

MEASURED = ("sigmoid", "linear", "prelu", "maxout", "selu")


@pytest.fixture(scope="module")
def data():
    split = loading.split(loading.load(loading.locate("digits")))
    return dataclasses.replace(split, x_train=split.x_train[:300], y_train=split.y_train[:300])


def setting(data, names=MEASURED, seeds=(0, 1), **options):
    chosen = {"depths": [3, 5], "initializers": [GLOROT, HE], **options}
    return Setting(tuple(map(resolve, names)), seeds, chosen, "digits", data)


def as_read(table):
    return pd.read_csv(io.StringIO(table.to_csv(index=False)))


@pytest.fixture(scope="module")
def measured(data):
    calls = []
    asked = dataclasses.replace(setting(data), progress=lambda *parts: calls.append(parts))
    table = as_read(EXPERIMENT.measure(asked))
    assert calls[-1][0] == calls[-1][1]
    assert len(calls) == len(MEASURED) * 2 * 2
    return table


def network(table, name, depth, kind=GLOROT, seed=0, batch_norm=False):
    rows = table[(table.activation == name) & (table.depth == depth) & (table.seed == seed)]
    return rows[(rows.initializer == kind) & (rows.batch_norm == batch_norm)].sort_values("layer")


def closed_form(kernels, x, y):
    """Return the gradients of a network without activations, by products of its matrices."""
    outputs = [x]
    for kernel in kernels:
        outputs.append(outputs[-1] @ kernel)
    shares = np.exp(outputs[-1]) / np.exp(outputs[-1]).sum(1, keepdims=True)
    error = (shares - np.eye(shares.shape[1])[y]) / len(x)
    pre = [
        error @ np.linalg.multi_dot([*kernels[place + 1 :], np.eye(10)]).T
        for place in range(len(kernels) - 1)
    ]
    return pre, [h.T @ delta for h, delta in zip(outputs, pre)]


def test_linear_network_has_the_gradients_of_the_closed_form(data):
    x, y = setting(data).pixels("train", standardized=True).astype(float), data.y_train
    nets = Networks(resolve("linear"), (64, 9, 8, 7, 6, 10), (3,), dtype="float64")
    found = nets.gradients(x, y, training=True)
    pre, kernels = closed_form([kernel.numpy()[0] for kernel in nets.kernels], x, y)
    for wanted, one in zip([*pre, *kernels], [*found.pre, *found.kernels[:-1]], strict=True):
        np.testing.assert_allclose(one[0], wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", [GLOROT, HE])
def test_table_of_a_linear_network_agrees_with_the_closed_form(measured, data, kind):
    rows = network(measured, "linear", 5, kind, seed=1)
    x = setting(data).pixels("train", standardized=True)[: rows.images.iloc[0]].astype(float)
    nets = Networks(resolve("linear"), (64, *[128] * 5, 10), (1,), initializer=kind)
    weights = [kernel.numpy()[0].astype(float) for kernel in nets.kernels]
    pre, kernels = closed_form(weights, x, data.y_train[: len(x)])
    np.testing.assert_allclose(rows.pre_gradient_norm, list(map(np.linalg.norm, pre)), rtol=1e-4)
    np.testing.assert_allclose(rows.gradient_norm, list(map(np.linalg.norm, kernels)), rtol=1e-4)
    np.testing.assert_allclose(rows.weight_norm, list(map(np.linalg.norm, weights[:-1])), rtol=1e-5)
    largest = [np.linalg.svd(kernel, compute_uv=False)[0] for kernel in weights[:-1]]
    np.testing.assert_allclose(rows.spectral_norm, largest, rtol=1e-5)


def test_sigmoid_multiplies_pre_activation_gradients_by_less_than_the_bound(measured):
    factors, bounds = gradient_flow.factors_and_bounds(measured)
    # Two initializers, two seeds, 2 and 4 pairs of layers.
    assert len(factors) == 2 * 2 * (2 + 4)
    assert (factors < bounds).all()
    rows = network(measured, "sigmoid", 3)
    assert np.isclose(
        factors, rows.pre_gradient_norm.iloc[0] / rows.pre_gradient_norm.iloc[1]
    ).any()
    assert np.isclose(bounds, rows.spectral_norm.iloc[1] / 4).any()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_update_is_what_training_does(measured, data, batch_norm):
    asked = setting(data)
    x, y = asked.pixels("train", standardized=True), asked.labels("train")
    widths = (64, 128, 128, 128, 10)
    nets = Networks(resolve("selu"), widths, (0,), initializer=HE, batch_norm=batch_norm)
    start = [kernel.numpy() for kernel in nets.kernels[:-1]]
    Training(nets, x, y, learning_rate=0.01).epoch()
    moved = [np.linalg.norm(new - old) for new, old in zip(nets.kernels, start)]
    rows = network(measured, "selu", 3, HE, batch_norm=batch_norm)
    np.testing.assert_allclose(rows.update_norm, moved, rtol=1e-3)
    batch = batch_order(0, 1, len(x))[:128]
    fresh = Networks(resolve("selu"), widths, (0,), initializer=HE, batch_norm=batch_norm)
    found = fresh.gradients(x[batch], y[batch], training=True).kernels[:-1]
    first = [0.01 * np.linalg.norm(gradient) for gradient in found]
    np.testing.assert_allclose(rows.first_update_norm, first, rtol=1e-4)
    part = x[: rows.images.iloc[0]], y[: rows.images.iloc[0]]
    later = [np.linalg.norm(g) for g in nets.gradients(*part, training=True).kernels[:-1]]
    np.testing.assert_allclose(rows.trained_gradient_norm, later, rtol=1e-2)


def test_table_is_a_function_of_the_setting_and_keeps_each_weight_once(data):
    small = {"depths": [2], "initializers": ["recommended", GLOROT, HE]}
    first, again = (
        EXPERIMENT.measure(setting(data, ("relu", "tanh"), (7,), **small)) for _ in "12"
    )
    pd.testing.assert_frame_equal(first, again)
    assert len(first) == 2 * 2 * 2 * 2
    marked = first[first.recommended].groupby("activation").initializer.unique()
    assert marked["relu"] == [HE]
    assert marked["tanh"] == [GLOROT]


def test_network_that_diverges_is_marked(data):
    @register_activation
    def steep(x):
        return 1e6 * x

    table = EXPERIMENT.measure(setting(data, ("steep",), (0,), depths=[3], initializers=[GLOROT]))
    plain = table[~table.batch_norm]
    assert plain.diverged.all()
    assert plain.update_norm.isna().all()
    EXPERIMENT.findings(as_read(table))
    assert draw(as_read(table))


def hand_made(
    gradient, names=("sigmoid", "relu", "gelu", "tanh"), depths=(1, 3, 10), seeds=(0, 1), **columns
):
    """Return a table whose gradients are those of `gradient(name, batch_norm, depth, layer)`."""
    rows = []
    for name, norm, depth, seed in itertools.product(names, (False, True), depths, seeds):
        for layer in range(1, depth + 1):
            size = gradient(name, norm, depth, layer)
            row = {
                "activation": name, "batch_norm": norm, "depth": depth, "initializer": GLOROT,
                "recommended": True, "seed": seed, "layer": layer, "spectral_norm": 2.0,
                "weight_norm": 10.0, "gradient_norm": size, "pre_gradient_norm": size,
                "first_update_norm": size / 800, "update_norm": size / 100,
                "trained_gradient_norm": size, "diverged": False,
                "dataset": "digits", "units": 128, "images": 256, "steps": 9,
                "learning_rate": 0.01,
            }  # fmt: skip
            rows.append({**row, **columns})
    return as_read(pd.DataFrame(rows))


def as_claimed(name, batch_norm, depth, layer):
    vanishing = name in ("sigmoid", "tanh") and not batch_norm
    return 0.2 ** (depth - layer) if vanishing else 1.0


def opposite(name, batch_norm, depth, layer):
    vanishing = name in ("relu", "gelu") or batch_norm
    return 0.2 ** (depth - layer) if vanishing else 0.9 ** (depth - layer)


def verdicts(table):
    return [finding.verdict for finding in EXPERIMENT.findings(table)]


def test_every_claim_can_hold_and_can_fail():
    assert verdicts(hand_made(as_claimed)) == [HOLDS] * 7
    assert verdicts(hand_made(opposite)) == [FAILS] * 7


def test_claims_are_the_same_for_every_table():
    claims = [
        [f.claim for f in EXPERIMENT.findings(hand_made(shape))] for shape in (as_claimed, opposite)
    ]
    assert claims[0] == claims[1]


def test_claims_hold_in_part_where_initial_weights_disagree():
    other = hand_made(opposite).assign(initializer=HE, recommended=False)
    both = pd.concat([hand_made(as_claimed), other])
    assert verdicts(both) == [FAILS] + [IN_PART] * 6
    assert "he_normal" in EXPERIMENT.findings(both)[1].evidence


def test_a_gradient_that_is_small_everywhere_has_vanished_too():
    def fading(name, batch_norm, depth, layer):
        return 0.5**depth

    found = EXPERIMENT.findings(hand_made(fading))[3]
    assert found.verdict == FAILS
    assert "100 % of the last hidden layer's (0.195 % of what it is at 1)" in found.evidence


def test_evidence_has_the_numbers_of_the_table():
    evidence = [finding.evidence for finding in EXPERIMENT.findings(hand_made(as_claimed))]
    assert "the factor is 0.2 on average and at most 0.2, the bound 0.5" in evidence[0]
    assert "22 of 22 factors" in evidence[0]
    # Five derivatives lie between layers 5 and 10: 0.2⁵; and 0.2² over three layers.
    assert "layer 5, 5 layers before the last one" in evidence[1]
    assert "0.032 % from glorot_uniform weights (0.032 to 0.032 % by seed" in evidence[1]
    assert "layer 1 moves 4 % as far as layer 3" in evidence[2]
    assert "by 0.004 % of its weights' norm, layer 3 by 0.1 %" in evidence[2]
    assert "in the very first step 4 % as far" in evidence[2]
    assert "relu 100 %" in evidence[2]
    assert "has the largest ratio at 10 layers: the first gradient norm is 1 times" in evidence[4]


def test_five_layers_are_five_derivatives():
    def borderline(name, batch_norm, depth, layer):
        # 0.35⁴ is above 1 %, 0.35⁵ below.
        return 0.35 ** (depth - layer)

    assert EXPERIMENT.findings(hand_made(borderline, depths=(1, 6)))[1].verdict == HOLDS
    found = EXPERIMENT.findings(hand_made(borderline, depths=(1, 5)))[1]
    assert (found.verdict, found.evidence) == (UNDECIDED, "No network has 6 or more hidden layers.")


def test_what_is_missing_is_said():
    table = hand_made(as_claimed, names=("softsign",))
    for finding, name in zip(
        EXPERIMENT.findings(table), ("sigmoid",) * 3 + ("relu", "sigmoid", "gelu", "tanh")
    ):
        assert finding.verdict == UNDECIDED
        assert finding.evidence == f"The table lacks {name}."
    shallow = EXPERIMENT.findings(hand_made(as_claimed, depths=(1,)))
    assert {finding.verdict for finding in shallow} == {UNDECIDED}
    assert shallow[2].evidence == "No network has 3 hidden layers."
    lost = hand_made(as_claimed, diverged=True, update_norm=np.nan, trained_gradient_norm=np.nan)
    assert EXPERIMENT.findings(lost)[2].evidence == "All these networks diverged."
    assert "diverging in the epoch" in EXPERIMENT.findings(lost)[1].evidence


def test_method_tells_the_settings_of_the_table(measured):
    text = EXPERIMENT.method(measured)
    assert "3 and 5 hidden layers of 128 units on digits" in text
    assert "glorot_uniform and he_normal weights" in text
    assert "256 training examples" in text
    assert "(3 steps)" in text
    assert "over 2 seeds" in text
    assert EXPERIMENT.method(measured[measured.seed == 0]).endswith("1 seed.")
    single = EXPERIMENT.method(hand_made(as_claimed, depths=(1,), steps=1))
    assert "of 1 hidden layer of" in single
    assert "(1 step)" in single


def draw(table):
    with figure_style("light"):
        line_styles = {
            **dict.fromkeys(table.activation, line_style(resolve("relu").index)),
            **palette.line_styles(),
        }
        found = EXPERIMENT.figures(table, line_styles)
        assert set(found) == set(EXPERIMENT.captions)
        for figure in found.values():
            assert isinstance(figure, Figure)
            figure.canvas.draw()
    return found


def test_figures_show_the_table():
    found = draw(hand_made(as_claimed))
    heat, share = found[""], found["share"]
    cells = heat.axes[0].get_images()[0].get_array()
    assert cells.shape == (4, 10)
    np.testing.assert_allclose(cells[0], 0.2 ** np.arange(9, -1, -1.0))
    np.testing.assert_allclose(cells[1], 1)
    assert heat.axes[0].get_yticklabels()[0].get_text() == "sigmoid"
    line = share.axes[0].get_lines()[0]
    np.testing.assert_allclose(line.get_xdata(), [1, 3, 10])
    np.testing.assert_allclose(line.get_ydata(), 0.2 ** np.array([0, 2, 9]))


def test_figure_by_depth_shows_what_the_verdicts_rest_on():
    def fading(name, batch_norm, depth, layer):
        return 0.5**depth if name == "gelu" and not batch_norm else 1.0

    found = draw(hand_made(fading, depths=(1, 3, 10)))
    plain, normalised = found["depth"].axes
    for axes, wanted in ((plain, [1, 0.25, 0.5**9]), (normalised, [1, 1, 1])):
        gelu = axes.get_lines()[2]
        np.testing.assert_allclose(gelu.get_xdata(), [1, 3, 10])
        np.testing.assert_allclose(gelu.get_ydata(), wanted)
    np.testing.assert_allclose(found["share"].axes[0].get_lines()[2].get_ydata(), 1)


def test_figures_of_measured_and_of_single_things(measured):
    assert len(draw(measured)["share"].axes) == 4
    draw(measured[(measured.activation == "maxout") & (measured.depth == 3)])
    draw(hand_made(lambda *case: 0.0, names=("step",), seeds=(0,)))


def option(name, value):
    return next(o for o in EXPERIMENT.options if o.name == name).convert(value)


def test_options_are_read():
    assert option("depths", "10, 3") == [3, 10]
    assert option("depths", 5) == [5]
    assert option("initializers", "He-normal,recommended") == [HE, "recommended"]


@pytest.mark.parametrize(
    ("name", "value", "quoted"),
    [("depths", "0", "'0'"), ("depths", "3,x", "'x'"), ("initializers", "he_norml", "he_normal")],
)
def test_bad_options_are_refused(name, value, quoted):
    with pytest.raises(RequestError, match=quoted):
        option(name, value)
