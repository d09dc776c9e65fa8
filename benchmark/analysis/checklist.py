"""The checklist of one activation: the rows of the experiment `properties`, which describes
their columns.

Importing this loads nothing heavy.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from benchmark.activations import Activation
from benchmark.activations.gradients import WrongSlope, value_and_slope, wrong_slope
from benchmark.activations.types import Tensor
from benchmark.analysis import derivative, moments
from benchmark.analysis.curve import FLAT, ActivationCurve, Extreme, Tail

HIDDEN, OUTPUT, COUNTER = "hidden", "output", "counter-example"
# Tolerances: of a slope near 1, of a number that counts as 0 or 1, and between two functions that
# count as near each other.
UNIT_SLOPE, EXACT, NEAR = 0.1, 1e-6, 0.01
# Points of the curves in the table.
_CURVE = np.arange(-7.0, 7.0625, 0.125)
_CHANNELS = 16


def _step(x: Tensor) -> Tensor:
    import tensorflow as tf

    return tf.where(x > 0, tf.ones_like(x), tf.zeros_like(x))


STEP = Activation(name="step", make=_step, formula="1 where x > 0, else 0")


def row(entry: Activation, kind: str = HIDDEN) -> tuple[dict[str, Any], ActivationCurve | None]:
    """Return an activation's row, and its curve if it is a function of one number."""
    about = {"activation": entry.name, "kind": kind, **_about(entry)}
    if entry.pieces > 1:
        return about | _several(entry), None
    curve = ActivationCurve(entry)
    layer = moments.MomentMap(curve.values, _breaks(curve))
    return about | _shape(curve) | _moments(layer), curve


def _about(entry: Activation) -> dict[str, Any]:
    constants = [f"{key} {value}" for key, value in entry.parameters]
    precision = derivative.precision(entry)
    notes = ["a layer: as at test time, with its initial weights"] if entry.is_layer else []
    if entry.pieces > 1:
        notes += [f"a function of {entry.pieces} numbers: what is asked of one of one is left out"]
    if wrong := _wrong_slope(entry):
        notes += [
            f"its gradient is not the slope of its values: {wrong.gradient:.3g} for"
            f" {wrong.slope:.3g} at x = {wrong.x:.3g}"
        ]
    if precision != "float64":
        notes += ["cannot be computed in float64: places are good to four decimals"]
    return {
        "note": "; ".join(notes),
        "inputs": entry.pieces,
        "precision": precision,
        "learned_per_unit": _learned(entry),
        "constants": "; ".join(constants),
    }


def _wrong_slope(entry: Activation) -> WrongSlope | None:
    """Return where the gradient is not the slope of the values; of a layer it is not asked."""
    import tensorflow as tf

    if entry.is_layer:
        return None

    def evaluate(x: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(part.numpy() for part in value_and_slope(entry.make, tf.constant(x)))

    return wrong_slope(evaluate)


def _learned(entry: Activation) -> float:
    """Return how many trained weights the activation itself has per unit of its layer."""
    if not entry.is_layer:
        return 0.0
    layer = entry.make(0)
    layer.build((None, _CHANNELS * entry.pieces))
    return sum(int(np.prod(v.shape)) for v in layer.trainable_variables) / _CHANNELS


def _joined(numbers: Iterable[float], digits: int = 12) -> str:
    return "; ".join(f"{number:.{digits}g}" for number in numbers)


def _breaks(curve: ActivationCurve) -> list[float]:
    return [jump.at for jump in (*curve.kinks, *curve.discontinuities)]


def _shape(curve: ActivationCurve) -> dict[str, Any]:
    """Return the columns on a function of one number."""
    kinks, jumps = curve.kinks, curve.discontinuities
    low, low_at, low_attained = curve.extent(-1)
    high, _, high_attained = curve.extent(1)
    at_zero, slope_at_zero = curve.value_at(0.0), curve.slope_at(0.0)
    aside = curve([-curve.rounding, curve.rounding])[1]
    least, most = curve.slope_extreme(-1), curve.slope_extreme(1)
    dips = not curve.monotonic and low_attained
    columns: dict[str, Any] = {
        "searched_from": curve.x[0],
        "searched_to": curve.x[-1],
        "non_linear": bool(jumps) or bool(np.ptp(curve.slope) > curve.rounding * curve.scale),
        "continuous": not jumps,
        "differentiable": not jumps and not kinks,
        "kinks": _joined(kink.at for kink in kinks),
        "slope_jumps": _joined((kink.size for kink in kinks), 9),
        "gaps": _joined(jump.at for jump in jumps),
        "monotonic": curve.monotonic,
        "minimum": low if dips else np.nan,
        "minimum_at": low_at if dips else np.nan,
        "range_low": low,
        "range_low_attained": low_attained,
        "range_high": high,
        "range_high_attained": high_attained,
        "saturated_everywhere": bool((curve.slope == 0.0).all()),
        "lipschitz": np.inf if jumps else max(abs(least.value), abs(most.value)),
        "value_at_0": at_zero,
        "derivative_at_0": slope_at_zero,
        "derivative_at_0_left": aside[0],
        "derivative_at_0_right": aside[1],
        "odd": _is_odd(curve),
    }
    return (
        columns
        | _tail("left", curve.left)
        | _tail("right", curve.right)
        | _extreme("min", least)
        | _extreme("max", most)
        | _flat_parts(curve)
        | _unit_slopes(curve)
        | _samples(curve)
    )


def _tail(side: str, tail: Tail) -> dict[str, Any]:
    return {
        f"bounded_{side}": tail.bounded,
        f"{side}_slope": tail.slope,
        f"{side}_saturation": tail.saturation,
        f"{side}_edge": tail.edge,
    }


def _extreme(which: str, slope: Extreme) -> dict[str, Any]:
    return {
        f"derivative_{which}": slope.value,
        f"derivative_{which}_at": slope.at,
        f"derivative_{which}_attained": slope.attained,
        f"derivative_{which}_where": slope.where,
    }


def _is_odd(curve: ActivationCurve) -> bool:
    reach = min(-curve.x[0], curve.x[-1])
    x = curve.x[np.abs(curve.x) <= reach]
    value, mirrored = curve(x)[0], curve(-x)[0]
    size = np.maximum(1.0, np.abs(value))
    return bool((np.abs(value + mirrored) <= curve.rounding * size).all())


def _flat_parts(curve: ActivationCurve) -> dict[str, float]:
    least = FLAT * curve.scale
    runs = curve.runs(lambda f, slope: np.abs(slope) <= least)
    below = runs[0][1] if runs and np.isinf(runs[0][0]) else np.nan
    above = runs[-1][0] if runs and np.isinf(runs[-1][1]) else np.nan
    return {"flat_share": FLAT, "left_flat_below": below, "right_flat_above": above}


def _unit_slopes(curve: ActivationCurve) -> dict[str, float]:
    runs = curve.runs(lambda f, slope: np.abs(slope - 1.0) < UNIT_SLOPE)
    around = [run for run in runs if run[0] < 0.0 < run[1]]
    identity = around[0] if around and abs(curve.value_at(0.0)) <= EXACT else (np.nan, np.nan)
    # Far out the grid is too coarse for a wave: the slope has to be near 1 in between, too.
    steady = [run for run in runs if _is_unit(curve, run)]
    longest = max(steady, key=lambda run: run[1] - run[0], default=(np.nan, np.nan))
    return {
        "unit_slope_within": UNIT_SLOPE,
        "identity_low": identity[0],
        "identity_high": identity[1],
        "unit_slope_low": longest[0],
        "unit_slope_high": longest[1],
    }


def _is_unit(curve: ActivationCurve, run: tuple[float, float]) -> bool:
    low, high = np.clip(run, curve.x[0], curve.x[-1])
    inside = np.linspace(low, high, 103)[1:-1]
    return bool((np.abs(curve(inside)[1] - 1.0) < UNIT_SLOPE).all())


def _samples(curve: ActivationCurve) -> dict[str, str]:
    """Return the curves for the figure; both sides of a kink have the kink's own position."""
    breaks = np.unique(_breaks(curve))
    breaks = breaks[np.abs(breaks) < _CURVE[-1]]
    smooth = np.setdiff1d(_CURVE, breaks)
    aside = curve.rounding * (1 + np.abs(breaks))
    shown = np.concatenate([smooth, breaks, breaks])
    taken = np.concatenate([smooth, breaks - aside, breaks + aside])
    order = np.argsort(taken)
    f, slope = curve(taken[order])
    columns = {"curve_x": shown[order], "curve_f": f, "curve_derivative": slope}
    return {name: _joined(np.where(v == 0.0, 0.0, v), 5) for name, v in columns.items()}


def _moments(layer: moments.MomentMap) -> dict[str, Any]:
    """Return the moments of the output for normal inputs, after one layer and after many."""
    unit, small = layer.at(1.0), layer.at(moments.LEAST)
    growth = small.variance / moments.LEAST
    columns = {
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
        return columns | {"fixed_variances": "every" if fixed is None else "0 only"}
    most = min(fixed, key=lambda point: point.radius)
    normal = [p for p in fixed if max(abs(p.mean), abs(p.variance - 1.0)) <= EXACT]
    return columns | {
        "fixed_variances": _joined(sorted(point.variance for point in fixed)),
        "fixed_mean": np.round(most.mean, 12) + 0.0,
        "fixed_variance": most.variance,
        "fixed_attracts": most.attracts,
        "spectral_radius": most.radius,
        "singular_value": most.singular,
        "self_normalising": any(point.attracts for point in normal),
    }


def _several(entry: Activation) -> dict[str, Any]:
    """Return the columns on an activation that takes several numbers to one."""
    function = derivative.elementwise(entry, "float64")
    points = np.random.default_rng(0).normal(size=(200, entry.pieces))
    slopes = derivative.differentiated(function, points, "float64")[1]
    columns = {"non_linear": bool(np.ptp(slopes, axis=0).max() > EXACT)}
    if entry.pieces > 2:
        return columns
    values = functools.partial(derivative.evaluated, function, dtype="float64")
    return columns | _moments(moments.MomentMap(values, pieces=entry.pieces))


def nearest(name: str, curves: Mapping[str, ActivationCurve]) -> dict[str, Any]:
    """Return the columns on the function nearest to this one, empty if all are far."""
    own = curves[name]
    near = []
    for other, curve in curves.items():
        same_grid = len(curve.x) == len(own.x)
        if other != name and same_grid and np.abs(own.f - curve.f).max() < NEAR:
            near.append((*_distance(own, curve), other))
    if not near:
        return {"nearest": "", "nearest_distance": np.nan, "nearest_at": np.nan}
    distance, at, other = min(near, key=lambda candidate: candidate[0])
    return {"nearest": other, "nearest_distance": distance, "nearest_at": at}


def _distance(first: ActivationCurve, second: ActivationCurve) -> tuple[float, float]:
    """Return the greatest |f - g| and where it is; of two such points the right one."""
    from scipy.optimize import brentq

    apart = np.abs(first.f - second.f)
    if apart.max() <= 10 * max(first.rounding, second.rounding):
        return 0.0, np.nan

    def slope(x: float) -> float:
        return first.slope_at(x) - second.slope_at(x)

    top = np.flatnonzero((apart[1:-1] >= apart[:-2]) & (apart[1:-1] >= apart[2:])) + 1
    peaks = []
    for i in sorted(top, key=lambda i: -apart[i])[:4]:
        low, high, at = first.x[i - 1], first.x[i + 1], first.x[i]
        if slope(low) * slope(high) < 0:
            at = brentq(slope, low, high, xtol=1e-13)
        peaks.append((abs(first.value_at(at) - second.value_at(at)), float(at)))
    return max(peaks, key=lambda pair: (np.round(pair[0], 12), pair[1]))


def softmax() -> dict[str, Any]:
    """Return the row of softmax as an output function, from 1,000 vectors of 10 numbers."""
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
