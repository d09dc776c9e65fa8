"""The committed results come out again: runs bit for bit, tables and experiments to 1e-12."""

import csv
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from benchmark import compare, run_experiments
from benchmark.results import predictions, provenance
from benchmark.results import tables as derived_tables
from benchmark.results.folder import Store

REFERENCE = Path(__file__).parents[1] / "results" / "reference" / "mnist1d"
# One activation with a kernel of TensorFlow's own, one with AlphaDropout, one compiled by XLA.
GOLDEN = ("relu", "selu", "gelu")
DECIDES_BITS = ("tensorflow", "keras", "numpy")


def without_seconds(path: Path) -> list[dict[str, str]]:
    """Return the rows of a history, as text, but for the column that no two runs share."""
    rows = csv.DictReader(path.read_text().splitlines())
    return [{name: text for name, text in row.items() if name != "seconds"} for row in rows]


def predicted(folder: Path) -> bytes:
    """Return a run's predictions as recorded today: probabilities to 4 digits."""
    checksums = json.loads((folder / "run.json").read_text())["checksums"]
    return predictions.rounded(predictions.read(folder, checksums))


def why_other_bits(recorded: dict) -> str:
    """Return why this machine may round otherwise than the one that recorded, or ""."""
    here, then = provenance.processor(), recorded["processor"]
    if here != then:
        return f"the reference was made on {then}, this is {here}"
    # Earlier records have only the name.
    here, then = provenance.processor_kind(), recorded.get("processor_kind")
    if then not in (None, here):
        return f"the reference was made on a processor {then}, this is {here}"
    versions = provenance.versions()
    changed = [name for name in DECIDES_BITS if versions[name] != recorded["versions"][name]]
    return "".join(f"{name} is {versions[name]} here; " for name in changed)


@pytest.mark.slow
def test_three_reference_runs_come_out_bit_for_bit(tmp_path):
    reason = why_other_bits(json.loads((REFERENCE / "environment.json").read_text()))
    if reason:
        pytest.skip(f"bits may differ: {reason}")
    compare(GOLDEN, dataset="mnist1d", seeds=1, epochs=40, jobs=1, output=tmp_path)
    names = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert [re.split("-s0", name)[0] for name in names] == [
        f"mnist1d-cnn-{name}" for name in sorted(GOLDEN)
    ]
    for name in names:
        new, old = tmp_path / "runs" / name, REFERENCE / "runs" / name
        assert without_seconds(new / "history.csv") == without_seconds(old / "history.csv")
        assert predicted(new) == predicted(old)


@pytest.fixture(scope="module")
def derived():
    store = Store(REFERENCE)
    return derived_tables.derive(store, *store.tables(), "relu")


@pytest.mark.parametrize(
    "name",
    ["summary", "time_to_accuracy", "comparisons", "pairs", "confusion", "misclassified"],
)
def test_tables_of_the_reference_come_out(derived, tmp_path, name):
    expected = pd.read_csv(REFERENCE / f"{name}.csv")
    store = Store(tmp_path)
    store.write_table(f"{name}.csv", derived[name])
    pd.testing.assert_frame_equal(store.table(f"{name}.csv"), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_experiments_of_the_reference_come_out(tmp_path):
    tables = run_experiments(["properties", "worked_examples"], output=tmp_path, jobs=1)
    for name, table in tables.items():
        expected = pd.read_csv(REFERENCE / "experiments" / f"{name}.csv")
        pd.testing.assert_frame_equal(table, expected, rtol=1e-9, atol=1e-12)
