"""``bocage segment``: the objects of a scene and their features."""

from pathlib import Path

from bocage.layout import ObjectsLayout
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.run import held, segment_objects


def segment(recipe: Recipe, out: Path, progress: Progress = QUIET, overwrite: bool = False) -> ObjectsLayout:
    """Write the objects and the table of their features to the folder of a run, unless they are current."""
    with held(out):
        return segment_objects(recipe, out, progress, overwrite)
