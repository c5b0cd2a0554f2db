"""Commands that follow the classification: finish, zones, change, fuse, reconcile, trends."""

import datetime
from pathlib import Path
from typing import Any

import click

from bocage.cli.options import SET, opened
from bocage.cli.terminal import started, terminal
from bocage.words import quantity


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the run, of a fusion, of a reconciled map or of a map by a model, if RUN is a recipe.",
)
@SET
def finish(run: Path, out: Path | None) -> None:
    """Regularise the map of a run, by object or parcel too, write it as polygons, and sum it by zone.

    RUN is the folder of a run, or its recipe. The section [finish] of the recipe has the settings: votes of objects or
    parcels, majority filter, minimum mapping unit, simplification, vector formats, zones. Complete stages with the
    same inputs and settings are not repeated. After an interruption, run the same command.

    \b
    Examples:
      bocage finish runs/my-valley
      bocage finish recipe.toml --out fused/
      bocage finish recipe.toml --out /data/runs/first
    """
    if out and run.is_dir():
        raise click.UsageError("--out is the folder of a recipe; give either a folder or a recipe")
    from bocage.jobs.finish import recipe_of

    recipe, folder, before = recipe_of(run, out)
    parsed = opened(recipe, before=before)
    from bocage.jobs.finish import finish as work

    with terminal() as progress:
        layout = work(parsed, folder or parsed.out, progress)
    for path in (layout.map.voted, layout.map.regularised, *sorted(layout.finish.path.glob("[!.]*"))):
        if path.exists():
            click.echo(f"finished: {path}")


@click.command()
@click.argument("folder", metavar="MAP", type=click.Path(path_type=Path))
@click.argument("polygons", type=click.Path(path_type=Path))
@click.option("--field", default="", help="Field of POLYGONS that names a zone [default: zones are numbered].")
@click.option(
    "--to", "table", type=click.Path(path_type=Path),
    help="CSV file to write; the GeoParquet file has the same name, with .parquet [default: <name of POLYGONS>-zones.csv].",
)  # fmt: skip
@click.option(
    "--sample", type=click.Path(path_type=Path), help="Labelled validation sample of the map, for the estimates."
)
@click.option("--label", default="label", show_default=True, help="Field of the sample with the class code or name.")
def zones(folder: Path, polygons: Path, field: str, table: Path | None, sample: Path | None, label: str) -> None:
    """Compute the area of each class of a MAP in any POLYGONS.

    MAP is the folder of a run, of a map, of a mosaic or of a fusion. For each zone and class: mapped area and share, estimated
    area with its 95 % interval, mean confidence, and the share of the zone that the map covers. Estimates correct the
    mapped areas by the confusions on the test polygons of the run, or on the sample; they assume that these
    confusions are the same in every zone.

    \b
    Examples:
      bocage zones runs/my-valley communes.gpkg --field name
      bocage zones runs/my-valley fields.gpkg --sample runs/my-valley/validation.gpkg --to fields.csv
    """
    started(f"zones: {polygons}")
    from bocage.jobs.reference_pixels import LabelledSample
    from bocage.jobs.zones import tables_of, zones_of

    target = table or Path(f"{polygons.stem}-zones.csv")
    with terminal() as progress:
        found = zones_of(folder, polygons, field, target, LabelledSample(sample, label) if sample else None, progress)
    click.echo(f"{quantity(len(found.zones), 'zone')}: {', '.join(map(str, tables_of(target)))}")


@click.command()
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option("--before-sample", type=click.Path(path_type=Path), help="Labelled validation sample of BEFORE.")
@click.option("--after-sample", type=click.Path(path_type=Path), help="Labelled validation sample of AFTER.")
@click.option("--label", default="label", show_default=True, help="Field of the samples with the class code or name.")
def change(
    before: Path, after: Path, out: Path, before_sample: Path | None, after_sample: Path | None, label: str
) -> None:
    """Compare two maps of one nomenclature.

    BEFORE and AFTER are folders of runs, maps, mosaics or fusions. Writes the map of the transitions (change.tif), the area of
    each transition (transitions.csv), and the changed area (change.json): as mapped, and adjusted for the errors of
    both maps, with a 95 % interval. The adjustment needs the test polygons of both runs, or labelled samples; it
    assumes that the errors of the two maps are independent.

    \b
    Examples:
      bocage change runs/2020 runs/2024 --out change/
      bocage change runs/2020 runs/2024 --out change/ --before-sample 2020.gpkg --after-sample 2024.gpkg
    """
    started(f"change: {before}, {after}")
    from bocage.cli.tables import print_change
    from bocage.jobs.change import Year
    from bocage.jobs.change import change as work
    from bocage.jobs.reference_pixels import LabelledSample

    samples = (LabelledSample(path, label) if path else None for path in (before_sample, after_sample))
    years = [Year(folder, sample) for folder, sample in zip((before, after), samples, strict=True)]
    with terminal() as progress:
        found = work(years[0], years[1], out, progress)
    print_change(found)
    click.echo(f"change: {out}")


@click.command()
@click.argument("maps", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option(
    "--rule", type=click.Choice(["vote", "probability", "dempster-shafer"]), default="vote", show_default=True,
    help="Class with the most votes, with the highest mean probability, or with the highest belief.",
)  # fmt: skip
@click.option(
    "--mass", type=click.Choice(["precision", "recall"]), default="precision", show_default=True,
    help="Accuracy of a class that gives its mass of belief, with --rule dempster-shafer.",
)  # fmt: skip
@click.option(
    "--weight", "weights", multiple=True, type=float, metavar="W",
    help="Weight of a map, above 0; repeat it for each map, in their order [default: equal weights].",
)  # fmt: skip
def fuse(maps: tuple[Path, ...], out: Path, rule: Any, mass: Any, weights: tuple[float, ...]) -> None:
    """Fuse the MAPS of several draws, models, seeds or years.

    MAPS are folders of runs, maps, mosaics or fusions, with one legend and aligned pixels; their common area is fused. The rule
    "vote" needs classes only; equal votes are resolved by the summed confidence, then by the order of the legend. The
    rule "probability" needs the layer "probabilities" of all maps, the rule "dempster-shafer" the test polygons of all
    runs. Where no run was trained on a test polygon, the accuracy of the fused map is measured there.

    \b
    Examples:
      bocage fuse runs/gru runs/patchwork runs/forest --out fused/
      bocage fuse runs/seed-1 runs/seed-2 --out fused/ --rule probability --weight 2 --weight 1
      bocage fuse runs/2022 runs/2023 runs/2024 --out fused/ --rule dempster-shafer
    """
    started(f"fuse: {len(maps)} maps")
    from bocage.cli.tables import print_fusion
    from bocage.jobs.fuse import Fusing
    from bocage.jobs.fuse import fuse as work

    with terminal() as progress:
        found = work(maps, out, Fusing(rule, mass, weights), progress)
    print_fusion(found)
    click.echo(f"map: {out / 'map' / 'classes.tif'}")


@click.command()
@click.argument("folder", metavar="MAP", type=click.Path(path_type=Path))
@click.argument("districts", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option("--name", default="", help="Field of DISTRICTS with their name [default: districts are numbered].")
@click.option(
    "--unit", type=click.Choice(["share", "percent", "ha"]), default="share", show_default=True,
    help="Unit of the statistics: shares of the district (0 to 1), percent of it, or hectares.",
)  # fmt: skip
@click.option(
    "--trust", type=click.FloatRange(0, 1, min_open=True), default=0.75, show_default=True,
    help="Weight of the statistics; the mean probability of the map has the rest.",
)  # fmt: skip
def reconcile(folder: Path, districts: Path, out: Path, name: str, unit: Any, trust: float) -> None:
    """Make a MAP agree with the area statistics of DISTRICTS, without a new training.

    MAP is the folder of a run, a map or a fusion with the layer "probabilities". DISTRICTS is a vector file of polygons
    with a numeric field for each class with a statistic, named as the class or by its code; classes without a field, or
    with an empty value, fill the rest. In each district, the probabilities are multiplied by a weight of their class, so
    that their mean is the statistic. Pixels outside of all districts keep their class.

    The areas of the result follow the statistics by construction: they are no estimate. The statistics must be right for
    the date, the nomenclature and the borders of the map: with wrong ones, the map gets worse. If the map is that of an
    evaluated run, the accuracy at its test polygons is printed before and after.

    \b
    Examples:
      bocage reconcile runs/my-valley communes.gpkg --out reconciled/ --name code
      bocage reconcile runs/my-valley census.gpkg --out reconciled/ --name commune --unit ha
      bocage reconcile fused/ districts.geojson --out reconciled/ --unit percent --trust 1
    """
    started(f"reconcile: {folder}")
    from bocage.cli.tables import print_reconciled
    from bocage.jobs.reconcile import Reconciling
    from bocage.jobs.reconcile import reconcile as work

    with terminal() as progress:
        found = work(folder, districts, out, Reconciling(name, unit, trust), progress)
    print_reconciled(found)
    click.echo(f"map: {out / 'map' / 'classes.tif'}")
    click.echo(f"districts: {out / 'districts.csv'}")


def _day(ctx: click.Context, option: click.Parameter, value: str) -> tuple[int, int]:
    """Return month and day of a text; every year has the day."""
    try:
        day = datetime.date.fromisoformat(f"2001-{value}")
    except ValueError:
        raise click.BadParameter(f"'{value}' is not a day as MM-DD that every year has, for example 04-01") from None
    return day.month, day.day


@click.command()
@click.argument("recipes", nargs=-1, required=True, type=click.Path(path_type=Path))
@SET
@click.argument("parcels", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option("--field", default="", help="Field of PARCELS that names a parcel [default: parcels are numbered].")
@click.option("--index", default="ndvi", show_default=True, help="Spectral index ('bocage indices' lists them).")
@click.option(
    "--source", default="", help="Source of the recipes [default: the only series with the bands of the index]."
)
@click.option("--start", default="01-01", show_default=True, callback=_day, help="First day of the season, as MM-DD.")
@click.option(
    "--end", default="12-31", show_default=True, callback=_day,
    help="Last day of the season; before --start, the season is that of the year of its end.",
)  # fmt: skip
@click.option(
    "--statistic", type=click.Choice(["mean", "max", "integral"]), default="mean", show_default=True,
    help="Statistic of the season for the trend and the anomalies.",
)  # fmt: skip
@click.option(
    "--clear", type=click.FloatRange(0, 1, min_open=True), default=0.5, show_default=True,
    help="Share of a parcel that must be clear for a date to count.",
)  # fmt: skip
@click.option(
    "--dates", type=click.IntRange(1), default=3, show_default=True, help="Number of such dates that a season needs."
)
@click.option(
    "--gap", type=click.IntRange(1), default=60, show_default=True,
    help="Days of the season without such a date above which a year has no value.",
)  # fmt: skip
def trends(recipes: tuple[Path, ...], parcels: Path, out: Path, field: str, source: str, **given: Any) -> None:
    """Compute the trend of a spectral index in PARCELS over several years, and the anomaly of each year.

    RECIPES describe the imagery: one recipe whose series has several years, or several recipes. Clouds and masked
    pixels do not count. For each parcel and year: mean, maximum and integral of the index over the season, the number
    of clear dates, and the anomaly against the other years. For each parcel: Theil-Sen slope with its 95 % interval,
    and p-value of the Mann-Kendall test.

    \b
    Examples:
      bocage trends recipe.toml fields.gpkg --out trends/ --field id --start 04-01 --end 09-30
      bocage trends 2021.toml 2022.toml 2023.toml fields.gpkg --out trends/ --index ndmi --statistic max
    """
    started(f"trends: {parcels}")
    from bocage.finish.trends import Season, Settings

    start, end = given.pop("start"), given.pop("end")
    if start == end:
        raise click.UsageError("--start and --end are the same day; a season has two days or more")
    from bocage.cli.tables import print_trends
    from bocage.jobs.trends import trends_of

    opened_recipes = [opened(recipe) for recipe in recipes]
    settings = Settings(season=Season(start, end), **given)
    with terminal() as progress:
        found = trends_of(opened_recipes, (parcels, field), out, settings, source, progress)
    print_trends(found)
    click.echo(f"trends: {out}")
