import numpy as np
import pandas as pd
import pytest

from benchmark.plotting.confusion import confusion_figure, misclassified_figure
from tests.plotting.frames import LINE_STYLES, confusion_frame, misclassified_frame, png


def test_confusion_shows_shares_of_the_true_class_off_the_diagonal():
    counts = pd.DataFrame(
        [("best", "relu", t, p, c, 2) for t, p, c in [(0, 0, 9), (0, 1, 1), (1, 0, 4), (1, 1, 4)]],
        columns=["role", "activation", "true", "predicted", "count", "n_runs"],
    )
    figure = confusion_figure(counts, LINE_STYLES)
    axes = figure.axes[0]
    np.testing.assert_allclose(
        axes.images[0].get_array().filled(np.nan), [[np.nan, 10], [50, np.nan]]
    )
    assert [text.get_text() for text in axes.texts] == ["10", "50", "90", "50"]
    assert axes.get_title(loc="left") == "Best: relu, 72.22 % right"
    assert "counted over 2 runs" in figure.get_supxlabel()


def test_best_and_worst_share_their_colors():
    figure = confusion_figure(confusion_frame(), LINE_STYLES)
    best, worst = (axes.images[0] for axes in figure.axes[:2])
    assert best.norm is worst.norm
    assert worst.norm.vmax == 100
    titles = [axes.get_title(loc="left") for axes in figure.axes[:2]]
    assert titles == ["Best: relu, 94.43 % right", "Worst: sigmoid, 10 % right"]


def test_an_activation_that_is_best_and_worst_is_shown_once():
    both = (("best", "relu"), ("worst", "relu"))
    figure = confusion_figure(confusion_frame(both), LINE_STYLES)
    assert len([axes for axes in figure.axes if axes.get_title(loc="left")]) == 1
    assert len(misclassified_figure(misclassified_frame(both), LINE_STYLES).subfigs) == 1


def test_no_mistake_at_all_can_be_drawn():
    frame = confusion_frame()
    frame["count"] = np.where(frame["true"] == frame["predicted"], 100, 0)
    png(confusion_figure(frame, LINE_STYLES))


def test_images_stand_above_what_they_are_taken_for():
    table = misclassified_frame()
    figure = misclassified_figure(table, LINE_STYLES, title="Misclassified")
    assert [block.get_suptitle() for block in figure.subfigs] == [
        "Best: relu, 5 runs",
        "Worst: sigmoid, 5 runs",
    ]
    for block, role in zip(figure.subfigs, ("best", "worst")):
        rows = table[table["role"] == role]
        assert len(block.axes) == 12
        for axes, row in zip(block.axes, rows.to_dict("records")):
            (image,) = axes.images
            pixels = np.array(row["pixels"].split(), float).reshape(8, 8)
            np.testing.assert_array_equal(image.get_array(), pixels)
            assert image.get_clim() == (0, 16)
            words = f"true {row['true']}, read as {row['predicted']}\n5 of 5 runs, 91 %"
            assert axes.get_xlabel() == words


def test_images_without_pixels_are_left_out():
    table = misclassified_frame()
    some = table.assign(pixels=table["pixels"].where(table["index"] < 5))
    figure = misclassified_figure(some, LINE_STYLES)
    assert [len(block.axes) for block in figure.subfigs] == [5, 5]
    assert misclassified_figure(table.assign(pixels=np.nan), LINE_STYLES) is None
    assert misclassified_figure(table.iloc[:0], LINE_STYLES) is None
    png(figure)


def test_signals_are_drawn_as_lines():
    table = misclassified_frame().assign(height=1, width=4, scale=1.0, pixels="0.5 -1.25 0.0 2.0")
    figure = misclassified_figure(table, LINE_STYLES)
    axes = figure.subfigs[0].axes[0]
    assert not axes.images
    assert axes.lines[0].get_ydata().tolist() == [0.5, -1.25, 0.0, 2.0]
    png(figure)


def test_a_wrong_number_of_pixels_is_refused():
    with pytest.raises(ValueError, match="example 0 has 64 values instead of 9 × 8"):
        misclassified_figure(misclassified_frame().assign(height=9), LINE_STYLES)


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="no rows"):
        confusion_figure(confusion_frame()[:0], LINE_STYLES)
    with pytest.raises(ValueError, match="one setting at a time"):
        confusion_figure(pd.concat([confusion_frame(), confusion_frame()]), LINE_STYLES)
    with pytest.raises(ValueError, match="one setting at a time"):
        misclassified_figure(pd.concat([misclassified_frame(), misclassified_frame()]), LINE_STYLES)
