"""Areas on the ground of polygons in any CRS."""

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from bocage.grid import areal_scale, metres_per_unit


def ground_areas(polygons: NDArray[Any], crs: Any) -> NDArray[np.float64]:
    """Return the areas of polygons in m² (N,), by the same size of a degree or a unit as the areas of a map.

    In a geographic CRS, an edge is a straight line in degrees, and a degree has the lengths that it has at its latitude on the
    ellipsoid. Areas then add up to those of the pixels. The scale of a projection is that at a point in the polygon.
    """
    if not len(polygons):
        return np.zeros(0)
    kind, xy, (ring, polygon) = shapely.to_ragged_array(polygons)
    assert kind == shapely.GeometryType.POLYGON
    x, y = xy[:, 0] - xy[:1, 0], xy[:, 1]  # from an origin nearby, for precision

    def area(at: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the m² of a square of one unit."""
        north, east = metres_per_unit(crs, at)
        return north * east

    middle = (x[:-1] + x[1:]) * area((y[:-1] + y[1:]) / 2) * 2
    edges = (y[1:] - y[:-1]) * (x[:-1] * area(y[:-1]) + middle + x[1:] * area(y[1:])) / 6  # Simpson's rule
    edges = np.append(edges, 0.0)
    edges[ring[1:] - 1] = 0  # from the last vertex of a ring to the first of the next
    areas = np.abs(np.add.reduceat(edges, ring[:-1]))  # rings of files have any direction
    shell = polygon[:-1]
    within = shapely.get_coordinates(shapely.point_on_surface(polygons))
    return np.asarray(2 * areas[shell] - np.add.reduceat(areas, shell)) / areal_scale(crs, *within.T)
