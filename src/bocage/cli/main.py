"""Table of the commands, as text, so that ``bocage --help`` does not import their modules."""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from bocage import __version__
from bocage.cli.edge import guarded
from bocage.machine import collect_rarely, few_arenas

COMMANDS = {
    "init": "bocage.cli.beginning:init",
    "check": "bocage.cli.beginning:check",
    "plan": "bocage.cli.beginning:plan",
    "run": "bocage.cli.stages:run",
    "prepare": "bocage.cli.stages:prepare",
    "segment": "bocage.cli.stages:segment",
    "doctor": "bocage.cli.doubting:doctor",
    "train": "bocage.cli.stages:train",
    "evaluate": "bocage.cli.accuracy:evaluate",
    "map": "bocage.cli.stages:map_command",
    "report": "bocage.cli.stages:report",
    "season": "bocage.cli.accuracy:season",
    "compare": "bocage.cli.accuracy:compare",
    "sample-design": "bocage.cli.accuracy:sample_design",
    "scout": "bocage.cli.scouting:scout",
    "mosaic": "bocage.cli.stages:mosaic",
    "finish": "bocage.cli.finishing:finish",
    "zones": "bocage.cli.finishing:zones",
    "change": "bocage.cli.finishing:change",
    "fuse": "bocage.cli.finishing:fuse",
    "reconcile": "bocage.cli.finishing:reconcile",
    "trends": "bocage.cli.finishing:trends",
    "view": "bocage.cli.viewing:view",
    "qgis": "bocage.cli.viewing:qgis",
    "adapt": "bocage.cli.learning:adapt",
    "pretrain": "bocage.cli.learning:pretrain",
    "embed": "bocage.cli.learning:embed",
    "export": "bocage.cli.learning:export",
    "simulate": "bocage.cli.beginning:simulate",
    "models": "bocage.cli.shelves:models",
    "sensors": "bocage.cli.shelves:sensors",
    "indices": "bocage.cli.shelves:indices",
    "metrics": "bocage.cli.shelves:metrics",
    "writers": "bocage.cli.shelves:writers",
}
"""Command → ``module:function``."""


class Commands(click.Group):
    """Command group that imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names in the order of ``COMMANDS``."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if the name is unknown."""
        if cmd_name not in COMMANDS:
            return None
        module, _, function = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), function)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def cli() -> None:
    """Make land-cover maps from satellite imagery and reference polygons.

    \b
    Examples:
      bocage init images/ fields.gpkg --label crop     write a recipe for your data
      bocage run recipe.toml                           train, evaluate, map, report
      bocage simulate landscape/                       simulate a landscape with known truth
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code (2 for an invalid command or option)."""
    few_arenas()
    collect_rarely()
    code: Any = 0

    def work() -> None:
        nonlocal code
        try:
            code = cli.main(args=arguments, standalone_mode=False) or 0
        except click.ClickException as error:
            error.show()
            code = error.exit_code

    return guarded(work) or (code if isinstance(code, int) else 0)


def script() -> None:
    """Entry point of the shell command."""
    os.environ["PYTHONSAFEPATH"] = "1"  # processes that this one starts do not import from the working directory either
    sys.exit(main())
