"""Commands, progress, exit codes; no logic."""

from bocage.cli.main import main

__all__ = ["main"]
