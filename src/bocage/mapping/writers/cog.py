"""Cloud-Optimised GeoTIFF: tiled, compressed, with overviews, colours and category names.

Windows are written to a temporary tiled GeoTIFF. Closing copies it, block by block, into a COG (GDAL's COG driver) and
renames the COG to its final name. Category names are written to ``<name>.tif.aux.xml``, where GDAL reads them, and to the
tags of the file.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import rasterio
import rasterio.errors
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window as RioWindow

from bocage.disk import move, part_of, write_text
from bocage.errors import MappingError
from bocage.grid import Grid, Window
from bocage.legend import Legend
from bocage.mapping.writers.base import MapBand
from bocage.sources.block_cache import cap_block_cache

SUFFIX = ".tif"
BLOCK = 512


@contextmanager
def _failing_as(message: str, advice: str) -> Iterator[None]:
    """Turn what rasterio raises where GDAL fails into a :class:`MappingError`.

    Errors of GDAL itself escape from ``close`` and ``copy`` under types that rasterio does not publish; they are
    recognised by their package.

    Raises
    ------
    MappingError
        GDAL or the system failed.
    """
    try:
        yield
    except MappingError:
        raise
    except Exception as error:
        if isinstance(error, rasterio.errors.RasterioError | OSError) or _is_of_rasterio(error):
            raise MappingError(f"{message}: {error}; {advice}") from error
        raise


def _is_of_rasterio(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] == "rasterio"


class OpenCog:
    """A COG open for writing."""

    def __init__(self, path: Path, grid: Grid, bands: tuple[MapBand, ...], legend: Legend) -> None:
        self.path, self.bands, self.legend = path, bands, legend
        self.streamed = part_of(path)
        self.final = path.with_name(f".{path.stem}.final.part")
        self.sidecar = path.with_name(path.name + ".aux.xml")
        self.written: dict[Window, int] = {}
        height, width = grid.shape
        cap_block_cache()
        with _failing_as(f"{path} cannot be written", "check the folder's rights and free room."), rasterio.Env():
            self.dataset = rasterio.open(
                self.streamed, "w", driver="GTiff", height=height, width=width, count=len(bands), dtype=bands[0].dtype,
                crs=grid.crs.to_wkt(), transform=grid.transform, nodata=bands[0].nodata, tiled=True, blockxsize=256,
                blockysize=256, compress="deflate", BIGTIFF="IF_SAFER", SPARSE_OK="TRUE",
            )  # fmt: skip
        self._describe()

    def _describe(self) -> None:
        if any(band.scale != 1 for band in self.bands):
            self.dataset.scales = [band.scale for band in self.bands]
        for i, band in enumerate(self.bands, start=1):
            self.dataset.set_band_description(i, band.name)
            if band.bits:
                self.dataset.update_tags(i, **{f"BIT_{bit}": name for bit, name in enumerate(band.bits)})
            if band.categorical:
                self.dataset.write_colormap(i, self._colors())
                named = zip(self.legend.codes, self.legend.names, strict=True)
                self.dataset.update_tags(i, **{f"CLASS_{code}": name for code, name in named})

    def _colors(self) -> dict[int, tuple[int, int, int, int]]:
        colors = {code: (*self.legend.rgb(i), 255) for i, code in enumerate(self.legend.codes)}
        return {0: (0, 0, 0, 0), **colors}

    def put(self, window: Window, array: NDArray[Any]) -> None:
        """Write (bands, height, width) at a window."""
        # Within an Env, errors of GDAL are raised, and are not printed.
        with _failing_as(f"{self.path} cannot be written further", "is the disk full?"), rasterio.Env():
            self.dataset.write(array, window=_rio(window))
        self.written[window] = _checksum(array.astype(self.dataset.dtypes[0]))

    def close(self) -> None:
        """Lay the file out as a COG and give it its name."""
        try:
            self._finish()
            self._verify()
            self._write_categories()
        except BaseException:
            self.discard()
            raise
        move(self.final, self.path)
        self.discard()

    def _finish(self) -> None:
        first = self.bands[0]
        resampling = Resampling.nearest if first.categorical or first.numbers else Resampling.average
        with (
            _failing_as(f"{self.path} cannot be finished", "is the disk full?"),
            rasterio.Env(GDAL_NUM_THREADS="1"),
        ):
            self.dataset.close()
            rasterio.shutil.copy(
                self.streamed, self.final, driver="COG", COMPRESS="DEFLATE", BLOCKSIZE=str(BLOCK),
                OVERVIEW_RESAMPLING=resampling.name.upper(), BIGTIFF="IF_SAFER",
            )  # fmt: skip

    def _verify(self) -> None:
        """Read everything back: GDAL only prints some failed writes, and fills what is missing with no data."""
        with (
            _failing_as(f"{self.path} cannot be read back", "is the disk full?"),
            rasterio.Env(),
            rasterio.open(self.final) as final,
        ):
            for window, expected in self.written.items():
                if _checksum(final.read(window=_rio(window))) != expected:
                    raise MappingError(f"{self.path} does not read back as written at {window}; is the disk full?")

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
        write_text(self.sidecar, text)

    def discard(self) -> None:
        """Close the file and remove the temporary files."""
        if not self.dataset.closed:
            self.dataset.close()
        part_of(self.sidecar).unlink(missing_ok=True)
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


def read_reduced(path: Path, longest: int, band: int = 1) -> NDArray[Any]:
    """Read a band of a map, reduced so that its longer side has at most `longest` pixels (nearest neighbour).

    The overviews are read, so memory use does not depend on the size of the map.
    """
    with rasterio.open(path) as dataset:
        factor = max(1.0, max(dataset.shape) / longest)
        shape = tuple(max(1, round(n / factor)) for n in dataset.shape)
        return np.asarray(dataset.read(band, out_shape=shape, resampling=Resampling.nearest))
