"""The checklist of what a good activation has, found numerically for any registered function.

One row per activation (`kind` hidden), one for softmax as an output function (output) and one for
the step function (counter-example). Positions and values are in the activation's own units.

* `note`: what is special about the row; `inputs`: numbers that one output is made of;
  `precision`: in which it was computed; `searched_from`, `searched_to`: where it was looked at.
* `non_linear`, `continuous`, `differentiable` (everywhere), `kinks` and `gaps` (places, "; "
  between them), `slope_jumps` (what the derivative gains at each kink).
* `monotonic`; `minimum`, `minimum_at` of one that isn't; `range_low`, `range_high` and whether
  these are `_attained`; `bounded_left`, `bounded_right`.
* `left_saturation`, `right_saturation`: hard (derivative exactly 0 beyond `left_edge` or
  `right_edge`), soft (it tends to 0) or no; `left_slope`, `right_slope`: what it tends to (empty:
  it oscillates); `left_flat_below`, `right_flat_above`: beyond, the derivative's size is at most
  `flat_share` of its maximum; `saturated_everywhere`.
* `derivative_min`, `derivative_max` with `_at` (a single point, or ±inf), `_attained` (else it is a
  limit) and `_where` (in words); `lipschitz`, the Lipschitz constant.
* `value_at_0`, `derivative_at_0` (by automatic differentiation), `_left`, `_right`;
  `identity_low`, `identity_high`: the interval round 0 in which the derivative is within
  `unit_slope_within` of 1; `unit_slope_low`, `unit_slope_high`: the longest such interval.
* `odd`; `output_mean`, `second_moment` and `variance_factor` (the variance) for inputs from N(0,1),
  several inputs of one output being independent; `zero_centred`.
* `learned_per_unit`: learned parameters; `constants`: fixed ones.
* `fixed_variances` of the map in `benchmark.moments`, for weights that add up to exactly 0 for
  each unit ("0 only", "every" or a list); `fixed_mean`,
  `fixed_variance`, `fixed_attracts`, `spectral_radius` and `singular_value` (largest) of the fixed
  point that attracts most; `zero_growth`: factor on a variance of 1e-4, `zero_attracts`;
  `self_normalising`: the point (0, 1) is fixed and attracts.
* `nearest`, `nearest_distance`, `nearest_at`: the activation that is never further away than 0.01,
  the greatest distance and where it is.
* of softmax: `sum_error`, `least_output`, `shift_error` (greatest change when all inputs are raised
  or lowered by 1e4), `finite_at_1e4` and `formula_finite_at_1e4` (exp(x) / Σ exp(x) as written).
* `curve_x`, `curve_f`, `curve_derivative`: the curves in five digits; a place that comes twice is a
  kink or a gap, seen from both sides.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.analysis import checklist
from benchmark.analysis.checklist import COUNTER, HIDDEN, OUTPUT
from benchmark.experiments.base import Experiment, Setting
from benchmark.experiments.studies._property_claims import (
    counted,
    findings,
    is_near_linear,
    numbers,
    rows_of,
    short,
    unit_slope_length,
    yes,
)
from benchmark.plotting.palette import GRAY, PALETTE, LineStyle

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The curves are drawn for |x| up to the first.
_REACH, _UP = 7.0, (-2.1, 3.1)
_KINK: dict[str, Any] = {
    "linestyle": "",
    "marker": "o",
    "markersize": 4,
    "markerfacecolor": "none",
    "markeredgecolor": GRAY,
}
_SHADES = {"hard": 0.4, "soft": 0.16}
_YES, _NO = PALETTE[1], PALETTE[4]


def measure(setting: Setting) -> "pandas.DataFrame":
    """Return one row per activation, and those of softmax and the step function.

    Raises:
        ValueError: one of them has no finite values, for instance; the message names it.
    """
    import pandas as pd

    rows, curves = [], {}
    parts = len(setting.entries) + 2
    for done, entry in enumerate(setting.entries):
        setting.progress(done, parts)
        try:
            row, curve = checklist.row(entry)
        except Exception as error:
            raise ValueError(f"{entry.name} cannot be examined in float64: {error}") from error
        rows.append(row)
        if curve:
            curves[entry.name] = curve
    for row in rows:
        if row["activation"] in curves:
            row |= checklist.nearest(row["activation"], curves)
    setting.progress(parts - 2, parts)
    rows += [checklist.softmax(), checklist.row(checklist.STEP, COUNTER)[0]]
    setting.progress(parts, parts)
    return pd.DataFrame(rows)


def method(table: "pandas.DataFrame") -> str:
    """Say what was done."""
    hidden = rows_of(table, HIDDEN)
    single = [row for row in hidden if row["inputs"] == 1]
    text = (
        f"{counted(len(hidden), 'activation')}, the step function and softmax were evaluated with"
        " their derivatives (automatic differentiation)"
    )
    if single:
        low = max(row["searched_from"] for row in single)
        high = min(row["searched_to"] for row in single)
        text += (
            f" from x = {short(low)} to {short(high)}; kinks, edges and extremes were narrowed down"
            " by bisection and minimisation"
        )
    return text + (
        ". Means and variances are those of the output for inputs from N(0, 1), by quadrature; the"
        " map from one layer's mean and variance to the next one's is the one for weights that add"
        " up to exactly 0 for each unit (ω = 0) and whose squares add up to 1 (arXiv:1706.02515)."
    )


def figures(table: "pandas.DataFrame", line_styles: Mapping[str, LineStyle]) -> dict[str, "Figure"]:
    """Draw the curves, and the checklist as a matrix."""
    rows = [row for row in table.to_dict("records") if row["kind"] != OUTPUT]
    return {"": _curves_figure(rows, line_styles), "checklist": _checklist_figure(rows)}


def _curves_figure(rows: list[dict], line_styles: Mapping[str, LineStyle]) -> "Figure":
    from benchmark.plotting import panels

    rows = [row for row in rows if row["inputs"] == 1]
    columns = min(5, max(2, len(rows)))
    down = -(-len(rows) // columns)
    # Room for the legend and the labels, however few the panels are.
    figure, axes = panels.grid(
        len(rows), columns, row_height=1.25 + 0.75 / down, sharex=True, sharey=True
    )
    stranger = LineStyle(_text_color(), "-", "o")
    for panel, row in zip(axes, rows):
        _draw_curve(panel, row, line_styles.get(row["activation"], stranger))
    axes[0].set(xlim=(-_REACH, _REACH), ylim=_UP, xticks=(-5, 0, 5), yticks=(-2, -1, 0, 1, 2, 3))
    figure.supxlabel("input x", fontsize=8)
    figure.supylabel("f(x) and f′(x)", fontsize=8)
    _curves_legend(figure, rows[-1]["flat_share"])
    return figure


def _draw_curve(axes: "Axes", row: dict, line_style: LineStyle) -> None:
    x, f, slope = (np.array(numbers(row[f"curve_{part}"])) for part in ("x", "f", "derivative"))
    twice = np.flatnonzero(x[1:] == x[:-1]) + 1
    for side, end in (("left", -1), ("right", 1)):
        _shade(axes, row, side, end)
    axes.axhline(0.0, color=GRAY, linewidth=0.5)
    # The derivative is broken where it jumps; the function only where it does so itself.
    axes.plot(np.insert(x, twice, np.nan), np.insert(slope, twice, np.nan), color=GRAY, linewidth=1)
    gaps = twice[np.isin(np.round(x[twice], 4), np.round(numbers(row["gaps"]), 4))]
    axes.plot(
        np.insert(x, gaps, np.nan),
        np.insert(f, gaps, np.nan),
        color=line_style.color,
        linewidth=1.8,
    )
    axes.plot(x[twice], f[twice], **_KINK)
    axes.plot(x[gaps - 1], f[gaps - 1], **_KINK)
    axes.set_title(row["activation"], loc="left", fontsize=8)


def _shade(axes: "Axes", row: dict, side: str, end: int) -> None:
    """Shade where the function is flat on the left (end -1) or right (1)."""
    kind = row[f"{side}_saturation"]
    flat = row["left_flat_below"] if end < 0 else row["right_flat_above"]
    edge = row[f"{side}_edge"] if kind == "hard" else flat
    # Flat everywhere is shaded once.
    if kind in _SHADES and end * edge < _REACH and not (end > 0 and np.isinf(edge)):
        limits = max(edge, -_REACH) if end > 0 else min(edge, _REACH), end * _REACH
        axes.axvspan(*limits, color=GRAY, alpha=_SHADES[kind], linewidth=0)


def _curves_legend(figure: "Figure", share: float) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def patch(kind: str) -> Patch:
        return Patch(color=GRAY, alpha=_SHADES[kind], linewidth=0)

    flat = f"soft saturation: f′ → 0, |f′| ≤ {short(100 * share)} % of its maximum"
    handles = {
        "f, in its own color": Line2D([], [], color=_text_color(), linewidth=1.8),
        "derivative f′": Line2D([], [], color=GRAY, linewidth=1),
        "kink or jump": Line2D([], [], **_KINK),
        "hard saturation: f′ = 0": patch("hard"),
        flat: patch("soft"),
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper left", ncols=3, handlelength=1.6
    )


def _text_color() -> str:
    import matplotlib

    return matplotlib.rcParams["text.color"]


# Heading; whether the row has it; what else is written where it hasn't.
Check = tuple[str, Callable[[dict], bool | None], Callable[[dict], str]]
CHECKS: tuple[Check, ...] = (
    ("non-\nlinear", lambda row: yes(row["non_linear"]), lambda row: "no"),
    ("con-\ntinuous", lambda row: yes(row["continuous"]), lambda row: "no"),
    ("differ-\nentiable", lambda row: yes(row["differentiable"]), lambda row: _broken_at(row)),
    ("mono-\ntonic", lambda row: yes(row["monotonic"]), lambda row: _dip(row)),
    (
        "no satu-\nration,\nleft",
        lambda row: _open(row, "left"),
        lambda row: row["left_saturation"],
    ),
    (
        "no satu-\nration,\nright",
        lambda row: _open(row, "right"),
        lambda row: row["right_saturation"],
    ),
    (
        "mean 0\nfor\nN(0, 1)",
        lambda row: yes(row["zero_centred"]),
        lambda row: short(row["output_mean"], 2),
    ),
    (
        "slope 1\nover a\nlength",
        lambda row: None if row["inputs"] > 1 else is_near_linear(row),
        lambda row: short(unit_slope_length(row), 2),
    ),
    (
        "no\nlearned\nweights",
        lambda row: row["learned_per_unit"] == 0 and row["inputs"] == 1,
        lambda row: _learned(row),
    ),
    (
        "self-\nnormal-\nising",
        lambda row: yes(row["self_normalising"]),
        lambda row: "→ 0" if yes(row["zero_attracts"]) else "no",
    ),
)


def _open(row: dict, side: str) -> bool | None:
    import pandas as pd

    kind = row[f"{side}_saturation"]
    return None if pd.isna(kind) else kind == "no"


def _learned(row: dict) -> str:
    if row["learned_per_unit"]:
        return f"{short(row['learned_per_unit'])} a unit"
    return counted(row["inputs"], "input")


def _broken_at(row: dict) -> str:
    places = numbers(row["kinks"]) + numbers(row["gaps"])
    return "at " + ", ".join(map(short, places)) if len(places) < 3 else f"{len(places)} kinks"


def _dip(row: dict) -> str:
    import pandas as pd

    return "no" if pd.isna(row["minimum"]) else short(row["minimum"], 2)


def _checklist_figure(rows: list[dict]) -> "Figure":
    from matplotlib.colors import ListedColormap

    from benchmark.plotting import panels

    answers = [[has(row) for _, has, _ in CHECKS] for row in rows]
    values = np.array([[np.nan if a is None else float(a) for a in line] for line in answers])
    figure, (axes,) = panels.grid(1, 1, row_height=0.215 * len(rows) + 0.62)
    panels.heat_map(
        axes,
        values,
        [row["activation"] for row in rows],
        [heading for heading, _, _ in CHECKS],
        cmap=ListedColormap([_NO, _YES]),
        vmin=0,
        vmax=1,
    )
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for place in range(1, len(rows)):
        axes.axhline(place - 0.5, color=axes.get_facecolor(), linewidth=1.5)
    for place in range(1, len(CHECKS)):
        axes.axvline(place - 0.5, color=axes.get_facecolor(), linewidth=1.5)
    for down, (row, line) in enumerate(zip(rows, answers)):
        for across, ((_, _, otherwise), answer) in enumerate(zip(CHECKS, line)):
            text = "–" if answer is None else "✓" if answer else otherwise(row)
            color = None if answer is None else "white" if answer else "black"
            axes.text(across, down, text, ha="center", va="center", color=color)
    return figure


EXPERIMENT = Experiment(
    name="properties",
    place=1,
    title="What a good activation has",
    question="Which properties does each activation have, of those that a good one should have?",
    measure=measure,
    method=method,
    findings=findings,
    figures=figures,
    captions={
        "": "Every function of one number (in its color) and its derivative (gray), with kinks and"
        " jumps as circles. Dark shading: the derivative is exactly 0. Light shading: it is close"
        " to 0 and tends to it.",
        "checklist": "Activations against properties: ✓ on blue has it, orange has it not, with"
        " what it has instead: the places of kinks, the minimum, hard or soft saturation, the mean"
        " output, the length over which the slope is near 1, the weights or inputs of a unit, and"
        " → 0 where, with weights that add up to 0 for each unit, the variance shrinks from layer"
        " to layer. A dash: not defined for several inputs.",
    },
    activations=None,
    seeds=0,
    seconds=10.0,
)
