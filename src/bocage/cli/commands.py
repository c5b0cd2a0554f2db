"""The commands. Rooms are imported when a command runs, so that ``bocage --help`` is quick."""

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from bocage import __version__
from bocage.cli.accuracy import compare, evaluate, sample_design
from bocage.cli.edge import guarded
from bocage.cli.options import DEVICES, OUT, OVERWRITE, RECIPE, chosen, run_stages, with_workers
from bocage.cli.terminal import terminal


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def cli() -> None:
    """Bocage makes land-cover maps from imagery and a few reference polygons.

    \b
    Examples:
      bocage init images/ fields.gpkg --label crop     write a recipe for your data
      bocage run recipe.toml                           train, evaluate, map, report
      bocage simulate landscape/                       a landscape with known truth, to try things on
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code (2 for a command that cannot be understood)."""
    code = 0

    def work() -> None:
        nonlocal code
        try:
            code = cli.main(args=arguments, standalone_mode=False) or 0
        except click.ClickException as error:
            error.show()
            code = error.exit_code

    return guarded(work) or (code if isinstance(code, int) else 0)


def script() -> None:
    """Entry point of the shell command."""
    sys.exit(main())


def _stage(name: str, stages: Sequence[str], text: str) -> Callable[..., None]:
    """Make the command that runs some stages of a recipe."""

    @RECIPE
    @OUT
    @OVERWRITE
    def command(recipe: Path, out: Path | None, overwrite: bool, **given: Any) -> None:
        run_stages(recipe, out, stages, overwrite, **given)

    options = [with_workers] * ("map" in stages) + [DEVICES] * ("train" in stages)
    for option in options:
        command = option(command)
    return cli.command(name, help=text)(command)


_stage(
    "run",
    ("train", "evaluate", "map", "report"),
    """Follow a recipe from imagery and polygons to the map, its accuracy and its report.

    A stage that is complete for the same inputs and settings is not done again: after an interruption, run the
    same command.

    \b
    Examples:
      bocage run recipe.toml
      bocage run recipe.toml --out /data/runs/first
      bocage run recipe.toml --workers 4
    """,
)
_stage(
    "train",
    ("train",),
    """Cut the samples and train the recipe's model on every draw.

    \b
    Examples:
      bocage train recipe.toml
      bocage train recipe.toml --devices 4
    """,
)
for _command in (compare, evaluate, sample_design):
    cli.add_command(_command)
_stage("report", ("report",), "Write report.html again.\n\n\b\nExample:\n  bocage report recipe.toml")


@cli.command()
@RECIPE
@OUT
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option(
    "--html", type=click.Path(path_type=Path), help="Write a page with a picture of every source and a timeline."
)
@click.pass_context
def check(context: click.Context, recipe: Path, out: Path | None, as_json: bool, html: Path | None) -> None:
    """Look at everything that a recipe names, before the night is lost.

    Opens every file, compares grids, measures shifts between sources (and between sources and polygons), dates, clouds,
    values, polygons, classes and the room on the disk. Exit code 1 if an error was found.

    \b
    Examples:
      bocage check recipe.toml
      bocage check recipe.toml --html check.html
      bocage check recipe.toml --json > findings.json
    """
    from bocage.preflight import check as look

    with terminal() as progress:
        seen = look(recipe, out, progress)
    if html:
        from bocage.preflight.page import write_page

        write_page(seen, html)
    if as_json:
        click.echo(json.dumps({"name": seen.name, "findings": [f.as_dict() for f in seen.findings]}, indent=1))
    else:
        from bocage.cli.tables import print_findings

        print_findings(seen.findings)
    if html:
        click.echo(f"page: {html}", err=as_json)
    context.exit(1 if seen.has_errors else 0)


@cli.command()
@RECIPE
@OUT
@click.option(
    "--workers", multiple=True, type=int, help="Tell the time with so many preparing threads; may be repeated."
)
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(recipe: Path, out: Path | None, workers: tuple[int, ...], as_json: bool) -> None:
    """Tell what a run will cost: time of every stage, memory and disk, from a short probe on this machine.

    The plan is kept in the run's folder; after the run, the report compares it with what happened.

    \b
    Examples:
      bocage plan recipe.toml
      bocage plan recipe.toml --workers 8 --workers 32
    """
    import dataclasses

    from bocage.pipeline import read_recipe
    from bocage.preflight.plan import plan as measure

    folder = out or Path("runs") / read_recipe(recipe).name
    with terminal() as progress:
        made = measure(recipe, folder, workers, progress)
    made.save(folder)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(made), indent=1))
    else:
        from bocage.cli.tables import print_plan

        print_plan(made)


@cli.command()
@RECIPE
@OUT
@OVERWRITE
def prepare(recipe: Path, out: Path | None, overwrite: bool) -> None:
    """Write the scene to disk once: sources warped onto the map's grid, filtered and filled in time.

    'bocage run' does this by itself; alone, it can run on another machine or before the reference is there. After an
    interruption the same command goes on with what is missing; parts whose files or settings changed are redone.

    \b
    Example:
      bocage prepare recipe.toml --out runs/first
    """
    from bocage.pipeline import prepare as work
    from bocage.pipeline import read_recipe

    parsed = read_recipe(recipe)
    with terminal() as progress:
        made = work(parsed, out or Path("runs") / parsed.name, progress, overwrite)
    for name, one in made.items():
        click.echo(f"{name}: {one.path} ({one.shards} parts, {one.never_clear} of {one.pixels} pixels never clear)")
    if not made:
        click.echo("nothing to prepare: every source is read in place")


@cli.command("map")
@RECIPE
@OUT
@OVERWRITE
@with_workers
@click.option("--model", type=click.Path(path_type=Path), help="Map with this model folder instead of the run's own.")
@click.option("--region", type=click.Path(path_type=Path), help="Map only the polygons of this vector file.")
@click.option("--where", help="SQL condition that chooses polygons of the region: \"tile = '31UES'\".")
def map_command(
    recipe: Path,
    out: Path | None,
    overwrite: bool,
    model: Path | None,
    region: Path | None,
    where: str | None,
    **workers: Any,
) -> None:
    """Map the scene with a trained network: everything, or the polygons of a region.

    Windows are kept as they are made; after an interruption the same command goes on with those that are missing. The map
    is the same whoever works, and however many.

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
        run_stages(recipe, out, ("map",), overwrite, region=region, where=where, **workers)
        return
    from bocage.pipeline import map_with, read_recipe

    parsed = chosen(read_recipe(recipe), region=region, where=where, **workers)
    with terminal() as progress:
        land = map_with(parsed, model, out or Path("runs") / parsed.name, progress, overwrite)
    click.echo(f"map: {land.files['classes']}")


@cli.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--scene", "recipe", required=True, type=click.Path(path_type=Path), help="Recipe of the scene to adapt to."
)
@click.option("--polygons", is_flag=True, help="Learn from the recipe's reference polygons, too.")
@OUT
@OVERWRITE
def adapt(model: Path, recipe: Path, polygons: bool, out: Path | None, overwrite: bool) -> None:
    """Adapt a trained network to another year or place.

    It learns from its own surest answers on pixels of the scene, and with --polygons from the scene's reference polygons,
    however few. Of the recipe, sources and grid count, and [reference] where polygons are used.

    \b
    Examples:
      bocage adapt runs/2022/splits/0/model --scene 2023.toml --out runs/2023
      bocage adapt runs/2022/splits/0/model --scene 2023.toml --polygons --out runs/2023
      bocage map 2023.toml --model runs/2023/model --out runs/2023
    """
    from bocage.pipeline import adapt_to, read_recipe

    parsed = read_recipe(recipe)
    folder = out or Path("runs") / f"{parsed.name}-adapted"
    with terminal() as progress:
        adapt_to(parsed, model, folder, polygons, progress=progress, overwrite=overwrite)
    click.echo(f"model: {folder / 'model'}")


@cli.command()
@RECIPE
@OUT
@OVERWRITE
@click.option(
    "--pixels", type=click.IntRange(256), default=16_384, show_default=True, help="Pixels drawn from the scene."
)
@click.option("--epochs", type=click.IntRange(1), default=20, show_default=True, help="Passes over them.")
@DEVICES
def pretrain(recipe: Path, out: Path | None, overwrite: bool, pixels: int, epochs: int, devices: int | None) -> None:
    """Give a network its first weights from the scene alone, where polygons are few.

    The network learns to guess dates and sources that are hidden from it. 'bocage train' and 'bocage run' with the same
    folder start from there; another run starts there with [training] pretrained = "<folder>/pretrained". Polygons are not
    looked at.

    \b
    Examples:
      bocage pretrain recipe.toml && bocage run recipe.toml
      bocage pretrain recipe.toml --out runs/first --pixels 131072
    """
    from bocage.pipeline import pretrain_on, read_recipe
    from bocage.training import Pretraining

    parsed = chosen(read_recipe(recipe), devices=devices)
    folder = out or Path("runs") / parsed.name
    with terminal() as progress:
        pretrain_on(parsed, folder, Pretraining(pixels=pixels, epochs=epochs), progress, overwrite)
    click.echo(f"pretrained encoder: {folder / 'pretrained'}")


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("maps", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--rule",
    type=click.Choice(["confidence", "first"]),
    default="confidence",
    show_default=True,
    help="Where maps overlap: the most confident one, or the first that has data.",
)
def mosaic(folder: Path, maps: tuple[Path, ...], rule: Any) -> None:
    """Lay the MAPS of several scenes together into FOLDER.

    MAPS are run folders, or their map/ folders. They must have one legend and one lattice of pixels. scene.tif tells which
    map each pixel comes from.

    \b
    Examples:
      bocage mosaic region/ runs/north runs/south
      bocage mosaic region/ runs/2023 runs/2022 --rule first
    """
    from bocage.mapping.mosaic import make_mosaic

    with terminal() as progress:
        classes = make_mosaic(maps, folder, rule, progress)
    click.echo(f"map: {classes}")


@cli.command()
@click.argument("images", type=click.Path(path_type=Path))
@click.argument("reference", type=click.Path(path_type=Path))
@click.option("--label", default="", help="Field that holds the class [default: asked of the file].")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("recipe.toml"), show_default=True, help="Recipe to write."
)
def init(images: Path, reference: Path, label: str, out: Path) -> None:
    """Write a commented recipe by looking at a folder of IMAGES and a vector file of REFERENCE polygons.

    \b
    Examples:
      bocage init images/ fields.gpkg
      bocage init images/ fields.shp --label CODE --out reunion.toml
    """
    from bocage.pipeline.starter import write_starter

    for line in write_starter(images, reference, label, out):
        click.echo(line)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--height", default=1203, show_default=True, help="PAN pixels of 1.5 m.")
@click.option("--width", default=1402, show_default=True, help="PAN pixels of 1.5 m.")
@click.option("--seed", default=0, show_default=True)
@click.option("--year", default=2022, show_default=True, help="Another year shifts the calendar and rotates the crops.")
@click.option("--region", default=0, show_default=True, help="Another region has other parcels and other class shares.")
@click.option("--polygons", default=24, show_default=True, help="Most reference polygons of each class.")
@click.option(
    "--sensor", "sensors", multiple=True, type=click.Choice(["vhr", "s2", "s1"]), help="Only these [default: all]."
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["geotiff", "landsat", "pleiades", "s1tiling", "safe", "spot67", "stac", "theia"]),
    help="Deliver a sensor as true-to-format products; may be repeated, one for each sensor [default: geotiff].",
)
@click.option("--recipes/--no-recipes", default=True, show_default=True, help="Write recipes that use the landscape.")
def simulate(folder: Path, recipes: bool, sensors: tuple[str, ...], formats: tuple[str, ...], **settings: Any) -> None:
    """Write an agricultural landscape with known truth into FOLDER, as real files.

    PAN and MS at 1.5 and 6 m, a Sentinel-2-like series with clouds and their mask, a Sentinel-1-like series with
    speckle, sparse reference polygons, and the truth everywhere.

    \b
    Examples:
      bocage simulate landscape/
      bocage simulate next_year/ --year 2023
      bocage simulate products/ --format theia --format spot67 --format s1tiling
      bocage simulate large/ --height 4812 --width 5608 --sensor vhr
    """
    from bocage.simulate import SENSORS, Simulation
    from bocage.simulate import simulate as write
    from bocage.simulate.recipes import write_recipes

    wanted = tuple(name for name in formats if name != "geotiff")
    chosen = Simulation(sensors=sensors or SENSORS, formats=wanted, **settings)
    with terminal() as progress:
        polygons = write(chosen, folder, progress)
    click.echo(f"{folder}: {chosen.height} x {chosen.width} PAN pixels, {polygons} reference polygons")
    if recipes:
        for path in write_recipes(chosen, folder):
            click.echo(f"recipe: {path}")


@cli.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("folder", type=click.Path(path_type=Path))
def export(model: Path, folder: Path) -> None:
    """Write a trained MODEL folder as ONNX, with a STAC item (MLM extension), into a new FOLDER.

    The graph is checked against PyTorch on the same inputs before it is kept. Forests and boosted trees do not export.

    \b
    Examples:
      bocage export runs/demo/splits/0/model exported/
    """
    from bocage.training import Trained
    from bocage.training.export import export as write

    trained = Trained.load(model)
    write(trained, folder)
    click.echo(f"{folder / 'model.onnx'}: {trained.name}, same logits as PyTorch within 1e-4")
    click.echo(f"{folder / 'item.json'}: STAC item")


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def models(as_json: bool) -> None:
    """List the networks: what they take, what they cost, where they come from.

    Parameters and multiply-adds are counted at the published size and data shapes, for 10 classes.
    Yours is named 'its.module:name' in a recipe.

    \b
    Examples:
      bocage models
      bocage models --json > models.json
    """
    from bocage.models import MODELS
    from bocage.models.facts import all_facts

    found = list(all_facts(MODELS))
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(facts) for facts in found], indent=1, ensure_ascii=False))
        return
    from bocage.cli.tables import print_models

    print_models(found)


def _shelf(name: str, load: Callable[[], tuple[Any, Callable[[Any], str]]]) -> None:
    @cli.command(name, help=f"List the {name}, with one line each; yours is named 'its.module:name' in a recipe.")
    def command() -> None:
        shelf, line = load()
        for key in shelf:
            click.echo(f"{key:18} {line(shelf.get(key))}")


def _first_line(thing: Any) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


def _sensors() -> tuple[Any, Callable[[Any], str]]:
    from bocage.sources import SENSORS

    return SENSORS, lambda sensor: str(sensor.SPEC.title)


def _indices() -> tuple[Any, Callable[[Any], str]]:
    from bocage.scene import INDICES

    return INDICES, _first_line


def _metrics() -> tuple[Any, Callable[[Any], str]]:
    from bocage.evaluation import METRICS

    return METRICS, _first_line


def _writers() -> tuple[Any, Callable[[Any], str]]:
    from bocage.mapping import WRITERS

    return WRITERS, _first_line


for _name, _load in (
    ("sensors", _sensors),
    ("indices", _indices),
    ("metrics", _metrics),
    ("writers", _writers),
):
    _shelf(_name, _load)
