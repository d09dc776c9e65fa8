"""The command line: arguments and help. Heavy imports only inside the commands."""

import argparse
import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NoReturn

from benchmark.activations import ARTICLE_SIX, user_entries
from benchmark.activations.plugins import CHECK_SECONDS, load_plugin
from benchmark.errors import RequestError, unknown
from benchmark.exits import DONE, SOME_FAILED, guarded
from benchmark.training import request, spec
from benchmark.training.options import activation_list, positive_number


class _Parser(argparse.ArgumentParser):
    """Reports a wrong request in one line, a misspelt option with the nearest ones."""

    def error(self, message: str) -> NoReturn:
        raise RequestError(message)

    # argparse itself calls it with a namespace of its own.
    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        options, rest = super().parse_known_args(args, namespace or argparse.Namespace())
        for word in rest:
            raise unknown("option", word.split("=")[0], self._option_string_actions)
        return options, rest


def _parser(program: str, description: str) -> _Parser:
    return _Parser(prog=program, allow_abbrev=False, description=description)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        default=request.DEFAULT_OUTPUT,
        help="folder of the results (default: %(default)s)",
    )


def _add_style(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--style", default="light", help="of the figures: light or dark")


def _add_baseline(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--baseline",
        help="the activation that the others are compared with (default: relu, where it is among"
        " them)",
    )


def _add_margin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--margin",
        metavar="POINTS",
        help="of accuracy, up to which two activations count as equal (default: 0.5; on mnist 0.1)",
    )


def _add_plugin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plugin", help="Python file that registers further activations")
    parser.add_argument(
        "--check-seconds",
        default=CHECK_SECONDS,
        help="of loading it, and of checking each of its activations (default: %(default)g)",
    )


def _add_hang_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--hang-timeout",
        metavar="SECONDS",
        help="end a worker that reports nothing for so long, and give its work to another (default:"
        " six times what it is expected to take, and 120 at least)",
    )


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        help="folder with the data files, .npz or IDX; nothing else is looked at then"
        " (also: environment variable BENCHMARK_DATA_DIR)",
    )


def _add_comparison(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--dataset",
        default="auto",
        help="auto (default: MNIST where it can be had, else mnist1d), mnist, fashion_mnist,"
        " digits, mnist1d",
    )
    _add_data_dir(parser)
    add(
        "--activations",
        help="names separated by commas, or all (default: the article's six and linear)",
    )
    add(
        "--control",
        action="store_true",
        help="add linear, no activation at all, which the others should beat (always there without"
        " --activations)",
    )
    add(
        "--seeds",
        help="auto (default without --preset): 8, then 4 more at a time until it is known which to"
        " use; a count (5: seeds 0 to 4), or a list (0,3,7)",
    )
    add(
        "--most-seeds",
        metavar="N",
        help="of --seeds auto (default: 20; of a large dataset on a CPU 8)",
    )
    add(
        "--time-budget",
        metavar="TIME",
        help="90s, 10m or 2h: --seeds auto begins no further round after that",
    )
    add("--epochs", help="epochs of each run")
    add("--batch-size", default="128", help="examples per step (default: 128); may be a list")
    add("--learning-rate", default="0.001", help="default: 0.001; may be a list")
    add("--optimizer", default="adam", help=f"{', '.join(spec.OPTIMIZERS)}; may be a list")
    add("--loss", help=f"{', '.join(spec.LOSSES)}; may be a list")
    add("--model", default="cnn", help=f"{', '.join(spec.MODELS)}; may be a list")
    add("--limit", help="keep the first N training examples; the test set stays whole")
    add(
        "--initializer",
        default="article",
        help=f"{', '.join(spec.INITIALIZERS)} (default: article); may be a list",
    )
    add(
        "--tune-learning-rates",
        metavar="RATES",
        help="choose each activation's own among these, 3e-4,1e-3,3e-3 for instance, on validation"
        " data; its final runs stand beside those with --learning-rate. auto starts with these"
        " three and goes on beyond while the best lies at an edge",
    )
    add(
        "--tune-seeds",
        metavar="SEEDS",
        help=f"of the runs that choose (default: 3): a count, from {request.FIRST_TUNING_SEED} on,"
        " or a list",
    )
    _add_baseline(parser)
    _add_margin(parser)
    add(
        "--preset",
        help="quick: 1 seed, 3 epochs; standard: 5 seeds, 12 epochs; article: the source's"
        " protocol, 100 epochs. Without one, --seeds auto and 30 epochs on digits, 40 on mnist1d;"
        " elsewhere 12 on a GPU, and on a CPU 10 on the first 4,000 training images",
    )
    add("--jobs", help="runs at once (default: as many as keep cores or GPUs busy)")
    _add_hang_timeout(parser)
    add(
        "--scheduler",
        metavar="ADDRESS",
        help="a Dask scheduler's, tcp://host:8786 for instance: its workers do the runs",
    )
    add("--threads", default="1", help="threads of each run (default: 1)")
    add(
        "--precision",
        default="float32",
        help="float32 (default), mixed_bfloat16 or mixed_float16; never reduced unless asked for",
    )
    add("--deterministic", action="store_true", help="repeatable bit for bit on a GPU too, slower")
    add(
        "--keep-environment",
        action="store_true",
        help="keep environment variables that change numbers, TF_ENABLE_ONEDNN_OPTS for instance;"
        " the runs have names of their own then (default: these are put to their defaults)",
    )
    _add_plugin(parser)
    _add_output(parser)
    add("--fresh", action="store_true", help="train again what is finished already")
    add("--tensorboard", action="store_true", help="write event files for TensorBoard too")
    _add_style(parser)


def _compare(options: argparse.Namespace) -> int:
    settings = {name: value for name, value in vars(options).items() if name != "plugin"}
    # Cheap checks first: a misspelt name is answered before anything heavy is loaded.
    if options.plugin is None:
        activation_list(options.activations)
    from benchmark import api

    _load_plugin(options)
    if options.plugin is not None and options.activations is None:
        settings |= {"activations": [*ARTICLE_SIX, *_plugin_names()], "control": True}
    return SOME_FAILED if api.failures(api.compare(**settings)) else DONE


def _add_experiments(parser: argparse.ArgumentParser) -> None:
    from benchmark.experiments.catalogue import all_experiments

    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="of an experiment; default: all of them")
    add(
        "--activations",
        help="names separated by commas, or all (default: each experiment's own)",
    )
    add("--seeds", help="a count (5: seeds 0 to 4) or a list (0,3,7); default: each experiment's")
    add(
        "--dataset",
        default="digits",
        help="for those that need data: digits (default), mnist, fashion_mnist, mnist1d, auto",
    )
    _add_data_dir(parser)
    add("--jobs", help="experiments at once (default: as many as keep the cores busy)")
    _add_hang_timeout(parser)
    _add_plugin(parser)
    _add_output(parser)
    add("--fresh", action="store_true", help="measure again what is done already")
    _add_style(parser)
    studies = all_experiments().values()
    for name in dict.fromkeys(o.name for study in studies for o in study.options):
        owners = {study.name: o for study in studies for o in study.options if o.name == name}
        texts = "; ".join(f"{owner}: {option.help}" for owner, option in owners.items())
        add(f"--{name.replace('_', '-')}", help=texts.replace("%", "%%"))
    parser.epilog = "Experiments: " + "; ".join(f"{s.name}: {s.title}" for s in studies)


def _experiments(options: argparse.Namespace) -> int:
    from benchmark import api

    settings = {name: value for name, value in vars(options).items() if name != "plugin"}
    names = settings.pop("names") or None
    _load_plugin(options)
    return _measured(api, names, beside=_plugin_names() if options.plugin else (), **settings)


def _measured(api: Any, names: list[str] | None, **settings: Any) -> int:
    from benchmark.experiments.catalogue import all_experiments, resolve

    tables = api.run_experiments(names, **settings)
    wanted = {resolve(name).name for name in names or all_experiments()}
    return DONE if wanted == set(tables) else SOME_FAILED


def _everything(options: argparse.Namespace) -> int:
    from benchmark import api

    code = _compare(options)
    # Beside each experiment's own, what was compared.
    asked = [] if options.activations is None else activation_list(options.activations)
    shared = ("jobs", "hang_timeout", "output", "fresh", "style", "check_seconds")
    settings = {name: getattr(options, name) for name in shared}
    beside = [*asked, *_plugin_names()]
    code = max(code, _measured(api, None, beside=beside, **settings))
    api.write_page(options.output)
    return code


def _load_plugin(options: argparse.Namespace) -> None:
    if options.plugin is not None:
        seconds = positive_number("check seconds", options.check_seconds)
        with _quiet():
            load_plugin(options.plugin, seconds, partial(print, flush=True))


def _plugin_names() -> list[str]:
    return [entry.name for entry in user_entries()]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep TensorFlow's start-up messages, written by C++, off the screen."""
    stderr = os.dup(2)
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _report(options: argparse.Namespace) -> int:
    from benchmark import api

    api.rebuild(options.output, options.style, options.baseline, margin=options.margin)
    return DONE


def _add_merge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders", nargs="+", metavar="FOLDER", help="folders of results, two or more"
    )
    parser.add_argument("--output", required=True, help="a new folder for all of them together")
    _add_style(parser)


def _merge(options: argparse.Namespace) -> int:
    from benchmark import api

    api.merge(options.folders, options.output, options.style)
    return DONE


def _list(options: argparse.Namespace) -> int:
    _load_plugin(options)
    from benchmark.report import describe

    describe.show_catalogue()
    return DONE


def _status(options: argparse.Namespace) -> int:
    from benchmark.report import describe

    describe.show_status(options.output)
    return DONE


def _doctor(options: argparse.Namespace) -> int:
    from benchmark.report import describe

    describe.show_doctor(options.data_dir or os.environ.get("BENCHMARK_DATA_DIR") or None)
    return DONE


_COMMANDS: dict[str, tuple[str, Callable, Sequence[Callable]]] = {
    "compare": (
        "train the network once per activation and seed; write runs, tables and figures",
        _compare,
        [_add_comparison],
    ),
    "experiments": (
        "measure what the theory says of activation functions; write tables and figures",
        _experiments,
        [_add_experiments],
    ),
    "report": (
        "rebuild tables, figures and report.html of a folder from its runs and experiments",
        _report,
        [_add_output, _add_baseline, _add_margin, _add_style],
    ),
    "merge": (
        "join the results folders of several machines in a new one; refuses contradictions",
        _merge,
        [_add_merge],
    ),
    "list": ("show the activations, datasets, presets and experiments", _list, [_add_plugin]),
    "status": ("show which runs and experiments of a folder are done", _status, [_add_output]),
    "doctor": (
        "say what this machine offers, and why a GPU is not used",
        _doctor,
        [_add_data_dir],
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m benchmark COMMAND …` and return the exit code."""

    def parse(words: list[str]) -> tuple[Callable, argparse.Namespace]:
        if words and not words[0].startswith("-") and words[0] not in _COMMANDS:
            raise unknown("command", words[0], _COMMANDS)
        parser = _parser("python -m benchmark", description="Compare activation functions.")
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        for name, (text, _, groups) in _COMMANDS.items():
            command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
            # Of the other commands only the name is needed here.
            for add_options in groups if words[:1] == [name] else ():
                add_options(command)
        options = parser.parse_args(words)
        return _COMMANDS[options.__dict__.pop("command")][1], options

    return guarded(parse, arguments, "-m benchmark")


def run_all(arguments: Sequence[str] | None = None) -> int:
    """Run `python run_all.py …`, which does everything, and return the exit code."""

    def parse(words: list[str]) -> tuple[Callable, argparse.Namespace]:
        parser = _parser(
            "python run_all.py",
            description="Train the same network once per activation and seed, measure what the"
            " theory says of activations, and write tables, figures and a report. What is done is"
            " not done again.",
        )
        _add_comparison(parser)
        return _everything, parser.parse_args(words)

    return guarded(parse, arguments, "run_all.py")
