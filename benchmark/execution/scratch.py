"""Temporary folders that are gone after the command, or after the next one where it was killed."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "activation-benchmark-"
_LOCK = ".lock"


@contextlib.contextmanager
def folder() -> Iterator[str]:
    """Provide a new folder in the system's temporary one, and remove what killed commands left."""
    from filelock import FileLock

    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as path,
        # The system releases a killed process's lock.
        FileLock(Path(path, _LOCK)),
    ):
        _remove_abandoned(beside=Path(path))
        yield path


def _remove_abandoned(beside: Path) -> None:
    from filelock import FileLock, Timeout

    for other in beside.parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(Timeout, OSError):
            # Not a link, and not another user's.
            if (other / _LOCK).exists() and other.lstat().st_uid == beside.lstat().st_uid:
                with FileLock(other / _LOCK, timeout=0):
                    shutil.rmtree(other, ignore_errors=True)
