"""Commands that follow the classification: finish, zones, change."""

from pathlib import Path

import click

from bocage.cli.options import opened
from bocage.cli.terminal import terminal


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run, if RUN is a recipe.")
def finish(run: Path, out: Path | None) -> None:
    """Regularise the map of a run, write it as polygons, and sum it by zone.

    RUN is the folder of a run, or its recipe. The section [finish] of the recipe has the settings: majority filter,
    minimum mapping unit, simplification, vector formats, zones. Complete stages with the same inputs and settings are
    not repeated. After an interruption, run the same command.

    \b
    Examples:
      bocage finish runs/my-valley
      bocage finish recipe.toml --out /data/runs/first
    """
    from bocage.jobs.finish import recipe_of

    recipe, folder = recipe_of(run, out)
    parsed = opened(recipe)
    from bocage.jobs.finish import finish as work

    with terminal() as progress:
        layout = work(parsed, folder or parsed.out, progress)
    for path in (layout.map.regularised, *sorted(layout.finish.path.glob("[!.]*"))):
        if path.exists():
            click.echo(f"finished: {path}")
