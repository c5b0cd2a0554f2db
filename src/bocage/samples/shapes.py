"""Shapes of reference features: without a margin, as squares of pixels, without what is no polygon."""

from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Proj
from shapely.affinity import scale

from bocage.grid import NEGLIGIBLE, Grid, metres_per_unit
from bocage.vectorfile import polygons_of, repaired

POINTS = ("Point", "MultiPoint")
"""Types of geometries that label the pixels that contain them."""


def shrunk(geometry: gpd.GeoSeries, margin: float) -> gpd.GeoSeries:
    """Return polygons without an inner margin of `margin` metres on the ground, whatever the units of their CRS."""
    shapes = geometry.to_numpy()
    if not len(shapes):
        return geometry
    centres = shapely.get_coordinates(shapely.point_on_surface(shapes))
    north, east = _ground_metres(geometry.crs, *centres.T)
    if np.array_equal(north, east) and np.ptp(north) == 0:
        return geometry.buffer(-margin / north[0])
    parts = []
    for shape, (x, y), high, wide in zip(shapes, centres, north, east, strict=True):
        ground = scale(shape, wide, high, origin=(x, y)).buffer(-margin)
        parts.append(scale(ground, 1 / wide, 1 / high, origin=(x, y)))
    return gpd.GeoSeries(parts, index=geometry.index, crs=geometry.crs)


def _ground_metres(
    crs: Any, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the metres on the ground per unit of a CRS at points, northwards and eastwards.

    The scale of a projection counts above 1 %: Web Mercator has 1.4 units a metre at 45 degrees of latitude.
    """
    if crs.is_geographic:
        return metres_per_unit(crs, y)
    unit, _ = metres_per_unit(crs, y)
    if not crs.is_projected:
        return unit, unit
    projection = Proj(crs)
    factors = projection.get_factors(*projection(x, y, inverse=True))
    scales = np.array([factors.meridional_scale, factors.parallel_scale])
    if not np.isfinite(scales).all() or (np.abs(scales - 1) < NEGLIGIBLE).all():
        return unit, unit
    return unit / scales[0], unit / scales[1]


def pixels_of(shape: Any, grid: Grid) -> Any:
    """Return the squares of the pixels of the map that contain points: a point labels its pixel."""
    x, y = shapely.get_coordinates(shape).T
    columns, rows = (np.floor(v) for v in ~grid.transform @ (x, y))
    (west, north), (east, south) = (grid.transform @ (columns + k, rows + k) for k in (0, 1))
    return shapely.union_all(shapely.box(west, south, east, north))


def polygons_in(shape: Any) -> Any:
    """Return the polygons of a collection as one geometry; the collection itself if it has none."""
    parts = polygons_of(shape)
    return shapely.union_all(repaired(parts)) if len(parts) else shape
