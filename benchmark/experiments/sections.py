"""What a folder's experiments have to tell: their methods, claims and figures."""

from dataclasses import dataclass
from pathlib import Path

from benchmark.experiments import catalogue
from benchmark.experiments.base import Experiment
from benchmark.experiments.claims import Finding
from benchmark.results.folder import Store


@dataclass(frozen=True)
class Section:
    """An experiment of a folder; `figures` gives the captions by SVG file."""

    experiment: Experiment
    method: str
    findings: list[Finding]
    figures: dict[Path, str]
    note: str = ""

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return self.experiment.name


def sections(store: Store) -> list[Section]:
    """Return what the folder's experiments have to tell, in the order of the report.

    A table that is damaged, or that this version cannot read, gives a section that says so.
    """
    there, failures = store.measured(), store.failures()
    return [
        _section(store, made, failures.get(name, ""))
        for name, made in catalogue.catalogue().items()
        if name in there or name in failures
    ]


def _section(store: Store, made: Experiment, failure: str) -> Section:
    note = f"The last attempt failed: {failure}." if failure else ""
    if not store.measurement(made.name):
        again = f"`python -m benchmark experiments {made.name}` makes it anew"
        return Section(made, "", [], {}, note or f"Its table is unfinished or damaged: {again}.")
    try:
        table = store.table(f"experiments/{made.name}.csv")
        method, findings = made.method(table), made.findings(table)
    except Exception as error:
        again = f"`python -m benchmark experiments {made.name} --fresh` makes it anew"
        return Section(made, "", [], {}, f"Its table cannot be read ({error!r}): {again}.")
    if note:
        note += " This is the table of an earlier one."
    figures = {
        path: made.captions[key]
        for path in store.figures(made.name)
        if path.suffix == ".svg" and (key := _key(made, path)) in made.captions
    }
    return Section(made, method, findings, figures, note)


def _key(made: Experiment, path: Path) -> str:
    return path.stem.removeprefix(made.name).removeprefix("-")
