"""Commands to use before a run: write a recipe, check it, plan the run, simulate a landscape."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bocage.cli.options import OUT, RECIPE, SITE, opened, overrides
from bocage.cli.terminal import started, terminal
from bocage.layout import RunLayout


@click.command()
@click.argument("images", type=click.Path(path_type=Path), required=False)
@click.argument("reference", type=click.Path(path_type=Path), required=False)
@click.option(
    "--reference",
    "alone",
    type=click.Path(path_type=Path),
    help="Without images: print the fields, the label field and the legend that a vector file offers; write nothing.",
)
@click.option("--label", default="", help="Field with the class [default: chosen from the fields of the file].")
@click.option(
    "--layer", default="", help="Layer of the vector file, if it has several; of a raster of labels, the band."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("recipe.toml"), show_default=True, help="Recipe to write."
)
def init(images: Path | None, reference: Path | None, alone: Path | None, label: str, layer: str, out: Path) -> None:
    """Write a recipe for your images and polygons.

    IMAGES is a folder of images or of tables of series, REFERENCE a vector file of labelled polygons, a raster of class
    codes, or a table with the labels of the samples. The recipe proposes a network on all sources, with the reason for
    each proposal as a comment. A second recipe beside it, with the suffix -forest, has a random forest on the same
    sources and the same split.

    \b
    Examples:
      bocage init images/ fields.gpkg
      bocage init images/ fields.shp --label CODE --out reunion.toml
      bocage init images/ landcover.tif --layer 2
      bocage init tables/ fields.csv
      bocage init --reference register.zip
    """
    if alone:
        if images:
            raise click.UsageError(
                "--reference is for a vector file without images; give IMAGES REFERENCE, or --reference"
            )
        _propose(alone, label, layer)
        return
    if images is None or reference is None:
        raise click.UsageError("give the folder of the images and the reference: bocage init IMAGES REFERENCE")
    started(f"images: {images}")
    from bocage.jobs.init import write_recipe

    for line in write_recipe(images, reference, label, out, layer):
        click.echo(line)


def _propose(reference: Path, label: str, layer: str) -> None:
    started(f"reference: {reference}")
    from bocage.samples.labels import read_labels
    from bocage.samples.proposal import proposal

    for line in proposal(read_labels(reference, label, layer)):
        click.echo(line)


@click.command()
@RECIPE
@OUT
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    help="Write an HTML page with a picture of each source and a timeline of dates.",
)
@SITE
@click.pass_context
def check(
    context: click.Context, recipe: Path, out: Path | None, as_json: bool, html: Path | None, site: str | None
) -> None:
    """Check everything that a recipe names before a run.

    Opens every file, compares grids, measures shifts between sources (and between sources and polygons), and checks
    dates, clouds, values, polygons, classes and free disk space. A recipe with several sites is checked site by site;
    the page shows one of them (--site). Exit code 1 if there is an error.

    \b
    Examples:
      bocage check recipe.toml
      bocage check recipe.toml --html check.html
      bocage check recipe.toml --json > findings.json
    """
    started(f"recipe: {recipe}")
    from bocage.jobs.check import check as run_checks
    from bocage.jobs.check import sites_of

    if html and not site and (sites := sites_of(recipe, overrides())):
        raise click.UsageError(f"--html shows one site; give --site NAME, of {', '.join(sites)}")
    with terminal() as progress:
        seen = run_checks(recipe, out, progress, site or "", overrides())
    if html:
        from bocage.report.preflight import write_page

        write_page(seen, html)
    if as_json:
        click.echo(json.dumps({"name": seen.name, "findings": [f.as_dict() for f in seen.findings]}, indent=1))
    else:
        from bocage.cli.tables import print_findings

        print_findings(seen.findings)
    if html:
        click.echo(f"page: {html}", err=as_json)
    context.exit(1 if seen.has_errors else 0)


@click.command()
@RECIPE
@OUT
@click.option(
    "--workers",
    multiple=True,
    type=click.IntRange(1),
    help="Also estimate the time with this number of preparation threads; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@SITE
def plan(recipe: Path, out: Path | None, workers: tuple[int, ...], as_json: bool, site: str | None) -> None:
    """Estimate time, memory and disk space of a run.

    The estimate comes from a short probe on this machine. The plan is saved in the run's folder. After the run, the
    report compares it with the measured cost.

    \b
    Examples:
      bocage plan recipe.toml
      bocage plan recipe.toml --workers 8 --workers 32
    """
    parsed = opened(recipe, site)
    from bocage.jobs.plan import plan as measure

    folder = out or parsed.out
    with terminal() as progress:
        made = measure(parsed, folder, workers, progress)
    made.save(RunLayout(folder).plan)
    if as_json:
        click.echo(json.dumps(asdict(made), indent=1))
    else:
        from bocage.cli.tables import print_plan

        print_plan(made)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--height", default=1203, show_default=True, help="Height in panchromatic pixels of 1.5 m.")
@click.option("--width", default=1402, show_default=True, help="Width in panchromatic pixels of 1.5 m.")
@click.option("--seed", default=0, show_default=True, help="Seed of the simulation.")
@click.option(
    "--year", default=2022, show_default=True, help="Another year shifts the crop calendar and rotates the crops."
)
@click.option("--region", default=0, show_default=True, help="Another region has other parcels and other class shares.")
@click.option(
    "--delay", default=0, show_default=True, help="Days by which the season is later in the eastern half (two regions)."
)
@click.option(
    "--warmth",
    type=float,
    help="Temperature of the year minus the normal temperature, °C: crops follow growing degree days, and the daily temperatures "
    "are written to temperature.csv [default: crops follow the day of the year].",
)
@click.option(
    "--rains",
    type=int,
    help="Days by which the rainy season begins later than normal: maize is rain-fed, and the daily weather is written to "
    "weather.csv [default: crops do not depend on rain].",
)
@click.option("--wetness", default=1.0, show_default=True, help="With --rains: rain divided by the normal rain.")
@click.option("--polygons", default=24, show_default=True, help="Maximum number of reference polygons of each class.")
@click.option(
    "--sensor",
    "sensors",
    multiple=True,
    type=click.Choice(["vhr", "s2", "s1"]),
    help="Only this sensor; repeatable [default: all].",
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["geotiff", "landsat", "pleiades", "s1tiling", "safe", "spot67", "stac", "theia"]),
    help="Product format of a sensor; repeatable, one for each sensor [default: geotiff].",
)
@click.option(
    "--recipes/--no-recipes", default=True, show_default=True, help="Write example recipes for the landscape."
)
def simulate(folder: Path, recipes: bool, sensors: tuple[str, ...], formats: tuple[str, ...], **settings: Any) -> None:
    """Simulate a landscape with known land cover.

    Writes to FOLDER: panchromatic (1.5 m) and multispectral (6 m) images, a Sentinel-2-like time series with clouds
    and a cloud mask, a Sentinel-1-like time series with speckle, sparse reference polygons, and a raster of the true
    land cover.

    \b
    Examples:
      bocage simulate landscape/
      bocage simulate next_year/ --year 2023
      bocage simulate warm_year/ --year 2023 --warmth 3
      bocage simulate dry_year/ --year 2023 --rains 20 --wetness 0.6
      bocage simulate products/ --format theia --format spot67 --format s1tiling
      bocage simulate large/ --height 4812 --width 5608 --sensor vhr
    """
    started(f"landscape: {folder}")
    from bocage.simulate import SENSORS, Simulation
    from bocage.simulate import simulate as write
    from bocage.simulate.recipes import write_recipes

    products = tuple(name for name in formats if name != "geotiff")
    chosen = Simulation(sensors=sensors or SENSORS, formats=products, **settings)
    with terminal() as progress:
        polygons = write(chosen, folder, progress)
    click.echo(f"{folder}: {chosen.height} x {chosen.width} panchromatic pixels, {polygons} reference polygons")
    if recipes:
        for path in write_recipes(chosen, folder):
            click.echo(f"recipe: {path}")
