"""Areas of equal class code in a raster, as polygons along the edges of its pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes
from shapely.geometry import shape

from bocage.errors import SourceError
from bocage.grid import Window
from bocage.sources.base import Decoding
from bocage.sources.raster import RasterInfo, inspect, read

SIDE = 1000.0
"""Side in metres of the squares into which larger areas are cut: an area without parcels would be one sampling unit."""
FEWEST = 32
"""Smallest side of these squares, in pixels."""
LARGEST = 2**31 - 1
"""Largest code."""
MOST = 400_000_000
"""Largest number of pixels."""
TILE = 1024
"""Side of the windows that are read, in pixels. The codes of the whole raster are kept, in five bytes per pixel."""


@dataclass(frozen=True)
class Areas:
    """Polygons (N,) with their class codes (N,)."""

    polygons: NDArray[Any]
    codes: NDArray[np.int32]
    crs: Any
    """Coordinate reference system of the raster."""


def areas_of(path: Path, band: str = "") -> Areas:
    """Return the areas of equal code of a raster: connected pixels (over edges), cut into squares if they are large.

    Pixels without data have no code. The code 0 is none either, unless the raster declares another nodata value.

    Parameters
    ----------
    band
        Number of the band, from 1; empty: the only one.

    Raises
    ------
    SourceError
        The raster cannot be read, is too large, has no band of this number or several, or its values are no codes.
    """
    info = inspect(path)
    number = _band(path, info, band)
    height, width = info.grid.shape
    if height * width > MOST:
        raise SourceError(
            f"{path} has {height} x {width} pixels, and labels may have {MOST:,} pixels. Crop the raster."
        )
    codes, valid = np.zeros((height, width), np.int32), np.zeros((height, width), bool)
    for window in info.grid.tiles(TILE):
        codes[window.slices], valid[window.slices] = _codes(path, info, number, window)
    found = [(shape(outline), int(code)) for outline, code in shapes(codes, valid, 4, info.grid.transform)]
    parts = [(part, code) for polygon, code in found for part in _cut(polygon, info)]
    polygons = np.array([polygon for polygon, _ in parts], object)
    return Areas(polygons, np.array([code for _, code in parts], np.int32), info.grid.crs.proj)


def _codes(path: Path, info: RasterInfo, number: int, window: Window) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Return the codes (y, x) of a window, and where there is one.

    Raises
    ------
    SourceError
        A value is no code.
    """
    # GDAL declares the last of four bands of 8 bits as alpha: here, it has codes too.
    decoding = Decoding(alpha=info.alpha != number and info.count != 4)
    values, valid = (part[0] for part in read(path, [number], info.grid, window, "nearest", decoding))
    if info.nodatas[number - 1] is None:
        valid = valid & (values != 0)
    values = np.where(valid, values, 0)
    wrong = (values != np.rint(values)) | (np.abs(values.astype(np.float64)) > LARGEST)
    if wrong.any():
        raise SourceError(
            f"{path}: the value {values[wrong][0]:.10g} is no class code, which is a whole number up to {LARGEST}. Declare it as "
            "nodata (gdal_edit.py -a_nodata), or give a raster of codes."
        )
    return values.astype(np.int32), valid


def _band(path: Path, info: RasterInfo, wanted: str) -> int:
    """Return the number of the band to read.

    Raises
    ------
    SourceError
        The raster has no such band, or several and none is wanted.
    """
    listed = ", ".join(f"{k} ({text})" if text else f"{k}" for k, text in enumerate(info.descriptions, start=1))
    if wanted and wanted not in map(str, range(1, info.count + 1)):
        raise SourceError(f"{path} has no band '{wanted}'. Its bands: {listed}.")
    if not wanted and info.count > 1:
        raise SourceError(
            f"{path} has {info.count} bands: {listed}. Name one by its number: layer of [reference], or init --layer."
        )
    return int(wanted or 1)


def _cut(polygon: Any, info: RasterInfo) -> list[Any]:
    """Return the parts of a polygon in the squares of a lattice; a polygon smaller than a square stays whole."""
    height, _ = info.grid.metres
    step = info.grid.resolution * max(FEWEST, round(SIDE / height))
    if polygon.area <= step**2:
        return [polygon]
    west, south, east, north = polygon.bounds
    x0, y0 = info.grid.transform.c, info.grid.transform.f
    columns = np.arange(np.floor((west - x0) / step), np.ceil((east - x0) / step))
    rows = np.arange(np.floor((y0 - north) / step), np.ceil((y0 - south) / step))
    x, y = (part.ravel() for part in np.meshgrid(x0 + step * columns, y0 - step * rows))
    pieces = shapely.intersection(polygon, shapely.box(x, y - step, x + step, y))
    return [piece for piece in pieces if piece.area > 0]
