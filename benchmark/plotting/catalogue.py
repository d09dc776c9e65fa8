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
from benchmark.plotting.critical_difference import ranks_figure
from benchmark.plotting.palette import LineStyle
from benchmark.plotting.tuning import tuning_figure
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
    texts = {
        name: plain(value)
        for name, value in settings.items()
        if not (name == "learning_rate" and pd.isna(value))
    }
    dataset, model = rows[["dataset", "model"]].iloc[0]
    words = [
        _RATES[text] if name == "rates" else f"{name.replace('_', ' ')} {text}"
        for name, text in texts.items()
    ]
    title = ", ".join([f"{str(model).upper()} on {dataset}", *words])
    return Part(tuple(texts.values()), title, rows)


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
    for part, summary in _with_summary(tables, names):
        yield part, scores.final_figure, (part.rows, summary)


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


def _ranks(tables: Mapping[str, pd.DataFrame], names: list[str]) -> _Plans:
    for part in parts(tables["ranks"], names):
        # One block or one activation leaves nothing to rank.
        if len(part.rows) > 1 and (part.rows["n_blocks"] > 1).all():
            yield part, ranks_figure, (part.rows,)


def _table(
    tables: Mapping[str, pd.DataFrame],
    names: list[str],
    table: str,
    figure: Callable[..., Figure | None],
) -> _Plans:
    for part in parts(tables.get(table, pd.DataFrame()), names):
        yield part, figure, (part.rows,)


@dataclass(frozen=True)
class Kind:
    """A kind of figure: what it shows, and how the tables give one for each setting."""

    title: str
    plan: Callable[..., _Plans]


# By what a figure's file name begins with, in the order in which they are drawn.
KINDS = {
    "accuracy": Kind("Accuracy", partial(_curves, metric="accuracy")),
    "loss": Kind("Loss", partial(_curves, metric="loss")),
    "final_accuracy": Kind("Test accuracy", _final),
    "differences": Kind("Difference in test accuracy", _differences),
    "ranks": Kind("Ranks by test accuracy", _ranks),
    "accuracy_time": Kind("Accuracy against time", _time),
    "tuning": Kind(
        "Choice of learning rates", partial(_table, table="tuning", figure=tuning_figure)
    ),
    "confusion": Kind(
        "What is taken for what", partial(_table, table="confusion", figure=confusion_figure)
    ),
    "misclassified": Kind(
        "Most misclassified test images",
        partial(_table, table="misclassified", figure=misclassified_figure),
    ),
}
