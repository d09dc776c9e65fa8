"""Initialisation and dropout: is an activation's result its function or its company?

Table: one row per trained network. `question` is "company" (each activation with each initializer
and each kind of dropout) or "depth" (networks of `depth` hidden layers, at several learning
rates). Accuracies are shares in [0, 1], losses cross-entropies in nats, empty where they
became infinite: then `finite` is False. Held out are the validation and the test examples together:
nothing is chosen by them. `own` marks the initializer and the dropout that the comparison gives
the activation.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.activations import ALPHA_DROPOUT, DROPOUT, GLOROT, HE, LECUN, Activation
from benchmark.experiments import base, claims
from benchmark.experiments.base import SIX_AND_TANH, Option, Setting
from benchmark.experiments.claims import Finding
from benchmark.formatting import counted, listing
from benchmark.plotting.palette import PALETTE, LineStyle
from benchmark.training.options import listed, whole_number
from benchmark.training.spec import CLIP_VALUE

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmark.training.stacked import Networks

INITIALIZERS = {GLOROT: "Glorot", HE: "He", LECUN: "LeCun", "orthogonal": "orthogonal"}
DROPOUTS = {DROPOUT: "plain dropout", ALPHA_DROPOUT: "AlphaDropout"}
COMPANY, DEPTH = "company", "depth"
# The comparison's dense network, with one rate of dropout throughout.
WIDTH, HIDDEN, RATE, LEARNING_RATE, BATCH = 128, 3, 0.25, 0.001, 128
# How fast a network learns depends on its depth: each takes the better of two rates, which for a
# single layer are higher.
DEPTH_RATES, SINGLE_RATES, DEPTH_EPOCHS = (0.001, 0.01), (0.01, 0.1), 40
TRAIN_EXAMPLES = 6000
# An effect is clear from half a percentage point on, if it is also twice its standard error.
LEAST, ERRORS = 0.5, 2.0
# The same company for all: the others' own, another that was not made for SELU, and SELU's own.
EQUAL = ((GLOROT, DROPOUT), (LECUN, DROPOUT), (LECUN, ALPHA_DROPOUT))
# Percentage points within which linear networks count as equally accurate.
SAME = 1.0
# Percentage points below the best at which the colors end.
COLOURS = 20


def measure(setting: Setting) -> "pandas.DataFrame":
    """Train all networks, those of one activation and dropout side by side."""
    import pandas as pd

    asked = {entry.name: entry for entry in setting.entries}
    jobs = [
        (_company, entry, kind, setting["epochs"]) for entry in setting.entries for kind in DROPOUTS
    ]
    if "linear" in asked:
        jobs += [
            (_depth, asked["linear"], depth, DEPTH_EPOCHS) for depth in (0, *setting["depths"])
        ]
        # For contrast; without a hidden layer it would be the same network.
        contrast = [asked["relu"]] if "relu" in asked else []
        jobs += [
            (_depth, entry, depth, DEPTH_EPOCHS)
            for entry in contrast
            for depth in setting["depths"]
        ]
    ticks, of = itertools.count(1), sum(epochs for *_, epochs in jobs)
    rows = []
    for work, entry, variant, _ in jobs:
        rows += work(entry, variant, setting, lambda: setting.progress(next(ticks), of))
    return pd.DataFrame(rows).assign(
        dataset=setting.dataset,
        train_examples=len(_training_examples(setting)[1]),
        held_out_examples=len(_held_out(setting)[1]),
    )


def _training_examples(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    return setting.pixels("train")[:TRAIN_EXAMPLES], setting.labels("train")[:TRAIN_EXAMPLES]


def _held_out(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    parts = ("val", "test")
    examples = np.concatenate([setting.pixels(part) for part in parts])
    return examples, np.concatenate([setting.labels(part) for part in parts])


def _company(
    entry: Activation, dropout: str, setting: Setting, tick: Callable[[], None]
) -> list[dict[str, Any]]:
    """Return one row per initializer and seed."""
    nets = with_initializers(
        dataclasses.replace(entry, dropout=dropout), _widths(setting, HIDDEN), setting.seeds
    )
    runs = [
        {"initializer": kind, "seed": seed, "learning_rate": LEARNING_RATE}
        for kind in INITIALIZERS
        for seed in setting.seeds
    ]
    shared = {"question": COMPANY, "activation": entry.name, "dropout": dropout, "depth": HIDDEN}
    own = (entry.initializer, entry.dropout)
    return [
        {**shared, **run, **seen, "own": (run["initializer"], dropout) == own}
        for run, seen in zip(runs, _trained(nets, LEARNING_RATE, setting["epochs"], setting, tick))
    ]


def with_initializers(entry: Activation, widths: Sequence[int], seeds: Sequence[int]) -> "Networks":
    """Return networks with dropout: for each of `INITIALIZERS` one per seed, side by side.

    Those of one seed drop the same units.
    """
    from benchmark.training import stacked

    each = [stacked.Networks(entry, widths, seeds, initializer=kind) for kind in INITIALIZERS]
    nets = stacked.Networks(entry, widths, [*seeds] * len(INITIALIZERS), dropout=RATE)
    for kernel, parts in zip(nets.kernels, zip(*(made.kernels for made in each))):
        kernel.assign(np.concatenate(parts))
    return nets


def _depth(
    entry: Activation, depth: int, setting: Setting, tick: Callable[[], None]
) -> list[dict[str, Any]]:
    """Return one row per learning rate and seed."""
    from benchmark.training import stacked

    grid = DEPTH_RATES if depth else SINGLE_RATES
    runs = [{"learning_rate": rate, "seed": seed} for rate in grid for seed in setting.seeds]
    nets = stacked.Networks(
        entry,
        _widths(setting, depth),
        [run["seed"] for run in runs],
        initializer=entry.recommended,
    )
    rates = [run["learning_rate"] for run in runs]
    shared = {
        **{"question": DEPTH, "activation": entry.name, "depth": depth},
        **{"initializer": entry.recommended, "dropout": "none", "own": False},
    }
    return [
        {**shared, **run, **seen}
        for run, seen in zip(runs, _trained(nets, rates, DEPTH_EPOCHS, setting, tick))
    ]


def _widths(setting: Setting, depth: int) -> list[int]:
    return [setting.pixels("val").shape[1]] + [WIDTH] * depth + [setting.data.classes]


def _trained(
    nets: "Networks",
    rates: float | list[float],
    epochs: int,
    setting: Setting,
    tick: Callable[[], None],
) -> list[dict[str, Any]]:
    """Train as the comparison does; return what each network then scores."""
    from benchmark.training import stacked

    x, y = _training_examples(setting)
    training = stacked.Training(
        nets,
        x,
        y,
        optimizer="adam",
        learning_rate=rates,
        batch_size=BATCH,
        clip=lambda gradients: stacked.clip_by_value(gradients, CLIP_VALUE),
    )
    for _ in training.epochs(epochs):
        tick()
    train_losses, train = nets.evaluate(x, y)
    losses, held_out = nets.evaluate(*_held_out(setting))
    return [
        {
            "epochs": epochs,
            "train_loss": train_losses[i],
            "train_accuracy": train[i],
            "held_out_loss": losses[i],
            "held_out_accuracy": held_out[i],
            "finite": bool(np.isfinite(train_losses[i] + losses[i])),
        }
        for i in range(nets.n)
    ]


def method(table: "pandas.DataFrame") -> str:
    """Say what was done."""
    rows, deep = (table[table["question"] == question] for question in (COMPANY, DEPTH))
    infinite = int((~table["finite"]).sum())
    lost = f" The loss of {counted(infinite, 'network')} became infinite." if infinite else ""
    text = (
        f"The comparison's dense network ({HIDDEN} hidden layers of {WIDTH}, but dropout"
        f" {RATE:g} after each) was trained on"
        f" {counted(table['train_examples'].iloc[0], 'example')} of"
        f" {table['dataset'].iloc[0]} with each activation, each initializer and each kind of"
        f" dropout, for {counted(rows['epochs'].iloc[0], 'epoch')} (Adam, learning rate"
        f" {rows['learning_rate'].iloc[0]:g}, clipped; {counted(rows['seed'].nunique(), 'seed')})."
        " Accuracy is that on the"
        f" {counted(table['held_out_examples'].iloc[0], 'validation and test example')} together."
        f"{_what_errors(rows['seed'].nunique())}{lost}"
    )
    if deep.empty:
        return text
    depths = listing(sorted(deep["depth"].unique()))
    single, others = (
        listing(sorted(part["learning_rate"].unique()))
        for part in (deep[deep["depth"] == 0], deep[deep["depth"] > 0])
    )
    return (
        f"{text} Networks of {depths} hidden layers, {listing(deep['activation'].unique())},"
        f" were trained without dropout for {counted(deep['epochs'].iloc[0], 'epoch')}, each depth"
        f" at the one of two learning rates ({single} without a hidden layer, else {others}) that"
        " gave the lower training loss."
    )


def _what_errors(seeds: int) -> str:
    return "" if seeds == 1 else " After ± stands the standard error of a mean over seeds."


def company(table: "pandas.DataFrame") -> "pandas.DataFrame":
    """Return held-out accuracies in per cent: a row per activation, initializer and dropout, a
    column per seed."""
    rows = table[table["question"] == COMPANY]
    keys = ["activation", "initializer", "dropout", "seed"]
    return 100 * rows.set_index(keys)["held_out_accuracy"].unstack("seed")


def is_clear(effect: "pandas.Series") -> bool:
    """Return whether an effect, percentage points by seed, is more than the seeds' chance."""
    size = abs(effect.mean())
    return bool(size >= LEAST and (len(effect) == 1 or size >= ERRORS * effect.sem()))


def _points(effect: "pandas.Series") -> str:
    error = "" if len(effect) == 1 else f" ± {effect.sem():.1f}"
    return f"{effect.mean():+.1f}{error}".replace("-", "−")


def findings(table: "pandas.DataFrame") -> list[Finding]:
    """Judge the claims on SELU's company, on depth without non-linearity and on softplus."""
    return [_needs_company(table), _function(table), _linear(table), _softplus(table)]


def _missing(claim: str, *names: str) -> Finding:
    lacking = f"The table lacks {' and '.join(names)}."
    return Finding(claim, claims.UNDECIDED, lacking)


def _needs_company(table: "pandas.DataFrame") -> Finding:
    claim = (
        "SELU does better with LeCun normal weights and AlphaDropout than with the Glorot weights"
        " and the plain dropout that the others have."
    )
    if "selu" not in set(table["activation"]):
        return _missing(claim, "selu")
    cells = company(table).loc["selu"]
    bare = cells.loc[GLOROT, DROPOUT]
    effects = {
        "together": cells.loc[LECUN, ALPHA_DROPOUT] - bare,
        "the weights alone": cells.loc[LECUN, DROPOUT] - bare,
        "the dropout alone": cells.loc[GLOROT, ALPHA_DROPOUT] - bare,
    }
    better = [is_clear(effect) and effect.mean() > 0 for effect in effects.values()]
    verdict = claims.HOLDS if better[0] else claims.IN_PART if any(better) else claims.FAILS
    each = "; ".join(f"{what} {_points(effect)}" for what, effect in effects.items())
    return Finding(
        claim,
        verdict,
        f"selu's accuracy with Glorot weights and plain dropout is {bare.mean():.1f} %. LeCun"
        f" weights and AlphaDropout change it by, in percentage points{_errors(bare)}: {each}.",
    )


def _errors(values: "pandas.Series") -> str:
    count = len(values)
    return " (1 seed)" if count == 1 else f" (± standard error over {count} seeds)"


def _function(table: "pandas.DataFrame") -> Finding:
    claim = (
        "What sets SELU apart is its function, not its company: with the same weights and dropout"
        " as the others it is more accurate than they are."
    )
    cells = company(table)
    names = set(cells.index.get_level_values("activation"))
    # The control is no rival.
    others = names - {"selu", "linear"}
    if "selu" not in names or not others:
        return _missing(claim, "selu" if others else "activations to compare selu with")
    texts, ahead = [], {}
    for initializer, dropout in EQUAL:
        shared = cells.xs((initializer, dropout), level=("initializer", "dropout"))
        rest = shared.loc[sorted(others)]
        best = rest.mean(axis=1).idxmax()
        effect = shared.loc["selu"] - rest.loc[best]
        ahead[initializer, dropout] = is_clear(effect) and effect.mean() > 0
        place = 1 + int((rest.mean(axis=1) > shared.loc["selu"].mean()).sum())
        texts.append(
            f"with {INITIALIZERS[initializer]} weights and {DROPOUTS[dropout]} selu is at"
            f" {shared.loc['selu'].mean():.1f} %, place {place} of {len(rest) + 1} and"
            f" {_points(effect)} percentage points from the best of the others ({best})"
        )
    if all(ahead.values()):
        verdict = claims.HOLDS
    else:
        # Ahead with AlphaDropout only, it is so by its company.
        plain = any(ahead[cell] for cell in EQUAL if cell[1] == DROPOUT)
        verdict = claims.IN_PART if plain else claims.FAILS
    evidence = (
        f"All given the same{_errors(cells.columns)}: {'; '.join(texts)}. AlphaDropout was made"
        " for SELU: what is dropped takes the value that SELU tends to."
    )
    return Finding(claim, verdict, evidence)


def best_rates(table: "pandas.DataFrame") -> "pandas.DataFrame":
    """Return the rows of the depth question, of each activation and depth those at the learning
    rate with the lowest mean training loss."""
    import pandas as pd

    rows = table[table["question"] == DEPTH]
    keys = ["activation", "depth"]
    columns = [*keys, "learning_rate"]
    # A loss that became infinite is empty, and no low one.
    losses = rows["train_loss"].fillna(np.inf).groupby([rows[key] for key in columns]).mean()
    best = losses.groupby(keys).idxmin()
    chosen = pd.MultiIndex.from_frame(rows[columns]).isin(list(best))
    return rows[chosen]


def _linear(table: "pandas.DataFrame") -> Finding:
    claim = (
        "Depth without a non-linearity gains nothing: linear layers, however many, are as accurate"
        " as one layer."
    )
    rows = best_rates(table)
    if rows.empty:
        return _missing(claim, "linear")
    fitted = 100 * rows.groupby(["activation", "depth"])["train_accuracy"].mean()["linear"]
    by_depth = 100 * rows.set_index(["activation", "depth", "seed"])["held_out_accuracy"].unstack()
    linear = by_depth.loc["linear"]
    single, deeper = linear.loc[0], linear.drop(index=0)
    gains = (deeper - single).mean(axis=1)
    if gains.max() > SAME:
        verdict = claims.FAILS
    else:
        verdict = claims.HOLDS if gains.min() >= -SAME else claims.IN_PART
    texts = [f"{depth} {_points(deeper.loc[depth] - single)}" for depth in deeper.index]
    text = (
        f"Without a hidden layer the accuracy is {single.mean():.1f} %; with linear hidden"
        f" layers it changes by, in percentage points{_errors(single)}: {', '.join(texts)}. Of the"
        f" training examples the single layer classifies {fitted[0]:.1f} % correctly, the deeper"
        f" ones {_between(fitted.drop(index=0))}{_faster(fitted)}."
    )
    if "relu" in by_depth.index:
        relu = by_depth.loc["relu"]
        texts = [f"{depth} {_points(relu.loc[depth] - single)}" for depth in relu.index]
        text += f" With relu: {', '.join(texts)}."
    return Finding(claim, verdict, text)


def _between(values: "pandas.Series") -> str:
    """Return "99.0 to 99.5 %", or one number where the two look the same."""
    return " to ".join(dict.fromkeys(f"{end:.1f}" for end in (values.min(), values.max()))) + " %"


def _faster(fitted: "pandas.Series") -> str:
    """Say what more of the training examples does not mean, where that is the case."""
    if fitted.drop(index=0).max() - fitted[0] < LEAST:
        return ""
    return ", which is faster fitting: one layer can compute all that linear ones can"


def _softplus(table: "pandas.DataFrame") -> Finding:
    claim = "Softplus, smoother than ReLU, should do better, yet does not."
    lacking = [name for name in ("softplus", "relu") if name not in set(table["activation"])]
    if lacking:
        return _missing(claim, *lacking)
    plain = company(table).xs(DROPOUT, level="dropout")
    gains = plain.loc["softplus"] - plain.loc["relu"]
    better = [kind for kind, gain in gains.iterrows() if is_clear(gain) and gain.mean() > 0]
    overall = gains.mean()
    if is_clear(overall) and overall.mean() > 0:
        verdict = claims.FAILS
    else:
        verdict = claims.IN_PART if better else claims.HOLDS
    each = ", ".join(f"{INITIALIZERS[kind]} {_points(gain)}" for kind, gain in gains.iterrows())
    rows = table[(table["question"] == COMPANY) & (table["dropout"] == DROPOUT)]
    train = 100 * rows.groupby("activation")["train_accuracy"].mean()
    return Finding(
        claim,
        verdict,
        f"softplus less relu, accuracy in percentage points{_errors(overall)}, plain dropout:"
        f" {_points(overall)} on average over the initial weights ({each}). On the training"
        f" examples: softplus {train['softplus']:.1f} %, relu {train['relu']:.1f} % after"
        f" {counted(rows['epochs'].iloc[0], 'epoch')}.",
    )


def figures(table: "pandas.DataFrame", line_styles: Mapping[str, LineStyle]) -> dict[str, "Figure"]:
    """Draw accuracies as a heat map, and by depth where that was measured."""
    drawn = {"": _heat_maps(table)}
    if (table["question"] == DEPTH).any():
        drawn["depth"] = _by_depth(best_rates(table), line_styles)
    return drawn


def _heat_maps(table: "pandas.DataFrame") -> "Figure":
    from benchmark.plotting import panels

    rows = table[table["question"] == COMPANY]
    names = list(rows["activation"].unique())
    means = company(table).mean(axis=1)
    # One that learns nothing must not take the colors from the others.
    limits = {"vmin": max(means.min(), means.max() - COLOURS), "vmax": means.max()}
    figure, axes = panels.grid(2, 2, 0.8 + 0.22 * len(names), sharey=True)
    for panel, (dropout, label) in zip(axes, DROPOUTS.items()):
        cells = means.xs(dropout, level="dropout").unstack("initializer")
        cells = cells.loc[names, list(INITIALIZERS)]
        columns = list(INITIALIZERS.values())
        image = panels.heat_map(panel, cells.to_numpy(), names, columns, text="{:.1f}", **limits)
        own = rows[rows["own"] & (rows["dropout"] == dropout)]
        for name, kind in own[["activation", "initializer"]].drop_duplicates().to_numpy():
            _frame(panel, names.index(name), list(INITIALIZERS).index(kind))
        panel.set_title(label[0].upper() + label[1:], loc="left")
    extend = "min" if means.min() < limits["vmin"] else "neither"
    figure.colorbar(image, ax=axes, label="Accuracy (%)", extend=extend)
    return figure


def _frame(axes: "Axes", row: int, column: int) -> None:
    from matplotlib.patches import Rectangle

    corner = (column - 0.47, row - 0.45)
    axes.add_patch(Rectangle(corner, 0.94, 0.9, fill=False, edgecolor=PALETTE[5], linewidth=1.6))


def _by_depth(rows: "pandas.DataFrame", line_styles: Mapping[str, LineStyle]) -> "Figure":
    from benchmark.plotting import panels

    # On one scale: fractions of a point on the training examples look like what they are.
    figure, axes = panels.grid(2, 2, 2.3, sharey=True)
    names, depths = list(rows["activation"].unique()), sorted(rows["depth"].unique())
    for panel, part in zip(axes, ("train", "held_out")):
        single = 100 * rows.loc[rows["depth"] == 0, f"{part}_accuracy"].mean()
        panel.axhline(single, color="0.5", linewidth=0.9)
        for place, name in enumerate(names):
            # Without a hidden layer all are the same network.
            mine = rows[(rows["activation"] == name) | (rows["depth"] == 0)]
            by_depth = 100 * mine.groupby("depth")[f"{part}_accuracy"].agg(["mean", "min", "max"])
            # Side by side, so that the bars can be told apart.
            places = [depths.index(depth) + 0.08 * place for depth in by_depth.index]
            spread = np.abs(by_depth[["min", "max"]].sub(by_depth["mean"], axis=0)).T
            panel.errorbar(
                places,
                by_depth["mean"],
                yerr=spread.to_numpy(),
                marker=line_styles[name].marker,
                capsize=2,
                **panels.artist(line_styles[name]),
            )
        panel.set_xticks(range(len(depths)), depths)
        panel.set_xlabel("Hidden layers")
        panel.set_title("Training examples" if part == "train" else "Held-out examples", loc="left")
    axes[0].set_ylabel("Accuracy (%)")
    panels.legend(figure, line_styles, names, markers=True)
    return figure


def _depths(value: Any) -> list[int]:
    return listed("depths", value, lambda item: whole_number("depth", item, most=50))


EXPERIMENT = base.Experiment(
    name="initialization",
    place=12,
    title="Initialisation and dropout",
    question="Is an activation's result, SELU's above all, its function or the weights and the"
    " dropout that it is given?",
    measure=measure,
    method=method,
    findings=findings,
    figures=figures,
    captions={
        "": "Accuracy on held-out examples (mean over seeds) of each activation with each"
        " initializer, under plain dropout and AlphaDropout; framed: what the comparison gives the"
        " activation. Colors end 20 points below the best.",
        "depth": "Accuracy by number of hidden layers, without a non-linearity and with ReLU; gray"
        " line: without a hidden layer. Means over seeds, bars from the lowest to the highest.",
    },
    activations=(*SIX_AND_TANH, "softplus", "linear"),
    options=(
        Option(
            "epochs",
            30,
            lambda value: whole_number("epochs", value, most=1000),
            "epochs of training with each initializer and dropout (30)",
        ),
        Option("depths", [1, 2, 4, 8], _depths, "numbers of linear hidden layers (1,2,4,8)"),
    ),
    images=True,
    seconds=70.0,
)
