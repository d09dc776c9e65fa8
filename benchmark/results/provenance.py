"""What a result needs to be trusted later: versions, commit, processor, accelerator, limits."""

import contextlib
import functools
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmark.training import environment

PACKAGES = ("tensorflow", "keras", "numpy", "pandas", "matplotlib", "distributed", "scikit-learn")
# What a worker needs at most, seen after the whole catalogue on MNIST at batch 128, all compiled; a
# worker more than fits is a worker that the system kills.
WORKER_BYTES = 2_000_000_000

# Names in /proc/cpuinfo, of x86 and of ARM.
_KIND = {
    "vendor_id": "vendor",
    "cpu family": "family",
    "model": "model",
    "stepping": "stepping",
    "flags": "instruction_sets",
    "CPU implementer": "vendor",
    "CPU architecture": "family",
    "CPU part": "model",
    "CPU revision": "stepping",
    "Features": "instruction_sets",
}
# Instruction sets that compute with floating-point numbers begin so.
_ARITHMETIC = ("sse", "ssse", "avx", "amx", "fma", "f16c", "asimd", "sve", "sme", "bf16", "fphp")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide or draw the numbers."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(package: str) -> str:
    # The CPU build of TensorFlow is a package of another name.
    for name in (package, f"{package}-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "not installed"


def git_commit() -> str:
    """Return the commit of this code, "+changes" behind it if files differ; "" outside git."""
    package = Path(__file__).resolve().parents[1]

    def git(*words: str) -> str:
        command = ["git", "-C", str(package), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        tracked = git("ls-files", "--", str(package))
        changes = git("status", "--porcelain", "--untracked-files=no", "--", str(package))
    except (OSError, subprocess.SubprocessError):
        return ""
    # Installed under an unrelated checkout, the files are not that checkout's.
    return f"{commit}{'+changes' if changes else ''}" if commit and tracked else ""


def processor() -> str:
    """Return the name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def processor_kind(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """Return vendor, family, model, stepping and instruction sets, as far as the system (Linux)
    tells them. They decide which kernels run, and with them how numbers are rounded."""
    try:
        first = cpuinfo.read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    facts = {name.strip(): value.strip() for name, _, value in pairs}
    kind = {ours: facts[name] for name, ours in _KIND.items() if name in facts}
    sets = kind.get("instruction_sets", "").split()
    return {**kind, "instruction_sets": " ".join(s for s in sets if s.startswith(_ARITHMETIC))}


def cores() -> int:
    """Return how many cores this process may use, container limits and affinity heeded."""
    from dask.system import CPU_COUNT

    return CPU_COUNT


def load_average() -> float | None:
    """Return the machine's load average over the last minute, per core; None on Windows.

    In a container too it is of the whole machine, and so are the cores it is divided by.
    """
    try:
        return round(os.getloadavg()[0] / (os.cpu_count() or 1), 3)
    except (AttributeError, OSError):
        return None


def memory_bytes() -> int:
    """Return the bytes of memory this process may use, container limits heeded."""
    from distributed.system import MEMORY_LIMIT

    return int(MEMORY_LIMIT)


def gpu_driver() -> str:
    """Return what shows a GPU's driver on this machine, or ""."""
    for path in ("/proc/driver/nvidia/version", "/dev/nvidia0", "/dev/dxg", "/dev/kfd"):
        if Path(path).exists():
            return path
    return ""


_ASK_TENSORFLOW = """
import json, tensorflow as tf
gpus = tf.config.list_physical_devices("GPU")
details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
print(json.dumps({
    "gpus": [str(detail.get("device_name", "GPU")) for detail in details],
    "cuda_build": tf.test.is_built_with_cuda(),
}))
"""


@functools.cache
def tensorflow_devices() -> dict[str, Any]:
    """Ask TensorFlow, in a process of its own, for its GPUs and build.

    Returns keys "gpus" (names), "cuda_build", and "messages" (what TensorFlow wrote).
    """
    process = subprocess.run(
        [sys.executable, "-c", _ASK_TENSORFLOW],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment.settled(os.environ),
    )
    lines = process.stdout.strip().splitlines()
    answer = json.loads(lines[-1]) if process.returncode == 0 and lines else {}
    return {"gpus": [], "cuda_build": False, **answer, "messages": process.stderr}


def gpus() -> list[str]:
    """Return the names of the GPUs that TensorFlow can use; quick where there is no driver."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return [] if hidden or not gpu_driver() else list(tensorflow_devices()["gpus"])


def workers_that_fit(gpu_count: int, threads: int) -> int:
    """Return how many runs at once keep this machine busy: one per GPU, else one per core.

    Memory is heeded: each worker is given room for the largest run.
    """
    if gpu_count:
        return gpu_count
    return max(1, min(cores() // threads, memory_bytes() // WORKER_BYTES))


def describe() -> dict[str, Any]:
    """Return the environment as a dictionary that JSON can hold."""
    return {
        "versions": versions(),
        "git_commit": git_commit(),
        "platform": platform.platform(),
        "processor": processor(),
        "processor_kind": processor_kind(),
        "cores": cores(),
        "memory_bytes": memory_bytes(),
        "gpus": gpus(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def reset_peak_memory() -> None:
    """Begin a new peak of this process's memory, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float:
    """Return the peak of this process's resident memory in megabytes (10⁶ bytes)."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    except OSError:
        pass
    import psutil

    return round(psutil.Process().memory_info().rss / 1e6, 1)
