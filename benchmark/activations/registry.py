"""What an activation is, and the registry of all of them: the catalogue's and the user's own.

Names, aliases and parameters can be read without loading TensorFlow, which is imported when a
function or a layer is first used.
"""

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmark.activations.types import Layer, Tensor
from benchmark.errors import RequestError, one_of, unknown

GLOROT, HE, LECUN = "glorot_uniform", "he_normal", "lecun_normal"
DROPOUT, ALPHA_DROPOUT = "dropout", "alpha_dropout"
# The package name under which Keras saves and finds these functions, so that a model's "gelu"
# cannot be taken for the Keras built-in of that name, which is the exact form.
KERAS_PACKAGE = "benchmark"


@dataclass(frozen=True)
class Activation:
    """One activation: what the models, the command line, the figures and the report know of it.

    Attributes:
        name: the name in commands, tables and figures.
        make: for an elementwise activation the function, tensor to tensor of the same shape; for
            one with weights or noise (`is_layer`) a function of an integer seed that returns a
            new Keras layer.
        formula: the definition, every parameter in it.
        paper: where it was introduced.
        aliases: other names that resolve to this one.
        parameters: constants by name, and how many weights are learned where some are.
        initializer: initial weights of the layers before it, as in the article.
        recommended: initial weights that its theory asks for.
        dropout: "dropout" or "alpha_dropout".
        is_layer: whether `make` returns a layer.
        native: whether one TensorFlow kernel computes it, where compiling gains nothing.
        pieces: how many times wider the layer before it is (2 for maxout, else 1).
        index: position among all activations, by which figures choose its color.
        is_user: whether a user registered it.
        compiled: whether training may compile it with XLA; the check of a user's function decides.
        source: text of the plug-in file it comes from, and of that folder's other modules.
        modules: names of the modules that another process cannot import.
    """

    name: str
    make: Callable[[Any], Any] = field(compare=False)
    formula: str = ""
    paper: str = ""
    aliases: tuple[str, ...] = ()
    parameters: tuple[tuple[str, float | str], ...] = ()
    initializer: str = GLOROT
    recommended: str = GLOROT
    dropout: str = DROPOUT
    is_layer: bool = False
    native: bool = False
    pieces: int = 1
    index: int = 0
    is_user: bool = False
    compiled: bool = True
    source: str = ""
    modules: tuple[str, ...] = ()

    def layer(self, seed: int, name: str | None = None) -> Layer:
        """Return a new Keras layer that applies this activation, (batch, …) to (batch, …).

        The last axis of the input is `pieces` times as long as that of the output. `seed` fixes
        the noise of layers that have some.
        """
        import keras

        if self.is_layer:
            layer = self.make(seed)
            if name:
                layer.name = name
            return layer
        return keras.layers.Activation(self.keras_object(), name=name)

    def keras_object(self) -> Any:
        """Return the function or layer class, registered with Keras so that saved models load."""
        import keras

        target = type(self.make(0)) if self.is_layer else self.make
        return keras.saving.register_keras_serializable(KERAS_PACKAGE, self.name)(target)

    def function(self, x: Tensor) -> Tensor:
        """Apply the activation as at test time to a tensor of any shape."""
        return self.make(0)(x, training=False) if self.is_layer else self.make(x)


_catalogue: dict[str, Activation] = {}
_user: dict[str, Activation] = {}


def built_in(name: str, **fields: Any) -> Callable[[Callable], Callable]:
    """Add the decorated function to the catalogue."""

    def add(make: Callable) -> Callable:
        fields["parameters"] = tuple(fields.get("parameters", {}).items())
        _catalogue[name] = Activation(name=name, make=make, index=len(_catalogue), **fields)
        return make

    return add


def names() -> list[str]:
    """Return the names of all registered activations, the catalogue's first."""
    return [*_catalogue, *_user]


def resolve(name: str) -> Activation:
    """Return the entry of that name or alias ("Leaky-ReLU" is "leaky_relu").

    Raises:
        RequestError: no activation has that name; the message lists the nearest ones.
    """
    key = _normal(name)
    entries = {**_catalogue, **_user}
    for entry in entries.values():
        if key == entry.name or key in entry.aliases:
            return entry
    raise unknown("activation", name, entries)


def _normal(name: str) -> str:
    return str(name).strip().lower().replace("-", "_").replace(" ", "_")


def register_activation(
    function: Callable | str | None = None,
    *,
    name: str | None = None,
    initializer: str = GLOROT,
    recommended: str = GLOROT,
    dropout: str = DROPOUT,
) -> Callable:
    """Register your own activation, in one line above the function.

        @register_activation
        def shifted_relu(x):
            return tf.maximum(x, -1.0)

    The function takes a float tensor of any shape and returns one of the same shape and dtype.
    It is checked before anything is trained with it. Registering the same name again replaces
    your earlier function; the catalogue's own names are taken.

    Args:
        function: the function (when used without parentheses) or its name.
        name: the name to use, by default the function's.
        initializer: initial weights of the layers before it ("glorot_uniform", "he_normal" or
            "lecun_normal"), as with `--initializer article`.
        recommended: the same with `--initializer recommended`.
        dropout: "dropout" or "alpha_dropout".

    Raises:
        RequestError: the name is taken or unusable, or a setting is unknown.
    """
    if isinstance(function, str):
        function, name = None, function
    chosen_name = name

    def add(make: Callable) -> Callable:
        if not callable(make):
            raise RequestError(f"register_activation needs a function, not {make!r}")
        key = _free_name(chosen_name or str(getattr(make, "__name__", "")))
        for value in (initializer, recommended):
            one_of("initializer", value, (GLOROT, HE, LECUN))
        one_of("dropout", dropout, (DROPOUT, ALPHA_DROPOUT))
        earlier = _user.get(key)
        _user[key] = Activation(
            name=key,
            make=make,
            formula=(inspect.getdoc(make) or "").split("\n")[0],
            paper="registered by the user",
            initializer=initializer,
            recommended=recommended,
            dropout=dropout,
            index=earlier.index if earlier else len(_catalogue) + len(_user),
            is_user=True,
        )
        return make

    return add(function) if function is not None else add


# "all" is the whole catalogue; pandas reads the next three as missing values; the last two are rows
# of the experiment `properties`.
_RESERVED = ("all", "nan", "null", "none", "softmax", "step")


def _free_name(name: str) -> str:
    key = _normal(name)
    if not re.fullmatch(r"[a-z][a-z0-9_.]{0,39}", key):
        raise RequestError(
            f"activation name {name!r} cannot be used: give one of at most 40 letters, digits,"
            ' "_", "-" and "." that begins with a letter, as in'
            ' @register_activation(name="my_function")'
        )
    if key in _RESERVED:
        raise RequestError(
            f"activation name {name!r} cannot be used: it has a meaning of its own in commands or"
            f' tables; choose another, for instance @register_activation(name="my_{key}")'
        )
    taken = {alias for entry in _catalogue.values() for alias in (entry.name, *entry.aliases)}
    if key in taken:
        raise RequestError(
            f"activation name {name!r} is taken by the catalogue: choose another, for instance"
            f' @register_activation(name="my_{key}")'
        )
    return key


def add_entry(entry: Activation) -> None:
    """Add an entry that another process registered, as it was there."""
    _user[entry.name] = entry


def user_entries() -> list[Activation]:
    """Return the entries that are not the catalogue's own."""
    return list(_user.values())


@contextlib.contextmanager
def temporary_registrations() -> Iterator[None]:
    """Undo at the end of the block every registration made in it."""
    before = dict(_user)
    try:
        yield
    finally:
        _user.clear()
        _user.update(before)


def custom_objects() -> dict[str, Any]:
    """Register everything with Keras and return it by the name under which models save it.

    For `keras.models.load_model(path, custom_objects=benchmark.custom_objects())`.
    """
    entries = (*_catalogue.values(), *_user.values())
    return {f"{KERAS_PACKAGE}>{entry.name}": entry.keras_object() for entry in entries}
