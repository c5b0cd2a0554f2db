"""AlphaEarth Foundations: 64 features of each pixel and year, by Google (Brown et al. 2025, arXiv 2507.22291).

Layout, from the readme of the public bucket (developers.google.com/earth-engine/guides/aef_on_gcs_readme): folders by year, then
by UTM zone (``2024/31N/``); files of 8192 x 8192 pixels of 10 m in UTM, 64 bands ``A00`` to ``A63``, signed 8-bit integers; -128
is a masked pixel, in all bands at once, and the declared nodata value. A stored value v stands for ``(v / 127.5)² sign(v)``,
between -1 and 1; the vector of a pixel then has length 1. Years from 2017.

The files of the copy at Source Cooperative have their rows from south to north, and a VRT beside each with the usual order; this
was read in descriptions by users, not in the readme. Bocage reads both orders, and prefers the VRT.

Exports of Earth Engine (``GOOGLE/SATELLITE_EMBEDDING/V1/ANNUAL``) are already between -1 and 1: floating-point files are read as
they are, and 0 is a value. Make a map on the grid of these files (``[grid] like``): on other grids, the stored values are
interpolated before they are squared. No file of the product was at hand when this sensor was written: the tests write files
with this layout.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from bocage.errors import SourceError
from bocage.progress import QUIET, Progress
from bocage.ranges import Range
from bocage.sources.base import YEARS, Acquisition, Band, BandFile, Decoding, SensorSpec, clear_where_listed
from bocage.sources.raster import RasterInfo
from bocage.sources.yearly import Product, acquisitions

NAMES = tuple(f"A{i:02d}" for i in range(64))
SPEC = SensorSpec(
    "alphaearth",
    "yearly features of AlphaEarth Foundations, 64 bands of 10 m",
    tuple(Band(name, gsd=10.0) for name in NAMES),
)
STORED = Decoding(scale=1 / 127.5, nodata=-128.0, squared=True)
"""Decoding of the 8-bit files."""
clear_mask = clear_where_listed


@dataclass(frozen=True)
class Settings:
    """Settings of AlphaEarth Foundations in the recipe."""

    path: Path
    """Folder with the rasters, in folders by year or with the year in their names; or one raster."""
    years: Annotated[tuple[int, ...], Range(*YEARS)] = ()
    """Years to use; empty: all years of the folder."""


def find(settings: Settings, progress: Progress = QUIET) -> list[Acquisition]:
    """Return an acquisition for each raster, dated 1 July of its year; the tiles of a year are one date.

    Raises
    ------
    SourceError
        There is no raster, one has no year, is of another type or has other bands, or a wanted year is missing.
    """
    return acquisitions(settings.path, settings.years, Product("AlphaEarth", NAMES, _bands), progress)


def _bands(path: Path, info: RasterInfo) -> dict[str, BandFile]:
    named = [text for text in info.descriptions if text]
    if named and tuple(info.descriptions) != NAMES:
        raise SourceError(
            f"{path}: its bands are {named[0]}, …, {named[-1]}; AlphaEarth has A00 to A63 in order. Use the sensor 'image' for "
            "other features."
        )
    kind = np.dtype(info.dtype)
    if kind.kind == "f":
        return {name: BandFile(path, i) for i, name in enumerate(NAMES, start=1)}
    if kind == np.int8:
        return {name: BandFile(path, i, STORED) for i, name in enumerate(NAMES, start=1)}
    raise SourceError(
        f"{path} has values of type {info.dtype}; AlphaEarth has signed 8-bit integers, or fractions where Earth Engine exported "
        "them. Export or download it again without a conversion."
    )
