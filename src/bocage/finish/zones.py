"""Zonal statistics: area of every class, its estimate, and the mean confidence in any polygons.

A pixel on the border of a zone counts with the part of it that is inside (exactextract). Its fractions of classes are not used:
each zone is read in parts, and the parts of pixels are summed here.
"""

from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FieldError
from pyproj import Transformer
from pyproj.exceptions import ProjError

from bocage.errors import FinishError
from bocage.evaluation.area import Estimate
from bocage.finish.estimates import Calibration
from bocage.finish.ground import ground_areas
from bocage.finish.vectors import UNKNOWN
from bocage.grid import Grid, Window, name_of
from bocage.mapping.areas import pixel_areas
from bocage.mapping.delivered import Delivered
from bocage.progress import Progress
from bocage.samples.condition import day_text
from bocage.shelf import did_you_mean
from bocage.vectorfile import features_of, filled_names, has_place, layer_of, polygons_of, repaired, shapes_of
from bocage.words import quantity

PART = 1024
"""Side of the parts of a zone that are read at a time, in pixels."""
HARMLESS = 0.999
"""Share of a zone on the map from which on it counts as inside."""
LISTED = 5
"""Maximum number of names in a message."""
OVERLAP = 0.01
"""Share of the smaller of two zones in the other one from which on they overlap; less is taken for a rough border."""


@dataclass(frozen=True)
class Zones:
    """Polygons in the CRS of a map."""

    names: tuple[str, ...]
    shapes: NDArray[Any]
    """Shapely geometries, of polygons only (N,)."""

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class ZoneStatistics:
    """What a map has in each zone."""

    zones: Zones
    area: NDArray[np.float64]
    """Mapped area of each class, in m² (N, K)."""
    size: NDArray[np.float64]
    """Area of each zone, in m² (N,)."""
    confidence: NDArray[np.float64]
    """Mean confidence, 0 to 100; NaN without data (N,)."""
    estimates: tuple[tuple[Estimate, ...], ...] | None
    """Estimated area of each class in m², for each zone; None without reference pixels."""

    @property
    def covered(self) -> NDArray[np.float64]:
        """Share of each zone that the map covers with data (N,)."""
        return np.asarray(self.area.sum(1) / np.maximum(self.size, 1e-12))


def read_zones(path: Path, field: str, grid: Grid, progress: Progress) -> Zones:
    """Read the polygons of a vector file; report a reprojection, repaired polygons, and features without a polygon.

    The name of a zone is the value of `field` as text: a whole number without decimals, a date without the time at midnight.
    Without a field, it is the number of the feature in the file, from 1. A feature without a value is called "unnamed" and its
    number; this and names of several zones are reported.

    Raises
    ------
    FinishError
        The file cannot be read, has no CRS, no such field, or no polygon.
    """
    if not path.exists():
        raise FinishError(f"{path} does not exist. Give the path of a vector file of polygons.")
    try:
        layer = layer_of(path, "", "write its polygons to a file of their own")
        crs, wkb, values = features_of(layer, [field] if field else [])
        fields = pyogrio.read_info(layer.address, layer=layer.name, **layer.options)["fields"].tolist()
    except (DataSourceError, DataLayerError, FieldError, ValueError) as error:
        raise FinishError(f"{path} cannot be read as a vector file: {error}. Give a file of polygons.") from error
    except LookupError as error:
        raise FinishError(f"{error}") from error
    if not crs:
        raise FinishError(f"{path} has no CRS. Set one, for example with ogr2ogr -a_srs.")
    if field and field not in fields:
        raise FinishError(
            f"{path} has no field '{field}'.{did_you_mean(field, fields)} Its fields: {', '.join(fields)}."
        )
    known = [day_text(value) for value in values[field].tolist()] if field else [""] * len(wkb)
    names = filled_names(known, range(1, len(wkb) + 1)) if field else [str(k + 1) for k in range(len(wkb))]
    shapes = _repaired(shapes_of(wkb), path, progress)
    is_polygon = np.array([shape is not None and not shape.is_empty for shape in shapes], bool)
    if not is_polygon.any():
        raise FinishError(
            f"{path} has no polygon with an area and finite coordinates; found {len(wkb)} features. Give a file of polygons."
        )
    if lost := int((~is_polygon).sum()):
        progress.say(f"{path.name}: {lost} of {len(wkb)} features have no polygon and are left out.")
    kept = Zones(tuple(name for name, own in zip(names, is_polygon, strict=True) if own), shapes[is_polygon])
    if field:
        _report_names(kept.names, set(known), path, progress)
    return _reprojected(kept, crs, path, grid, progress)


def overlapping(zones: Zones) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the pairs of zones that touch, first and second zone (P,), and the common share of the smaller one (P,)."""
    first, second = shapely.STRtree(zones.shapes).query(zones.shapes, predicate="intersects")
    first, second = first[first < second], second[first < second]
    common = shapely.area(shapely.intersection(zones.shapes[first], zones.shapes[second]))
    size = shapely.area(zones.shapes)
    return first, second, np.asarray(common / np.maximum(np.minimum(size[first], size[second]), 1e-12))


def _report_names(names: Sequence[str], known: Set[str], path: Path, progress: Progress) -> None:
    """Report zones without a name, whose names are not in `known`, and names of several zones."""
    if missing := [name for name in names if name not in known]:
        progress.say(
            f"{path.name}: {len(missing)} of {len(names)} polygons have no name; they are called by the number of their feature: "
            f"{listed(missing)}."
        )
    if twice := {name: n for name, n in Counter(names).items() if n > 1}:
        progress.say(
            f"{path.name}: {sum(twice.values())} of {len(names)} polygons have the name of another one: {listed(sorted(twice))}. "
            "Each stays a polygon of its own; make one multipolygon of the parts of a polygon, or choose another field."
        )


def report_overlaps(zones: Zones, progress: Progress) -> None:
    """Report zones that overlap: their sums count an area twice."""
    pairs = [
        f"{zones.names[a]} and {zones.names[b]}"
        for a, b, part in zip(*overlapping(zones), strict=True)
        if part > OVERLAP
    ]
    if pairs:
        said = "1 pair of zones overlaps" if len(pairs) == 1 else f"{len(pairs)} pairs of zones overlap"
        progress.say(f"{said}: {listed(pairs)}. Their common area counts in each of them.")


def _repaired(shapes: NDArray[Any], path: Path, progress: Progress) -> NDArray[Any]:
    """Return the polygons of geometries, invalid ones repaired (GEOS, by structure)."""
    wrong = ~shapely.is_valid(shapes) & ~shapely.is_missing(shapes)
    if wrong.any():
        first = shapely.is_valid_reason(shapes[wrong][0])
        progress.say(
            f"{path.name}: {int(wrong.sum())} of {len(shapes)} polygons are invalid and were repaired; the first: {first}."
        )
        shapes[wrong] = repaired(shapes[wrong], method="structure", keep_collapsed=False)
    found = np.empty(len(shapes), object)
    for k, shape in enumerate(shapes):
        parts = [one for one in shapely.get_parts(shape) if shapely.get_dimensions(one) == 2 and not one.is_empty]
        found[k] = shapely.MultiPolygon(shapely.get_parts(np.array(parts)).tolist()) if parts else None
    return found


def _reprojected(zones: Zones, crs: str, path: Path, grid: Grid, progress: Progress) -> Zones:
    """Return zones in the CRS of a grid."""
    from pyproj import CRS

    if CRS.from_user_input(crs) == CRS.from_user_input(grid.crs.to_wkt()):
        return zones
    try:
        change = Transformer.from_crs(crs, grid.crs.to_wkt(), always_xy=True)
        moved = shapely.transform(zones.shapes, lambda xy: np.column_stack(change.transform(xy[:, 0], xy[:, 1])))
    except ProjError as error:
        raise FinishError(
            f"{path}: its CRS cannot be transformed to that of the map ({error}). Check its CRS."
        ) from error
    finite = has_place(moved)
    if not finite.all():
        raise FinishError(
            f"{path}: zone '{zones.names[int(np.argmin(finite))]}' is outside the domain of {grid.crs_name}. Check the CRS of "
            "the file."
        )
    progress.say(f"{path.name}: reprojected from {name_of(CRS.from_user_input(crs))} to {grid.crs_name}.")
    shapes = repaired(moved, method="structure", keep_collapsed=False)
    kept = ~shapely.is_missing(shapes)
    if not kept.any():
        raise FinishError(f"{path}: no zone has an area in {grid.crs_name}. Check the CRS of the file.")
    if lost := int((~kept).sum()):
        progress.say(f"{path.name}: {lost} of {len(shapes)} zones have no area in {grid.crs_name} and are left out.")
    return Zones(tuple(name for name, there in zip(zones.names, kept, strict=True) if there), shapes[kept])


def zone_statistics(
    land: Delivered, zones: Zones, calibration: Calibration | None, progress: Progress
) -> ZoneStatistics:
    """Sum a map by zone; report zones that the map covers partly or not at all.

    Raises
    ------
    FinishError
        All zones are outside the map.
    """
    count, size = len(land.legend.codes), np.zeros(len(zones))
    area, sure = np.zeros((len(zones), count)), np.zeros((len(zones), 2))
    has_confidence = land.path("confidence").exists()
    heights = pixel_areas(land.grid)
    for k, shape in enumerate(zones.shapes):
        size[k] = ground_areas(polygons_of(shape), land.grid.crs.proj).sum()
        for window, part in _parts(shape, land.grid):
            place, weight = inside(part, land.grid.crop(window))
            weight = weight * heights[window.y + place // window.width]
            codes = land.read("classes", land.grid, window, 0).ravel()[place]
            for position, code in enumerate(land.legend.codes):
                area[k, position] += weight[codes == code].sum()
            if has_confidence:
                values = land.read("confidence", land.grid, window, UNKNOWN).ravel()[place]
                known = (values != UNKNOWN) & (codes > 0)
                sure[k] += (weight[known] @ values[known].astype(float), weight[known].sum())
        progress.step("zones", k + 1, len(zones))
    confidence = np.divide(sure[:, 0], sure[:, 1], out=np.full(len(zones), np.nan), where=sure[:, 1] > 0)
    estimates = tuple(tuple(calibration.estimate(row)) for row in area) if calibration else None
    found = ZoneStatistics(zones, area, size, confidence, estimates)
    _report_outside(found, land, progress)
    return found


def _report_outside(found: ZoneStatistics, land: Delivered, progress: Progress) -> None:
    outside = [name for name, share in zip(found.zones.names, found.covered, strict=True) if share <= 0]
    if len(outside) == len(found.zones):
        raise FinishError(
            f"{every(len(outside), 'zone')} outside the map {land.folder}, or where it has no data. Bounds of the map in "
            f"{land.grid.crs_name}: {land.grid.bounds}; bounds of the zones: "
            f"{tuple(float(v) for v in shapely.total_bounds(found.zones.shapes))}."
        )
    if outside:
        said = quantity(len(outside), "zone", "is", "are")
        progress.say(f"{said} outside the map, or where it has no data: {listed(outside)}.")
    partly = [n for n, share in zip(found.zones.names, found.covered, strict=True) if 0 < share < HARMLESS]
    if partly:
        said = quantity(len(partly), "zone", "is", "are")
        progress.say(f"{said} covered by the map in part (column 'covered'): {listed(partly)}.")


def every(n: int, noun: str) -> str:
    """Return the subject of a sentence about all of n things, and its verb."""
    return f"The {noun} is" if n == 1 else f"All {n} {noun}s are"


def listed(names: Sequence[str]) -> str:
    """Return the first names, and the number of the others."""
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def box_of(shape: Any, grid: Grid) -> Window:
    """Return the smallest window of a grid that covers the part of a geometry on it. Its size may be 0."""
    west, south, east, north = shape.bounds
    (x0, y0), (x1, y1) = ~grid.transform @ (west, north), ~grid.transform @ (east, south)
    top, left, bottom, right = int(np.floor(y0)), int(np.floor(x0)), int(np.ceil(y1)), int(np.ceil(x1))
    return Window(top, left, max(bottom - top, 1), max(right - left, 1)).clip(grid.shape)


def _parts(shape: Any, grid: Grid) -> Iterator[tuple[Window, Any]]:
    """Yield windows of a grid that cover a geometry, with the part of the geometry in each."""
    box = box_of(shape, grid)
    if not (box.height and box.width):
        return
    for tile in grid.crop(box).tiles(PART):
        window = Window(tile.y + box.y, tile.x + box.x, tile.height, tile.width)
        part = shape
        if box.height > PART or box.width > PART:
            part = shapely.intersection(shape, shapely.box(*grid.crop(window).bounds))
        if not part.is_empty:
            yield window, part


def inside(shape: Any, grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the pixels of a grid (flat) that a geometry touches, and the share of each that is inside, 0 to 1."""
    from exactextract import exact_extract
    from exactextract.raster import NumPyRasterSource

    places = np.arange(grid.shape[0] * grid.shape[1], dtype=np.int32).reshape(grid.shape)
    west, south, east, north = grid.bounds
    raster = NumPyRasterSource(places, west, south, east, north)
    parts = polygons_of(shape)
    if not len(parts):
        return np.zeros(0, np.int64), np.zeros(0)
    feature = {
        "type": "Feature",
        "properties": {},
        "geometry": shapely.geometry.mapping(shapely.MultiPolygon(parts.tolist())),
    }
    found = exact_extract(raster, [feature], ["values", "coverage"])[0]["properties"]
    return np.asarray(found["values"], np.int64), np.asarray(found["coverage"], np.float64)
