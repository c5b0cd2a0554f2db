"""Shape of each object, and its neighbours.

All sums are whole numbers, so that they are the same for any tiles.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.grid import HECTARE, Grid, Window, pixel_sides
from bocage.machine import compiled
from bocage.objects.stored import Stored

SHAPES = ("area_ha", "perimeter_m", "compactness", "elongation", "extent")
"""Features of the shape on the ground. Compactness is 4π · area / perimeter², π / 4 for a square. Elongation is 1 − the ratio of
the minor to the major axis of the ellipse with the same second moments, 0 to 1. Extent is the share of the bounding box that is
covered."""
WAITING = 1 << 22
"""Number of pairs of neighbours that are held before equal ones are added."""


@dataclass
class Shapes:
    """Sums over the pixels of each object, rows by object number."""

    grid: Grid
    sums: NDArray[Any]
    """Pixels, Σy, Σx, Σy², Σx², Σxy, edges above and below, −min y, −min x, max y, max x, edges left and right (N + 1, 12)."""
    pairs: list[NDArray[np.int64]] = field(default_factory=list)
    """Lower and higher number of neighbours, and number of their common edges (3, M)."""

    @cached_property
    def sides(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Height and width of a pixel on the ground in each row, in metres."""
        return pixel_sides(self.grid)

    @classmethod
    def new(cls, stored: Stored, grid: Grid) -> "Shapes":
        """Return sums of nothing."""
        sums = stored.array("shape", (12,), "int64")
        sums[:, 7:9] = -max(grid.shape)
        return cls(grid, sums)

    def add(self, padded: NDArray[Any], window: Window) -> None:
        """Add a window of objects, given with a margin of one pixel; 0 is no object."""
        core = padded[1:-1, 1:-1]
        numbers, which = np.unique(core, return_inverse=True)
        sums = np.asarray(self.sums[numbers])
        _add(padded, which.reshape(core.shape), window.y, window.x, sums)
        sums[numbers == 0] = 0
        self.sums[numbers] = sums
        near = [(core, padded[1:-1, 2:]), (core, padded[2:, 1:-1])]  # each edge once: to the right, and below
        ends = np.concatenate([np.stack([a.ravel(), b.ravel()]) for a, b in near], axis=1).astype(np.int64)
        ends = ends[:, (ends[0] != ends[1]) & (ends > 0).all(0)]
        self.pairs.append(_merged(np.vstack([np.sort(ends, axis=0), np.ones(ends.shape[1], np.int64)])))
        if sum(one.shape[1] for one in self.pairs) > WAITING:
            self.pairs = [_merged(np.concatenate(self.pairs, axis=1))]

    def features(self, rows: slice) -> dict[str, NDArray[np.float64]]:
        """Return the features of the shape of a range of objects."""
        sums = np.asarray(self.sums[rows]).astype(np.float64)
        n = np.maximum(sums[:, 0], 1)
        y, x = sums[:, 1] / n, sums[:, 2] / n
        height, width = (side[np.rint(y).astype(int)] for side in self.sides)
        # The second moments of a pixel itself, 1 / 12, keep those of a line of pixels above 0.
        yy, xx, xy = sums[:, 3] / n - y * y + 1 / 12, sums[:, 4] / n - x * x + 1 / 12, sums[:, 5] / n - x * y
        flat = width / height  # of a pixel: 1 but in degrees
        xx, xy = xx * flat**2, xy * flat
        middle, apart = (yy + xx) / 2, np.sqrt(((yy - xx) / 2) ** 2 + xy**2)
        ratio = np.sqrt(np.maximum(middle - apart, 0) / (middle + apart))
        area, perimeter = sums[:, 0] * height * width, sums[:, 6] * width + sums[:, 11] * height
        box = (sums[:, 9] + sums[:, 7] + 1) * (sums[:, 10] + sums[:, 8] + 1)
        compact, filled = 4 * np.pi * area / perimeter**2, sums[:, 0] / np.maximum(box, 1)
        values = (area / HECTARE, perimeter, compact, 1 - ratio, filled)
        return dict(zip(SHAPES, values, strict=True))

    def neighbours(self) -> "Neighbours":
        """Return the neighbours of all objects."""
        low, high, edges = _merged(np.concatenate([np.zeros((3, 0), np.int64), *self.pairs], axis=1))
        return Neighbours(
            np.concatenate([low, high]), np.concatenate([high, low]), np.concatenate([edges, edges]), len(self.sums)
        )


@compiled
def _add(padded: Any, which: Any, y0: int, x0: int, sums: Any) -> None:
    for i in range(which.shape[0]):
        for j in range(which.shape[1]):
            own = sums[which[i, j]]
            y, x, number = y0 + i, x0 + j, padded[i + 1, j + 1]
            own[0] += 1
            own[1] += y
            own[2] += x
            own[3] += y * y
            own[4] += x * x
            own[5] += y * x
            own[6] += padded[i, j + 1] != number
            own[6] += padded[i + 2, j + 1] != number
            own[11] += padded[i + 1, j] != number
            own[11] += padded[i + 1, j + 2] != number
            own[7], own[8] = max(own[7], -y), max(own[8], -x)
            own[9], own[10] = max(own[9], y), max(own[10], x)


def _merged(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return pairs (3, M) in order, the edges of equal ones added."""
    order = np.lexsort((pairs[1], pairs[0]))
    low, high, edges = pairs[:, order]
    first = np.ones(len(low), bool)
    first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    if not len(low):
        return pairs
    return np.stack([low[first], high[first], np.add.reduceat(edges, np.flatnonzero(first))])


@dataclass(frozen=True)
class Neighbours:
    """Pairs of neighbours, each in both directions."""

    own: NDArray[np.int64]
    """Number of an object (M,)."""
    other: NDArray[np.int64]
    """Number of its neighbour (M,)."""
    edges: NDArray[np.int64]
    """Number of edges of pixels between them (M,)."""
    size: int
    """Number of objects, plus 1."""

    @property
    def count(self) -> NDArray[np.int64]:
        """Number of neighbours of each object (N + 1,)."""
        return np.bincount(self.own, minlength=self.size)

    def contrast(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return by how much the value of each object (N + 1,) is above the mean of its neighbours, weighted by their edges.

        Neighbours without a value do not count. It is 0 without neighbours, and NaN without a value.
        """
        there = ~np.isnan(values[self.other])
        weight = np.where(there, self.edges, 0).astype(np.float64)
        total = np.bincount(self.own, weight, self.size)
        summed = np.bincount(self.own, weight * np.where(there, values[self.other], 0), self.size)
        mean = np.divide(summed, total, out=values.copy(), where=total > 0)
        return np.asarray(values - mean)
