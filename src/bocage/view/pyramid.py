"""Tiles of a map in its own CRS: levels whose pixels are those of the map, doubled or halved."""

import math
from dataclasses import dataclass

from bocage.grid import Grid

TILE = 256
"""Side of a tile, in pixels."""


@dataclass(frozen=True)
class Pyramid:
    """Tiles of all levels; row 0 and column 0 start at the north-west corner of the map."""

    grid: Grid
    """Grid of the map."""
    finest: float
    """Pixel size of the finest imagery, in CRS units."""

    @property
    def native(self) -> int:
        """Level whose pixels are those of the map; the whole map is in one tile of level 0."""
        return max(0, math.ceil(math.log2(max(self.grid.shape) / TILE)))

    @property
    def deepest(self) -> int:
        """Level of the finest imagery, at most 8 levels below that of the map."""
        return self.native + min(8, max(0, math.ceil(math.log2(self.grid.resolution / self.finest) - 1e-6)))

    @property
    def resolutions(self) -> list[float]:
        """Pixel size of every level, in CRS units."""
        return [self.grid.resolution * 2.0 ** (self.native - level) for level in range(self.deepest + 1)]

    def tile(self, level: int, row: int, column: int) -> Grid | None:
        """Return the grid of a tile; None if it is not in the map."""
        if not 0 <= level <= self.deepest:
            return None
        scale = 2.0 ** (self.native - level)
        height, width = (math.ceil(n / (TILE * scale)) for n in self.grid.shape)
        if not (0 <= row < height and 0 <= column < width):
            return None
        transform = self.grid.transform
        moved = transform @ transform.translation(column * TILE * scale, row * TILE * scale) @ transform.scale(scale)
        return Grid.of(self.grid.crs, moved, (TILE, TILE))
