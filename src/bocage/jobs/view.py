"""``bocage view``: open the page of a run, or of two, and serve it until it is interrupted."""

import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from bocage.errors import ViewError
from bocage.progress import QUIET, Progress
from bocage.view import Viewed, Viewer, open_viewed


def viewer_of(
    folders: Sequence[Path], port: int = 0, site: str = "", recipe: Path | None = None, progress: Progress = QUIET
) -> Viewer:
    """Return the server of one run or of two side by side, started; :meth:`Viewer.stop` ends it.

    Raises
    ------
    ViewError
        The page is not built, the port cannot be used, the maps of two runs are in different CRS, or a site is given and no run
        has several.
    RunFolderError
        A folder has nothing to show.
    """
    runs = tuple(open_viewed(folder, site, recipe if k == 0 else None) for k, folder in enumerate(folders))
    if site and not any(run.whole for run in runs):
        raise ViewError(f"{folders[0]} is not a run of several sites, or its recipe cannot be read. Leave --site out.")
    check_pair(runs)
    viewer = Viewer(runs, port)
    for run in runs:
        for line in run.notes("en"):
            progress.say(f"{run.name}: {line}")
    viewer.start()
    return viewer


def check_pair(runs: Sequence[Viewed]) -> None:
    """Check that the maps of two runs can be shown side by side.

    Raises
    ------
    ViewError
        Their CRS differ, or they do not overlap.
    """
    first, *others = runs
    for other in others:
        if other.grid.crs != first.grid.crs:
            raise ViewError(
                f"The map of {first.name} is in {first.grid.crs_name}, that of {other.name} in {other.grid.crs_name}. Open them "
                "one at a time."
            )
        if not first.grid.geobox.extent.intersects(other.grid.geobox.extent):
            raise ViewError(f"The maps of {first.name} and {other.name} do not overlap. Open them one at a time.")


def open_in_browser(address: str) -> bool:
    """Open an address in the browser; return False where there is none."""
    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False


def wait() -> None:
    """Wait until the command is interrupted."""
    threading.Event().wait()
