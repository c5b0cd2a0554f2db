"""Progress reporting of long tasks. The command line decides how progress is displayed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol


class Progress(Protocol):
    """Receiver of messages and of progress."""

    def say(self, text: str) -> None:
        """Report one fact that the user should know, for example a reprojection or a class left out."""

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Report that `done` of `total` steps of `task` are complete."""


class Quiet:
    """Discards messages and progress."""

    def say(self, text: str) -> None:
        """Do nothing."""

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Do nothing."""


QUIET: Progress = Quiet()


@dataclass
class Heard:
    """Forwards messages and progress to `listener`, and keeps the messages."""

    listener: Progress
    before: str = ""
    """Prefix of every message."""
    said: list[str] = field(default_factory=list)
    """Messages so far, with their prefix."""

    def say(self, text: str) -> None:
        """Keep the message, and forward it."""
        self.said.append(self.before + text)
        self.listener.say(self.before + text)

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Forward the progress."""
        self.listener.step(task, done, total, note)


@dataclass(frozen=True)
class Named:
    """Forwards messages and progress with a prefix, which distinguishes parallel jobs that run the same tasks."""

    listener: Progress
    before: str
    """Prefix of every message and task name."""

    def say(self, text: str) -> None:
        """Forward the message."""
        self.listener.say(self.before + text)

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Forward the progress."""
        self.listener.step(self.before + task, done, total, note)


@dataclass(frozen=True)
class Sent:
    """Sends messages and progress to another process, which receives them with :func:`listening`."""

    messages: Any
    """A queue shared by both processes."""

    def say(self, text: str) -> None:
        """Send the message."""
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
