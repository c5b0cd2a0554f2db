"""Reading of the plain rasters of a landscape, date by date, and functions shared by the product formats."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from bocage.grid import Grid, Ratio, Window
from bocage.progress import Progress

CODES = {
    "blue": "B02", "green": "B03", "red": "B04", "rededge1": "B05", "rededge2": "B06", "rededge3": "B07", "nir": "B08",
    "nir08": "B8A", "swir16": "B11", "swir22": "B12",
}  # fmt: skip
"""Common name to Sentinel-2 band number."""
OVERPASS = time(6, 31, 4)
"""Time of the Sentinel-2 overpass at La Réunion, UTC."""
OVERLAP = 10
"""Overlap of two neighbouring tiles on each side of their border, in pixels of 10 m; less for a narrow landscape."""


@dataclass(frozen=True)
class Tile:
    """One of the two tiles of a landscape."""

    name: str
    window: Window
    """Window in pixels of 10 m, aligned to pixels of 20 m."""


def tiles(grid: Grid) -> tuple[Tile, Tile]:
    """Return the west and the east tile, which overlap."""
    height, width = grid.shape
    middle, reach = width // 4 * 2, min(OVERLAP, width // 8) // 2 * 2
    west, east = middle + reach, middle - reach
    return Tile("40KCB", Window(0, 0, height, west)), Tile("40KDB", Window(0, east, height, width - east))


def halved(window: Window) -> Window:
    """Return the window in pixels of twice the size."""
    return Ratio(coarser=2).window(window)


def grid_of(path: Path) -> Grid:
    """Return the grid of a raster."""
    with rasterio.open(path) as dataset:
        return Grid.of(dataset.crs, dataset.transform, dataset.shape)


def moments(path: Path) -> list[datetime]:
    """Return the date of each band, with the time of the overpass."""
    with rasterio.open(path) as dataset:
        return [datetime.combine(datetime.fromisoformat(text), OVERPASS) for text in dataset.descriptions]


@dataclass(frozen=True)
class Plain:
    """Open rasters of one sensor."""

    open: Mapping[str, Any]
    """Name to rasterio dataset."""

    def layer(self, name: str, date: int, window: Window) -> NDArray[Any]:
        """Return a window of one variable at one date (counted from 0), (y, x)."""
        part = rasterio.windows.Window(window.x, window.y, window.width, window.height)
        layer: NDArray[Any] = self.open[name].read(date + 1, window=part)
        return layer


@contextmanager
def opened(folder: Path) -> Iterator[Plain]:
    """Yield the rasters of a folder, named by their file stem."""
    files = {path.stem: rasterio.open(path) for path in sorted(folder.glob("*.tif"))}
    try:
        yield Plain(files)
    finally:
        for file in files.values():
            file.close()


def by_tile(
    plain: Path,
    folder: Path,
    product: Callable[["Plain", int, datetime, Tile, Grid, Path], None],
    task: str,
    progress: Progress,
) -> None:
    """Call ``product(rasters, date, moment, tile, grid, folder)`` for both tiles of every date."""
    path = next(path for path in (plain / "blue.tif", plain / "vv.tif") if path.exists())
    grid, when = grid_of(path), moments(path)
    with opened(plain) as rasters:
        for date, moment in enumerate(when):
            for tile in tiles(grid):
                product(rasters, date, moment, tile, grid, folder)
            progress.step(task, date + 1, len(when))


def write_raster(path: Path, layers: NDArray[Any], grid: Grid, nodata: float | None = None, **options: Any) -> None:
    """Write layers (band, y, x) as lossless JPEG 2000 if the suffix is ``.jp2``, else as GeoTIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    jp2 = path.suffix.lower() == ".jp2"
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "compress": "deflate",
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
    }
    if jp2:
        profile = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "YCBCR420": "NO"}
    profile |= options
    with rasterio.open(
        path,
        "w",
        height=layers.shape[1],
        width=layers.shape[2],
        count=len(layers),
        dtype=layers.dtype,
        crs=grid.crs.to_wkt(),
        transform=grid.transform,
        nodata=None if jp2 else nodata,
        **profile,
    ) as dataset:
        dataset.write(layers)
    path.with_name(path.name + ".aux.xml").unlink(missing_ok=True)


def repeated(layer: NDArray[Any]) -> NDArray[Any]:
    """Return the layer with each pixel repeated twice along both axes."""
    return np.repeat(np.repeat(layer, 2, 0), 2, 1)


def xml(text: str) -> str:
    """Return an XML document with its declaration."""
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + text
