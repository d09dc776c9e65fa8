import dataclasses
import io
import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from benchmark.activations import resolve
from benchmark.data import loading
from benchmark.errors import RequestError
from benchmark.experiments.base import Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED
from benchmark.experiments.studies import exploding
from benchmark.experiments.studies.exploding import EXPERIMENT
from benchmark.plotting import palette
from benchmark.plotting.style import figure_style
from benchmark.training import stacked
from benchmark.training.trainer import batch_order


@pytest.fixture(scope="module")
def data():
    split = loading.split(loading.load(loading.locate("digits")))
    return dataclasses.replace(split, x_train=split.x_train[:400], y_train=split.y_train[:400])


def setting(data, names, seeds=(0,), **options):
    chosen = {"gains": [1.0, 64.0], "depths": [3], "rate": 0.01, **options}
    return Setting(tuple(map(resolve, names)), seeds, chosen, "digits", data)


def as_read(table):
    return pd.read_csv(io.StringIO(table.to_csv(index=False)))


@pytest.fixture(scope="module")
def measured(data):
    calls = []
    asked = setting(data, ("relu", "prelu"), seeds=(0, 1))
    asked = dataclasses.replace(asked, progress=lambda *parts: calls.append(parts))
    table = as_read(EXPERIMENT.measure(asked))
    assert calls[-1][0] == calls[-1][1]
    return table


def one(table, name="relu", clipping="off", gain=1, seed=0):
    rows = table[(table.activation == name) & (table.clipping == clipping)]
    return rows[(rows.gain == gain) & (rows.seed == seed)]


def test_large_weights_explode_and_clipped_ones_do_not(measured):
    free = one(measured, gain=64)
    assert not free.finite.iloc[-1]
    assert free.finite.iloc[:-1].all()
    assert free.iloc[-1][["loss", "gradient_norm", "first_update"]].isna().all()
    assert free.step.iloc[-1] < measured.steps.iloc[0] == 20
    for clipping in ("value", "norm"):
        rows = one(measured, clipping=clipping, gain=64)
        assert rows.finite.all()
        assert rows.step.iloc[-1] == 20


@pytest.mark.parametrize("gain", [1, 64])
def test_first_step_is_that_of_the_network(measured, data, gain):
    asked = setting(data, ())
    x, y = asked.pixels("train", standardized=True), asked.labels("train")
    nets = stacked.Networks(resolve("relu"), (64, 128, 128, 128, 10), (1,), gain=gain)
    batch = batch_order(1, 1, 400)[:128]
    found = nets.gradients(x[batch], y[batch], training=True)
    norms = [np.linalg.norm(gradient) for gradient in found.kernels]
    row = one(measured, gain=gain, seed=1).iloc[0]
    assert row.loss == pytest.approx(float(found.losses[0]), rel=1e-5)
    assert row.gradient_norm == pytest.approx(np.hypot.reduce(norms), rel=1e-4)
    assert row.first_update == pytest.approx(0.01 * norms[0], rel=1e-3)
    assert row.last_update == pytest.approx(0.01 * norms[2], rel=1e-3)
    pre = nets.gradients(x[:128], y[:128], training=True).pre
    ratio = np.linalg.norm(pre[0]) / np.linalg.norm(pre[2])
    assert row.pre_gradient_ratio == pytest.approx(ratio, rel=1e-4)
    clipped = one(measured, clipping="norm", gain=gain, seed=1).iloc[0]
    assert clipped.first_update == pytest.approx(0.01 * min(norms[0], 0.5), rel=1e-3)


def test_scaling_a_relu_network_leaves_the_ratio_of_weight_gradients(data):
    """Positive homogeneity: what the gradient gains on its way back, the inputs lose.

    Exact for the network without biases, which are 0 at the start, and a given error at the
    output: the share is the same whatever the scale, since every layer's weights have one.
    """
    x = setting(data, ()).pixels("train", standardized=True)[:1]
    ratios, pre = [], []
    for gain in (4.0, 16.0):
        nets = stacked.Networks(resolve("relu"), (64, 128, 128, 128, 10), (0,), gain=gain)
        label = int(np.argmin(nets.forward(x).logits[0, 0]))
        found = nets.gradients(x, np.array([label]))
        ratios.append(np.linalg.norm(found.kernels[0]) / np.linalg.norm(found.kernels[2]))
        pre.append(np.linalg.norm(found.pre[0]) / np.linalg.norm(found.pre[2]))
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-3)
    assert pre[1] == pytest.approx(16 * pre[0], rel=1e-3)


def test_table_is_a_function_of_the_setting(data):
    first, again = (
        EXPERIMENT.measure(setting(data, ("rrelu",), gains=[2.0], depths=[1])) for _ in "12"
    )
    pd.testing.assert_frame_equal(first, again)


@pytest.mark.parametrize(
    ("finite", "kept"),
    [
        ([True] * 10, [0, 1, 2, 3, 4, 5, 7, 9]),
        ([True, True, False, False], [0, 1, 2]),
        ([False, False], [0]),
        ([True] * 6 + [False, True], [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_steps_that_are_kept(finite, kept):
    assert exploding.recorded_steps(np.array(finite)) == kept


NAMES = ("relu", "elu", "leaky_relu", "selu", "tanh")


def hand_made(losses, ratio, pre=lambda name, gain: 1.0, names=NAMES, gains=(1, 16), depths=(3,)):
    """Return a table of steps 1, 2 and 3 with `losses(name, clipping, gain)`; None is infinite."""
    rows = []
    cases = itertools.product(names, depths, ("off", "value", "norm"), gains, (0, 1))
    for name, depth, clipping, gain, seed in cases:
        for step, loss in enumerate(losses(name, clipping, gain), start=1):
            finite = loss is not None
            row = {
                "activation": name, "depth": depth, "clipping": clipping, "gain": gain,
                "seed": seed, "step": step, "loss": loss, "gradient_norm": loss,
                "first_update": ratio(name, gain) if finite else None,
                "last_update": 1.0 if finite else None, "finite": finite,
                "pre_gradient_ratio": pre(name, gain), "dataset": "digits", "units": 128,
                "initializer": "glorot_uniform", "steps": 3, "learning_rate": 0.01, "limit": 0.5,
            }  # fmt: skip
            rows.append(row)
            if not finite:
                break
    return as_read(pd.DataFrame(rows))


def steady(name, clipping, gain):
    return 100.0, 50.0, 25.0


def explodes(name, clipping, gain):
    return (100.0, 1e9, None) if gain > 1 and clipping == "off" else steady(name, clipping, gain)


def test_verdicts_when_all_is_as_claimed():
    table = hand_made(explodes, lambda name, gain: 2.0)
    found = EXPERIMENT.findings(table)
    assert [f.verdict for f in found] == [HOLDS] * 6 + [IN_PART]
    assert "3 of 3" not in found[1].evidence
    assert "0 of 2 from 1 × and 2 of 2 from 16 × the usual weights (infinite at step 3)" in (
        found[1].evidence
    )
    assert "10 networks explode (with elu, leaky_relu, relu, selu and tanh)" in found[4].evidence
    assert "clipped, none of them still does. The loss goes to 25 % of its start" in (
        found[4].evidence
    )
    assert found[4].evidence.endswith(
        "; it ends at 25 nats in the median, worse than guessing (2.3 nats) in 10 of 10 networks."
    )


def test_one_network_is_told_in_the_singular():
    table = hand_made(explodes, lambda name, gain: 2.0, names=("relu",))
    table = table[table.seed == 0]
    text = EXPERIMENT.findings(table)[4].evidence
    assert text == (
        "Unclipped, 1 network explodes (with relu); clipped, it does not. The loss goes to 25 % of"
        " its start; it ends at 25 nats, worse than guessing (2.3 nats) in 1 of 1 network."
    )
    still = table.assign(finite=table.finite & (table.step < 3))
    still = still.assign(loss=still.loss.where(still.finite))
    assert "clipped, it still does." in EXPERIMENT.findings(still[still.gain == 16])[4].evidence
    assert "of 3 hidden layers" in EXPERIMENT.method(table)
    shallow = table.assign(depth=1, steps=1)
    assert "of 1 hidden layer of" in EXPERIMENT.method(shallow)
    assert "for 1 step of" in EXPERIMENT.method(shallow)
    assert "at 1 layer 0 of 1" in EXPERIMENT.findings(shallow)[1].evidence


def test_steps_of_explosion_are_told_in_the_plural():
    def sooner(name, clipping, gain):
        return (100.0, None) if gain == 4 and clipping == "off" else explodes(name, clipping, gain)

    table = hand_made(sooner, lambda name, gain: 2.0, names=("relu",), gains=(1, 4, 16))
    assert "(infinite at steps 2 to 3)" in EXPERIMENT.findings(table)[1].evidence


def test_verdicts_when_nothing_explodes():
    found = EXPERIMENT.findings(hand_made(steady, lambda name, gain: 0.5))
    wanted = [FAILS] * 4 + [UNDECIDED] * 2 + [HOLDS]
    assert [finding.verdict for finding in found] == wanted
    assert "less far than the third's with elu (0.5 times)" in found[0].evidence


def test_verdicts_when_clipping_does_not_help():
    def regardless(name, clipping, gain):
        # By value only tanh is saved; SELU explodes from the usual weights too.
        saved = clipping == "value" and name == "tanh"
        large = gain > 1 or name == "selu"
        return (100.0, 200.0, 1500.0) if large and not saved else steady(name, clipping, gain)

    table = hand_made(regardless, lambda name, gain: 3.0 if name == "tanh" else 0.5)
    found = EXPERIMENT.findings(table)
    assert [f.verdict for f in found] == [IN_PART] + [HOLDS] * 3 + [IN_PART, FAILS, FAILS]
    assert "farther than the third's with tanh (3 times)" in found[0].evidence
    assert "10 of them still do (with elu, leaky_relu, relu and selu)" in found[4].evidence
    assert "infinite" not in found[1].evidence


def test_selu_whose_gradients_shrink_is_not_steady():
    table = hand_made(steady, lambda name, gain: 0.01)
    assert EXPERIMENT.findings(table)[-1].verdict == FAILS
    table = hand_made(steady, lambda name, gain: 1.0, pre=lambda name, gain: 20.0)
    assert EXPERIMENT.findings(table)[-1].verdict == FAILS


def test_what_is_missing_is_said():
    found = EXPERIMENT.findings(hand_made(steady, lambda *case: 1.0, names=("gelu",), gains=(1,)))
    assert {finding.verdict for finding in found} == {UNDECIDED}
    assert found[1].evidence == "The table lacks relu."
    assert found[-1].evidence == "The table lacks selu."
    large = EXPERIMENT.findings(hand_made(steady, lambda *case: 1.0, gains=(4,), depths=(2,)))
    assert large[0].evidence == "No network of 3 hidden layers took a step from larger weights."
    assert large[-1].evidence == "No gain of 1 was asked."


def test_networks_that_are_infinite_from_the_start_are_counted():
    table = hand_made(lambda *case: (None,), lambda *case: 1.0)
    found = EXPERIMENT.findings(table)
    assert [f.verdict for f in found] == [UNDECIDED] + [HOLDS] * 3 + [FAILS] * 3
    draw(table)


def test_outcomes_have_one_row_per_network():
    found = exploding.outcomes(hand_made(explodes, lambda name, gain: 2.0, names=("relu",)))
    assert len(found) == 3 * 2 * 2
    lost = found[(found.clipping == "off") & (found.gain == 16)]
    assert (lost.infinite_at == 3).all()
    assert (lost.highest == 1e9).all()
    assert lost.exploded.all()
    assert found.exploded.sum() == 2
    assert (found.update_ratio == 2).all()


def test_method_tells_the_settings_of_the_table(measured):
    text = EXPERIMENT.method(measured)
    assert "3 hidden layers of 128 units on digits" in text
    assert "multiplied by 1 and 64, trained for 20 steps" in text
    assert "rate 0.01" in text
    assert "2 seeds" in text
    assert "; 1 seed." in EXPERIMENT.method(measured[measured.seed == 0])


def draw(table):
    with figure_style("dark"):
        found = EXPERIMENT.figures(table, palette.line_styles())
        assert set(found) == set(EXPERIMENT.captions)
        for figure in found.values():
            assert isinstance(figure, Figure)
            figure.canvas.draw()
    return found


def test_figures_show_the_table():
    table = hand_made(explodes, lambda name, gain: gain / 4, names=("relu",))
    found = draw(table)
    assert len(found[""].axes) == 3 * 2
    usual, large = (axes.get_lines() for axes in found[""].axes[:2])
    np.testing.assert_allclose(usual[0].get_ydata(), [100, 50, 25])
    np.testing.assert_allclose(large[0].get_xdata(), [1, 2])
    # The cross is where the first seed became infinite.
    assert large[1].get_marker() == "x"
    assert large[1].get_xdata() == [3]
    assert len(usual) == 1
    labels = [text.get_text() for text in found[""].legends[0].get_texts()]
    assert labels == ["relu", "became infinite"]
    steps = found["layers"].axes[1].get_lines()[0]
    np.testing.assert_allclose(steps.get_xdata(), [1, 16])
    np.testing.assert_allclose(steps.get_ydata(), [0.25, 4])


def test_gradients_are_drawn_until_they_are_infinite():
    table = hand_made(explodes, lambda name, gain: 1.0).assign(
        gradient_norm=lambda rows: rows.loss * 1e9
    )
    axes = draw(table)["gradients"].axes[1]
    lines = [line for line in axes.get_lines() if line.get_marker() != "x"]
    np.testing.assert_allclose(lines[0].get_ydata(), [1e11, 1e18])
    assert axes.get_ylim()[1] > 1e18
    # Nothing lies hidden: crosses at different heights, lines of different widths.
    heights = [line.get_ydata()[0] for line in axes.get_lines() if line.get_marker() == "x"]
    assert len(set(heights)) == len(heights) == len(NAMES)
    widths = [line.get_linewidth() for line in lines]
    assert widths == sorted(set(widths), reverse=True)


def test_figures_of_measured_and_of_single_things(measured):
    draw(measured)
    draw(one(measured, "prelu"))


def option(name, value):
    return next(o for o in EXPERIMENT.options if o.name == name).convert(value)


def test_options_are_read():
    assert option("gains", "16,0.5") == [0.5, 16.0]
    assert option("depths", "10,3") == [3, 10]
    assert option("rate", "0.1") == 0.1


@pytest.mark.parametrize(
    ("name", "value"), [("gains", "-1"), ("gains", "x"), ("depths", "0"), ("rate", "0")]
)
def test_bad_options_are_refused(name, value):
    with pytest.raises(RequestError, match=f"'{value}'"):
        option(name, value)
