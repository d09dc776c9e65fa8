"""Whatever happened to a file: a run that is not whole is not believed, and the others stay."""

import itertools
import os
import re
import shutil

import pandas as pd
import pytest

from benchmark.errors import RequestError
from benchmark.report import contents as report_contents
from benchmark.report import describe
from benchmark.results import checkpoint
from benchmark.results.folder import Store
from benchmark.results.formats import remove
from benchmark.results.merge import merge
from tests.results.folders import (
    KINDS,
    REFERENCE,
    comparison,
    contents,
    damage,
    finish,
    report,
    spec_of,
)

METRICS = ("loss", "accuracy", "binary_accuracy")


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """A small comparison with an experiment; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        from benchmark.experiments import figures
        from benchmark.report import build

        patch.setattr(build, "write_page", lambda store: None)
        patch.setattr(build, "write_figures", lambda *words: [])
        patch.setattr(figures, "draw_experiment", lambda *words: [])
        return comparison(tmp_path_factory.mktemp("recorded") / "a").path


@pytest.fixture
def folder(recorded, tmp_path, tables_only):
    """A copy of it."""
    shutil.copytree(recorded, tmp_path / "a")
    return tmp_path / "a"


def tables(folder):
    names = ("history", "runs", "summary", "comparisons", "experiments/claims")
    return {name: (folder / f"{name}.csv").read_bytes() for name in names}


def test_a_damaged_run_is_in_no_table_and_named(tmp_path, tables_only):
    store, damaged = Store(tmp_path / "a"), {}
    store.prepare()
    whole = [finish(store, spec_of("elu", seed)).path.name for seed in range(2)]
    files = ("run.json", "history.csv", "predictions.csv.gz")
    # The mark changes nothing in JSON.
    cases = [case for case in itertools.product(files, KINDS) if case != ("run.json", "mark")]
    for seed, (name, kind) in enumerate(cases):
        damaged[finish(store, spec_of("relu", seed)).path / name] = kind
    report(store.path)
    assert len(pd.read_csv(store.path / "history.csv")) == 2 * (2 + len(damaged))
    for path, kind in damaged.items():
        damage(path, kind)
    said = report(store.path)
    runs = pd.read_csv(store.path / "runs.csv").set_index("run")
    # Nothing is written back shorter than it was.
    assert len(runs) == 2 + len(damaged)
    for path, kind in damaged.items():
        run = path.parent.name
        gone = path.name == "run.json" and kind == "gone"
        assert runs.loc[run, "status"] == ("unfinished" if gone else "damaged"), path
        scores = ["accuracy", "val_accuracy", "test_accuracy", "seconds"]
        assert runs.loc[run, scores].isna().all(), path
        assert gone or f"Damaged, left out of all tables: {run}: {path.name}" in said
        assert store.folder(run).done() is None
    unfinished = set(runs.index[runs["status"] == "unfinished"])
    history = pd.read_csv(store.path / "history.csv")
    assert set(history["run"]) - unfinished == set(whole)
    summary = pd.read_csv(store.path / "summary.csv").set_index("activation")
    assert summary["n_completed"].to_dict() == {"elu": 2, "relu": 0}
    assert summary.loc["relu", "n_unfinished"] == len(damaged)
    other = Store(tmp_path / "b")
    other.prepare()
    finish(other, spec_of("elu", 2))
    merge([store.path, other.path], tmp_path / "c")
    assert {path.name for path in (tmp_path / "c/runs").iterdir()} == {
        *whole,
        spec_of("elu", 2).run,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_tables_are_made_anew_from_the_runs(folder, tmp_path, kind):
    before = tables(folder)
    outside = folder.parent / "outside"
    outside.mkdir()
    for path in [*folder.glob("*.csv"), *folder.glob("*.json"), *folder.glob("runs/*/log.txt")]:
        damage(path, kind)
    for path in folder.rglob("target of *"):
        shutil.move(path, outside / path.name)
    for link in (path for path in folder.rglob("*") if path.is_symlink()):
        target = outside / link.readlink().name
        link.unlink()
        link.symlink_to(target)
    left = contents(outside)
    report(folder)
    assert tables(folder) == before
    assert contents(outside) == left
    assert len(report_contents.read(folder).runs) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_experiment_is_left_out(folder, tmp_path, kind):
    for ending in ("csv", "json"):
        if (ending, kind) == ("json", "mark"):
            continue
        path = folder / f"experiments/worked_examples.{ending}"
        data = path.read_bytes()
        damage(path, kind)
        assert Store(folder).measurement("worked_examples") is None
        merge([folder, _other(tmp_path)], tmp_path / f"without {ending}")
        assert not (tmp_path / f"without {ending}/experiments").exists()
        remove(path)
        path.write_bytes(data)


def _other(tmp_path):
    store = Store(tmp_path / "b")
    store.prepare()
    finish(store, spec_of("elu", 2))
    return store.path


def test_a_list_of_runs_that_was_cut_is_made_anew(folder):
    path, store = folder / "runs.csv", Store(folder)
    text, before = path.read_bytes(), store.recorded()
    assert len(before) == 3
    ends = [match.end() for match in re.finditer(b"\n", text)]
    for length in sorted({*range(0, len(text), 40), *ends}):
        path.write_bytes(text[:length])
        assert store.recorded().keys() == before.keys(), length
    assert store.survey().notes == []
    path.write_bytes(text[: ends[1]])
    assert "runs.csv is damaged: the runs are listed anew from runs/." in report(folder)
    assert path.read_bytes() == text


def test_runs_that_are_no_longer_listed_stay_so(folder):
    finish(Store(folder), spec_of("tanh"))
    assert spec_of("tanh").run not in Store(folder).recorded()


@pytest.mark.parametrize("lost", ["the folder", "every record", "what is in the records"])
def test_tables_without_a_record_of_any_run_are_kept(folder, lost):
    if lost == "the folder":
        shutil.rmtree(folder / "runs")
    for path in folder.glob("runs/*/run.json"):
        damage(path, "gone" if lost == "every record" else "changed")
    before = contents(folder)
    with pytest.raises(RequestError) as caught:
        report(folder)
    assert "record" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert contents(folder) == before


def test_a_run_with_neither_record_nor_row_is_named(folder):
    (folder / "runs.csv").unlink()
    damage(folder / "runs" / spec_of("elu").run / "run.json", "cut")
    said = report(folder)
    assert f"Damaged, with settings unknown, and left out: {spec_of('elu').run}." in said


def test_a_damaged_table_without_runs_says_what_helps(folder):
    shutil.rmtree(folder / "runs")
    damage(folder / "runs.csv", "not text")
    with pytest.raises(RequestError, match="bring that folder back, or remove the table"):
        report(folder)


def test_epochs_of_an_unfinished_run_are_those_of_its_checkpoint(folder):
    """Its history.csv has no checksum yet."""
    unfinished, before = Store(folder).folder(spec_of("relu").run), tables(folder)
    metrics = [f"{part}{name}" for part in ("", "val_") for name in METRICS]
    rows = [{**dict.fromkeys(metrics, 0.25), "epoch": 1, "seconds": 0.25}]
    unfinished.write_history(spec_of("relu"), rows)
    checkpoint.write(unfinished.path / "checkpoint", rows, [])
    remove(unfinished.path / "run.json")
    report(folder)
    right = tables(folder)
    assert right != before
    path = unfinished.path / "history.csv"
    path.write_text(path.read_text().replace("0.25", "0.99"))
    report(folder)
    assert tables(folder) == right


def test_an_unfinished_run_that_is_listed_nowhere_any_more_is_named(folder):
    run = spec_of("relu").run
    remove(folder / "runs" / run / "run.json")
    assert "with settings unknown" not in report(folder)
    damage(folder / "runs.csv", "cut")
    assert f"Unfinished, with settings unknown, and left out: {run}." in report(folder)


@pytest.mark.parametrize(("ending", "kind"), [("csv", "gone"), ("csv", "cut"), ("json", "empty")])
def test_an_experiment_that_is_left_out_is_named(folder, ending, kind, capsys):
    damage(folder / f"experiments/worked_examples.{ending}", kind)
    assert "Unfinished or damaged, and left out: worked_examples." in report(folder)
    describe.show_status(str(folder))
    assert "unfinished or damaged" in capsys.readouterr().out


def test_line_ends_of_windows_are_no_damage(folder, tmp_path):
    before = tables(folder)
    for path in [*folder.rglob("*.csv"), *folder.rglob("*.json")]:
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert {state.status for state in Store(folder).run_states().values()} == {"complete"}
    report(folder)
    assert tables(folder) == before
    merge([folder, _other(tmp_path)], tmp_path / "c")
    assert len(Store(tmp_path / "c").recorded()) == 4
    assert Store(tmp_path / "c").measured() == ["worked_examples"]


def test_every_reference_run_is_whole():
    states = list(Store(REFERENCE).run_states().values())
    assert len(states) == 200
    assert {state.status for state in states} == {"complete"}


# Links, and what lies where a file or folder belongs


@pytest.mark.parametrize("name", ["runs", "figures", "experiments", "tensorboard", ".lock"])
def test_a_folder_that_is_a_link_is_not_written_through(folder, tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    if (folder / name).is_dir():
        shutil.move(folder / name, elsewhere)
    else:
        (folder / name).unlink(missing_ok=True)
        elsewhere.write_text("mine")
    (folder / name).symlink_to(elsewhere)
    before = contents(tmp_path)
    with pytest.raises(RequestError, match=rf"{name}' is a link, and links inside"):
        report(folder)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["runs", "figures", "experiments", ".lock"])
def test_what_lies_in_the_way_of_a_folder_is_named(folder, name):
    path = folder / name
    if path.is_dir():
        shutil.rmtree(path)
        path.write_text("")
    else:
        path.unlink(missing_ok=True)
        path.mkdir(exist_ok=True)
        if name == "figures":
            path.rmdir()
            path.touch()
    with pytest.raises(RequestError, match=rf"{name}' is no f[a-z]+: move it elsewhere"):
        report(folder)


@pytest.mark.parametrize("kind", ["folder", "link"])
@pytest.mark.parametrize("name", ["log.txt", ".lock", "checkpoint", "history.csv", "run.json", ""])
def test_a_run_is_done_anew_over_what_lies_in_its_way(tmp_path, name, kind):
    store, target = Store(tmp_path / "a"), tmp_path / "target"
    target.write_text("not ours")
    path = store.folder(spec_of().run).path / name
    path.parent.mkdir(parents=True)
    if kind == "link":
        path.symlink_to(target)
    elif name:
        path.mkdir()
        (path / "mine").write_text("kept")
    else:
        path.write_text("kept")
    folder = store.folder(spec_of().run)
    with folder.lock():
        assert folder.done() is None
        assert folder.checkpoint() is None
        with folder.log.open("a") as log:
            log.write("epoch 1\n")
        finish(store, spec_of())
    assert folder.done()
    assert target.read_text() == "not ours"
    if kind == "folder":
        kept = path.with_name(f"{path.name}.old")
        assert (kept / "mine" if kept.is_dir() else kept).exists() or name == "checkpoint"


def test_links_in_a_run_are_not_copied(folder, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    run = folder / "runs" / spec_of("elu").run
    for path in (run / "log.txt", folder / "environment.json", folder / "request.json"):
        path.unlink()
        path.symlink_to(secret)
    (folder / "experiments/losses.error.txt").symlink_to(secret)
    shutil.move(folder / "runs" / spec_of("relu").run, tmp_path / "moved")
    (folder / "runs" / spec_of("relu").run).symlink_to(tmp_path / "moved")
    merge([folder, _other(tmp_path)], tmp_path / "c")
    assert b"secret" not in b"".join(contents(tmp_path / "c").values())
    assert not (tmp_path / "c/runs" / spec_of("relu").run).exists()
    state = Store(folder).run_states()[spec_of("relu").run]
    assert (state.status, state.problem) == (
        "damaged",
        "its folder is a link, which is not followed",
    )


def test_a_pipe_in_place_of_a_file_does_not_block(folder):
    path = folder / "runs" / spec_of("elu").run / "history.csv"
    path.unlink()
    os.mkfifo(path)
    assert Store(folder).folder(path.parent.name).state().problem == "history.csv: is not a file"


def test_records_that_no_parser_likes(folder):
    path = folder / "runs" / spec_of("elu").run / "run.json"
    for text in ('{"seal": {}}', "1" * 10_000, '{"a":' * 200_000, "[" * 200_000):
        for record in (path, *folder.glob("*.json"), *folder.glob("experiments/*.json")):
            record.write_text(text)
        assert Store(folder).folder(path.parent.name).state().status == "damaged"
        assert Store(folder).measurement("worked_examples") is None
        assert report_contents.read(folder).requests == []
    assert f"{path.parent.name}: run.json" in report(folder)
    assert report_contents.read(folder).environment == {}
