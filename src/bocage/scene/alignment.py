"""Windows of a map that lie within the blocks of its files.

A window that starts at a block reads, with its halo, the first rows and columns of the blocks below and to the right of it, long
before these are read for their own windows. A window that starts earlier, by the halo, ends where they begin: it reads its own
block, and the last rows and columns of the blocks above and to the left, which are kept (:mod:`bocage.sources.edges`). Each
block is then decoded once.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from bocage.grid import Window
from bocage.scene.cube import Cube
from bocage.sources import Source
from bocage.sources.block_cache import SMALLEST
from bocage.sources.edges import ROOM
from bocage.sources.files import is_virtual
from bocage.sources.placement import nests
from bocage.sources.raster import block_of, inspect

TOGETHER = 3 * 6 * 256 * 256
"""Map pixels whose blocks are kept: three columns of blocks of 256 pixels, of a square of 1024 pixels and its halo."""
WHOLE = 512 << 20
"""Bytes of the largest scene that is read with the block cache alone."""
SQUARE = 1024
"""Side in map pixels of the largest square whose windows are computed before those of the next one."""


@dataclass(frozen=True)
class Alignment:
    """Windows of a map that lie within the blocks of its files."""

    origin: tuple[int, int]
    """Row and column of the map where a window starts: those of a block of the largest source, less the halo."""
    block: tuple[int, int]
    """Rows and columns of a block of this source, in map pixels."""
    square: tuple[int, int]
    """Rows and columns of the largest blocks of all sources, in map pixels."""
    widths: Mapping[Path, int]
    """File → rows and columns at the south and east edges of its blocks that windows need, in pixels of the file."""
    decoded: float
    """Bytes of the decoded blocks of these files at one place of the map."""
    stored: float
    """Bytes of these files per map pixel."""

    def lead(self, tile: int) -> tuple[int, int]:
        """Return the rows and columns by which the first windows of `tile` pixels start before the map, less than `tile`."""
        return -self.origin[0] % tile, -self.origin[1] % tile

    def order(self, window: Window) -> tuple[int, ...]:
        """Return a key by which windows are ordered for reading: by the largest blocks, within them by blocks, and by rows."""
        y, x = window.y - self.origin[0], window.x - self.origin[1]
        return *(y // self.square[0], x // self.square[1]), *(y // self.block[0], x // self.block[1]), y, x


class Surroundings(Protocol):
    """Pixels of a source that a network reads around a map pixel."""

    @property
    def size(self) -> int:
        """Side in pixels of the source."""

    @property
    def before(self) -> int:
        """Number of pixels above, and left of, the first pixel of the source in the map pixel."""


def halos_of(footprints: Mapping[str, Surroundings], cubes: Mapping[str, Cube]) -> dict[str, int]:
    """Return source → number of its pixels that a network reads on each side of a window: the larger one of both sides."""
    return {name: max(one.before, one.size - one.before - cubes[name].ratio.finer) for name, one in footprints.items()}


def aligned(
    cubes: Mapping[str, Cube], shape: tuple[int, int], halos: Mapping[str, int], tile: int, step: int = 1
) -> Alignment | None:
    """Return how windows of `tile` pixels are aligned with the blocks of the sources.

    None if the block cache holds enough blocks without it, if such windows do not fit to the blocks of the source with the most
    bytes, or if the edges to be kept are too large. It depends on the scene and on the network, and not on the machine.

    Parameters
    ----------
    shape
        Height and width of the map.
    halos
        Source → number of its pixels that a network reads on each side of a window.
    step
        Number of map pixels at whose multiples a window starts.
    """
    files = {name: _files(cubes[name]) for name in halos}
    stored = sum(map(_stored, files.values()))
    if TOGETHER * stored <= SMALLEST or shape[0] * shape[1] * stored <= WHOLE:
        return None
    main = max(files.values(), key=_stored)[0]
    if not main.fits(main, tile) or main.y % step or main.x % step:
        return None
    shift = math.ceil(max(_reach(cubes[name], halo) for name, halo in halos.items()) / step) * step
    fitting = [one for own in files.values() for one in own if one.fits(main, tile)]
    kept = [one for one in fitting if one.width(2 * shift) <= min(one.block)]
    if main not in kept or sum(one.edges(2 * shift, shape) for one in kept) > ROOM:
        return None
    rows, columns = (
        int(max(one.sides[axis] for one in kept if one.sides[axis] <= max(SQUARE, main.sides[axis]))) for axis in (0, 1)
    )
    return Alignment(
        (int(main.y) - shift, int(main.x) - shift),
        (int(main.sides[0]), int(main.sides[1])),
        (rows, columns),
        {one.path: one.width(2 * shift) for one in kept},
        sum(one.decoded for one in kept),
        _stored(kept),
    )


@dataclass(frozen=True)
class _File:
    """A file, and how its blocks lie on the map."""

    path: Path
    block: tuple[int, int]
    """Rows and columns of a block in pixels of the file."""
    y: float
    x: float
    """Row and column of the map where its first block starts."""
    scale: float
    """Map pixels along the side of a pixel of the file; 0 if it is warped onto the map, or virtual, with the blocks of others."""
    depth: float
    """Bytes per pixel of the bands that are read, and of their masks. A mosaic has several files of a date, of which one is read
    in most places."""

    @property
    def sides(self) -> tuple[float, float]:
        """Rows and columns of a block in map pixels."""
        return self.block[0] * self.scale, self.block[1] * self.scale

    @property
    def decoded(self) -> float:
        """Bytes of a block of each band that is read."""
        return self.block[0] * self.block[1] * self.depth

    def fits(self, main: "_File", tile: int) -> bool:
        """Return whether windows of `tile` pixels that start at a block of `main` lie within blocks, or consist of blocks."""
        apart = self.y - main.y, self.x - main.x
        return self.scale > 0 and all(
            (side % tile == 0 or tile % side == 0) and gap % min(side, tile) == 0
            for side, gap in zip(self.sides, apart, strict=True)
        )

    def width(self, pixels: int) -> int:
        """Return the rows or columns of the file that `pixels` rows or columns of the map touch."""
        return math.ceil(pixels / self.scale) + (self.scale > 1)

    def edges(self, pixels: int, shape: tuple[int, int]) -> float:
        """Return the bytes of the edges that are kept for a map of `shape`: those of a row of blocks, and of a block."""
        return self.width(pixels) * self.depth * (shape[1] / self.scale + self.block[0])


def _reach(cube: Cube, halo: int) -> float:
    """Return the map pixels on each side of a window that it depends on."""
    return (halo + cube.halo) * cube.ratio.coarser / cube.ratio.finer


def _stored(files: Sequence[_File]) -> float:
    """Return the bytes of some files per map pixel, without those of files that are warped."""
    return sum(one.depth / one.scale**2 for one in files if one.scale)


def _files(cube: Cube) -> list[_File]:
    """Return the files that a cube is read from; none if it is prepared."""
    source = cube.source
    if not isinstance(source, Source) or cube.prepared:
        return []
    bands = defaultdict[Path, list[int]](list)
    for one in source.acquisitions:
        for file in (*one.files.values(), *one.quality.values()):
            bands[file.path].append(file.index)
    share = len(source.dates) / len(source.acquisitions)
    return [_file(path, indexes, share, cube) for path, indexes in bands.items()]


def _file(path: Path, indexes: Sequence[int], share: float, cube: Cube) -> _File:
    info, to_map = inspect(path), cube.ratio.coarser / cube.ratio.finer
    span = 0 if info.turned or is_virtual(path) else nests(info.grid, cube.grid) or 0
    y, x = (round(n) * to_map for n in cube.grid.offset_of(info.grid)) if span else (0, 0)
    depth = share * sum(np.dtype(info.dtypes[i - 1]).itemsize + info.masked[i - 1] for i in indexes)
    return _File(path, block_of(path), y, x, span * to_map, depth)
