"""``bocage doctor``: the reference polygons whose label is doubtful."""

from pathlib import Path

from bocage.layout import DoctorLayout
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.run import examine, held, segment_first


def doctor(recipe: Recipe, out: Path, progress: Progress = QUIET, overwrite: bool = False) -> DoctorLayout:
    """Write tables and page of the doubtful polygons to the folder of a run, unless they are current.

    Raises
    ------
    RecipeError
        The recipe has several sites.
    """
    recipe.check_single()
    with held(out):
        segment_first(recipe, out, progress, overwrite)
        return examine(recipe, out, progress, overwrite)
