"""Squared error against cross-entropy: one sigmoid neuron, its gradient, and a whole network.

The table has four parts, told apart by `part`; cells that a part does not use are empty.

- "gradient": `z`, `output` = σ(z) and `gradient` = ∂C/∂w of one neuron with input 1 and target 0.
- "curve" and "half": that neuron learning. `start` is its first z = w + b, `rate` how its
  learning rate was set ("same" for both losses, or "matched" at the best start), `step` counts
  gradient steps and `output` is σ(z) after them; in "half" the step at which the output is first
  at most half of what it was.
- "network": `val_accuracy`, a share of the validation examples, after each `epoch` of a run with
  `activation`, `seed`, `model`, `dataset`, `optimizer`; `outcome` is "complete" or "diverged".
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.errors import RequestError, unknown
from benchmark.experiments.base import Experiment, Option, Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED, Finding
from benchmark.formatting import counted, number
from benchmark.plotting.palette import GRAY, LineStyle
from benchmark.training.options import listed, positive_number, whole_number
from benchmark.training.spec import MODELS, RunSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame, Series


SQUARED, ENTROPY = "squared_error", "cross_entropy"
TITLES = {SQUARED: "squared error", ENTROPY: "cross-entropy"}
# Nielsen's rate (Neural Networks and Deep Learning, ch. 3) and his starts: w = 0.6, b = 0.9, and
# w = b = 2; then farther ones, up to w = b = 5.
RATE = 0.15
STARTS = (1.5, 4.0, 6.0, 8.0, 10.0)
# A neuron with squared error needs about exp(start) / (2 rate) steps.
FARTHEST = 12.0
# A share of wrong examples in the figure: its scale has no 0.
LEAST_DRAWN = 1e-3
CURVE_STEPS = range(0, 301, 5)
GRID = np.linspace(-8.0, 8.0, 161)
# With the learning rates of the network; see `network_rate`.
OPTIMIZERS = {"adam": 0.001, "sgd": 0.1}
KERAS_LOSSES = {ENTROPY: "categorical_crossentropy", SQUARED: "mean_squared_error"}
LEVELS = (0.5, 0.8, 0.9)
# The rules of the verdicts: the farthest start so many times slower than the nearest; the
# accuracy at which two runs are compared; and the shares of the pairs that cross-entropy must win
# and may lose.
MUCH_SLOWER, LEVEL, MOST, FEW = 10.0, 0.8, 0.75, 0.1
# More wins than losses are a majority where chance would bring them with at most this probability;
# fewer pairs than these cannot show one.
CHANCE, FEWEST = 0.05, 5


def gradient(loss: str, z: Any) -> np.ndarray:
    """Return ∂C/∂w = ∂C/∂b of a sigmoid neuron with input 1 and target 0, of z's shape.

    With C = a²/2 it is a σ′(z) = a² (1 - a), with C = -log(1 - a) it is a, where a = σ(z)
    (Nielsen, Neural Networks and Deep Learning, eqs. 55 and 61).
    """
    a = 1.0 / (1.0 + np.exp(-np.asarray(z, float)))
    return a * a * (1.0 - a) if loss == SQUARED else a


def flow_time(loss: str, first: float, last: float) -> float:
    """Return the time that z takes from `first` down to `last` under dz/dt = -∂C/∂w.

    The integral of 1 / gradient over z in closed form: of 1 + exp(-z) for cross-entropy, and of
    (1 + exp(-z))² (1 + exp(z)) for squared error.
    """

    def integral(z: float) -> float:
        if loss == ENTROPY:
            return z - math.exp(-z)
        return math.exp(z) + 3.0 * z - 3.0 * math.exp(-z) - math.exp(-2.0 * z) / 2.0

    return integral(first) - integral(last)


def _half_way(start: float) -> float:
    """Return the z at which the output is half of what it is at the start."""
    output = _output(start)
    return math.log(output / (2.0 - output))


def _output(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z))


def matched_rate(best: float) -> float:
    """Return the rate at which cross-entropy is as slow as squared error from this start.

    In the limit of small steps, until the output has halved.
    """
    times = [flow_time(loss, best, _half_way(best)) for loss in (ENTROPY, SQUARED)]
    return RATE * times[0] / times[1]


def descend(loss: str, start: float, rate: float) -> Iterator[float]:
    """Yield the neuron's output before the first and after each step of gradient descent.

    Weight and bias get the same update, so that z falls by twice the rate times the gradient.
    """
    z = start
    while True:
        a = _output(z)
        yield a
        z -= 2.0 * rate * (a * a * (1.0 - a) if loss == SQUARED else a)


def _neuron_rows(start: float, loss: str, rate: str, learning_rate: float) -> Iterator[dict]:
    common = {"loss": loss, "rate": rate, "learning_rate": learning_rate, "start": start}
    half = None
    for step, output in enumerate(descend(loss, start, learning_rate)):
        row = {**common, "step": step, "output": output}
        if step in CURVE_STEPS:
            yield {"part": "curve", **row}
        if half is None and output <= _output(start) / 2.0:
            half = step
            yield {"part": "half", **row}
        if half is not None and step >= CURVE_STEPS[-1]:
            return


def network_rate(optimizer: str, loss: str, classes: int) -> float:
    """Return the network's learning rate, such that a factor on the loss makes no difference.

    Adam divides by the gradient's size. For plain gradient descent the rate is matched where the
    network starts, at equal probabilities p = 1/K of the K classes: there squared error, which
    Keras divides by K, has the logits' gradient 2 (p - y) / K², cross-entropy p - y.
    """
    factor = classes**2 / 2.0 if (optimizer, loss) == ("sgd", SQUARED) else 1.0
    return OPTIMIZERS[optimizer] * factor


def _network_rows(setting: Setting, entry: Any, optimizer: str, loss: str) -> Iterator[list[dict]]:
    """Train the seeds one after another, which share what was compiled, and yield their rows."""
    from benchmark.training import kept_trainers, loop

    for seed in setting.seeds:
        spec = RunSpec(
            dataset=setting.dataset,
            activation=entry.name,
            seed=seed,
            model=setting["model"],
            optimizer=optimizer,
            learning_rate=network_rate(optimizer, loss, setting.data.classes),
            loss=KERAS_LOSSES[loss],
            epochs=setting["epochs"],
        )
        outcome = loop.train(spec, entry, setting.data)
        kept = ("dataset", "model", "activation", "seed", "optimizer", "learning_rate")
        common = {"part": "network", "loss": loss, **{name: getattr(spec, name) for name in kept}}
        common["outcome"] = outcome.status
        yield [
            {**common, "epoch": row["epoch"], "val_accuracy": row["val_accuracy"]}
            for row in outcome.rows
        ]
    kept_trainers.forget()


def measure(setting: Setting) -> "DataFrame":
    """Return the table described above; `setting.data` must not be None."""
    import pandas as pd

    runs = [*itertools.product(setting.entries, OPTIMIZERS, (ENTROPY, SQUARED))]
    parts, done = len(runs) * len(setting.seeds) + 1, 0
    rows = []
    for loss in (SQUARED, ENTROPY):
        values = zip(GRID, gradient(loss, GRID))
        rows += [
            {"part": "gradient", "loss": loss, "z": z, "output": _output(z), "gradient": slope}
            for z, slope in values
        ]
    matched = matched_rate(min(setting["starts"]))
    kinds = ((SQUARED, "same", RATE), (ENTROPY, "same", RATE), (ENTROPY, "matched", matched))
    for start, kind in itertools.product(setting["starts"], kinds):
        rows += _neuron_rows(start, *kind)
        setting.progress(done, parts)
    for run in runs:
        for more in _network_rows(setting, *run):
            rows += more
            done += 1
            setting.progress(done, parts)
    setting.progress(parts, parts)
    return pd.DataFrame(rows)


# What is read from a table.


def half_steps(table: "DataFrame") -> "DataFrame":
    """Return the steps until half-way: one row per start, columns (loss, rate)."""
    half = table[table["part"] == "half"]
    return half.pivot(index="start", columns=["loss", "rate"], values="step").sort_index()


def epochs_until(table: "DataFrame", level: float) -> "DataFrame":
    """Return the epochs until a validation accuracy: one row per optimizer, activation and seed.

    Columns are the losses; infinite where it was not reached.
    """
    network = table[table["part"] == "network"]
    keys = ["optimizer", "activation", "seed", "loss"]
    epoch = network["epoch"].where(network["val_accuracy"] >= level, math.inf)
    return epoch.groupby([network[key] for key in keys], sort=False).min().unstack("loss")


def method(table: "DataFrame") -> str:
    """Say what was done."""
    curve, network = (table[table["part"] == part] for part in ("curve", "network"))
    rates = curve.groupby(["loss", "rate"])["learning_rate"].first()
    starts = [_share(start) for start in sorted(curve["start"].unique())]
    one, seeds = network.iloc[0], network["seed"].nunique()
    of_network = network.groupby(["optimizer", "loss"])["learning_rate"].first()
    return (
        "One sigmoid neuron with input 1 and target 0 learns from"
        f" {counted(len(starts), 'start')}, with output {', '.join(starts)}, at learning rate"
        f" {rates[SQUARED, 'same']:.3g} with both losses, and with cross-entropy also at"
        f" {rates[ENTROPY, 'matched']:.3g}, where the two are equally fast from {starts[0]}."
        f" Then the comparison's {one['model']} learns {one['dataset']} for"
        f" {counted(network['epoch'].max(), 'epoch')}, {counted(seeds, 'seed')} per activation,"
        " gradients clipped by value as always: with Adam at"
        f" {of_network['adam', ENTROPY]:.3g}, and with plain gradient descent at"
        f" {of_network['sgd', ENTROPY]:.3g} with cross-entropy and"
        f" {of_network['sgd', SQUARED]:.3g} with squared error, which makes their steps equal"
        " while all classes are equally probable."
    )


def findings(table: "DataFrame") -> list[Finding]:
    """Say what the table shows of each claim."""
    steps = half_steps(table)
    found = [_slow_start(table, steps), _faster_when_farther(table, steps), _fewer_steps(steps)]
    return [
        *found,
        _in_network(table, "adam", "Adam"),
        _in_network(table, "sgd", "plain gradient descent and equal first steps"),
    ]


def _slow_start(table: "DataFrame", steps: "DataFrame") -> Finding:
    claim = (
        "With squared error the update carries the factor σ′(z): a saturated neuron learns the"
        " slower the farther it is off."
    )
    squared = steps[SQUARED, "same"]
    near, far = squared.index[0], squared.index[-1]
    if near == far:
        return Finding(claim, UNDECIDED, f"Only one start was asked for: output {_share(near)}.")
    factor = squared[far] / squared[near]
    slower = squared.is_monotonic_increasing and factor > 1.0
    peak = _gradients(table, SQUARED).sort_values("gradient").iloc[-1]
    return Finding(
        claim,
        (HOLDS if factor >= MUCH_SLOWER else IN_PART) if slower else FAILS,
        f"From {_share(near)} the output halves in {counted(squared[near], 'step')}, from"
        f" {_share(far)} in {_count(squared[far])}, {_several(factor)} times as many. The gradient"
        f" is largest, {peak['gradient']:.3g}, at an output of {peak['output']:.2g}, and falls from"
        " there on as the error grows.",
    )


def _faster_when_farther(table: "DataFrame", steps: "DataFrame") -> Finding:
    claim = (
        "With cross-entropy the factor σ′(z) cancels: the larger the error, the faster the weights"
        " change."
    )
    entropy, squared = (
        _gradients(table, loss).sort_values("output") for loss in (ENTROPY, SQUARED)
    )
    slopes, last, other = np.diff(entropy["gradient"]), entropy.iloc[-1], squared.iloc[-1]
    needed = steps[ENTROPY, "same"]
    near, far = needed.index[0], needed.index[-1]
    return Finding(
        claim,
        HOLDS if (slopes > 0).all() else FAILS if (slopes <= 0).all() else IN_PART,
        f"At an output of {_share(last['z'])} the gradient is {last['gradient']:.4f} with"
        f" cross-entropy and {other['gradient']:.2g} with squared error. It equals the error, so it"
        f" never exceeds 1, and the output halves in {counted(needed[near], 'step')} from"
        f" {_share(near)}"
        + (f", in {_count(needed[far])} from {_share(far)}." if near != far else "."),
    )


def _fewer_steps(steps: "DataFrame") -> Finding:
    claim = "A neuron with a bad start unlearns it in fewer steps with cross-entropy."
    best, bad = steps.index[0], steps.iloc[1:]
    if bad.empty:
        return Finding(claim, UNDECIDED, f"Only one start was asked for: output {_share(best)}.")
    squared = bad[SQUARED, "same"]
    fewer = [(bad[ENTROPY, rate] < squared).to_numpy() for rate in ("same", "matched")]
    told = [
        f"from {_share(start)} squared error needs {counted(squared[start], 'step')},"
        f" cross-entropy {_count(bad[ENTROPY, 'same'][start])} at the same rate and"
        f" {_count(bad[ENTROPY, 'matched'][start])} at the rate matched at {_share(best)}"
        for start in dict.fromkeys([bad.index[0], bad.index[-1]])
    ]
    verdict = HOLDS if np.all(fewer) else IN_PART if np.any(fewer) else FAILS
    return Finding(claim, verdict, f"To halve its output, {'; '.join(told)}.")


def _in_network(table: "DataFrame", optimizer: str, words: str) -> Finding:
    until = {level: epochs_until(table, level).loc[optimizer] for level in LEVELS}
    network = table[(table["part"] == "network") & (table["optimizer"] == optimizer)]
    entropy, squared = until[LEVEL][ENTROPY], until[LEVEL][SQUARED]
    earlier, later = int((entropy < squared).sum()), int((entropy > squared).sum())
    decided = int((np.isfinite(entropy) | np.isfinite(squared)).sum())
    last = counted(network["epoch"].max(), "epoch")
    medians = [
        f"to {100 * level:g} %: {_median(rows[ENTROPY])} against {_median(rows[SQUARED])}"
        for level, rows in until.items()
    ]
    run = ["activation", "seed", "loss"]
    ends = network.sort_values("epoch").groupby(run).tail(1)
    whole, final = (100 * rows.groupby("loss")["val_accuracy"].mean() for rows in (network, ends))
    diverged = network[network["outcome"] == "diverged"].groupby(run)
    return Finding(
        f"In the comparison's network, with {words}, cross-entropy learns faster.",
        _verdict(earlier, later, decided),
        f"Of {counted(len(entropy), 'pair')} of runs (activation and seed), cross-entropy was the"
        f" first to classify {100 * LEVEL:g} % of the validation examples correctly in {earlier},"
        f" squared error in {later} (sign test: p = {number(by_chance(earlier, later))});"
        f" both got there in the same epoch in {decided - earlier - later}, and neither within"
        f" {last} in {len(entropy) - decided}. Median epoch, for cross-entropy"
        f" against squared error, {', '.join(medians)}. Mean accuracy over all epochs:"
        f" {whole[ENTROPY]:.1f} % against {whole[SQUARED]:.1f} %, after the last one:"
        f" {final[ENTROPY]:.1f} % against {final[SQUARED]:.1f} %."
        + (
            f" So few pairs cannot show who is faster: it takes {FEWEST}."
            if decided < FEWEST
            else ""
        )
        + (f" Diverged: {counted(len(diverged), 'run')}." if len(diverged) else ""),
    )


def by_chance(wins: int, losses: int) -> float:
    """Return the probability of at least so many wins where both sides are as likely to win."""
    of = wins + losses
    return sum(math.comb(of, k) for k in range(wins, of + 1)) / 2**of


def _verdict(earlier: int, later: int, decided: int) -> str:
    if decided < FEWEST:
        return UNDECIDED
    if by_chance(earlier, later) > CHANCE:
        return FAILS
    return HOLDS if earlier >= MOST * decided and later <= FEW * decided else IN_PART


def _median(epochs: "Series") -> str:
    median = epochs.median()
    return f"{median:.3g}" if math.isfinite(median) else "none"


def _gradients(table: "DataFrame", loss: str) -> "DataFrame":
    return table[(table["part"] == "gradient") & (table["loss"] == loss)]


def _share(z: float) -> str:
    """Return the output at z, near 1 with the digits that tell it from 1: 0.82, 0.999955."""
    rest = 1.0 - _output(z)
    digits = max(2, 1 - math.floor(math.log10(rest)))
    return f"{_output(z):.{digits}f}"


def _several(factor: float) -> str:
    return f"{factor:.3g}" if factor < 1000 else _count(float(f"{factor:.3g}"))


def _count(count: float) -> str:
    return f"{int(count):,}".replace(",", "\u202f")


# Figures. A loss is told by its line style: colors are the activations'.

_STYLES = {(SQUARED, "same"): "--", (ENTROPY, "same"): "-", (ENTROPY, "matched"): ":"}


def figures(table: "DataFrame", line_styles: Mapping[str, "LineStyle"]) -> dict[str, "Figure"]:
    """Draw the neuron and the network."""
    return {"": _neuron_figure(table), "network": _network_figure(table, line_styles)}


def _neuron_figure(table: "DataFrame") -> "Figure":
    from benchmark.plotting import panels

    curve = table[table["part"] == "curve"]
    starts = sorted(curve["start"].unique())[:2]
    figure, axes = panels.grid(2 + len(starts), 2, row_height=2.1)
    _draw_gradient(axes[0], table)
    _draw_half(axes[1], half_steps(table))
    for axis, start, title in zip(axes[2:], starts, ("The best start", "A farther start")):
        rows = curve[curve["start"] == start].set_index(["loss", "rate"])
        for key, style in _STYLES.items():
            axis.plot(rows.loc[[key], "step"], rows.loc[[key], "output"], style, color=_ink())
        axis.set_title(f"{title}, z = {start:g}", loc="left")
        axis.set(xlabel="Step", ylabel="Output (target 0)", ylim=(0, 1.03))
    figure.legend(
        [_line(_ink(), style) for style in _STYLES.values()],
        ["squared error", "cross-entropy, same rate", "cross-entropy, rate matched at best start"],
        loc="outside lower center",
        ncols=3,
    )
    return figure


def _draw_gradient(axis: "Axes", table: "DataFrame") -> None:
    for loss in (SQUARED, ENTROPY):
        rows = _gradients(table, loss)
        axis.plot(rows["z"], rows["gradient"], _STYLES[loss, "same"], color=_ink())
    axis.set_title("Gradient of one neuron", loc="left")
    axis.set(xlabel="z (output σ(z), target 0)", ylabel="Gradient ∂C/∂w", ylim=(0, 1.03))


def _draw_half(axis: "Axes", steps: "DataFrame") -> None:
    for key, style in _STYLES.items():
        axis.plot(steps.index, steps[key], style, color=_ink(), marker="o", markersize=3)
    axis.set_title("Steps until the output has halved", loc="left")
    axis.set(xlabel="z at the start, w + b", ylabel="Steps", yscale="log")


def _network_figure(table: "DataFrame", line_styles: Mapping[str, "LineStyle"]) -> "Figure":
    from matplotlib.ticker import LogLocator, NullFormatter

    from benchmark.plotting import panels

    network = table[table["part"] == "network"]
    names = list(network["activation"].unique())
    columns = min(len(names), 4)
    height = 1.5 if len(names) > columns else 2.4
    figure, axes = panels.grid(len(names), columns, height, sharex=True, sharey=True)
    for axis, name in zip(axes, names):
        rows = network[network["activation"] == name]
        # Plain descent first: colors lie on top.
        for (optimizer, loss), run in sorted(rows.groupby(["optimizer", "loss"]), reverse=True):
            color = line_styles[name].color if optimizer == "adam" else GRAY
            error = 100.0 * (1.0 - run["val_accuracy"]).clip(lower=LEAST_DRAWN)
            by_epoch = error.groupby(run["epoch"]).agg(["mean", "min", "max"])
            axis.plot(by_epoch.index, by_epoch["mean"], _STYLES[loss, "same"], color=color)
            band = (by_epoch.index, by_epoch["min"], by_epoch["max"])
            axis.fill_between(*band, color=color, alpha=0.15, linewidth=0)
        axis.set_title(name, loc="left")
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.tick_params(labelbottom=True)
    figure.supxlabel("Epoch", fontsize="medium")
    figure.supylabel("Validation examples wrong (%)", fontsize="medium")
    keys = {
        "cross-entropy": (_ink(), "-"),
        "squared error": (_ink(), "--"),
        "Adam (in color)": (line_styles[names[0]].color, "-"),
        "plain gradient descent": (GRAY, "-"),
    }
    handles = [_line(*key) for key in keys.values()]
    figure.legend(handles, list(keys), loc="outside upper center", ncols=4)
    return figure


def _line(color: str, style: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, linestyle=style)


def _ink() -> str:
    """Return the color of text on this background."""
    import matplotlib

    return matplotlib.rcParams["text.color"]


def _starts(value: Any) -> tuple[float, ...]:
    def start(item: Any) -> float:
        given = positive_number("start", item)
        if given > FARTHEST:
            raise RequestError(
                f"start {item!r} cannot be used: give a z of at most {FARTHEST:g}, from which"
                f" squared error already needs {math.exp(FARTHEST) / (2 * RATE):.0g} steps"
            )
        return given

    return tuple(sorted(listed("starts", value, start)))


def _model(value: Any) -> str:
    if value not in MODELS:
        raise unknown("model", value, MODELS)
    return value


EXPERIMENT = Experiment(
    name="losses",
    place=9,
    title="Squared error against cross-entropy",
    question="Does squared error learn slowly from a bad start, and does cross-entropy cure it?",
    measure=measure,
    method=method,
    findings=findings,
    figures=figures,
    captions={
        "": "One sigmoid neuron with target 0: its gradient with squared error (with σ′) and with"
        " cross-entropy (without), the steps until the output has halved, and the output by step"
        " from the two nearest starts.",
        "network": "Share of the validation examples classified wrongly, by epoch, with"
        " cross-entropy (solid) and squared error (dashed), with Adam (in color) and with"
        " plain gradient descent (gray); mean and range over the seeds.",
    },
    options=(
        Option("starts", STARTS, _starts, "the neuron's z = w + b at the start, 0 to 12"),
        Option("epochs", 15, lambda value: whole_number("epochs", value), "of the network"),
        Option("model", "mlp", _model, "the comparison's network: mlp or cnn"),
    ),
    images=True,
    seconds=45.0,
)
