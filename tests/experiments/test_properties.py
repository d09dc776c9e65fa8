import math

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy import integrate
from scipy.stats import norm

from benchmark import register_activation
from benchmark.activations import Activation, resolve
from benchmark.activations.catalogue import SELU_ALPHA, SELU_SCALE
from benchmark.analysis import checklist
from benchmark.analysis.curve import HARD, NO, SOFT, ActivationCurve
from benchmark.analysis.moments import MomentMap
from benchmark.experiments.base import Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED
from benchmark.experiments.studies.properties import EXPERIMENT
from benchmark.plotting.palette import line_styles
from benchmark.plotting.style import figure_style
from benchmark.results.folder import Store

MEASURED = (
    "sigmoid relu elu leaky_relu selu gelu gelu_exact tanh silu mish hard_silu relu6 celu"
    " linear maxout prelu softsign"
).split()


def measured(folder, names):
    """Return the table as it is read back from its file."""
    entries = tuple(resolve(name) for name in names)
    Store(folder).write_table("properties.csv", EXPERIMENT.measure(Setting(entries, (), {})))
    return pd.read_csv(folder / "properties.csv")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return measured(tmp_path_factory.mktemp("properties"), MEASURED)


@pytest.fixture
def rows(table):
    return table.set_index("activation")


def close(value, wanted):
    assert value == pytest.approx(wanted, abs=1e-6)


CONSTANTS = {
    ("sigmoid", "derivative_max"): 0.25,
    ("sigmoid", "derivative_max_at"): 0.0,
    ("sigmoid", "range_low"): 0.0,
    ("sigmoid", "range_high"): 1.0,
    ("tanh", "derivative_max"): 1.0,
    ("tanh", "second_moment"): 0.3942945,
    ("softsign", "range_high"): 1.0,
    ("softsign", "derivative_max"): 1.0,
    ("gelu_exact", "minimum"): -0.1699712075,
    ("gelu_exact", "minimum_at"): -0.7517915247,
    ("gelu_exact", "derivative_max"): 1.1289041452,
    ("gelu_exact", "derivative_max_at"): math.sqrt(2),
    ("gelu_exact", "second_moment"): 0.4252215,
    ("gelu", "minimum"): -0.1700407506,
    ("gelu", "minimum_at"): -0.7524614221,
    ("gelu", "nearest_distance"): 4.732355e-4,
    ("gelu", "nearest_at"): 2.698941,
    ("silu", "minimum"): -0.2784645428,
    ("silu", "minimum_at"): -1.2784645428,
    ("silu", "derivative_max"): 1.0998393201,
    ("silu", "derivative_max_at"): 2.3993572805,
    ("silu", "second_moment"): 0.3557755,
    ("mish", "minimum"): -0.3088434130,
    ("mish", "minimum_at"): -1.1924312145,
    ("hard_silu", "minimum"): -0.375,
    ("hard_silu", "left_edge"): -3.0,
    ("relu", "second_moment"): 0.5,
    ("relu", "output_mean"): 1 / math.sqrt(2 * math.pi),
    ("relu", "variance_factor"): 0.5 - 1 / (2 * math.pi),
    ("relu6", "right_edge"): 6.0,
    ("elu", "second_moment"): 0.6449454,
    ("selu", "range_low"): -SELU_SCALE * SELU_ALPHA,
    ("selu", "lipschitz"): SELU_SCALE * SELU_ALPHA,
    ("selu", "right_slope"): SELU_SCALE,
    ("selu", "fixed_mean"): 0.0,
    ("selu", "fixed_variance"): 1.0,
    ("selu", "singular_value"): 0.787673,
    ("maxout", "output_mean"): 1 / math.sqrt(math.pi),
    ("maxout", "variance_factor"): 1 - 1 / math.pi,
    ("prelu", "left_slope"): 0.25,
}


@pytest.mark.parametrize(("name", "column"), CONSTANTS)
def test_known_constants(rows, name, column):
    close(rows.loc[name, column], CONSTANTS[name, column])


def yes(column):
    return column.astype(str) == "True"


def no(column):
    return column.astype(str) == "False"


def test_kinds(rows):
    kinked = set(rows.index[no(rows["differentiable"])])
    assert kinked == set("relu leaky_relu selu hard_silu relu6 prelu step".split())
    assert rows.loc["hard_silu", "kinks"] == "-3; 3"
    assert [float(jump) for jump in rows.loc["hard_silu", "slope_jumps"].split(";")] == [-0.5] * 2
    dips = rows.index[no(rows["monotonic"])]
    assert set(dips) == {"gelu", "gelu_exact", "silu", "mish", "hard_silu"}
    assert list(rows.index[no(rows["non_linear"])]) == ["linear"]
    odd = set(rows.index[yes(rows["odd"])])
    assert odd == {"tanh", "softsign", "linear"}
    assert set(rows.index[yes(rows["zero_centred"])]) == odd | {"selu"}
    assert list(rows.index[yes(rows["self_normalising"])]) == ["selu"]
    assert rows.loc["linear", "fixed_variances"] == "every"
    assert rows.loc["relu", "fixed_variances"] == "0 only"
    assert rows["learned_per_unit"].drop("prelu").eq(0).all()
    assert rows.loc["prelu", "learned_per_unit"] == 1
    assert rows.loc["elu", "nearest"] == "celu"
    assert rows.loc["elu", "nearest_distance"] == 0
    assert str(rows.loc["relu", "range_low_attained"]) == "True"
    assert str(rows.loc["elu", "range_low_attained"]) == "False"
    assert rows.loc["relu", "range_high"] == math.inf
    assert rows.loc["softsign", "identity_high"] == pytest.approx(1 / math.sqrt(0.9) - 1)


def test_the_same_through_a_plugin(rows, tmp_path):
    @register_activation
    def my_gelu(x):
        return x * 0.5 * (1 + tf.math.erf(x / math.sqrt(2)))

    again = measured(tmp_path, ["my_gelu"]).set_index("activation").loc["my_gelu"]
    wanted = rows.loc["gelu_exact"]
    compared = [
        column
        for column in rows.columns
        if not column.startswith(("curve", "nearest")) and column not in ("note", "constants")
    ]
    for column in compared:
        if isinstance(wanted[column], float):
            assert again[column] == pytest.approx(wanted[column], abs=1e-6, nan_ok=True), column
        else:
            assert str(again[column]) == str(wanted[column]), column


def test_gradient_that_is_not_the_slope_is_noted():
    @register_activation
    @tf.custom_gradient
    def twice(x):
        return tf.nn.relu(x), lambda upstream: upstream * 2.0 * tf.cast(x > 0, x.dtype)

    note = checklist.row(resolve("twice"))[0]["note"]
    assert note.startswith("its gradient is not the slope of its values: 2 for 1 at x = ")


def curve(function):
    return ActivationCurve(Activation(name="made", make=function))


def test_saturation_by_underflow_or_rounding_is_soft():
    for name in ("sigmoid", "tanh", "gelu", "gelu_exact", "mish", "softplus", "elu"):
        assert ActivationCurve(resolve(name)).left.saturation == SOFT
    assert ActivationCurve(resolve("softplus")).right.saturation == NO


def test_hard_saturation_with_and_without_a_kink():
    clipped = curve(lambda x: tf.clip_by_value(x, -1.0, 1.0))
    assert (clipped.left.saturation, clipped.left.edge) == (HARD, -1.0)
    assert (clipped.right.saturation, clipped.right.edge) == (HARD, 1.0)
    assert [(kink.at, kink.size) for kink in clipped.kinks] == [(-1.0, 1.0), (1.0, -1.0)]
    assert clipped.slope_extreme(1).where == "-1 < x < 1"
    # The derivative of relu(x)² goes to 0 without a jump, and yet is 0 from there on.
    ramp = curve(lambda x: tf.nn.relu(x) ** 2)
    assert (ramp.left.saturation, ramp.left.edge) == (HARD, pytest.approx(0.0, abs=1e-8))
    assert ramp.kinks == []
    assert ramp.slope_extreme(1).value == math.inf


def test_tails_of_powers_and_waves():
    arctan, arsinh = curve(tf.atan), curve(tf.asinh)
    assert arctan.right.saturation == arsinh.right.saturation == SOFT
    assert arctan.right.limit == pytest.approx(math.pi / 2, abs=1e-8)
    assert arsinh.right.limit == math.inf
    wave = curve(tf.sin)
    assert wave.right.saturation == NO
    assert wave.right.bounded
    assert math.isnan(wave.right.slope)
    assert wave.extent(-1)[0] == pytest.approx(-1.0)
    assert not wave.monotonic
    assert curve(tf.square).right.slope == math.inf
    # Where exp overflows the search ends.
    assert 600 < curve(tf.exp).x[-1] < 710


def test_jumps_and_infinite_slopes():
    shrink = curve(lambda x: tf.where(tf.abs(x) > 0.5, x, 0.0 * x))
    jumps = [(jump.at, round(jump.size, 9)) for jump in shrink.discontinuities]
    assert jumps == [(-0.5, 0.5), (0.5, 0.5)]
    root = curve(lambda x: tf.sign(x) * tf.abs(x) ** (1 / 3))
    assert root.discontinuities == []
    assert [(kink.at, kink.size) for kink in root.kinks] == [(0.0, math.inf)]
    assert root.slope_extreme(1).value == math.inf
    # The derivative that TensorFlow takes at 0 exactly is not that of either side.
    assert [(kink.left, kink.right) for kink in curve(tf.abs).kinks] == [(-1.0, 1.0)]


def test_a_function_that_can_only_compute_in_float32(tmp_path):
    register_activation(lambda x: tf.nn.relu(x) * tf.constant(2.0), name="twice_relu")
    row = measured(tmp_path, ["twice_relu"]).iloc[0]
    assert row["precision"] == "float32"
    assert "float64" in row["note"]
    assert (row["left_saturation"], row["right_slope"]) == (HARD, 2.0)
    assert row["second_moment"] == pytest.approx(2.0, abs=1e-6)


def expected(function, variance, power):
    """Return the mean of f(z) to that power for z ~ N(0, variance)."""
    weighted = lambda z: function(math.sqrt(variance) * z) ** power * norm.pdf(z)  # noqa: E731
    points = np.linspace(-1, 1, 9)
    return integrate.quad(weighted, -12, 12, points=points, epsabs=1e-13, limit=500)[0]


def test_moments_agree_with_adaptive_quadrature_and_closed_forms():
    for function, at in ((np.tanh, 1.0), (np.tanh, 30.0), (lambda x: 1 / (1 + x * x), 0.3)):
        found = MomentMap(lambda x, f=function: f(x[:, 0])).at(at)
        assert found.mean == pytest.approx(expected(function, at, 1), abs=1e-9)
        assert found.second == pytest.approx(expected(function, at, 2), abs=1e-9)
    relu = MomentMap(lambda x: np.maximum(x[:, 0], 0.0)).at(4.0)
    assert relu.variance == pytest.approx(4 * (0.5 - 1 / (2 * math.pi)), abs=1e-12)
    assert relu.variance_slope == pytest.approx(0.5 - 1 / (2 * math.pi), abs=1e-12)
    # A jump away from the edges of the panels: P(Z > 1/3).
    jump = MomentMap(lambda x: (x[:, 0] > 1 / 3).astype(float), breaks=[1 / 3]).at(1.0)
    assert jump.mean == pytest.approx(norm.sf(1 / 3), abs=1e-12)


def test_jacobian_agrees_with_finite_differences():
    layer = MomentMap(lambda x: np.where(x > 0, x, 1.7 * np.expm1(x))[:, 0])
    here, step = layer.at(0.8), 1e-5
    above, below = layer.at(0.8 + step), layer.at(0.8 - step)
    assert here.mean_slope == pytest.approx((above.mean - below.mean) / (2 * step), abs=1e-8)
    change = (above.variance - below.variance) / (2 * step)
    assert here.variance_slope == pytest.approx(change, abs=1e-8)


def test_fixed_points():
    # Var (aZ√ν)² = 2 a⁴ ν²: fixed at ν = 1/(2 a⁴), from which it runs away at twice the rate.
    (found,) = MomentMap(lambda x: 2.0 * x[:, 0] ** 2).fixed_points()
    assert found.variance == pytest.approx(1 / 8)
    assert found.radius == pytest.approx(2.0)
    assert not found.attracts
    assert MomentMap(lambda x: -x[:, 0]).fixed_points() is None
    assert MomentMap(lambda x: np.clip(x[:, 0], -1, 1), [-1, 1]).fixed_points() == []


# In the order of the findings.
VERDICTS = {
    "necessary": HOLDS,
    "sigmoid_slope": HOLDS,
    "saturation": HOLDS,
    "right_side": HOLDS,
    "left_side": HOLDS,
    "zero_centred": HOLDS,
    "monotonic": HOLDS,
    "near_linear": IN_PART,
    "parameters": IN_PART,
    "self_normalising": HOLDS,
    "four_conditions": IN_PART,
    "gelu_forms": HOLDS,
    "step": HOLDS,
    "softmax": HOLDS,
}


def judged(table):
    return dict(zip(VERDICTS, EXPERIMENT.findings(table), strict=True))


def test_verdicts_of_the_catalogue(table):
    found = judged(table)
    assert {name: finding.verdict for name, finding in found.items()} == VERDICTS
    slope = found["sigmoid_slope"].evidence
    assert "is 0.25, at x = 0" in slope
    assert "0.783" in found["self_normalising"].evidence
    assert "0.0004732355" in found["gelu_forms"].evidence
    assert "17 activations" in EXPERIMENT.method(table)
    for finding in found.values():
        assert finding.evidence.endswith(".")
        assert "nan" not in finding.evidence


@pytest.mark.parametrize(
    ("judge", "name", "changes", "verdict"),
    [
        ("necessary", "relu", {"non_linear": "False"}, IN_PART),
        ("necessary", "relu", {"continuous": "False"}, IN_PART),
        ("necessary", "relu", {"kinks": "; ".join(map(str, range(11)))}, IN_PART),
        ("necessary", "relu", {"kinks": "; ".join(map(str, range(10)))}, HOLDS),
        # Twice the input is linear, too, but not the identity.
        ("necessary", "linear", {"derivative_min": 2.0, "derivative_max": 2.0}, IN_PART),
        ("sigmoid_slope", "sigmoid", {"derivative_max": 0.26}, FAILS),
        ("saturation", "tanh", {"left_saturation": "hard"}, IN_PART),
        ("right_side", "gelu", {"right_saturation": "soft"}, IN_PART),
        ("left_side", "elu", {"left_saturation": "hard"}, IN_PART),
        ("zero_centred", "tanh", {"zero_centred": "False"}, IN_PART),
        ("self_normalising", "selu", {"self_normalising": "False"}, IN_PART),
        ("self_normalising", "tanh", {"self_normalising": "True"}, IN_PART),
        ("gelu_forms", "gelu", {"nearest_distance": 0.005}, FAILS),
        ("step", "step", {"saturated_everywhere": "False"}, IN_PART),
        ("softmax", "softmax", {"shift_error": 0.1}, IN_PART),
    ],
)
def test_a_verdict_follows_the_table(table, judge, name, changes, verdict):
    changed = table.copy()
    for column, value in changes.items():
        changed.loc[changed["activation"] == name, column] = value
    assert judged(changed)[judge].verdict == verdict


def only(table, *names):
    return table[table["activation"].isin([*names, "softmax", "step"])]


@pytest.mark.parametrize(
    ("judge", "names", "verdict"),
    [
        ("four_conditions", ["selu"], HOLDS),
        ("four_conditions", ["gelu"], FAILS),
        ("four_conditions", ["relu"], UNDECIDED),
        ("monotonic", ["relu"], UNDECIDED),
        ("monotonic", ["maxout"], UNDECIDED),
        ("near_linear", ["relu"], HOLDS),
        ("near_linear", ["sigmoid"], FAILS),
        ("near_linear", ["maxout"], UNDECIDED),
        ("parameters", ["relu"], HOLDS),
        ("parameters", ["prelu"], HOLDS),
        ("parameters", ["maxout"], FAILS),
        ("parameters", ["linear"], UNDECIDED),
        ("necessary", ["linear"], UNDECIDED),
        ("near_linear", ["linear"], UNDECIDED),
        ("near_linear", ["linear", "maxout"], UNDECIDED),
        ("necessary", ["maxout"], HOLDS),
        ("sigmoid_slope", ["relu"], UNDECIDED),
    ],
)
def test_a_verdict_for_few_activations(table, judge, names, verdict):
    finding = judged(only(table, *names))[judge]
    assert finding.verdict == verdict
    assert "nan" not in finding.evidence


def test_what_was_not_measured_is_named(table):
    evidence = judged(only(table, "relu"))["saturation"].evidence
    assert evidence == "The table lacks sigmoid and tanh."


def test_the_identity_is_left_out_by_what_was_measured(table):
    renamed = table.assign(activation=table["activation"].replace("linear", "mine"))
    found = judged(renamed)
    for judge in ("necessary", "near_linear", "parameters"):
        assert found[judge].evidence.endswith(" Left out as the identity: mine.")
    # 17 activations but for one.
    assert "Non-linear: 16 of 16." in found["necessary"].evidence


def test_many_kinks_are_counted_and_learned_weights_too(table):
    changed = table.copy()
    changed.loc[changed["activation"] == "relu", "kinks"] = "; ".join(map(str, range(30)))
    changed.loc[changed["activation"] == "prelu", "learned_per_unit"] = 2.0
    found = judged(changed)
    evidence = found["necessary"].evidence
    assert "relu (30 points)" in evidence
    assert "more than a few, that is 10, has relu" in evidence
    assert found["parameters"].verdict == IN_PART
    assert judged(only(changed, "prelu"))["parameters"].verdict == FAILS


def test_which_weights_the_map_is_for_is_said(table):
    evidence = judged(table)["self_normalising"].evidence
    assert "With weights that add up to exactly 0 for each unit (ω = 0) the variance" in evidence
    assert "with random weights the mean output adds to the variance" in evidence
    assert "add up to exactly 0 for each unit (ω = 0)" in EXPERIMENT.method(table)
    # With random weights τ(ν + μ²) takes the place of ν: sigmoid's variance settles above 0.
    layer, second = MomentMap(lambda x: 1 / (1 + np.exp(-x[:, 0]))), 1.0
    for _ in range(50):
        second = layer.at(second).second
    assert expected(lambda x: 1 / (1 + np.exp(-x)), second, 2) == pytest.approx(second, abs=1e-9)
    assert 0.01 < layer.at(second).variance < 0.02


@pytest.mark.parametrize(
    ("names", "style"), [(MEASURED, "light"), (["relu"], "dark"), (["maxout"], "light")]
)
def test_figures(table, names, style):
    shown = only(table, *names)
    with figure_style(style):
        figures = EXPERIMENT.figures(shown, line_styles())
        assert figures.keys() == EXPERIMENT.captions.keys()
        for figure in figures.values():
            figure.draw_without_rendering()
    panels = [axes.get_title(loc="left") for axes in figures[""].axes]
    assert panels == [name for name in shown["activation"] if name not in ("maxout", "softmax")]
    (matrix,) = figures["checklist"].axes
    rows = [label.get_text() for label in matrix.get_yticklabels()]
    assert rows == [name for name in shown["activation"] if name != "softmax"]
    cells = {(round(text.get_position()[1]), text.get_text()) for text in matrix.texts}
    assert (rows.index("step"), "hard") in cells


def test_a_derivative_is_not_joined_across_its_kink(table):
    with figure_style("light"):
        figure = EXPERIMENT.figures(only(table, "leaky_relu"), line_styles())[""]
    _, derivative, function, *_ = figure.axes[0].lines
    x, slope = derivative.get_data()
    gap = np.flatnonzero(np.isnan(x))
    assert len(gap) == 1
    assert (slope[gap - 1], slope[gap + 1]) == (0.2, 1.0)
    assert not np.isnan(function.get_xdata()).any()


def test_a_table_is_a_function_of_its_setting():
    setting = Setting((resolve("relu"),), (), {})
    parts = []
    first = EXPERIMENT.measure(setting)
    again = EXPERIMENT.measure(
        Setting(setting.entries, (), {}, progress=lambda *part: parts.append(part))
    )
    pd.testing.assert_frame_equal(first, again)
    assert parts == [(0, 3), (1, 3), (3, 3)]


def test_function_without_finite_values_is_named():
    def nowhere(x):
        return x * tf.constant(float("nan"), x.dtype)

    entry = Activation("nowhere", nowhere)
    with pytest.raises(ValueError, match="nowhere cannot be examined"):
        EXPERIMENT.measure(Setting((entry,), (), {}))
