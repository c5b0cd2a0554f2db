"""Decoded blocks of the files of a scene that are kept, so that neighbouring windows do not decode them again."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np

from bocage.grid import Ratio, Window
from bocage.scene.alignment import TOGETHER, Alignment, aligned
from bocage.scene.cube import Cube
from bocage.sources import Acquisition, BandFile, Source
from bocage.sources.block_cache import ALIGNED, block_cache, grow_block_cache
from bocage.sources.edges import keep_edges
from bocage.sources.raster import block_of, inspect

SPARE = 1.25
"""Blocks that the cache holds, relative to those at one place: some threads begin with the next blocks while others read."""


def keep_blocks(cubes: Iterable[Cube], alignment: Alignment | None = None) -> None:
    """Let GDAL keep the decoded blocks of some windows of some sources, within the limits of :func:`grow_block_cache`.

    A year of Sentinel-2 has hundreds of bands. With a cache for sixty, the windows decode each block again, because each of them
    touches nine blocks of every band. Of windows that are aligned with the blocks, those at one place are kept, and the edges of
    all others.
    """
    stored = sum(map(_stored_size, cubes))
    if alignment is None:
        keep_edges({})
        grow_block_cache(round(TOGETHER * stored))
    else:
        keep_edges(alignment.widths)
        others = max(0.0, stored - alignment.stored)
        grow_block_cache(round(SPARE * alignment.decoded + TOGETHER * others), ALIGNED)


def in_order(windows: Iterable[Window], cubes: Collection[Cube], alignment: Alignment | None = None) -> list[Window]:
    """Return windows of one size, ordered for reading: those of one block after those of another, or by strips."""
    if alignment is None:
        return in_strips(windows, cubes)
    return sorted(windows, key=alignment.order)


def block_by_block(cube: Cube, side: int) -> list[Window]:
    """Return the windows of `side` pixels of a cube, ordered for reading; the blocks of its files are kept from now on."""
    own = replace(cube, ratio=Ratio())
    alignment = aligned({cube.name: own}, cube.grid.shape, {cube.name: 0}, side)
    keep_blocks([own], alignment)
    return in_order(cube.grid.tiles(side), [own], alignment)


def in_strips(windows: Iterable[Window], cubes: Collection[Cube]) -> list[Window]:
    """Return windows of one size, ordered for reading: by strips of rows, and column by column within a strip.

    A strip is as high as the block cache allows. Of a window with a halo, the blocks around it are needed again for the windows
    beside it: three columns of blocks, or two of blocks that are larger than a window, as high as the strip and a block on each
    side, stay in the cache. Only the blocks at the edge of a strip are then decoded again.
    """
    windows = list(windows)
    side = max((window.height for window in windows), default=1)
    height = _strip(cubes, side)
    return sorted(windows, key=lambda window: (window.y // height, window.x, window.y))


def _strip(cubes: Collection[Cube], side: int) -> int:
    """Return the height of a strip in map pixels, for windows of `side` pixels; the blocks are those of the largest source."""
    main = max(cubes, key=_stored_size, default=None)
    if main is None or not _stored_size(main):
        return side
    ratio = main.ratio
    rows, columns = (max(1, n * ratio.coarser // ratio.finer) for n in block_of(_files(main)[0].path))
    room = block_cache() / (sum(map(_stored_size, cubes)) * rows * columns)
    across = 3 if side >= columns else 2

    def needed(height: int) -> int:
        high = math.ceil(height / rows) + 2 if height >= rows else 2  # a strip inside a block touches one more at most
        return high * across

    return max((height for height in (2 * side, 4 * side, 8 * side) if needed(height) <= room), default=side)


def _acquisitions(cube: Cube) -> Sequence[Acquisition]:
    """Return the acquisitions that are read from files of rasters; none if the cube is prepared."""
    source = cube.source
    return source.acquisitions if isinstance(source, Source) and not cube.prepared else ()


def _files(cube: Cube) -> list[BandFile]:
    """Return the files of the first acquisition of a cube."""
    return [file for one in _acquisitions(cube)[:1] for file in (*one.files.values(), *one.quality.values())]


def _stored_size(cube: Cube) -> float:
    """Return the bytes of the decoded files per map pixel, by the data types of the first acquisition; 0 if prepared."""
    one = sum(np.dtype(inspect(file.path).dtypes[file.index - 1]).itemsize for file in _files(cube))
    return float(one * len(_acquisitions(cube)) * cube.ratio.finer**2 / cube.ratio.coarser**2)
