"""Results folders of several machines joined to one: what agrees is copied, the rest refused."""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmark.errors import RequestError
from benchmark.formatting import counted, listing, some
from benchmark.results import agreement
from benchmark.results.agreement import Source
from benchmark.results.folder import Store
from benchmark.results.formats import csv_text, read_file
from benchmark.results.records import read_environment
from benchmark.results.schema import DONE

# Where the files are gathered, inside the output, until all are there.
_GATHERING = ".merging"
# What a merge that was killed leaves in its output.
_LEFT_OVER = {".lock", _GATHERING}
_COPIES = 8


def merge(
    sources: Sequence[str | Path], output: str | Path, with_times: Collection[str] = ()
) -> list[str]:
    """Join the results folders of several machines in a new one.

    Copied are finished runs, failed ones that no source has finished, and experiments. Where
    several sources have a run or an experiment, the first one's is taken; all must have the same
    numbers, but for measured times. Runs that a source keeps but no longer lists in its tables
    are copied and stay unlisted. environment.json is the first source's, with all of them beside:
    each run's and experiment's own is in its record. runs.csv holds names and purposes only;
    tables, figures and page are left to the caller, as `report` writes them. `with_times` names
    the experiments whose tables hold measured times in columns of their own.

    The sources are not changed, and locked against other commands meanwhile. The files are gathered
    in a hidden folder of the output, which a killed merge leaves behind and the next one clears.

    Returns what was done, in lines for the screen.

    Raises:
        RequestError: a source is missing, empty or in use; the output is not empty or lies in a
            source; or the sources contradict each other. Nothing was written.
        OSError: the disk is full or a folder became unusable on the way.
    """
    stores = [Store(source) for source in sources]
    target = Store(Path(output).expanduser().resolve())
    _check_sources(stores)
    _check_output(target.path, str(output), stores)
    with contextlib.ExitStack() as locks:
        for store in stores:
            locks.enter_context(_locked(store))
        contents = [_read(store) for store in stores]
        agreement.check_data(contents)
        agreement.check_definitions(contents)
        agreement.check_duplicates(contents)
        runs = agreement.purposes(contents)
        agreement.check_tuning(contents)
        shared = agreement.check_runs(contents)
        timed = agreement.check_experiments(contents, with_times)
        target.prepare()
        # Created only as a check: the folder of the runs is moved here whole.
        (target.path / "runs").rmdir()
        with target.lock():
            _gather(contents, target, runs)
    return _summary(contents, shared, timed)


def _summary(sources: list[Source], shared: list[str], timed: list[str]) -> list[str]:
    finished, measured = _owners(sources, "finished"), _owners(sources, "measured")
    failed = [run for run in _owners(sources, "failed") if run not in finished]
    merged = {*finished, *failed, *measured}
    broken = [name for name in _owners(sources, "broken") if name not in merged]
    runs, experiments = counted(len(finished), "finished run"), counted(len(measured), "experiment")
    lines = [f"Merged {len(sources)} folders: {runs}, {experiments}."]
    if shared:
        lines.append(
            f"In more than one folder, with the same numbers: {counted(len(shared), 'run')}; the"
            " times are those of the first."
        )
    if timed:
        lines.append(f"Times measured in more than one folder, the first's kept: {some(timed)}.")
    if failed:
        lines.append(f"Failed and finished in no folder: {some(failed)}.")
    if broken:
        lines.append(f"Left out, unfinished or damaged: {some(broken)}.")
    return lines


def _check_sources(stores: list[Store]) -> None:
    if len(stores) < 2:
        given = listing([repr(str(store.path)) for store in stores])
        raise RequestError(f"folders to merge: {given} is too few: give two or more")
    seen = set()
    for store in stores:
        name, path = repr(str(store.path)), store.path.resolve()
        if not path.is_dir():
            raise RequestError(
                f"{name} is not a folder: give the --output folders of earlier commands"
            )
        if path in seen:
            raise RequestError(f"{name} is given twice: give each folder once")
        seen.add(path)


def _check_output(path: Path, name: str, sources: list[Store]) -> None:
    for source in sources:
        if source.path.resolve() in (path, *path.parents):
            raise RequestError(
                f"output {name!r} lies in {str(source.path)!r}, which is to be merged: give a"
                " folder outside, with --output"
            )
    if path.exists() and not (
        path.is_dir() and {file.name for file in path.iterdir()} <= _LEFT_OVER
    ):
        raise RequestError(f"output {name!r} is not an empty folder: give a new one, with --output")


@contextlib.contextmanager
def _locked(store: Store) -> Iterator[None]:
    """Lock a source; nothing is written there, and without a lock file no command is at work."""
    from filelock import FileLock, Timeout

    path = store.path / ".lock"
    lock = FileLock(path, timeout=0)
    try:
        # A lock file that is not writable cannot be locked.
        if path.exists() and os.access(path, os.W_OK):
            lock.acquire()
    except Timeout as error:
        raise RequestError(
            f"{str(store.path)!r} is in use by another command: wait for it"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _read(store: Store) -> Source:
    """Read the records of a source.

    Raises:
        RequestError: it holds neither that are whole.
    """
    finished: dict[str, dict[str, Any]] = {}
    failed: dict[str, dict[str, Any]] = {}
    measured, broken = {}, []
    for run, state in store.run_states().items():
        if state.record and state.spec:
            # With every setting, also those that the record of an older version lacks.
            whole = {**state.record, "spec": dataclasses.asdict(state.spec)}
            (finished if state.status in DONE else failed)[run] = whole
        else:
            broken.append(run)
    for name in store.measured():
        if record := store.measurement(name):
            measured[name] = record
        else:
            broken.append(name)
    failures = list(store.failures())
    if not (finished or failed or measured or failures):
        raise RequestError(
            f"{str(store.path)!r} holds neither finished runs nor experiments: give the --output"
            " folder of an earlier command"
        )
    purposes = store.purposes() if finished or failed else {}
    listed = {run: purposes[run] for run in purposes if run in finished or run in failed}
    return Source(store, listed, finished, failed, measured, failures, broken)


def _owners(sources: list[Source], what: str) -> dict[str, Source]:
    """Return the first source that has each name."""
    owners: dict[str, Source] = {}
    for source in sources:
        for name in getattr(source, what):
            owners.setdefault(name, source)
    return owners


def _gather(sources: list[Source], target: Store, runs: dict[str, str]) -> None:
    """Copy the files; they come into the output itself only when all are there."""
    gathered = Store(target.path / _GATHERING)
    shutil.rmtree(gathered.path, ignore_errors=True)
    try:
        gathered.prepare()
        _copy_runs(sources, gathered)
        _copy_experiments(sources, gathered)
        if runs:
            rows = ({"run": run, "purpose": purpose} for run, purpose in runs.items())
            gathered.write_text("runs.csv", csv_text(("run", "purpose"), rows))
        gathered.write_environment(_environment(sources))
        # The runs last: where they are, their purposes are too.
        for path in sorted(gathered.path.iterdir(), key=lambda path: path.name == "runs"):
            os.rename(path, target.path / path.name)
    finally:
        shutil.rmtree(gathered.path, ignore_errors=True)


def _copy_runs(sources: list[Source], to: Store) -> None:
    owners = {**_owners(sources, "failed"), **_owners(sources, "finished")}

    def copy(run: str) -> None:
        to.folder(run).receive(owners[run].store.folder(run).files())

    # The disk takes several files at once.
    with ThreadPoolExecutor(_COPIES) as pool:
        list(pool.map(copy, owners))


def _copy_experiments(sources: list[Source], to: Store) -> None:
    measured, failures = _owners(sources, "measured"), _owners(sources, "failures")
    if measured:
        (to.path / "experiments").mkdir()
    for name, source in measured.items():
        table = f"experiments/{name}.csv"
        to.write_text(table, read_file(source.store.path / table))
        to.write_measurement(name, source.measured[name])
    for name, source in failures.items():
        if name not in measured:
            text = read_file(source.store.path / "experiments" / f"{name}.error.txt")
            to.write_failure(name, text.decode(errors="replace"))


def _environment(sources: list[Source]) -> dict[str, Any]:
    """Return the first source's environment, so that the file reads as ever, and under
    "merged_from" all of them, each with the name of its folder."""
    first: dict[str, Any] = {}
    parts: list[dict[str, Any]] = []
    for source in sources:
        facts = read_environment(source.store.path / "environment.json")
        if not facts:
            continue
        first = first or facts
        # The result of an earlier merge has the environments of its own sources.
        own = [{"folder": source.store.path.resolve().name, **facts}]
        parts += facts.get("merged_from", own)
    return {**first, "merged_from": parts}
