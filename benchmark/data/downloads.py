"""Fetching files over the network: verified, bounded in time, never half a file."""

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmark.errors import one_line

# Where Keras publishes its datasets.
DOWNLOAD_ADDRESS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
# A download from which nothing is heard for so long is given up, whatever it is that hangs: the
# name lookup, the connection or the transfer. `auto` has promised to cost at most 15 seconds.
SILENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Download:
    """One file under `DOWNLOAD_ADDRESS`; the hash is that of the file itself."""

    name: str
    sha256: str
    size: int


class DownloadError(Exception):
    """A download did not succeed; the message is the reason."""


def fetch(files: Sequence[Download], folder: str, label: str) -> None:
    """Download into a folder what of these files is missing from it or damaged.

    Each file comes into the folder whole and verified; an interrupted one goes with its temporary
    folder, in which nothing is ever looked for. `label` names the data in the progress display.

    Raises:
        DownloadError: if a file cannot be had or the folder cannot be written.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    try:
        os.makedirs(folder, exist_ok=True)
        missing = [file for file in files if not _is_cached(file, folder)]
        with (
            tempfile.TemporaryDirectory(
                dir=folder, prefix="partial-", ignore_cleanup_errors=True
            ) as partial,
            _progress(label, sum(file.size for file in missing)) as show,
        ):
            for file in missing:
                _fetch(file, partial, show)
                os.replace(os.path.join(partial, file.name), os.path.join(folder, file.name))
    except OSError as error:
        raise DownloadError(f"{folder!r} cannot be written: {one_line(error)}") from error


class _Transfer:
    """One download in a thread of its own, since no timeout bounds a name lookup.

    To pooch it is the progress bar, and so it learns how far the download is.
    """

    def __init__(self, file: Download, folder: str):
        self.file = file
        self.folder = folder
        self.total = 0
        self.received = 0
        self.heard = time.monotonic()
        self.abandoned = False
        self.failure: Exception | None = None
        self.done = threading.Event()

    def run(self) -> None:
        import pooch

        downloader = pooch.HTTPDownloader(
            progressbar=self,
            chunk_size=8192,
            # Short for connecting, so that a dead IPv6 address leaves time for the next one.
            timeout=(SILENCE_SECONDS / 3, SILENCE_SECONDS),
            headers={"Accept-Encoding": "identity"},
        )
        try:
            pooch.retrieve(
                DOWNLOAD_ADDRESS + self.file.name,
                known_hash=f"sha256:{self.file.sha256}",
                fname=self.file.name,
                path=self.folder,
                downloader=downloader,
            )
        except Exception as error:
            self.failure = error
        finally:
            self.done.set()

    def update(self, amount: int) -> None:
        if self.abandoned:
            raise ConnectionAbortedError("the download was given up")
        self.received += amount
        self.heard = time.monotonic()

    def reset(self) -> None:
        """Do nothing: pooch fills the bar after this, and the sum is capped where it is shown."""

    def close(self) -> None:
        """Do nothing: pooch asks for it."""


def _is_cached(file: Download, folder: str) -> bool:
    import pooch

    path = os.path.join(folder, file.name)
    return os.path.isfile(path) and pooch.file_hash(path) == file.sha256


def _fetch(file: Download, folder: str, show: Callable[[int], None]) -> None:
    """Download one file into a folder, telling `show` of every further so many bytes."""
    transfer = _Transfer(file, folder)
    threading.Thread(target=transfer.run, daemon=True).start()
    shown = 0
    try:
        finished = False
        while not finished:
            finished = transfer.done.wait(0.05)
            received = min(transfer.received, file.size)
            show(received - shown)
            shown = received
            if not finished and time.monotonic() - transfer.heard > SILENCE_SECONDS:
                raise DownloadError(f"nothing heard for {SILENCE_SECONDS:g} seconds")
    finally:
        transfer.abandoned = True
    if transfer.failure:
        raise DownloadError(_reason(transfer.failure)) from transfer.failure


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code}"
    if isinstance(error, requests.RequestException):
        # Its text runs over several hundred characters; its type says what went wrong.
        return f"the connection failed: {type(error).__name__}"
    if isinstance(error, ValueError):
        return "the SHA-256 of what was received is not the expected one"
    return one_line(error)


@contextmanager
def _progress(name: str, size: int) -> Iterator[Callable[[int], None]]:
    """Show a download on stderr: a bar on a terminal, one line elsewhere."""
    from rich import filesize

    if not sys.stderr.isatty():
        print(f"Downloading {name} ({filesize.decimal(size)})", file=sys.stderr, flush=True)
        yield lambda amount: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(f"Downloading {name}", total=size)
        yield lambda amount: bar.advance(task, amount)
