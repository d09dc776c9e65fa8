"""Store → statistics → plotting → files: rebuilds tables and figures from the recorded runs."""

import base64
import html
import io
import itertools
from pathlib import Path

import pandas as pd

from benchmark import statistics
from benchmark.activations import names, resolve
from benchmark.config import RunSpec
from benchmark.palette import LineLook, look
from benchmark.store import Store

FIGURES = (("accuracy", "Accuracy"), ("loss", "Loss"))


def looks(recorded: dict[str, int] | None = None) -> dict[str, LineLook]:
    """Return colour, line style and marker of every registered activation.

    `recorded` gives the places in the palette of others, by name.
    """
    others = {name: look(index) for name, index in (recorded or {}).items()}
    return {**others, **{name: resolve(name).look for name in names()}}


def write(store: Store, recorded: dict[str, RunSpec], style: str = "light") -> list[Path]:
    """Write the tables, the figures and report.html of these runs, which are given by name.

    Returns the figures' paths.
    """
    places = store.write_tables(recorded)
    history, runs = store.tables()
    summary = statistics.summarise(runs)
    store.write_table("summary.csv", summary)
    figures = write_figures(store, history, runs, looks(places), style)
    store.remove_figures(tuple(metric for metric, _ in FIGURES), keep=figures)
    page = _page(summary, [path for path in figures if path.suffix == ".svg"])
    store.write_text("report.html", page)
    return figures


def write_figures(
    store: Store,
    history: pd.DataFrame,
    runs: pd.DataFrame,
    colours: dict[str, LineLook],
    style: str = "light",
) -> list[Path]:
    """Draw the curves of every setting in these tables; return the paths written."""
    if history.empty:
        return []
    from benchmark.plotting import curves_figure

    curves = statistics.curves(history, runs)
    # A setting is named in file and title only where there are several of it.
    varied = [name for name in statistics.SETTINGS if curves[name].nunique(dropna=False) > 1]
    groups = curves.groupby(varied, sort=False, dropna=False) if varied else [((), curves)]
    paths = []
    for (values, group), (metric, title) in itertools.product(groups, FIGURES):
        parts = [_plain(value) for value in values]
        figure = curves_figure(
            group, metric, colours, title=_title(title, group, varied, parts), style=style
        )
        formats = {ending: _rendered(figure, ending) for ending in ("png", "svg")}
        paths += store.write_figure("-".join([metric, *parts]), formats)
    return paths


def _plain(value: object) -> str:
    return "all" if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value)


def _title(title: str, group: pd.DataFrame, varied: list[str], parts: list[str]) -> str:
    settings = [f"{name.replace('_', ' ')} {part}" for name, part in zip(varied, parts)]
    dataset, model = group[["dataset", "model"]].iloc[0]
    return f"{title}: {', '.join([model.upper() + ' on ' + dataset, *settings])}"


def _rendered(figure: object, ending: str) -> bytes:
    from matplotlib import rc_context

    buffer = io.BytesIO()
    # No date and no random names inside: the same results give the same file.
    with rc_context({"svg.hashsalt": "benchmark"}):
        metadata = {"Date": None} if ending == "svg" else None
        figure.savefig(buffer, format=ending, dpi=150, metadata=metadata)
    return buffer.getvalue()


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Activation functions compared</title>
<style>
body {{ font-family: system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #ddd; }}
th:first-child, td:first-child {{ text-align: left; }}
img {{ width: 100%; }}
</style></head><body>
<h1>Activation functions compared</h1>
<p>Mean ± standard deviation over the completed seeds. The full tables are summary.csv, runs.csv
and history.csv beside this page.</p>
{table}
{figures}
</body></html>
"""


def _page(summary: pd.DataFrame, figures: list[Path]) -> str:
    varied = [n for n in statistics.SETTINGS if summary[n].nunique(dropna=False) > 1]
    headings = ["activation", *varied, "test accuracy", "validation accuracy"]
    headings += ["seconds per epoch", "seeds", "diverged", "failed"]
    lines = [_row("th", headings)]
    for row in summary.to_dict("records"):
        cells = [row["activation"], *(_plain(row[name]) for name in varied)]
        cells += [spread(row, "test_accuracy", "%"), spread(row, "val_accuracy", "%")]
        cells += [spread(row, "seconds_per_epoch", "s")]
        cells += [str(row[name]) for name in ("n_seeds", "n_diverged", "n_failed")]
        lines.append(_row("td", cells))
    images = [
        f'<p><img alt="{html.escape(path.stem)}" src="data:image/svg+xml;base64,'
        f'{base64.b64encode(path.read_bytes()).decode()}"></p>'
        for path in figures
    ]
    return _PAGE.format(table=f"<table>{''.join(lines)}</table>", figures="\n".join(images))


def _row(kind: str, cells: list[str]) -> str:
    inner = "".join(f"<{kind}>{html.escape(cell)}</{kind}>" for cell in cells)
    return f"<tr>{inner}</tr>"


def spread(row: dict, metric: str, unit: str) -> str:
    """Return "97.12 ± 0.10 %" for a metric of a summary row; "–" where there is no mean."""
    mean, deviation = row[f"{metric}_mean"], row[f"{metric}_std"]
    if pd.isna(mean):
        return "–"
    factor, decimals = (100, 2) if unit == "%" else (1, 1 if mean >= 10 else 3)
    text = f"{mean * factor:.{decimals}f}"
    if not pd.isna(deviation):
        text += f" ± {deviation * factor:.{decimals}f}"
    return f"{text} {unit}".strip()
