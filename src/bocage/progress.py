"""How long work tells a person where it stands; the command line decides what it looks like."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bocage.words import Note


class Progress(Protocol):
    """Someone to tell."""

    def say(self, text: str | Note) -> None:
        """Tell one fact that the user should know (a reprojection, a class left out)."""

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Tell that `done` of `total` steps of `task` are complete."""


class Quiet:
    """Tells no one."""

    def say(self, text: str | Note) -> None:
        """Do nothing."""

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Do nothing."""


QUIET: Progress = Quiet()


@dataclass
class Heard:
    """Passes everything on, and keeps the notes about one source."""

    listener: Progress
    source: str
    """Name of the source that the notes are about."""
    notes: list[Note] = field(default_factory=list)

    def say(self, text: str | Note) -> None:
        """Keep a note, and pass it on under the source's name."""
        note = text if isinstance(text, Note) else Note.of("text", text=text)
        self.notes.append(replace(note, source=self.source))
        self.listener.say(self.notes[-1])

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Pass it on."""
        self.listener.step(task, done, total, note)


@dataclass(frozen=True)
class Named:
    """Passes everything on under a name, where several pieces of work do the same tasks."""

    listener: Progress
    before: str

    def say(self, text: str | Note) -> None:
        """Pass a fact on."""
        self.listener.say(f"{self.before}{text}")

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Pass on how far the work is."""
        self.listener.step(self.before + task, done, total, note)


@dataclass(frozen=True)
class Sent:
    """Sends what is told to another process, which listens with :func:`listening`."""

    messages: Any
    """A queue that both processes hold."""

    def say(self, text: str | Note) -> None:
        """Send a fact."""
        self.messages.put(("say", (text,)))

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Send how far the work is."""
        self.messages.put(("step", (task, done, total, note)))


@contextmanager
def listening(messages: Any, progress: Progress) -> Iterator[None]:
    """Pass on to `progress` what other processes send, until the block ends."""

    def listen() -> None:
        for kind, said in iter(messages.get, None):
            getattr(progress, kind)(*said)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield
    finally:
        messages.put(None)
        listener.join()
