import matplotlib as mpl
import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import FillBetweenPolyCollection

from benchmark.plotting.curves import curves_figure, time_figure
from benchmark.plotting.palette import gray_line_style
from tests.plotting.frames import (
    LINE_STYLES,
    SIX,
    accuracy_frame,
    close,
    far,
    history_frame,
    of,
    png,
    runs_frame,
    set_runs,
    sigmoid_far,
)


def lost(frame, name, epoch, value=np.nan):
    """The frame with both of the activation's losses non-finite from this epoch on."""
    frame = frame.copy()
    rows = (frame["activation"] == name) & (frame["epoch"] >= epoch)
    frame.loc[rows, [c for c in frame if c.startswith(("loss_m", "val_loss_m"))]] = value
    return frame


def drawn(axes, name):
    (line,) = [line for line in axes.lines if line.get_label() == name]
    return line


def bands(axes):
    return [c for c in axes.collections if isinstance(c, FillBetweenPolyCollection)]


def crosses(axes):
    return [line for line in axes.lines if line.get_marker() == "x"]


def legend_names(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_lines_are_the_frames_means_training_beside_validation(metric):
    frame = close(n_seeds=3)
    figure = curves_figure(frame, metric, LINE_STYLES, title="Digits")
    assert titles(figure) == ["Training", "Validation"]
    assert figure.get_suptitle() == "Digits"
    for axes, column in zip(figure.axes, (f"{metric}_mean", f"val_{metric}_mean")):
        for name, group in frame.groupby("activation"):
            np.testing.assert_array_equal(drawn(axes, name).get_xdata(), group["epoch"])
            np.testing.assert_array_equal(drawn(axes, name).get_ydata(), group[column])
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_bands_reach_from_low_to_high_and_need_several_seeds():
    frame = close(["relu"], n_seeds=3)
    (band,) = bands(curves_figure(frame, "accuracy", LINE_STYLES).axes[1])
    corners = band.get_paths()[0].vertices
    for epoch, low, high in zip(
        frame["epoch"], frame["val_accuracy_low"], frame["val_accuracy_high"]
    ):
        at = corners[corners[:, 0] == epoch, 1]
        assert (at.min(), at.max()) == (low, high)
    single = curves_figure(close(n_seeds=1), "accuracy", LINE_STYLES)
    assert not any(bands(axes) for axes in single.axes)


def test_rows_in_any_order_draw_the_same_curve():
    frame = close(["relu"])
    figure = curves_figure(frame[::-1], "accuracy", LINE_STYLES)
    np.testing.assert_array_equal(
        drawn(figure.axes[1], "relu").get_ydata(), frame["val_accuracy_mean"]
    )


def test_caption_says_what_the_band_is():
    def caption(frame):
        return curves_figure(frame, "accuracy", LINE_STYLES).get_supxlabel()

    assert caption(close(["relu"])) == "one seed"
    assert caption(close(["relu"], n_seeds=3)) == "mean of 3 seeds; band: ± 1 standard deviation"
    mixed = pd.concat([close(["relu"], n_seeds=3), close(["elu"], n_seeds=2)])
    assert caption(mixed).startswith("mean of 2 to 3 seeds; band")
    # Epochs after a divergence are not drawn, so the seeds left in them are not counted.
    fewer = lost(close(["relu"], n_seeds=3), "relu", 4)
    fewer.loc[fewer["epoch"] > 4, "n_seeds"] = 2
    assert caption(fewer).startswith("mean of 3 seeds; band")


def test_axes_name_their_units():
    accuracy = curves_figure(close(), "accuracy", LINE_STYLES).axes[0]
    assert accuracy.get_ylabel() == "Accuracy (%)"
    assert accuracy.yaxis.get_major_formatter()(0.975, 0) == "97.5"
    assert accuracy.get_xlabel() == "Epoch"
    loss = curves_figure(close(), "loss", LINE_STYLES).axes[0]
    assert loss.get_ylabel() == "Loss\n(categorical crossentropy)"


@pytest.mark.parametrize("epochs", [1, 2, 3, 12, 30, 100])
def test_epoch_ticks_are_whole_and_in_the_run(epochs):
    ticks = (
        curves_figure(close(["relu"], epochs=epochs), "accuracy", LINE_STYLES).axes[0].get_xticks()
    )
    assert len(ticks) >= 1
    assert all(tick == int(tick) and 1 <= tick <= epochs for tick in ticks)


def test_loss_has_a_log_axis_beyond_a_decade():
    frame = close(["relu", "gelu"])
    assert curves_figure(frame, "loss", LINE_STYLES).axes[0].get_yscale() == "log"
    assert (
        curves_figure(frame[frame["epoch"] > 3], "loss", LINE_STYLES).axes[0].get_yscale()
        == "linear"
    )
    assert curves_figure(frame, "accuracy", LINE_STYLES).axes[0].get_yscale() == "linear"


def test_log_axis_is_not_stretched_by_a_band_that_reaches_zero():
    frame = close(n_seeds=3)
    frame["val_loss_low"] = 1e-9
    assert curves_figure(frame, "loss", LINE_STYLES).axes[0].get_ylim()[0] > 0.005


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_legend_is_ordered_by_final_validation_value(metric):
    finals = {"relu": 0.97, "gelu": 0.99, "elu": 0.98}
    assert legend_names(curves_figure(accuracy_frame(finals), metric, LINE_STYLES)) == [
        "gelu",
        "elu",
        "relu",
    ]


def test_legend_lies_outside_of_the_panels():
    for frame in (close(), close([f"plugin_activation_{i}" for i in range(20)])):
        figure = curves_figure(frame, "accuracy", LINE_STYLES)
        figure.draw_without_rendering()
        legend = figure.legends[0].get_window_extent()
        assert not any(legend.overlaps(axes.get_tightbbox()) for axes in figure.axes)
        assert figure.bbox.y0 <= legend.y0
        assert legend.y1 <= figure.bbox.y1


def test_looks_stay_with_their_activation():
    for names in (SIX, SIX[::-1], ["gelu"], ["selu", "sigmoid"]):
        figure = curves_figure(close(names), "accuracy", LINE_STYLES)
        keys = dict(zip(legend_names(figure), figure.legends[0].get_lines()))
        for name in names:
            for line in (drawn(figure.axes[0], name), drawn(figure.axes[1], name), keys[name]):
                assert line.get_color() == LINE_STYLES[name].color
                assert line.get_marker() == LINE_STYLES[name].marker


def test_activations_without_a_look_are_gray_and_differ():
    figure = curves_figure(close([*SIX, "mine", "yours"]), "accuracy", LINE_STYLES)
    mine, yours = (drawn(figure.axes[0], name) for name in ("mine", "yours"))
    assert mine.get_color() == yours.get_color() == gray_line_style(0).color
    assert mine.get_linestyle() != yours.get_linestyle()
    assert drawn(figure.axes[0], "gelu").get_color() == LINE_STYLES["gelu"].color


def test_all_artists_of_an_activation_carry_its_id():
    figure = curves_figure(lost(close(n_seeds=3), "gelu", 6), "accuracy", LINE_STYLES)
    legend = figure.legends[0]
    for name in SIX:
        ids = [f"activation:{name}"]
        for axes in figure.axes:
            artists = [*axes.lines, *axes.collections]
            looked = [a for a in artists if LINE_STYLES[name].color.lower() in colors_of(a)]
            assert len(looked) == (3 if name == "gelu" else 2)
            assert [artist.get_gid() for artist in looked] == ids * len(looked)
    keys = zip(legend.legend_handles, legend.get_texts())
    for handle, text in keys:
        assert handle.get_gid() == text.get_gid()
        assert text.get_gid() == f"activation:{text.get_text().split()[0]}"


def colors_of(artist):
    colors = [artist.get_color()] if hasattr(artist, "get_color") else artist.get_facecolor()
    return [mpl.colors.to_hex(color) for color in colors]


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_closer_view_shows_the_others_where_one_lies_far(metric):
    frame = sigmoid_far(n_seeds=3)
    figure = curves_figure(frame, metric, LINE_STYLES)
    assert titles(figure) == [
        "Training",
        "Validation",
        "Training – closer view",
        "Validation – closer view",
    ]
    low, high = figure.axes[2].get_ylim()
    assert figure.axes[3].get_ylim() == (low, high)
    late = frame[frame["epoch"] > 4].set_index("activation")
    columns = [f"{metric}_mean", f"val_{metric}_mean", f"{metric}_high", f"val_{metric}_high"]
    others, sigmoid = late.drop(index="sigmoid")[columns], late.loc["sigmoid", columns]
    assert others.to_numpy().min() >= low
    assert others.to_numpy().max() <= high
    assert not ((sigmoid > low) & (sigmoid < high)).to_numpy().any()
    # The first row shows all of it.
    low, high = figure.axes[0].get_ylim()
    assert low < frame[columns].to_numpy().min()
    assert frame[columns].to_numpy().max() < high


def test_closer_view_where_one_only_starts_late():
    frame = close(start=0.9)
    slow = (frame["activation"] == "sigmoid") & (frame["epoch"] <= 5)
    frame.loc[slow, ["accuracy_mean", "val_accuracy_mean"]] = 0.1
    assert len(curves_figure(frame, "accuracy", LINE_STYLES).axes) == 4


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_no_closer_view_where_all_lie_together(metric):
    assert len(curves_figure(close(), metric, LINE_STYLES).axes) == 2


def test_no_closer_view_of_a_single_curve():
    frame = sigmoid_far()
    pair = frame[frame["activation"].isin(["relu", "sigmoid"])]
    assert len(curves_figure(pair, "accuracy", LINE_STYLES).axes) == 2


def test_closer_view_leaves_out_several_that_lie_far():
    finals = {n: 0.97 + 0.003 * i for i, n in enumerate(SIX)} | {"sigmoid": 0.3, "relu": 0.4}
    figure = curves_figure(accuracy_frame(finals, start=0.2), "accuracy", LINE_STYLES)
    assert figure.axes[2].get_ylim()[0] > 0.9


def test_closer_view_of_others_that_ended_early():
    frame = sigmoid_far()
    frame = frame[(frame["activation"] == "sigmoid") | (frame["epoch"] <= 3)]
    frame = frame[(frame["activation"] == "sigmoid") | (frame["epoch"] > 1)]
    figure = curves_figure(frame, "accuracy", LINE_STYLES)
    assert figure.axes[2].get_ylim()[0] > 0.75


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_diverged_curve_ends_in_a_cross_and_ranks_last(metric, value):
    frame = lost(close(n_seeds=2), "gelu", 6, value)
    figure = curves_figure(frame, metric, LINE_STYLES)
    for axes, column in zip(figure.axes, (f"{metric}_mean", f"val_{metric}_mean")):
        mean = frame.loc[frame["activation"] == "gelu", column].to_numpy()
        np.testing.assert_array_equal(drawn(axes, "gelu").get_ydata(), mean[:5])
        (cross,) = crosses(axes)
        assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (5, mean[4])
        assert cross.get_color() == LINE_STYLES["gelu"].color
    assert legend_names(figure)[-1] == "gelu (diverged)"
    assert figure.get_supxlabel().endswith("; ×: diverged")
    png(figure)


def test_curve_does_not_come_back_after_divergence():
    frame = close()
    row = (frame["activation"] == "gelu") & (frame["epoch"] == 3)
    frame.loc[row, "val_loss_mean"] = np.nan
    figure = curves_figure(frame, "loss", LINE_STYLES)
    assert len(drawn(figure.axes[1], "gelu").get_ydata()) == 2


def test_no_cross_without_divergence():
    shorter = close()
    shorter = shorter[(shorter["activation"] != "gelu") | (shorter["epoch"] <= 4)]
    figure = curves_figure(shorter, "accuracy", LINE_STYLES)
    assert not any(crosses(axes) for axes in figure.axes)
    assert len(drawn(figure.axes[0], "gelu").get_ydata()) == 4


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(close(epochs=1), id="one epoch"),
        pytest.param(close(["relu"], epochs=1), id="one epoch and activation"),
        pytest.param(close([f"a{i}" for i in range(20)], n_seeds=3), id="20 activations"),
        pytest.param(accuracy_frame({"relu": 1.0, "elu": 1.0}, start=1.0), id="constant"),
        pytest.param(accuracy_frame(dict.fromkeys(SIX, 0.0), start=0.0), id="all zero"),
        pytest.param(lost(sigmoid_far(), "relu", 1), id="diverged at once"),
        pytest.param(lost(close(["relu"]), "relu", 1, np.inf), id="nothing finite"),
        pytest.param(lost(sigmoid_far(n_seeds=3), "sigmoid", 3), id="far one diverged"),
        pytest.param(close().assign(val_loss_mean=0.0, loss_mean=0.0), id="zero loss"),
        pytest.param(close(n_seeds=3, std=5.0), id="bands below zero"),
    ],
)
def test_odd_data_draw_without_warnings(frame, metric):
    png(curves_figure(frame, metric, LINE_STYLES, title="A long title " * 12))


def test_every_curve_carries_a_marker_whatever_its_length():
    frame = close(epochs=60)
    frame = frame[(frame["activation"] == "gelu") | (frame["epoch"] == 1)]
    axes = curves_figure(frame, "accuracy", LINE_STYLES).axes[0]
    for name in SIX:
        first, every = drawn(axes, name).get_markevery()
        assert 1 <= len(drawn(axes, name).get_xdata()[first::every]) <= 6


def test_one_epoch_is_visible():
    axes = curves_figure(close(["relu"], epochs=1), "accuracy", LINE_STYLES).axes[1]
    line = drawn(axes, "relu")
    assert line.get_marker() == "s"
    assert axes.get_xlim()[0] < line.get_xdata()[0] < axes.get_xlim()[1]
    assert axes.get_ylim()[0] < line.get_ydata()[0] < axes.get_ylim()[1]


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="unknown metric 'val_loss'"):
        curves_figure(close(), "val_loss", LINE_STYLES)
    with pytest.raises(ValueError, match="unknown style 'blue': choose from light, dark"):
        curves_figure(close(), "loss", LINE_STYLES, style="blue")
    with pytest.raises(ValueError, match="no rows"):
        curves_figure(close().iloc[:0], "loss", LINE_STYLES)
    two_settings = pd.concat([close(), close().assign(learning_rate=0.01)])
    with pytest.raises(ValueError, match="one setting at a time"):
        curves_figure(two_settings, "loss", LINE_STYLES)


# By time


def test_lines_are_medians_over_seeds_by_seconds_without_start_up():
    runs = runs_frame(["relu"], n_seeds=3)
    history = history_frame(runs, epochs=4)
    history["seconds"] = [9.0, 1.0, 1.0, 2.0, 9.0, 3.0, 3.0, 3.0, 2.0, 4.0, 4.0, 4.0]
    history["val_accuracy"] = [0.1, 0.5, 0.6, 0.7, 0.2, 0.3, 0.9, 0.8, 0.3, 0.4, 0.5, 0.6]
    (axes,) = time_figure(history[::-1], runs, LINE_STYLES).axes
    (line,) = of(axes.lines, "relu")
    # First epochs count 1.5, 3 and, shorter than the median, 2 seconds.
    np.testing.assert_allclose(line.get_xdata(), [2.0, 6.0, 9.0, 12.0])
    np.testing.assert_allclose(line.get_ydata(), [0.2, 0.4, 0.6, 0.7])


def test_time_curve_ends_where_a_seed_diverges_and_failed_runs_are_named():
    runs = set_runs(runs_frame(), "selu", [1], status="diverged", test_accuracy=np.nan)
    runs = set_runs(runs, "gelu", range(5), status="failed", test_accuracy=np.nan)
    figure = time_figure(history_frame(runs), runs, LINE_STYLES)
    line, cross = of(figure.axes[0].lines, "selu")
    assert len(line.get_xdata()) == 3
    assert (cross.get_marker(), cross.get_xdata()[0]) == ("x", line.get_xdata()[-1])
    caption = figure.get_supxlabel().replace("\n", " ")
    assert caption.endswith("×: a seed diverged; without a finished run: gelu")
    assert not of(figure.axes[0].lines, "gelu")


def test_failed_runs_do_not_bend_the_time_curve():
    runs = runs_frame(["relu"], n_seeds=3)
    history = history_frame(runs)
    whole = time_figure(history[history["run"] != "relu-2"], runs[:2], LINE_STYLES)
    stopped = set_runs(runs, "relu", [2], status="failed")
    cut = time_figure(
        history[(history["run"] != "relu-2") | (history["epoch"] < 3)], stopped, LINE_STYLES
    )
    for one, other in zip(whole.axes[0].lines, cut.axes[0].lines):
        np.testing.assert_array_equal(one.get_xydata(), other.get_xydata())


def test_closer_view_of_accuracy_by_time():
    runs = far(3)
    assert len(time_figure(history_frame(runs), runs, LINE_STYLES).axes) == 2
    near = runs_frame()
    assert len(time_figure(history_frame(near), near, LINE_STYLES).axes) == 1


def test_curves_by_time_need_a_finished_run():
    runs = runs_frame()
    with pytest.raises(ValueError, match="no run is complete or diverged"):
        time_figure(history_frame(runs), runs.assign(status="failed"), LINE_STYLES)
