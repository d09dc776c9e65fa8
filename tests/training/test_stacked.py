import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmark.activations import names, resolve
from benchmark.data import loading
from benchmark.experiments.base import Setting
from benchmark.models.networks import build_mlp
from benchmark.training import stacked
from benchmark.training.stacked import Networks, Training
from benchmark.training.trainer import batch_order

RATES = {"sgd": 0.1, "momentum": 0.05, "adagrad": 0.05, "rmsprop": 0.002, "adam": 0.005}


@pytest.fixture(scope="module")
def digits():
    data = loading.split(loading.load(loading.locate("digits")))
    setting = Setting((), (0,), {}, "digits", data)
    return setting.pixels("train", standardized=True), setting.labels("train")


def made(name="tanh", widths=(64, 12, 9, 10), seeds=(0,), **options):
    return Networks(resolve(name), widths, seeds, **options)


def arrays(nets, place=slice(None)):
    return [kernel.numpy()[place] for kernel in (*nets.kernels, *nets.biases)]


def assert_same(found, wanted, **tolerances):
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, **tolerances)


@pytest.mark.parametrize("name", ["relu", "selu", "maxout"])
def test_initial_weights_are_those_of_the_comparison(name):
    nets = made(name, (64, 128, 128, 128, 10), (3, 8))
    for place, seed in enumerate(nets.seeds):
        model = build_mlp(resolve(name), (8, 8, 1), seed=seed)
        wanted = [dense.kernel.numpy() for dense in dense_layers(model)]
        assert_same([kernel.numpy()[place] for kernel in nets.kernels], wanted)


def test_forward_is_that_of_the_comparison(digits):
    x, _ = digits
    model = build_mlp(resolve("gelu"), (8, 8, 1), seed=1)
    logits = made("gelu", (64, 128, 128, 128, 10), (1,)).forward(x[:50]).logits[0]
    wanted = model(x[:50].reshape(-1, 8, 8, 1))
    np.testing.assert_allclose(tf.nn.softmax(logits), wanted, rtol=1e-4, atol=1e-6)


def test_gain_and_initializer_belong_to_a_network():
    kinds = ["glorot_uniform", "he_normal", "he_normal"]
    together = made(seeds=(5, 5, 6), initializer=kinds, gain=[1, 4, 2])
    for place, (seed, kind, gain) in enumerate(zip((5, 5, 6), kinds, (1, 4, 2))):
        alone = made(seeds=(seed,), initializer=kind)
        wanted = [gain * kernel.numpy()[0] for kernel in alone.kernels]
        assert_same([k.numpy()[place] for k in together.kernels], wanted, rtol=1e-6)
    # The output layer keeps Glorot.
    np.testing.assert_allclose(4 * together.kernels[-1][0], together.kernels[-1][1], rtol=1e-6)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_gradients_equal_finite_differences(batch_norm):
    rng = np.random.default_rng(0)
    nets = made(widths=(3, 3, 4, 2), seeds=(0, 1), batch_norm=batch_norm, dtype="float64")
    x, y = rng.normal(size=(7, 3)), rng.integers(0, 2, 7)
    found = nets.gradients(x, y, training=True)

    def losses():
        logits = nets.forward(x, training=True).logits
        labels = np.broadcast_to(y, (2, 7))
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits).numpy().mean(1)

    for variable, gradient in zip(nets.variables, found.all, strict=True):
        start = variable.numpy()
        for place in np.ndindex(start.shape):
            step = np.zeros(start.shape)
            step[place] = 1e-5
            variable.assign(start + step)
            above = losses()[place[0]]
            variable.assign(start - step)
            wanted = (above - losses()[place[0]]) / 2e-5
            assert gradient.numpy()[place] == pytest.approx(wanted, rel=1e-5, abs=1e-9)
        variable.assign(start)
    for per_layer, variables in ((found.kernels, nets.kernels), (found.biases, nets.biases)):
        by_id = {id(v): g for v, g in zip(nets.variables, found.all)}
        assert_same(per_layer, [by_id[id(v)] for v in variables])


@pytest.mark.parametrize("batch_norm", [False, True])
def test_gradient_of_pre_activations_gives_that_of_kernels(batch_norm, digits):
    x, y = digits[0][:30], digits[1][:30]
    nets = made("tanh", seeds=(0, 1), batch_norm=batch_norm, dtype="float64")
    found, passed = nets.gradients(x, y, True), nets.forward(x, True)
    inputs = [np.broadcast_to(x, (2, *x.shape)), *passed.post]
    for layer in range(nets.depth):
        wanted = np.einsum("nbi,nbu->niu", inputs[layer], found.pre[layer])
        np.testing.assert_allclose(found.kernels[layer], wanted, atol=1e-7)


def keras_model(nets, name, batch_norm):
    layers = [keras.Input((nets.kernels[0].shape[1],))]
    for place, kernel in enumerate(nets.kernels):
        layers.append(keras.layers.Dense(kernel.shape[2]))
        if place < nets.depth:
            layers += [keras.layers.BatchNormalization()] if batch_norm else []
            layers.append(keras.layers.Activation(resolve(name).make))
    model = keras.Sequential(layers)
    for dense, kernel in zip(dense_layers(model), nets.kernels, strict=True):
        dense.kernel.assign(kernel[0])
    return model


def dense_layers(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]


@pytest.mark.parametrize(
    ("optimizer", "batch_norm"), [("sgd", False), ("adam", False), ("sgd", True)]
)
def test_training_is_keras_fit(optimizer, batch_norm, digits):
    x, y = digits[0][:300], digits[1][:300]
    nets = made("tanh", (64, 32, 16, 10), (2,), batch_norm=batch_norm)
    model = keras_model(nets, "tanh", batch_norm)
    kind = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[optimizer]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=kind(learning_rate=RATES[optimizer]), loss=loss)
    training = Training(nets, x, y, optimizer=optimizer, learning_rate=RATES[optimizer])
    for epoch in (1, 2):
        order = batch_order(2, epoch, len(x))
        history = model.fit(
            x[order], y[order], batch_size=128, epochs=1, shuffle=False, verbose=0
        ).history
        sizes = np.array([128, 128, 44])
        losses = training.epoch().losses[:, 0]
        assert (losses * sizes).sum() / 300 == pytest.approx(history["loss"][0], rel=1e-4)
    dense = dense_layers(model)
    wanted = [d.kernel.numpy() for d in dense] + [d.bias.numpy()[None] for d in dense]
    assert_same(arrays(nets, 0), wanted, rtol=1e-3, atol=1e-5)
    assert nets.evaluate(x, y)[0][0] == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-4)


@pytest.mark.parametrize("name", ["tanh", pytest.param("prelu", marks=pytest.mark.slow)])
def test_networks_side_by_side_are_as_each_alone(name, digits):
    together = made(name, seeds=(0, 1, 2))
    training = Training(together, *digits, learning_rate=0.1)
    losses = np.concatenate([training.epoch().losses for _ in range(2)])
    for place, seed in enumerate(together.seeds):
        alone = made(name, seeds=(seed,))
        single = Training(alone, *digits, learning_rate=0.1)
        wanted = np.concatenate([single.epoch().losses for _ in range(2)])[:, 0]
        np.testing.assert_allclose(losses[:, place], wanted, rtol=1e-4)
        assert_same(arrays(together, place), arrays(alone, 0), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("optimizer", RATES)
def test_learning_rates_of_networks_are_their_own(optimizer, digits):
    assert_rates_are_own("tanh", optimizer, digits)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", RATES)
def test_learning_rates_of_networks_with_weights_of_their_own(optimizer, digits):
    assert_rates_are_own("prelu", optimizer, digits)


def assert_rates_are_own(name, optimizer, digits):
    x, y = digits[0][:256], digits[1][:256]
    rates = [RATES[optimizer], RATES[optimizer] / 10]
    together = made(name, (64, 12, 10), seeds=(0, 0))
    Training(together, x, y, optimizer=optimizer, learning_rate=rates).epoch()
    for place, rate in enumerate(rates):
        alone = made(name, (64, 12, 10))
        Training(alone, x, y, optimizer=optimizer, learning_rate=rate).epoch()
        assert_same(arrays(together, place), arrays(alone, 0), rtol=1e-3, atol=1e-5)
        # Of two networks' slopes in the one layer, the first's come first.
        slopes = [v.numpy() for v in together.own_variables[place::2]]
        assert_same(slopes, [v.numpy() for v in alone.own_variables], rtol=1e-3, atol=1e-5)


def test_clipping_by_norm_is_per_network_and_variable(digits):
    x, y = digits[0][:64], digits[1][:64]
    nets = made("prelu", seeds=(0, 1), gain=[1, 20])
    gradients = nets.gradients(x, y).all
    clipped = stacked.clip_by_norm(gradients, 0.5)
    for before, after, variable in zip(gradients, clipped, nets.variables, strict=True):
        shared = all(variable is not own for own in nets.own_variables)
        parts = zip(before.numpy(), after.numpy()) if shared else [(before.numpy(), after.numpy())]
        for old, new in parts:
            norm = np.linalg.norm(old)
            np.testing.assert_allclose(new, old * min(1, 0.5 / norm), rtol=1e-5, atol=1e-12)


def test_clipping_by_value_limits_each_component():
    (clipped,) = stacked.clip_by_value([tf.constant([[-3.0, 0.2, 0.7]])], 0.5)
    np.testing.assert_allclose(clipped, [[-0.5, 0.2, 0.5]])


def test_watched_norms_are_of_gradients_before_clipping_and_of_steps_made(digits):
    x, y = digits[0][:100], digits[1][:100]
    nets = made("relu", seeds=(0, 1), gain=5)
    order = np.stack([batch_order(seed, 1, 100) for seed in (0, 1)])
    gradients = nets.gradients(x[order], y[order]).kernels
    before = [kernel.numpy() for kernel in nets.kernels]
    clip = lambda g: stacked.clip_by_norm(g, 0.5)  # noqa: E731
    steps = Training(nets, x, y, learning_rate=0.1, clip=clip, watch=True).epoch()
    norms = np.stack([np.linalg.norm(g, axis=(1, 2)) for g in gradients], axis=1)
    moved = [np.linalg.norm(k.numpy() - old, axis=(1, 2)) for k, old in zip(nets.kernels, before)]
    np.testing.assert_allclose(steps.gradient_norms[0], norms, rtol=1e-4)
    np.testing.assert_allclose(steps.update_norms[0], np.stack(moved, axis=1), rtol=1e-4)
    np.testing.assert_allclose(steps.update_norms[0], 0.1 * np.minimum(norms, 0.5), rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prelu", "rrelu", "maxout"])
def test_activations_that_are_layers_train(name, digits):
    nets = made(name, seeds=(0, 1))
    training = Training(nets, *digits, optimizer="adam", learning_rate=0.01)
    losses = np.concatenate([training.epoch().losses for _ in range(5)])
    assert (losses[-1] < losses[0] / 4).all()
    assert (nets.evaluate(*digits)[1] > 0.8).all()
    if name == "prelu":
        assert all(np.ptp(v.numpy()) > 0 for v in nets.own_variables)


@pytest.mark.parametrize("name", names())
def test_every_activation_has_gradients(name, digits):
    found = made(name, seeds=(0, 1)).gradients(digits[0][:20], digits[1][:20], training=True)
    assert all(np.linalg.norm(g, axis=(1, 2)).min() > 0 for g in (*found.kernels, *found.pre))


def test_batch_normalization_is_that_of_keras(digits):
    x = digits[0][:200]
    nets = made("linear", (64, 16, 10), (4,), batch_norm=True)
    normal = keras.layers.BatchNormalization()
    z = x @ nets.kernels[0].numpy()[0]
    for start in (0, 100):
        part = slice(start, start + 100)
        wanted = normal(z[part], training=True)
        found = nets.forward(x[part], training=True).post[0][0]
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(nets.forward(x).post[0][0], normal(z), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["relu", "selu"])
def test_dropout_keeps_the_mean(name):
    nets = made(name, (50, 1000, 10), (0, 1), dropout=0.25)
    x = np.random.default_rng(0).normal(size=(200, 50))
    without, dropped = (nets.forward(x, training=t).post[0].numpy() for t in (False, True))
    assert dropped.mean() == pytest.approx(without.mean(), abs=0.01)
    # What a dropped unit becomes: 0, or for SELU one value beyond its range.
    off = dropped == (0 if name == "relu" else dropped.min())
    off &= without != 0
    assert off.mean() / np.mean(without != 0) == pytest.approx(0.25, abs=0.01)
    assert np.mean(off[0] & off[1]) < 0.75 * np.mean(off[0])


@pytest.mark.parametrize("rate", [0.25, 0.05])
def test_dropout_masks_are_those_of_the_seed_in_any_company(digits, rate):
    x, y = digits
    alone, beside = (made("relu", seeds=seeds, dropout=rate) for seeds in ((1,), (0, 1)))
    for nets in (alone, beside):
        Training(nets, x[:300], y[:300], optimizer="adam", learning_rate=0.01).epoch()
    assert_same(arrays(beside, slice(1, 2)), arrays(alone), rtol=1e-5, atol=1e-6)


def test_last_batch_may_be_smaller_and_examples_fewer_than_a_batch(digits):
    x, y = digits
    steps = Training(made(), x[:300], y[:300], batch_size=128).epoch()
    assert steps.losses.shape == (3, 1)
    assert Training(made(), x[:50], y[:50], batch_size=128).epoch().losses.shape == (1, 1)


def test_evaluation_is_mean_loss_and_accuracy(digits):
    x, y = digits[0][:70], digits[1][:70]
    nets = made(seeds=(0, 1))
    losses, accuracies = nets.evaluate(x, y)
    for place in range(2):
        logits = nets.forward(x).logits[place].numpy()
        shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        wanted = -np.log(shares[np.arange(70), y]).mean()
        assert losses[place] == pytest.approx(wanted, rel=1e-5)
        assert accuracies[place] == pytest.approx((logits.argmax(1) == y).mean())
