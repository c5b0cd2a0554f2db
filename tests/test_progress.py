"""Progress on a terminal and as lines."""

import io
import json
from types import SimpleNamespace

import pytest
from rich.console import Console

from bocage.cli.tables import print_findings, print_score
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


NAMES = "wheat [winter]", "grass [/hay]", "crops :corn: [bold]"
"""Names with what is markup, the end of it, or a picture for the library that prints."""


def test_names_of_classes_are_printed_as_they_are(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    spread = {"mean": 0.5, "std": None}
    measures = dict.fromkeys(
        ("overall_accuracy", "f1_weighted", "kappa", "f1", "producers_accuracy", "users_accuracy"), spread
    )
    per_class = {name: {**measures, "reference_pixels": 3} for name in NAMES}
    score = {
        "tested_pixels": 3,
        "per_class": per_class,
        "untested_classes": list(NAMES),
        "sites": per_class,
        **measures,
    }
    (tmp_path / "score.json").write_text(json.dumps(score))
    print_score(tmp_path / "score.json")
    shown = capsys.readouterr().out
    assert [shown.count(name) for name in NAMES] == [3, 3, 3]
    print_findings([SimpleNamespace(severity="error", where=name, what=name, remedy=name) for name in NAMES])
    shown = capsys.readouterr().out
    assert [shown.count(name) for name in NAMES] == [3, 3, 3]


def test_names_of_files_are_shown_as_they_are_beside_the_bars():
    out = io.StringIO()
    with Bars(Console(file=out, force_terminal=True, width=160, color_system=None)) as bars:
        for name in NAMES:
            bars.say(f"file {name}.")
            bars.step(f"reading {name}", 1, 2, f"note {name}")
    shown = out.getvalue()
    assert all(f"{word} {name}" in shown for word in ("file", "reading", "note") for name in NAMES)
