"""Candidates of a survey: parcels of a vector file, squares of a regular grid, or points of a table of series."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FieldError
from pyproj import Transformer
from pyproj.exceptions import CRSError, ProjError

from bocage.advice.selection import Floats
from bocage.errors import AdviceError
from bocage.grid import WGS84, Grid
from bocage.samples import Pixels
from bocage.samples.rasterise import pixels_inside
from bocage.samples.unlabelled import NONE
from bocage.vectorfile import features_of, layer_of, shapes_of

PIXELS = 9
"""Maximum number of pixels of a candidate that are classified."""
OVERLAP = 0.1
"""Share of the smaller of a candidate and a reference polygon from which their overlap makes the candidate surveyed."""
REASONS = {
    "outside": "outside the map",
    "surveyed": "surveyed already",
    "too_small": "without a pixel centre",
    "masked": "without a valid date",
    "no_series": "without a series",
    "no_place": "without coordinates",
    "not_drawn": "not drawn",
}
"""Reason for leaving a candidate out → its text in messages; pages have ``scout_left_<reason>``."""


@dataclass(frozen=True)
class Candidates:
    """N places that can be surveyed."""

    names: tuple[str, ...]
    shapes: NDArray[Any]
    """Polygons, or points of a table (N,), in `crs`."""
    crs: str
    """Coordinate reference system of the shapes, as WKT."""
    place: Floats
    """Longitude and latitude of a point inside each candidate, in degrees (N, 2)."""
    pixels: Pixels
    """At most ``PIXELS`` pixels of each candidate; the number of the polygon is the position of the candidate."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Reason → number of candidates that were left out."""
    polygons: tuple[str, ...] = ()
    """Identifier of the polygon of each point of a table (N,); empty: there is none."""

    def __len__(self) -> int:
        return len(self.names)

    def take(self, members: NDArray[np.int64], reason: str) -> "Candidates":
        """Return the candidates at the positions `members`; the others are counted as left out."""
        number = np.full(len(self), -1, np.int32)
        number[members] = np.arange(len(members), dtype=np.int32)
        kept = self.pixels.take(np.flatnonzero(number[self.pixels.polygon] >= 0))
        return replace(
            self,
            names=tuple(self.names[k] for k in members),
            polygons=tuple(self.polygons[k] for k in members) if self.polygons else (),
            shapes=self.shapes[members],
            place=self.place[members],
            pixels=replace(kept, polygon=number[kept.polygon]),
            left_out=counted(self.left_out, reason, len(self) - len(members)),
        )

    def at_most(self, most: int, seed: int) -> "Candidates":
        """Return at most `most` candidates, drawn at random."""
        if len(self) <= most:
            return self
        drawn = np.random.default_rng((seed, 2)).permutation(len(self))[:most]
        return self.take(np.sort(drawn), "not_drawn")


def counted(left_out: Mapping[str, int], reason: str, n: int) -> dict[str, int]:
    """Return the numbers of candidates that were left out, with `n` more for a reason."""
    return {**left_out, reason: left_out.get(reason, 0) + n} if n else dict(left_out)


def check_any(found: Candidates, where: str) -> None:
    """Check that candidates remain.

    Raises
    ------
    AdviceError
        All were left out, or there was none.
    """
    if len(found):
        return
    total = sum(found.left_out.values())
    reasons = ", ".join(f"{n} {REASONS[reason]}" for reason, n in found.left_out.items())
    raise AdviceError(
        f"{where}: no candidate to survey{f', of {total}: {reasons}' if total else ''}. Give --candidates a file with other "
        "parcels of the mapped area."
    )


def of_polygons(names: tuple[str, ...], shapes: NDArray[Any], grid: Grid, surveyed: NDArray[Any]) -> Candidates:
    """Return polygons in the CRS of a map as candidates; those outside the map, surveyed or without a pixel are left out.

    Parameters
    ----------
    surveyed
        Reference polygons, in the CRS of the map.

    Raises
    ------
    AdviceError
        The CRS of the map has no longitude and latitude.
    """
    on_map = np.asarray(shapely.intersects(shapes, shapely.box(*grid.bounds)))
    left_out = counted({}, "outside", int((~on_map).sum()))
    known = is_surveyed(shapes, surveyed) & on_map
    left_out = counted(left_out, "surveyed", int(known.sum()))
    kept = np.flatnonzero(on_map & ~known)
    parts = [_spread(*pixels_inside(shape, grid)) for shape in shapes[kept]]
    seen = np.array([len(rows) > 0 for rows, _ in parts], bool)
    left_out = counted(left_out, "too_small", int((~seen).sum()))
    kept, parts = kept[seen], [part for part, own in zip(parts, seen, strict=True) if own]
    number = np.repeat(np.arange(len(kept), dtype=np.int32), [len(rows) for rows, _ in parts])
    row, column = (
        np.concatenate([part[axis] for part in parts] or [np.zeros(0, np.int32)]).astype(np.int32) for axis in (0, 1)
    )
    pixels = Pixels(row, column, np.full(len(row), NONE, np.int16), number)
    inner = shapely.get_coordinates(shapely.point_on_surface(shapes[kept]))
    crs = str(grid.crs.to_wkt())
    return Candidates(
        tuple(names[k] for k in kept), shapes[kept], crs, to_degrees(inner, crs), pixels, left_out
    )  # fmt: skip


def _spread(row: NDArray[np.int32], column: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return at most ``PIXELS`` of the pixels of a candidate, evenly among its rows."""
    chosen = np.unique(np.linspace(0, len(row) - 1, min(PIXELS, len(row))).round().astype(int))
    return row[chosen], column[chosen]


def is_surveyed(shapes: NDArray[Any], surveyed: NDArray[Any]) -> NDArray[np.bool_]:
    """Return whether each polygon overlaps a surveyed one by a tenth of the smaller of both (N,)."""
    found = np.zeros(len(shapes), bool)
    first, second = shapely.STRtree(surveyed).query(shapes, predicate="intersects")
    common = shapely.area(shapely.intersection(shapes[first], surveyed[second]))
    smaller = np.minimum(shapely.area(shapes[first]), shapely.area(surveyed[second]))
    found[first[common > OVERLAP * np.maximum(smaller, 1e-12)]] = True
    return found


def squares(grid: Grid, side: float, region: Any, most: int, seed: int) -> tuple[tuple[str, ...], NDArray[Any]]:
    """Return the names and outlines of at most `most` squares of a regular grid on a map, drawn at random.

    Squares consist of whole pixels and start at the corner of the map; those that are cut by its edge are left out. A name is
    the row and the column of the square.

    Parameters
    ----------
    side
        Side in metres; it is rounded to whole pixels.
    region
        Geometry in the CRS of the map that contains the centres of the squares; None: the whole map.

    Raises
    ------
    AdviceError
        The map is smaller than a square.
    """
    cells = max(1, round(side / grid.metres[0]))
    rows, columns = (n // cells for n in grid.shape)
    if not rows or not columns:
        raise AdviceError(f"The map is smaller than a square of {side:g} m. Reduce --side.")
    order = np.random.default_rng((seed, 3)).permutation(rows * columns)
    row, column = order // columns, order % columns
    length = cells * grid.resolution
    west, north = grid.bounds[0] + column * length, grid.bounds[3] - row * length
    if region is not None:
        inside = shapely.contains_xy(region, west + length / 2, north - length / 2)
        row, column, west, north = row[inside], column[inside], west[inside], north[inside]
    row, column, west, north = row[:most], column[:most], west[:most], north[:most]
    names = tuple(f"{r + 1}-{c + 1}" for r, c in zip(row.tolist(), column.tolist(), strict=True))
    return names, np.asarray(shapely.box(west, north - length, west + length, north))


def to_degrees(places: Floats, crs: str) -> Floats:
    """Return longitude and latitude of places (N, 2) in a CRS.

    Raises
    ------
    AdviceError
        The CRS is local, or a place has no longitude and latitude.
    """
    try:
        x, y = Transformer.from_crs(crs, WGS84, always_xy=True).transform(places[:, 0], places[:, 1])
    except (ProjError, CRSError) as error:
        raise AdviceError(
            f"The coordinate reference system has no longitude and latitude, which tours need: {error}. Assign the true CRS."
        ) from error
    found = np.stack([x, y], 1)
    if not np.isfinite(found).all():
        raise AdviceError("A candidate has no longitude and latitude. Check the CRS of the candidates.")
    return found


def read_starts(path: Path) -> Floats:
    """Return longitude and latitude of the points of a vector file (S, 2).

    Raises
    ------
    AdviceError
        The file cannot be read, or has no CRS or no point.
    """
    try:
        layer = layer_of(path, "", "write its points to a file of their own")
        crs, wkb, _ = features_of(layer)
    except (DataSourceError, DataLayerError, FieldError, ValueError, LookupError) as error:
        raise AdviceError(
            f"--start {path} cannot be read: {error}. Give longitude,latitude or a vector file of points."
        ) from error
    shapes = [shape for shape in shapes_of(wkb) if shape is not None and shape.geom_type == "Point"]
    if not shapes:
        raise AdviceError(f"--start {path} has no point. Give longitude,latitude or a vector file of points.")
    if not crs:
        raise AdviceError(f"--start {path} has no CRS. Set one, for example with ogr2ogr -a_srs.")
    return to_degrees(shapely.get_coordinates(np.array(shapes)), crs)
