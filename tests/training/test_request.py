import dataclasses

import pytest

from benchmark.errors import RequestError
from benchmark.training.options import seed_list
from benchmark.training.request import expand, expand_tuned, expand_tuning, request
from benchmark.training.spec import CLIP_VALUE, RunSpec


def test_defaults_are_the_articles_protocol():
    specs = expand(request(seeds=1), "mnist", "abc", "GPU")
    six = ["sigmoid", "relu", "elu", "leaky_relu", "selu", "gelu"]
    assert [s.activation for s in specs] == [*six, "linear"]
    first = specs[0]
    assert (first.optimizer, first.learning_rate, first.batch_size) == ("adam", 0.001, 128)
    assert (first.loss, first.validation, first.model) == (
        "categorical_crossentropy",
        "holdout",
        "cnn",
    )
    assert CLIP_VALUE == 0.5


@pytest.mark.parametrize(
    ("preset", "dataset", "device", "seeds", "epochs"),
    [
        # Those of the first round.
        (None, "digits", "CPU", 8, 30),
        (None, "mnist1d", "GPU", 8, 40),
        (None, "mnist", "CPU", 8, 10),
        (None, "mnist", "GPU", 8, 12),
        ("quick", "digits", "GPU", 1, 3),
        ("standard", "mnist", "CPU", 5, 12),
        ("article", "mnist", "CPU", 1, 100),
    ],
)
def test_presets(preset, dataset, device, seeds, epochs):
    specs = expand(request(activations="relu", preset=preset), dataset, "abc", device)
    assert [s.seed for s in specs] == list(range(seeds))
    assert {s.epochs for s in specs} == {epochs}


def test_of_a_large_dataset_a_cpu_gets_a_part():
    def limits(dataset, device, **settings):
        return {spec.limit for spec in expand(request(**settings), dataset, "abc", device)}

    assert limits("mnist", "CPU") == limits("fashion_mnist", "CPU", seeds=3) == {4000}
    assert limits("mnist", "CPU", limit=500) == {500}
    assert limits("mnist", "CPU", preset="standard") == limits("mnist", "GPU") == {None}
    assert limits("mnist1d", "CPU") == limits("digits", "CPU") == {None}


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
        "kept_environment": "TF_ENABLE_ONEDNN_OPTS=0",
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
    assert seed_list(value) == seeds


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


def test_tuning_has_the_same_grid_and_budget_for_all():
    wanted = request(
        activations="relu,tanh", seeds=2, epochs=4, tune_learning_rates="1e-2,1e-3", tune_seeds=2
    )
    specs = expand_tuning(wanted, "digits", "abc", "CPU")
    found = [(s.activation, s.learning_rate, s.seed, s.epochs) for s in specs]
    assert sorted(found) == [
        (name, rate, seed, 4)
        for name in ("relu", "tanh")
        for rate in (0.001, 0.01)
        for seed in (1000, 1001)
    ]
    assert expand_tuning(request(), "digits", "abc", "CPU") == []


def test_tuned_runs_have_fresh_seeds_and_each_ones_rate():
    wanted = request(
        activations="relu,tanh,elu",
        seeds=2,
        learning_rate="0.1,0.2",
        initializer="article,shared",
        tune_learning_rates="0.1,0.3",
    )
    chosen = {("relu", "article"): 0.3, ("tanh", "article"): 0.1, ("tanh", "shared"): 0.3}
    specs = expand_tuned(
        wanted, "digits", "abc", "CPU", lambda s: chosen.get((s.activation, s.initializer))
    )
    assert [(s.activation, s.initializer, s.learning_rate, s.seed) for s in specs] == [
        ("relu", "article", 0.3, 0),
        ("tanh", "article", 0.1, 0),
        ("relu", "article", 0.3, 1),
        ("tanh", "article", 0.1, 1),
        ("tanh", "shared", 0.3, 0),
        ("tanh", "shared", 0.3, 1),
    ]
    # At the shared rate they are the very runs of the comparison.
    assert {s.run for s in expand(wanted, "digits", "abc", "CPU")} > {
        s.run for s in specs if s.learning_rate == 0.1
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tune_seeds": 3}, "need learning rates"),
        ({"tune_learning_rates": "0.1"}, "leave no choice"),
        ({"tune_learning_rates": "0.1,none"}, "'none'"),
        ({"tune_learning_rates": "0.1,0.2", "tune_seeds": "7,0"}, "seed 0 is among"),
        ({"tune_learning_rates": "0.1,0.2", "tune_seeds": "7,8", "seeds": 9}, "seed 7 is among"),
        ({"tune_learning_rates": "0.1,0.2", "preset": "article"}, "must not choose"),
        ({"initializer": "article,glorot"}, "'glorot'"),
    ],
)
def test_tuning_that_would_not_be_fair_is_refused(settings, message):
    with pytest.raises(RequestError, match=message):
        request(**settings)
