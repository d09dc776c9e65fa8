import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from benchmark.errors import RequestError
from benchmark.experiments.measurement import MeasurementSpec
from benchmark.results.folder import Store
from benchmark.results.merge import merge
from benchmark.training import spec as spec_training
from benchmark.training.loop import Outcome
from benchmark.training.spec import RunSpec

LABELS = np.array([3, 2, 3])
ENVIRONMENT = {
    "versions": {"python": "3.11.7", "tensorflow": "2.21.0", "keras": "3.15.1", "numpy": "2.4.6"},
    "git_commit": "0123456789abcdef",
    "processor": "EPYC",
    "gpus": [],
}
OTHER_MACHINE = {
    **ENVIRONMENT,
    "processor": "Xeon",
    "versions": {**ENVIRONMENT["versions"], "tensorflow": "2.20.0"},
}


def spec_of(activation="relu", seed=0, **settings):
    return RunSpec("digits", activation, seed, epochs=2, data_sha256="d1" * 32, **settings)


def train(store, spec, loss=0.5, seconds=0.25, probability=0.75, **facts):
    rows = [
        {
            "epoch": epoch,
            "loss": loss / epoch,
            "accuracy": 0.5,
            "val_loss": 2.0,
            "val_accuracy": 0.5,
            "seconds": seconds,
        }
        for epoch in (1, 2)
    ]
    test = {"test_loss": 0.7, "test_accuracy": 2 / 3}
    chances = np.array([probability, 0.5, 0.5], np.float32)
    outcome = Outcome("complete", rows, test, np.array([3, 1, 3]), chances, 42)
    known = {"name": spec.activation, "formula": f"{spec.activation}(x)", "sha256": "", "index": 1}
    facts = {"environment": ENVIRONMENT, "activation": known, **facts}
    store.folder(spec.run).path.mkdir()
    store.folder(spec.run).finish(spec, outcome, LABELS, facts)


def list_runs(store, *specs, **purposes):
    by_name = {spec.run: spec for spec in specs}
    store.write_tables(by_name, {spec.run: purposes.get(spec.activation, "") for spec in specs})


def measure(store, name="saturation", values=(0.5, 1.0), seconds=2.0, environment=None, **spec):
    settings = {"activations": (("relu", ""),), "seeds": (0,), "options": (), "dataset": "digits"}
    settings |= {"data_sha256": "d1" * 32, "protocol": 1, **spec}
    table = pd.DataFrame({"activation": "relu", "value": values, "seconds": seconds})
    store.write_experiment(name, table)
    record = {"spec": MeasurementSpec(name, **settings).as_json(), "seconds": seconds}
    record |= {"environment": environment or ENVIRONMENT, "status": "complete", "places": {}}
    store.write_measurement(name, record)


@pytest.fixture
def stores(tmp_path):
    """Two folders, ready for runs."""
    stores = [Store(tmp_path / name) for name in "ab"]
    for store, environment in zip(stores, (ENVIRONMENT, OTHER_MACHINE)):
        store.prepare()
        store.write_environment(environment)
    return stores


def merged(stores, tmp_path):
    lines = merge([store.path for store in stores], tmp_path / "c", ["cost"])
    return Store(tmp_path / "c"), lines


def refused(stores, tmp_path):
    with pytest.raises(RequestError) as caught:
        merge([store.path for store in stores], tmp_path / "c")
    assert not (tmp_path / "c").exists()
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{tmp_path}/", "")


def contents(store):
    return {
        str(path.relative_to(store.path)): path.read_bytes()
        for path in store.path.rglob("*")
        if path.is_file()
    }


def test_two_folders_become_one(stores, tmp_path):
    relu, elu = spec_of("relu"), spec_of("elu")
    train(stores[0], relu)
    train(stores[1], elu)
    measure(stores[1])
    before = [contents(store) for store in stores]

    into, lines = merged(stores, tmp_path)

    assert lines == ["Merged 2 folders: 2 finished runs, 1 experiment."]
    assert [contents(store) for store in stores] == before
    for store, spec in zip(stores, (relu, elu)):
        assert into.folder(spec.run).done() == store.folder(spec.run).done()
        assert into.folder(spec.run).files() == store.folder(spec.run).files()
    assert into.measurement("saturation") == stores[1].measurement("saturation")
    table = "experiments/saturation.csv"
    assert (into.path / table).read_bytes() == (stores[1].path / table).read_bytes()
    assert into.recorded() == {relu.run: relu, elu.run: elu}
    assert into.purposes() == {relu.run: "comparison", elu.run: "comparison"}
    assert {path.name for path in into.path.iterdir()} == (
        {".lock", "runs", "experiments", "runs.csv", "environment.json"}
    )


def test_environments_are_kept(stores, tmp_path):
    for store, name in zip(stores, ("relu", "elu")):
        train(store, spec_of(name))
    first, _ = merged(stores, tmp_path)
    joined = json.loads((first.path / "environment.json").read_text())
    both = [{"folder": "a", **ENVIRONMENT}, {"folder": "b", **OTHER_MACHINE}]
    assert joined == {**ENVIRONMENT, "merged_from": both}

    third = Store(tmp_path / "third")
    third.prepare()
    train(third, spec_of("selu"))
    merge([first.path, third.path], tmp_path / "all")
    assert json.loads((tmp_path / "all/environment.json").read_text()) == joined


def test_same_run_in_both_keeps_the_first_ones_times(stores, tmp_path):
    for store, seconds in zip(stores, (0.25, 0.5)):
        train(store, spec_of(), seconds=seconds)
    into, lines = merged(stores, tmp_path)
    assert into.folder(spec_of().run).record()["scores"]["seconds"] == 0.5
    assert lines == [
        "Merged 2 folders: 1 finished run, 0 experiments.",
        "In more than one folder, with the same numbers: 1 run; the times are those of the first.",
    ]


def test_other_numbers_are_refused(stores, tmp_path):
    for seed, loss in ((0, 0.5), (1, 0.5 + 2**-20), (2, 0.75)):
        train(stores[0], spec_of(seed=seed))
        train(stores[1], spec_of(seed=seed), loss, environment=OTHER_MACHINE)
    run = spec_of(seed=2).run
    assert refused(stores, tmp_path) == (
        f"run {run} has other numbers in 'a' than in 'b': largest difference 0.25, in loss"
        " (processor EPYC and Xeon and tensorflow 2.21.0 and 2.20.0); so have 1 more run, none by"
        f" more; take it out of one of them, with its folder runs/{run}"
    )


def test_one_last_bit_is_refused(stores, tmp_path):
    train(stores[0], spec_of(), 1 / 3)
    train(stores[1], spec_of(), np.nextafter(1 / 3, 1))
    assert "largest difference 5.55e-17, in loss" in refused(stores, tmp_path)


def test_other_predictions_are_refused(stores, tmp_path):
    train(stores[0], spec_of())
    train(stores[1], spec_of(), probability=0.625)
    assert "largest difference 0.125, in probability (of one kind" in refused(stores, tmp_path)


def test_losses_that_are_not_finite_in_both_agree(stores, tmp_path):
    for store, seconds in zip(stores, (0.25, 0.5)):
        train(store, spec_of(), float("nan"), seconds)
        train(store, spec_of("elu"), float("inf"), seconds)
    assert "2 runs" in merged(stores, tmp_path)[1][1]


def test_a_loss_that_is_finite_in_one_only_is_refused(stores, tmp_path):
    train(stores[0], spec_of(), float("nan"))
    train(stores[1], spec_of())
    assert "other loss in 2 rows" in refused(stores, tmp_path)


def test_failed_runs_give_way_to_finished_ones(stores, tmp_path):
    relu, elu = spec_of("relu"), spec_of("elu")
    for spec in (relu, elu):
        stores[0].folder(spec.run).fail(spec, "ValueError: no", {})
    train(stores[1], relu)
    into, lines = merged(stores, tmp_path)
    assert into.folder(relu.run).done()
    assert into.folder(elu.run).record()["error"] == "ValueError: no"
    assert lines[1:] == [f"Failed and finished in no folder: {elu.run}."]


def test_unfinished_and_damaged_ones_are_left_out_and_named(stores, tmp_path):
    relu, elu, selu, gelu = (spec_of(name) for name in ("relu", "elu", "selu", "gelu"))
    for spec in (relu, elu):
        train(stores[0], spec)
        (stores[0].folder(spec.run).path / "history.csv").write_text("epoch\n")
    stores[0].folder(selu.run).path.mkdir()
    measure(stores[0])
    (stores[0].path / "experiments/saturation.csv").write_text("cut")
    train(stores[0], gelu)
    train(stores[1], relu)
    into, lines = merged(stores, tmp_path)
    assert {path.name for path in (into.path / "runs").iterdir()} == {relu.run, gelu.run}
    assert not (into.path / "experiments").exists()
    assert lines[1:] == [f"Left out, unfinished or damaged: {elu.run}, {selu.run} and saturation."]


def test_runs_that_are_no_longer_listed_stay_so(stores, tmp_path):
    old, new = spec_of("relu", batch_size=64), spec_of("relu")
    train(stores[0], old)
    train(stores[0], new)
    list_runs(stores[0], new)
    train(stores[1], spec_of("elu"))
    into, _ = merged(stores, tmp_path)
    assert into.folder(old.run).done()
    assert set(into.recorded()) == {new.run, spec_of("elu").run}


def test_purposes_are_joined(stores, tmp_path):
    chose, both, own = spec_of("relu", 1000), spec_of("elu"), spec_of("selu")
    for store, purpose in zip(stores, ("tuned", "comparison")):
        for spec in (chose, both, own):
            train(store, spec)
        list_runs(store, chose, both, own, relu="tuning", elu=purpose, selu="tuned")
    into, _ = merged(stores, tmp_path)
    assert into.purposes() == {chose.run: "tuning", both.run: "comparison", own.run: "tuned"}


def test_a_run_that_chose_a_rate_is_no_result(stores, tmp_path):
    for store, purpose in zip(stores, ("tuning", "comparison")):
        train(store, spec_of())
        list_runs(store, spec_of(), relu=purpose)
    assert "is for tuning in 'a' and for comparison in 'b'" in refused(stores, tmp_path)


def test_two_definitions_of_an_activation_are_refused(stores, tmp_path):
    for store, seed in zip(stores, (0, 1)):
        known = {"name": "bent", "formula": f"{seed} x", "sha256": f"{seed}"}
        train(store, spec_of("bent", seed, activation_sha256=f"{seed}"), activation=known)
    assert refused(stores, tmp_path) == (
        "activation 'bent' is not the same in 'a' and in 'b' (formula '0 x' and '1 x'): give one of"
        " them another name"
    )


def test_definitions_of_experiments_count_too(stores, tmp_path):
    train(stores[0], spec_of("bent"), activation={"name": "bent", "sha256": "a" * 64})
    measure(stores[1], activations=(("bent", "b" * 64),))
    assert "(sha256 'aaaaaaaaaa' and 'bbbbbbbbbb')" in refused(stores, tmp_path)


def test_definitions_of_runs_that_are_no_longer_listed_do_not_count(stores, tmp_path):
    old, new = spec_of("bent"), spec_of("bent", activation_sha256="new")
    train(stores[0], old, activation={"name": "bent", "sha256": "old", "index": 20})
    train(stores[0], new, activation={"name": "bent", "sha256": "new", "index": 20})
    list_runs(stores[0], new)
    train(stores[1], spec_of("bent", 1), activation={"name": "bent", "sha256": "new"})
    assert len(merged(stores, tmp_path)[0].recorded()) == 2


def test_what_one_folder_holds_beside_itself_is_its_own_affair(stores, tmp_path):
    """Of older data, code or devices: nothing of it is for the other folder to contradict."""
    train(stores[0], spec_of("bent", activation_sha256="new"), activation={"sha256": "new"})
    train(stores[0], spec_of("bent", activation_sha256="new", device="GPU"))
    measure(stores[0], activations=(("bent", "old"),), data_sha256="d2" * 32)
    stores[1].path.joinpath("runs").rmdir()
    measure(stores[1], "worked_examples", dataset="", data_sha256="")
    into, _ = merged(stores, tmp_path)
    assert len(into.recorded()) == 2
    assert into.measured() == ["saturation", "worked_examples"]


@pytest.mark.parametrize("experiment", [False, True])
def test_two_versions_of_the_data_are_refused(stores, tmp_path, experiment):
    train(stores[0], spec_of())
    if experiment:
        measure(stores[1], data_sha256="d2" * 32)
    else:
        train(stores[1], dataclasses.replace(spec_of(seed=1), data_sha256="d2" * 32))
    assert refused(stores, tmp_path) == (
        "dataset 'digits' is not the same in 'a' (SHA-256 d1d1d1d1d1…) and in 'b' (d2d2d2d2d2…):"
        " merge results of the same files"
    )


def test_runs_that_the_tables_could_not_tell_apart_are_refused(stores, tmp_path):
    train(stores[0], spec_of())
    train(stores[1], spec_of(device="GPU"))
    assert "the same settings and seed (device CPU and GPU)" in refused(stores, tmp_path)


def test_one_run_of_another_version_of_this_project_is_refused(stores, tmp_path, monkeypatch):
    for store, protocol in zip(stores, (1, 2)):
        monkeypatch.setattr(spec_training, "PROTOCOL", protocol)
        train(store, spec_of())
    assert "made by two versions of this project" in refused(stores, tmp_path)


def test_other_seeds_on_another_device_are_taken(stores, tmp_path):
    train(stores[0], spec_of())
    train(stores[1], spec_of(seed=1, device="GPU"))
    assert len(merged(stores, tmp_path)[0].recorded()) == 2


def test_an_experiment_of_other_settings_is_refused(stores, tmp_path):
    measure(stores[0])
    measure(stores[1], seeds=(0, 1), threads=2)
    assert "saturation is of other seeds and threads in 'a' than in 'b'" in refused(
        stores, tmp_path
    )


def test_an_experiment_of_other_numbers_is_refused(stores, tmp_path):
    measure(stores[0])
    measure(stores[1], values=(0.5, 1.25), environment=OTHER_MACHINE)
    assert refused(stores, tmp_path) == (
        "experiment saturation has other numbers in 'a' than in 'b': largest difference 0.25, in"
        " value (processor EPYC and Xeon and tensorflow 2.21.0 and 2.20.0); take it out of one of"
        " them, with its files experiments/saturation.*"
    )


@pytest.mark.parametrize(
    ("values", "said"), [((1.0,), "2 and 1 rows"), (("x", "y"), "other value in 2 rows")]
)
def test_tables_of_another_kind_are_refused(stores, tmp_path, values, said):
    measure(stores[0])
    measure(stores[1], values=values)
    assert said in refused(stores, tmp_path)


@pytest.mark.parametrize(("name", "value"), [("saturation", 1.0), ("cost", 1.25)])
def test_measured_times_may_differ(stores, tmp_path, name, value):
    measure(stores[0], name, seconds=2.0)
    measure(stores[1], name, (0.5, value), seconds=3.0)
    into, lines = merged(stores, tmp_path)
    assert into.table(f"experiments/{name}.csv")["seconds"].tolist() == [2.0, 2.0]
    assert lines[1:] == [f"Times measured in more than one folder, the first's kept: {name}."]


def test_failures_of_experiments_are_kept_where_none_is_done(stores, tmp_path):
    for name in ("saturation", "losses"):
        stores[0].write_failure(name, f"ValueError: {name}\nrest")
    measure(stores[1])
    into, _ = merged(stores, tmp_path)
    assert into.failures() == {"losses": "ValueError: losses"}


def test_a_source_in_use_is_waited_for(stores, tmp_path):
    for store, name in zip(stores, ("relu", "elu")):
        train(store, spec_of(name))
    with stores[1].lock():
        assert refused(stores, tmp_path) == "'b' is in use by another command: wait for it"
    merged(stores, tmp_path)


def test_sources_are_held_meanwhile(stores, tmp_path, monkeypatch):
    for store, name in zip(stores, ("relu", "elu")):
        train(store, spec_of(name))
        (store.path / ".lock").touch()
    tried = []

    def write_environment(self, facts):
        for store in stores:
            with pytest.raises(RequestError, match="in use"), store.lock():
                pass
            tried.append(store)

    monkeypatch.setattr(Store, "write_environment", write_environment)
    merged(stores, tmp_path)
    assert tried == stores
    for store in stores:
        with store.lock():
            pass


def test_an_output_in_use_is_not_touched(stores, tmp_path):
    for store, name in zip(stores, ("relu", "elu")):
        train(store, spec_of(name))
    target = Store(tmp_path / "c")
    target.path.mkdir()
    with target.lock(), pytest.raises(RequestError, match="is in use by another command"):
        merged(stores, tmp_path)
    assert not target.recorded()


def test_a_killed_merge_is_made_anew(stores, tmp_path):
    for store, name in zip(stores, ("relu", "elu")):
        train(store, spec_of(name))
    left_over = tmp_path / "c/.merging/runs/left"
    left_over.mkdir(parents=True)
    (left_over / "run.json").write_text("{}")
    (tmp_path / "c/.lock").touch()
    into, _ = merged(stores, tmp_path)
    assert {path.name for path in (into.path / "runs").iterdir()} == set(into.recorded())
    assert not (into.path / ".merging").exists()


def test_nothing_is_left_of_a_merge_that_breaks(stores, tmp_path, monkeypatch):
    for store, name in zip(stores, ("relu", "elu")):
        train(store, spec_of(name))

    def full(self, facts):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "write_environment", full)
    with pytest.raises(OSError, match="No space"):
        merged(stores, tmp_path)
    assert [path.name for path in (tmp_path / "c").iterdir()] == [".lock"]
    monkeypatch.undo()
    assert len(merged(stores, tmp_path)[0].recorded()) == 2


def test_what_cannot_be_merged(stores, tmp_path):
    a, b = (store.path for store in stores)
    train(stores[0], spec_of())
    full = tmp_path / "full"
    shutil.copytree(a, full)
    file = tmp_path / "file"
    file.touch()
    for sources, output, message in [
        ([a], "c", "is too few: give two or more"),
        ([], "c", "none is too few"),
        ([a, tmp_path / "nowhere"], "c", "nowhere' is not a folder"),
        ([a, b], "c", "b' holds neither finished runs nor experiments"),
        ([a, tmp_path / "b" / ".." / "a"], "c", "a' is given twice"),
        ([a, b], "a", "lies in"),
        ([a, b], "a/runs/c", "lies in"),
        ([a, b], "full", "full' is not an empty folder"),
        ([a, b], "file", "file' is not an empty folder"),
        ([a, b], "", "is not an empty folder"),
    ]:
        with pytest.raises(RequestError, match=message):
            merge(sources, tmp_path / output)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("rates", [(0.001, 0.01), (0.001, 0.003)])
def test_learning_rates_chosen_from_other_grids(stores, tmp_path, rates):
    for store, name, grid in zip(stores, ("relu", "tanh"), ((0.001, 0.01), rates)):
        specs = [spec_of(name, 1000, learning_rate=rate) for rate in grid]
        for spec in specs:
            train(store, spec)
        list_runs(store, *specs, relu="tuning", tanh="tuning")
    if rates == (0.001, 0.01):
        assert set(merged(stores, tmp_path)[0].purposes().values()) == {"tuning"}
    else:
        assert refused(stores, tmp_path) == (
            "'b' chose the learning rate of tanh by other rates or seeds than 'a' that of relu:"
            " choose anew with the same --tune-learning-rates and --tune-seeds"
        )
