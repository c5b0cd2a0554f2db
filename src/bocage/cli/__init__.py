"""Commands, progress, exit codes; no logic."""

from bocage.cli.commands import main

__all__ = ["main"]
