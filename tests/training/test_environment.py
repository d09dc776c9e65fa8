"""Environment variables that change numbers: they do not, or the name of a run says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark import compare
from benchmark.training import environment
from benchmark.training.spec import RunSpec
from tests.execution.test_comparison import histories

ROOT = Path(__file__).parents[2]
CHANGING = {
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
}
# The third is Terraform's.
HARMLESS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "TF_VAR_password": "secret",
}


def test_what_changes_numbers_is_put_to_its_default():
    cuda = "--xla_gpu_cuda_data_dir=/usr/lib/cuda"
    variables = {**CHANGING, **HARMLESS, "XLA_FLAGS": f"--xla_cpu_enable_fast_math=true {cuda}"}
    assert environment.settled({**variables, "KERAS_BACKEND": "jax"}) == {
        **HARMLESS,
        "XLA_FLAGS": f"{environment.XLA_FLAGS} {cuda}",
        "KERAS_BACKEND": "tensorflow",
    }


@pytest.fixture
def hostile(monkeypatch):
    for name, value in {**CHANGING, "XLA_FLAGS": "--a=1 --b=2"}.items():
        monkeypatch.setenv(name, value)


def test_what_is_kept_travels_with_the_run(hostile):
    kept = environment.kept()
    elsewhere = environment.settled({"TF_ENABLE_ONEDNN_OPTS": "1"}, kept)
    assert elsewhere == {
        **CHANGING,
        "XLA_FLAGS": f"{environment.XLA_FLAGS} --a=1 --b=2",
        "KERAS_BACKEND": "tensorflow",
    }
    assert environment._parsed(kept).keys() == {*CHANGING, "XLA_FLAGS"}


def test_nothing_is_kept_where_nothing_differs(monkeypatch):
    for name in environment._deciding(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("XLA_FLAGS", environment.XLA_FLAGS)
    assert environment.kept() == ""


def test_tensorflow_that_was_loaded_otherwise_is_not_used(hostile):
    # All tests of this process have loaded it by now.
    assert not environment.settle()


def test_the_name_says_what_was_kept():
    spec = RunSpec("digits", "relu", 0)
    kept = RunSpec("digits", "relu", 0, kept_environment="TF_ENABLE_ONEDNN_OPTS=0")
    # As before there was this setting.
    assert spec.run == "digits-cnn-relu-s0-c2e787f9fa"
    assert "kept_environment" not in spec.as_json()
    assert kept.run != spec.run
    assert RunSpec(**kept.as_json()) == kept


def command(output, *more, **variables):
    words = "-m benchmark compare --dataset digits --limit 200 --epochs 2 --seeds 1 --jobs 1"
    return subprocess.run(
        [sys.executable, *words.split(), "--activations", "relu", "--output", str(output), *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, **variables},
    )


@pytest.mark.slow
def test_numbers_are_the_same_in_a_hostile_environment(tmp_path):
    done = command(
        tmp_path / "a", **CHANGING, KERAS_BACKEND="jax", XLA_FLAGS="--no_such_flag_of_xla=1"
    )
    assert done.returncode == 0, done.stderr
    compare(["relu"], "digits", 1, 2, limit=200, jobs=1, output=tmp_path / "b")
    assert histories(tmp_path / "a") == histories(tmp_path / "b")


@pytest.mark.slow
def test_an_environment_that_cannot_be_kept_is_refused(tmp_path):
    done = command(tmp_path / "a", "--keep-environment", XLA_FLAGS="--no_such_flag_of_xla=1")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "TensorFlow does not start with" in done.stderr
    assert "no_such_flag_of_xla" in done.stderr
