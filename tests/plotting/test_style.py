import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import matplotlib as mpl
import matplotlib.colors
import numpy as np
import pytest

from benchmark.plotting.curves import curves_figure
from benchmark.plotting.style import figure_style
from tests.plotting.frames import LINE_STYLES, close, png, sigmoid_far


def test_figures_can_be_drawn_in_threads():
    before = dict(mpl.rcParams)
    styles = ["light", "dark"] * 4
    with ThreadPoolExecutor(4) as pool:
        figures = list(
            pool.map(lambda s: curves_figure(close(["relu"]), "loss", LINE_STYLES, style=s), styles)
        )
    backgrounds = [mpl.colors.to_hex(figure.get_facecolor()) for figure in figures]
    assert backgrounds == ["#ffffff", "#000000"] * 4
    assert dict(mpl.rcParams) == before


def test_settings_are_restored():
    before = dict(mpl.rcParams)
    for style in ("light", "dark"):
        png(curves_figure(close(), "accuracy", LINE_STYLES, style=style))
    with figure_style("dark"):
        assert mpl.rcParams["axes.facecolor"] == "black"
    with pytest.raises(RuntimeError, match="inside"), figure_style("dark"):
        raise RuntimeError("inside")
    assert dict(mpl.rcParams) == before


def test_styles_do_not_depend_on_the_users_settings():
    plain = png(curves_figure(close(), "accuracy", LINE_STYLES))
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "lines.linewidth": 9}):
        np.testing.assert_array_equal(png(curves_figure(close(), "accuracy", LINE_STYLES)), plain)


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
@pytest.mark.parametrize("frame", [close(), sigmoid_far()])
def test_dark_background_has_light_text_to_the_last_tick(frame, metric):
    figure = curves_figure(frame, metric, LINE_STYLES, style="dark")
    assert tuple(png(figure)[0, 0, :3]) == (0, 0, 0)
    for axes in figure.axes:
        texts = [axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(which="both")]
        texts += axes.get_yticklabels(which="both")
        assert all(mpl.colors.to_rgb(text.get_color()) == (1, 1, 1) for text in texts)


def test_no_pyplot_and_no_matplotlib_for_the_palette():
    program = (
        "import sys, benchmark.plotting.palette; assert 'matplotlib' not in sys.modules; "
        "import benchmark.plotting.curves; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
