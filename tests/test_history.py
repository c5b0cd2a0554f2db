"""The source of earlier land cover: classes of rasters and polygons by year, confidence, unknown codes, and runs with it."""

import json
import pickle

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.features import rasterize

from bocage.errors import RecipeError, SourceError
from bocage.grid import Grid, Window
from bocage.jobs.check import check
from bocage.jobs.run import run
from bocage.recipe import read_recipe
from bocage.run import open_scene
from bocage.sources import history, open_source
from bocage.testing.fakes import CORNER, CRS
from bocage.training import Trained, source_records
from conftest import FOREST, S2, trained_briefly, written

GRID = Grid.of(CRS, Affine(10, 0, CORNER[0], 0, -10, CORNER[1]), (48, 53))
CLASSES = {"maize": (1, 2), "Prairie d'été": ("7",)}


def raster(path, codes, grid=GRID, nodata=255):
    with rasterio.open(
        path, "w", driver="GTiff", height=codes.shape[0], width=codes.shape[1], count=1, dtype=codes.dtype, nodata=nodata,
        crs=grid.crs.to_wkt(), transform=grid.transform,
    ) as dataset:  # fmt: skip
        dataset.write(codes, 1)
    return path


def halves(left, right):
    codes = np.full(GRID.shape, left, np.uint8)
    codes[:, 25:] = right
    return codes


@pytest.fixture
def maps(tmp_path):
    """Two years, given in the wrong order; 255 is nodata, 0 has no meaning."""
    return {"2021": raster(tmp_path / "b.tif", halves(7, 0)), "2019": raster(tmp_path / "a.tif", halves(2, 255))}


def opened(classes=CLASSES, **settings):
    return open_source("past", history, history.Settings(classes, **settings))


def test_each_year_is_a_date_and_each_class_a_band(maps):
    source = opened(rasters=maps)
    assert source.years == (2019, 2021)
    assert source.bands == ("maize", "Prairie_d_ete")
    values, valid = source.over(GRID).read(GRID, GRID.window)
    assert values.shape == (2, 2, 48, 53)
    assert values[:, :, 5, 5].tolist() == [[1, 0], [0, 1]], "the code 2 is maize too, and 7 is the text"
    assert valid[:, 5].tolist() == [[True] * 25 + [False] * 28] * 2, "neither nodata nor a missing code has a class"
    assert not values[:, :, :, 25:].any()


def test_networks_see_the_years_before_the_season(maps):
    source = opened(rasters=maps)
    later = opened(rasters={str(int(year) + 3): path for year, path in maps.items()})
    assert source.clock.tolist() == later.clock.tolist(), "a model can be used for another season"
    assert opened(rasters=maps, season=2023).clock.tolist() == [-4 * history.STEP, -2 * history.STEP]
    assert len(set(np.arange(-12, 0) * history.STEP % 365)) == 12, "each year has its own day of the year"
    assert (source.dated, source.times) == (False, (None, None)), "the map has the dates of the imagery"
    assert source.days.astype("datetime64[D]").astype(str).tolist() == ["2019-01-01", "2021-01-01"]


def test_the_confidence_is_the_value_of_the_class(maps, tmp_path):
    sure = halves(80, 30)
    sure[0] = 255
    source = opened(rasters=maps, confidence={"2021": raster(tmp_path / "sure.tif", sure)}).over(GRID)
    values, valid = source.read(GRID, GRID.window)
    assert values[:, :, 5, 5] == pytest.approx(np.array([[1, 0], [0, 0.8]]))
    assert (valid[1, 0].any(), values[1, :, 0].any()) == (False, False), "without a confidence there is no class"
    raster(tmp_path / "sure.tif", halves(80, 130))
    with pytest.raises(SourceError, match=r"from 80 to 130; 0 to 100 are expected"):
        opened(rasters=maps, confidence={"2021": tmp_path / "sure.tif"}).over(GRID)


@pytest.fixture
def parcels(tmp_path):
    """Two fields: the second overlaps the first, has no code in 2020, and the code A1 in 2021."""
    x, y = CORNER
    shapes = [shapely.box(x, y - 200, x + 200, y), shapely.box(x + 100, y - 200, x + 400, y)]
    table = {"y20": [1.0, np.nan], "y21": ["7", "A1"], "other": [5, 5]}
    geopandas.GeoDataFrame(table, geometry=shapes, crs=CRS).to_file(tmp_path / "parcels.gpkg")
    return tmp_path / "parcels.gpkg"


WITH_TEXT = {"maize": (1, 2), "grass": (7, "A1")}


def test_polygons_have_a_field_for_each_year(parcels):
    source = opened(WITH_TEXT, path=parcels, fields={"2021": "y21", "2020": "y20"}).over(GRID)
    values, valid = source.read(GRID, GRID.window)
    assert values[:, :, 5, 5].tolist() == [[1, 0], [0, 1]]
    assert values[:, :, 5, 15].tolist() == [[0, 0], [0, 1]], "the last polygon counts where two overlap"
    assert valid[:, 5, 15].tolist() == [False, True]
    assert not valid[:, 30].any()
    assert not valid[:, :, 45].any()


@pytest.mark.parametrize("driver", ["GPKG", "ESRI Shapefile"])
def test_the_last_polygon_of_the_file_counts_among_many(tmp_path, driver):
    """GDAL reads those of an area from a GeoPackage in the order of its spatial index."""
    (x, y), rng = CORNER, np.random.default_rng(0)
    path = tmp_path / ("parcels.gpkg" if driver == "GPKG" else "parcels.shp")
    right, down = rng.uniform(-400, 900, (2, 500))
    shapes = shapely.box(x + right, y - down - 60, x + right + 60, y - down)
    codes = rng.integers(0, 3, 500)
    geopandas.GeoDataFrame({"y20": codes}, geometry=shapes, crs=CRS).to_file(path, driver=driver)
    found = opened({"a": (0,), "b": (1,), "c": (2,)}, path=path, fields={"2020": "y20"}, missing=()).over(GRID)
    values, valid = found.read(GRID, GRID.window)
    drawn = rasterize(zip(shapes, codes + 1, strict=True), GRID.shape, 0, transform=GRID.transform)
    assert np.array_equal(valid[0], drawn > 0)
    assert np.array_equal(values[0].argmax(0)[drawn > 0] + 1, drawn[drawn > 0])


@pytest.mark.parametrize("kind", ["rasters", "polygons"])
@given(st.integers(-3, 47), st.integers(-3, 52), st.integers(1, 20), st.integers(1, 20))
def test_the_classes_of_a_pixel_do_not_depend_on_the_window(kind, tmp_path_factory, y, x, height, width):
    source, whole = everything(kind, tmp_path_factory)
    window = Window(y, x, height, width)
    values, valid = source.read(GRID, window)
    inner = (..., *window.within(Window(-3, -3, 80, 80)))
    assert np.array_equal(values, whole[0][inner])
    assert np.array_equal(valid, whole[1][inner])


def everything(kind, factory, kept={}):  # noqa: B006 - made once
    if kind not in kept:
        folder = factory.mktemp(kind)
        rng, (x, y) = np.random.default_rng(0), CORNER
        if kind == "rasters":
            codes = rng.choice(np.array([1, 2, 7, 255], np.uint8), GRID.shape)
            source = opened(rasters={"2020": raster(folder / "a.tif", codes)})
        else:
            places = rng.uniform(0, 480, (40, 2))
            shapes = [shapely.Point(x + a, y - b).buffer(rng.uniform(5, 80)) for a, b in places]
            table = {"c": rng.choice(["1", "7"], 40)}
            geopandas.GeoDataFrame(table, geometry=shapes, crs=CRS).to_file(folder / "a.gpkg")
            source = opened(WITH_TEXT, path=folder / "a.gpkg", fields={"2020": "c"})
        placed = pickle.loads(pickle.dumps(source.over(GRID)))
        kept[kind] = placed, placed.read(GRID, Window(-3, -3, 80, 80))
    return kept[kind]


def test_polygons_are_reprojected(parcels, tmp_path):
    moved = tmp_path / "moved.gpkg"
    geopandas.read_file(parcels).to_crs("EPSG:4326").to_file(moved)
    fields = {"2020": "y20", "2021": "y21"}
    there, here = (opened(WITH_TEXT, path=path, fields=fields).over(GRID) for path in (moved, parcels))
    same = (there.read(GRID, GRID.window)[0] == here.read(GRID, GRID.window)[0]).mean()
    assert same > 0.99


def test_unknown_codes_are_refused_with_their_list(maps, parcels):
    with pytest.raises(SourceError, match=r"'past': .*b.tif has codes that 'classes' does not list: 0, 7. Give each"):
        opened({"maize": (1, 2)}, rasters=maps, missing=()).over(GRID)
    with pytest.raises(SourceError, match=r"field 'y21' has codes that 'classes' does not list: A1"):
        opened(CLASSES, path=parcels, fields={"2021": "y21"}).over(GRID)
    source = opened({"maize": (1, 2)}, rasters=maps, missing=(0,))
    with pytest.raises(SourceError, match="does not list: 7"):
        source.read(GRID, Window(3, 3, 2, 2))


def test_a_history_without_classes_asks_for_them_with_the_codes_found(maps, parcels):
    with pytest.raises(SourceError, match=r"classes of the history are not given.*Codes found: 2, 7\."):
        opened({}, rasters=maps)
    with pytest.raises(SourceError, match=r"Codes found: 1, 7, A1\."):
        opened({}, path=parcels, fields={"2020": "y20", "2021": "y21"})


@pytest.mark.parametrize(
    ("classes", "why"),
    [
        ({"maize": (1,), "grass": (1, 7)}, "the code 1 is in the class 'maize' and in 'grass'"),
        ({"maize": (0, 1)}, "the code 0 is in the class 'maize' and in 'missing'"),
        ({"maize": ()}, "'maize' of the history has no code"),
        ({"maïs": (1,), "mais": (2,)}, "must differ without accents"),
    ],
)
def test_classes_are_clear(maps, classes, why):
    with pytest.raises(SourceError, match=why):
        opened(classes, rasters=maps)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "either 'rasters', or 'path'"),
        ({"rasters": {"2020": "a.tif"}, "path": "b.gpkg", "fields": {"2020": "c"}}, "either 'rasters', or 'path'"),
        ({"path": "b.gpkg"}, "either 'rasters', or 'path'"),
        ({"rasters": {"20": "a.tif"}}, "four digits; found '20'"),
        ({"rasters": {"2020": "a.tif"}, "confidence": {"2019": "b.tif"}}, "the year 2019"),
        ({"rasters": {"2020": "a.tif"}, "season": 2020}, "after the years"),
    ],
)
def test_settings_are_checked(settings, why):
    with pytest.raises(ValueError, match=why):
        history.Settings(CLASSES, **settings)


def test_files_are_checked(tmp_path, maps, parcels):
    with rasterio.open(
        tmp_path / "two.tif", "w", driver="GTiff", height=9, width=9, count=2, dtype="uint8", crs=CRS, transform=GRID.transform
    ):  # fmt: skip
        pass
    with pytest.raises(SourceError, match="2 bands; one band of codes"):
        opened(rasters={"2020": tmp_path / "two.tif"})
    with pytest.raises(SourceError, match=r"no field 'y2020'. Did you mean|no field 'y2020'"):
        opened(path=parcels, fields={"2020": "y2020"})
    with pytest.raises(SourceError, match=r"none\.gpkg cannot be read|none\.gpkg"):
        opened(path=tmp_path / "none.gpkg", fields={"2020": "y20"})
    parcels.write_bytes(parcels.read_bytes()[:2000])
    with pytest.raises(SourceError, match="cannot be read"):
        opened(path=parcels, fields={"2020": "y20"})


HISTORY = """
[sources.past]
sensor = "history"
rasters = { 2019 = "past_2019.tif", 2020 = "past_2020.tif" }
classes = { crops = [1], grass = [2], water = [3] }
"""


@pytest.fixture
def past(landscape):
    """Write the true classes of two years beside the landscape, with a tenth of the codes missing."""
    with rasterio.open(landscape / "s2/red.tif") as like:
        grid = Grid.of(CRS, like.transform, like.shape)
    rng = np.random.default_rng(1)
    for year in (2019, 2020):
        codes = np.where(rng.random(grid.shape) < 0.1, 0, 1 + np.indices(grid.shape)[1] // 8 % 3).astype(np.uint8)
        raster(landscape / f"past_{year}.tif", codes, grid)
    return landscape


def test_a_recipe_refuses_to_interpolate_a_history(past):
    text = HISTORY + "fill = { every = 20, start = 2019-01-01, end = 2020-12-31 }\n"
    with pytest.raises(RecipeError, match=r"sources.past.fill: class codes of earlier years are not interpolated"):
        read_recipe(written(past, sources=S2 + text))
    with pytest.raises(RecipeError, match="'past' are polygons"):
        polygons = HISTORY.replace("rasters = { 2019", 'path = "a.gpkg"\nfields = { 2019')
        read_recipe(written(past, sources=S2 + polygons, like="past"))


def test_a_scene_has_a_history_of_regular_years(past):
    scene = open_scene(read_recipe(written(past, sources=S2 + HISTORY)))
    record = source_records(scene, ["past"])["past"]
    assert (record.spec.dates, record.spec.regular, record.spec.bands) == (2, True, ("crops", "grass", "water"))
    assert record.clock == "years before the season of the map"
    assert record.days == (-2 * history.STEP, -history.STEP)


def test_a_history_of_the_season_of_the_map_is_reported(past):
    same = HISTORY.replace("2020 =", "2021 =")
    for history_of, reported in ((HISTORY, False), (same, True)):
        path = written(past, sources=S2 + history_of)
        notes = open_scene(read_recipe(path)).notes
        assert any("the accuracy is too high" in str(note) for note in notes) == reported
        assert any("l'année 2021," in note.text("fr") for note in notes) == reported
        findings = check(path).findings
        assert any(f.what.code == "same_season" and f.severity == "warning" for f in findings) == reported


PATCHWORK = 'name = "patchwork"\npreset = "small"'


def later_scene(past, model):
    """The scene of a recipe whose history is four years later."""
    years = HISTORY.replace("2020 =", "2024 =").replace("2019 =", "2023 =")
    return open_scene(read_recipe(written(past, model, S2 + years, name="later.toml")))


@pytest.mark.slow
def test_a_network_trained_with_a_history_maps_another_season(past, tmp_path):
    trained, _ = trained_briefly(written(past, PATCHWORK, S2 + HISTORY), tmp_path, epochs=1)
    trained.check_scene(later_scene(past, PATCHWORK))
    assert trained.domain is not None


@pytest.mark.slow
def test_the_map_of_a_run_has_the_dates_of_the_imagery(past, tmp_path):
    path = written(past, FOREST, S2 + HISTORY, **{"draws = 2": "draws = 1"})
    run(read_recipe(path), tmp_path / "out", ("train", "map"))
    item = json.loads((tmp_path / "out/map/item.json").read_text())["properties"]
    assert item["start_datetime"].startswith("2021-"), "the years of the history are not those of the map"
    Trained.load(tmp_path / "out/splits/0/model").check_scene(later_scene(past, FOREST))
