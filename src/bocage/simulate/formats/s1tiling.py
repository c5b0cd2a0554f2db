"""Sentinel-1 in the format of S1Tiling: σ0 in linear power on Sentinel-2 tiles, a GeoTIFF per polarisation and date."""

from datetime import datetime
from pathlib import Path

import numpy as np

from bocage.grid import Grid
from bocage.progress import Progress
from bocage.simulate.formats.plain import Plain, Tile, by_tile, write_raster

SENSOR = "s1"


def section() -> str:
    """Return the recipe section of the sources."""
    return '[sources.s1]\nsensor = "sentinel1_grd"\npath = "s1"\nstored = "linear"\n'


def write(plain: Path, folder: Path, progress: Progress) -> None:
    """Write one image per tile, polarisation and date; 0 is nodata."""
    by_tile(plain, folder, _image, "writing S1Tiling images", progress)


def _image(rasters: Plain, date: int, moment: datetime, tile: Tile, grid: Grid, folder: Path) -> None:
    for polarisation in ("vv", "vh"):
        power = 10 ** (rasters.layer(polarisation, date, tile.window).astype(np.float64) / 10)
        name = f"s1a_{tile.name}_{polarisation}_ASC_044_{moment:%Y%m%d}t014522.tif"
        write_raster(folder / tile.name / name, power.astype(np.float32)[None], grid.crop(tile.window), 0.0)
