"""Fetching files over the network: verified, bounded in time, never half a file."""

import os
import queue
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from benchmark.errors import one_line

# Where Keras publishes its datasets.
DOWNLOAD_ADDRESS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
# A download that is silent for so long is given up, whether the name lookup, the connection or
# the transfer hangs. `auto` has promised to cost at most 15 seconds.
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
    """Download those of these files that are missing from a folder or damaged in it.

    A file gets its name only when it is whole and verified. A line on stderr says what is
    downloaded, by the name `label`; on a terminal there is a progress bar per file.

    Raises:
        DownloadError: if a file cannot be had or the folder cannot be written.
    """
    import pooch
    import requests
    from rich import filesize

    pooch.get_logger().setLevel("WARNING")
    missing = [file for file in files if not _is_cached(file, folder)]
    size = filesize.decimal(sum(file.size for file in missing))
    print(f"Downloading {label} ({size})", file=sys.stderr, flush=True)
    try:
        os.makedirs(folder, exist_ok=True)
        _check_connection()
        for file in missing:
            _fetch(file, folder)
    except requests.RequestException as error:
        if error.response is not None:
            raise DownloadError(f"the server answered {error.response.status_code}") from error
        # Its text runs over several hundred characters; its type says what went wrong.
        raise DownloadError(f"the connection failed: {type(error).__name__}") from error
    except ValueError as error:
        raise DownloadError("the SHA-256 of what was received is not the expected one") from error
    except OSError as error:
        raise DownloadError(f"{folder!r} cannot be written: {one_line(error)}") from error


def _is_cached(file: Download, folder: str) -> bool:
    import pooch

    path = os.path.join(folder, file.name)
    return os.path.isfile(path) and pooch.file_hash(path) == file.sha256


def _fetch(file: Download, folder: str) -> None:
    """Download one file through a temporary one, which pooch verifies and moves."""
    import pooch

    downloader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        chunk_size=8192,
        # Short for connecting, so that a dead IPv6 address leaves time for the next one.
        timeout=(SILENCE_SECONDS / 3, SILENCE_SECONDS),
        headers={"Accept-Encoding": "identity"},
    )
    pooch.retrieve(
        DOWNLOAD_ADDRESS + file.name,
        known_hash=f"sha256:{file.sha256}",
        fname=file.name,
        path=folder,
        downloader=downloader,
    )


def _check_connection() -> None:
    """Connect once, in a thread that can be given up.

    The timeouts of requests bound neither a name lookup nor a host with many dead addresses.

    Raises:
        DownloadError: the server, or the proxy before it, does not accept a connection in time.
    """
    from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy

    outcome: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def connect() -> None:
        try:
            proxy = select_proxy(DOWNLOAD_ADDRESS, get_environ_proxies(DOWNLOAD_ADDRESS))
            url = urlsplit(prepend_scheme_if_needed(proxy, "http") if proxy else DOWNLOAD_ADDRESS)
            port = url.port or (443 if url.scheme == "https" else 80)
            socket.create_connection((url.hostname, port), SILENCE_SECONDS / 3).close()
            outcome.put(None)
        except Exception as error:
            outcome.put(error)

    threading.Thread(target=connect, daemon=True).start()
    try:
        failure = outcome.get(timeout=SILENCE_SECONDS)
    except queue.Empty:
        raise DownloadError(f"nothing heard for {SILENCE_SECONDS:g} seconds") from None
    if failure:
        raise DownloadError(f"the connection failed: {one_line(failure)}") from failure
