"""Commands that measure accuracy: on test polygons, on a validation sample, and between models."""

import shlex
from pathlib import Path
from typing import Any

import click

from bocage.cli.options import (
    ALLOW,
    OUT,
    OVERWRITE,
    RECIPE,
    SITE,
    command_line,
    days_of,
    opened,
    out_option,
    run_stages,
)
from bocage.cli.terminal import terminal
from bocage.layout import RunLayout


@click.command()
@RECIPE
@out_option(
    "Folder of the run [default: runs/<name of the recipe>; with --model, runs/<name of the recipe>-evaluated]."
)
@OVERWRITE
@click.option("--sample", type=click.Path(path_type=Path), help="Labelled validation sample of the map (vector file).")
@click.option("--label", default="label", show_default=True, help="Field of the sample with the class code or name.")
@click.option(
    "--model", type=click.Path(path_type=Path), help="Folder of a model or run, to score on the polygons of the recipe."
)
@SITE
@ALLOW
def evaluate(
    recipe: Path, out: Path | None, overwrite: bool, model: Path | None, site: str | None, **labelled: Any
) -> None:
    """Measure the accuracy of the model or the map.

    Without option: accuracy of the model on the test polygons. With --sample: accuracy and areas of the map,
    estimated from a validation sample. Draw the sample with 'bocage sample-design' and label it. The estimates and
    their 95 % intervals are added to the report. With --model: accuracy of a model of another site or year on all
    reference polygons of the recipe.

    \b
    Examples:
      bocage evaluate recipe.toml
      bocage evaluate recipe.toml --sample runs/my-valley/validation.gpkg
      bocage evaluate next_valley.toml --model runs/my-valley
    """
    sample = labelled["sample"]
    if sample is not None and model is not None:
        raise click.UsageError("--sample evaluates a map and --model a model; give one of them")
    if site is not None and model is None:
        raise click.UsageError("--site selects the polygons for --model")
    if model is not None:
        _evaluate_elsewhere(recipe, site, model, out, overwrite)
        return
    if sample is None:
        run_stages(recipe, out, ("evaluate",), overwrite)
        return
    parsed = opened(recipe)
    from bocage.cli.tables import print_adjusted
    from bocage.jobs.evaluate import evaluate_sample

    folder = out or parsed.out
    with terminal() as progress:
        found = evaluate_sample(parsed, folder, sample, labelled["label"], progress)
    print_adjusted(found)
    layout = RunLayout(folder)
    written = f"bocage report {shlex.quote(str(folder))}"  # with the settings of the run or of the map
    command = written if layout.report.exists() else command_line("run", recipe, out)
    click.echo(f"sample: {layout.sample}. To show the estimates in the report, run: {command}")


def _evaluate_elsewhere(recipe: Path, site: str | None, model: Path, out: Path | None, overwrite: bool) -> None:
    """Score a model on the polygons of a recipe or of one of its sites, and print the score."""
    parsed = opened(recipe, site)
    from bocage.cli.tables import print_transfer
    from bocage.jobs.evaluate import evaluate_model

    folder = out or parsed.out.with_name(f"{parsed.out.name}-evaluated")
    with terminal() as progress:
        found = evaluate_model(parsed, model, folder, progress, overwrite)
    print_transfer(found)
    click.echo(f"score: {RunLayout(folder).score}")


@click.command("sample-design")
@RECIPE
@OUT
@click.option(
    "--to",
    "path",
    type=click.Path(path_type=Path),
    help="Vector file to write [default: validation.gpkg in the run's folder].",
)
@click.option("--error", default=0.01, show_default=True, help="Target standard error of the overall accuracy.")
@click.option("--accuracy", default=0.8, show_default=True, help="Expected user's accuracy of each class.")
@click.option(
    "--expect", multiple=True, metavar="CLASS=ACCURACY", help="Expected user's accuracy of one class; repeatable."
)
@click.option("--least", default=30, show_default=True, help="Minimum number of pixels of each class.")
@click.option("--size", default=0, help="Total number of pixels [default: computed from --error].")
@click.option(
    "--allocation",
    type=click.Choice(["proportional", "equal"]),
    default="proportional",
    show_default=True,
    help="Allocation of the other pixels: proportional to the mapped area, or equal for all classes.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the random draw.")
def sample_design(recipe: Path, out: Path | None, path: Path | None, expect: tuple[str, ...], **wanted: Any) -> None:
    """Draw a validation sample of the map.

    The sample is a stratified random sample of map pixels, for photo-interpretation. The size of the sample follows
    from the target standard error (Cochran 1977; Olofsson et al. 2014). The vector file has the outlines of the
    pixels and an empty field 'label'. It does not show the mapped class, so that the interpretation stays
    independent. A file '.design.json' next to it has the sampling design. Label the pixels (class code or name), then
    run: bocage evaluate RECIPE --sample FILE.

    \b
    Examples:
      bocage sample-design recipe.toml
      bocage sample-design recipe.toml --error 0.015 --expect forest=0.95 --expect "market gardening=0.6"
      bocage sample-design recipe.toml --size 600 --allocation equal --to sample.gpkg
    """
    parsed = opened(recipe)
    from bocage.cli.tables import print_sample
    from bocage.evaluation.design import SampleDesign
    from bocage.jobs.sample_design import design_sample

    folder = out or parsed.out
    target = path or RunLayout(folder).validation
    with terminal() as progress:
        drawn = design_sample(parsed, folder, SampleDesign(**wanted), dict(map(_expected, expect)), target, progress)
    print_sample(drawn, parsed.legend)
    click.echo(f"sample: {target} ({len(drawn)} pixels). Keep {target.stem}.design.json in the same folder.")


def _expected(text: str) -> tuple[str, float]:
    name, _, value = text.rpartition("=")
    try:
        accuracy = float(value)
    except ValueError:
        accuracy = -1.0
    if not name or not 0 < accuracy < 1:
        raise click.BadParameter(
            f"'{text}' is not CLASS=ACCURACY, with an accuracy between 0 and 1", param_hint="--expect"
        )
    return name, accuracy


@click.command()
@RECIPE
@OUT
@OVERWRITE
@click.option(
    "--dates",
    callback=days_of,
    metavar="DATE[,DATE...]",
    help="Cut-offs, for example 2024-05-15,2024-05-31 [default: the 15th and the last day of each month with new images, "
    "and the last date].",
)
@click.option(
    "--wanted",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.8,
    show_default=True,
    help="Wanted overall accuracy, and F-measure of each class.",
)
@click.option("--retrain", is_flag=True, help="Also train a model for each cut-off, for comparison; this takes long.")
def season(recipe: Path, out: Path | None, overwrite: bool, **asked: Any) -> None:
    """Measure how early in the season the map is accurate enough.

    The test polygons of each draw are classified with the series up to each cut-off. The command gives the overall
    accuracy and the F-measure of each class against the cut-off, with 95 % intervals over the draws, the calibration
    error of the confidence, and the first cut-off that reaches the wanted accuracy. Set [training] cutoff in the
    recipe, for example 0.7, so that one training serves all cut-offs. Models that are not trained are trained first.
    Writes season/season.csv and season/season.json to the run's folder. 'bocage run', or 'bocage report' after a
    complete run, then shows the curves.

    \b
    Examples:
      bocage season recipe.toml --set training.cutoff=0.7 --out runs/season
      bocage season recipe.toml --wanted 0.85 --dates 2024-04-30,2024-05-31,2024-06-30
    """
    parsed = opened(recipe)
    from bocage.cli.tables import print_season
    from bocage.jobs.season import Asked
    from bocage.jobs.season import season as work

    folder = out or parsed.out
    with terminal() as progress:
        found = work(parsed, folder, Asked(**asked), progress, overwrite)
    print_season(found)
    layout = RunLayout(folder)
    click.echo(f"season: {layout.season.table}. To show the curves in the report, run:")
    # Without a report, the stages that it needs may be missing: 'run' makes up for them.
    click.echo(f"  {command_line('report' if layout.report.exists() else 'run', recipe, out)}")


@click.command()
@RECIPE
@OUT
@click.option(
    "--jobs",
    type=click.IntRange(1),
    help="Models trained at the same time [default: one per GPU, or one per four cores].",
)
@click.option(
    "--metric",
    default="overall_accuracy",
    show_default=True,
    help="Metric of the tests; 'bocage metrics' lists them.",
)
@click.pass_context
def compare(context: click.Context, recipe: Path, out: Path | None, jobs: int | None, metric: str) -> None:
    """Compare models on the same draws.

    Trains the recipe's model and others on the same draws, and tests whether they differ significantly. Describe each
    other model in a table [[compare]] of the recipe: model = { name = "...", ... } and, if they differ, label and
    training. Complete models are not trained again: after an interruption, run the same command. Failures are
    reported, and the other models continue. Writes comparison.html, .csv, .tex and .json to the run's folder. Exit
    code 1 if a model failed.

    \b
    Examples:
      bocage compare recipe.toml
      bocage compare recipe.toml --metric f1_weighted --jobs 2
    """
    parsed = opened(recipe)
    from bocage.cli.tables import print_comparison
    from bocage.jobs.compare import compare_models

    folder = out or parsed.out
    with terminal() as progress:
        found = compare_models(parsed, folder, jobs or 0, progress, metric)
    from bocage.report.comparison import verdict, write_comparison

    files = write_comparison(found, RunLayout(folder), parsed.name, parsed.report.language)
    print_comparison(found)
    click.echo(verdict(found))
    for label, why in (found.failed or {}).items():
        click.echo(f"failed: {label}: {why}", err=True)
    click.echo(f"comparison: {files['html']} (also .csv, .tex, .json)")
    context.exit(1 if found.failed else 0)
