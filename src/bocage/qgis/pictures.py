"""Imagery of a scene for QGIS: a virtual raster on the files of one date of a source, or a reduced picture."""

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from numpy.typing import NDArray
from rio_tiler.errors import NoOverviewWarning

from bocage.disk import safe_name, write_text
from bocage.grid import Grid, Window
from bocage.legend import Legend
from bocage.mapping import WRITERS, MapBand
from bocage.qgis.document import Layer
from bocage.qgis.renderers import image
from bocage.report.imagery import SHOWN, composite, reduced
from bocage.sources import Source
from bocage.sources.base import Acquisition, BandFile
from bocage.sources.files import on_disk
from bocage.sources.raster import inspect
from bocage.sources.source import union
from bocage.view.imagery import Picture, clearest_or_first, spread_windows
from bocage.view.raster import part

ACROSS, SIDE = 5, 64
"""Windows along each side of an image from whose pixels the contrast is computed, and their side in pixels."""
LONGEST = 2048
"""Longer side of a reduced picture, in pixels."""
TYPES = {
    "uint8": "Byte", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32", "int32": "Int32", "float32": "Float32",
    "float64": "Float64",
}  # fmt: skip
"""Data type → its name in a virtual raster; others: Float64."""


def picture_layer(name: str, picture: Picture, folder: Path, legend: Legend, shown: bool) -> Layer | None:
    """Return the layer of a source, whose file is written to `folder`; None if the source has no bands to look at.

    A source of files on this computer has a virtual raster, in full resolution, of the date with the fewest clouds. Others
    (catalogues, derived sources) have a reduced picture of the median of some dates.

    Raises
    ------
    SourceError
        A file cannot be read.
    """
    source = picture.source
    stem = safe_name(name)
    if isinstance(source, Source):
        date = clearest_or_first(picture)
        members = [source.acquisitions[i] for i in source.dates[date]]
        if _is_local(members):
            path = folder / f"{stem}.vrt"
            limits, crs = _virtual(picture.bands, members, path)
            return Layer(f"{name}{_when(members[0])}", path, image(limits), crs, shown)
    if picture.bands not in SHOWN and not isinstance(source, Source):
        return None
    path = folder / f"{stem}.tif"
    grid = _reduced(picture, path, legend)
    return Layer(name, path, image([(1.0, 255.0)] * 3), grid.crs, shown)


def _when(acquisition: Acquisition) -> str:
    return f", {acquisition.time:%Y-%m-%d}" if acquisition.time else ""


def _is_local(acquisitions: Sequence[Acquisition]) -> bool:
    """Return whether a virtual raster can refer to all files.

    They are on this computer, XML can have their names, and their rows run from north to south.
    """
    paths = {file.path for one in acquisitions for file in one.files.values()}
    return all(on_disk(path).is_file() and str(path).isprintable() and not inspect(path).turned for path in paths)


def _virtual(
    bands: Sequence[str], acquisitions: Sequence[Acquisition], path: Path
) -> tuple[list[tuple[float, float]], Any]:
    """Write the virtual raster of some bands of a date, from the acquisitions in its most frequent CRS.

    Returns
    -------
    The values displayed as black and as full colour of each band, and the CRS.
    """
    crs = Counter(_grid(one, bands).crs_name for one in acquisitions).most_common(1)[0][0]
    members = [one for one in acquisitions if _grid(one, bands).crs_name == crs]
    grid = union([_grid(one, bands) for one in members])
    root = Element("VRTDataset", rasterXSize=str(grid.shape[1]), rasterYSize=str(grid.shape[0]))
    SubElement(root, "SRS").text = grid.crs.to_wkt()
    transform = grid.transform
    SubElement(root, "GeoTransform").text = ", ".join(map(repr, map(float, transform.to_gdal())))
    for k, band in enumerate(bands, start=1):
        root.append(_band(k, band, [one.files[band] for one in members], grid))
    ElementTree.indent(root, " ")
    write_text(path, ElementTree.tostring(root, "unicode") + "\n")
    return _limits(path, len(bands), grid), grid.crs


def _grid(acquisition: Acquisition, bands: Sequence[str]) -> Grid:
    """Return the grid of the finest of some bands."""
    return min((inspect(acquisition.files[band].path).grid for band in bands), key=lambda grid: grid.resolution)


def _band(number: int, name: str, files: Sequence[BandFile], grid: Grid) -> Element:
    """Return a band of a virtual raster; where files overlap, the first is on top."""
    first = files[0]
    dtype = str(np.result_type(*(inspect(file.path).dtypes[file.index - 1] for file in files)))
    band = Element("VRTRasterBand", dataType=TYPES.get(dtype, "Float64"), band=str(number))
    SubElement(band, "Description").text = name
    nodata = _nodata(first)
    if nodata is not None:
        SubElement(band, "NoDataValue").text = f"{nodata:.17g}"
    for file in reversed(files):
        own = inspect(file.path).grid
        source = SubElement(band, "ComplexSource")
        SubElement(source, "SourceFilename", relativeToVRT="0").text = str(
            file.path if str(file.path).startswith("/vsi") else file.path.absolute()
        )
        SubElement(source, "SourceBand").text = str(file.index)
        _rectangle(source, "SrcRect", (0, 0, *own.shape[::-1]))
        row, column = grid.offset_of(own)
        scale = own.resolution / grid.resolution
        _rectangle(source, "DstRect", (column, row, own.shape[1] * scale, own.shape[0] * scale))
        without = _nodata(file)
        if without is not None:
            SubElement(source, "NODATA").text = f"{without:.17g}"
    return band


def _nodata(file: BandFile) -> float | None:
    """Return the stored value without data of the recipe or the sensor, that of the file, or the first special value.

    A virtual raster has one such value in a band.
    """
    declared = file.decoding.nodata
    own = inspect(file.path).nodatas[file.index - 1] if declared is None else declared
    return next(iter(file.decoding.special), None) if own is None else own


def _rectangle(source: Element, tag: str, place: tuple[float, ...]) -> None:
    SubElement(source, tag, dict(zip(("xOff", "yOff", "xSize", "ySize"), map(repr, map(float, place)), strict=True)))


def _limits(path: Path, count: int, grid: Grid) -> list[tuple[float, float]]:
    """Return the 2nd and 98th percentile of each band, over windows spread over the image."""
    seen: list[list[NDArray[Any]]] = [[] for _ in range(count)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=NoOverviewWarning)  # full resolution is read
        for window in _windows(grid.shape):
            values, valid = part(path, tuple(range(1, count + 1)), grid.crop(window), "nearest")
            for k in range(count):
                seen[k].append(values[k][valid[k] & np.isfinite(values[k])])
    return [_percentiles(np.concatenate(one)) for one in seen]


def _percentiles(values: NDArray[Any]) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, high = np.percentile(values, (2, 98))
    return float(low), float(max(high, low + 1e-9))


def _windows(shape: tuple[int, int]) -> list[Window]:
    """Return windows evenly spread over a raster, or the whole of a small one."""
    height, width = shape
    if height * width <= (ACROSS * SIDE) ** 2:
        return [Window(0, 0, height, width)]
    return spread_windows(shape, ACROSS, SIDE)


def _reduced(picture: Picture, path: Path, legend: Legend) -> Grid:
    """Write a reduced picture of a source, of three bands from 1 to 255, and return its grid."""
    grid = reduced(picture.cube.grid, LONGEST)
    pixels, bands = composite(picture.source, grid)
    stored = np.rint(1 + 254 * pixels).astype(np.uint8).transpose(2, 0, 1)
    channels = tuple(MapBand(f"{color}: {band}", "uint8", 0) for color, band in _channels(bands))
    output = WRITERS.get("cog").open(path, grid, channels, legend)
    try:
        output.put(grid.window, stored)
        output.close()
    except BaseException:
        output.discard()
        raise
    return grid


def _channels(bands: Sequence[str]) -> list[tuple[str, str]]:
    return [(color, bands[k % len(bands)]) for k, color in enumerate(("red", "green", "blue"))]
