"""The source of regions: weights across borders, gaps, overlaps and names."""

import pickle
from dataclasses import replace

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from bocage.errors import RecipeError, SourceError
from bocage.finish.within import Laying
from bocage.grid import Grid, Window
from bocage.jobs.check import check
from bocage.mapping.region import Region
from bocage.recipe import read_recipe
from bocage.run import open_scene
from bocage.sources import open_source, regions
from bocage.sources.partition import Partition
from bocage.testing.fakes import CORNER, CRS
from conftest import FOREST, S2, not_finite

GRID = Grid.of(CRS, Affine(10, 0, CORNER[0], 0, -10, CORNER[1]), (48, 53))


def box(west, north, east, south):
    """A rectangle, in metres east and north of the corner of the map."""
    return shapely.box(CORNER[0] + west, CORNER[1] + south, CORNER[0] + east, CORNER[1] + north)


HALVES = {"west": box(0, 0, 247, -480), "east": box(247, 0, 530, -480)}
CORNERS = {
    "zone 10": box(0, 0, 247, -200),
    "zone 2": box(247, 0, 530, -480),
    "zone 1": box(0, -200, 247, -480),
}


def written(path, parts, crs=CRS, field="region"):
    table = geopandas.GeoDataFrame({field: list(parts)}, geometry=list(parts.values()), crs=CRS)
    table.to_crs(crs).to_file(path)
    return path


def opened(path, **settings):
    return open_source("zones", regions, regions.Settings(path, "region", **settings))


@pytest.fixture
def halves(tmp_path):
    return written(tmp_path / "halves.gpkg", HALVES)


def test_bands_are_the_regions_in_natural_order(tmp_path):
    source = opened(written(tmp_path / "zones.gpkg", CORNERS))
    assert source.names == ("zone 1", "zone 2", "zone 10")
    assert source.bands == ("zone_1", "zone_2", "zone_10")
    values, valid = source.over(GRID).read(GRID, GRID.window)
    assert values.shape == (1, 3, 48, 53)
    assert valid.all()
    assert values[0, :, 19, 24].tolist() == [0, 0, 1]
    assert values[0, :, 20, 24].tolist() == [1, 0, 0]
    assert values[0, :, 20, 25].tolist() == [0, 1, 0], "the border at 247 m is west of the centre of column 25"


def test_weights_change_linearly_across_a_border(halves):
    values, _ = opened(halves, blend=100).over(GRID).read(GRID, GRID.window)
    centre = np.arange(53) * 10 + 5
    expected = np.clip(0.5 + (247 - centre) / 200, 0, 1)
    assert values[0, 1] == pytest.approx(np.broadcast_to(expected, (48, 53)), abs=1e-6)
    assert values[0].sum(0) == pytest.approx(np.ones((48, 53)), abs=1e-6)


def test_the_weights_of_three_regions_at_a_corner(tmp_path):
    source = opened(written(tmp_path / "zones.gpkg", CORNERS), blend=50).over(GRID)
    values = source.read(GRID, GRID.window)[0][0]
    assert values.sum(0) == pytest.approx(np.ones((48, 53)), abs=1e-6)
    row, column = 19, 24  # centre 2 m west and 5 m north of the corner
    raw = np.array([0.5 - 5 / 100, 0.5 - 2 / 100, 0.5 + 2 / 100])
    assert values[:, row, column] == pytest.approx(raw / raw.sum(), abs=1e-6)
    assert values[:, 0, 0].tolist() == [0, 0, 1]


@pytest.mark.slow
@given(
    y=st.integers(-5, 40), x=st.integers(-5, 45), height=st.integers(1, 30), width=st.integers(1, 30),
    blend=st.sampled_from([0, 15, 60, 400]),
)  # fmt: skip
def test_weights_do_not_depend_on_the_window(tmp_path_factory, y, x, height, width, blend):
    whole = slanted(tmp_path_factory, blend)
    around = Window(-10, -10, 90, 100)
    values, valid = whole.read(GRID, around)
    window = Window(y, x, height, width)
    part, seen = whole.read(GRID, window)
    inner = (..., *window.within(around))
    assert np.array_equal(part, values[inner])
    assert np.array_equal(seen, valid[inner])


KEPT = {}


def slanted(factory, blend):
    """Three regions with slanted borders."""
    if blend not in KEPT:
        a = shapely.Polygon([(-200, 200), (260, 200), (180, -700), (-200, -700)])
        b = shapely.Polygon([(260, 200), (900, 200), (900, -100), (227.5, -165.625)])
        frame = shapely.box(-200, -700, 900, 200)
        parts = {"a": a, "b": b.difference(a), "c": frame.difference(shapely.union_all([a, b]))}
        moved = {name: shapely.affinity.translate(part, *CORNER) for name, part in parts.items()}
        path = written(factory.mktemp("slanted") / "zones.gpkg", moved)
        KEPT[blend] = opened(path, blend=blend).over(GRID)
    return KEPT[blend]


def test_another_process_reads_the_same(tmp_path_factory):
    source = slanted(tmp_path_factory, 60)
    window = Window(3, 4, 20, 30)
    values, valid = source.read(GRID, window)
    again = pickle.loads(pickle.dumps(source))
    assert "_borders" not in vars(again.partition)
    assert all(np.array_equal(*pair) for pair in zip(again.read(GRID, window), (values, valid), strict=True))


def test_membership_and_distance(halves):
    source = opened(halves).over(GRID)
    row, column = np.array([3, 3, 3, 3]), np.array([0, 24, 25, 52])
    assert source.region_of(row, column).tolist() == [1, 1, 0, 0]
    assert source.near(row, column, 10).tolist() == [[False, True], [True, True], [True, True], [True, False]]
    assert source.near(row, column, 1).tolist() == [[False, True], [False, True], [True, False], [True, False]]


def test_distances_in_web_mercator_are_those_on_the_ground(tmp_path):
    """A pixel of 10 units of the projection is 5 m high and wide at 60 degrees of latitude."""
    parts = {"west": shapely.box(0, 8_399_000, 500, 8_400_000), "east": shapely.box(500, 8_399_000, 1000, 8_400_000)}
    path = tmp_path / "zones.gpkg"
    geopandas.GeoDataFrame({"region": list(parts)}, geometry=list(parts.values()), crs="EPSG:3857").to_file(path)
    grid = Grid.of("EPSG:3857", Affine(10, 0, 0, 0, -10, 8_400_000), (100, 100))
    source = opened(path, blend=100).over(grid)
    assert source.near(np.array([50, 50]), np.array([31, 28]), 100)[:, 0].tolist() == [True, False], "93 and 108 m away"
    values, _ = source.read(grid, grid.window)
    assert np.allclose(values[0, 1, 50, 40], 0.5 + 47.6 / 200, atol=0.01)


@pytest.mark.parametrize("crs", [CRS, "EPSG:4326"])
def test_features_without_finite_coordinates_are_left_out_and_reported(tmp_path, crs):
    path = tmp_path / "zones.gpkg"
    good = geopandas.GeoDataFrame({"region": list(HALVES)}, geometry=list(HALVES.values()), crs=CRS).to_crs(crs)
    odd = not_finite(np.nan, np.inf)
    table = geopandas.GeoDataFrame({"region": ["west"] * 2}, geometry=odd, crs=crs)
    pd.concat([good, table]).to_file(path)
    source = opened(path, gaps="mask").over(GRID)
    assert [(note.code, note.value("n")) for note in source.notes if note.code == "regions_unusable"] == [
        ("regions_unusable", 2)
    ]
    values, _ = source.read(GRID, GRID.window)
    assert np.array_equal(values[0, 1], np.broadcast_to(np.arange(53) * 10 + 5 < 247, (48, 53)))
    table.to_file(path, layer="odd")
    with pytest.raises(SourceError, match="'west' has no polygon with an area and finite coordinates"):
        opened(path, layer="odd")


def test_another_crs_and_finer_pixels(tmp_path):
    source = opened(written(tmp_path / "geo.gpkg", HALVES, "EPSG:4326"), gaps="mask").over(GRID)
    values = source.read(GRID, Window(1, 1, 46, 51))[0][0]
    assert np.array_equal(values[1], np.broadcast_to(np.arange(1, 52) * 10 + 5 < 247, (46, 51)))
    fine = Grid.of(CRS, Affine(5, 0, CORNER[0], 0, -5, CORNER[1]), (96, 106))
    values = source.read(fine, Window(10, 10, 70, 80))[0][0]
    assert np.array_equal(values[1], np.broadcast_to(np.arange(10, 90) * 5 + 2.5 < 247, (70, 80)))


def test_regions_larger_than_the_projection_of_the_map(tmp_path):
    """UTM has no coordinates on the other side of the earth."""
    (middle,) = geopandas.GeoSeries([shapely.Point(CORNER[0] + 247, CORNER[1] - 240)], crs=CRS).to_crs("EPSG:4326")
    halves = {"west": shapely.box(-180, -90, middle.x, 90), "east": shapely.box(middle.x, -90, 180, 90)}
    geopandas.GeoDataFrame({"region": list(halves)}, geometry=list(halves.values()), crs="EPSG:4326").to_file(
        tmp_path / "world.gpkg"
    )
    source = opened(tmp_path / "world.gpkg", blend=30).over(GRID)
    values, valid = source.read(GRID, GRID.window)
    assert valid.all()
    assert values[0, 1, 24].argmin() in (27, 28)
    assert values[0, 1, :, :20].min() == 1


def test_overlaps_are_refused_with_their_place(tmp_path):
    parts = HALVES | {"centre": box(200, -100, 300, -200)}
    with pytest.raises(SourceError) as error:
        opened(written(tmp_path / "zones.gpkg", parts)).over(GRID)
    said = str(error.value)
    assert said.startswith("Source 'zones': ")
    assert "'centre' and 'east' overlap around x = 3382" in said
    assert "0.53 ha" in said


def test_slivers_are_tolerated(tmp_path):
    parts = {"west": box(0, 0, 250, -480), "east": box(246, 0, 530, -240), "rest": box(256, -240, 530, -480)}
    source = opened(written(tmp_path / "zones.gpkg", parts)).over(GRID)
    _, valid = source.read(GRID, GRID.window)
    assert valid.all(), "the centres of column 25 are in the gap of 6 m, which belongs to a region"
    assert not source.notes


def test_gaps_are_refused_with_their_place(tmp_path):
    hole = {"west": HALVES["west"].difference(box(90, -90, 120, -120)), "east": HALVES["east"]}
    path = written(tmp_path / "hole.gpkg", hole)
    with pytest.raises(SourceError, match=r"0.35% of the map is in no region. The largest gap is around x = 33810\d"):
        opened(path).over(GRID)
    source = opened(path, gaps="mask").over(GRID)
    values, valid = source.read(GRID, GRID.window)
    assert (~valid).sum() == 9
    assert not valid[0, 9:12, 9:12].any()
    assert not values[0, :, 9:12, 9:12].any()
    assert [note.code for note in source.notes] == ["regions_gaps"]
    assert "9 pixels of the map (0.35 %)" in str(source.notes[0])


def test_a_gap_at_the_edge_of_the_map_is_refused_above_a_small_share(tmp_path):
    small = {"west": HALVES["west"].difference(box(0, 0, 12, -12)), "east": HALVES["east"]}
    source = opened(written(tmp_path / "small.gpkg", small)).over(GRID)
    assert [note.code for note in source.notes] == ["regions_gaps"]
    large = {"west": HALVES["west"].difference(box(0, 0, 30, -30)), "east": HALVES["east"]}
    with pytest.raises(SourceError, match="0.35% of the map is in no region"):
        opened(written(tmp_path / "large.gpkg", large)).over(GRID)


@pytest.mark.parametrize(
    ("parts", "settings", "problem"),
    [
        (HALVES, {"field": "name"}, "has no field 'name'. The fields are: region"),
        (HALVES, {"where": "region = 'south'"}, "has no polygon. Check the file and 'where'"),
        (HALVES, {"where": "region = "}, "cannot be read"),
        (HALVES, {"layer": "other"}, "has no layer 'other'"),
        ({"": HALVES["west"], "b": HALVES["east"]}, {}, "1 polygon(s) have no value in the field 'region'"),
        ({"Ré": HALVES["west"], "Re": HALVES["east"]}, {}, "The names 'Re' and 'Ré' are both 'Re'"),
        ({"日本": HALVES["west"]}, {}, "The name '日本' is empty without accents and signs"),
        ({"a": shapely.Point(CORNER), "b": HALVES["east"]}, {}, "the region 'a' has no polygon"),
    ],
)
def test_what_is_no_division_is_refused(tmp_path, parts, settings, problem):
    path = written(tmp_path / "zones.gpkg", parts)
    with pytest.raises(SourceError) as error:
        open_source("zones", regions, regions.Settings(path, **{"field": "region"} | settings))
    assert problem in str(error.value)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "text.gpkg").write_text("no vector")
    with pytest.raises(SourceError, match="cannot be read"):
        opened(tmp_path / "text.gpkg")
    with pytest.raises(SourceError, match="cannot be read"):
        opened(tmp_path / "absent.gpkg")
    written(tmp_path / "zones.shp", HALVES).with_suffix(".prj").unlink()
    with pytest.raises(SourceError, match="no CRS"):
        opened(tmp_path / "zones.shp")
    with pytest.raises(ValueError, match="'blend' must be at least 0"):
        regions.Settings(tmp_path, "region", blend=-1)


ZONES = '\n[sources.zones]\nsensor = "regions"\npath = "zones.gpkg"\nfield = "region"\n'


def test_the_scene_has_the_regions_on_the_grid_of_the_map(recipe, landscape):
    written(landscape / "zones.gpkg", HALVES | {"far": box(9000, 0, 9900, -500)})
    scene = open_scene(read_recipe(recipe(FOREST, S2 + ZONES)))
    cube = scene.cubes["zones"]
    assert cube.grid == scene.grid
    assert cube.bands == ("east", "far", "west")
    assert "1 of 3 regions is outside the map: far." in [str(note).partition(": ")[2] for note in scene.notes]
    before = cube.fingerprints()
    written(landscape / "zones.gpkg", {"west": HALVES["west"]})
    assert cube.fingerprints() != before
    assert replace(cube.source.settings, blend=9) != cube.source.settings


def test_regions_outside_the_map_are_refused(recipe, landscape):
    written(landscape / "zones.gpkg", {"far": box(9000, 0, 9900, -500)})
    with pytest.raises(SourceError, match="'zones'.* does not overlap the map"):
        open_scene(read_recipe(recipe(FOREST, S2 + ZONES)))


def test_check_finds_overlaps_gaps_and_regions_outside(recipe, landscape):
    path = recipe(FOREST, S2 + ZONES)
    written(landscape / "zones.gpkg", HALVES | {"centre": box(200, -100, 300, -200)})
    found = check(path)
    (overlap,) = [f for f in found.findings if f.severity == "error" and f.where == "zones"]
    assert "'centre' and 'east' overlap" in overlap.what.text()
    written(landscape / "zones.gpkg", {"west": HALVES["west"], "far": box(9000, 0, 9900, -500)})
    found = check(path)
    (gap,) = [f for f in found.findings if f.severity == "error" and f.where == "zones"]
    assert "53.40% of the map is in no region" in gap.what.text()
    found = check(recipe(FOREST, S2 + ZONES + 'gaps = "mask"\n'))
    codes = {f.what.code: f.severity for f in found.findings if f.where == "zones"}
    assert codes["regions_gaps"] == "warning"
    assert codes["regions_outside"] == "note"
    assert not found.has_errors


def test_the_map_cannot_take_its_grid_from_regions(recipe, landscape):
    written(landscape / "zones.gpkg", HALVES)
    with pytest.raises(RecipeError, match=r"grid.like: 'zones' are regions, which have no pixels; name an image"):
        read_recipe(recipe(FOREST, S2 + ZONES, like="zones"))


@pytest.mark.parametrize("corner", [(500_000.0, 5_000_000.0), (500_000.3, 5_000_000.7)])
def test_borders_through_pixel_centres_do_not_depend_on_the_tiles(corner):
    """Borders along pixels of 30 m pass through the centres of pixels of 10 m. In a tile, a hole can be a side."""
    grid = Grid.of("EPSG:32631", Affine(10, 0, corner[0], 0, -10, corner[1]), (40, 50))
    x, y = grid.transform @ (11.5, 4.5)
    inner = shapely.box(x, y - 300, x + 250, y)
    outer = shapely.box(*grid.bounds).buffer(500).difference(inner)
    shapes = np.array([inner, outer])
    partition, laying, region = Partition(("a", "b"), (inner, outer), (1.0, 1.0)), Laying(shapes, grid), Region(outer)
    ways = (lambda w: partition.numbers(grid, w), laying.ids, lambda w: region.inside(grid, w))
    for way in ways:
        whole = way(grid.window)
        for tile in grid.tiles(16):
            assert np.array_equal(way(tile), whole[tile.slices])
    assert (partition.numbers(grid, grid.window) == 0).sum() == 25 * 30
    assert np.array_equal(region.inside(grid, grid.window), partition.numbers(grid, grid.window) == 1)
