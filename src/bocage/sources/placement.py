"""How the grid of a file lies on the grid of a map: nested, apart, and the pixel size in another CRS."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from rasterio.features import geometry_mask
from rasterio.warp import transform_geom
from shapely.errors import ShapelyError

from bocage.errors import SourceError
from bocage.grid import SNAP, Grid, Window


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


@functools.lru_cache(maxsize=65536)
def _footprint(file: Grid, grid: Grid) -> tuple[float, float, float, float]:
    """Return the bounding box of a file in rows and columns of `grid`: top, left, bottom, right."""
    if file.crs == grid.crs:
        west, south, east, north = file.bounds
    else:
        with transformed(file, grid.crs):
            west, south, east, north = file.geobox.extent.to_crs(grid.crs, resolution="auto").boundingbox
    (left, top), (right, bottom) = ~grid.transform @ (west, north), ~grid.transform @ (east, south)
    return top, left, bottom, right


def touches(file: Grid, grid: Grid, window: Window) -> bool:
    """Return whether a file with the grid `file` may have pixels in a `window` of `grid`, with a margin of two pixels."""
    top, left, bottom, right = _footprint(file, grid)
    near = window.pad(2, 2)
    return top < near.y + near.height and bottom > near.y and left < near.x + near.width and right > near.x


def covered(polygons: Any, crs: str, grid: Grid, window: Window) -> NDArray[np.bool_]:
    """Return True for the pixels of a window that `polygons` (a shapely geometry in `crs`) touch, shape (y, x)."""
    target = grid.crop(window)
    shape = transform_geom(crs, target.crs.to_wkt(), polygons)
    return np.asarray(geometry_mask([shape], target.shape, target.transform, all_touched=True, invert=True))


def resolution_in(grid: Grid, crs: Any) -> float:
    """Return the pixel size of `grid` in units of another CRS."""
    if grid.crs == crs:
        return grid.resolution
    with transformed(grid, crs):
        return float(abs(grid.geobox.to_crs(crs).resolution.x))


@contextmanager
def transformed(grid: Grid, crs: Any) -> Iterator[None]:
    """Report a transformation between two CRS that PROJ cannot compute.

    Raises
    ------
    SourceError
        The CRS is local or of another celestial body, or the grid is outside the domain of the other CRS.
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
