"""Store → tables → plotting → files: rebuilds tables, figures and page from what is recorded."""

import io
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from benchmark.activations.catalogue import names, resolve
from benchmark.data.loading import Dataset
from benchmark.errors import one_line
from benchmark.experiments import base
from benchmark.experiments.sections import sections
from benchmark.plotting import catalogue
from benchmark.plotting.palette import LineLook, grey_look, look
from benchmark.results import tables
from benchmark.results.folder import CLAIMS, Store
from benchmark.training.spec import RunSpec

CLAIMS_TABLE = f"experiments/{CLAIMS}.csv"
CLAIM_COLUMNS = ["experiment", "claim", "verdict", "evidence"]


def looks(recorded: dict[str, int] | None = None) -> dict[str, LineLook]:
    """Return colour, line style and marker of every registered activation.

    `recorded` gives the places in the palette of others, by name.
    """
    others = {name: look(index) for name, index in (recorded or {}).items()}
    return {**others, **{name: resolve(name).look for name in names()}}


def write_runs(
    store: Store,
    recorded: dict[str, RunSpec],
    purposes: dict[str, str],
    style: str = "light",
    baseline: str | None = None,
    data: Dataset | None = None,
) -> list[Path]:
    """Write the tables and the figures of these runs, which are given by name.

    `purposes` says what runs are for; `baseline` and `data` are as in `tables.derive`. Returns the
    paths of the figures.

    Raises:
        RequestError: no run has the baseline.
    """
    places = store.write_tables(recorded, purposes)
    history, runs = store.tables()
    made = tables.derive(store, history, runs, baseline, data)
    tables.write(store, made)
    whole = {"history": history, "runs": runs, **made}
    figures = write_figures(store, whole, looks(places), style)
    store.remove_figures(catalogue.KINDS, keep=figures)
    return figures


def write_claims(store: Store) -> pd.DataFrame:
    """Write experiments/claims.csv from the experiments' tables and return it.

    Its columns are `experiment`, `claim`, `verdict` and `evidence`.
    """
    told = sections(store)
    claims = pd.DataFrame(
        [
            {"experiment": section.name, **vars(finding)}
            for section in told
            for finding in section.findings
        ],
        columns=CLAIM_COLUMNS,
    )
    if told:
        store.write_table(CLAIMS_TABLE, claims)
    return claims


def write_page(store: Store) -> None:
    """Write report.html: the report notebook, executed on the folder's tables.

    Raises:
        ReportError: the notebook could not be executed.
    """
    from benchmark.report import html, notebook

    executed = notebook.execute("report", store.path)
    store.write_text("report.html", html.render(executed, store.path / "figures"))


def redraw_experiments(store: Store, style: str = "light") -> dict[str, str]:
    """Draw the figures of all experiments anew whose tables are whole.

    Returns why some could not be drawn, by name; a table of another version, for instance.
    """
    undrawn = {}
    for name in base.catalogue():
        record = store.measurement(name)
        if not record:
            continue
        try:
            figures = draw_experiment(store, name, style, record["places"])
        except Exception as error:
            undrawn[name] = f"{type(error).__name__}: {one_line(error)}"
            continue
        names = [path.name for path in figures]
        store.write_measurement(name, {**record, "style": style, "figures": names})
    return undrawn


def draw_experiment(
    store: Store, name: str, style: str = "light", places: dict[str, int] | None = None
) -> list[Path]:
    """Draw the figures of an experiment from its table; return the paths written.

    `places` gives the places in the palette of activations that are not registered here.

    Raises:
        RequestError: there is no table.
    """
    from benchmark.plotting.curves import figure_style

    made, table = base.resolve(name), store.table(f"experiments/{name}.csv")
    paths = []
    with figure_style(style):
        drawn = made.figures(table, all_looks(table, places or {}))
        for key, figure in drawn.items():
            formats = {ending: _rendered(figure, ending) for ending in ("png", "svg")}
            paths += store.write_figure(f"{name}-{key}" if key else name, formats)
    store.remove_figures((name,), keep=paths)
    return paths


def all_looks(table: pd.DataFrame, places: dict[str, int]) -> dict[str, LineLook]:
    """Return the look of every activation of a table, grey where none is known."""
    known = looks(places)
    there = table["activation"].dropna().unique() if "activation" in table else ()
    strangers = sorted(str(name) for name in there if name not in known)
    return {**known, **{name: grey_look(place) for place, name in enumerate(strangers)}}


def write_figures(
    store: Store,
    made: Mapping[str, pd.DataFrame],
    colours: dict[str, LineLook],
    style: str = "light",
) -> list[Path]:
    """Draw every figure of the comparison that these tables give; return the paths written."""
    paths = []
    for drawing in catalogue.of(made, colours, style):
        figure = drawing.draw()
        if figure is not None:
            formats = {ending: _rendered(figure, ending) for ending in ("png", "svg")}
            paths += store.write_figure(drawing.name, formats)
    return paths


def _rendered(figure: Figure, ending: str) -> bytes:
    return png(figure, 150) if ending == "png" else _svg(figure)


def png(figure: Figure, dpi: int) -> bytes:
    """Return the figure as a PNG file with a palette of at most 256 colours, a third as large."""
    from PIL import Image

    buffer, small = io.BytesIO(), io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    picture = Image.open(buffer).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(small, format="PNG", optimize=True)
    return small.getvalue()


def _svg(figure: Figure) -> bytes:
    from matplotlib import rc_context

    buffer = io.BytesIO()
    # No date and no random names inside: the same results give the same file.
    with rc_context({"svg.hashsalt": "benchmark"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
