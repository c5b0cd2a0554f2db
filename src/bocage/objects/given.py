"""Objects of another program: their numbers on the grid of a source, from 1 in the order of the first pixels."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SourceError
from bocage.grid import Grid, Window
from bocage.objects.segment import Objects
from bocage.progress import Progress
from bocage.sources.base import Decoding
from bocage.sources.placement import nests, touches
from bocage.sources.raster import inspect, read

TILE = 1024
"""Side of the tiles in pixels."""
MOST = np.iinfo(np.int64).max
"""Largest object number."""
Ids = Callable[[Window], NDArray[np.int64]]


def take_over(path: Path, grid: Grid, progress: Progress) -> Objects:
    """Return the objects of a raster of object numbers on a grid.

    A pixel has the object at its centre. Equal numbers are one object, connected or not.

    Raises
    ------
    SourceError
        The raster cannot be read, its numbers are not whole, or it has no object on the grid.
    """
    info = inspect(path)
    if info.count != 1 or np.dtype(info.dtype).kind not in "iu":
        raise SourceError(
            f"[segment] ids: {path} has {info.count} band(s) of {info.dtype}. Give a raster of one band of whole numbers."
        )
    if not touches(info.grid, grid, grid.window):
        raise SourceError(
            f"[segment] ids: {path} ({info.grid.bounds} in {info.grid.crs_name}) is outside the map ({grid})."
        )
    if nests(info.grid, grid) is None:
        progress.say(
            f"{path.name}: its grid ({info.grid}) is not that of the objects ({grid}); the nearest pixel is taken."
        )
    found = numbered(lambda window: object_numbers(path, grid, window), grid, progress)
    if not found.count:
        raise SourceError(f"[segment] ids: {path} has no object on the map.")
    return found


def numbered(ids_of: Ids, grid: Grid, progress: Progress) -> Objects:
    """Return objects from numbers of any order; `ids_of` returns those of the pixels of a window, 0 for no object."""
    known, number = _numbers(ids_of, grid, progress)
    return Objects(_tiles(ids_of, grid, known, number), len(known), 0, 0)


def _tiles(
    ids_of: Ids, grid: Grid, known: NDArray[np.int64], number: NDArray[np.int64]
) -> Iterator[tuple[Window, NDArray[np.uint32]]]:
    for window in grid.tiles(TILE):
        ids = ids_of(window)
        at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        yield window, np.where(ids > 0, number[at], 0).astype(np.uint32)


def _numbers(ids_of: Ids, grid: Grid, progress: Progress) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of the objects, ascending, and the rank of the first pixel of each, from 1."""
    known, first = np.zeros(0, np.int64), np.zeros(0, np.int64)
    windows = list(grid.tiles(TILE))
    for done, window in enumerate(windows, start=1):
        ids = ids_of(window)
        here, at = np.unique(ids, return_index=True)
        row, column = np.divmod(at, window.width)
        place = (window.y + row) * grid.shape[1] + window.x + column
        both, places = np.concatenate([known, here[here > 0]]), np.concatenate([first, place[here > 0]])
        order = np.lexsort((places, both))
        both, places = both[order], places[order]
        new = np.append(True, both[1:] != both[:-1])[: len(both)]
        known, first = both[new], places[new]
        progress.step("finding objects", done, len(windows))
    number = np.empty(len(known), np.int64)
    number[np.argsort(first)] = np.arange(1, len(known) + 1)
    return known, number


def object_numbers(path: Path, grid: Grid, window: Window) -> NDArray[np.int64]:
    """Return the object numbers of a raster at the centres of the pixels of a window; 0 for none.

    Raises
    ------
    SourceError
        A number is above 2^63 - 1, as half of the 64-bit hashes are.
    """
    (values,), (there,) = read(path, [1], grid, window, "nearest", Decoding())
    found = np.where(there, values, np.zeros(1, values.dtype))
    if (largest := found.max(initial=0)) > MOST:
        raise SourceError(f"{path} has the object number {largest}, which is above {MOST}. Renumber its objects.")
    return np.maximum(found.astype(np.int64), 0)
