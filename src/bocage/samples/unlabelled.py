"""Unlabelled pixels for pretraining and adaptation: pixels of random squares of the scene, or rows of a table."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SamplesError
from bocage.grid import Grid, Window
from bocage.progress import Progress
from bocage.samples.chips import Chips
from bocage.samples.cut import Needs, cut
from bocage.samples.rasterise import Pixels
from bocage.scene import Scene

NONE = -1
"""Label of an unlabelled pixel."""
SIDE = 8
"""Side of a square, in map pixels: neighbouring pixels share most of their footprints, so less data is read."""
AT_ONCE = 256
"""Number of squares that are compared with an area at a time."""


class Area(Protocol):
    """A part of the map."""

    def around(self, grid: Grid) -> Window:
        """Return a window of the grid that contains the area."""

    def contains(self, grid: Grid, row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether the centre of each pixel is inside; arrays of one shape."""


@dataclass(frozen=True)
class Drawing:
    """How pixels are drawn from a scene."""

    seed: int
    area: Area | None = None
    """Area inside which pixels are drawn; None: the whole scene. A table has none."""

    def pixels(self, scene: Scene, many: int, first: int = 0, side: int = SIDE) -> Pixels:
        """Draw about `many` pixels, in squares of `side` pixels; each square has its own polygon number, from `first`.

        Of a square that is partly in the area, the pixels inside are drawn. A small area may have fewer pixels.
        """
        if self.area is None or scene.ids is not None:
            return scatter(scene, many, self.seed, first, side)
        row, column, square = self._drawn(scene.grid, self.area, many, side)
        return _pixels(row, column, first + np.unique(square, return_inverse=True)[1].ravel())

    def _drawn(self, grid: Grid, area: Area, many: int, side: int) -> NDArray[np.int64]:
        """Return row, column and square of pixels inside an area, (3, N), in the order of the squares on the map."""
        around, (height, width) = area.around(grid), grid.shape
        top, left = around.y // side, around.x // side
        columns = -(-(around.x + around.width) // side) - left
        rows = -(-(around.y + around.height) // side) - top
        order = np.random.default_rng(self.seed).permutation(rows * columns)
        y, x = np.mgrid[:side, :side]
        found = np.zeros((3, 0), np.int64)
        for start in range(0, len(order), AT_ONCE):
            square = order[start : start + AT_ONCE, None, None]
            row, column = (top + square // columns) * side + y, (left + square % columns) * side + x
            inside = (row < height) & (column < width) & area.contains(grid, row, column)
            each = np.stack([row, column, np.broadcast_to(square, row.shape)])
            found = np.concatenate([found, each[:, inside]], 1)
            if found.shape[1] >= many:
                last = found[2, max(many, 1) - 1]  # the square that has the last pixel is drawn entirely
                found = found[:, : np.flatnonzero(found[2] == last)[-1] + 1]
                break
        return found[:, np.lexsort((found[1], found[0], found[2]))]


def scatter(scene: Scene, many: int, seed: int, first: int = 0, side: int = SIDE) -> Pixels:
    """Draw about `many` pixels of the scene, in squares of `side` pixels; each has its own polygon number, from `first`."""
    generator = np.random.default_rng(seed)
    height, width = scene.grid.shape
    if scene.ids is not None:
        row = np.sort(generator.permutation(height)[:many]).astype(np.int32)
        return _pixels(row, np.zeros_like(row), first + np.arange(len(row)))
    side = min(side, height, width)
    rows, columns = height // side, width // side
    chosen = np.sort(generator.permutation(rows * columns)[: max(1, many // side**2)])
    y, x = (part.ravel() for part in np.mgrid[:side, :side])
    row = (chosen // columns * side)[:, None] + y
    column = (chosen % columns * side)[:, None] + x
    return _pixels(row.ravel(), column.ravel(), first + np.repeat(np.arange(len(chosen)), side**2))


def _pixels(row: np.ndarray, column: np.ndarray, polygon: np.ndarray) -> Pixels:
    label = np.full(len(row), NONE, np.int16)
    return Pixels(row.astype(np.int32), column.astype(np.int32), label, polygon.astype(np.int32))


def joined(first: Pixels, second: Pixels) -> Pixels:
    """Return the pixels of `first`, followed by the pixels of `second`."""
    fields = ("row", "column", "label", "polygon")
    return Pixels(*(np.concatenate([getattr(first, name), getattr(second, name)]) for name in fields))


@contextmanager
def cut_pixels(scene: Scene, pixels: Pixels, needs: Needs, folder: Path, progress: Progress) -> Iterator[Chips]:
    """Yield the footprints of the pixels that have valid data; remove the files at the end.

    Raises
    ------
    SamplesError
        No pixel has valid data, or the disk has not enough room.
    """
    with cut_valid(scene, pixels, needs, folder, progress) as chips:
        if not len(chips.label):
            raise SamplesError("All pixels drawn from the scene are masked. Check nodata and the list of clear values.")
        yield chips


@contextmanager
def cut_valid(scene: Scene, pixels: Pixels, needs: Needs, folder: Path, progress: Progress) -> Iterator[Chips]:
    """Yield the footprints of the pixels that have valid data, perhaps none; remove the files at the end."""
    try:
        cuts, usable = cut(scene, pixels, needs, folder, progress)
        kept = np.flatnonzero(usable)
        left = pixels.take(kept)
        yield Chips({name: replace(source, index=kept) for name, source in cuts.items()}, left.label, left.polygon)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
