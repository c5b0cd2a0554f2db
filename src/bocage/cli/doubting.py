"""The command that looks for doubtful reference polygons."""

from pathlib import Path

import click

from bocage.cli.options import ALLOW, OUT, OVERWRITE, RECIPE, SITE, opened
from bocage.cli.terminal import terminal


@click.command()
@RECIPE
@SITE
@OUT
@OVERWRITE
@ALLOW
def doctor(recipe: Path, site: str | None, out: Path | None, overwrite: bool) -> None:
    """Find reference polygons whose label is doubtful.

    Each polygon is judged by models that were not trained on it. The command writes a table of all polygons, the most
    doubtful ones first, with the probability that the label is wrong, a suggested class and the cause; and a page that
    shows the most doubtful ones on the imagery, with their series. The reference itself is not changed. The section
    [doctor] of the recipe has the settings. With [reference] doubtful = "drop" or "weight", a training takes the
    doubt into account.

    \b
    Examples:
      bocage doctor recipe.toml
      bocage doctor recipe.toml --set doctor.model=recipe --set doctor.shown=100
    """
    parsed = opened(recipe, site)
    from bocage.jobs.doctor import doctor as search

    with terminal() as progress:
        layout = search(parsed, out or parsed.out, progress, overwrite)
    click.echo(f"polygons: {layout.polygons('csv')}")
    click.echo(f"page: {layout.page}")
