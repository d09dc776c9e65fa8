import json
from pathlib import Path

import numpy as np
import pytest

from benchmark import cli
from benchmark.errors import RequestError
from benchmark.results import request_file
from benchmark.results.folder import Store
from benchmark.results.formats import write_record
from benchmark.training.request import expand, expand_tuning, request


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def commands(store):
    return [entry["given"].get("words") for entry in request_file.read(store)]


def test_arguments_are_recorded_as_json_can_hold_them(store):
    given = {
        "activations": ("relu", "elu"),
        "seeds": range(2),
        "learning_rate": np.float64(0.01),
        "data_dir": Path("a b"),
        "epochs": None,
        "beside": (),
    }
    request_file.write(store, request_file.COMPARE, given, {"seeds": [0, 1], "epochs": 30})
    assert request_file.read(store) == [
        {
            "command": "compare",
            "given": {
                "arguments": {
                    "activations": ["relu", "elu"],
                    "seeds": [0, 1],
                    "learning_rate": 0.01,
                    "data_dir": "a b",
                }
            },
            "resolved": {"seeds": [0, 1], "epochs": 30},
        }
    ]


def test_a_shell_command_is_recorded_by_its_words(store):
    with request_file.asked_as(["python", "run_all.py", "--seeds", "3"]):
        request_file.write(store, request_file.COMPARE, {"seeds": 3}, {})
    assert commands(store) == [["python", "run_all.py", "--seeds", "3"]]
    # Not beyond the command.
    request_file.write(store, request_file.COMPARE, {"seeds": 3}, {})
    assert request_file.read(store)[0]["given"] == {"arguments": {"seeds": 3}}


def test_what_stays_in_the_folder_stays_recorded(store):
    def ask(word, command, *experiments):
        with request_file.asked_as([word]):
            request_file.write(store, command, {}, {name: {} for name in experiments})
        return [words[0] for words in commands(store)]

    assert ask("a", request_file.COMPARE) == ["a"]
    assert ask("b", request_file.EXPERIMENTS, "cost", "losses") == ["a", "b"]
    assert ask("c", request_file.EXPERIMENTS, "losses", "properties") == ["a", "b", "c"]
    assert ask("d", request_file.COMPARE) == ["b", "c", "d"]
    assert ask("e", request_file.EXPERIMENTS, "losses", "properties", "cost") == ["d", "e"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "7", '{"requests": []}', '{"epochs": 3}', "\udcff"],
)
def test_a_damaged_or_foreign_file_counts_as_none(store, content):
    path = store.path / "request.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    assert request_file.read(store) == []
    # The next request takes its place.
    request_file.write(store, request_file.COMPARE, {}, {})
    assert len(request_file.read(store)) == 1


def test_changed_by_hand_or_cut_off_counts_as_none(store):
    request_file.write(store, request_file.COMPARE, {"seeds": 3}, {})
    path = store.path / "request.json"
    whole = path.read_text()
    path.write_text(whole.replace("3", "4"))
    assert request_file.read(store) == []
    path.write_text(whole[:-9])
    assert request_file.read(store) == []
    path.unlink()
    assert request_file.read(store) == []


GOOD = {"command": "compare", "given": {"words": ["x"]}, "resolved": {}}


@pytest.mark.parametrize(
    "change",
    [
        {"command": "rm"},
        {"command": ["compare"]},
        {"given": {"words": []}},
        {"given": {"words": [1]}},
        {"given": {"words": "x"}},
        {"given": {}},
        {"given": []},
        {"resolved": None},
    ],
)
def test_the_shape_of_a_request_is_checked(store, change):
    write_record(store.path / "request.json", {"requests": [GOOD]})
    assert request_file.read(store) == [GOOD]
    write_record(store.path / "request.json", {"requests": [GOOD, {**GOOD, **change}]})
    assert request_file.read(store) == []


def test_a_request_that_turns_out_wrong_leaves_no_trace(store):
    for _ in range(2):
        with (
            pytest.raises(RequestError),
            request_file.recorded(store, request_file.COMPARE, {"seeds": 9}, {}),
        ):
            raise RequestError("no")
        assert not any("seeds" in old["given"]["arguments"] for old in request_file.read(store))
        request_file.write(store, request_file.COMPARE, {"epochs": 3}, {})
    assert len(request_file.read(store)) == 1


def test_every_setting_of_a_comparison_is_resolved():
    wanted = request(activations="relu", tune_learning_rates="0.01,0.1")
    specs = [
        *expand_tuning(wanted, "digits", "0" * 64, "CPU"),
        *expand(wanted, "digits", "0" * 64, "CPU"),
    ]
    resolved = request_file.of_comparison(wanted, specs, "relu")
    assert resolved["seeds"] == list(range(8)), "those of the first round"
    assert resolved["tune_seeds"] == [1000, 1001, 1002]
    assert resolved["epochs"] == 30
    assert resolved["loss"] == ["categorical_crossentropy"]
    assert (resolved["dataset"], resolved["device"]) == ("digits", "CPU")
    open_ones = {name for name, value in resolved.items() if value is None}
    assert open_ones == {"limit", "preset", "most_seeds", "time_budget"}


@pytest.mark.slow
def test_commands_record_what_they_were_asked_for(store, no_figures):
    common = ["--output", str(store.path), "--jobs", "1"]
    compare = "compare --dataset digits --limit 100 --epochs 1 --seeds 1 --activations relu".split()
    assert cli.main([*compare, *common]) == 0
    experiments = ["experiments", "worked_examples"]
    assert cli.main([*experiments, *common]) == 0
    assert commands(store) == [
        ["python", "-m", "benchmark", *compare, *common],
        ["python", "-m", "benchmark", *experiments, *common],
    ]
    first, second = request_file.read(store)
    assert first["resolved"]["limit"] == 100
    assert second["resolved"]["worked_examples"]["seeds"]
    json.loads((store.path / "request.json").read_text())
