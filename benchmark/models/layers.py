"""Keras layers: faster convolution and dropout, activations with weights or noise.

Importing this loads Keras.
"""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from benchmark.activations.kernels import dropping, random_bits

PACKAGE = "benchmark"
# What SELU tends to on the left, -λα: the value of a unit that AlphaDropout drops.
SELU_LIMIT = -1.7580993408473766


@keras.saving.register_keras_serializable(PACKAGE, "prelu")
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


@keras.saving.register_keras_serializable(PACKAGE, "rrelu")
class RReLU(keras.layers.Layer):
    """Randomized leaky ReLU (arXiv:1505.00853).

    In training each element's slope is uniform in [lower, upper]; at test it is their mean.
    Shapes: (batch, …) to the same.
    """

    def __init__(
        self, lower: float = 1 / 8, upper: float = 1 / 3, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.lower, self.upper, self.seed = lower, upper, seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Apply it with random slopes (training) or the mean slope."""
        slope = (self.lower + self.upper) / 2
        if training:
            slope = keras.random.uniform(
                ops.shape(inputs), self.lower, self.upper, inputs.dtype, self.seed_generator
            )
        return ops.where(inputs > 0, inputs, slope * inputs)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        settings = {"lower": self.lower, "upper": self.upper, "seed": self.seed}
        return {**super().get_config(), **settings}


@keras.saving.register_keras_serializable(PACKAGE, "maxout")
class Maxout(keras.layers.Layer):
    """Maximum over the `pieces` linear pieces of each unit (arXiv:1302.4389).

    Shapes: (batch, …, pieces * units) to (batch, …, units).
    """

    def __init__(self, pieces: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pieces = pieces

    def call(self, inputs: Any) -> Any:
        """Take the maximum of each unit's pieces, which lie `units` channels apart."""
        return ops.max(ops.stack(ops.split(inputs, self.pieces, axis=-1)), axis=0)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Divide the last axis by the number of pieces."""
        return (*input_shape[:-1], input_shape[-1] // self.pieces)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "pieces": self.pieces}


@keras.saving.register_keras_serializable(PACKAGE)
class Conv2D(keras.layers.Conv2D):
    """Keras's convolution, its bias added so that the backward pass stays fast on a CPU.

    Keras adds it with TensorFlow's BiasAdd, and oneDNN then takes the gradients of kernel and bias
    in one operation, which needs about twice the time of the two taken apart.
    """

    def call(self, inputs: Any) -> Any:
        """Convolve, add the bias and apply the layer's activation."""
        if not self.use_bias or self.data_format != "channels_last":
            return super().call(inputs)
        outputs = self.convolution_op(inputs, self.kernel)
        return self.activation(tf.raw_ops.AddV2(x=outputs, y=tf.convert_to_tensor(self.bias)))


@keras.saving.register_keras_serializable(PACKAGE)
class Dropout(keras.layers.Dropout):
    """Keras's dropout, from as few random bits per element as its rate is exact in.

    Random numbers are what dropout costs: rates such as 0.25 and 0.5 need two bits and one, where
    Keras draws 32. Rates not exact in 8 bits, and noise shapes, are left to Keras.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Set a share `rate` of the inputs to 0 and scale the rest by 1 / (1 - rate)."""
        if not training or not random_bits(self.rate) or self.noise_shape is not None:
            return super().call(inputs, training=training)
        drop = dropping(self.rate, scale=1.0 / (1.0 - self.rate))
        return drop(inputs, self.seed_generator.next())


@keras.saving.register_keras_serializable(PACKAGE)
class AlphaDropout(keras.layers.AlphaDropout):
    """Keras's AlphaDropout (arXiv:1706.02515, sec. "New Dropout Technique"), drawn likewise."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Set a share `rate` of the inputs to SELU's negative limit; keep mean and variance."""
        if not training or not random_bits(self.rate) or self.noise_shape is not None:
            return super().call(inputs, training=training)
        scale = ((1 - self.rate) * (1 + self.rate * SELU_LIMIT**2)) ** -0.5
        shift = -scale * SELU_LIMIT * self.rate
        drop = dropping(self.rate, scale, shift, dropped=scale * SELU_LIMIT + shift)
        return drop(inputs, self.seed_generator.next())
