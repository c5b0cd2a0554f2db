"""``bocage map --model``: map a scene with a model of another run."""

from pathlib import Path

from bocage.errors import RunFolderError
from bocage.layout import RunLayout
from bocage.mapping import Computing, LandCoverMap, Mapping, make_map
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.run import held, open_scene, settled
from bocage.training import Reduced, Trained


def map_with(
    recipe: Recipe, model: Path, out: Path, progress: Progress = QUIET, overwrite: bool = False
) -> LandCoverMap:
    """Map the scene of the recipe with a trained model; reference polygons are not used.

    Raises
    ------
    RunFolderError
        `out` contains a map, and `overwrite` is False.
    """
    folder = RunLayout(out).map
    if folder.is_complete and not overwrite:
        raise RunFolderError(f"{folder.path} holds a map already. Choose another --out, or give --overwrite.")
    with held(out):
        trained, scene = Trained.load(model), open_scene(recipe, progress)
        computing = Computing(recipe.choice.training.device, recipe.workers)
        return make_map(trained, scene, _precise(recipe, model, progress), folder.path, computing, progress)


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
