"""Which figures a comparison has: one of each kind for every setting, drawn from the tables."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import pandas as pd
from matplotlib.figure import Figure

from benchmark.formatting import plain
from benchmark.plotting import curves, scores
from benchmark.plotting.confusion import confusion_figure, misclassified_figure
from benchmark.plotting.palette import LineStyle
from benchmark.plotting.tuning import tuning_figure
from benchmark.stats.comparisons import letters
from benchmark.stats.summary import SETTINGS, final_runs, with_shared_rates
from benchmark.stats.summary import curves as mean_curves

_RATES = {"shared": "shared learning rate", "tuned": "each at its own learning rate"}


@dataclass(frozen=True)
class Part:
    """The rows of a table that belong to one setting.

    `labels` are the values of the settings in which it differs from the others; `title` names them.
    """

    labels: tuple[str, ...]
    title: str
    rows: pd.DataFrame


@dataclass(frozen=True)
class Drawing:
    """A figure to be drawn; `draw` returns None where there is nothing to show."""

    kind: str
    part: Part
    draw: Callable[[], Figure | None]

    @property
    def name(self) -> str:
        """The file's name, without ending."""
        return "-".join([self.kind, *self.part.labels])


def varied(runs: pd.DataFrame) -> list[str]:
    """Return the names of the settings in which the comparisons of these runs differ."""
    final = with_shared_rates(final_runs(runs))
    # A missing limit is "all", a missing learning rate one for each activation.
    return [name for name in SETTINGS if final[name].nunique(dropna=name == "learning_rate") > 1]


def parts(frame: pd.DataFrame, names: list[str]) -> list[Part]:
    """Return the parts of a table by these settings, those of them that it has.

    Rows of tuned learning rates are one part, whatever rate each activation has.
    """
    if frame.empty:
        return []
    keys = [name for name in names if name in frame]
    if "rates" in frame:
        frame = with_shared_rates(frame)
    else:
        # A table of tuning has all the rates tried, which are one setting.
        keys = [name for name in keys if name != "learning_rate"]
    grouped = frame.groupby(keys, sort=False, dropna=False) if keys else [((), frame)]
    return [_part(dict(zip(keys, values)), rows) for values, rows in grouped]


def _part(settings: dict[str, Any], rows: pd.DataFrame) -> Part:
    dataset, model = rows[["dataset", "model"]].iloc[0]
    return Part(tuple(_texts(settings).values()), title(dataset, model, settings), rows)


def title(dataset: str, model: str, settings: Mapping[str, Any]) -> str:
    """Return the title of a comparison: its dataset, its network, and these settings."""
    words = [
        _RATES[text] if name == "rates" else f"{name.replace('_', ' ')} {text}"
        for name, text in _texts(settings).items()
    ]
    return ", ".join([f"{str(model).upper()} on {dataset}", *words])


def _texts(settings: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: plain(value)
        for name, value in settings.items()
        if not (name == "learning_rate" and pd.isna(value))
    }


def of(
    tables: Mapping[str, pd.DataFrame], line_styles: Mapping[str, LineStyle], style: str = "light"
) -> Iterator[Drawing]:
    """Yield every figure of these tables, kind by kind.

    Args:
        tables: history, runs and the tables computed from them, by the names of their files.
        line_styles: the activations' line styles.
        style: "light" or "dark".
    """
    settings = varied(tables["runs"])
    for name, kind in KINDS.items():
        for part, figure, frames in kind.plan(tables, settings):
            title = f"{kind.title}: {part.title}"
            yield Drawing(
                name, part, partial(figure, *frames, line_styles, title=title, style=style)
            )


# The figures of one kind: a setting's part of the tables, what draws it, and from which frames.
_Plans: TypeAlias = Iterator[tuple[Part, Callable[..., Figure | None], tuple[Any, ...]]]


def _curves(tables: Mapping[str, pd.DataFrame], names: list[str], metric: str) -> _Plans:
    if tables["history"].empty:
        return
    for part in parts(mean_curves(tables["history"], tables["runs"]), names):
        yield part, curves.curves_figure, (part.rows, metric)


def _final(tables: Mapping[str, pd.DataFrame], names: list[str]) -> _Plans:
    by_part = {part.labels: letters(part.rows) for part in parts(tables["pairs"], names)}
    for part, summary in _with_summary(tables, names):
        frames = (part.rows, summary, by_part.get(part.labels, {}))
        yield part, scores.final_figure, frames


def _time(tables: Mapping[str, pd.DataFrame], names: list[str]) -> _Plans:
    history = tables["history"]
    for part, _ in _with_summary(tables, names):
        epochs = history[history["run"].isin(part.rows["run"])]
        yield part, curves.time_figure, (epochs, part.rows)


def _with_summary(
    tables: Mapping[str, pd.DataFrame], names: list[str]
) -> Iterator[tuple[Part, pd.DataFrame]]:
    """Yield the final runs of each setting that has complete ones, and their summary."""
    summaries = {part.labels: part.rows for part in parts(tables["summary"], names)}
    for part in parts(final_runs(tables["runs"]), names):
        if (part.rows["status"] == "complete").any():
            yield part, summaries[part.labels]


def _differences(tables: Mapping[str, pd.DataFrame], names: list[str]) -> _Plans:
    rows = tables["comparisons"]
    for part in parts(rows[rows["metric"] == "test_accuracy"], names):
        if (part.rows["n_pairs"] > 0).any():
            yield part, scores.differences_figure, (part.rows,)


def _table(
    tables: Mapping[str, pd.DataFrame],
    names: list[str],
    table: str,
    figure: Callable[..., Figure | None],
) -> _Plans:
    for part in parts(tables.get(table, pd.DataFrame()), names):
        yield part, figure, (part.rows,)


# What stands for a figure in words: one number per activation, from its part's rows.


def _at_the_end(rows: pd.DataFrame, metric: str) -> pd.Series:
    last = rows["epoch"] == rows["epoch"].max()
    return rows[metric].where(last).groupby(rows["activation"]).max()


def _per_activation(rows: pd.DataFrame, column: str) -> pd.Series:
    return rows.groupby("activation")[column].max()


def _mean_accuracy(rows: pd.DataFrame) -> pd.Series:
    return rows[rows["status"] == "complete"].groupby("activation")["test_accuracy"].mean()


def _median_seconds(rows: pd.DataFrame) -> pd.Series:
    finished = rows[rows["status"].isin(["complete", "diverged"])]
    return finished.groupby("activation")["seconds_per_epoch"].median()


def _chosen_rate(rows: pd.DataFrame) -> pd.Series:
    # With empty cells the column reads back as texts.
    chosen = rows["chosen"].astype(str) == "True"
    return rows["learning_rate"].where(chosen).groupby(rows["activation"]).max()


def _share_misclassified(rows: pd.DataFrame) -> pd.Series:
    wrong = rows["count"].where(rows["true"] != rows["predicted"], 0)
    return wrong.groupby(rows["activation"]).sum() / rows.groupby("activation")["count"].sum()


def _images_shown(rows: pd.DataFrame) -> pd.Series:
    return rows.groupby("activation").size()


@dataclass(frozen=True)
class Kind:
    """A kind of figure: what it shows, and how the tables give one for each setting.

    `section` is the part of the report that shows it, with `caption` (Markdown). `values` gives,
    from the rows of a setting, one number per activation, which `measure` describes and `unit`
    ends: what is read to those who cannot see the figure.
    """

    title: str
    section: str
    plan: Callable[..., _Plans]
    caption: str
    measure: str
    values: Callable[[pd.DataFrame], pd.Series]
    unit: str


# By what a figure's file name begins with, in the order in which they are drawn.
KINDS = {
    "accuracy": Kind(
        "Accuracy",
        "curves",
        partial(_curves, metric="accuracy"),
        "Accuracy by epoch. Training accuracies are running means with dropout at work, which is"
        " why validation may lie above them.",
        "validation accuracy after the last epoch",
        partial(_at_the_end, metric="val_accuracy_mean"),
        "%",
    ),
    "loss": Kind(
        "Loss",
        "curves",
        partial(_curves, metric="loss"),
        "Loss by epoch, of the training with dropout at work and of the validation.",
        "validation loss after the last epoch",
        partial(_at_the_end, metric="val_loss_mean"),
        "",
    ),
    "final_accuracy": Kind(
        "Test accuracy",
        "final",
        _final,
        "Test accuracy after the last epoch: each complete run, and where there are several that"
        " ended alike, their mean with its 95 % interval. Two activations that share a letter are"
        " not told apart.",
        "mean",
        _mean_accuracy,
        "%",
    ),
    "differences": Kind(
        "Difference in test accuracy",
        "differences",
        _differences,
        "Mean difference in test accuracy from the baseline over runs of the same seed, and the"
        " verdict. The intervals hold for all pairs of activations at once and whenever one looks;"
        " with few seeds there is none yet.",
        "mean difference from the baseline",
        partial(_per_activation, column="difference"),
        "points",
    ),
    "accuracy_time": Kind(
        "Accuracy against time",
        "cost",
        _time,
        "Validation accuracy against the time spent until then, median over seeds; the first epoch"
        " counts at most as long as the median one.",
        "median time per epoch",
        _median_seconds,
        "s",
    ),
    "tuning": Kind(
        "Choice of learning rates",
        "tuning",
        partial(_table, table="tuning", figure=tuning_figure),
        "Mean validation accuracy at each learning rate that was tried, and the one chosen.",
        "chosen rate",
        _chosen_rate,
        "",
    ),
    "confusion": Kind(
        "What is taken for what",
        "mistakes",
        partial(_table, table="confusion", figure=confusion_figure),
        "Share of each true class that is read as another one, over all complete runs of the"
        " activations with the highest and the lowest mean test accuracy.",
        "share of test images misclassified",
        _share_misclassified,
        "%",
    ),
    "misclassified": Kind(
        "Most misclassified test images",
        "mistakes",
        partial(_table, table="misclassified", figure=misclassified_figure),
        "Test images that the activations with the highest and the lowest mean test accuracy"
        " misclassified most often, with their true class and the class that they were taken for.",
        "images shown",
        _images_shown,
        "",
    ),
}
