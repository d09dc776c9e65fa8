import itertools

import numpy as np
import pandas as pd
import pytest

from benchmark.plotting.scores import differences_figure, final_figure
from tests.plotting.frames import (
    EDGES,
    LINE_STYLES,
    SIX,
    TWENTY,
    comparisons_frame,
    differences,
    far,
    final,
    notes,
    odd,
    of,
    rows_of,
    runs_frame,
    set_runs,
    summary_frame,
    two_outcomes,
)


def test_every_complete_run_is_a_point_and_mean_interval_and_median_are_the_tables():
    runs = runs_frame()
    summary = summary_frame(runs).set_index("activation")
    (axes,) = final(runs).axes
    for name, group in runs.groupby("activation"):
        points, interval, mean, median = of(axes.lines, name)
        np.testing.assert_array_equal(points.get_xdata(), np.sort(group["test_accuracy"]))
        row = summary.loc[name]
        assert list(interval.get_xdata()) == list(row[[f"test_accuracy_ci_{e}" for e in EDGES]])
        assert mean.get_xdata() == [row["test_accuracy_mean"]]
        assert median.get_xdata() == [row["test_accuracy_median"]]
        assert {points.get_color(), mean.get_color()} == {LINE_STYLES[name].color}
        assert points.get_marker() == LINE_STYLES[name].marker


def test_activations_stand_in_the_order_of_the_mean_best_on_top():
    (axes,) = final(runs_frame()[::-1]).axes
    assert rows_of(axes) == SIX
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    for place, name in enumerate(SIX):
        heights = np.concatenate([line.get_ydata() for line in of(axes.lines, name)])
        assert place - 0.5 < heights.min() <= heights.max() < place + 0.5


def test_points_that_are_equal_do_not_hide_each_other():
    runs = set_runs(runs_frame(n_seeds=4), "relu", range(4), test_accuracy=0.97)
    (axes,) = final(runs).axes
    points = of(axes.lines, "relu")[0]
    assert len(set(points.get_ydata())) == 4
    # They are marked that far apart, in points of the page.
    figure = axes.figure
    figure.draw_without_rendering()
    for name in SIX:
        pixels = axes.transData.transform(of(axes.lines, name)[0].get_xydata())
        for one, other in itertools.combinations(pixels, 2):
            assert np.hypot(*(one - other)) * 72 / figure.dpi > 3


def test_closer_view_where_one_lies_far_below():
    runs = far()
    whole, closer = final(runs).axes
    assert [axes.get_title(loc="left") for axes in (whole, closer)] == ["All", "Closer view"]
    rest = runs.loc[runs["activation"] != "sigmoid", "test_accuracy"]
    low, high = closer.get_xlim()
    assert 0.9 < low < rest.min()
    assert rest.max() < high
    assert whole.get_xlim()[0] < 0.1028
    assert notes(closer)["activation:sigmoid"] == "10 of 10 did not learn"
    assert "← 10.3" in [text.get_text() for text in closer.texts]
    assert len(final(runs_frame()).axes) == 1


def test_two_outcomes_have_neither_mean_nor_interval():
    runs = two_outcomes()
    figure = final(runs)
    whole, closer = figure.axes
    points, median = of(whole.lines, "leaky_relu")
    assert len(points.get_xdata()) == 10
    (middle,) = median.get_xdata()
    assert middle == runs.loc[runs["activation"] == "leaky_relu", "test_accuracy"].median()
    texts = [text.get_text() for text in of(closer.texts, "leaky_relu")]
    assert texts == ["← 2 at 9.8", "2 of 10 did not learn"]
    caption = figure.get_supxlabel().replace("\n", " ")
    assert caption.endswith("no mean where only some runs learned")
    assert "no mean" not in final(far()).get_supxlabel()


def test_what_else_became_of_runs_is_said_beside_them():
    figure = final(odd(TWENTY, 5))
    said = {text.get_gid(): text.get_text() for text in figure.axes[-1].texts}
    assert said["activation:gelu"] == "5 failed"
    assert said["activation:selu"] == "1 diverged"
    assert said["activation:activation_0"] == "5 diverged"
    assert "activation:relu" not in said
    assert rows_of(figure.axes[0])[-2:] == ["activation_0", "gelu"]
    assert (
        figure.get_supxlabel()
        .replace("\n", " ")
        .startswith(
            "small marks: 1 to 5 complete runs of each; ●: mean with 95 % interval; |: median;"
        )
    )


def test_a_single_run_has_no_mean():
    figure = final(runs_frame(n_seeds=1))
    (axes,) = figure.axes
    (point,) = of(axes.lines, "relu")
    assert point.get_ydata() == [1]
    assert figure.get_supxlabel() == (
        "small marks: 1 complete run of each; in order of the mean, best first"
    )


def test_sampling_error_is_a_bar_on_the_axis_with_words():
    # The error is larger than all differences: the panel must hold it all the same.
    runs = runs_frame().assign(test_images=50)
    best = summary_frame(runs).set_index("activation").loc["sigmoid"]
    error = best["test_sampling_error"]
    (axes,) = final(runs).axes
    (bar,) = [container for container in axes.containers if container.has_xerr]
    (segment,) = bar.lines[2][0].get_segments()
    np.testing.assert_allclose(np.ptp(segment[:, 0]), 2 * error)
    low, high = axes.get_xlim()
    assert low < segment[:, 0].min()
    assert segment[:, 0].max() < high
    assert segment[0, 1] > len(SIX) - 1
    words = axes.texts[-1].get_text()
    of = "sampling error of one\naccuracy (50 test examples)"
    assert words == f"{of}: ± {100 * error:.2g} points"


def test_without_the_size_of_the_test_set_there_is_no_sampling_error():
    runs = runs_frame()
    summary = summary_frame(runs).assign(test_sampling_error=np.nan, n_not_learned=np.nan)
    figure = final_figure(runs.drop(columns="test_images"), summary, {}, LINE_STYLES)
    assert not figure.axes[0].containers
    assert not figure.axes[0].texts


def test_nothing_overlaps_in_a_chart():
    for figure in (final(odd(TWENTY, 10)), differences(odd(TWENTY, 10))):
        figure.draw_without_rendering()
        last = figure.axes[-1]
        boxes = [text.get_window_extent() for text in last.texts if text.get_text()]
        for one, other in itertools.combinations(boxes, 2):
            assert not one.overlaps(other)
        labels = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
        for one, other in itertools.pairwise(labels):
            assert one.y0 >= other.y1
        for text in (*last.texts, *figure.axes[0].get_yticklabels()):
            box = text.get_window_extent()
            assert figure.bbox.x0 <= box.x0
            assert box.x1 <= figure.bbox.x1


def test_differences_are_the_tables_with_the_verdict_beside():
    runs = runs_frame(n_seeds=10)
    table = comparisons_frame(runs)
    table = table[table["metric"] == "test_accuracy"].set_index("activation")
    figure = differences(runs)
    (axes,) = figure.axes
    assert rows_of(axes) == ["sigmoid", "elu", "leaky_relu", "selu", "gelu"]
    for name, row in table.iterrows():
        interval, difference = of(axes.lines, name)
        assert difference.get_xdata() == [row["difference"]]
        assert list(interval.get_xdata()) == [row["ci_low"], row["ci_high"]]
    assert notes(axes)["activation:gelu"] == "worse"
    assert notes(axes)["activation:sigmoid"] == "better"
    assert axes.get_xlabel() == "Difference to relu\n(percentage points)"
    assert axes.xaxis.get_major_formatter()(-0.015, 0) == "−1.5"
    low, high = axes.get_xlim()
    assert low < 0 < high
    assert (
        figure.get_supxlabel()
        .replace("\n", " ")
        .startswith(
            "mean over 10 pairs of runs with the same seed; line: confidence sequence for all pairs"
        )
    )


def test_letters_stand_beside_the_accuracies():
    runs = runs_frame(n_seeds=10)
    figure = final_figure(runs, summary_frame(runs), {"relu": "a", "gelu": "ab"}, LINE_STYLES)
    beside = notes(figure.axes[-1])
    assert (beside["activation:relu"], beside["activation:gelu"]) == ("a", "ab")
    assert "share a letter are not told apart" in figure.get_supxlabel().replace("\n", " ")


def test_zero_is_in_every_panel_of_differences():
    runs = set_runs(runs_frame(best=0.95, n_seeds=10), "gelu", range(10), test_accuracy=0.2)
    runs = set_runs(runs, "relu", range(10), test_accuracy=0.99)
    figure = differences(runs)
    assert len(figure.axes) == 2
    for axes in figure.axes:
        low, high = axes.get_xlim()
        assert low < 0 < high
        # It is drawn as a line.
        assert [0, 0] in [list(line.get_xdata()) for line in axes.lines]


def test_losses_are_not_drawn_among_accuracies():
    table = comparisons_frame(runs_frame(n_seeds=10))
    losses = table["metric"] == "test_loss"
    table.loc[losses, "difference"] = 55.0
    (axes,) = differences_figure(table, LINE_STYLES).axes
    assert axes.get_xlim()[1] < 1


def test_an_activation_without_pairs_is_named():
    runs = set_runs(runs_frame(n_seeds=8), "gelu", range(8), status="failed")
    (axes,) = differences(runs).axes
    assert rows_of(axes)[-1] == "gelu"
    assert not of(axes.lines, "gelu")
    assert notes(axes)["activation:gelu"] == "undecided"


def test_wrong_requests_are_refused():
    runs, table = runs_frame(), comparisons_frame(runs_frame())
    summary = summary_frame(runs)
    with pytest.raises(ValueError, match="unknown style 'blue': choose from light, dark"):
        final(runs, style="blue")
    with pytest.raises(ValueError, match="no rows"):
        final_figure(runs, summary[:0], {}, LINE_STYLES)
    with pytest.raises(ValueError, match="one setting at a time"):
        final_figure(runs, pd.concat([summary, summary]), {}, LINE_STYLES)
    with pytest.raises(ValueError, match="no rows"):
        differences_figure(table[:0], LINE_STYLES)
    mixed = table.assign(baseline=["relu"] * 4 + ["elu"] * 6)
    with pytest.raises(ValueError, match="several baselines, relu and elu"):
        differences_figure(mixed, LINE_STYLES)
