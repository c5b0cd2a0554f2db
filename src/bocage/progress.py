"""Progress reporting of long tasks. The command line decides how progress is displayed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bocage.words import Note


class Progress(Protocol):
    """Receiver of messages and of progress."""

    def say(self, text: str | Note) -> None:
        """Show a message to the user, for example about a reprojection or a dropped class."""

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Report that `done` of `total` steps of `task` are complete."""


class Quiet:
    """Discards messages and progress."""

    def say(self, text: str | Note) -> None:
        """Do nothing."""

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Do nothing."""


QUIET: Progress = Quiet()


@dataclass
class Heard:
    """Forwards messages and progress, and keeps the notes about one source."""

    listener: Progress
    source: str
    """Name of the source that the notes are about."""
    notes: list[Note] = field(default_factory=list)

    def say(self, text: str | Note) -> None:
        """Keep a note, and forward it with the name of the source."""
        note = text if isinstance(text, Note) else Note.of("text", text=text)
        self.notes.append(replace(note, source=self.source))
        self.listener.say(self.notes[-1])

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Forward the progress, as that of a task of the source."""
        self.listener.step(f"{self.source}: {task}", done, total, note)


@dataclass(frozen=True)
class Named:
    """Forwards messages and progress with a prefix, which distinguishes parallel jobs that run the same tasks."""

    listener: Progress
    before: str
    """Prefix of every message and task name."""

    def say(self, text: str | Note) -> None:
        """Forward a message."""
        self.listener.say(f"{self.before}{text}")

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Forward the progress."""
        self.listener.step(self.before + task, done, total, note)


@dataclass(frozen=True)
class Sent:
    """Sends messages and progress to another process, which receives them with :func:`listening`."""

    messages: Any
    """A queue shared by both processes."""

    def say(self, text: str | Note) -> None:
        """Send a message."""
        self.messages.put(("say", (text,)))

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Send the progress."""
        self.messages.put(("step", (task, done, total, note)))


@contextmanager
def listening(messages: Any, progress: Progress) -> Iterator[None]:
    """Forward to `progress` the messages that other processes send, until the block ends."""

    def listen() -> None:
        for method, arguments in iter(messages.get, None):
            getattr(progress, method)(*arguments)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield
    finally:
        messages.put(None)
        listener.join()
