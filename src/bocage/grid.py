"""Grids and windows: the map grid, the source grids nested in it, and windows with a halo.

The axis order is always ``y, x``. A grid is axis-aligned, and its rows run from north to south.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Proj, Transformer

from bocage.errors import GridError
from bocage.ranges import Range, check_ranges

SNAP = 1e-3
"""Tolerance of alignment: two grids are aligned if their corners differ by less than this fraction of a pixel."""
COARSEST = 256
"""Largest least common multiple of the ratios of coarser sources that is chosen without a setting, in map pixels."""
STEPS = 64
"""Number of points of a side of the outline of a map in degrees; its sides are curved there."""
NAMELESS = ("", "unnamed", "unknown")
"""Names of a CRS without a name."""
WGS84 = "EPSG:4326"
"""CRS of longitude and latitude."""
HECTARE = 10_000.0
"""m² of a hectare."""
NEGLIGIBLE = 0.01
"""Deviation of the scale of a projection from 1 that does not change a distance or an area on the ground."""
WARP = "Warp the image first, for example with 'gdalwarp -tr 10 10'."
"""What to do about an image whose pixels are not squares with north up."""
WEB_MERCATOR = "Popular Visualisation Pseudo Mercator"
"""Method of EPSG:3857."""


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels. It may extend beyond its grid.

    >>> Window(0, 0, 4, 6).pad(1, 2)
    Window(y=-1, x=-1, height=7, width=9)
    """

    y: int
    x: int
    height: int
    width: int

    def pad(self, before: int, after: int) -> "Window":
        """Return the window enlarged by `before` pixels at the top and left, and by `after` pixels at the bottom and right."""
        grow = before + after
        return Window(self.y - before, self.x - before, self.height + grow, self.width + grow)

    def clip(self, shape: tuple[int, int]) -> "Window":
        """Return the part inside a raster of `shape` (height, width). Its size may be 0."""
        y0, x0 = min(max(self.y, 0), shape[0]), min(max(self.x, 0), shape[1])
        y1, x1 = min(max(self.y + self.height, y0), shape[0]), min(max(self.x + self.width, x0), shape[1])
        return Window(y0, x0, y1 - y0, x1 - x0)

    def clip_to(self, other: "Window") -> "Window":
        """Return the intersection with another window. Its size may be 0.

        >>> Window(2, 2, 4, 4).clip_to(Window(0, 4, 3, 9))
        Window(y=2, x=4, height=1, width=2)
        """
        inside = Window(self.y - other.y, self.x - other.x, self.height, self.width).clip((other.height, other.width))
        return Window(inside.y + other.y, inside.x + other.x, inside.height, inside.width)

    @property
    def corner(self) -> str:
        """Row and column of the first pixel as text, which identifies the window within a tiling.

        >>> Window(256, 0, 64, 64).corner
        '256,0'
        """
        return f"{self.y},{self.x}"

    @property
    def slices(self) -> tuple[slice, slice]:
        """Slices (y, x) of this window in an array that covers the whole grid."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    def within(self, outer: "Window") -> tuple[slice, slice]:
        """Return the slices (y, x) of this window in an array that covers `outer`."""
        y, x = self.y - outer.y, self.x - outer.x
        return slice(y, y + self.height), slice(x, x + self.width)


@dataclass(frozen=True)
class Ratio:
    """Ratio of pixel sizes between the map grid and a source grid nested in it.

    Along each axis, a map pixel spans `finer` source pixels, or a source pixel spans `coarser` map pixels. At least one of
    the two is 1.
    """

    finer: Annotated[int, Range(1, 100_000)] = 1
    """Number of source pixels along the side of a map pixel, at least 1."""
    coarser: Annotated[int, Range(1, 100_000)] = 1
    """Number of map pixels along the side of a source pixel, at least 1; 1 if `finer` is above 1."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.finer > 1 and self.coarser > 1:
            raise ValueError(
                f"give 'finer' or 'coarser', not both: pixels of the source are smaller or larger than those of the map; found "
                f"{self.finer} and {self.coarser}"
            )

    def grid(self, target: "Grid") -> "Grid":
        """Return the nested grid, which shares the north-west corner of `target` and covers it completely."""
        if self.finer > 1:
            height, width = (n * self.finer for n in target.shape)
        else:
            height, width = (math.ceil(n / self.coarser) for n in target.shape)
        scale = self.coarser / self.finer
        return Grid.of(target.crs, target.transform @ Affine.scale(scale), (height, width))

    def window(self, window: Window) -> Window:
        """Return the smallest window of the nested grid that covers a `window` of the map grid."""
        f, c = self.finer, self.coarser
        y0, x0 = (window.y * f) // c, (window.x * f) // c
        y1 = math.ceil((window.y + window.height) * f / c)
        x1 = math.ceil((window.x + window.width) * f / c)
        return Window(y0, x0, y1 - y0, x1 - x0)

    def __str__(self) -> str:
        return f"{self.finer} per map pixel" if self.coarser == 1 else f"1 per {self.coarser} map pixels"


def name_of(crs: Any) -> str:
    """Return ``EPSG:<code>`` if a CRS (of pyproj) has an EPSG code, else its name, or that of its projection.

    >>> from pyproj import CRS
    >>> name_of(CRS(32740)), name_of(CRS("+proj=sinu +R=6371007.181 +units=m"))
    ('EPSG:32740', 'Sinusoidal')
    """
    if code := crs.to_epsg():
        return f"EPSG:{code}"
    method = crs.coordinate_operation.method_name if crs.coordinate_operation else ""
    return method if method and str(crs.name).lower() in NAMELESS else str(crs.name)


@dataclass(frozen=True)
class Grid:
    """The grid of a raster: coordinate reference system (CRS), affine transform and shape, stored as an odc-geo GeoBox.

    >>> grid = Grid.of("EPSG:32740", Affine(10, 0, 300000, 0, -10, 7650000), (20, 30))
    >>> grid.shape, grid.resolution
    ((20, 30), 10.0)
    """

    geobox: GeoBox

    def __hash__(self) -> int:
        # Without the CRS, whose text takes longer than many of the functions that remember the results of grids.
        return hash((tuple(self.geobox.transform), tuple(self.geobox.shape)))

    @classmethod
    def of(cls, crs: Any, transform: Affine, shape: tuple[int, int]) -> "Grid":
        """Create a grid from a CRS, an affine transform and a shape (height, width).

        Raises
        ------
        GridError
            The grid is rotated or south up, or has no CRS, no pixel, or pixels that are not square.
        """
        if crs is None or str(crs) in ("", "None"):
            raise GridError("A grid needs a coordinate reference system (CRS), but none is given.")
        if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
            raise GridError(
                f"A grid must be axis-aligned with north up. Found the transform {tuple(transform)[:6]}. {WARP}"
            )
        if not math.isclose(transform.a, -transform.e, rel_tol=1e-3):
            raise GridError(f"A grid needs square pixels. Found {transform.a} by {-transform.e}. {WARP}")
        if min(shape) < 1:
            raise GridError(f"A grid needs at least one pixel. Found {shape[0]} rows and {shape[1]} columns.")
        return cls(GeoBox(shape, transform, crs))

    @classmethod
    def from_bounds(cls, crs: str, resolution: float, bounds: tuple[float, float, float, float]) -> "Grid":
        """Create the grid of `resolution` (CRS units) that starts at the north-west corner of `bounds` and covers them.

        Raises
        ------
        GridError
            The bounds are empty, or the resolution is not positive.
        """
        west, south, east, north = bounds
        if east <= west or north <= south:
            raise GridError(f"Bounds are west, south, east, north. Found {bounds}, which enclose nothing.")
        if resolution <= 0:
            raise GridError(f"The resolution must be positive. Found {resolution}.")
        shape = (math.ceil((north - south) / resolution - SNAP), math.ceil((east - west) / resolution - SNAP))
        return cls.of(crs, Affine(resolution, 0, west, 0, -resolution, north), shape)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.geobox.shape[0]), int(self.geobox.shape[1])

    @property
    def transform(self) -> Affine:
        """Affine transform from pixel (column, row) to CRS coordinates (x, y)."""
        return self.geobox.transform

    @property
    def crs(self) -> Any:
        """The coordinate reference system."""
        return self.geobox.crs

    @property
    def crs_name(self) -> str:
        """``EPSG:<code>`` if the CRS has an EPSG code, else the name in its definition, or that of its projection."""
        return f"EPSG:{self.crs.epsg}" if self.crs.epsg else name_of(self.crs.proj)

    @property
    def resolution(self) -> float:
        """Pixel size in CRS units."""
        return float(self.transform.a)

    @cached_property
    def metres(self) -> tuple[float, float]:
        """Height and width on the ground of a pixel in the middle of the grid, in metres (:func:`ground_metres`)."""
        west, south, east, north = self.bounds
        high, wide = ground_metres(self.crs.proj, (west + east) / 2, (south + north) / 2)
        return self.resolution * high, self.resolution * wide

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in CRS units."""
        west, north = self.transform @ (0, 0)
        east, south = self.transform @ (self.shape[1], self.shape[0])
        return west, south, east, north

    @property
    def window(self) -> Window:
        """The window of the whole grid."""
        return Window(0, 0, *self.shape)

    def crop(self, window: Window) -> "Grid":
        """Return the grid of one window, which may extend beyond this grid."""
        moved = self.transform @ Affine.translation(window.x, window.y)
        return Grid.of(self.crs, moved, (window.height, window.width))

    def tiles(self, size: int) -> Iterator[Window]:
        """Iterate over tiles of `size` x `size` pixels, row by row. Tiles at the south and east edges are cut to the grid."""
        for y in range(0, self.shape[0], size):
            for x in range(0, self.shape[1], size):
                yield Window(y, x, min(size, self.shape[0] - y), min(size, self.shape[1] - x))

    def spots(self, size: int, count: int) -> list[Window]:
        """Return `count` x `count` windows of `size` x `size` pixels that are spread over the grid; all tiles of a small grid."""
        ys, xs = (
            np.linspace(0, n - size, count).round().astype(int).tolist() if n > count * size else range(0, n, size)
            for n in self.shape
        )
        return [Window(y, x, size, size).clip(self.shape) for y in ys for x in xs]

    def offset_of(self, other: "Grid") -> tuple[float, float]:
        """Return row and column, in pixels of this grid, of the north-west corner of `other`."""
        column, row = ~self.transform @ (other.transform @ (0, 0))
        return row, column

    def __str__(self) -> str:
        return f"{self.shape[0]} x {self.shape[1]} pixels of {_decimal(self.resolution)} in {self.crs_name}"


def _decimal(value: float) -> str:
    """Return a pixel size in decimal notation, as those in degrees are small.

    >>> _decimal(10.0), _decimal(8.983152841195215e-05)
    ('10', '0.0000898315')
    """
    return np.format_float_positional(float(f"{value:g}"), trim="-")


def metres_per_unit(crs: Any, latitude: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the metres per unit of a CRS (pyproj), northwards and eastwards, at latitudes in units of the CRS (N,).

    In a geographic CRS, these are the lengths of a degree on its ellipsoid, by the radii of curvature in the meridian and in the
    prime vertical (Snyder 1987, Map projections: a working manual, equations 4-18 to 4-20). In another CRS, `latitude` gives the
    shape only.
    """
    factor = float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0
    if not crs.is_geographic:
        return np.full(np.shape(latitude), factor), np.full(np.shape(latitude), factor)
    radius, ratio = crs.ellipsoid.semi_major_metre, crs.ellipsoid.semi_minor_metre / crs.ellipsoid.semi_major_metre
    angle = latitude * factor
    curved = np.sqrt(1 - (1 - ratio**2) * np.sin(angle) ** 2)
    return radius * factor * ratio**2 / curved**3, radius * factor * np.cos(angle) / curved


def outline_in_degrees(crs: Any, bounds: tuple[float, float, float, float]) -> Any:
    """Return the outline (shapely) of bounds in a CRS (pyproj) in longitude and latitude (WGS 84).

    It starts between -180 and 180 degrees and goes on beyond 180 across the 180th meridian. Around a pole, it covers all
    longitudes and ends at 90 degrees of latitude. It is the whole world if the bounds leave the domain of the projection.
    """
    west, south, east, north = bounds
    corners = np.array([(west, south), (east, south), (east, north), (west, north), (west, south)])
    steps = np.linspace(0, 1, STEPS, endpoint=False)[:, None]
    sides = [start + steps * (end - start) for start, end in pairwise(corners)]
    change = Transformer.from_crs(crs, WGS84, always_xy=True)
    ring = np.stack(change.transform(*np.concatenate([*sides, corners[:1]]).T), 1)
    if not np.isfinite(ring).all():
        return shapely.box(-180, -90, 180, 90)
    ring[:, 0] = np.unwrap(ring[:, 0], period=360).round(9)
    if abs(ring[-1, 0] - ring[0, 0]) > 180:
        x, y = change.transform(0, 90, direction="INVERSE")
        pole = 90.0 if west <= x <= east and south <= y <= north else -90.0
        ring = np.concatenate([ring, [(ring[-1, 0], pole), (ring[0, 0], pole)]])
    ring[:, 0] -= 360 * np.floor((ring[:, 0].min() + 180) / 360)
    return shapely.make_valid(shapely.simplify(shapely.Polygon(ring), 1e-6))


def geojson_of(crs: Any, bounds: tuple[float, float, float, float]) -> tuple[dict[str, Any], list[float]]:
    """Return bounds in a CRS (pyproj) as a geometry and a bounding box of GeoJSON, in degrees (RFC 7946).

    A geometry across the 180th meridian is cut there, and the west of its bounding box is larger than the east.
    """
    outline = outline_in_degrees(crs, bounds)
    parts: list[Any] = []
    for turn in (0, 360):
        cut = shapely.intersection(outline, shapely.box(turn - 180, -90, turn + 180, 90))
        found = shapely.get_parts(shapely.transform(cut, lambda xy, turn=turn: xy - (turn, 0)))
        parts += [one for one in found if one.geom_type == "Polygon"]
    shape = shapely.orient_polygons(shapely.union_all(parts))  # around a pole, the parts meet
    west, south, east, north = outline.bounds
    if east - west >= 360:
        west, east = -180.0, 180.0
    elif east > 180:
        east -= 360
    return dict(shapely.geometry.mapping(shape)), [west, south, east, north]


def areal_scale(crs: Any, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area in a projected CRS (pyproj) of one unit of area on the ground, at points (N,).

    It is 1 everywhere if it deviates by less than 1 % at all points, as in UTM and in equal-area projections, and in a CRS that
    is not projected. Web Mercator has 2.0 at 45 degrees of latitude.
    """
    ones = np.ones(len(x))
    if not crs.is_projected:
        return ones
    projection = Proj(crs)
    longitude, latitude = projection(x, y, inverse=True)
    scale = np.asarray(projection.get_factors(longitude, latitude).areal_scale)
    if crs.coordinate_operation is not None and crs.coordinate_operation.method_name == WEB_MERCATOR:
        scale = scale / _sphere_to_ellipsoid(crs.ellipsoid, np.asarray(latitude))
    return scale if np.isfinite(scale).all() and (np.abs(scale - 1) >= NEGLIGIBLE).any() else ones


def _sphere_to_ellipsoid(ellipsoid: Any, latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area on an ellipsoid of one unit of area on a sphere of its larger radius, at latitudes in degrees (N,).

    Web Mercator draws latitudes of the ellipsoid as if they were those of the sphere; PROJ gives its scale on the sphere.
    """
    flattening = 1 / ellipsoid.inverse_flattening
    squared = flattening * (2 - flattening)
    found: NDArray[np.float64] = (1 - squared) / (1 - squared * np.sin(np.radians(latitude)) ** 2) ** 2
    return found


def ground_metres(crs: Any, x: float, y: float) -> tuple[float, float]:
    """Return the metres on the ground per unit of a CRS (pyproj) at a point, northwards and eastwards.

    The scale of a projection counts where it deviates by 1 % or more, as in Web Mercator (:func:`areal_scale`).
    """
    at = np.array([y], np.float64)
    stretch = np.sqrt(areal_scale(crs, np.array([x]), at))
    north, east = (float(side[0]) for side in np.stack(metres_per_unit(crs, at)) / stretch)
    return north, east


def pixel_sides(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return height and width on the ground of a pixel in each row of a grid, in metres (height,) each.

    In a projected CRS, they are those of the pixel in the middle of the row, and have the ratio that they have in the projection.
    """
    west, _, east, north = grid.bounds
    y = np.asarray(north - (np.arange(grid.shape[0]) + 0.5) * grid.resolution, np.float64)
    stretched = np.sqrt(areal_scale(grid.crs.proj, np.full(len(y), (west + east) / 2), y))
    height, width = (grid.resolution * side / stretched for side in metres_per_unit(grid.crs.proj, y))
    return height, width


def nearest_ratio(map_resolution: float, source_resolution: float) -> Ratio:
    """Return the whole-number ratio nearest to that of two ground sampling distances.

    >>> nearest_ratio(10, 20), nearest_ratio(10, 1.5)
    (Ratio(finer=1, coarser=2), Ratio(finer=7, coarser=1))
    """
    if source_resolution >= map_resolution:
        return Ratio(coarser=max(1, round(source_resolution / map_resolution)))
    return Ratio(finer=max(1, round(map_resolution / source_resolution)))


def nesting(nearest: Mapping[str, Ratio], given: Mapping[str, Ratio]) -> dict[str, Ratio]:
    """Return the ratios of the sources: those given, and the others reduced where the coarse pixels of all meet too seldom.

    A network computes windows that start at a multiple of every ``coarser``. The least common multiple stays within
    ``COARSEST`` map pixels, unless the ratios that the recipe gives have a larger one: a pixel of a climate grid covers
    thousands of map pixels a side, and is read as several pixels.

    >>> ratios = nesting({"s2": Ratio(coarser=3), "temperature": Ratio(coarser=1111)}, {})
    >>> ratios["s2"].coarser, ratios["temperature"].coarser
    (3, 255)
    """
    found, common = dict(given), math.lcm(*(ratio.coarser for ratio in given.values()))
    for name, ratio in sorted(nearest.items(), key=lambda item: item[1].coarser):
        most = max(common, COARSEST)
        fits = range(min(ratio.coarser, most), 0, -1)
        coarser = next(n for n in fits if math.lcm(common, n) <= most)
        found[name], common = Ratio(ratio.finer, coarser), math.lcm(common, coarser)
    return found
