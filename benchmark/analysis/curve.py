"""What kind of function an activation is, found by evaluating it and its derivative, nothing else.

A function is known at the points of a grid that is fine near 0 and reaches far out. What lies
between two points (a kink, an edge, an extreme) is narrowed down by bisection or minimization,
so that positions are good to about 1e-8 in float64, and values to about 1e-12. Importing this loads
nothing heavy.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from benchmark.activations import Activation
from benchmark.analysis.derivative import differentiated, elementwise, evaluated, precision

Interval: TypeAlias = tuple[float, float]

HARD, SOFT, NO = "hard", "soft", "no"
# The grid: steps of 1/64 up to 32 on both sides, then growing by 2 % up to 1e8; and halving toward
# 0, down to about 1e-8.
_STEP, _DENSE, _GROWTH, REACH = 1 / 64, 32.0, 1.02, 1e8
_HALVINGS = 64
# A derivative that is exactly 0 beyond an edge got there abruptly, not by rounding or underflow,
# if it is well above rounding (so many times) one part in a thousand before the edge.
_BEFORE, _WELL = 1e-3, 10.0
# A derivative that falls as a power of x below this one does not tend to 0.
_FADES = 0.05
# Beyond this slope a function is taken for vertical.
_VERTICAL = 1e6
# Where |f'| is at most this share of its maximum a unit learns next to nothing.
FLAT = 0.05


@dataclass(frozen=True)
class Jump:
    """A point where a function or its derivative jumps, and its values on both sides of it."""

    at: float
    left: float
    right: float

    @property
    def size(self) -> float:
        """The step from left to right; infinite where a value is."""
        infinite = np.isinf([self.left, self.right]).any()
        return np.inf if infinite else self.right - self.left


@dataclass(frozen=True)
class Tail:
    """How a function behaves on one side, for x → -∞ or x → ∞.

    Attributes:
        saturation: `HARD`, the derivative is exactly 0 beyond `edge`; `SOFT`, it tends to 0;
            else `NO`.
        edge: for `HARD`, else NaN.
        slope: what the derivative tends to; NaN if it oscillates.
        limit: what the function tends to, which may be ±inf; NaN if it oscillates.
    """

    saturation: str
    edge: float
    slope: float
    limit: float

    @property
    def bounded(self) -> bool:
        """Whether the function stays finite on this side."""
        return not np.isinf(self.limit)


@dataclass(frozen=True)
class Extreme:
    """The least or greatest value of a derivative, a limit included.

    `at` is its position if that is a single point, or ±inf, else NaN; `where` says it in words.
    """

    value: float
    at: float
    attained: bool
    where: str


def _grid() -> np.ndarray:
    """Return points on which no function is likely to have its kinks."""
    near = (np.arange(-_DENSE / _STEP, _DENSE / _STEP) + 0.382) * _STEP
    far = _DENSE * _GROWTH ** np.arange(1, np.log(REACH / _DENSE) / np.log(_GROWTH))
    far = np.append(far, REACH)
    tiny = _STEP * 0.3 * 0.5 ** np.arange(20)
    return np.sort(np.concatenate([-far, near, -0.9 * tiny, tiny, far]))


class ActivationCurve:
    """A function of one number with its derivative by automatic differentiation.

    Attributes:
        x, f, slope: the grid, as far as the function is finite, its values and derivative.
        rounding: what counts as rounding, relative to the function's own size.
    """

    def __init__(self, entry: Activation) -> None:
        self.dtype = precision(entry)
        self._function = elementwise(entry, self.dtype)
        double = self.dtype == "float64"
        self.rounding, self._least_jump, self._digits = (
            (1e-12, 1e-6, 9) if double else (1e-5, 1e-3, 4)
        )
        x = _grid()
        f, slope = self(x)
        usable = np.isfinite(f) & np.isfinite(slope)
        middle = len(x) // 2
        first = middle - _leading(usable[:middle][::-1])
        last = middle + _leading(usable[middle:])
        self.x, self.f, self.slope = (part[first:last] for part in (x, f, slope))
        inner = np.abs(self.slope[np.abs(self.x) <= 10.0])
        self.scale = float(inner.max() or np.abs(self.slope).max())

    def __call__(self, x: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return f(x) and f'(x), each of the shape (n,) of x."""
        points = np.asarray(x, float).reshape(-1, 1)
        value, slope = differentiated(self._function, points, self.dtype)
        return value, slope[:, 0]

    def values(self, x: np.ndarray) -> np.ndarray:
        """Return f(x) (n,) for points (n, 1)."""
        return evaluated(self._function, x, self.dtype)

    def value_at(self, x: float) -> float:
        """Return f at one point."""
        return float(self.values(np.array([[x]]))[0])

    def slope_at(self, x: float) -> float:
        """Return f' at one point."""
        return float(self([x])[1][0])

    def _snapped(self, place: Any) -> Any:
        return np.round(place, self._digits) + 0.0

    def runs(self, holds: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> list[Interval]:
        """Return the intervals (low, high) in which `holds(f, slope)`, ends narrowed down.

        The ends of an interval that reaches as far as the grid are ±inf.
        """
        mask = holds(self.f, self.slope)
        place = np.flatnonzero(np.diff(mask))
        entering = mask[place + 1]
        outside = np.where(entering, self.x[place], self.x[place + 1])
        inside = np.where(entering, self.x[place + 1], self.x[place])
        for _ in range(_HALVINGS if len(place) else 0):
            middle = (outside + inside) / 2
            yes = holds(*self(middle))
            inside, outside = np.where(yes, middle, inside), np.where(yes, outside, middle)
        ends = self._snapped((inside + outside) / 2)
        lows = [-np.inf, *ends[entering]] if mask[0] else ends[entering]
        highs = [*ends[~entering], np.inf] if mask[-1] else ends[~entering]
        return [(float(low), float(high)) for low, high in zip(lows, highs)]

    def _jumps(self, of: int) -> list[Jump]:
        """Return where f (0) or its derivative (1) jumps."""
        values = (self.f, self.slope)[of]

        def large(left: np.ndarray, right: np.ndarray) -> np.ndarray:
            size = np.maximum(1.0, np.maximum(np.abs(left), np.abs(right)))
            return np.abs(right - left) > self._least_jump * size

        some = np.flatnonzero(large(values[:-1], values[1:]))
        ends = self.x[some], self.x[some + 1], values[some], values[some + 1]
        for _ in range(_HALVINGS):
            # What is smooth drops out as soon as it is too short for a jump.
            a, b, left, right = (part[large(*ends[2:])] for part in ends)
            ends = a, b, left, right
            if not len(a):
                return []
            # The part over which more happens is the one with the jump, if there is one. Halves
            # would meet a kink at 0 exactly, where the derivative is a convention.
            middle = a + 0.48 * (b - a)
            value = self(middle)[of]
            first = np.abs(value - left) > np.abs(right - value)
            ends = (
                np.where(first, a, middle),
                np.where(first, middle, b),
                np.where(first, left, value),
                np.where(first, value, right),
            )
        places = np.unique(self._snapped((ends[0] + ends[1]) / 2))
        aside = self.rounding * (1 + np.abs(places))
        left, right = (self(places + side * aside)[of] for side in (-1, 1))
        jumps = large(left, right)
        if of == 1:
            left, right = (
                np.where(abs(v) > _VERTICAL, np.copysign(np.inf, v), v) for v in (left, right)
            )
            jumps |= np.isinf(left) | np.isinf(right)
        return [Jump(*map(float, jump)) for jump in zip(places[jumps], left[jumps], right[jumps])]

    @functools.cached_property
    def discontinuities(self) -> list[Jump]:
        """Where the function itself jumps."""
        return self._jumps(0)

    @functools.cached_property
    def kinks(self) -> list[Jump]:
        """Where the derivative jumps or is infinite (±inf then)."""
        found = {jump.at: jump for jump in self._jumps(1)}
        for value, at in [*self._slope_peaks[-1], *self._slope_peaks[1]]:
            if abs(value) > _VERTICAL:
                found.setdefault(at, Jump(at, np.inf * value, np.inf * value))
        return [found[at] for at in sorted(found)]

    @functools.cached_property
    def left(self) -> Tail:
        """For x → -∞."""
        return self._tail(-1)

    @functools.cached_property
    def right(self) -> Tail:
        """For x → ∞."""
        return self._tail(1)

    def _abrupt(self, edge: float, inward: int, level: float) -> bool:
        """Return whether the derivative, `level` beyond the edge, differs just before it."""
        if np.isinf(edge):
            return True
        before = self.slope_at(edge + inward * _BEFORE * (1 + abs(edge)))
        return abs(before - level) > _WELL * self.rounding * self.scale

    @functools.cached_property
    def _zeros(self) -> list[Interval]:
        return self.runs(lambda f, slope: slope == 0.0)

    def _tail(self, side: int) -> Tail:
        end = -1 if side > 0 else 0
        reach, f, slope = abs(self.x[end]), float(self.f[end]), float(self.slope[end])
        zeros = self._zeros
        if zeros and np.isinf(zeros[end][end]):
            edge = zeros[end][0 if side > 0 else 1]
            if self._abrupt(edge, -side, 0.0):
                return Tail(HARD, edge, 0.0, f + 0.0)
        away = side * self.x / reach
        decades = [(away > low) & (away <= 10 * low) for low in (0.01, 0.1)]
        near, far = (np.abs(self.slope[decade]).max() for decade in decades)
        power = np.log10(near / far) if far else np.inf
        if power > _FADES:
            # For f' ~ x^-p what remains of f is the integral of that, finite for p > 1.
            rest = side * slope * reach / (power - 1) if power > 1 + _FADES else np.inf * f
            return Tail(SOFT, np.nan, 0.0, float(self._snapped(f + rest)))
        if far <= self.rounding * self.scale:
            return Tail(SOFT, np.nan, 0.0, float(self._snapped(f)))
        steady = np.ptp(self.slope[decades[1]]) <= 1e-6 * self.scale
        slope = slope if steady else np.inf * slope if power < -_FADES else np.nan
        near, far = (np.abs(self.f[decade]).max() for decade in decades)
        return Tail(NO, np.nan, slope, np.inf * f if far > 2 * near else np.nan)

    @property
    def monotonic(self) -> bool:
        """Whether the function nowhere falls, or nowhere rises."""
        change = np.diff(self.f)
        change[np.abs(change) <= self.rounding * np.maximum(1.0, np.abs(self.f[1:]))] = 0.0
        return bool((change >= 0).all() or (change <= 0).all())

    @functools.cached_property
    def turns(self) -> list[float]:
        """The points where the derivative changes sign and f is at its lowest or highest.

        Not all of those a wave may have: three at most with the least values, three with the
        greatest.
        """
        from scipy.optimize import brentq

        clear = np.flatnonzero(np.abs(self.slope) > self.rounding * self.scale)
        if not len(clear):
            return []
        sign = np.sign(self.slope[clear])
        turning = np.flatnonzero(np.diff(sign))
        pairs = sorted(zip(clear[turning], clear[turning + 1]), key=lambda pair: self.f[pair[0]])
        chosen = dict.fromkeys([*pairs[:3], *pairs[-3:]])
        found = [brentq(self.slope_at, self.x[i], self.x[j], xtol=1e-14) for i, j in chosen]
        return [float(np.round(place, 12) + 0.0) for place in found]

    def extent(self, side: int) -> tuple[float, float, bool]:
        """Return the least (-1) or greatest (1) value, a limit included; where; if attained.

        The position is NaN if it isn't a single point.
        """
        candidates = [
            (tail.limit, np.nan, tail.saturation == HARD)
            for tail in (self.left, self.right)
            if not np.isnan(tail.limit)
        ]
        candidates += [(self.value_at(place), place, True) for place in self.turns]
        candidates += [
            (v, jump.at, True) for jump in self.discontinuities for v in (jump.left, jump.right)
        ]
        # A wave of which no turn was found.
        candidates = candidates or [(side * float((side * self.f).max()), np.nan, True)]
        best = max(side * value for value, _, _ in candidates)
        found = [c for c in candidates if side * c[0] >= best - self.rounding]
        value, place, _ = max(found, key=lambda c: (c[2], not np.isnan(c[1])))
        return value, place, any(attained for _, _, attained in found)

    def slope_extreme(self, side: int) -> Extreme:
        """Return the derivative's least (-1) or greatest (1) value and where it lies."""
        tails = {"x → −∞": self.left.slope, "x → ∞": self.right.slope}
        tails = {where: slope for where, slope in tails.items() if not np.isnan(slope)}
        sides = [
            (value, kink.at, f"x → {_text(kink.at)} from the {name}")
            for kink in self.kinks
            for value, name in ((kink.left, "left"), (kink.right, "right"))
        ]
        peaks = self._slope_peaks[side]
        values = [*self.slope, *tails.values(), *(v for v, *_ in sides), *(v for v, _ in peaks)]
        best = side * max(side * np.array(values))
        slack = self.rounding * self.scale

        def reached(value: Any) -> Any:
            return side * np.asarray(value) >= side * best - slack

        wide = [run for run in self.runs(lambda f, slope: reached(slope)) if _wide(run)]
        regions = [run for run in wide if self._exact(run, best)]
        limits = [where for where, slope in tails.items() if reached(slope)]
        limits = [
            w for w in limits if not any(run[w == "x → ∞"] in (-np.inf, np.inf) for run in regions)
        ]
        points = [at for value, at in peaks if reached(value) and not _within(at, wide)]
        edges = [(at, text) for v, at, text in sides if reached(v) and not _within(at, wide)]
        texts = [_interval(run) for run in regions] + [f"x = {_text(at)}" for at in points]
        texts += [text for _, text in edges] + limits
        single = points + [at for at, _ in edges]
        at = single[-1] if single and not regions else np.nan
        if not single and not regions and limits:
            at = np.inf if "x → ∞" in limits else -np.inf
        more = ["…"] if len(texts) > 4 else []
        return Extreme(float(best), at, bool(regions or points), " and ".join(texts[:4] + more))

    def _exact(self, run: Interval, level: float) -> bool:
        """Return whether the derivative is `level` in the interval, rather than near to it."""
        return self._abrupt(run[0], -1, level) and self._abrupt(run[1], 1, level)

    @functools.cached_property
    def _slope_peaks(self) -> dict[int, list[tuple[float, float]]]:
        """The derivative's greatest inner maxima (key 1) and least minima (-1): value, position."""
        return {side: self._peaks(side) for side in (-1, 1)}

    def _peaks(self, side: int) -> list[tuple[float, float]]:
        from scipy.optimize import minimize_scalar

        height = side * self.slope
        inner = height[1:-1]
        top = np.flatnonzero((inner > height[:-2]) & (inner >= height[2:])) + 1
        found = []
        for i in sorted(sorted(top, key=lambda i: -height[i])[:4]):
            best = minimize_scalar(
                lambda x: -side * self.slope_at(x),
                bounds=(self.x[i - 1], self.x[i + 1]),
                method="bounded",
                options={"xatol": 1e-11},
            )
            # Near a smooth maximum the position is known to half the digits: round numbers appear.
            at = float(np.round(best.x, 7) + 0.0)
            found.append((side * max(-best.fun, side * self.slope_at(at)), at))
        return found


def _leading(mask: np.ndarray) -> int:
    """Return how many of the first items are true."""
    return len(mask) if mask.all() else int(np.argmin(mask))


def _wide(run: Interval) -> bool:
    return run[1] - run[0] > 2 * _STEP


def _within(at: float, runs: list[Interval]) -> bool:
    return any(low <= at <= high for low, high in runs)


def _text(at: float) -> str:
    """Return a number for a table's text, in six digits."""
    return f"{at:.6g}"


def _interval(run: Interval) -> str:
    low, high = run
    if np.isinf(low) and np.isinf(high):
        return "every x"
    if np.isinf(low):
        return f"x < {_text(high)}"
    return f"x > {_text(low)}" if np.isinf(high) else f"{_text(low)} < x < {_text(high)}"
