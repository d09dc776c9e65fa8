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
        _section(store, experiment, failures.get(name, ""))
        for name, experiment in catalogue.all_experiments().items()
        if name in there or name in failures
    ]


def _section(store: Store, experiment: Experiment, failure: str) -> Section:
    note = f"The last attempt failed: {failure}." if failure else ""
    if not store.measurement(experiment.name):
        again = f"`python -m benchmark experiments {experiment.name}` makes it anew"
        return Section(
            experiment, "", [], {}, note or f"Its table is unfinished or damaged: {again}."
        )
    try:
        table = store.table(f"experiments/{experiment.name}.csv")
        method, findings = experiment.method(table), experiment.findings(table)
    except Exception as error:
        again = f"`python -m benchmark experiments {experiment.name} --fresh` makes it anew"
        return Section(experiment, "", [], {}, f"Its table cannot be read ({error!r}): {again}.")
    if note:
        note += " This is the table of an earlier one."
    figures = {
        path: experiment.captions[key]
        for path in store.figures(experiment.name)
        if path.suffix == ".svg" and (key := _key(experiment, path)) in experiment.captions
    }
    return Section(experiment, method, findings, figures, note)


def _key(experiment: Experiment, path: Path) -> str:
    return path.stem.removeprefix(experiment.name).removeprefix("-")
