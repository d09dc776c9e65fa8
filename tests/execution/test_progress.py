import io
import os
import sys
from dataclasses import dataclass

import pytest
from rich.console import Console

from benchmark.execution import progress
from benchmark.execution.progress import Display, Estimate


@dataclass(frozen=True)
class Task:
    name: str
    label: str
    seconds: float = 100.0


TASKS = [Task("a", "relu, seed 0"), Task("b", "relu, seed 1")]


class Clock:
    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


def test_time_left_counts_only_this_commands_work(monkeypatch):
    clock = Clock(monkeypatch)
    estimate = Estimate(dict.fromkeys("abcd", 100.0), jobs=2)
    # A guess: their own seconds, and four to start each task; two at once.
    assert estimate.seconds_left() == (400 + 4 * 4) / 2
    estimate.begin("a")
    estimate.begin("b")
    clock.now = 6.0
    # One goes on after the half that an earlier command did.
    estimate.reach("a", 0.5)
    estimate.reach("b", 0.05)
    assert estimate.seconds_left() == pytest.approx((400 - 55 + 2 * 4) / 2)
    clock.now = 106.0
    estimate.reach("a", 0.7)
    estimate.reach("b", 0.15)
    assert estimate.share == pytest.approx(0.85 / 4)
    # Work of 30 s took 2 x 100 s; 315 s of it are left, and two tasks have to start, 6 s each.
    assert estimate.seconds_left() == pytest.approx((315 * 200 / 30 + 2 * 6) / 2)
    # Between two tasks a worker is idle for a moment: that halves no speed.
    estimate.end("b")
    assert estimate.seconds_left() == pytest.approx((230 * 200 / 30 + 2 * 6) / 2)


def test_the_longest_task_takes_its_time():
    assert Estimate({"short": 10.0, "long": 300.0}, jobs=2).seconds_left() == 304


def test_ended_early_counts_as_done():
    estimate = Estimate(dict.fromkeys("ab", 100.0), jobs=2)
    estimate.end("a")
    assert estimate.share == 0.5
    estimate.end("b")
    assert estimate.seconds_left() == 0


def test_a_task_that_begins_again_has_its_work_before_it():
    estimate = Estimate({"a": 100.0}, jobs=1)
    estimate.begin("a")
    estimate.reach("a", 0.9)
    estimate.begin("a")
    assert estimate.share == 0


def test_durations():
    wanted = {
        0: "nothing",
        0.2: "about 1 s",
        65: "about 65 s",
        600: "about 10 min",
    }
    assert {s: progress.duration(s) for s in wanted} == wanted
    assert progress.duration(7200) == "about 2.0 h"


def shown(terminal):
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=100, highlight=False)
    detail = "epoch 5/10, loss 0.2500, val_accuracy 0.8750"
    with Display(console, TASKS, 2, "run") as display:
        display.event({"run": "a", "kind": "start"})
        display.event({"run": "a", "kind": "progress", "share": 0.1, "detail": "epoch 1/10"})
        display.event({"run": "a", "kind": "milestone", "share": 0.5, "detail": detail})
        if terminal:
            console.print(display.view())
        display.event({"run": "a task of another command", "kind": "start"})
        display.ended({"run": "b", "status": "failed", "error": "[the disk] is full"})
    return text.getvalue()


def test_plain_lines_where_there_is_no_terminal():
    lines = shown(terminal=False).splitlines()
    assert lines[0].startswith("relu, seed 0: epoch 5/10, loss 0.2500, val_accuracy 0.8750; left: ")
    assert lines[1].startswith("relu, seed 1: failed: [the disk] is full (1 of 2 runs)")
    assert "\x1b" not in "".join(lines)


def test_live_display_shows_bar_and_a_line_per_active_task():
    text = shown(terminal=True)
    assert "0 of 2 runs" in text
    assert "left: " in text
    assert "50%" in text
    assert "epoch 5/10" in text


def test_late_events_of_a_recorded_task_change_nothing():
    console = Console(file=io.StringIO(), width=100)
    display = Display(console, TASKS, 2, "run")
    display.ended({"run": "a", "status": "complete"})
    display.event({"run": "a", "kind": "start"})
    console.print(display.view())
    assert "starting" not in console.file.getvalue()


def test_screen_without_unicode(capfd, monkeypatch):
    ascii_only = os.fdopen(os.dup(1), "w", encoding="ascii")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    with progress.screen() as console:
        progress.say(console, "97.1 ± 0.2")
    ascii_only.close()
    assert capfd.readouterr().out == "97.1 ? 0.2\n"
