"""Warping of an array from the grid of a file onto another grid. Pixels without data take no part.

Invalid pixels (no data, saturated, masked) are marked before the interpolation, band by band, and get the weight 0: GDAL divides
by the sum of the other weights. A valid pixel beside a special value therefore keeps its value. A pixel of the result is valid
where valid pixels have at least half of the weight.
"""

import functools
import math
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform

from bocage.grid import Grid, Window

EXACT = 1e-6
"""Error tolerance of the warp, in pixels. It is small enough for overlapping windows to agree. (rasterio refuses 0.)"""
REACH = 3
"""Largest radius of a kernel, in pixels of the coarser of the two grids; cubic has 2."""
SPREAD = 16
"""Number of points along each axis that show whether a grid has a part in the domain of a projection."""
HALF = 0.499
"""Share of valid weight from which a pixel is valid. A pixel midway between a valid and an invalid pixel has 0.5, give or take
rounding, and is valid in every window."""


@functools.lru_cache(maxsize=4096)
def needed(file: Grid, target: Grid, scale: float) -> Window:
    """Return the window of a file, kernels included, that the pixels of `target` are computed from. Its size may be 0."""
    height, width = target.shape
    across, down = np.arange(width + 1.0), np.arange(height + 1.0)
    edges = np.concatenate([across, across, np.zeros(height + 1), np.full(height + 1, width)])
    sides = np.concatenate([np.zeros(width + 1), np.full(width + 1, height), down, down])
    xs, ys = _moved(target.transform, edges, sides)
    if file.crs != target.crs:
        xs, ys = transferred(target, file, xs, ys)
    columns, rows = _moved(~file.transform, xs, ys)
    known = np.isfinite(columns) & np.isfinite(rows)
    if not known.all() and max(target.shape) > 1:  # part of the target has no coordinates in the CRS of the file
        return Window(0, 0, *file.shape) if known.any() or _is_known(target, file) else Window(0, 0, 0, 0)
    if not known.any():
        return Window(0, 0, 0, 0)
    reach = math.ceil(REACH / min(scale, 1)) + 1
    (top, bottom), (left, right) = ((math.floor(v.min()), math.ceil(v.max())) for v in (rows[known], columns[known]))
    return Window(top - reach, left - reach, bottom - top + 2 * reach, right - left + 2 * reach).clip(file.shape)


def transferred(grid: Grid, other: Grid, xs: NDArray[Any], ys: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return coordinates (N,) of the CRS of a grid in the CRS of another; NaN for points outside its domain."""
    try:
        moved = transform(grid.crs.to_wkt(), other.crs.to_wkt(), xs, ys)
    except CPLE_BaseError:  # of a point outside the domain; PROJ itself marks these points
        moved = Transformer.from_crs(grid.crs.proj, other.crs.proj, always_xy=True).transform(xs, ys)
    x, y = np.asarray(moved[0], np.float64), np.asarray(moved[1], np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    return (x, y) if known.all() else (np.where(known, x, np.nan), np.where(known, y, np.nan))


def _is_known(target: Grid, file: Grid) -> bool:
    """Return whether points spread over a grid have coordinates in the CRS of a file."""
    height, width = target.shape
    across, down = np.meshgrid(np.linspace(0, width, SPREAD), np.linspace(0, height, SPREAD))
    xs, ys = _moved(target.transform, across.ravel(), down.ravel())
    return bool(np.isfinite(transferred(target, file, xs, ys)).all(0).any())


def _moved(affine: Affine, xs: NDArray[Any], ys: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    a, b, c, d, e, f = tuple(affine)[:6]
    return a * xs + b * ys + c, d * xs + e * ys + f


def warp(
    values: NDArray[Any], valid: NDArray[np.bool_], file: Grid, target: Grid, resampling: str, scale: float
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Warp bands from the grid `file` onto the grid `target`.

    Parameters
    ----------
    values : (band, y, x)
    valid : (band, y, x)
    scale
        Pixel size of the file in pixels of the target; it sets the width of the kernel. By default, GDAL derives the width from
        the shapes of the arrays, and the result would depend on the tiles.

    Returns
    -------
    values : (band, *target.shape), the dtype of `values`; 0 where not valid
    valid : bool array of the same shape; False outside the file
    """
    if resampling == "nearest" and values.dtype.kind in "iu" and values.dtype.itemsize > 4:
        return _picked(values, valid, file, target, scale)  # float64 does not hold all of them
    marker, working = _marked(values.dtype)
    source = values.astype(working)
    source[~valid] = marker
    found = _resampled(source, file, target, resampling, scale, marker)
    seen = ~np.isnan(found) if math.isnan(marker) else found != marker
    parts = ~valid.all((1, 2))
    if resampling != "nearest" and parts.any():
        seen[parts] &= _resampled(valid[parts].astype(np.float32), file, target, resampling, scale) >= HALF
    found[~seen] = 0
    return _as_stored(found, values.dtype), seen


def _picked(
    values: NDArray[Any], valid: NDArray[np.bool_], file: Grid, target: Grid, scale: float
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return bands as :func:`warp` does, from the nearest pixels; the positions of the pixels are warped in their place."""
    count, size = len(values), values.shape[1] * values.shape[2]
    position = np.arange(size, dtype=np.float64).reshape(1, *values.shape[1:])
    (found,) = _resampled(position, file, target, "nearest", scale, math.nan)
    inside = ~np.isnan(found)
    at = np.where(inside, found, 0).astype(np.int64)
    seen = valid.reshape(count, size)[:, at] & inside
    return np.where(seen, values.reshape(count, size)[:, at], np.zeros(1, values.dtype)), seen


def _marked(dtype: np.dtype[Any]) -> tuple[float, type[np.generic]]:
    """Return a marker of invalid pixels that no value of `dtype` equals, and a data type that holds both."""
    if dtype.kind != "f" and dtype.itemsize <= 2:
        return -(2.0**31), np.int32
    return math.nan, np.float32 if dtype == np.float32 else np.float64


def _as_stored(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return values in the data type of the file: cubic interpolation may leave its range."""
    if dtype.kind == "f":
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    whole = np.rint(values) if values.dtype.kind == "f" else values
    return np.asarray(np.clip(whole, limits.min, limits.max), dtype)


def _resampled(
    values: NDArray[Any], file: Grid, target: Grid, resampling: str, scale: float, marker: float | None = None
) -> NDArray[Any]:
    found = np.zeros((len(values), *target.shape), values.dtype)
    reproject(
        values,
        found,
        src_transform=file.transform,
        src_crs=file.crs.to_wkt(),
        src_nodata=marker,
        dst_transform=target.transform,
        dst_crs=target.crs.to_wkt(),
        dst_nodata=marker,
        resampling=Resampling[resampling],
        tolerance=EXACT,
        XSCALE=str(scale),
        YSCALE=str(scale),
        # rasterio's default "YES" counts a pixel as invalid only where all its bands are invalid.
        UNIFIED_SRC_NODATA="NO",
    )
    return found
