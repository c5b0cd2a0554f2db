"""Lattice of cells in which a network computes a map; windows consist of whole cells."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bocage.grid import Grid, Window
from bocage.models import MODELS, card_for, step_of
from bocage.scene import Alignment, Scene, aligned, halos_of, in_order, keep_blocks
from bocage.training import Trained

DENSE, SMALL = 256, 128
"""Side of a cell in map pixels. DENSE: for a network that computes a window in one piece and reads far around a pixel; the larger
the cell, the smaller the share of its halo. SMALL: for all others; the smaller the cell, the less memory its arrays need."""
HALO = 0.1
"""Share of the halo, relative to the pixels of the cell, that a small cell may have."""


def lattice(trained: Trained, shape: tuple[int, int], tile: int) -> tuple[tuple[int, int], int]:
    """Return the shape of the cells of a map of `shape` pixels, and the side of its windows: whole cells, `tile` at least."""
    far = _halo(trained, SMALL) > HALO
    side = DENSE if far and card_for(MODELS.get(trained.name), trained.config).dense == "exact" else SMALL
    step = step_of(trained.inputs, trained.model.step)
    cell = max(min(-(-side // step), -(-n // step)) * step for n in shape)
    return (cell, cell), -(-tile // cell) * cell


def _halo(trained: Trained, side: int) -> float:
    """Return the number of source pixels around a cell of `side` map pixels, relative to those in it: the largest of a source."""
    shares = []
    for name, footprint in trained.footprints.items():
        ratio = trained.inputs[name].ratio
        own = side * ratio.finer / ratio.coarser
        shares.append((1 + (footprint.size - ratio.finer) / own) ** 2 - 1)
    return max(shares, default=0.0)


@dataclass(frozen=True)
class Lattice:
    """Cells and windows of a map."""

    cell: tuple[int, int]
    """Height and width of a cell in map pixels."""
    tile: int
    """Side of a window in map pixels: whole cells."""
    alignment: Alignment | None = None
    """Blocks of the files within which the windows lie; None: the first window starts at the corner of the map."""
    bounds: Window | None = None
    """Window of the map, to which cells at its borders are cut; None: all cells have the same shape."""

    @classmethod
    def of(cls, trained: Trained, scene: Scene, tile: int) -> "Lattice":
        """Return the lattice of a map of windows of `tile` pixels, at least."""
        cell, side = lattice(trained, scene.grid.shape, tile)
        step = step_of(trained.inputs, trained.model.step)
        found = aligned(scene.cubes, scene.grid.shape, halos_of(trained.footprints, scene.cubes), side, step)
        # Cells that start before the map are otherwise a row and a column more, almost empty.
        height, width = (-(-n // step) * step for n in scene.grid.shape)
        return cls(cell, side, found, Window(0, 0, height, width) if found else None)

    @property
    def start(self) -> tuple[int, int]:
        """Row and column of the first window that starts inside the map, less than `tile`; those before it are cut to the map."""
        above, left = self.lead
        return -above % self.tile, -left % self.tile

    def cells(self, window: Window) -> Iterator[Window]:
        """Yield the cells that a window of the map touches."""
        (height, width), (y0, x0) = self.cell, self.start
        for y in range(window.y - (window.y - y0) % height, window.y + window.height, height):
            for x in range(window.x - (window.x - x0) % width, window.x + window.width, width):
                cell = Window(y, x, height, width)
                yield cell.clip_to(self.bounds) if self.bounds else cell

    @property
    def lead(self) -> tuple[int, int]:
        """Rows and columns of the first windows that are outside the map."""
        return self.alignment.lead(self.tile) if self.alignment else (0, 0)

    def windows(self, scene: Scene, names: Iterable[str]) -> list[Window]:
        """Return the windows of a map, ordered for reading the sources `names`, whose blocks are kept from now on."""
        cubes = [scene.cubes[name] for name in names]
        keep_blocks(cubes, self.alignment)
        return in_order(self.tiles(scene.grid), cubes, self.alignment)

    def tiles(self, grid: Grid) -> Iterator[Window]:
        """Iterate over the windows, row by row, cut to the grid."""
        (above, left), (height, width) = self.lead, grid.shape
        for y in range(-above, height, self.tile):
            for x in range(-left, width, self.tile):
                yield Window(y, x, self.tile, self.tile).clip(grid.shape)
