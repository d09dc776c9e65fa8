"""What the pages say exists: links, paths, options, commands, and all that the catalogues hold."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from benchmark import activations, cli
from benchmark.data.catalogue import CATALOGUE
from benchmark.experiments import catalogue as experiments

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "results" / "README.md"],
    key=lambda page: page.relative_to(ROOT),
)
COMMANDS = ("compare", "experiments", "report", "merge", "list", "status", "doctor")
# A file or folder of the repository, alone or in a command.
PATH = re.compile(
    r"(?<![\w./-])("
    r"(?:benchmark|docs|notebooks|perf|results|tests|\.ci|\.github)/[\w./-]+"
    r"|[A-Z]+\.(?:md|cff)|run_all\.py|pyproject\.toml|requirements\.txt)(?![\w<*])"
)
OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]*")
# What a reader's own commands write.
NOT_COMMITTED = {"results/latest"}
DASK_OPTIONS = {"--nworkers", "--nthreads", "--memory-limit"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page):
    """The page without its code blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def code_spans(page):
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page))]


def anchors(page):
    """The anchors of a page's headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page):
    """The words of each call of this program, from `run_all.py` or the command's name on."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    for line in [*lines, *code_spans(page)]:
        called = re.search(r"python (?:run_all\.py|-m benchmark)(?: .*)?$", line)
        if called:
            _, *words = shlex.split(called[0], comments=True)
            yield words[2:] if words[0] == "-m" else words


def options_in_help(program, *words):
    """The options that `program` shows with `--help`."""
    with contextlib.redirect_stdout(io.StringIO()) as output, pytest.raises(SystemExit):
        program([*words, "--help"])
    return set(re.findall(r"--[a-z][a-z-]*", output.getvalue()))


@pytest.fixture(scope="module")
def options():
    """The options of each command; "run_all.py" is one of them."""
    by_command = {name: options_in_help(cli.main, name) for name in COMMANDS}
    return {"run_all.py": options_in_help(cli.run_all), **by_command}


def test_readme_is_one_page_that_begins_with_what_matters():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    first_screen = "\n".join(lines[:40])
    assert "python3 -m venv .venv && " in first_screen
    assert "bash .ci/run" in first_screen
    assert "<img src=" in first_screen


@each_page
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", prose(page))
    for target in (markdown or html for markdown, html in targets):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@each_page
def test_paths_in_backticks_exist(page):
    for span in code_spans(page):
        for path in PATH.findall(span):
            if path not in NOT_COMMITTED:
                assert (ROOT / path).exists(), span


@each_page
def test_options_of_scripts_exist(page):
    for span in code_spans(page):
        for script in re.findall(r"^python (perf/\w+\.py)", span):
            known = set(re.findall(r'"(--[a-z-]+)"', (ROOT / script).read_text()))
            assert set(OPTION.findall(span)) <= known, span


@each_page
def test_commands_have_the_options_that_are_shown(page, options):
    for words in commands(page):
        if words[0] != "COMMAND":
            asked = {word for word in words if word.startswith("--")}
            assert asked - {"--help"} <= options[words[0]], words


@each_page
def test_options_in_backticks_exist(page, options):
    known = set().union(*options.values(), DASK_OPTIONS)
    for span in code_spans(page):
        if span.startswith("--"):
            assert set(OPTION.findall(span)) <= known, span


def test_every_option_is_explained(options):
    text = " ".join(code_spans(ROOT / "docs" / "options.md"))
    assert options["run_all.py"] - {"--help"} <= set(OPTION.findall(text))


def test_every_experiment_activation_and_dataset_is_named():
    documented = {
        name: (ROOT / "docs" / f"{name}.md").read_text()
        for name in ("experiments", "activations", "options")
    }
    for name in experiments.all_experiments():
        assert f"| `{name}` |" in documented["experiments"]
    for name in activations.names():
        assert re.search(rf"\b{name}\b", documented["activations"])
    for name in CATALOGUE:
        assert f"`{name}`" in documented["options"]


def test_architecture_says_where_to_change_what():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    table = text.partition("## To change something")[2]
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", table, flags=re.MULTILINE)[2:]
    assert len(rows) == 13
    for subject, edit in rows:
        paths = re.findall(r"`(benchmark/[^`]+)`", edit)
        assert paths, subject
        assert all((ROOT / path).exists() for path in paths), subject


def test_architecture_names_every_package():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    packages = [path.parent.name for path in ROOT.glob("benchmark/*/__init__.py")]
    modules = [path.name for path in ROOT.glob("benchmark/*.py") if "__" not in path.name]
    for name in [*(f"{package}/" for package in packages), *modules]:
        assert name in text
