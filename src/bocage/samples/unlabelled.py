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
CELL, PLACES = 512, 32
"""Side of a cell of the map, in pixels, and the number of cells in which pixels that describe a large scene are drawn: files
are decoded by blocks, and as many squares all over a Sentinel-2 tile lie in two thirds of the blocks of a JPEG 2000."""


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
    places: int = 0
    """Number of cells that have the pixels, as far as the area fills them; 0: they may be anywhere."""

    def pixels(self, scene: Scene, many: int, first: int = 0, side: int = SIDE) -> Pixels:
        """Draw about `many` pixels, in squares of `side` pixels; each square has its own polygon number, from `first`.

        With `places`, squares of a scene of more cells have the number of their cell.

        Of a square that is partly in the area, the pixels inside are drawn. A small area may have fewer pixels.
        """
        if self.area is None or scene.ids is not None:
            return scatter(scene, many, self.seed, first, side, self.places)
        row, column, unit = self._drawn(scene.grid, self.area, many, side)
        return _pixels(row, column, first + np.unique(unit, return_inverse=True)[1].ravel())

    def _drawn(self, grid: Grid, area: Area, many: int, side: int) -> NDArray[np.int64]:
        """Return row, column and unit of pixels inside an area, (3, N), in the order of the squares on the map."""
        around, (height, width) = area.around(grid), grid.shape
        top, left = around.y // side, around.x // side
        rows = -(-(around.y + around.height) // side) - top
        squares = _Squares(rows, -(-(around.x + around.width) // side) - left, side, self.places)
        y, x = np.mgrid[:side, :side]
        found = np.zeros((3, 0), np.int64)
        for part in squares.drawn(np.random.default_rng(self.seed)):
            square = part[:, None, None]
            row = (top + square // squares.columns) * side + y
            column = (left + square % squares.columns) * side + x
            inside = (row < height) & (column < width) & area.contains(grid, row, column)
            each = np.stack([row, column, np.broadcast_to(square, row.shape)])
            found = np.concatenate([found, each[:, inside]], 1)
            if found.shape[1] >= many:
                last = found[2, max(many, 1) - 1]  # the square that has the last pixel is drawn entirely
                found = found[:, : np.flatnonzero(found[2] == last)[-1] + 1]
                break
        row, column, square = found[:, np.lexsort((found[1], found[0], found[2]))]
        return np.stack([row, column, squares.unit(square)])


@dataclass(frozen=True)
class _Squares:
    """Squares of `side` pixels in a rectangle of the map, numbered along the rows, from its corner."""

    rows: int
    columns: int
    side: int
    places: int = 0

    @property
    def _each(self) -> int:
        """Number of squares along a side of a cell."""
        return max(1, CELL // self.side)

    @property
    def _across(self) -> int:
        return -(-self.columns // self._each)

    @property
    def _cells(self) -> int:
        return -(-self.rows // self._each) * self._across

    @property
    def _anywhere(self) -> bool:
        return not self.places or self._cells <= self.places

    def drawn(self, generator: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """Yield all squares in random order, in parts; with `places`, those of so many cells before those of the next cells."""
        if self._anywhere:
            yield from _parts(generator.permutation(self.rows * self.columns))
            return
        order = generator.permutation(self._cells)
        for start in range(0, len(order), self.places):
            cells = [generator.permutation(self._of(cell)) for cell in order[start : start + self.places]]
            turn = np.concatenate([np.arange(len(squares)) for squares in cells])  # a square of each cell in turn
            yield from _parts(np.concatenate(cells)[np.argsort(turn, kind="stable")])

    def _of(self, cell: int) -> NDArray[np.int64]:
        """Return the squares of a cell."""
        top, left = cell // self._across * self._each, cell % self._across * self._each
        row = np.arange(top, min(top + self._each, self.rows))
        column = np.arange(left, min(left + self._each, self.columns))
        return (row[:, None] * self.columns + column).ravel()

    def unit(self, square: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sampling unit of squares: the cell where only some cells have squares, otherwise the square."""
        if self._anywhere:
            return square
        return square // self.columns // self._each * self._across + square % self.columns // self._each


def _parts(order: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    yield from (order[start : start + AT_ONCE] for start in range(0, len(order), AT_ONCE))


def scatter(scene: Scene, many: int, seed: int, first: int = 0, side: int = SIDE, places: int = 0) -> Pixels:
    """Draw about `many` pixels of the scene, in squares, as :meth:`Drawing.pixels`; of a table, rows."""
    generator = np.random.default_rng(seed)
    height, width = scene.grid.shape
    if scene.ids is not None:
        row = np.sort(generator.permutation(height)[:many]).astype(np.int32)
        return _pixels(row, np.zeros_like(row), first + np.arange(len(row)))
    side = min(side, height, width)
    squares = _Squares(height // side, width // side, side, places)
    count, chosen = max(1, many // side**2), np.zeros(0, np.int64)
    for part in squares.drawn(generator):
        chosen = np.concatenate([chosen, part])
        if len(chosen) >= count:
            break
    chosen = np.sort(chosen[:count])
    y, x = (part.ravel() for part in np.mgrid[:side, :side])
    row = (chosen // squares.columns * side)[:, None] + y
    column = (chosen % squares.columns * side)[:, None] + x
    unit = np.unique(squares.unit(chosen), return_inverse=True)[1].ravel()
    return _pixels(row.ravel(), column.ravel(), first + np.repeat(unit, side**2))


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
