"""What results folders that are to be merged must agree in: data, definitions, numbers."""

import csv
import io
import json
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.errors import RequestError
from benchmark.formatting import counted, listing, number
from benchmark.results import predictions
from benchmark.results.folder import Store
from benchmark.results.formats import read_file
from benchmark.stats import summary
from benchmark.training.rates import may_be_auto
from benchmark.training.spec import COMPARISON, TUNING, RunSpec

_DEFINITION = ("formula", "parameters", "initializer", "dropout", "sha256")
# The fields of a run's spec that the tables call otherwise.
_SPEC_NAMES = {"loss_function": "loss", "epochs_asked": "epochs"}
_VERSIONS = ("python", "tensorflow", "keras", "numpy")


@dataclass(frozen=True)
class Source:
    """A folder to be merged: the records of what is whole in it, by name.

    `purposes` are those of the runs that its tables list; `failures` are the experiments whose
    last attempt failed, `broken` the runs and experiments that are unfinished or damaged.
    """

    store: Store
    purposes: dict[str, str]
    finished: dict[str, dict[str, Any]]
    failed: dict[str, dict[str, Any]]
    measured: dict[str, dict[str, Any]]
    failures: list[str]
    broken: list[str]

    @property
    def name(self) -> str:
        """The folder, quoted for messages."""
        return repr(str(self.store.path))

    def listed(self) -> dict[str, dict[str, Any]]:
        """Return the records of the runs that its tables list, by name."""
        return {run: self.finished.get(run) or self.failed[run] for run in self.purposes}


def check_data(sources: Sequence[Source]) -> None:
    """Refuse two versions of a dataset.

    Raises:
        RequestError: two sources have other files under one name.
    """
    known: dict[str, tuple[str, Source]] = {}
    for source in sources:
        for record in (*source.listed().values(), *source.measured.values()):
            dataset, sha256 = record["spec"]["dataset"], record["spec"]["data_sha256"]
            other, first = known.setdefault(dataset, (sha256, source))
            if other != sha256 and first is not source:
                raise RequestError(
                    f"dataset {dataset!r} is not the same in {first.name} (SHA-256 {other[:10]}…)"
                    f" and in {source.name} ({sha256[:10]}…): merge results of the same files"
                )


def check_definitions(sources: Sequence[Source]) -> None:
    """Refuse two definitions of an activation under one name.

    Raises:
        RequestError: two sources differ in a formula, parameter or setting of an activation.
    """
    known: dict[str, dict[str, tuple[dict[str, Any], Source]]] = {}
    for source in sources:
        for name, facts in _definitions(source):
            others = known.setdefault(name, {})
            if (
                others.setdefault(json.dumps(facts, sort_keys=True), (facts, source))[0]
                is not facts
            ):
                continue
            for other, first in others.values():
                unlike = [key for key in facts if other.get(key, facts[key]) != facts[key]]
                if unlike and first is not source:
                    raise RequestError(
                        f"activation {name!r} is not the same in {first.name} and in {source.name}"
                        f" ({_unlike(unlike[0], other, facts)}): give one of them another name"
                    )


def _unlike(key: str, first: dict[str, Any], second: dict[str, Any]) -> str:
    # The beginning of a hash is enough.
    values = [str(facts[key])[:10] if key == "sha256" else facts[key] for facts in (first, second)]
    return f"{key} {values[0]!r} and {values[1]!r}"


def _definitions(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    for record in source.listed().values():
        known = record.get("activation") or {}
        yield record["spec"]["activation"], {key: known[key] for key in _DEFINITION if key in known}
    for record in source.measured.values():
        for name, sha256 in record["spec"]["activations"]:
            yield name, {"sha256": sha256}


def check_duplicates(sources: Sequence[Source]) -> None:
    """Refuse duplicate runs: of one seed, with settings that the tables cannot tell apart.

    Raises:
        RequestError: there are some, as from two kinds of device.
    """
    columns = [*summary.SETTINGS, "activation", "seed"]
    fields = [_SPEC_NAMES.get(name, name) for name in columns]
    known: dict[tuple, tuple[str, dict[str, Any], Source]] = {}
    for source in sources:
        for run, record in source.listed().items():
            spec = record["spec"]
            key = tuple(spec.get(name) for name in fields)
            duplicate, other, first = known.setdefault(key, (run, spec, source))
            if duplicate == run or first is source:
                continue
            unlike = [
                f"{name} {other.get(name)} and {value}"
                for name, value in spec.items()
                if other.get(name) != value
            ]
            reason = listing(unlike or ["made by two versions of this project"])
            raise RequestError(
                f"run {duplicate} in {first.name} and run {run} in {source.name} have the same"
                f" settings and seed ({reason}): merge"
                " runs of one kind, or of different seeds"
            )


def purposes(sources: Sequence[Source]) -> dict[str, str]:
    """Return what each run of the tables is for; one that is compared and tuned is compared.

    Raises:
        RequestError: a run served to choose a learning rate in one folder, and is a result in
            another.
    """
    known: dict[str, tuple[str, Source]] = {}
    for source in sources:
        for run, purpose in source.purposes.items():
            other, first = known.setdefault(run, (purpose, source))
            if (other == TUNING) != (purpose == TUNING):
                raise RequestError(
                    f"run {run} is for {other} in {first.name} and for {purpose} in"
                    f" {source.name}: one that chose a learning rate cannot be a result too;"
                    " compare other seeds"
                )
            if purpose == COMPARISON:
                known[run] = (purpose, first)
    return {run: purpose for run, (purpose, _) in known.items()}


def check_tuning(sources: Sequence[Source]) -> None:
    """Refuse choices of learning rates that were not made by the same runs.

    Raises:
        RequestError: two activations of one setting had other learning rates or seeds to choose
            from, and not because the grid extended itself; the pooled choice would not be fair.
    """
    grids: dict[tuple, tuple[set[tuple], str, Source]] = {}
    for source in sources:
        tried: dict[tuple, set[tuple]] = {}
        for run, record in source.listed().items():
            if source.purposes[run] == TUNING:
                spec = dict(record["spec"])
                grid = (spec.pop("learning_rate"), spec.pop("seed"))
                name = spec.pop("activation")
                spec.pop("activation_sha256")
                tried.setdefault((name, tuple(sorted(spec.items(), key=str))), set()).add(grid)
        for (name, setting), candidates in tried.items():
            known, other, first = grids.setdefault(setting, (candidates, name, source))
            if known == candidates:
                continue
            seeds, others = ({seed for _, seed in each} for each in (candidates, known))
            if seeds != others or not (_may_be_auto(source) and _may_be_auto(first)):
                raise RequestError(
                    f"{source.name} chose the learning rate of {name} by other rates or seeds than"
                    f" {first.name} that of {other}: choose anew with the same"
                    " --tune-learning-rates and --tune-seeds"
                )


def _may_be_auto(source: Source) -> bool:
    """Return whether every learning rate of a source may have been chosen from a grid that
    extended itself: what is tried then differs, but the rule is the same for all."""
    listed = source.listed()
    specs = {run: RunSpec(**record["spec"]) for run, record in listed.items()}
    table = summary.tuning(source.store.runs(specs, source.purposes))
    setting = [name for name in summary.SETTINGS if name in table and name != "learning_rate"]
    return all(
        may_be_auto(set(tried["learning_rate"]), rate)
        for _, tried in table.groupby([*setting, "activation"], dropna=False)
        for rate in tried.loc[tried["chosen"], "learning_rate"]
    )


def check_runs(sources: Sequence[Source]) -> list[str]:
    """Return the runs that several folders have finished.

    Raises:
        RequestError: some have other numbers in another folder.
    """
    shared, unlike = [], []
    for run, first, other in _pairs(sources, "finished"):
        shared.append(run)
        if difference := _run_difference(run, first, other):
            unlike.append((difference, run, first, other))
    if unlike:
        difference, run, first, other = max(unlike, key=lambda item: item[0].size)
        rest = len(unlike) - 1
        more = f"; so have {counted(rest, 'more run')}, none by more" if rest else ""
        raise RequestError(
            f"run {run} has other numbers in {first.name} than in {other.name}: {difference.words}"
            f" ({_machines(first.finished[run], other.finished[run])}){more}; take it out of one"
            f" of them, with its folder runs/{run}"
        )
    return list(dict.fromkeys(shared))


def check_experiments(sources: Sequence[Source], with_times: Collection[str]) -> list[str]:
    """Return the experiments that several folders have with other measured times.

    Those named in `with_times` have measured times in columns of their own.

    Raises:
        RequestError: one was done with other settings in another folder, or has other numbers.
    """
    timed = []
    for name, first, other in _pairs(sources, "measured"):
        record, second = first.measured[name], other.measured[name]
        spec, settings = record["spec"], second["spec"]
        again = f"take it out of one of them, with its files experiments/{name}.*"
        unlike = [key for key in spec if settings.get(key) != spec[key]]
        if unlike:
            raise RequestError(
                f"experiment {name} is of other {listing(unlike)} in {first.name} than in"
                f" {other.name}: {again}"
            )
        if record["checksum"] == second["checksum"]:
            continue
        difference = _file_difference(f"experiments/{name}.csv", first, other)
        if difference and name not in with_times:
            raise RequestError(
                f"experiment {name} has other numbers in {first.name} than in {other.name}:"
                f" {difference.words} ({_machines(record, second)}); {again}"
            )
        timed.append(name)
    return list(dict.fromkeys(timed))


def _pairs(sources: Sequence[Source], what: str) -> Iterator[tuple[str, Source, Source]]:
    """Yield each name that several sources have, with the first of them and another."""
    owners: dict[str, Source] = {}
    for source in sources:
        for name in getattr(source, what):
            first = owners.setdefault(name, source)
            if first is not source:
                yield name, first, source


@dataclass(frozen=True)
class _Difference:
    """How far two tables lie apart: the largest difference of two numbers, infinite where it is
    of another kind, and in words."""

    size: float
    words: str


def _run_difference(run: str, first: Source, other: Source) -> _Difference | None:
    return _file_difference(f"runs/{run}/history.csv", first, other) or table_difference(
        *_predictions(run, first, other)
    )


def _predictions(run: str, first: Source, other: Source) -> list[bytes]:
    """Return the tables of a run in two folders; with as many digits as both have."""
    tables, names = [], set()
    for source in (first, other):
        checksums = source.finished[run]["checksums"]
        tables.append(predictions.read(source.store.folder(run).path, checksums))
        names.add(predictions.recorded_name(checksums))
    return tables if len(names) == 1 else [predictions.rounded(table) for table in tables]


def _file_difference(name: str, first: Source, other: Source) -> _Difference | None:
    return table_difference(*(read_file(source.store.path / name) for source in (first, other)))


def table_difference(first: bytes, other: bytes) -> _Difference | None:
    """Return how two tables in CSV differ, but for columns of seconds; None if they do not."""
    if first == other:
        return None
    tables = _columns(first), _columns(other)
    left, right = tables
    if list(left) != list(right):
        return _Difference(math.inf, "other columns")
    rows = [len(next(iter(table.values()), [])) for table in tables]
    if rows[0] != rows[1]:
        return _Difference(math.inf, f"{rows[0]} and {rows[1]} rows")
    apart = {name: list(map(_apart, left[name], right[name])) for name in left}
    column = max(apart, key=lambda name: max(apart[name], default=0.0))
    size = max(apart[column], default=0.0)
    if not size:
        return None
    if math.isfinite(size):
        return _Difference(size, f"largest difference {number(size)}, in {column}")
    count = sum(difference > 0 for difference in apart[column])
    return _Difference(size, f"other {column} in {counted(count, 'row')}")


def _columns(text: bytes) -> dict[str, tuple[str, ...]]:
    """Return the cells of each column that is compared, as they are written."""
    header, *rows = csv.reader(io.StringIO(text.decode(errors="replace"), newline="")) or [[]]
    columns = dict(zip(header, zip(*rows) if rows else ((),) * len(header)))
    return {name: cells for name, cells in columns.items() if "seconds" not in name}


def _apart(left: str, right: str) -> float:
    """Return the difference of two cells; infinite where they differ and are not two numbers."""
    if left == right:
        return 0.0
    try:
        difference = abs(float(left) - float(right))
    except ValueError:
        return math.inf
    return math.inf if math.isnan(difference) else difference


def _machines(record: dict[str, Any], other: dict[str, Any]) -> str:
    """Return how the machines and the code behind two records differ."""
    first, second = (_provenance(each.get("environment", {})) for each in (record, other))
    unlike = [
        f"{name} {first[name]} and {second[name]}" for name in first if first[name] != second[name]
    ]
    return listing(unlike or ["of one kind of processor, one version of everything"])


def _provenance(environment: dict[str, Any]) -> dict[str, Any]:
    versions = environment.get("versions", {})
    return {
        "processor": _processor(environment),
        "GPU": ", ".join(environment.get("gpus") or ["none"]),
        **{name: versions.get(name) for name in _VERSIONS},
        "commit": str(environment.get("git_commit"))[:10],
    }


def _processor(environment: dict[str, Any]) -> str:
    """Return the processor's name, with what tells it from others of that name, where recorded."""
    kind = environment.get("processor_kind") or {}
    parts = [f"{part} {kind[part]}" for part in ("family", "model", "stepping") if part in kind]
    name = str(environment.get("processor"))
    return f"{name} ({', '.join(parts)})" if parts else name
