"""Arguments and options shared by several commands, and the execution of stages of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bocage.cli.terminal import started, terminal
from bocage.shelf import allow

if TYPE_CHECKING:
    from bocage.recipe import Recipe

RECIPE = click.argument("recipe", type=click.Path(path_type=Path))
OUT = click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the run [default: runs/<name of the recipe>]."
)
OVERWRITE = click.option(
    "--overwrite",
    is_flag=True,
    help="Reuse a folder that has another run: repeat the stages whose inputs or settings changed.",
)

DEVICES = click.option(
    "--devices",
    type=click.IntRange(1),
    help="Number of GPUs (or processes, without GPU) for training; replaces [training] devices.",
)


def _allow(ctx: click.Context, option: click.Parameter, modules: tuple[str, ...]) -> None:
    allow(modules)


ALLOW = click.option(
    "--allow",
    metavar="MODULE",
    multiple=True,
    expose_value=False,
    callback=_allow,
    help="Installed module outside of Bocage that the model folder may import; its code runs. Repeatable.",
)


def with_workers(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of the map workers to a command; they replace values of [workers] in the recipe."""
    options = (
        click.option("--workers", type=int, help="Number of worker processes (jobs, with --cluster)."),
        click.option("--threads", type=int, help="Threads of each worker."),
        click.option("--scheduler", help="Address of a running Dask scheduler, for example tcp://node1:8786."),
        click.option("--cluster", help="Batch system that runs the workers: slurm, pbs, sge, lsf, oar, htcondor, moab."),
        click.option(
            "--job", "options", multiple=True, metavar="KEY=VALUE",
            help="Resource of a job (dask-jobqueue), for example queue=long, memory=16GB, walltime=02:00:00; repeatable.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


SITE = click.option("--site", help="Name of one site of a recipe with several ([[site]]).")


def opened(recipe: Path, site: str | None = None) -> Recipe:
    """Read a recipe, or the part of one of its sites. A line is printed first, because the imports take seconds."""
    started(f"recipe: {recipe}")
    from bocage.recipe import read_recipe

    parsed = read_recipe(recipe)
    return parsed.at(site) if site else parsed


AREA = ("region", "region_layer", "where")
"""Options of the part of the scene that is mapped."""


def chosen(
    recipe: Recipe,
    options: Sequence[str] = (),
    devices: int | None = None,
    sites: Sequence[str] = (),
    **given: Any,
) -> Recipe:
    """Return the recipe with the workers, devices, region and sites given on the command line."""
    if recipe.sites and any(given.get(key) for key in AREA):
        raise click.UsageError("--region is for a recipe of one site; give each [[site]] its region")
    for site in sites:
        recipe.find(site)
    replaced = {("count" if key == "workers" else key): value for key, value in given.items() if value is not None}
    area = {key: replaced.pop(key) for key in AREA if key in replaced}
    pairs = dict(_pair(option) for option in options)
    try:
        workers = replace(recipe.workers, **replaced, options={**recipe.workers.options, **pairs})
        mapping = replace(recipe.map, **area, sites=tuple(sites) or recipe.map.sites)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    choice = recipe.choice.with_training(devices=devices or recipe.choice.training.devices)
    return replace(recipe, workers=workers, map=mapping, choice=choice)


def _pair(option: str) -> tuple[str, Any]:
    key, sign, value = option.partition("=")
    if not sign or not key.isidentifier():
        raise click.UsageError(f"--job: '{option}' is not KEY=VALUE")
    return key, int(value) if value.isdecimal() else value


def run_stages(recipe: Path, out: Path | None, stages: Sequence[str], overwrite: bool, **given: Any) -> None:
    """Run stages of a recipe in its folder, and print the results."""
    parsed = chosen(opened(recipe), **given)
    from bocage.jobs.run import run

    folder = out or parsed.out
    with terminal() as progress:
        finished = run(parsed, folder, stages, progress, overwrite)
    if "evaluate" in stages:
        from bocage.cli.tables import print_score

        print_score(finished.layout.score)
    for land in finished.maps_on_disk().values() if "map" in stages else ():
        click.echo(f"map: {land.files['classes']}")
    if "report" in stages:
        click.echo(f"report: {finished.layout.report}")
