"""Activations with weights or noise, as Keras layers. Importing this loads Keras."""

from typing import Any

import keras
from keras import ops

from benchmark.activations.registry import KERAS_PACKAGE
from benchmark.activations.types import Tensor


@keras.saving.register_keras_serializable(KERAS_PACKAGE, "prelu")
class PReLU(keras.layers.PReLU):
    """Parametric ReLU with one slope per channel, 0.25 at the start (arXiv:1502.01852).

    Shapes: (batch, …, channels) to the same; weights: (channels,).
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("alpha_initializer", keras.initializers.Constant(0.25))
        super().__init__(**kwargs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the slopes, shared along every axis but the last."""
        self.shared_axes = list(range(1, len(input_shape) - 1)) or None
        super().build(input_shape)


@keras.saving.register_keras_serializable(KERAS_PACKAGE, "rrelu")
class RReLU(keras.layers.Layer):
    """Randomized leaky ReLU (arXiv:1505.00853).

    In training each element's slope is uniform in [lower, upper]; at test it is the mean of these.
    Shapes: (batch, …) to the same.
    """

    def __init__(
        self, lower: float = 1 / 8, upper: float = 1 / 3, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.lower, self.upper, self.seed = lower, upper, seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Apply it with random slopes (training) or the mean slope."""
        slope = (self.lower + self.upper) / 2
        if training:
            slope = keras.random.uniform(
                ops.shape(inputs), self.lower, self.upper, inputs.dtype, self.seed_generator
            )
        return ops.where(inputs > 0, inputs, slope * inputs)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        settings = {"lower": self.lower, "upper": self.upper, "seed": self.seed}
        return {**super().get_config(), **settings}


@keras.saving.register_keras_serializable(KERAS_PACKAGE, "maxout")
class Maxout(keras.layers.Layer):
    """Maximum over the `pieces` linear pieces of each unit (arXiv:1302.4389).

    Shapes: (batch, …, pieces * units) to (batch, …, units).
    """

    def __init__(self, pieces: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pieces = pieces

    def call(self, inputs: Tensor) -> Tensor:
        """Take the maximum of each unit's pieces, which lie `units` channels apart."""
        return ops.max(ops.stack(ops.split(inputs, self.pieces, axis=-1)), axis=0)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Divide the last axis by the number of pieces."""
        return (*input_shape[:-1], input_shape[-1] // self.pieces)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "pieces": self.pieces}
