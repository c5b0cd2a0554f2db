"""``bocage map --model``: map a scene with a model of another run."""

from pathlib import Path

from bocage.errors import RunFolderError
from bocage.layout import ModelLayout, RunLayout
from bocage.machine import device_of
from bocage.mapping import (
    Computing,
    LandCoverMap,
    Mapping,
    compare_legends,
    make_map,
    outside_share,
    proposal,
)
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.run import held, open_scene, settled
from bocage.training import Reduced, Trained


def map_with(
    recipe: Recipe, model: Path, out: Path, progress: Progress = QUIET, overwrite: bool = False
) -> LandCoverMap:
    """Map the scene of the recipe with a trained model; reference polygons are not used.

    `model` is the folder of a model or of a run. The differences between the legends of recipe and model are reported, and an
    adaptation is proposed if many pixels of the scene are outside the training domain.

    Raises
    ------
    RunFolderError
        `out` contains a map, and `overwrite` is False.
    """
    folder = RunLayout(out).map
    if folder.is_complete and not overwrite:
        raise RunFolderError(f"{folder.path} holds a map already. Choose another --out, or give --overwrite.")
    with held(out):
        found = ModelLayout.of(model).path
        scene = open_scene(recipe, progress)
        trained = Trained.load(found).for_scene(scene)
        trained.check_scene(scene)
        for said in compare_legends(recipe.legend, trained):
            progress.say(said)
        where = device_of(recipe.choice.training.device)
        if advice := proposal(
            trained, outside_share(trained, scene, where, recipe.split.seed), adapting(recipe, model)
        ):
            progress.say(advice)
        computing = Computing(recipe.choice.training.device, recipe.workers)
        return make_map(trained, scene, _precise(recipe, found, progress), folder.path, computing, progress)


def adapting(recipe: Recipe, model: Path) -> str:
    """Return the command that adapts a model to the scene of a recipe."""
    return f"bocage adapt {ModelLayout.of(model).path} --scene {recipe.path}"


def _precise(recipe: Recipe, model: Path, progress: Progress) -> Mapping:
    """Return the map's settings; bfloat16 requires that the model folder contains a comparison with float32.

    Raises
    ------
    RunFolderError
        The precision is bfloat16, and the model folder has no comparison.
    """
    if recipe.map.precision == "float32":
        return recipe.map
    comparison = Reduced.load(model)
    if comparison is None:
        raise RunFolderError(
            f"{model}: no comparison of bfloat16 with float32, which needs the validation polygons of the model's own run. "
            'Run that map once with [map] precision = "bfloat16", or set precision = "float32" here.'
        )
    return settled(recipe.map, comparison, recipe.choice.training.device, progress)
