"""Warnings before a model maps a scene that is compatible with its training scene but differs from it."""

import calendar
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bocage.scene import Scene
from bocage.training.positions import half_a_year, moved_remarks
from bocage.training.records import CALENDAR, Region
from bocage.training.trained import Trained


def remarks(trained: Trained, scene: Scene) -> Iterator[str]:
    """Yield warnings: missing or unused sources and bands, months absent from the training, a scene in the other hemisphere."""
    if trained.absent:
        yield f"The recipe has no source {_listed(sorted(trained.absent))}: the model maps without it."
    if unused := [name for name in scene.cubes if name not in trained.sources]:
        yield (
            f"The model does not use the source {_listed(unused)} of the recipe, because it was trained without it. To use it, "
            "train a new model."
        )
    for name in trained.footprints:
        if extra := scene.cubes[name].unread:
            yield f"Source '{name}': the model does not use {_listed(list(extra))}, because it was trained without."
        yield from _unseen_months(trained, scene, name)
    yield from moved_remarks(trained, scene)
    region = Region.of(scene)
    if trained.region.opposite(region) and any(not half_a_year(trained, scene, name) for name in trained.series):
        yield (
            f"The model was trained at latitude {trained.region.latitude:.0f}, and the scene is at latitude "
            f"{region.latitude:.0f}: the seasons are half a year apart, and the model compares the days of the year. Train a "
            "model there, or adapt this one with polygons of the scene (bocage adapt)."
        )


def _unseen_months(trained: Trained, scene: Scene, name: str) -> Iterator[str]:
    """Yield a warning for dates in months without a training date."""
    record, cube = trained.sources[name], scene.cubes[name]
    if not trained.any_source or record.spec.dates == 1 or not cube.source.dated or record.clock != CALENDAR:
        return
    unseen = sorted(set(_months(cube.clock)) - set(_months(np.array(record.days))))
    if unseen:
        months = ", ".join(calendar.month_name[month + 1] for month in unseen)
        yield f"Source '{name}': dates in {months}, months without a training date. The model may be unreliable there."


def _months(days: NDArray[np.integer]) -> list[int]:
    months: list[int] = (np.asarray(days).astype("datetime64[D]").astype("datetime64[M]").astype(int) % 12).tolist()
    return months


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
