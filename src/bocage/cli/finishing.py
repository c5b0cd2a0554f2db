"""Commands that follow the classification: finish, zones, change."""

from pathlib import Path

import click

from bocage.cli.options import opened
from bocage.cli.terminal import started, terminal


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run, if RUN is a recipe.")
def finish(run: Path, out: Path | None) -> None:
    """Regularise the map of a run, by object or parcel too, write it as polygons, and sum it by zone.

    RUN is the folder of a run, or its recipe. The section [finish] of the recipe has the settings: votes of objects or
    parcels, majority filter, minimum mapping unit, simplification, vector formats, zones. Complete stages with the
    same inputs and settings are not repeated. After an interruption, run the same command.

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
    for path in (layout.map.voted, layout.map.regularised, *sorted(layout.finish.path.glob("[!.]*"))):
        if path.exists():
            click.echo(f"finished: {path}")


@click.command()
@click.argument("folder", metavar="MAP", type=click.Path(path_type=Path))
@click.argument("polygons", type=click.Path(path_type=Path))
@click.option("--field", default="", help="Field of POLYGONS that names a zone [default: zones are numbered].")
@click.option(
    "--to", "table", type=click.Path(path_type=Path),
    help="CSV file to write; the GeoParquet file has the same name [default: <name of POLYGONS>-zones.csv].",
)  # fmt: skip
@click.option(
    "--sample", type=click.Path(path_type=Path), help="Labelled validation sample of the map, for the estimates."
)
@click.option("--label", default="label", show_default=True, help="Field of the sample with the class code or name.")
def zones(folder: Path, polygons: Path, field: str, table: Path | None, sample: Path | None, label: str) -> None:
    """Compute the area of each class of a MAP in any POLYGONS.

    MAP is the folder of a run, of a map or of a mosaic. For each zone and class: mapped area and share, estimated
    area with its 95 % interval, mean confidence, and the share of the zone that the map covers. Estimates correct the
    mapped areas by the confusions on the test polygons of the run, or on the sample; they assume that these
    confusions are the same in every zone.

    \b
    Examples:
      bocage zones runs/my-valley communes.gpkg --field name
      bocage zones runs/my-valley fields.gpkg --sample runs/my-valley/validation.gpkg --to fields.csv
    """
    started(f"zones: {polygons}")
    from bocage.jobs.zones import LabelledSample, zones_of

    target = table or Path(f"{polygons.stem}-zones.csv")
    with terminal() as progress:
        found = zones_of(folder, polygons, field, target, LabelledSample(sample, label) if sample else None, progress)
    click.echo(f"{len(found.zones)} zones: {target}, {target.with_suffix('.parquet')}")


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

    BEFORE and AFTER are folders of runs, maps or mosaics. Writes the map of the transitions (change.tif), the area of
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
    from bocage.jobs.zones import LabelledSample

    samples = (LabelledSample(path, label) if path else None for path in (before_sample, after_sample))
    years = [Year(folder, sample) for folder, sample in zip((before, after), samples, strict=True)]
    with terminal() as progress:
        found = work(years[0], years[1], out, progress)
    print_change(found)
    click.echo(f"change: {out}")
