"""The scene of a map of a season that is not over."""

from bocage.errors import SceneError
from bocage.mapping.settings import Mapping
from bocage.progress import Progress
from bocage.scene import Scene, scene_until, series_of
from bocage.scene.until import day_of
from bocage.training import Trained

EARLY = "the map ends before the series on which the model is tested"
"""Why a map of a season has no test pixels, as a part of a sentence."""


def scene_for(trained: Trained, scene: Scene, settings: Mapping, progress: Progress) -> Scene:
    """Return the scene without the acquisitions after the day ``until`` of the settings, and report its last date.

    Raises
    ------
    SceneError
        The day is before the first date of the series, or of one of them if the model needs all sources.
    """
    day = settings.until
    assert day is not None
    names = [name for name in trained.sources if name in scene.cubes]
    part = scene_until(scene, day, names)
    gone = [name for name in names if name not in part.cubes]
    if gone and not trained.any_source:
        raise SceneError(
            f"Source '{gone[0]}' has no acquisition until {day}, and {trained.title} needs all its sources. Choose a later "
            "day, or a model that tolerates missing sources (patchwork)."
        )
    there = (part.cubes[name].source.days for name in series_of(scene, names) if name in part.cubes)
    last = max(int(days[-1]) for days in there)
    progress.say(f"The map uses acquisitions until {day}; the last one is of {day_of(last)}.")
    if not trained.calibration.season:
        progress.say(
            "The model has no calibration for a season that is not over: its confidence is that of whole series. Train it with "
            "[training] cutoff, for example 0.7."
        )
    if settings.sets is not None:
        progress.say(
            "The coverage of the prediction sets is that of whole series: it is not promised for series until a day."
        )
    return part
