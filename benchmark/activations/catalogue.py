"""The catalogue of activation functions: one frozen entry each, and the registration decorator.

Names, aliases, colours and parameters can be read without loading TensorFlow, which is imported
when a function or a layer is first used.
"""

import importlib
import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmark.errors import RequestError, unknown
from benchmark.lazy import keras, tf
from benchmark.plotting.palette import LineLook, look

GLOROT, HE, LECUN = "glorot_uniform", "he_normal", "lecun_normal"
DROPOUT, ALPHA_DROPOUT = "dropout", "alpha_dropout"
ARTICLE_SIX = ("sigmoid", "relu", "elu", "leaky_relu", "selu", "gelu")
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
        native: whether one TensorFlow kernel computes it, which compiling was not seen to better.
        pieces: how many times wider the layer before it is (2 for maxout, else 1).
        index: its place in the palette.
        is_user: whether a user registered it.
        source: text of the plug-in file it comes from, and of that file's neighbours.
        modules: names of the modules that are not at hand in another process.
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
    source: str = ""
    modules: tuple[str, ...] = ()

    @property
    def look(self) -> LineLook:
        """Colour, line style and marker: the same in every figure."""
        return look(self.index)

    def layer(self, seed: int, name: str | None = None) -> Any:
        """Return a new Keras layer that applies this activation, (batch, …) to (batch, …).

        The last axis of the input is `pieces` times as long as that of the output. `seed` fixes
        the noise of layers that have some.
        """
        if self.is_layer:
            made = self.make(seed)
            if name:
                made.name = name
            return made
        return keras.layers.Activation(self.keras_object(), name=name)

    def keras_object(self) -> Any:
        """Return the function or layer class, registered with Keras so that saved models load."""
        made = type(self.make(0)) if self.is_layer else self.make
        return keras.saving.register_keras_serializable(KERAS_PACKAGE, self.name)(made)

    def function(self, x: Any) -> Any:
        """Apply the activation as at test time to a tensor of any shape."""
        return self.make(0)(x, training=False) if self.is_layer else self.make(x)


_catalogue: dict[str, Activation] = {}
_user: dict[str, Activation] = {}


def _entry(name: str, **fields: Any) -> Callable[[Callable], Callable]:
    """Add the decorated function to the catalogue."""

    def add(make: Callable) -> Callable:
        fields["parameters"] = tuple(fields.get("parameters", {}).items())
        _catalogue[name] = Activation(name=name, make=make, index=len(_catalogue), **fields)
        return make

    return add


SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


@_entry(
    "sigmoid",
    aliases=("logistic",),
    formula="1 / (1 + exp(-x))",
    paper="Rumelhart, Hinton & Williams 1986, Learning representations by back-propagating errors",
    native=True,
)
def sigmoid(x: Any) -> Any:
    """Logistic sigmoid."""
    return tf.math.sigmoid(x)


@_entry(
    "relu",
    formula="max(x, 0)",
    paper="Nair & Hinton 2010, Rectified linear units improve restricted Boltzmann machines",
    recommended=HE,
    native=True,
)
def relu(x: Any) -> Any:
    """Rectified linear unit."""
    return tf.nn.relu(x)


@_entry(
    "elu",
    formula="x where x > 0, else α (exp(x) - 1), α = 1",
    paper="Clevert, Unterthiner & Hochreiter 2015, arXiv:1511.07289, eq. 16",
    parameters={"alpha": 1.0},
    recommended=HE,
    native=True,
)
def elu(x: Any) -> Any:
    """Exponential linear unit, alpha 1."""
    return tf.nn.elu(x)


@_entry(
    "leaky_relu",
    aliases=("lrelu",),
    formula="x where x > 0, else 0.2 x",
    paper="Maas, Hannun & Ng 2013, Rectifier nonlinearities improve neural network acoustic"
    " models (slope 0.2: the article's)",
    parameters={"negative_slope": 0.2},
    recommended=HE,
    native=True,
)
def leaky_relu(x: Any) -> Any:
    """Leaky ReLU with the article's slope of 0.2."""
    return tf.nn.leaky_relu(x, alpha=0.2)


@_entry(
    "selu",
    formula="λ x where x > 0, else λ α (exp(x) - 1), α = 1.67326…, λ = 1.05070…",
    paper="Klambauer, Unterthiner, Mayr & Hochreiter 2017, arXiv:1706.02515, eq. 2",
    parameters={"alpha": SELU_ALPHA, "scale": SELU_SCALE},
    initializer=LECUN,
    recommended=LECUN,
    dropout=ALPHA_DROPOUT,
    native=True,
)
def selu(x: Any) -> Any:
    """Scaled exponential linear unit, with LeCun normal weights and AlphaDropout."""
    return tf.nn.selu(x)


@_entry(
    "gelu",
    aliases=("gelu_tanh",),
    formula="0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))",
    paper="Hendrycks & Gimpel 2016, arXiv:1606.08415, sec. 2 (tanh form)",
    parameters={"cubic": 0.044715},
    recommended=HE,
)
def gelu(x: Any) -> Any:
    """Gaussian error linear unit, the tanh form that the article registers."""
    # (1 + tanh u) / 2 = sigmoid(2 u) keeps its precision where tanh rounds to -1; beyond ±20 the
    # sigmoid is 0 or 1 in any precision, and the clip keeps x³ from overflowing to inf * 0.
    z, slope = tf.clip_by_value(x, -20.0, 20.0), 2.0 * math.sqrt(2.0 / math.pi)
    return x * tf.math.sigmoid(z * (slope + slope * 0.044715 * (z * z)))


@_entry(
    "tanh",
    formula="tanh(x)",
    paper="LeCun, Bottou, Orr & Müller 1998, Efficient BackProp",
    native=True,
)
def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return tf.math.tanh(x)


@_entry(
    "softplus",
    formula="log(1 + exp(x))",
    paper="Dugas et al. 2001, Incorporating second-order functional knowledge",
)
def softplus(x: Any) -> Any:
    """Smooth ReLU."""
    return tf.math.softplus(x)


@_entry(
    "softsign",
    formula="x / (1 + |x|)",
    paper="Bergstra et al. 2009, Quadratic polynomials learn better image features",
    native=True,
)
def softsign(x: Any) -> Any:
    """Sigmoid-shaped with polynomial tails."""
    return tf.math.softsign(x)


@_entry(
    "silu",
    aliases=("swish",),
    formula="x / (1 + exp(-x))",
    paper="Elfwing, Uchibe & Doya 2017, arXiv:1702.03118; Ramachandran et al. 2017 (Swish, β = 1)",
    parameters={"beta": 1.0},
    recommended=HE,
)
def silu(x: Any) -> Any:
    """Sigmoid-weighted linear unit."""
    return tf.nn.silu(x)


@_entry(
    "mish",
    formula="x tanh(log(1 + exp(x)))",
    paper="Misra 2019, arXiv:1908.08681, eq. 1",
    recommended=HE,
)
def mish(x: Any) -> Any:
    """Self-regularized smooth function."""
    # tanh(log(1 + n)) = 1 - 2 / d = n (n + 2) / d with n = exp(x) and d = n² + 2 n + 2; each form
    # where it and its derivative do not cancel. Beyond 20 it is 1 to the last bit.
    n = tf.exp(tf.minimum(x, 20.0))
    d = n * n + 2.0 * n + 2.0
    return x * tf.where(x > 0.0, 1.0 - 2.0 / d, n * (n + 2.0) / d)


@_entry(
    "hard_silu",
    aliases=("hard_swish",),
    formula="x min(max(x + 3, 0), 6) / 6",
    paper="Howard et al. 2019, arXiv:1905.02244, sec. 5.2",
    recommended=HE,
)
def hard_silu(x: Any) -> Any:
    """Piecewise quadratic stand-in for SiLU."""
    return x * (tf.nn.relu6(x + 3.0) / 6.0)


@_entry(
    "gelu_exact",
    aliases=("gelu_erf",),
    formula="x Φ(x), Φ the standard normal distribution function",
    paper="Hendrycks & Gimpel 2016, arXiv:1606.08415, sec. 2",
    recommended=HE,
)
def gelu_exact(x: Any) -> Any:
    """Gaussian error linear unit, the exact form."""
    return 0.5 * x * tf.math.erfc(-x * math.sqrt(0.5))


@_entry(
    "relu6",
    formula="min(max(x, 0), 6)",
    paper="Krizhevsky 2010, Convolutional deep belief networks on CIFAR-10",
    parameters={"max_value": 6.0},
    recommended=HE,
    native=True,
)
def relu6(x: Any) -> Any:
    """ReLU capped at 6."""
    return tf.nn.relu6(x)


@_entry(
    "celu",
    formula="max(x, 0) + α (exp(min(x, 0) / α) - 1), α = 1 (where it is the same as ELU)",
    paper="Barron 2017, arXiv:1704.07483, eq. 2",
    parameters={"alpha": 1.0},
    recommended=HE,
)
def celu(x: Any) -> Any:
    """Continuously differentiable ELU; with alpha 1, as in Keras, the same function as ELU."""
    return tf.nn.relu(x) + tf.math.expm1(tf.minimum(x, 0.0))


@_entry(
    "squareplus",
    formula="(x + √(x² + b)) / 2, b = 4",
    paper="Barron 2021, arXiv:2112.11687, eq. 1",
    parameters={"b": 4.0},
)
def squareplus(x: Any) -> Any:
    """Smooth ReLU without an exponential."""

    @tf.custom_gradient
    def with_derivative(x: Any) -> Any:
        size = tf.abs(x)
        # √(x² + b) is |x| to the last bit long before x² overflows.
        root = tf.maximum(size, tf.sqrt(tf.square(tf.minimum(size, 1e9)) + 4.0))
        # For x < 0 the sum x + √(x² + b) cancels; 2 / (√(x² + b) + |x|) is the same number.
        value = tf.nn.relu(x) + 2.0 / (root + size)
        return value, lambda upstream: upstream * value / root

    return with_derivative(x)


@_entry(
    "linear", aliases=("identity",), formula="x", paper="the control: no activation", native=True
)
def linear(x: Any) -> Any:
    """Identity."""
    return tf.identity(x)


@_entry(
    "prelu",
    formula="x where x > 0, else a x, one learned slope a per channel, 0.25 at the start",
    paper="He, Zhang, Ren & Sun 2015, arXiv:1502.01852, sec. 2.1",
    parameters={"initial_slope": 0.25, "learned": "one per channel"},
    recommended=HE,
    is_layer=True,
)
def prelu(seed: int) -> Any:
    """Layer: parametric ReLU."""
    return importlib.import_module("benchmark.models.layers").PReLU()


@_entry(
    "rrelu",
    formula="x where x > 0, else a x; a uniform in [1/8, 1/3] for each element in training,"
    " its mean 11/48 at test",
    paper="Xu, Wang, Chen & Li 2015, arXiv:1505.00853, sec. 3.4 (which divides by a number uniform"
    " in [3, 8] instead; here the slope itself is uniform)",
    parameters={"lower": 1 / 8, "upper": 1 / 3},
    recommended=HE,
    is_layer=True,
)
def rrelu(seed: int) -> Any:
    """Layer: randomized leaky ReLU."""
    return importlib.import_module("benchmark.models.layers").RReLU(seed=seed)


@_entry(
    "maxout",
    formula="max(x₁, x₂) over the 2 pieces of each unit; the layer before it is twice as wide",
    paper="Goodfellow et al. 2013, arXiv:1302.4389, sec. 2",
    parameters={"pieces": 2, "learned": "the layer before has twice the weights"},
    is_layer=True,
    pieces=2,
)
def maxout(seed: int) -> Any:
    """Layer: maximum over two linear pieces."""
    return importlib.import_module("benchmark.models.layers").Maxout(pieces=2)


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
        def cube_root(x):
            return tf.sign(x) * tf.abs(x) ** (1 / 3)

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

    def add(made: Callable) -> Callable:
        if not callable(made):
            raise RequestError(f"register_activation needs a function, not {made!r}")
        key = _free_name(name or getattr(made, "__name__", ""))
        for value in (initializer, recommended):
            if value not in (GLOROT, HE, LECUN):
                raise unknown("initializer", value, (GLOROT, HE, LECUN))
        if dropout not in (DROPOUT, ALPHA_DROPOUT):
            raise unknown("dropout", dropout, (DROPOUT, ALPHA_DROPOUT))
        kept = _user.get(key)
        _user[key] = Activation(
            name=key,
            make=made,
            formula=(inspect.getdoc(made) or "").split("\n")[0],
            paper="registered by the user",
            initializer=initializer,
            recommended=recommended,
            dropout=dropout,
            index=kept.index if kept else len(_catalogue) + len(_user),
            is_user=True,
        )
        return made

    return add(function) if function is not None else add


# "all" is the whole catalogue; pandas reads the others as missing values.
_RESERVED = ("all", "nan", "null", "none")


def _free_name(name: str) -> str:
    key = _normal(name)
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", key):
        raise RequestError(
            f"activation name {name!r} cannot be used: give one of at most 40 letters, digits and"
            ' "_" that begins with a letter, as in @register_activation(name="my_function")'
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


def custom_objects() -> dict[str, Any]:
    """Register everything with Keras and return it by the name under which models save it.

    For `keras.models.load_model(path, custom_objects=benchmark.custom_objects())`.
    """
    entries = (*_catalogue.values(), *_user.values())
    return {f"{KERAS_PACKAGE}>{entry.name}": entry.keras_object() for entry in entries}
