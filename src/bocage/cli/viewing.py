"""Commands that show a run: in the browser, in QGIS."""

from pathlib import Path

import click

from bocage.cli.terminal import started, terminal


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("other", required=False, type=click.Path(path_type=Path))
@click.option("--no-browser", is_flag=True, help="Print the address only.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the server [default: a free one].")
@click.option("--site", default="", help="Name of a site of a run with several [default: the first with a map].")
@click.option("--recipe", type=click.Path(path_type=Path), help="Recipe of RUN, if it was moved since.")
def view(run: Path, other: Path | None, no_browser: bool, port: int, site: str, recipe: Path | None) -> None:
    """Look at the map of a run in the browser.

    RUN is the folder of a run, finished or not, of a map or of a mosaic; OTHER is a second one, shown beside it. The
    page shows the map over the imagery, the layers of the map, the reference polygons with their errors, and, for a
    click, the series of the pixel. Its server answers this computer only, at an address with a random token, until
    Ctrl+C.

    \b
    Examples:
      bocage view runs/my-valley
      bocage view runs/my-valley runs/forest
      bocage view runs/my-valley --no-browser --port 8765
    """
    started(f"view: {run}")
    from bocage.jobs.view import open_in_browser, viewer_of, wait

    with terminal() as progress:
        viewer = viewer_of([run, *([other] if other else [])], port, site, recipe, progress)
    click.echo(f"page: {viewer.address}")
    if not no_browser and not open_in_browser(viewer.address):
        click.echo("No browser was found. Open the address above on this computer.", err=True)
    click.echo("Ctrl+C ends the server.")
    try:
        wait()
    except KeyboardInterrupt:
        click.echo("ended")
    finally:
        viewer.stop()


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--recipe", type=click.Path(path_type=Path), help="Recipe of RUN, if it was moved since.")
@click.option("--overwrite", is_flag=True, help="Replace a project that was saved by QGIS since.")
def qgis(run: Path, recipe: Path | None, overwrite: bool) -> None:
    """Write the QGIS project of a run.

    RUN is the folder of a run, finished or not, of a map or of a mosaic. The project, qgis/project.qgz, has the layers of
    the map with their styles, the reference polygons by class and by part, the finished map, and the imagery. 'bocage
    run', 'bocage report' and 'bocage finish' write it too. It refers to the files of the run by relative paths, to the
    imagery by absolute paths. QGIS 3.22 or later opens it; QGIS is not needed to write it.

    \b
    Examples:
      bocage qgis runs/my-valley
      bocage qgis runs/my-valley --recipe moved/recipe.toml --overwrite
    """
    started(f"QGIS project: {run}")
    from bocage.jobs.qgis import project_of

    with terminal() as progress:
        path = project_of(run, recipe, overwrite, progress)
    click.echo(f"project: {path}")
