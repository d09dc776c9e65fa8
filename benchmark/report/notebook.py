"""Run a notebook of the project on a folder of results, in a fresh kernel of this Python."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from jupyter_core.utils import ensure_event_loop, run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from benchmark.errors import ReportError, one_line
from benchmark.execution import scratch
from benchmark.formatting import counted

FOLDER_TAG = "folder"
_PACKAGE = Path(__file__).parents[1]


def find(name: str) -> Path:
    """Return the path of a notebook: inside the installed package, or beside it in a checkout.

    Raises:
        ReportError: it is in neither place.
    """
    paths = [folder / "notebooks" / f"{name}.ipynb" for folder in (_PACKAGE, _PACKAGE.parent)]
    for path in paths:
        if path.is_file():
            return path
    raise ReportError(f"notebook {name!r} is missing: it should be {paths[0]} or {paths[1]}")


def execute(name: str, folder: Path, timeout: int = 300) -> NotebookNode:
    """Return the notebook with the outputs that it has for this folder of results.

    The source of its cell tagged "folder" becomes `FOLDER = "…"`, the folder's absolute path.
    The kernel imports what this process would import, starts in the notebook's folder, reads no
    IPython settings of the user, and is gone when this returns or raises. The file of the
    notebook stays as it is.

    Args:
        name: file name of the notebook, without its ending.
        folder: a folder of results.
        timeout: seconds that each cell may take.

    Raises:
        ReportError: the notebook is missing or cannot be read, a cell raised or took too long,
            or the kernel did not start or died.
    """
    path = find(name)
    notebook = _read(path)
    _set_folder(notebook, folder, path.name)
    with _kernel(notebook, path, timeout) as client:
        code = 0
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            code += 1
            try:
                client.execute_cell(cell, index, execution_count=code)
            except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                raise ReportError(
                    f"{path.name}, code cell {code}: {_reason(error, timeout)}"
                ) from error
    return notebook


def _read(path: Path) -> NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError) as error:
        raise ReportError(f"{path} cannot be read as a notebook: {one_line(error)}") from error


def _set_folder(notebook: NotebookNode, folder: Path, name: str) -> None:
    tagged = [cell for cell in notebook.cells if FOLDER_TAG in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise ReportError(
            f"{name} has {len(tagged)} cells tagged {FOLDER_TAG!r}: exactly one should set FOLDER"
        )
    tagged[0].source = f"FOLDER = {str(Path(folder).resolve())!r}"


def _reason(error: Exception, timeout: int) -> str:
    if isinstance(error, CellExecutionError):
        return " ".join(f"{error.ename}: {error.evalue}".split())
    if isinstance(error, CellTimeoutError):
        return f"not finished after {counted(timeout, 'second')}"
    return "the kernel died, perhaps for want of memory"


class _ThisPython(AsyncKernelManager):
    """A kernel of the Python that runs this, whichever kernels the user has installed."""

    @property
    def kernel_spec(self) -> KernelSpec:
        launch = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=launch, display_name="Python", language="python")


@contextmanager
def _kernel(notebook: NotebookNode, path: Path, timeout: int) -> Iterator[NotebookClient]:
    """Provide a client whose kernel is ready, and end the kernel whatever happens.

    `NotebookClient.execute` is not used: it takes Ctrl-C for itself.
    """
    # Its log is removed last: an ending kernel may still write to it.
    with scratch.folder() as folder:
        manager = _ThisPython(connection_file=str(Path(folder, "kernel.json")))
        client = NotebookClient(notebook, km=manager, timeout=timeout, record_timing=False)
        log = Path(folder, "kernel.log")
        try:
            with log.open("w") as messages:
                client.start_new_kernel(
                    cwd=str(path.parent),
                    env=_environment(folder),
                    stdout=messages,
                    stderr=messages,
                )
                try:
                    client.start_new_kernel_client()
                except RuntimeError as error:
                    last = log.read_text(errors="replace").split("\n")
                    reason = next(
                        (line for line in reversed(last) if line.strip()), one_line(error)
                    )
                    raise ReportError(f"no kernel for {path.name}: {reason.strip()}") from error
            yield client
        finally:
            _end_tasks()
            if client.kc is not None:
                client.kc.stop_channels()
            # Nothing in it is worth a polite end, and a busy kernel would not answer.
            if manager.has_kernel:
                run_sync(manager.shutdown_kernel)(now=True)


def _end_tasks() -> None:
    """End the cell that Ctrl-C has left in the event loop: it would complain at exit."""
    loop = ensure_event_loop()
    tasks = asyncio.all_tasks(loop)
    if loop.is_running() or not tasks:
        return
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


def _environment(folder: str) -> dict[str, str]:
    """Return this process's environment, with its import path for the kernel."""
    search = os.pathsep.join(os.path.abspath(path) for path in sys.path)
    # The user's own IPython start-up files are no part of a report.
    return {**os.environ, "PYTHONPATH": search, "IPYTHONDIR": folder, "TMPDIR": folder}
