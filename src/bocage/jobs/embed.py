"""``bocage embed``: write the features of a network over a scene as a raster."""

from pathlib import Path

from bocage.errors import RunFolderError
from bocage.machine import device_of
from bocage.mapping.embedding import write_features
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.run import held, open_scene
from bocage.training import check_device, load_encoder, remarks

NAME = "features.tif"


def embed(recipe: Recipe, model: Path, out: Path, progress: Progress = QUIET, overwrite: bool = False) -> Path:
    """Write the features of a network over the scene of the recipe to ``<out>/features.tif``, and return its path.

    Parameters
    ----------
    model
        Folder of a pretraining, of a model, or of a run; or the declaration of an ONNX encoder (``.toml``).

    Raises
    ------
    RunFolderError
        The file exists, and `overwrite` is False.
    TrainedError
        The folder has no network, or the scene lacks its sources.
    ModelError
        The network has no features.
    """
    path = out / NAME
    if path.exists() and path.with_suffix(".json").exists() and not overwrite:
        raise RunFolderError(f"{path} exists. Choose another --out, or give --overwrite.")
    check_device(recipe.choice.training)
    with held(out):
        scene = open_scene(recipe, progress, out)
        trained, with_labels = load_encoder(model, scene)
        scene = trained.limited(scene)
        for remark in remarks(trained, scene):
            progress.say(remark)
        if with_labels:
            progress.say(
                "The network was trained with labels, which its features know: an accuracy measured with the polygons of its "
                "training is too high. Use features of 'bocage pretrain' for a fair accuracy."
            )
        write_features(trained, scene, path, device_of(recipe.choice.training.device), progress)
        return path
