"""200 records changed at random and sealed again: no traceback, nothing outside of the folder."""

import json
import random

import pandas as pd
import pytest

from benchmark.errors import RequestError
from benchmark.report import contents as report_contents
from benchmark.report import describe
from benchmark.results.folder import Store
from benchmark.results.formats import write_record
from benchmark.results.merge import merge
from tests.results.folders import comparison, contents, finish, report, reseal, spec_of

FOLDERS, PER_FOLDER = 8, 25
VALUES = [
    *(None, True, -1, 0, 7, 10**30, 1e30, 0.5, float("nan"), float("inf"), -0.0),
    *("", "x", "NA", "nan", "0", "1e5", "=1+1", "[/red]", "<script>alert(1)</script>", "a\0b"),
    *("../../victim/x", "/etc/passwd", "..", "\ud800", "a\nb", "x" * 5000, "é,\"'", "complete"),
    *("mnist", "elu", "diverged", "failed", "tuning", "2026-13-01T00:00:00Z"),
    *([], [[]], ["relu"], {}, {"a": 1}, {"index": "3"}, [None] * 3),
]


def places(content, path=()):
    """Yield the path of every value in nested dictionaries and lists."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def mutate(record, draw):
    """Replace, remove or add a value somewhere, once or twice."""
    for _ in range(draw.randint(1, 2)):
        *path, last = draw.choice(list(places(record)))
        within = record
        for key in path:
            within = within[key]
        if draw.random() < 0.2:
            del within[last]
        elif isinstance(within, dict) and draw.random() < 0.1:
            within["new"] = draw.choice(VALUES)
        else:
            within[last] = draw.choice(VALUES)


def mutated_text(text, draw):
    """Replace a cell of a table."""
    rows = [line.split(",") for line in text.splitlines()]
    cells = draw.choice(rows)
    cells[draw.randrange(len(cells))] = str(draw.choice(VALUES)).replace("\ud800", "?")
    return "\n".join(map(",".join, rows)) + "\n"


def mutate_run(folder, draw):
    files = {}
    for name in ("history", "predictions"):
        if draw.random() < 0.15:
            (path,) = folder.glob(f"{name}.csv*")
            files[name] = mutated_text(pd.read_csv(path).to_csv(index=False), draw)
    reseal(folder, lambda record: None if files else mutate(record, draw), **files)


def mutate_record(path, draw):
    record = json.loads(path.read_text())
    record.pop("seal", None)
    mutate(record, draw)
    write_record(path, record)


@pytest.mark.parametrize("number", range(FOLDERS))
def test_mutated_records(tmp_path, tables_only, number):
    draw = random.Random(number)
    store = comparison(tmp_path / "a")
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "x.png").write_text("mine")
    specs = [spec_of("selu", seed) for seed in range(PER_FOLDER)]
    folders = [finish(store, spec).path for spec in specs]
    store.write_tables({**store.recorded(), **{spec.run: spec for spec in specs}})
    for folder in folders:
        mutate_run(folder, draw)
    for name in ("request.json", "environment.json", "experiments/worked_examples.json"):
        mutate_record(store.path / name, draw)
    # Half of the folders list the runs, the others have no list of them.
    if number % 2:
        (store.path / "runs.csv").unlink()
    before = contents(victim)
    quietly(lambda: report(store.path))
    quietly(lambda: report_contents.read(store.path))
    quietly(lambda: describe.show_status(str(store.path)))
    other = Store(tmp_path / "b")
    other.prepare()
    finish(other, spec_of("tanh"))
    quietly(lambda: merge([store.path, other.path], tmp_path / "c"))
    assert contents(victim) == before
    assert {path.name for path in tmp_path.iterdir()} <= {"a", "b", "c", "victim"}
    assert all(store.folder(spec_of(*one).run).done() for one in (("relu", 0), ("elu", 0)))


def quietly(command):
    """Call what may refuse, in one line."""
    message = ""
    try:
        command()
    except RequestError as error:
        message = str(error)
    assert "\n" not in message
