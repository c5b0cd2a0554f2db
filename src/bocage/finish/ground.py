"""Areas on the ground of polygons in any CRS."""

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from bocage.grid import areal_scale, metres_per_unit


def ground_areas(polygons: NDArray[Any], crs: Any) -> NDArray[np.float64]:
    """Return the areas of polygons in m² (N,), by the same size of a degree or a unit as the areas of a map.

    In a geographic CRS, an edge is a straight line in degrees, and a degree of longitude has the length that it has at its
    latitude. Areas then add up to those of the pixels. The scale of a projection is that at a point in the polygon.
    """
    if not len(polygons):
        return np.zeros(0)
    kind, xy, (ring, polygon) = shapely.to_ragged_array(polygons)
    assert kind == shapely.GeometryType.POLYGON
    x, y = xy[:, 0] - xy[:1, 0], xy[:, 1]  # from an origin nearby, for precision

    def width(at: NDArray[np.float64]) -> Any:
        return np.cos(np.radians(at)) if crs.is_geographic else 1.0

    middle = (x[:-1] + x[1:]) * width((y[:-1] + y[1:]) / 2) * 2
    edges = (y[1:] - y[:-1]) * (x[:-1] * width(y[:-1]) + middle + x[1:] * width(y[1:])) / 6  # Simpson's rule
    edges = np.append(edges, 0.0)
    edges[ring[1:] - 1] = 0  # from the last vertex of a ring to the first of the next
    north, east = metres_per_unit(crs, 0.0)
    areas = np.abs(np.add.reduceat(edges, ring[:-1])) * north * east  # rings of files have any direction
    shell = polygon[:-1]
    within = shapely.get_coordinates(shapely.point_on_surface(polygons))
    return np.asarray(2 * areas[shell] - np.add.reduceat(areas, shell)) / areal_scale(crs, *within.T)
