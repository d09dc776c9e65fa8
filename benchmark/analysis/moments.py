"""Mean and variance of an activation's output for normal inputs, and the map from layer to layer.

Importing this loads nothing heavy.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

# Panels follow the function, which varies over lengths of about 1 near 0, and the normal density.
_UNIT_EDGES = np.linspace(-10.0, 10.0, 41)
_REACH, _NODES = 10.0, 16
# The map is searched for fixed points between these variances.
LEAST, MOST, _STEPS = 1e-4, 1e4, 65
_SAME = 1e-9


@dataclass(frozen=True)
class Moments:
    """Moments of y = f(z), z ~ N(0, ν) in each input, and their derivatives with respect to ν."""

    mean: float
    variance: float
    second: float
    mean_slope: float
    variance_slope: float


@dataclass(frozen=True)
class FixedPoint:
    """A mean and a variance that the next layer repeats.

    `radius` is the spectral radius of the map's Jacobian there, `singular` its largest singular
    value.
    """

    mean: float
    variance: float
    radius: float
    singular: float

    @property
    def attracts(self) -> bool:
        """Whether nearby means and variances are drawn to it."""
        return self.radius < 1.0


class MomentMap:
    """The map (mean, variance) of one layer's outputs to those of the next.

    As in Klambauer et al. 2017 (arXiv:1706.02515, eqs. 3 to 5) for weights that add up to exactly
    ω = 0 for each unit, with squares that add up to τ = 1: z ~ N(μω, ντ) = N(0, ν), so that the
    new mean and variance are those of f(z), and the Jacobian's column of derivatives with respect
    to μ is 0. (Weights drawn with mean 0 do not add up to 0: over the units z then has the
    variance τ(ν + μ²).) With several pieces each unit's inputs are independent.

    Args:
        function: f of points (n, pieces), float64 (n,).
        breaks: where f has kinks or jumps.
        pieces: 1 or 2; with 2, f may have a kink where its inputs are equal.
    """

    def __init__(
        self,
        function: Callable[[np.ndarray], np.ndarray],
        breaks: Sequence[float] = (),
        pieces: int = 1,
    ) -> None:
        self._function, self._pieces = function, pieces
        self._breaks = np.unique([*_UNIT_EDGES, *breaks])

    def at(self, variance: float) -> Moments:
        """Return the moments for inputs of that variance, good to about 1e-12."""
        scale = np.sqrt(variance)
        z, weight = self._points(scale)
        y = self._function(scale * z)
        # d/dν of E g(√ν Z) is E g(√ν Z) (|Z|² - k) / 2ν for k inputs.
        tilt = weight * ((z**2).sum(axis=1) - self._pieces) / (2 * variance)
        mean = float(weight @ y)
        # Around the mean: a small variance beside a large mean would be lost in E y² - (E y)².
        spread = (y - mean) ** 2
        return Moments(
            mean=mean,
            variance=float(weight @ spread),
            second=float(weight @ y**2),
            mean_slope=float(tilt @ y),
            variance_slope=float(tilt @ spread),
        )

    def _points(self, scale: float) -> tuple[np.ndarray, np.ndarray]:
        """Return standard normal points (n, pieces) and their weights (n,)."""
        edges = np.concatenate([np.linspace(-_REACH, _REACH, 41), self._breaks / scale])
        edges = np.unique(edges[np.abs(edges) <= _REACH])
        z, weight = _normal_rule(edges, _NODES)
        if self._pieces == 1:
            return z[:, None], weight
        # Sum and difference of independent normal numbers are independent too; seen along them
        # the kink of a maximum lies on the axis, between two panels.
        z, weight = _normal_rule(np.linspace(-_REACH, _REACH, 21), 10)
        u, v = (part.ravel() for part in np.meshgrid(z, z))
        return np.stack([u + v, v - u], axis=1) / np.sqrt(2.0), np.outer(weight, weight).ravel()

    def fixed_points(self) -> list[FixedPoint] | None:
        """Return those with a variance between 1e-4 and 1e4; None if every variance is one."""
        from scipy.optimize import brentq

        def growth(log_variance: float) -> float:
            variance = np.exp(log_variance)
            return self.at(variance).variance / variance - 1.0

        logs = np.linspace(np.log(LEAST), np.log(MOST), _STEPS)
        with np.errstate(all="ignore"):
            values = np.array([growth(log) for log in logs])
        if (np.abs(values) <= _SAME).all():
            return None
        # Where a variance stays the same over a whole stretch, rounding makes no fixed points.
        clear = np.flatnonzero((np.abs(values) > _SAME) & np.isfinite(values))
        crossings = [
            (logs[i], logs[j])
            for i, j in itertools.pairwise(clear)
            if np.sign(values[i]) != np.sign(values[j]) and j - i <= 2
        ]
        roots = [brentq(growth, low, high, xtol=1e-14) for low, high in crossings]
        return [self._fixed(float(np.exp(log))) for log in roots]

    def _fixed(self, variance: float) -> FixedPoint:
        moments = self.at(variance)
        # The Jacobian [[0, m'], [0, v']] has the eigenvalues 0 and v'.
        singular = float(np.hypot(moments.mean_slope, moments.variance_slope))
        return FixedPoint(moments.mean, variance, abs(moments.variance_slope), singular)


def _normal_rule(edges: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points and weights of Gauss-Legendre on each panel, times the normal density."""
    at, weight = np.polynomial.legendre.leggauss(nodes)
    half, middle = np.diff(edges) / 2, (edges[:-1] + edges[1:]) / 2
    z = (middle[:, None] + half[:, None] * at).ravel()
    weight = (half[:, None] * weight).ravel()
    return z, weight * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
