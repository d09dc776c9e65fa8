"""What is behind a comparison's scores: how rates were chosen, which images are misread as what."""

import math
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from benchmark.formatting import counted, number
from benchmark.plotting.curves import WIDTH, figure_style, looks_of, per_cent, say, span
from benchmark.plotting.palette import GREY, LineLook
from benchmark.plotting.panels import HEAT, grid, heat_map

_ROLES = ("best", "worst")
_IN_A_ROW = 6  # images
_SMALL, _CELL = 7, 6  # points
_FAR = 5  # an axis follows the error where errors differ more than so many times
_STRETCHED = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998)
_LEAST_ERROR = 1e-3  # what an accuracy of one is drawn as, where the axis follows the error


def tuning_figure(
    tuning: pd.DataFrame,
    looks: Mapping[str, LineLook],
    *,
    title: str = "",
    style: str = "light",
) -> Figure:
    """Draw mean validation accuracy by learning rate, one panel for each activation.

    The others' lines lie behind in grey; the chosen rate is marked and written above. Where some
    rates are far worse than the best, the axis is stretched towards 100 %.

    Args:
        tuning: one row per activation and learning rate, as in tuning.csv.
        looks: the activations' looks; an activation that is not among them is drawn in grey.
        title: written above the panels.
        style: "light" or "dark".

    Raises:
        ValueError: for another style, and for a frame without rows or with several for one
            activation and rate.
    """
    if tuning.empty:
        raise ValueError("no rates to draw: the frame has no rows")
    if tuning.duplicated(["activation", "learning_rate"]).any():
        raise ValueError("several rows for one activation and rate: draw one setting at a time")
    tuning = tuning.sort_values(["activation", "learning_rate"])
    groups = dict(list(tuning.groupby("activation", sort=True)))
    all_looks = looks_of(groups, looks)
    columns = min(len(groups), 3 if len(groups) <= 9 else 4)
    with figure_style(style):
        figure, panels = grid(
            len(groups), columns, 1.45 if columns <= 3 else 1.5, title, sharex=True, sharey=True
        )
        for axes, (name, rows) in zip(panels, groups.items()):
            for other in groups.values():
                line = other["learning_rate"], other["val_accuracy_mean"]
                axes.plot(*line, color=GREY, linewidth=0.6, alpha=0.5)
            _draw_rates(axes, rows, all_looks[name])
            between = " " if columns <= 3 else "\n"
            axes.set_title(_rates_title(name, rows, between), loc="left", fontsize=8)
        _scale_rates(panels[0], tuning["learning_rate"])
        _scale_accuracies(panels[0], tuning)
        figure.supylabel("Validation accuracy (%)", fontsize=8)
        for axes in panels[-columns:]:
            axes.set_xlabel("Learning rate")
            axes.tick_params(axis="x", labelbottom=True, labelsize=_SMALL)
        say(figure, title, _tuning_caption(tuning))
    return figure


def confusion_figure(
    confusion: pd.DataFrame,
    looks: Mapping[str, LineLook],
    *,
    title: str = "",
    style: str = "light",
) -> Figure:
    """Draw what the best and the worst activation's networks take each class for.

    Rows are true classes, cells the share of the class's test images in percent. The diagonal, what
    is right, is left in grey, so that the errors can be seen.

    Args:
        confusion: one row per role, true and predicted class, as in confusion.csv.
        looks: the activations' looks; they are not needed here.
        title: written above the panels.
        style: "light" or "dark".

    Raises:
        ValueError: for another style, and for a frame without rows or with several for one cell.
    """
    if confusion.empty:
        raise ValueError("nothing to draw: the frame has no rows")
    if confusion.duplicated(["role", "true", "predicted"]).any():
        raise ValueError("several rows for one cell: draw one setting at a time")
    roles = _roles(confusion)
    classes = np.union1d(confusion["true"], confusion["predicted"])
    shares = {role: _shares(rows, classes) for role, rows in roles.items()}
    errors = np.concatenate([_errors(share).ravel() for share in shares.values()])
    errors = errors[np.isfinite(errors)]
    norm = LogNorm(errors.min(), max(errors.max(), 2 * errors.min())) if errors.size else LogNorm()
    with figure_style(style):
        figure = Figure(figsize=(WIDTH, WIDTH / 2 + 0.3), layout="constrained")
        panels = list(figure.subplots(1, 2))
        for axes, (role, rows) in zip(panels, roles.items()):
            image = _draw_confusion(axes, shares[role], classes, norm, style)
            axes.set_title(_confusion_title(role, rows), loc="left")
            axes.set_xlabel("Predicted class")
        for unused in panels[len(roles) :]:
            unused.axis("off")
        panels[0].set_ylabel("True class")
        if errors.size:
            bar = figure.colorbar(image, ax=panels[: len(roles)], shrink=0.8, aspect=30, pad=0.02)
            bar.locator = ticker.LogLocator(subs=(1, 2, 5))
            bar.set_label("Share of the true class (%)")
            bar.ax.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
            bar.minorticks_off()
        say(figure, title, _confusion_caption(roles))
    return figure


def misread_figure(
    misread: pd.DataFrame,
    looks: Mapping[str, LineLook],
    *,
    title: str = "",
    style: str = "light",
) -> Figure | None:
    """Draw the test images that the best and the worst activation's networks misread most.

    Args:
        misread: one row per role and image, as in misread.csv; rows without pixels are left out.
        looks: the activations' looks; they are not needed here.
        title: written above the images.
        style: "light" or "dark".

    Returns:
        None if no row has pixels.

    Raises:
        ValueError: for another style, for a row with a wrong number of pixels, and for several
            rows of one role and image.
    """
    shown = misread[misread["pixels"].notna()]
    if shown.empty:
        return None
    if shown.duplicated(["role", "index"]).any():
        raise ValueError("several rows for one image: draw one setting at a time")
    roles = _roles(shown)
    lines = [-(-len(rows) // _IN_A_ROW) for rows in roles.values()]
    with figure_style(style):
        figure = Figure(
            figsize=(WIDTH, 1.45 * sum(lines) + 0.2 * len(lines) + 0.5), layout="constrained"
        )
        figure.get_layout_engine().set(h_pad=0.07)
        blocks = figure.subfigures(len(roles), 1, squeeze=False, height_ratios=lines)[:, 0]
        for block, n_lines, (role, rows) in zip(blocks, lines, roles.items()):
            name, n_runs = rows["activation"].iloc[0], int(rows["n_runs"].iloc[0])
            words = f"{role.capitalize()}: {name}, {counted(n_runs, 'run')}"
            block.suptitle(words, x=0.01, ha="left", fontsize=9, weight="normal")
            places = list(block.subplots(n_lines, _IN_A_ROW, squeeze=False).flat)
            for axes in places[len(rows) :]:
                axes.remove()
            for axes, record in zip(places, rows.to_dict("records")):
                _draw_image(axes, record)
        say(figure, title, _MISREAD_CAPTION)
    return figure


_MISREAD_CAPTION = (
    "test images misread in most runs, with the class most often taken for the true one; in how"
    " many runs; mean probability given to that class there"
)


def _roles(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each role; one activation that is both is shown once."""
    roles = {role: frame[frame["role"] == role] for role in _ROLES}
    roles = {role: rows for role, rows in roles.items() if len(rows)}
    if len({rows["activation"].iloc[0] for rows in roles.values()}) < len(roles):
        return {role: roles[role] for role in _ROLES[:1]}
    return roles


# Learning rates


def _draw_rates(axes: Axes, rows: pd.DataFrame, look: LineLook) -> None:
    rates, mean = rows["learning_rate"], rows["val_accuracy_mean"]
    deviation = rows["val_accuracy_std"].fillna(0.0)
    if (deviation > 0).any():
        low, high = (mean - deviation).clip(lower=0), (mean + deviation).clip(upper=1)
        axes.fill_between(rates, low, high, color=look.colour, alpha=0.18, linewidth=0)
    axes.plot(rates, mean, color=look.colour, marker=look.marker)
    chosen = rows[rows["chosen"]]
    ring = {"marker": "o", "markersize": 9, "markerfacecolor": "none", "linestyle": ""}
    colour = matplotlib.rcParams["text.color"]
    axes.plot(chosen["learning_rate"], chosen["val_accuracy_mean"], color=colour, **ring)
    lost = rows[(rows["n_diverged"] > 0) | (rows["n_failed"] > 0)]
    axes.plot(
        lost["learning_rate"],
        np.full(len(lost), 0.05),
        transform=axes.get_xaxis_transform(),
        color=look.colour,
        marker="x",
        linestyle="",
        markeredgewidth=1.5,
    )


def _rates_title(name: str, rows: pd.DataFrame, between: str) -> str:
    chosen = rows[rows["chosen"]]
    if chosen.empty:
        return f"{name}:{between}none"
    edge = " (edge)" if chosen["at_edge"].iloc[0] else ""
    return f"{name}:{between}{number(chosen['learning_rate'].iloc[0])}{edge}"


def _scale_rates(axes: Axes, rates: pd.Series) -> None:
    """Scale the axis of learning rates, which all panels share."""
    first, last = rates.min(), rates.max()
    powers = range(math.ceil(math.log10(first) - 1e-9), math.floor(math.log10(last) + 1e-9) + 1)
    axes.set_xscale("log")
    axes.set_xlim(first / 1.35, last * 1.35)
    axes.set_xticks([10.0**power for power in powers] if len(powers) > 1 else sorted({first, last}))
    axes.xaxis.set_major_formatter(lambda rate, position: number(rate))
    axes.xaxis.set_minor_locator(ticker.NullLocator())


def _scale_accuracies(axes: Axes, tuning: pd.DataFrame) -> None:
    """Scale the axis of accuracies, which all panels share."""
    means = tuning["val_accuracy_mean"].dropna()
    if means.empty:
        means = pd.Series([0.0, 1.0])
    low, high = means.min(), means.max()
    far = 1 - low > _FAR * max(1 - high, _LEAST_ERROR)
    if far:
        axes.set_yscale("function", functions=(_by_error, _from_error))
        low, high = float(_by_error(low)), float(_by_error(high))
    # Crosses stand at the bottom.
    spread = high - low or 0.02
    low, high = low - 0.2 * spread, high + 0.1 * spread
    if far:
        ticks = [tick for tick in _STRETCHED if low < _by_error(tick) < high]
        axes.set_yticks(ticks[::-1][:: 1 + len(ticks) // 8])
        low, high = _from_error(low), _from_error(high)
    else:
        axes.yaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.set_ylim(low, high)
    axes.yaxis.set_major_formatter(per_cent)
    axes.yaxis.set_minor_locator(ticker.NullLocator())


def _by_error(accuracy: Any) -> Any:
    """Return the height of an accuracy where equal steps are equal ratios of errors."""
    return -np.log10(np.maximum(1 - np.asarray(accuracy, float), _LEAST_ERROR))


def _from_error(height: Any) -> Any:
    return 1 - 10.0 ** -np.asarray(height, float)


def _tuning_caption(tuning: pd.DataFrame) -> str:
    seeds = span(tuning.loc[tuning["n_seeds"] > 0, "n_seeds"])
    parts = ["one seed" if seeds == "1" else f"mean of {seeds} seeds"] if seeds else []
    if (tuning["val_accuracy_std"] > 0).any():
        parts.append("band: ± 1 standard deviation")
    parts.append("ring, and above: the rate chosen")
    if tuning.loc[tuning["chosen"], "at_edge"].any():
        parts.append("edge: no rate beyond it was tried")
    if tuning["activation"].nunique() > 1:
        parts.append("grey: the others")
    if (tuning[["n_diverged", "n_failed"]] > 0).any(axis=None):
        parts.append("×: a run diverged or failed")
    return "; ".join(parts)


# Mistakes


def _shares(rows: pd.DataFrame, classes: np.ndarray) -> np.ndarray:
    """Return the percentages of each true class, (n_classes, n_classes); NaN without images."""
    counts = rows.pivot(index="true", columns="predicted", values="count")
    counts = counts.reindex(index=classes, columns=classes).fillna(0).to_numpy(float)
    totals = counts.sum(axis=1, keepdims=True)
    return 100 * np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)


def _errors(shares: np.ndarray) -> np.ndarray:
    """Return the shares off the diagonal, NaN where there are none."""
    wrong = np.where(np.eye(len(shares), dtype=bool), np.nan, shares)
    return np.where(wrong > 0, wrong, np.nan)


def _draw_confusion(
    axes: Axes, shares: np.ndarray, classes: np.ndarray, norm: LogNorm, style: str
) -> AxesImage:
    """Draw one matrix and return its image, for the colour bar."""
    # Rare errors come close to the background.
    colours = HEAT if style == "dark" else f"{HEAT}_r"
    names = [str(one) for one in classes]
    image = heat_map(axes, _errors(shares), names, names, text="{}", norm=norm, cmap=colours)
    for cell in axes.texts:
        cell.set(text=_share(float(cell.get_text())), fontsize=_CELL)
    for place, right in enumerate(np.diag(shares)):
        corner = (place - 0.5, place - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=GREY, alpha=0.2, linewidth=0))
        if np.isfinite(right):
            axes.text(
                place, place, _share(right), ha="center", va="center", fontsize=_CELL, alpha=0.6
            )
    axes.set_aspect("equal")
    axes.tick_params(length=0)
    return image


def _share(percentage: float) -> str:
    """Return a percentage in at most three characters: "0.3", "97", "0"."""
    return f"{percentage:.1f}" if 0 < percentage < 9.95 else f"{percentage:.0f}"


def _confusion_title(role: str, rows: pd.DataFrame) -> str:
    right = rows.loc[rows["true"] == rows["predicted"], "count"].sum() / rows["count"].sum()
    return (
        f"{role.capitalize()}: {rows['activation'].iloc[0]}, {per_cent(round(right, 4), 0)} % right"
    )


def _confusion_caption(roles: Mapping[str, pd.DataFrame]) -> str:
    runs = sorted({int(rows["n_runs"].iloc[0]) for rows in roles.values()})
    counts = " or ".join(counted(count, "run") for count in runs)
    return f"percent of the test images of a class, counted over {counts}; grey: read rightly"


def _draw_image(axes: Axes, record: dict[str, Any]) -> None:
    """Draw an image, and below it what it is and what it is taken for."""
    pixels = np.array(str(record["pixels"]).split(), dtype=float)
    shape = int(record["height"]), int(record["width"])
    if pixels.size != shape[0] * shape[1]:
        raise ValueError(
            f"image {record['index']} has {pixels.size} pixels instead of {shape[0]} × {shape[1]}"
        )
    # Ink is dark on light paper in both styles: the images look like what was written.
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.imshow(pixels.reshape(shape), cmap="gray_r", vmin=0, vmax=record["scale"])
    words = f"true {record['true']}, read as {record['predicted']}\n"
    words += f"{record['n_misread']} of {counted(record['n_runs'], 'run')}"
    if math.isfinite(record["probability"]):
        words += f", {100 * record['probability']:.0f} %"
    axes.set_xlabel(words, fontsize=_SMALL)
