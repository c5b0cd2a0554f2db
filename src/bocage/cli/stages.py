"""Commands that run stages of a recipe, and the mosaic of maps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bocage.cli.options import (
    ALLOW,
    AREA,
    DEVICES,
    OUT,
    OVERWRITE,
    RECIPE,
    chosen,
    day_of,
    opened,
    overrides,
    run_stages,
    with_workers,
)
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
      bocage run recipe.toml --set model.name=gru --set training.epochs=20 --out runs/gru
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


@click.command()
@RECIPE
@OUT
@OVERWRITE
def report(recipe: Path, out: Path | None, overwrite: bool) -> None:
    """Write report.html again.

    RECIPE is the recipe of a run, or a folder: of a run, of a map by a model of another run ('bocage map --model'),
    or of an adaptation ('bocage adapt').

    \b
    Examples:
      bocage report recipe.toml
      bocage report runs/next_year
    """
    if not recipe.is_dir():
        run_stages(recipe, out, ("report",), overwrite)
        return
    if out:
        raise click.UsageError("--out is the folder of a recipe; give either a folder or a recipe")
    started(f"report: {recipe}")
    from bocage.jobs.report import report_of

    with terminal() as progress:
        page = report_of(recipe, progress, overrides())
    click.echo(f"report: {page}")


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
    Examples:
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


@click.command()
@RECIPE
@OUT
@OVERWRITE
def segment(recipe: Path, out: Path | None, overwrite: bool) -> None:
    """Write the objects of the scene and their features.

    The section [segment] of the recipe has the settings. Writes objects/objects.tif (the number of the object of each
    pixel) and objects/objects.parquet (the features of each object) to the folder of the run. 'bocage run' includes
    this step if a source of the recipe has the sensor "objects". Current files are kept.

    With [segment] parcels = true, the objects are the parcels of the map's layer "parcels", which a network with
    [training] parcels has learnt: run 'bocage run' first.

    \b
    Examples:
      bocage segment recipe.toml --out runs/first
      bocage run parcels.toml && bocage segment parcels.toml
    """
    parsed = opened(recipe)
    from bocage.jobs.segment import segment as work

    with terminal() as progress:
        layout = work(parsed, out or parsed.out, progress, overwrite)
    click.echo(f"objects: {layout.ids}, {layout.table}")


@click.command("map")
@RECIPE
@OUT
@OVERWRITE
@with_workers
@click.option(
    "--model", type=click.Path(path_type=Path), help="Folder of a model or run to use instead of the run's model."
)
@ALLOW
@click.option("--region", type=click.Path(path_type=Path), help="Vector file; only its polygons are mapped.")
@click.option("--region-layer", help="Layer of the region, if the file has several.")
@click.option("--where", help="SQL condition that selects polygons of the region: \"tile = '31UES'\".")
@click.option("--until", callback=day_of, metavar="DATE", help="Last day of the series, for example 2024-05-31.")
@click.option("--site", "sites", multiple=True, help="Name of a site to map, of a recipe with several; repeatable.")
@click.option("--name", help="Folder in maps/ of the run, for --region or --until [default: file name and day].")
def map_command(recipe: Path, out: Path | None, overwrite: bool, model: Path | None, **given: Any) -> None:
    """Map the scene with a trained network.

    Maps the whole scene into map/ of the run; all sites of a recipe, or those given. With --region, maps the
    polygons of a vector file into maps/<name>/ of the run; its map, scores and report do not change. Each window is
    saved when it is complete. After an interruption, the same command computes the missing windows. The output does
    not depend on tiling, workers or interruptions.

    With --until, acquisitions after the day are not read: a map of a season that is not over, into
    maps/until-<day>/ of the run. Its confidence is calibrated for that day if the model was trained with [training]
    cutoff.

    With --model, maps a scene with the model of another run, and writes a report without accuracy. To update the map
    as scenes arrive, give the same command with --overwrite: windows without new data are kept.

    \b
    Examples:
      bocage map recipe.toml
      bocage map recipe.toml --workers 4
      bocage map recipe.toml --region valley.gpkg
      bocage map recipe.toml --region tiles.gpkg --where "tile IN ('31UES', '31UFS')" --name two-tiles
      bocage map recipe.toml --until 2024-05-31
      bocage map sites.toml --site north --site south
      bocage map recipe.toml --scheduler tcp://node1:8786
      bocage map recipe.toml --cluster slurm --workers 20 --job queue=long --job memory=16GB
      bocage map next_year.toml --model runs/this_year/splits/0/model --out runs/next_year
    """
    name = given.pop("name")
    part = any(given[key] for key in ("region", "where", "until"))
    if name is not None and (model or not part):
        raise click.UsageError("--name is the name of the map of a --region or --until in the folder of its run")
    if model is None and part:
        _map_region(recipe, out, overwrite, name or "", **given)
    elif model is None:
        run_stages(recipe, out, ("map",), overwrite, **given)
    else:
        _map_with(recipe, out, overwrite, model, **given)


def _map_region(recipe: Path, out: Path | None, overwrite: bool, name: str, **given: Any) -> None:
    """Map a region with the model of a run into a folder of its own."""
    parsed = opened(recipe)
    settings = chosen(parsed, **given).map
    workers = {key: value for key, value in given.items() if key not in AREA}
    from bocage.jobs.map import map_region_of
    from bocage.run import RegionChoice

    asked = given["region"] or given["where"]
    area = (settings.region, settings.region_layer, settings.where) if asked else (None, "", "")
    choice = RegionChoice(*area, name, given["until"])
    with terminal() as progress:
        land = map_region_of(chosen(parsed, **workers), out or parsed.out, choice, progress, overwrite)
    if land:
        click.echo(f"map: {land.files['classes']}")


def _map_with(recipe: Path, out: Path | None, overwrite: bool, model: Path, **given: Any) -> None:
    """Map a scene with the model of another run."""
    sites = given.pop("sites")
    if len(sites) > 1:
        raise click.UsageError("--model maps one site at a time; give one --site")
    parsed = chosen(opened(recipe, *sites), **given)
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
    from bocage.jobs.mosaic import make_mosaic

    with terminal() as progress:
        classes = make_mosaic(maps, folder, rule, progress)
    click.echo(f"map: {classes}")
