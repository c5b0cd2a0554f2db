"""Command line: commands, display of progress, exit codes."""

from bocage.cli.main import main

__all__ = ["main"]
