"""Activation functions: catalogue, registry, layers with weights or noise, kernels, plug-ins.

What the rest of the project, and a user's plug-in, needs of them; importing it loads nothing heavy.
"""

# Plug-ins build on the catalogue's functions: benchmark.activations.gelu.
from benchmark.activations.catalogue import *  # noqa: F403
from benchmark.activations.catalogue import ARTICLE_SIX
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
    "DROPOUT",
    "GLOROT",
    "HE",
    "LECUN",
    "Activation",
    "add_entry",
    "custom_objects",
    "names",
    "register_activation",
    "resolve",
    "user_entries",
]
