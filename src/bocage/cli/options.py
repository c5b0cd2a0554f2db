"""Arguments and options shared by several commands, and the execution of stages of a recipe."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bocage.cli.terminal import started, terminal
from bocage.shelf import allow

if TYPE_CHECKING:
    from bocage.recipe import Recipe

OVERRIDES = "bocage.overrides"
"""Key of the context under which the values of ``--set`` are kept for :func:`opened`."""


def _keep(ctx: click.Context, option: click.Parameter, settings: tuple[str, ...]) -> None:
    ctx.meta[OVERRIDES] = settings


SET = click.option(
    "--set",
    metavar="KEY=VALUE",
    multiple=True,
    expose_value=False,
    callback=_keep,
    help="Setting that replaces one of the recipe: training.epochs=20, sources.s2.clear=[4,5]. Repeatable.",
)
"""Overrides of a recipe: an option of every command that reads one, kept until :func:`opened` reads the recipe."""


def RECIPE(command: Callable[..., None]) -> Callable[..., None]:  # noqa: N802 - used as the other options
    """Add the argument RECIPE and the option ``--set`` to a command."""
    return click.argument("recipe", type=click.Path(path_type=Path))(SET(command))


def overrides() -> tuple[str, ...]:
    """Return the values of ``--set`` of the command at work."""
    context = click.get_current_context(silent=True)
    return context.meta.get(OVERRIDES, ()) if context else ()


def command_line(command: str, recipe: Path, out: Path | None) -> str:
    """Return a command on a recipe for a shell, with ``--out`` and the values of ``--set`` of the command at work."""
    from bocage.recipe import words_of

    return shlex.join(["bocage", command, str(recipe), *(["--out", str(out)] if out else []), *words_of(overrides())])


def out_option(text: str) -> Callable[[Any], Any]:
    """Return the option of the output folder, with its meaning and its default in words."""
    return click.option("--out", type=click.Path(path_type=Path), help=text)


OUT = out_option("Folder of the run [default: runs/<name of the recipe>].")
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


def day_of(ctx: click.Context, option: click.Parameter, text: str | None) -> datetime.date | None:
    """Return the date of a text such as 2024-05-31; None without a text."""
    if text is None:
        return None
    try:
        return datetime.date.fromisoformat(text.strip())
    except ValueError:
        raise click.BadParameter(f"'{text.strip()}' is not a date as YYYY-MM-DD, for example 2024-05-31") from None


def days_of(ctx: click.Context, option: click.Parameter, text: str | None) -> tuple[datetime.date, ...]:
    """Return the dates of a text with commas; none without a text."""
    found = (day_of(ctx, option, one) for one in (text or "").split(",") if one.strip())
    return tuple(day for day in found if day)


SITE = click.option("--site", help="Name of one site of a recipe with several ([[site]]).")


def opened(recipe: Path, site: str | None = None, before: Sequence[str] = (), devices: int | None = None) -> Recipe:
    """Read a recipe with the values of ``--set`` and ``--devices``, or the part of one of its sites.

    A line is printed first, because the imports take seconds. The overrides `before` precede those of the command line.
    """
    started(f"recipe: {recipe}")
    from bocage.recipe import read_recipe

    own = [f"training.devices={devices}"] if devices else []  # recorded with the run: a report needs it
    parsed = read_recipe(recipe, (*before, *overrides(), *own))
    return parsed.at(site) if site else parsed


AREA = ("region", "region_layer", "where", "until")
"""Options of the part of the scene that is mapped, in space and time."""


def chosen(
    recipe: Recipe,
    options: Sequence[str] = (),
    sites: Sequence[str] = (),
    **given: Any,
) -> Recipe:
    """Return the recipe with the workers, region and sites given on the command line."""
    if recipe.sites and any(given.get(key) for key in AREA):
        raise click.UsageError(
            "--region and --until are for a recipe of one site; give each [[site]] its region, and set [map] until"
        )
    if given.get("region_layer") and not given.get("region"):
        raise click.UsageError("--region-layer is the layer of --region, which is not given")
    for site in sites:
        recipe.find(site)
    replaced = {("count" if key == "workers" else key): value for key, value in given.items() if value is not None}
    area = {key: replaced.pop(key) for key in AREA if key in replaced}
    if "region" in area:  # layer and condition of the recipe select polygons of the recipe's region
        area = {"region_layer": "", "where": "", **area}
    pairs = dict(_pair(option) for option in options)
    try:
        workers = replace(recipe.workers, **replaced, options={**recipe.workers.options, **pairs})
        mapping = replace(recipe.map, **area, sites=tuple(sites) or recipe.map.sites)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if pairs and not workers.cluster:
        raise click.UsageError(
            "--job has options of batch jobs. Give the batch system too, for example --cluster slurm."
        )
    return replace(recipe, workers=workers, map=mapping)


def _pair(option: str) -> tuple[str, Any]:
    key, sign, value = option.partition("=")
    if not sign or not key.isidentifier():
        raise click.UsageError(f"--job: '{option}' is not KEY=VALUE")
    return key, int(value) if value.isdecimal() else value


def run_stages(recipe: Path, out: Path | None, stages: Sequence[str], overwrite: bool, **given: Any) -> None:
    """Run stages of a recipe in its folder, and print the results."""
    parsed = chosen(opened(recipe, devices=given.pop("devices", None)), **given)
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
