"""Commands that measure accuracy: on test polygons, on a validation sample, and between models."""

from pathlib import Path
from typing import Any

import click

from bocage.cli.options import OUT, OVERWRITE, RECIPE, run_stages
from bocage.cli.terminal import terminal
from bocage.layout import RunLayout


@click.command()
@RECIPE
@OUT
@OVERWRITE
@click.option("--sample", type=click.Path(path_type=Path), help="Labelled validation sample of the map (vector file).")
@click.option("--label", default="label", show_default=True, help="Field of the sample with the class code or name.")
def evaluate(recipe: Path, out: Path | None, overwrite: bool, sample: Path | None, label: str) -> None:
    """Measure the accuracy of the model or the map.

    The sample was drawn by 'bocage sample-design'; the estimates and their 95 % intervals go into the report.

    \b
    Examples:
      bocage evaluate recipe.toml
      bocage evaluate recipe.toml --sample runs/my-valley/validation.gpkg
    """
    if sample is None:
        run_stages(recipe, out, ("evaluate",), overwrite)
        return
    from bocage.cli.tables import print_adjusted
    from bocage.jobs.evaluate import evaluate_sample
    from bocage.recipe import read_recipe

    parsed = read_recipe(recipe)
    folder = out or Path("runs") / parsed.name
    with terminal() as progress:
        found = evaluate_sample(parsed, folder, sample, label, progress)
    print_adjusted(found)
    click.echo(f"sample: {RunLayout(folder).sample}. Run 'bocage report {recipe}' to add the estimates to the report.")


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
@click.option("--accuracy", default=0.8, show_default=True, help="Expected user's accuracy of every class.")
@click.option(
    "--expect", multiple=True, metavar="CLASS=ACCURACY", help="Expected user's accuracy of one class; may be repeated."
)
@click.option("--least", default=30, show_default=True, help="Fewest pixels of each class.")
@click.option("--size", default=0, help="Pixels in all [default: as many as the error asks for].")
@click.option(
    "--allocation",
    type=click.Choice(["proportional", "equal"]),
    default="proportional",
    show_default=True,
    help="Allocation of the remaining pixels: by area, or equal for every class.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the random draw.")
def sample_design(recipe: Path, out: Path | None, path: Path | None, expect: tuple[str, ...], **wanted: Any) -> None:
    """Draw a validation sample of the map.

    The sample size follows from the target standard error (Cochran 1977; Olofsson et al. 2014). The vector file holds the
    outlines of the pixels with an empty field 'label'. It does not show the mapped class, which could influence the
    interpreter; a second file holds what the estimates need. Label it (code or name), then: bocage evaluate RECIPE --sample FILE.

    \b
    Examples:
      bocage sample-design recipe.toml
      bocage sample-design recipe.toml --error 0.015 --expect forest=0.95 --expect "market gardening=0.6"
      bocage sample-design recipe.toml --size 600 --allocation equal --to sample.gpkg
    """
    from bocage.cli.tables import print_sample
    from bocage.evaluation.design import SampleDesign
    from bocage.jobs.sample_design import design_sample
    from bocage.recipe import read_recipe

    parsed = read_recipe(recipe)
    folder = out or Path("runs") / parsed.name
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
@click.option(
    "--jobs",
    type=click.IntRange(1),
    help="Models trained at the same time [default: one per GPU, or one per four cores].",
)
@click.option(
    "--metric",
    default="overall_accuracy",
    show_default=True,
    help="Metric to test: 'bocage metrics' lists them.",
)
@click.pass_context
def compare(context: click.Context, recipe: Path, out: Path | None, jobs: int | None, metric: str) -> None:
    """Compare the recipe's model with others on the same draws, and test whether they differ.

    The others are tables [[compare]] of the recipe, each with model = { name = "...", ... } and, where they differ, label
    and training. After an interruption, run the same command: finished models are kept. Writes
    comparison.html, .csv, .tex and .json into the run's folder. Exit code 1 if a model failed.

    \b
    Examples:
      bocage compare recipe.toml
      bocage compare recipe.toml --metric f1_weighted --jobs 2
    """
    from bocage.cli.tables import print_comparison
    from bocage.jobs.compare import compare_models
    from bocage.recipe import read_recipe

    parsed = read_recipe(recipe)
    folder = out or Path("runs") / parsed.name
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
