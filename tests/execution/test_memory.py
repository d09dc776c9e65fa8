"""Workers that the system ends for want of memory: fewer at once, then a reason."""

import itertools

import pytest
from distributed import KilledWorker

from benchmark.execution import local, workers
from benchmark.execution.memory import oom_kills
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
