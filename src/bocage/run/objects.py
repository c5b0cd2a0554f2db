"""The objects of a run: their numbers and features, before the scene is opened that has them as a source."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bocage.disk import digest, remove_folder
from bocage.errors import Problem, RecipeError
from bocage.grid import Grid
from bocage.layout import ObjectsLayout, RunLayout
from bocage.legend import Legend
from bocage.mapping import WRITERS, MapBand
from bocage.objects import Segmenting
from bocage.objects.settings import Features
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.run.folder import Inputs, RunFolder
from bocage.run.opened import scene_of
from bocage.run.opening import prepared
from bocage.scene import Scene
from bocage.sources import objects
from bocage.sources.raster import fingerprint

if TYPE_CHECKING:  # it imports numba
    from bocage.objects.segment import Objects

FORMAT = 3
"""Changed when the objects or features of the same settings change."""
PARCELS = "parcels"
"""Layer of the map from which parcels are delineated."""
TILE = 1024
"""Stands for any side of the tiles in digests: no result depends on it."""


def has_own_objects(recipe: Recipe) -> bool:
    """Whether a recipe has a source of the objects that the run itself segments."""
    return any(objects.of_the_run(choice.settings) for choice in (recipe.sources or {}).values())


def segment_first(recipe: Recipe, out: Path, progress: Progress = QUIET, overwrite: bool = False) -> None:
    """Segment, if a source of the recipe has the objects of the run; the caller holds the lock of the folder."""
    if has_own_objects(recipe):
        segment_objects(
            recipe, out, progress, overwrite, opening=QUIET
        )  # what is opened now is opened again for the run


def segment_objects(
    recipe: Recipe, out: Path, progress: Progress = QUIET, overwrite: bool = False, opening: Progress | None = None
) -> ObjectsLayout:
    """Write the objects and the table of their features to the folder of a run, unless they are current.

    The caller holds the lock of the folder. Sources of objects take no part.

    Parameters
    ----------
    opening
        Receives what is reported while the sources are opened; default: `progress`.

    Raises
    ------
    RecipeError
        The recipe has several sites, or no section ``[segment]``.
    """
    recipe.check_single()
    settings, layout = recipe.segment, RunLayout(out)
    if settings is None:
        raise RecipeError(recipe.path, [Problem("segment", "the section [segment] is missing; the objects need it")])
    sources = {n: choice for n, choice in recipe.sources.items() if not objects.of_the_run(choice.settings)}
    scene = scene_of(recipe.grid, sources, opening or progress)
    taken = settings.ids or (_mapped(recipe, layout) if settings.parcels else None)
    inputs = Inputs.of(recipe, scene).watching([settings.ids] if settings.ids else [])
    folder = RunFolder.claim(layout, recipe, inputs, overwrite)
    plain = replace(settings, ids=None, features=Features(), tile=TILE)
    given = fingerprint(taken) if taken else ""
    ids = digest(FORMAT, inputs.images, recipe.grid, sources, plain, given)
    features = digest(ids, replace(settings.features, tile=TILE))
    if folder.is_current("segment", ids) and folder.is_current("features", features):
        return layout.objects
    scene, _ = prepared(recipe, scene, folder, progress)

    def work() -> None:
        _segment(scene, settings, layout, (recipe.legend, ids), progress)

    def describe() -> None:
        from bocage.objects.features import write_features  # imports numba

        count, width = write_features(layout.objects, scene.cubes, settings.features, progress)
        progress.say(f"{width} features of {count} objects: {layout.objects.table}")

    folder.once("segment", ids, work, progress)
    folder.once("features", features, describe, progress)
    return layout.objects


def _mapped(recipe: Recipe, layout: RunLayout) -> Path:
    """Return the layer "parcels" of the map of a run.

    Raises
    ------
    RecipeError
        The run has no such layer.
    """
    path = layout.map.layer(PARCELS, ".tif")
    if not layout.map.is_complete or not path.exists():
        why = f"{path} is missing: set [training] parcels, and run 'bocage run' first"
        raise RecipeError(recipe.path, [Problem("segment.parcels", why)])
    return path


def _found(
    scene: Scene, settings: Segmenting, layout: RunLayout, key: str, progress: Progress
) -> tuple["Objects", Grid]:
    """Return the objects and their grid: of the map, of a raster, or of a segmentation of the imagery."""
    from bocage.objects.given import take_over
    from bocage.objects.parcels import Outlines, delineate
    from bocage.objects.scratch import Scratch
    from bocage.objects.segment import segment
    from bocage.objects.stack import Stack

    folder = layout.objects.scratch
    if settings.parcels:
        outlines = Outlines(layout.map.layer(PARCELS, ".tif"), scene.grid, settings)
        remove_folder(folder)  # of a process that was killed
        folder.mkdir(parents=True)
        return delineate(outlines, Scratch(folder), progress), scene.grid
    stack = Stack.of(scene.cubes, settings.sources, settings.bands)
    if settings.ids:
        return take_over(settings.ids, stack.grid, progress), stack.grid
    return segment(stack, settings, folder, key, progress), stack.grid


def _segment(scene: Scene, settings: Segmenting, run: RunLayout, known: tuple[Legend, str], progress: Progress) -> None:
    """Write ``objects.tif``; `known` are the legend that all rasters have, and the digest of the inputs."""
    layout, (legend, key) = run.objects, known
    layout.path.mkdir(parents=True, exist_ok=True)
    found, grid = _found(scene, settings, run, key, progress)
    output = WRITERS.get("cog").open(layout.ids, grid, (MapBand("object", "uint32", 0, numbers=True),), legend)
    try:
        for window, numbers in found.tiles:
            output.put(window, numbers[None])
        output.close()
    except BaseException:
        output.discard()
        raise
    remove_folder(layout.scratch)
    progress.say(f"{found.count} objects: {layout.ids}")
    if found.left:
        progress.say(f"{found.left} objects are below the minimum: they have no neighbour.")
