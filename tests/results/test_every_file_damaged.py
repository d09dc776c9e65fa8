"""Each file of a results folder damaged in each way, and what each command makes of it.

Nothing damaged is believed, no traceback, other runs stay, and `compare` makes the folder whole.
"""

import functools
import io
import os
import pickle
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from benchmark import cli
from benchmark.execution import training_run
from benchmark.experiments import figures
from benchmark.formatting import some
from benchmark.report import build
from benchmark.results import provenance, tables
from benchmark.results.folder import Store
from benchmark.training import loop
from tests.results.folders import KINDS, REFERENCE, contents, damage

# All of them take minutes; without this, each file is damaged in one way.
ALL = bool(os.environ.get("BENCHMARK_TEST_DAMAGES"))
WORDS = "--dataset digits --limit 200 --epochs 2 --seeds 1 --jobs 1 --activations".split()
COMPARE = ("compare", *WORDS, "relu,elu,selu")
METRICS = ("loss", "accuracy", "binary_accuracy")
# What a finished run is believed by.
OF_A_RUN = ("run.json", "history.csv", "predictions.csv.gz")
EXPERIMENT = "worked_examples"
INTERRUPTED: set[str] = set()


def train(spec, activation, data, resume=None, on_epoch=None, on_steps=None):
    """Stand in for training: goes on from a checkpoint, whose numbers come back."""
    rows = list(resume.rows) if resume else []
    while len(rows) < spec.epochs:
        value = len(spec.activation) / (10 + len(rows))
        scores = {f"{part}{name}": value for part in ("", "val_") for name in METRICS}
        rows.append({"epoch": len(rows) + 1, **scores, "seconds": 0.25})
        on_epoch(loop.Checkpoint(rows, [np.arange(4.0)]))
        if spec.activation in INTERRUPTED:
            raise KeyboardInterrupt
    wrong = np.arange(len(data.y_test)) % (5 + len(spec.activation)) == 0
    test = {"test_loss": 0.3, "test_accuracy": float(1 - wrong.mean())}
    predicted, probability = (data.y_test + wrong) % 10, np.full(len(wrong), 0.75, np.float32)
    return loop.Outcome("complete", rows, test, predicted, probability, 42)


def once(function):
    """Compute what a pure function gives of the same arguments once."""
    known = {}

    @functools.wraps(function)
    def remembered(*arguments):
        key = pickle.dumps(arguments)
        if key not in known:
            known[key] = function(*arguments)
        return known[key].copy()

    return remembered


@pytest.fixture(scope="module", autouse=True)
def stand_ins():
    """Training, figures and page in no time, on a machine that is always the same."""
    facts = {**provenance.describe(), "time": "2026-01-01T00:00:00Z"}

    def drawn(store, name):
        return store.write_figure(name, {"png": b"\x89PNG 0.5", "svg": b"<svg>0.5</svg>"})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train", train)
        patch.setattr(training_run, "peak_memory_mb", lambda: 100.5)
        patch.setattr(provenance, "describe", lambda: facts)
        patch.setattr(os, "getloadavg", lambda: (0.5, 0.5, 0.5))
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr(build, "write_figures", lambda store, *rest: drawn(store, "accuracy"))
        patch.setattr(figures, "draw_experiment", lambda store, name, *rest: drawn(store, name))
        patch.setattr(build, "write_page", lambda store: store.write_text("report.html", "0.5"))
        for module, names in (
            (tables.summary, ("summarize", "time_to_accuracy", "tuning")),
            (tables.comparisons, ("compare", "all_pairs", "compared_runs")),
            (tables.confusion, ("confusion", "misclassified", "best_and_worst")),
        ):
            for name in names:
                patch.setattr(module, name, once(getattr(module, name)))
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Two finished runs and an unfinished one, an experiment and a failed one; not to be changed.

    A second folder, for `merge`, lies beside it.
    """
    folder = tmp_path_factory.mktemp("whole") / "a"
    assert cli.main([*COMPARE, "--output", str(folder)]) == 0
    shutil.rmtree(folder / "runs" / run_of(folder, "selu"))
    INTERRUPTED.add("selu")
    assert cli.main([*COMPARE, "--output", str(folder)]) == 130
    INTERRUPTED.clear()
    (folder / "experiments").mkdir()
    for ending in ("csv", "json"):
        shutil.copy(REFERENCE / f"experiments/{EXPERIMENT}.{ending}", folder / "experiments")
    (folder / "experiments/losses.error.txt").write_text("ValueError: 0.5\n")
    (folder / "log.txt").write_text("a line\n")
    assert cli.main(["report", "--output", str(folder)]) == 0
    other = folder.with_name("b")
    assert cli.main(["compare", *WORDS, "tanh", "--output", str(other)]) == 0
    return folder


def run_of(folder, activation):
    (path,) = folder.glob(f"runs/*-{activation}-*")
    return path.name


class Tables(NamedTuple):
    """The tables of a comparison; of those that list runs, the lines without some of them."""

    history: list[str]
    runs: list[str]
    derived: dict[str, str]


def tables_in(folder, left_out=""):
    texts = {path.name: path.read_text() for path in folder.glob("*.csv")}
    history = texts.pop("history.csv").splitlines()
    runs = pd.read_csv(io.StringIO(texts.pop("runs.csv")), dtype=str).drop(columns="error")
    runs = runs[runs["run"] != left_out].to_csv(index=False).splitlines()
    history = [line for line in history if line.rpartition(",")[2] != left_out]
    return Tables(sorted(history), sorted(runs), texts)


@pytest.fixture(scope="module")
def tables_without(whole, tmp_path_factory):
    """What the tables are after a command if a run was never begun, and perhaps not listed."""

    @functools.cache
    def tables_after(command, run="", listed=True):
        folder = tmp_path_factory.mktemp("without") / "a"
        shutil.copytree(whole, folder)
        if run:
            shutil.rmtree(folder / "runs" / run)
        if not listed:
            (folder / "runs.csv").unlink()
        output = folder.with_name("merged") if command == "merge" else folder
        assert cli.main([*words_of(command, folder, whole), "--output", str(output)]) == 0
        return tables_in(output)

    return tables_after


def words_of(command, folder, whole):
    if command == "compare":
        return COMPARE
    return ["merge", str(folder), str(whole.with_name("b"))] if command == "merge" else [command]


class Damaged(NamedTuple):
    """A damaged file, by its path in the folder, and what is lost with it."""

    path: Path
    kind: str

    @property
    def is_refused(self):
        """Whether it may be somebody else's, which no command touches."""
        return self.path == Path(".lock") and self.kind in ("folder", "link")

    @property
    def run(self):
        """The finished run that is not whole any more."""
        lost = self.path.name in OF_A_RUN and self.path.parts[0] == "runs"
        # The mark changes nothing in JSON.
        lost &= (self.path.name, self.kind) != ("run.json", "mark")
        return self.path.parent.name if lost and "selu" not in self.path.parent.name else ""

    @property
    def has_no_record(self):
        return self.path.name == "run.json" and self.kind == "gone"

    @property
    def spoils_experiment(self):
        readable = (self.path.suffix, self.kind) == (".json", "mark")
        return self.path.parts[0] == "experiments" and self.path.stem == EXPERIMENT and not readable

    @property
    def spoils_list(self):
        """Whether the settings of the unfinished run are nowhere any more."""
        return self.path == Path("runs.csv") and self.kind not in ("changed", "mark")


@pytest.mark.parametrize("kind", KINDS)
def test_each_file_damaged(whole, tables_without, tmp_path, capsys, kind):
    paths = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert len(paths) * len(KINDS) > 250
    for path in paths if ALL else paths[KINDS.index(kind) :: len(KINDS)]:
        try:
            check(Damaged(path, kind), whole, tables_without, tmp_path, capsys)
        except BaseException as error:
            error.add_note(f"{path}: {kind}")
            raise
        for folder in tmp_path.iterdir():
            shutil.rmtree(folder)


def check(damaged, whole, tables_without, tmp_path, capsys):
    folder, compared, merged = (tmp_path / name for name in ("a", "compared", "merged"))
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copytree(whole, folder)
    damage(folder / damaged.path, damaged.kind, outside)
    shutil.copytree(folder, compared, symlinks=True)
    before, elsewhere = contents(folder), contents(outside)

    def screen_of(command, output):
        """Run a command; it ends well, or is refused in one line."""
        capsys.readouterr()
        code = cli.main([*words_of(command, folder, whole), "--output", str(output)])
        screen, errors = capsys.readouterr()
        wanted = (2, 1) if damaged.is_refused else (0, 0)
        assert (code, len(errors.splitlines())) == wanted, errors
        assert contents(outside) == elsewhere
        return " ".join(screen.split())

    status, merging = screen_of("status", folder), screen_of("merge", merged)
    # Neither changes what it reads.
    assert contents(folder) == before
    reporting, comparing = screen_of("report", folder), screen_of("compare", compared)
    if damaged.is_refused:
        assert contents(folder) == contents(compared) == before
        return
    check_what_is_said(damaged, whole, status, merging, reporting, comparing)
    check_report(damaged, whole, folder, before, tables_without)
    check_merged(damaged, whole, merged, tables_without)
    check_compared(damaged, compared, before, tables_without)


def check_what_is_said(damaged, whole, status, merging, reporting, comparing):
    run, file = damaged.run, damaged.path.name
    if run and not damaged.has_no_record:
        assert f"Damaged: {run}: {file}" in status
        assert f"Damaged, left out of all tables: {run}: {file}" in reporting
        assert f"Damaged, done again: {run}." in comparing
    else:
        assert "Damaged" not in status + reporting + comparing
    unfinished = run_of(whole, "selu")
    lost = [run] if run else []
    lost += [unfinished, EXPERIMENT] if damaged.spoils_experiment else [unfinished]
    assert f"Left out, unfinished or damaged: {some(sorted(lost))}." in merging
    left_out = f"Unfinished, with settings unknown, and left out: {unfinished}." in reporting
    assert left_out == damaged.spoils_list
    again = f"Unfinished or damaged, and left out: {EXPERIMENT}." in reporting
    assert again == damaged.spoils_experiment == ("unfinished or damaged" in status)


def check_report(damaged, whole, folder, before, tables_without):
    left_out = run_of(whole, "selu") if damaged.spoils_list else damaged.run
    found, complete = tables_in(folder, left_out), tables_in(whole, left_out)
    assert found.runs == complete.runs
    assert found.history == complete.history
    assert found.derived == tables_without("report", left_out, not damaged.spoils_list).derived
    assert (EXPERIMENT in (folder / "experiments/claims.csv").read_text()) != (
        damaged.spoils_experiment
    )
    kept = {name: data for name, data in before.items() if name.startswith("runs/")}
    assert kept.items() <= contents(folder).items()


def check_merged(damaged, whole, merged, tables_without):
    assert tables_in(merged) == tables_without("merge", damaged.run)
    runs = {run_of(whole, name) for name in ("relu", "elu")} - {damaged.run}
    for run in runs:
        assert Store(merged).folder(run).done() == Store(whole).folder(run).done()
    assert len(list(merged.glob("runs/*"))) == len(runs) + 1
    assert (Store(merged).measurement(EXPERIMENT) is None) == damaged.spoils_experiment


def check_compared(damaged, folder, before, tables_without):
    """All is as if nothing had happened; runs that were whole were not touched."""
    assert tables_in(folder) == tables_without("compare")
    assert [state.status for state in Store(folder).run_states().values()] == ["complete"] * 3
    done_again = tuple(run for run in (damaged.run, run_of(folder, "selu")) if run)
    after = contents(folder)
    for name, data in before.items():
        if name.startswith("runs/") and name.split("/")[1] not in done_again:
            assert after[name] == data
