from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from benchmark import experiments

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebook_runs(path):
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "kept without outputs"
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": NOTEBOOKS}})
    client.execute()
    shown = [
        output["data"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    # The curves, and every experiment's figures.
    digits = NOTEBOOKS.parent / "results" / "digits"
    assert sum("text/html" in data for data in shown) == 3 + len(experiments.catalogue())
    assert sum("image/png" in data for data in shown) == len(list(digits.glob("figures/*.png")))
