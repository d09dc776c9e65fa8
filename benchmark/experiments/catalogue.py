"""The experiments there are: every file in `studies` that defines `EXPERIMENT`."""

import functools
import importlib
import pkgutil

from benchmark.errors import unknown
from benchmark.experiments.base import Experiment


@functools.cache
def all_experiments() -> dict[str, Experiment]:
    """Return all experiments by name, in the order of the report."""
    from benchmark.experiments import studies

    names = [module.name for module in pkgutil.iter_modules(studies.__path__)]
    modules = (
        importlib.import_module(f"{studies.__name__}.{name}")
        for name in names
        if not name.startswith("_")
    )
    experiments = sorted((module.EXPERIMENT for module in modules), key=lambda one: one.place)
    return {experiment.name: experiment for experiment in experiments}


def resolve(name: str) -> Experiment:
    """Return the experiment of that name.

    Raises:
        RequestError: there is none; the message lists the nearest ones.
    """
    key = str(name).strip().lower().replace("-", "_")
    if key not in all_experiments():
        raise unknown("experiment", name, all_experiments())
    return all_experiments()[key]
