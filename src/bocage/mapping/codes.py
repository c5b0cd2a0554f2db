"""Class codes of a map on disk: read by window, beside a reference raster, counted, or sampled at random."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import EvaluationError, SourceError
from bocage.grid import Grid, Ratio, Window
from bocage.legend import Legend
from bocage.scene import Cube, Preparation
from bocage.sources import check_overlap, image, open_source
from bocage.words import Note

LOOKED_AT = 64
"""Number of windows of a truth raster that are read before a training."""
TILE = 256
"""Pixels a side of the blocks in which single pixels are read."""
WINDOW = 1024
"""Pixels a side of the windows in which a whole map is read."""


def check_truth(truth: Path, grid: Grid, legend: Legend) -> Note | None:
    """Check that a raster of true class codes can be compared with a map; return what limits the comparison, if anything.

    Raises
    ------
    EvaluationError
        The raster cannot be read, has several bands, is elsewhere, or has no class of the legend on the map.
    """
    if not (grid.crs.proj.is_projected or grid.crs.proj.is_geographic):
        return None  # a table of samples has no place
    try:
        source = open_source("truth", image, image.Settings(truth))
        if len(source.bands) != 1:
            raise EvaluationError(
                f"[evaluation] truth {truth} has {len(source.bands)} bands; give a raster of one band."
            )
        check_overlap(source, grid)
        cube, windows = _cube("truth", truth, grid), list(grid.tiles(1024))
        share = _share(cube, windows[:: max(1, len(windows) // LOOKED_AT)], legend) or _share(cube, windows, legend)
    except SourceError as error:
        raise EvaluationError(f"[evaluation] {error}") from error
    if not share:
        raise EvaluationError(
            f"[evaluation] truth {truth} has no class of the legend on the map (codes {', '.join(map(str, legend.codes[:10]))})."
        )
    return Note.of("truth_partly", share=100 * share) if share < 0.995 else None


def _share(cube: Cube, windows: Sequence[Window], legend: Legend) -> float:
    """Return the share of the pixels of windows that have a class of the legend, 0 to 1."""
    right = [np.isin(_codes(cube, window), legend.codes) for window in windows]
    return float(sum(part.sum() for part in right) / sum(part.size for part in right))


def codes_beside(truth: Path, classes: Path, grid: Grid) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield (truth, map) codes of the whole grid, window by window; the truth's most frequent code in each map pixel."""
    cubes = [_cube(name, path, grid) for name, path in (("truth", truth), ("map", classes))]
    for window in grid.tiles(WINDOW):
        truth_codes, map_codes = (_codes(cube, window) for cube in cubes)
        yield truth_codes, map_codes


def count_codes(classes: Path, legend: Legend, grid: Grid) -> NDArray[np.int64]:
    """Return the number of map pixels of each class (K,), counted window by window."""
    return np.asarray(_histogram(classes, grid)[list(legend.codes)])


def _histogram(classes: Path, grid: Grid) -> NDArray[np.int64]:
    """Pixels of every code there can be (65536,)."""
    counts, cube = np.zeros(65536, np.int64), _cube("map", classes, grid)
    for window in grid.tiles(WINDOW):
        counts += np.bincount(_codes(cube, window).ravel(), minlength=65536)
    return counts


def locate(classes: Path, grid: Grid, wanted: Mapping[int, int], seed: int) -> NDArray[np.int64]:
    """Draw random pixels of a map without replacement; return row, column and code (n, 3).

    `wanted` is the number of pixels to draw for each code. The ranks of the drawn pixels within their class are drawn first,
    then the map is read window by window.
    """
    generator, counts = np.random.default_rng(seed), _histogram(classes, grid)
    ranks = {code: np.sort(generator.choice(int(counts[code]), n, replace=False)) for code, n in wanted.items() if n}
    before, found = dict.fromkeys(ranks, 0), [np.zeros((0, 3), np.int64)]
    cube = _cube("map", classes, grid)
    for window in grid.tiles(WINDOW):
        codes = _codes(cube, window)
        for code, chosen in ranks.items():
            rows, columns = np.nonzero(codes == code)
            inside = chosen[(chosen >= before[code]) & (chosen < before[code] + len(rows))] - before[code]
            place = (rows[inside] + window.y, columns[inside] + window.x, np.full(len(inside), code))
            found.append(np.stack(place, 1).astype(np.int64))
            before[code] += len(rows)
    return np.concatenate(found)


def read_codes(classes: Path, grid: Grid, window: Window) -> NDArray[np.int64]:
    """Read a window of a map's codes; 0 where there is no data or no map."""
    return _codes(_cube("map", classes, grid), window)


def codes_at(classes: Path, grid: Grid, row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.int64]:
    """Read a map's codes at pixels (N,); the file is opened once, and each block of pixels that holds some is read once."""
    cube, found = _cube("map", classes, grid), np.zeros(len(row), np.int64)
    for window in grid.tiles(TILE):
        inside = (row >= window.y) & (row < window.y + window.height)
        inside &= (column >= window.x) & (column < window.x + window.width)
        if inside.any():
            found[inside] = _codes(cube, window)[row[inside] - window.y, column[inside] - window.x]
    return found


def _cube(name: str, path: Path, grid: Grid) -> Cube:
    """A raster of codes on the map's grid; the most frequent code of the file's pixels in each of the map's."""
    return Cube(open_source(name, image, image.Settings(path)), grid, Ratio(), Preparation(resampling="mode"))


def _codes(cube: Cube, window: Window) -> NDArray[np.int64]:
    return np.asarray(np.rint(cube.read(window).values[0, 0]), np.int64)
