"""Progress on a terminal and as lines."""

import io

import pytest
from rich.console import Console

from bocage.cli.terminal import EVERY, Bars, Lines
from bocage.progress import Heard


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves."""
    now = [100.0]
    monkeypatch.setattr("bocage.cli.terminal.time.monotonic", lambda: now[0])
    return now


def lines(capsys) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_task_of_one_step_states_no_duration(clock, capsys):
    Lines().step("training random_forest, draw 1", 1, 1)
    assert lines(capsys) == ["training random_forest, draw 1: 1/1"]


def test_the_remaining_time_counts_the_steps_since_the_resume(clock, capsys):
    shown = Lines()
    shown.step("mapping", 50, 100)
    clock[0] += EVERY + 10
    shown.step("mapping", 60, 100)
    assert lines(capsys) == ["mapping: 60/100, about 80 s left"]


def test_two_tasks_of_one_name_have_a_clock_each(clock, capsys):
    shown = Lines()
    for _ in range(2):
        shown.step("opening products", 1, 3)
        clock[0] += 4
        shown.step("opening products", 3, 3)
        clock[0] += 60
    assert lines(capsys) == 2 * ["opening products: 3/3 in 4 s"]


def test_tasks_of_a_source_have_its_name(capsys):
    Heard(Lines(), "s2").step("opening products", 2, 2)
    assert lines(capsys) == ["s2: opening products: 2/2"]


def test_a_long_note_leaves_the_bar_on_a_narrow_terminal():
    out = io.StringIO()
    with Bars(Console(file=out, force_terminal=True, width=80, color_system=None)) as bars:
        bars.step("training multiresolcc, draw 1", 3, 10, "loss 0.123, validation F 0.812, waiting for data 4 %")
    line = next(line for line in reversed(out.getvalue().splitlines()) if "3/10" in line)
    assert "━━━━╸" in line
    assert "0:00:00" in line
    assert "…" in line


def test_a_resumed_bar_does_not_count_what_was_complete():
    bars = Bars(Console(file=io.StringIO(), force_terminal=True, width=80))
    bars.step("mapping", 50, 100)
    task = bars.progress.tasks[0]
    assert (task.completed, task.speed) == (50, None)
    bars.step("mapping", 10, 40)
    assert (task.completed, task.total) == (10, 40)
