"""Class codes of a map on disk: read by window, beside a reference raster, counted, or sampled at random."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.grid import Grid, Ratio, Window
from bocage.legend import Legend
from bocage.scene import Cube, Preparation
from bocage.sources import image, open_source


def codes_beside(
    truth: Path, classes: Path, grid: Grid, tile: int = 1024
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield the codes (truth, map) of the whole grid, window by window.

    The truth is resampled to the map pixels by its most frequent code (mode).
    """
    cubes = [
        Cube(open_source(name, image, image.Settings(path)), grid, Ratio(), Preparation(resampling="mode"))
        for name, path in (("truth", truth), ("map", classes))
    ]
    for window in grid.tiles(tile):
        truth_codes, map_codes = (np.rint(cube.read(window).values[0, 0]).astype(np.int64) for cube in cubes)
        yield truth_codes, map_codes


def count_codes(classes: Path, legend: Legend, grid: Grid, tile: int = 1024) -> NDArray[np.int64]:
    """Return the number of map pixels of each class (K,), counted window by window."""
    return np.asarray(_histogram(classes, grid, tile)[list(legend.codes)])


def _histogram(classes: Path, grid: Grid, tile: int) -> NDArray[np.int64]:
    """Return the number of pixels of each possible code (65536,)."""
    counts = np.zeros(65536, np.int64)
    for window in grid.tiles(tile):
        counts += np.bincount(read_codes(classes, grid, window).ravel(), minlength=65536)
    return counts


def locate(classes: Path, grid: Grid, wanted: Mapping[int, int], seed: int, tile: int = 1024) -> NDArray[np.int64]:
    """Draw random pixels of a map without replacement; return row, column and code (n, 3).

    `wanted` is the number of pixels to draw for each code. The ranks of the drawn pixels within their class are drawn first,
    then the map is read window by window.
    """
    generator, counts = np.random.default_rng(seed), _histogram(classes, grid, tile)
    ranks = {code: np.sort(generator.choice(int(counts[code]), n, replace=False)) for code, n in wanted.items() if n}
    before, found = dict.fromkeys(ranks, 0), [np.zeros((0, 3), np.int64)]
    for window in grid.tiles(tile):
        codes = read_codes(classes, grid, window)
        for code, chosen in ranks.items():
            rows, columns = np.nonzero(codes == code)
            inside = chosen[(chosen >= before[code]) & (chosen < before[code] + len(rows))] - before[code]
            place = (rows[inside] + window.y, columns[inside] + window.x, np.full(len(inside), code))
            found.append(np.stack(place, 1).astype(np.int64))
            before[code] += len(rows)
    return np.concatenate(found)


def read_codes(classes: Path, grid: Grid, window: Window) -> NDArray[np.int64]:
    """Read a window of the codes of a map; 0 is nodata or outside the map."""
    cube = Cube(open_source("map", image, image.Settings(classes)), grid, Ratio(), Preparation(resampling="mode"))
    return np.asarray(np.rint(cube.read(window).values[0, 0]), np.int64)
