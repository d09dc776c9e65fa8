"""The table that a comparison ends with."""

import io

import pytest
from rich.console import Console

from benchmark.report.screen import show_comparison
from benchmark.results import tables
from benchmark.results.folder import Store
from tests.results.folders import finish, spec_of


@pytest.mark.parametrize("slow", [0.3, 900.0])
def test_times_are_medians_over_runs(tmp_path, slow):
    store = Store(tmp_path)
    store.prepare()
    specs = [spec_of(seed=seed) for seed in range(3)]
    for spec, seconds in zip(specs, (0.2, 0.25, slow)):
        finish(store, spec, seconds=seconds)
    store.write_tables({spec.run: spec for spec in specs})
    tables.write(store, tables.derive(store, *store.tables()), store.tables()[1])
    screen = io.StringIO()
    show_comparison(Console(file=screen, width=150), store, store.table("runs.csv"), [])
    (row,) = (line for line in screen.getvalue().splitlines() if line.startswith("│ relu"))
    assert [cell.strip() for cell in row.split("│")][-3:-1] == ["0.25", "3"]
