"""The catalogue of activation functions: one decorated function each.

To add an activation, add a function here. TensorFlow is imported when one is first used.
"""

import math

from benchmark.activations.registry import ALPHA_DROPOUT, HE, LECUN, built_in
from benchmark.activations.types import Layer, Tensor

# No activation at all, which the others should beat; it is never the answer.
CONTROL = "linear"
ARTICLE_SIX = ("sigmoid", "relu", "elu", "leaky_relu", "selu", "gelu")
SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


@built_in(
    "sigmoid",
    aliases=("logistic",),
    formula="1 / (1 + exp(-x))",
    paper="Rumelhart, Hinton & Williams 1986, Learning representations by back-propagating errors",
    native=True,
)
def sigmoid(x: Tensor) -> Tensor:
    """Logistic sigmoid."""
    import tensorflow as tf

    return tf.math.sigmoid(x)


@built_in(
    "relu",
    formula="max(x, 0)",
    paper="Nair & Hinton 2010, Rectified linear units improve restricted Boltzmann machines",
    recommended=HE,
    native=True,
)
def relu(x: Tensor) -> Tensor:
    """Rectified linear unit."""
    import tensorflow as tf

    return tf.nn.relu(x)


@built_in(
    "elu",
    formula="x where x > 0, else α (exp(x) - 1), α = 1",
    paper="Clevert, Unterthiner & Hochreiter 2015, arXiv:1511.07289, eq. 16",
    parameters={"alpha": 1.0},
    recommended=HE,
    native=True,
)
def elu(x: Tensor) -> Tensor:
    """Exponential linear unit, alpha 1."""
    import tensorflow as tf

    return tf.nn.elu(x)


@built_in(
    "leaky_relu",
    aliases=("lrelu",),
    formula="x where x > 0, else 0.2 x",
    paper="Maas, Hannun & Ng 2013, Rectifier nonlinearities improve neural network acoustic"
    " models (slope 0.2: the article's)",
    parameters={"negative_slope": 0.2},
    recommended=HE,
    native=True,
)
def leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU with the article's slope of 0.2."""
    import tensorflow as tf

    return tf.nn.leaky_relu(x, alpha=0.2)


@built_in(
    "selu",
    formula="λ x where x > 0, else λ α (exp(x) - 1), α = 1.67326…, λ = 1.05070…",
    paper="Klambauer, Unterthiner, Mayr & Hochreiter 2017, arXiv:1706.02515, eq. 2",
    parameters={"alpha": SELU_ALPHA, "scale": SELU_SCALE},
    initializer=LECUN,
    recommended=LECUN,
    dropout=ALPHA_DROPOUT,
    native=True,
)
def selu(x: Tensor) -> Tensor:
    """Scaled exponential linear unit, with LeCun normal weights and AlphaDropout."""
    import tensorflow as tf

    return tf.nn.selu(x)


@built_in(
    "gelu",
    aliases=("gelu_tanh",),
    formula="0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))",
    paper="Hendrycks & Gimpel 2016, arXiv:1606.08415, sec. 2 (tanh form)",
    parameters={"cubic": 0.044715},
    recommended=HE,
)
def gelu(x: Tensor) -> Tensor:
    """Gaussian error linear unit, the tanh form that the article registers."""
    import tensorflow as tf

    # (1 + tanh u) / 2 = sigmoid(2 u) keeps its precision where tanh rounds to -1; beyond ±20 the
    # sigmoid is 0 or 1 in any precision, and the clip keeps x³ from overflowing to inf * 0.
    z, slope = tf.clip_by_value(x, -20.0, 20.0), 2.0 * math.sqrt(2.0 / math.pi)
    return x * tf.math.sigmoid(z * (slope + slope * 0.044715 * (z * z)))


@built_in(
    "tanh",
    formula="tanh(x)",
    paper="LeCun, Bottou, Orr & Müller 1998, Efficient BackProp",
    native=True,
)
def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    import tensorflow as tf

    return tf.math.tanh(x)


@built_in(
    "softplus",
    formula="log(1 + exp(x))",
    paper="Dugas et al. 2001, Incorporating second-order functional knowledge",
)
def softplus(x: Tensor) -> Tensor:
    """Smooth ReLU."""
    import tensorflow as tf

    return tf.math.softplus(x)


@built_in(
    "softsign",
    formula="x / (1 + |x|)",
    paper="Bergstra et al. 2009, Quadratic polynomials learn better image features",
    native=True,
)
def softsign(x: Tensor) -> Tensor:
    """Sigmoid-shaped with polynomial tails."""
    import tensorflow as tf

    return tf.math.softsign(x)


@built_in(
    "silu",
    aliases=("swish",),
    formula="x / (1 + exp(-x))",
    paper="Elfwing, Uchibe & Doya 2017, arXiv:1702.03118; Ramachandran et al. 2017 (Swish, β = 1)",
    parameters={"beta": 1.0},
    recommended=HE,
)
def silu(x: Tensor) -> Tensor:
    """Sigmoid-weighted linear unit."""
    import tensorflow as tf

    return tf.nn.silu(x)


@built_in(
    "mish",
    formula="x tanh(log(1 + exp(x)))",
    paper="Misra 2019, arXiv:1908.08681, eq. 1",
    recommended=HE,
)
def mish(x: Tensor) -> Tensor:
    """Self-regularized smooth function."""
    import tensorflow as tf

    # tanh(log(1 + n)) = 1 - 2 / d = n (n + 2) / d with n = exp(x) and d = n² + 2 n + 2; each form
    # where it and its derivative do not cancel. Beyond 20 it is 1 to the last bit.
    n = tf.exp(tf.minimum(x, 20.0))
    d = n * n + 2.0 * n + 2.0
    return x * tf.where(x > 0.0, 1.0 - 2.0 / d, n * (n + 2.0) / d)


@built_in(
    "hard_silu",
    aliases=("hard_swish",),
    formula="x min(max(x + 3, 0), 6) / 6",
    paper="Howard et al. 2019, arXiv:1905.02244, sec. 5.2",
    recommended=HE,
)
def hard_silu(x: Tensor) -> Tensor:
    """Piecewise quadratic stand-in for SiLU."""
    import tensorflow as tf

    return x * (tf.nn.relu6(x + 3.0) / 6.0)


@built_in(
    "gelu_exact",
    aliases=("gelu_erf",),
    formula="x Φ(x), Φ the standard normal distribution function",
    paper="Hendrycks & Gimpel 2016, arXiv:1606.08415, sec. 2",
    recommended=HE,
)
def gelu_exact(x: Tensor) -> Tensor:
    """Gaussian error linear unit, the exact form."""
    import tensorflow as tf

    return 0.5 * x * tf.math.erfc(-x * math.sqrt(0.5))


@built_in(
    "relu6",
    formula="min(max(x, 0), 6)",
    paper="Krizhevsky 2010, Convolutional deep belief networks on CIFAR-10",
    parameters={"max_value": 6.0},
    recommended=HE,
    native=True,
)
def relu6(x: Tensor) -> Tensor:
    """ReLU capped at 6."""
    import tensorflow as tf

    return tf.nn.relu6(x)


@built_in(
    "celu",
    formula="max(x, 0) + α (exp(min(x, 0) / α) - 1), α = 1 (where it is the same as ELU)",
    paper="Barron 2017, arXiv:1704.07483, eq. 2",
    parameters={"alpha": 1.0},
    recommended=HE,
)
def celu(x: Tensor) -> Tensor:
    """Continuously differentiable ELU; with alpha 1, as in Keras, the same function as ELU."""
    import tensorflow as tf

    return tf.nn.relu(x) + tf.math.expm1(tf.minimum(x, 0.0))


@built_in(
    "squareplus",
    formula="(x + √(x² + b)) / 2, b = 4",
    paper="Barron 2021, arXiv:2112.11687, eq. 1",
    parameters={"b": 4.0},
)
def squareplus(x: Tensor) -> Tensor:
    """Smooth ReLU without an exponential."""

    import tensorflow as tf

    @tf.custom_gradient
    def with_derivative(x: Tensor) -> Tensor:
        size = tf.abs(x)
        # √(x² + b) is |x| to the last bit long before x² overflows.
        root = tf.maximum(size, tf.sqrt(tf.square(tf.minimum(size, 1e9)) + 4.0))
        # For x < 0 the sum x + √(x² + b) cancels; 2 / (√(x² + b) + |x|) is the same number.
        value = tf.nn.relu(x) + 2.0 / (root + size)
        return value, lambda upstream: upstream * value / root

    return with_derivative(x)


@built_in(
    "linear", aliases=("identity",), formula="x", paper="the control: no activation", native=True
)
def linear(x: Tensor) -> Tensor:
    """Identity."""
    import tensorflow as tf

    return tf.identity(x)


@built_in(
    "prelu",
    formula="x where x > 0, else a x, one learned slope a per channel, 0.25 at the start",
    paper="He, Zhang, Ren & Sun 2015, arXiv:1502.01852, sec. 2.1",
    parameters={"initial_slope": 0.25, "learned": "one per channel"},
    recommended=HE,
    is_layer=True,
)
def prelu(seed: int) -> Layer:
    """Layer: parametric ReLU."""
    from benchmark.activations.layers import PReLU

    return PReLU()


@built_in(
    "rrelu",
    formula="x where x > 0, else a x; a uniform in [1/8, 1/3] for each element in training,"
    " its mean 11/48 at test",
    paper="Xu, Wang, Chen & Li 2015, arXiv:1505.00853, sec. 3.4 (which divides by a number uniform"
    " in [3, 8] instead; here the slope itself is uniform)",
    parameters={"lower": 1 / 8, "upper": 1 / 3},
    recommended=HE,
    is_layer=True,
)
def rrelu(seed: int) -> Layer:
    """Layer: randomized leaky ReLU."""
    from benchmark.activations.layers import RReLU

    return RReLU(seed=seed)


@built_in(
    "maxout",
    formula="max(x₁, x₂) over the 2 pieces of each unit; the layer before it is twice as wide",
    paper="Goodfellow et al. 2013, arXiv:1302.4389, sec. 2",
    parameters={"pieces": 2, "learned": "the layer before has twice the weights"},
    is_layer=True,
    pieces=2,
)
def maxout(seed: int) -> Layer:
    """Layer: maximum over two linear pieces."""
    from benchmark.activations.layers import Maxout

    return Maxout(pieces=2)
