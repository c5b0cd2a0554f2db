"""Display of imagery: colour composite of three bands, median of some dates, contrast stretch."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from bocage.grid import Grid, Window
from bocage.scene import Cube, Scene
from bocage.sources import Readable, Source, dates_of, with_bands

DATES = 8
"""Number of dates of a series whose median is shown."""
AT_ONCE = 1 << 22
"""Number of values of all dates and bands that are read at a time."""
FINER = 4
"""Maximum number of pixels of a picture along a pixel of the map."""
SHOWN = (
    ("red", "green", "blue"),
    ("nir", "red", "green"),
    ("swir16", "nir08", "rededge1"),
    ("vv", "vh", "vv"),
    ("pan",),
)
"""Bands shown as red, green and blue, by preference; a source uses the first combination that it has."""


def bands_of(source: Readable) -> tuple[str, ...]:
    """Return the bands of a source to display."""
    return next((bands for bands in SHOWN if set(bands) <= set(source.bands)), source.bands[:1])


def best_source(scene: Scene) -> str:
    """Return the name of the source to display: natural colours first, then the finest resolution."""

    def rank(name: str) -> tuple[int, float]:
        bands = bands_of(scene.cubes[name].source)
        return SHOWN.index(bands) if bands in SHOWN else len(SHOWN), scene.cubes[name].grid.resolution

    return min(scene.cubes, key=rank)


def reduced(grid: Grid, longest: int) -> Grid:
    """Return the grid with at most `longest` pixels on its longer side."""
    step = max(1.0, max(grid.shape) / longest)
    shape = (max(1, round(grid.shape[0] / step)), max(1, round(grid.shape[1] / step)))
    return Grid.of(grid.crs, grid.transform @ grid.transform.scale(step), shape)


def refined(grid: Grid, cube: Cube) -> Grid:
    """Return a part of the grid of the map with pixels as small as those of a cube, at most ``FINER`` times smaller."""
    finer = min(FINER, cube.ratio.finer)
    shape = (grid.shape[0] * finer, grid.shape[1] * finer)
    return Grid.of(grid.crs, grid.transform @ grid.transform.scale(1 / finer), shape)


def composite(
    source: Readable, grid: Grid, stretch: Mapping[str, tuple[float, float]] | None = None
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return an image (y, x, 3) with values 0 to 1, white where no date is valid, and the bands shown.

    Parameters
    ----------
    stretch
        Band → values displayed as 0 and 1; None for the 2nd and 98th percentiles of the band.

    Raises
    ------
    SourceError
        A file cannot be read.
    """
    bands, seen, ever = _look(source, grid)
    limits = [stretch[b] if stretch else _limits(seen[k], ever) for k, b in enumerate(bands)]
    out = np.ones((*ever.shape, 3))
    for k in range(3):
        layer, (low, high) = seen[k % len(bands)], limits[k % len(bands)]
        out[..., k] = np.where(ever, np.clip((layer - low) / max(high - low, 1e-9), 0, 1), 1)
    return out, bands


def stretch_of(source: Readable, grid: Grid) -> dict[str, tuple[float, float]]:
    """Return the values displayed as 0 and 1 for each band shown, computed over `grid` (a reduced grid)."""
    bands, seen, ever = _look(source, grid)
    return {band: _limits(seen[k], ever) for k, band in enumerate(bands)}


def _look(source: Readable, grid: Grid) -> tuple[tuple[str, ...], NDArray[np.float64], NDArray[np.bool_]]:
    """Return the bands shown, their median over valid dates (band, y, x; NaN without one), and where a date is valid (y, x)."""
    bands = bands_of(source)
    some = dates_of(source, DATES)
    if isinstance(some, Source):
        some = with_bands(some, list(dict.fromkeys(bands)))
    own = [some.bands.index(b) for b in bands]
    seen = np.full((len(bands), *grid.shape), np.nan)
    ever = np.zeros(grid.shape, bool)
    for window in _strips(grid.shape, len(some.days) * len(some.bands)):
        values, valid = some.read(grid, window, "nearest")
        there = np.asarray(valid.any(0))
        hidden = np.where(valid[:, None], values[:, own], np.nan)[:, :, there]
        seen[:, *window.slices][:, there] = np.nanmedian(hidden, axis=0)
        ever[window.slices] = there
    return bands, seen, ever


def _strips(shape: tuple[int, int], layers: int) -> Iterator[Window]:
    """Yield windows of whole rows with at most ``AT_ONCE`` values, or one row: memory depends on the picture only."""
    height, width = shape
    rows = max(1, AT_ONCE // (width * layers))
    for y in range(0, height, rows):
        yield Window(y, 0, min(rows, height - y), width)


def _limits(layer: NDArray[np.float64], ever: NDArray[np.bool_]) -> tuple[float, float]:
    if not ever.any():
        return 0.0, 1.0
    low, high = np.nanpercentile(layer, (2, 98))
    return float(low), float(high)
