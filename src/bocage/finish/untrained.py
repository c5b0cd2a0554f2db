"""Test pixels that none of several maps was trained on: those at which a fusion of the maps can be evaluated."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.evaluation import Predictions
from bocage.finish.fusion import Fusion
from bocage.grid import Grid
from bocage.mapping import codes_at


@dataclass(frozen=True)
class Member:
    """Reference pixels of the run of a map, on the grid of this map."""

    tested: Predictions
    """Test pixels of the draw that made the map."""
    row: NDArray[np.int64]
    """Rows of all labelled pixels of the run, (L,)."""
    column: NDArray[np.int64]
    """Their columns."""


@dataclass(frozen=True)
class Untrained:
    """Pixels that are test pixels of all maps, with one reference class, and mapped by one map at least (N,)."""

    row: NDArray[np.int64]
    """Row on the grid of the fusion."""
    column: NDArray[np.int64]
    label: NDArray[np.int16]
    """Position of the reference class in the legend."""
    units: NDArray[np.int64]
    """Polygon in the run of each map, as its position among the polygons with test pixels (M, N)."""
    positions: NDArray[np.int64]
    """Position of the class of each map; −1 without data (M, N)."""
    contrary: int = 0
    """Number of pixels that were left out because runs differ in their reference class."""

    def __len__(self) -> int:
        return len(self.row)

    def take(self, kept: NDArray[np.bool_]) -> "Untrained":
        """Return the pixels that are True in `kept` (N,)."""
        return Untrained(
            self.row[kept],
            self.column[kept],
            self.label[kept],
            self.units[:, kept],
            self.positions[:, kept],
            self.contrary,
        )

    @classmethod
    def of(cls, fusion: Fusion, members: Sequence[Member]) -> "Untrained":
        """Find the pixels; a polygon with a pixel that a run labelled and did not keep for its test is left out as a whole."""
        grid, pairs = fusion.grid, list(zip(fusion.maps, members, strict=True))
        places = [_places(grid, land.grid, one.tested.row, one.tested.column) for land, one in pairs]
        labelled = [_places(grid, land.grid, one.row, one.column) for land, one in pairs]
        trained = np.unique(np.concatenate([np.setdiff1d(a, b) for a, b in zip(labelled, places, strict=True)]))
        units = [np.unique(one.tested.polygon, return_inverse=True)[1].ravel() for one in members]
        free = [
            np.flatnonzero((place >= 0) & ~np.isin(unit, unit[(place >= 0) & np.isin(place, trained)]))
            for place, unit in zip(places, units, strict=True)
        ]
        common = reduce(np.intersect1d, [place[k] for place, k in zip(places, free, strict=True)])
        index = [k[_where(place[k], common)] for place, k in zip(places, free, strict=True)]
        labels = np.stack([one.tested.label[k] for one, k in zip(members, index, strict=True)])
        alike = np.asarray((labels == labels[0]).all(0))
        row, column = np.divmod(common[alike], grid.shape[1])
        which = np.stack([unit[k] for unit, k in zip(units, index, strict=True)])[:, alike]
        mapped = np.stack([fusion.place[codes_at(one.path("classes"), grid, row, column)] for one in fusion.maps])
        found = cls(row, column, labels[0][alike], which, mapped, int((~alike).sum()))
        return found.take(np.asarray((mapped >= 0).any(0)))


def _where(values: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return an index of each wanted value, all of which are among the values."""
    order = np.argsort(values, kind="stable")
    return np.asarray(order[np.searchsorted(values[order], wanted)])


def _places(grid: Grid, own: Grid, row: NDArray[Any], column: NDArray[Any]) -> NDArray[np.int64]:
    """Return the number of pixels (N,), given on another aligned grid, on a grid; −1 outside."""
    down, right = (round(offset) for offset in grid.offset_of(own))
    y, x = np.asarray(row, np.int64) + down, np.asarray(column, np.int64) + right
    inside = (y >= 0) & (x >= 0) & (y < grid.shape[0]) & (x < grid.shape[1])
    return np.where(inside, y * grid.shape[1] + x, -1)
