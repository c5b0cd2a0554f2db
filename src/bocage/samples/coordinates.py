"""Coordinates of samples, which a run keeps: which polygons of one reference are at the places of polygons of another."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from bocage.disk import replacing
from bocage.grid import WGS84, Grid, metres_per_unit
from bocage.samples.ground import shared_units

NEAR = 1.0
"""Largest distance of two samples of tables at one place, in metres."""
LONGITUDE, LATITUDE, SAMPLE = "longitude", "latitude", "sample"
"""Columns of ``samples.parquet`` with the centre of each pixel or feature, in degrees (WGS 84), and with the sample id."""


def degrees_of(crs: Any, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64] | None:
    """Return longitude and latitude (WGS 84) of points (N,) in a CRS (pyproj), (N, 2).

    None if the CRS is not related to the Earth, or if a point is outside its domain.
    """
    try:
        found = np.stack(Transformer.from_crs(crs, WGS84, always_xy=True).transform(x, y), 1)
    except ProjError:
        return None
    return found if np.isfinite(found).all() else None


def degrees_in(grid: Grid, row: NDArray[np.int32], column: NDArray[np.int32]) -> NDArray[np.float64] | None:
    """Return longitude and latitude (WGS 84) of the centres of pixels (N,) of a grid, (N, 2); None if they have none."""
    to = grid.transform
    return degrees_of(grid.crs.proj, to.c + to.a * (column + 0.5), to.f + to.e * (row + 0.5))


@dataclass(frozen=True)
class Coordinates:
    """Polygons, coordinates and ids of samples."""

    polygon: NDArray[np.int32]
    """(N,) number of the polygon."""
    degrees: NDArray[np.float64] | None
    """(N, 2) longitude and latitude (WGS 84); None: not known."""
    ids: NDArray[np.str_] | None
    """(N,) sample ids; None for the pixels of a map."""

    @classmethod
    def of_table(cls, table: pd.DataFrame) -> "Coordinates":
        """Return the coordinates in a table of samples (``samples.parquet``); a column that is not known is missing."""
        degrees = table[[LONGITUDE, LATITUDE]].to_numpy(np.float64) if LONGITUDE in table else None
        return cls(table.polygon.to_numpy(), degrees, table[SAMPLE].to_numpy(str) if SAMPLE in table else None)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns for :meth:`of_table`, except ``polygon``."""
        places = {} if self.degrees is None else {LONGITUDE: self.degrees[:, 0], LATITUDE: self.degrees[:, 1]}
        return places if self.ids is None else {SAMPLE: self.ids} | places

    def take(self, members: NDArray[np.int64]) -> "Coordinates":
        """Return the samples at the positions `members`."""
        degrees = None if self.degrees is None else self.degrees[members]
        return Coordinates(self.polygon[members], degrees, None if self.ids is None else self.ids[members])

    def to_parquet(self, path: Path) -> None:
        """Write the samples to a table, which :meth:`of_table` reads; it appears when it is complete."""
        with replacing(path) as partial:
            pd.DataFrame({"polygon": self.polygon} | self.columns()).to_parquet(partial)

    def among(self, other: "Coordinates", grid: Grid) -> NDArray[np.bool_] | None:
        """Return whether each sample, (N,), is in a polygon that is at the place of a polygon of `other`.

        Pixels of a map with this `grid` are compared as :func:`shared_units` does. Samples of tables are compared by their
        places, or by their ids if a place is not known. None if neither is known.
        """
        if self.degrees is not None and other.degrees is not None:
            return self._near(other.degrees) if self.ids is not None else self._on(other, grid)
        if self.ids is not None and other.ids is not None:
            return self._in_polygons(np.isin(self.ids, other.ids))
        return None

    def _in_polygons(self, found: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.isin(self.polygon, self.polygon[found])

    def _near(self, degrees: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return whether each sample is in a polygon with a sample at one of these places."""
        from scipy.spatial import KDTree  # slow to import

        assert self.degrees is not None
        north, east = metres_per_unit(CRS(WGS84), self.degrees[:, 1].mean(keepdims=True))
        metres = np.concatenate([east, north])
        own, theirs = self.degrees * metres, degrees * metres
        distance = KDTree(theirs).query(own, distance_upper_bound=NEAR)[0] if len(theirs) else np.full(len(own), np.inf)
        return self._in_polygons(np.isfinite(distance))

    def _on(self, other: "Coordinates", grid: Grid) -> NDArray[np.bool_]:
        """Return whether each pixel is in a polygon that is one unit with a polygon of `other`."""
        assert self.degrees is not None
        assert other.degrees is not None
        to, change = grid.transform, Transformer.from_crs(WGS84, grid.crs.proj, always_xy=True)
        x, y = change.transform(*np.concatenate([self.degrees, other.degrees]).T)
        position = np.stack([(y - to.f) / to.e, (x - to.c) / to.a], 1)
        inside = ((position >= 0) & (position < grid.shape)).all(1)
        of_other = np.repeat([0, 1], [len(self.polygon), len(other.polygon)])
        polygon = np.concatenate([self.polygon, other.polygon + int(self.polygon.max(initial=-1)) + 1]).astype(np.int32)
        here = np.asarray(inside | (of_other == 0))  # its own pixels are all on the grid
        site = of_other[here]
        unit = shared_units(position[here], np.zeros(len(site), np.int64), site, polygon[here])
        return np.isin(unit[site == 0], unit[site == 1])
