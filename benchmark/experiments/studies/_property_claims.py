"""What the table of the experiment `properties` says of each claim of the theory.

A judge gets the activations' rows by name and returns a verdict with its evidence. The claims are
those of the articles on activations and, for self-normalisation, of Klambauer et al. 2017
(arXiv:1706.02515); that on GELU is of Hendrycks & Gimpel 2016 (arXiv:1606.08415).
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.analysis.checklist import COUNTER, EXACT, HIDDEN, OUTPUT
from benchmark.experiments.claims import FAILS, HOLDS, UNDECIDED, Finding, agreed
from benchmark.formatting import listing

if TYPE_CHECKING:
    import pandas

# "But for a few points" and "few parameters" mean no more than so many points, and per unit.
FEW_POINTS, FEW_PARAMETERS = 10, 1
# Near-linear: the slope is near 1 over an interval at least so long.
NEAR_LINEAR = 1.0
# Rounding in sums of a few numbers, and in numbers of the size 1e4 that cancel.
ROUNDING, ROUNDING_AT_1E4 = 1e-12, 1e-10
# The two forms of GELU are the same for practical purposes if nowhere further apart.
SAME_GELU = 1e-3


def rows_of(table: "pandas.DataFrame", kind: str) -> list[dict[str, Any]]:
    """Return the rows of that kind, as dictionaries."""
    return table[table["kind"] == kind].to_dict("records")


def yes(cell: Any) -> bool | None:
    """Return what a cell of a column of yes and no says; None for an empty one."""
    import pandas as pd

    return None if pd.isna(cell) else str(cell) == "True"


def numbers(cell: Any) -> list[float]:
    """Return the numbers of a cell with a list, which pandas reads as a number if it is one."""
    import pandas as pd

    return [] if pd.isna(cell) else [float(part) for part in str(cell).split(";")]


def short(number: float, digits: int = 3) -> str:
    """Return a number as a reader wants it: "−1.2e-9", "0.25", "∞"."""
    if np.isinf(number):
        return "∞" if number > 0 else "−∞"
    mantissa, _, power = f"{number + 0.0:.{digits}g}".partition("e")
    return mantissa.replace("-", "−") + (f"e{int(power)}" if power else "")


def counted(number: int, what: str) -> str:
    """Return "1 activation", "2 activations"."""
    return f"{number} {what}" + ("s" if number != 1 else "")


def _names(rows: Iterable[dict]) -> str:
    return listing(row["activation"] for row in rows)


def _with(rows: Iterable[dict], column: str, digits: int = 3) -> str:
    """Return names with a number of each: "relu (0.5) and tanh (0)"."""
    return listing(f"{row['activation']} ({short(row[column], digits)})" for row in rows)


def _range(values: list[float]) -> str:
    least, most = short(min(values)), short(max(values))
    return least if least == most else f"{least} to {most}"


Judged = tuple[str, str]
NO_CURVE = (UNDECIDED, "None of those measured is a function of one number.")


ONLY_IDENTITY = (UNDECIDED, "Of activations in use, the table has only the identity.")


def _in_use(rows: dict[str, dict]) -> list[dict]:
    """Return all but the identity, which stands for having no activation."""
    return [row for row in rows.values() if not _is_identity(row)]


def _is_identity(row: dict) -> bool:
    slopes = row["derivative_min"], row["derivative_max"]
    steady = all(abs(slope - 1.0) <= EXACT for slope in slopes)
    return steady and bool(yes(row["continuous"])) and abs(row["value_at_0"]) <= EXACT


def _left_out(rows: dict[str, dict]) -> str:
    out = [row for row in rows.values() if _is_identity(row)]
    return f" Left out as the identity: {_names(out)}." if out else ""


def _necessary(rows: dict[str, dict]) -> Judged:
    used = _in_use(rows)
    if not used:
        return ONLY_IDENTITY
    single = [row for row in used if row["inputs"] == 1]
    straight = [row for row in used if not yes(row["non_linear"])]
    torn = [row for row in single if not yes(row["continuous"])]
    kinked = [row for row in single if not yes(row["differentiable"]) and row not in torn]
    broken = [row for row in kinked if len(numbers(row["kinks"])) > FEW_POINTS]
    text = f"Non-linear: {len(used) - len(straight)} of {len(used)}"
    text += f" (all but {_names(straight)})" if straight else ""
    if single:
        smooth = len(single) - len(kinked) - len(torn)
        text += f". Of {counted(len(single), 'function')} of one number, continuous:"
        text += f" {len(single) - len(torn)}{f' (all but {_names(torn)})' if torn else ''};"
        text += f" with a derivative everywhere: {smooth}"
    if kinked:
        kinks = [f"{row['activation']} ({_kinks(row)})" for row in kinked]
        text += f"; with kinks: {listing(kinks)}"
    if broken:
        text += f"; more than a few, that is {FEW_POINTS}, has {_names(broken)}"
    bad = [*straight, *torn, *broken]
    return agreed(row not in bad for row in used), f"{text}.{_left_out(rows)}"


def _single(rows: dict[str, dict]) -> list[dict]:
    return [row for row in rows.values() if row["inputs"] == 1]


def _kinks(row: dict) -> str:
    places = numbers(row["kinks"])
    if len(places) > FEW_POINTS:
        return counted(len(places), "point")
    return f"x = {', '.join(map(short, places))}"


def _sigmoid_slope(rows: dict[str, dict]) -> Judged:
    row = rows["sigmoid"]
    most, share = row["derivative_max"], short(100 * row["flat_share"])
    text = (
        f"The greatest derivative of the sigmoid is {short(most, 6)}, at"
        f" {row['derivative_max_where']}; below x = {short(row['left_flat_below'])} and above"
        f" {short(row['right_flat_above'])} not even {share} % of that is left."
    )
    return agreed([abs(most - 0.25) <= EXACT]), text


def _saturation(rows: dict[str, dict]) -> Judged:
    claimed = {"sigmoid": ("soft", "soft"), "tanh": ("soft", "soft"), "relu": ("hard", "no")}
    single = _single(rows)
    sides = {row["activation"]: _sides(row) for row in single}
    words = {"no": "none"}
    told = [
        f"{name}: {' left, '.join(words.get(side, side) for side in sides[name])} right"
        for name in claimed
    ]
    groups = {
        count: [row for row in single if 2 - sides[row["activation"]].count("no") == count]
        for count in (0, 2)
    }
    text = (
        f"Saturation of {'; '.join(told)}. Of {counted(len(single), 'function')} of one number"
        f" {len(groups[2])} saturate on both sides ({_names(groups[2])}) and {len(groups[0])} on"
        f" neither ({_names(groups[0])})."
    )
    return agreed(sides[name] == wanted for name, wanted in claimed.items()), text


def _sides(row: dict) -> tuple[str, str]:
    return row["left_saturation"], row["right_saturation"]


RECTIFIERS = ("relu", "elu", "leaky_relu", "selu", "gelu")


def _right_side(rows: dict[str, dict]) -> Judged:
    five = [rows[name] for name in RECTIFIERS]
    others = [row for row in _single(rows) if row["right_saturation"] != "no"]
    text = f"For x → ∞ the derivative tends to a value above 0 in {_with(five, 'right_slope')}"
    text += f"; it tends to 0, or is 0, in {_names(others)}" if others else ""
    return agreed(row["right_saturation"] == "no" for row in five), text + "."


def _left_side(rows: dict[str, dict]) -> Judged:
    relu, elu, leaky = (rows[name] for name in ("relu", "elu", "leaky_relu"))
    hard = [row for row in _single(rows) if row["left_saturation"] == "hard"]
    soft = [row for row in _single(rows) if row["left_saturation"] == "soft"]
    text = (
        f"To the left the derivative tends to {short(leaky['left_slope'])} for leaky_relu; elu's"
        f" falls to {short(100 * elu['flat_share'])} % of its maximum at x ="
        f" {short(elu['left_flat_below'])} and goes on towards 0. It is exactly 0 beyond some point"
        f" for {_names(hard)}, and tends to 0 without reaching it for {_names(soft)}."
    )
    return agreed([relu in hard, elu not in hard, leaky not in hard]), text


def _zero_centred(rows: dict[str, dict]) -> Judged:
    tanh, sigmoid, relu = (rows[name] for name in ("tanh", "sigmoid", "relu"))
    centred = [row for row in rows.values() if yes(row["zero_centred"])]
    others = [row for row in rows.values() if row not in centred]
    others.sort(key=lambda row: row["output_mean"])
    means = [short(row["output_mean"]) for row in (sigmoid, relu, tanh)]
    text = (
        f"For inputs from N(0, 1) the mean output is {means[0]} with sigmoid, {means[1]} with ReLU"
        f" and {means[2]} with tanh. It is 0 for {_names(centred)}; the others' lie between"
        f" {_with(others[:1], 'output_mean')} and {_with(others[-1:], 'output_mean')}."
    )
    positive = [row["output_mean"] > EXACT for row in (sigmoid, relu)]
    return agreed([tanh in centred, *positive]), text


def _monotonic(rows: dict[str, dict]) -> Judged:
    import pandas as pd

    single = _single(rows)
    if not single:
        return NO_CURVE
    dips = [row for row in single if not yes(row["monotonic"])]
    if not dips:
        # That some are cannot be refuted by a few that are not.
        return UNDECIDED, f"Monotonic: all that were measured, {_names(single)}."
    lowest = [
        f"{row['activation']} ({short(row['minimum'])} at x = {short(row['minimum_at'])})"
        for row in dips
        if not pd.isna(row["minimum_at"])
    ]
    text = f"Monotonic: {len(single) - len(dips)} of {len(single)}, not {_names(dips)}"
    return HOLDS, text + (f"; the minima are those of {listing(lowest)}." if lowest else ".")


def _near_linear(rows: dict[str, dict]) -> Judged:
    used = _in_use(rows)
    single = [row for row in used if row["inputs"] == 1]
    if not single:
        return NO_CURVE if used else ONLY_IDENTITY
    near = [row for row in single if is_near_linear(row)]
    ending = [row for row in near if np.isfinite(unit_slope_length(row))]
    others = [row for row in single if row not in near]
    within = short(single[0]["unit_slope_within"])
    text = (
        f"The derivative is within {within} of 1 over a length of {short(NEAR_LINEAR)} or more for"
        f" {len(near)} of {len(single)}"
    )
    text += f", without end but for {_names(ending)}" if ending else ""
    lengths = [f"{row['activation']} ({short(unit_slope_length(row))})" for row in others]
    text += f"; the greatest length is less for {listing(lengths)}" if lengths else ""
    return agreed(row in near for row in single), f"{text}.{_left_out(rows)}"


def unit_slope_length(row: dict) -> float:
    """Return how long the longest interval is over which the derivative is near 1."""
    import pandas as pd

    length = row["unit_slope_high"] - row["unit_slope_low"]
    return 0.0 if pd.isna(length) else length


def is_near_linear(row: dict) -> bool:
    """Return whether that interval is long enough to say that the function is linear there."""
    return unit_slope_length(row) >= NEAR_LINEAR


def _parameters(rows: dict[str, dict]) -> Judged:
    used = _in_use(rows)
    if not used:
        return ONLY_IDENTITY
    learning = [row for row in used if row["learned_per_unit"]]
    wide = [row for row in used if row["inputs"] > 1]
    text = f"Without learned parameters of their own: {len(used) - len(learning)} of {len(used)}"
    text += f"; learned per unit: {_with(learning, 'learned_per_unit')}" if learning else ""
    if wide:
        text += (
            f"; {_names(wide)} takes {counted(wide[0]['inputs'], 'input')} per unit, so that the"
            " layer before it has so many times the weights"
        )
    few = [row["learned_per_unit"] <= FEW_PARAMETERS and row not in wide for row in used]
    return agreed(few), f"{text}.{_left_out(rows)}"


def _self_normalising(rows: dict[str, dict]) -> Judged:
    selu = rows["selu"]
    drawn = [row for row in rows.values() if yes(row["self_normalising"])]
    vanish = [row for row in rows.values() if row["fixed_variances"] == "0 only"]
    vanish = [row for row in vanish if yes(row["zero_attracts"])]
    keep = [row for row in rows.values() if row["fixed_variances"] == "every"]
    text = f"Mean 0 and variance 1 are a fixed point that attracts for {_names(drawn)}"
    if selu in drawn:
        text += (
            f" (the Jacobian's spectral radius for selu: {short(selu['spectral_radius'])}; its"
            f" largest singular value: {short(selu['singular_value'])})"
        )
    if vanish:
        factors = [row["variance_factor"] for row in vanish]
        text += (
            ". With weights that add up to exactly 0 for each unit (ω = 0) the variance shrinks"
            f" towards 0 from layer to layer for {_names(vanish)}, of which one layer multiplies a"
            f" variance of 1 by {_range(factors)}; with random weights the mean output adds to the"
            " variance that the next layer gets, and it need not (see self_normalization)"
        )
    text += f". Every variance then stays as it is for {_names(keep)}" if keep else ""
    others = [row for row in rows.values() if row not in [*drawn, *vanish, *keep]]
    text += f". Neither is so for {_names(others)}" if others else ""
    without = [rows[name] not in drawn for name in NOT_NORMALISING]
    return agreed([selu in drawn, *without]), text + "."


NOT_NORMALISING = ("relu", "sigmoid", "tanh", "leaky_relu")


def _four_conditions(rows: dict[str, dict]) -> Judged:
    single = _single(rows)
    four = [row for row in single if _has_four_conditions(row)]
    drawn = [row for row in single if yes(row["fixed_attracts"])]
    if not four and not drawn:
        return UNDECIDED, "None of those measured has the four properties."
    points = [
        f"{row['activation']} (mean {short(row['fixed_mean'])}, variance"
        f" {short(row['fixed_variance'])})"
        for row in drawn
    ]
    without = [row for row in four if row not in drawn]
    text = f"All four are found in {_names(four)}; a fixed point that attracts, with a variance"
    text += f" above 0, in {listing(points)}"
    text += f". For {_names(without)} the four are not enough" if without else ""
    either = [*four, *(row for row in drawn if row not in four)]
    return agreed(row in drawn and row in four for row in either), text + "."


def _has_four_conditions(row: dict) -> bool:
    both_signs = row["range_low"] < 0.0 < row["range_high"]
    saturates = any(side != "no" for side in _sides(row))
    steep = row["derivative_max"] > 1.0 + EXACT
    return both_signs and saturates and steep and bool(yes(row["continuous"]))


def _gelu_forms(rows: dict[str, dict]) -> Judged:
    pair = {"gelu": "gelu_exact", "gelu_exact": "gelu"}
    found = [rows[name] for name, other in pair.items() if rows[name]["nearest"] == other]
    if not found:
        return FAILS, "They are not the nearest to each other of the functions measured."
    distance, at = found[0]["nearest_distance"], abs(found[0]["nearest_at"])
    text = f"They differ by {short(distance, 7)} at the most, at |x| = {short(at, 7)}."
    return agreed([distance <= SAME_GELU]), text


def _step(row: dict) -> Judged:
    flat = bool(yes(row["saturated_everywhere"]))
    torn = not yes(row["continuous"])
    text = (
        f"Its derivative is {short(row['derivative_max'])} at {row['derivative_max_where']}, but"
        f" for its jump at {short(numbers(row['gaps'])[0])}. A layer of it keeps variances alive"
        f" ({short(row['fixed_variance'])} is a fixed point that attracts, spectral radius"
        f" {short(round(row['spectral_radius'], 9))}), yet no gradient passes."
    )
    return agreed([flat, torn]), text


def _softmax(row: dict) -> Judged:
    errors = [short(row[name], 2) for name in ("sum_error", "least_output", "shift_error")]
    finite = "finite" if yes(row["finite_at_1e4"]) else "not finite"
    formula = "are too" if yes(row["formula_finite_at_1e4"]) else "are not"
    text = (
        f"The {short(row['inputs'])} outputs sum to 1 to within {errors[0]}, the least being"
        f" {errors[1]}; inputs raised or lowered by 10\u202f000 change them by {errors[2]} at the"
        f" most. For inputs of ±10\u202f000 they are {finite}; those of exp(x) / Σ exp(x) as"
        f" written {formula}."
    )
    answers = [
        row["sum_error"] <= ROUNDING and row["least_output"] >= 0.0,
        row["shift_error"] <= ROUNDING_AT_1E4,
        bool(yes(row["finite_at_1e4"])),
    ]
    return agreed(answers), text


# Claim, rule, and the activations that it speaks of.
CLAIMS: tuple[tuple[str, Callable[[dict[str, dict]], Judged], tuple[str, ...]], ...] = (
    (
        "The activations in use are non-linear, continuous, and differentiable but for a few"
        " points.",
        _necessary,
        (),
    ),
    ("The derivative of the sigmoid is 0.25 at the most.", _sigmoid_slope, ("sigmoid",)),
    (
        "Sigmoid and tanh saturate softly on both sides; ReLU saturates hard for x < 0 and not at"
        " all for x > 0.",
        _saturation,
        ("sigmoid", "tanh", "relu"),
    ),
    (
        "ReLU and its successors ELU, leaky ReLU, SELU and GELU keep their derivative for large x.",
        _right_side,
        RECTIFIERS,
    ),
    (
        "For x < 0, where the derivative of ReLU is 0, that of ELU and of leaky ReLU is not.",
        _left_side,
        ("relu", "elu", "leaky_relu"),
    ),
    (
        "The mean output of tanh is 0, that of sigmoid and ReLU is above 0.",
        _zero_centred,
        ("tanh", "sigmoid", "relu"),
    ),
    ("An activation need not be monotonic: some in use are not.", _monotonic, ()),
    (
        "The activations in use have a derivative near 1 in some interval, where gradients pass"
        " unchanged.",
        _near_linear,
        (),
    ),
    (
        "The activations in use have few parameters: no more than one per unit to learn.",
        _parameters,
        (),
    ),
    (
        "SELU draws mean and variance to 0 and 1; ReLU, sigmoid, tanh and leaky ReLU cannot.",
        _self_normalising,
        ("selu", *NOT_NORMALISING),
    ),
    (
        "Values of both signs, a saturated region, a slope above 1 and a continuous curve make sure"
        " of a fixed point of mean and variance.",
        _four_conditions,
        (),
    ),
    (
        "GELU's tanh form stands in for the exact one.",
        _gelu_forms,
        ("gelu", "gelu_exact"),
    ),
)
STEP_CLAIM = "A step function cannot be trained: it is saturated everywhere."
SOFTMAX_CLAIM = (
    "Softmax as output gives probabilities: they sum to 1, and do not change when all inputs are"
    " shifted, however large they are."
)


def findings(table: "pandas.DataFrame") -> list[Finding]:
    """Return what the table says of each claim."""
    rows = {row["activation"]: row for row in rows_of(table, HIDDEN)}
    found = []
    for claim, judge, needed in CLAIMS:
        missing = [name for name in needed if name not in rows]
        lacking = UNDECIDED, f"The table lacks {listing(missing)}."
        judged = lacking if missing else judge(rows)
        found.append(Finding(claim, *judged))
    found.append(Finding(STEP_CLAIM, *_step(rows_of(table, COUNTER)[0])))
    return [*found, Finding(SOFTMAX_CLAIM, *_softmax(rows_of(table, OUTPUT)[0]))]
