"""Heavy modules that are imported when one of their attributes is first asked for."""

import importlib
from typing import Any


class Lazy:
    """A module that is imported when one of its attributes is first asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        # While one is unpickled it has no name yet.
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)


tf = Lazy("tensorflow")
keras = Lazy("keras")
pd = Lazy("pandas")
networks = Lazy("benchmark.training.stacked")
panels = Lazy("benchmark.plotting.panels")
