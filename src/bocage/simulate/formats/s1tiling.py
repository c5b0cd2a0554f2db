"""Sentinel-1 as S1Tiling delivers it: σ0 in linear power on the tiles of Sentinel-2, a GeoTIFF per polarisation and date."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bocage.progress import Progress
from bocage.simulate.formats.plain import crop, grid_of, moments, opened, tiles, write_raster

SENSOR = "s1"


def section() -> str:
    """Return the recipe's sources."""
    return '[sources.s1]\nsensor = "sentinel1_grd"\npath = "s1"\nstored = "linear"\n'


def write(plain: Path, folder: Path, progress: Progress) -> None:
    """Write one image per tile, polarisation and date; 0 is no data."""
    grid, when = grid_of(plain / "vv.tif"), moments(plain / "vv.tif")
    with contextmanager(opened)(plain) as rasters:
        for date, moment in enumerate(when):
            for tile in tiles(grid):
                for polarisation in ("vv", "vh"):
                    power = 10 ** (rasters.layer(polarisation, date, tile.window).astype(np.float64) / 10)
                    name = f"s1a_{tile.name}_{polarisation}_ASC_044_{moment:%Y%m%d}t014522.tif"
                    layer = power.astype(np.float32)[None]
                    write_raster(folder / tile.name / name, layer, crop(grid, tile.window), 0.0)
            progress.step("writing S1Tiling images", date + 1, len(when))
