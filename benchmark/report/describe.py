"""What the commands `list`, `status` and `doctor` show."""

import shutil
from collections import Counter

from rich.table import Table
from rich.text import Text

from benchmark.activations import names, resolve
from benchmark.data import catalogue, loading
from benchmark.errors import RequestError
from benchmark.execution.progress import say, screen
from benchmark.experiments.catalogue import all_experiments
from benchmark.results import provenance
from benchmark.results.folder import Store
from benchmark.training import request


def show_catalogue() -> None:
    """Print the activations, datasets, presets and experiments."""
    table = Table("activation", "definition", "initial weights", "also called")
    for name in names():
        entry = resolve(name)
        weights = entry.initializer
        if entry.recommended != entry.initializer:
            weights += f" (recommended: {entry.recommended})"
        table.add_row(name, entry.formula, weights, ", ".join(entry.aliases))
    lines = ["Datasets: auto, " + ", ".join(catalogue.NAMES)]
    for name, preset in request.PRESETS.items():
        held = "the test set" if preset.validation == "test" else "held-out data"
        lines.append(
            f"Preset {name}: seeds {preset.seeds}, epochs {preset.epochs}, {preset.loss},"
            f" validation on {held}"
        )
    lines += [f"Experiment {made.name}: {made.question}" for made in all_experiments().values()]
    _show([table], lines)


def show_status(output: str) -> None:
    """Print how many of a folder's runs have which status, and which experiments are done.

    Raises:
        RequestError: the folder holds neither.
    """
    store = Store(output)
    runs, measured, failures = store.run_states(), store.measured(), store.failures()
    if not (runs or measured or failures):
        raise RequestError(
            f"{output!r} holds neither runs nor experiments: give the --output folder of an"
            " earlier command"
        )
    tables = []
    if runs:
        tables.append(Table("run", "status", "epochs"))
        for run, state in runs.items():
            tables[-1].add_row(Text(run), state.status, str(state.epochs))
    if measured:
        tables.append(Table("experiment", "status", "seconds"))
        tables[-1].columns[0].overflow = "fold"
        for name in measured:
            record = store.measurement(name) or {"status": "unfinished or damaged", "seconds": ""}
            tables[-1].add_row(Text(name), record["status"], str(record["seconds"]))
    counts = Counter(state.status for state in runs.values())
    lines = [", ".join(f"{count} {status}" for status, count in counts.items())] if runs else []
    lines += [f"Damaged: {run}: {state.problem}" for run, state in runs.items() if state.problem]
    lines += [f"Last attempt at {name} failed: {why}" for name, why in failures.items()]
    _show(tables, lines)


def show_doctor(data_dir: str | None) -> None:
    """Print what this machine offers and why a GPU is not used, where it is not."""
    facts = provenance.describe()
    jobs = provenance.workers_that_fit(len(facts["gpus"]), 1)
    lines = [f"{name}: {version}" for name, version in facts["versions"].items()]
    lines += [
        f"processor: {facts['processor']}, {facts['cores']} cores for this process",
        f"memory for this process: {facts['memory_bytes'] / 1e9:.1f} GB",
        f"free disk here: {shutil.disk_usage('.').free / 1e9:.1f} GB",
        f"runs at once by default: {jobs}",
        gpu_advice(),
    ]
    lines += [f"{name}: {loading.whereabouts(name, data_dir)}" for name in catalogue.NAMES]
    _show([], lines)


def _show(tables: list[Table], lines: list[str]) -> None:
    with screen() as console:
        for table in tables:
            console.print(table)
        for line in lines:
            say(console, line)


def gpu_advice() -> str:
    """Return one line: the GPUs in use, or why none is and what to install."""
    driver = provenance.gpu_driver()
    if not driver:
        return (
            "GPU: none. No graphics driver is visible on this machine"
            " (for NVIDIA: `nvidia-smi` must list the card; in a container, start it with the GPU)."
        )
    found = provenance.tensorflow_devices()
    if provenance.gpus():
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
