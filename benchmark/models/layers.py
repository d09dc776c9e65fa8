"""The fast layers: convolution and dropout, as Keras layers. Importing this loads Keras."""

import keras
import tensorflow as tf

from benchmark.activations.kernels import dropping, random_bits
from benchmark.activations.registry import KERAS_PACKAGE

# SELU's limit for x → -∞, -λα: the value of a unit that AlphaDropout drops.
SELU_LIMIT = -1.7580993408473766


@keras.saving.register_keras_serializable(KERAS_PACKAGE)
class Conv2D(keras.layers.Conv2D):
    """Keras's convolution, its bias added so that the backward pass stays fast on a CPU.

    Keras adds it with TensorFlow's BiasAdd, and oneDNN then computes the gradients of kernel and
    bias in one operation, which takes about twice as long as two.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolve, add the bias and apply the layer's activation."""
        if not self.use_bias or self.data_format != "channels_last":
            return super().call(inputs)
        outputs = self.convolution_op(inputs, self.kernel)
        return self.activation(tf.raw_ops.AddV2(x=outputs, y=tf.convert_to_tensor(self.bias)))


@keras.saving.register_keras_serializable(KERAS_PACKAGE)
class Dropout(keras.layers.Dropout):
    """Keras's dropout, from as few random bits per element as its rate is exact in.

    Random numbers are what dropout costs: rates such as 0.25 and 0.5 need two bits and one, where
    Keras draws 32. Rates not exact in 8 bits, and noise shapes, are left to Keras.
    """

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Set a share `rate` of the inputs to 0 and scale the others by 1 / (1 - rate)."""
        if not training or not random_bits(self.rate) or self.noise_shape is not None:
            return super().call(inputs, training=training)
        drop = dropping(self.rate, scale=1.0 / (1.0 - self.rate))
        return drop(inputs, self.seed_generator.next())


@keras.saving.register_keras_serializable(KERAS_PACKAGE)
class AlphaDropout(keras.layers.AlphaDropout):
    """Keras's AlphaDropout (arXiv:1706.02515, sec. "New Dropout Technique"), from as few bits."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Set a share `rate` of the inputs to SELU's negative limit; keep mean and variance."""
        if not training or not random_bits(self.rate) or self.noise_shape is not None:
            return super().call(inputs, training=training)
        scale = ((1 - self.rate) * (1 + self.rate * SELU_LIMIT**2)) ** -0.5
        shift = -scale * SELU_LIMIT * self.rate
        drop = dropping(self.rate, scale, shift, dropped=scale * SELU_LIMIT + shift)
        return drop(inputs, self.seed_generator.next())
