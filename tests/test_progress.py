import io

from rich.console import Console

from benchmark import progress
from benchmark.config import RunSpec
from benchmark.progress import Display, Work

SPECS = [RunSpec("digits", "relu", seed, epochs=10) for seed in (0, 1)]
ROW = {"epoch": 5, "loss": 0.25, "val_accuracy": 0.875}


def test_time_left_counts_only_this_commands_steps(monkeypatch):
    clock = iter([0.0, 100.0, 100.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    work = Work(SPECS, lambda spec: 20)
    assert work.total == 400
    assert work.seconds_left() is None
    first = SPECS[0].run
    work.begin(first)
    # It goes on after epoch 5, which an earlier command trained, and does two more.
    work.reach(first, 6, 0)
    work.reach(first, 8, 0)
    assert work.finished == 140
    # 40 steps took 100 s; 260 are left.
    assert work.seconds_left() == 650.0


def test_ended_early_counts_as_done():
    work = Work(SPECS, lambda spec: 20)
    work.end(SPECS[0].run)
    assert work.finished == 200


def test_durations():
    wanted = {None: "being estimated", 0.2: "about 1 s", 65: "about 65 s", 600: "about 10 min"}
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
    assert lines[0].startswith(
        "relu, seed 0: epoch 5/10, loss 0.2500, val_accuracy 0.8750; left: about"
    )
    assert lines[1].startswith("relu, seed 1: failed: [the disk] is full (1 of 2 runs)")
    assert "\x1b" not in "".join(lines)


def test_live_display_shows_bar_and_active_runs():
    text = shown(terminal=True)
    assert "0 of 2 runs" in text
    assert "left: about" in text
    assert "5/10" in text
    assert "87.50%" in text
