"""Sparse reference polygons that imitate a field survey: one a parcel, slightly simplified, few per class."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
from rasterio import features
from shapely.geometry import Point, Polygon, shape

from bocage.errors import BocageError
from bocage.grid import Grid, Window
from bocage.simulate.landscape import LEGEND, World, ground_at
from bocage.simulate.noise import uniform

REACH = 85
"""Half the side, in pixels, of the window around a point in which its parcel is outlined."""


@dataclass(frozen=True)
class _Place:
    """A point where a polygon may be drawn."""

    x: float
    y: float
    code: int
    parcel: int


def write_polygons(world: World, pan: Grid, path: Path, per_class: int) -> int:
    """Write at most `per_class` polygons of each class (fields ``id``, ``code``, ``class``), and return their total number.

    A parcel has one polygon at most: two polygons of one parcel would be nearly the same sample.

    Raises
    ------
    BocageError
        The landscape is too small for any polygon.
    """
    rows: list[dict[str, object]] = []
    taken: set[int] = set()
    for code, name, places in _places(world, pan, per_class):
        drawn = 0
        for place in places:
            if drawn == per_class:
                break
            polygon = None if place.parcel in taken else _drawn(world, pan, place)
            if polygon is not None:
                rows.append({"id": len(rows) + 1, "code": code, "class": name, "geometry": polygon})
                taken.add(place.parcel)
                drawn += 1
    if not rows:
        raise BocageError(
            f"A landscape of {pan.shape} PAN pixels has no reference polygon. Simulate a larger landscape."
        )
    gpd.GeoDataFrame(rows, crs=pan.crs.to_wkt()).to_file(path, driver="GPKG", engine="pyogrio")
    return len(rows)


def write_regions(path: Path, shapes: Mapping[str, Polygon], crs: str) -> None:
    """Write regions (field ``region``)."""
    table = gpd.GeoDataFrame({"region": list(shapes)}, geometry=list(shapes.values()), crs=crs)
    table.to_file(path, driver="GPKG", engine="pyogrio")


def _places(world: World, pan: Grid, per_class: int) -> Iterator[tuple[int, str, list[_Place]]]:
    """Yield code, name and points of each class, at least 60 m apart. More points than polygons: some parcels are too thin."""
    n = 400 * per_class
    west, south, east, north = pan.bounds
    k = np.arange(n)
    x = west + (east - west) * uniform(world.key, k, 301)
    y = south + (north - south) * uniform(world.key, k, 302)
    ground = ground_at(world, x, y)
    for code, name in zip(LEGEND.codes, LEGEND.names, strict=True):
        kept: list[_Place] = []
        for i in np.flatnonzero(ground.code == code):
            far = all((x[i] - place.x) ** 2 + (y[i] - place.y) ** 2 > 60**2 for place in kept)
            if far and len(kept) < 5 * per_class:
                kept.append(_Place(float(x[i]), float(y[i]), code, int(ground.parcel[i])))
        yield code, name, kept


def _drawn(world: World, pan: Grid, place: _Place) -> Polygon | None:
    """Return the outline of the parcel at a point, 3 m inside its border, cut at an irregular distance; None if too small."""
    x, y = place.x, place.y
    reach = 35 + 90 * float(uniform(world.key, int(x), int(y), 311))
    flat = float(0.6 + uniform(world.key, int(x), int(y), 312))
    column, row = ~pan.transform @ (x, y)
    # Only pixels within the cut are outlined: the ground of a pixel is costly.
    wide, high = (min(REACH, int(r / pan.resolution) + 2) for r in (reach, reach / math.sqrt(flat)))
    window = Window(int(row) - high, int(column) - wide, 2 * high, 2 * wide).clip(pan.shape)
    grid = pan.crop(window)
    columns, rows = np.arange(window.width), np.arange(window.height)
    px, py = np.meshgrid(
        grid.transform.c + (columns + 0.5) * grid.resolution, grid.transform.f - (rows + 0.5) * grid.resolution
    )
    ground = ground_at(world, px, py)
    mask = (ground.parcel == place.parcel) & (ground.code == place.code)
    mask &= (px - x) ** 2 + (py - y) ** 2 * flat < reach**2
    shapes = (shape(s) for s, v in features.shapes(mask.astype(np.uint8), mask, 4, grid.transform) if v)
    around = [s for s in shapes if s.distance(Point(x, y)) < pan.resolution]
    if not around:
        return None
    inner = max(around, key=lambda s: s.area).buffer(-3).simplify(1.5)
    pieces = list(getattr(inner, "geoms", [inner]))
    largest = max(pieces, key=lambda s: s.area)
    return largest if isinstance(largest, Polygon) and largest.area > 250 else None
