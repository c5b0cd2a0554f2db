"""Commands that run stages of a recipe, and the mosaic of maps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bocage.cli.options import ALLOW, DEVICES, OUT, OVERWRITE, RECIPE, chosen, opened, run_stages, with_workers
from bocage.cli.terminal import started, terminal


def _stage(name: str, stages: Sequence[str], text: str) -> click.Command:
    """Return the command that runs some stages of a recipe."""

    @RECIPE
    @OUT
    @OVERWRITE
    def command(recipe: Path, out: Path | None, overwrite: bool, **given: Any) -> None:
        run_stages(recipe, out, stages, overwrite, **given)

    options = [with_workers] * ("map" in stages) + [DEVICES] * ("train" in stages)
    for option in options:
        command = option(command)
    return click.command(name, help=text)(command)


run = _stage(
    "run",
    ("train", "evaluate", "map", "report"),
    """Run all stages of a recipe: train, evaluate, map, report.

    Complete stages with the same inputs and settings are not repeated. After an interruption, run the same command.

    \b
    Examples:
      bocage run recipe.toml
      bocage run recipe.toml --out /data/runs/first
      bocage run recipe.toml --workers 4
    """,
)
train = _stage(
    "train",
    ("train",),
    """Cut the samples and train the recipe's model on each draw.

    \b
    Examples:
      bocage train recipe.toml
      bocage train recipe.toml --devices 4
    """,
)
report = _stage("report", ("report",), "Write report.html again.\n\n\b\nExample:\n  bocage report recipe.toml")


@click.command()
@RECIPE
@OUT
@OVERWRITE
def prepare(recipe: Path, out: Path | None, overwrite: bool) -> None:
    """Write the preprocessed scene to disk.

    Sources are warped to the map grid, filtered and gap-filled in time. 'bocage run' includes this step. Use this
    command to prepare on another machine, or before you have reference polygons. After an interruption, the same
    command resumes. Shards whose files or settings changed are computed again.

    \b
    Example:
      bocage prepare recipe.toml --out runs/first
    """
    parsed = opened(recipe)
    from bocage.jobs.prepare import prepare as work

    with terminal() as progress:
        cubes = work(parsed, out or parsed.out, progress, overwrite)
    for name, cube in cubes.items():
        click.echo(
            f"{name}: {cube.path} ({cube.shards} shards, {cube.never_clear} of {cube.pixels} pixels without a clear date)"
        )
    if not cubes:
        click.echo("nothing to prepare: all sources are read directly from their files")


@click.command("map")
@RECIPE
@OUT
@OVERWRITE
@with_workers
@click.option("--model", type=click.Path(path_type=Path), help="Model folder to use instead of the run's model.")
@ALLOW
@click.option("--region", type=click.Path(path_type=Path), help="Vector file; only its polygons are mapped.")
@click.option("--region-layer", help="Layer of the region, if the file has several.")
@click.option("--where", help="SQL condition that selects polygons of the region: \"tile = '31UES'\".")
def map_command(
    recipe: Path,
    out: Path | None,
    overwrite: bool,
    model: Path | None,
    **given: Any,
) -> None:
    """Map the scene with a trained network.

    Maps the whole scene, or the polygons of a region. Each window is saved when it is complete. After an
    interruption, the same command computes the missing windows. The output does not depend on tiling, workers or
    interruptions.

    \b
    Examples:
      bocage map recipe.toml
      bocage map recipe.toml --workers 4
      bocage map recipe.toml --region tiles.gpkg --where "tile IN ('31UES', '31UFS')"
      bocage map recipe.toml --scheduler tcp://node1:8786
      bocage map recipe.toml --cluster slurm --workers 20 --job queue=long --job memory=16GB
      bocage map next_year.toml --model runs/this_year/splits/0/model --out runs/next_year
    """
    if model is None:
        run_stages(recipe, out, ("map",), overwrite, **given)
        return
    parsed = chosen(opened(recipe), **given)
    from bocage.jobs.map import map_with

    with terminal() as progress:
        land = map_with(parsed, model, out or parsed.out, progress, overwrite)
    click.echo(f"map: {land.files['classes']}")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("maps", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--rule",
    type=click.Choice(["confidence", "first"]),
    default="confidence",
    show_default=True,
    help="Overlaps: use the most confident map, or the first map with data.",
)
def mosaic(folder: Path, maps: tuple[Path, ...], rule: Any) -> None:
    """Make a mosaic of the MAPS of several scenes in FOLDER.

    MAPS are run folders or their map/ folders. They must have the same legend and aligned pixel grids. scene.tif
    gives the source map of each pixel.

    \b
    Examples:
      bocage mosaic region/ runs/north runs/south
      bocage mosaic region/ runs/2023 runs/2022 --rule first
    """
    started(f"mosaic of {len(maps)} maps: {folder}")
    from bocage.mapping.mosaic import make_mosaic

    with terminal() as progress:
        classes = make_mosaic(maps, folder, rule, progress)
    click.echo(f"map: {classes}")
