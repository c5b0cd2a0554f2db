"""Objects of a map: connected pixels of one code (over edges), the same ones in tiles as in one piece.

Each tile is labelled by itself. Objects that touch the border of a tile are joined with those of the neighbouring tiles by a
union of the pairs that meet there. The number of an object is that of its first pixel, row by row, plus 1, so that it does not
depend on the tiles. Memory: one tile, a row of pixels, and some numbers for each object that touches the border of a tile.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.grid import Grid, Window
from bocage.machine import compiled
from bocage.objects.scratch import Raster
from bocage.progress import Progress

Measures = Callable[[Window, NDArray[Any]], Mapping[str, NDArray[Any]]]
"""Returns values of every pixel of a window, given its codes, that are summed over each object."""


@dataclass(frozen=True)
class Codes:
    """A map of codes, read tile by tile."""

    grid: Grid
    read: Callable[[Window], NDArray[Any]]
    """Returns the codes of a window inside the map; 0: no data."""
    tile: int
    """Side of the tiles in pixels."""

    @property
    def windows(self) -> list[Window]:
        """The tiles, row by row."""
        return list(self.grid.tiles(self.tile))


@compiled
def _root(parent: Any, i: int) -> Any:
    """Return the first pixel of the object of a pixel, and shorten the way to it."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@compiled
def label(codes: Any, y0: int, x0: int, width: int) -> Any:
    """Return the objects of a tile, numbered by their first pixel in a map of `width` columns, plus 1; 0: no data."""
    h, w = codes.shape
    parent = np.empty(h * w, np.int32)
    for y in range(h):
        for x in range(w):
            i = y * w + x
            parent[i] = i
            code = codes[y, x]
            if code == 0:
                continue
            root = i
            if y > 0 and codes[y - 1, x] == code:
                root = _root(parent, i - w)
                parent[i] = root
            if x > 0 and codes[y, x - 1] == code:
                other = _root(parent, i - 1)
                if other < root:
                    parent[root] = other
                    parent[i] = other
                elif other > root:
                    parent[other] = root
    ids = np.zeros((h, w), np.int64)
    for y in range(h):
        for x in range(w):
            if codes[y, x]:
                i = y * w + x
                parent[i] = parent[parent[i]]  # roots come first, so their number is final
                root = parent[i]
                ids[y, x] = np.int64(y0 + root // w) * width + x0 + root % w + 1
    return ids


def edge_of(values: NDArray[Any]) -> NDArray[Any]:
    """Return the values along the border of a tile; the corners twice."""
    return np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])


@dataclass(frozen=True)
class Joined:
    """Objects that touch the border of a tile, each part with the object that it belongs to."""

    parts: NDArray[np.int64]
    """Number of each part, ascending (N,)."""
    position: NDArray[np.int64]
    """Position of the part's object in `objects` (N,)."""
    objects: NDArray[np.int64]
    """Number of each object, ascending (M,)."""
    sums: Mapping[str, NDArray[np.float64]]
    """What was summed over the pixels of each object (M,)."""
    last: NDArray[np.int64]
    """Last row of tiles that each object touches (M,)."""

    def find(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions in `objects` of parts; -1 for objects that touch no border of a tile."""
        if not len(self.parts):
            return np.full(ids.shape, -1)
        at = np.minimum(np.searchsorted(self.parts, ids), len(self.parts) - 1)
        return np.where(self.parts[at] == ids, self.position[at], -1)

    def at(self, objects: Any) -> Any:
        """Return the positions of objects."""
        return np.searchsorted(self.objects, objects)

    def has(self, objects: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which numbers are those of objects that touch the border of a tile."""
        if not len(self.objects):
            return np.zeros(len(objects), bool)
        at = np.minimum(self.at(objects), len(self.objects) - 1)
        return np.asarray(self.objects[at] == objects)

    def renamed(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return an array of parts with the numbers of their objects."""
        at = self.find(ids)
        return np.where(at >= 0, self.objects[at], ids) if len(self.objects) else ids


@dataclass
class _Meeting:
    """Objects at the borders of the tiles, collected tile by tile, row by row."""

    grid: Grid
    tile: int
    parts: list[NDArray[np.int64]] = field(default_factory=list)
    rows: list[NDArray[np.int64]] = field(default_factory=list)
    sums: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    pairs: list[NDArray[np.int64]] = field(default_factory=list)

    def __post_init__(self) -> None:
        width = self.grid.shape[1]
        self.above = np.zeros((2, width), np.int64)  # codes and numbers of the last row of the tiles above
        self.left = np.zeros((2, 0), np.int64)

    def add(self, window: Window, codes: NDArray[Any], ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Note the objects at the border of a tile and their pairs with the tiles above and to the left; return them."""
        found = np.unique(edge_of(ids))
        found = found[found > 0]
        self.parts.append(found)
        self.rows.append(np.full(len(found), window.y // self.tile))
        columns = window.slices[1]
        if window.y:
            self._meet(self.above[:, columns], np.stack([codes[0].astype(np.int64), ids[0]]))
        if window.x:
            self._meet(self.left, np.stack([codes[:, 0].astype(np.int64), ids[:, 0]]))
        self.above[:, columns] = codes[-1], ids[-1]
        self.left = np.stack([codes[:, -1].astype(np.int64), ids[:, -1]])
        return found

    def _meet(self, before: NDArray[np.int64], here: NDArray[np.int64]) -> None:
        same = (before[0] == here[0]) & (here[0] > 0)
        self.pairs.append(np.unique(np.stack([before[1][same], here[1][same]]), axis=1))

    def joined(self) -> Joined:
        """Return the objects of all parts."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        parts = np.concatenate([np.zeros(0, np.int64), *self.parts])
        order = np.argsort(parts)  # a part belongs to one tile, so that it is there once
        parts, rows = parts[order], np.concatenate([np.zeros(0, np.int64), *self.rows])[order]
        first, second = np.concatenate([np.zeros((2, 0), np.int64), *self.pairs], axis=1)
        at = (np.searchsorted(parts, first), np.searchsorted(parts, second))
        graph = coo_array((np.ones(len(first), np.int8), at), shape=(len(parts), len(parts)))
        count, label = connected_components(graph, directed=False)
        objects = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(objects, label, parts)
        rank = np.empty(count, np.int64)
        rank[np.argsort(objects)] = np.arange(count)
        position, last = rank[label], np.zeros(count, np.int64)
        np.maximum.at(last, position, rows)
        sums = {
            name: np.asarray(np.bincount(position, np.concatenate(values)[order], count), np.float64)
            for name, values in self.sums.items()
        }
        return Joined(parts, position, np.sort(objects), sums, last)


def label_objects(codes: Codes, ids: Raster, progress: Progress, measures: Measures | None = None) -> Joined:
    """Label the objects of a map into `ids`, tile by tile.

    Parameters
    ----------
    ids
        Raster (int64) for the number of each pixel's part; :meth:`Joined.renamed` gives its object.
    measures
        What to sum over the objects that touch the border of a tile.
    """
    meeting, windows = _Meeting(codes.grid, codes.tile), codes.windows
    for done, window in enumerate(windows, start=1):
        values = codes.read(window)
        found = label(values, window.y, window.x, codes.grid.shape[1])
        ids.write(window, found)
        parts = meeting.add(window, values, found)
        at = positions(parts, window, codes.grid)
        for name, summands in (measures(window, values) if measures else {}).items():
            meeting.sums.setdefault(name, []).append(sums_of(found, window, codes.grid, summands)[at])
        progress.step("finding objects", done, len(windows))
    return meeting.joined()


def positions(ids: NDArray[np.int64], window: Window, grid: Grid) -> NDArray[np.int64]:
    """Return the position in the window (flat) of the first pixel of parts that were labelled in it; 0 for no data."""
    row, column = np.divmod(ids - 1, grid.shape[1])
    return np.where(ids > 0, (row - window.y) * window.width + column - window.x, 0)


def sums_of(ids: NDArray[np.int64], window: Window, grid: Grid, values: NDArray[Any]) -> NDArray[np.float64]:
    """Return sums of `values` over the parts of a window, at the positions of their first pixels (height × width)."""
    own = np.where(ids > 0, values, 0).ravel()
    return np.asarray(np.bincount(positions(ids, window, grid).ravel(), own.astype(np.float64), ids.size), np.float64)
