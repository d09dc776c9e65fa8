import io

import pytest
from rich.console import Console

from benchmark import progress
from benchmark.config import RunSpec
from benchmark.progress import Display, Work

SPECS = [RunSpec("digits", "relu", seed, epochs=10) for seed in (0, 1)]
ROW = {"epoch": 5, "loss": 0.25, "val_accuracy": 0.875}


class Clock:
    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


def test_time_left_counts_only_this_commands_steps(monkeypatch):
    clock = Clock(monkeypatch)
    specs = [RunSpec("digits", "relu", seed, epochs=10) for seed in range(4)]
    work = Work(specs, lambda spec: 20)
    assert work.total == 800
    assert work.seconds_left() is None
    # Two run at once. One goes on after epoch 5, which an earlier command trained.
    for spec in specs[:2]:
        work.begin(spec.run)
    clock.now = 6.0
    work.reach(specs[0].run, 6, 0)
    work.reach(specs[1].run, 1, 10)
    assert work.seconds_left() is None
    clock.now = 106.0
    work.reach(specs[0].run, 8, 0)
    work.reach(specs[1].run, 2, 10)
    assert work.finished == 170
    # 60 steps took 2 x 100 s; 630 are left, and two runs have to start, 6 s each; two at once.
    assert work.seconds_left() == pytest.approx((630 * 200 / 60 + 2 * 6) / 2)


def test_ended_early_counts_as_done():
    work = Work(SPECS, lambda spec: 20)
    work.end(SPECS[0].run)
    assert work.finished == 200
    work.end(SPECS[1].run)
    assert work.seconds_left() == 0


def test_durations():
    wanted = {
        None: "being estimated",
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
    with Display(console, SPECS, lambda spec: 20) as display:
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
