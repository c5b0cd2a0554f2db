"""Class codes of several years, read from rasters or from polygons, as positions in a table of classes."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from odc.geo import CRS
from odc.geo.geom import box
from pyogrio.errors import DataLayerError, DataSourceError, FieldError
from pyproj import Transformer
from rasterio.features import rasterize

from bocage.errors import SourceError
from bocage.grid import Grid, Window
from bocage.legend import plain
from bocage.shelf import did_you_mean
from bocage.sources.base import Decoding
from bocage.sources.partition import beside_centres, clipped, polygons_in
from bocage.sources.placement import touches
from bocage.sources.raster import fingerprint, inspect, read
from bocage.vectorfile import VectorLayer, features_of, layer_of, repaired, shapes_of, vector_files

MISSING, UNKNOWN = -1, -2
"""Positions of a pixel without a code, and of a code that is not in the table."""
PIECES, SIDE = 8, 256
"""Windows along a side of the map, and pixels along a side of each, in which codes are looked at before a run."""
NOMINAL = 1000
"""Number of pixels along the longer side of polygons, before they are laid on the grid of a map."""
LISTED = 20
"""Maximum number of codes listed in a message."""
_ALONE = threading.Lock()
"""One thread rasterises at a time: rasterio changes the filter of warnings of all threads meanwhile."""


@dataclass(frozen=True)
class Table:
    """Codes, and the position of the class of each."""

    classes: Mapping[str, int]
    """Code, as plain text → position of its class; ``MISSING`` for a code that stands for no data."""

    def positions(self, codes: NDArray[Any]) -> NDArray[np.int16]:
        """Return the position of each of several different codes (N,)."""
        texts = (plain(code) for code in codes.tolist())
        return np.array([self.classes.get(text, UNKNOWN) if text else MISSING for text in texts], np.int16)


@dataclass(frozen=True)
class RasterCodes:
    """A raster of codes for each year, and perhaps one of confidences."""

    paths: tuple[Path, ...]
    confidence: tuple[Path | None, ...]

    @property
    def grid(self) -> Grid:
        """Grid of the raster of the last year."""
        return inspect(self.paths[-1]).grid

    def over(self, grid: Grid, table: Table) -> "RasterCodes":
        """Return the rasters themselves, after a look at the codes in parts of the map.

        Raises
        ------
        SourceError
            A raster has codes that are not in the table.
        """
        height, width = grid.shape
        rows, columns = (np.unique(np.linspace(0, max(0, n - SIDE), PIECES).astype(int)) for n in (height, width))
        for y in rows.tolist():
            for x in columns.tolist():
                self.read(grid, Window(y, x, min(SIDE, height), min(SIDE, width)), table)
        return self

    def read(self, grid: Grid, window: Window, table: Table) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
        """Return positions (year, y, x) and confidences (year, y, x), 0 to 1, of the pixels of a window.

        Raises
        ------
        SourceError
            A raster has codes that are not in the table, or confidences above 100.
        """
        shape = (len(self.paths), window.height, window.width)
        classes, sure = np.full(shape, MISSING, np.int16), np.ones(shape, np.float32)
        for t, path in enumerate(self.paths):
            if touches(inspect(path).grid, grid, window):
                classes[t] = _positions(path, grid, window, table)
            if file := self.confidence[t]:
                sure[t], known = _confidence(file, grid, window)
                classes[t][~known] = MISSING
        return classes, sure

    def touching(self, grid: Grid, window: Window) -> tuple[int, ...]:
        """Return the positions of the years whose raster touches a window."""
        return tuple(t for t, path in enumerate(self.paths) if touches(inspect(path).grid, grid, window))

    def fingerprints(self, members: tuple[int, ...] | None) -> dict[str, str]:
        """Return file path to digest, for all years or for those at the positions `members`."""
        chosen = range(len(self.paths)) if members is None else members
        paths = [path for t in chosen for path in (self.paths[t], self.confidence[t]) if path]
        return {str(file): fingerprint(file) for path in paths for file in inspect(path).files}

    def codes(self, table: Table) -> list[str]:
        """Return the codes in the middle of the rasters that are not in the table."""
        found: set[str] = set()
        for path in self.paths:
            grid = inspect(path).grid
            height, width = (min(4 * SIDE, n) for n in grid.shape)
            middle = Window((grid.shape[0] - height) // 2, (grid.shape[1] - width) // 2, height, width)
            stored, known = read(path, [1], grid, middle, "nearest", Decoding())
            found |= {plain(code) for code in np.unique(stored[known]).tolist()}
        return sorted(found - set(table.classes), key=_natural)


def _positions(path: Path, grid: Grid, window: Window, table: Table) -> NDArray[np.int16]:
    stored, known = read(path, [1], grid, window, "nearest", Decoding())
    found = np.full(known[0].shape, MISSING, np.int16)
    codes, which = np.unique(stored[0][known[0]], return_inverse=True)
    positions = table.positions(codes)
    if (positions == UNKNOWN).any():
        raise unknown(path, [plain(code) for code in codes[positions == UNKNOWN].tolist()])
    found[known[0]] = positions[which]
    return found


def _confidence(path: Path, grid: Grid, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    stored, known = read(path, [1], grid, window, "nearest", Decoding())
    values = np.where(known[0], stored[0], 0).astype(np.float32)
    if values.size and not 0 <= values.min() <= values.max() <= 100:
        raise SourceError(f"{path} has confidences from {values.min():g} to {values.max():g}; 0 to 100 are expected.")
    return np.asarray(values / np.float32(100), np.float32), known[0]


@dataclass(frozen=True)
class PolygonCodes:
    """Polygons of a vector file with a field of codes for each year. They are read for the map, once it is known."""

    path: Path
    layer: VectorLayer
    where: str
    fields: tuple[str, ...]
    crs: str
    bounds: tuple[float, float, float, float]
    """Bounds of the layer, in its CRS."""
    shapes: NDArray[Any] | None = None
    """(N,) polygons around the map, in its CRS; None before :meth:`over`."""
    classes: NDArray[np.int16] | None = None
    """(N, year) position of the class of each polygon."""

    def __getstate__(self) -> dict[str, Any]:
        """Exclude the spatial index from the pickle; the receiving process makes it again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def grid(self) -> Grid:
        """A nominal grid that covers the polygons."""
        west, south, east, north = self.bounds
        return Grid.from_bounds(self.crs, max(east - west, north - south) / NOMINAL, self.bounds)

    def over(self, grid: Grid, table: Table) -> "PolygonCodes":
        """Return the polygons around a map.

        Raises
        ------
        SourceError
            The file cannot be read, or its fields have codes that are not in the table.
        """
        around = box(*grid.bounds, grid.crs).buffer(grid.resolution)
        near = around.to_crs(CRS(self.crs), resolution="auto").boundingbox.bbox
        try:
            _, wkb, own = features_of(self.layer, self.fields, self.where, bbox=near)
        except (DataSourceError, DataLayerError, FieldError, ValueError) as error:
            raise SourceError(f"{self.path} cannot be read: {error}. Check 'path', 'fields' and 'where'.") from error
        shapes = _moved(repaired(shapes_of(wkb)), self.crs, grid)
        usable = np.array([bool(polygons_in([shape])) for shape in shapes], bool)
        classes = np.empty((len(shapes), len(self.fields)), np.int16)
        for t, field in enumerate(self.fields):
            codes, which = np.unique([plain(code) for code in own[field].tolist()], return_inverse=True)
            positions = table.positions(codes)
            if (positions == UNKNOWN).any():
                raise unknown(f"{self.path}, field '{field}'", codes[positions == UNKNOWN].tolist())
            classes[:, t] = positions[which] if len(which) else MISSING
        return replace(self, shapes=shapes[usable], classes=classes[usable])

    def read(self, grid: Grid, window: Window, table: Table) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
        """Return positions (year, y, x) and confidences (year, y, x), all 1. Where polygons overlap, the last one counts."""
        if self.shapes is None or self.classes is None:
            return self.over(grid, table).read(grid, window, table)
        target = grid.crop(window)
        west, south, east, north = target.bounds
        margin = target.resolution
        frame = (west - margin, south - margin, east + margin, north + margin)
        near = np.sort(self._tree.query(shapely.box(*frame)))
        drawn = [(part, k) for k in near.tolist() for part in polygons_in([clipped(self.shapes[k], frame)])]
        number = np.full(target.shape, -1, np.int32)
        if drawn:
            with _ALONE:
                number = rasterize(drawn, target.shape, -1, transform=beside_centres(target), dtype=np.int32)
        missing = np.full((1, len(self.fields)), MISSING, np.int16)
        classes = np.concatenate([self.classes, missing])[number]  # -1: the last row
        return np.ascontiguousarray(np.moveaxis(classes, -1, 0)), np.ones((len(self.fields), *target.shape), np.float32)

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree([] if self.shapes is None else self.shapes)

    def touching(self, grid: Grid, window: Window) -> tuple[int, ...]:
        """Return the positions of all years: one file has them."""
        return tuple(range(len(self.fields)))

    def fingerprints(self, members: tuple[int, ...] | None) -> dict[str, str]:
        """Return file path to digest of the vector file and of the files that belong to it."""
        return {str(file): fingerprint(file) for file in vector_files(self.path)} if members != () else {}

    def codes(self, table: Table) -> list[str]:
        """Return the codes of the first polygons that are not in the table."""
        _, _, columns = features_of(self.layer, self.fields, self.where, read_geometry=False, max_features=10_000)
        found = {plain(code) for column in columns.values() for code in column.tolist()} - {""}
        return sorted(found - set(table.classes), key=_natural)


def polygon_codes(path: Path, layer: str, where: str, fields: Sequence[str]) -> PolygonCodes:
    """Open a vector file of codes; its polygons are read later.

    Raises
    ------
    SourceError
        The file cannot be read, or has no CRS, no polygon, or no such field.
    """
    try:
        found = layer_of(path, layer, "'layer'")
        info = pyogrio.read_info(
            found.address, layer=found.name, force_total_bounds=True, force_feature_count=True, **found.options
        )
    except LookupError as error:
        raise SourceError(f"{error}") from error
    except (DataSourceError, DataLayerError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {error}. Check 'path'.") from error
    known = info["fields"].tolist()
    if lacking := [field for field in fields if field not in known]:
        raise SourceError(
            f"{path} has no field '{lacking[0]}'.{did_you_mean(lacking[0], known)} The fields are: {', '.join(known)}."
        )
    if not info["crs"]:
        raise SourceError(f"{path}: no CRS. Set one, for example with ogr2ogr -a_srs.")
    bounds = info["total_bounds"]
    if not info["features"] or not np.isfinite(bounds).all() or bounds[0] >= bounds[2] or bounds[1] >= bounds[3]:
        raise SourceError(f"{path} has no polygon. Check the file.")
    return PolygonCodes(path, found, where, tuple(fields), str(info["crs"]), tuple(bounds))


def unknown(place: object, codes: Sequence[str]) -> SourceError:
    """Return the error for codes that are not in the table."""
    listed = sorted(codes, key=_natural)
    more = f" and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
    return SourceError(
        f"{place} has codes that 'classes' does not list: {', '.join(listed[:LISTED])}{more}. Give each the class of the history "
        "that it belongs to, or list it in 'missing'."
    )


def _natural(code: str) -> tuple[bool, int, str]:
    return (not code.isdecimal(), int(code) if code.isdecimal() else 0, code)


def _moved(shapes: NDArray[Any], crs: str, grid: Grid) -> NDArray[Any]:
    """Return geometries in the CRS of a grid."""
    if CRS(crs) == grid.crs:
        return shapes
    transform = Transformer.from_crs(crs, grid.crs.proj, always_xy=True).transform
    moved = shapely.transform(shapes, lambda xy: np.column_stack(transform(xy[:, 0], xy[:, 1])))
    return repaired(moved)  # None outside the area of the projection
