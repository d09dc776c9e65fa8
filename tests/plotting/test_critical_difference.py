import itertools

import numpy as np
import pandas as pd
import pytest

from benchmark.plotting.critical_difference import ranks_figure
from tests.plotting.frames import LINE_STYLES, SIX, TWENTY, of, ranks_frame


def test_names_and_marks_stand_at_their_ranks():
    ranks = ranks_frame()
    (axes,) = ranks_figure(ranks[::-1], LINE_STYLES).axes
    marks = {name: of(axes.lines, name)[1].get_xdata()[0] for name in SIX}
    ticks = {t.get_text(): t.get_position()[0] for t in axes.texts if t.get_text().isdigit()}
    for name, rank in zip(SIX, ranks["mean_rank"]):
        place = ticks["1"] + (rank - 1) * (ticks["6"] - ticks["1"]) / 5
        assert marks[name] == pytest.approx(place)
        (text,) = of(axes.texts, name)
        assert set(text.get_text().split()) == {name, f"{rank:.2f}"}
        assert of(axes.lines, name)[0].get_color() == LINE_STYLES[name].color


def thick(axes):
    bars = [line for line in axes.lines if line.get_linewidth() > 2]
    return [(*line.get_xdata(), line.get_ydata()[0]) for line in bars]


def test_bars_join_what_shares_a_letter_and_do_not_touch():
    ranks = ranks_frame().assign(set=["a", "ab", "b", "c", "cd", "d"])
    (axes,) = ranks_figure(ranks, LINE_STYLES).axes
    marks = [of(axes.lines, name)[1].get_xdata()[0] for name in SIX]
    bars = sorted(thick(axes))
    for (start, end, _), (first, last) in zip(bars, [(0, 1), (1, 2), (3, 4), (4, 5)]):
        assert start < marks[first] < marks[last] < end
        assert sum(start < mark < end for mark in marks) == 2
    for (_, end, y), (start, _, height) in itertools.combinations(bars, 2):
        assert y != height or start > end
    assert not thick(ranks_figure(ranks.assign(set=list("abcdef")), LINE_STYLES).axes[0])


def test_critical_difference_is_a_bar_on_the_scale_of_ranks():
    def length(difference):
        (axes,) = ranks_figure(ranks_frame(difference=difference), LINE_STYLES).axes
        ticks = {t.get_text(): t.get_position()[0] for t in axes.texts if t.get_text().isdigit()}
        (words,) = [t for t in axes.texts if "critical" in t.get_text()]
        bars = [line for line in axes.lines if list(line.get_ydata()) == [-0.45, -0.45]]
        return np.ptp(bars[0].get_xdata()) / (ticks["2"] - ticks["1"]), words.get_text()

    assert length(2.5) == (pytest.approx(2.5), "critical difference 2.5")
    assert length(7.0) == (
        pytest.approx(5),
        "critical difference 7, more than the axis is long",
    )
    (axes,) = ranks_figure(ranks_frame().assign(critical_difference=np.nan), LINE_STYLES).axes
    assert not any("critical" in text.get_text() for text in axes.texts)


@pytest.mark.parametrize("names", [SIX[:1], SIX[:2], SIX, TWENTY, ["long_name_" * 3, *TWENTY]])
def test_words_of_the_diagram_do_not_overlap(names):
    figure = ranks_figure(ranks_frame(names, difference=6.0), LINE_STYLES, title="Ranks")
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_ranks_say_what_the_blocks_are():
    caption = ranks_figure(ranks_frame(n_blocks=7), LINE_STYLES).get_supxlabel().replace("\n", " ")
    assert caption.startswith(
        "mean ranks by test accuracy within this dataset, 7 seeds as blocks;"
        " Friedman test: p = 0.0004"
    )
    once = ranks_frame(n_blocks=1).assign(friedman_p=np.nan)
    assert "1 seed as block;" in ranks_figure(once, LINE_STYLES).get_supxlabel()


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="no seed is complete"):
        ranks_figure(ranks_frame().assign(mean_rank=np.nan), LINE_STYLES)
    with pytest.raises(ValueError, match="one setting at a time"):
        ranks_figure(pd.concat([ranks_frame(), ranks_frame()]), LINE_STYLES)
