"""Pixels of one raster file, read onto a window of any grid.

A file whose grid nests in the target is read exactly: its pixels are repeated, never interpolated. Any other file
is warped with the resampling asked for, with an exact transformer, so that the result does not depend on the window.
"""

import functools
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RioWindow

from bocage.errors import GridError, SourceError
from bocage.grid import SNAP, Grid, Window

RESAMPLINGS = ("nearest", "bilinear", "cubic", "average", "mode")

EXACT = 1e-6
"""Tolerance of the warp in pixels: so small that two windows agree where they overlap (rasterio refuses 0)."""


@dataclass(frozen=True)
class RasterInfo:
    """What a raster says of itself."""

    grid: Grid
    count: int
    dtype: str
    descriptions: tuple[str, ...]
    nodata: float | None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with rasterio.open(path) as dataset:
            yield dataset
    except rasterio.errors.RasterioError as error:
        raise SourceError(
            f"{path} cannot be read: it is truncated, damaged or not a raster (GDAL says: {_reason(error)}). "
            "Copy or download it again."
        ) from error


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    return " ".join(str(cause).split()).rstrip(".")


def inspect(path: Path) -> RasterInfo:
    """Return what the raster at `path` says of itself, after reading its last pixel.

    Raises
    ------
    SourceError
        The file is missing, truncated, or has no CRS or a grid that Bocage cannot use.
    """
    if not path.exists():
        raise SourceError(f"{path} does not exist; check the path in the recipe (relative paths start at the recipe).")
    state = path.stat()
    return _inspected(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=4096)
def _inspected(path: Path, changed: int, size: int) -> RasterInfo:
    """Remember what an unchanged file says."""
    with _opened(path) as dataset:
        if dataset.crs is None:
            raise SourceError(
                f"{path} has no coordinate reference system; give it one, for instance with "
                f"'rio edit-info --crs EPSG:<code> {path.name}'."
            )
        try:
            grid = Grid.of(dataset.crs, dataset.transform, (dataset.height, dataset.width))
        except GridError as error:
            raise SourceError(f"{path}: {error}") from error
        # A file cut short opens well and fails at 3 a.m.: its last pixel tells now.
        dataset.read(dataset.count, window=RioWindow(dataset.width - 1, dataset.height - 1, 1, 1))
        descriptions = tuple(d or "" for d in dataset.descriptions)
        return RasterInfo(grid, dataset.count, dataset.dtypes[0], descriptions, dataset.nodata)


def nests(file: Grid, target: Grid) -> int | None:
    """How many pixels of `target` one pixel of `file` spans a side, where that is whole and the edges meet; else None.

    A file pixel may span several target pixels from any whole target pixel on: the corners need not be shared.
    """
    if file.crs != target.crs:
        return None
    span = file.resolution / target.resolution
    if round(span) < 1 or abs(span - round(span)) * max(file.shape) > SNAP * 10:
        return None
    offsets = target.offset_of(file)
    return round(span) if all(abs(o - round(o)) < SNAP * 10 for o in offsets) else None


def read(
    path: Path, indexes: Sequence[int], grid: Grid, window: Window, resampling: str, nodata: float | None
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read bands of a file onto a `window` of `grid`.

    Returns
    -------
    values : array (len(indexes), height, width), the file's dtype
    valid : bool array of the same shape; False outside the file and at no-data (`nodata`, or the file's own, or NaN)
    """
    info = inspect(path)
    nodata = info.nodata if nodata is None else nodata
    span = nests(info.grid, grid)
    with _opened(path) as dataset:
        if span is None:
            scale = resolution_in(info.grid, grid.crs) / grid.resolution
            values, inside = _warped(dataset, indexes, grid.crop(window), resampling, nodata, scale)
        else:
            values, inside = _repeated(dataset, indexes, info.grid, grid, window, span)
    return values, inside & _has_data(values, nodata)


def resolution_in(grid: Grid, crs: Any) -> float:
    """Pixel size of `grid` in units of another CRS."""
    return grid.resolution if grid.crs == crs else float(abs(grid.geobox.to_crs(crs).resolution.x))


def _has_data(values: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    valid = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    if nodata is not None and not np.isnan(nodata):
        valid &= values != nodata
    return valid


def _repeated(
    dataset: Any, indexes: Sequence[int], file: Grid, grid: Grid, window: Window, span: int
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    row0, col0 = (round(o) for o in grid.offset_of(file))
    rows = (np.arange(window.y, window.y + window.height) - row0) // span
    cols = (np.arange(window.x, window.x + window.width) - col0) // span
    part = Window(rows[0], cols[0], rows[-1] - rows[0] + 1, cols[-1] - cols[0] + 1).clip(file.shape)
    values = np.zeros((len(indexes), window.height, window.width), dataset.dtypes[0])
    inside = np.zeros((window.height, window.width), bool)
    if part.height and part.width:
        pixels = dataset.read(list(indexes), window=RioWindow(part.x, part.y, part.width, part.height))
        ys = np.flatnonzero((rows >= part.y) & (rows < part.y + part.height))
        xs = np.flatnonzero((cols >= part.x) & (cols < part.x + part.width))
        block = np.ix_(np.arange(len(indexes)), rows[ys] - part.y, cols[xs] - part.x)
        values[:, ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1] = pixels[block]
        inside[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1] = True
    return values, np.broadcast_to(inside, values.shape)


def _warped(
    dataset: Any, indexes: Sequence[int], target: Grid, resampling: str, nodata: float | None, scale: float
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    options: dict[str, Any] = {"nodata": nodata, "src_nodata": nodata} if nodata is not None else {"add_alpha": True}
    height, width = target.shape
    with WarpedVRT(
        dataset,
        crs=target.crs.to_wkt(),
        transform=target.transform,
        height=height,
        width=width,
        resampling=Resampling[resampling],
        tolerance=EXACT,
        # Left to itself, GDAL takes the kernel's width from the window's size in pixels: it would change with tiles.
        XSCALE=str(scale),
        YSCALE=str(scale),
        **options,
    ) as vrt:
        values = vrt.read(list(indexes))
        inside = vrt.dataset_mask() > 0 if nodata is None else np.ones(values.shape[1:], bool)
    return values, np.broadcast_to(inside, values.shape)


def fingerprint(path: Path) -> str:
    """Return a digest of a file's size and of 64 evenly spaced blocks of 64 KiB (all of it below 4 MiB).

    It tells a changed image from an unchanged one without reading hundreds of gigabytes.
    """
    block = 1 << 16
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as stream:
        starts = range(0, size, block) if size <= 64 * block else [i * (size - block) // 63 for i in range(64)]
        for start in starts:
            stream.seek(start)
            digest.update(stream.read(block))
    return digest.hexdigest()[:32]
