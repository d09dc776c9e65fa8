"""Store → tables → plotting → files: rebuilds tables, figures and page from what is recorded."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from benchmark.data.loading import Dataset
from benchmark.plotting import catalogue
from benchmark.plotting.palette import LineStyle, line_styles
from benchmark.plotting.rendering import rendered
from benchmark.results import tables
from benchmark.results.folder import Store
from benchmark.training.spec import RunSpec


def write_runs(
    store: Store,
    recorded: dict[str, RunSpec],
    purposes: dict[str, str],
    style: str = "light",
    baseline: str | None = None,
    data: Dataset | None = None,
    margin: float | None = None,
) -> list[Path]:
    """Write the tables and the figures of these runs, which are given by name.

    `purposes` says what runs are for; `baseline`, `data` and `margin` are as in
    `tables.derive`. Returns the paths of the figures.

    Raises:
        RequestError: no run has the baseline.
    """
    indices = store.write_tables(recorded, purposes)
    history, runs = store.tables()
    derived = tables.derive(store, history, runs, baseline, data, margin)
    tables.write(store, derived, runs)
    whole = {"history": history, "runs": runs, **derived}
    figures = write_figures(store, whole, line_styles(indices), style)
    store.remove_figures(catalogue.KINDS, keep=figures)
    return figures


def write_page(store: Store) -> None:
    """Write report.html: the report notebook, executed on the folder's tables.

    Raises:
        ReportError: the notebook could not be executed.
    """
    from benchmark.report import html, notebook

    executed = notebook.execute("report", store.path)
    store.write_text("report.html", html.render(executed, store.path / "figures"))


def write_figures(
    store: Store,
    results: Mapping[str, pd.DataFrame],
    colors: dict[str, LineStyle],
    style: str = "light",
) -> list[Path]:
    """Draw every figure of the comparison that these tables give; return the paths written."""
    paths = []
    for drawing in catalogue.of(results, colors, style):
        figure = drawing.draw()
        if figure is not None:
            formats = {ending: rendered(figure, ending) for ending in ("png", "svg")}
            paths += store.write_figure(drawing.name, formats)
    return paths
