import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from benchmark.training.optimizers import OPTIMIZERS, keras_optimizer
from benchmark.training.stacked import stacked_optimizer


def test_names_load_nothing_heavy():
    code = "import sys, benchmark.training.optimizers; assert 'keras' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_stacked_rates_are_those_of_single_optimizers(kind):
    """Each network of a stack moves as its own Keras optimizer with its rate would move it."""
    rng = np.random.default_rng(0)
    start, rates = rng.normal(size=(3, 4, 5)).astype("float32"), [0.1, 0.01, 0.003]
    stack = tf.Variable(start)
    stacked = stacked_optimizer(kind, np.reshape(rates, (3, 1, 1)), [stack])
    singles = [tf.Variable(values) for values in start]
    optimizers = [keras_optimizer(kind, rate) for rate in rates]
    for _ in range(3):
        gradients = rng.normal(size=start.shape).astype("float32")
        stacked.apply([tf.constant(gradients)], [stack])
        for optimizer, single, gradient in zip(optimizers, singles, gradients):
            optimizer.apply([tf.constant(gradient)], [single])
    np.testing.assert_allclose(stack, np.stack(singles), rtol=1e-6)
