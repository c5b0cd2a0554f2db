"""Reading of one raster file onto a window of any grid. Each thread opens a file once and keeps it open.

If the grid of the file nests in the target grid, the pixels of the file are repeated, without interpolation. Any other file is
warped with the given resampling and an exact coordinate transformation, so that the result does not depend on the window.

A pixel of a band is valid if no part of the file says otherwise: the nodata value of the band (or that of the recipe or the
sensor instead), the other special values, the mask of the file (internal or ``.msk``) and its alpha band. An alpha band with many
values is a measurement, and hides only pixels where all bands of the file are 0, whichever bands are read. NaN, infinity and
values that no measurement reaches (``FILL``) are never valid.
"""

import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window as RioWindow

from bocage.disk import State, digest_of, kept_by_state, state_of, state_or_none
from bocage.errors import GridError, SourceError
from bocage.grid import Grid, Window
from bocage.sources.base import FILL, Decoding
from bocage.sources.block_cache import cap_block_cache, widen_block_cache
from bocage.sources.edges import read_blocks
from bocage.sources.files import SIDE, beside, essence, files_of, is_virtual, on_disk
from bocage.sources.handles import Key, using
from bocage.sources.pattern import DATE
from bocage.sources.placement import nests, placement, reason_of
from bocage.sources.warp import needed, warp

RESAMPLINGS = ("nearest", "bilinear", "cubic", "average", "mode")

AT_ONCE = 1 << 24
"""Number of values of a file that are held to warp a part of a window. A window that needs more is divided."""
SPOTS, SPOT = 3, 64
"""Windows read along each axis to recognise an alpha band, and their side in pixels."""
OPAQUE = 0.9
"""Share of the visible pixels from which an alpha band with its largest value there is a mask, whose edges are soft."""


@dataclass(frozen=True)
class RasterInfo:
    """Grid, number of bands, data types, descriptions, validity, scales, offsets and tags of a raster file."""

    grid: Grid
    count: int
    dtypes: tuple[str, ...]
    """Data type of each band."""
    descriptions: tuple[str, ...]
    nodatas: tuple[float | None, ...]
    """Declared nodata value of each band."""
    masked: tuple[bool, ...] = ()
    """Whether each band has a mask, in the file or beside it (``.msk``)."""
    alpha: int = 0
    """Number of the alpha band; 0: none."""
    two_valued: bool = False
    """Whether the alpha band has one value besides 0 (almost): it is a mask, and not a measurement that GDAL took for alpha."""
    paletted: bool = False
    """Whether the first band has a colour table, as maps of classes have: codes are never interpolated."""
    scales: tuple[float, ...] = ()
    """Scale that each band declares; 1 if it declares none."""
    offsets: tuple[float, ...] = ()
    """Offset that each band declares; 0 if it declares none."""
    tags: tuple[tuple[str, str], ...] = ()
    """Tags of the file and of its first band, names in upper case."""
    files: tuple[Path, ...] = ()
    """Files on disk that change what is read: the file, its side files, and the rasters behind a VRT."""
    turned: bool = False
    """Whether the rows of the file run from south to north; they are read from north to south."""

    @property
    def dtype(self) -> str:
        """Data type that holds the values of all bands: that of the bands, if they have the same."""
        return str(np.result_type(*self.dtypes))

    @property
    def nodata(self) -> float | None:
        """Declared nodata value of the first band."""
        return self.nodatas[0]


def _open(path: Path) -> Any:
    cap_block_cache()
    dataset = rasterio.open(path)
    widen_block_cache(dataset.block_shapes)
    return dataset


def block_of(path: Path) -> tuple[int, int]:
    """Return the rows and columns of the blocks of a raster, of its first band."""
    with _opened(path, _state(path)) as dataset:
        rows, columns = dataset.block_shapes[0]
        return int(rows), int(columns)


@contextmanager
def _opened(path: Path, state: tuple[State | None, ...]) -> Iterator[Any]:
    """Yield the dataset at `path`, in its present `state`. An open dataset is reused if the file has not changed."""
    try:
        with using((path, state), on_disk(path) == path and not is_virtual(path), _open) as dataset:
            yield dataset
    except rasterio.errors.RasterioError as error:
        raise SourceError(
            f"{path} cannot be read: it is truncated, damaged or not a raster (GDAL: {reason_of(error)}). "
            "Copy or download it again."
        ) from error


def _state(path: Path) -> tuple[State | None, ...]:
    """Return the states of the file on disk that contains `path`, and of the files behind it.

    A mask or side file that appears, or a raster replaced behind a VRT, changes the state.
    """
    file, others = _files_with(path)
    own = state_or_none(file)
    if own is None:
        raise SourceError(
            f"{file} does not exist. Check the path in the recipe (paths are relative to the recipe file)."
        )
    if not (file.is_file() or file.is_dir()):  # reading a pipe never ends
        raise SourceError(f"{file} is not a file: it is a pipe or a device. Give the path of a raster.")
    if is_virtual(path):
        others = (*others, *(on_disk(other) for other in _referenced(path, own)))
    return own, *(state_or_none(other) for other in others)


@functools.lru_cache(maxsize=65536)
def _files_with(path: Path) -> tuple[Path, tuple[Path, ...]]:
    """Return the file on disk that contains `path`, and the mask and the side file that may lie beside it."""
    file = on_disk(path)
    return file, beside(path) if file == path else ()


@kept_by_state(65536)
def _referenced(path: Path, state: State) -> tuple[Path, ...]:
    """Return the files behind a VRT in its present `state`."""
    try:
        with rasterio.open(path) as dataset:
            return tuple(sorted(files_of(dataset, path) - {path}))
    except rasterio.errors.RasterioError:
        return ()


def inspect(path: Path) -> RasterInfo:
    """Return the properties of the raster at `path`, after a check that the file is not truncated.

    Raises
    ------
    SourceError
        The file is missing or truncated, has no CRS, or has a grid that Bocage does not support.
    """
    return _inspected(path, _state(path))


def is_raster(path: Path) -> bool:
    """Whether a file exists and GDAL reads it as a georeferenced raster."""
    try:
        inspect(path)
    except SourceError:
        return False
    return True


def why_unusable(path: Path) -> str:
    """Return why a file that GDAL opens as a raster cannot be used; empty if it can, or is no raster."""
    try:
        with rasterio.open(path):
            pass
    except rasterio.errors.RasterioError:
        return ""
    try:
        inspect(path)
    except SourceError as error:
        return str(error)
    return ""


@kept_by_state(65536)
def _inspected(path: Path, state: tuple[State | None, ...]) -> RasterInfo:
    """Return the properties of a file in its present `state`."""
    with _opened(path, state) as dataset:
        _check_usable(dataset, path)
        try:
            grid = Grid.of(dataset.crs, _north_up(dataset), (dataset.height, dataset.width))
        except GridError as error:
            raise SourceError(f"{path}: {error}") from error
        # A truncated file opens without error and fails much later: reading its last pixel reveals it now. A JPEG 2000
        # codestream has an end marker, which avoids decoding a whole block.
        if dataset.driver != "JP2OpenJPEG" or not _has_end_marker(path):
            dataset.read(dataset.count, window=RioWindow(dataset.width - 1, dataset.height - 1, 1, 1))
        descriptions = tuple(d or "" for d in dataset.descriptions)
        tags = {name.upper(): value for name, value in (*dataset.tags(1).items(), *dataset.tags().items())}
        tags |= {"UNITTYPE": dataset.units[0]} if dataset.units[0] else {}
        alpha = _alpha_of(dataset)
        return RasterInfo(
            grid,
            dataset.count,
            tuple(dataset.dtypes),
            descriptions,
            tuple(dataset.nodatavals),
            tuple(_is_masked(flags) for flags in dataset.mask_flag_enums),
            alpha,
            bool(alpha) and _is_two_valued(dataset, alpha),
            dataset.colorinterp[0] == ColorInterp.palette,
            tuple(dataset.scales),
            tuple(dataset.offsets),
            tuple(tags.items()),
            tuple(sorted(file for file in {on_disk(file) for file in files_of(dataset, path)} if file.is_file())),
            _is_turned(dataset),
        )


def _is_turned(dataset: Any) -> bool:
    """Return whether the rows of a dataset run from south to north."""
    return bool(dataset.transform.e > 0)


def _north_up(dataset: Any) -> Affine:
    """Return the affine transform of the pixels of a dataset, with rows from north to south."""
    own: Affine = dataset.transform
    turned: Affine = own @ Affine.translation(0, dataset.height) @ Affine.scale(1, -1)
    return turned if _is_turned(dataset) else own


def _is_masked(flags: Sequence[MaskFlags]) -> bool:
    """Return whether a band has a mask of its own or of the dataset; nodata values and alpha bands are read otherwise.

    A nodata value for all bands together (``NODATA_VALUES``) is a mask of the dataset.
    """
    return not {MaskFlags.all_valid, MaskFlags.alpha} & set(flags) and set(flags) != {MaskFlags.nodata}


def _check_usable(dataset: Any, path: Path) -> None:
    """Check that a raster has real values and a place on the Earth."""
    if dataset.crs is None:
        raise SourceError(
            f"{path} has no coordinate reference system (CRS). Set one, for example with "
            f"'rio edit-info --crs EPSG:<code> {path.name}'."
        )
    if any("complex" in dtype or dtype.startswith("cint") for dtype in dataset.dtypes):
        raise SourceError(
            f"{path} has complex values. Write the amplitude or the intensity to a raster of real values."
        )
    if not (dataset.crs.is_projected or dataset.crs.is_geographic):
        raise SourceError(
            f"{path} has a local coordinate reference system, without a position on the Earth. Set a CRS, for example with "
            f"'rio edit-info --crs EPSG:<code> {path.name}'."
        )


def _alpha_of(dataset: Any) -> int:
    """Return the number of the alpha band, 0 if there is none. A raster of one band has none, whatever it declares.

    GDAL declares the last band of an 8-bit image of two or four bands as alpha. A band that is described by a date is a date.
    """
    described = zip(dataset.colorinterp, dataset.descriptions, strict=True)
    found = [
        i
        for i, (kind, text) in enumerate(described, start=1)
        if kind == ColorInterp.alpha and not re.match(DATE, text or "")
    ]
    return found[-1] if found and dataset.count > 1 else 0


def _is_two_valued(dataset: Any, band: int) -> bool:
    """Return whether windows spread over a band hold at most one value besides 0, but for the soft edges of an opaque image.

    GDAL declares the fourth band of every 8-bit image as alpha, even where it is near infrared.
    """
    seen: list[NDArray[Any]] = []
    height, width = (min(SPOT, n) for n in dataset.shape)
    for y in np.linspace(0, dataset.height - height, SPOTS).astype(int):
        for x in np.linspace(0, dataset.width - width, SPOTS).astype(int):
            values = dataset.read(band, window=RioWindow(x, y, width, height))
            seen.append(values[values != 0])
    shown = np.concatenate(seen)
    opaque = shown == np.iinfo(shown.dtype).max if shown.dtype.kind in "iu" else np.zeros(len(shown), bool)
    return len(np.unique(shown)) <= 1 or float(opaque.mean()) >= OPAQUE


def _has_end_marker(path: Path) -> bool:
    """Return whether a JPEG 2000 file ends with the end-of-codestream marker (ISO/IEC 15444-1, annex A)."""
    if on_disk(path) != path:
        return False
    with path.open("rb") as stream:
        stream.seek(-2, os.SEEK_END)
        return stream.read(2) == b"\xff\xd9"


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
    values : array (len(indexes), height, width), in the data type of the bands; of different ones, in a type that holds all
    valid : bool array of the same shape; False outside the file, and where the file or `decoding` says that there is no data
    """
    state = _state(path)
    info = _inspected(path, state)
    if info.paletted and resampling != "mode":
        resampling = "nearest"
    placed = placement(info.grid, grid)
    with _opened(path, state) as dataset:

        def bands(chosen: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
            image = _Image(dataset, (path, state), info, chosen, decoding)
            values, valid = _placed(image, grid, window, resampling, placed.scale)
            for place in placed.places[1:]:
                moved = replace(image, info=replace(info, grid=place))
                more, seen = _placed(moved, grid, window, resampling, placed.scale)
                values, valid = np.where(valid, values, more), valid | seen
            return values, valid

        return _of_each_type(bands, tuple(indexes), info.dtypes)


def _placed(
    image: "_Image", grid: Grid, window: Window, resampling: str, scale: float
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the bands of a file at its place, repeated or warped onto a window of `grid`."""
    span = nests(image.info.grid, grid)
    if span is None:
        return _warped(image, grid.crop(window), resampling, scale)
    return _repeated(image, grid, window, span)


def _of_each_type(
    bands: Callable[[tuple[int, ...]], tuple[NDArray[Any], NDArray[np.bool_]]],
    indexes: tuple[int, ...],
    dtypes: Sequence[str],
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the bands `indexes`. `bands` reads those of one data type, whose values do not depend on the other bands."""
    own = np.array([dtypes[i - 1] for i in indexes])
    types = list(dict.fromkeys(own.tolist()))
    if len(types) == 1:
        return bands(indexes)
    found = [bands(tuple(i for i, one in zip(indexes, own, strict=True) if one == dtype)) for dtype in types]
    order = np.argsort(np.concatenate([np.flatnonzero(own == dtype) for dtype in types]))
    values, valid = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return values[order], valid[order]


@dataclass(frozen=True)
class _Image:
    """Bands of one data type of an open file, and the rules of their validity."""

    dataset: Any
    key: Key
    info: RasterInfo
    indexes: tuple[int, ...]
    decoding: Decoding

    @property
    def dtype(self) -> str:
        """Data type of the bands, which is the same for all."""
        return self.info.dtypes[self.indexes[0] - 1]

    def read(self, part: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return values and validity (band, y, x) of a window inside the file, with rows from north to south."""
        if not self.info.turned:
            return self._stored(part)
        y = self.info.grid.shape[0] - part.y - part.height
        values, valid = self._stored(Window(y, part.x, part.height, part.width))
        return values[:, ::-1], valid[:, ::-1]

    def _stored(self, part: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return values and validity (band, y, x) of a window, with the rows as they are stored."""
        values = self._blocks(self.indexes, part)
        valid = np.abs(values) < FILL if values.dtype.kind == "f" else np.ones(values.shape, bool)
        for k, i in enumerate(self.indexes):
            nodata = self.info.nodatas[i - 1] if self.decoding.nodata is None else self.decoding.nodata
            for value in (nodata, *self.decoding.special):
                if value is not None and not np.isnan(value):
                    valid[k] &= values[k] != value
            if self.info.masked[i - 1]:
                valid[k] &= self._blocks((i,), part, masks=True)[0] > 0
        if self.info.alpha and self.decoding.alpha:
            valid &= ~self._transparent(part)
        return values, valid

    def _blocks(self, indexes: tuple[int, ...], part: Window, masks: bool = False) -> NDArray[Any]:
        """Return bands (band, y, x) of a window, or their masks, with the rows as they are stored."""
        return read_blocks(self.dataset, self.key, indexes, part, masks)

    def _transparent(self, part: Window) -> NDArray[np.bool_]:
        """Return the pixels (y, x) that the alpha band hides; of a measurement, those where all bands of the file are 0."""
        transparent = np.asarray(self._blocks((self.info.alpha,), part)[0] == 0)
        for i in range(1, self.info.count + 1):
            if self.info.two_valued or not transparent.any():
                break
            transparent &= self._blocks((i,), part)[0] == 0
        return transparent


def _repeated(image: _Image, grid: Grid, window: Window, span: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    file = image.info.grid
    row0, col0 = (round(o) for o in grid.offset_of(file))
    rows = (np.arange(window.y, window.y + window.height) - row0) // span
    cols = (np.arange(window.x, window.x + window.width) - col0) // span
    whole = Window(rows[0], cols[0], rows[-1] - rows[0] + 1, cols[-1] - cols[0] + 1)
    part = whole.clip(file.shape)
    if span == 1 and part == whole:
        return image.read(part)
    values = np.zeros((len(image.indexes), window.height, window.width), image.dtype)
    valid = np.zeros(values.shape, bool)
    if part.height and part.width:
        pixels, known = image.read(part)
        ys = np.flatnonzero((rows >= part.y) & (rows < part.y + part.height))
        xs = np.flatnonzero((cols >= part.x) & (cols < part.x + part.width))
        if span > 1:  # not for 1: indexing pixel by pixel takes as long as reading
            own = np.ix_(np.arange(len(image.indexes)), rows[ys] - part.y, cols[xs] - part.x)
            pixels, known = pixels[own], known[own]
        place = (slice(None), slice(ys[0], ys[-1] + 1), slice(xs[0], xs[-1] + 1))
        values[place], valid[place] = pixels, known
    return values, valid


def _warped(image: _Image, target: Grid, resampling: str, scale: float) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    file, count = image.info.grid, len(image.indexes)
    part = needed(file, target, scale)
    if part.height * part.width * count > AT_ONCE and max(target.shape) > 1:
        return _warped_in_halves(image, target, resampling, scale)
    if not (part.height and part.width):
        return np.zeros((count, *target.shape), image.dtype), np.zeros((count, *target.shape), bool)
    return warp(*image.read(part), file.crop(part), target, resampling, scale)


def _warped_in_halves(
    image: _Image, target: Grid, resampling: str, scale: float
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    height, width = target.shape
    axis = 1 if height >= width else 2
    first = Window(0, 0, height // 2, width) if axis == 1 else Window(0, 0, height, width // 2)
    second = (
        Window(height // 2, 0, height - height // 2, width)
        if axis == 1
        else Window(0, width // 2, height, width - width // 2)
    )
    halves = [_warped(image, target.crop(half), resampling, scale) for half in (first, second)]
    values, valid = (np.concatenate(parts, axis) for parts in zip(*halves, strict=True))
    return values, valid


def fingerprint(path: Path) -> str:
    """Return a digest of a file's size and of 64 evenly spaced blocks of 64 KiB (of the whole file up to 4 MiB).

    It detects a changed image without reading hundreds of gigabytes. Of a side file of GDAL (``.aux.xml``), only the part that
    changes what is read is taken.
    """
    if path.name.endswith(SIDE):
        return digest_of(essence(path))
    return _fingerprinted(path, state_of(path))


@kept_by_state(65536)
def _fingerprinted(path: Path, state: State) -> str:
    """Return the digest of a file in its present `state`."""
    block, size = 1 << 16, state.size
    parts = [str(size).encode()]
    with path.open("rb") as stream:
        starts = range(0, size, block) if size <= 64 * block else [i * (size - block) // 63 for i in range(64)]
        for start in starts:
            stream.seek(start)
            parts.append(stream.read(block))
    return digest_of(*parts)
