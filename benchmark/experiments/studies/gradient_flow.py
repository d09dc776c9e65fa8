"""Does the gradient vanish on its way back? Gradients and updates by layer, shallow nets to deep.

One row of the table is a hidden layer of a network. Norms are Euclidean, losses in nats.
`gradient_norm` (of the weights) and `pre_gradient_norm` (of the pre-activations, all examples
together) are taken before training, `trained_gradient_norm` (of the weights) after an epoch of it,
each of the mean cross-entropy of the same `images` examples; `weight_norm` and `spectral_norm`
(largest singular value) are the initial weights', `first_update_norm` is of the first step of that
epoch (learning rate times gradient, of its first batch), `update_norm` of the sum of the epoch's
steps. `recommended` marks the initial weights that the activation's theory asks for, `diverged` a
network that was no longer finite after the epoch: what the epoch did is empty there.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.activations import GLOROT, HE, LECUN, Activation
from benchmark.errors import unknown
from benchmark.experiments.base import Experiment, Option, Setting
from benchmark.experiments.claims import FAILS, HOLDS, UNDECIDED, Finding, agreed
from benchmark.formatting import counted, listing, number
from benchmark.plotting.palette import GRAY, LineStyle
from benchmark.training.options import listed, whole_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from benchmark.training.stacked import Networks

RECOMMENDED = "recommended"
INITIALIZERS = (GLOROT, HE, LECUN, "glorot_normal", "he_uniform", "lecun_uniform", "orthogonal")
UNITS, BATCH, RATE = 128, 128, 0.01
# Training examples at most, and how many of them the gradients are of.
EXAMPLES, IMAGES = 2000, 256

# Vanished: below this share of what it is compared with.
VANISHED = 0.01
# How many layers the articles give a sigmoid network until then.
LAYERS = 5
# "Much slower" is a change below this share of the other's.
MUCH_SLOWER = 0.1
SIGMOID_SLOPE = 0.25
# What float32 may add to a ratio of norms.
ROUNDING = 1e-4
# The depth nearest to this one is drawn layer by layer; no curve is drawn below this floor.
SHOWN_DEPTH, FLOOR = 10, 1e-8


def measure(setting: Setting) -> "DataFrame":
    """Return one row per activation, normalisation, depth, initial weights, seed and layer."""
    import pandas as pd

    from benchmark.training import stacked

    x = setting.pixels("train", standardized=True)[:EXAMPLES]
    y = setting.labels("train")[:EXAMPLES]
    planned = [
        (entry, depth, normalised)
        for entry in setting.entries
        for depth in setting["depths"]
        for normalised in (False, True)
    ]
    constants = {
        "dataset": setting.dataset,
        "units": UNITS,
        "images": min(IMAGES, len(x)),
        "steps": -(-len(x) // BATCH),
        "learning_rate": RATE,
    }
    of, done, rows, known = sum(depth for _, depth, _ in planned), 0, [], {}
    for entry, depth, normalised in planned:
        kinds = _kinds(entry, setting["initializers"])
        # All initial weights and seeds side by side.
        nets = stacked.Networks(
            entry,
            [x.shape[1], *[UNITS] * depth, setting.data.classes],
            list(setting.seeds) * len(kinds),
            initializer=[kind for kind in kinds for _ in setting.seeds],
            batch_norm=normalised,
        )
        each = [
            {
                "activation": entry.name,
                "batch_norm": normalised,
                "depth": depth,
                "initializer": kind,
                "recommended": kind == entry.recommended,
                "seed": seed,
            }
            for kind in kinds
            for seed in setting.seeds
        ]
        spectral = _spectral_norms(nets, known, (*kinds, entry.pieces))
        columns = {"spectral_norm": spectral, **_measured(nets, x, y)}
        rows += [{**each[i], **row, **constants} for i, row in _by_network(columns)]
        done += depth
        setting.progress(done, of)
    return pd.DataFrame(rows)


def _kinds(entry: Activation, wanted: list[str]) -> list[str]:
    """Return the initial weights asked for, each once."""
    return list(dict.fromkeys(entry.recommended if k == RECOMMENDED else k for k in wanted))


def _spectral_norms(nets: "Networks", known: dict, kind: tuple) -> np.ndarray:
    """Return the hidden kernels' largest singular values, (layers, n).

    Layers of the same number start alike in networks of any depth: `known` keeps them.
    """
    for place, kernel in enumerate(nets.kernels[:-1]):
        if (kind, place) not in known:
            known[kind, place] = np.linalg.norm(kernel.numpy(), 2, axis=(1, 2))
    return np.array([known[kind, place] for place in range(nets.depth)])


def _measured(nets: "Networks", x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Train for an epoch and return the columns of norms, (layers, n) each."""
    weights = _norms(nets.kernels[:-1])
    before = nets.gradients(x[:IMAGES], y[:IMAGES], training=True)
    first, moved = _epoch(nets, x, y)
    after = nets.gradients(x[:IMAGES], y[:IMAGES], training=True)
    return {
        "weight_norm": weights,
        "gradient_norm": _norms(before.kernels[:-1]),
        "pre_gradient_norm": _norms(before.pre),
        "first_update_norm": _norms(first),
        "update_norm": _norms(moved),
        "trained_gradient_norm": _norms(after.kernels[:-1]),
    }


def _epoch(nets: "Networks", x: np.ndarray, y: np.ndarray) -> tuple[list[Any], list[Any]]:
    """Train for an epoch of plain gradient descent.

    Return the first step of each hidden kernel, and the sum of all steps.

    Step by step: tracing a graph of 30 layers would take longer than these few steps. Their sum
    is kept apart, since a step far below a weight's last digit leaves no trace in it.
    """
    from benchmark.training.trainer import batch_order

    orders = np.stack([batch_order(seed, 1, len(x)) for seed in nets.seeds])
    taken, moved = [], [0.0] * nets.depth
    for first in range(0, len(x), BATCH):
        batch = orders[:, first : first + BATCH]
        steps = [-RATE * g for g in nets.gradients(x[batch], y[batch], training=True).all]
        for variable, step in zip(nets.variables, steps):
            variable.assign_add(step)
        taken = taken or steps[: nets.depth]
        moved = [so_far + step for so_far, step in zip(moved, steps)]
    return taken, moved


def _norms(arrays: list[Any]) -> np.ndarray:
    """Return each network's norm of each array, (arrays, n); in float64, lest squares underflow."""
    return np.array([np.linalg.norm(np.asarray(a, float), axis=(1, 2)) for a in arrays])


def _by_network(columns: dict[str, np.ndarray]) -> Iterable[tuple[int, dict[str, Any]]]:
    """Yield a row per network and layer, with the network's number."""
    trained = ("update_norm", "trained_gradient_norm")
    finite = np.isfinite([columns[name] for name in trained]).all(axis=(0, 1))
    for i, layer in np.ndindex(len(finite), len(columns["weight_norm"])):
        # Six digits: float32 has few more, and the file stays short.
        row = {name: float(f"{norms[layer, i]:.6g}") for name, norms in columns.items()}
        if not finite[i]:
            row |= dict.fromkeys(trained)
        yield i, {"layer": layer + 1, **row, "diverged": not finite[i]}


def _share(part: Any, whole: Any) -> np.ndarray:
    """Return part / whole, 0 where both are."""
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    with np.errstate(divide="ignore"):
        return np.divide(part, whole, out=np.zeros_like(part), where=part != 0)


def _mean(ratios: Any) -> float:
    """Return the geometric mean, as fits ratios over decades; 0 if one of them is 0."""
    with np.errstate(divide="ignore"):
        return float(np.exp(np.mean(np.log(np.asarray(ratios, float)))))


def _at(rows: "DataFrame", layer: int, column: str) -> np.ndarray:
    """Return a column of a layer by seed."""
    return rows[rows.layer == layer].sort_values("seed")[column].to_numpy(float)


def _between(rows: "DataFrame", layer: int, last: int, column: str) -> np.ndarray:
    """Return a layer's number as a share of another layer's, by seed."""
    return _share(_at(rows, layer, column), _at(rows, last, column))


def _cases(
    table: "DataFrame", activation: str, normalised: bool = False
) -> dict[tuple[str, int], "DataFrame"]:
    """Return an activation's rows by initial weights and depth."""
    rows = table[(table.activation == activation) & (table.batch_norm == normalised)]
    return dict(iter(rows.groupby(["initializer", "depth"])))


def _percent(share: float) -> str:
    return f"{number(100 * share)} %"


def method(table: "DataFrame") -> str:
    """Say what was measured."""
    one, seeds, depths = table.iloc[0], table.seed.nunique(), sorted(table.depth.unique())
    everyone, kinds = set(table.activation), dict.fromkeys(table.initializer)
    having = {kind: set(table.activation[table.initializer == kind]) for kind in kinds}
    weights = listing(
        kind + (f" (for {listing(sorted(names))})" if names != everyone else "")
        for kind, names in having.items()
    )
    steps = counted(one.steps, "step")
    return (
        f"Dense networks of {listing(depths)} hidden layer{'s' * (depths != [1])} of {one.units}"
        f" units on {one.dataset} (standardized inputs), from {weights} weights, without and with"
        f" batch normalization: gradients of the mean cross-entropy of {one.images} training"
        f" examples before training and after one epoch ({steps}) of plain gradient descent"
        f" at rate {one.learning_rate:g}."
        + (f" Ratios are geometric means over {seeds} seeds." if seeds > 1 else " 1 seed.")
    )


def findings(table: "DataFrame") -> list[Finding]:
    """Judge the articles' claims."""
    return [
        _bound(table),
        _five_layers(table),
        _first_of_three(table),
        _deep(table, "Using ReLU cures the vanishing gradient.", "relu"),
        _deep(table, "Batch normalization cures it for sigmoid.", "sigmoid", normalised=True),
        _deep(table, "GELU avoids the vanishing gradient.", "gelu"),
        _deep(table, "With tanh the gradient vanishes too.", "tanh", vanishes=True),
    ]


def _lacking(table: "DataFrame", activation: str, least: int, most: float = np.inf) -> str:
    """Return what the table lacks for networks of that depth of an activation, or ""."""
    if activation not in set(table.activation):
        return f"The table lacks {activation}."
    if not table.depth.between(least, most).any():
        return f"No network has {least}{' or more' * (most > least)} hidden layers."
    return ""


def _bound(table: "DataFrame") -> Finding:
    claim = (
        "With sigmoid each layer multiplies the gradient with respect to the pre-activations by at"
        " most 0.25 times the spectral norm of the weight matrix in between."
    )
    if lacking := _lacking(table, "sigmoid", 2):
        return Finding(claim, UNDECIDED, lacking)
    factors, bounds = factors_and_bounds(table)
    kept = factors <= bounds * (1 + ROUNDING)
    return Finding(
        claim,
        HOLDS if kept.all() else FAILS,
        f"Between neighbouring layers without batch normalization the factor is"
        f" {number(_mean(factors))} on average and at most {number(factors.max())}, the bound"
        f" {number(_mean(bounds))} on average: {kept.sum()} of {len(kept)} factors keep to it,"
        f" the nearest at {_percent((factors / bounds).max())} of its bound. Above"
        f" the derivative's {SIGMOID_SLOPE} alone are {_percent((factors > SIGMOID_SLOPE).mean())}"
        " of the factors.",
    )


def factors_and_bounds(table: "DataFrame") -> tuple[np.ndarray, np.ndarray]:
    """Return what sigmoid layers multiply the gradient by, and the most that they can, (pairs,).

    δ_l = σ'(z_l) ⊙ (W δ_{l+1}) gives |δ_l| ≤ 0.25 |W|₂ |δ_{l+1}|, for each example and so for all.
    """
    rows = table[(table.activation == "sigmoid") & ~table.batch_norm]
    after = rows.assign(layer=rows.layer - 1)
    network = ["initializer", "depth", "seed", "layer"]
    pairs = rows.merge(after, on=network, suffixes=("", "_after"))
    factors = _share(pairs.pre_gradient_norm, pairs.pre_gradient_norm_after)
    return factors, SIGMOID_SLOPE * pairs.spectral_norm_after.to_numpy()


def _five_layers(table: "DataFrame") -> Finding:
    claim = f"In a sigmoid network the gradient has vanished within {LAYERS} layers."
    # As many derivatives lie between two layers as there are steps from the one to the other.
    if lacking := _lacking(table, "sigmoid", LAYERS + 1):
        return Finding(claim, UNDECIDED, lacking)
    depth = min(deep for deep in table.depth.unique() if deep > LAYERS)
    layer, texts, gone = depth - LAYERS, [], []
    for (kind, deep), rows in _cases(table, "sigmoid").items():
        if deep == depth:
            shares = _between(rows, layer, depth, "gradient_norm")
            later = _mean(_between(rows, layer, depth, "trained_gradient_norm"))
            gone.append(_mean(shares) < VANISHED)
            spread = f"{number(100 * shares.min())} to {_percent(shares.max())} by seed, "
            after = f"{_percent(later)} after an epoch" if later >= 0 else "diverging in the epoch"
            texts.append(
                f"{_percent(_mean(shares))} from {kind} weights"
                f" ({spread * (len(shares) > 1)}{after})"
            )
    return Finding(
        claim,
        agreed(gone),
        f"In networks of {depth} hidden layers, layer {layer}, {LAYERS} layers before the last one,"
        f" has of its gradient norm {listing(texts)}; vanished means below {_percent(VANISHED)}.",
    )


def _first_of_three(table: "DataFrame") -> Finding:
    claim = "In a sigmoid network of 3 hidden layers, layer 1 learns much slower than layer 3."
    lacking = _lacking(table, "sigmoid", 3, 3)
    if lacking or not (found := _moves(table, "sigmoid")):
        return Finding(claim, UNDECIDED, lacking or "All these networks diverged.")
    texts = [
        f"from {kind} weights layer 1 moves {_percent(far)} as far as layer 3 (by"
        f" {_percent(first)} of its weights' norm, layer 3 by {_percent(third)} of its own; in the"
        f" very first step {_percent(step)} as far)"
        for kind, (far, first, third, step) in found.items()
    ]
    others = [
        f"{name} {listing(_percent(far) for far, *_ in moves.values())}"
        for name in ("relu", "tanh")
        if (moves := _moves(table, name))
    ]
    return Finding(
        claim,
        agreed(max(far, first / third) < MUCH_SLOWER for far, first, third, _ in found.values()),
        f"In the first epoch {listing(texts)}; much slower means below {_percent(MUCH_SLOWER)},"
        " both absolutely and relative to the weights."
        + (f" For comparison, as far as layer 3: {listing(others)}." if others else ""),
    )


def _moves(table: "DataFrame", activation: str) -> dict[str, tuple[float, ...]]:
    """Return what an epoch does to layers 1 and 3 of three, by initial weights.

    That is layer 1's update as a share of layer 3's, each one's as a share of its weights, and
    layer 1's share in the first step alone.
    """
    found = {}
    for (kind, depth), rows in _cases(table[~table.diverged], activation).items():
        if depth == 3:
            moved = rows.assign(relative=rows.update_norm / rows.weight_norm)
            sizes = (_mean(_at(moved, layer, "relative")) for layer in (1, 3))
            epoch, step = (
                _mean(_between(rows, 1, 3, f"{when}update_norm")) for when in ("", "first_")
            )
            found[kind] = (epoch, *sizes, step)
    return found


def _deep(
    table: "DataFrame",
    claim: str,
    activation: str,
    normalised: bool = False,
    vanishes: bool = False,
) -> Finding:
    """Judge a claim that the gradient reaches the first layer of deep networks, or does not."""
    if lacking := _lacking(table, activation, LAYERS):
        return Finding(claim, UNDECIDED, lacking)
    cases, shallowest = _cases(table, activation, normalised), table.depth.min()
    shares: dict[str, list[float]] = {}
    levels: dict[str, list[float]] = {}
    for (kind, depth), rows in cases.items():
        if depth >= LAYERS:
            levels.setdefault(kind, []).append(_level(rows, cases[kind, shallowest]))
            share = _between(rows, 1, depth, "gradient_norm")
            shares.setdefault(kind, []).append(_mean(share))
    gone = [min(both) < VANISHED for kind in shares for both in zip(shares[kind], levels[kind])]
    depths = listing(sorted({depth for _, depth in cases if depth >= LAYERS}))
    texts = [
        f"from {kind} weights {listing(map(_percent, found))} of the last hidden layer's"
        f" ({listing(map(_percent, levels[kind]))} of what it is at {shallowest})"
        for kind, found in shares.items()
    ]
    return Finding(
        claim,
        agreed(gone if vanishes else [not lost for lost in gone]),
        f"Before training, at {depths} hidden layers{' with batch normalization' * normalised}, the"
        f" first layer's gradient norm is {listing(texts)}; below {_percent(VANISHED)} in either"
        f" comparison counts as vanished: {sum(gone)} of {len(gone)} cases."
        f"{_overdone(table) * normalised}",
    )


def _level(rows: "DataFrame", shallowest: "DataFrame") -> float:
    """Return the first layer's gradient as a share of that in the shallowest network."""
    return _mean(_share(_at(rows, 1, "gradient_norm"), _at(shallowest, 1, "gradient_norm")))


def _overdone(table: "DataFrame") -> str:
    """Say which activation's first layer batch normalization favours most, at the deepest."""
    depth = table.depth.max()
    shares = {
        (name, kind): _mean(_between(rows, 1, depth, "gradient_norm"))
        for name in table.activation.unique()
        for (kind, deep), rows in _cases(table, name, normalised=True).items()
        if deep == depth
    }
    name, kind = max(shares, key=shares.__getitem__)
    return (
        f" Of all activations {name} (from {kind} weights) has the largest ratio at {depth} layers:"
        f" the first gradient norm is {number(shares[name, kind])} times the last one."
    )


def figures(table: "DataFrame", line_styles: Mapping[str, "LineStyle"]) -> dict[str, "Figure"]:
    """Draw gradients by layer and activation; the first layer's gradient and update by depth."""
    return {
        "": _by_layer(table),
        "depth": _by_depth(
            table, line_styles, _levels, f"gradient\n÷ that at depth {table.depth.min()}"
        ),
        "share": _by_depth(table, line_styles, _moved, "update\n÷ last hidden layer's"),
    }


def _views(table: "DataFrame") -> dict[str, "DataFrame"]:
    """Return the rows to be shown together, by what their weights have in common.

    These are the kinds of initial weights that all activations have, and the recommended ones.
    """
    count = table.activation.nunique()
    kinds = dict(iter(table.groupby("initializer", sort=False)))
    views = {kind: rows for kind, rows in kinds.items() if rows.activation.nunique() == count}
    best = table[table.recommended]
    if best.activation.nunique() == count and best.initializer.nunique() > 1:
        views[RECOMMENDED] = best
    return views


def _by_layer(table: "DataFrame") -> "Figure":
    from matplotlib.colors import LogNorm

    from benchmark.plotting import panels

    weights, rows = list(_views(table).items())[-1]
    depth = min(rows.depth.unique(), key=lambda deep: abs(np.log(deep / SHOWN_DEPTH)))
    rows, names = rows[rows.depth == depth], list(dict.fromkeys(rows.activation))
    figure, both = panels.grid(2, 2, row_height=0.9 + 0.17 * max(4, len(names)), sharey=True)
    maps = [_map(rows[rows.batch_norm == normalised], names) for normalised in (False, True)]
    shown = np.concatenate(maps)
    low = min(VANISHED, shown[shown > 0].min(initial=VANISHED))
    norm = LogNorm(low, max(1.0, shown.max()))
    step = -(-depth // 10)
    ticks = [str(n) if n % step == 0 else "" for n in range(1, depth + 1)]
    for axes, values, title in zip(both, maps, ("Plain", "With batch normalization")):
        image = panels.heat_map(axes, np.maximum(values, low), names, ticks, norm=norm)
        axes.set_title(title, loc="left")
        axes.set_xlabel(f"Hidden layer ({weights} weights)")
    bar = figure.colorbar(image, ax=both, label="Gradient norm\n÷ last hidden layer's")
    bar.ax.axhline(VANISHED, color="C3")
    return figure


def _map(rows: "DataFrame", names: list[str]) -> np.ndarray:
    """Return the mean shares of the last hidden layer's gradient, (names, layers)."""
    depth, each = rows.depth.max(), dict(iter(rows.groupby("activation")))
    layers = range(1, depth + 1)
    return np.array(
        [[_mean(_between(each[n], k, depth, "gradient_norm")) for k in layers] for n in names]
    )


def _by_depth(
    table: "DataFrame",
    line_styles: Mapping[str, "LineStyle"],
    line: Callable[["DataFrame"], dict[int, float]],
    label: str,
) -> "Figure":
    """Draw what `line` makes of the first layer of one activation's networks, over the depth."""
    from matplotlib.ticker import NullLocator

    from benchmark.plotting import panels

    views, names = _views(table), list(dict.fromkeys(table.activation))
    columns = len(views)
    figure, axes = panels.grid(2 * columns, columns, 2.1, sharex=True, sharey=True)
    for place, (normalised, weights) in enumerate((n, v) for n in (False, True) for v in views):
        rows, here = views[weights], axes[place]
        rows = rows[rows.batch_norm == normalised]
        for name in names:
            shares = line(rows[rows.activation == name])
            line_style = {**panels.artist(line_styles[name]), "marker": line_styles[name].marker}
            here.plot(list(shares), np.maximum(list(shares.values()), FLOOR), **line_style)
        here.axhline(VANISHED, color=GRAY, linestyle=":")
        if normalised:
            here.set_xlabel("Hidden layers")
        else:
            here.set_title(weights, loc="left")
        if place % columns == 0:
            kind = "Batch normalization" if normalised else "Plain"
            here.set_ylabel(f"{kind}:\nfirst layer's {label}")
    depths = sorted(table.depth.unique())
    axes[0].set(xscale="log", yscale="log")
    axes[0].set_xticks(depths[:: -(-len(depths) // 6)], minor=False)
    axes[0].xaxis.set_major_formatter("{x:.0f}")
    axes[0].xaxis.set_minor_locator(NullLocator())
    panels.legend(figure, line_styles, names, markers=True)
    return figure


def _levels(rows: "DataFrame") -> dict[int, float]:
    """Return the first layer's gradient as a share of that of the shallowest network, by depth."""
    groups = dict(iter(rows.groupby("depth")))
    return {depth: _level(group, groups[min(groups)]) for depth, group in groups.items()}


def _moved(rows: "DataFrame") -> dict[int, float]:
    """Return the first layer's update as a share of the last one's, by depth."""
    each = rows[~rows.diverged].groupby("depth")
    return {depth: _mean(_between(group, 1, depth, "update_norm")) for depth, group in each}


def _initializer(value: Any) -> str:
    name = str(value).lower().replace("-", "_")
    if name not in (*INITIALIZERS, RECOMMENDED):
        raise unknown("initializer", value, (*INITIALIZERS, RECOMMENDED))
    return name


EXPERIMENT = Experiment(
    name="gradient_flow",
    place=3,
    title="Vanishing gradients",
    question="How much of the gradient reaches the first layers of a deep network?",
    measure=measure,
    method=method,
    findings=findings,
    figures=figures,
    captions={
        "": "Gradient of each hidden layer's weights before training, relative to that of the last"
        " hidden layer, without and with batch normalization. Red on the color bar: 1 %, below"
        " which the gradient counts as vanished.",
        "depth": "Gradient of the first layer's weights before training, relative to that in the"
        " shallowest network, by depth and initial weights (columns), without and with batch"
        " normalization (rows). Dotted: 1 %. What is below 1e-8 is drawn there.",
        "share": "How far the first epoch of gradient descent moves the first layer's weights,"
        " relative to the last hidden layer's, by depth and initial weights (columns), without and"
        " with batch normalization (rows). Dotted: 1 %. What is below 1e-8 is drawn there.",
    },
    options=(
        Option(
            "depths",
            [1, 3, 10, 30],
            lambda value: sorted(
                listed("depths", value, lambda item: whole_number("depth", item, 1, 100))
            ),
            "numbers of hidden layers",
        ),
        Option(
            "initializers",
            [GLOROT, HE, RECOMMENDED],
            lambda value: listed("initializers", value, _initializer),
            "initial weights: Keras names, or recommended: what each activation's theory asks for",
        ),
    ),
    images=True,
    seconds=28.0,
)
