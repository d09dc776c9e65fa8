"""What the commands `list`, `status` and `doctor` show."""

import shutil
from collections import Counter

from rich.table import Table

from benchmark import config, datasets, environment
from benchmark.activations import names, resolve
from benchmark.errors import RequestError
from benchmark.progress import say, screen
from benchmark.store import Store


def show_catalogue() -> None:
    """Print the activations, datasets and presets."""
    table = Table("activation", "definition", "initial weights", "also called")
    for name in names():
        entry = resolve(name)
        weights = entry.initializer
        if entry.recommended != entry.initializer:
            weights += f" (recommended: {entry.recommended})"
        table.add_row(name, entry.formula, weights, ", ".join(entry.aliases))
    console = screen()
    console.print(table)
    say(console, "Datasets: auto, " + ", ".join(datasets.NAMES))
    for name, preset in config.PRESETS.items():
        say(
            console,
            f"Preset {name}: seeds {preset.seeds}, epochs {preset.epochs}, {preset.loss},"
            f" validation on {'the test set' if preset.validation == 'test' else 'held-out data'}",
        )


def show_status(output: str) -> None:
    """Print how many of a folder's runs have which status.

    Raises:
        RequestError: the folder holds no runs.
    """
    store = Store(output)
    rows = store.run_states()
    if not rows:
        raise RequestError(f"{output!r} holds no runs: give the --output folder of a comparison")
    table = Table("run", "status", "epochs")
    for run, status, epochs in rows:
        table.add_row(run, status, str(epochs))
    console = screen()
    console.print(table)
    counts = Counter(status for _, status, _ in rows)
    say(console, ", ".join(f"{count} {status}" for status, count in counts.items()))


def show_doctor(data_dir: str | None) -> None:
    """Print what this machine offers and why a GPU is not used, where it is not."""
    console = screen()
    facts = environment.describe()
    for name, version in facts["versions"].items():
        say(console, f"{name}: {version}")
    say(console, f"processor: {facts['processor']}, {facts['cores']} cores for this process")
    say(console, f"memory for this process: {facts['memory_bytes'] / 1e9:.1f} GB")
    say(console, f"free disk here: {shutil.disk_usage('.').free / 1e9:.1f} GB")
    jobs = environment.workers_that_fit(len(facts["gpus"]), 1)
    say(console, f"runs at once by default: {jobs}")
    say(console, gpu_advice())
    for name in datasets.NAMES:
        say(console, f"{name}: {datasets.whereabouts(name, data_dir)}")


def gpu_advice() -> str:
    """Return one line: the GPUs in use, or why none is and what to install."""
    driver = environment.gpu_driver()
    if not driver:
        return (
            "GPU: none. No graphics driver is visible on this machine"
            " (for NVIDIA: `nvidia-smi` must list the card; in a container, start it with the GPU)."
        )
    found = environment.tensorflow_devices()
    if environment.gpus():
        return "GPU: " + ", ".join(found["gpus"])
    if found["gpus"]:
        return "GPU: hidden by CUDA_VISIBLE_DEVICES; unset it to use " + ", ".join(found["gpus"])
    install = 'pip install "tensorflow[and-cuda]"'
    if not found["cuda_build"]:
        return (
            f"GPU: a driver is there ({driver}), but this TensorFlow is built without CUDA."
            f" Remove tensorflow-cpu, then {install} (on Linux or WSL 2)."
        )
    reason = next(
        (line for line in found["messages"].splitlines() if "annot" in line and "lib" in line), ""
    )
    return (
        f"GPU: a driver is there ({driver}), but TensorFlow finds no usable GPU."
        f" Its CUDA libraries are probably missing: {install}. {reason}".strip()
    )
