"""What holds for every figure of results."""

import io
import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from benchmark.plotting.confusion import confusion_figure, misclassified_figure
from benchmark.plotting.curves import time_figure
from benchmark.plotting.palette import gray_line_style, line_style
from benchmark.plotting.scores import differences_figure, final_figure
from benchmark.plotting.tuning import tuning_figure
from tests.plotting.frames import (
    LINE_STYLES,
    SIX,
    TWENTY,
    comparisons_frame,
    confusion_frame,
    differences,
    final,
    history_frame,
    misclassified_frame,
    odd,
    of,
    png,
    rows_of,
    runs_frame,
    summary_frame,
    tuning_frame,
)


def all_figures(names, n_seeds, **options):
    runs = odd(names, n_seeds)
    yield final(runs, **options)
    yield time_figure(history_frame(runs), runs, LINE_STYLES, **options)
    yield tuning_figure(tuning_frame(names, n_seeds=n_seeds), LINE_STYLES, **options)
    yield confusion_figure(confusion_frame(), LINE_STYLES, **options)
    yield misclassified_figure(misclassified_frame(n=len(names)), LINE_STYLES, **options)
    if len(names) > 1:
        yield differences(runs, names[1], **options)


@pytest.mark.parametrize(
    ("names", "n_seeds", "style"),
    [(["gelu"], 1, "light"), (SIX[:2], 2, "dark"), (SIX, 5, "dark"), (TWENTY, 3, "light")],
)
def test_any_number_of_activations_draws_without_warnings(names, n_seeds, style):
    for figure in all_figures(names, n_seeds, style=style, title="A long title " * 12):
        corner = png(figure)[0, 0, :3]
        assert tuple(corner) == ((1, 1, 1) if style == "light" else (0, 0, 0))


@pytest.mark.parametrize("status", ["failed", "diverged"])
def test_no_complete_run_at_all_draws_the_names(status):
    runs = runs_frame().assign(status=status, test_accuracy=np.nan)
    figure = final(runs)
    assert rows_of(figure.axes[0]) == sorted(SIX)
    assert figure.get_supxlabel() == "no run is complete"
    png(figure)


def test_infinite_values_draw_without_warnings():
    runs = runs_frame()
    history = history_frame(runs)
    history.loc[history["activation"] == "relu", ["loss", "val_loss"]] = np.inf
    figure = time_figure(history, runs, LINE_STYLES)
    assert figure.legends[0].get_texts()[-1].get_text() == "relu (diverged)"
    png(figure)


def hidden(figure, names):
    """The SVG's texts and colors that are left without the groups of these activations."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg")
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.get("id") in {f"activation:{name}" for name in names}:
                parent.remove(child)
    left = [element for element in root.iter() if not element.tag.endswith("defs")]
    texts = " ".join(
        "".join(element.itertext()) for element in left if element.tag.endswith("text")
    )
    styles = " ".join(element.get("style", "") for element in left).lower()
    return texts, styles


@pytest.mark.parametrize("kind", ["final", "time", "differences"])
def test_hiding_its_groups_hides_all_of_an_activation(kind):
    names = ["sigmoid", "relu", "elu", "leaky_relu", "selu", "mish"]
    line_styles = {name: line_style(index) for index, name in enumerate(names[:5])}
    runs = odd(names, 5)
    table = comparisons_frame(runs, "selu")
    figure = {
        "final": lambda: final_figure(runs, summary_frame(runs), {}, line_styles),
        "time": lambda: time_figure(history_frame(runs), runs, line_styles),
        "differences": lambda: differences_figure(table, line_styles),
    }[kind]()
    gone = ["sigmoid", "leaky_relu", "relu"]
    before, colors_before = hidden(figure, [])
    after, colors_after = hidden(figure, gone)
    for name in gone:
        assert name in before.split()
        assert name not in after.split()
        assert line_styles[name].color.lower() in colors_before
        assert line_styles[name].color.lower() not in colors_after
    assert "elu" in after.split()
    assert line_styles["elu"].color.lower() in colors_after


def test_activations_without_a_look_are_gray():
    runs = runs_frame(["relu", "mine", "yours"])
    (axes,) = final(runs).axes
    mine, yours = (of(axes.lines, name)[0] for name in ("mine", "yours"))
    assert mine.get_color() == yours.get_color() == gray_line_style(0).color
    assert mine.get_marker() != yours.get_marker()
