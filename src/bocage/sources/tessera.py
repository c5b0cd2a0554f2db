"""TESSERA: 128 features of each pixel and year from Sentinel-1 and Sentinel-2 (Feng et al. 2025, arXiv 2506.20380).

Layout, from the documentation of ``geotessera`` (geotessera.readthedocs.io, architecture and command line): tiles of 0.1 degree,
named by their centre. ``geotessera download --format tiff`` writes ``<year>/grid_<lon>_<lat>/grid_<lon>_<lat>_<year>.tiff``:
128 bands of 32-bit floating-point numbers, dequantised, on the tile's own grid of 10 m in UTM; missing pixels are NaN.

The other two deliveries are refused. The tiles ``.npy``, which the provider withdraws, are 8-bit integers of shape (y, x, 128),
with a scale for each pixel in ``_scales.npy`` and the grid in a GeoTIFF of the land mask. The Zarr store has integers and scales
by UTM zone. Versions are independent feature spaces: a folder must hold one version, which the file names do not tell. No file of
the product was at hand when this sensor was written: the tests write files with this layout.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from bocage.errors import SourceError
from bocage.progress import QUIET, Progress
from bocage.ranges import Range
from bocage.sources.base import YEARS, Acquisition, Band, BandFile, SensorSpec, clear_where_listed
from bocage.sources.raster import RasterInfo
from bocage.sources.yearly import Product, acquisitions

NAMES = tuple(f"t{i:03d}" for i in range(128))
SPEC = SensorSpec(
    "tessera", "yearly features of TESSERA, 128 bands of 10 m", tuple(Band(name, gsd=10.0) for name in NAMES)
)
EXPORT = "Export GeoTIFF files with 'geotessera download --format tiff'"
clear_mask = clear_where_listed


@dataclass(frozen=True)
class Settings:
    """Settings of TESSERA in the recipe."""

    path: Path
    """Folder with the GeoTIFF tiles of one version, in folders by year or with the year in their names; or one raster."""
    years: Annotated[tuple[int, ...], Range(*YEARS)] = ()
    """Years to use; empty: all years of the folder."""


def find(settings: Settings, progress: Progress = QUIET) -> list[Acquisition]:
    """Return an acquisition for each tile, dated 1 July of its year; the tiles of a year are one date.

    Raises
    ------
    SourceError
        There is no GeoTIFF tile, one has no year or quantised values, or a wanted year is missing.
    """
    try:
        return acquisitions(settings.path, settings.years, Product("TESSERA", NAMES, _bands), progress)
    except SourceError as error:
        if settings.path.is_dir() and (arrays := next(settings.path.rglob("*_scales.npy"), None)):
            raise SourceError(f"{arrays} belongs to quantised arrays without a CRS. {EXPORT}.") from error
        if any(settings.path.rglob("zarr.json")):
            raise SourceError(f"{settings.path} is a Zarr store. {EXPORT}.") from error
        raise


def _bands(path: Path, info: RasterInfo) -> dict[str, BandFile]:
    if np.dtype(info.dtype).kind != "f":
        raise SourceError(
            f"{path} has values of type {info.dtype}, which are quantised: their scale differs from pixel to pixel. {EXPORT}."
        )
    return {name: BandFile(path, i) for i, name in enumerate(NAMES, start=1)}
