"""What the user should know before a model maps a scene that differs from its training's, though it can."""

import calendar
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from odc.geo import CRS
from odc.geo.geom import box

from bocage.scene import Scene
from bocage.training.trained import CALENDAR, Region, Trained


def remarks(trained: Trained, scene: Scene) -> Iterator[str]:
    """Sources that are missing or not used, months that the training did not see, the other hemisphere."""
    if trained.absent:
        yield f"The recipe has no source {_listed(sorted(trained.absent))}: the model does without."
    if strange := [name for name in scene.cubes if name not in trained.sources]:
        yield (
            f"The model does not use the source {_listed(strange)} of the recipe: it was trained without. Train again with it, "
            "if it is worth it."
        )
    for name in trained.footprints:
        yield from _unseen_months(trained, scene, name)
    here, there = _latitude(trained.region), _latitude(Region.of(scene))
    used = [trained.sources[name] for name in trained.footprints]
    series = any(record.spec.dates > 1 and record.clock == CALENDAR for record in used)
    if series and here * there < 0 and min(abs(here), abs(there)) > 10:
        yield (
            f"The model was trained at latitude {here:.0f}, the scene lies at {there:.0f}: seasons are half a year apart, and "
            "the model goes by the day of the year. Train there, or adapt it with polygons of the scene (bocage adapt)."
        )


def _unseen_months(trained: Trained, scene: Scene, name: str) -> Iterator[str]:
    """Tell dates in months of which the training had none."""
    record, cube = trained.sources[name], scene.cubes[name]
    if not trained.any_source or record.spec.dates == 1 or not cube.source.dated or record.clock != CALENDAR:
        return
    unseen = sorted(set(_months(cube.days)) - set(_months(np.array(record.days))))
    if unseen:
        months = ", ".join(calendar.month_name[month + 1] for month in unseen)
        yield f"Source '{name}': dates in {months}, of which the training had none; what the model makes of them is a guess."


def _months(days: NDArray[np.integer]) -> list[int]:
    months: list[int] = (np.asarray(days).astype("datetime64[D]").astype("datetime64[M]").astype(int) % 12).tolist()
    return months


def _latitude(region: Region) -> float:
    """Latitude of the middle of a region, in degrees; 0 where the CRS is local."""
    try:
        return float(box(*region.bounds, CRS(region.crs)).to_crs("EPSG:4326").centroid.coords[0][1])
    except (ValueError, RuntimeError):
        return 0.0


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
