import io
import itertools

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from benchmark.activations import resolve
from benchmark.data import loading
from benchmark.errors import RequestError
from benchmark.experiments.base import Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED
from benchmark.experiments.studies import dead_units
from benchmark.plotting import style
from benchmark.plotting.palette import line_styles
from benchmark.training import stacked

EXPERIMENT = dead_units.EXPERIMENT
RATES, STEPS, AVOIDED, SOFT, BACK, ACCURACY = range(6)


def reread(table):
    return pd.read_csv(io.StringIO(table.to_csv(index=False)))


def small(activations, rates=(0.1, 1.0), **fields):
    data = loading.split(loading.load(loading.locate("digits")), limit=300)
    settings = {"learning_rates": list(rates), "epochs": dead_units.STEP_EPOCH + 1}
    entries = tuple(map(resolve, activations))
    return reread(dead_units.measure(Setting(entries, (0,), settings, "digits", data, **fields)))


@pytest.fixture(scope="module")
def measured():
    return small(("relu", "prelu"))


def made_up(
    name, rates=None, steps=None, after=None, accuracy=0.9, back=(0, 0), seeds=(0,), start=0
):
    """Return a table of two layers of 100 units each.

    `rates` and `steps` give the units inactive at the end by learning rate and by large step,
    `after` those right after the step, `start` those before training; None in their place is a
    network that diverged. `back` counts the units that came back in each layer, of as many dead
    ones as are inactive.
    """
    steps = steps or {1: 0, 10: 0}
    after = after or steps
    ordinary = [("rates", rate, 1, 9, False, count) for rate, count in (rates or {0.1: 0}).items()]
    ordinary += [("rates", rate, 1, 0, False, start) for rate in rates or {0.1: 0}]
    stepped = [("step", 0.1, factor, 9, True, count) for factor, count in steps.items()]
    stepped += [("step", 0.1, factor, 5, True, count) for factor, count in after.items()]
    stepped += [("step", 0.1, factor, 5, False, 0) for factor in steps]
    stepped += [("step", 0.1, factor, 0, False, start) for factor in steps]
    rows = []
    for (part, rate, step, epoch, made, count), seed, layer in itertools.product(
        ordinary + stepped, seeds, (1, 2)
    ):
        lost = count is None
        counts = dict.fromkeys(dead_units.COUNTS, None if lost else count)
        counts["came_back"] = None if lost else back[layer - 1]
        row = {"activation": name, "hard": name.startswith("relu"), "part": part}
        row |= {"learning_rate": rate, "large_step": step, "seed": seed, "epoch": epoch}
        row |= {"stepped": made, "accuracy": 0.0 if lost else accuracy, "diverged": lost}
        row |= {"layer": layer, "units": 100, "batch_size": 8, "dataset": "digits", "images": 7}
        rows.append(row | counts)
    return pd.DataFrame(rows)


def ends(table, rate, seed=None):
    """Return which rows of ordinary training at that rate are the end's."""
    here = (table.part == "rates") & (table.learning_rate == rate) & (table.epoch == 9)
    return here if seed is None else here & (table.seed == seed)


def found(table, place):
    return EXPERIMENT.findings(reread(table))[place]


def network(name, units_off, off=-1e3):
    """Return a network of two hidden layers; units listed as (layer, unit) have that bias."""
    made = stacked.Networks(resolve(name), [4, *[dead_units.UNITS] * 2, 3], [0, 1])
    for layer, unit in units_off:
        made.biases[layer][0, 0, unit].assign(off)
    return made


X = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
FINE = np.array([True, True])


def test_census_counts_the_units_that_are_switched_off():
    made = network("relu", [(0, 3), (0, 5), (1, 7)])
    before = network("relu", [])
    counts = dead_units.Census(made, X, X).take(FINE)
    usual = dead_units.Census(before, X, X).take(FINE)
    np.testing.assert_array_equal(usual[:3, 1], counts[:3, 1])
    assert list(counts[0, 0] - usual[0, 0]) == [2, 1]
    np.testing.assert_array_equal(counts[0], counts[2])
    np.testing.assert_array_equal(counts[2], counts[3])
    assert not counts[4].any()


def test_a_unit_active_on_one_training_image_is_inactive_but_not_dead():
    made = network("relu", [])
    made.kernels[0].assign(tf.zeros_like(made.kernels[0]))
    made.kernels[0][0, 0, 3].assign(1.0)
    x, x_val = np.zeros((9, 4), np.float32), np.zeros((5, 4), np.float32)
    x[8, 0] = 1.0
    counts = dead_units.Census(made, x, x_val).take(FINE)[:, 0, 0]
    everything = dead_units.UNITS
    assert list(counts) == [everything, everything, everything - 1, everything - 1, 0]


def test_census_remembers_who_was_dead_and_came_back():
    made = network("relu", [(0, 3), (0, 5)])
    census = dead_units.Census(made, X, X)
    first = census.take(FINE)[:, 0, 0]
    made.biases[0][0, 0, 3].assign(0.0)
    second = census.take(FINE)[:, 0, 0]
    made.biases[0][0, 0, 3].assign(-1e3)
    made.biases[0][0, 0, 9].assign(-1e3)
    third = census.take(FINE)[:, 0, 0]
    assert list(second - first) == [-1, -1, -1, 0, 1]
    assert list(third - second) == [2, 2, 2, 1, 0]


def test_census_leaves_networks_that_diverged_alone():
    census = dead_units.Census(network("relu", [(0, 3)]), X, X)
    assert not census.take(np.array([False, True]))[3, 0].any()


@pytest.mark.parametrize(("off", "inactive", "weak"), [(-5, 0, 0), (-12, 0, 2), (-30, 2, 2)])
def test_a_soft_function_counts_by_its_slope(off, inactive, weak):
    """ELU's slope at z is exp(z): a millionth at -13.8, a thousandth at -6.9."""
    made = network("elu", [(0, 3), (0, 5)], off)
    counts = dead_units.Census(made, X / 10, X / 10).take(FINE)[:, 0, 0]
    assert list(counts[:2]) == [inactive, weak]


def test_weights_of_a_dead_unit_stand_still():
    """Why one in the first layer cannot come back."""
    made = network("relu", [(0, 3)])
    before = made.kernels[0].numpy()
    y = np.arange(50) % 3
    stacked.Training(made, X, y, learning_rate=1.0, batch_size=10).epoch()
    moved = (made.kernels[0].numpy() != before)[0].any(axis=0)
    assert not moved[3]
    assert moved.sum() > dead_units.UNITS / 2


def test_measured_table_is_tidy(measured):
    keys = ["activation", "part", "learning_rate", "large_step", "seed", "epoch", "stepped"]
    assert not measured.duplicated([*keys, "layer"]).any()
    fine = measured[~measured.diverged]
    assert not fine.isna().any().any()
    assert (fine.dead <= fine.inactive).all()
    assert (fine.inactive <= fine.weak).all()
    assert (fine.dead <= fine.ever_dead).all()
    assert (fine.came_back <= fine.ever_dead).all()
    assert measured.groupby("activation").hard.first().to_dict() == {"relu": True, "prelu": False}
    for _, rows in measured.groupby("part"):
        assert {0, 1, 2, 5, 6} == set(rows.epoch)


def test_in_the_first_layer_no_dead_unit_comes_back(measured):
    relu = measured[(measured.activation == "relu") & ~measured.diverged]
    assert relu[relu.layer == 1].ever_dead.max() > 0
    assert (relu[relu.layer == 1].came_back == 0).all()
    assert relu[relu.layer > 1].came_back.max() > 0


def test_without_a_large_step_training_is_as_usual(measured):
    relu = measured[(measured.activation == "relu") & (measured.learning_rate == 0.1)]
    columns = ["epoch", "layer", "accuracy", *dead_units.COUNTS]
    usual = relu[relu.part == "rates"][columns]
    control = relu[(relu.part == "step") & (relu.large_step == 1)]
    control = control[(control.epoch != 5) | ~control.stepped][columns]
    assert control.to_numpy().tolist() == usual.to_numpy().tolist()


def test_large_step_is_made_after_its_epoch_and_never_before(measured):
    relu = measured[(measured.activation == "relu") & (measured.part == "step")]
    before = relu[~relu.stepped & (relu.epoch <= 5)]
    assert before.groupby(["epoch", "layer"]).accuracy.nunique().eq(1).all()
    after = relu[relu.stepped & (relu.epoch == 5) & (relu.layer == 1)]
    assert after.accuracy.nunique() > 1
    assert after.dead.is_monotonic_increasing
    assert after.dead.iloc[-1] > after.dead.iloc[0]


def test_table_is_a_function_of_its_setting_and_progress_is_told(measured):
    told = []
    again = small(("relu",), progress=lambda done, of: told.append((done, of)))
    relu = measured[measured.activation == "relu"].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, relu, check_dtype=False)
    assert told == [(epoch, 6) for epoch in range(7)]


def test_networks_that_diverge_are_told_and_left_blank():
    table = small(("linear",), rates=(0.01, 1e6))
    lost = table[(table.learning_rate == 1e6) & (table.epoch == 6)]
    assert lost.diverged.all()
    assert lost.dead.isna().all()
    assert (lost.accuracy == 0).all()
    assert not table[table.learning_rate == 0.01].diverged.any()
    drawn(table)


@pytest.mark.parametrize(
    ("rates", "verdict"),
    [
        ({0.1: 5, 0.3: 10, 1: 60}, HOLDS),
        ({0.1: 5, 0.3: 10, 1: 60, 3: None}, HOLDS),
        ({0.1: 20, 0.3: 10, 1: 60}, IN_PART),
        ({0.1: 5, 0.3: 6, 1: 7}, IN_PART),
        ({0.1: 60, 0.3: 6, 1: 7}, IN_PART),
        ({0.1: 3, 0.3: 10, 1: 60}, IN_PART),
        ({0.1: 4, 0.3: 4, 1: 3}, FAILS),
        ({0.1: 60, 0.3: None}, UNDECIDED),
    ],
)
def test_verdict_on_learning_rates(rates, verdict):
    assert found(made_up("relu", rates=rates, start=4), RATES).verdict == verdict


def test_units_that_were_inactive_before_training_did_not_die_in_it():
    table = made_up("relu", rates={0.1: 5, 1: 60}, start=60)
    finding = found(table, RATES)
    assert finding.verdict == IN_PART
    assert finding.evidence.startswith("Inactive before training, of ReLU's units: 60 %;")
    assert finding.evidence.endswith("so more than before at 0 of 2 rates.")


def test_evidence_on_learning_rates_tells_the_range():
    table = made_up("relu", rates={0.1: 5, 1: 60}, seeds=(0, 1))
    table.loc[ends(table, 1, seed=1), "inactive"] = 64
    assert found(table, RATES).evidence == (
        "Inactive before training, of ReLU's units: 0 %; at the end: 5 % at rate 0.1 and 62 % (60"
        " to 64 %) at rate 1, so more than before at 2 of 2 rates."
    )


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        ({1: 5, 10: 10, 100: 60}, HOLDS),
        ({1: 5, 10: 60, 100: 50}, IN_PART),
        ({1: 5, 10: 5, 100: 5}, FAILS),
    ],
)
def test_verdict_on_a_large_step_is_on_what_follows_at_once(after, verdict):
    finding = found(made_up("relu", steps={1: 5, 10: 6, 100: 7}, after=after), STEPS)
    assert finding.verdict == verdict
    assert finding.evidence.endswith("ordinary training: 5 %, 6 % and 7 % of ReLU's units.")


def three(elu=0, leaky=0, relu=80, **fields):
    """Return a table of ReLU, ELU and Leaky ReLU with these units inactive at rate 1."""
    counts = {"relu": relu, "elu": elu, "leaky_relu": leaky}
    return pd.concat(
        made_up(name, rates={0.1: 0, 1: count}, **fields) for name, count in counts.items()
    ).reset_index(drop=True)


@pytest.mark.parametrize(
    ("elu", "leaky", "verdict"), [(0, 0, HOLDS), (30, 0, IN_PART), (30, 20, FAILS)]
)
def test_verdict_on_those_said_to_avoid_it(elu, leaky, verdict):
    finding = found(three(elu, leaky), AVOIDED)
    assert finding.verdict == verdict
    assert "relu 80 % at rate 1, in 1 of 1 network of accuracy 90 %;" in finding.evidence


@pytest.mark.parametrize(("elu", "verdict"), [(30, FAILS), (0, HOLDS)])
def test_one_said_to_avoid_it_is_judged_alone(elu, verdict):
    finding = found(made_up("elu", rates={0.1: 0, 1: elu}), AVOIDED)
    assert finding.verdict == verdict
    assert finding.evidence.endswith("The table lacks leaky_relu.")


def test_dead_units_of_wrecked_networks_are_told_from_those_of_working_ones():
    table = three(seeds=(0, 1, 2))
    wrecked = (table.activation == "elu") & ends(table, 1, seed=2)
    table.loc[wrecked, "inactive"] = 90
    table.loc[wrecked, "accuracy"] = 0.1
    finding = found(table, AVOIDED)
    assert finding.verdict == IN_PART
    assert "elu 30 % (0 to 90 %) at rate 1, in 1 of 3 networks of accuracy 10 %" in finding.evidence
    assert "others the largest share is: relu 80 %, leaky_relu 0 % and elu 0 %." in finding.evidence
    table.loc[wrecked, "accuracy"] = 0.9
    assert "leaky_relu 0 % and elu 30 %" in found(table, AVOIDED).evidence


def test_activations_are_compared_where_all_of_them_stayed_finite():
    table = three(elu=50, seeds=(0, 1))
    gone = (table.activation == "leaky_relu") & ends(table, 1, seed=1)
    table.loc[gone, "diverged"] = True
    finding = found(table, AVOIDED)
    assert finding.verdict == HOLDS
    assert "(at rate 0.1 and after a step 10 times as large)" in finding.evidence
    assert "Networks that became infinite: leaky_relu 1 of 2 at rate 1." in finding.evidence


def test_divergence_is_told_in_both_parts():
    table = pd.concat(
        [
            made_up("elu", rates={0.1: 0, 1: None}, seeds=(0, 1)),
            made_up("leaky_relu", steps={1: 0, 10: 0, 100: None}, seeds=(0, 1)),
        ]
    )
    evidence = found(table, AVOIDED).evidence
    assert "leaky_relu 2 of 2 after a step 100 times as large; elu 2 of 2 at rate 1." in evidence


@pytest.mark.parametrize(
    ("tanh", "mine", "verdict"), [(0, 1, HOLDS), (30, 0, IN_PART), (30, 20, FAILS)]
)
def test_verdict_on_soft_saturation_takes_no_names(tanh, mine, verdict):
    tables = [
        made_up("relu", rates={1: 80}),
        made_up("tanh", rates={1: tanh}),
        made_up("mine", rates={1: mine}),
        made_up("elu", rates={1: None}, steps={1: None, 10: None}),
    ]
    finding = found(pd.concat(tables), SOFT)
    assert finding.verdict == verdict
    assert "80 %" not in finding.evidence
    assert "became infinite: elu 1 of 1 at rate 1," in finding.evidence


@pytest.mark.parametrize(("accuracy", "verdict"), [(0.9, FAILS), (0.1, IN_PART)])
def test_soft_units_that_die_in_wrecked_networks_only_refute_half(accuracy, verdict):
    table = made_up("tanh", rates={0.1: 0, 1: 30})
    table.loc[ends(table, 1), "accuracy"] = accuracy
    assert found(table, SOFT).verdict == verdict


@pytest.mark.parametrize("place", [AVOIDED, SOFT])
def test_where_no_network_stayed_finite_nothing_is_decided(place):
    finding = found(made_up("elu", rates={0.1: None}, steps={1: None, 10: None}), place)
    assert finding.verdict == UNDECIDED
    assert "stay finite" in finding.evidence
    assert "elu 1 of 1 at rate 0.1" in finding.evidence


@pytest.mark.parametrize(
    ("back", "verdict"),
    [((0, 0), HOLDS), ((0, 30), IN_PART), ((20, 30), FAILS), ((20, 0), FAILS)],
)
def test_verdict_on_coming_back(back, verdict):
    table = made_up("relu", rates={0.1: 50, 1: None}, steps={1: 50, 10: 50}, back=back)
    finding = found(table, BACK)
    assert finding.verdict == verdict
    assert finding.evidence.startswith("In 1 network without a large step,")
    assert f"{back[0]} of 50 in layer 1 and {back[1]} of 50 in layer 2" in finding.evidence


def test_networks_of_the_large_step_do_not_count_again():
    """They share their first epochs with each other and with ordinary training."""
    table = made_up("relu", rates={0.1: 50}, steps={1: 50, 10: 50}, back=(0, 40))
    table.loc[table.part == "step", "came_back"] = 50
    assert "0 of 50 in layer 1 and 40 of 50 in layer 2" in found(table, BACK).evidence
    dead = made_up("relu", rates={0.1: 0}, steps={1: 0, 10: 50})
    assert found(dead, BACK).verdict == UNDECIDED


def test_nobody_comes_back_where_nobody_was_dead():
    assert found(made_up("relu"), BACK).verdict == UNDECIDED


@pytest.mark.parametrize(
    ("accuracies", "verdict"),
    [((0.9, 0.6, 0.5), HOLDS), ((0.9, 0.91, 0.5), IN_PART), ((0.9, 0.9, 0.9), FAILS)],
)
def test_verdict_on_accuracy_takes_every_network(accuracies, verdict):
    table = made_up("relu", rates={0.1: 0, 0.3: 40, 1: 80})
    for rate, accuracy in zip((0.1, 0.3, 1), accuracies):
        table.loc[ends(table, rate), "accuracy"] = accuracy
    finding = found(table, ACCURACY)
    assert finding.verdict == verdict
    assert "2 networks with fewer than 25 % of the ReLU units inactive: 90 %" in finding.evidence


@pytest.mark.parametrize(
    ("few", "stepped", "verdict"),
    [(0.95, 0.9, HOLDS), (0.85, 0.9, IN_PART), (0.85, 0.949, FAILS), (0.95, 0.94, IN_PART)],
)
def test_verdict_on_accuracy_compares_at_one_learning_rate(few, stepped, verdict):
    """`few` is the accuracy of a network of another rate, with few dead units."""
    table = made_up("relu", rates={0.1: 0, 0.3: 10}, steps={1: 0, 100: 40}, accuracy=0.95)
    table.loc[ends(table, 0.3), "accuracy"] = few
    table.loc[(table.large_step == 100) & (table.epoch == 9), "accuracy"] = stepped
    finding = found(table, ACCURACY)
    assert finding.verdict == verdict
    assert finding.evidence.endswith(
        f"At one learning rate, 0.1: {100 * stepped:g} % after a step 100 times as large, which"
        " left 40 % inactive, against 95 % without it, with 0 % inactive."
    )
    if few < 0.95:
        assert "inactive: 85 to 95 %; of the 1 network with more" in finding.evidence


@pytest.mark.parametrize(("count", "side"), [(0, "more"), (80, "fewer")])
def test_accuracy_needs_networks_to_compare(count, side):
    table = made_up("relu", rates={0.1: count}, steps={1: count, 10: count})
    finding = found(table, ACCURACY)
    assert finding.verdict == UNDECIDED
    assert side in finding.evidence


def test_claims_without_their_activations_are_undecided():
    findings = EXPERIMENT.findings(reread(made_up("relu6")))
    assert [finding.verdict for finding in findings] == [UNDECIDED] * 6
    assert findings[AVOIDED].evidence == "The table lacks leaky_relu and elu."


def test_method_takes_its_numbers_from_the_table():
    text = EXPERIMENT.method(made_up("relu", rates={0.2: 0, 2: 0}, steps={1: 0, 4: 0, 7: 0}))
    assert "2 hidden layers of 100 units were trained on digits for 9 epochs" in text
    assert "batches of 8, from 1 seed each" in text
    assert "After a mean" not in text
    assert "the lowest and the highest." in EXPERIMENT.method(made_up("relu", seeds=(0, 1)))
    assert "rate 0.2 and 2, and at 0.1 with one step 4 and 7 times as large after epoch 5" in text


def drawn(table):
    with style.figure_style("dark"):
        figures = EXPERIMENT.figures(table, line_styles())
        for figure in figures.values():
            figure.draw_without_rendering()
    assert figures.keys() == EXPERIMENT.captions.keys()
    return figures


def test_figures_show_shares_and_revivals():
    relu = made_up("relu", rates={0.1: 10, 1: 60}, steps={1: 10, 100: 40}, back=(0, 8))
    tables = [relu, made_up("elu", rates={0.1: 0, 1: None}, steps={1: 0, 100: 20})]
    figures = drawn(reread(pd.concat(tables)))
    ends = [axes.lines[0].get_ydata()[-1] for axes in figures[""].axes]
    assert ends == [10, 60, 10, 60]
    step, _, first, second = figures["step"].axes
    assert list(step.lines[0].get_ydata()) == [0, 0, 40, 40]
    # Those of ordinary training alone: of ReLU 10 and 60 of 100 each.
    assert [bar.get_width() for bar in second.patches] == pytest.approx([35, 0, 8, 0])
    assert [bar.get_width() for bar in first.patches][2:] == [0, 0]


def test_lines_that_lie_on_one_another_have_markers_apart():
    names = ("elu", "leaky_relu", "tanh")
    axes = drawn(reread(pd.concat(map(made_up, names))))[""].axes[0]
    markers = [line for line in axes.lines if line.get_marker() not in ("None", "")]
    assert [line.get_marker() for line in markers] == [line_styles()[name].marker for name in names]
    assert [list(line.get_ydata()) for line in markers] == [[0]] * 3
    assert [line.get_xdata()[0] for line in markers] == pytest.approx([1.5, 4.5, 7.5])


def test_figures_of_one_measured_activation(measured):
    drawn(measured[measured.activation == "prelu"])


@pytest.mark.parametrize(
    ("option", "bad"), [("epochs", "5"), ("learning_rates", "0.1,fast"), ("learning_rates", "0")]
)
def test_bad_options_are_refused_by_name(option, bad):
    convert = next(o.convert for o in EXPERIMENT.options if o.name == option)
    with pytest.raises(RequestError, match=bad.split(",")[-1]):
        convert(bad)
