import dataclasses
import shlex

import pandas as pd
import pytest

from benchmark import cli
from benchmark.experiments import catalogue
from benchmark.experiments import request as experiments_request
from benchmark.report import recipe
from benchmark.results.schema import spec_columns
from benchmark.training.request import Request, expand, expand_tuning, request
from benchmark.training.spec import COMPARISON, TUNED, TUNING


def specs_of(command, data="0" * 64, device="CPU"):
    """Return the runs that a command asks for before any rate is chosen, and those that choose."""
    words = shlex.split(command)[1:]
    words = words[1:] if words[0] == "run_all.py" else words[3:]
    parser = cli._parser("test")
    cli._add_comparison(parser)
    options = vars(parser.parse_args(words))
    known = {name: options[name] for name in Request.__dataclass_fields__}
    wanted = request(**known)
    dataset = options["dataset"]
    return (
        expand(wanted, dataset, data, device),
        expand_tuning(wanted, dataset, data, device),
    )


def table(specs, choosing=(), tuned=()):
    rows = [
        {**spec_columns(spec, spec.run), "purpose": purpose, "data_origin": None}
        for purpose, some in ((COMPARISON, specs), (TUNING, choosing), (TUNED, tuned))
        for spec in some
    ]
    return pd.DataFrame(rows)


def runs_of(options, device="CPU"):
    specs, choosing = specs_of(f"python run_all.py {options}", device=device)
    return table(specs, choosing)


def names(specs):
    return {spec.run for spec in specs}


COMMANDS = {
    "the defaults on digits": "--dataset digits",
    "fewer activations": "--dataset digits --activations relu,gelu",
    "the whole catalogue": "--dataset digits --activations all --seeds 1 --epochs 2",
    "a list of seeds": "--dataset digits --activations relu --seeds 0,3,7",
    "one seed that is not 0": "--dataset digits --activations relu --seeds 7,7",
    "another dataset": "--dataset mnist --seeds 1 --epochs 3",
    "a grid": "--dataset digits --activations relu,elu --seeds 2 --model cnn,mlp"
    " --optimizer adam,sgd --learning-rate 0.001,1e-05 --loss mean_squared_error"
    " --batch-size 32,128 --initializer article,shared",
    "the article's protocol": "--dataset mnist --preset article",
    "the article's protocol on digits": "--dataset digits --preset article --epochs 5",
    "further settings": "--dataset digits --seeds 2 --limit 500 --threads 2"
    " --precision mixed_bfloat16 --deterministic",
    "own learning rates": "--dataset digits --seeds 2 --tune-learning-rates 0.0003,0.001,0.003",
    "own tuning seeds": "--dataset digits --seeds 2 --tune-learning-rates 0.01,0.1 --tune-seeds 5",
    "listed tuning seeds": "--dataset digits --seeds 3 --tune-learning-rates 0.01,0.1"
    " --tune-seeds 10,11,12",
    "one listed tuning seed": "--dataset digits --seeds 3 --tune-learning-rates 0.01,0.1"
    " --tune-seeds 10,10",
}


@pytest.mark.parametrize("options", COMMANDS.values(), ids=COMMANDS)
def test_command_asks_for_the_same_runs(options):
    runs = runs_of(options)
    [command] = recipe.commands(runs)
    specs, choosing = specs_of(command)
    assert names(specs) | names(choosing) == set(runs["run"])
    assert names(choosing) == set(runs.loc[runs["purpose"] == TUNING, "run"])


def test_only_what_differs_from_the_defaults_is_stated():
    assert recipe.commands(runs_of("--dataset digits")) == [
        "python -m benchmark compare --dataset digits"
    ]
    # The defaults of other datasets depend on the machine.
    assert recipe.commands(runs_of("--dataset mnist --preset standard")) == [
        "python -m benchmark compare --dataset mnist --seeds 5 --epochs 12"
    ]
    assert recipe.commands(runs_of("--dataset mnist --preset article")) == [
        "python -m benchmark compare --dataset mnist --preset article"
    ]


def test_on_a_gpu_the_names_are_the_same_too():
    runs = runs_of("--dataset mnist", device="GPU")
    [command] = recipe.commands(runs)
    assert names(specs_of(command, device="GPU")[0]) == set(runs["run"])


def test_runs_at_chosen_rates_follow_from_the_choice():
    specs, choosing = specs_of("python run_all.py --dataset digits --tune-learning-rates 0.01,0.1")
    tuned = [dataclasses.replace(spec, learning_rate=0.1) for spec in specs]
    [command] = recipe.commands(table(specs, choosing, tuned))
    assert command.endswith("--dataset digits --tune-learning-rates 0.01,0.1")


def test_several_commands_where_there_is_no_full_grid():
    runs = runs_of("--dataset digits --activations relu,elu,gelu --seeds 3").iloc[:-1]
    *lines, last = recipe.commands(runs)
    found = [names(specs_of(line)[0]) for line in lines]
    assert len(lines) == 2
    assert set().union(*found) == set(runs["run"])
    assert not set.intersection(*found)
    outputs = [shlex.split(line)[-1] for line in lines]
    assert shlex.split(last) == [
        *("python", "-m", "benchmark", "merge"),
        *outputs,
        *("--output", "results/merged"),
    ]


def test_several_commands_for_what_one_command_cannot_vary():
    runs = pd.concat(
        [
            runs_of("--dataset digits --epochs 2"),
            runs_of("--dataset digits --epochs 3 --limit 100"),
            runs_of("--dataset digits --tune-learning-rates 0.01,0.1"),
        ]
    )
    lines = recipe.commands(runs)
    found = [names([*specs, *choosing]) for specs, choosing in map(specs_of, lines[:-1])]
    assert [len(some) for some in found] == [18, 18, 54]
    assert set().union(*found) == set(runs["run"])


def test_older_tables_have_no_purposes():
    runs = runs_of("--dataset digits").drop(columns="purpose")
    assert recipe.commands(runs) == ["python -m benchmark compare --dataset digits"]


def test_places_that_the_tables_do_not_know():
    runs = runs_of("--dataset digits --activations relu,gelu --seeds 1")
    runs["data_origin"] = ["given folder", None]
    runs["activation_sha256"] = ["", "1234"]
    runs.loc[1, "activation"] = "mine"
    assert recipe.commands(runs) == [
        "python -m benchmark compare --dataset digits --data-dir FOLDER --plugin FILE"
        " --activations relu,mine --seeds 1"
    ]


@pytest.mark.parametrize(
    ("activations", "baseline", "stated"),
    [
        ("relu,elu", "relu", False),
        ("elu,relu", "relu", False),
        ("elu,relu", "elu", True),
        ("elu,gelu", "elu", False),
        ("elu,gelu", "gelu", True),
        ("elu,gelu", "selu", False),
    ],
)
def test_baseline_is_stated_where_it_is_not_the_default(activations, baseline, stated):
    runs = runs_of(f"--dataset digits --activations {activations}")
    [command] = recipe.commands(runs, baseline=baseline)
    assert command.endswith(f" --baseline {baseline}") == stated
    assert ("--baseline" in command) == stated


def test_experiments():
    runs, every = runs_of("--dataset digits"), {name: {} for name in catalogue.catalogue()}
    assert recipe.commands(runs, every) == ["python run_all.py --dataset digits"]
    assert recipe.commands(runs, {"cost": {}}) == [
        "python -m benchmark compare --dataset digits",
        "python -m benchmark experiments cost",
    ]
    assert recipe.commands(runs.iloc[:0], every) == ["python -m benchmark experiments"]
    assert recipe.commands(pd.DataFrame(), {"cost": {}, "losses": {}}) == [
        "python -m benchmark experiments cost losses"
    ]
    assert recipe.commands(pd.DataFrame()) == []


def records_of(beside=(), data_origin=None, **asked):
    """Return the records of all experiments, or of those chosen, as they read back."""
    dataset = asked.pop("dataset", "digits")
    wanted = experiments_request.request(beside=beside, **asked)
    specs = experiments_request.specs_for(wanted, dataset, "0" * 64)
    return {spec.experiment: {"spec": spec.as_json(), "data_origin": data_origin} for spec in specs}


def measured_by(command):
    """Return the specs, by experiment, that a command of experiments asks for."""
    parser = cli._parser("test")
    cli._add_experiments(parser)
    options = vars(parser.parse_args(shlex.split(command)[4:]))
    own = {option.name for made in catalogue.catalogue().values() for option in made.options}
    wanted = experiments_request.request(
        options["names"] or None,
        options["activations"],
        seeds=options["seeds"],
        options={name: options[name] for name in own},
    )
    specs = experiments_request.specs_for(wanted, options["dataset"], "0" * 64)
    return {spec.experiment: spec.as_json() for spec in specs}


MEASUREMENTS = {
    "depths": {"chosen": ["gradient_flow"], "options": {"depths": [2, 4]}, "seeds": [0, 1]},
    "one seed": {"chosen": ["gradient_flow"], "seeds": [7]},
    "initializers": {
        "chosen": ["gradient_flow", "exploding"],
        "options": {"initializers": ["he_normal"]},
    },
    "numbers with fractions": {
        "chosen": ["losses"],
        "options": {"starts": [1.5, 3.0], "epochs": 2},
    },
    "a word": {"chosen": ["losses"], "options": {"model": "cnn"}},
    "activations": {"activations": ["elu", "relu"]},
    "the whole catalogue": {"chosen": ["losses"], "activations": "all"},
    "another dataset": {"chosen": ["losses", "gradient_flow"], "dataset": "mnist"},
}


@pytest.mark.parametrize("asked", MEASUREMENTS.values(), ids=MEASUREMENTS)
def test_commands_measure_the_same(asked):
    records = records_of(**asked)
    lines = recipe.commands(pd.DataFrame(), records)
    found = {name: spec for line in lines for name, spec in measured_by(line).items()}
    assert found == {name: record["spec"] for name, record in records.items()}


def test_options_of_experiments_are_stated_where_they_are_not_the_default():
    assert recipe.commands(pd.DataFrame(), records_of(chosen=["cost", "losses"])) == [
        "python -m benchmark experiments cost losses"
    ]
    own = records_of(chosen=["gradient_flow"], options={"depths": [2, 4]}, seeds=[0, 1])
    assert recipe.commands(pd.DataFrame(), {**records_of(chosen=["cost"]), **own}) == [
        "python -m benchmark experiments cost",
        "python -m benchmark experiments gradient_flow --seeds 2 --depths 2,4",
    ]
    given = records_of(chosen=["losses"], data_origin="given folder")
    [line] = recipe.commands(pd.DataFrame(), given)
    assert line.endswith("losses --data-dir FOLDER")
    given["losses"]["spec"]["activations"] = [["relu", ""], ["mine", "12ab"]]
    [line] = recipe.commands(pd.DataFrame(), given)
    assert line.endswith("--plugin FILE --activations relu,mine")


def test_all_in_one_command_only_where_it_measures_the_same():
    runs = runs_of("--dataset digits --activations relu,mish --seeds 1")
    line = "--dataset digits --activations relu,mish --seeds 1"
    along = records_of(beside=["relu", "mish"])
    assert recipe.commands(runs, along) == [f"python run_all.py {line}"]
    assert recipe.commands(runs, records_of()) == [
        f"python -m benchmark compare {line}",
        "python -m benchmark experiments",
    ]
    assert recipe.commands(runs_of("--dataset digits"), records_of()) == [
        "python run_all.py --dataset digits"
    ]
