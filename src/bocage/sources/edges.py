"""Last rows and columns of decoded blocks of raster files.

A window with a halo reads a few rows and columns of the blocks above and to the left of its own. GDAL can only decode whole
blocks, and a year of Sentinel-2 has hundreds of bands, of which the block cache holds one or two blocks each. The last rows and
columns of each decoded block are therefore kept here: the window decodes its own block only.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window as RioWindow

from bocage.grid import Window
from bocage.sources.handles import Key

ROOM = 256 << 20
"""Most bytes of rows and columns that are kept; the ones that were not used for the longest time are dropped."""


class _Edge(NamedTuple):
    """Pixels (band, y, x) at the south and east edges of a block."""

    block: Window
    """The block, in pixels of the file."""
    south: NDArray[Any]
    east: NDArray[Any]

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.south.nbytes + self.east.nbytes

    def pixels(self, part: Window) -> NDArray[Any] | None:
        """Return the pixels of a part of the block; None if it is not within one edge."""
        y, x = part.y - self.block.y, part.x - self.block.x
        above, left = self.block.height - self.south.shape[1], self.block.width - self.east.shape[2]
        if y >= above:
            return self.south[:, y - above : y - above + part.height, x : x + part.width]
        if x >= left:
            return self.east[:, y : y + part.height, x - left : x - left + part.width]
        return None


class _Edges:
    """Edges of blocks in order of use, and the width to keep for each file."""

    def __init__(self) -> None:
        self.widths: Mapping[Path, int] = {}
        self.found, self.bytes, self.lock = OrderedDict[Any, _Edge](), 0, threading.Lock()

    def get(self, key: Any) -> _Edge | None:
        with self.lock:
            if key not in self.found:
                return None
            self.found.move_to_end(key)
            return self.found[key]

    def put(self, key: Any, edge: _Edge) -> None:
        with self.lock:
            self._drop(key)
            self.found[key] = edge
            self.bytes += edge.size
            while self.bytes > ROOM:
                self._drop(next(iter(self.found)))

    def _drop(self, key: Any) -> None:
        if key in self.found:
            self.bytes -= self.found.pop(key).size


_EDGES = _Edges()


def keep_edges(widths: Mapping[Path, int]) -> None:
    """Keep the edges of the decoded blocks of some files from now on, and forget those of all others.

    Parameters
    ----------
    widths
        Path → number of rows and columns at the south and east edges of each block, at most the side of a block.
    """
    with _EDGES.lock:
        if widths != _EDGES.widths:
            _EDGES.widths = dict(widths)
            _EDGES.found.clear()
            _EDGES.bytes = 0


@contextmanager
def no_edges_after() -> Iterator[None]:
    """Forget all edges on exit: what is read later needs no others."""
    try:
        yield
    finally:
        keep_edges({})


def read_blocks(dataset: Any, key: Key, indexes: tuple[int, ...], window: Window, masks: bool = False) -> NDArray[Any]:
    """Return the pixels (band, y, x) of a window inside a dataset, with the edges of blocks that were decoded before.

    Parameters
    ----------
    key
        Path and state of the file; edges of another state are not used.
    masks
        Whether to read the masks of the bands instead, uint8: 0 is no data.
    """
    read, width = _Reader(dataset, indexes, masks), _EDGES.widths.get(key[0], 0)
    if not width:
        return read(window)
    parts = [_piece(read, (key, indexes, masks, block), width, window) for block in _blocks(dataset, window)]
    if len(parts) == 1:
        return parts[0][1]
    found = np.empty((len(indexes), window.height, window.width), parts[0][1].dtype)
    for part, pixels in parts:
        found[(slice(None), *part.within(window))] = pixels
    return found


@dataclass(frozen=True)
class _Reader:
    """Reads bands of a dataset, or their masks."""

    dataset: Any
    indexes: tuple[int, ...]
    masks: bool

    def __call__(self, window: Window) -> NDArray[Any]:
        """Return the pixels (band, y, x) of a window."""
        read = self.dataset.read_masks if self.masks else self.dataset.read
        return np.asarray(read(list(self.indexes), window=RioWindow(window.x, window.y, window.width, window.height)))


def _piece(
    read: _Reader, place: tuple[Key, tuple[int, ...], bool, Window], width: int, window: Window
) -> tuple[Window, NDArray[Any]]:
    """Return the part of a window in a block, and its pixels. The edges of a block that is decoded are kept."""
    block, edge = place[-1], _EDGES.get(place)
    part = window.clip_to(block)
    if edge is not None and (kept := edge.pixels(part)) is not None:
        return part, kept
    pixels = read(part)
    if edge is None:
        high, wide = min(width, block.height), min(width, block.width)
        south = Window(block.y + block.height - high, block.x, high, block.width)
        east = Window(block.y, block.x + block.width - wide, block.height, wide)
        _EDGES.put(place, _Edge(block, *(_strip(read, one, part, pixels) for one in (south, east))))
    return part, pixels


def _strip(read: _Reader, strip: Window, part: Window, pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the pixels of an edge: of a part of the block that was just read, if the edge lies in it, or from the file."""
    inside = strip.clip_to(part) == strip
    found = pixels[(slice(None), *strip.within(part))].copy() if inside else read(strip)
    found.setflags(write=False)  # several windows read it
    return found


def _blocks(dataset: Any, window: Window) -> Iterator[Window]:
    """Yield the blocks of a dataset that a window touches."""
    rows, columns = dataset.block_shapes[0]
    for y in range(window.y // rows * rows, window.y + window.height, rows):
        for x in range(window.x // columns * columns, window.x + window.width, columns):
            yield Window(y, x, rows, columns).clip(dataset.shape)
