"""Which figures a comparison has: one of each kind for every setting, drawn from the tables."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from benchmark.formatting import plain
from benchmark.plotting import curves, scores
from benchmark.plotting.palette import LineStyle
from benchmark.stats.summary import SETTINGS, final_runs
from benchmark.stats.summary import curves as mean_curves

# What a figure's file name begins with, and what it shows.
KINDS = {
    "accuracy": "Accuracy",
    "loss": "Loss",
    "final_accuracy": "Test accuracy",
    "differences": "Difference in test accuracy",
    "ranks": "Ranks by test accuracy",
    "accuracy_time": "Accuracy against time",
    "tuning": "Choice of learning rates",
    "confusion": "What is taken for what",
    "misclassified": "Most misclassified test images",
}


_RATES = {"shared": "shared learning rate", "tuned": "each at its own learning rate"}


@dataclass(frozen=True)
class Part:
    """The rows of a table that belong to one setting.

    `labels` are the values that tell it from the others; `title` says them in words.
    """

    labels: tuple[str, ...]
    title: str
    rows: pd.DataFrame


@dataclass(frozen=True)
class Drawing:
    """A figure to be drawn; `draw` gives None where there is nothing to show."""

    kind: str
    part: Part
    draw: Callable[[], Figure | None]

    @property
    def name(self) -> str:
        """Its file's name, without ending."""
        return "-".join([self.kind, *self.part.labels])


def varied(runs: pd.DataFrame) -> list[str]:
    """Return the names of the settings that tell the comparisons of these runs apart."""
    final = _with_shared_rates(final_runs(runs))
    # A missing limit is "all", a missing learning rate one for each activation.
    return [name for name in SETTINGS if final[name].nunique(dropna=name == "learning_rate") > 1]


def _with_shared_rates(frame: pd.DataFrame) -> pd.DataFrame:
    """Empty the learning rates that are each activation's own."""
    if "rates" not in frame:
        return frame
    return frame.assign(learning_rate=frame["learning_rate"].mask(frame["rates"] == "tuned"))


def parts(frame: pd.DataFrame, names: list[str]) -> list[Part]:
    """Return the parts of a table by these settings, those of them that it has.

    Rows of tuned learning rates are one part, whatever rate each activation has.
    """
    if frame.empty:
        return []
    frame = _with_shared_rates(frame)
    # A table of choices has the rates tried, which tell none of its rows apart.
    tried = "rates" not in frame
    keys = [name for name in names if name in frame and not (tried and name == "learning_rate")]
    grouped = frame.groupby(keys, sort=False, dropna=False) if keys else [((), frame)]
    return [_part(dict(zip(keys, values)), rows) for values, rows in grouped]


def _part(settings: dict[str, object], rows: pd.DataFrame) -> Part:
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
    """Give every figure of these tables, kind by kind.

    Args:
        tables: history, runs and those made of them, by the names of their files.
        line_styles: the activations' line styles.
        style: "light" or "dark".
    """
    names = varied(tables["runs"])
    for kind in KINDS:
        for part, figure, frames in _PICTURES[kind](tables, names):
            title = f"{KINDS[kind]}: {part.title}"
            yield Drawing(
                kind, part, partial(figure, *frames, line_styles, title=title, style=style)
            )


_Made = Iterator[tuple[Part, Callable, tuple]]


def _curves(tables: Mapping[str, pd.DataFrame], names: list[str], metric: str) -> _Made:
    if tables["history"].empty:
        return
    for part in parts(mean_curves(tables["history"], tables["runs"]), names):
        yield part, curves.curves_figure, (part.rows, metric)


def _final(tables: Mapping[str, pd.DataFrame], names: list[str]) -> _Made:
    for part, summary in _with_summary(tables, names):
        yield part, scores.final_figure, (part.rows, summary)


def _time(tables: Mapping[str, pd.DataFrame], names: list[str]) -> _Made:
    history = tables["history"]
    for part, _ in _with_summary(tables, names):
        epochs = history[history["run"].isin(part.rows["run"])]
        yield part, scores.time_figure, (epochs, part.rows)


def _with_summary(
    tables: Mapping[str, pd.DataFrame], names: list[str]
) -> Iterator[tuple[Part, pd.DataFrame]]:
    """Give the final runs of each setting that has complete ones, and their summary."""
    summaries = {part.labels: part.rows for part in parts(tables["summary"], names)}
    for part in parts(final_runs(tables["runs"]), names):
        if (part.rows["status"] == "complete").any():
            yield part, summaries[part.labels]


def _differences(tables: Mapping[str, pd.DataFrame], names: list[str]) -> _Made:
    rows = tables["comparisons"]
    for part in parts(rows[rows["metric"] == "test_accuracy"], names):
        if (part.rows["n_pairs"] > 0).any():
            yield part, scores.differences_figure, (part.rows,)


def _ranks(tables: Mapping[str, pd.DataFrame], names: list[str]) -> _Made:
    for part in parts(tables["ranks"], names):
        # Of one block or one activation there is nothing to rank.
        if len(part.rows) > 1 and (part.rows["n_blocks"] > 1).all():
            yield part, scores.ranks_figure, (part.rows,)


def _whole(tables: Mapping[str, pd.DataFrame], names: list[str], table: str) -> _Made:
    figure = getattr(scores, f"{table}_figure")
    for part in parts(tables.get(table, pd.DataFrame()), names):
        yield part, figure, (part.rows,)


_PICTURES: dict[str, Callable[..., _Made]] = {
    "accuracy": partial(_curves, metric="accuracy"),
    "loss": partial(_curves, metric="loss"),
    "final_accuracy": _final,
    "differences": _differences,
    "ranks": _ranks,
    "accuracy_time": _time,
    **{name: partial(_whole, table=name) for name in ("tuning", "confusion", "misclassified")},
}
