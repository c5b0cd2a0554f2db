"""Pixels of a source on the objects of another grid: which pixels lie on which object, and with which weight.

Both grids have the same CRS. A coarser source is repeated to the grid of the objects: a pixel counts as many times as pixels of
the object have their centre in it. Of a finer source, each pixel counts for the object at its centre.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.grid import SNAP, Grid, Window

TINY = 1e-9
"""Rounding error of a position in pixels, at most: a centre on an edge of pixels belongs to the pixel after it."""


@dataclass(frozen=True)
class Overlay:
    """The grids of objects and of a source."""

    objects: Grid
    source: Grid

    @property
    def is_coarser(self) -> bool:
        """Whether the pixels of the source are larger than those of the objects."""
        return self.source.resolution > self.objects.resolution * (1 + SNAP)

    @property
    def is_finer(self) -> bool:
        """Whether the pixels of the source are smaller than those of the objects."""
        return self.source.resolution < self.objects.resolution * (1 - TINY)

    def window(self, window: Window) -> Window:
        """Return the window of the source whose pixels count for a window of objects; its size may be 0."""
        rows, columns = (self._needed(axis, window) for axis in (0, 1))
        return Window(rows[0], columns[0], rows[1] - rows[0], columns[1] - columns[0])

    def _needed(self, axis: int, window: Window) -> tuple[int, int]:
        """Return first and last (excluded) row or column of the source."""
        start, length = ((window.y, window.height), (window.x, window.width))[axis]
        if self.is_finer:
            scale, offset = self._to_objects(axis)
            first, last = ((edge - offset) / scale - 0.5 for edge in (start, start + length))
            return math.ceil(first - TINY), math.ceil(last - TINY)
        place = self._places(axis, start, length)
        return int(place[0]), int(place[-1]) + 1

    def _to_objects(self, axis: int) -> tuple[float, float]:
        """Return factor and offset from rows or columns of the source to those of the objects."""
        return self.source.resolution / self.objects.resolution, self.objects.offset_of(self.source)[axis]

    def _places(self, axis: int, start: int, length: int) -> NDArray[np.int64]:
        """Return the row or column of the source at the centre of each of `length` rows or columns of objects."""
        scale, offset = self._to_objects(axis)
        return np.asarray(np.floor((np.arange(start, start + length) + 0.5 - offset) / scale + TINY), np.int64)

    def fine(self, ids: NDArray[Any], window: Window, source: Window) -> NDArray[Any]:
        """Return the numbers of the objects (y, x) at the centres of the pixels of a window of a source that is not coarser.

        `ids` are those of `window`; 0 outside it.
        """
        places = []
        for axis, (start, length) in enumerate(((source.y, source.height), (source.x, source.width))):
            scale, offset = self._to_objects(axis)
            centre = (np.arange(start, start + length) + 0.5) * scale + offset
            places.append(np.floor(centre + TINY).astype(np.int64) - (window.y, window.x)[axis])
        inside = [(place >= 0) & (place < n) for place, n in zip(places, ids.shape, strict=True)]
        found = np.zeros((source.height, source.width), ids.dtype)
        found[np.ix_(*inside)] = ids[np.ix_(*(place[own] for place, own in zip(places, inside, strict=True)))]
        return found

    def pairs(self, ids: NDArray[Any], window: Window, source: Window) -> "Pairs":
        """Return the pixels of a window of the source for each object of a window."""
        if not self.is_coarser:
            own = self.fine(ids, window, source).ravel()
            pixel = np.flatnonzero(own)
            numbers, which = np.unique(own[pixel], return_inverse=True)
            return Pairs(numbers, which, pixel, np.ones(len(pixel), np.int64))
        rows = self._places(0, window.y, window.height) - source.y
        columns = self._places(1, window.x, window.width) - source.x
        pixel = (rows[:, None] * source.width + columns).ravel()
        flat = ids.ravel()
        at = np.flatnonzero(flat)
        numbers, which = np.unique(flat[at], return_inverse=True)
        size = source.height * source.width
        key, weight = np.unique(which * np.int64(size) + pixel[at], return_counts=True)
        return Pairs(numbers, key // size, key % size, weight)


@dataclass(frozen=True)
class Pairs:
    """Pairs of an object and a pixel of a source."""

    numbers: NDArray[Any]
    """Numbers of the objects, ascending (n,)."""
    which: NDArray[np.int64]
    """Position of each pair's object in `numbers` (M,)."""
    pixel: NDArray[np.int64]
    """Flat position of each pair's pixel in the window of the source (M,)."""
    weight: NDArray[np.int64]
    """Number of times that the pixel counts (M,)."""
