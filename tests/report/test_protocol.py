import pandas as pd
import pytest

from benchmark.report import protocol

RUN = {
    "dataset": "digits",
    "model": "cnn",
    "activation": "relu",
    "optimizer": "adam",
    "learning_rate": 0.001,
    "loss_function": "categorical_crossentropy",
    "seed": 0,
    "status": "complete",
    "batch_size": 128,
    "epochs_asked": 30,
    "limit": None,
    "initializer": "article",
    "validation": "holdout",
    "threads": 1,
    "device": "CPU",
    "precision": "float32",
    "purpose": "comparison",
    "test_images": 360,
    "majority_share": 0.1028,
}
MACHINE = {
    "processor": "AMD EPYC",
    "cores": 2,
    "gpus": [],
    "versions": {"tensorflow": "2.21.0", "keras": "3.15.1", "python": "3.11.7"},
}


def runs(*changes):
    return pd.DataFrame([{**RUN, **change} for change in changes]).astype({"limit": float})


def lines(table, environment=MACHINE):
    return protocol.described(table, environment).split("\n")


def test_one_setting():
    table = runs({}, {"seed": 1}, {"activation": "elu"}, {"activation": "elu", "seed": 1})
    assert lines(table) == [
        "- **Data:** digits, all training images, 360 test images, scored once at the end (guessing"
        " the most frequent class would give 10.28 %). Validation: the last 20 % of the training"
        " set, held out.",
        "- **Network:** two convolutions (3×3, 32 and 64 channels), max-pooling, a dense layer of"
        " 128 and the softmax, with dropout of 0.25 and 0.5 (`cnn`, the article's).",
        "- **Training:** adam, learning rate 0.001, batches of 128, 30 epochs, categorical"
        " crossentropy, gradients clipped at ±0.5 element by element.",
        "- **Initial weights:** Glorot uniform, for SELU LeCun normal with AlphaDropout"
        " (`article`); the softmax layer keeps Glorot uniform.",
        "- **Activations:** 2 (relu, elu).",
        "- **Seeds:** 2 (0 and 1). A seed fixes batch order and, as far as initializer, dropout and"
        " layer sizes are the same, initial weights and dropout noise for every activation, so that"
        " runs pair up.",
        "- **Machine:** AMD EPYC, 2 cores, tensorflow 2.21.0, keras 3.15.1, python 3.11.7, runs on"
        " CPU with 1 thread, float32.",
    ]


def test_what_is_not_known_is_left_out():
    text = protocol.described(runs({"test_images": None, "majority_share": None}), {})
    assert "digits, all training images. Validation" in text
    assert "**Machine:** runs on CPU with 1 thread, float32." in text


def test_a_test_set_that_validates_is_not_scored_once():
    text = protocol.described(runs({"validation": "test"}), {})
    assert "360 test images (guessing the most frequent class would give 10.28 %)." in text


def test_varied_settings():
    text = protocol.described(
        runs(
            {},
            {"learning_rate": 0.01, "model": "mlp", "epochs_asked": 5, "limit": 100},
            {"validation": "test", "initializer": "shared", "threads": 2, "device": "GPU"},
        ),
        {"gpus": ["Some GPU"]},
    )
    assert "learning rate 0.001 and 0.01" in text
    assert "(`cnn`, the article's); or three dense layers" in text
    assert "5 and 30 epochs" in text
    assert "digits, all or the first 100 training images" in text
    assert "held out; or the test set itself" in text
    assert "(`article`); or Glorot uniform for all (`shared`)" in text
    assert "Some GPU, runs on CPU and GPU with 1 and 2 threads" in text


def test_seeds_that_not_all_have():
    text = protocol.described(runs({}, {"seed": 1}, {"activation": "elu"}), {})
    assert "so that runs pair up. Not every activation has run with all of them." in text


def test_tuning_runs_are_told_apart():
    table = runs(
        {},
        {"purpose": "tuned", "learning_rate": 0.01},
        {"purpose": "tuning", "learning_rate": 0.01, "seed": 1000},
        {"purpose": "tuning", "learning_rate": 0.1, "seed": 1000},
    )
    text = protocol.described(table, {})
    assert "- **Seeds:** 1 (0)." in text
    assert "learning rate 0.001 and each activation's own, batches" in text
    assert (
        "- **Learning rates of their own:** 2 further runs with other seeds (1000) chose among 0.01"
        " and 0.1, by validation accuracy." in text
    )


def test_many_seeds_are_a_range():
    table = runs(*({"seed": seed} for seed in range(20)))
    assert "**Seeds:** 20 (0 to 19)." in protocol.described(table, {})
    assert "**Seeds:** 4 (0, 2, 3 and 4)." in protocol.described(table.iloc[[0, 2, 3, 4]], {})


def test_statuses():
    assert protocol.statuses(runs({})) == "1 run, complete."
    assert protocol.statuses(runs({}, {"seed": 1})) == "2 runs, all complete."
    text = protocol.statuses(
        runs(
            {},
            {"status": "diverged"},
            {"status": "diverged", "activation": "elu"},
            {"status": "diverged", "activation": "elu", "seed": 1},
            {"status": "failed"},
            {"status": "unfinished"},
        )
    )
    assert text == (
        "Of 6 runs: 1 complete; 3 diverged (relu 1 and elu 2; the loss became infinite or not a"
        " number: a finding, not a fault); 1 failed (relu 1; an error stopped them; each run's"
        " folder has its log); 1 unfinished (relu 1; the same command goes on with them). Means are"
        " over complete runs only."
    )


def limits(table, seeds=3, rates="shared"):
    return protocol.limits(table, pd.DataFrame({"n_completed": [seeds], "rates": [rates]}))


def test_limits():
    text = limits(runs({}))
    assert text.startswith("- One dataset (digits) and one network of few layers:")
    assert "- Seeds vary initial weights" in text
    assert "All activations train with the same learning rate" in text
    for missing in ("test set also", "Only a part", "16 bits"):
        assert missing not in text


@pytest.mark.parametrize(
    ("seeds", "told"), [(0, "No run is complete yet"), (1, "There is one run of each")]
)
def test_limits_of_few_runs(seeds, told):
    assert f"- {told}" in limits(runs({}), seeds=seeds)


def test_limits_of_odd_protocols():
    text = limits(
        runs(
            {"validation": "test", "limit": 100, "precision": "mixed_float16"},
            {"dataset": "mnist", "model": "mlp"},
        ),
        rates="tuned",
    )
    assert "- 2 datasets (digits and mnist) and 2 networks of few layers:" in text
    assert "- Learning rates were chosen from a coarse grid" in text
    assert "All activations train" not in text
    for told in ("The test set also", "Only a part", "Layers computed in 16 bits"):
        assert f"- {told}" in text
