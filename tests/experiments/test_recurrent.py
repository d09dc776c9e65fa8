import keras
import numpy as np
import pandas as pd
import pytest

from benchmark.activations import resolve
from benchmark.errors import RequestError
from benchmark.experiments.base import Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED
from benchmark.experiments.studies import recurrent
from benchmark.plotting import palette
from benchmark.plotting.style import figure_style
from benchmark.training.stacked_recurrent import RecurrentNetworks

VANISHES, MITIGATES, LEARNS = range(3)
OPTIONS = {option.name: option for option in recurrent.EXPERIMENT.options}
WIDTHS = (8, 5, 4)
SIGMOID_1, SIGMOID_5 = 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-5))


def networks(kind="simple", name="tanh", seeds=(0,), rates=(0.01,)):
    return RecurrentNetworks(kind, resolve(name), WIDTHS, seeds, rates)


def one(seeds=(0,), lag=4, batch=3, place=0):
    (x,), (y,) = recurrent.sequences(seeds, lag, 1, batch, place)
    return x, y


@pytest.mark.parametrize(
    ("kind", "layer"),
    [
        ("simple", keras.layers.SimpleRNN),
        ("lstm", keras.layers.LSTM),
        ("gru", keras.layers.GRU),
    ],
)
def test_cells_are_those_of_keras(kind, layer):
    nets, (x, y) = networks(kind, seeds=(1,)), one((1,))
    # Biases of 0 would hide a mistake.
    rng = np.random.default_rng(0)
    for place in (2, *([5] if kind == "gru" else [])):
        nets.variables[place].assign(rng.normal(size=nets.variables[place].shape))
    w, u, b, out, out_bias, *inner = (variable.numpy()[0] for variable in nets.variables)
    made = layer(5)
    made.build((None, None, 8))
    made.set_weights([w, u, np.concatenate([b, *inner]) if inner else b[0]])
    wanted = made(x[:, 0].swapaxes(0, 1)).numpy() @ out + out_bias
    np.testing.assert_allclose(nets.logits(x)[0], wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(nets.accuracy(x, y), [[(wanted.argmax(1) == y[0]).mean()]])


def test_initial_weights_are_those_of_keras():
    nets = networks("lstm", seeds=(0, 1))
    u = nets.variables[1].numpy()
    np.testing.assert_allclose(u @ u.swapaxes(1, 2), [np.eye(5)] * 2, atol=1e-5)
    assert not np.allclose(u[0], u[1])
    limit = np.sqrt(6 / (8 + 20))
    assert 0.9 * limit < abs(nets.variables[0].numpy()).max() <= limit
    made = keras.layers.LSTM(5)
    made.build((None, None, 8))
    np.testing.assert_array_equal(nets.variables[2][0, 0], made.get_weights()[2])


def test_gradients_of_a_linear_cell_equal_the_closed_form():
    nets, (x, y) = networks(name="linear"), one()
    rng = np.random.default_rng(2)
    u = rng.normal(size=(5, 5))
    nets.variables[1].assign(u[None])
    u = nets.variables[1].numpy()[0].astype(float)
    out = nets.variables[3].numpy()[0].astype(float)
    found = nets.gradients(x, y)["hidden"]
    assert found.shape == (5, 1, 1)
    for back in range(5):
        columns = np.linalg.matrix_power(u, back) @ out[:, y[0]]
        wanted = np.linalg.norm(columns, axis=0).mean()
        np.testing.assert_allclose(found[back, 0, 0], wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "bias", "state", "factor"),
    [("lstm", 1.0, "cell", SIGMOID_1), ("lstm", 5.0, "cell", SIGMOID_5), ("gru", 1, "hidden", 0.5)],
)
def test_without_input_the_gates_alone_pass_the_gradient_back(kind, bias, state, factor):
    nets, (x, y) = networks(kind), one(lag=6)
    nets.restart(forget_bias=bias)
    for place in (0, 1):
        nets.variables[place].assign(np.zeros(nets.variables[place].shape))
    found = nets.gradients(x, y)[state][:, 0, 0]
    np.testing.assert_allclose(found / found[0], factor ** np.arange(7.0), rtol=1e-6)


def test_sigmoid_loses_three_quarters_per_step_at_least_and_does_not_underflow():
    found = networks(name="sigmoid").gradients(*one(lag=80))["hidden"][:, 0, 0]
    # U is orthogonal.
    assert (found[1:] <= 0.25 * found[:-1] * (1 + 1e-6)).all()
    assert 0 < found[-1] < 1e-45


def test_each_network_learns_as_it_would_alone():
    seeds, rates = (0, 3), (0.003, 0.01)
    together, alone = networks("simple", "prelu", seeds, rates), networks("simple", "prelu", (3,))
    start = [variable.numpy() for variable in together.variables]
    # PReLU's slopes, of each network its own, show in the gradients.
    inputs = one(seeds)
    gradients_at_start = together.gradients(*inputs)["hidden"]
    together.train(*recurrent.sequences(seeds, 2, 3, 8, 5))
    alone.train(*recurrent.sequences((3,), 2, 3, 8, 5))
    for both, single, before in zip(together.variables, alone.variables, start):
        np.testing.assert_allclose(both[3], single[0], rtol=1e-4, atol=1e-5)
        assert not np.allclose(both, before, atol=1e-4)
    found = together.gradients(*inputs)["hidden"][:, 1, 1]
    wanted = alone.gradients(*one((3,)))["hidden"][:, 0, 0]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    together.restart()
    assert all(np.array_equal(now, was) for now, was in zip(together.variables, start))
    assert np.array_equal(together.gradients(*inputs)["hidden"], gradients_at_start)
    together.train(*recurrent.sequences(seeds, 2, 3, 8, 5))
    np.testing.assert_allclose(
        together.variables[0][3], alone.variables[0][0], rtol=1e-4, atol=1e-5
    )


def test_sequences_name_their_class_at_the_first_step_only():
    x, y = recurrent.sequences((0, 7), 3, 2, 50, 1)
    assert (x.shape, y.shape) == ((2, 4, 2, 50, 8), (2, 2, 50))
    np.testing.assert_array_equal(x[:, 0, :, :, :4].argmax(-1), y)
    np.testing.assert_array_equal(x[:, 0, :, :, :4].sum(-1), 1)
    assert not x[:, 1:, :, :, :4].any()
    assert abs(x[..., 4:].std() - 1) < 0.05
    alone = recurrent.sequences((7,), 3, 2, 50, 1)
    np.testing.assert_array_equal(x[:, :, 1:], alone[0])
    assert not np.array_equal(alone[1], recurrent.sequences((7,), 3, 2, 50, 2)[1])


@pytest.mark.slow
def test_measured_table_is_complete():
    seen = []
    options = {"lags": [2], "steps": 60}
    setting = Setting((resolve("relu"),), (0, 1), options, progress=lambda *now: seen.append(now))
    made = recurrent.measure(setting)
    assert seen[-1][0] == seen[-1][1] == 5 * 60 * 22
    cells = ["simple", "identity", "lstm", "lstm_open", "gru"]
    assert list(made.cell.unique()) == cells
    accuracy = made[made.measure == "accuracy"]
    assert len(accuracy) == 5 * 2 * 2
    assert (accuracy.groupby("cell").chosen.sum() == 2).all()
    # Two stages, three places in time, two seeds; two more states in the two LSTMs.
    assert len(made[made.measure == "gradient"]) == 7 * 2 * 3 * 2
    trained = accuracy[accuracy.chosen].groupby("cell").value.mean()
    assert trained["lstm_open"] > 0.4
    assert made.groupby("cell", sort=False).forget_bias.first().tolist() == [0, 0, 1, 5, 0]
    assert recurrent.findings(made)[MITIGATES].verdict == UNDECIDED


KEPT = {"sigmoid": 0.2, "tanh": 0.5, "identity": 1.0, "lstm": 0.95, "lstm_open": 1.0, "gru": 0.6}


def table(kept=KEPT, learnt=None, trained=None, seeds=(0, 1)):
    """A result at lags 5 and 20: what is kept per step, and the longest lag learnt (20)."""
    rows = []
    tanh = {"lstm", "lstm_open", "gru"}
    for name, factor in kept.items():
        cell = name if name in recurrent.OTHERS else "simple"
        activation = "tanh" if name in tanh else "relu" if name == "identity" else name
        state = "cell" if cell.startswith("lstm") else "hidden"
        for seed in seeds:
            common = {"activation": activation, "cell": cell, "seed": seed, "chosen": True}
            common["forget_bias"] = {"lstm": 1.0, "lstm_open": 5.0}.get(cell, 0.0)
            for lag, stage in ((20, "initial"), (5, "trained"), (20, "trained")):
                end = (trained or kept)[name] if stage == "trained" else factor
                for back in (0, lag // 2, lag):
                    gradient = {"stage": stage, "measure": "gradient", "state": state}
                    place = {"learning_rate": 0.01, "lag": lag, "back": back}
                    rows.append(common | gradient | place | {"value": 2 * end**back})
            for lag in (5, 20):
                right = 1.0 if lag <= (learnt or {}).get(name, 20) else 0.25
                score = {"stage": "trained", "measure": "accuracy", "state": "output"}
                place = {"learning_rate": 0.01, "lag": lag, "back": 0}
                rows.append(common | score | place | {"value": right})
    return pd.DataFrame(rows).assign(steps=400, units=24, classes=4, batch_size=32)


def verdicts(made):
    return [finding.verdict for finding in recurrent.findings(made)]


def test_vanishing_is_judged_by_what_a_step_keeps():
    finding = recurrent.findings(table())[VANISHES]
    assert finding.verdict == HOLDS
    assert "1.0e-14 (0.20 per step) with sigmoid and 9.5e-7 (0.50 per step) with tanh" in (
        finding.evidence
    )
    assert "U = 1 it is 1 (1.00 per step). So the initial weights" in finding.evidence
    assert verdicts(table({**KEPT, "tanh": 0.95}))[VANISHES] == IN_PART
    assert verdicts(table({**KEPT, "tanh": 0.95, "sigmoid": 0.95}))[VANISHES] == FAILS


def test_mitigation_asks_for_a_multiple_that_has_not_vanished():
    assert verdicts(table())[MITIGATES] == HOLDS
    # Ten times tanh's 9.5e-7, yet below a thousandth.
    assert verdicts(table({**KEPT, "lstm": 0.6}))[MITIGATES] == IN_PART
    only_open = recurrent.findings(table({**KEPT, "lstm": 0.5}))[MITIGATES]
    assert only_open.verdict == IN_PART
    assert "forget gate's initial bias" in only_open.evidence
    assert verdicts(table({**KEPT, "lstm": 0.5, "lstm_open": 0.5}))[MITIGATES] == FAILS
    # Before training only.
    assert verdicts(table(trained={**KEPT, "tanh": 1.0}))[MITIGATES] == IN_PART
    assert verdicts(table({**KEPT, "tanh": 1.0, "sigmoid": 1.0}))[MITIGATES] == UNDECIDED


def test_learning_compares_the_longest_lags():
    short = {"sigmoid": 0, "tanh": 5}
    finding = recurrent.findings(table(learnt=short))[LEARNS]
    assert finding.verdict == HOLDS
    assert "none by sigmoid; 5 by tanh; 20 by" in finding.evidence
    assert "LSTM 100 %" in finding.evidence
    assert verdicts(table(learnt={**short, "lstm": 5}))[LEARNS] == IN_PART
    assert verdicts(table(learnt={**short, "lstm": 5, "lstm_open": 5}))[LEARNS] == FAILS
    assert verdicts(table(learnt={"sigmoid": 0}))[LEARNS] == UNDECIDED
    assert verdicts(table(learnt=dict.fromkeys(KEPT, 0)))[LEARNS] == UNDECIDED


def test_dead_units_and_one_seed_are_told():
    made = table({**KEPT, "tanh": 0.0}, seeds=(4,))
    dead = (made.activation == "sigmoid") & (made.measure == "gradient")
    made.loc[dead, "value"] = 0.0
    finding = recurrent.findings(made)[VANISHES]
    assert "0 (0.00 per step) with sigmoid" in finding.evidence
    assert "1 seed," in recurrent.method(made)
    assert "then 5 or 20 further steps" in recurrent.method(made)
    assert "a gate of 0.731" in recurrent.method(made)
    assert "over 1 seed:" in recurrent.findings(made)[LEARNS].evidence


@pytest.mark.parametrize("style", ["light", "dark"])
def test_figures_show_every_cell(style):
    made = table()
    with figure_style(style):
        drawn = recurrent.figures(made, palette.line_styles())
        for figure in drawn.values():
            figure.canvas.draw()
    assert set(drawn) == set(recurrent.EXPERIMENT.captions)
    titles = [axes.get_title(loc="left") for axes in drawn[""].axes]
    assert titles == ["Before training", "Trained at lag 5", "Trained at lag 20"]
    assert all(len(axes.lines) == len(KEPT) for axes in drawn[""].axes)
    # Only what is drawn is explained: no lines there.
    (legend,) = drawn["accuracy"].legends
    assert {line.get_linestyle() for line in legend.legend_handles} == {"None"}
    assert {line.get_linestyle() for line in drawn[""].legends[0].legend_handles} != {"None"}
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["sigmoid", "tanh", "ReLU (U = 1)", "LSTM", "LSTM (open gate)", "GRU"]
    sigmoid = drawn[""].axes[0].lines[0]
    np.testing.assert_allclose(sigmoid.get_ydata(), [1, 0.2**10, 0.2**20], rtol=1e-9)
    assert sigmoid.get_color() == palette.line_styles()["sigmoid"].color


def test_gradients_of_what_was_not_learnt_are_faint():
    made = table(learnt={"tanh": 5})
    with figure_style("light"):
        axes = recurrent.figures(made, palette.line_styles())[""].axes
    place = list(KEPT).index("tanh")
    faint = [[line.get_alpha() < 1 for line in panel.lines] for panel in axes]
    assert faint[:2] == [[False] * len(KEPT)] * 2
    assert faint[2] == [number == place for number in range(len(KEPT))]
    evidence = recurrent.findings(made)[MITIGATES].evidence
    assert "Lag 20 was learnt by sigmoid, ReLU (U = 1), LSTM, LSTM (open gate) and GRU." in evidence
    assert "Lag 20 was learnt by none." in (
        recurrent.findings(table(learnt=dict.fromkeys(KEPT, 0)))[MITIGATES].evidence
    )


def test_many_functions_are_told_by_their_ends():
    many = {name: 0.2 + 0.1 * place for place, name in enumerate(("elu", "gelu", "silu", "selu"))}
    evidence = recurrent.findings(table({**KEPT, **many}))[VANISHES].evidence
    assert "last state, between 1.0e-14 (0.20 per step) with" in evidence
    assert "of 6 functions" in evidence


def test_options_name_what_is_wrong():
    assert OPTIONS["lags"].convert("80,5") == [5, 80]
    with pytest.raises(RequestError, match="lag '0' cannot be used"):
        OPTIONS["lags"].convert("0,5")
    with pytest.raises(RequestError, match="steps 'x' cannot be used"):
        OPTIONS["steps"].convert("x")
