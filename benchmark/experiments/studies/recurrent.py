"""Recurrent networks: how the gradient fades with the time lag, and which lags are learnt.

The task: remember the first symbol (one of `CLASSES`) through `lag` further steps and name it at
the end. Every step carries noise beside it, normal numbers in channels of their own.

The table has one row per measured number:

- `activation` and `cell`: "simple" h' = f(x W + h U + b) with the activation as f, U orthogonal;
  "identity", the same with ReLU and U = 1 (Le, Jaitly & Hinton 2015, arXiv:1504.00941); "lstm"
  and "gru" with Keras's equations and initial weights, where f is tanh; "lstm_open", the same
  LSTM with `OPEN_BIAS` on its forget gate;
- `seed`, `learning_rate` (0 before training), `chosen` (the better of the rates on validation
  sequences), `lag` (of the sequences, in steps), `steps` (of training), `forget_bias` (at the
  start; 0 without a forget gate);
- `stage` "initial" or "trained", `measure` and `value`: "accuracy", of test sequences; "gradient"
  of the right class's logit with respect to `state` ("hidden" or "cell"), `back` steps before the
  last: Euclidean norm, mean over sequences.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.activations import resolve
from benchmark.experiments.base import Experiment, Option, Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED, Finding
from benchmark.formatting import counted, listing
from benchmark.plotting.palette import LineStyle
from benchmark.training.options import listed, whole_number

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmark.activations import Activation

CLASSES, NOISE_CHANNELS, UNITS, BATCH = 4, 4, 24, 32
RATES = (0.003, 0.01)
VALIDATION, TEST, PROBE = 200, 600, 64  # sequences
CHUNK = 50  # steps of training in one call
# Keras starts the forget gate's bias at 1, a gate of 0.73; at 5 it is 0.993, nearly the first LSTM
# (Hochreiter & Schmidhuber 1997), which had no such gate: its state was kept as it was.
KERAS_BIAS, OPEN_BIAS = 1.0, 5.0

# What is compared with the simple cells, and how it is called and drawn.
OTHERS = {
    "identity": ("ReLU (U = 1)", ":", "h"),
    "lstm": ("LSTM", "-", "*"),
    "lstm_open": ("LSTM (open gate)", "--", "d"),
    "gru": ("GRU", "-.", ">"),
}
# How each cell's networks start.
STARTS: dict[str, dict[str, Any]] = {
    "simple": {},
    "identity": {"recurrent": "identity"},
    "lstm": {"forget_bias": KERAS_BIAS},
    "lstm_open": {"forget_bias": OPEN_BIAS},
    "gru": {},
}

# A gradient fades that keeps less than this per step, and has vanished below this share of the
# one at the last step.
FADES, VANISHED = 0.9, 1e-3
# From this factor on one share is markedly larger than another.
MARKED = 10.0
# A lag is learnt from this mean test accuracy on.
LEARNT = 0.9
# Below this a gradient leaves the figure, and counts as this in means.
FLOOR, LOWEST_DRAWN = 1e-300, 1e-20
FAINT = 0.35

VANISHES = (
    "Back-propagation multiplies one factor per step, so that in a simple recurrent network the"
    " gradient vanishes with the time lag."
)
MITIGATES = "The LSTM's structure mitigates the vanishing gradient of recurrent networks."
LEARNS = "An LSTM therefore learns from longer time lags than a simple recurrent network."


def sequences(
    seeds: Sequence[int], lag: int, count: int, batch: int, place: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw sequences of `lag` + 1 steps and the classes of their first symbols.

    Returns float32 (count, time, seeds, batch, inputs) and int32 (count, seeds, batch). Each seed
    has a stream of its own, and so has each lag and `place`.
    """
    x = np.zeros((count, lag + 1, len(seeds), batch, CLASSES + NOISE_CHANNELS), np.float32)
    y = np.empty((count, len(seeds), batch), np.int32)
    for i, seed in enumerate(seeds):
        rng = np.random.default_rng([seed, lag, place])
        y[:, i] = rng.integers(CLASSES, size=y[:, i].shape)
        x[:, 0, i, :, :CLASSES] = np.eye(CLASSES)[y[:, i]]
        x[:, :, i, :, CLASSES:] = rng.normal(size=(*x.shape[:2], batch, NOISE_CHANNELS))
    return x, y


# Places in a seed's streams: training takes those from the last on.
_VALIDATION, _TEST, _PROBE, _TRAINING = range(4)


def measure(setting: Setting) -> "pandas.DataFrame":
    """Measure gradients before training, train at each lag, measure again."""
    import pandas as pd

    kinds = [("simple", entry, ["simple"]) for entry in setting.entries]
    relu = next((kind for kind in kinds if kind[1].name == "relu"), None)
    if relu:
        relu[2].append("identity")
    else:
        kinds.append(("simple", resolve("relu"), ["identity"]))
    kinds += [("lstm", resolve("tanh"), ["lstm", "lstm_open"]), ("gru", resolve("tanh"), ["gru"])]
    # A step of training takes time for its steps of time, and some beside.
    costs = {lag: (lag + 20) * setting["steps"] for lag in setting["lags"]}
    done, of = 0, sum(costs.values()) * sum(len(cells) for _, _, cells in kinds)
    rows: list[tuple] = []
    for kind, entry, cells in kinds:
        rows += _before(setting, kind, entry, cells)
        for lag in setting["lags"]:
            nets = _made(kind, entry, setting.seeds, RATES)
            for cell in cells:
                nets.restart(**STARTS[cell])
                for count in _trained(nets, setting, lag):
                    done += count * (lag + 20)
                    setting.progress(done, of)
                rows += _after(nets, (entry.name, cell), setting.seeds, lag)
    names = "activation cell learning_rate seed chosen lag stage measure state back value".split()
    table = pd.DataFrame(rows, columns=names)
    table["forget_bias"] = [STARTS[cell].get("forget_bias", 0.0) for cell in table.cell]
    return table.assign(steps=setting["steps"], units=UNITS, classes=CLASSES, batch_size=BATCH)


def _made(kind: str, entry: "Activation", seeds: Sequence[int], rates: Sequence[float]) -> Any:
    from benchmark.training.stacked_recurrent import RecurrentNetworks

    widths = (CLASSES + NOISE_CHANNELS, UNITS, CLASSES)
    return RecurrentNetworks(kind, entry, widths, seeds, rates)


def _before(setting: Setting, kind: str, entry: "Activation", cells: Sequence[str]) -> list[tuple]:
    lag, seeds, rows = max(setting["lags"]), setting.seeds, []
    nets = _made(kind, entry, seeds, [0.0])
    for cell in cells:
        nets.restart(**STARTS[cell])
        found = nets.gradients(*_drawn(seeds, lag, PROBE, _PROBE))
        rows += _gradient_rows((entry.name, cell, 0.0), seeds, lag, "initial", found, 0)
    return rows


def _trained(nets: Any, setting: Setting, lag: int) -> Iterator[int]:
    """Train; yield how many steps were made, now and then."""
    for place, first in enumerate(range(0, setting["steps"], CHUNK)):
        count = min(CHUNK, setting["steps"] - first)
        nets.train(*sequences(setting.seeds, lag, count, BATCH, _TRAINING + place))
        yield count


def _after(nets: Any, name: tuple[str, str], seeds: Sequence[int], lag: int) -> list[tuple]:
    best = int(nets.accuracy(*_drawn(seeds, lag, VALIDATION, _VALIDATION)).mean(1).argmax())
    scores = nets.accuracy(*_drawn(seeds, lag, TEST, _TEST))
    end = (lag, "trained", "accuracy", "output", 0)
    rows = [
        (*name, rate, seed, place == best, *end, scores[place, i])
        for place, rate in enumerate(RATES)
        for i, seed in enumerate(seeds)
    ]
    found = nets.gradients(*_drawn(seeds, lag, PROBE, _PROBE))
    return rows + _gradient_rows((*name, RATES[best]), seeds, lag, "trained", found, best)


def _drawn(seeds: Sequence[int], lag: int, count: int, place: int) -> tuple[Any, Any]:
    (x,), (y,) = sequences(seeds, lag, 1, count, place)
    return x, y


def _gradient_rows(
    head: tuple, seeds: Sequence[int], lag: int, stage: str, found: Mapping[str, Any], rate: int
) -> list[tuple]:
    # Some twenty lags, evenly on a line, tell as much as all.
    backs = np.unique(np.linspace(0, lag, min(lag, 20) + 1).round().astype(int))
    return [
        (*head, seed, True, lag, stage, "gradient", state, back, norms[back, rate, i])
        for state, norms in found.items()
        for i, seed in enumerate(seeds)
        for back in backs
    ]


def _labels(table: "pandas.DataFrame") -> dict[tuple[str, str], str]:
    """Return what each (cell, activation) is called, in the order of the table."""
    pairs = table[["cell", "activation"]].drop_duplicates().itertuples(index=False, name=None)
    return {pair: pair[1] if pair[0] == "simple" else OTHERS[pair[0]][0] for pair in pairs}


def _shares(table: "pandas.DataFrame") -> "pandas.DataFrame":
    """Return the gradients, each over that of the last step, as the column `share`.

    Of the LSTM its cell state's, which carries the gradient. Where the last step has none, as in
    a network of dead units, the share is 0.
    """
    wanted = np.where(table.cell.str.startswith("lstm"), "cell", "hidden")
    rows = table[(table.measure == "gradient") & (table.state == wanted)]
    run = ["cell", "activation", "seed", "lag", "stage"]
    last = rows[rows.back == 0].set_index(run).value.rename("last")
    rows = rows.join(last, on=run)
    alive = rows["last"] > 0
    return rows.assign(share=np.where(alive, rows.value / rows["last"].where(alive, 1.0), 0.0))


def _geometric(values: "pandas.Series") -> float:
    return float(np.exp(np.log(np.maximum(values, FLOOR)).mean()))


def _at_longest(table: "pandas.DataFrame", stage: str) -> dict[tuple[str, str], float]:
    """Return each cell's share at the longest lag, the geometric mean over seeds."""
    longest = table.lag.max()
    rows = _shares(table)
    rows = rows[(rows.stage == stage) & (rows.lag == longest) & (rows.back == longest)]
    return rows.groupby(["cell", "activation"], sort=False).share.agg(_geometric).to_dict()


def _accuracies(table: "pandas.DataFrame") -> "pandas.DataFrame":
    return table[(table.measure == "accuracy") & table.chosen]


def _mean_accuracies(table: "pandas.DataFrame") -> "pandas.Series":
    """Return the mean over seeds at the chosen rate, by cell, activation and lag."""
    return _accuracies(table).groupby(["cell", "activation", "lag"], sort=False).value.mean()


def _learnt_by(table: "pandas.DataFrame", lag: int) -> str:
    means = _mean_accuracies(table).xs(lag, level="lag")
    return listing(label for pair, label in _labels(table).items() if means[pair] >= LEARNT)


def _number(value: float) -> str:
    if value <= FLOOR:
        return "0"
    if value < 1e-3:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.3g}"


def _fraction(share: float, lag: int) -> str:
    """Return a share and what it comes to per step."""
    return f"{_number(share)} ({share ** (1 / lag):.2f} per step)"


def method(table: "pandas.DataFrame") -> str:
    """Say what the networks are and what they had to learn."""
    first, lags = table.iloc[0], [str(lag) for lag in sorted(table.lag.unique())]
    rates = sorted(table[table.measure == "accuracy"].learning_rate.unique())
    bias = table.groupby("cell").forget_bias.first()
    return (
        f"Recurrent networks of {first.units} units see one of {first.classes} symbols, then"
        f" {' or '.join(lags)} further steps, all with noise of standard deviation 1 beside it, and"
        f" have to name the symbol at the end (chance {100 / first.classes:.3g} %). A simple cell"
        " computes f(x W + h U + b) with orthogonal U; for comparison ReLU with U = 1, and LSTM and"
        f" GRU as Keras starts them (the LSTM's forget gate with bias {bias['lstm']:g}, that is a"
        f" gate of {_gate(bias['lstm'])}), and an LSTM with bias {bias['lstm_open']:g} there, a"
        f" gate of {_gate(bias['lstm_open'])}. Each learnt for {counted(first.steps, 'step')} of"
        " Adam, batches of"
        f" {first.batch_size}, {counted(table.seed.nunique(), 'seed')}, at the better of the rates"
        f" {listing([f'{rate:g}' for rate in rates])} on validation sequences."
    )


def _gate(bias: float) -> str:
    return f"{1 / (1 + math.exp(-bias)):.3g}"


def findings(table: "pandas.DataFrame") -> list[Finding]:
    """Judge the three claims, by the constants at the module's top."""
    return [_vanishes(table), _mitigates(table), _learns(table)]


def _vanishes(table: "pandas.DataFrame") -> Finding:
    """Before training, does each simple cell's gradient lose a tenth or more per step?"""
    lag, shares = int(table.lag.max()), _at_longest(table, "initial")
    simple = {name: share for (cell, name), share in shares.items() if cell == "simple"}
    gone = [share ** (1 / lag) < FADES for share in simple.values()]
    verdict = HOLDS if all(gone) else IN_PART if any(gone) else FAILS
    told = sorted(simple, key=simple.__getitem__)
    if len(told) > 4:
        told = [told[0], told[-1]]
    each = listing([f"{_fraction(simple[name], lag)} with {name}" for name in told])
    if len(simple) > len(told):
        each = f"between {each}, of {len(simple)} functions"
    identity = shares["identity", "relu"]
    evidence = (
        f"Before training, the last output's gradient with respect to the state {lag} steps"
        f" earlier is, as a share of that with respect to the last state, {each}; with ReLU and"
        f" U = 1 it is {_fraction(identity, lag)}."
    )
    if any(gone) and identity ** (1 / lag) >= FADES:
        evidence += " So the initial weights decide it too, not the function alone."
    return Finding(VANISHES, verdict, evidence)


def _mitigates(table: "pandas.DataFrame") -> Finding:
    """Does the LSTM keep `MARKED` times the share of every simple cell, and does it not vanish?

    It is asked before and after training. In part: at one of the two, or it vanishes all the
    same, or it is so only with an open forget gate. Where no simple cell's gradient vanishes
    before training, there is nothing to mitigate.
    """
    lag, start = int(table.lag.max()), _at_longest(table, "initial")
    simple = [share for (cell, _), share in start.items() if cell == "simple"]
    if min(simple) >= VANISHED:
        evidence = (
            f"There was nothing to mitigate: of these simple cells none had lost its gradient"
            f" within {counted(lag, 'step')}, the smallest share being {_number(min(simple))}."
        )
        return Finding(MITIGATES, UNDECIDED, evidence)
    marked, whole, parts = [], [], []
    for stage, when in (("initial", "before training"), ("trained", "after it")):
        shares = _at_longest(table, stage)
        best, name = max(
            (share, name) for (cell, name), share in shares.items() if cell == "simple"
        )
        own = {cell: share for (cell, _), share in shares.items() if cell in OTHERS}
        marked += [own[cell] >= MARKED * max(best, FLOOR) for cell in ("lstm", "lstm_open")]
        whole.append(own["lstm"] >= max(MARKED * best, VANISHED))
        parts.append(
            f"{when} {_fraction(own['lstm'], lag)} for the LSTM's cell state,"
            f" {_fraction(own['lstm_open'], lag)} with its forget gate open,"
            f" {_fraction(own['gru'], lag)} for a GRU and {_fraction(best, lag)} for the best"
            f" simple cell ({name})"
        )
    verdict = HOLDS if all(whole) else IN_PART if any(marked) else FAILS
    evidence = (
        f"The gradient {lag} steps back, over that at the last step: {'; '.join(parts)}. Lag {lag}"
        f" was learnt by {_learnt_by(table, lag)}."
    )
    if start["lstm", "tanh"] < VANISHED <= start["lstm_open", "tanh"]:
        evidence += (
            " As Keras starts it the LSTM's gradient vanishes too; how slowly is a matter of the"
            " forget gate's initial bias."
        )
    return Finding(MITIGATES, verdict, evidence)


def _learns(table: "pandas.DataFrame") -> Finding:
    """Is the longest lag that the LSTM learnt longer than that of every simple cell?

    In part: it is so with an open forget gate only. Undecided: no cell learnt any lag, or a
    simple one the longest.
    """
    means, labels = _mean_accuracies(table), _labels(table)
    lags = sorted(means.index.unique("lag"))
    most = {
        pair: max((lag for lag in lags if means[(*pair, lag)] >= LEARNT), default=0)
        for pair in labels
    }
    threshold, seeds = f"{100 * LEARNT:g} %", counted(table.seed.nunique(), "seed")
    if not any(most.values()):
        evidence = f"In so few steps none of them reached {threshold} at any lag."
        return Finding(LEARNS, UNDECIDED, evidence)
    simple = max(lag for (cell, _), lag in most.items() if cell == "simple")
    further = [most[cell, "tanh"] > simple for cell in ("lstm", "lstm_open")]
    verdict = HOLDS if further[0] else IN_PART if further[1] else FAILS
    verdict = UNDECIDED if simple == lags[-1] else verdict
    by_lag: dict[int, list[str]] = {}
    for pair, lag in sorted(most.items(), key=lambda item: item[1]):
        by_lag.setdefault(lag, []).append(labels[pair])
    longest = "; ".join(f"{lag or 'none'} by {listing(names)}" for lag, names in by_lag.items())
    scores = [
        f"{labels[pair]} {100 * means[(*pair, lags[-1])]:.3g} %"
        for pair in labels
        if pair[0] in ("lstm", "lstm_open")
    ]
    evidence = (
        f"The longest lag learnt, that is with {threshold} of the test sequences right in the mean"
        f" over {seeds}: {longest}. At lag {lags[-1]}: {listing(scores)}, by chance"
        f" {100 / table.classes.iloc[0]:.3g} %."
    )
    return Finding(LEARNS, verdict, evidence)


def figures(
    table: "pandas.DataFrame", line_styles: Mapping[str, "LineStyle"]
) -> dict[str, "Figure"]:
    """Draw the gradients by time lag, and the accuracy by lag."""
    return {
        "": _gradient_figure(table, line_styles),
        "accuracy": _accuracy_figure(table, line_styles),
    }


def _style(pair: tuple[str, str], line_styles: Mapping[str, "LineStyle"]) -> dict[str, Any]:
    """Return color, line style and marker; the cells compared with are in the text's color."""
    import matplotlib

    from benchmark.plotting import panels

    cell, name = pair
    if cell == "simple":
        return {**panels.artist(line_styles[name]), "marker": line_styles[name].marker}
    _, line, marker = OTHERS[cell]
    return {"color": matplotlib.rcParams["text.color"], "linestyle": line, "marker": marker}


def _legend(
    figure: "Figure",
    table: "pandas.DataFrame",
    line_styles: Mapping[str, "LineStyle"],
    **style: Any,
) -> None:
    """Explain the cells; `style` replaces what the figure draws otherwise."""
    from matplotlib.lines import Line2D

    labels = _labels(table)
    handles = [Line2D([], [], **{**_style(pair, line_styles), **style}) for pair in labels]
    figure.legend(handles, list(labels.values()), loc="outside right upper")


def _gradient_figure(table: "pandas.DataFrame", line_styles: Mapping[str, "LineStyle"]) -> "Figure":
    from benchmark.plotting import panels

    rows = _shares(table)
    lags = sorted(rows[rows.stage == "trained"].lag.unique())
    views = [("initial", rows.lag.max(), "Before training")]
    views += [("trained", lag, f"Trained at lag {lag}") for lag in lags]
    means = _mean_accuracies(table)
    figure, axes = panels.grid(len(views), 2, 2.1, sharey=True)
    for panel, (stage, lag, title) in zip(axes, views):
        shown = rows[(rows.stage == stage) & (rows.lag == lag)]
        for place, pair in enumerate(_labels(table)):
            own = shown[(shown.cell == pair[0]) & (shown.activation == pair[1])]
            curve = own.groupby("back").share.agg(_geometric)
            every = max(1, len(curve) // 4)
            # What has not learnt its lag says little of what learning does to the gradient.
            faint = stage == "trained" and means[(*pair, lag)] < LEARNT
            style = {**_style(pair, line_styles), "alpha": FAINT if faint else 1.0}
            panel.plot(curve.index, curve, markevery=(place % every, every), **style)
        panel.set_title(title, loc="left")
        panel.set_xlabel("Time lag (steps before the last)")
    _gradient_axis(axes, rows.share)
    for panel in axes[::2]:
        panel.set_ylabel("Gradient / at the last step")
    _legend(figure, table, line_styles)
    return figure


def _gradient_axis(axes: Sequence["Axes"], shares: "pandas.Series") -> None:
    low = min(max(shares.min() / 3, LOWEST_DRAWN), 0.1)
    axes[0].set_yscale("log")
    axes[0].set_ylim(low, 10 * max(shares.max(), 1.0))


def _accuracy_figure(table: "pandas.DataFrame", line_styles: Mapping[str, "LineStyle"]) -> "Figure":
    import matplotlib

    from benchmark.plotting import panels

    rows, labels = _accuracies(table), _labels(table)
    lags = sorted(rows.lag.unique())
    figure, (axes,) = panels.grid(1, 1, max(2.4, 0.17 * len(labels)))
    # Side by side within 0.8 of the distance between two lags.
    offsets = (np.arange(len(labels)) + 0.5) / len(labels) * 0.8 - 0.4
    for pair, offset in zip(labels, offsets):
        own = rows[(rows.cell == pair[0]) & (rows.activation == pair[1])]
        style = {**_style(pair, line_styles), "linestyle": ""}
        places = own.lag.map(lags.index) + offset
        axes.plot(places, 100 * own.value, **{**style, "markersize": 2.5, "alpha": 0.5})
        means = 100 * own.groupby("lag").value.mean()
        axes.plot(np.arange(len(lags)) + offset, means.loc[lags], **{**style, "markersize": 5})
    chance = 100 / table.classes.iloc[0]
    axes.axhline(chance, color=matplotlib.rcParams["text.color"], linestyle=":", linewidth=0.8)
    axes.set_xticks(range(len(lags)), [str(lag) for lag in lags])
    axes.set_xlim(-0.5, len(lags) - 0.5)
    axes.grid(axis="x", visible=False)
    for edge in range(1, len(lags)):
        axes.axvline(edge - 0.5, color=matplotlib.rcParams["grid.color"], linewidth=0.8)
    axes.set_ylim(0, 104)
    axes.set_xlabel("Time lag (steps between the symbol and the answer)")
    axes.set_ylabel("Test accuracy (%)")
    _legend(figure, table, line_styles, linestyle="", markersize=5)
    return figure


def _lags(value: Any) -> list[int]:
    return sorted(listed("lags", value, lambda item: whole_number("lag", item, most=1000)))


EXPERIMENT = Experiment(
    name="recurrent",
    place=11,
    title="Time lags in recurrent networks",
    question="How does the gradient fade with the time lag in recurrent networks, and which lags"
    " are learnt?",
    measure=measure,
    method=method,
    findings=findings,
    figures=figures,
    captions={
        "": "Norm of the last output's gradient with respect to the state so many steps earlier,"
        " over that with respect to the last state (of LSTMs the cell state), before training and"
        " after it; geometric means over seeds. Faint: cells that did not learn that lag (less than"
        " 90 % of the test sequences right), down to networks at chance. U = 1: recurrent weights"
        " that start as the identity; open gate: a forget gate that starts at 0.993.",
        "accuracy": "Test accuracy after training at each time lag, each cell at the better"
        " learning rate: large the mean over seeds, small the single seeds. Dotted: chance.",
    },
    activations=("sigmoid", "tanh", "relu"),
    seeds=3,
    options=(
        Option("lags", [5, 20, 80], _lags, "time lags to learn, in steps"),
        Option(
            "steps", 400, lambda value: whole_number("steps", value), "training steps at each lag"
        ),
    ),
    seconds=70.0,
)
