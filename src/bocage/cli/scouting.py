"""Command that proposes the next fields to survey."""

from pathlib import Path
from typing import Any

import click

from bocage.cli.options import ALLOW, OUT, OVERWRITE, RECIPE, opened
from bocage.cli.terminal import terminal
from bocage.layout import RunLayout


def _split_starts(
    ctx: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[tuple[float, float], ...], Path | None]:
    """Return the places among the start points, and the vector file."""
    places, files = [], []
    for value in values:
        try:
            longitude, latitude = (float(part) for part in value.split(","))
        except ValueError:
            files.append(Path(value))
            continue
        if not (-180 <= longitude <= 180 and -90 <= latitude <= 90):
            raise click.BadParameter(f"'{value}' is not longitude,latitude in degrees; longitude comes first")
        places.append((longitude, latitude))
    if len(files) > 1:
        raise click.BadParameter("give one vector file of start points")
    if files and not files[0].exists():
        raise click.BadParameter(f"'{files[0]}' is neither longitude,latitude nor a vector file that exists")
    return tuple(places), files[0] if files else None


@click.command()
@RECIPE
@OUT
@OVERWRITE
@click.option(
    "--candidates", type=click.Path(path_type=Path),
    help="Vector file of parcels that can be surveyed [default: squares of a regular grid on the map].",
)  # fmt: skip
@click.option("--field", default="", help="Field of --candidates that names a parcel [default: parcels are numbered].")
@click.option(
    "--side",
    type=click.FloatRange(0, min_open=True),
    default=100.0,
    show_default=True,
    help="Side of the squares in metres.",
)
@click.option("--fields", type=click.IntRange(1), default=20, show_default=True, help="Number of fields to propose.")
@click.option("--days", type=click.IntRange(1), default=1, show_default=True, help="Number of days, with a tour each.")
@click.option(
    "--kilometres",
    type=click.FloatRange(0, min_open=True),
    help="Kilometres that can be driven in a day [default: no limit].",
)
@click.option(
    "--start", "starts", multiple=True, metavar="LON,LAT", callback=_split_starts,
    help="Start point of the tours, as longitude,latitude in degrees; repeatable. Or a vector file of points.",
)  # fmt: skip
@click.option(
    "--detour",
    type=click.FloatRange(1),
    default=1.3,
    show_default=True,
    help="Length of a road over the straight line.",
)
@click.option(
    "--strategy", type=click.Choice(["uncertainty", "balanced", "random"]), default="uncertainty", show_default=True,
    help="The doubt alone; or doubt, novelty, rarity and diversity together; or a random choice.",
)  # fmt: skip
@click.option(
    "--most", type=click.IntRange(1), default=2000, show_default=True,
    help="Number of candidates to compare; of more, this number is drawn at random.",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Seed of the draws and of ties."
)
@ALLOW
def scout(recipe: Path, out: Path | None, overwrite: bool, **given: Any) -> None:
    """Propose the next fields to survey, and the tours to visit them.

    The fields are those where the trained models of the run are in doubt. With --strategy balanced, they are also
    unlike the surveyed fields and each other, and of classes with few surveyed fields. They are grouped into a tour for
    each day, within the kilometres of a day. Distances are geodesics times a detour factor. Fields that overlap
    reference polygons are left out. Writes scout/ in the folder of the run: fields.gpkg with an empty field for the
    label, fields.csv, tours.gpx and scout.html.

    The fields are a purposive sample. Use their labels for training only: name the field 'purposive' of fields.gpkg in
    the recipe ([reference] purposive = "purposive").

    \b
    Examples:
      bocage scout recipe.toml --candidates parcels.gpkg --field id --fields 30
      bocage scout recipe.toml --fields 40 --days 4 --kilometres 150 --start 55.32,-21.05
    """
    parsed = opened(recipe)
    from bocage.advice.tours import Budget
    from bocage.cli.tables import print_scouted
    from bocage.jobs.scout import Asked
    from bocage.jobs.scout import scout as work

    (starts, start_file), folder = given.pop("starts"), out or parsed.out
    budget = Budget(**{key: given.pop(key) for key in ("fields", "days", "kilometres", "detour")})
    with terminal() as progress:
        found = work(
            parsed, folder, Asked(starts=starts, start_file=start_file, budget=budget, **given), progress, overwrite
        )
    print_scouted(found)
    layout = RunLayout(folder).scout
    click.echo(f"fields: {layout.fields('gpkg')}, tours: {layout.gpx}, page: {layout.page}")
