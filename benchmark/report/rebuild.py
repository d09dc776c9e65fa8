"""The command `report`: tables, figures and page of a folder anew from what is recorded in it."""

import contextlib
from typing import TYPE_CHECKING

from benchmark.activations import resolve
from benchmark.data import loading
from benchmark.data.catalogue import CATALOGUE
from benchmark.errors import RequestError
from benchmark.execution.progress import say
from benchmark.experiments import catalogue
from benchmark.experiments.claims_table import write_claims
from benchmark.experiments.figures import redraw_experiments
from benchmark.formatting import some
from benchmark.report import build
from benchmark.report.screen import show_answers, show_claims, show_comparison
from benchmark.results import tables
from benchmark.results.folder import Store
from benchmark.results.survey import run_names
from benchmark.training.spec import RunSpec

if TYPE_CHECKING:
    from rich.console import Console


def rebuild(
    store: Store, style: str, baseline: str | None, margin: float | None, console: "Console"
) -> None:
    """Write tables, figures and page; the folder must be held. Arguments as in `tables.derive`.

    Raises:
        RequestError: the folder holds neither runs nor experiments, or no run has the baseline.
        ReportError: the report notebook could not be executed; tables and figures are written.
    """
    found = store.survey()
    recorded = found.specs
    measured = [name for name in catalogue.all_experiments() if name in store.measured()]
    for note in found.notes:
        say(console, note)
    if not (recorded or store.measured()):
        raise _nothing_there(store)
    undrawn = redraw_experiments(store, style)
    if recorded:
        known, data = _known_as(baseline), _data_at_hand(recorded)
        figures = build.write_runs(store, recorded, found.purposes, style, known, data, margin)
        runs = store.table("runs.csv")
        show_comparison(console, store, runs, figures)
    claims = write_claims(store)
    if measured:
        show_claims(console, store, claims)
    if damaged := [name for name in measured if not store.measurement(name)]:
        say(console, f"Unfinished or damaged, and left out: {some(damaged)}.")
    for name, reason in undrawn.items():
        say(console, f"Not drawn anew: {name}: {reason}")
    write_page(store, console)
    if recorded:
        show_answers(console, tables.answer_of(store, runs))


def write_page(store: Store, console: "Console") -> None:
    """Write report.html of a folder whose tables are there, and say so.

    Raises:
        ReportError: the report notebook could not be executed.
    """
    say(console, "Writing the page.")
    build.write_page(store)
    say(console, f"Page: {store.path}/report.html")


def check_something_is_there(store: Store) -> None:
    """Check that there is something to report on.

    Raises:
        RequestError: the folder holds neither runs nor experiments.
    """
    listed = (store.path / "runs.csv").exists()
    if not (listed or run_names(store.path) or store.measured()):
        raise _nothing_there(store)


def _nothing_there(store: Store) -> RequestError:
    return RequestError(
        f"{str(store.path)!r} holds neither runs nor experiments: give the --output folder of an"
        " earlier command"
    )


def _known_as(activation: str | None) -> str | None:
    """Return the catalogue's name of an activation; of one that is not registered here, its own."""
    with contextlib.suppress(RequestError):
        return activation and resolve(activation).name
    return activation


def _data_at_hand(recorded: dict[str, RunSpec]) -> loading.Dataset | None:
    """Return the examples of these runs if they come with an installed package."""
    sources = {(spec.dataset, spec.data_sha256) for spec in recorded.values()}
    if len(sources) > 1:
        return None
    ((name, sha256),) = sources
    if name not in CATALOGUE or not CATALOGUE[name].bundled:
        return None
    data = loading.load(loading.locate(name))
    return data if data.sha256 == sha256 else None
