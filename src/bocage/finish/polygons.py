"""Polygons of the objects of a map, yielded as soon as they are complete.

The map is read in tiles, but the polygons do not depend on them: an object that crosses tiles is put together from the pieces
of its border, a border between two objects is simplified from node to node, and no vertex is left where it crosses the border
of a tile. Memory: a tile, 32 MB of corners, and the borders of the objects that are not complete yet, 9 bytes for each vertex.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from bocage.finish.corners import Corners
from bocage.finish.trace import arcs, corners, doubled_areas, rings, simplify
from bocage.grid import Grid, Window
from bocage.objects.connected import Codes, Joined, Measures, edge_of, label_objects, positions, sums_of
from bocage.objects.scratch import Raster, Scratch
from bocage.progress import Progress

LARGEST = 1 << 22
"""Largest bounding box, in corners, within which arcs are simplified together; a larger arc is divided at its middle vertex, and
its parts again, until they fit."""
TOGETHER = 1 << 20
"""Number of vertices of objects across tiles that are yielded together."""


@dataclass(frozen=True)
class Batch:
    """Complete objects."""

    number: NDArray[np.int64]
    """Number of the first pixel of each object, row by row, plus 1 (N,)."""
    sums: dict[str, NDArray[np.float64]]
    """Sums of measures over the pixels of each object (N,)."""
    polygons: NDArray[Any]
    """Shapely polygons in the CRS of the map (N,)."""


class _Rings(NamedTuple):
    """Closed rings of objects."""

    corner: NDArray[np.int32]
    flag: NDArray[np.uint8]
    start: NDArray[np.int64]
    owner: NDArray[np.int64]
    """Object of each ring."""


class _Piece(NamedTuple):
    """A piece of the border of an object across tiles; a closed ring has no keys (-1)."""

    first: int
    after: int
    corner: NDArray[np.int32]
    flag: NDArray[np.uint8]


def polygons_of(
    codes: Codes, scratch: Scratch, simplified: float, progress: Progress, measures: Measures
) -> Iterator[Batch]:
    """Yield the polygons of all objects of a map.

    The polygons are a coverage: they neither overlap nor leave gaps, and neighbours share all vertices of their common border.
    Borders with no data are not simplified, so that the total area is that of the pixels.

    Parameters
    ----------
    simplified
        Tolerance in pixels: the square root of the area of the largest triangle that is removed; 0: none.
    measures
        Values of every pixel of a window that are summed over each object.
    """
    ids = scratch.raster("objects", codes.grid.shape, "int64", codes.tile)
    joined = label_objects(codes, ids, progress, measures)
    drawing = _Drawing(codes, ids, joined, Corners.new(scratch, codes.grid.shape), 2 * simplified**2)
    windows = codes.windows
    for done, window in enumerate(windows, start=1):
        yield from drawing.inside(window, measures(window, codes.read(window)))
        row, last = window.y // codes.tile, done == len(windows)
        if last or windows[done].x == 0:  # an object needs the corners of the tiles below it
            yield from drawing.across(row if last else row - 1)
        progress.step("drawing polygons", done, len(windows))


@dataclass
class _Drawing:
    """State while the polygons of a map are drawn, row of tiles by row of tiles."""

    codes: Codes
    ids: Raster
    joined: Joined
    corners: Corners
    limit: float
    """Twice the largest area, in pixels, of a triangle that is removed."""
    open: dict[int, list[_Piece]] = field(default_factory=dict)
    """Object across tiles → pieces of its border."""

    @property
    def grid(self) -> Grid:
        """Grid of the map."""
        return self.codes.grid

    def inside(self, window: Window, summands: Mapping[str, NDArray[Any]]) -> Iterator[Batch]:
        """Trace a tile; yield the objects inside it, and keep the pieces of the others."""
        parts = self.ids.read(window.pad(1, 1))
        ids = self._named(parts, window)
        found = corners(ids)
        self._note(window, found)
        corner, flag, start, piece = rings(ids, window.y, window.x, self.grid.shape[1])
        across = self.joined.has(piece[:, 0])
        for k in np.flatnonzero(across):
            span = slice(start[k], start[k + 1])
            kept = _Piece(int(piece[k, 1]), int(piece[k, 2]), corner[span].copy(), flag[span].copy())
            self.open.setdefault(int(piece[k, 0]), []).append(kept)
        own = _chosen(_Rings(corner, flag, start, piece[:, 0]), ~across)
        if len(own.owner):
            pieces = _divided(own.corner, *arcs(own.corner, own.flag, own.start))
            keep = simplify(own.corner, pieces, (found, window.y, window.x), self.limit)
            number, polygons = _polygons(own, keep, self.grid)
            at = positions(number, window, self.grid)
            core = parts[1:-1, 1:-1]
            sums = {name: sums_of(core, window, self.grid, values)[at] for name, values in summands.items()}
            yield Batch(number, sums, polygons)

    def _named(self, parts: NDArray[np.int64], window: Window) -> NDArray[np.int64]:
        """Return the objects of a tile with a margin of one pixel, given the parts."""
        core = parts[1:-1, 1:-1]
        edge = np.unique(edge_of(core))
        edge = edge[edge > 0]
        names = np.zeros(core.size, np.int64)
        names[positions(edge, window, self.grid)] = self.joined.renamed(edge)
        own = names[positions(core, window, self.grid)]
        ids = self.joined.renamed(parts[[0, -1]]), self.joined.renamed(parts[:, [0, -1]])
        found = np.empty_like(parts)
        found[1:-1, 1:-1] = np.where((own > 0) & (core > 0), own, core)
        found[[0, -1]], found[:, [0, -1]] = ids
        return found

    def _note(self, window: Window, found: NDArray[np.uint8]) -> None:
        """Store the corners of a tile; those at its bottom and right belong to the next tiles, if there are any."""
        height, width = self.grid.shape
        tall = window.height + (window.y + window.height == height)
        wide = window.width + (window.x + window.width == width)
        self.corners.write(Window(window.y, window.x, tall, wide), found[:tall, :wide])

    def across(self, row: int) -> Iterator[Batch]:
        """Yield the objects across tiles whose last row of tiles is at most `row`."""
        complete = sorted(number for number in self.open if self.joined.last[self.joined.at(number)] <= row)
        held: list[_Rings] = []
        for k, number in enumerate(complete, start=1):
            held.append(_closed(number, self.open.pop(number)))
            if k == len(complete) or sum(len(one.corner) for one in held) > TOGETHER:
                yield self._batch(held)
                held = []

    def _batch(self, held: list[_Rings]) -> Batch:
        keep = np.concatenate([self._simplified(own) for own in held])
        number, polygons = _polygons(_together(held), keep, self.grid)
        at = self.joined.at(number)
        return Batch(number, {name: values[at] for name, values in self.joined.sums.items()}, polygons)

    def _simplified(self, own: _Rings) -> NDArray[np.uint8]:
        """Return which vertices of the rings of an object remain."""
        keep = np.ones(len(own.corner), np.uint8)
        if not self.limit:
            return keep
        member, bound, whole = _divided(own.corner, *arcs(own.corner, own.flag, own.start))
        for first, last, window in _groups(own.corner, member, bound):
            part, edges = member[bound[first] : bound[last]], bound[first : last + 1] - bound[first]
            pieces = (np.arange(len(part)), edges, whole[first:last])
            found = simplify(own.corner[part], pieces, (self.corners.read(window), window.y, window.x), self.limit)
            keep[part[found == 0]] = 0
        return keep


def _divided(
    corner: NDArray[np.int32], member: NDArray[np.int64], bound: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Divide arcs whose bounding box is too large at their middle; return members, bounds, and which arcs are whole.

    The middle is that of the whole arc, which has the same vertices on both of its sides.
    """
    large = _areas(corner[member], bound) > LARGEST
    if not large.any():
        return member, bound, ~large
    parts, whole = list[NDArray[np.int64]](), list[bool]()
    for (first, last), divided in zip(pairwise(bound.tolist()), large.tolist(), strict=True):
        waiting = [member[first:last]]
        while waiting:
            one = waiting.pop()
            if divided and len(one) > 2 and _areas(corner[one], np.array([0, len(one)]))[0] > LARGEST:
                middle = len(one) // 2
                waiting += [one[middle:], one[: middle + 1]]
            else:
                parts.append(one)
                whole.append(not divided)
    return np.concatenate(parts), np.cumsum([0, *map(len, parts)]), np.array(whole)


def _areas(corner: NDArray[np.int32], bound: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of corners in the bounding box of each arc (M,)."""
    if len(bound) < 2:
        return np.zeros(0, np.int64)
    low, high = (which.reduceat(corner, bound[:-1], axis=0) for which in (np.minimum, np.maximum))
    return np.asarray((high - low + 1).prod(1, dtype=np.int64))


def _groups(corner: NDArray[np.int32], member: NDArray[Any], bound: NDArray[Any]) -> Iterator[tuple[int, int, Window]]:
    """Divide arcs into runs of arcs whose bounding box is not too large; yield first arc, arc after the last, and box."""
    if len(bound) < 2:
        return
    low = np.minimum.reduceat(corner[member], bound[:-1], axis=0).tolist()
    high = np.maximum.reduceat(corner[member], bound[:-1], axis=0).tolist()
    first, box = 0, (*low[0], *high[0])
    for k in range(1, len(low)):
        wider = (min(box[0], low[k][0]), min(box[1], low[k][1]), max(box[2], high[k][0]), max(box[3], high[k][1]))
        if (wider[2] - wider[0] + 1) * (wider[3] - wider[1] + 1) > LARGEST:
            yield first, k, _window(box)
            first, box = k, (*low[k], *high[k])
        else:
            box = wider
    yield first, len(low), _window(box)


def _window(box: tuple[int, ...]) -> Window:
    return Window(box[0], box[1], box[2] - box[0] + 1, box[3] - box[1] + 1)


def _chosen(all_rings: _Rings, chosen: NDArray[np.bool_]) -> _Rings:
    """Return some of the rings."""
    size = np.diff(all_rings.start)
    inside = np.repeat(chosen, size)
    start = np.concatenate([[0], np.cumsum(size[chosen])])
    return _Rings(all_rings.corner[inside], all_rings.flag[inside], start, all_rings.owner[chosen])


def _together(held: list[_Rings]) -> _Rings:
    """Return the rings of several objects as one."""
    size = np.concatenate([np.diff(one.start) for one in held])
    corner, flag, owner = (np.concatenate([getattr(one, name) for one in held]) for name in ("corner", "flag", "owner"))
    return _Rings(corner, flag, np.concatenate([[0], np.cumsum(size)]), owner)


def _closed(number: int, pieces: list[_Piece]) -> _Rings:
    """Put the rings of an object together from the pieces of its border."""
    found = [[piece] for piece in pieces if piece.first < 0]
    by_key = {piece.first: piece for piece in pieces if piece.first >= 0}
    while by_key:
        key, piece = by_key.popitem()
        found.append([piece])
        while piece.after != key:
            piece = by_key.pop(piece.after)
            found[-1].append(piece)
    size = [sum(len(piece.flag) for piece in ring) for ring in found]
    corner = np.concatenate([piece.corner for ring in found for piece in ring])
    flag = np.concatenate([piece.flag for ring in found for piece in ring])
    return _Rings(corner, flag, np.concatenate([[0], np.cumsum(size)]), np.full(len(found), number))


def _polygons(own: _Rings, keep: NDArray[np.uint8], grid: Grid) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the numbers of the objects, ascending, and their polygons, of the vertices that remain."""
    corner = own.corner[keep > 0]
    size = np.add.reduceat(keep, own.start[:-1], dtype=np.int64)
    start = np.concatenate([[0], np.cumsum(size)])
    order = np.lexsort((doubled_areas(corner, start) < 0, own.owner))  # the shell of each object comes first
    closed = size[order] + 1
    ring = np.concatenate([[0], np.cumsum(closed)])
    vertex = np.arange(ring[-1]) + np.repeat(start[:-1][order] - ring[:-1], closed)
    vertex[ring[1:] - 1] = start[:-1][order]
    number, first = np.unique(own.owner[order], return_index=True)
    a = grid.transform
    xy = np.column_stack([a.c + a.a * corner[vertex, 1], a.f + a.e * corner[vertex, 0]])
    offsets = (ring, np.append(first, len(order)))
    return number, shapely.from_ragged_array(shapely.GeometryType.POLYGON, xy, offsets)
