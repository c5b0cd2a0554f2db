"""``bocage prepare``: write the scene to disk once."""

from pathlib import Path

from bocage.layout import RunLayout
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.run import claim, held, prepared
from bocage.scene import Prepared


def prepare(recipe: Recipe, out: Path, progress: Progress = QUIET, overwrite: bool = False) -> dict[str, Prepared]:
    """Prepare the scene in the run's folder, every cube for which it pays; no reference polygon is read.

    Raises
    ------
    SceneError
        The disk is full; what is complete is kept.
    """
    with held(out):
        claimed = claim(recipe, RunLayout(out), progress, overwrite)
        return prepared(recipe, claimed.scene, claimed.folder, progress)[1]
