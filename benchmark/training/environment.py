"""Environment variables that change TensorFlow's numbers: set by us, so that a run's name is enough
to repeat it, or kept as the user has them and part of the name."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping

from benchmark.errors import RequestError

# XLA uses half of an AVX-512 register unless told otherwise. It changes no bit of a result.
XLA_FLAGS = "--xla_cpu_prefer_vector_width=512"
# Switches that choose kernels, algorithms or precision begin so: those of TensorFlow 2.21 by its
# libraries' texts, of XLA, of oneDNN (DNNL in earlier versions) and of NVIDIA's libraries. Not all
# that begin with TF_: Terraform's do too, passwords among them.
_DECIDING = (
    *("TF_ENABLE_", "TF_DISABLE_", "TF_USE_", "TF_AUTO", "TF_DETERMINISTIC_", "TF_FUNCTION_"),
    *("TF_ONEDNN_", "TF_SET_ONEDNN_", "TF_MKL_", "TF_CUDNN_", "TF_CUBLAS_", "TF_CUFFT_"),
    *(
        "TF_CONV2D_",
        "TF_MATMUL_",
        "TF_FP16_",
        "TF_DEBUG_CUDNN_",
        "TF_XLA_",
        "TF_JITRT_",
        "TF_MLIR_",
    ),
    *("TF_NUM_INTEROP_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_OVERRIDE_GLOBAL_THREADPOOL"),
    *("XLA_FLAGS", "ONEDNN_", "DNNL_", "NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG"),
)
# The second says where CUDA is installed.
_HARMLESS_FLAGS = (XLA_FLAGS, "--xla_gpu_cuda_data_dir=")
_START_TENSORFLOW = "import tensorflow as tf; tf.function(lambda: tf.ones(1), jit_compile=True)()"


def kept() -> str:
    """Return the variables here that may change numbers, as `settle` takes them; "" for none."""
    return shlex.join(f"{name}={value}" for name, value in sorted(_deciding(os.environ).items()))


def settled(variables: Mapping[str, str], kept: str = "") -> dict[str, str]:
    """Return an environment under which numbers are those that the names of runs stand for.

    Args:
        variables: an environment; what changes no number is taken over.
        kept: the user's own variables, "NAME=value" with blanks between; by default all are at
            TensorFlow's defaults, as they were when the reference results were recorded.
    """
    deciding, wanted = _deciding(variables), _parsed(kept)
    settled = {name: value for name, value in variables.items() if name not in deciding}
    harmless = [f for f in variables.get("XLA_FLAGS", "").split() if f.startswith(_HARMLESS_FLAGS)]
    flags = dict.fromkeys([XLA_FLAGS, *harmless, *wanted.get("XLA_FLAGS", "").split()])
    return {**settled, **wanted, "XLA_FLAGS": " ".join(flags), "KERAS_BACKEND": "tensorflow"}


def settle(kept: str = "") -> bool:
    """Set the environment of this process before TensorFlow is loaded; see `settled`.

    Returns False where TensorFlow was loaded with other variables, or Keras with another backend.
    """
    keras = sys.modules.get("keras")
    if keras and keras.config.backend() != "tensorflow":
        return False
    if "tensorflow" in sys.modules:
        return _deciding(os.environ) == _parsed(kept)
    wanted = settled(os.environ, kept)
    for name in set(os.environ) - set(wanted):
        del os.environ[name]
    os.environ.update(wanted)
    return True


def check(kept: str) -> None:
    """See in a process of its own that TensorFlow starts with the user's variables: it ends the
    process, without an exception, where it does not know a flag.

    Raises:
        RequestError: it does not start.
    """
    if not kept:
        return
    process = subprocess.run(
        [sys.executable, "-c", _START_TENSORFLOW],
        capture_output=True,
        text=True,
        errors="replace",
        env=settled(os.environ, kept),
    )
    if process.returncode:
        last = (process.stderr.strip().splitlines() or ["no word"])[-1]
        raise RequestError(
            f"TensorFlow does not start with {kept} ({last[:200]}): unset that, or leave out"
            " --keep-environment"
        )


def _deciding(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that may change numbers, XLA's flags without those that change none."""
    deciding = {name: value for name, value in variables.items() if name.startswith(_DECIDING)}
    flags = deciding.pop("XLA_FLAGS", "").split()
    if flags := [flag for flag in flags if not flag.startswith(_HARMLESS_FLAGS)]:
        deciding["XLA_FLAGS"] = " ".join(flags)
    return deciding


def _parsed(kept: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(kept))
