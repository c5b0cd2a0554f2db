"""What several commands share: arguments, and running some stages of a recipe."""

from collections.abc import Sequence
from pathlib import Path

import click

from bocage.cli.terminal import terminal

RECIPE = click.argument("recipe", type=click.Path(path_type=Path))
OUT = click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the run [default: runs/<name of the recipe>]."
)
OVERWRITE = click.option(
    "--overwrite", is_flag=True, help="Take a folder that holds another run: redo what depends on what changed."
)


def run_stages(recipe: Path, out: Path | None, stages: Sequence[str], overwrite: bool) -> None:
    """Run stages of a recipe in its folder, and tell what came out."""
    from bocage.pipeline import read_recipe, run

    parsed = read_recipe(recipe)
    folder = out or Path("runs") / parsed.name
    with terminal() as progress:
        opened = run(parsed, folder, stages, progress, overwrite)
    if "evaluate" in stages:
        from bocage.cli.tables import print_score

        print_score(opened.folder.path / "score.json")
    for stage, result in (("map", "map/classes.tif"), ("report", "report.html")):
        if stage in stages and (folder / result).exists():
            click.echo(f"{stage}: {folder / result}")
