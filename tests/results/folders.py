"""Small folders of results, recorded as a comparison does, and what people do to them."""

import gzip
import hashlib
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmark import api
from benchmark.results.folder import Store
from benchmark.results.formats import write_record
from benchmark.training.loop import Outcome
from benchmark.training.spec import RunSpec

REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "mnist1d"
LABELS = np.arange(40) % 4
KINDS = ("cut", "empty", "changed", "mark", "not text", "folder", "link", "gone")
PREDICTED = np.where(np.arange(40) < 36, LABELS, (LABELS + 1) % 4)


def spec_of(activation="relu", seed=0, **settings):
    # Not digits, whose images would be read for every report.
    return RunSpec("mnist", activation, seed, epochs=2, data_sha256="0" * 64, **settings)


def finish(store, spec, loss=0.5, seconds=0.25):
    """Record a complete run of two epochs and return its folder."""
    rows = [
        {
            "epoch": epoch,
            "loss": loss / epoch,
            "accuracy": 0.45 * epoch,
            "val_loss": loss / epoch,
            "val_accuracy": 0.4 * epoch,
            "seconds": seconds,
        }
        for epoch in (1, 2)
    ]
    test = {"test_loss": 0.3, "test_accuracy": 0.9}
    outcome = Outcome("complete", rows, test, PREDICTED, np.full(40, 0.75, np.float32), 42)
    facts = {
        "environment": {"versions": {"python": "3.11"}, "gpus": [], "processor": "EPYC"},
        "data": {"name": "mnist", "origin": "here", "sha256": spec.data_sha256},
        "purpose": "comparison",
        "activation": {"name": spec.activation, "formula": "x", "sha256": "", "index": 3},
        "peak_memory_mb": 100.0,
        "finished": "2026-01-01T00:00:00Z",
    }
    folder = store.folder(spec.run)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.log.write_text("epoch 1\n")
    folder.finish(spec, outcome, LABELS, facts)
    return folder


def comparison(path, experiment="worked_examples"):
    """Record three runs and an experiment, and write the tables."""
    store = Store(path)
    store.prepare()
    specs = [spec_of("relu"), spec_of("relu", 1), spec_of("elu")]
    for spec in specs:
        finish(store, spec)
    (path / "experiments").mkdir()
    for ending in ("csv", "json"):
        shutil.copy(REFERENCE / f"experiments/{experiment}.{ending}", path / "experiments")
    store.write_environment({"versions": {"python": "3.11"}, "cores": 2})
    given, resolved = {"words": ["python", "-m", "benchmark"]}, {}
    request = {"command": "compare", "given": given, "resolved": resolved}
    write_record(path / "request.json", {"requests": [request]})
    report(path)
    return store


def report(path):
    """Make the tables of a folder anew; return what is said."""
    shown = io.StringIO()
    api.rebuild(path, console=Console(file=shown, width=300))
    return shown.getvalue()


def reseal(folder, change=lambda record: None, **files):
    """Change a record, or give a run other files, with the checksums of a run that left them."""
    record = json.loads((folder / "run.json").read_text())
    record.pop("seal")
    for name, text in files.items():
        ending, content = ".csv", text.encode()
        if name == "predictions":
            ending, content = ".csv.gz", gzip.compress(content)
        (folder / f"{name}{ending}").write_bytes(content)
        record["checksums"][f"{name}{ending}"] = hashlib.sha256(content).hexdigest()
    change(record)
    write_record(folder / "run.json", record)


def age(folder, probability=0.75001):
    """Make a run one of an earlier version: predictions not compressed, with every digit."""
    table = gzip.decompress((folder / "predictions.csv.gz").read_bytes()).decode()
    older = table.replace("0.75\n", f"{probability}\n").encode()
    (folder / "predictions.csv.gz").unlink()
    (folder / "predictions.csv").write_bytes(older)
    checksum = hashlib.sha256(older).hexdigest()

    def change(record):
        record["checksums"].pop("predictions.csv.gz")
        record["checksums"]["predictions.csv"] = checksum

    reseal(folder, change)


def damage(path, kind, outside=None):
    """Damage a file in one of `KINDS`; what it is then a link to lies in the folder `outside`."""
    data = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
        (path / "mine").write_text("kept")
    elif kind == "link":
        target = (outside or path.parent.parent) / f"target of {path.name}"
        target.write_bytes(data)
        path.symlink_to(target)
    elif kind != "gone":
        path.write_bytes(
            {
                "cut": data[: len(data) // 2],
                "empty": b"",
                "changed": _with_another_digit(data),
                "mark": b"\xef\xbb\xbf" + data,
                "not text": data[:-1] + b"\xff" + data[-1:],
            }[kind]
        )


def _with_another_digit(data):
    """Change the last decimal of all, which no reader can tell from a right one."""
    digits = list(re.finditer(rb"\.[0-8]", data)) or list(re.finditer(rb"[0-8]", data))
    if not digits:
        return data + b"9"
    place = digits[-1].end()
    return data[: place - 1] + b"9" + data[place:]


def contents(path):
    """Return every file below a folder, with its bytes, and every link with its target."""
    return {
        str(file.relative_to(path)): file.readlink() if file.is_symlink() else file.read_bytes()
        for file in path.rglob("*")
        if file.is_symlink() or (file.is_file() and file.name != ".lock")
    }
