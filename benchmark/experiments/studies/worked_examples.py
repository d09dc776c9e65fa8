"""The articles' small numerical examples, step by step.

Columns of the table, one row per number: example, case, step, activation ("any" where it is about
none), quantity, formula (a short text) and value. All numbers are float64; where one overflowed,
its value is inf.

    vanishing   A chain of layers with one neuron each, z₁ = w x and zₖ = aₖ₋₁, aₖ = f(zₖ), with
                the articles' weight w = 0.2 and learning rate 0.5. `step` is the layer; the
                quantity "gradient" of step n is ∂C/∂w = x f′(z₁) … f′(zₙ) in a network of n
                layers, "new weight" what one step of gradient descent makes of w.
    exploding   Four such layers with weights of 100 and biases that keep every z at 0 (Nielsen,
                Neural Networks and Deep Learning, chapter 5): "factor" is 100 f′(zⱼ), "gradient"
                ∂C/∂bⱼ. Case "as chosen", and "input moved", with the same biases.
    clipping    Three gradients, each a case, clipped at 0.5 by value and by norm; angles between
                clipped and unclipped in degrees.
    gelu        An input kept with probability Φ(x) and else set to 0, many times over; a case per
                seed, a step per input. "error" is the mean's standard error.

The copies of the articles name weight, learning rate and thresholds, but have lost the formulas:
the chain behind the first gradient is a reconstruction, with an input of 1 and all other weights 1,
so that it consists of derivatives alone. ∂C/∂a of the last layer is set to 1, as the source does.
"""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.activations import Activation, resolve
from benchmark.activations.gradients import value_and_gradient
from benchmark.experiments.base import Experiment, Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED, Finding
from benchmark.formatting import counted, listing, number
from benchmark.plotting.palette import PALETTE, LineStyle

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


WEIGHT, RATE, INPUT, LAYERS = 0.2, 0.5, 1.0, 10
# As far as the articles let a sigmoid network's gradient come.
FIVE = 5
LARGE, DEPTH, MOVED = 100.0, 4, -0.01
THRESHOLD = 0.5
GRADIENTS = {"A": (2.0, 0.4), "B": (-0.7, 1.2), "C": (0.3, -0.2)}
DRAWS = 10**6
INPUTS = np.arange(-30, 31) / 10
# A step that changes a weight by a smaller share of it hardly changes it.
HARDLY = 0.01
# A mean of draws further than this from what is expected, in standard errors, contradicts it.
MOST_ERRORS = 4.0
ANY = "any"

Row = dict[str, Any]


def _row(
    example: str, case: str, step: int, activation: str, quantity: str, formula: str, value: float
) -> Row:
    return {
        "example": example,
        "case": case,
        "step": step,
        "activation": activation,
        "quantity": quantity,
        "formula": formula,
        "value": math.inf if math.isnan(value) else float(value),
    }


def value_and_slope(entry: Activation, z: float) -> tuple[float, float]:
    """Return f(z) and f′(z) of an activation as at test time, in float64.

    All pieces of a maxout unit get the same input.
    """
    import tensorflow as tf

    from benchmark.training.setup import keras_defaults

    with keras_defaults("float64"):
        x = tf.fill((1, entry.pieces), tf.constant(z, tf.float64))
        value, slope = value_and_gradient(entry.function, x, unconnected="zero")
    return float(value[0, 0]), float(tf.reduce_sum(slope))


def vanishing(entry: Activation) -> Iterator[Row]:
    """Yield the rows of the chain behind the weight of 0.2."""

    def row(step: int, quantity: str, formula: str, value: float) -> Row:
        return _row("vanishing", "chain", step, entry.name, quantity, formula, value)

    yield row(0, "weight", "w", WEIGHT)
    yield row(0, "learning rate", "η", RATE)
    yield row(0, "input", "x", INPUT)
    z, gradient = WEIGHT * INPUT, INPUT
    for step in range(1, LAYERS + 1):
        yield row(step, "z", "z₁ = w x" if step == 1 else f"z_{step} = a_{step - 1}", z)
        z, slope = value_and_slope(entry, z)
        gradient *= slope
        yield row(step, "derivative", f"f′(z_{step})", slope)
        yield row(step, "gradient", f"∂C/∂w = x f′(z₁) … f′(z_{step})", gradient)
        yield row(step, "new weight", "w − η ∂C/∂w", WEIGHT - RATE * gradient)


def exploding(entry: Activation) -> Iterator[Row]:
    """Yield the rows of the four layers with weights of 100, with their input and one beside it."""
    biases, a = [], INPUT
    for _ in range(DEPTH):
        biases.append(-LARGE * a)
        a, _ = value_and_slope(entry, 0.0)
    for case, a in (("as chosen", INPUT), ("input moved", INPUT + MOVED)):

        def row(step: int, quantity: str, formula: str, value: float, case: str = case) -> Row:
            return _row("exploding", case, step, entry.name, quantity, formula, value)

        yield row(0, "weight", "w", LARGE)
        yield row(0, "input", "a_0", a)
        slopes = []
        for step, bias in enumerate(biases, 1):
            yield row(step, "bias", f"b_{step}", bias)
            z = LARGE * a + bias
            yield row(step, "z", f"z_{step} = w a_{step - 1} + b_{step}", z)
            a, slope = value_and_slope(entry, z)
            yield row(step, "factor", f"w f′(z_{step})", LARGE * slope)
            slopes.append(slope)
        later = 1.0
        for step in range(DEPTH, 0, -1):
            formula = f"f′(z_{step})" + (f" w ∂C/∂b_{step + 1}" if step < DEPTH else " ∂C/∂a_4")
            yield row(step, "gradient", f"∂C/∂b_{step} = {formula}", slopes[step - 1] * later)
            later *= LARGE * slopes[step - 1]


def clipping(case: str, gradient: tuple[float, float]) -> Iterator[Row]:
    """Yield the rows of a gradient clipped in both ways."""
    g, c = np.array(gradient), THRESHOLD
    norm = float(np.linalg.norm(g))
    ways = {
        "unclipped": ("g", g),
        "by value": ("min(max(g, −c), c)", np.clip(g, -c, c)),
        "by norm": ("g min(1, c / |g|)", g * min(1.0, c / norm)),
    }
    yield _row("clipping", case, 0, ANY, "threshold", "c", c)
    for step, (way, (formula, clipped)) in enumerate(ways.items(), 1):
        rows = {
            "first component": (formula, clipped[0]),
            "second component": (formula, clipped[1]),
            "norm": ("√(g₁² + g₂²)", np.linalg.norm(clipped)),
            "angle": ("to the unclipped gradient", _angle(g, clipped)),
        }
        for quantity, (text, value) in rows.items():
            yield _row("clipping", case, step, ANY, f"{quantity}, {way}", text, value)


def _angle(first: np.ndarray, second: np.ndarray) -> float:
    """Return the angle between two vectors (2,) in degrees."""
    cross = first[0] * second[1] - first[1] * second[0]
    return abs(math.degrees(math.atan2(cross, first @ second)))


def gelu(seed: int) -> Iterator[Row]:
    """Yield the rows of the randomly kept input, beside both forms of GELU."""
    import tensorflow as tf

    exact = resolve("gelu_exact").function(tf.constant(INPUTS)).numpy()
    tanh = resolve("gelu").function(tf.constant(INPUTS)).numpy()
    keep = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in INPUTS])
    # Of so many draws, the number that is kept is binomial.
    mean = INPUTS * np.random.default_rng(seed).binomial(DRAWS, keep) / DRAWS
    error = np.abs(INPUTS) * np.sqrt(keep * (1 - keep) / DRAWS)

    def row(step: int, activation: str, quantity: str, formula: str, value: float) -> Row:
        return _row("gelu", f"seed {seed}", step, activation, quantity, formula, value)

    yield row(0, "gelu_exact", "draws", "N", DRAWS)
    for place, x in enumerate(INPUTS):
        step = place + 1
        yield row(step, "gelu_exact", "x", "x", x)
        yield row(step, "gelu_exact", "kept", "Φ(x)", keep[place])
        yield row(step, "gelu_exact", "mean", "Σ x m / N, m from Bernoulli(Φ(x))", mean[place])
        yield row(step, "gelu_exact", "error", "|x| √(Φ(x) (1 − Φ(x)) / N)", error[place])
        yield row(step, "gelu_exact", "expected", "x Φ(x)", exact[place])
        text = "0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))"
        yield row(step, "gelu", "tanh form", text, tanh[place])


def measure(setting: Setting) -> "pd.DataFrame":
    """Compute all four examples; see the module for the table."""
    import pandas as pd

    parts = [part for entry in setting.entries for part in (vanishing(entry), exploding(entry))]
    parts += [clipping(case, gradient) for case, gradient in GRADIENTS.items()]
    parts += [gelu(seed) for seed in setting.seeds]
    rows = []
    for done, part in enumerate(parts):
        setting.progress(done, len(parts))
        rows += part
    return pd.DataFrame(rows)


def _values(table: "pd.DataFrame", example: str, case: str, activation: str) -> "pd.DataFrame":
    """Return one case's values, a row per step and a column per quantity."""
    chosen = table[(table["example"] == example) & (table["case"] == case)]
    chosen = chosen[chosen["activation"] == activation]
    return chosen.pivot_table(index="step", columns="quantity", values="value", sort=False)


def _chained(table: "pd.DataFrame") -> list[str]:
    """Return the activations of the chains."""
    return list(dict.fromkeys(table.loc[table["example"] == "vanishing", "activation"]))


def _cases(table: "pd.DataFrame", example: str) -> list[str]:
    return list(dict.fromkeys(table.loc[table["example"] == example, "case"]))


def method(table: "pd.DataFrame") -> str:
    """Say what was computed and what of it is a reconstruction."""
    names = _chained(table)
    chain = _values(table, "vanishing", "chain", names[0])
    first, large = chain.loc[0], _values(table, "exploding", "as chosen", names[0])
    seeds = _cases(table, "gelu")
    draws = _expectation(table)["draws"].iloc[0]
    return (
        f"Chains with one neuron per layer and {listing(names)}: {chain.index.max()} layers"
        f" behind a weight of {first['weight']:g} (learning rate {first['learning rate']:g}), and"
        f" {large.index.max()} layers with weights of {large.loc[0, 'weight']:g} and every"
        f" z at 0; {counted(len(_cases(table, 'clipping')), 'gradient')} clipped in two ways;"
        f" {counted(draws, 'draw')} for each input of GELU ({counted(len(seeds), 'seed')})."
        " The articles' copies have lost their formulas: the first chain is a reconstruction,"
        " with all other weights and the input at 1, and the loss's derivative at the output set"
        " to 1; the second is Nielsen's."
    )


def findings(table: "pd.DataFrame") -> list[Finding]:
    """Say what the four examples come to."""
    return [_vanishes(table), _explodes(table), _clipped(table), _expected(table)]


def _small(value: float) -> str:
    """Return "1.23e-4"."""
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _apart(value: float) -> str:
    """Return a number in full, thousands set apart by thin spaces."""
    return f"{value:,.9g}".replace(",", "\u202f")


def _signed(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _lacking(claim: str) -> Finding:
    return Finding(claim, UNDECIDED, "The table lacks sigmoid.")


def _vanishes(table: "pd.DataFrame") -> Finding:
    claim = (
        "A weight of 0.2 whose gradient comes through a chain of sigmoid derivatives hardly changes"
        " in a step with learning rate 0.5."
    )
    names = _chained(table)
    if "sigmoid" not in names:
        return _lacking(claim)
    chain = _values(table, "vanishing", "chain", "sigmoid")
    weight = chain.loc[0, "weight"]
    share = abs(weight - chain["new weight"]) / weight
    product = " × ".join(f"{slope:.3f}" for slope in chain["derivative"].loc[1:FIVE])
    evidence = (
        f"Through {FIVE} layers its gradient is {product} = {_small(chain.loc[FIVE, 'gradient'])},"
        f" and the weight goes from {weight:g} to {chain.loc[FIVE, 'new weight']:.6g}, by"
        f" {number(100 * share[FIVE])} % of it. In a network of one layer the gradient is a healthy"
        f" {chain.loc[1, 'gradient']:.3g}, and the weight goes to"
        f" {chain.loc[1, 'new weight']:.3g}, by {number(100 * share[1])} % of it."
    )
    others = {
        name: _values(table, "vanishing", "chain", name).loc[FIVE, "gradient"]
        for name in names
        if name != "sigmoid"
    }
    if others:
        found = sorted(others, key=others.get)
        texts = [f"{others[name]:.3g} ({name})" for name in dict.fromkeys([found[0], found[-1]])]
        evidence += f" For the others, {FIVE} layers leave {' to '.join(texts)}."
    return Finding(claim, HOLDS if share[FIVE] < HARDLY else FAILS, evidence)


def _explodes(table: "pd.DataFrame") -> Finding:
    claim = (
        "With weights of 100, and biases that keep every sigmoid derivative at 1/4, each layer"
        " multiplies the gradient by 25: it explodes."
    )
    if "sigmoid" not in _chained(table):
        return _lacking(claim)
    chosen = _values(table, "exploding", "as chosen", "sigmoid")
    moved = _values(table, "exploding", "input moved", "sigmoid")
    factors, gradient = chosen["factor"].loc[1:], chosen["gradient"]
    last = factors.index.max()
    holds = np.allclose(factors, 25.0, rtol=1e-6) and gradient[1] > 1000 * gradient[last]
    evidence = (
        f"The factors of the {last} layers are {listing(f'{factor:.4g}' for factor in factors)}."
        f" From {gradient[last]:.3g} at layer {last} the gradient of the bias grows to"
        f" {_apart(gradient[1])} at layer 1, {_apart(gradient[1] / gradient[last])}-fold, by the"
        f" first {last - 1} of them; all {last} together, from the output to the input, make"
        f" {_apart(factors.prod())}. The example hangs by a thread: with the same biases and an"
        f" input of {moved.loc[0, 'input']:g} instead of {chosen.loc[0, 'input']:g}, the neurons"
        f" saturate, and it is {_small(moved['gradient'][1])}."
    )
    return Finding(claim, HOLDS if holds else FAILS, evidence)


def _clipped(table: "pd.DataFrame") -> Finding:
    claim = "Clipping, by value or by norm, brings a gradient beyond ±0.5 to within that threshold."
    within, texts = [], []
    for case in _cases(table, "clipping"):
        one = _clips(table, case)
        limit = one["threshold"] * (1 + 1e-9)
        parts = ("first component, by value", "second component, by value")
        within += [all(abs(one[part]) <= limit for part in parts), one["norm, by norm"] <= limit]
        texts.append(
            f"({_signed(one['first component, unclipped'])},"
            f" {_signed(one['second component, unclipped'])})"
            f" turns by {one['angle, by value']:.1f}° by value and"
            f" {one['angle, by norm']:.1f}° by norm, its norm from"
            f" {one['norm, unclipped']:.2f} to {one['norm, by value']:.2f} and"
            f" {one['norm, by norm']:.2f}"
        )
    verdict = HOLDS if all(within) else IN_PART if any(within) else FAILS
    evidence = (
        f"Both do, but by value the direction changes: {'; '.join(texts)}."
        if verdict == HOLDS
        else f"{sum(within)} of {len(within)} clipped gradients lie within: {'; '.join(texts)}."
    )
    return Finding(claim, verdict, evidence)


def _clips(table: "pd.DataFrame", case: str) -> "pd.Series":
    """Return a gradient's values by quantity."""
    chosen = table[(table["example"] == "clipping") & (table["case"] == case)]
    return chosen.set_index("quantity")["value"]


def _expectation(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return the rows of GELU, one per seed and input, a column per quantity, and `draws`."""
    chosen = table[table["example"] == "gelu"]
    draws = chosen.loc[chosen["quantity"] == "draws", "value"].iloc[0]
    steps = chosen[chosen["step"] > 0]
    wide = steps.pivot_table(index=["case", "step"], columns="quantity", values="value")
    return wide.assign(draws=draws)


def _expected(table: "pd.DataFrame") -> Finding:
    claim = "GELU is the expected value of an input x that is kept with probability Φ(x), else 0."
    wide = _expectation(table)
    # Kept or not, an input of 0 is 0.
    some = wide[wide["error"] > 0]
    away = ((some["mean"] - some["expected"]) / some["error"]).abs()
    seeds = len(_cases(table, "gelu"))
    between = (wide["tanh form"] - wide["expected"]).abs()
    count = f"{len(some) // seeds} inputs" + (f" and {seeds} seeds" if seeds > 1 else "")
    evidence = (
        f"Over {count}, from {_signed(wide['x'].min())} to {_signed(wide['x'].max())}, the mean"
        f" of {counted(wide['draws'].iloc[0], 'draw')} lies at most {away.max():.1f} standard"
        f" errors from x Φ(x) (in the root mean square {np.sqrt((away**2).mean()):.2f}, where 1 is"
        f" expected). The tanh form is at most {_small(between.max())} away from it, at x ="
        f" {abs(wide.loc[between.idxmax(), 'x']):g} or its negative."
    )
    return Finding(claim, HOLDS if away.max() <= MOST_ERRORS else FAILS, evidence)


def figures(table: "pd.DataFrame", line_styles: "Mapping[str, LineStyle]") -> "dict[str, Figure]":
    """Draw the four examples, one panel each."""
    from benchmark.plotting import panels

    names = _chained(table)
    figure, axes = panels.grid(4, 2, 2.7)
    figure.get_layout_engine().set(wspace=0.06, hspace=0.06)
    chain = _draw_chains(axes[0], table, line_styles, "vanishing", "chain")
    large = _draw_chains(axes[1], table, line_styles, "exploding", "as chosen")
    # Of several activations' numbers, one's would lie upon another's line.
    if len(names) == 1:
        _annotate_weights(axes[0], chain)
        _annotate_factors(axes[1], large)
    axes[0].set_xlabel("Layers of the network")
    axes[0].set_ylabel("Gradient of the first weight")
    axes[0].set_title("(a) Chain of derivatives", loc="left")
    axes[1].set_xlabel("Layer")
    axes[1].set_ylabel("Gradient of its bias")
    axes[1].set_title(f"(b) Weights of {large.loc[0, 'weight']:g}, every z at 0", loc="left")
    _draw_clipping(axes[2], table)
    _draw_expectation(axes[3], table, line_styles)
    handles = [axes[0].lines[place] for place in range(len(names))]
    figure.legend(handles, names, loc="outside lower center", ncols=min(5, len(names)))
    return {"": figure}


def _draw_chains(
    axes: "Axes",
    table: "pd.DataFrame",
    line_styles: "Mapping[str, LineStyle]",
    example: str,
    case: str,
) -> "pd.DataFrame":
    """Draw each activation's gradients by step, without zeros; return the first one's values."""
    from benchmark.plotting import panels

    chains = [_values(table, example, case, name) for name in _chained(table)]
    for name, chain in zip(_chained(table), chains):
        gradient = chain["gradient"].loc[1:].abs()
        gradient = gradient[(gradient > 0) & np.isfinite(gradient)]
        style = {**panels.artist(line_styles[name]), "marker": line_styles[name].marker}
        axes.plot(gradient.index, gradient, **style)
    axes.set_yscale("log")
    axes.set_xticks(chains[0].index[1:])
    return chains[0]


def _annotate_weights(axes: "Axes", chain: "pd.DataFrame") -> None:
    """Write beside the gradients of one and of five layers what a step makes of the weight."""
    for step in (1, FIVE):
        gradient = abs(chain.loc[step, "gradient"])
        if 0 < gradient < math.inf:
            text = f"weight {chain.loc[0, 'weight']:g} → {chain.loc[step, 'new weight']:.4g}"
            axes.annotate(text, (step, gradient), (8, 0), textcoords="offset points")


def _annotate_factors(axes: "Axes", chain: "pd.DataFrame") -> None:
    """Write beside the line from layer to layer the factor between their gradients."""
    for step in chain.index[2:]:
        ends = chain["gradient"].loc[[step - 1, step]].abs()
        if ends.min() > 0 and ends.max() < math.inf:
            place = (step - 0.5, math.sqrt(ends.prod()))
            text = f"×{chain.loc[step, 'factor']:.3g}"
            axes.annotate(text, place, (5, 3), textcoords="offset points")


def _draw_clipping(axes: "Axes", table: "pd.DataFrame") -> None:
    from matplotlib.patches import Circle, Rectangle

    ways = {"unclipped": "0.55", "by value": PALETTE[5], "by norm": PALETTE[1]}
    for case in _cases(table, "clipping"):
        one = _clips(table, case)
        for way, color in ways.items():
            end = (one[f"first component, {way}"], one[f"second component, {way}"])
            arrow = {"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", end, (0, 0), arrowprops=arrow)
            # An arrow does not move the limits of the axes.
            axes.plot(*end, alpha=0)
        if one["angle, by value"] > 0.05:
            tip = (one["first component, unclipped"], one["second component, unclipped"])
            text = f"turned by {one['angle, by value']:.0f}°"
            # To the side where the arrow is not.
            offset, side = ((0, 6), "right") if tip[0] > 0 else ((7, -3), "left")
            axes.annotate(text, tip, offset, textcoords="offset points", ha=side)
    limit = one["threshold"]
    box = {"fill": False, "linestyle": (0, (2, 2)), "linewidth": 0.9}
    axes.add_patch(Rectangle((-limit, -limit), 2 * limit, 2 * limit, ec=ways["by value"], **box))
    axes.add_patch(Circle((0, 0), limit, ec=ways["by norm"], **box))
    axes.set_aspect("equal", "datalim")
    for way, color in ways.items():
        axes.plot([], [], color=color, label=way)
    axes.legend(loc="lower right", handlelength=1.5)
    axes.margins(0.12)
    axes.set_xlabel("First component of the gradient")
    axes.set_ylabel("Second component")
    axes.set_title(f"(c) Clipping at {limit:g}", loc="left")


def _draw_expectation(
    axes: "Axes", table: "pd.DataFrame", line_styles: "Mapping[str, LineStyle]"
) -> None:
    from benchmark.plotting import panels

    wide = _expectation(table)
    one = wide.loc[_cases(table, "gelu")[0]]
    line_style = line_styles["gelu_exact"]
    axes.axhline(0, **panels.artist(line_style), label="exact, x Φ(x)")
    axes.errorbar(
        one["x"], (one["mean"] - one["expected"]) * 1e3, 2 * one["error"] * 1e3,
        fmt="o", markersize=2.5, elinewidth=0.7, color="0.55",
        label="mean of draws ± 2 standard errors",
    )  # fmt: skip
    tanh = (one["tanh form"] - one["expected"]) * 1e3
    axes.plot(one["x"], tanh, **panels.artist(line_styles["gelu"]), label="tanh form", zorder=3)
    axes.set_xlabel("Input x")
    axes.set_ylabel("Difference to x Φ(x), in 1/1000")
    top = max((one["mean"] - one["expected"]).abs().max() + 2 * one["error"].max(), 1e-3) * 1e3
    axes.set_ylim(-top * 1.1, top * 1.9)
    axes.legend(loc="upper center")
    axes.set_title("(d) GELU as an expectation", loc="left")


EXPERIMENT = Experiment(
    name="worked_examples",
    place=13,
    title="The articles' examples, worked out",
    question="What do the articles' small numerical examples come to, step by step?",
    measure=measure,
    method=method,
    findings=findings,
    figures=figures,
    captions={
        "": "(a) Gradient of the first weight over the number of layers, logarithmic, with what a"
        " step makes of a weight of 0.2; (b) gradient of each layer's bias with weights of 100"
        " (zeros are not drawn); (c) gradients clipped by value (to the square) and by norm (to the"
        " circle); (d) mean of a randomly kept input and GELU's tanh form, less x Φ(x).",
    },
    activations=("sigmoid",),
    seeds=1,
    seconds=1.0,
)
