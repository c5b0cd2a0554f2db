"""``bocage prepare``: write the prepared scene to disk."""

from pathlib import Path

from bocage.layout import RunLayout
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.run import claim, held, prepared, segment_first
from bocage.scene import Prepared


def prepare(recipe: Recipe, out: Path, progress: Progress = QUIET, overwrite: bool = False) -> dict[str, Prepared]:
    """Write the prepared cubes to the run's folder, as ``[scene]`` selects, and return source → result.

    The reference polygons are not used.

    Raises
    ------
    SceneError
        The disk is full; complete parts are kept.
    """
    with held(out):
        segment_first(recipe, out, progress, overwrite)
        claimed = claim(recipe, RunLayout(out), progress, overwrite)
        return prepared(recipe, claimed.scene, claimed.folder, progress)[1]
