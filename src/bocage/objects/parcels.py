"""Parcels from the extent and the distance that a network has mapped: seeds in their middle, grown to their borders.

Seeds are connected pixels that are in a parcel and far from its boundary. They grow into lower and lower distances, one pixel
in a round, as water rises in a watershed. In a round, every pixel takes the seed of its neighbour with the largest distance, all
at once. A pixel is therefore computed from the :data:`REACH` pixels around it, so that parcels do not depend on the tiles. A
watershed of the whole image, as that of scikit-image, has no such limit.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SceneError
from bocage.grid import Grid, Window
from bocage.objects.connected import Codes, Joined, label_objects, positions, sums_of
from bocage.objects.given import numbered
from bocage.objects.scratch import Raster, Scratch
from bocage.objects.segment import Objects
from bocage.objects.settings import Segmenting
from bocage.progress import Progress
from bocage.sources.base import Decoding
from bocage.sources.raster import read

LEVELS, ROUNDS, LAST = 10, 3, 8
"""Number of levels of the distance, of rounds at each level, and of rounds at the lowest level."""
REACH = (LEVELS - 1) * ROUNDS + LAST
"""Number of rounds: pixels by which a seed can grow."""
LEAST = 4
"""Smallest seed, in pixels."""
NODATA = 255
"""Value of the layer without data."""


@dataclass(frozen=True)
class Outlines:
    """The layer "parcels" of a map, and the settings."""

    path: Path
    grid: Grid
    settings: Segmenting

    def read(self, window: Window) -> tuple[NDArray[np.bool_], NDArray[np.int16]]:
        """Return, for a window that may extend beyond the map, whether pixels are in a parcel, and the distance in hundredths."""
        inside = window.clip(self.grid.shape)
        values, there = read(self.path, [1, 3], self.grid, inside, "nearest", Decoding(nodata=NODATA))
        extent, distance = np.zeros((2, window.height, window.width), np.int16)
        at = inside.within(window)
        extent[at], distance[at] = np.where(there, values, 0).astype(np.int16)
        return extent >= round(100 * self.settings.extent), distance

    def seeds(self, window: Window) -> NDArray[np.uint8]:
        """Return 1 where a pixel is in the middle of a parcel."""
        inside, distance = self.read(window)
        return (inside & (distance >= self._core)).astype(np.uint8)

    @property
    def _core(self) -> int:
        return max(1, round(100 * self.settings.core))

    @property
    def levels(self) -> list[tuple[float, int]]:
        """Least distance of the pixels into which seeds grow, and number of rounds, level by level."""
        steps = np.linspace(self._core, 0, LEVELS + 1)[1:]
        return [(float(step), ROUNDS) for step in steps[:-1]] + [(0.0, LAST)]


def delineate(outlines: Outlines, scratch: Scratch, progress: Progress) -> Objects:
    """Return the parcels of the layer "parcels" of a map, on the grid of the map.

    Raises
    ------
    SceneError
        No pixel is in the middle of a parcel.
    """
    grid, tile, settings = outlines.grid, outlines.settings.tile, outlines.settings
    seeds, grown = (scratch.raster(name, grid.shape, "int64", tile) for name in ("seeds", "grown"))
    codes = Codes(grid, outlines.seeds, tile)
    joined = label_objects(codes, seeds, progress, lambda window, values: {"size": np.ones(values.shape)})
    for window in codes.windows:
        seeds.write(window, _large(seeds.read(window), window, grid, joined))
    for done, window in enumerate(codes.windows, start=1):
        grown.write(window, _grown(outlines, seeds, window))
        progress.step("growing parcels", done, len(codes.windows))
    found = numbered(grown.read, grid, progress)
    if not found.count:
        raise SceneError(
            f"[segment] parcels: no {LEAST} connected pixels have an extent of {settings.extent:g} and a distance of "
            f"{settings.core:g} in {outlines.path}. Reduce 'extent' or 'core'."
        )
    return found


def _large(ids: NDArray[np.int64], window: Window, grid: Grid, joined: Joined) -> NDArray[np.int64]:
    """Return the seeds of a tile with the numbers of their objects, without those below :data:`LEAST` pixels."""
    size = sums_of(ids, window, grid, np.ones(ids.shape))[positions(ids, window, grid)]
    if len(joined.objects):
        at = joined.find(ids)
        size = np.where(at >= 0, joined.sums["size"][at], size)
    return np.where(size >= LEAST, joined.renamed(ids), 0)


def _grown(outlines: Outlines, seeds: Raster, window: Window) -> NDArray[np.int64]:
    """Return the parcels of a tile, each with the number of its seed."""
    around = Window(window.y - REACH, window.x - REACH, window.height + 2 * REACH, window.width + 2 * REACH)
    (inside, distance), ids = outlines.read(around), seeds.read(around)
    for least, rounds in outlines.levels:
        free = inside & (distance >= least)
        for _ in range(rounds):
            taken = np.where(free & (ids == 0), _of_neighbours(ids, distance), 0)
            if not taken.any():
                break
            ids = ids + taken
    return ids[window.within(around)]


def _of_neighbours(ids: NDArray[np.int64], distance: NDArray[np.int16]) -> NDArray[np.int64]:
    """Return the number of the neighbour, over an edge, with the largest distance; of equal ones, the lowest number."""
    key = np.where(ids > 0, distance.astype(np.int64), -1)
    best, number = np.full(ids.shape, -1), np.zeros_like(ids)
    for here, there in _EDGES:
        value, own = key[there], ids[there]
        better = (value > best[here]) | ((value == best[here]) & (value >= 0) & (own < number[here]))
        best[here], number[here] = np.where(better, value, best[here]), np.where(better, own, number[here])
    return number


_ALL, _FIRST, _LAST = slice(None), slice(None, -1), slice(1, None)
_EDGES: tuple[tuple[Any, Any], ...] = (
    ((_LAST, _ALL), (_FIRST, _ALL)), ((_FIRST, _ALL), (_LAST, _ALL)),
    ((_ALL, _LAST), (_ALL, _FIRST)), ((_ALL, _FIRST), (_ALL, _LAST)),
)  # fmt: skip
"""Pixels, and their neighbours above, below, to the left and to the right."""
