"""What an installation needs to hold: every package, and the files beside the code."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def folder_of(package):
    return ROOT / SETUPTOOLS["package-dir"].get(package, package.replace(".", "/"))


def files_in_packages():
    return [
        path
        for path in (ROOT / "benchmark").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]


def test_every_package_is_installed():
    with_code = {path.parent for path in files_in_packages() if path.suffix == ".py"}
    assert all((folder / "__init__.py").exists() for folder in with_code)
    in_the_tree = {".".join(folder.relative_to(ROOT).parts) for folder in with_code}
    # The notebooks lie outside of the package's folder.
    assert set(SETUPTOOLS["packages"]) == in_the_tree | {"benchmark.notebooks"}


def test_every_file_beside_the_code_is_installed():
    installed = {
        path
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        for path in folder_of(package).glob(pattern)
    }
    assert {path for path in files_in_packages() if path.suffix != ".py"} <= installed
    assert list(folder_of("benchmark.notebooks").glob("*.ipynb"))
