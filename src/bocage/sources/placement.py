"""How the grid of a file lies on the grid of a map: nested, apart, and the pixel size in another CRS."""

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from rasterio.features import geometry_mask
from rasterio.warp import transform_geom
from shapely.errors import ShapelyError

from bocage.errors import SourceError
from bocage.grid import SNAP, Grid, Window
from bocage.sources.warp import needed, transferred

SAMPLED = 256
"""Maximum number of pixels along each axis whose position shows how much of a map a file covers."""


def nests(file: Grid, target: Grid) -> int | None:
    """Return how many pixels of `target` a pixel of `file` spans along each axis, or None if the grids do not nest.

    The grids nest if this number is whole and the pixel edges coincide. The grids need not share a corner.
    """
    if file.crs != target.crs:
        return None
    span = file.resolution / target.resolution
    if round(span) < 1 or abs(span - round(span)) * max(file.shape) > SNAP * 10:
        return None
    south_east = ~target.transform @ (file.transform @ (file.shape[1], file.shape[0]))  # rows can differ from columns
    offsets = (*target.offset_of(file), *south_east)
    return round(span) if all(abs(o - round(o)) < SNAP * 10 for o in offsets) else None


@dataclass(frozen=True)
class Placement:
    """How a file lies in relation to the grid of a map."""

    places: tuple[Grid, ...]
    """Grid of the file; and this grid moved by full circles, if longitudes on the map are those of the file plus or minus 360."""
    boxes: tuple[tuple[float, float, float, float], ...]
    """Bounding box of each place in rows and columns of the map: top, left, bottom, right; empty if the CRS differ."""
    scale: float
    """Pixel size of the file in pixels of the map."""


@functools.lru_cache(maxsize=65536)
def placement(file: Grid, grid: Grid) -> Placement:
    """Return the placement of a file on the grid of a map.

    Raises
    ------
    SourceError
        Coordinates cannot be transformed between the two CRS.
    """
    places = _places(file, grid)
    boxes = tuple(_box(place, grid) for place in places) if file.crs == grid.crs else ()
    return Placement(places, boxes, resolution_on(file, grid) / grid.resolution)


def _places(file: Grid, grid: Grid) -> tuple[Grid, ...]:
    """Return the grid of a file, and this grid moved by full circles where the map has other longitudes than the file.

    Global rasters may have longitudes from 0 to 360, and maps in degrees may cross 180. Transformed coordinates have longitudes
    from -180 to 180.
    """
    if not file.crs.geographic:
        return (file,)
    circle = _circle(file)
    west, _, east, _ = file.bounds
    low, _, high, _ = grid.bounds if grid.crs == file.crs else (-circle / 2, 0, circle / 2, 0)
    tolerance = 0.01 * file.resolution
    first, last = (low - east + tolerance) / circle, (high - west - tolerance) / circle
    circles = sorted({0, *range(math.ceil(first), math.floor(last) + 1)}, key=abs)
    return tuple(_moved(file, k * circle) for k in circles)


def _circle(grid: Grid) -> float:
    """Return a full circle in the unit of a geographic CRS: 360 degrees."""
    return round(2 * math.pi / float(grid.crs.proj.axis_info[0].unit_conversion_factor), 6)


def _moved(file: Grid, east: float) -> Grid:
    """Return a grid moved to the east, in CRS units."""
    return Grid.of(file.crs, Affine.translation(east, 0) @ file.transform, file.shape) if east else file


def _box(file: Grid, grid: Grid) -> tuple[float, float, float, float]:
    """Return the bounding box of a file in rows and columns of a `grid` of the same CRS: top, left, bottom, right."""
    west, south, east, north = file.bounds
    (left, top), (right, bottom) = ~grid.transform @ (west, north), ~grid.transform @ (east, south)
    return top, left, bottom, right


@functools.lru_cache(maxsize=65536)
def touches(file: Grid, grid: Grid, window: Window) -> bool:
    """Return whether a file with the grid `file` may have pixels in a `window` of `grid`, with a margin of two pixels.

    In another CRS, the window is transformed to the CRS of the file, as for reading. A global file has corners that the CRS of a
    map does not have.
    """
    placed = placement(file, grid)
    if not placed.boxes:
        with transformed(file):
            parts = [needed(place, grid.crop(window), placed.scale) for place in placed.places]
        return any(part.height and part.width for part in parts)
    near = window.pad(2, 2)
    return any(
        top < near.y + near.height and bottom > near.y and left < near.x + near.width and right > near.x
        for top, left, bottom, right in placed.boxes
    )


def share_covered(file: Grid, grid: Grid) -> float:
    """Return the share of the pixels of a map inside the bounds of a file, 0 to 1. It is above 0 if one pixel is.

    In another CRS, it is computed from at most `SAMPLED` x `SAMPLED` pixels.

    Raises
    ------
    SourceError
        Coordinates cannot be transformed between the two CRS.
    """
    placed, (height, width) = placement(file, grid), grid.shape
    if placed.boxes:
        sides = [
            (min(bottom, height) - max(top, 0), min(right, width) - max(left, 0))
            for top, left, bottom, right in placed.boxes
        ]
        return sum(max(0.0, high) * max(0.0, wide) for high, wide in sides) / (height * width)
    inside = np.zeros(0, bool)
    for place in placed.places:
        own = _inside(grid, grid.window, place)
        inside = own if not inside.size else inside | own
    if inside.any():
        return float(inside.mean())
    found = 0.0  # a file may lie between the pixels of the map that were taken
    for place in placed.places:
        part = needed(place, grid, placed.scale)
        if part.height and part.width:
            found += float(_inside(place, part, grid).mean()) * part.height * part.width * placed.scale**2
    return min(1.0, found / (height * width))


def _inside(grid: Grid, window: Window, other: Grid) -> NDArray[np.bool_]:
    """Return which pixels (N,) of a window, evenly spread, have their centres inside another grid."""
    rows = window.y + np.linspace(0.5, window.height - 0.5, min(window.height, SAMPLED))
    columns = window.x + np.linspace(0.5, window.width - 0.5, min(window.width, SAMPLED))
    x, y = (part.ravel() for part in np.meshgrid(*_points(grid.transform, columns, rows)))
    with transformed(grid):
        x, y = transferred(grid, other, x, y)
    west, south, east, north = other.bounds
    return np.asarray((x > west) & (x < east) & (y > south) & (y < north))


def _points(affine: Affine, columns: NDArray[Any], rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the x of columns and the y of rows of an axis-aligned grid."""
    return affine.c + affine.a * columns, affine.f + affine.e * rows


def covered(polygons: Any, crs: str, grid: Grid, window: Window) -> NDArray[np.bool_]:
    """Return True for the pixels of a window that `polygons` (a shapely geometry in `crs`) touch, shape (y, x)."""
    target = grid.crop(window)
    shape = transform_geom(crs, target.crs.to_wkt(), polygons)
    return np.asarray(geometry_mask([shape], target.shape, target.transform, all_touched=True, invert=True))


@functools.lru_cache(maxsize=65536)
def resolution_on(file: Grid, grid: Grid) -> float:
    """Return the pixel size of a file in units of the CRS of a map.

    It is that in the middle of the file. A file in degrees that spans more than a quarter of the globe has it around the middle
    of the map: the pixels elsewhere have another size there, and may have no place in the CRS of the map.

    Raises
    ------
    SourceError
        Coordinates cannot be transformed between the two CRS.
    """
    if file.crs == grid.crs:
        return file.resolution
    with transformed(file):
        if file.crs.geographic and max(file.shape) * file.resolution > _circle(file) / 4:
            return _resolution_around(file, grid)
        return float(abs(file.geobox.to_crs(grid.crs).resolution.x))


def _resolution_around(file: Grid, grid: Grid) -> float:
    """Return the mean of height and width of a pixel of a file in degrees, in the middle of a map and in units of its CRS."""
    x, y = grid.transform @ (grid.shape[1] / 2, grid.shape[0] / 2)
    (east,), (north,) = transferred(grid, file, np.array([x]), np.array([y]))
    half, quarter = file.resolution / 2, _circle(file) / 4
    east, north = (float(np.clip(v, half - most, most - half)) for v, most in ((east, 2 * quarter), (north, quarter)))
    across, down = np.array([-half, half, 0, 0]), np.array([0, 0, -half, half])
    xs, ys = transferred(file, grid, east + across, north + down)
    return (math.dist((xs[0], ys[0]), (xs[1], ys[1])) + math.dist((xs[2], ys[2]), (xs[3], ys[3]))) / 2


@contextmanager
def transformed(grid: Grid) -> Iterator[None]:
    """Report a transformation of the coordinates of `grid` to another CRS that PROJ cannot compute.

    Raises
    ------
    SourceError
        A CRS is local or of another celestial body, or the grid is outside the domain of the other CRS.
    """
    try:
        yield
    except (ProjError, ShapelyError, ValueError, OverflowError, AssertionError) as error:
        raise SourceError(
            f"Coordinates in {grid.crs_name} cannot be transformed to the CRS of the map ({reason_of(error)[:200]}). Check the "
            "CRS of the file."
        ) from error


def reason_of(error: BaseException) -> str:
    """Return the message of the cause of an error, on one line."""
    cause = error.__cause__ or error
    return " ".join(str(cause).split()).rstrip(".")
