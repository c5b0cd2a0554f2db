"""The scene of a map of a season that is not over."""

import datetime
from collections.abc import Iterator

from bocage.days import date_of
from bocage.errors import SceneError
from bocage.mapping.settings import Mapping
from bocage.scene import Scene, scene_until, series_of
from bocage.training import Trained

EARLY = "the map ends before the series on which the model is tested"
"""Why a map of a season has no test pixels, as a part of a sentence."""


def scene_for(trained: Trained, scene: Scene, day: datetime.date) -> Scene:
    """Return the scene without the acquisitions after a day.

    Raises
    ------
    SceneError
        The day is before the first date of the series, or of one of them if the model needs all sources; or a series has fewer
        dates until it than in the training, and the model needs as many.
    """
    names = [name for name in trained.sources if name in scene.cubes]
    part = scene_until(scene, day, names)
    gone = [name for name in names if name not in part.cubes]
    if gone and not trained.any_source:
        raise SceneError(
            f"Source '{gone[0]}' has no acquisition until {day}, and {trained.title} needs all its sources. Choose a later "
            "day, or a model that tolerates missing sources (patchwork)."
        )
    for name in (name for name in names if name in part.cubes):
        before, now = trained.sources[name].spec.dates, len(part.cubes[name].days)
        if trained.ties(name) and now < min(before, len(scene.cubes[name].days)):
            raise SceneError(
                f"Source '{name}': trained on {before} dates, found {now} until {day}; {trained.title} needs the same number. "
                "Choose a model that takes any number of dates (patchwork, ltae, gru), or set 'fill' of the source, without "
                "[training] cutoff, and train again."
            )
    return part


def remarks_until(trained: Trained, scene: Scene, part: Scene, settings: Mapping) -> Iterator[str]:
    """Yield what a user may not expect of a map of `part`: the scene without the acquisitions after the day of the settings."""
    if settings.until is None:
        return
    there = (part.cubes[name].source.days for name in series_of(scene, trained.sources) if name in part.cubes)
    last = max(int(days[-1]) for days in there)
    yield f"The map uses acquisitions until {settings.until}; the last one is of {date_of(last)}."
    if not trained.calibration.season:
        yield (
            "The model has no calibration for a season that is not over: its confidence is that of whole series. Train it with "
            "[training] cutoff, for example 0.7."
        )
    if settings.sets is not None:
        yield "The coverage of the prediction sets is that of whole series: it is not promised for series until a day."
