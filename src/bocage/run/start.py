"""Initial weights of the networks of a run, from a pretraining."""

from dataclasses import asdict

from bocage.disk import digest
from bocage.progress import Progress
from bocage.recipe import Recipe
from bocage.run.folder import OF_PRETRAINING, Inputs, RunFolder
from bocage.training import Pretrained, Pretraining
from bocage.training.pretrain import changes_of

STAGE = "pretrain"
"""Name of the pretraining stage."""
WEIGHTS = f"{OF_PRETRAINING}ed weights"
"""Entry of the identity of a run: the weights from which its training starts."""


def start_of(recipe: Recipe, folder: RunFolder, inputs: Inputs, progress: Progress) -> Pretrained | None:
    """Return the weights named in the recipe, or those of the run's folder if they are current; None without weights."""
    named = recipe.choice.training.pretrained
    if named:
        return Pretrained.load(named)
    own = folder.layout.pretrained
    if not own.path.exists():
        return None
    record = folder.provenance.stages.get(STAGE)
    if record is None or not record.key.startswith(pretraining_key(recipe, inputs)):
        progress.say(
            f"{own.path} was computed from other imagery or for another network, and is not used. To use pretrained weights, run "
            "'bocage pretrain' again."
        )
        return None
    return Pretrained.load(own.path)


def settled_start(
    recipe: Recipe, folder: RunFolder, inputs: Inputs, progress: Progress, overwrite: bool
) -> tuple[Pretrained | None, str]:
    """Return the initial weights (:func:`start_of`) and their digest, "" without; a trained model keeps its start.

    Raises
    ------
    RunFolderError
        The folder has a model that started from other weights, and `overwrite` is False.
    """
    start = start_of(recipe, folder, inputs, progress)
    fingerprint = start.fingerprint if start else ""
    folder.settle({WEIGHTS: fingerprint}, folder.has_results, overwrite)
    return start, fingerprint


def settle_pretraining(folder: RunFolder, settings: Pretraining, inside: tuple[str, ...], overwrite: bool) -> str:
    """Record the settings of a pretraining and its region, and return their digest.

    Raises
    ------
    RunFolderError
        The folder has a complete pretraining with other settings, and `overwrite` is False.
    """
    parts = {**asdict(settings), "region": inside}
    entries = {f"{OF_PRETRAINING}ing {name}": digest(value) for name, value in parts.items()}
    complete = STAGE in folder.provenance.stages and folder.layout.pretrained.path.exists()
    folder.settle(entries, complete, overwrite)
    return digest(settings, *inside)


def pretraining_key(recipe: Recipe, inputs: Inputs) -> str:
    """Return the digest of the inputs of a pretraining, without its own settings and without the reference polygons."""
    choice = recipe.choice.encoder
    training: list[object] = [choice.training.scaling, choice.training.augment]
    if changed := changes_of(choice.training):  # the key of the defaults is that of earlier versions
        training.append(changed)
    return digest(inputs.images, recipe.grid, recipe.sources, choice.name, choice.config, *training)
