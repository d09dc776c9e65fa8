"""Optimizers, each at its best learning rate: who needs it, who is fastest, and which batches.

The table has one row per activation, optimizer, batch size, learning rate, seed and epoch (for
rates that were not chosen the last epoch only):

- `learning_rate`, `chosen` (the best of the optimizer's rates on validation data), `at_edge`
  (the best is the grid's lowest or highest, so that a better one may lie beyond it);
- `epoch`, `steps` (made by its end), `loss` (mean over its batches, each before its step, nats),
  `val_loss` (nats), `val_accuracy`, and the finished network's `test_accuracy`;
- `diverged`: the validation loss did not stay finite;
- `reached`, `target_steps`: whether the training loss, a mean over the last `WINDOW` examples,
  came down to `target_loss` (nats), and after how many steps, or else all steps made; of every
  rate, chosen or not;
- `seconds`: CPU time of an epoch's training, in the median over the epochs, of all `networks`
  that train side by side.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.experiments.base import Experiment, Option, Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED, Finding, agreed
from benchmark.formatting import counted, listing
from benchmark.plotting.palette import LineStyle
from benchmark.training.options import listed, positive_number, whole_number

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from benchmark.activations import Activation

# The middle of each optimizer's grid: about where, in a search over six powers of ten on the
# validation data of digits, most activations had their best rate.
MIDDLE_RATES = {"sgd": 0.1, "momentum": 0.03, "adagrad": 0.1, "rmsprop": 0.003, "adam": 0.003}
HIDDEN = (128, 128, 128)
BATCH, SMALL_BATCHES, BATCH_OPTIMIZER = 128, (16, 32), "adam"
TARGET_LOSS, WINDOW = 0.5, 512
# Of a larger dataset the first so many: of MNIST all would take an hour.
MOST_TRAINING, MOST_VALIDATION = 6000, 2000

# A choice matters from this factor on between the steps of two runs that differ in it alone, if it
# is also, as a logarithm, so many times that between two seeds, and not less than the factor
# between neighbouring learning rates: the best rate lies somewhere between those of the grid.
MATTERS, SEEDS = 1.5, 2.0
# Shares of the decided pairs in which the claimed one is ahead.
NEARLY_ALL, HALF = 0.9, 0.5
# An accuracy is better from half a percentage point on, if that is also so many standard errors.
LEAST, ERRORS = 0.5, 2.0

LEARNING = (
    "How easily a network learns depends on the optimizer on the one hand and on the design of its"
    " units on the other."
)
TANH = "Because its output has mean 0, tanh converges faster than sigmoid: it needs fewer steps."
BATCHES = "Batches of 128 are faster but less accurate; 16 or 32 are to be recommended."
KEY = ["activation", "optimizer", "batch_size"]
# Seen on every color of the heat map, and on black and white.
FRAME = "#C03515"


def measure(setting: Setting) -> "pandas.DataFrame":
    """Train every combination at all its rates and seeds; the table is the module's."""
    import pandas as pd

    data = {part: (setting.pixels(part, True), setting.labels(part)) for part in _MOST}
    data = {part: (x[: _MOST[part]], y[: _MOST[part]]) for part, (x, y) in data.items()}
    jobs = [
        (entry, optimizer, size)
        for entry in setting.entries
        for optimizer in MIDDLE_RATES
        for size in (BATCH, *(SMALL_BATCHES if optimizer == BATCH_OPTIMIZER else ()))
    ]
    # A small batch takes nearly as long as a large one.
    costs = [BATCH // size for _, _, size in jobs for _ in range(setting["epochs"])]
    done = itertools.accumulate(costs)
    tables = [
        _trained(setting, data, *job, tick=lambda: setting.progress(next(done), sum(costs)))
        for job in jobs
    ]
    table = pd.concat(tables, ignore_index=True)
    return table.assign(
        target_loss=TARGET_LOSS,
        hidden_layers=len(HIDDEN),
        units=HIDDEN[0],
        dataset=setting.dataset,
        examples=len(data["train"][1]),
    )


_MOST = {"train": MOST_TRAINING, "val": MOST_VALIDATION, "test": None}


def _trained(
    setting: Setting,
    data: Mapping[str, Any],
    entry: "Activation",
    optimizer: str,
    size: int,
    tick: Callable[[], None],
) -> "pandas.DataFrame":
    """Train one combination at all rates and seeds at once."""
    import pandas as pd

    from benchmark.training import stacked

    rates = sorted(MIDDLE_RATES[optimizer] * factor for factor in setting["factors"])
    pairs = list(itertools.product(rates, setting.seeds))
    x, y = data["train"]
    widths = (x.shape[1], *HIDDEN, setting.data.classes)
    nets = stacked.Networks(entry, widths, [seed for _, seed in pairs])
    each = [rate for rate, _ in pairs]
    training = stacked.Training(
        nets, x, y, optimizer=optimizer, learning_rate=each, batch_size=size
    )
    losses, seconds, epochs = [], [], []
    for epoch in range(1, setting["epochs"] + 1):
        start = time.process_time()
        losses.append(training.epoch().losses)
        seconds.append(time.process_time() - start)
        val_loss, val_accuracy = nets.evaluate(*data["val"])
        steps = sum(len(part) for part in losses)
        for pair, mean, *scores in zip(pairs, losses[-1].mean(0), val_loss, val_accuracy):
            epochs.append((*pair, epoch, steps, mean, *scores))
        tick()
    names = "learning_rate seed epoch steps loss val_loss val_accuracy".split()
    table = pd.DataFrame(epochs, columns=names)
    runs = pd.DataFrame(pairs, columns=names[:2])
    reached = first_steps(np.concatenate(losses), TARGET_LOSS, max(1, WINDOW // size))
    runs["test_accuracy"] = nets.evaluate(*data["test"])[1]
    runs["reached"], runs["target_steps"] = reached > 0, np.where(reached > 0, reached, steps)
    runs["diverged"] = ~np.isfinite(val_loss)
    table = table.merge(runs, on=names[:2])
    best = best_rate(table[table.epoch == table.epoch.max()])
    table["chosen"] = table.learning_rate == best
    table["at_edge"] = len(rates) > 1 and best in (rates[0], rates[-1])
    table = table[table.chosen | (table.epoch == table.epoch.max())]
    # The first epoch compiles.
    median = float(np.median(seconds[1:] or seconds))
    return table.assign(
        activation=entry.name,
        optimizer=optimizer,
        batch_size=size,
        networks=len(pairs),
        seconds=round(median, 4),
    )


def first_steps(losses: np.ndarray, target: float, window: int) -> np.ndarray:
    """Return after how many steps the mean of the last `window` losses is at most `target`.

    Losses (steps, n) to counts (n,), 0 for one that never gets there; in fewer steps than
    `window` none does.
    """
    if len(losses) < window:
        return np.zeros(losses.shape[1], int)
    means = np.lib.stride_tricks.sliding_window_view(losses.astype(float), window, 0).mean(-1)
    there = means <= target
    return np.where(there.any(0), there.argmax(0) + window, 0)


def best_rate(finals: "pandas.DataFrame") -> float:
    """Return the rate of the highest mean validation accuracy, of equal ones the least loss.

    A rate at which a seed diverged is taken only where one did at every rate.
    """
    by_rate = finals.groupby("learning_rate").agg(
        diverged=("diverged", "any"), accuracy=("val_accuracy", "mean"), loss=("val_loss", "mean")
    )
    order = ["diverged", "accuracy", "loss"]
    return float(by_rate.sort_values(order, ascending=[True, False, True]).index[0])


def _finals(table: "pandas.DataFrame", batch_size: int | None = BATCH) -> "pandas.DataFrame":
    """Return the chosen rates' rows of the last epoch."""
    chosen = table[table.chosen & (table.epoch == table.epoch.max())]
    return chosen if batch_size is None else chosen[chosen.batch_size == batch_size]


def fastest(table: "pandas.DataFrame") -> "pandas.DataFrame":
    """Return the last epoch's rows in batches of 128, each optimizer at its fastest rate.

    That is the one at which no seed diverged, most seeds reached the target loss, and the mean
    number of steps is the least. Columns beside the table's: `lowest` and `highest`, whether the
    grid ends there; `gain`, the mean number of steps at the rate below over that at this one,
    infinite where not every seed got there; `neighbour`, the same of the faster of the two rates
    beside it, where all steps count for a seed that did not get there. Empty without such a rate.
    """
    rows = table[(table.epoch == table.epoch.max()) & (table.batch_size == BATCH)]
    pair = ["activation", "optimizer"]
    rates = rows.groupby([*pair, "learning_rate"], as_index=False).agg(
        diverged=("diverged", "any"), reached=("reached", "mean"), mean=("target_steps", "mean")
    )
    grids = rates.groupby(pair)
    below, above = (grids["mean"].shift(places) / rates["mean"] for places in (1, -1))
    rates = rates.assign(
        lowest=below.isna() & above.notna(),
        highest=above.isna() & below.notna(),
        gain=below.where(below.isna() | (grids.reached.shift(1) == 1), np.inf),
        neighbour=np.fmin(below, above),
    )
    order = ["diverged", "reached", "mean"]
    first = rates.sort_values(order, ascending=[True, False, True]).groupby(pair).head(1)
    return rows.merge(first.drop(columns=order), on=[*pair, "learning_rate"])


def pair_factors(steps: "pandas.Series", level: str) -> np.ndarray:
    """Return the larger over the smaller number of steps of any two runs that differ in the
    index's `level` alone."""
    rest = [name for name in steps.index.names if name != level]
    pairs = [
        sorted(pair)
        for _, group in steps.groupby(level=rest)
        for pair in itertools.combinations(group, 2)
    ]
    return np.array([large / small for small, large in pairs])


def _points(values: Iterable[float]) -> str:
    """Return mean and standard error of differences between accuracies, in percentage points."""
    values = 100 * np.asarray(values, float)
    text = f"{values.mean():+.2f}" + (f" ± {_error(values):.2f}" if len(values) > 1 else "")
    return text.replace("-", "−")


def _error(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def method(table: "pandas.DataFrame") -> str:
    """Say what was trained and how the rates were chosen."""
    first, sizes = table.iloc[0], sorted(set(table.batch_size) - {BATCH})
    rates = {
        name: ", ".join(f"{rate:g}" for rate in sorted(group.learning_rate.unique()))
        for name, group in table.groupby("optimizer", sort=False)
    }
    grids: dict[str, list[str]] = {}
    for name, grid in rates.items():
        grids.setdefault(grid, []).append(name)
    told = "; ".join(f"{', '.join(names)}: {grid}" for grid, names in grids.items())
    return (
        f"Networks with {counted(first.hidden_layers, 'hidden layer')} of {first.units} units"
        f" (no dropout, initial weights as in the comparison) learnt"
        f" {counted(first.examples, 'standardized example')} of {first.dataset} for"
        f" {counted(table.epoch.max(), 'epoch')} in batches of {BATCH}, with"
        f" {counted(table.seed.nunique(), 'seed')} and every learning rate of a grid ({told})."
        " Accuracies are those at the best rate, the one with the highest validation accuracy after"
        " the last epoch (test examples were scored once, at the end); steps to a training loss are"
        f" those at the fastest rate. With {BATCH_OPTIMIZER} the same was done in batches of"
        f" {listing(sizes)}." + _what_errors(table)
    )


def _what_errors(table: "pandas.DataFrame") -> str:
    pairs = len(table[["activation", "seed"]].drop_duplicates())
    return "" if pairs == 1 else " After ± stands a standard error."


def findings(table: "pandas.DataFrame") -> list[Finding]:
    """Judge the three claims, by the constants at the module's top."""
    return [_both_matter(table), _tanh_first(table), _small_batches(table)]


def _both_matter(table: "pandas.DataFrame") -> Finding:
    """Compare the steps to the target between runs that differ in one of the two choices alone.

    Not the fastest with the slowest of all: of many runs those differ by chance too. Runs that do
    not get there count with all their steps, which makes factors too small at most.
    """
    runs = fastest(table)
    if runs.activation.nunique() < 2:
        lacking = "The table lacks a second activation to compare with."
        return Finding(LEARNING, UNDECIDED, lacking)
    steps = runs.set_index(["activation", "optimizer", "seed"]).target_steps
    factors = {
        level: float(np.median(pair_factors(steps, level)))
        for level in steps.index.names
        if steps.index.unique(level).size > 1
    }
    each = runs.drop_duplicates(KEY)
    least = max(MATTERS, factors.get("seed", 1.0) ** SEEDS, each.neighbour.fillna(1.0).median())
    verdict = agreed(factors[level] >= least for level in ("optimizer", "activation"))
    means = steps.groupby(level=[0, 1]).mean()
    never = int((~runs.reached).sum())
    score = _finals(table).groupby(["activation", "optimizer"]).test_accuracy.mean()
    seeds = f", two seeds by {factors['seed']:.3g}" if "seed" in factors else ""
    evidence = (
        f"In the steps down to a training loss of {runs.target_loss.iloc[0]:g}, two optimizers"
        f" differ by a factor of {factors['optimizer']:.3g}, two activations by"
        f" {factors['activation']:.3g}{seeds} (medians over all pairs that differ in nothing else,"
        f" each at its fastest rate). The means over seeds go from {_mean_steps(means, 'idxmin')}"
        f" to {_mean_steps(means, 'idxmax')}"
        + (f"; {never} of {counted(len(runs), 'run')} never got there." if never else ".")
        + _coarse(each)
        + f" In the end test accuracies lie between {_at(score, score.idxmin())} and"
        f" {_at(score, score.idxmax())}. {_edges(each)}"
    )
    return Finding(LEARNING, verdict, evidence)


def _mean_steps(means: "pandas.Series", which: str) -> str:
    activation, optimizer = key = getattr(means, which)()
    return f"{means[key]:.0f} ({activation} with {optimizer})"


def _coarse(each: "pandas.DataFrame") -> str:
    """Say how much a rate of the grid matters, beside which its coarseness is to be seen."""
    if each.neighbour.isna().all():
        return ""
    factor = each.neighbour.median()
    return (
        " The grid is coarse: the better one of the rates beside the fastest takes"
        f" {factor:.3g} times as many steps (median), so that a smaller factor may be the grid's."
    )


def _at(score: "pandas.Series", key: tuple[str, str]) -> str:
    return f"{100 * score[key]:.1f} % ({key[0]} with {key[1]})"


def _edges(each: "pandas.DataFrame") -> str:
    """Say where the fastest rate was the grid's lowest or highest."""
    edged = each[each.lowest | each.highest]
    if edged.empty:
        return "No fastest rate lies at its grid's edge."
    return (
        f"{len(edged)} of {counted(len(each), 'fastest rate')} lie at the grid's edge, so that a"
        f" rate beyond it might do better ({listing(_pairs(edged))})."
    )


def _pairs(runs: "pandas.DataFrame") -> list[str]:
    return [f"{row.activation} with {row.optimizer}" for row in runs.itertuples()]


def _tanh_first(table: "pandas.DataFrame") -> Finding:
    """Compare tanh and sigmoid within each optimizer and seed.

    It holds where tanh is ahead in nearly all pairs of the optimizers whose grid does not hinder
    sigmoid; where it hinders sigmoid with all of them, it holds in part at most.
    """
    runs = fastest(table)
    missing = [name for name in ("sigmoid", "tanh") if name not in set(runs.activation)]
    if missing:
        return Finding(TANH, UNDECIDED, f"The table lacks {listing(missing)}.")
    key = ["optimizer", "seed"]
    # Where one gets there and the other does not, the former is ahead.
    steps = runs.target_steps.where(runs.reached, np.inf)
    pairs = runs.assign(needed=steps).pivot_table(
        index=key, columns="activation", values="needed", sort=False
    )[["tanh", "sigmoid"]]
    decided = pairs[np.isfinite(pairs).any(axis=1)]
    target, made = runs.target_loss.iloc[0], runs.steps.max()
    if decided.empty:
        evidence = f"Neither reached a training loss of {target:g} within {counted(made, 'step')}."
        return Finding(TANH, UNDECIDED, evidence)
    ahead = decided.tanh < decided.sigmoid
    hindered = _hindered(runs)
    fair = ahead[~decided.index.isin(hindered, level="optimizer")]
    if len(fair) and fair.mean() >= NEARLY_ALL and ahead.mean() >= NEARLY_ALL:
        verdict = HOLDS
    else:
        verdict = IN_PART if ahead.mean() > HALF else FAILS
    means = "; ".join(
        f"{name} {_needed(group.tanh)} against {_needed(group.sigmoid)}"
        for name, group in pairs.groupby(level="optimizer", sort=False)
    )
    evidence = (
        f"Down to a training loss of {target:g}, each at its fastest rate, tanh needed fewer steps"
        f" than sigmoid in {ahead.sum()} of {counted(len(decided), 'pair')} of one optimizer and"
        f" seed. In the mean over seeds tanh's steps against sigmoid's: {means}."
        + _grid_for_sigmoid(runs, hindered)
    )
    return Finding(TANH, verdict, evidence)


def _hindered(runs: "pandas.DataFrame") -> list[str]:
    """Return the optimizers of whose rates sigmoid might need higher ones to keep up with tanh.

    With these sigmoid is fastest at the highest rate, and from the rate below it has gained at
    least the factor by which it is still behind: as much again would bring it level.
    """
    steps = runs.groupby(["optimizer", "activation"]).target_steps.mean().unstack()
    own = _sigmoids_highest(runs)
    behind = (steps.sigmoid / steps.tanh)[own.optimizer].to_numpy()
    return list(own.optimizer[own.gain.to_numpy() >= behind])


def _sigmoids_highest(runs: "pandas.DataFrame") -> "pandas.DataFrame":
    """Return a row per optimizer with which sigmoid is fastest at the grid's highest rate."""
    return runs[(runs.activation == "sigmoid") & runs.highest].drop_duplicates("optimizer")


def _grid_for_sigmoid(runs: "pandas.DataFrame", hindered: list[str]) -> str:
    own = _sigmoids_highest(runs)
    if own.empty:
        return ""
    text = f" Sigmoid is fastest at its grid's highest rate with {listing(own.optimizer)}"
    gains = own[~own.optimizer.isin(hindered)]
    if len(gains):
        each = listing(f"{row.gain:.3g} with {row.optimizer}" for row in gains.itertuples())
        text += f"; its gain from the rate below, a factor of {each}, is less than tanh's lead"
    if hindered:
        text += f"; with {listing(hindered)} the rate below is too slow to tell what a higher one"
        text += " would bring"
    return f"{text}."


def _needed(steps: "pandas.Series") -> str:
    there = steps[np.isfinite(steps)]
    if there.empty:
        return "never"
    lost = len(steps) - len(there)
    return f"{there.mean():.0f}" + (f" ({lost} of {len(steps)} never)" if lost else "")


def _small_batches(table: "pandas.DataFrame") -> Finding:
    """Compare each smaller batch with 128, paired by activation and seed.

    That small batches cost more is no news; the verdict follows the accuracy.
    """
    finals = _finals(table, None)
    finals = finals[finals.optimizer == BATCH_OPTIMIZER]
    sizes = sorted(set(finals.batch_size) - {BATCH})
    scores = finals.pivot_table(
        index=["activation", "seed"], columns="batch_size", values="test_accuracy"
    )
    gains = {size: (scores[size] - scores[BATCH]).to_numpy() for size in sizes}
    better = [_better(100 * gain) for gain in gains.values()]
    seconds = finals.groupby("batch_size").seconds.mean()
    faster = bool((seconds[sizes] > seconds[BATCH]).all())
    verdict = HOLDS if all(better) and faster else IN_PART if any(better) else FAILS
    told = " and ".join(f"{_points(gain)} points at {size}" for size, gain in gains.items())
    costs = " and ".join(f"{seconds[size] / seconds[BATCH]:.1f} times at {size}" for size in sizes)
    evidence = (
        f"With {BATCH_OPTIMIZER}, after {counted(finals.epoch.max(), 'epoch')}, test accuracy"
        f" against batches of {BATCH} differs by {told} (mean"
        + (" ± standard error" if len(scores) > 1 else "")
        + f" over {counted(len(scores), 'pair')} of activation and seed); an epoch's training"
        f" takes {costs} the CPU time, {finals.networks.iloc[0]} small networks side by side."
        f" {_equal_steps(table)}"
    )
    edged = finals[finals.at_edge].drop_duplicates(KEY)
    if len(edged):
        cases = ", ".join(f"{row.activation} at {row.batch_size}" for row in edged.itertuples())
        evidence += f" Best rates at the grid's edge: {cases}."
    return Finding(BATCHES, verdict, evidence)


def _better(points: np.ndarray) -> bool:
    """Return whether gains in percentage points are more than chance among the pairs."""
    return bool(points.mean() >= max(LEAST, ERRORS * _error(points)))


def _at_equal_steps(table: "pandas.DataFrame") -> "pandas.DataFrame":
    """Return one row per activation, batch size and seed: the last within the steps that all made.

    Of a size that has no epoch's end within these there is no row.
    """
    rows = table[table.chosen & (table.optimizer == BATCH_OPTIMIZER)]
    common = rows.groupby("batch_size").steps.max().min()
    rows = rows[rows.steps <= common].sort_values("epoch")
    return rows.groupby(["activation", "batch_size", "seed"]).tail(1)


def _equal_steps(table: "pandas.DataFrame") -> str:
    rows = _at_equal_steps(table)
    steps = rows.groupby("batch_size").steps.max()
    scores = rows.pivot_table(
        index=["activation", "seed"], columns="batch_size", values="val_accuracy"
    )
    sizes = [size for size in scores if size != BATCH]
    if not sizes:
        return "There are too few epochs for a comparison after equal steps."
    told = " and ".join(
        f"{_points(scores[size] - scores[BATCH])} points at {size} ({steps[size]} steps)"
        for size in sizes
    )
    return (
        f"After about equal steps instead, {steps[BATCH]} of {BATCH}, validation accuracy differs"
        f" by {told}."
    )


def figures(
    table: "pandas.DataFrame", line_styles: Mapping[str, "LineStyle"]
) -> dict[str, "Figure"]:
    """Draw the table of best rates, the curves by optimizer and the batch sizes."""
    return {
        "": _overview(table),
        "curves": _curves(table, line_styles),
        "batches": _batches(table, line_styles),
    }


def _overview(table: "pandas.DataFrame") -> "Figure":
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    from benchmark.plotting import panels

    finals = _finals(table)
    finals = finals.assign(test_accuracy=100 * finals.test_accuracy)
    names, optimizers = list(finals.activation.unique()), list(finals.optimizer.unique())

    def cells(column: str, rows: "pandas.DataFrame" = finals) -> np.ndarray:
        made = rows.pivot_table(index="activation", columns="optimizer", values=column)
        return made.loc[names, optimizers].to_numpy(float)

    figure, (scores, steps, rates) = panels.grid(3, 3, 0.9 + 0.24 * len(names), sharey=True)
    panels.heat_map(scores, cells("test_accuracy"), names, optimizers, text="{:.1f}")
    scores.set_title("Test accuracy (%)", loc="left")
    quickest = fastest(table)
    share = cells("reached", quickest)
    needed = np.where(share == 1, cells("target_steps", quickest), np.nan)
    norm = LogNorm() if np.nanmin(needed, initial=np.inf) < np.inf else None
    panels.heat_map(
        steps, needed, names, optimizers, text="{:.0f}", norm=norm, cmap=f"{panels.HEAT}_r"
    )
    count = finals.seed.nunique()
    for row, column in np.argwhere(share < 1):
        text = f"{round(share[row, column] * count)}/{count}"
        steps.text(column, row, text, ha="center", va="center")
    steps.set_title(f"Steps to a training loss of {finals.target_loss.iloc[0]:g}", loc="left")
    chosen, edge = cells("learning_rate"), cells("at_edge")
    panels.heat_map(rates, chosen, names, optimizers, text="{:g}", norm=LogNorm())
    for row, column in np.argwhere(edge > 0):
        box = {"fill": False, "linewidth": 1.6, "edgecolor": FRAME}
        rates.add_patch(Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, **box))
    for text in rates.texts:
        text.set_text(_short(float(text.get_text())))
    rates.set_title("Best learning rate", loc="left")
    for axes in (scores, steps, rates):
        axes.tick_params("x", rotation=40)
    return figure


def _short(rate: float) -> str:
    """Return "0.003" or "3e-4", which fits its cell."""
    return f"{rate:g}" if rate >= 1e-3 else f"{rate:.0e}".replace("e-0", "e-")


def _curves(table: "pandas.DataFrame", line_styles: Mapping[str, "LineStyle"]) -> "Figure":
    from benchmark.plotting import panels

    chosen = table[table.chosen & (table.batch_size == BATCH)]
    names, optimizers = list(chosen.activation.unique()), list(chosen.optimizer.unique())
    figure, axes = panels.grid(len(optimizers), 3, sharex=True, sharey=True)
    for place, (panel, optimizer) in enumerate(zip(axes, optimizers)):
        for name in names:
            rows = chosen[(chosen.optimizer == optimizer) & (chosen.activation == name)]
            curve = rows.groupby("epoch").val_loss.mean()
            panel.plot(curve.index, curve, **panels.artist(line_styles[name]), marker=_dot(curve))
        panel.set_yscale("log")
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.set_title(optimizer, loc="left")
        panel.set_xlabel("Epoch")
        # Numbers under a panel that has none below it.
        panel.tick_params("x", labelbottom=place >= len(optimizers) - 3)
        if place % 3 == 0:
            panel.set_ylabel("Validation loss (nats)")
    panels.legend(figure, line_styles, names)
    return figure


def _dot(curve: "pandas.Series") -> str:
    """A curve of one point is not seen without a marker."""
    return "o" if len(curve) == 1 else ""


def _batches(table: "pandas.DataFrame", line_styles: Mapping[str, "LineStyle"]) -> "Figure":
    from benchmark.plotting import panels

    finals = _finals(table, None)
    finals = finals[finals.optimizer == BATCH_OPTIMIZER]
    early = _at_equal_steps(table)
    names, sizes = list(finals.activation.unique()), sorted(finals.batch_size.unique())
    figure, axes = panels.grid(3, 3, max(2.3, 0.3 + 0.16 * len(names)))
    views = (
        (finals, "test_accuracy", 100, f"After {counted(finals.epoch.max(), 'epoch')}"),
        (early, "val_accuracy", 100, f"After {early.steps.max()} steps"),
        (finals, "seconds", 1, "Cost of an epoch"),
    )
    labels = ("Test accuracy (%)", "Validation accuracy (%)", "CPU time (s)")
    for panel, (rows, column, scale, title), label in zip(axes, views, labels):
        for name in names:
            own = rows[rows.activation == name]
            points = scale * own.groupby("batch_size")[column].mean()
            style = {**panels.artist(line_styles[name]), "marker": line_styles[name].marker}
            panel.plot(points.index, points, **style)
            faint = {**style, "linestyle": "", "markersize": 2.5, "alpha": 0.45}
            panel.plot(own.batch_size, scale * own[column], **faint)
        panel.set_xscale("log", base=2)
        panel.set_xticks(sizes, [str(size) for size in sizes])
        panel.set_title(title, loc="left")
        panel.set_xlabel("Batch size")
        panel.set_ylabel(label)
    axes[2].set_ylim(bottom=0)
    panels.legend(figure, line_styles, names, markers=True)
    return figure


def _factors(value: Any) -> list[float]:
    return listed("factors", value, lambda item: positive_number("factor", item))


EXPERIMENT = Experiment(
    name="optimizers",
    place=10,
    title="Optimizers and batch sizes",
    question="Which optimizer does each activation need, is tanh faster than sigmoid, and what do"
    " small batches bring?",
    measure=measure,
    method=method,
    findings=findings,
    figures=figures,
    captions={
        "": "Each optimizer at the best of its learning rates on validation data, means over"
        " seeds. Steps are those until the training loss has come down to the target, at the rate"
        " where they are fewest; where not"
        " every seed got there, how many did (0/3: none of three). A frame marks a best rate at the"
        " edge of its grid.",
        "curves": "Validation loss by epoch at each optimizer's best learning rate, batches of"
        " 128, means over seeds.",
        "batches": "Accuracy by batch size with Adam at the best rate of each size, after equal"
        " epochs and after about equal steps, and what an epoch costs: means over seeds, and small"
        " the single seeds.",
    },
    activations=("sigmoid", "tanh", "relu", "selu"),
    seeds=3,
    options=(
        Option(
            "factors",
            [0.1, 1.0, 10.0],
            _factors,
            "learning rates, as multiples of the middle of each optimizer's grid",
        ),
        Option(
            "epochs", 32, lambda value: whole_number("epochs", value, 2), "epochs of each training"
        ),
    ),
    images=True,
    seconds=55.0,
)
