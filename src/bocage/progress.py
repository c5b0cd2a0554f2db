"""How long work tells a person where it stands; the command line decides what it looks like."""

from dataclasses import dataclass, field
from typing import Protocol


class Progress(Protocol):
    """Someone to tell."""

    def say(self, text: str) -> None:
        """Tell one fact that the user should know (a reprojection, a class left out)."""

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Tell that `done` of `total` steps of `task` are complete."""


class Quiet:
    """Tells no one."""

    def say(self, text: str) -> None:
        """Do nothing."""

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Do nothing."""


QUIET: Progress = Quiet()


@dataclass
class Heard:
    """Passes everything on, and keeps what was said."""

    listener: Progress
    before: str = ""
    """Put before every text."""
    said: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Keep it, and pass it on."""
        self.said.append(self.before + text)
        self.listener.say(self.before + text)

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Pass it on."""
        self.listener.step(task, done, total, note)
