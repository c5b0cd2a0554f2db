"""The objects of a run: their numbers and features, before the scene is opened that has them as a source."""

from pathlib import Path

from bocage.disk import digest
from bocage.errors import Problem, RecipeError
from bocage.layout import ObjectsLayout, RunLayout
from bocage.objects import take_over, write_features
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.run.folder import Inputs, RunFolder
from bocage.run.opening import prepared, scene_of
from bocage.sources import objects
from bocage.sources.raster import fingerprint

FORMAT = 1
"""Changed when the objects or features of the same settings change."""


def has_own_objects(recipe: Recipe) -> bool:
    """Whether a recipe has a source of the objects that the run itself segments."""
    return any(objects.of_the_run(choice.settings) for choice in (recipe.sources or {}).values())


def segment_first(recipe: Recipe, out: Path, progress: Progress = QUIET, overwrite: bool = False) -> None:
    """Segment, if a source of the recipe has the objects of the run; the caller holds the lock of the folder."""
    if has_own_objects(recipe):
        segment_objects(recipe, out, progress, overwrite)


def segment_objects(recipe: Recipe, out: Path, progress: Progress = QUIET, overwrite: bool = False) -> ObjectsLayout:
    """Write the objects and the table of their features to the folder of a run, unless they are current.

    The caller holds the lock of the folder. Sources of objects take no part.

    Raises
    ------
    RecipeError
        The recipe has several sites, or no section ``[segment]``, or this names a source that is missing.
    """
    recipe.check_single()
    settings, layout = recipe.segment, RunLayout(out)
    if settings is None:
        raise RecipeError(recipe.path, [Problem("segment", "the section [segment] is missing; the objects need it")])
    sources = {n: choice for n, choice in recipe.sources.items() if not objects.of_the_run(choice.settings)}
    scene = scene_of(recipe.grid, sources, progress)
    inputs = Inputs.of(recipe, scene).watching([settings.ids])
    folder = RunFolder.claim(layout, recipe, inputs, overwrite)
    ids = digest(FORMAT, inputs.images, recipe.grid, sources, settings.source, fingerprint(settings.ids))
    features = digest(ids, settings.features)
    if folder.is_current("segment", ids) and folder.is_current("features", features):
        return layout.objects
    scene, _ = prepared(recipe, scene, folder, progress)
    grid = scene.cubes[settings.source].grid

    def work() -> None:
        count = take_over(settings.ids, grid, layout.objects, recipe.legend, progress)
        progress.say(f"{count} objects: {layout.objects.ids}")

    def describe() -> None:
        count, width = write_features(layout.objects, scene.cubes, settings.features, progress)
        progress.say(f"{width} features of {count} objects: {layout.objects.table}")

    folder.once("segment", ids, work, progress)
    folder.once("features", features, describe, progress)
    return layout.objects
