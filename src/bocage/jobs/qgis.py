"""``bocage qgis``: write the QGIS project of a run."""

from collections.abc import Mapping
from pathlib import Path

from bocage.errors import BocageError
from bocage.layout import RunLayout
from bocage.progress import QUIET, Progress
from bocage.scene import Scene


def project_of(
    folder: Path,
    recipe: Path | None = None,
    overwrite: bool = False,
    progress: Progress = QUIET,
    scenes: Mapping[str, Scene] | None = None,
) -> Path:
    """Write the QGIS project of the folder of a run, finished or not, of a map or of a mosaic; return its path.

    Parameters
    ----------
    recipe
        Recipe of the run, if it is no longer where the folder says.
    overwrite
        Whether a project that was saved by QGIS since is replaced.
    scenes
        Site → its scene, of those that are open already; "" without sites.

    Raises
    ------
    RunFolderError
        The folder has nothing to show, or the project was saved by QGIS since.
    """
    from bocage.qgis import write_project  # imported here because a run imports this module before its stages
    from bocage.view.viewed import open_all

    name, sites = open_all(folder, recipe, scenes)
    return write_project(sites, name, overwrite, progress)


def try_project(layout: RunLayout, progress: Progress, scenes: Mapping[str, Scene] | None = None) -> None:
    """Write the QGIS project of a run at the end of a command; a project that cannot be written is reported only."""
    try:
        path = project_of(layout.path, None, False, progress, scenes)
    except (BocageError, OSError) as error:
        progress.say(f"The QGIS project is not written: {error}")
        return
    progress.say(f"QGIS project: {path}")
