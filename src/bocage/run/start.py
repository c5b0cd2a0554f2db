"""Initial weights of the networks of a run, from a pretraining."""

from bocage.disk import digest
from bocage.progress import Progress
from bocage.recipe import Recipe
from bocage.run.folder import Inputs, RunFolder
from bocage.training import Pretrained

STAGE = "pretrain"
"""Name of the pretraining stage."""


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


def pretraining_key(recipe: Recipe, inputs: Inputs) -> str:
    """Return the digest of the inputs of a pretraining, without its own settings and without the reference polygons."""
    choice = recipe.choice.encoder
    training = (choice.training.scaling, choice.training.augment)
    return digest(inputs.images, recipe.grid, recipe.sources, choice.name, choice.config, *training)
