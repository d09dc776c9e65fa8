"""Store → statistics → plotting → files: rebuilds tables and figures from the recorded runs."""

import io
import itertools
from pathlib import Path

import pandas as pd

from benchmark import experiments, page, statistics
from benchmark.activations import names, resolve
from benchmark.config import RunSpec
from benchmark.errors import one_line
from benchmark.palette import LineLook, grey_look, look
from benchmark.sections import sections
from benchmark.store import CLAIMS, Store
from benchmark.wording import plain

FIGURES = (("accuracy", "Accuracy"), ("loss", "Loss"))
CLAIMS_TABLE = f"experiments/{CLAIMS}.csv"
CLAIM_COLUMNS = ["experiment", "claim", "verdict", "evidence"]


def looks(recorded: dict[str, int] | None = None) -> dict[str, LineLook]:
    """Return colour, line style and marker of every registered activation.

    `recorded` gives the places in the palette of others, by name.
    """
    others = {name: look(index) for name, index in (recorded or {}).items()}
    return {**others, **{name: resolve(name).look for name in names()}}


def write(store: Store, recorded: dict[str, RunSpec], style: str = "light") -> list[Path]:
    """Write the tables, the figures and report.html of these runs, which are given by name.

    Returns the paths of the runs' figures.
    """
    figures = write_runs(store, recorded, style)
    write_page(store)
    return figures


def write_runs(store: Store, recorded: dict[str, RunSpec], style: str = "light") -> list[Path]:
    """Do as `write` does, but for report.html."""
    places = store.write_tables(recorded)
    history, runs = store.tables()
    store.write_table("summary.csv", statistics.summarise(runs))
    figures = write_figures(store, history, runs, looks(places), style)
    store.remove_figures(tuple(metric for metric, _ in FIGURES), keep=figures)
    return figures


def write_page(store: Store) -> pd.DataFrame:
    """Write report.html and experiments/claims.csv from the tables and figures that are there.

    Returns the claims: `experiment`, `claim`, `verdict` and `evidence`.
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
    summary = store.table("summary.csv") if (store.path / "summary.csv").exists() else None
    curves = [
        path
        for metric, _ in FIGURES
        for path in store.figures(metric)
        if path.suffix == ".svg" and summary is not None
    ]
    store.write_text("report.html", page.render(summary, curves, told))
    return claims


def redraw_experiments(store: Store, style: str = "light") -> dict[str, str]:
    """Draw the figures of all experiments anew whose tables are whole.

    Returns why some could not be drawn, by name; a table of another version, for instance.
    """
    undrawn = {}
    for name in experiments.catalogue():
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
    from benchmark.plotting import figure_style

    made, table = experiments.resolve(name), store.table(f"experiments/{name}.csv")
    paths = []
    with figure_style(style):
        drawn = made.figures(table, _all_looks(table, places or {}))
        for key, figure in drawn.items():
            formats = {ending: _rendered(figure, ending) for ending in ("png", "svg")}
            paths += store.write_figure(f"{name}-{key}" if key else name, formats)
    store.remove_figures((name,), keep=paths)
    return paths


def _all_looks(table: pd.DataFrame, places: dict[str, int]) -> dict[str, LineLook]:
    """Return the look of every activation of a table, grey where none is known."""
    known = looks(places)
    there = table["activation"].dropna().unique() if "activation" in table else ()
    strangers = sorted(str(name) for name in there if name not in known)
    return {**known, **{name: grey_look(place) for place, name in enumerate(strangers)}}


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
        parts = [plain(value) for value in values]
        figure = curves_figure(
            group, metric, colours, title=_title(title, group, varied, parts), style=style
        )
        formats = {ending: _rendered(figure, ending) for ending in ("png", "svg")}
        paths += store.write_figure("-".join([metric, *parts]), formats)
    return paths


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
