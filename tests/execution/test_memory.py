"""Workers that the system ends for want of memory: fewer at once, then a reason."""

import itertools
import re
import threading

import psutil
import pytest
from distributed import KilledWorker

from benchmark import cli, load_results
from benchmark.execution import local, workers
from benchmark.execution.memory import oom_kills
from benchmark.results.formats import write_atomic
from tests.execution.test_silence import Task

FILES = {
    "version 2": ("0::/job", "sys/fs/cgroup/job/memory.events", "low 0\noom 4\noom_kill 3\n"),
    "version 1": (
        "4:memory:/job\n0::/",
        "sys/fs/cgroup/memory/job/memory.oom_control",
        "oom_kill_disable 0\noom_kill 3\n",
    ),
    "container": (
        "4:memory:/outside\n0::/",
        "sys/fs/cgroup/memory/memory.oom_control",
        "oom_kill_disable 0\noom_kill 3\n",
    ),
    "machine": ("0::/", "proc/vmstat", "oom_kill 3\n"),
}


@pytest.mark.parametrize("kind", FILES)
def test_the_systems_count_is_read(tmp_path, kind):
    groups, path, text = FILES[kind]
    for name, content in (("proc/self/cgroup", groups), (path, text)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert oom_kills(tmp_path) == 3


def test_a_system_that_does_not_count(tmp_path):
    assert oom_kills(tmp_path) == 0


class Future:
    """A task's answer, there at once."""

    def __init__(self, key, answer):
        self.key, self._answer = key, answer
        self.status = "error" if isinstance(answer, Exception) else "finished"

    def add_done_callback(self, call):
        call(self)

    def cancelled(self):
        return False

    def exception(self):
        return self._answer if self.status == "error" else None

    def result(self):
        if self.status == "error":
            raise self._answer
        return self._answer

    def release(self):
        pass


class Client:
    def subscribe_topic(self, topic, call):
        pass


class Workers(local.LocalWorkers):
    """A machine with memory for so many tasks at once."""

    def __init__(self, jobs, fit):
        self._client = Client()
        self._jobs, self._fit = jobs, fit
        self.keys = set()

    def _start(self, task, rank):
        key = f"{task.name}-{len(self.keys)}"
        self.keys.add(key)
        if self._jobs <= self._fit:
            return Future(key, {"run": task.name, "status": "complete"})
        return Future(key, KilledWorker(key, None, allowed_failures=2))


def counted_by(monkeypatch, count):
    for module in (workers, local):
        monkeypatch.setattr(module, "oom_kills", count)


def done(monkeypatch, jobs, fit):
    """Return the records, and what was said, of four tasks."""
    notes, pool = [], Workers(jobs, fit)
    counter = itertools.count()
    counted_by(monkeypatch, lambda: next(counter))
    records = pool.run([Task(name) for name in "abcd"], lambda event: notes.append(event["detail"]))
    return list(records), notes


def test_fewer_at_once_are_tried_before_giving_up(monkeypatch):
    records, notes = done(monkeypatch, jobs=4, fit=1)
    assert sorted(record["run"] for record in records) == list("abcd")
    assert {record["status"] for record in records} == {"complete"}
    assert notes[0] == "its worker lacked memory; 2 at once from now on"
    assert notes[-1] == "its worker lacked memory; 1 at once from now on"


def test_what_lacks_memory_alone_says_so(monkeypatch):
    records, _ = done(monkeypatch, jobs=4, fit=0)
    assert {record["error"] for record in records} == {
        "its worker was lost 3 times, with nothing beside it, for want of memory"
    }


def test_a_loss_of_another_kind_is_not_put_down_to_memory(monkeypatch):
    pool = Workers(jobs=4, fit=0)
    counted_by(monkeypatch, lambda: 7)
    (record,) = pool.run([Task("a")], lambda event: None)
    assert record["error"] == "its worker was lost 3 times"


def busy(output):
    """Return the processes that are at work on runs."""
    logs = [log for log in output.glob("runs/*/log.txt") if not (log.parent / "run.json").exists()]
    started = [re.findall(r"process (\d+)", log.read_text(errors="replace")) for log in logs]
    return [int(pids[-1]) for pids in started if pids and psutil.pid_exists(int(pids[-1]))]


@pytest.mark.slow
def test_a_machine_with_memory_for_one_run_does_them_one_by_one(tmp_path, monkeypatch, capfd):
    """Where two are at work one is killed and counted, as the kernel does at a limit."""
    output, count, done = tmp_path / "out", tmp_path / "proc/vmstat", threading.Event()
    count.parent.mkdir()
    count.write_text("oom_kill 0\n")
    counted_by(monkeypatch, lambda: oom_kills(tmp_path))
    monkeypatch.setattr(local, "LOST_WORKERS", 1)

    def limit():
        while not done.wait(0.02):
            if len(pids := busy(output)) > 1:
                write_atomic(count, f"oom_kill {oom_kills(tmp_path) + 1}\n")
                victim = psutil.Process(pids[-1])
                victim.kill()
                victim.wait()

    kernel = threading.Thread(target=limit)
    kernel.start()
    try:
        words = "compare --dataset digits --limit 200 --epochs 1 --seeds 1 --jobs 2"
        words += f" --activations relu,elu --output {output}"
        assert cli.main(words.split()) == 0
    finally:
        done.set()
        kernel.join()
    assert "its worker lacked memory; 1 at once from now on" in capfd.readouterr().out
    assert oom_kills(tmp_path) == 1
    assert set(load_results(output).runs["status"]) == {"complete"}
