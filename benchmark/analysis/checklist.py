"""What one activation has of the checklist: the rows of the experiment `properties`, whose
columns are described there.

Importing this loads nothing heavy.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from benchmark.activations import Activation
from benchmark.analysis import curve as curve_analysis
from benchmark.analysis import derivative, moments
from benchmark.analysis.curve import Curve

HIDDEN, OUTPUT, COUNTER = "hidden", "output", "counter-example"
# A slope counts as near 1 within the first, a number as 0 or 1 within the second; two functions as
# near each other within the third.
UNIT_SLOPE, EXACT, NEAR = 0.1, 1e-6, 0.01
# Points of the curves that are kept.
_CURVE = np.arange(-7.0, 7.0625, 0.125)
_CHANNELS = 16


def _step(x: Any) -> Any:
    import tensorflow as tf

    return tf.where(x > 0, tf.ones_like(x), tf.zeros_like(x))


STEP = Activation(name="step", make=_step, formula="1 where x > 0, else 0")


def row(
    entry: Activation, kind: str = HIDDEN
) -> tuple[dict[str, Any], curve_analysis.Curve | None]:
    """Return an activation's row, and its curve if it is a function of one number."""
    found = {"activation": entry.name, "kind": kind, **_about(entry)}
    if entry.pieces > 1:
        return found | _several(entry), None
    curve = Curve(entry)
    layer = moments.MomentMap(curve.values, _breaks(curve))
    return found | _shape(curve) | _moments(layer), curve


def _about(entry: Activation) -> dict[str, Any]:
    constants = [f"{key} {value}" for key, value in entry.parameters]
    precision = derivative.precision(entry)
    notes = ["a layer: as at test time, with its initial weights"] if entry.is_layer else []
    if entry.pieces > 1:
        notes += [f"a function of {entry.pieces} numbers: what is asked of one of one is left out"]
    if precision != "float64":
        notes += ["cannot be computed in float64: places are good to four decimals"]
    return {
        "note": "; ".join(notes),
        "inputs": entry.pieces,
        "precision": precision,
        "learned_per_unit": _learned(entry),
        "constants": "; ".join(constants),
    }


def _learned(entry: Activation) -> float:
    """Return how many trained weights the activation itself has per unit of its layer."""
    if not entry.is_layer:
        return 0.0
    layer = entry.make(0)
    layer.build((None, _CHANNELS * entry.pieces))
    return sum(int(np.prod(v.shape)) for v in layer.trainable_variables) / _CHANNELS


def _joined(numbers: Iterable[float], digits: int = 12) -> str:
    return "; ".join(f"{number:.{digits}g}" for number in numbers)


def _breaks(curve: curve_analysis.Curve) -> list[float]:
    return [jump.at for jump in (*curve.kinks, *curve.gaps)]


def _shape(curve: curve_analysis.Curve) -> dict[str, Any]:
    """Return what is to be said of a function of one number."""
    kinks, gaps, tails = curve.kinks, curve.gaps, {"left": curve.left, "right": curve.right}
    low, low_at, low_attained = curve.extent(-1)
    high, _, high_attained = curve.extent(1)
    at_zero, slope_at_zero = curve.value_at(0.0), curve.slope_at(0.0)
    aside = curve([-curve.fine, curve.fine])[1]
    least, most = curve.slope_extreme(-1), curve.slope_extreme(1)
    dips = not curve.monotonic and low_attained
    found = {
        "searched_from": curve.x[0],
        "searched_to": curve.x[-1],
        "non_linear": bool(gaps) or bool(np.ptp(curve.slope) > curve.fine * curve.scale),
        "continuous": not gaps,
        "differentiable": not gaps and not kinks,
        "kinks": _joined(kink.at for kink in kinks),
        "slope_jumps": _joined((kink.size for kink in kinks), 9),
        "gaps": _joined(gap.at for gap in gaps),
        "monotonic": curve.monotonic,
        "minimum": low if dips else np.nan,
        "minimum_at": low_at if dips else np.nan,
        "range_low": low,
        "range_low_attained": low_attained,
        "range_high": high,
        "range_high_attained": high_attained,
        "saturated_everywhere": bool((curve.slope == 0.0).all()),
        "lipschitz": np.inf if gaps else max(abs(least.value), abs(most.value)),
        "value_at_0": at_zero,
        "derivative_at_0": slope_at_zero,
        "derivative_at_0_left": aside[0],
        "derivative_at_0_right": aside[1],
        "odd": _is_odd(curve),
    }
    for side, tail in tails.items():
        found |= {
            f"bounded_{side}": tail.bounded,
            f"{side}_slope": tail.slope,
            f"{side}_saturation": tail.saturation,
            f"{side}_edge": tail.edge,
        }
    for which, extreme in (("min", least), ("max", most)):
        found |= {f"derivative_{which}": extreme.value, f"derivative_{which}_at": extreme.at}
        found |= {f"derivative_{which}_attained": extreme.attained}
        found |= {f"derivative_{which}_where": extreme.where}
    return found | _flat_parts(curve) | _unit_slopes(curve) | _samples(curve)


def _is_odd(curve: curve_analysis.Curve) -> bool:
    reach = min(-curve.x[0], curve.x[-1])
    x = curve.x[np.abs(curve.x) <= reach]
    there, back = curve(x)[0], curve(-x)[0]
    return bool((np.abs(there + back) <= curve.fine * np.maximum(1.0, np.abs(there))).all())


def _flat_parts(curve: curve_analysis.Curve) -> dict[str, float]:
    least = curve_analysis.FLAT * curve.scale
    runs = curve.runs(lambda f, slope: np.abs(slope) <= least)
    below = runs[0][1] if runs and np.isinf(runs[0][0]) else np.nan
    above = runs[-1][0] if runs and np.isinf(runs[-1][1]) else np.nan
    return {"flat_share": curve_analysis.FLAT, "left_flat_below": below, "right_flat_above": above}


def _unit_slopes(curve: curve_analysis.Curve) -> dict[str, float]:
    runs = curve.runs(lambda f, slope: np.abs(slope - 1.0) < UNIT_SLOPE)
    around = [run for run in runs if run[0] < 0.0 < run[1]]
    identity = around[0] if around and abs(curve.value_at(0.0)) <= EXACT else (np.nan, np.nan)
    # Far out the grid is too coarse for a wave: it has to be so in between, too.
    kept = [run for run in runs if _is_unit(curve, run)]
    longest = max(kept, key=lambda run: run[1] - run[0], default=(np.nan, np.nan))
    return {
        "unit_slope_within": UNIT_SLOPE,
        "identity_low": identity[0],
        "identity_high": identity[1],
        "unit_slope_low": longest[0],
        "unit_slope_high": longest[1],
    }


def _is_unit(curve: curve_analysis.Curve, run: tuple[float, float]) -> bool:
    low, high = np.clip(run, curve.x[0], curve.x[-1])
    inside = np.linspace(low, high, 103)[1:-1]
    return bool((np.abs(curve(inside)[1] - 1.0) < UNIT_SLOPE).all())


def _samples(curve: curve_analysis.Curve) -> dict[str, str]:
    """Return the curves for the figure; both sides of a kink carry its own place."""
    breaks = np.unique(_breaks(curve))
    breaks = breaks[np.abs(breaks) < _CURVE[-1]]
    smooth = np.setdiff1d(_CURVE, breaks)
    aside = curve.fine * (1 + np.abs(breaks))
    shown = np.concatenate([smooth, breaks, breaks])
    taken = np.concatenate([smooth, breaks - aside, breaks + aside])
    order = np.argsort(taken)
    f, slope = curve(taken[order])
    columns = {"curve_x": shown[order], "curve_f": f, "curve_derivative": slope}
    return {name: _joined(np.where(v == 0.0, 0.0, v), 5) for name, v in columns.items()}


def _moments(layer: moments.MomentMap) -> dict[str, Any]:
    """Return what becomes of normal inputs, in one layer and in many."""
    unit, small = layer.at(1.0), layer.at(moments.LEAST)
    growth = small.variance / moments.LEAST
    found = {
        "output_mean": np.round(unit.mean, 15) + 0.0,
        "second_moment": unit.second,
        "variance_factor": unit.variance,
        "zero_centred": abs(unit.mean) <= EXACT,
        "zero_growth": growth,
        "zero_attracts": growth < 1.0 - 1e-9,
        "self_normalising": False,
    }
    fixed = layer.fixed_points()
    if not fixed:
        return found | {"fixed_variances": "every" if fixed is None else "0 only"}
    most = min(fixed, key=lambda point: point.radius)
    normal = [p for p in fixed if max(abs(p.mean), abs(p.variance - 1.0)) <= EXACT]
    return found | {
        "fixed_variances": _joined(sorted(point.variance for point in fixed)),
        "fixed_mean": np.round(most.mean, 12) + 0.0,
        "fixed_variance": most.variance,
        "fixed_attracts": most.attracts,
        "spectral_radius": most.radius,
        "singular_value": most.singular,
        "self_normalising": any(point.attracts for point in normal),
    }


def _several(entry: Activation) -> dict[str, Any]:
    """Return what can be said of an activation that makes one number of several."""
    function = derivative.elementwise(entry, "float64")
    points = np.random.default_rng(0).normal(size=(200, entry.pieces))
    slopes = derivative.differentiated(function, points, "float64")[1]
    found = {"non_linear": bool(np.ptp(slopes, axis=0).max() > EXACT)}
    if entry.pieces > 2:
        return found
    values = functools.partial(derivative.evaluated, function, dtype="float64")
    return found | _moments(moments.MomentMap(values, pieces=entry.pieces))


def nearest(name: str, curves: Mapping[str, curve_analysis.Curve]) -> dict[str, Any]:
    """Return the columns on the function nearest to this one, empty if all are far."""
    own = curves[name]
    near = []
    for other, curve in curves.items():
        same_grid = len(curve.x) == len(own.x)
        if other != name and same_grid and np.abs(own.f - curve.f).max() < NEAR:
            near.append((*_distance(own, curve), other))
    if not near:
        return {"nearest": "", "nearest_distance": np.nan, "nearest_at": np.nan}
    distance, at, other = min(near, key=lambda found: found[0])
    return {"nearest": other, "nearest_distance": distance, "nearest_at": at}


def _distance(one: curve_analysis.Curve, two: curve_analysis.Curve) -> tuple[float, float]:
    """Return the greatest |f - g| and where it is, on the right if there are two such places."""
    from scipy.optimize import brentq

    apart = np.abs(one.f - two.f)
    if apart.max() <= 10 * max(one.fine, two.fine):
        return 0.0, np.nan

    def slope(x: float) -> float:
        return one.slope_at(x) - two.slope_at(x)

    top = np.flatnonzero((apart[1:-1] >= apart[:-2]) & (apart[1:-1] >= apart[2:])) + 1
    found = []
    for i in sorted(top, key=lambda i: -apart[i])[:4]:
        low, high, at = one.x[i - 1], one.x[i + 1], one.x[i]
        if slope(low) * slope(high) < 0:
            at = brentq(slope, low, high, xtol=1e-13)
        found.append((abs(one.value_at(at) - two.value_at(at)), float(at)))
    return max(found, key=lambda pair: (np.round(pair[0], 12), pair[1]))


def softmax() -> dict[str, Any]:
    """Return what softmax has as an output function, for 1,000 vectors of 10 numbers."""
    import tensorflow as tf

    logits = np.random.default_rng(0).normal(scale=5.0, size=(1000, 10))
    output = tf.nn.softmax(logits).numpy()
    shifted = [tf.nn.softmax(logits + by).numpy() for by in (-1e4, 1e4)]
    far = np.sign(logits) * 1e4
    with np.errstate(all="ignore"):
        formula = np.exp(far) / np.exp(far).sum(axis=1, keepdims=True)
    return {
        "activation": "softmax",
        "kind": OUTPUT,
        "note": "the output function: 10 numbers at once",
        "inputs": logits.shape[1],
        "precision": "float64",
        "learned_per_unit": 0.0,
        "sum_error": np.abs(output.sum(axis=1) - 1.0).max(),
        "least_output": output.min(),
        "shift_error": max(np.abs(other - output).max() for other in shifted),
        "finite_at_1e4": bool(np.isfinite(tf.nn.softmax(far).numpy()).all()),
        "formula_finite_at_1e4": bool(np.isfinite(formula).all()),
    }
