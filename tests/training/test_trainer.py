import math

import keras
import numpy as np
import pytest

from benchmark.activations import names, resolve
from benchmark.data import loading
from benchmark.models.networks import NETWORKS, build_cnn, build_mlp
from benchmark.training import kept_trainers
from benchmark.training import trainer as trainer_training
from benchmark.training.kept_trainers import compiled
from benchmark.training.loop import Checkpoint, train
from benchmark.training.spec import RunSpec
from benchmark.training.trainer import Trainer, batch_order, make_optimizer


@pytest.fixture(scope="module")
def digits():
    return loading.split(loading.load(loading.locate("digits")))


@pytest.fixture(scope="module")
def few(digits):
    """The first 150 training images, 40 for validation and 50 for the test."""
    return loading.Split(
        digits.x_train[:150],
        digits.y_train[:150],
        digits.x_val[:40],
        digits.y_val[:40],
        digits.x_test[:50],
        digits.y_test[:50],
        digits.scale,
        digits.classes,
    )


def spec(activation="relu", **settings):
    return RunSpec("digits", activation, **{"seed": 0, "epochs": 2, "batch_size": 32, **settings})


def scores(rows):
    return [{name: row[name] for name in row if name != "seconds"} for row in rows]


def sums_of_steps(trainer, epoch, monkeypatch):
    """Train for an epoch; return each step's sums of loss and accuracies, and its images."""
    monkeypatch.setattr(trainer_training, "CHUNK", 1)
    totals = [total.copy() for _, total in trainer.train_epoch(epoch)]
    return np.diff(totals, axis=0, prepend=0)


def batches_seen_by(layer):
    """Return a list to which the layer adds the size of every batch that it is traced with."""
    sizes, call = [], layer.call

    def recording(inputs, *args, **options):
        sizes.append(inputs.shape[0])
        return call(inputs, *args, **options)

    layer.call = recording
    return sizes


class LossOfEachStep(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.losses, self._sum = [], 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._sum = 0.0

    def on_train_batch_end(self, batch, logs=None):
        # Keras reports the running mean of the epoch; batches are all of one size here.
        total = logs["loss"] * (batch + 1)
        self.losses.append(total - self._sum)
        self._sum = total


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["categorical_crossentropy", "binary_crossentropy"])
@pytest.mark.parametrize("activation", ["relu", "gelu", "selu"])
def test_engine_agrees_with_keras_fit(digits, activation, loss, monkeypatch):
    entry, size, epochs = resolve(activation), 64, 3
    kept = slice(0, 17 * size)
    x = digits.x_train[kept].astype(np.float32) / 16.0
    y = keras.utils.to_categorical(digits.y_train[kept], 10)
    reference = build_cnn(entry, (8, 8, 1), seed=7, dropout=False)
    optimizer = keras.optimizers.Adam(0.001, clipvalue=0.5)
    reference.compile(optimizer, loss, metrics=["accuracy", "binary_accuracy"])
    record = LossOfEachStep()
    logs = []
    for epoch in range(1, epochs + 1):
        order = batch_order(7, epoch, len(x))
        history = reference.fit(
            x[order], y[order], batch_size=size, shuffle=False, callbacks=[record], verbose=0
        )
        logs.append({name: values[0] for name, values in history.history.items()})

    data = loading.Split(
        digits.x_train[kept],
        digits.y_train[kept],
        *(digits.x_val, digits.y_val, digits.x_test, digits.y_test, 16.0, 10),
    )
    settings = spec(activation, seed=7, batch_size=size, loss=loss)
    model = build_cnn(compiled(entry), (8, 8, 1), seed=7, dropout=False)
    trainer = Trainer(settings, model, data)
    ours, means = [], []
    for epoch in range(1, epochs + 1):
        sums = sums_of_steps(trainer, epoch, monkeypatch)
        ours.extend(sums[:, 0] / sums[:, 3])
        means.append(sums[:, :3].sum(0) / sums[:, 3].sum())
    assert len(ours) == 51
    # Keras's running mean is float32: its differences are less exact than its losses.
    np.testing.assert_allclose(ours, record.losses, rtol=1e-4)
    np.testing.assert_allclose([m[0] for m in means], [log["loss"] for log in logs], rtol=1e-5)
    for column, name in ((1, "accuracy"), (2, "binary_accuracy")):
        np.testing.assert_allclose(
            [m[column] for m in means], [log[name] for log in logs], rtol=1e-6
        )


# Of millions of values before a ReLU some are so near 0 that rounding decides about their slope.
@pytest.mark.parametrize(
    ("activation", "rounding"), [("relu", 0.03), ("gelu", 1e-4), ("prelu", 0.03)]
)
def test_parts_of_a_batch_train_as_the_whole_does(activation, rounding, monkeypatch):
    """Images as large as MNIST's go through the convolutions in parts; three steps beside Keras."""
    entry, draw = resolve(activation), np.random.default_rng(0)
    x = draw.integers(0, 256, (150, 28, 28, 1), np.uint8)
    y = draw.integers(0, 10, 150).astype(np.uint8)
    data = loading.Split(x, y, x[:5], y[:5], x[:5], y[:5], 255.0, 10)
    reference = build_cnn(entry, (28, 28, 1), seed=5, dropout=False)
    # Plain gradient descent: Adam would make large steps of rounding errors in small gradients.
    optimizer = keras.optimizers.SGD(0.1, clipvalue=0.5)
    reference.compile(optimizer, "categorical_crossentropy")
    model = build_cnn(compiled(entry), (28, 28, 1), seed=5, dropout=False)
    settings = spec(activation, batch_size=50, optimizer="sgd", learning_rate=0.1)
    starts, sizes = reference.get_weights(), batches_seen_by(model.layers[0])
    sums = sums_of_steps(Trainer(settings, model, data), 1, monkeypatch)
    assert sum(sizes) == 50
    assert len(sizes) > 1
    for rows, ours in zip(batch_order(0, 1, 150).reshape(3, 50), sums, strict=True):
        reference.reset_metrics()
        pixels, wanted = x[rows] / np.float32(255), keras.utils.to_categorical(y[rows], 10)
        theirs = reference.train_on_batch(pixels, wanted)
        assert ours[0] / ours[3] == pytest.approx(theirs, rel=1e-5)
    for ours, theirs, start in zip(model.weights, reference.weights, starts, strict=True):
        assert np.linalg.norm(ours - theirs) < rounding * np.linalg.norm(theirs - start)


@pytest.mark.parametrize(
    ("batch", "parts"), [(8, [8]), (32, [8] * 4), (35, [9, 9, 9, 8]), (50, [13, 13, 13, 11])]
)
def test_a_large_batch_has_no_more_parts_than_compile_quickly(few, monkeypatch, batch, parts):
    parts_of_eight_images(monkeypatch)
    monkeypatch.setattr(trainer_training, "MOST_PARTS", 4)
    model = build_cnn(resolve("relu"), (8, 8, 1))
    sizes = batches_seen_by(model.layers[0])
    next(Trainer(spec(batch_size=batch), model, few).train_epoch(1))
    assert sizes == parts


def parts_of_eight_images(monkeypatch):
    # The largest layer is the first convolution: 6 × 6 positions, 32 channels, 4 bytes.
    monkeypatch.setattr(trainer_training, "PART_BYTES", 8 * 6 * 6 * 32 * 4)


def test_noise_in_the_convolutions_is_drawn_for_the_whole_batch(few, monkeypatch):
    parts_of_eight_images(monkeypatch)
    model = build_cnn(resolve("rrelu"), (8, 8, 1))
    convolution, noise = map(batches_seen_by, model.layers[:2])
    next(Trainer(spec("rrelu"), model, few).train_epoch(1))
    assert convolution == [8] * 4
    assert noise == [32]


@pytest.mark.parametrize("name", ["relu", "gelu", "rrelu", "selu", "prelu"])
def test_a_trainer_serves_several_seeds_as_new_ones_would(few, name):
    settings = [spec(name, seed=seed, optimizer="adagrad") for seed in (0, 1)]
    alone = []
    for one in settings:
        kept_trainers.forget()
        alone.append(train(one, resolve(name), few))
    trainer = kept_trainers.trainer_for(settings[1], resolve(name), few)
    for one, wanted in zip(settings, alone):
        again = train(one, resolve(name), few)
        assert scores(again.rows) == scores(wanted.rows)
        assert np.array_equal(again.probability, wanted.probability)
        assert kept_trainers.trainer_for(one, resolve(name), few) is trainer
    assert scores(alone[0].rows) != scores(alone[1].rows)


def test_trainers_are_not_shared_where_anything_else_differs(few, digits, monkeypatch):
    kept_trainers.forget()
    monkeypatch.setattr(kept_trainers, "KEPT_TRAINERS", 2)
    one = kept_trainers.trainer_for(spec("relu"), resolve("relu"), few)
    assert kept_trainers.trainer_for(spec("relu", epochs=9, seed=3), resolve("relu"), few) is one
    assert one.spec.seed == 3
    assert (
        kept_trainers.trainer_for(spec("relu", learning_rate=0.01), resolve("relu"), few) is not one
    )
    assert kept_trainers.trainer_for(spec("relu"), resolve("relu"), few) is one
    # Another function of that name, other data.
    assert kept_trainers.trainer_for(spec("relu"), resolve("elu"), few) is not one
    two = kept_trainers.trainer_for(spec("relu"), resolve("elu"), few)
    assert kept_trainers.trainer_for(spec("relu"), resolve("elu"), digits) is not two
    # The two that were used last are kept.
    seven, eight, nine = (spec("relu", batch_size=size) for size in (7, 8, 9))
    trainers = [kept_trainers.trainer_for(s, resolve("relu"), few) for s in (seven, eight, nine)]
    assert kept_trainers.trainer_for(eight, resolve("relu"), few) is trainers[1]
    assert kept_trainers.trainer_for(nine, resolve("relu"), few) is trainers[2]
    assert kept_trainers.trainer_for(seven, resolve("relu"), few) is not trainers[0]


def test_whole_epochs_equal_single_steps(few, monkeypatch):
    settings = spec("elu", batch_size=32)
    outcome = train(settings, resolve("elu"), few)
    trainer = Trainer(settings, build_cnn(resolve("elu"), (8, 8, 1), seed=0), few)
    for epoch in (1, 2):
        steps = sums_of_steps(trainer, epoch, monkeypatch)
        total = steps.sum(0)
        assert len(steps) == 5
        assert outcome.rows[epoch - 1]["loss"] == total[0] / total[3]
    # The last, smaller batch counts: every image once.
    assert total[3] == 150


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_resumed_run_is_the_uninterrupted_one_bit_for_bit(few, name):
    settings = spec(name, epochs=3)
    kept = []
    whole = train(
        settings,
        resolve(name),
        few,
        on_epoch=lambda state: kept.append(Checkpoint(list(state.rows), state.arrays)),
    )
    assert [len(state.rows) for state in kept] == [1, 2, 3]
    for state in kept:
        again = train(settings, resolve(name), few, resume=state)
        assert scores(again.rows) == scores(whole.rows)
        assert again.test == whole.test
        assert np.array_equal(again.probability, whole.probability)


def test_resume_needs_the_seed_generators_state(few):
    """A test of the test above: without the noise's state the run goes on otherwise."""
    settings = spec("relu", epochs=2)
    kept = []
    whole = train(settings, resolve("relu"), few, on_epoch=lambda s: kept.append(s.arrays))
    noise = [a.dtype.kind in "iu" and a.shape == (2,) for a in kept[0]]
    assert sum(noise) == 2
    arrays = [np.zeros_like(a) if state else a for a, state in zip(kept[0], noise)]
    state = Checkpoint(whole.rows[:1], arrays)
    assert scores(train(settings, resolve("relu"), few, state).rows) != scores(whole.rows)


def test_checkpoint_of_another_model_is_refused(few):
    kept = []
    train(spec(epochs=1), resolve("relu"), few, on_epoch=kept.append)
    with pytest.raises(ValueError, match="not those of this model"):
        train(spec(model="mlp"), resolve("relu"), few, kept[0])


def test_runs_pair_up():
    """Same initial weights and dropout masks for every activation with the same company."""
    relu, gelu = (build_cnn(resolve(n), (8, 8, 1), seed=3) for n in ("relu", "gelu"))
    for ours, theirs in zip(relu.weights, gelu.weights, strict=True):
        assert np.array_equal(ours, theirs)
    ones = np.ones((4, 4, 4, 64), np.float32)
    masks = [m.get_layer("dropout_1")(ones, training=True).numpy() for m in (relu, gelu)]
    assert np.array_equal(*masks)
    other = build_cnn(resolve("relu"), (8, 8, 1), seed=4)
    assert not np.array_equal(relu.weights[0], other.weights[0])


def test_batch_order_is_a_function_of_seed_and_epoch():
    order = batch_order(5, 2, 1000)
    assert sorted(order) == list(range(1000))
    assert np.array_equal(order, batch_order(5, 2, 1000))
    assert not np.array_equal(order, batch_order(5, 3, 1000))
    assert not np.array_equal(order, batch_order(6, 2, 1000))


def test_article_network():
    model = build_cnn(resolve("relu"), (28, 28, 1))
    kinds = [type(layer).__name__ for layer in model.layers]
    wanted = "Conv2D Activation Conv2D Activation MaxPooling2D Dropout Flatten Dense Activation"
    assert kinds == [*wanted.split(), "Dropout", "Dense"]
    assert model.count_params() == 320 + 18496 + 1179776 + 1290
    assert [model.get_layer(n).rate for n in ("dropout_1", "dropout_2")] == [0.25, 0.5]


def test_selu_brings_its_company():
    model = build_cnn(resolve("selu"), (28, 28, 1))
    assert type(model.get_layer("dropout_1")).__name__ == "AlphaDropout"
    assert type(model.get_layer("dense_3").kernel_initializer).__name__ == "LecunNormal"
    assert type(model.get_layer("output").kernel_initializer).__name__ == "GlorotUniform"
    shared = build_cnn(resolve("selu"), (28, 28, 1), initializer="shared")
    assert type(shared.get_layer("dense_3").kernel_initializer).__name__ == "GlorotUniform"
    advised = build_cnn(resolve("relu"), (28, 28, 1), initializer="recommended")
    assert type(advised.get_layer("conv_1").kernel_initializer).__name__ == "HeNormal"


@pytest.mark.parametrize("model", list(NETWORKS))
@pytest.mark.parametrize("name", names())
def test_every_activation_builds(name, model):
    built = NETWORKS[model].build(resolve(name), (8, 8, 1), seed=1)
    out = built(np.zeros((2, 8, 8, 1), np.float32)).numpy()
    assert out.shape == (2, 10)
    np.testing.assert_allclose(out.sum(1), 1, rtol=1e-6)


def test_mlp_has_three_hidden_layers():
    assert build_mlp(resolve("tanh"), (28, 28, 1)).count_params() == 100480 + 2 * 16512 + 1290


def test_maxout_widens_the_layer_before():
    narrow, wide = (build_mlp(resolve(n), (8, 8, 1)) for n in ("relu", "maxout"))
    assert wide.get_layer("dense_1").units == 2 * narrow.get_layer("dense_1").units
    assert wide.get_layer("output").kernel.shape == narrow.get_layer("output").kernel.shape


def test_divergence_is_a_finding(few):
    outcome = train(spec("linear", learning_rate=1e30, epochs=5), resolve("linear"), few)
    assert outcome.status == "diverged"
    assert len(outcome.rows) < 5
    assert not math.isfinite(outcome.rows[-1]["loss"] + outcome.rows[-1]["val_loss"])
    assert outcome.test == {}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adam", "Adam"), ("sgd", "SGD"), ("momentum", "SGD"), ("rmsprop", "RMSprop")],
)
def test_optimizers_clip_by_value(name, kind):
    optimizer = make_optimizer(spec(optimizer=name, learning_rate=0.01))
    assert type(optimizer).__name__ == kind
    assert optimizer.clipvalue == 0.5
    assert float(optimizer.learning_rate.numpy()) == pytest.approx(0.01)
    if name == "momentum":
        assert optimizer.momentum == 0.9


def test_clipping_acts(few, monkeypatch):
    """A gradient beyond 0.5 moves plain gradient descent by at most 0.5 times the rate."""
    settings = spec("linear", optimizer="sgd", learning_rate=1.0, initializer="recommended")
    model = build_mlp(resolve("linear"), (8, 8, 1), dropout=False)
    for weight in model.trainable_variables:
        weight.assign(weight * 10.0)
    before = [weight.numpy() for weight in model.trainable_variables]
    monkeypatch.setattr(trainer_training, "CHUNK", 1)
    next(Trainer(settings, model, few).train_epoch(1))
    moves = [np.abs(w.numpy() - b).max() for w, b in zip(model.trainable_variables, before)]
    assert max(moves) == pytest.approx(0.5, rel=1e-4)


def test_test_scores_are_those_of_the_predictions(few):
    outcome = train(spec("elu", epochs=3), resolve("elu"), few)
    assert outcome.test["test_accuracy"] == np.mean(outcome.predicted == few.y_test)
    assert outcome.probability.shape == few.y_test.shape


@pytest.mark.parametrize("name", ["gelu", "silu"])
def test_compiled_activations_train_as_plain_ones_do(few, name, monkeypatch):
    ours = train(spec(name, epochs=3), resolve(name), few)
    kept_trainers.forget()
    monkeypatch.setattr(kept_trainers, "compiled", lambda entry, precision: entry)
    plain = train(spec(name, epochs=3), resolve(name), few)
    for a, b in zip(ours.rows, plain.rows, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)


def test_settings_of_keras_do_not_change_the_numbers(few):
    plain = train(spec(), resolve("relu"), few)
    kept = keras.config.floatx()
    try:
        keras.config.set_floatx("float16")
        keras.config.set_dtype_policy("mixed_bfloat16")
        again = train(spec(), resolve("relu"), few)
        assert keras.config.floatx() == "float16"
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_floatx(kept)
        keras.config.set_dtype_policy("float32")
    assert scores(again.rows) == scores(plain.rows)


def test_a_checkpoint_of_other_arrays_is_refused(few):
    trainer = kept_trainers.trainer_for(spec(), resolve("relu"), few)
    arrays = trainer.arrays()
    trainer.restore(arrays)
    texts = [array.astype(str) for array in arrays]
    for others in (texts, arrays[1:], [np.zeros(3), *arrays[1:]], []):
        with pytest.raises(trainer_training.CheckpointError):
            trainer.restore(others)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, trainer.arrays()))
