"""What a map on disk says: its codes by window, beside a truth, counted, or drawn at random."""

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
    """Yield (truth, map) codes of the whole grid, window by window; the truth's most frequent code in each map pixel."""
    cubes = [
        Cube(open_source(name, image, image.Settings(path)), grid, Ratio(), Preparation(resampling="mode"))
        for name, path in (("truth", truth), ("map", classes))
    ]
    for window in grid.tiles(tile):
        truth_codes, map_codes = (np.rint(cube.read(window).values[0, 0]).astype(np.int64) for cube in cubes)
        yield truth_codes, map_codes


def count_codes(classes: Path, legend: Legend, grid: Grid, tile: int = 1024) -> NDArray[np.int64]:
    """Count the map's pixels of every class (K,), window by window."""
    return np.asarray(_histogram(classes, grid, tile)[list(legend.codes)])


def _histogram(classes: Path, grid: Grid, tile: int) -> NDArray[np.int64]:
    """Pixels of every code there can be (65536,)."""
    counts = np.zeros(65536, np.int64)
    for window in grid.tiles(tile):
        counts += np.bincount(read_codes(classes, grid, window).ravel(), minlength=65536)
    return counts


def locate(classes: Path, grid: Grid, wanted: Mapping[int, int], seed: int, tile: int = 1024) -> NDArray[np.int64]:
    """Draw so many random pixels of every code of a map, without replacement: (n, 3) row, column and code.

    The map is read window by window; which pixels of a class are drawn is known beforehand by their rank.
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
    """Read a window of a map's codes; 0 where there is no data or no map."""
    cube = Cube(open_source("map", image, image.Settings(classes)), grid, Ratio(), Preparation(resampling="mode"))
    return np.asarray(np.rint(cube.read(window).values[0, 0]), np.int64)
