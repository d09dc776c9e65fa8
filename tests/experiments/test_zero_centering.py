import io

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

from benchmark.activations import register_activation, resolve
from benchmark.data import loading
from benchmark.errors import RequestError
from benchmark.experiments.base import Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED
from benchmark.experiments.studies import zero_centering
from benchmark.plotting import palette
from benchmark.plotting.style import figure_style
from benchmark.training.stacked import Networks


def stored(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table as it is read back from its file."""
    return pd.read_csv(io.StringIO(table.to_csv(index=False)))


def measured(*names, seeds=(0,), epochs=1, data=None):
    data = data or loading.split(loading.load(loading.locate("digits")))
    entries = tuple(resolve(name) for name in names)
    return stored(
        zero_centering.measure(Setting(entries, seeds, {"epochs": epochs}, "digits", data))
    )


@pytest.fixture(scope="module")
def small():
    return measured("sigmoid", "tanh", "maxout", seeds=(0, 1))


def problem_table(**rows):
    """Return a table of one layer and one problem per row: path, updates; for each function with
    its inputs as they are and centred, and with the shift and the shares of its layer."""
    made = []
    for name, (paths, updates, shift, one, batch) in rows.items():
        for (ratio, count), centred in zip(zip(paths, updates), (False, True)):
            for size in ("one", "all"):
                made.append(
                    {
                        "part": "problem", "activation": name, "seed": 0, "batch": size,
                        "centred": centred, "problem": 0, "updates": count, "reached": True,
                        "path_ratio": ratio, "examples": 100, "close": 0.05,
                    }
                )  # fmt: skip
        for moment in zero_centering.MOMENTS:
            for layer in (0, 1):
                made.append(
                    {
                        "part": "network", "activation": name, "seed": 0, "moment": moment,
                        "layer": layer, "mean_output": shift, "rms_output": 1.0,
                        "one_signed_example": one, "one_signed_batch": batch,
                        "agreement_example": one, "agreement_batch": batch, "dataset": "digits",
                        "epochs": 1, "width": 128, "batch_size": 128, "learning_rate": 0.001,
                    }
                )  # fmt: skip
    return stored(pd.DataFrame(made))


def verdicts(table):
    return [finding.verdict for finding in zero_centering.findings(table)]


def test_all_examples_at_once_follow_the_closed_form():
    inputs = np.random.default_rng(0).normal(0.5, 0.3, (1, 100, 2))
    rate = zero_centering.stable_rates(inputs, "all")
    path = zero_centering.descend(inputs, None, rate)
    hessian = inputs[0].T @ inputs[0] / 100
    assert rate[0] == pytest.approx(1 / np.linalg.norm(hessian, 2))
    step = np.eye(2) - rate[0] * hessian
    off = zero_centering.START - zero_centering.TARGET
    for update in (1, 5, len(path) - 1):
        expected = zero_centering.TARGET + np.linalg.matrix_power(step, update) @ off
        assert path[update, 0] == pytest.approx(expected, abs=1e-12)


def test_each_update_is_the_gradient_of_its_example():
    inputs = np.random.default_rng(1).normal(0.5, 0.3, (1, 3, 2))
    orders, rate = np.array([[2, 0, 1, 1]]), np.array([0.3])
    path = zero_centering.descend(inputs, orders, rate, most=4)[:, 0]
    for update, example in enumerate(orders[0]):
        weights, h = tf.Variable(path[update]), inputs[0, example]
        with tf.GradientTape() as tape:
            error = tf.reduce_sum((weights - zero_centering.TARGET) * h)
            cost = error * error / 2
        gradient = tape.gradient(cost, weights).numpy()
        assert path[update + 1] - path[update] == pytest.approx(-0.3 * gradient, abs=1e-12)


def test_an_update_never_goes_past_its_own_minimum():
    inputs = np.random.default_rng(2).standard_normal((1, 50, 2))
    rate = zero_centering.stable_rates(inputs, "one")[0]
    steps = rate * np.square(inputs[0]).sum(axis=1)
    assert steps.max() == pytest.approx(1.0)


def test_path_ratio_of_known_paths():
    straight = np.array([[0, 0], [0.5, -0.5], [1, -1]], float)
    corner = np.array([[0, 0], [0, -1], [1, -1]], float)
    ratios = zero_centering.path_ratio(np.stack([straight, corner], axis=1))
    assert ratios == pytest.approx([1.0, np.sqrt(2)])
    assert zero_centering.path_ratio(np.zeros((3, 1, 2))) == pytest.approx([1.0])


def test_small_rate_limit_of_the_path():
    # With ever smaller steps the path of the weights from (0, 0) is √2 E(|h1 - h2| |h|) over
    # E(h1 - h2)² times as long as the line, here while the error keeps its direction (-1, 1).
    z = np.random.default_rng(3).standard_normal((1, 4000, 2))
    h = np.concatenate([z, z[..., ::-1]], axis=1)  # symmetric: (-1, 1) is an eigenvector
    h = 1 / (1 + np.exp(-h))
    orders = np.random.default_rng(4).permutation(8000)[None]
    path = zero_centering.descend(h, orders, np.array([0.005]), most=8000)
    difference = np.abs(h[0, :, 0] - h[0, :, 1])
    limit = np.sqrt(2) * (difference * np.linalg.norm(h[0], axis=1)).mean()
    limit /= np.square(difference).mean()
    assert zero_centering.path_ratio(path)[0] == pytest.approx(limit, rel=0.1)


def test_signs():
    gradients = np.array([[1.0, -1.0, 0.0, 2.0], [3.0, -2.0, 0.0, -1.0], [0.0, 0.0, 0.0, 1.0]])
    some, same, agreement = zero_centering.one_signed(gradients)
    assert some.tolist() == [True, True, False, True]
    assert same.tolist() == [True, True, False, False]
    assert agreement == pytest.approx([1.0, 1.0, 0.0, 0.5])


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_one_example_is_what_its_own_gradients_say(name):
    rng = np.random.default_rng(5)
    # float64, and so small that some of ReLU's neurons get no gradient from an example.
    made = Networks(resolve(name), (4, 3, 3, 2), [0], dtype="float64")
    x, y = rng.standard_normal((1, 6, 4)), rng.integers(0, 2, (1, 6))
    state = zero_centering.network_state(made, x, y)[0]
    signs = [[] for _ in state]
    for example in range(6):
        found = made.gradients(x[:, example : example + 1], y[:, example : example + 1])
        for layer, kernel in enumerate(found.kernels):
            some, same, _ = zero_centering.one_signed(kernel.numpy()[0])
            signs[layer] += same[some].tolist()
    for layer, row in enumerate(state):
        assert row["layer"] == layer
        assert row["one_signed_example"] == pytest.approx(np.mean(signs[layer] or [0.0]))
    passed = made.forward(x)
    assert state[1]["mean_output"] == pytest.approx(passed.post[0].numpy().mean())


def test_measured_table(small):
    network = small[small["part"] == "network"]
    assert len(network) == 3 * 2 * 2 * 4
    behind = network[network["layer"] > 0].groupby("activation")["one_signed_example"]
    assert behind.min()["sigmoid"] == 1.0
    assert behind.max()["tanh"] == 0.0
    # Pixels are never below 0, whatever function comes after them.
    assert (network.loc[network["layer"] == 0, "one_signed_example"] == 1.0).all()
    paths = small[small["part"] == "path"]
    assert set(paths["activation"]) == {"sigmoid", "tanh", "maxout"}
    again = measured("tanh", seeds=(0, 1))
    same = small[small["activation"] == "tanh"].reset_index(drop=True)[again.columns]
    pd.testing.assert_frame_equal(again, same)


def test_functions_get_the_same_inputs():
    plain = zero_centering.problem_inputs(resolve("linear"), 3)
    assert zero_centering.problem_inputs(resolve("relu"), 3) == pytest.approx(np.maximum(plain, 0))
    assert (zero_centering.problem_inputs(resolve("maxout"), 3) >= plain - 1e-6).all()


def test_claims_that_hold():
    table = problem_table(
        sigmoid=((3.4, 1.3), (99, 20), 0.97, 1.0, 1.0),
        tanh=((1.3, 1.3), (12, 12), 0.0, 0.0, 0.0),
        relu=((1.7, 1.3), (74, 55), 0.6, 1.0, 0.1),
        elu=((1.3, 1.3), (43, 37), 0.1, 0.0, 0.0),
        selu=((1.3, 1.3), (29, 30), -0.1, 0.0, 0.0),
    )
    assert verdicts(table) == [HOLDS] * 7
    told = [finding.evidence for finding in zero_centering.findings(table)]
    assert "for relu" in told[0]
    assert "3.4 times" in told[2]
    assert "12 updates" in told[3]
    assert "1 seed," in zero_centering.method(table)
    assert "network of 1 hidden layer of" in zero_centering.method(table)
    assert "100 % of the neurons" in told[0]
    assert "layer: −0.10 at initialization" in told[6]


def test_method_says_what_stands_after_plus_minus(small):
    assert "± stands the standard deviation over the problems" in zero_centering.method(small)
    assert "distance is 5 % of" in zero_centering.method(small)
    alone = problem_table(tanh=((1.3, 1.3), (12, 12), 0.0, 0.0, 0.0))
    assert "±" not in zero_centering.method(alone)


def test_claims_that_fail():
    table = problem_table(
        sigmoid=((1.3, 1.3), (20, 20), 0.0, 0.0, 0.05),
        tanh=((1.3, 1.3), (20, 20), 0.0, 0.0, 0.0),
        relu=((1.7, 1.3), (74, 55), 0.1, 1.0, 0.1),
        elu=((1.3, 1.3), (43, 37), 0.2, 0.0, 0.0),
        selu=((1.3, 1.3), (29, 30), -0.3, 0.0, 0.0),
    )
    assert verdicts(table) == [FAILS] * 7


def test_claims_that_hold_in_part():
    table = problem_table(
        sigmoid=((3.4, 1.3), (20, 20), 0.97, 0.5, 0.5),
        tanh=((3.0, 3.0), (10, 10), 0.0, 0.0, 0.0),
        relu=((1.7, 1.3), (74, 55), 0.6, 1.0, 0.1),
        elu=((1.3, 1.3), (43, 37), 0.4, 0.0, 0.0),
    )
    assert verdicts(table)[:4] == [IN_PART] * 4
    assert verdicts(table)[5:] == [IN_PART, UNDECIDED]


def test_missing_functions_and_paths_without_end():
    @register_activation
    def nothing(x):
        return 0.0 * x

    table = measured("nothing")
    assert verdicts(table) == [UNDECIDED] * 7
    assert zero_centering.findings(table)[-1].evidence == "The table lacks relu and selu."
    problems = table[table["part"] == "problem"]
    assert not problems["reached"].astype(bool).any()
    assert (problems["updates"] == zero_centering.MOST_UPDATES).all()
    # Of a table of its own the sentences are about what did not arrive.
    table["activation"] = "sigmoid"
    assert "did not arrive" in zero_centering.findings(table)[2].evidence


@pytest.mark.parametrize("style", ["light", "dark"])
def test_figures(small, style):
    with figure_style(style):
        figures = zero_centering.figures(small, palette.line_styles())
        assert set(figures) == set(zero_centering.EXPERIMENT.captions)
        for figure in figures.values():
            assert isinstance(figure, Figure)
            figure.savefig(io.BytesIO())
    drawn = figures[""].axes[0].lines[1].get_xydata()
    path = small[(small["part"] == "path") & (small["activation"] == "sigmoid")]
    assert drawn == pytest.approx(path[["w1", "w2"]].to_numpy())


def test_bad_option():
    (option,) = zero_centering.EXPERIMENT.options
    assert option.convert("3") == 3
    with pytest.raises(RequestError, match="'none'"):
        option.convert("none")
