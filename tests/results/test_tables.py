"""From recorded runs to tables: what is read, kept and left out."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmark.data.loading import Dataset
from benchmark.errors import RequestError
from benchmark.results import tables
from benchmark.results.folder import Store
from benchmark.training.loop import Outcome
from benchmark.training.spec import RunSpec

LABELS = np.arange(8) % 4


def record(store, name, seed, wrong):
    """Record a run that misclassifies the first `wrong` of eight images."""
    spec = RunSpec("digits", name, seed, epochs=1, data_sha256="d1")
    predicted = np.where(np.arange(8) < wrong, (LABELS + 1) % 4, LABELS)
    rows = [{"epoch": 1, "loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}]
    rows[0]["seconds"] = 0.5
    test = {"test_loss": 0.5, "test_accuracy": 1 - wrong / 8}
    outcome = Outcome("complete", rows, test, predicted, np.full(8, 0.9), 42)
    store.folder(spec.run).path.mkdir(parents=True)
    store.folder(spec.run).finish(spec, outcome, LABELS, {})
    return spec


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    specs = [record(store, name, seed, 1 + seed) for name in ("elu", "relu") for seed in (0, 1)]
    specs += [record(store, "selu", 0, 3), record(store, "tanh", 0, 4)]
    store.write_tables({spec.run: spec for spec in specs})
    return store


def derived(store, **more):
    return tables.derive(store, *store.tables(), **more)


def test_verdicts_are_qualified_by_the_examples(store):
    pairs = derived(store)["comparisons"].query("metric == 'test_accuracy'")
    assert np.isfinite(pairs[["crossed_low", "crossed_high"]].to_numpy()).all()


def test_margin(store):
    def margins(**more):
        written = derived(store, **more)
        tables.write(store, written, store.tables()[1])
        return set(written["pairs"]["margin"].dropna())

    assert margins() == {0.005}, "the dataset's own"
    assert margins(margin=0.02) == {0.02}
    assert margins() == {0.02}, "that of the last tables"
    table = store.table("pairs.csv").assign(margin=-3.0)
    store.write_table("pairs.csv", table)
    assert margins() == {0.005}, "what is read is checked"


def test_the_answer_is_written_and_read(store):
    runs = store.tables()[1]
    tables.write(store, derived(store), runs)
    (answer,) = json.loads((store.path / "answer.json").read_text())
    assert answer == tables.answer_of(store, runs)[0]
    assert answer["dataset"] == "digits"
    store.remove("pairs.csv")
    assert tables.answer_of(store, runs) == []


def test_no_answer_by_tables_of_other_settings(store):
    runs = store.tables()[1]
    tables.write(store, derived(store), runs)
    # Those of a job that was interrupted before its own tables were written.
    assert tables.answer_of(store, runs.assign(model="mlp")) == []


def test_ranks_of_older_versions_go(store):
    (store.path / "ranks.csv").write_text("activation,mean_rank\n")
    tables.write(store, derived(store), store.tables()[1])
    assert not (store.path / "ranks.csv").exists()


def test_test_set_is_told_by_a_run_that_has_predictions(store):
    _, runs = store.tables()
    assert (runs["test_images"] == 8).all()
    assert (runs["majority_share"] == 0.25).all()
    (store.folder(runs["run"][0]).path / "predictions.csv.gz").unlink()
    store.write_tables(store.recorded())
    assert (store.tables()[1]["test_images"] == 8).all()


def test_baseline(store):
    def baseline(**more):
        written = derived(store, **more)
        tables.write(store, written, store.tables()[1])
        return set(written["comparisons"]["baseline"])

    assert baseline() == {"relu"}
    assert baseline(baseline="elu") == {"elu"}
    # That of the last tables.
    assert baseline() == {"elu"}
    with pytest.raises(RequestError, match="'mish' is not among .*: give one of elu"):
        baseline(baseline="mish")


def test_pixels_are_kept_by_dataset(store):
    images = np.arange(8 * 4, dtype=np.uint8).reshape(8, 2, 2, 1)
    data = Dataset("digits", "made up", "", "d1", images, LABELS, images, LABELS, 16.0, 4)
    with_images = derived(store, data=data)
    shown = with_images["misclassified"].set_index("index")
    assert set(shown.loc[1, "pixels"]) == {"4 5 6 7"}
    tables.write(store, with_images, store.tables()[1])
    again = derived(store)["misclassified"]
    assert again["pixels"].tolist() == with_images["misclassified"]["pixels"].tolist()
    of_other_data = pd.read_csv(store.path / "misclassified.csv").assign(dataset="letters")
    store.write_table("misclassified.csv", of_other_data)
    assert derived(store)["misclassified"]["pixels"].isna().all()


def test_a_signal_is_an_image_of_height_1(store):
    signals = np.linspace(-1, 1, 8 * 3, dtype=np.float32).round(4).reshape(8, 3, 1)
    data = Dataset("digits", "made up", "", "d1", signals, LABELS, signals, LABELS, 1.0, 4)
    tables.write(store, derived(store, data=data), store.tables()[1])
    # As the file has it, where it is kept from.
    row = derived(store)["misclassified"].set_index("index").loc[[0]].iloc[0]
    assert (row["height"], row["width"], row["pixels"]) == (1, 3, "-1.0 -0.913 -0.8261")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("pixels", "4 5 6 nan"),
        ("pixels", "4 5 6"),
        ("pixels", "4 5 6 x"),
        ("height", "two"),
        ("scale", 0),
        ("width", 1.5),
    ],
)
def test_damaged_pixels_are_not_shown_again(store, column, value):
    images = np.arange(8 * 4, dtype=np.uint8).reshape(8, 2, 2, 1)
    data = Dataset("digits", "made up", "", "d1", images, LABELS, images, LABELS, 16.0, 4)
    shown = derived(store, data=data)["misclassified"]
    store.write_table("misclassified.csv", shown.assign(**{column: value}))
    assert derived(store)["misclassified"]["pixels"].isna().all()
    store.write_table("misclassified.csv", shown.drop(columns="scale"))
    assert derived(store)["misclassified"]["pixels"].isna().all()


def test_tuning_table_of_an_earlier_command_goes(store):
    store.write_text("tuning.csv", "activation\nrelu\n")
    tables.write(store, derived(store), store.tables()[1])
    assert not (store.path / "tuning.csv").exists()
