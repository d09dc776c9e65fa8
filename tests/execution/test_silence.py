"""Workers that hang, or are killed while they start: found, ended, their tasks given to others."""

import contextlib
import os
import signal
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from benchmark.errors import RequestError
from benchmark.execution import local, silence
from benchmark.execution.silence import Silence
from benchmark.execution.task import Settings

SETTINGS = Settings()


@dataclass(frozen=True)
class Task:
    """Stops its own worker, as SIGSTOP from elsewhere does, the first `stops` times."""

    name: str
    folder: str = ""
    stops: int = 0
    quiet_seconds: float = 0.1
    seconds: float = 1.0
    settings: Settings = SETTINGS

    def execute(self, report):
        report({"run": self.name, "kind": "start"})
        begun = len(list(Path(self.folder).glob(f"{self.name}-*")))
        Path(self.folder, f"{self.name}-{begun}").touch()
        # As TensorFlow does for each function that it rewrites.
        with tempfile.NamedTemporaryFile(delete=False) as file:
            place = file.name
        if begun < self.stops:
            os.kill(os.getpid(), signal.SIGSTOP)
        return {"run": self.name, "status": "complete", "place": place}

    def failed(self, error):
        return {"run": self.name, "status": "failed", "error": error}


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(silence.time, "monotonic", lambda: self.now)

    def looks(self, watch, seconds):
        """Look every second for so long and return what was said, by kind."""
        said = Counter()
        for _ in range(seconds):
            self.now += 1.0
            said.update("hung" if silent.hung else "silent" for silent in watch.look())
        return said


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_a_silent_task_is_named_once_and_hangs_after_twice_as_long(clock):
    watch = Silence()
    watch.begin(Task("a"))
    assert clock.looks(watch, 59) == {}
    assert clock.looks(watch, 60) == {"silent": 1}
    assert clock.looks(watch, 1) == {"hung": 1}
    # It begins anew, at another worker.
    assert clock.looks(watch, 119) == {"silent": 1}
    watch.end("a")
    assert clock.looks(watch, 1000) == {}


def test_a_long_epoch_is_no_silence(clock):
    watch = Silence()
    watch.begin(Task("a", quiet_seconds=100.0))
    # It reports inside the epoch.
    for _ in range(50):
        assert clock.looks(watch, 100) == {}
        watch.heard("a")
    assert clock.looks(watch, 299) == {}
    assert clock.looks(watch, 301) == {"silent": 1, "hung": 1}


def test_how_long_a_task_is_silent_by_itself_is_learned(clock):
    """Where a machine is slower than guessed, validation takes its time too."""
    watch = Silence()
    watch.begin(Task("a"))
    clock.looks(watch, 50)
    watch.heard("a")
    assert clock.looks(watch, 149) == {}
    assert clock.looks(watch, 1) == {"silent": 1}


def test_the_option_decides(clock):
    watch = Silence(hang_timeout=10)
    watch.begin(Task("a", quiet_seconds=100.0))
    # Not while modules are loaded.
    assert clock.looks(watch, 299) == {}
    watch.heard("a")
    assert clock.looks(watch, 5) == {"silent": 1}
    assert clock.looks(watch, 5) == {"hung": 1}
    assert clock.looks(watch, 299) == {}


def test_a_gpu_may_compile_for_many_minutes(clock):
    watch = Silence()
    watch.begin(Task("a", settings=Settings(device="GPU")))
    assert clock.looks(watch, 899) == {}
    assert clock.looks(watch, 1) == {"silent": 1}


def test_time_in_which_this_process_was_stopped_does_not_count(clock):
    """Ctrl-Z stops the workers with it."""
    watch = Silence()
    watch.begin(Task("a"))
    clock.now += 10_000
    assert watch.look() == []
    assert clock.looks(watch, 50) == {}


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The system's folder for temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_stopped_worker_is_ended_and_its_task_given_to_another(tmp_path, temporary, monkeypatch):
    monkeypatch.setattr(silence, "_LEAST_SECONDS", {"CPU": 1.0})
    events = []
    tasks = [Task("stopped", str(tmp_path), stops=1), Task("other", str(tmp_path))]
    with contextlib.closing(local.LocalWorkers(2)) as pool:
        # No password is asked for: no other machine may reach it.
        assert pool._cluster.scheduler_address.startswith("tcp://127.0.0.1:")
        records = {record["run"]: record for record in pool.run(tasks, events.append)}
    assert {record["status"] for record in records.values()} == {"complete"}
    assert len(list(tmp_path.glob("stopped-*"))) == 2
    notes = [e["detail"] for e in events if (e["run"], e["kind"]) == ("stopped", "note")]
    assert "no sign of life for" in notes[0]
    assert "its worker is ended" in notes[-1]
    # Neither Dask nor a task leaves anything behind.
    assert all(record["place"].startswith(str(temporary)) for record in records.values())
    assert not list(temporary.iterdir())


def kill_the_next_worker(killed):
    """Kill a worker process as soon as there is one."""
    while not killed:
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "spawn_main" in " ".join(child.cmdline()):
                    child.kill()
                    killed.append(child.pid)
                    return


def test_a_worker_killed_while_it_starts_costs_a_retry(tmp_path, temporary, capfd):
    killed = []
    killer = threading.Thread(target=kill_the_next_worker, args=[killed])
    killer.start()
    try:
        with contextlib.closing(local.LocalWorkers(1)) as pool:
            killer.join()
            (record,) = pool.run([Task("a", str(tmp_path))], lambda event: None)
    finally:
        killed.append(0)
        killer.join()
    assert record["status"] == "complete"
    assert capfd.readouterr().err == ""


def test_workers_that_never_start_are_one_line(monkeypatch):
    def fails(self, jobs):
        raise RuntimeError("Nanny failed to start worker process")

    monkeypatch.setattr(local.LocalWorkers, "_open", fails)
    with pytest.raises(OSError, match="the workers ended 3 times while they started"):
        local.LocalWorkers(1)


def test_the_option_is_checked(tmp_path):
    from benchmark import compare

    with pytest.raises(RequestError, match="hang timeout '0'"):
        compare(["relu"], "digits", hang_timeout="0", output=tmp_path)
