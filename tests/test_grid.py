import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Geod, Proj, Transformer

from bocage.errors import GridError
from bocage.grid import (
    Grid,
    Ratio,
    Window,
    areal_scale,
    geojson_of,
    nearest_ratio,
    nesting,
    pixel_sides,
)

GRID = Grid.of("EPSG:32740", Affine(6, 0, 338_000, 0, -6, 7_668_000), (30, 50))


@given(st.integers(1, 5), st.booleans(), st.integers(0, 40), st.integers(0, 40), st.integers(1, 20), st.integers(1, 20))
def test_a_nested_window_covers_the_map_window(n, finer, y, x, height, width):
    ratio = Ratio(finer=n) if finer else Ratio(coarser=n)
    window = Window(y, x, height, width)
    inside = ratio.window(window)
    scale = ratio.finer / ratio.coarser
    assert inside.y <= y * scale < inside.y + 1
    assert inside.y + inside.height - 1 < (y + height) * scale <= inside.y + inside.height
    assert inside.x <= x * scale < inside.x + 1


def test_grids_that_differ_in_their_reference_system_are_two():
    one, other, again = (
        Grid.of(crs, Affine(10, 0, 0, 0, -10, 0), (2, 3)) for crs in ("EPSG:32740", "EPSG:32741", "EPSG:32740")
    )
    assert len({one, other, again}) == 2


def test_a_nested_grid_shares_the_corner_of_the_map_grid_and_covers_it():
    for ratio in (Ratio(), Ratio(finer=4), Ratio(coarser=4), Ratio(coarser=7)):
        nested = ratio.grid(GRID)
        assert nested.transform @ (0, 0) == GRID.transform @ (0, 0)
        assert nested.bounds[2] >= GRID.bounds[2]
        assert nested.bounds[1] <= GRID.bounds[1]
    assert Ratio(coarser=4).grid(GRID).shape == (8, 13)


def test_tiles_cover_every_pixel_once():
    count = np.zeros(GRID.shape, int)
    for window in GRID.tiles(16):
        count[window.within(GRID.window)] += 1
    assert (count == 1).all()


def test_clip_and_within():
    assert Window(-2, 45, 10, 10).clip(GRID.shape) == Window(0, 45, 8, 5)
    assert Window(40, 0, 5, 5).clip(GRID.shape).height == 0
    array = np.arange(30 * 50).reshape(30, 50)
    window = Window(3, 7, 4, 5)
    outer = Window(1, 2, 20, 20)
    assert np.array_equal(array[1:21, 2:22][window.within(outer)], array[3:7, 7:12])


@pytest.mark.parametrize(
    ("crs", "transform", "shape", "message"),
    [
        (None, Affine(1, 0, 0, 0, -1, 0), (2, 2), "coordinate reference system"),
        ("EPSG:4326", Affine(1, 0.2, 0, 0, -1, 0), (2, 2), "axis-aligned"),
        ("EPSG:4326", Affine(1, 0, 0, 0, -2, 0), (2, 2), "square"),
        ("EPSG:4326", Affine(1, 0, 0, 0, -1, 0), (0, 2), "at least one pixel"),
    ],
)
def test_invalid_grids_are_refused(crs, transform, shape, message):
    with pytest.raises(GridError, match=message):
        Grid.of(crs, transform, shape)


def test_grid_from_bounds():
    grid = Grid.from_bounds("EPSG:32740", 10, (0, 0, 95, 40))
    assert grid.shape == (4, 10)
    with pytest.raises(GridError, match="enclose nothing"):
        Grid.from_bounds("EPSG:32740", 10, (10, 0, 0, 40))


def test_nearest_ratio():
    assert nearest_ratio(10, 6) == Ratio(finer=2)
    assert nearest_ratio(14.25, 28.5) == Ratio(coarser=2)


def test_coarse_pixels_meet_within_a_window_of_a_network():
    """A climate grid is read with smaller pixels; ordinary ratios, and those of the recipe, are kept."""
    ordinary = {"pan": Ratio(finer=7), "s2": Ratio(), "l8": Ratio(coarser=3), "modis": Ratio(coarser=25)}
    assert nesting(ordinary, {}) == ordinary
    found = nesting({"s2": Ratio(), "chelsa": Ratio(coarser=93), "era5": Ratio(coarser=11_111)}, {})
    assert found == {"s2": Ratio(), "chelsa": Ratio(coarser=93), "era5": Ratio(coarser=186)}
    assert nesting({"a": Ratio(coarser=300)}, {"b": Ratio(coarser=100)}) == {
        "b": Ratio(coarser=100),
        "a": Ratio(coarser=200),
    }
    assert nesting({"a": Ratio(coarser=300)}, {"b": Ratio(coarser=1000)}) == {
        "b": Ratio(coarser=1000),
        "a": Ratio(coarser=250),
    }


MERCATOR = Grid.of("EPSG:3857", Affine(10, 0, 300_000, 0, -10, 8_400_000), (100, 100))  # at 60 degrees north
LAMBERT = Grid.of("EPSG:2154", Affine(10, 0, 650_000, 0, -10, 6_860_000), (30, 50))


def test_the_size_of_a_pixel_is_that_on_the_ground():
    """A unit of Web Mercator is half a metre at 60 degrees; UTM and Lambert-93 deviate by less than 1 %."""
    assert MERCATOR.metres == pytest.approx((5, 5), rel=0.01)
    high, wide = pixel_sides(MERCATOR)
    assert MERCATOR.metres == pytest.approx((high[49:51].mean(), wide[49:51].mean()), rel=1e-6)
    assert (GRID.metres, LAMBERT.metres) == ((6, 6), (10, 10)), "exactly"
    degrees = Grid.of("EPSG:4326", Affine(0.01, 0, 2, 0, -0.01, 61), (200, 100))
    geod = Geod(ellps="WGS84")
    north, east = (geod.inv(2.5, 60, *to)[2] for to in ((2.5, 60.01), (2.51, 60)))
    assert degrees.metres == pytest.approx((north, east), rel=1e-5)


@pytest.mark.parametrize("latitude", [10, 17, 45, 58, -33])
def test_areas_in_web_mercator_are_those_on_the_ellipsoid(latitude):
    """Its scale was that of a sphere: areas were 0.5 % too large at 17 degrees."""
    crs = CRS(3857)
    x, y = Proj(crs)(10, latitude)
    corners = Proj(crs)([x - 500, x + 500, x + 500, x - 500], [y - 500, y - 500, y + 500, y + 500], inverse=True)
    area = abs(Geod(ellps="WGS84").polygon_area_perimeter(*corners)[0])
    assert areal_scale(crs, np.array([x]), np.array([y])) == pytest.approx(1e6 / area, rel=1e-6)


def grid_of(crs, x, y, resolution, shape):
    return Grid.of(crs, Affine(resolution, 0, x, 0, -resolution, y), shape)


@pytest.mark.parametrize(
    ("grid", "bbox", "parts"),
    [
        (grid_of("EPSG:32760", 750_000, 8_000_000, 1000, (200, 200)), (179.36, -19.9, -178.73, -18.04), 2),
        (grid_of("EPSG:3832", 3_000_000, -2_000_000, 1000, (300, 600)), (176.95, -20.36, -177.66, -17.77), 2),
        (grid_of("EPSG:4326", 175, -10, 0.1, (50, 100)), (175, -15, -175, -10), 2),
        (grid_of("EPSG:4326", -180, 90, 1, (180, 360)), (-180, -90, 180, 90), 1),
        (grid_of("EPSG:3413", -500_000, 500_000, 10_000, (100, 100)), (-180, 83.5, 180, 90), 1),
        (grid_of("EPSG:3031", -500_000, 500_000, 10_000, (100, 100)), (-180, -90, 180, -83.5), 1),
        (grid_of("EPSG:32631", 500_000, 5_000_000, 10, (100, 100)), (3, 45.14, 3.0127, 45.153), 1),
        (grid_of("ESRI:54009", -18_000_000, 9_000_000, 10_000, (1800, 3600)), (-180, -90, 180, 90), 1),
    ],
)
def test_a_place_in_geojson_is_cut_at_the_antimeridian_and_closed_at_a_pole(grid, bbox, parts):
    """RFC 7946, 3.1.9 and 5.2 to 5.3. Every pixel of the map is inside, and each ring is counter-clockwise."""
    geometry, found = geojson_of(grid.crs.proj, grid.bounds)
    assert found == pytest.approx(bbox, abs=0.03)
    shape = shapely.geometry.shape(geometry)
    assert shape.is_valid
    assert len(shapely.get_parts(shape)) == parts
    assert all(part.exterior.is_ccw for part in shapely.get_parts(shape))
    west, _, east, _ = shape.bounds
    assert -180 <= west < east <= 180
    inside = Transformer.from_crs(grid.crs.proj, "EPSG:4326", always_xy=True)
    height, width = grid.shape
    places = [grid.transform @ (width * x, height * y) for x in (0.01, 0.3, 0.7, 0.99) for y in (0.01, 0.4, 0.9)]
    for x, y in places:
        lon, lat = inside.transform(x, y)
        if np.isfinite([lon, lat]).all():
            assert shape.covers(shapely.Point((lon + 180) % 360 - 180, lat))
