import io
import os
import sys

import pytest
from rich.console import Console

from benchmark.execution import progress
from benchmark.execution.progress import Display, Work
from benchmark.training.spec import RunSpec

SPECS = [RunSpec("digits", "relu", seed, epochs=10) for seed in (0, 1)]
ROW = {"epoch": 5, "loss": 0.25, "val_accuracy": 0.875}


def work_of(specs):
    return Work(specs, lambda spec: 20, lambda spec: 0.5, jobs=2)


class Clock:
    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


def test_time_left_counts_only_this_commands_steps(monkeypatch):
    clock = Clock(monkeypatch)
    specs = [RunSpec("digits", "relu", seed, epochs=10) for seed in range(4)]
    work = work_of(specs)
    assert work.total == 800
    # A guess: half a second each, and four seconds to start each run.
    assert work.seconds_left() == (800 * 0.5 + 4 * 4) / 2
    # Two run at once. One goes on after epoch 5, which an earlier command trained.
    for spec in specs[:2]:
        work.begin(spec.run)
    clock.now = 6.0
    work.reach(specs[0].run, 6, 0)
    work.reach(specs[1].run, 1, 10)
    assert work.seconds_left() == ((800 - 110) * 0.5 + 2 * 4) / 2
    clock.now = 106.0
    work.reach(specs[0].run, 8, 0)
    work.reach(specs[1].run, 2, 10)
    assert work.finished == 170
    # 60 steps took 2 x 100 s; 630 are left, and two runs have to start, 6 s each; two at once.
    assert work.seconds_left() == pytest.approx((630 * 200 / 60 + 2 * 6) / 2)
    # Between two runs a worker is idle for a moment: that halves no speed.
    work.end(specs[1].run)
    assert work.seconds_left() == pytest.approx((460 * 200 / 60 + 2 * 6) / 2)


def test_ended_early_counts_as_done():
    work = work_of(SPECS)
    work.end(SPECS[0].run)
    assert work.finished == 200
    work.end(SPECS[1].run)
    assert work.seconds_left() == 0


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
    with Display(console, SPECS, work_of(SPECS)) as display:
        display.event({"run": SPECS[0].run, "kind": "start"})
        display.event({"run": SPECS[0].run, "kind": "steps", "epoch": 1, "steps": 3, "loss": 2.0})
        display.event({"run": SPECS[0].run, "kind": "epoch", "row": ROW})
        if terminal:
            console.print(display._view())
        display.event({"run": "a run of another command", "kind": "start"})
        display.ended({"run": SPECS[1].run, "status": "failed", "error": "[the disk] is full"})
    return text.getvalue()


def test_plain_lines_where_there_is_no_terminal():
    lines = shown(terminal=False).splitlines()
    assert lines[0].startswith("relu, seed 0: epoch 5/10, loss 0.2500, val_accuracy 0.8750; left: ")
    assert lines[1].startswith("relu, seed 1: failed: [the disk] is full (1 of 2 runs)")
    assert "\x1b" not in "".join(lines)


def test_live_display_shows_bar_and_active_runs():
    text = shown(terminal=True)
    assert "0 of 2 runs" in text
    assert "left: " in text
    assert "5/10" in text
    assert "87.50%" in text


def test_runs_of_a_grid_are_told_apart():
    specs = [RunSpec("digits", "relu", 0, learning_rate=rate) for rate in (0.1, 0.01)]
    display = Display(Console(file=io.StringIO()), specs, work_of(specs))
    assert [display._label(spec.run) for spec in specs] == [
        "relu, learning rate 0.1, seed 0",
        "relu, learning rate 0.01, seed 0",
    ]


def test_late_events_of_a_recorded_run_change_nothing():
    display = Display(Console(file=io.StringIO()), SPECS, work_of(SPECS))
    display.ended({"run": SPECS[0].run, "status": "complete"})
    display.event({"run": SPECS[0].run, "kind": "start"})
    assert display._active == {}


def test_screen_without_unicode(capfd, monkeypatch):
    ascii_only = os.fdopen(os.dup(1), "w", encoding="ascii")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    with progress.screen() as console:
        progress.say(console, "97.1 ± 0.2")
    ascii_only.close()
    assert capfd.readouterr().out == "97.1 ? 0.2\n"
