"""``bocage run`` and its single stages: from imagery and polygons to the report."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bocage.jobs.qgis import try_project
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.run import STAGES, Run, SitesRun, held, open_run, open_sites, segment_first


def run(
    recipe: Recipe,
    out: Path,
    stages: Sequence[str] = STAGES,
    progress: Progress = QUIET,
    overwrite: bool = False,
    scene_at: Path | None = None,
) -> Run | SitesRun:
    """Run the stages of a recipe; complete stages are kept.

    Parameters
    ----------
    out
        Folder of the run.
    stages
        Stages to run, of "train", "evaluate", "map" and "report".
    scene_at
        Folder of the prepared scene, if several runs share it.
    """
    with held(out):
        if recipe.sites:
            opened: Run | SitesRun = open_sites(recipe, out, progress, overwrite, stages)
        else:
            segment_first(recipe, out, progress, overwrite)
            opened = open_run(recipe, out, progress, overwrite, stages, scene_at)
        work: Mapping[str, Callable[[], object]] = {
            "train": opened.train, "evaluate": opened.evaluate, "map": opened.map, "report": opened.report,
        }  # fmt: skip
        for stage in STAGES:
            if stage in stages:
                work[stage]()
        if "report" in stages and opened.maps_on_disk():
            scenes = opened.scenes if isinstance(opened, SitesRun) else {"": opened.scene}
            try_project(opened.layout, progress, scenes)
    return opened
