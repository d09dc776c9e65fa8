"""Units that pass no gradient: how many, after which steps, and whether they come back.

A unit is inactive where its slope |f′(z)|, by automatic differentiation, is at most a millionth of
the function's largest on every validation example, and dead where it is so on every training
example too: then no gradient reaches its incoming weights. ReLU's slope is exactly 0 there.

Table: one row per activation, part of the experiment, network and point in time, and hidden layer.
`part` is "rates" (ordinary training at `learning_rate`) or "step" (ordinary training at
`learning_rate`, interrupted after epoch 5 by one step `large_step` times as large; 1 is none);
`stepped` says whether that step has been made. Of the layer's `units`, `inactive` and `dead` count
those that are so now, `weak` those whose slope is at most a thousandth of the largest on every
validation example, `ever_dead` those that were dead at the end of some epoch so far (or after the
large step), `came_back` those of them that were active at a later one. `hard` says whether the
function's slope is exactly 0 on a stretch (hard saturation); `accuracy` is the network's on the
validation examples, 0 to 1. A network whose weights are no longer finite numbers is `diverged`: its
counts are left blank, its accuracy is 0.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.activations import GLOROT, Activation
from benchmark.experiments.base import Experiment, Option, Setting
from benchmark.experiments.claims import FAILS, HOLDS, IN_PART, UNDECIDED, Finding, agreed
from benchmark.experiments.derivatives import finite, is_hard, slopes, steepest
from benchmark.formatting import counted, listing, percent
from benchmark.plotting.palette import LineStyle
from benchmark.training.options import rate_list, whole_number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from benchmark.training.stacked import Networks

DEPTH, UNITS, BATCH_SIZE = 3, 64, 32
INACTIVE, WEAK = 1e-6, 1e-3
STEP_EPOCH, STEP_RATE, LARGE_STEPS = 5, 0.1, (1, 10, 30, 100)
COUNTS = ("inactive", "weak", "dead", "ever_dead", "came_back")
# Examples looked at together.
CHUNK = 2000
# The rules of the verdicts, as shares of the units unless said otherwise: RISE is what counts as
# more, DIP as not less; NONE is as good as no unit; MANY dead units should COST that much accuracy.
RISE, DIP, NONE, MANY, COST = 0.1, 0.02, 0.01, 0.25, 0.02
# A network works from that accuracy on; below, it is wrecked as a whole.
WORKS = 0.5
SAID_TO_AVOID = ("leaky_relu", "elu")
CONDITION = ["part", "learning_rate", "large_step"]


def measure(setting: Setting) -> "pd.DataFrame":
    """Train every activation's networks and count their units; see the module's table."""
    import pandas as pd

    rows, total = [], len(setting.entries) * setting["epochs"]
    for place, entry in enumerate(setting.entries):
        done = place * setting["epochs"]
        rows += _rows(
            entry, setting, lambda epoch, done=done: setting.progress(done + epoch, total)
        )
    table = pd.DataFrame(rows)
    table[list(COUNTS)] = table[list(COUNTS)].astype("Int64")
    return table.assign(
        units=UNITS,
        batch_size=BATCH_SIZE,
        dataset=setting.dataset,
        images=len(setting.labels("val")),
    )


def _rows(
    entry: Activation, setting: Setting, progress: Callable[[int], None]
) -> list[dict[str, Any]]:
    import pandas as pd

    from benchmark.training import stacked

    x, y = setting.pixels("train"), setting.labels("train")
    x_val, y_val = setting.pixels("val"), setting.labels("val")
    kinds = [("rates", rate, 1) for rate in setting["learning_rates"]]
    kinds += [("step", STEP_RATE, factor) for factor in LARGE_STEPS]
    conditions = list(itertools.product(kinds, setting.seeds))
    widths = [x.shape[1], *[UNITS] * DEPTH, setting.data.classes]
    made = stacked.Networks(entry, widths, [seed for _, seed in conditions], initializer=GLOROT)
    rates = [rate for (_, rate, _), _ in conditions]
    training = stacked.Training(made, x, y, learning_rate=rates, batch_size=BATCH_SIZE)
    # One step; the networks without a large one stay as they are.
    steps = [rate * factor * (factor > 1) for (_, rate, factor), _ in conditions]
    batch = x[:BATCH_SIZE], y[:BATCH_SIZE]
    large = stacked.Training(made, *batch, learning_rate=steps, batch_size=BATCH_SIZE)
    census, hard, rows = Census(made, x, x_val), is_hard(entry), []

    def record(epoch: int, stepped: bool, parts: tuple[str, ...]) -> None:
        losses, accuracy = made.evaluate(x_val, y_val)
        fine = finite(made, losses)
        counts = census.take(fine)
        for i, ((part, rate, factor), seed) in enumerate(conditions):
            if part not in parts:
                continue
            common = {"activation": entry.name, "hard": hard, "part": part, "learning_rate": rate}
            common |= {"large_step": factor, "seed": seed, "epoch": epoch, "stepped": stepped}
            common |= {"accuracy": round(float(accuracy[i]), 5) if fine[i] else 0.0}
            for layer in range(DEPTH):
                found = counts[:, i, layer] if fine[i] else [pd.NA] * len(COUNTS)
                row = {"diverged": not fine[i], "layer": layer + 1, **dict(zip(COUNTS, found))}
                rows.append({**common, **row})

    last = setting["epochs"]
    shown = {0, 1, 2, STEP_EPOCH, last} | {10**k * m for k in range(1, 6) for m in (1, 2, 5)}
    for epoch in range(last + 1):
        if epoch:
            training.epoch()
        parts = ("step",) if epoch == STEP_EPOCH + 1 else ()
        record(epoch, epoch > STEP_EPOCH, ("rates", "step") if epoch in shown else parts)
        if epoch == STEP_EPOCH:
            large.epoch()
            record(epoch, True, ("step",))
        progress(epoch)
    return rows


class Census:
    """Counts the units of networks that are inactive and dead, and remembers who was.

    Args:
        made: the networks.
        x, x_val: training and validation examples, (examples, inputs).
    """

    def __init__(self, made: "Networks", x: np.ndarray, x_val: np.ndarray) -> None:
        import tensorflow as tf

        self._x, self._x_val, self._largest = x, x_val, steepest(made.entry)
        self._ever = np.zeros((made.n, made.depth, UNITS), bool)
        self._back = np.zeros_like(self._ever)

        @tf.function(reduce_retracing=True)
        def steep(part: Any) -> Any:
            return tf.stack([tf.reduce_max(layer, 1) for layer in slopes(made, part)[0]], 1)

        self._steep = steep

    def _steepest(self, x: np.ndarray) -> np.ndarray:
        """Return each unit's largest slope on these examples, (n, layers, units)."""
        import tensorflow as tf

        parts = (self._steep(tf.constant(x[i : i + CHUNK])) for i in range(0, len(x), CHUNK))
        return np.max([part.numpy() for part in parts], axis=0)

    def take(self, fine: np.ndarray) -> np.ndarray:
        """Count what `COUNTS` names, now: (5, n, layers). `fine` (n,): who has finite weights."""
        seen = self._steepest(self._x_val)
        inactive = seen <= INACTIVE * self._largest
        dead = inactive & (self._steepest(self._x) <= INACTIVE * self._largest)
        alive = ~dead & fine[:, None, None]
        self._back |= self._ever & alive
        self._ever |= dead & fine[:, None, None]
        groups = (inactive, seen <= WEAK * self._largest, dead, self._ever, self._back)
        return np.stack(groups).sum(axis=-1)


def method(table: "pd.DataFrame") -> str:
    """Say what was done."""
    first, ordinary = table.iloc[0], table[table.part == "rates"]
    step = table[table.part == "step"]
    before = step[~step.stepped].epoch.max()
    rates = listing(sorted(ordinary.learning_rate.unique()))
    factors = listing(sorted(step.large_step.unique())[1:])
    count = table.seed.nunique()
    ends = " After a mean over networks: the lowest and the highest." if count > 1 else ""
    return (
        f"Networks of {table.layer.max()} hidden layers of {first.units} units were trained on"
        f" {first.dataset} for {table.epoch.max()} epochs by plain gradient descent in batches of"
        f" {first.batch_size}, from {counted(count, 'seed')} each, the same initial weights for"
        f" every activation: at learning rate {rates}, and at"
        f" {step.learning_rate.iloc[0]:g} with one step {factors} times as large after epoch"
        f" {before}. A unit is inactive where its slope |f′(z)|, by automatic differentiation, is"
        f" at most a millionth of the function's largest on each of {first.images} validation"
        " examples, and dead where it is so on every training example too, so that no gradient"
        f" reaches its weights; units were looked at after every epoch.{ends}"
    )


def findings(table: "pd.DataFrame") -> list[Finding]:
    """Judge the six claims."""
    return [
        _larger_rates(table),
        _larger_steps(table),
        _avoided(table),
        _soft(table),
        _come_back(table),
        _accuracy_lost(table),
    ]


def _every(table: "pd.DataFrame", name: str, when: str = "end") -> "pd.DataFrame":
    """Return one row per network of an activation: shares of its units, over all layers.

    At the "start", "after" the large step, or at the "end". One that `diverged` has none inactive.
    """
    import pandas as pd

    rows = table[table.activation == name]
    here = rows.epoch == (rows.epoch.min() if when == "start" else rows.epoch.max())
    if when == "after":
        here = (rows.part == "step") & rows.stepped
        here &= rows.epoch == rows.epoch[here].min()
    kept = rows[here].groupby([*CONDITION, "seed"])
    shares = {"inactive": kept.inactive.sum() / kept.units.sum()}
    return pd.DataFrame(shares | {key: kept[key].first() for key in ("accuracy", "diverged")})


def _networks(table: "pd.DataFrame", name: str, when: str = "end") -> "pd.DataFrame":
    """Return the rows of `_every` without the networks that diverged."""
    found = _every(table, name, when)
    return found[~found.diverged]


def _distinct(found: "pd.DataFrame") -> "pd.DataFrame":
    """Leave out networks without a large step that ordinary training has already."""
    part, rate, factor = (found.index.get_level_values(key) for key in CONDITION)
    again = (part == "step") & (factor == 1) & rate.isin(rate[part == "rates"])
    return found[~again]


def _by(found: "pd.DataFrame", part: str, key: str) -> "pd.Series":
    """Return the shares inactive of the seeds' networks, an array for each value of `key`."""
    rows = found[found.index.get_level_values("part") == part]
    return rows.groupby(key).inactive.agg(np.array)


def _rising(shares: "pd.Series") -> str:
    """Judge whether the mean shares rise from each to the next."""
    steps = np.diff([each.mean() for each in shares])
    if steps.sum() < RISE:
        return FAILS
    return HOLDS if steps.min() >= -DIP else IN_PART


def _without(table: "pd.DataFrame", *names: str) -> str:
    absent = [name for name in names if name not in set(table.activation)]
    return f"The table lacks {listing(absent)}." if absent else ""


def _larger_rates(table: "pd.DataFrame") -> Finding:

    claim = "Units of ReLU die as training goes on, the more the larger the learning rate."
    if _without(table, "relu"):
        return Finding(claim, UNDECIDED, _without(table, "relu"))
    end = _networks(table, "relu")
    start = _networks(table, "relu", "start").loc[end.index]
    found, before = (_by(networks, "rates", "learning_rate") for networks in (end, start))
    if len(found) < 2:
        return Finding(claim, UNDECIDED, "Networks stayed finite at fewer than two learning rates.")
    died = [found[rate].mean() > before[rate].mean() for rate in found.index]
    told = listing(f"{_mean_and_range(shares)} at rate {rate:g}" for rate, shares in found.items())
    starts = start[~start.index.get_level_values("seed").duplicated()].inactive
    evidence = (
        f"Inactive before training, of ReLU's units: {_mean_and_range(starts)}; at the end: {told},"
        f" so more than before at {sum(died)} of {counted(len(died), 'rate')}."
    )
    return Finding(claim, agreed([*died, _rising(found) == HOLDS]), evidence)


def _larger_steps(table: "pd.DataFrame") -> Finding:
    claim = "A single step that is too large kills units of ReLU, the more the larger it is."
    if _without(table, "relu"):
        return Finding(claim, UNDECIDED, _without(table, "relu"))
    after, end = (
        _by(_networks(table, "relu", when), "step", "large_step") for when in ("after", "end")
    )
    if len(after) < 2 or len(end) < 2:
        return Finding(claim, UNDECIDED, "The networks did not stay finite after the large step.")
    steps = {1: "without it"} | {f: f"with one {f:g} times as large" for f in after.index if f > 1}
    told = listing(f"{_mean_and_range(shares)} {steps[f]}" for f, shares in after.items())
    evidence = (
        f"Inactive right after the step: {told}; in the same order at the end, after ordinary"
        f" training: {listing(map(_mean_and_range, end))} of ReLU's units."
    )
    return Finding(claim, _rising(after), evidence)


def _where(part: str, rate: float, factor: float) -> str:
    return f"at rate {rate:g}" if factor == 1 else f"after a step {factor:g} times as large"


def _places(conditions: list[tuple[str, float, float]]) -> str:
    """Return "at rate 0.1 and 0.3 and after a step 10 times as large"."""
    rates = sorted({rate for _, rate, factor in conditions if factor == 1})
    factors = sorted({factor for _, _, factor in conditions if factor > 1})
    told = [f"at rate {listing(rates)}"] if rates else []
    told += [f"after a step {listing(factors)} times as large"] if factors else []
    return " and ".join(told)


def _finite_conditions(table: "pd.DataFrame", *names: str) -> list[tuple[str, float, float]]:
    """Return the conditions in which all networks of all these activations stayed finite."""
    kept = []
    for name in names:
        lost = _distinct(_every(table, name)).groupby(CONDITION).diverged.any()
        kept.append(set(lost.index[~lost]))
    return sorted(set.intersection(*kept))


def _infinite(table: "pd.DataFrame", names: list[str]) -> str:
    """Return how many networks of these activations became infinite, and where; "" if none."""
    told = []
    for name in names:
        lost = _distinct(_every(table, name)).groupby(CONDITION).diverged.agg(["sum", "size"])
        lost = lost[lost["sum"] > 0].itertuples()
        places = [f"{count} of {of} {_where(*condition)}" for condition, count, of in lost]
        told += [f"{name} {listing(places)}"] if places else []
    return f" Networks that became infinite: {'; '.join(told)}." if told else ""


def _worst(found: "pd.DataFrame") -> tuple[float, "pd.DataFrame"]:
    """Return the greatest mean share inactive of the conditions, and the networks of that one."""
    means = found.groupby(CONDITION).inactive.mean()
    return float(means.max()), found.xs(means.idxmax(), level=CONDITION, drop_level=False)


def _deaths(
    table: "pd.DataFrame", name: str, conditions: list[tuple[str, float, float]]
) -> tuple[list[bool], str, str]:
    """Judge whether an activation has at most `NONE` of its units inactive at the end.

    Returns whether in all its networks and in those that work (where there are any), and the
    largest share inactive of both in words.
    """
    found = _networks(table, name)
    found = found[found.index.droplevel("seed").isin(conditions)]
    share, there = _worst(found)
    hit = there[there.inactive > NONE]
    told = f"{name} {_mean_and_range(there.inactive)}"
    if len(hit):
        told += (
            f" {_where(*there.index[0][:3])}, in {len(hit)} of {counted(len(there), 'network')} of"
            f" accuracy {_range(hit.accuracy)}"
        )
    working = found[found.accuracy >= WORKS]
    if working.empty:
        return [share <= NONE], told, f"{name} has none"
    least = _worst(working)[0]
    return [share <= NONE, least <= NONE], told, f"{name} {percent(least)}"


def _avoided(table: "pd.DataFrame") -> Finding:
    claim = "Leaky ReLU and ELU avoid dead units."
    names = [name for name in SAID_TO_AVOID if not _without(table, name)]
    absent = _without(table, *SAID_TO_AVOID)
    if not names:
        return Finding(claim, UNDECIDED, absent)
    beside = names if _without(table, "relu") else ["relu", *names]
    conditions = _finite_conditions(table, *beside)
    if not conditions:
        text = f"In no condition did all networks with {listing(beside)} stay finite."
        return Finding(claim, UNDECIDED, text + _infinite(table, beside))
    found = {name: _deaths(table, name, conditions) for name in beside}
    evidence = (
        f"Largest share of units inactive at the end where all networks with {listing(beside)}"
        f" stayed finite ({_places(conditions)}):"
        f" {'; '.join(told for _, told, _ in found.values())}. {_working(found)}"
        f"{_infinite(table, beside)} {absent}"
    ).rstrip()
    return Finding(claim, agreed(part for name in names for part in found[name][0]), evidence)


def _working(found: Mapping[str, tuple[list[bool], str, str]]) -> str:
    """Return the sentence on the networks that work, of what `_deaths` says by activation."""
    return (
        f"A network below an accuracy of {percent(WORKS)} counts as wrecked as a whole; in the"
        f" others the largest share is: {listing(told for _, _, told in found.values())}."
    )


def _soft(table: "pd.DataFrame") -> Finding:
    claim = (
        "It takes a hard saturation, a slope of exactly 0, to kill a unit: functions whose slope"
        " only tends to 0, or not even that, keep all of theirs."
    )
    names = [name for name, rows in table.groupby("activation", sort=False) if not rows.hard.any()]
    if not names:
        return Finding(claim, UNDECIDED, "No activation without hard saturation was measured.")
    # One unit killed refutes it: each activation is judged wherever its own networks are finite.
    places = {name: _finite_conditions(table, name) for name in names}
    found = {name: _deaths(table, name, where) for name, where in places.items() if where}
    if not found:
        text = f"In no condition did all networks of one of {listing(names)} stay finite."
        return Finding(claim, UNDECIDED, text + _infinite(table, names))
    good = [name for name in found if all(found[name][0])]
    bad = {name: said for name, said in found.items() if name not in good}
    parts = [
        "Share of units inactive at the end where all networks of an activation stayed finite:"
    ]
    if good:
        parts.append(f"at most {percent(NONE)} with {listing(good)}{';' if bad else '.'}")
    if bad:
        parts.append(f"at worst {'; '.join(told for _, told, _ in bad.values())}. {_working(bad)}")
    verdict = agreed(part for judged, _, _ in found.values() for part in judged)
    return Finding(claim, verdict, " ".join(parts) + _infinite(table, names))


def _come_back(table: "pd.DataFrame") -> Finding:
    claim = "A dead unit of ReLU never comes back, because no gradient reaches its weights."
    if _without(table, "relu"):
        return Finding(claim, UNDECIDED, _without(table, "relu"))
    rows = _ordinary_ends(table)
    rows = rows[rows.activation == "relu"]
    counts = rows.groupby("layer")[["ever_dead", "came_back"]].sum().astype(int)
    dead, back = counts.sum()
    if not dead:
        return Finding(claim, UNDECIDED, "No unit of ReLU was dead at any time.")
    share = back / dead
    told = listing(
        f"{row.came_back:,} of {row.ever_dead:,} in layer {layer}".replace(",", "\u202f")
        for layer, row in counts.iterrows()
    )
    count = len(rows) // rows.layer.nunique()
    evidence = (
        f"In {counted(count, 'network')} without a large step, {percent(share)} of the units of"
        " ReLU that were dead at the end of an epoch were active at a later one:"
        f" {told}. A dead unit's own weights stand still, and in layer 1 so do its"
        " inputs, the data; the inputs of a higher layer move as the layers below it learn."
    )
    verdict = HOLDS if share <= NONE else IN_PART if counts.came_back.iloc[0] == 0 else FAILS
    return Finding(claim, verdict, evidence)


def _ordinary_ends(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return the last epoch's rows of the finite networks of ordinary training.

    The networks of the large step share their first epochs: their units would count repeatedly.
    """
    last = table.epoch == table.epoch.max()
    return table[last & (table.part == "rates") & ~table.diverged]


def _accuracy_lost(table: "pd.DataFrame") -> Finding:

    claim = "A network many of whose ReLU units are dead is less accurate."
    if _without(table, "relu"):
        return Finding(claim, UNDECIDED, _without(table, "relu"))
    networks = _networks(table, "relu")
    found = _distinct(networks)
    many, few = found[found.inactive >= MANY], found[found.inactive < MANY]
    if many.empty or few.empty:
        side = "more" if many.empty else "fewer"
        text = f"No network had {side} than {percent(MANY)} of its ReLU units inactive at the end."
        return Finding(claim, UNDECIDED, text)
    costs, told = _at_equal_rate(networks)
    # Less accurate than any with few: all of them, or at least some.
    worse = many.accuracy < few.accuracy.min()
    evidence = (
        f"Accuracy at the end of the {counted(len(few), 'network')} with fewer than"
        f" {percent(MANY)} of the ReLU units inactive: {_range(few.accuracy)}; of the"
        f" {counted(len(many), 'network')} with more: {_range(many.accuracy)}.{told}"
    )
    return Finding(claim, agreed([worse.all(), worse.any(), *costs]), evidence)


def _mean_and_range(shares: "pd.Series | np.ndarray") -> str:
    """Return "30 % (0 to 90 %)": few networks that differ much have no spread but their ends."""
    mean, ends = percent(shares.mean()), _range(shares)
    return mean if mean == ends else f"{mean} ({ends})"


def _range(shares: "pd.Series | np.ndarray") -> str:
    """Return "90 to 95 %"."""
    low, high = (percent(share) for share in (shares.min(), shares.max()))
    return low if low == high else f"{low.removesuffix(' %')} to {high}"


def _at_equal_rate(networks: "pd.DataFrame") -> tuple[list[bool], str]:
    """Judge which large steps that leave `MANY` units inactive cost accuracy, and tell of it.

    Against the networks without a large step, so that the learning rate is not what differs.
    """

    step = networks[networks.index.get_level_values("part") == "step"]
    factors = step.index.get_level_values("large_step")
    control = step[factors == 1]
    if not control.inactive.mean() < MANY:
        return [], ""
    costs, told = [], []
    for factor, rows in step[factors > 1].groupby("large_step"):
        if rows.inactive.mean() >= MANY:
            costs.append(control.accuracy.mean() - rows.accuracy.mean() >= COST)
            told.append(
                f"{_mean_and_range(rows.accuracy)} after a step {factor:g} times as large, which"
                f" left {_mean_and_range(rows.inactive)} inactive"
            )
    if not told:
        return [], ""
    rate = step.index.get_level_values("learning_rate")[0]
    return costs, (
        f" At one learning rate, {rate:g}: {listing(told)}, against"
        f" {_mean_and_range(control.accuracy)} without it, with"
        f" {_mean_and_range(control.inactive)} inactive."
    )


def figures(table: "pd.DataFrame", line_styles: Mapping[str, "LineStyle"]) -> dict[str, "Figure"]:
    """Draw the shares by layer, epoch and learning rate, and what a large step does."""
    return {"": _by_rate(table, line_styles), "step": _by_step(table, line_styles)}


def _lines(
    axes: Any, rows: "pd.DataFrame", count: str, line_styles: Mapping[str, "LineStyle"], last: int
) -> None:
    """Draw the share of units that `count` names, by epoch, up to where networks diverge.

    Each line has its marker at an epoch of its own: lines lie on one another, at 0 above all.
    """
    from benchmark.plotting import panels

    names = list(rows.activation.unique())
    for place, name in enumerate(names):
        points = rows[rows.activation == name].groupby(["epoch", "stepped"])
        shares = 100 * (points[count].sum() / points.units.sum())[~points.diverged.any()]
        epochs = shares.index.get_level_values("epoch")
        style = panels.artist(line_styles[name])
        axes.plot(epochs, shares.to_numpy(), **style)
        at = last * (place + 0.5) / len(names)
        if len(shares) and at <= epochs[-1]:
            marker = {"marker": line_styles[name].marker, "color": style["color"], "markersize": 4}
            axes.plot(at, np.interp(at, epochs, shares), linestyle="", zorder=3, **marker)
        if len(shares) and epochs[-1] < last:
            axes.plot(epochs[-1], shares.iloc[-1], "x", color=style["color"], clip_on=False)


def _by_rate(table: "pd.DataFrame", line_styles: Mapping[str, "LineStyle"]) -> "Figure":
    from benchmark.plotting import panels

    rows = table[table.part == "rates"]
    rates, layers = (sorted(rows[key].unique()) for key in ("learning_rate", "layer"))
    figure, axes = panels.grid(
        len(rates) * len(layers), len(rates), row_height=1.35, sharex=True, sharey=True
    )
    for here, (layer, rate) in zip(axes, itertools.product(layers, rates)):
        mine = rows[(rows.layer == layer) & (rows.learning_rate == rate)]
        _lines(here, mine, "inactive", line_styles, table.epoch.max())
        if layer == layers[0]:
            here.set_title(f"Rate {rate:g}", loc="left")
        if rate == rates[0]:
            here.set_ylabel(f"Layer {layer}:\ninactive (%)")
        if layer == layers[-1]:
            here.set_xlabel("Epoch")
    axes[0].set_ylim(-3, 103)
    panels.legend(figure, line_styles, list(rows.activation.unique()), markers=True)
    return figure


def _by_step(table: "pd.DataFrame", line_styles: Mapping[str, "LineStyle"]) -> "Figure":
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    from benchmark.plotting import panels

    rows = table[(table.part == "step") & (table.large_step > 1)]
    names, layers = list(table.activation.unique()), sorted(table.layer.unique())
    factors = sorted(rows.large_step.unique())
    columns = max(len(factors), len(layers))
    figure, axes = panels.grid(
        2 * columns, columns, row_height=max(1.9, 0.17 * len(names)), sharex="row", sharey="row"
    )
    top, bottom = axes[:columns], axes[columns:]
    for here, factor in zip(top, factors):
        _lines(here, rows[rows.large_step == factor], "dead", line_styles, table.epoch.max())
        here.set_title(f"Step × {factor:g}", loc="left")
        here.set_xlabel("Epoch")
    top[0].set_ylabel("Dead units (%)")
    top[0].set_ylim(-3, max(10, top[0].get_ylim()[1]))
    ends = _ordinary_ends(table)
    for here, layer in zip(bottom, layers):
        _revivals(here, ends[ends.layer == layer], names, line_styles)
        here.set_title(f"Hidden layer {layer}", loc="left")
        here.set_xlabel("Units (%)")
    bottom[0].invert_yaxis()
    bottom[0].set_xlim(0, max(10, bottom[0].get_xlim()[1]))
    handles = [
        Line2D([], [], **panels.artist(line_styles[name]), marker=line_styles[name].marker)
        for name in names
    ]
    handles += [Patch(color="0.5", alpha=0.4), Patch(color="0.5")]
    labels = [*names, "dead at some time", "came back"]
    figure.legend(handles, labels, loc="outside right upper", handlelength=2.5)
    return figure


def _revivals(
    axes: Any, rows: "pd.DataFrame", names: list[str], line_styles: Mapping[str, "LineStyle"]
) -> None:
    """Draw bars: the share of units that were ever dead, and in it those that came back."""
    end = rows.groupby("activation")
    shares = 100 * end[["ever_dead", "came_back"]].sum().div(end.units.sum(), axis=0)
    shares = shares.reindex(names).fillna(0.0)
    colors = [line_styles[name].color for name in names]
    axes.barh(names, shares.ever_dead, color=colors, alpha=0.4)
    axes.barh(names, shares.came_back, color=colors)
    axes.grid(False, axis="y")


EXPERIMENT = Experiment(
    name="dead_units",
    place=5,
    title="Dead units",
    question="How many units stop passing any gradient, and do they ever come back?",
    measure=measure,
    method=method,
    findings=findings,
    figures=figures,
    captions={
        "": "Share of each hidden layer's units that are inactive on every validation example, by"
        " epoch, at each learning rate; means over seeds. Each line has one marker, at an epoch of"
        " its own, to tell apart lines that lie on one another; a cross marks where a network"
        " became infinite.",
        "step": "Top: share of units that are dead, over all layers, before and after a single"
        " large step; means over seeds. Bottom: share of units, in the networks without a large"
        " step at all learning rates together, that were dead at some time (pale) and of these the"
        " ones that came back (full).",
    },
    options=(
        Option(
            "learning_rates", [0.03, 0.1, 0.3, 0.5, 1.0], rate_list, "learning rates (0.03,…,1)"
        ),
        Option(
            "epochs",
            30,
            lambda value: whole_number("epochs", value, STEP_EPOCH + 1),
            f"epochs of training, the large step after epoch {STEP_EPOCH} (30)",
        ),
    ),
    images=True,
    seconds=20.0,
)
