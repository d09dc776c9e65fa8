"""Do gradients explode from large initial weights, which activations avoid it, and does clipping?

One row of the table is a step of a network: `loss` (mean cross-entropy of the batch, nats) and
`gradient_norm` (Euclidean, all weight matrices together) before the step and before clipping;
`first_update` and `last_update`, how far the step moves the weights of the first and of the last
hidden layer. `finite` is False at the first step whose loss or gradient norm is no longer a finite
float32: the network's last row, without numbers. Of the later steps the table keeps some.
`gain` is what the activation's own initial weights were multiplied by; `clipping` is "off", "value"
(each component at most `limit` in size) or "norm" (each variable's gradient). Of the network
before training, `pre_gradient_ratio` is the gradient with respect to the first hidden layer's
pre-activations over that to the last one's, in Euclidean norm.

The loss is computed from logits and so stays finite longer than one from rounded probabilities.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.data.catalogue import info_of
from benchmark.experiments.base import Experiment, Option, Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED, Finding, agreed
from benchmark.formatting import counted, listing, number
from benchmark.plotting.palette import GRAY, LineStyle
from benchmark.training.options import listed, positive_number, whole_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame, Series

    from benchmark.activations import Activation

UNITS, BATCH, EPOCHS = 128, 128, 5
# Training examples at most.
EXAMPLES = 2000
# The articles' threshold, by value and by norm.
LIMIT = 0.5
OFF = "off"
CLIPPINGS = {OFF: "No clipping", "value": "Clipped by value", "norm": "Clipped by norm"}

# Exploded: the loss (or the gradient norm) became infinite, or the loss so many times its start.
EXPLODED = 10.0
# First and last layer's gradients within this factor: neither vanishing nor exploding.
STEADY = 10.0
# The source's number of hidden layers.
SOURCE_DEPTH = 3
CALLED = {"relu": "ReLU", "elu": "ELU", "leaky_relu": "Leaky ReLU"}
# Losses beyond these are not drawn, unless they start there.
FLOOR, CEILING = 1e-3, 1e8
# Widths of the first and of the last line drawn, in points.
WIDTHS = 3.0, 0.9
CROSS: dict[str, Any] = {
    "linestyle": "",
    "marker": "x",
    "markersize": 5,
    "markeredgewidth": 1.5,
}


def measure(setting: Setting) -> "DataFrame":
    """Return one row per activation, depth, clipping, initial weights, seed and kept step."""
    import pandas as pd

    planned = [
        (entry, depth, clipping)
        for entry in setting.entries
        for depth in setting["depths"]
        for clipping in CLIPPINGS
    ]
    of, done, rows = sum(depth + 2 for _, depth, _ in planned), 0, []
    for entry, depth, clipping in planned:
        rows += _rows(setting, entry, depth, clipping)
        done += depth + 2
        setting.progress(done, of)
    return pd.DataFrame(rows)


def _rows(
    setting: Setting, entry: "Activation", depth: int, clipping: str
) -> Iterator[dict[str, Any]]:
    from benchmark.training import stacked

    x = setting.pixels("train", standardized=True)[:EXAMPLES]
    y = setting.labels("train")[:EXAMPLES]
    cases = [(gain, seed) for gain in setting["gains"] for seed in setting.seeds]
    nets = stacked.Networks(
        entry,
        [x.shape[1], *[UNITS] * depth, setting.data.classes],
        [seed for _, seed in cases],
        gain=[gain for gain, _ in cases],
    )
    pre = nets.gradients(x[:BATCH], y[:BATCH], training=True).pre
    with np.errstate(all="ignore"):
        ratios = _norms(pre[0]) / _norms(pre[-1])
    training = stacked.Training(
        nets,
        x,
        y,
        learning_rate=setting["rate"],
        batch_size=BATCH,
        clip=_clip(clipping),
        watch=True,
    )
    epochs = list(training.epochs(EPOCHS))
    losses, gradients, updates = (
        np.concatenate([getattr(epoch, kind) for epoch in epochs]).astype(float)
        for kind in ("losses", "gradient_norms", "update_norms")
    )
    norms = np.sqrt((gradients**2).sum(axis=2))
    finite = np.isfinite(losses) & np.isfinite(norms)
    for i, (gain, seed) in enumerate(cases):
        for step in recorded_steps(finite[:, i]):
            numbers = {
                "loss": losses[step, i],
                "gradient_norm": norms[step, i],
                "first_update": updates[step, i, 0],
                "last_update": updates[step, i, depth - 1],
            }
            yield {
                "activation": entry.name,
                "depth": depth,
                "clipping": clipping,
                "gain": gain,
                "seed": seed,
                "step": step + 1,
                **{name: _rounded(value, finite[step, i]) for name, value in numbers.items()},
                "finite": bool(finite[step, i]),
                "pre_gradient_ratio": _rounded(ratios[i]),
                "dataset": setting.dataset,
                "units": UNITS,
                "initializer": entry.initializer,
                "steps": len(losses),
                "learning_rate": setting["rate"],
                "limit": LIMIT,
            }


def _norms(array: Any) -> np.ndarray:
    return np.linalg.norm(np.asarray(array, float), axis=(1, 2))


def _clip(clipping: str) -> Callable | None:
    from benchmark.training import stacked

    if clipping == OFF:
        return None
    clipped = stacked.clip_by_value if clipping == "value" else stacked.clip_by_norm
    return lambda gradients: clipped(gradients, LIMIT)


def recorded_steps(finite: np.ndarray) -> list[int]:
    """Return the steps to keep, from 0: ever fewer, the last, and the first that is not finite."""
    count = len(finite) if finite.all() else int(finite.argmin()) + 1
    growing = np.unique(np.round(1.3 ** np.arange(40)).astype(int)) - 1
    return [*(int(step) for step in growing if step < count - 1), count - 1]


def _rounded(value: float, finite: bool = True) -> float | None:
    """Keep six digits: float32 has few more, and the file stays short."""
    return float(f"{value:.6g}") if finite and np.isfinite(value) else None


def _mean(numbers: Any) -> float:
    """Return the geometric mean, as fits numbers over decades; 0 if one of them is 0."""
    with np.errstate(divide="ignore"):
        return float(np.exp(np.mean(np.log(np.asarray(numbers, float)))))


def method(table: "DataFrame") -> str:
    """Say what was measured."""
    one, seeds, depths = table.iloc[0], table.seed.nunique(), sorted(table.depth.unique())
    return (
        f"Dense networks of {listing(depths)} hidden layer{'s' * (depths != [1])} of {one.units}"
        f" units on {one.dataset} (standardized inputs), their initial weights"
        f" ({listing(sorted(table.initializer.unique()))}) multiplied by"
        f" {_gains(table)}, trained for {counted(one.steps, 'step')} of plain gradient descent at"
        f" rate {one.learning_rate:g}: without clipping, with gradients clipped to ±{one.limit:g}"
        f" by value, and to a norm of {one.limit:g} for each variable;"
        f" {counted(seeds, 'seed')}. Exploded means that the loss or the gradient norm"
        f" became infinite or the loss rose to more than {EXPLODED:g} times its start; from logits,"
        " the loss stays finite longer than from probabilities."
    )


def _gains(table: "DataFrame") -> str:
    return listing(f"{gain:g}" for gain in sorted(table.gain.unique()))


def outcomes(table: "DataFrame") -> "DataFrame":
    """Return one row per network: its settings, and what became of it.

    `start`, `highest` and `end` are losses, `infinite_at` the step at which a number was no longer
    finite (NaN: none), `exploded` says whether that or too high a loss happened, `update_ratio` is
    the first layer's first step over the last one's (NaN if it was not finite).
    """
    settings = ["activation", "depth", "clipping", "gain", "seed"]
    ordered = table.sort_values([*settings, "step"]).assign(
        infinite_at=table.step.where(~table.finite),
        # A layer that no step moves has no share.
        update_ratio=(table.first_update / table.last_update.where(table.last_update > 0)).where(
            table.step == 1
        ),
    )
    found = ordered.groupby(settings, as_index=False).agg(
        start=("loss", "first"),
        highest=("loss", "max"),
        end=("loss", "last"),
        infinite_at=("infinite_at", "max"),
        update_ratio=("update_ratio", "first"),
        pre_gradient_ratio=("pre_gradient_ratio", "first"),
    )
    risen = found.highest > EXPLODED * found.start
    return found.assign(exploded=found.infinite_at.notna() | risen)


def findings(table: "DataFrame") -> list[Finding]:
    """Judge the articles' claims."""
    found = outcomes(table)
    guessing = np.log(info_of(table.dataset.iloc[0]).classes)
    return [
        _first_faster(found),
        *(_not_avoided(found, name) for name in CALLED),
        *(_clipped(found, clipping, guessing) for clipping in ("value", "norm")),
        _selu(found),
    ]


def _first_faster(found: "DataFrame") -> Finding:
    claim = (
        f"With large initial weights the first of {SOURCE_DEPTH} hidden layers changes faster than"
        " the third."
    )
    rows = found[(found.clipping == OFF) & (found.depth == SOURCE_DEPTH) & (found.gain > 1)]
    rows = rows[rows.gain == rows.gain.max()].dropna(subset=["update_ratio", "pre_gradient_ratio"])
    if rows.empty:
        lacking = f"No network of {SOURCE_DEPTH} hidden layers took a step from larger weights."
        return Finding(claim, UNDECIDED, lacking)
    each = rows.groupby("activation")
    steps = each.update_ratio.apply(_mean).sort_values(ascending=False)
    sides = (("farther", steps[steps > 1]), ("less far", steps[steps <= 1]))
    texts = [
        f"{word} than the third's with"
        f" {listing(f'{name} ({number(ratio)} times)' for name, ratio in side.items())}"
        for word, side in sides
        if len(side)
    ]
    return Finding(
        claim,
        agreed(steps > 1),
        f"From {rows.gain.max():g} times the usual weights, unclipped, the first step moves the"
        f" first layer's weights {', '.join(texts)}. The gradient of the first layer's"
        f" pre-activations is {_span(each.pre_gradient_ratio.apply(_mean))} times the third's; that"
        " of the weights has the layer's inputs as a factor too, which with an unbounded"
        " activation grow from layer to layer.",
    )


def _span(numbers: Iterable[float]) -> str:
    low, high = number(min(numbers)), number(max(numbers))
    return low if low == high else f"{low} to {high}"


def _not_avoided(found: "DataFrame", name: str) -> Finding:
    claim = f"{CALLED[name]} does not avoid exploding gradients."
    rows = found[(found.activation == name) & (found.clipping == OFF)]
    if rows.empty:
        return Finding(claim, UNDECIDED, f"The table lacks {name}.")
    verdict = HOLDS if rows.exploded.any() else FAILS
    return Finding(claim, verdict, f"Exploded unclipped: {_exploded(rows)}.")


def _exploded(rows: "DataFrame") -> str:
    """Say how many exploded at each depth and gain, and when."""
    texts = []
    for depth, group in rows.groupby("depth"):
        each = group.groupby("gain").exploded.agg(["sum", "count"])
        numbers = listing(f"{n} of {of} from {gain:g} ×" for gain, n, of in each.itertuples())
        steps = group.infinite_at.dropna()
        at = f"step{'s' * (steps.nunique() > 1)} {_span(steps)}" if len(steps) else ""
        when = f" (infinite at {at})" if at else ""
        texts.append(f"at {_layers_text([depth])} {numbers} the usual weights{when}")
    return "; ".join(texts)


def _layers_text(depths: Iterable[int]) -> str:
    depths = sorted(depths)
    return f"{listing(depths)} layer{'s' * (depths != [1])}"


def _clipped(found: "DataFrame", clipping: str, guessing: float) -> Finding:
    claim = (
        f"Clipping gradients by {clipping} avoids the explosion: the loss stays finite and at most"
        f" {EXPLODED:g} times its start."
    )
    settings = ["activation", "depth", "gain", "seed"]
    free = found[(found.clipping == OFF) & found.exploded][settings]
    both = free.merge(found[found.clipping == clipping], on=settings)
    if both.empty:
        return Finding(claim, UNDECIDED, "No network exploded without clipping.")
    kept, lost = both[~both.exploded], both[both.exploded]
    explode = "network explodes" if len(both) == 1 else "networks explode"
    text = f"Unclipped, {len(both)} {explode} (with {_names(both)}); clipped, "
    if len(both) == 1:
        text += "it still does." if len(lost) else "it does not."
    else:
        text += f"{len(lost) or 'none'} of them still {'do' if len(lost) > 1 else 'does'}"
        text += f" (with {_names(lost)})." if len(lost) else "."
    if len(kept):
        left = number(100 * _mean(kept.end / kept.start))
        mean = " (geometric mean)" if len(kept) > 1 else ""
        whose = "The loss of the others" if len(lost) else "The loss"
        text += f" {whose} goes to {left} % of its start{mean}{_beside(kept.end, guessing)}."
    return Finding(claim, agreed(~both.exploded), text)


def _beside(ends: "Series", guessing: float) -> str:
    """Say what losses that stayed finite come to: finite may still be far from learned."""
    median = " in the median" if len(ends) > 1 else ""
    return (
        f"; it ends at {number(ends.median())} nats{median}, worse than guessing"
        f" ({guessing:.1f} nats) in {(ends > guessing).sum()} of {counted(len(ends), 'network')}"
    )


def _names(rows: "DataFrame") -> str:
    return listing(sorted(rows.activation.unique()))


def _selu(found: "DataFrame") -> Finding:
    claim = "With SELU gradients can neither vanish nor explode."
    rows = found[(found.activation == "selu") & (found.clipping == OFF)]
    inside, outside = rows[rows.gain == 1], rows[rows.gain != 1]
    if rows.empty or inside.empty:
        lacking = "The table lacks selu." if rows.empty else "No gain of 1 was asked."
        return Finding(claim, UNDECIDED, lacking)
    steady = {side: _steady(part) for side, part in (("in", inside), ("out", outside))}
    text = (
        "Under its conditions, LeCun normal weights and standardised inputs, at"
        f" {_layers_text(inside.depth.unique())},"
        f" {inside.exploded.sum()} of {counted(len(inside), 'network')} exploded, and the first"
        f" layer's gradient is {_span(_every_ratio(inside))} times the last hidden layer's (a"
        f" factor of {STEADY:g} either way counts as steady)."
    )
    if len(outside):
        text += f" From other weights, exploded unclipped: {_exploded(outside)}."
    verdict = FAILS if not steady["in"] else HOLDS if steady["out"] else IN_PART
    return Finding(claim, verdict, text)


def _every_ratio(rows: "DataFrame") -> list[float]:
    """Return the first layer's gradients over the last one's, of weights and pre-activations."""
    return [*rows.update_ratio.dropna(), *rows.pre_gradient_ratio.dropna()]


def _steady(rows: "DataFrame") -> bool:
    ratios = np.array(_every_ratio(rows))
    return not rows.exploded.any() and bool(((ratios >= 1 / STEADY) & (ratios <= STEADY)).all())


def figures(table: "DataFrame", line_styles: Mapping[str, "LineStyle"]) -> dict[str, "Figure"]:
    """Draw losses and gradients by step, and the first layer's over the last one's by gain."""
    # What exploded would leave no room for the rest.
    return {
        "": _by_step(table, line_styles, "loss", "loss (nats)", CEILING),
        "gradients": _by_step(table, line_styles, "gradient_norm", "gradient norm", np.inf),
        "layers": _layers(table, line_styles),
    }


def _shown_depth(table: "DataFrame") -> int:
    return min(table.depth.unique(), key=lambda depth: abs(depth - SOURCE_DEPTH))


def _by_step(
    table: "DataFrame",
    line_styles: Mapping[str, "LineStyle"],
    column: str,
    label: str,
    ceiling: float,
) -> "Figure":
    """Draw a column by step; not above the ceiling, unless it starts there."""
    from benchmark.plotting import panels

    depth, gains = _shown_depth(table), sorted(table.gain.unique())
    rows, names = table[table.depth == depth], list(dict.fromkeys(table.activation))
    kinds, columns = list(CLIPPINGS), len(gains)
    figure, axes = panels.grid(len(kinds) * columns, columns, 1.8, sharex=True, sharey=True)
    artists = _artists(line_styles, names)
    for place, (kind, gain) in enumerate((k, g) for k in kinds for g in gains):
        here = axes[place]
        part = rows[(rows.clipping == kind) & (rows.gain == gain)]
        each = dict(iter(part.groupby("activation", sort=False)))
        for name, own in each.items():
            _line(here, own, column, artists[name])
        _crosses(here, each, artists)
        if kind == kinds[0]:
            here.set_title(f"Initial weights × {gain:g}", loc="left")
        if kind == kinds[-1]:
            here.set_xlabel("Step")
        if gain == gains[0]:
            here.set_ylabel(f"{CLIPPINGS[kind]}\n{label}")
    axes[0].set(xscale="log", yscale="log")
    axes[0].xaxis.set_major_formatter("{x:g}")
    drawn = rows.dropna(subset=[column])
    if len(drawn):
        values = drawn[column]
        top = max(ceiling, 100 * values[drawn.step == 1].max())
        axes[0].set_ylim(max(values.min() / 2, FLOOR), min(2 * values.max(), top))
    _legend(figure, artists)
    return figure


def _artists(line_styles: Mapping[str, "LineStyle"], names: list[str]) -> dict[str, dict[str, Any]]:
    """Return how each line is drawn: the later, the thinner, so that it hides none below it."""
    from benchmark.plotting import panels

    widths = np.linspace(*WIDTHS, len(names))
    return {n: {**panels.artist(line_styles[n]), "linewidth": w} for n, w in zip(names, widths)}


def _first_infinite(rows: "DataFrame") -> float:
    """Return the first step at which a seed's numbers are not finite; infinity if all are."""
    return rows.step[~rows.finite].min() if not rows.finite.all() else np.inf


def _line(axes: "Axes", rows: "DataFrame", column: str, artist: Mapping[str, Any]) -> None:
    """Draw the mean of the seeds while all are finite."""
    means = rows[rows.step < _first_infinite(rows)].groupby("step")[column].apply(_mean)
    axes.plot(means.index, means, **artist)


def _crosses(
    axes: "Axes", each: Mapping[str, "DataFrame"], artists: Mapping[str, Mapping[str, Any]]
) -> None:
    """Put a cross where an activation's first network became infinite, one below the other."""
    ends = {name: _first_infinite(rows) for name, rows in each.items()}
    ends = {name: end for name, end in ends.items() if np.isfinite(end)}
    apart = min(0.07, 0.9 / max(1, len(ends)))
    for place, (name, end) in enumerate(ends.items()):
        axes.plot(
            end, 0.95 - apart * place, color=artists[name]["color"],
            transform=axes.get_xaxis_transform(), clip_on=False, **CROSS,
        )  # fmt: skip


def _legend(figure: "Figure", artists: Mapping[str, Mapping[str, Any]]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **artist) for artist in artists.values()]
    handles.append(Line2D([], [], color=GRAY, **CROSS))
    labels = [*artists, "became infinite"]
    figure.legend(handles=handles, labels=labels, loc="outside right upper")


def _layers(table: "DataFrame", line_styles: Mapping[str, "LineStyle"]) -> "Figure":
    from matplotlib.ticker import NullLocator

    from benchmark.plotting import panels

    depth, names = _shown_depth(table), list(dict.fromkeys(table.activation))
    found = outcomes(table)
    found = found[(found.clipping == OFF) & (found.depth == depth)]
    figure, axes = panels.grid(2, 2, max(2.6, 0.4 + 0.165 * len(names)))
    titles = {
        "pre_gradient_ratio": "Gradient, pre-activations",
        "update_ratio": "First step, weights",
    }
    for here, (column, title) in zip(axes, titles.items()):
        for name in names:
            rows = found[found.activation == name].dropna(subset=[column])
            means = rows.groupby("gain")[column].apply(_mean)
            line_style = {**panels.artist(line_styles[name]), "marker": line_styles[name].marker}
            here.plot(means.index, means, **line_style)
        here.axhline(1, color=GRAY, linestyle=":")
        here.set_title(title, loc="left")
        here.set(xscale="log", yscale="log", xlabel="Initial weights, times the usual")
        here.set_xticks(sorted(table.gain.unique()))
        here.xaxis.set_major_formatter("{x:g}")
        here.xaxis.set_minor_locator(NullLocator())
    axes[0].set_ylabel(f"First hidden layer ÷ last of {depth}")
    panels.legend(figure, line_styles, names, markers=True)
    return figure


EXPERIMENT = Experiment(
    name="exploding",
    place=4,
    title="Exploding gradients",
    question="Do large initial weights make gradients explode, and what prevents it?",
    measure=measure,
    method=method,
    findings=findings,
    figures=figures,
    captions={
        "": "Loss by step (both logarithmic) with the usual and with larger initial weights"
        " (columns), without clipping and with two kinds of it (rows); mean over seeds. Crosses"
        " (at any height) mark the step at which an activation's first network became infinite in"
        " loss or gradient norm; losses far above their start are cut off.",
        "gradients": "Norm of the gradient of all weight matrices, before clipping, by step, in the"
        " same panels: to the last step at which it is finite in every network. Crosses as before.",
        "layers": "How much more the first hidden layer is moved than the last, by size of the"
        " initial weights, before training: the gradient with respect to its pre-activations"
        " (left) and the first unclipped step of its weights (right). Above the dotted line the"
        " first layer changes more.",
    },
    options=(
        Option(
            "gains",
            [1.0, 4.0, 16.0],
            lambda value: sorted(
                listed("gains", value, lambda item: positive_number("gain", item))
            ),
            "what the initial weights are multiplied by",
        ),
        Option(
            "depths",
            [3, 10],
            lambda value: sorted(
                listed("depths", value, lambda item: whole_number("depth", item, 1, 100))
            ),
            "numbers of hidden layers",
        ),
        # Keras's own by default: with the usual weights nothing explodes at it.
        Option(
            "rate", 0.01, lambda value: positive_number("rate", value), "learning rate of all steps"
        ),
    ),
    images=True,
    seconds=27.0,
)
