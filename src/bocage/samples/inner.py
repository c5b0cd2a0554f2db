"""Inner pixels and border pixels of polygons, and a sample of both."""

import numpy as np
from numpy.typing import NDArray

from bocage.samples.rasterise import Pixels


def inner_pixels(pixels: Pixels) -> NDArray[np.bool_]:
    """Return whether the four neighbours of each pixel are pixels of the same polygon, (N,)."""
    width = np.int64(pixels.column.max(initial=0)) + 3
    cell = (pixels.row.astype(np.int64) + 1) * width + pixels.column + 1
    order = np.argsort(cell, kind="stable")
    cells, polygons = cell[order], pixels.polygon[order]
    inner = np.ones(len(cell), bool)
    for step in (-width, -1, 1, width):
        at = np.minimum(np.searchsorted(cells, cell + step), max(len(cells) - 1, 0))
        inner &= (cells[at] == cell + step) & (polygons[at] == pixels.polygon)
    return inner


def some_pixels(pixels: Pixels, inner: NDArray[np.bool_], most: int, seed: int) -> NDArray[np.int64]:
    """Return the positions of at most `most` pixels of each polygon, in their order; inner and border pixels alternate.

    Parameters
    ----------
    inner : (N,)
        Whether each pixel is an inner one.
    """
    chance = np.random.default_rng(seed).permutation(len(pixels))
    rank = _rank(np.stack([pixels.polygon, inner], 1), chance)
    position = _rank(pixels.polygon[:, None], 2 * rank + ~inner)
    return np.flatnonzero(position < most)


def _rank(group: NDArray[np.integer], value: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the rank of the value of each element within its group, from 0; equal values in any order."""
    number = np.unique(group, axis=0, return_inverse=True)[1].ravel()
    order = np.lexsort((value, number))
    first = np.concatenate([[0], np.cumsum(np.bincount(number))])[:-1] if len(number) else np.zeros(0, np.int64)
    rank = np.empty(len(number), np.int64)
    rank[order] = np.arange(len(number)) - first[number[order]]
    return rank
