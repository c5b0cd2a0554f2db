"""The scene as it is known on a day: without the acquisitions after it."""

import datetime
from collections.abc import Iterable
from dataclasses import replace

from bocage.days import EPOCH, date_of
from bocage.errors import SceneError
from bocage.scene.cube import Cube
from bocage.scene.scene import Scene
from bocage.scene.speckle import SpeckleUntil
from bocage.sources import ObjectsSource
from bocage.sources.until import describes_a_year, is_series, until


def series_of(scene: Scene, names: Iterable[str] | None = None) -> dict[str, Cube]:
    """Return name → cube of the sources with acquisitions of several dates, among `names` (None: all).

    Raises
    ------
    SceneError
        There is none, or a source has objects, whose features may come from any date, or features of the whole year.
    """
    cubes = {name: cube for name, cube in scene.cubes.items() if names is None or name in names}
    for name, cube in cubes.items():
        if isinstance(cube.source, ObjectsSource):
            raise SceneError(
                f"Source '{name}' has features of objects, which are computed from all dates: a cut-off is not possible with it. "
                "Choose a model without it ([model] sources)."
            )
    series = {n: cube for n, cube in cubes.items() if is_series(cube.source) and not describes_a_year(cube.source)}
    for name in [n for n, cube in cubes.items() if series and describes_a_year(cube.source)]:
        begins = min(int(cube.source.days[0]) for cube in series.values())
        if date_of(cubes[name].source.days[-1]).year >= date_of(begins).year:
            raise SceneError(
                f"Source '{name}' has features of a whole year, which are not known before its end: a cut-off is not possible "
                "with it. Choose the features of an earlier year ('years'), or a model without them ([model] sources)."
            )
    if not series:
        listed = ", ".join(f"'{name}' ({_dated(cube)})" for name, cube in cubes.items())
        raise SceneError(f"A cut-off needs a series of two dates or more; found {listed}. Add a series.")
    return series


def _dated(cube: Cube) -> str:
    return f"one date, {date_of(cube.source.days[0])}" if cube.source.dated else "without a date"


def scene_until(scene: Scene, day: datetime.date, names: Iterable[str] | None = None) -> Scene:
    """Return the scene without the acquisitions of its series after a day; a series without an earlier one is left out.

    Gaps are filled from the acquisitions that remain: regular dates after the last one repeat its value. Images of one date, and
    sources without dates, are kept. Cubes that change are read from their files, not from prepared ones.

    Raises
    ------
    SceneError
        The day is before the first date of all series among `names` (None: all), or there is no series.
    """
    series = series_of(scene, names)
    first, name = min((int(cube.source.days[0]), name) for name, cube in series.items())
    if (day - EPOCH).days < first:
        raise SceneError(
            f"No acquisition until {day}: the first date of the series is {date_of(first)} (source '{name}'). Choose this day or "
            "a later one."
        )
    cubes = {}
    for key, cube in scene.cubes.items():
        source = until(cube.source, (day - EPOCH).days)
        if source is not None:
            cubes[key] = cube if source is cube.source else replace(cube, source=source, prepared=None)
    return replace(scene, cubes=cubes)


def filtered_until(cube: Cube, day: int) -> Cube:
    """Return a series with all its dates, whose speckle filter uses those until `day` only, in days since 1970-01-01."""
    p = cube.preparation
    assert p.speckle is not None
    speckle = SpeckleUntil(p.speckle.window, int((cube.source.days <= day).sum()))
    return replace(cube, preparation=replace(p, speckle=speckle), prepared=None)
