"""What is compiled for a GPU, run on a processor: the same code on another device."""

import functools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from benchmark.activations import Activation, resolve
from benchmark.data import loading
from benchmark.models.networks import NETWORKS, build_mlp
from benchmark.training import kept_trainers
from benchmark.training import trainer as trainer_training
from benchmark.training.loop import Checkpoint, train
from benchmark.training.spec import RunSpec
from benchmark.training.trainer import Trainer
from tests.activations.test_checks import branches

ROOT = Path(__file__).parents[2]


def digits(n):
    """Return n training images of digits, 40 for validation and 50 for the test."""
    data = loading.split(loading.load(loading.locate("digits")))
    x, y = data.x_train, data.y_train
    parts = ((0, n), (n, n + 40), (n + 40, n + 90))
    arrays = [array[first:last] for first, last in parts for array in (x, y)]
    return loading.Split(*arrays, data.scale, data.classes)


@pytest.fixture(scope="module")
def few():
    """Images of which a whole number of batches is trained: each size of batch is compiled."""
    return digits(128)


@pytest.fixture(autouse=True)
def small_evaluation(monkeypatch):
    """Evaluation in batches of the few images that there are."""
    monkeypatch.setitem(trainer_training.EVALUATION_BATCH, "GPU", 50)


def spec(activation="relu", **settings):
    common = {"seed": 0, "epochs": 2, "batch_size": 32, "device": "GPU"}
    return RunSpec("digits", activation, **{**common, **settings})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["relu", "gelu", "prelu"])
def test_whole_steps_compiled_as_one_program_agree_with_the_processor(few, name, monkeypatch):
    network = NETWORKS["cnn"]
    kept_trainers.forget()
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
def test_precision_trains_resumes_and_repeats(few, precision):
    settings, kept = spec("selu", precision=precision, epochs=3), []
    whole = train(
        settings,
        resolve("selu"),
        few,
        on_epoch=lambda state: kept.append(Checkpoint(list(state.rows), state.arrays)),
    )
    assert whole.rows[-1]["loss"] < whole.rows[0]["loss"]
    *hidden, output = kept_trainers.trainer_for(settings, resolve("selu"), few).model.layers
    assert {layer.compute_dtype for layer in hidden} == {precision.removeprefix("mixed_")}
    assert output.compute_dtype == "float32"
    again = train(settings, resolve("selu"), few, kept[0])
    assert np.array_equal(again.probability, whole.probability)


@pytest.mark.slow
def test_a_chunk_of_steps_is_one_call(monkeypatch):
    calls, function = [], tf.function

    def recording(python_function=None, **options):
        program = function(python_function, **options)
        if not options.get("input_signature"):
            return program  # not of training steps

        def call(batches):
            calls.append((program, batches))
            return program(batches)

        return call

    monkeypatch.setattr(trainer_training.tf, "function", recording)
    trainer = Trainer(spec(), build_mlp(resolve("relu"), (8, 8, 1)), digits(150))
    monkeypatch.setattr(trainer_training, "CHUNK", 3)
    (*_, (steps, sums)) = trainer.train_epoch(1)
    assert [tuple(batches.shape) for _, batches in calls] == [(3, 32), (1, 32), (1, 22)]
    assert (steps, sums[3]) == (5, 150)
    program, batches = calls[0]
    # The loop over the steps is inside the program.
    assert "while(" in program.experimental_get_compiler_ir(batches)(stage="hlo")


def test_what_xla_cannot_compile_is_trained_without_it(few):
    entry = Activation("branches", branches, is_user=True, compiled=False)
    outcome = train(spec("branches", model="mlp", epochs=1), entry, few)
    assert outcome.status == "complete"


PLACED = """
import json
import tensorflow as tf
processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
from benchmark.activations import resolve
from benchmark.data import loading
from benchmark.training import kept_trainers, loop, trainer
from benchmark.training.spec import RunSpec
trainer.EVALUATION_BATCH["GPU"] = 100
data = loading.split(loading.load(loading.locate("digits")), limit=200)
for device in ("CPU", "GPU"):
    spec = RunSpec("digits", "gelu", 0, model="mlp", epochs=1, device=device)
    with tf.device("/CPU:1"):
        outcome = loop.train(spec, resolve("gelu"), data)
        used = kept_trainers.trainer_for(spec, resolve("gelu"), data)
    arrays = [*used.model.variables, *used.optimizer.variables, used.x, used.y]
    devices = {getattr(array, "value", array).device for array in arrays}
    print(json.dumps([sorted(devices), outcome.rows[0]["loss"]]))
"""


@pytest.mark.slow
def test_variables_and_data_lie_on_the_device_that_trains():
    done = subprocess.run(
        [sys.executable, "-c", PLACED], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for line in done.stdout.splitlines()[-2:]:
        devices, loss = json.loads(line)
        assert [name.rpartition("/")[2] for name in devices] == ["device:CPU:1"]
        assert 0 < loss < 5


def test_device_and_precision_are_part_of_a_runs_name():
    one = spec()
    others = [replace(one, device="CPU"), replace(one, precision="mixed_float16")]
    assert len({one.run, *(other.run for other in others)}) == 3
