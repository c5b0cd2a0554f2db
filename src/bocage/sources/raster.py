"""Reading of one raster file onto a window of any grid. Each thread opens a file once and keeps it open.

If the grid of the file nests in the target grid, the pixels of the file are repeated, without interpolation. Any other file is
warped with the given resampling and an exact coordinate transformation, so that the result does not depend on the window.
"""

import functools
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.env import get_gdal_config, set_gdal_config
from rasterio.features import geometry_mask
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_geom
from rasterio.windows import Window as RioWindow

from bocage.disk import digest_of
from bocage.errors import GridError, SourceError
from bocage.grid import SNAP, Grid, Window
from bocage.sources.base import Decoding

RESAMPLINGS = ("nearest", "bilinear", "cubic", "average", "mode")

_ARCHIVED = re.compile(r"(?i)/vsi(?:zip|tar)/\{(.+?\.(?:zip|tar|tar\.gz|tgz))\}/(.+)")
"""GDAL path of an archive member."""

EXACT = 1e-6
"""Error tolerance of the warp, in pixels. It is small enough for overlapping windows to agree. (rasterio refuses 0.)"""


@dataclass(frozen=True)
class RasterInfo:
    """Grid, number of bands, data type, band descriptions, nodata value, scales, offsets and tags of a raster file."""

    grid: Grid
    count: int
    dtype: str
    descriptions: tuple[str, ...]
    nodata: float | None
    scales: tuple[float, ...] = ()
    """Scale that each band declares; 1 if it declares none."""
    offsets: tuple[float, ...] = ()
    """Offset that each band declares; 0 if it declares none."""
    tags: tuple[tuple[str, str], ...] = ()
    """Tags of the file and of its first band, names in upper case."""
    paletted: bool = False
    """Whether the first band has a colour table, as maps of classes have."""


def _files_allowed() -> int:
    """Return the number of files that the system allows a process to open."""
    try:
        import resource
    except ImportError:  # Windows
        return 512
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 20)


class _Handles(threading.local):
    """Open datasets of one thread, in order of use. Threads cannot share GDAL datasets."""

    def __init__(self) -> None:
        self.open: OrderedDict[tuple[Path, int, int], Any] = OrderedDict()


_HANDLES, _CAPPING = _Handles(), threading.Lock()
CACHE = 256 << 20
"""Maximum size of GDAL's block cache for the whole process, in bytes. GDAL's default, 5 % of the memory, fills up during a run.
This size holds windows of 256 pixels with their halo, which touch nine blocks, for about 60 bands and dates."""
LARGE = 512 * 512
"""Pixels per block above which GDAL's default cache size is kept: neighbouring windows reuse large blocks, which are slow to
decode (JPEG 2000)."""
_MOST_OPEN = max(64, min(2048, _files_allowed() // 8))
"""Maximum number of datasets that a thread keeps open: a year of Sentinel-2 products, if the system allows it."""


def cap_block_cache() -> int:
    """Set the size of GDAL's block cache, unless the environment variable GDAL_CACHEMAX is set, and return the previous size.

    The size is set once per process, and not with ``rasterio.Env``, which restores the previous size for all threads on exit.
    """
    with _CAPPING:
        return _capped()


@functools.cache
def _capped() -> int:
    before = int(get_gdal_config("GDAL_CACHEMAX"))
    if "GDAL_CACHEMAX" not in os.environ:
        set_gdal_config("GDAL_CACHEMAX", min(before, CACHE))
    return before


def _open(path: Path) -> Any:
    usual = cap_block_cache()
    dataset = rasterio.open(path)
    if any(rows * columns > LARGE for rows, columns in dataset.block_shapes):
        set_gdal_config("GDAL_CACHEMAX", usual)
    return dataset


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Yield the dataset at `path`. A dataset that this thread has open is reused if the file has not changed."""
    key = (path, *_state(path))
    try:
        if key not in _HANDLES.open:
            _HANDLES.open[key] = _open(path)
            while len(_HANDLES.open) > _MOST_OPEN:
                _HANDLES.open.popitem(last=False)[1].close()
        _HANDLES.open.move_to_end(key)
        yield _HANDLES.open[key]
    except rasterio.errors.RasterioError as error:
        if key in _HANDLES.open:
            _HANDLES.open.pop(key).close()
        raise SourceError(
            f"{path} cannot be read: it is truncated, damaged or not a raster (GDAL: {_reason(error)}). "
            "Copy or download it again."
        ) from error


def on_disk(path: Path) -> Path:
    """Return the file on disk that contains `path`: for an archive member, the archive.

    >>> on_disk(archived(Path("/data/{x}/y.zip"), "a/b.jp2")).as_posix()
    '/data/{x}/y.zip'
    """
    inside = member_of(path)
    return inside[0] if inside else path


def member_of(path: Path) -> tuple[Path, str] | None:
    """Return the archive and the name of the member that a GDAL path stands for; None for a file on disk."""
    match = _ARCHIVED.fullmatch(path.as_posix())
    return (Path(match[1]), match[2]) if match else None


def archived(archive: Path, member: str) -> Path:
    """Return the GDAL path of a member of a zip or tar archive."""
    kind = "zip" if archive.suffix.lower() == ".zip" else "tar"
    return Path(f"/vsi{kind}/{{{archive.absolute().as_posix()}}}/{member}")


def _state(path: Path) -> tuple[int, int]:
    """Return the modification time (ns) and the size (bytes) of the file on disk that contains `path`."""
    try:
        state = on_disk(path).stat()
    except OSError:
        raise SourceError(
            f"{on_disk(path)} does not exist. Check the path in the recipe (paths are relative to the recipe file)."
        ) from None
    return state.st_mtime_ns, state.st_size


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    return " ".join(str(cause).split()).rstrip(".")


def inspect(path: Path) -> RasterInfo:
    """Return the properties of the raster at `path`, after a check that the file is not truncated.

    Raises
    ------
    SourceError
        The file is missing or truncated, has no CRS, or has a grid that Bocage does not support.
    """
    return _inspected(path, *_state(path))


def is_raster(path: Path) -> bool:
    """Whether a file exists and GDAL reads it as a georeferenced raster."""
    try:
        inspect(path)
    except SourceError:
        return False
    return True


@functools.lru_cache(maxsize=65536)
def _inspected(path: Path, changed: int, size: int) -> RasterInfo:
    """Return the properties of a file; modification time and size in the key keep the cache up to date."""
    with _opened(path) as dataset:
        if dataset.crs is None:
            raise SourceError(
                f"{path} has no coordinate reference system (CRS). Set one, for example with "
                f"'rio edit-info --crs EPSG:<code> {path.name}'."
            )
        try:
            grid = Grid.of(dataset.crs, dataset.transform, (dataset.height, dataset.width))
        except GridError as error:
            raise SourceError(f"{path}: {error}") from error
        # A truncated file opens without error and fails much later: reading its last pixel reveals it now. A JPEG 2000
        # codestream has an end marker, which avoids decoding a whole block.
        if dataset.driver != "JP2OpenJPEG" or not _has_end_marker(path):
            dataset.read(dataset.count, window=RioWindow(dataset.width - 1, dataset.height - 1, 1, 1))
        descriptions = tuple(d or "" for d in dataset.descriptions)
        tags = {name.upper(): value for name, value in (*dataset.tags(1).items(), *dataset.tags().items())}
        tags |= {"UNITTYPE": dataset.units[0]} if dataset.units[0] else {}
        return RasterInfo(
            grid, dataset.count, dataset.dtypes[0], descriptions, dataset.nodata, tuple(dataset.scales),
            tuple(dataset.offsets), tuple(tags.items()), dataset.colorinterp[0] == ColorInterp.palette,
        )  # fmt: skip


def _has_end_marker(path: Path) -> bool:
    """Return whether a JPEG 2000 file ends with the end-of-codestream marker (ISO/IEC 15444-1, annex A)."""
    if on_disk(path) != path:
        return False
    with path.open("rb") as stream:
        stream.seek(-2, os.SEEK_END)
        return stream.read(2) == b"\xff\xd9"


def nests(file: Grid, target: Grid) -> int | None:
    """Return how many pixels of `target` a pixel of `file` spans along each axis, or None if the grids do not nest.

    The grids nest if this number is whole and the pixel edges coincide. The grids need not share a corner.
    """
    if file.crs != target.crs:
        return None
    span = file.resolution / target.resolution
    if round(span) < 1 or abs(span - round(span)) * max(file.shape) > SNAP * 10:
        return None
    offsets = target.offset_of(file)
    return round(span) if all(abs(o - round(o)) < SNAP * 10 for o in offsets) else None


@functools.lru_cache(maxsize=65536)
def _footprint(file: Grid, grid: Grid) -> tuple[float, float, float, float]:
    """Return the bounding box of a file in rows and columns of `grid`: top, left, bottom, right."""
    west, south, east, north = (
        file.bounds if file.crs == grid.crs else file.geobox.extent.to_crs(grid.crs, resolution="auto").boundingbox
    )
    (left, top), (right, bottom) = ~grid.transform @ (west, north), ~grid.transform @ (east, south)
    return top, left, bottom, right


def touches(file: Grid, grid: Grid, window: Window) -> bool:
    """Return whether a file with the grid `file` may have pixels in a `window` of `grid`, with a margin of two pixels."""
    top, left, bottom, right = _footprint(file, grid)
    near = window.pad(2, 2)
    return top < near.y + near.height and bottom > near.y and left < near.x + near.width and right > near.x


def covered(polygons: Any, crs: str, grid: Grid, window: Window) -> NDArray[np.bool_]:
    """Return True for the pixels of a window that `polygons` (a shapely geometry in `crs`) touch, shape (y, x)."""
    target = grid.crop(window)
    shape = transform_geom(crs, target.crs.to_wkt(), polygons)
    return np.asarray(geometry_mask([shape], target.shape, target.transform, all_touched=True, invert=True))


def read(
    path: Path,
    indexes: Sequence[int],
    grid: Grid,
    window: Window,
    resampling: str,
    decoding: Decoding = Decoding(),  # noqa: B008 - frozen
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read bands of a file onto a `window` of `grid`.

    Returns
    -------
    values : array (len(indexes), height, width), the file's dtype
    valid : bool array of the same shape; False outside the file, and at no data as `decoding` says
    """
    info = inspect(path)
    nodata = info.nodata if decoding.nodata is None else decoding.nodata
    span = nests(info.grid, grid)
    with _opened(path) as dataset:
        if span is None:
            scale = resolution_in(info.grid, grid.crs) / grid.resolution
            values, inside = _warped(dataset, indexes, grid.crop(window), resampling, nodata, scale)
        else:
            values, inside = _repeated(dataset, indexes, info.grid, grid, window, span)
    return values, inside & _has_data(values, nodata, decoding.special)


def resolution_in(grid: Grid, crs: Any) -> float:
    """Return the pixel size of `grid` in units of another CRS."""
    return grid.resolution if grid.crs == crs else float(abs(grid.geobox.to_crs(crs).resolution.x))


def _has_data(values: NDArray[Any], nodata: float | None, special: tuple[float, ...]) -> NDArray[np.bool_]:
    valid = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    if nodata is not None and not np.isnan(nodata):
        valid &= values != nodata
    for value in special:
        valid &= values != value
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
        if span > 1:  # not for 1: indexing pixel by pixel takes as long as reading
            pixels = pixels[np.ix_(np.arange(len(indexes)), rows[ys] - part.y, cols[xs] - part.x)]
        values[:, ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1] = pixels
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
        # By default, GDAL derives the kernel width from the shape of the window: the result would depend on the tiles.
        XSCALE=str(scale),
        YSCALE=str(scale),
        **options,
    ) as vrt:
        values = vrt.read(list(indexes))
        inside = vrt.dataset_mask() > 0 if nodata is None else np.ones(values.shape[1:], bool)
    return values, np.broadcast_to(inside, values.shape)


def fingerprint(path: Path) -> str:
    """Return a digest of a file's size and of 64 evenly spaced blocks of 64 KiB (of the whole file up to 4 MiB).

    It detects a changed image without reading hundreds of gigabytes.
    """
    state = path.stat()
    return _fingerprinted(path, (state.st_mtime_ns, state.st_ctime_ns, state.st_ino), state.st_size)


@functools.lru_cache(maxsize=65536)
def _fingerprinted(path: Path, changed: tuple[int, ...], size: int) -> str:
    """Return the digest of a file; times of change and size in the key keep the cache up to date."""
    block = 1 << 16
    parts = [str(size).encode()]
    with path.open("rb") as stream:
        starts = range(0, size, block) if size <= 64 * block else [i * (size - block) // 63 for i in range(64)]
        for start in starts:
            stream.seek(start)
            parts.append(stream.read(block))
    return digest_of(*parts)
