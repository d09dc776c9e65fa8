"""The experiments there are: every file in `studies` that defines `EXPERIMENT`."""

import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING

from benchmark.errors import unknown

if TYPE_CHECKING:
    pass


from benchmark.experiments.base import Experiment


@functools.cache
def catalogue() -> dict[str, Experiment]:
    """Return all experiments by name, in the order of the report."""
    from benchmark.experiments import studies

    modules = (
        importlib.import_module(f"{studies.__name__}.{found.name}")
        for found in pkgutil.iter_modules(studies.__path__)
        if not found.name.startswith("_")
    )
    found = [module.EXPERIMENT for module in modules]
    return {made.name: made for made in sorted(found, key=lambda made: made.place)}


def resolve(name: str) -> Experiment:
    """Return the experiment of that name.

    Raises:
        RequestError: there is none; the message lists the nearest ones.
    """
    key = str(name).strip().lower().replace("-", "_")
    if key not in catalogue():
        raise unknown("experiment", name, catalogue())
    return catalogue()[key]
