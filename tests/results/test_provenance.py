"""What a record says of the processor: enough to know whether numbers must agree."""

import json
from pathlib import Path

import pytest

from benchmark.errors import RequestError
from benchmark.results import provenance
from benchmark.results.folder import Store
from benchmark.results.merge import merge
from tests.results.test_merge import ENVIRONMENT, list_runs, spec_of, train

X86 = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
stepping\t: 1
flags\t\t: fpu sse sse2 misalignsse fma avx avx2 avx512f avx512_bf16 umip

processor\t: 1
model\t\t: 99
"""
ARM = """processor\t: 0
Features\t: fp asimd aes asimddp sve bf16
CPU implementer\t: 0x41
CPU architecture: 8
CPU part\t: 0xd40
CPU revision\t: 1
"""


def kind(tmp_path, text):
    (tmp_path / "cpuinfo").write_text(text)
    return provenance.processor_kind(tmp_path / "cpuinfo")


def test_processors_of_one_name_are_told_apart(tmp_path):
    assert kind(tmp_path, X86) == {
        "vendor": "AuthenticAMD",
        "family": "25",
        "model": "17",
        "stepping": "1",
        "instruction_sets": "sse sse2 fma avx avx2 avx512f avx512_bf16",
    }
    # Milan, say, instead of Genoa: "AMD EPYC" too, without AVX-512.
    other = X86.replace("17", "1").replace(" avx512f avx512_bf16", "")
    assert kind(tmp_path, other) != kind(tmp_path, X86)


def test_processors_of_arm(tmp_path):
    assert kind(tmp_path, ARM) == {
        "vendor": "0x41",
        "family": "8",
        "model": "0xd40",
        "stepping": "1",
        "instruction_sets": "asimd asimddp sve bf16",
    }


def test_a_system_that_does_not_tell():
    assert provenance.processor_kind(Path("/nowhere")) == {}


def test_the_environment_records_it():
    facts = provenance.describe()
    assert facts["processor_kind"] == provenance.processor_kind()
    assert json.loads(json.dumps(facts)) == facts


def test_a_contradiction_tells_processors_of_one_name_apart(tmp_path):
    stores = [Store(tmp_path / name) for name in "ab"]
    for store, model, loss in zip(stores, ("1", "17"), (0.5, 0.75)):
        store.prepare()
        kind = {"family": "25", "model": model, "stepping": "1"}
        train(store, spec_of(), loss, environment={**ENVIRONMENT, "processor_kind": kind})
        list_runs(store, spec_of())
    with pytest.raises(RequestError, match=r"EPYC \(family 25, model 1, .* and EPYC \(.*model 17"):
        merge([store.path for store in stores], tmp_path / "all")


def test_load_is_per_core(monkeypatch):
    monkeypatch.setattr("os.getloadavg", lambda: (6.0, 1.0, 1.0), raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert provenance.load_average() == 1.5
    # Windows has none.
    monkeypatch.delattr("os.getloadavg")
    assert provenance.load_average() is None


def test_the_larger_load_is_in_the_table(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    loads = [
        {"start": 0.5, "end": 1.5, "own": 1.0},
        {"start": 0.75, "end": None, "own": 0.5},
        {"start": None, "end": None, "own": None},
    ]
    specs = [spec_of(seed=seed) for seed in range(4)]
    for spec, load in zip(specs, loads):
        train(store, spec, load=load)
    # As earlier versions left it.
    train(store, specs[3])
    list_runs(store, *specs)
    runs = store.table("runs.csv")
    assert runs["load"].fillna(-1).tolist() == [1.5, 0.75, -1, -1]
    assert runs["own_load"].fillna(-1).tolist() == [1.0, 0.5, -1, -1]
