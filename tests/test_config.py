import dataclasses

import pytest

from benchmark import config
from benchmark.config import RunSpec, expand, request
from benchmark.errors import RequestError


def test_defaults_are_the_articles_protocol():
    specs = expand(request(), "mnist", "abc", "CPU")
    assert [s.activation for s in specs] == ["sigmoid", "relu", "elu", "leaky_relu", "selu", "gelu"]
    first = specs[0]
    assert (first.optimizer, first.learning_rate, first.batch_size) == ("adam", 0.001, 128)
    assert (first.loss, first.validation, first.model) == (
        "categorical_crossentropy",
        "holdout",
        "cnn",
    )
    assert config.CLIP_VALUE == 0.5


@pytest.mark.parametrize(
    ("preset", "dataset", "device", "seeds", "epochs"),
    [
        (None, "digits", "CPU", 3, 30),
        (None, "mnist", "CPU", 1, 3),
        (None, "mnist", "GPU", 5, 12),
        ("quick", "digits", "GPU", 1, 3),
        ("standard", "mnist", "CPU", 5, 12),
        ("article", "mnist", "CPU", 1, 100),
    ],
)
def test_presets(preset, dataset, device, seeds, epochs):
    specs = expand(request(activations="relu", preset=preset), dataset, "abc", device)
    assert [s.seed for s in specs] == list(range(seeds))
    assert {s.epochs for s in specs} == {epochs}


def test_article_preset_is_the_sources_protocol():
    (spec,) = expand(request(activations="gelu", preset="article"), "mnist", "abc", "CPU")
    assert (spec.loss, spec.validation, spec.epochs) == ("binary_crossentropy", "test", 100)


def test_options_override_the_preset():
    wanted = request(
        activations="gelu", preset="article", epochs="2", seeds="3,5", loss="mean_squared_error"
    )
    specs = expand(wanted, "mnist", "abc", "CPU")
    assert [(s.seed, s.epochs, s.loss) for s in specs] == [
        (3, 2, "mean_squared_error"),
        (5, 2, "mean_squared_error"),
    ]


def test_grid_expands_seed_by_seed():
    wanted = request(activations="relu,tanh", seeds=2, learning_rate="0.1,0.01", model="mlp,cnn")
    specs = expand(wanted, "digits", "abc", "CPU")
    assert len(specs) == len(set(specs)) == 16
    assert [(s.activation, s.seed) for s in specs[:4]] == [
        ("relu", 0),
        ("tanh", 0),
        ("relu", 1),
        ("tanh", 1),
    ]


def test_run_name_holds_a_hash_of_every_field():
    base = RunSpec("digits", "relu", 0)
    assert base.run.startswith("digits-cnn-relu-s0-")
    other = {
        "dataset": "mnist",
        "activation": "elu",
        "seed": 1,
        "model": "mlp",
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "loss": "mean_squared_error",
        "epochs": 4,
        "batch_size": 64,
        "limit": 100,
        "initializer": "shared",
        "validation": "test",
        "threads": 2,
        "device": "GPU",
        "deterministic": True,
        "precision": "mixed_bfloat16",
        "data_sha256": "x",
        "activation_sha256": "y",
    }
    assert set(other) == {field.name for field in dataclasses.fields(RunSpec)}
    names = {dataclasses.replace(base, **{k: v}).run for k, v in other.items()} | {base.run}
    assert len(names) == len(other) + 1
    # Equal settings, equal name: results are found again.
    assert RunSpec("digits", "relu", 0).run == base.run


@pytest.mark.parametrize(
    ("value", "seeds"), [("5", [0, 1, 2, 3, 4]), (2, [0, 1]), ("0,3,7", [0, 3, 7]), ([4, 4], [4])]
)
def test_seeds(value, seeds):
    assert config.seed_list(value) == seeds


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activations": "rellu"}, r"'rellu'.*did you mean relu"),
        ({"activations": ""}, "empty item"),
        ({"activations": []}, "empty item"),
        ({"activations": "relu,,elu"}, "empty item"),
        ({"seeds": "0"}, "'0'.*at least 1"),
        ({"seeds": "-2"}, "'-2'"),
        ({"seeds": "1,-2"}, "'-2'.*at least 0"),
        ({"seeds": "two"}, "'two'"),
        ({"seeds": []}, "empty item"),
        ({"epochs": 0}, "epochs '0'"),
        ({"epochs": "1.5"}, "epochs '1.5'"),
        ({"batch_size": "-128"}, "batch size '-128'"),
        ({"learning_rate": "nan"}, "learning rate 'nan'"),
        ({"learning_rate": "0"}, "learning rate '0'"),
        ({"learning_rate": "fast"}, "learning rate 'fast'"),
        ({"optimizer": "adamm"}, "'adamm'.*did you mean adam"),
        ({"loss": "crossentropy"}, "'crossentropy'"),
        ({"model": "transformer"}, "choose from cnn, mlp"),
        ({"limit": -5}, "limit '-5'"),
        ({"initializer": "he"}, "'he'"),
        ({"preset": "fast"}, "'fast'"),
        ({"threads": 0}, "threads '0'"),
    ],
)
def test_bad_settings_are_one_clear_line(settings, message):
    with pytest.raises(RequestError, match=message) as caught:
        request(**settings)
    assert "\n" not in str(caught.value)
