"""Zero-centred outputs: the zig-zag of two weights, and the signs and means inside a network.

The table has three parts, told apart by `part`; cells that a part does not use are empty.

- "problem": two weights start at (0, 0) and must reach (1, -1). The neuron y = w·h has two inputs
  h = f(z), less their mean where `centred`; `updates` counts the steps until the distance is
  `close` times what it was (`reached` tells whether that came), each of `batch` "one" example or
  "all" `examples`; `path_ratio` is the length of the path over the line between its ends.
- "path": the weights `w1`, `w2` after so many `updates` of the first problem, one example each.
- "network": for each `layer` (0: the inputs; 1 to 3: hidden layers) at `moment` "initial" or
  "trained", `mean_output` and `rms_output`, the root of the mean square; and of the neurons of the
  next layer that get a gradient, the share whose incoming weights' gradients all have one sign,
  for one example (`one_signed_example`) and for a batch (`one_signed_batch`). `agreement_…` is the
  mean over these neurons of |Σg| / Σ|g| over the incoming weights: 1 where all have one sign.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.activations import Activation
from benchmark.experiments.base import Experiment, Option, Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED, Finding
from benchmark.formatting import counted, listing, spread
from benchmark.plotting.palette import GRAY, LineStyle
from benchmark.training.options import whole_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame, Series


START, TARGET = np.zeros(2), np.array([1.0, -1.0])
EXAMPLES, PROBLEMS, MOST_UPDATES, CLOSE = 100, 10, 5000, 0.05
# Enough for the picture of a path.
DRAWN = 400
HIDDEN, BATCH, LEARNING_RATE = (128, 128, 128), 128, 0.001
MOMENTS = ("initial", "trained")
WORDS = {"initial": "at initialization", "trained": "after training"}
# The rules of the verdicts: a share that counts as all, and one that counts as some; by how much a
# path or the number of updates must be longer; and the mean output over its root mean square that
# counts as shifted.
ALL, SOME, LONGER, SHIFTED = 0.99, 0.1, 1.5, 0.25


def descend(
    inputs: np.ndarray, orders: np.ndarray | None, rates: np.ndarray, most: int = MOST_UPDATES
) -> np.ndarray:
    """Follow gradient descent on C = (w·h - t·h)²/2 with the target weights t.

    Args:
        inputs: h, (problems, examples, 2).
        orders: the example of each update, (problems, most); None takes the mean gradient of all.
        rates: learning rates, (problems,).
        most: updates after which it gives up.

    Returns the weights (updates + 1, problems, 2); those that have arrived stand still.
    """
    problems = np.arange(len(inputs))
    path = [np.broadcast_to(START, (len(inputs), 2))]
    for update in range(most):
        moving = _far(path[-1])
        if not moving.any():
            break
        batch = inputs if orders is None else inputs[problems, orders[:, update]][:, None]
        errors = np.einsum("pbi,pi->pb", batch, path[-1] - TARGET)
        gradient = np.einsum("pb,pbi->pi", errors, batch) / batch.shape[1]
        path.append(path[-1] - np.where(moving, rates, 0.0)[:, None] * gradient)
    return np.stack(path)


def _far(weights: np.ndarray) -> np.ndarray:
    return np.linalg.norm(weights - TARGET, axis=-1) > CLOSE * np.linalg.norm(TARGET - START)


def path_ratio(path: np.ndarray) -> np.ndarray:
    """Return each path's length over the straight line between its ends, (problems,)."""
    length = np.linalg.norm(np.diff(path, axis=0), axis=2).sum(axis=0)
    straight = np.linalg.norm(path[-1] - path[0], axis=1)
    # A path that stands still is as straight as can be.
    return np.divide(length, straight, out=np.ones_like(length), where=straight > 0)


def stable_rates(inputs: np.ndarray, batch: str) -> np.ndarray:
    """Return 1 / the largest curvature that an update can meet, (problems,).

    For one example it is |h|², for all of them the largest eigenvalue of the mean of h hᵀ; 0 where
    there is none. Along that direction a step goes exactly to the minimum.
    """
    if batch == "one":
        curvature = np.square(inputs).sum(axis=2).max(axis=1)
    else:
        products = np.einsum("pei,pej->pij", inputs, inputs) / inputs.shape[1]
        curvature = np.linalg.eigvalsh(products)[:, -1]
    return np.divide(1.0, curvature, out=np.zeros_like(curvature), where=curvature > 0)


def problem_inputs(entry: Activation, seed: int) -> np.ndarray:
    """Return the neurons' inputs h = f(z), z ~ N(0, 1), (problems, examples, 2), float64.

    The z are the same for every function; one with several pieces gets further ones.
    """
    import tensorflow as tf

    drawn = []
    for problem in range(PROBLEMS):
        generator = np.random.default_rng([seed, problem])
        pieces = [generator.standard_normal((EXAMPLES, 2)) for _ in range(entry.pieces)]
        drawn.append(np.concatenate(pieces, axis=1))
    outputs = entry.function(tf.constant(np.concatenate(drawn)))
    return np.asarray(outputs, float).reshape(PROBLEMS, EXAMPLES, 2)


def _orders(seed: int) -> np.ndarray:
    """Return which example comes when: passes over all of them, each in an order of its own."""
    passes = -(-MOST_UPDATES // EXAMPLES)
    generators = [np.random.default_rng([seed, problem, 1]) for problem in range(PROBLEMS)]
    rows = [[made.permutation(EXAMPLES) for _ in range(passes)] for made in generators]
    return np.asarray(rows).reshape(PROBLEMS, -1)


def _problem_rows(entry: Activation, seed: int, draw: bool) -> Iterator[dict]:
    plain = problem_inputs(entry, seed)
    orders = _orders(seed)
    for centred, batch in itertools.product((False, True), ("one", "all")):
        inputs = plain - plain.mean(axis=1, keepdims=True) if centred else plain
        rates = stable_rates(inputs, batch)
        path = descend(inputs, orders if batch == "one" else None, rates)
        updates, reached = _far(path[:-1]).sum(axis=0), ~_far(path[-1])
        common = {"activation": entry.name, "seed": seed, "batch": batch, "centred": centred}
        for problem, ratio in enumerate(path_ratio(path)):
            yield {
                "part": "problem",
                **common,
                "examples": EXAMPLES,
                "close": CLOSE,
                "problem": problem,
                "learning_rate": rates[problem],
                "updates": updates[problem],
                "reached": reached[problem],
                "path_ratio": ratio,
            }
        if draw and batch == "one" and not centred:
            for update, (w1, w2) in enumerate(path[: min(updates[0], DRAWN) + 1, 0]):
                yield {"part": "path", **common, "updates": update, "w1": w1, "w2": w2}


def one_signed(gradients: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Look at the signs along the last axis but one, (…, inputs, neurons) to (…, neurons).

    Returns whether there is a gradient, whether all that is not 0 has one sign, and |Σg| / Σ|g|
    (0 without a gradient).
    """
    some = (gradients != 0).any(axis=-2)
    mixed = (gradients > 0).any(axis=-2) & (gradients < 0).any(axis=-2)
    size = np.abs(gradients).sum(axis=-2)
    agreement = np.divide(
        np.abs(gradients.sum(axis=-2)), size, out=np.zeros_like(size), where=size > 0
    )
    return some, some & ~mixed, agreement


def _shares(gradients: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Return share of one sign and mean agreement; each neuron counts as often as `weights`."""
    some, same, agreement = one_signed(gradients)
    counted = np.where(some, weights, 0)
    total = max(counted.sum(), 1)
    return float((same * counted).sum() / total), float((agreement * counted).sum() / total)


def network_state(made: Any, x: np.ndarray, y: np.ndarray) -> list[list[dict]]:
    """Return for each of n networks what the table holds of its layers.

    On a batch of its own: `x` (n, examples, inputs) with labels `y` (n, examples).
    """
    found, passed = made.gradients(x, y), made.forward(x)
    outputs = [x, *(post.numpy() for post in passed.post)]
    # The output layer's neurons all get a gradient.
    deltas = [*(delta.numpy() for delta in found.pre), np.ones_like(passed.logits)]
    states: list[list[dict]] = [[] for _ in range(made.n)]
    for layer, (h, delta, kernel) in enumerate(zip(outputs, deltas, found.kernels)):
        for i, state in enumerate(states):
            # One example's gradients are δ h: their signs are h's for each neuron with a δ.
            example = _shares(h[i].T, np.count_nonzero(delta[i], axis=1))
            batch = _shares(kernel.numpy()[i], np.ones(kernel.shape[-1]))
            wide = h[i].astype(float)
            state.append(
                {
                    "layer": layer,
                    "mean_output": wide.mean(),
                    "rms_output": np.sqrt(np.square(wide).mean()),
                    "one_signed_example": example[0],
                    "agreement_example": example[1],
                    "one_signed_batch": batch[0],
                    "agreement_batch": batch[1],
                }
            )
    return states


def _network_rows(setting: Setting, entry: Activation) -> Iterator[dict]:
    from benchmark.training import stacked
    from benchmark.training.trainer import batch_order

    x, y = setting.pixels("train"), setting.labels("train")
    made = stacked.Networks(entry, (x.shape[1], *HIDDEN, setting.data.classes), setting.seeds)
    training = stacked.Training(
        made, x, y, optimizer="adam", learning_rate=LEARNING_RATE, batch_size=BATCH
    )
    first = np.stack([batch_order(seed, 1, len(y))[:BATCH] for seed in setting.seeds])
    for moment in MOMENTS:
        for _ in training.epochs(setting["epochs"] if moment == "trained" else 0):
            pass
        for seed, state in zip(setting.seeds, network_state(made, x[first], y[first])):
            for row in state:
                yield {
                    "part": "network",
                    "activation": entry.name,
                    "seed": seed,
                    "dataset": setting.dataset,
                    "width": HIDDEN[0],
                    "batch_size": BATCH,
                    "learning_rate": LEARNING_RATE,
                    "epochs": setting["epochs"],
                    "moment": moment,
                    **row,
                }


def measure(setting: Setting) -> "DataFrame":
    """Return the table described above; `setting.data` must not be None."""
    import pandas as pd

    rows, parts = [], 2 * len(setting.entries)
    for done, entry in enumerate(setting.entries):
        for place, seed in enumerate(setting.seeds):
            rows += _problem_rows(entry, seed, draw=place == 0)
        setting.progress(2 * done + 1, parts)
        rows += _network_rows(setting, entry)
        setting.progress(2 * done + 2, parts)
    return pd.DataFrame(rows)


# What is read from a table.


def _problems(table: "DataFrame", batch: str = "one") -> "DataFrame":
    """Return the problems' rows, by activation and whether their inputs are centred."""
    rows = table[(table["part"] == "problem") & (table["batch"] == batch)]
    # With empty cells beside them pandas reads truth values as objects.
    return rows.assign(centred=rows["centred"].astype(bool)).set_index(["activation", "centred"])


def layer_means(table: "DataFrame") -> "DataFrame":
    """Return means over the seeds of the network's columns, by activation, moment and layer.

    `shift` is the mean output over the root mean square: 0 is centred, ±1 a constant.
    """
    rows = table[table["part"] == "network"]
    rows = rows.assign(shift=rows["mean_output"] / rows["rms_output"].where(rows["rms_output"] > 0))
    columns = ["shift", *rows.filter(regex="^(one_signed|agreement)_").columns]
    grouped = rows.groupby(["activation", "moment", "layer"], sort=False)[columns]
    # A layer whose outputs are all 0 has no shift.
    return grouped.mean().fillna({"shift": 0.0})


def method(table: "DataFrame") -> str:
    """Say what was done."""
    problem, network = (table[table["part"] == part] for part in ("problem", "network"))
    first, one = problem.iloc[0], network.iloc[0]
    count = len(problem[["seed", "problem"]].drop_duplicates())
    return (
        f"Two weights descend from (0, 0) to (1, −1) in {counted(count, 'random problem')} of"
        f" {counted(first['examples'], 'example')}, from the same pre-activations z ~ N(0, 1) for"
        " every function, at learning rate 1 / the largest curvature that an update can meet, until"
        f" the distance is {100 * first['close']:g} % of what it was; and again with the inputs'"
        f" mean taken away{_what_spread(count)}. A network of"
        f" {counted(network['layer'].max(), 'hidden layer')} of {one['width']:.0f},"
        f" {counted(network['seed'].nunique(), 'seed')}, is looked at with"
        f" {counted(one['batch_size'], 'example')} of {one['dataset']} before and after"
        f" {counted(one['epochs'], 'epoch')} of Adam ({one['learning_rate']:g}) without dropout."
    )


def _what_spread(count: int) -> str:
    return " (after ± stands the standard deviation over the problems)" if count > 1 else ""


def findings(table: "DataFrame") -> list[Finding]:
    """Say what the table shows of each claim."""
    claims = (
        (
            "Sigmoid's outputs are all above 0, so that for one example all weights into a neuron"
            " move the same way.",
            ("sigmoid",),
            _one_example,
        ),
        (
            "So with sigmoid all weights into a neuron move the same way at every update.",
            ("sigmoid",),
            _whole_batch,
        ),
        (
            "Where one weight must grow and the other shrink, sigmoid's path is a zig-zag with"
            " redundant updates.",
            ("sigmoid",),
            _zigzag,
        ),
        (
            "Tanh, zero-centred, takes a straighter path than sigmoid in fewer updates.",
            ("sigmoid", "tanh"),
            _tanh_straighter,
        ),
        (
            "ReLU's mean output is above 0 as well, so that it shares the shift.",
            ("relu",),
            _relu_shifted,
        ),
        (
            "ELU takes negative values too, which pushes the mean output towards 0 (Clevert et al."
            " 2015, section 3).",
            ("relu", "elu"),
            _centring("elu", "ELU"),
        ),
        (
            "SELU takes negative values too, by which it controls its mean output and keeps it near"
            " 0.",
            ("relu", "selu"),
            _centring("selu", "SELU"),
        ),
    )
    found = []
    for claim, needed, judge in claims:
        missing = [name for name in needed if name not in set(table["activation"])]
        said = (UNDECIDED, f"The table lacks {listing(missing)}.") if missing else judge(table)
        found.append(Finding(claim, *said))
    return found


Said = tuple[str, str]


def _hidden(table: "DataFrame", name: str, column: str, moment: str) -> "Series":
    return layer_means(table).loc[name, moment][column].drop(0)


def _one_example(table: "DataFrame") -> Said:
    shares = layer_means(table)["one_signed_example"]
    behind = shares[shares.index.get_level_values("layer") > 0].groupby("activation", sort=False)
    least, own = behind.min(), shares.loc["sigmoid"].drop(0, level="layer")
    others = [name for name in least.index if name != "sigmoid" and least[name] >= ALL]
    verdict = HOLDS if own.min() >= ALL else IN_PART if own.max() >= SOME else FAILS
    return verdict, (
        "For one example, the incoming gradients have one sign in"
        f" {_percents(own)} of the neurons behind each hidden layer, before and after training."
        f" Among the other functions that is so for {listing(others)}."
    )


def _whole_batch(table: "DataFrame") -> Said:
    shares = {m: _hidden(table, "sigmoid", "one_signed_batch", m) for m in MOMENTS}
    every = np.concatenate([*shares.values()])
    told = " and ".join(f"{_percents(share)} {WORDS[m]}" for m, share in shares.items())
    verdict = HOLDS if every.min() >= ALL else IN_PART if every.max() >= SOME else FAILS
    return verdict, (
        "For a batch, over which the sign of the error differs, the share of neurons whose"
        f" incoming gradients all have one sign is {told}, by layer."
    )


def _zigzag(table: "DataFrame") -> Said:
    plain, centred = (_problems(table).loc[[("sigmoid", c)]] for c in (False, True))
    batch = _problems(table, "all").loc[[("sigmoid", False)]]
    factors = _factors(plain, centred)
    return _longer(factors), (
        f"One example at a time, the path is {spread(plain['path_ratio'])} times as long as the"
        f" straight line and takes {spread(plain['updates'])} updates; with the mean taken from"
        f" the same inputs, {spread(centred['path_ratio'])} times and"
        f" {spread(centred['updates'])}. With the gradient of all examples the path is"
        f" {batch['path_ratio'].mean():.3g} times as long as the line and takes"
        f" {spread(batch['updates'])} updates." + _not_reached(plain, centred, batch)
    )


def _tanh_straighter(table: "DataFrame") -> Said:
    sigmoid, tanh = (_problems(table).loc[[(name, False)]] for name in ("sigmoid", "tanh"))
    return _longer(_factors(sigmoid, tanh)), (
        f"Tanh's path is {spread(tanh['path_ratio'])} times as long as the straight line and takes"
        f" {spread(tanh['updates'])} updates, sigmoid's {spread(sigmoid['path_ratio'])} times and"
        f" {spread(sigmoid['updates'])}." + _not_reached(sigmoid, tanh)
    )


def _relu_shifted(table: "DataFrame") -> Said:
    shifts = {m: _hidden(table, "relu", "shift", m) for m in MOMENTS}
    above = np.concatenate([shift >= SHIFTED for shift in shifts.values()])
    verdict = HOLDS if above.all() else IN_PART if above.any() else FAILS
    told = " and ".join(f"{_range(shift, '.2f')} {WORDS[m]}" for m, shift in shifts.items())
    plain, centred = (_problems(table).loc[[("relu", c)]] for c in (False, True))
    return verdict, (
        f"Its mean output over the root mean square is {told}, by layer (0 is centred, 1 a"
        f" constant). The price with two weights: a path {spread(plain['path_ratio'])} times as"
        f" long as the straight line, {spread(centred['path_ratio'])} with the mean taken away."
    )


def _centring(name: str, label: str) -> Callable[["DataFrame"], Said]:
    def judge(table: "DataFrame") -> Said:
        own = {m: _hidden(table, name, "shift", m) for m in MOMENTS}
        relu = {m: _hidden(table, "relu", "shift", m) for m in MOMENTS}
        nearer = np.concatenate([own[m].abs() < relu[m].abs() for m in MOMENTS])
        centred = np.concatenate([own[m].abs() < SHIFTED for m in MOMENTS])
        verdict = HOLDS if nearer.all() and centred.all() else IN_PART if nearer.any() else FAILS
        told = " and ".join(
            f"{_range(own[m], '.2f')} {WORDS[m]} (ReLU {_range(relu[m], '.2f')})" for m in MOMENTS
        )
        return verdict, (
            f"{label}'s mean output over the root mean square, by layer: {told}; it counts as"
            f" centred below {SHIFTED:g}."
        )

    return judge


def _factors(slow: "DataFrame", fast: "DataFrame") -> list[float]:
    return [slow[column].mean() / fast[column].mean() for column in ("path_ratio", "updates")]


def _longer(factors: list[float]) -> str:
    if min(factors) >= LONGER:
        return HOLDS
    return IN_PART if max(factors) >= LONGER else FAILS


def _not_reached(*parts: "DataFrame") -> str:
    short = sum((~part["reached"].astype(bool)).sum() for part in parts)
    return f" {counted(short, 'descent')} did not arrive." if short else ""


def _range(values: "Series", form: str) -> str:
    low, high = (format(end, form).replace("-", "−") for end in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def _percents(shares: "Series") -> str:
    return f"{_range(100 * shares, '.0f')} %"


# Figures.


def figures(table: "DataFrame", line_styles: Mapping[str, "LineStyle"]) -> dict[str, "Figure"]:
    """Draw the paths, and the network layer by layer."""
    return {"": _path_figure(table, line_styles), "network": _network_figure(table, line_styles)}


def _path_figure(table: "DataFrame", line_styles: Mapping[str, "LineStyle"]) -> "Figure":
    from benchmark.plotting import panels

    paths, problems = table[table["part"] == "path"], _problems(table)
    names = list(table["activation"].unique())
    figure, axes = panels.grid(
        len(names), min(len(names), 4), row_height=2.0, sharex=True, sharey=True
    )
    for axis, name in zip(axes, names):
        rows = paths[paths["activation"] == name]
        line = [[START[i], TARGET[i]] for i in (0, 1)]
        axis.plot(*line, color=GRAY, linestyle="--")
        axis.plot(rows["w1"], rows["w2"], color=line_styles[name].color, linewidth=0.8)
        axis.plot(*TARGET, marker="*", markersize=8, color=GRAY, linestyle="")
        own = problems.loc[[(name, False)]]
        ratio, updates = own["path_ratio"].mean(), own["updates"].mean()
        more = "" if own["reached"].astype(bool).all() else "> "
        note = f"{ratio:.2f} × the line\n{more}{updates:.0f} updates"
        axis.text(1.05, 0.3, note, ha="right", va="top")
        axis.set_title(name, loc="left")
        axis.set(xticks=(0, 0.5, 1), yticks=(-1, -0.5, 0), ylim=(-1.1, 0.32))
        axis.set_aspect("equal")
        axis.tick_params(labelbottom=True)
    figure.supxlabel("First weight", fontsize="medium")
    figure.supylabel("Second weight", fontsize="medium")
    return figure


_COLUMNS = {
    "shift": "Outputs,\nmean / rms",
    "agreement_example": "Agreement of signs,\none example",
    "agreement_batch": "Agreement of signs,\na batch",
}


def _network_figure(table: "DataFrame", line_styles: Mapping[str, "LineStyle"]) -> "Figure":
    from benchmark.plotting import panels

    means = layer_means(table)
    names = list(table["activation"].unique())
    layers = sorted(means.index.unique("layer").astype(int))
    figure, axes = panels.grid(6, 3, row_height=1.9, sharex=True, sharey="col")
    for axis, (moment, column) in zip(axes, itertools.product(MOMENTS, _COLUMNS)):
        for name in names:
            values = means.loc[name, moment][column]
            artist = panels.artist(line_styles[name])
            axis.plot(values.index, values, marker=line_styles[name].marker, **artist)
        axis.set_xticks(layers, ["inputs", *map(str, layers[1:])])
        if moment == MOMENTS[0]:
            axis.set_title(_COLUMNS[column], loc="left")
        else:
            axis.set_xlabel("Hidden layer")
        if column == "shift":
            axis.set_ylabel(f"{WORDS[moment]}".capitalize())
        else:
            axis.set_ylim(-0.03, 1.03)
    panels.legend(figure, line_styles, names, markers=True)
    return figure


EXPERIMENT = Experiment(
    name="zero_centering",
    place=6,
    title="Zero-centred outputs and the zig-zag",
    question="Do outputs that are all positive force the weights onto a zig-zag path?",
    measure=measure,
    method=method,
    findings=findings,
    figures=figures,
    captions={
        "": "Two weights on their way from (0, 0) to (1, −1) (star), one example at a time, beside"
        " the straight line (dashed): the first problem's path, and above it the mean length of"
        " the path over the straight line and the mean number of updates.",
        "network": "Layer by layer before and after training: mean output over its root mean"
        " square (0 is centred), and how far the gradients of the weights into a neuron of the"
        " next layer agree in sign, |Σg| / Σ|g| (1: all have one sign), for one example and for a"
        " batch.",
    },
    options=(Option("epochs", 15, lambda value: whole_number("epochs", value), "of the network"),),
    images=True,
    seconds=5.0,
)
