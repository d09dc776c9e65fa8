"""What is compiled for a GPU, run on a processor: the same code on another device."""

import functools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.activations import resolve
from benchmark.data import loading
from benchmark.models.networks import NETWORKS, build_cnn
from benchmark.training import kept_trainers
from benchmark.training import trainer as trainer_training
from benchmark.training.loop import Checkpoint, train
from benchmark.training.spec import RunSpec
from benchmark.training.trainer import Trainer, batch_order

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def few():
    """150 training images of digits, 40 for validation and 50 for the test."""
    data = loading.split(loading.load(loading.locate("digits")))
    x, y = data.x_train, data.y_train
    parts = ((0, 150), (150, 190), (190, 240))
    arrays = [array[first:last] for first, last in parts for array in (x, y)]
    return loading.Split(*arrays, data.scale, data.classes)


def spec(activation="relu", **settings):
    common = {"seed": 0, "epochs": 2, "batch_size": 32, "device": "GPU"}
    return RunSpec("digits", activation, **{**common, **settings})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["relu", "gelu", "prelu"])
def test_whole_steps_compiled_as_one_program_agree_with_the_processor(few, name, monkeypatch):
    network = NETWORKS["cnn"]
    monkeypatch.setattr(kept_trainers, "_kept", {})
    # Compiled noise is drawn otherwise: without dropout the numbers are comparable.
    without = functools.partial(network.build, dropout=False)
    monkeypatch.setitem(NETWORKS, "cnn", replace(network, build=without))
    ours = train(spec(name), resolve(name), few)
    plain = train(spec(name, device="CPU"), resolve(name), few)
    for a, b in zip(ours.rows, plain.rows, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
        assert a["val_loss"] == pytest.approx(b["val_loss"], rel=1e-4)
    np.testing.assert_allclose(ours.probability, plain.probability, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_precision_trains_resumes_and_repeats(few, precision, monkeypatch):
    monkeypatch.setattr(kept_trainers, "_kept", {})
    settings, kept = spec("selu", precision=precision, epochs=3), []
    whole = train(
        settings,
        resolve("selu"),
        few,
        on_epoch=lambda state: kept.append(Checkpoint(list(state.rows), state.arrays)),
    )
    assert whole.rows[-1]["loss"] < whole.rows[0]["loss"]
    (trained,) = kept_trainers._kept.values()
    dtypes = {layer.compute_dtype for layer in trained.trainer.model.layers[:-1]}
    assert dtypes == {precision.removeprefix("mixed_")}
    assert trained.trainer.model.layers[-1].compute_dtype == "float32"
    again = train(settings, resolve("selu"), few, kept[0])
    assert np.array_equal(again.probability, whole.probability)


@pytest.mark.slow
def test_a_chunk_of_steps_is_one_call(few, monkeypatch):
    trainer = Trainer(spec(), build_cnn(resolve("relu"), (8, 8, 1)), few)
    monkeypatch.setattr(trainer_training, "CHUNK", 3)
    calls = []
    train_chunk = trainer._train
    monkeypatch.setattr(
        trainer, "_train", lambda rows: calls.append(rows.shape) or train_chunk(rows)
    )
    (*_, (steps, sums)) = trainer.train_epoch(1)
    assert calls == [(3, 32), (1, 32), (1, 22)]
    assert (steps, sums[3]) == (5, 150)
    hlo = trainer._train_by_size[32].experimental_get_compiler_ir(
        batch_order(0, 1, 150)[:96].reshape(3, 32)
    )(stage="hlo")
    # The loop over the steps is inside the program.
    assert "while(" in hlo


PLACED = """
import json, sys
import tensorflow as tf
processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
from benchmark.activations import resolve
from benchmark.data import loading
from benchmark.training import kept_trainers, loop
from benchmark.training.spec import RunSpec
data = loading.split(loading.load(loading.locate("digits")), limit=200)
with tf.device("/CPU:1"):
    outcome = loop.train(RunSpec("digits", "gelu", 0, epochs=1, device=sys.argv[1]),
                             resolve("gelu"), data)
(kept,) = kept_trainers._kept.values()
arrays = [*kept.trainer._variables(), kept.trainer._x, kept.trainer._y]
devices = {getattr(array, "value", array).device for array in arrays}
print(json.dumps([sorted(devices), outcome.rows[0]["loss"]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("device", ["CPU", "GPU"])
def test_variables_and_data_lie_on_the_device_that_trains(device):
    done = subprocess.run(
        [sys.executable, "-c", PLACED, device],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    devices, loss = json.loads(done.stdout.splitlines()[-1])
    assert [name.rpartition("/")[2] for name in devices] == ["device:CPU:1"]
    assert 0 < loss < 5


def test_device_and_precision_are_part_of_a_runs_name():
    one = spec()
    others = [replace(one, device="CPU"), replace(one, precision="mixed_float16")]
    assert len({one.run, *(other.run for other in others)}) == 3
