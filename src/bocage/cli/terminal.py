"""Progress on a terminal (bars with the remaining time), or as plain lines elsewhere."""

import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from bocage.redaction import redacted
from bocage.words import Note

EVERY = 10.0
"""Seconds between two lines of progress of one task."""


class Bars:
    """Progress bars with the elapsed and the remaining time of each task."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}", markup=False, table_column=_cut(2)),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False, table_column=_cut(1)),
        )
        self.progress = Progress(*columns, console=console, expand=True)
        self.tasks: dict[str, TaskID] = {}
        self.last: dict[str, int] = {}

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def say(self, text: str | Note) -> None:
        """Print a line above the bars."""
        self.progress.console.print(redacted(str(text)), markup=False, emoji=False)

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Update the bar of a task. Steps that were complete before the first call do not count for the remaining time."""
        note = redacted(note)
        if task not in self.tasks:
            self.tasks[task] = self.progress.add_task(task, total=total, completed=done, note=note)
        elif done < self.last[task]:  # another task of the same name
            self.progress.reset(self.tasks[task], total=total, completed=done)
        self.last[task] = done
        self.progress.update(self.tasks[task], completed=done, total=total, note=note)


def _cut(ratio: int) -> Column:
    """Return a column of text that is cut where the terminal is too narrow, so that bar and times stay."""
    return Column(no_wrap=True, overflow="ellipsis", ratio=ratio)


class Lines:
    """Plain lines for logs: at the end of each task, and every ten seconds before."""

    def __init__(self) -> None:
        self.tasks: dict[str, _Clock] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def say(self, text: str | Note) -> None:
        """Print a line."""
        print(redacted(str(text)), file=sys.stderr, flush=True)

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Print the progress of a task, with an estimate of the remaining time."""
        now, clock = time.monotonic(), self.tasks.get(task)
        if clock is None or done < clock.done:  # a new task, or another task of the same name
            clock = self.tasks[task] = _Clock(now, done, now, done)
        clock.done = done
        if done < total and now - clock.shown < EVERY:
            return
        clock.shown = now
        self.say(f"{task}: {done}/{total}{clock.text(now, total)}{' - ' + note if note else ''}")


@dataclass
class _Clock:
    """Times of one task."""

    begun: float
    before: int
    """Steps that were complete at the first call; they do not count for the remaining time."""
    shown: float
    done: int

    def text(self, now: float, total: int) -> str:
        """Return the duration, or the remaining time; nothing if the task was complete at its first call."""
        spent, steps = now - self.begun, self.done - self.before
        if not steps:
            return ""
        return (
            f" in {spent:.0f} s" if self.done >= total else f", about {spent / steps * (total - self.done):.0f} s left"
        )


def terminal() -> Bars | Lines:
    """Return bars if the error stream is a terminal, lines otherwise."""
    console = Console(stderr=True)
    return Bars(console) if console.is_terminal else Lines()


def started(text: str) -> None:
    """Print the first line of a command, before it imports what takes time."""
    print(text, file=sys.stderr, flush=True)
