"""A benchmark of activation functions: which to use, what it costs, and why.

from benchmark import compare, load_results, register_activation
"""

import importlib
from typing import Any

_PUBLIC = (
    "Results",
    "compare",
    "custom_objects",
    "load_results",
    "register_activation",
    "run_experiments",
)

__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    # Handed on lazily, so that `--help` loads nothing heavy.
    if name in _PUBLIC:
        return getattr(importlib.import_module("benchmark.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
