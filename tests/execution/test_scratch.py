import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

from benchmark.execution import scratch


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_nothing_stays(temporary):
    with scratch.folder() as folder:
        Path(folder, "file").touch()
    assert not list(temporary.iterdir())


def test_what_a_killed_command_left_goes(temporary):
    left = temporary / "activation-benchmark-left"
    left.mkdir()
    (left / ".lock").touch()
    (left / "file").touch()
    with scratch.folder():
        assert not left.exists()


def test_a_folder_in_use_and_a_link_stay(temporary):
    victim = temporary / "victim"
    victim.mkdir()
    (victim / ".lock").touch()
    (temporary / "activation-benchmark-link").symlink_to(victim)
    used = temporary / "activation-benchmark-used"
    used.mkdir()
    with FileLock(used / ".lock"), scratch.folder():
        assert used.exists()
        assert victim.exists()
