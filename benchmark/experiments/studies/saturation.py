"""How much of each layer's output lies where its activation is flat, by epoch.

After Glorot & Bengio 2010, Understanding the difficulty of training deep feedforward neural
networks, sec. 3 and figs. 2 to 4. A value counts as saturated where the slope |f′(z)| is at most
5 % of the function's largest between -10 and 10; left and right are the signs of z.

Table: one row per activation, learning rate, seed, epoch and hidden layer. `mean`, `sd` and `p98`
(98th percentile) are of the layer's outputs over its units and the validation examples, in the
function's own unit; `slope` is the mean of |f′(z)| over its largest; `saturated`, `left` and
`right` are shares of the outputs, 0 to 1; `accuracy` is the network's on all validation examples.
A network whose weights are no longer finite numbers is `diverged`: its measurements are left
blank, its accuracy is 0.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.activations import Activation
from benchmark.experiments.base import SIX_AND_TANH, Experiment, Option, Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED, Finding
from benchmark.experiments.derivatives import REACH, finite, slopes, steepest
from benchmark.formatting import counted, listing, percent
from benchmark.plotting.palette import LineStyle
from benchmark.training.options import rate_list, whole_number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


UNITS, BATCH_SIZE, IMAGES = 64, 10, 300
FLAT = 0.05
MEASURED = ("mean", "sd", "p98", "slope", "saturated", "left", "right")
# The rules of the verdicts: sigmoid's outputs are "at 0" below AT_ZERO, "quickly" within EARLY
# epochs, "for long" for SLOW; a layer is saturated where that is true of HALF of its outputs, and
# has begun to be at a share of ONSET; a network has LEARNED from that accuracy on; GROWTH is what
# counts as a rise of a share.
AT_ZERO, EARLY, SLOW, HALF = 0.1, 10, 10, 0.5
ONSET, LEARNED, GROWTH = 0.05, 0.5, 0.05
CLASSICAL = ("sigmoid", "tanh", "softsign")


def recorded_epochs(epochs: int) -> list[int]:
    """Return the epochs that have rows: close together at first, the last always among them."""
    grid = {0, *(round(10 ** (k / 6)) for k in range(0, 60))}
    return sorted({epoch for epoch in grid if epoch < epochs} | {epochs})


def measure(setting: Setting) -> "pd.DataFrame":
    """Train every activation's networks and describe their layers; see the module's table."""
    import pandas as pd

    rows, total = [], len(setting.entries) * setting["epochs"]
    for place, entry in enumerate(setting.entries):
        done = place * setting["epochs"]
        rows += _rows(
            entry, setting, lambda epoch, done=done: setting.progress(done + epoch, total)
        )
    table = pd.DataFrame(rows)
    return table.assign(
        units=UNITS,
        batch_size=BATCH_SIZE,
        dataset=setting.dataset,
        images=len(setting.labels("val")[:IMAGES]),
    )


def _rows(
    entry: Activation, setting: Setting, progress: Callable[[int], None]
) -> list[dict[str, Any]]:
    import tensorflow as tf

    from benchmark.training import stacked

    x, y = setting.pixels("train", standardized=True), setting.labels("train")
    x_val, y_val = setting.pixels("val", standardized=True), setting.labels("val")
    pairs = [(rate, seed) for rate in setting["learning_rates"] for seed in setting.seeds]
    widths = [x.shape[1], *[UNITS] * setting["depth"], setting.data.classes]
    # Uniform in ±1/√inputs, the paper's eq. 1: LeCun's range over √3. The output layer's is
    # Glorot's over √3.
    made = stacked.Networks(
        entry,
        widths,
        [seed for _, seed in pairs],
        initializer="lecun_uniform",
        gain=3**-0.5,
    )
    rates = [rate for rate, _ in pairs]
    training = stacked.Training(made, x, y, learning_rate=rates, batch_size=BATCH_SIZE)
    described = tf.function(lambda x: slopes(made, x))
    seen, largest = tf.constant(x_val[:IMAGES], made.dtype), steepest(entry)
    rows = []
    for epoch in range(setting["epochs"] + 1):
        if epoch:
            training.epoch()
        if epoch in recorded_epochs(setting["epochs"]):
            losses, accuracy = made.evaluate(x_val, y_val)
            fine = finite(made, losses)
            layers = [describe(*arrays, largest) for arrays in zip(*described(seen))]
            for i, (rate, seed) in enumerate(pairs):
                common = {"activation": entry.name, "learning_rate": rate, "seed": seed}
                common |= {"epoch": epoch, "diverged": not fine[i]}
                common["accuracy"] = round(float(accuracy[i]), 5) if fine[i] else 0.0
                for number, layer in enumerate(layers, start=1):
                    values = layer[i] if fine[i] else [None] * len(MEASURED)
                    rows.append({**common, "layer": number, **dict(zip(MEASURED, values))})
        progress(epoch)
    return rows


def describe(steep: Any, outputs: Any, z: Any, largest: float) -> np.ndarray:
    """Return what `MEASURED` names of one layer's slopes, outputs and inputs.

    Each is (n, examples, units); the result is (n, 7), rounded to 5 decimals. `largest` is the
    function's largest slope.
    """
    steep, outputs, z = (
        np.asarray(part, float).reshape(len(part), -1) for part in (steep, outputs, z)
    )
    flat = steep <= FLAT * largest
    # A network that diverged has numbers here that nobody reads.
    with np.errstate(invalid="ignore", over="ignore"):
        parts = (
            outputs.mean(1),
            outputs.std(1),
            np.percentile(outputs, 98, axis=1),
            steep.mean(1) / (largest or 1.0),
            flat.mean(1),
            (flat & (z < 0)).mean(1),
            (flat & (z > 0)).mean(1),
        )
    return np.round(np.stack(parts, axis=1), 5)


def method(table: "pd.DataFrame") -> str:
    """Say what was done."""
    first, rates = table.iloc[0], listing(sorted(table.learning_rate.unique()))
    several = table.seed.nunique() > 1
    return (
        f"Networks of {table.layer.max()} hidden layers of {first.units} units were trained on"
        f" {first.dataset} for {table.epoch.max()} epochs by plain gradient descent in batches of"
        f" {first.batch_size}, at learning rate {rates}, from"
        f" {counted(table.seed.nunique(), 'seed')} each, with initial weights uniform in"
        " ±1/√inputs as in Glorot & Bengio (2010, eq. 1) for every activation, the output layer's"
        " in ±√(2/(inputs + outputs)). After epoch"
        f" {listing(sorted(table.epoch.unique()))} the outputs of every hidden layer were looked"
        f" at on {first.images} validation examples: one is saturated where the slope |f′(z)|,"
        f" by automatic differentiation, is at most {FLAT:.0%} of the function's largest between"
        f" z = −{REACH:g} and {REACH:g}. Claims on tanh, softsign and ReLU are judged at the rates"
        f" at which all networks stayed finite and reached a mean accuracy of {LEARNED:.0%}."
        f"{' ± is the standard deviation over seeds.' if several else ''}"
    ).replace("%", " %")


def findings(table: "pd.DataFrame") -> list[Finding]:
    """Judge the four claims, each at every learning rate."""
    return [_sigmoid(table), _tanh(table), _softsign(table), _relu(table)]


def _overall(verdicts: list[str]) -> str:
    """Return the verdict on which all learning rates agree, else "in part"."""
    return verdicts[0] if len(set(verdicts)) == 1 else IN_PART


def _runs(table: "pd.DataFrame", name: str, learned: bool = True) -> dict[float, "pd.DataFrame"]:
    """Return an activation's rows by learning rate, without the rates at which one diverged.

    `learned` leaves out those too at which the accuracy at the end is below `LEARNED`.
    """
    return {
        rate: rows
        for rate, rows in table[table.activation == name].groupby("learning_rate")
        if not rows.diverged.any() and (not learned or _accuracy(rows).mean() >= LEARNED)
    }


def _accuracy(rows: "pd.DataFrame") -> "pd.Series":
    """Return the accuracy at the end, by seed."""
    return rows[rows.epoch == rows.epoch.max()].groupby("seed").accuracy.first()


def _by_layer(rows: "pd.DataFrame", column: str) -> "pd.DataFrame":
    """Return the means over seeds, epochs by layers."""
    return rows.groupby(["epoch", "layer"])[column].mean().unstack("layer")


def _missing(table: "pd.DataFrame", *names: str, learned: bool = True) -> str:
    """Return why a claim on these activations cannot be judged; "" where it can."""
    absent = [name for name in names if name not in set(table.activation)]
    if absent:
        return f"The table lacks {listing(absent)}."
    if set.intersection(*(set(_runs(table, name, learned)) for name in names)):
        return ""
    reached = f" and reach an accuracy of {percent(LEARNED)}" if learned else ""
    return f"At no learning rate did all networks with {listing(names)} stay finite{reached}."


def _sigmoid(table: "pd.DataFrame") -> Finding:
    claim = (
        "With sigmoid the last hidden layer of a deep network is quickly driven to outputs near 0,"
        " where it saturates, while the layers below are not, and it gets out slowly if at all."
    )
    missing = _missing(table, "sigmoid", learned=False)
    if missing:
        return Finding(claim, UNDECIDED, missing)
    verdicts, said = [], []
    for rate, rows in _runs(table, "sigmoid", learned=False).items():
        verdict, text = _driven_to_zero(rows)
        verdicts.append(verdict)
        end = percent(_accuracy(rows))
        said.append(f"at rate {rate:g}, {text}; accuracy at the end {end}")
    evidence = f"Mean output of hidden layer {table.layer.max()}: " + ". ".join(_sentences(said))
    return Finding(claim, _overall(verdicts), evidence + ".")


def _sentences(texts: list[str]) -> list[str]:
    """Return the texts, all but the first with a capital."""
    return [texts[0], *(text[0].upper() + text[1:] for text in texts[1:])]


def _driven_to_zero(rows: "pd.DataFrame") -> tuple[str, str]:
    """Judge one learning rate by the layers' mean outputs and saturated shares."""
    outputs, shares = _by_layer(rows, "mean"), _by_layer(rows, "saturated")
    slope = _by_layer(rows, "slope").iloc[:, -1].min()
    last, below = outputs.iloc[:, -1], outputs.iloc[:, :-1]
    start, lowest, end = last.iloc[0], last.min(), last.index[-1]
    low = last.index[last < AT_ZERO]
    if low.empty:
        return FAILS, f"{start:.2f} before training, at least {lowest:.2g} up to epoch {end}"
    fell, others = low[0], below.loc[low[0]].min()
    back = [epoch for epoch in last.index if epoch > fell and last[epoch] >= AT_ZERO]
    stayed = f"until epoch {back[0]}" if back else f"to the end at epoch {end}"
    # How much of the last layer is saturated while its outputs are at 0, and then of the others.
    during = shares.loc[fell : back[0] if back else end].iloc[: -1 if back else None]
    most = during.iloc[:, -1].idxmax()
    *lower, flat = during.loc[most]
    text = (
        f"{start:.2f} before training, seen below {AT_ZERO:g} from epoch {fell} (the layers below"
        f" it: at least {others:.2g}) {stayed}, {lowest:.2g} at the lowest; in that time"
        f" {_at_most(flat, lower, most)}, and its slope fell to {percent(slope)} of the largest"
    )
    slow = not back or back[0] - fell >= SLOW
    alone = others >= AT_ZERO and max(lower) < HALF
    holds = fell <= EARLY and slow and alone and flat >= HALF
    return (HOLDS if holds else IN_PART), text


def _at_most(flat: float, lower: list[float], epoch: int) -> str:
    if not flat:
        return "none of its outputs were saturated"
    return (
        f"up to {percent(flat)} of its outputs were saturated, at epoch {epoch}, and then at most"
        f" {percent(max(lower))} in a layer below"
    )


def _tanh(table: "pd.DataFrame") -> Finding:
    claim = "With tanh the layers saturate one after the other, beginning with the first."
    missing = _missing(table, "tanh")
    if missing:
        return Finding(claim, UNDECIDED, missing)
    verdicts, said = [], []
    for rate, rows in _runs(table, "tanh").items():
        shares = _by_layer(rows, "saturated")
        verdict, begun = _in_order(shares)
        verdicts.append(verdict)
        ends = listing([percent(share) for share in shares.iloc[-1]])
        said.append(f"at rate {rate:g} {begun}; the shares end at {ends}, first layer to last")
    evidence = f"First epoch at which {percent(ONSET)} of a layer's outputs were seen saturated: "
    return Finding(claim, _overall(verdicts), evidence + ". ".join(_sentences(said)) + ".")


def _in_order(shares: "pd.DataFrame") -> tuple[str, str]:
    """Judge one learning rate by the saturated shares, epochs by layers."""
    begun = [next(iter(shares.index[shares[n] >= ONSET]), np.inf) for n in shares]
    told = [
        f"layer {n} {'never' if epoch == np.inf else f'at {epoch}'}"
        for n, epoch in zip(shares, begun)
    ]
    if begun[0] == np.inf:
        return FAILS, listing(told)
    # Of layers that begin at the same epoch, the one with the greater share was first.
    onset = shares.loc[begun[0]]
    first = begun[0] == min(begun) and onset.iloc[0] == onset.max()
    falling = bool((np.diff(shares.iloc[-1]) < 0).all())
    return (HOLDS if first and falling else IN_PART if first or falling else FAILS), listing(told)


def _softsign(table: "pd.DataFrame") -> Finding:
    claim = "Softsign, whose tails are polynomial, saturates less than tanh."
    missing = _missing(table, "softsign", "tanh")
    if missing:
        return Finding(claim, UNDECIDED, missing)
    both = [_runs(table, name) for name in ("softsign", "tanh")]
    verdicts, said = [], []
    for rate in sorted(set(both[0]) & set(both[1])):
        ours, theirs = (_by_layer(rows[rate], "saturated").iloc[-1] for rows in both)
        less = ours.mean() < theirs.mean()
        verdicts.append(HOLDS if less and (ours <= theirs).all() else IN_PART if less else FAILS)
        texts = [percent(_share_at(rows[rate], "saturated", -1)) for rows in both]
        said.append(
            f"at rate {rate:g} {texts[0]} of softsign's outputs and {texts[1]} of tanh's; in the"
            f" most saturated layer {percent(ours.max())} and {percent(theirs.max())}"
        )
    evidence = "Saturated at the end, over all layers: " + ". ".join(_sentences(said)) + "."
    return Finding(claim, _overall(verdicts), evidence)


def _share_at(rows: "pd.DataFrame", column: str, place: int) -> np.ndarray:
    """Return each seed's mean over layers at the first (0) or last (-1) epoch."""
    return rows.groupby(["epoch", "seed"])[column].mean().unstack("seed").iloc[place].to_numpy()


def _relu(table: "pd.DataFrame") -> Finding:
    claim = (
        "ReLU is saturated for negative inputs and never for positive ones, and as training goes on"
        " more of its inputs come to lie in the saturated part."
    )
    missing = _missing(table, "relu")
    if missing:
        return Finding(claim, UNDECIDED, missing)
    verdicts, said = [], []
    for rate, rows in _runs(table, "relu").items():
        start, end = (_share_at(rows, "left", place) for place in (0, -1))
        right = rows.right.max()
        rises = end.mean() - start.mean() >= GROWTH
        verdicts.append(HOLDS if rises and right == 0 else FAILS)
        said.append(
            f"at rate {rate:g} {percent(start)} before training and {percent(end)} at the end,"
            f" and {f'up to {percent(right)}' if right else 'none'} at positive inputs"
        )
    evidence = "Saturated at negative inputs, over all layers: " + ". ".join(_sentences(said)) + "."
    return Finding(claim, _overall(verdicts), evidence)


def figures(table: "pd.DataFrame", line_styles: Mapping[str, "LineStyle"]) -> dict[str, "Figure"]:
    """Draw outputs by layer and epoch of up to three activations, and all saturated shares."""
    return {"": _outputs(table), "share": _shares(table, line_styles)}


def _outputs(table: "pd.DataFrame") -> "Figure":
    import matplotlib
    from matplotlib.lines import Line2D

    from benchmark.plotting import panels

    everything = list(table.activation.unique())
    names = [name for name in CLASSICAL if name in everything] or everything[:3]
    # As in the paper: outputs on both sides of 0 are shown by how far they reach.
    shown = {name: "mean" if name == "sigmoid" else "p98" for name in names}
    rates, layers = (sorted(table[key].unique()) for key in ("learning_rate", "layer"))
    figure, axes = panels.grid(len(rates) * len(names), len(names), sharex=True, sharey="col")
    # The middle of the map can be seen on white and on black.
    shades = matplotlib.colormaps["viridis"](np.linspace(0.25, 0.85, len(layers)))
    styles = [{"color": shade, "marker": "os^Dv"[i % 5]} for i, shade in enumerate(shades)]
    for here, (rate, name) in zip(axes, itertools.product(rates, names)):
        rows = table[(table.activation == name) & (table.learning_rate == rate)]
        for layer, style in zip(layers, styles):
            means = rows[rows.layer == layer].groupby("epoch")[[shown[name], "sd"]].mean()
            here.plot(means[shown[name]], **style)
            here.plot(means.sd, color=style["color"], linestyle=":")
        here.set_title(f"{name}, learning rate {rate:g}", loc="left")
        here.set_ylabel("Mean output" if shown[name] == "mean" else "98th percentile")
        _epochs_axis(here, table.epoch.max())
    for here in axes[: -len(names)]:
        here.set_xlabel("")
    handles = [Line2D([], [], **style) for style in styles]
    handles.append(Line2D([], [], linestyle=":", color="0.5"))
    labels = [*(f"Hidden layer {n}" for n in layers), "Standard deviation"]
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def _epochs_axis(axes: Any, last: int) -> None:
    axes.set_xscale("symlog", linthresh=1)
    ticks = [tick for tick in (0, 1, 3, 10, 30, 100, 300, 1000) if tick <= last]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("Epoch")


def _shares(table: "pd.DataFrame", line_styles: Mapping[str, "LineStyle"]) -> "Figure":
    from benchmark.plotting import panels

    rates = sorted(table.learning_rate.unique())
    names = list(table.activation.unique())
    figure, axes = panels.grid(2 * len(rates), len(rates), row_height=2.1, sharey=True)
    last = table.epoch.max()
    for rate, top, bottom in zip(rates, axes, axes[len(rates) :]):
        for name in names:
            rows = table[(table.activation == name) & (table.learning_rate == rate)]
            # Beyond the first network that became infinite there is no mean to compare.
            lost = rows.epoch[rows.diverged].min()
            shares = 100 * _by_layer(rows[~(rows.epoch >= lost)], "saturated")
            line_style = panels.artist(line_styles[name])
            top.plot(shares.mean(axis=1), **line_style)
            if not rows.diverged.any():
                bottom.plot(shares.loc[last], marker=line_styles[name].marker, **line_style)
            elif len(shares):
                top.plot(shares.index[-1:], shares.mean(axis=1).iloc[-1:], "x", **line_style)
        top.set_title(f"Learning rate {rate:g}", loc="left")
        _epochs_axis(top, last)
        bottom.set_xticks(sorted(table.layer.unique()))
        bottom.set_xlabel(f"Hidden layer (at epoch {last})")
    for row in (axes[0], axes[len(rates)]):
        row.set_ylabel("Saturated outputs (%)")
    axes[0].set_ylim(-3, 103)
    panels.legend(figure, line_styles, names, markers=True)
    return figure


EXPERIMENT = Experiment(
    name="saturation",
    place=8,
    title="Saturated units",
    question="How much of each layer's output lies where the activation is flat, by epoch?",
    measure=measure,
    method=method,
    findings=findings,
    figures=figures,
    captions={
        "": "Each hidden layer's outputs by epoch (log scale from 1), at each learning rate: mean"
        " (sigmoid) or 98th percentile (the others), with markers, and standard"
        " deviation, dotted; means over seeds.",
        "share": "Share of outputs that are saturated, their slope being at most 5 % of the"
        " function's largest: by epoch over all hidden layers (top; a cross where a network became"
        " infinite) and by layer at the end (bottom), at each learning rate; means over seeds.",
    },
    activations=(*SIX_AND_TANH, "softsign"),
    options=(
        Option("depth", 4, lambda value: whole_number("depth", value, 2, 30), "hidden layers (4)"),
        Option(
            "epochs", 60, lambda value: whole_number("epochs", value), "epochs of training (60)"
        ),
        Option("learning_rates", [0.1, 0.3, 1.0], rate_list, "learning rates (0.1,0.3,1)"),
    ),
    images=True,
    seconds=20.0,
)
