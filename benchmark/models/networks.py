"""The networks: an activation goes in, a Keras model comes out; no activation is named here.

To add a network, write a function that builds it and add it to `NETWORKS`. Keras is imported when
one is built.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmark.activations import ALPHA_DROPOUT, GLOROT, Activation

if TYPE_CHECKING:
    import keras

# A layer in a stack, or None where it is left out.
Layers: TypeAlias = "list[keras.Layer | None]"
# Kinds of draws: a layer's seed derives from them and the run's seed, so that no two coincide.
WEIGHTS, DROPOUT, ACTIVATION = 1, 2, 3


def derived_seed(seed: int, kind: int, number: int) -> int:
    """Return the seed of the weights, the dropout or the activation of a run's layer `number`."""
    import numpy as np

    return int(np.random.SeedSequence([seed, kind, number]).generate_state(1)[0] >> 1)


class _Parts:
    """Layers of one model, their initial weights and noise fixed by (seed, layer number) alone.

    Two activations with the same initializer start from the same weights, except where an
    activation asks for wider layers.
    """

    def __init__(self, entry: Activation, seed: int, initializer: str) -> None:
        self._entry = entry
        self._seed = seed
        self._kind = {
            "article": entry.initializer,
            "shared": GLOROT,
            "recommended": entry.recommended,
        }[initializer]

    def _seed_of(self, kind: int, number: int) -> int:
        return derived_seed(self._seed, kind, number)

    def initializer(self, number: int, kind: str | None = None) -> "keras.Initializer":
        import keras

        config = {"seed": self._seed_of(WEIGHTS, number)}
        return keras.initializers.get({"class_name": kind or self._kind, "config": config})

    def hidden(
        self, number: int, kind: "Callable[..., keras.Layer]", units: int, **options: Any
    ) -> Layers:
        """Return a layer of `units` outputs and its activation."""
        name = f"{'conv' if kind.__name__.startswith('Conv') else 'dense'}_{number}"
        return [
            kind(
                units * self._entry.pieces,
                kernel_initializer=self.initializer(number),
                name=name,
                **options,
            ),
            self._entry.layer(self._seed_of(ACTIVATION, number), name=f"{name}_activation"),
        ]

    def dropout(self, number: int, rate: float) -> "keras.Layer":
        from benchmark.models import layers

        alpha = self._entry.dropout == ALPHA_DROPOUT
        kind = layers.AlphaDropout if alpha else layers.Dropout
        return kind(rate, seed=self._seed_of(DROPOUT, number), name=f"dropout_{number}")

    def output(self, number: int, classes: int) -> "keras.Layer":
        import keras

        # The activation does not follow the softmax layer: Glorot, whatever the other layers have.
        return keras.layers.Dense(
            classes,
            activation="softmax",
            kernel_initializer=self.initializer(number, GLOROT),
            # In mixed precision too: half a mantissa is not enough for probabilities and losses.
            dtype="float32",
            name="output",
        )


def build_cnn(
    entry: Activation,
    input_shape: tuple[int, ...],
    classes: int = 10,
    seed: int = 0,
    initializer: str = "article",
    dropout: bool = True,
) -> "keras.Sequential":
    """Return the article's network: (batch, *input_shape) to (batch, classes) probabilities.

    Conv 3×3×32, conv 3×3×64, max-pooling 2, dropout 0.25, dense 128, dropout 0.5, softmax. Of
    signals, (length, channels), convolutions and pooling are in one dimension: 3×32, 3×64, 2.
    `dropout=False` leaves the dropout layers out.
    """
    import keras

    from benchmark.models.layers import Conv2D

    parts = _Parts(entry, seed, initializer)
    signals = len(input_shape) == 2
    convolution = keras.layers.Conv1D if signals else Conv2D
    pooling = keras.layers.MaxPooling1D if signals else keras.layers.MaxPooling2D
    stack = [
        *parts.hidden(1, convolution, 32, kernel_size=3),
        *parts.hidden(2, convolution, 64, kernel_size=3),
        pooling(2, name="pool"),
        parts.dropout(1, 0.25) if dropout else None,
        keras.layers.Flatten(name="flatten"),
        *parts.hidden(3, keras.layers.Dense, 128),
        parts.dropout(2, 0.5) if dropout else None,
        parts.output(4, classes),
    ]
    return _model("cnn", input_shape, stack)


def build_mlp(
    entry: Activation,
    input_shape: tuple[int, ...],
    classes: int = 10,
    seed: int = 0,
    initializer: str = "article",
    dropout: bool = True,
) -> "keras.Sequential":
    """Return three dense layers of 128 and a softmax: (batch, *input_shape) to (batch, classes).

    Dropout 0.25 after the first two and 0.5 after the third; `dropout=False` leaves it out.
    """
    import keras

    parts = _Parts(entry, seed, initializer)
    stack: Layers = [keras.layers.Flatten(name="flatten")]
    for number, rate in ((1, 0.25), (2, 0.25), (3, 0.5)):
        stack += parts.hidden(number, keras.layers.Dense, 128)
        stack += [parts.dropout(number, rate) if dropout else None]
    return _model("mlp", input_shape, [*stack, parts.output(4, classes)])


def _model(name: str, input_shape: tuple[int, ...], stack: Layers) -> "keras.Sequential":
    import keras

    present = [layer for layer in stack if layer is not None]
    return keras.Sequential([keras.Input(input_shape), *present], name=name)


@dataclass(frozen=True)
class Network:
    """One network.

    Attributes:
        build: returns the Keras model for an activation, an example's shape, a number of classes,
            a seed, and how weights are initialized; see `build_cnn`.
        multiply_adds: those of one example, forward, by its (height, width) or (length,).
        description: its layers in words, for the report.
    """

    build: "Callable[..., keras.Sequential]"
    multiply_adds: Callable[[tuple[int, ...]], int]
    description: str


def _cnn_multiply_adds(shape: tuple[int, ...]) -> int:
    window = 3 ** len(shape)
    first, second = (math.prod(side - cut for side in shape) for cut in (2, 4))
    pooled = math.prod((side - 4) // 2 for side in shape) * 64
    return first * window * 32 + second * window * 32 * 64 + pooled * 128


def _mlp_multiply_adds(shape: tuple[int, ...]) -> int:
    return math.prod(shape) * 128 + 2 * 128 * 128


NETWORKS = {
    "cnn": Network(
        build_cnn,
        _cnn_multiply_adds,
        "two convolutions (3×3, or 3 on signals; 32 and 64 channels), max-pooling, a dense layer of"
        " 128 and the softmax, with dropout of 0.25 and 0.5; the article's",
    ),
    "mlp": Network(
        build_mlp,
        _mlp_multiply_adds,
        "three dense layers of 128 and the softmax, with dropout of 0.25, 0.25 and 0.5",
    ),
}
