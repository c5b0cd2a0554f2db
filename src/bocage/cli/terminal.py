"""Progress on a terminal (bars with the remaining time), or as plain lines elsewhere."""

import sys
import time
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

from bocage.redaction import redacted
from bocage.words import Note

EVERY = 10.0
"""Seconds between two lines of progress of one task."""


class Bars:
    """Progress bars with the elapsed and the remaining time of each task."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self.progress = Progress(*columns, console=console)
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def say(self, text: str | Note) -> None:
        """Print a line above the bars."""
        self.progress.console.print(redacted(str(text)), markup=False)

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Update the bar of a task."""
        note = redacted(note)
        if task not in self.tasks:
            self.tasks[task] = self.progress.add_task(task, total=total, note=note)
        self.progress.update(self.tasks[task], completed=done, total=total, note=note)


class Lines:
    """Plain lines for logs: at the end of each task, and every ten seconds before."""

    def __init__(self) -> None:
        self.begun: dict[str, float] = {}
        self.last: dict[str, float] = {}

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
        now = time.monotonic()
        begun = self.begun.setdefault(task, now)
        self.last.setdefault(task, now)
        if done < total and now - self.last[task] < EVERY:
            return
        self.last[task] = now
        spent = now - begun
        left = f", about {spent / max(done, 1) * (total - done):.0f} s left" if done < total else f" in {spent:.0f} s"
        self.say(f"{task}: {done}/{total}{left}{' - ' + note if note else ''}")


def terminal() -> Bars | Lines:
    """Return bars if the error stream is a terminal, lines otherwise."""
    console = Console(stderr=True)
    return Bars(console) if console.is_terminal else Lines()


def started(text: str) -> None:
    """Print the first line of a command, before it imports what takes time."""
    print(text, file=sys.stderr, flush=True)
