"""Self-normalisation: where the mean and the variance of the activations go, layer by layer.

Table: one row per activation, initializer, dropout, start, epoch, seed and layer. `mean` and
`variance` are over the units and the examples of the layer's output (layer 0: the network's
input), dimensionless, dropout included where there is some. `start` is "mean, variance" of normal
numbers fed to layers of equal width, or "images". `epoch` is 0 before training. `finite` is False
where numbers overflowed. `predicted_mean` and `predicted_variance` are those of infinitely wide
layers with random weights; `val_accuracy` belongs to trained networks; empty elsewhere.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.activations import ALPHA_DROPOUT, DROPOUT, GLOROT, HE, LECUN, Activation
from benchmark.experiments import base, claims
from benchmark.experiments.base import Option, Setting
from benchmark.experiments.claims import Finding
from benchmark.formatting import counted
from benchmark.plotting.palette import LINESTYLES, LineStyle, gray_line_style
from benchmark.training.options import whole_number

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmark.training.stacked import Networks

NONE, IMAGES = "none", "images"
# The domain of Klambauer et al. 2017 (arXiv:1706.02515), theorem 1, which SELU maps into itself.
MEANS, VARIANCES = (-0.1, 0.1), (0.8, 1.5)
STARTS = ((0.0, 1.0), *itertools.product(MEANS, VARIANCES))
# Drawn to (0, 1): from every start the last layer lies in that domain, and what remains of the
# starts' differences in variance is at most this share.
REMAINS = 0.25
# A variance so far from 1 is worth a word, even where it is held: plain dropout moves it.
MOVED = 0.1
# The paper's rates are 0.05 and 0.1; thirty layers with 0.1 leave nothing of an example.
RATE = 0.05
# Wide for normal numbers, since wide layers are near to theory; narrower where they are trained.
WIDTH, TRAINED_WIDTH = 256, 128
EXAMPLES, TRAIN_EXAMPLES = 64, 2000
LEARNING_RATE, BATCH = 0.01, 128


def cells(entry: Activation) -> list[tuple[str, str]]:
    """Return the (initializer, dropout) pairs to measure an activation with; its own come first.

    Without dropout for all. One that asks for LeCun's weights or for AlphaDropout gets both, and
    each of the two replaced.
    """
    wanted = {entry.initializer, entry.recommended, entry.dropout}
    if not wanted & {LECUN, ALPHA_DROPOUT}:
        return [(entry.recommended, NONE)]
    company = [(kind, ALPHA_DROPOUT) for kind in (LECUN, GLOROT, HE)]
    return [(LECUN, NONE), *company, (LECUN, DROPOUT)]


def kept_layers(depth: int) -> np.ndarray:
    """Return the layers that go into the table: 0, 1, 2, … and sparser towards `depth`."""
    return np.unique(np.round([0, *np.geomspace(1, depth, 16)])).astype(int)


def measure(setting: Setting) -> "pandas.DataFrame":
    """Follow mean and variance through the layers, before and after training."""
    import pandas as pd

    work = [(entry, *cell) for entry in setting.entries for cell in cells(entry)]
    parts, done = [], 0
    steps = len(work) * (setting["epochs"] + 3)
    for entry, initializer, dropout in work:
        labels = {"activation": entry.name, "initializer": initializer, "dropout": dropout}
        for rows in _cell(entry, initializer, dropout, setting):
            parts += [pd.DataFrame({**labels, **part}) for part in rows]
            done += 1
            setting.progress(done, steps)
    table = pd.concat(parts, ignore_index=True)
    small = ["mean", "variance", "predicted_mean", "predicted_variance", "val_accuracy"]
    with np.errstate(over="ignore"):
        table[small] = table[small].astype(np.float32)
    shared = {
        "dropout_rate": np.where(table["dropout"] == NONE, 0.0, RATE),
        "depth": setting["depth"],
        "train_examples": min(TRAIN_EXAMPLES, len(setting.labels("train"))),
        "learning_rate": LEARNING_RATE,
        "dataset": setting.dataset,
    }
    return table.assign(**shared)


def _cell(
    entry: Activation, initializer: str, dropout: str, setting: Setting
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of normal inputs, those of images before training, none at each epoch, and
    those of images after training."""
    from benchmark.training import stacked

    entry = dataclasses.replace(entry, dropout=dropout)

    def made(inputs: int, width: int) -> "Networks":
        widths = [inputs] + [width] * setting["depth"] + [setting.data.classes]
        rate = 0.0 if dropout == NONE else RATE
        return stacked.Networks(entry, widths, setting.seeds, initializer=initializer, dropout=rate)

    yield _rows(
        made(WIDTH, WIDTH),
        normal_starts(setting.seeds),
        [f"{mean:g}, {variance:g}" for mean, variance in STARTS],
    )
    seen = setting.pixels("val", True)[: 4 * EXAMPLES]
    trained = made(seen.shape[1], TRAINED_WIDTH)
    yield _rows(trained, seen, [IMAGES])
    training = stacked.Training(
        trained,
        setting.pixels("train", True)[:TRAIN_EXAMPLES],
        setting.labels("train")[:TRAIN_EXAMPLES],
        learning_rate=LEARNING_RATE,
        batch_size=BATCH,
    )
    for _ in training.epochs(setting["epochs"]):
        yield []
    _, accuracy = trained.evaluate(setting.pixels("val", True), setting.labels("val"))
    yield _rows(trained, seen, [IMAGES], epoch=setting["epochs"], val_accuracy=accuracy)


def normal_starts(seeds: tuple[int, ...]) -> np.ndarray:
    """Return inputs (seeds, starts * examples, units) with exactly the starts' moments.

    All starts of a seed are the same numbers, moved and scaled.
    """
    drawn = np.stack(
        [np.random.default_rng([seed, 7]).standard_normal((EXAMPLES, WIDTH)) for seed in seeds]
    )
    drawn -= drawn.mean((1, 2), keepdims=True)
    drawn /= drawn.std((1, 2), keepdims=True)
    parts = [mean + np.sqrt(variance) * drawn for mean, variance in STARTS]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _rows(
    nets: "Networks",
    x: np.ndarray,
    starts: list[str],
    epoch: int = 0,
    val_accuracy: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """Return columns (start, layer) for each seed: moments measured and, untrained, predicted."""
    layers = kept_layers(nets.depth)
    # Dropout and noise act as in training only where the cell has dropout.
    passed = nets.forward(x, training=nets.entry.dropout != NONE)
    outputs = [np.broadcast_to(x, (nets.n, *x.shape[-2:])), *passed.post]
    shape = (nets.n, len(starts), -1)
    values = [np.asarray(outputs[layer], float).reshape(shape) for layer in layers]
    # What overflows has its column.
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.stack([value.mean(-1) for value in values], axis=-1)
        variance = np.stack([value.var(-1) for value in values], axis=-1)
    predicted = np.full((2, *mean.shape[1:]), np.nan)
    if not epoch:
        gains = [_gain(kernel) for kernel in nets.kernels[:-1]]
        # The inputs' moments are those of every seed.
        path = predicted_path(nets.entry, mean[0, :, 0], variance[0, :, 0], gains, RATE)
        predicted = path[..., layers]
    shared = {
        "start": np.repeat(starts, len(layers)),
        "epoch": epoch,
        "width": nets.biases[0].shape[-1] // nets.entry.pieces,
        "layer": np.tile(layers, len(starts)),
        "predicted_mean": predicted[0].ravel(),
        "predicted_variance": predicted[1].ravel(),
    }
    return [
        {
            **shared,
            "seed": seed,
            "mean": mean[i].ravel(),
            "variance": variance[i].ravel(),
            "finite": np.isfinite(mean[i] + variance[i]).ravel(),
            "val_accuracy": np.nan if val_accuracy is None else val_accuracy[i],
        }
        for i, seed in enumerate(nets.seeds)
    ]


def _gain(kernel: Any) -> float:
    """Return the inputs' number times the weights' variance: what a layer multiplies by."""
    return float(kernel.shape[-2] * np.mean(np.square(kernel)))


def predicted_path(
    entry: Activation, mean: np.ndarray, variance: np.ndarray, gains: list[float], rate: float
) -> np.ndarray:
    """Return mean and variance by layer, (2, starts, layers + 1), of infinitely wide layers.

    With weights of mean 0 the pre-activations are then normal with mean 0, whatever the inputs,
    and their variance is the gain times the inputs' second moment.

    Args:
        entry: its dropout decides what follows the activation; "none" is none.
        mean, variance: of the inputs, (starts,).
        gains: per layer, number of inputs times variance of the weights.
        rate: share of units dropped.
    """
    path = [(mean, variance)]
    for gain in gains:
        mean, variance = path[-1]
        moments = _activated(entry, gain * (variance + mean**2))
        path.append(dropped(*moments, entry.dropout, rate))
    return np.moveaxis(np.array(path), 0, -1)


def _activated(entry: Activation, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of the activation of N(0, variance), by quadrature."""
    import tensorflow as tf

    z = np.linspace(-8, 8, 401)
    weight = np.exp(-(z**2) / 2)
    # Maxout takes several normal numbers.
    nodes = np.stack(np.meshgrid(*[z] * entry.pieces, indexing="ij"), -1)
    weights = np.prod(np.meshgrid(*[weight] * entry.pieces), axis=0).ravel()
    weights /= weights.sum()
    scaled = np.sqrt(variance)[:, None, None] * nodes.reshape(1, -1, entry.pieces)
    flat = tf.constant(scaled.reshape(-1, entry.pieces), "float32")
    values = np.asarray(entry.function(flat), float).reshape(len(variance), -1)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = values @ weights
        return mean, np.square(values - mean[:, None]) @ weights


def dropped(
    mean: np.ndarray, variance: np.ndarray, dropout: str, rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance after dropout; AlphaDropout: arXiv:1706.02515, "New Dropout"."""
    keep = 1 - rate
    if dropout == NONE:
        return mean, variance
    if dropout == DROPOUT:
        return mean, (variance + rate * mean**2) / keep
    from benchmark.models.layers import SELU_LIMIT

    scale = (keep * (1 + rate * SELU_LIMIT**2)) ** -0.5
    shift = -scale * SELU_LIMIT * rate
    mixed = keep * mean + rate * SELU_LIMIT
    spread = keep * variance + keep * rate * (SELU_LIMIT - mean) ** 2
    return scale * mixed + shift, scale**2 * spread


def method(table: "pandas.DataFrame") -> str:
    """Say what was done."""
    normal, data = table[table["start"] != IMAGES], table[table["start"] == IMAGES]
    rate = table["dropout_rate"].max()
    others = (
        f" One that asks for LeCun's weights or for AlphaDropout was also measured with dropout"
        f" after each layer (rate {rate:g}), of either kind, and with other weights."
    )
    return (
        f"Normal numbers with the mean and variance of the centre and the corners of the domain"
        f" (mean ±0.1, variance 0.8 to 1.5), and examples of {data['dataset'].iloc[0]}, were fed"
        f" to dense networks, depth {table['depth'].iloc[0]} ({normal['width'].iloc[0]} units,"
        f" {data['width'].iloc[0]} for the examples; {_seeds(table)}), and mean and variance over"
        f" units and examples followed layer by layer. Each activation had the weights that its"
        f" theory recommends and no dropout.{others if rate else ''} The networks for the"
        f" examples were then trained on"
        f" {counted(table['train_examples'].iloc[0], 'example')} for"
        f" {counted(data['epoch'].max(), 'epoch')} of plain gradient descent (learning rate"
        f" {table['learning_rate'].iloc[0]:g}). Drawn to (0, 1), or held there, means: from"
        f" every start the last layer is in this domain too, and at most {100 * REMAINS:g} % of the"
        f" starts' differences in variance remain."
    )


def _seeds(table: "pandas.DataFrame") -> str:
    count = table["seed"].nunique()
    return "1 seed" if count == 1 else f"means over {count} seeds"


@dataclasses.dataclass(frozen=True)
class Arrival:
    """Where the last layer of a cell is, over all normal starts.

    `mean` and `variance` are (lowest, highest) of the seeds' averages; `remains` is the starts'
    range in variance over that of the inputs; `drawn` says whether they were drawn together into
    the domain of theorem 1.
    """

    mean: tuple[float, float]
    variance: tuple[float, float]
    remains: float
    drawn: bool

    def __str__(self) -> str:
        return _point(self.mean, self.variance)


def arrival(cell: "pandas.DataFrame") -> Arrival:
    """Return where normal inputs of one cell, rows of the table, arrive at the last layer."""
    normal = cell[cell["start"] != IMAGES]
    last = normal[normal["layer"] == normal["layer"].max()]
    if not last["finite"].all():
        return Arrival((np.inf, np.inf), (np.inf, np.inf), np.inf, False)
    by_start = last.groupby("start")[["mean", "variance"]].mean()
    spread = last.groupby("seed")["variance"].agg(np.ptp).mean()
    remains = spread / np.ptp(normal[normal["layer"] == 0]["variance"])
    (low, high), mean = by_start["variance"].agg(["min", "max"]), by_start["mean"]
    drawn = (
        mean.between(*MEANS).all()
        and by_start["variance"].between(*VARIANCES).all()
        and remains <= REMAINS
    )
    return Arrival((mean.min(), mean.max()), (low, high), remains, bool(drawn))


def _mean(value: float) -> str:
    # Rounded first: no "−0.000".
    return f"{round(value, 3) + 0.0:.3f}".replace("-", "−")


def _variance(value: float) -> str:
    if not np.isfinite(value):
        return "infinite"
    return re.sub(r"e\+?(-?)0*", r"e\1", f"{value:#.3g}".rstrip("."))


def _point(means: tuple[float, float], variances: tuple[float, float]) -> str:
    """Return "mean … and variance …", each a number or, lowest and highest, a range."""
    if not np.isfinite([*means, *variances]).all():
        return "infinite numbers"
    texts = [[_mean(value) for value in means], [_variance(value) for value in variances]]
    mean, variance = (" to ".join(dict.fromkeys(pair)) for pair in texts)
    return f"mean {mean} and variance {variance}"


def _base(table: "pandas.DataFrame") -> dict[str, "pandas.DataFrame"]:
    """Return each activation's rows without dropout, by its name."""
    bare = table[table["dropout"] == NONE]
    return dict(iter(bare.groupby("activation", sort=False)))


def _variants(table: "pandas.DataFrame", name: str) -> dict[tuple[str, str], "pandas.DataFrame"]:
    rows = table[table["activation"] == name]
    return dict(iter(rows.groupby(["initializer", "dropout"], sort=False)))


def findings(table: "pandas.DataFrame") -> list[Finding]:
    """Judge the claims on SELU."""
    return [_only_selu(table), _company(table), _after_training(table)]


def _missing(claim: str, has_selu: bool) -> Finding:
    what = "an activation to compare selu with" if has_selu else "selu"
    return Finding(claim, claims.UNDECIDED, f"The table lacks {what}.")


def _only_selu(table: "pandas.DataFrame") -> Finding:
    claim = (
        "Only SELU is drawn to mean 0 and variance 1, from any start with a mean within ±0.1 and"
        " a variance of 0.8 to 1.5."
    )
    found = {name: arrival(rows) for name, rows in _base(table).items()}
    own = found.pop("selu", None)
    if own is None or not found:
        return _missing(claim, own is not None)
    others = [name for name, where in found.items() if where.drawn]
    verdict = claims.FAILS if not own.drawn else claims.IN_PART if others else claims.HOLDS
    depth = table["depth"].iloc[0]
    elsewhere = "; ".join(f"{name} at {where}" for name, where in found.items() if not where.drawn)
    also = f" Drawn there too: {', '.join(others)}." if others else ""
    rest = f" Elsewhere: {elsewhere}." if elsewhere else ""
    return Finding(
        claim,
        verdict,
        f"At layer {depth} ({_seeds(table)}), over all starts, selu is at {own}; of the starts'"
        f" differences in variance {_variance(100 * own.remains)} % remain.{also}{rest}",
    )


_NAMES = {
    **{LECUN: "LeCun", GLOROT: "Glorot", HE: "He"},
    **{NONE: "no dropout", DROPOUT: "plain dropout", ALPHA_DROPOUT: "AlphaDropout"},
}


def _label(cell: tuple[str, str]) -> str:
    return " + ".join(_NAMES.get(part, part) for part in cell)


def _company(table: "pandas.DataFrame") -> Finding:
    claim = (
        "SELU needs LeCun normal weights and AlphaDropout: with Glorot or He weights, or with"
        " plain dropout, its activations are not held at mean 0 and variance 1."
    )
    found = {cell: arrival(rows) for cell, rows in _variants(table, "selu").items()}
    found.pop((LECUN, NONE), None)
    whole = found.pop((LECUN, ALPHA_DROPOUT), None)
    if whole is None:
        return _missing(claim, False)
    lost = [cell for cell, where in found.items() if not where.drawn]
    if not whole.drawn or not lost:
        verdict = claims.FAILS
    else:
        verdict = claims.HOLDS if len(lost) == len(found) else claims.IN_PART
    each = "; ".join(
        f"{_label(cell)}: {where} ({_held(where)})"
        for cell, where in {(LECUN, ALPHA_DROPOUT): whole, **found}.items()
    )
    return Finding(
        claim,
        verdict,
        f"selu at layer {table['depth'].iloc[0]} ({_seeds(table)}; dropout rate"
        f" {table['dropout_rate'].max():g}) with {each}. Between layers of equal width Glorot's"
        f" and LeCun's weights have the same variance.",
    )


def _held(where: Arrival) -> str:
    if not where.drawn:
        return "not held"
    middle = sum(where.variance) / 2
    return "held" if abs(middle - 1) < MOVED else f"held, though around {_variance(middle)}, not 1"


def inside(rows: "pandas.DataFrame") -> float:
    """Return the share of hidden layers whose mean and variance, averaged over seeds, lie in the
    domain of theorem 1."""
    by_layer = rows[rows["layer"] > 0].groupby("layer")
    means = by_layer[["mean", "variance"]].mean()
    kept = means["mean"].between(*MEANS) & means["variance"].between(*VARIANCES)
    return float((kept & by_layer["finite"].all()).mean())


def _trained(table: "pandas.DataFrame") -> "pandas.DataFrame":
    return table[(table["start"] == IMAGES) & (table["epoch"] > 0)]


def _after_training(table: "pandas.DataFrame") -> Finding:
    claim = (
        "SELU's activations stay normalised in training, every layer's mean within ±0.1 and its"
        " variance within 0.8 to 1.5, and those of the others do not."
    )
    bare = _base(_trained(table))
    if "selu" not in bare or len(bare) == 1:
        return _missing(claim, "selu" in bare)
    shares = {name: inside(rows) for name, rows in bare.items()}
    own, best = shares["selu"], max(share for name, share in shares.items() if name != "selu")
    verdict = (
        claims.HOLDS if own == 1 and best < 1 else claims.IN_PART if own > best else claims.FAILS
    )
    each = "; ".join(
        f"{name} {100 * shares[name]:.0f} % (last layer at {_last(rows)}; validation accuracy"
        f" {100 * rows['val_accuracy'].mean():.0f} %)"
        for name, rows in bare.items()
    )
    return Finding(
        claim,
        verdict,
        f"Layers inside after {counted(table['epoch'].max(), 'epoch')} of training, without dropout"
        f" ({_seeds(table)}): {each}.",
    )


def _last(rows: "pandas.DataFrame") -> str:
    last = rows[rows["layer"] == rows["layer"].max()]
    # One seed's infinity is that of the mean.
    mean, variance = last["mean"].mean(skipna=False), last["variance"].mean(skipna=False)
    return _point((mean, mean), (variance, variance))


def figures(table: "pandas.DataFrame", line_styles: Mapping[str, LineStyle]) -> dict[str, "Figure"]:
    """Draw variance and mean by layer, of all activations and of each one's companies."""
    bare = _base(table)
    drawn = {"": _figure({name: (rows, line_styles[name]) for name, rows in bare.items()})}
    selves = [name for name in bare if len(_variants(table, name)) > 1]
    if selves:
        # SELU's where it was measured, else the first one's.
        name = "selu" if "selu" in selves else selves[0]
        drawn["company"] = _figure(
            _with_line_styles(_variants(table, name), line_styles[name]), name
        )
    return drawn


def _with_line_styles(
    variants: dict[tuple[str, str], "pandas.DataFrame"], own: LineStyle
) -> dict[str, tuple["pandas.DataFrame", LineStyle]]:
    """Give the activation's color to its company as asked for, and gray to the others."""
    grays = (gray_line_style(index) for index in range(len(LINESTYLES)))
    whole = (LECUN, ALPHA_DROPOUT)
    return {
        _label(cell).replace(" + ", " +\n"): (rows, own if cell == whole else next(grays))
        for cell, rows in variants.items()
    }


def _figure(lines: Mapping[str, tuple["pandas.DataFrame", LineStyle]], name: str = "") -> "Figure":
    from benchmark.plotting import panels

    first = next(iter(lines.values()))[0]
    epochs = counted(first["epoch"].max(), "epoch")
    figure, axes = panels.grid(4, 2, 2.1, title=name, sharex=True)
    for place, (column, label) in enumerate((("variance", "Variance"), ("mean", "Mean"))):
        upper, lower = axes[place], axes[place + 2]
        # The first ones on top.
        for rows, line_style in reversed(lines.values()):
            _draw_starts(upper, rows[rows["start"] != IMAGES], column, line_style)
            _draw_trained(lower, _trained(rows), column, line_style)
        for panel in (upper, lower):
            _frame(panel, column)
            panel.set_ylabel(label)
        upper.set_title(f"{label}, initial weights", loc="left")
        lower.set_title(f"{label}, after {epochs}", loc="left")
        lower.set_xlabel("Layer (0: input)")
    _legend(figure, {name: line_style for name, (_, line_style) in lines.items()})
    return figure


def _draw_starts(
    axes: "Axes", rows: "pandas.DataFrame", column: str, line_style: LineStyle
) -> None:
    """Draw the mean over starts and seeds, the starts' band, and what theory says."""
    from benchmark.plotting import panels

    by_start = rows.groupby(["layer", "start"])[[column, f"predicted_{column}"]].mean()
    band = by_start[column].groupby("layer").agg(["min", "max", "mean"])
    axes.fill_between(band.index, band["min"], band["max"], color=line_style.color, alpha=0.2, lw=0)
    axes.plot(
        band.index, band["mean"], **panels.artist(line_style), marker=line_style.marker, markevery=3
    )
    theory = by_start[f"predicted_{column}"].groupby("layer").mean()
    axes.plot(theory.index, theory, color=line_style.color, linestyle=":", linewidth=0.9)


def _draw_trained(
    axes: "Axes", rows: "pandas.DataFrame", column: str, line_style: LineStyle
) -> None:
    from benchmark.plotting import panels

    means = rows.groupby("layer")[column].mean()
    axes.plot(
        means.index, means, **panels.artist(line_style), marker=line_style.marker, markevery=3
    )


def _frame(axes: "Axes", column: str) -> None:
    """Mark the domain of theorem 1 and scale the axis."""
    axes.axhspan(*(VARIANCES if column == "variance" else MEANS), color="0.5", alpha=0.18, lw=0)
    if column == "variance":
        axes.set_yscale("log")


def _legend(figure: "Figure", line_styles: Mapping[str, LineStyle]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    from benchmark.plotting import panels

    handles = [
        Line2D([], [], **panels.artist(line_style), marker=line_style.marker)
        for line_style in line_styles.values()
    ]
    handles.append(Line2D([], [], color="0.5", linestyle=":", linewidth=0.9))
    handles.append(Patch(color="0.5", alpha=0.18, lw=0))
    labels = [*line_styles, "theory", "domain of\ntheorem 1"]
    figure.legend(handles=handles, labels=labels, loc="outside right upper")


EXPERIMENT = base.Experiment(
    name="self_normalization",
    place=7,
    title="Self-normalisation",
    question="Is SELU alone drawn to mean 0 and variance 1, and does it need LeCun's weights and"
    " AlphaDropout for it?",
    measure=measure,
    method=method,
    findings=findings,
    figures=figures,
    captions={
        "": "Variance (left) and mean (right) of the activations by layer. Above: with initial"
        " weights and normal inputs; line: average over the starts, band: from the lowest to the"
        " highest start, dotted: infinitely wide layers. Below: the dataset's examples, after"
        " training. Gray: the domain from which SELU is proved to be drawn to (0, 1).",
        "company": "The same for the activation that the title names, with LeCun normal weights and"
        " AlphaDropout (colored) and with one of the two replaced or left out (gray).",
    },
    options=(
        Option(
            "depth",
            32,
            lambda value: whole_number("depth", value, most=100),
            "number of hidden layers (32)",
        ),
        Option(
            "epochs",
            8,
            lambda value: whole_number("epochs", value, most=1000),
            "epochs of training (8)",
        ),
    ),
    images=True,
    seconds=50.0,
)
