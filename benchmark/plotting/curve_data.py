"""The numbers behind learning curves: where they end, their order, which need a closer view."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

SIDES = {"": "Training", "val_": "Validation"}


@dataclass(frozen=True)
class LearningCurve:
    """Mean (or median) and band over seeds, by epoch, and the coordinate `x` it is drawn against.

    Arrays of shape (n_epochs,), up to where they are finite.
    """

    epochs: np.ndarray
    x: np.ndarray
    n_seeds: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    diverged: bool


@dataclass(frozen=True)
class Line:
    """One activation's curves by side: "" is training and "val_" validation."""

    name: str
    curves: dict[str, LearningCurve]

    @property
    def diverged(self) -> bool:
        """Whether a curve ends before its last epoch because a value is not finite."""
        return any(curve.diverged for curve in self.curves.values())


def epoch_line(name: str, group: pd.DataFrame, metric: str) -> Line:
    """Return an activation's curves by epoch from its rows of `summary.curves`."""
    group = group.sort_values("epoch")
    curves = {side: _curve(group, side, metric) for side in SIDES}
    return Line(name, curves)


def time_line(name: str, epochs: pd.DataFrame) -> Line:
    """Return an activation's validation curve by the seconds since the start of training.

    `epochs` are the rows of history.csv of its runs. Both coordinates are medians over seeds; a
    run's first epoch counts at most as long as its median one.
    """
    epochs = epochs.sort_values(["run", "epoch"])
    # The first epoch of a process includes its start-up, which is no cost of the activation.
    typical = epochs.groupby("run")["seconds"].transform("median")
    seconds = epochs["seconds"].mask(epochs["epoch"] == 1, epochs["seconds"].clip(upper=typical))
    epochs = epochs.assign(seconds=seconds.groupby(epochs["run"]).cumsum())
    by_epoch = epochs.groupby("epoch")
    finite = np.isfinite(epochs["loss"]) & np.isfinite(epochs["val_loss"])
    group = pd.DataFrame(
        {
            "n_seeds": by_epoch.size(),
            "seconds": by_epoch["seconds"].median(),
            "val_accuracy_mean": by_epoch["val_accuracy"].median(),
            "val_accuracy_low": np.nan,
            "val_accuracy_high": np.nan,
            "val_loss_mean": np.where(finite.groupby(epochs["epoch"]).all(), 0.0, np.nan),
        }
    ).reset_index()
    return Line(name, {"val_": _curve(group, "val_", "accuracy", x="seconds")})


def _curve(group: pd.DataFrame, side: str, metric: str, x: str = "epoch") -> LearningCurve:
    # A network whose loss is not finite still has an accuracy, that of chance: its curve ends too.
    watched = group[[f"{side}{metric}_mean", f"{side}loss_mean"]].to_numpy(float)
    finite = np.isfinite(watched).all(axis=1)
    end = len(finite) if finite.all() else int(finite.argmin())

    def values(column: str) -> np.ndarray:
        return group[column].to_numpy(float)[:end]

    return LearningCurve(
        epochs=values("epoch"),
        x=values(x),
        n_seeds=values("n_seeds"),
        mean=values(f"{side}{metric}_mean"),
        low=values(f"{side}{metric}_low"),
        high=values(f"{side}{metric}_high"),
        diverged=end < len(finite),
    )


def ranked(lines: list[Line], metric: str) -> list[Line]:
    """Order by final validation value, best first; diverged curves have none and come last."""

    def key(line: Line) -> tuple[bool, float]:
        if line.diverged:
            return True, 0.0
        final = float(line.curves["val_"].mean[-1])
        return False, -final if metric == "accuracy" else final

    return sorted(lines, key=key)


def views_of(lines: list[Line], metric: str) -> dict[str, tuple[float, float] | None]:
    """Return what each row is called, after "Training", and its limits (None: without data)."""
    views = {"": _limits(lines, metric)}
    others = _others(lines, metric)
    if others:
        views[" – closer view"] = _limits(others, metric, last_epoch(others) // 2)
    return views


def _limits(lines: list[Line], metric: str, after: int = 0) -> tuple[float, float] | None:
    """Return the lowest and the highest value of means and bands after an epoch."""
    parts = []
    for line in lines:
        for curve in line.curves.values():
            late = curve.epochs > after
            parts += [curve.mean[late], curve.high[late]]
            # A band may reach down to zero or below, where a log axis has no values.
            parts += [curve.low[late]] if metric == "accuracy" else []
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    if metric == "accuracy":
        values = np.clip(values, 0, 1)
    return (float(values.min()), float(values.max())) if values.size else None


def _others(lines: list[Line], metric: str) -> list[Line]:
    """Return the lines that need a closer view without the rest, none where all lie together.

    They need it where in validation they span less than a third of the range of all, either
    in the last epoch or in the whole run; in the last epoch only if the range of all is a tenth
    of the whole run's or more: otherwise all merely end close together.
    """
    log = is_log(_limits(lines, metric))
    whole = _extents(lines, log)
    final = _extents(lines, log, last_epoch(lines) - 1)
    for extents, least in ((final, 0.1 * _spread(whole)), (whole, 0.0)):
        names = _group(extents, metric)
        if not names:
            continue
        spread = _spread(extents)
        close = _spread({name: extents[name] for name in names})
        if spread >= least and close < spread / 3:
            return [line for line in lines if line.name in names]
    return []


def _extents(lines: list[Line], log: bool, after: int = 0) -> dict[str, tuple[float, float]]:
    """Return each line's lowest and highest validation mean after an epoch, as axis heights."""
    extents = {}
    for line in lines:
        curve = line.curves["val_"]
        means = curve.mean[curve.epochs > after]
        if means.size:
            heights = np.log10(means) if log else means
            extents[line.name] = (float(heights.min()), float(heights.max()))
    return extents


def _spread(extents: dict[str, tuple[float, float]]) -> float:
    if not extents:
        return 0.0
    return max(high for _, high in extents.values()) - min(low for low, _ in extents.values())


def _group(extents: dict[str, tuple[float, float]], metric: str) -> set[str]:
    """Split the lines by their worst values at the widest gap; return those on its better side.

    At least half of the lines stay, and at least two; none are returned where that is all.
    """
    fault = {name: -low if metric == "accuracy" else high for name, (low, high) in extents.items()}
    names = sorted(fault, key=fault.__getitem__)
    least = max(2, math.ceil(len(names) / 2))
    if len(names) <= least:
        return set()
    gaps = np.diff([fault[name] for name in names])
    return set(names[: least + int(gaps[least - 1 :].argmax())])


def is_log(limits: tuple[float, float] | None) -> bool:
    """Return whether values between these limits span more than a decade."""
    return limits is not None and 0 < 10 * limits[0] < limits[1]


def last_epoch(lines: list[Line]) -> int:
    """Return the last epoch that any of these lines reaches."""
    return max(
        (
            int(curve.epochs[-1])
            for line in lines
            for curve in line.curves.values()
            if curve.mean.size
        ),
        default=1,
    )
