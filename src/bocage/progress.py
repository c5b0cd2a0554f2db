"""How long work tells a person where it stands; the command line decides what it looks like."""

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
