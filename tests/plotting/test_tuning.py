import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from benchmark.plotting.tuning import tuning_figure
from tests.plotting.frames import LINE_STYLES, TWENTY, panels, tuning_frame


def test_each_activation_has_a_panel_with_its_rate():
    tuning = tuning_frame()
    figure = tuning_figure(tuning[::-1], LINE_STYLES)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "elu: 0.001",
        "gelu: 0.0001 (edge)",
        "leaky_relu: 0.003",
        "relu: 0.0003",
        "selu: 0.01 (edge)",
        "sigmoid: 0.0001 (edge)",
    ]
    for name, axes in panels(figure).items():
        rows = tuning[tuning["activation"] == name]
        (line,) = [one for one in axes.lines if one.get_color() == LINE_STYLES[name].color][:1]
        np.testing.assert_array_equal(line.get_xdata(), rows["learning_rate"])
        np.testing.assert_array_equal(line.get_ydata(), rows["val_accuracy_mean"])
        (ring,) = [one for one in axes.lines if one.get_markerfacecolor() == "none"]
        best = rows[rows["chosen"]].iloc[0]
        assert ring.get_xydata().tolist() == [[best["learning_rate"], best["val_accuracy_mean"]]]
        assert axes.get_xscale() == "log"


@pytest.mark.parametrize(
    ("rates", "ticks"),
    [
        ((1e-4, 1e-3, 1e-2), ["0.0001", "0.001", "0.01"]),
        ((3e-4, 1e-3, 3e-3), ["0.0003", "0.003"]),
        ((0.002,), ["0.002"]),
    ],
)
def test_rates_are_written_as_they_are_given(rates, ticks):
    figure = tuning_figure(tuning_frame(["relu"], rates, collapse=False), LINE_STYLES)
    figure.draw_without_rendering()
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ticks


def test_rates_that_diverged_are_crossed():
    tuning = tuning_frame()
    for name, axes in panels(tuning_figure(tuning, LINE_STYLES)).items():
        lost = tuning[(tuning["activation"] == name) & (tuning["n_diverged"] > 0)]
        (cross,) = [line for line in axes.lines if line.get_marker() == "x"]
        assert list(cross.get_xdata()) == list(lost["learning_rate"])


def test_axis_of_accuracies_is_stretched_only_where_some_rates_are_far_worse():
    stretched = tuning_figure(tuning_frame(), LINE_STYLES).axes[0]
    assert stretched.get_yscale() == "function"
    assert {0.95, 0.8} < set(stretched.get_yticks())
    assert stretched.get_ylim()[0] < 0.1
    # Equal ratios of errors are equally far apart.
    heights = stretched.transData.transform([(0.001, y) for y in (0.6, 0.8, 0.9)])[:, 1]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1])
    assert tuning_figure(tuning_frame(collapse=False), LINE_STYLES).axes[0].get_yscale() == "linear"


def test_tuning_says_what_the_marks_mean():
    caption = tuning_figure(tuning_frame(), LINE_STYLES).get_supxlabel().replace("\n", " ")
    assert caption == (
        "mean of 3 seeds; band: ± 1 standard deviation; ring, and above: the rate chosen; edge: no"
        " rate beyond it was tried; gray: the others; ×: a run diverged or failed"
    )
    single = tuning_frame(["relu"], n_seeds=1, collapse=False).assign(at_edge=False)
    caption = tuning_figure(single, LINE_STYLES).get_supxlabel()
    assert caption == "one seed; ring, and above: the rate chosen"


def title_of(axes):
    """The text on the left above a panel; Matplotlib gives its words only."""
    texts = [child for child in axes.get_children() if isinstance(child, Text)]
    (title,) = [text for text in texts if text.get_text() == axes.get_title(loc="left")]
    return title


def test_titles_of_many_panels_do_not_overlap():
    figure = tuning_figure(tuning_frame(TWENTY), LINE_STYLES)
    figure.draw_without_rendering()
    titles = [title_of(axes) for axes in figure.axes]
    boxes = [title.get_window_extent() for title in titles]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="no rows"):
        tuning_figure(tuning_frame()[:0], LINE_STYLES)
    with pytest.raises(ValueError, match="one setting at a time"):
        tuning_figure(pd.concat([tuning_frame(), tuning_frame()]), LINE_STYLES)
