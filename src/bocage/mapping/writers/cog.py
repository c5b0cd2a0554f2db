"""Cloud-Optimised GeoTIFF: tiled, compressed, with overviews, colours and category names.

Windows are written to a temporary tiled GeoTIFF. Closing copies it, block by block, into a COG (GDAL's COG driver) and
renames the COG to its final name. Category names are written to ``<name>.tif.aux.xml``, where GDAL reads them, and to the
tags of the file.
"""

import os
import zlib
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.windows import Window as RioWindow

from bocage.errors import MappingError
from bocage.grid import Grid, Window
from bocage.legend import Legend
from bocage.mapping.writers.base import MapBand, partial_path
from bocage.sources.raster import cap_block_cache

SUFFIX = ".tif"
BLOCK = 512
FAILURES = (rasterio.errors.RasterioError, CPLE_BaseError, OSError)
"""Exceptions of rasterio for GDAL write errors; ``close`` and ``copy`` raise the second type."""


class OpenCog:
    """A COG open for writing."""

    def __init__(self, path: Path, grid: Grid, bands: tuple[MapBand, ...], legend: Legend) -> None:
        self.path, self.bands, self.legend = path, bands, legend
        self.streamed = partial_path(path)
        self.final = path.with_name(f".{path.stem}.final.part")
        self.sidecar = path.with_name(path.name + ".aux.xml")
        self.written: dict[Window, int] = {}
        height, width = grid.shape
        cap_block_cache()
        try:
            with rasterio.Env():
                self.dataset = rasterio.open(
                    self.streamed,
                    "w",
                    driver="GTiff",
                    height=height,
                    width=width,
                    count=len(bands),
                    dtype=bands[0].dtype,
                    crs=grid.crs.to_wkt(),
                    transform=grid.transform,
                    nodata=bands[0].nodata,
                    tiled=True,
                    blockxsize=256,
                    blockysize=256,
                    compress="deflate",
                    BIGTIFF="IF_SAFER",
                    SPARSE_OK="TRUE",
                )
        except FAILURES as error:
            raise MappingError(
                f"{path} cannot be written: {error}. Check the permissions of the folder and the free disk space."
            ) from error
        self._describe()

    def _describe(self) -> None:
        if any(band.scale != 1 for band in self.bands):
            self.dataset.scales = [band.scale for band in self.bands]
        for i, band in enumerate(self.bands, start=1):
            self.dataset.set_band_description(i, band.name)
            if band.categorical:
                self.dataset.write_colormap(i, self._colors())
                named = zip(self.legend.codes, self.legend.names, strict=True)
                self.dataset.update_tags(i, **{f"CLASS_{code}": name for code, name in named})

    def _colors(self) -> dict[int, tuple[int, int, int, int]]:
        colors = {code: (*self.legend.rgb(i), 255) for i, code in enumerate(self.legend.codes)}
        return {0: (0, 0, 0, 0), **colors}

    def put(self, window: Window, array: NDArray[Any]) -> None:
        """Write an array (bands, height, width) at a window.

        Raises
        ------
        MappingError
            The file cannot be written.
        """
        try:
            with rasterio.Env():  # turns GDAL's messages into exceptions instead of printing them
                self.dataset.write(array, window=_rio(window))
        except FAILURES as error:
            raise MappingError(f"{self.path} cannot be written: {error}; is the disk full?") from error
        self.written[window] = _checksum(array.astype(self.dataset.dtypes[0]))

    def close(self) -> None:
        """Convert the temporary file to a COG, check it, and rename it to its final name.

        Raises
        ------
        MappingError
            The COG cannot be written, or its pixels differ from those written.
        """
        resampling = Resampling.nearest if self.bands[0].categorical else Resampling.average
        try:
            with rasterio.Env(GDAL_NUM_THREADS="1"):
                self.dataset.close()
                rasterio.shutil.copy(
                    self.streamed,
                    self.final,
                    driver="COG",
                    COMPRESS="DEFLATE",
                    BLOCKSIZE=str(BLOCK),
                    OVERVIEW_RESAMPLING=resampling.name.upper(),
                    BIGTIFF="IF_SAFER",
                )
        except FAILURES as error:
            self.discard()
            raise MappingError(f"{self.path} cannot be finished: {error}; is the disk full?") from error
        try:
            self._verify()
            self._write_categories()
        except BaseException:
            self.discard()
            raise
        os.replace(self.final, self.path)
        self.discard()

    def _verify(self) -> None:
        """Check all pixels of the COG: GDAL only prints some write errors, and fills missing blocks with nodata."""
        try:
            with rasterio.Env(), rasterio.open(self.final) as final:
                for window, expected in self.written.items():
                    if _checksum(final.read(window=_rio(window))) != expected:
                        raise MappingError(f"{self.path} does not read back as written at {window}; is the disk full?")
        except FAILURES as error:
            raise MappingError(f"{self.path} cannot be read back: {error}; is the disk full?") from error

    def _write_categories(self) -> None:
        """Write the category names to the ``.aux.xml`` file where GDAL reads them; rasterio cannot set them."""
        self.final.with_name(self.final.name + ".aux.xml").unlink(missing_ok=True)
        if not self.bands[0].categorical:
            return
        names = dict(zip(self.legend.codes, self.legend.names, strict=True))
        names[0] = "no data"
        lines = [f"      <Category>{escape(names.get(v, ''))}</Category>" for v in range(max(names) + 1)]
        body = "\n".join(lines)
        text = (
            '<PAMDataset>\n  <PAMRasterBand band="1">\n    <CategoryNames>\n'
            f"{body}\n    </CategoryNames>\n  </PAMRasterBand>\n</PAMDataset>\n"
        )
        partial_path(self.sidecar).write_text(text, encoding="utf-8")
        os.replace(partial_path(self.sidecar), self.sidecar)

    def discard(self) -> None:
        """Close the file and remove the temporary files."""
        if not self.dataset.closed:
            self.dataset.close()
        partial_path(self.sidecar).unlink(missing_ok=True)
        for path in (self.streamed, self.final):
            path.unlink(missing_ok=True)
            path.with_name(path.name + ".aux.xml").unlink(missing_ok=True)


def _checksum(pixels: NDArray[Any]) -> int:
    return zlib.crc32(pixels.tobytes())


def _rio(window: Window) -> RioWindow:
    return RioWindow(window.x, window.y, window.width, window.height)


def open(path: Path, grid: Grid, bands: tuple[MapBand, ...], legend: Legend) -> OpenCog:  # noqa: A001 - the door's name
    """Open a COG for writing.

    Raises
    ------
    MappingError
        The file cannot be created.
    """
    return OpenCog(path, grid, bands, legend)


def read_reduced(path: Path, longest: int) -> NDArray[Any]:
    """Read the first band of a map, reduced so that its longer side has at most `longest` pixels (nearest neighbour).

    The overviews are read, so memory use does not depend on the size of the map.
    """
    with rasterio.open(path) as dataset:
        factor = max(1.0, max(dataset.shape) / longest)
        shape = tuple(max(1, round(n / factor)) for n in dataset.shape)
        return np.asarray(dataset.read(1, out_shape=shape, resampling=Resampling.nearest))
