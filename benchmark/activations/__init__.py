"""Activation functions: catalogue, registry, layers with weights or noise, kernels, plug-ins.

What the rest of the project, and a user's plug-in, needs of them; importing it loads nothing heavy.
"""

# Plug-ins build on the catalogue's functions: benchmark.activations.gelu.
from benchmark.activations.catalogue import *  # noqa: F403
from benchmark.activations.catalogue import ARTICLE_SIX, CONTROL
from benchmark.activations.registry import (
    ALPHA_DROPOUT,
    DROPOUT,
    GLOROT,
    HE,
    LECUN,
    Activation,
    add_entry,
    custom_objects,
    names,
    register_activation,
    resolve,
    user_entries,
)

__all__ = [
    "ALPHA_DROPOUT",
    "ARTICLE_SIX",
    "CONTROL",
    "DROPOUT",
    "GLOROT",
    "HE",
    "LECUN",
    "Activation",
    "add_entry",
    "as_shown",
    "custom_objects",
    "names",
    "register_activation",
    "resolve",
    "user_entries",
]


def as_shown(name: str) -> str:
    """Return an activation's name as tables and figures show it: the control is told apart."""
    return f"{name} (control)" if name == CONTROL else name
