"""Samples of two years at one place: where the pixels and polygons of sites that share ground are, and which samples coincide."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import ProjError

from bocage.grid import Grid
from bocage.samples.rasterise import Pixels

APART = 1e8
"""Distance between the origins of sites that share no ground, in metres: their blocks, buffers and nearest neighbours do not
meet."""
SAME = 0.5
"""Smallest share of the pixels of the smaller of two polygons that lie in the other one, if both are the same sampling unit."""


@dataclass(frozen=True)
class Ground:
    """Where the pixels of several sites are, one site after the other."""

    position: NDArray[np.float64]
    """(N, 2) row and column of each pixel, in pixels of the grid of its origin."""
    origin: NDArray[np.int64]
    """(N,) number of the site whose grid gives the position."""
    site: NDArray[np.int64]
    """(N,) number of the own site."""
    place: NDArray[np.float64]
    """(N, 2) metres north and east. Sites are far apart, except those that share ground."""
    shared: bool
    """Whether the maps of two sites overlap."""

    @classmethod
    def of(cls, parts: Sequence[Pixels], grids: Sequence[Grid]) -> "Ground":
        """Return the places of the pixels of sites with these grids."""
        first = origins(grids)
        positions = [
            positions_in(grids[first[k]], grid, part.row, part.column)
            for k, (part, grid) in enumerate(zip(parts, grids, strict=True))
        ]
        position, site = np.concatenate(positions), np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        origin = np.array(first)[site]
        metres = position * np.array([grid.metres for grid in grids])[origin] * (-1, 1)
        place = metres + np.stack([np.zeros(len(origin)), APART * origin], 1)
        return cls(position, origin, site, place, len(set(first)) < len(first))

    def units(self, polygon: NDArray[np.int32]) -> NDArray[np.int32] | None:
        """Return the number of the sampling unit of each pixel, (N,); None if no two sites share ground.

        `polygon` (N,) is the number of the polygon, which is at one site only.
        """
        return shared_units(self.position, self.origin, self.site, polygon) if self.shared else None


def origins(grids: Sequence[Grid]) -> list[int]:
    """Return for each site the number of the first site of its chain of overlapping maps, which may be itself.

    A site can share ground with a second one, and this one with a third that the first does not touch.
    """
    pairs = [(j, k) for k in range(len(grids)) for j in range(k) if _overlap(grids[j], grids[k])]
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    chain = _linked(first, second, len(grids))
    return [int(np.argmax(chain == own)) for own in chain]


def positions_in(origin: Grid, grid: Grid, row: NDArray[np.int32], column: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the pixel centres (N, 2) of a grid as rows and columns of another one, counted from its north-west corner."""
    if grid == origin:
        return np.stack([row + 0.5, column + 0.5], 1)
    own, first = grid.transform, origin.transform
    x, y = own.c + own.a * (column + 0.5), own.f + own.e * (row + 0.5)
    if grid.crs != origin.crs:
        x, y = Transformer.from_crs(grid.crs.proj, origin.crs.proj, always_xy=True).transform(x, y)
    return np.stack([(y - first.f) / first.e, (x - first.c) / first.a], 1)


def shared_units(
    position: NDArray[np.float64], origin: NDArray[np.int64], site: NDArray[np.int64], polygon: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Return the number of the sampling unit of each pixel, (N,): polygons of several sites on the same ground are one unit.

    Two polygons are one unit if half of the pixels of the smaller one lie in the other. Neighbours that overlap at their borders
    stay apart.

    Parameters
    ----------
    position : (N, 2)
        Row and column of each pixel, in pixels of the grid of its origin.
    origin, site, polygon : (N,)
        Number of the site whose grid gives the position, of the own site, and of the polygon: no number is at two sites.
    """
    names, own = np.unique(polygon, return_inverse=True)
    row, column = np.floor(position).astype(np.int64).T
    cells = pd.DataFrame({"origin": origin, "row": row, "column": column, "polygon": own, "site": site})
    cells = cells.drop_duplicates()
    size = np.bincount(cells.polygon, minlength=len(names))
    pairs = cells.merge(cells, on=["origin", "row", "column"])
    pairs = pairs[pairs.site_x < pairs.site_y].groupby(["polygon_x", "polygon_y"]).size().reset_index(name="shared")
    first, second = pairs.polygon_x.to_numpy(), pairs.polygon_y.to_numpy()
    same = pairs.shared.to_numpy() >= SAME * np.minimum(size[first], size[second])
    return _linked(first[same], second[same], len(names))[own]


def coinciding(place: NDArray[np.float64] | None, polygon: NDArray[np.int32]) -> NDArray[np.int32] | None:
    """Return the number of the sampling unit of each sample, (N,): samples of one polygon, or at one place, are one unit.

    None if no place has samples of two polygons.

    Parameters
    ----------
    place : (N, 2)
        Metres north and east; None if the samples have no coordinates.
    """
    if place is None or not len(place):
        return None
    spots = np.unique(np.round(place), axis=0, return_inverse=True)[1].ravel()
    names, own = np.unique(polygon, return_inverse=True)
    pairs = np.unique(np.stack([spots, own], 1), axis=0)
    if len(pairs) == len(np.unique(spots)):
        return None
    return _linked(pairs[:, 1], len(names) + pairs[:, 0], len(names) + int(spots.max()) + 1)[own]


def together(unit: NDArray[np.int32], polygon: NDArray[np.int32]) -> int:
    """Return the number of polygons whose sampling unit has another polygon too; both arrays are (N,)."""
    pairs = np.unique(np.stack([unit, polygon], 1), axis=0)
    _, which, count = np.unique(pairs[:, 0], return_inverse=True, return_counts=True)
    return int((count[which] > 1).sum())


def _linked(first: NDArray[np.int64], second: NDArray[np.int64], size: int) -> NDArray[np.int32]:
    """Return the number of the connected component of each of `size` nodes, for the edges from `first` to `second`."""
    from scipy.sparse import coo_array  # slow to import
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(first)), (first, second)), (size, size))
    found: NDArray[np.int32] = connected_components(links, directed=False)[1].astype(np.int32)
    return found


def _overlap(origin: Grid, grid: Grid) -> bool:
    """Return whether the extents of two grids overlap; False where PROJ cannot compare them."""
    west, south, east, north = grid.bounds
    if grid.crs != origin.crs:
        there = Transformer.from_crs(grid.crs.proj, origin.crs.proj, always_xy=True)
        try:
            west, south, east, north = there.transform_bounds(west, south, east, north)
        except ProjError:
            return False
    west_0, south_0, east_0, north_0 = origin.bounds
    return bool(west < east_0 and east > west_0 and south < north_0 and north > south_0)
