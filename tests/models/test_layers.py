import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from benchmark.activations import kernels
from benchmark.activations.catalogue import SELU_ALPHA, SELU_SCALE
from benchmark.models import layers


def drawn(kind, rate, shape, seed=1, calls=1):
    layer = kind(rate, seed=seed)
    ones = np.ones(shape, np.float32)
    return np.stack([layer(ones, training=True).numpy() for _ in range(calls)])


@pytest.mark.parametrize("rate", [0.25, 0.5, 3 / 256, 0.3])
def test_dropout_rate_and_scaling(rate):
    values = drawn(layers.Dropout, rate, (1000, 1000))[0]
    assert set(np.unique(values)) == {np.float32(0), np.float32(1 / (1 - rate))}
    dropped = int((values == 0).sum())
    assert stats.binomtest(dropped, values.size, rate).pvalue > 1e-4


@pytest.mark.parametrize("rate", [0.25, 0.5, 3 / 256])
def test_bits_of_one_random_word_are_independent(rate):
    masks = drawn(layers.Dropout, rate, (500, 64), calls=20) > 0
    flat = masks.reshape(20, -1).astype(float)
    # Elements that far apart share a word.
    step = flat.shape[1] * kernels.random_bits(rate) // 32
    for lag in (step, 2 * step, 3 * step):
        pair = np.corrcoef(flat[:, :-lag].ravel(), flat[:, lag:].ravel())[0, 1]
        assert abs(pair) < 4 / np.sqrt(flat.size), lag


@pytest.mark.parametrize("shape", [(1, 1), (3, 11), (40, 33)])
def test_dropout_of_any_shape(shape):
    """Where the elements do not fill the random words."""
    for rate in (0.25, 0.5, 3 / 256):
        assert drawn(layers.Dropout, rate, shape, calls=3).shape == (3, *shape)


def test_dropout_elements_are_independent():
    masks = drawn(layers.Dropout, 0.5, (500, 64), calls=20) > 0
    flat = masks.reshape(20, -1).astype(float)
    bound = 4 / np.sqrt(flat.size)
    for lag in (1, 2, 3, 4, 5, 8, 16, 64):
        pair = np.corrcoef(flat[:, :-lag].ravel(), flat[:, lag:].ravel())[0, 1]
        assert abs(pair) < bound, lag
    assert abs(np.corrcoef(flat[:-1].ravel(), flat[1:].ravel())[0, 1]) < bound
    # Each of the 2⁸ patterns of 8 neighbours as often as the others.
    patterns = np.packbits(masks.reshape(-1, 8), axis=1).ravel()
    assert stats.chisquare(np.bincount(patterns, minlength=256)).pvalue > 1e-4


def test_dropout_follows_its_seed():
    first, again = (drawn(layers.Dropout, 0.25, (40, 33), calls=2) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first, drawn(layers.Dropout, 0.25, (40, 33), seed=2, calls=2))


@pytest.mark.parametrize("kind", [layers.Dropout, layers.AlphaDropout])
def test_dropout_gradient_is_that_of_its_mask(kind):
    x = tf.random.stateless_normal((30, 7), (1, 2))
    layer, same = kind(0.5, seed=4), kind(0.5, seed=4)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = layer(x, training=True)
    gradient = tape.gradient(value, x).numpy()
    slope = same(x + 1.0, training=True).numpy() - value.numpy()
    np.testing.assert_allclose(gradient, slope, atol=1e-5)
    assert (gradient == 0).any()


def test_dropout_at_test_time_and_without_rate():
    x = np.ones((4, 5), np.float32)
    for kind in (layers.Dropout, layers.AlphaDropout):
        assert np.array_equal(kind(0.5)(x, training=False), x)
        assert np.array_equal(kind(0.0)(x, training=True), x)


def test_alpha_dropout_keeps_mean_and_variance():
    """Klambauer et al. 2017: for input of mean 0 and variance 1 both stay."""
    x = tf.random.stateless_normal((2000, 500), (5, 6))
    for rate in (0.25, 0.5):
        ours = layers.AlphaDropout(rate, seed=1)(x, training=True).numpy()
        assert ours.mean() == pytest.approx(0, abs=0.01)
        assert ours.var() == pytest.approx(1, abs=0.01)
        keras_own = keras.layers.AlphaDropout(rate, seed=1)(x, training=True).numpy()
        # The same two-branch map: the dropped value, and slope and shift of the kept ones.
        limit = -SELU_ALPHA * SELU_SCALE
        a = ((1 - rate) * (1 + rate * limit**2)) ** -0.5
        for values in (ours, keras_own):
            kept = np.abs(values - (a * x.numpy() - a * limit * rate)) < 1e-5
            dropped = np.abs(values - (a * limit - a * limit * rate)) < 1e-5
            assert np.all(kept | dropped)


def test_dropout_saves_and_loads(tmp_path):
    stack = [keras.Input((8,)), layers.Dropout(0.25, seed=3), layers.AlphaDropout(0.5, seed=4)]
    model = keras.Sequential(stack)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = np.ones((50, 8), np.float32)
    assert np.array_equal(model(x, training=True), again(x, training=True))


def test_noise_shapes_are_left_to_keras():
    values = layers.Dropout(0.5, noise_shape=(None, 1), seed=1)(
        np.ones((200, 6), np.float32), training=True
    ).numpy()
    assert np.all(values == values[:, :1])


@pytest.mark.parametrize("options", [{}, {"use_bias": False}, {"activation": "tanh"}])
def test_convolution_is_that_of_keras(options):
    x = tf.random.stateless_normal((4, 9, 8, 3), (1, 2))
    upstream = tf.random.stateless_normal((4, 7, 6, 5), (3, 4))
    ours, keras_own = (
        kind(5, 3, bias_initializer="ones", **options)
        for kind in (layers.Conv2D, keras.layers.Conv2D)
    )
    gradients = []
    for layer in (ours, keras_own):
        layer.build(x.shape)
        layer.set_weights(ours.get_weights())
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = layer(x)
        wanted = [x, *layer.trainable_variables]
        gradients.append([value, *tape.gradient(value, wanted, upstream)])
    for mine, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_convolution_saves_and_loads(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3)])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = np.ones((2, 8, 8, 1), np.float32)
    assert np.array_equal(model(x), again(x))
