"""The engine on tasks that do nothing: what is missing, in which order, and what ends a job."""

import contextlib
import io
from dataclasses import dataclass

import pytest
from rich.console import Console

from benchmark.execution import engine
from benchmark.execution.task import DISK_FULL, Settings

SETTINGS = Settings()


@dataclass(frozen=True)
class Task:
    name: str
    seconds: float = 1.0
    alone: bool = False
    done: bool = False
    error: str = ""
    user_activations: bytes = b""
    settings: Settings = SETTINGS

    @property
    def label(self):
        return self.name

    def is_done(self):
        return self.done

    def execute(self, report):
        for kind in ("start", "end"):
            report({"run": self.name, "kind": kind})
        status = "failed" if self.error else "complete"
        return {"run": self.name, "status": status, "error": self.error}


class Workers:
    """Does tasks at once, and remembers which were asked for together."""

    def __init__(self):
        self.groups = []

    def run(self, tasks, report):
        self.groups.append([task.name for task in tasks])
        yield from (task.execute(report) for task in tasks)


def carry_out(tasks, workers):
    screen = io.StringIO()
    with contextlib.redirect_stdout(screen):
        console = Console(file=screen, width=100)
        records = engine.carry_out(tasks, console, noun="run", jobs=2, cluster=workers)
    return records, screen.getvalue()


def test_only_what_is_not_done_is_missing():
    tasks = [Task("a", done=True), Task("b"), Task("c", done=True)]
    assert engine.missing(tasks) == [tasks[1]]


def test_what_measures_time_has_the_machine_to_itself_and_long_ones_start_first():
    workers = Workers()
    tasks = [Task("short"), Task("clock", alone=True), Task("long", 9.0), Task("other", alone=True)]
    records, text = carry_out(tasks, workers)
    assert workers.groups == [["clock"], ["other"], ["long", "short"]]
    assert set(records) == {"short", "clock", "long", "other"}
    assert "Doing 4 runs, 2 at once" in text
    assert "short: complete (4 of 4 runs); left: nothing" in text


def test_equally_long_tasks_keep_their_order():
    workers = Workers()
    carry_out([Task(name) for name in "cab"], workers)
    assert workers.groups == [["c", "a", "b"]]


def test_a_failed_task_does_not_stop_the_others():
    records, text = carry_out([Task("a", error="no luck"), Task("b")], Workers())
    assert [records[name]["status"] for name in "ab"] == ["failed", "complete"]
    assert "a: failed: no luck (1 of 2 runs)" in text


def test_a_full_disk_stops_the_job():
    workers = Workers()
    with pytest.raises(OSError, match="No space left"):
        carry_out([Task("a", 2.0, error=DISK_FULL), Task("b")], workers)
