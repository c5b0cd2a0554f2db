"""Regions as polygons that divide a map: checks of overlaps and gaps, membership, and weights that change across borders.

Slivers, narrower than a pixel, come from digitising the same border twice. They are tolerated: where two polygons overlap on a
sliver, one of them counts; where they leave one free, it belongs to the nearest region.
"""

import math
import threading
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS
from rasterio.features import rasterize
from rasterio.warp import transform_geom

from bocage.errors import SourceError
from bocage.grid import HECTARE, Grid, Window, name_of
from bocage.vectorfile import repaired
from bocage.words import significant

PIECE = 32
"""Number of vertices of a piece of a border: short pieces are found faster."""
ASIDE = 1e-6
"""Distance, in pixels, by which the points that stand for pixels lie beside their centres."""
_ALONE = threading.Lock()
"""One thread rasterises at a time: rasterio changes the filter of warnings of all threads meanwhile."""


@dataclass(frozen=True)
class Gaps:
    """Parts of a map that are in no region."""

    area: Any
    """A shapely geometry in the CRS of the map; empty without a gap."""
    share: float
    """Share of the map, 0 to 1."""
    enclosed: bool
    """Whether a gap is surrounded by regions."""

    @property
    def largest(self) -> Any:
        """The largest gap."""
        return max(shapely.get_parts(self.area), key=lambda part: part.area)


@dataclass(frozen=True)
class Partition:
    """Regions in the CRS of a map."""

    names: tuple[str, ...]
    shapes: tuple[Any, ...]
    """Polygon or multipolygon of each region, in CRS units."""
    metres: tuple[float, float]
    """Metres in a CRS unit, northwards and eastwards."""

    def __getstate__(self) -> dict[str, Any]:
        """Exclude what is prepared for fast comparisons from the pickle; the receiving process prepares it again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def check_overlaps(self, grid: Grid) -> None:
        """Check that no two regions overlap on the map by a pixel or more.

        Raises
        ------
        SourceError
            Two regions overlap; the message names them and the place.
        """
        frame, found = shapely.box(*grid.bounds), []
        first, second = shapely.STRtree(self.shapes).query(self.shapes, predicate="intersects")
        for i, j in zip(first[first < second].tolist(), second[first < second].tolist(), strict=True):
            common = opened(shapely.intersection_all([self.shapes[i], self.shapes[j], frame]), grid)
            found += [(part.area, i, j, part) for part in shapely.get_parts(common)]
        if found:
            _, i, j, largest = max(found, key=lambda one: one[0])
            raise SourceError(
                f"The regions '{self.names[i]}' and '{self.names[j]}' overlap around {place_of(largest, grid)}, on "
                f"{significant(self.hectares(largest))} ha. Correct the polygons: each place is in one region."
            )

    def gaps(self, grid: Grid) -> Gaps:
        """Return the parts of the map, a pixel wide or wider, that are in no region."""
        frame = shapely.box(*grid.bounds)
        free = opened(frame.difference(shapely.union_all(self.shapes)), grid)
        rings = [shapely.Polygon(part.exterior) for part in shapely.get_parts(shapely.union_all(self.shapes))]
        outline = shapely.union_all(rings)
        enclosed = any(outline.contains(part.representative_point()) for part in shapely.get_parts(free))
        return Gaps(free, free.area / frame.area, enclosed)

    def without_slivers(self, grid: Grid, gaps: Gaps) -> "Partition":
        """Return the regions with the slivers of the map that are in none, each added to the nearest region."""
        frame = shapely.box(*grid.bounds)
        slivers = polygons_in([frame.difference(shapely.union_all([*self.shapes, gaps.area]))])
        if not slivers:
            return self
        nearest = shapely.STRtree(self.shapes).nearest(slivers)
        added = [[part for part, k in zip(slivers, nearest, strict=True) if k == r] for r in range(len(self.shapes))]
        both = zip(self.shapes, added, strict=True)
        return replace(self, shapes=tuple(shapely.union_all([shape, *more]) if more else shape for shape, more in both))

    def hectares(self, shape: Any) -> float:
        """Return the area of a shape in hectares."""
        return float(shape.area * self.metres[0] * self.metres[1] / HECTARE)

    def near(self, grid: Grid, row: NDArray[Any], column: NDArray[Any], distance: float) -> NDArray[np.bool_]:
        """Return whether pixel centres (N,) are in each region or at most `distance` metres from it, (N, R)."""
        points = self._points(grid, row, column)
        return np.stack([shapely.dwithin(shape, points, distance) for shape in self._ground], 1)

    def numbers(self, grid: Grid, window: Window) -> NDArray[np.int32]:
        """Return the number of the region of each pixel centre of a window (y, x); -1 in none."""
        target = grid.crop(window)
        west, south, east, north = target.bounds
        margin = target.resolution
        box = (west - margin, south - margin, east + margin, north + margin)
        shapes = [(part, k) for k in self._touching(box) for part in polygons_in([clipped(self.shapes[k], box)])]
        if not shapes:
            return np.full(target.shape, -1, np.int32)
        with _ALONE:
            return np.asarray(rasterize(shapes, target.shape, -1, transform=beside_centres(target), dtype=np.int32))

    def weights(self, grid: Grid, window: Window, blend: float) -> NDArray[np.float32]:
        """Return the weight of each region at each pixel of a window (R, y, x), 0 to 1; 0 in no region.

        The signed distance of a pixel from a region is that from its centre to the border, negative outside. The weight rises
        linearly from 0 at ``-blend`` to 1 at ``blend`` metres. The weights of a pixel are then divided by their sum, which is 1
        where two regions meet.
        """
        own = self.numbers(grid, window)
        values: NDArray[np.float32] = (own == np.arange(len(self.shapes))[:, None, None]).astype(np.float32)
        rows, columns = np.nonzero(own >= 0)
        near = self._within(grid, window, blend) if blend and len(rows) else []
        if len(near) > 1:
            points, inside = self._points(grid, rows + window.y, columns + window.x), own[rows, columns]
            raw = np.zeros((len(self.shapes), len(rows)))
            for k in near:
                raw[k] = np.maximum(0.5 - self._distances(k, points, inside != k, blend) / (2 * blend), 0)
            raw[inside, np.arange(len(rows))] = 1 - raw.max(0)
            values[:, rows, columns] = raw / raw.sum(0)
        return values

    def _distances(self, k: int, points: NDArray[Any], outside: NDArray[np.bool_], most: float) -> NDArray[np.float64]:
        """Return the metres from points (N,) that are `outside` region `k` to its border; infinite above `most`, and inside."""
        found = np.full(len(points), np.inf)
        which, distance = self._borders[k].query_nearest(
            points[outside], max_distance=most, return_distance=True, all_matches=False
        )
        found[np.flatnonzero(outside)[which[0]]] = distance
        return found

    def _points(self, grid: Grid, row: NDArray[Any], column: NDArray[Any]) -> NDArray[Any]:
        """Return pixel centres as points in metres."""
        x = grid.transform.c + (column + 0.5) * grid.transform.a
        y = grid.transform.f + (row + 0.5) * grid.transform.e
        return np.asarray(shapely.points(x * self.metres[1], y * self.metres[0]))

    def _within(self, grid: Grid, window: Window, distance: float) -> list[int]:
        """Return the numbers of the regions at most `distance` metres from a window."""
        scale = np.array([self.metres[1], self.metres[0]] * 2)
        box = shapely.box(*(np.array(grid.crop(window).bounds) * scale))
        return np.flatnonzero(shapely.dwithin(self._ground, box, distance)).tolist()

    def _touching(self, box: tuple[float, float, float, float]) -> list[int]:
        return np.flatnonzero(shapely.intersects(np.array(self.shapes), shapely.box(*box))).tolist()

    @cached_property
    def _ground(self) -> NDArray[Any]:
        """Regions in metres, prepared for fast comparisons with many points."""
        scale = np.array([self.metres[1], self.metres[0]])
        ground = np.array([shapely.transform(shape, lambda xy: xy * scale) for shape in self.shapes])
        shapely.prepare(ground)
        return ground

    @cached_property
    def _borders(self) -> tuple[shapely.STRtree, ...]:
        """Border of each region in metres, cut into pieces."""
        trees = []
        for shape in self._ground:
            pieces = []
            for ring in shapely.get_rings(shapely.get_parts(shape)):
                xy = shapely.get_coordinates(ring)
                pieces += [shapely.linestrings(xy[i : i + PIECE + 1]) for i in range(0, len(xy) - 1, PIECE)]
            trees.append(shapely.STRtree(pieces))
        return tuple(trees)


def opened(shape: Any, grid: Grid) -> Any:
    """Return the parts of a shape that are a pixel wide or wider, as one geometry of polygons."""
    half = grid.resolution / 2 * (1 - 1e-6)
    wide = shapely.union_all(polygons_in([shape])).buffer(-half, join_style="mitre")
    return shapely.union_all(polygons_in([shape.intersection(wide.buffer(half, join_style="mitre"))]))


def beside_centres(grid: Grid) -> Affine:
    """Return the transform with which GDAL rasterises polygons on a grid, tile by tile, as in one piece.

    A pixel whose centre is exactly on a side of a polygon, as on borders drawn along pixels of 30 m, is inside or outside by
    whether this side is one of a hole, which the rectangle of the tile decides. The points are therefore beside the centres.
    """
    return grid.transform @ Affine.translation(ASIDE, ASIDE)


def clipped(shape: Any, bounds: tuple[float, float, float, float]) -> Any:
    """Return the part of a shape in a rectangle (west, south, east, north)."""
    try:
        return shapely.clip_by_rect(shape, *bounds)
    except shapely.GEOSException:  # fast, but some rings that touch the rectangle are too short for it
        return shapely.intersection(shape, shapely.box(*bounds))


def moved(shapes: list[Any], crs: str, grid: Grid) -> list[Any]:
    """Return the polygons of geometries in the CRS of a grid, valid; those that collapse are left out.

    Raises
    ------
    SourceError
        GDAL cannot transform a geometry: it reaches beyond the area of the CRS of the map, or its own CRS is wrong.
    """
    try:
        there = [shapely.geometry.shape(transform_geom(crs, grid.crs.to_wkt(), shape)) for shape in shapes]
    except Exception as error:  # errors of GDAL have many types, and no common public one
        why = " ".join(str(error).split()).rstrip(".")[:200]
        raise SourceError(
            f"a polygon cannot be transformed from {name_of(CRS(crs).proj)} to {grid.crs_name} ({why}). Check the CRS of the "
            "file, and clip the polygons to the surroundings of the map."
        ) from error
    return polygons_in([shape for shape in repaired(np.array([*there, None], object)) if shape is not None])


def polygons_in(shapes: list[Any]) -> list[Any]:
    """Return the polygons of geometries and of collections of them; empty ones are left out."""
    parts = shapely.get_parts(shapely.get_parts(shapes))
    return [part for part in parts if shapely.get_dimensions(part) == 2 and not part.is_empty]


def place_of(shape: Any, grid: Grid) -> str:
    """Return a point of a shape as text: x, y and CRS of the map."""
    point = shapely.point_on_surface(shape)
    digits = max(0, 1 - math.floor(math.log10(grid.resolution)))
    return f"x = {point.x:.{digits}f}, y = {point.y:.{digits}f} ({grid.crs_name})"
