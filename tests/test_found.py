"""Folders as people keep them, and metadata that contradicts the recipe: what is found, how it is described, what is refused."""

import itertools
import json
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from bocage.errors import SourceError
from bocage.jobs.check import check
from bocage.jobs.init import write_recipe
from bocage.legend import LandClass, Legend
from bocage.models import MODELS, build
from bocage.progress import QUIET, Heard
from bocage.recipe import read_recipe
from bocage.scene import make_scene
from bocage.sources import image, landsat_c2l2, open_source, pleiades, sentinel1_grd, sentinel2_l2a, series, stac
from bocage.sources.inventory import look
from bocage.testing import Place, write_raster
from bocage.testing.fakes import CORNER
from bocage.training import Normalisation, Region, Trained
from bocage.training.records import source_records

DAYS = ("20220103", "20220412", "20220720")
EAST = Place(corner=(CORNER[0] + 80, CORNER[1]))


def flat(value, bands=1, size=8, dtype=np.uint16):
    return np.stack([np.full((size, size), value + k, dtype) for k in range(bands)])


def first(source):
    """Values of every date and band at the first pixel."""
    values, valid = source.read(source.grid, source.grid.window)
    assert valid[:, 0, 0].all()
    return np.round(values[:, :, 0, 0].astype(float), 4).tolist()


def notes(source):
    return [note.code for note in source.notes]


# --- SAFE
def safe(folder, value=2000, made="20220103T140000", name="", old=False, suffix="jp2", day="20220103"):
    """Write a product with the bands red and nir; reflectance is the stored value / 10000."""
    stamp, before = f"{day}T104431", "L2A_" if old else ""
    root = Path(folder, name or f"S2A_MSIL2A_{stamp}_N0300_R008_T31TCJ_{made}.SAFE")
    granule = root / "GRANULE/L2A_T31TCJ"
    for band, gsd in (("B04", 10), ("B08", 10), ("SCL", 20)):
        size = 80 // gsd
        pixels = np.full((1, size, size), 4 if band == "SCL" else value, np.uint8 if band == "SCL" else np.uint16)
        path = granule / f"IMG_DATA/R{gsd}m/{before}T31TCJ_{stamp}_{band}_{gsd}m.tif"
        write_raster(path, pixels, Place(gsd))
        if suffix == "jp2":
            with rasterio.open(path) as d:
                lossless = {"QUALITY": "100", "REVERSIBLE": "YES", "YCBCR420": "NO"}
                rasterio.shutil.copy(d, path.with_suffix(".jp2"), driver="JP2OpenJPEG", **lossless)
            path.unlink()
    quantity = f"<{before}BOA_QUANTIFICATION_VALUE>10000</{before}BOA_QUANTIFICATION_VALUE>"
    time = f"{made[:4]}-{made[4:6]}-{made[6:8]}T{made[9:11]}:00:00.000Z"
    (root / "MTD_MSIL2A.xml").write_text(
        f"<a><PRODUCT_START_TIME>{day[:4]}-{day[4:6]}-{day[6:]}T10:44:31.024Z</PRODUCT_START_TIME>"
        f"<PROCESSING_BASELINE>03.00</PROCESSING_BASELINE><GENERATION_TIME>{time}</GENERATION_TIME>{quantity}</a>"
    )
    (granule / "MTD_TL.xml").write_text('<a><Size resolution="10"><NROWS>8</NROWS><NCOLS>8</NCOLS></Size></a>')
    return root


def read_safe(path, **more):
    return open_source("s2", sentinel2_l2a, sentinel2_l2a.Settings(path, bands=("red", "nir"), **more))


@pytest.mark.parametrize("names", [("", ""), ("a.SAFE", "b.SAFE"), ("b.SAFE", "a.SAFE")])
def test_the_product_that_was_generated_last_wins_whatever_its_folder_is_called(tmp_path, names):
    safe(tmp_path, 2000, "20220103T200000", names[0])
    safe(tmp_path, 3000, "20230601T120000", names[1])
    source = read_safe(tmp_path)
    assert first(source) == [[0.3, 0.3]]
    assert notes(source) == ["several_versions"]


def test_metadata_of_2017_and_bands_converted_to_tiff(tmp_path):
    safe(tmp_path / "old", old=True)
    safe(tmp_path / "tiff", suffix="tif")
    assert first(read_safe(tmp_path / "old")) == first(read_safe(tmp_path / "tiff")) == [[0.2, 0.2]]


def test_links_system_files_and_archives_of_any_case(tmp_path):
    real = safe(tmp_path / "real", suffix="tif")
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / real.name).symlink_to(real, target_is_directory=True)
    (linked / "again").symlink_to(linked, target_is_directory=True)  # a cycle
    assert len(read_safe(linked).acquisitions) == 1
    assert set(look(linked).products) == {"s2"}
    for path in list(real.rglob("*.*")):
        path.with_name("._" + path.name).write_bytes(b"\0\5\26\7")
    (real / ".DS_Store").write_bytes(b"x")
    assert first(read_safe(tmp_path / "real")) == [[0.2, 0.2]]
    packed = tmp_path / "{x} packed"
    packed.mkdir()
    with zipfile.ZipFile(packed / "A.ZIP", "w") as out:
        for path in real.rglob("*.*"):
            if path.is_file():
                out.write(path, f"download/{real.name}/{path.relative_to(real)}")
                out.write(path, f"__MACOSX/{real.name}/{path.relative_to(real)}")
    source = read_safe(packed)
    assert first(source) == [[0.2, 0.2]]
    assert list(source.fingerprints()) == [str(packed / "A.ZIP")]


def test_a_product_that_is_the_folder_itself_or_given_by_its_metadata(tmp_path):
    root = safe(tmp_path, suffix="tif")
    assert first(read_safe(root)) == first(read_safe(root / "MTD_MSIL2A.xml")) == [[0.2, 0.2]]
    found = look(root)
    assert set(found.products) == {"s2"}
    assert not found.images
    assert not found.series


def test_a_band_that_is_listed_twice_is_refused(tmp_path):
    with pytest.raises(SourceError, match="'bands' names 'red' 2 times"):
        sentinel2_l2a.find(sentinel2_l2a.Settings(safe(tmp_path), bands=("red", "red", "nir")))
    path = write_raster(tmp_path / "a.tif", flat(1, 3))
    with pytest.raises(SourceError, match="'bands' names 'red' 2 times"):
        image.find(image.Settings(path, ("red", "red", "nir")))
    write_raster(tmp_path / "d_20220103.tif", flat(1, 3))
    with pytest.raises(SourceError, match="'bands' names 'red' 2 times"):
        series.find(series.Settings(path=tmp_path / "d_{date}.tif", bands=("red", "red", "nir")))


# --- Landsat
def landsat(folder, day, value=10000, made="2022-07-26"):
    name = f"LC08_L2SP_199029_{day}_20220726_02_T1"
    for k in range(2, 8):
        write_raster(folder / f"{name}_SR_B{k}.TIF", flat(value))
    write_raster(folder / f"{name}_QA_PIXEL.TIF", flat(21824))
    factors = "".join(
        f"<REFLECTANCE_MULT_BAND_{k}>2e-05</REFLECTANCE_MULT_BAND_{k}><REFLECTANCE_ADD_BAND_{k}>0</REFLECTANCE_ADD_BAND_{k}>"
        for k in range(1, 8)
    )
    (folder / f"{name}_MTL.xml").write_text(
        f"<L><DATE_ACQUIRED>{day[:4]}-{day[4:6]}-{day[6:]}</DATE_ACQUIRED><SCENE_CENTER_TIME>10:35:21.12Z</SCENE_CENTER_TIME>"
        f"<LEVEL2_PROCESSING_RECORD><DATE_PRODUCT_GENERATED>{made}T10:00:00Z</DATE_PRODUCT_GENERATED></LEVEL2_PROCESSING_RECORD>"
        "<REFLECTIVE_LINES>8</REFLECTIVE_LINES><REFLECTIVE_SAMPLES>8</REFLECTIVE_SAMPLES>"
        f"<LEVEL2_SURFACE_REFLECTANCE_PARAMETERS>{factors}</LEVEL2_SURFACE_REFLECTANCE_PARAMETERS></L>"
    )


def test_the_landsat_product_that_was_generated_last_wins(tmp_path):
    landsat(tmp_path / "a", DAYS[0], 10000, "2022-02-01")
    landsat(tmp_path / "b", DAYS[0], 20000, "2022-03-01")
    landsat(tmp_path / "c", DAYS[0], 30000, "2022-01-01")
    source = open_source("l", landsat_c2l2, landsat_c2l2.Settings(tmp_path, bands=("red",)))
    assert first(source) == [[0.4]]


def test_several_flat_landsat_products_in_one_folder_and_in_tars(tmp_path):
    (tmp_path / "tars").mkdir()
    for day, value in ((DAYS[0], 10000), (DAYS[1], 20000)):
        landsat(tmp_path / "flat", day, value)
    for suffix, mode in (("tar", "w"), ("tar.gz", "w:gz")):
        with tarfile.open(tmp_path / f"tars/{suffix[-2:]}.{suffix}", mode) as out:
            for path in sorted((tmp_path / "flat").glob(f"*_{DAYS[0] if mode == 'w' else DAYS[1]}_*")):
                out.add(path, f"./{path.name}")
    for folder in (tmp_path / "flat", tmp_path / "tars"):
        source = open_source("l", landsat_c2l2, landsat_c2l2.Settings(folder, bands=("red",)))
        assert first(source) == [[0.2], [0.4]]
    write_raster(tmp_path / "flat/dem.tif", flat(7))
    found = look(tmp_path / "flat")
    assert list(found.products) == ["landsat"]
    assert list(found.images) == ["dem"], "the user's own image beside a product"
    assert not found.series


# --- init
@pytest.fixture
def fields(tmp_path):
    west, north = CORNER
    boxes = [shapely.box(west + k, north - 20, west + k + 10, north - 10) for k in (0, 20, 40)]
    path = tmp_path / "fields.gpkg"
    geopandas.GeoDataFrame({"crop": ["a", "b", "c"]}, geometry=boxes, crs="EPSG:32740").to_file(path)
    return path


@pytest.fixture
def read(fields, tmp_path):
    """Return a function that writes a recipe for a folder and opens its sources."""

    def opened(folder: Path):
        out = tmp_path / f"{folder.name}.toml"
        write_recipe(folder, fields, "crop", out)
        recipe = read_recipe(out)
        from bocage.sources import SENSORS

        return {n: open_source(n, SENSORS.get(c.sensor), c.settings) for n, c in recipe.sources.items()}

    return opened


def test_init_reads_a_folder_per_date(tmp_path, read):
    for k, day in enumerate(DAYS):
        for j, band in enumerate(("B04", "B08")):
            write_raster(tmp_path / f"images/{day}/{band}.tif", flat(1000 * (k + 1) + j))
    (source,) = read(tmp_path / "images").values()
    assert source.bands == ("red", "nir")
    assert first(source) == [[0.1, 0.1001], [0.2, 0.2001], [0.3, 0.3001]]


def test_init_reads_the_dates_of_folders_and_names_together(tmp_path, read):
    for k, day in enumerate(DAYS):
        write_raster(tmp_path / f"images/{day}/S2_{day}T104431_20230{k + 1}01_B04.tif", flat(k + 1))
    (source,) = read(tmp_path / "images").values()
    assert first(source) == [[1], [2], [3]]


def test_init_merges_neighbouring_tiles(tmp_path, read):
    for day in DAYS:
        for band in ("B04", "B08"):
            write_raster(tmp_path / f"images/T40KCB_{day}_{band}.tif", flat(1000))
            write_raster(tmp_path / f"images/T40KDB_{day}_{band}.tif", flat(2000), EAST)
    (source,) = read(tmp_path / "images").values()
    values, valid = source.read(source.grid, source.grid.window)
    assert valid.all()
    assert values.shape == (3, 2, 8, 16)
    assert np.allclose(values[..., :8], 0.1)
    assert np.allclose(values[..., 8:], 0.2)


def test_init_keeps_every_band_of_a_file_per_date(tmp_path, read):
    for k, day in enumerate(DAYS):
        path = tmp_path / f"images/scene_{day}.tif"
        write_raster(path, flat(1000 * (k + 1), 3), descriptions=["green", "red", "nir"])
    (source,) = read(tmp_path / "images").values()
    assert source.bands == ("green", "red", "nir")
    assert first(source)[1] == [0.2, 0.2001, 0.2002]
    with pytest.raises(SourceError, match="has 3 bands, and the variable 'red' is one band"):
        series.find(series.Settings({"red": tmp_path / "images/scene_{date}.tif"}))


def test_init_reads_scenes_of_planet_with_their_masks(tmp_path, read):
    for day, time in zip(DAYS, ("103012", "104112", "102212"), strict=True):
        write_raster(tmp_path / f"images/{day}_{time}_24_2415_3B_AnalyticMS_SR_8b.tif", flat(1000, 8))
        usable = flat(0, 8, dtype=np.uint8)
        usable[0, :, :4] = 1
        write_raster(tmp_path / f"images/{day}_{time}_24_2415_3B_udm2.tif", usable)
    (source,) = read(tmp_path / "images").values()
    assert len(source.times) == 3
    assert source.bands[5:] == ("red", "rededge1", "nir")
    _, valid = source.read(source.grid, source.grid.window)
    assert valid[:, :, :4].all()
    assert not valid[:, :, 4:].any()


def test_init_joins_the_pieces_of_an_export(tmp_path, read):
    for k, place in enumerate((Place(), EAST)):
        path = tmp_path / f"images/median-0000000000-{8 * k:010d}.tif"
        write_raster(path, flat(5 + 10 * k, 2), place, descriptions=["red", "nir"])
    (source,) = read(tmp_path / "images").values()
    values, valid = source.read(source.grid, source.grid.window)
    assert valid.all()
    assert values[0, :, 0, [0, 15]].tolist() == [[5, 6], [15, 16]]
    assert not source.dated


def test_init_gives_no_scale_to_fractions(tmp_path, read):
    for band in ("B04", "B08"):
        write_raster(tmp_path / f"images/S2_{DAYS[0]}_{band}.tif", flat(0.25, dtype=np.float32))
    (source,) = read(tmp_path / "images").values()
    assert first(source) == [[0.25, 0.25]]
    with pytest.raises(SourceError, match=r"values with a fraction.*scale = 0.0001.*Set scale = 1"):
        series.find(series.Settings({"red": tmp_path / "images/S2_{date}_B04.tif"}, scale=1e-4))


def test_init_reads_names_with_brackets_and_accents(tmp_path, read):
    folder = tmp_path / "été [2022] {x} & co"
    for k, day in enumerate(DAYS):
        write_raster(folder / f"S2 (v1) [a]_{day}_B04.tif", flat(k + 1))
    (source,) = read(folder).values()
    assert first(source) == [[1], [2], [3]]


def test_init_gives_each_band_and_source_its_own_name(tmp_path, read):
    write_raster(tmp_path / "images/a/vhr.tif", flat(1, 2), descriptions=["B 4", "B-4"])
    write_raster(tmp_path / "images/b/vhr.tif", flat(11, 2), descriptions=["B 4", "B-4"])
    for day in DAYS:
        write_raster(tmp_path / f"images/vhr/{day}_red.tif", flat(3))
        write_raster(tmp_path / f"images/vhr/x_{day}_red.tif", flat(4))
    sources = read(tmp_path / "images")
    assert len(sources) == 4
    assert sorted(first(s)[0] for s in sources.values()) == [[1, 2], [3], [4], [11, 12]]


def test_init_joins_variables_only_if_all_their_dates_are_the_same(tmp_path):
    for day in DAYS:
        write_raster(tmp_path / f"S2_{day}_B04.tif", flat(1))
        if day != DAYS[1]:
            write_raster(tmp_path / f"S2_{day}_B08.tif", flat(1))
    found = look(tmp_path)
    assert [tuple(s.variables) for s in found.series.values()] == [("red",), ("nir",)]
    assert any("its dates differ" in remark and "2022-04-12" in remark for remark in found.remarks)


def test_init_uses_neither_earlier_runs_nor_bands_that_a_product_holds(tmp_path):
    safe(tmp_path, suffix="tif")
    write_raster(tmp_path / "bands/T31TCJ_20220103T104431_B04_10m.tif", flat(1))
    write_raster(tmp_path / "runs/x/map/classes.tif", flat(1))
    for name in ("recipe.toml", "provenance.json"):
        (tmp_path / "runs/x" / name).write_text("")
    write_raster(tmp_path / "other/classes.partial.tif", flat(1))
    found = look(tmp_path)
    assert list(found.products) == ["s2"]
    assert not found.images
    assert not found.series
    for part in ("runs/x: a run or a map", "other: a run or a map", "_B04_10m.tif: a product in the folder has a file"):
        assert any(part in line for line in found.skipped)


def test_init_does_not_use_a_map_of_classes(tmp_path):
    path = write_raster(tmp_path / "last_year.tif", flat(1, dtype=np.uint8))
    with rasterio.open(path, "r+") as d:
        d.write_colormap(1, {1: (255, 0, 0, 255)})
    found = look(tmp_path)
    assert not found.images
    assert "it has a colour table" in found.skipped[0]


def test_init_joins_the_satellites_of_a_pair(tmp_path, read):
    for unit, day in zip("ABA", DAYS, strict=True):
        for tile, place in (("T40KCB", Place()), ("T40KDB", EAST)):
            write_raster(tmp_path / f"images/S2{unit}_{tile}_{day}_B04.tif", flat(int(day[4:6])), place)
    (source,) = read(tmp_path / "images").values()
    assert first(source) == [[1], [4], [7]]
    assert source.grid.shape == (8, 16)


def test_init_names_the_bands_of_sentinel2(tmp_path, read):
    write_raster(tmp_path / "images/s2_median.tif", flat(1, 3), descriptions=["B4", "B8", "B8A"])
    (source,) = read(tmp_path / "images").values()
    assert source.bands == ("red", "nir", "nir08")


def test_init_names_dates_that_a_series_cannot_read(tmp_path):
    for day in ("03012022", "12042022"):
        write_raster(tmp_path / f"B04_{day}.tif", flat(1))
    write_raster(tmp_path / "dem_2019250.tif", flat(1))
    found = look(tmp_path)
    assert list(found.images) == ["dem_2019250"]
    assert sum("year, month, day" in line for line in found.skipped) == 2


def test_a_damaged_archive_does_not_stop_init(tmp_path):
    write_raster(tmp_path / "a.tif", flat(1))
    (tmp_path / "b.zip").write_bytes(b"PK\3\4 half")
    found = look(tmp_path)
    assert list(found.images) == ["a"]
    assert any("b.zip is not a complete zip archive" in line for line in found.skipped)


# --- what files declare
def declared(path, scale, offset, **more):
    write_raster(path, flat(1000), **more)
    with rasterio.open(path, "r+") as d:
        d.scales, d.offsets = (scale,), (offset,)
    return path


def test_scale_and_offset_of_a_file_are_used_or_the_difference_is_reported(tmp_path):
    path = declared(tmp_path / "a.tif", 1e-4, -0.1)
    source = open_source("x", image, image.Settings(path))
    assert first(source) == [[0.0]]
    assert notes(source) == ["declared_scale"]
    source = open_source("x", image, image.Settings(path, scale=2e-4))
    assert first(source) == [[0.1]]
    assert notes(source) == ["scale_differs"]
    assert first(open_source("x", image, image.Settings(path, offset=0.0))) == [[0.1]]
    assert not notes(open_source("x", image, image.Settings(path, scale=1e-4)))
    assert not notes(open_source("x", image, image.Settings(path, scale=1e-4, offset=-0.1)))


def test_tags_that_differ_by_date_hold_for_their_date(tmp_path):
    declared(tmp_path / "S2_20210101.tif", 1e-4, 0.0)
    declared(tmp_path / "S2_20220301.tif", 1e-4, -0.1)
    source = open_source("x", series, series.Settings({"red": tmp_path / "S2_{date}.tif"}))
    assert first(source) == [[0.1], [0.0]]


def test_descriptions_that_contradict_the_bands_are_refused(tmp_path):
    path = write_raster(tmp_path / "a_20220103.tif", flat(1, 2), descriptions=["B4 nir", "red"])
    with pytest.raises(SourceError, match=r"band 1 is 'B4 nir', but the recipe calls it 'red'"):
        image.find(image.Settings(path, ("red", "nir")))
    with pytest.raises(SourceError, match=r"band 1 is 'B4 nir', but the recipe calls it 'red'"):
        series.find(series.Settings(path=tmp_path / "a_{date}.tif", bands=("red", "nir")))
    assert image.find(image.Settings(path, ("nir", "red")))
    assert image.find(image.Settings(path, ("first", "second")))


def test_a_quality_layer_with_several_bands_needs_its_band(tmp_path):
    path = write_raster(tmp_path / "a.tif", flat(1))
    usable = write_raster(tmp_path / "q.tif", flat(0, 2))
    with pytest.raises(SourceError, match=r"has 2 bands. Set 'quality_band' to one of 1 to 2"):
        image.find(image.Settings(path, quality=usable))
    source = open_source("x", image, image.Settings(path, quality=usable, quality_band=2))
    assert source.read(source.grid, source.grid.window)[1].all()


# --- Sentinel-1
def radar(folder, name, value, tags=()):
    for pol in ("VV", "VH"):
        path = write_raster(folder / f"{name}_{pol}.tif", flat(value, dtype=np.float32), nodata=0)
        with rasterio.open(path, "r+") as d:
            d.update_tags(**dict(tags))
            d.write(d.read() * np.linspace(1, 1.1, 64, dtype=np.float32).reshape(1, 8, 8))


def decibels(folder, **more):
    return first(open_source("s1", sentinel1_grd, sentinel1_grd.Settings(folder, **more)))[0]


@pytest.mark.parametrize(("stored", "nodata"), [("linear", -9999.0), ("db", -32768.0), ("linear", 0.0)])
def test_the_nodata_value_that_a_radar_image_declares_counts(tmp_path, stored, nodata):
    value = 0.01 if stored == "linear" else -20.0
    for pol in ("vv", "vh"):
        pixels = np.full((1, 20, 20), value, np.float32)
        pixels[:, :4], pixels[:, 4:6] = nodata, 0  # zeros are outside the swath too
        write_raster(tmp_path / f"s1a_31UES_{pol}_ASC_037_20220103t054100.tif", pixels, nodata=nodata)
    source = open_source("s1", sentinel1_grd, sentinel1_grd.Settings(tmp_path, stored=stored))
    values, valid = source.read(source.grid, source.grid.window)
    assert not valid[0, :6].any()
    assert valid[0, 6:].all()
    assert np.allclose(values[0, :, 6:], -20, atol=1e-3)


@pytest.mark.parametrize(
    ("letter", "stored", "value"), [("p", "linear", 0.01), ("a", "amplitude", 0.1), ("d", "db", -20)]
)
def test_the_unit_in_the_names_of_hyp3_is_compared(tmp_path, letter, stored, value):
    radar(tmp_path, f"S1A_IW_20220103T013000_DVP_RTC20_G_g{letter}uned_1A2B", value)
    assert np.allclose(decibels(tmp_path, stored=stored), -20, atol=1e-4)
    for other in {"linear", "amplitude", "db"} - {stored}:
        with pytest.raises(SourceError, match=f'Set stored = "{stored}"'):
            decibels(tmp_path, stored=other)


def test_values_in_db_are_not_read_as_power(tmp_path):
    for pol in ("vv", "vh"):
        pixels = np.linspace(-22, -9, 64, dtype=np.float32).reshape(1, 8, 8)
        write_raster(tmp_path / f"db/s1a_40KCB_{pol}_ASC_044_20220105t014522.tif", pixels)
        write_raster(tmp_path / f"power/s1a_40KCB_{pol}_ASC_044_20220105t014522.tif", 10 ** (pixels / 10))
    with pytest.raises(SourceError, match=r'holds decibels .*Set stored = "db"'):
        decibels(tmp_path / "db")
    with pytest.raises(SourceError, match=r'holds linear power .*Set stored = "linear"'):
        decibels(tmp_path / "power", stored="db")
    assert np.allclose(decibels(tmp_path / "db", stored="db"), decibels(tmp_path / "power"), atol=1e-4)


def test_radar_has_one_unit_whether_its_files_are_in_db_or_not(tmp_path):
    """A model of one maps the other; models of earlier versions have recorded dB in files as another unit."""
    stored = {"db": np.linspace(-22, -9, 64, dtype=np.float32).reshape(1, 8, 8)}
    stored["linear"] = 10 ** (stored["db"] / 10)
    records = {}
    for unit, pixels in stored.items():
        for day, pol in itertools.product(("05", "17"), ("vv", "vh")):
            write_raster(tmp_path / unit / f"s1a_40KCB_{pol}_ASC_044_202201{day}t014522.tif", pixels)
        source = open_source("s1", sentinel1_grd, sentinel1_grd.Settings(tmp_path / unit, stored=unit))
        scene = make_scene(source.grid, [source], {})
        records[unit] = source_records(scene, ["s1"])["s1"]
        assert records[unit].units == "dB"
    before = replace(records["db"], units="linear")
    gru = MODELS.get("gru")
    network = build(gru, {"s1": before.spec}, 2, gru.Config(units=2))
    scaling = Normalisation("mean-std", {"s1": (-15.0, -15.0)}, {"s1": (3.0, 3.0)})
    legend, region = Legend((LandClass(1, "a"), LandClass(2, "b"))), Region("EPSG:32740", source.grid.bounds)
    for then in (before, records["linear"]):
        trained = Trained("gru", gru.Config(units=2), legend, {"s1": then}, scaling, network, region)
        db = open_source("s1", sentinel1_grd, sentinel1_grd.Settings(tmp_path / "db", stored="db"))
        trained.check_scene(make_scene(db.grid, [db], {}))


@pytest.mark.parametrize("more", [{}, {"mix_orbits": True}])
def test_two_passes_of_unknown_orbits_on_one_day_are_two_dates(tmp_path, more):
    """HyP3's names do not give the orbit. The neighbouring image of a pass is 25 seconds later, here after midnight."""
    for stamp, value in (
        ("20220102T235950", 0.1), ("20220103T000015", 0.1), ("20220103T054100", 0.01), ("20220103T173000", 0.001),
    ):  # fmt: skip
        radar(tmp_path, f"S1A_IW_{stamp}_DVP_RTC20_G_gpuned_{stamp[-4:]}", value)
    source = open_source("s1", sentinel1_grd, sentinel1_grd.Settings(tmp_path, **more))
    assert [f"{time:%d %H:%M}" for time in source.times] == ["02 23:59", "03 05:41", "03 17:30"]
    assert [round(values[0]) for values in first(source)] == [-10, -20, -30]


def test_an_orbit_that_the_name_does_not_give_comes_from_the_tags(tmp_path):
    name = "S1A_IW_202201{day}T013000_DVP_RTC20_G_gpuned_1A2B"
    for day, direction, orbit in (("03", "ascending", "44"), ("05", "descending", "151")):
        tags = (("ORBIT_DIRECTION", direction), ("RELATIVE_ORBIT_NUMBER", orbit))
        radar(tmp_path / "tags", name.format(day=day), 0.01, tags)
        radar(tmp_path / "none", name.format(day=day), 0.01)
    with pytest.raises(SourceError, match=r"ASC 044 \(1 images\), DES 151 \(1 images\)"):
        decibels(tmp_path / "tags")
    assert len(sentinel1_grd.find(sentinel1_grd.Settings(tmp_path / "tags", relative_orbit=151))) == 1
    assert notes(open_source("s1", sentinel1_grd, sentinel1_grd.Settings(tmp_path / "none"))) == ["no_orbit"]
    with pytest.raises(SourceError, match="may not give the orbit"):
        decibels(tmp_path / "none", orbit="ascending")


@pytest.mark.parametrize(
    ("pattern", "error"),
    [
        (r"(?P<pol>vv|vh)_(?P<time>\d+", "is no regular expression: missing \\)"),
        (r"(vv|vh)_(\d+)\.tif", r"has no group \(\?P<pol>…\) and no group \(\?P<time>…\)"),
        (r"(?P<pol>vv|vh)_(?P<time>\w+)\.tif", "'20221332' in the name of a Sentinel-1 image is no time"),
    ],
)
def test_a_pattern_of_radar_names_that_cannot_be_used_is_refused(tmp_path, pattern, error):
    for pol in ("vv", "vh"):
        write_raster(tmp_path / f"{pol}_20221332.tif", flat(0.01, dtype=np.float32))
    with pytest.raises((SourceError, ValueError), match=error):
        decibels(tmp_path, pattern=pattern)


def test_a_day_of_the_year_in_radar_names_is_not_read_as_a_month(tmp_path):
    """Day 123 of 2022 is 3 May; its digits also begin with those of 30 December."""
    for pol in ("vv", "vh"):
        write_raster(tmp_path / f"{pol}_2022123.tif", flat(0.01, dtype=np.float32))
    with pytest.raises(SourceError, match="'2022123' in the name of a Sentinel-1 image is no time"):
        decibels(tmp_path, pattern=r"(?P<pol>vv|vh)_(?P<time>\d+)\.tif")


@pytest.mark.parametrize("said_by", ["README", "tag"])
@pytest.mark.parametrize("packed", [False, True])
def test_of_two_versions_of_a_radar_image_the_newest_wins_whatever_its_name(tmp_path, said_by, packed):
    for identity, value, month in (("0A0A", 0.02, 2), ("FFFF", 0.01, 3)):
        name = f"S1A_IW_20220103T013000_DVP_RTC20_G_gpuned_{identity}"
        tags = [("TIFFTAG_DATETIME", f"2022:0{month}:01 10:00:00")] if said_by == "tag" else []
        radar(tmp_path / "radar" / name, name, value, tags)
        if said_by == "README":
            text = f"ASF RTC Data Package\n\nProcessing Date/Time: 2022-0{month}-01T10:00:00+00:00\n"
            (tmp_path / "radar" / name / f"{name}.README.md.txt").write_text(text)
        if packed:
            shutil.make_archive(str(tmp_path / "radar" / name), "zip", tmp_path / "radar", name)
            shutil.rmtree(tmp_path / "radar" / name)
    source = open_source("s1", sentinel1_grd, sentinel1_grd.Settings(tmp_path / "radar"))
    assert len(source.times) == 1
    assert np.allclose(first(source)[0], -20, atol=1e-4)
    assert "several_versions" in notes(source)


def test_versions_of_a_radar_image_without_a_time_of_processing_are_refused(tmp_path):
    for identity in ("0A0A", "FFFF"):
        radar(tmp_path, f"S1A_IW_20220103T013000_DVP_RTC20_G_gpuned_{identity}", 0.01)
    with pytest.raises(SourceError, match="are the same acquisition, and neither a README nor the tag"):
        decibels(tmp_path)


# --- DIMAP
def dimap(folder, kind, value, mask=""):
    name = f"PHR1A_{kind}_202204080631045_ORT_1"
    write_raster(folder / f"IMG_{name}_R1C1.TIF", flat(value, 4))
    listed = "".join(
        f"<Raster_Index><BAND_ID>B{k}</BAND_ID><BAND_INDEX>{k + 1}</BAND_INDEX></Raster_Index>"
        f"<Band_Reflectance><BAND_ID>B{k}</BAND_ID><GAIN>1000</GAIN></Band_Reflectance>"
        for k in range(4)
    )
    (folder / f"DIM_{name}.XML").write_text(
        f"<D><MISSION_X/><Strip_Source><MISSION>PHR</MISSION><IMAGING_DATE>2022-04-08</IMAGING_DATE></Strip_Source>"
        f"<SPECTRAL_PROCESSING>{kind}</SPECTRAL_PROCESSING><PROCESSING_LEVEL>ORTHO</PROCESSING_LEVEL>"
        f"<RADIOMETRIC_PROCESSING>REFLECTANCE</RADIOMETRIC_PROCESSING>{listed}"
        f'<DATA_FILE_PATH href="IMG_{name}_R1C1.TIF"/>'
        "<Raster_Dimensions><NROWS>8</NROWS><NCOLS>8</NCOLS></Raster_Dimensions></D>"
    )
    if mask:
        (folder / "MASKS").mkdir()
        (folder / f"MASKS/CLD_{name}_MSK.GML").write_text(f'<m xmlns:gml="http://www.opengis.net/gml">{mask}</m>')


def test_a_pansharpened_product_beside_ms_is_another_image(tmp_path):
    dimap(tmp_path / "a", "MS", 200)
    dimap(tmp_path / "b", "PMS", 500)
    for kind, value in (("ms", 0.2), ("pms", 0.5)):
        source = open_source("x", pleiades, pleiades.Settings(tmp_path, image=kind, bands=("blue",)))
        assert first(source) == [[value]]
    with pytest.raises(SourceError, match="has no ms orthoimage of pleiades. It has pms: set image = 'pms'"):
        pleiades.find(pleiades.Settings(tmp_path / "b"))
    assert set(look(tmp_path).products) == {"ms", "pms"}


def polygon(points, srs, gml2=False):
    if gml2:
        text = " ".join(f"{x!r},{y!r}" for x, y in points)
        inside = f"<gml:outerBoundaryIs><gml:LinearRing><gml:coordinates>{text}</gml:coordinates></gml:LinearRing></gml:outerBoundaryIs>"
    else:
        text = " ".join(f"{x!r} {y!r}" for x, y in points)
        inside = f"<gml:exterior><gml:LinearRing><gml:posList>{text}</gml:posList></gml:LinearRing></gml:exterior>"
    return f'<maskMembers><gml:Polygon srsName="{srs}">{inside}</gml:Polygon></maskMembers>'


@pytest.mark.parametrize("gml2", [False, True])
@pytest.mark.parametrize("srs", ["urn:ogc:def:crs:EPSG::4326", "EPSG:4326"])
@pytest.mark.parametrize("latitude_first", [False, True])
def test_a_cloud_mask_in_degrees_hides_its_clouds_in_either_order_of_axes(tmp_path, gml2, srs, latitude_first):
    west, north = CORNER
    ring = shapely.box(west - 5, north - 41, west + 39, north + 5)
    points = geopandas.GeoSeries([ring], crs="EPSG:32740").to_crs("EPSG:4326")[0].exterior.coords
    points = [(float(y), float(x)) if latitude_first else (float(x), float(y)) for x, y in points]
    dimap(tmp_path, "MS", 200, polygon(points, srs, gml2))
    source = open_source("x", pleiades, pleiades.Settings(tmp_path))
    (valid,) = source.read(source.grid, source.grid.window)[1]
    assert not valid[:4, :4].any()
    assert valid[6:, :].all()
    assert valid[:, 6:].all()
    assert not notes(source)


@pytest.mark.parametrize(
    ("mask", "code"),
    [
        (polygon([(1.0, 1.0), (1.0, 2.0), (2.0, 2.0), (1.0, 1.0)], "EPSG:4326"), "cloud_mask_elsewhere"),
        ("<maskMembers><gml:Curve/></maskMembers>", "cloud_mask_unread"),
        ("", None),
    ],
)
def test_a_cloud_mask_that_hides_nothing_is_reported(tmp_path, mask, code):
    dimap(tmp_path, "MS", 200, mask or "<gml:description/>")
    source = open_source("x", pleiades, pleiades.Settings(tmp_path))
    assert notes(source) == ([code] if code else [])


# --- STAC
def item(folder, name, value=1000, asset=None, **properties):
    """Write an item and its asset, and return the item."""
    write_raster(folder / f"{name}.tif", flat(value))
    properties = {"datetime": "2022-01-03T10:44:31Z", **properties}
    return {
        "type": "Feature", "stac_version": "1.1.0", "id": name, "properties": properties, "links": [],
        "bbox": properties.pop("bbox", [50, -30, 60, -10]), "geometry": None,
        "assets": {"B04": {"href": f"./{name}.tif", **(asset or {})}},
    }  # fmt: skip


def catalogue(folder, *items):
    folder.mkdir(exist_ok=True)
    links = [{"rel": "item", "href": f"./{i['id']}.json"} for i in items]
    for one in items:
        (folder / f"{one['id']}.json").write_text(json.dumps(one))
    text = {"type": "Catalog", "stac_version": "1.1.0", "id": "c", "description": "c", "links": links}
    (folder / "catalog.json").write_text(json.dumps(text))


def opened(folder, **more):
    return open_source("s", stac, stac.Settings({"red": "B04"}, catalogue=folder / "catalog.json", **more))


@pytest.mark.parametrize("form", ["relative", "encoded", "uri", "one slash", "localhost"])
def test_links_with_percent_encoding_are_found(tmp_path, form):
    """pystac, other programs and ``as_uri`` of Python encode the blanks of a path; the path itself may be written too."""
    folder = tmp_path / "cat a"
    write_raster(folder / "B 04%.tif", flat(1000))
    uri = (folder / "B 04%.tif").as_uri()
    href = {
        "relative": "./B 04%.tif", "encoded": "./B%2004%25.tif", "uri": uri, "one slash": uri.replace("file://", "file:"),
        "localhost": uri.replace("file://", "file://localhost"),
    }[form]  # fmt: skip
    catalogue(folder, item(folder, "a b", asset={"href": href}))
    path = folder / "catalog.json"
    if form != "relative":
        link = (folder / "a b.json").as_uri() if form == "uri" else "./a%20b.json"
        path.write_text(path.read_text().replace("./a b.json", link))
    assert [a.files["red"].path.name for a in opened(folder).acquisitions] == ["B 04%.tif"]


def test_a_catalogue_whose_item_is_missing_is_reported(tmp_path):
    catalogue(tmp_path, item(tmp_path, "a"))
    (tmp_path / "a.json").unlink()
    with pytest.raises(SourceError, match="is not a complete STAC catalogue: .*a.json"):
        opened(tmp_path)


def test_of_two_items_of_one_scene_the_newest_processing_wins(tmp_path):
    old = item(tmp_path, "b", 1000, **{"s2:generation_time": "2022-01-04T00:00:00Z"})
    new = item(tmp_path, "a", 2000, datetime="2022-01-03T10:44:35Z", **{"s2:generation_time": "2023-01-04T00:00:00Z"})
    catalogue(tmp_path, old, new)
    source = opened(tmp_path)
    assert first(source) == [[2000]]
    assert notes(source) == ["several_versions"]


def test_an_item_that_lasts_has_its_middle_as_time(tmp_path):
    period = {"start_datetime": "2022-01-01T00:00:00Z", "end_datetime": "2022-01-31T00:00:00Z"}
    catalogue(
        tmp_path, item(tmp_path, "a", datetime=None, **period), item(tmp_path, "b", datetime="2022-03-01T00:00:00Z")
    )
    source = opened(tmp_path)
    assert [f"{t:%Y-%m-%d}" for t in source.times] == ["2022-01-16", "2022-03-01"]
    assert notes(source) == ["intervals"]


def test_a_time_with_an_offset_is_the_day_in_utc(tmp_path):
    from datetime import date

    catalogue(tmp_path, item(tmp_path, "a", datetime="2022-01-04T01:00:00+02:00"))
    (time,) = opened(tmp_path, end=date(2022, 1, 3)).times
    assert time.isoformat() == "2022-01-03T23:00:00"


def test_items_without_cloud_cover_are_left_out_and_counted(tmp_path):
    cover = "eo:cloud_cover"
    catalogue(
        tmp_path, item(tmp_path, "a", **{cover: None}), item(tmp_path, "b"), item(tmp_path, "c", 3000, **{cover: 10.0}),
        item(tmp_path, "d", **{cover: 90.0}),
    )  # fmt: skip
    source = opened(tmp_path, cloud=50)
    assert first(source) == [[3000]]
    assert [(n.code, n.value("n"), n.value("total")) for n in source.notes] == [("no_cloud_cover", 2, 4)]


@pytest.mark.parametrize(
    ("box", "area", "meets"),
    [
        ([178, -20, -178, -15], (-180, -19, -179, -16), True),
        ([178, -20, -178, -15], (179, -19, -179, -16), True),
        ([178, -20, -178, -15], (-177, -19, -170, -16), False),
        ([170, -20, 179.5, -15], (179, -19, -179, -16), True),
        ([50, -30, 100, 60, -10, 900], (55, -20, 56, -19), True),
        ([50, -30, 100, 60, -10, 900], (70, -20, 80, -19), False),
    ],
)
def test_an_area_across_the_antimeridian_and_boxes_of_three_dimensions(tmp_path, box, area, meets):
    catalogue(tmp_path, item(tmp_path, "a", bbox=box))
    if meets:
        assert opened(tmp_path, area=area).times
    else:
        with pytest.raises(SourceError, match="no item matches"):
            opened(tmp_path, area=area)


@pytest.mark.parametrize(
    "asset",
    [
        {"raster:scale": 1e-4, "raster:offset": -0.05, "nodata": 7},
        {"bands": [{"raster:scale": 1e-4, "raster:offset": -0.05, "nodata": 7}]},
        {"raster:scale": 3, "nodata": 7, "bands": [{"raster:scale": 1e-4, "raster:offset": -0.05}]},
        {"raster:bands": [{"scale": 1e-4, "offset": -0.05, "nodata": 7}]},
    ],
)
def test_scale_offset_and_nodata_of_an_asset_wherever_stac_has_them(tmp_path, asset):
    catalogue(tmp_path, item(tmp_path, "a", 1000, asset))
    source = opened(tmp_path)
    assert first(source) == [[0.05]]
    assert source.decoding.nodata == 7
    assert notes(opened(tmp_path, scale=1e-4, offset=0.0)) == ["scale_differs"]


def test_the_scale_that_the_file_of_an_asset_declares_is_used(tmp_path):
    catalogue(tmp_path, item(tmp_path, "a"))
    declared(tmp_path / "a.tif", 1e-4, -0.05)
    assert first(opened(tmp_path)) == [[0.05]]


def test_an_asset_with_several_bands_is_refused(tmp_path):
    catalogue(tmp_path, item(tmp_path, "a"))
    write_raster(tmp_path / "a.tif", flat(1, 3))
    with pytest.raises(SourceError, match=r"asset B04 has 3 bands, and only its first would be read"):
        opened(tmp_path)


def test_amplitude_of_an_asset(tmp_path):
    catalogue(tmp_path, item(tmp_path, "a", 10))
    assert first(opened(tmp_path, decibel=True)) == [[10]]
    assert first(opened(tmp_path, decibel=True, stored="amplitude")) == [[20]]


def test_orbits_of_items_are_chosen_or_reported(tmp_path):
    catalogue(tmp_path, *(item(tmp_path, f"i{n}", 10, **{"sat:relative_orbit": n}) for n in (44, 151)))
    both = opened(tmp_path, decibel=True)
    assert len(both.times) == 2
    assert notes(both) == ["several_orbits"]
    one = opened(tmp_path, decibel=True, relative_orbit=44)
    assert len(one.times) == 1
    assert not notes(one)


def test_backscatter_in_decibels_of_two_orbits_on_one_day_is_two_dates(tmp_path):
    """Values in dB need no 'decibel', and differ between orbits as those that are converted."""
    items = [item(tmp_path, f"i{n}", n, **{"sat:relative_orbit": n}) for n in (44, 151)]
    for one in items:
        one["assets"]["vv"] = one["assets"]["B04"]
    catalogue(tmp_path, *items)
    both = open_source("s", stac, stac.Settings({"vv": "vv"}, catalogue=tmp_path / "catalog.json"))
    assert sorted(values[0] for values in first(both)) == [44, 151]
    assert notes(both) == ["several_orbits"]


def test_radar_items_without_an_orbit_are_dates_by_their_passes(tmp_path):
    hours = {"a": "05:41:00", "b": "05:41:25", "c": "17:30:00"}
    items = [item(tmp_path, name, 10, datetime=f"2022-01-03T{hour}Z") for name, hour in hours.items()]
    catalogue(tmp_path, *items)
    assert len(opened(tmp_path, decibel=True).times) == 2
    assert len(opened(tmp_path).times) == 1, "reflectance of one day is one date"


BASELINES = {"new": (3000, "05.09"), "old": (2000, "02.12")}


def of_baselines(folder, names, **asset):
    made = [
        item(folder, name, BASELINES[name][0], asset, datetime=f"202{k}-01-03T10:00:00Z", **{"s2:processing_baseline": BASELINES[name][1]})
        for k, name in enumerate(names)
    ]  # fmt: skip
    catalogue(folder, *made)


@pytest.mark.parametrize(
    ("more", "expected"), [({}, 0.2), ({"scale": 0.5}, 1000), ({"scale": 1.0, "offset": 0.0}, None)]
)
def test_the_scale_of_the_recipe_counts_with_the_offset_of_a_baseline(tmp_path, more, expected):
    of_baselines(tmp_path, ("new", "old"))
    found = first(opened(tmp_path, like="sentinel2_l2a", **more))
    assert np.allclose(found, [[3000], [2000]] if expected is None else expected)


def test_reflectance_of_two_baselines_needs_an_offset(tmp_path):
    of_baselines(tmp_path, ("new", "old"))
    with pytest.raises(SourceError, match="1 of 2 items, such as new, are of baseline 04.00 or later"):
        opened(tmp_path, scale=1e-4)
    assert len(opened(tmp_path, scale=1e-4, offset=0.0).times) == 2


def test_reflectance_with_an_offset_that_nothing_removes_is_reported(tmp_path):
    of_baselines(tmp_path, ("new",))
    assert notes(opened(tmp_path)) == ["no_offset"]
    assert not notes(opened(tmp_path, like="sentinel2_l2a"))
    of_baselines(tmp_path, ("new",), **{"raster:scale": 1e-4, "raster:offset": 0.0})
    assert not notes(opened(tmp_path)), "the item gives it"
    of_baselines(tmp_path, ("old",))
    assert not notes(opened(tmp_path))


def test_like_landsat_follows_the_sensor_and_clear_lists_clear_values(tmp_path):
    one = item(tmp_path, "a", 10000, {"raster:scale": 2e-5})
    one["assets"]["qa"] = {"href": "./qa.tif"}
    catalogue(tmp_path, one)
    layer = flat(21824)
    layer[0, 0] = 21824 | landsat_c2l2.SNOW
    layer[0, 1] = 21824 | landsat_c2l2.CLOUD
    write_raster(tmp_path / "qa.tif", layer)
    clear = lambda **more: opened(tmp_path, quality="qa", like="landsat_c2l2", **more)  # noqa: E731
    rows = lambda s: s.read(s.grid, s.grid.window)[1][0, :3, 0].tolist()  # noqa: E731
    assert rows(clear()) == [False, False, True]
    assert rows(clear(clear=(21824, 21824 | landsat_c2l2.SNOW))) == [True, False, True]


def test_check_lists_what_sources_report(tmp_path, fields):
    declared(tmp_path / "a.tif", 1e-4, 0.0)
    (tmp_path / "r.toml").write_text(
        '[grid]\nlike = "a"\n[sources.a]\nsensor = "image"\npath = "a.tif"\nscale = 0.001\n[reference]\npath = "fields.gpkg"\n'
        'label = "crop"\n[legend]\nclasses = [{ code = 1, name = "a" }, { code = 2, name = "b" }]\n[model]\nname = "random_forest"\n'
    )
    assert any("declares scale 0.0001" in str(finding.what) for finding in check(tmp_path / "r.toml").findings)


def test_a_folder_of_many_links_is_walked_once(tmp_path):
    write_raster(tmp_path / "a/x.tif", flat(1))
    for name in "bcd":
        (tmp_path / name).symlink_to(tmp_path / "a", target_is_directory=True)
    assert list(look(tmp_path).images) == ["x"]
    heard = Heard(QUIET, "x")
    assert len(image.find(image.Settings(tmp_path / "{tile}/x.tif"), heard)) == 4, "a pattern takes what matches"


# --- dates as others write them
@pytest.mark.parametrize(
    "names",
    [
        ("03.01.2022", "12.04.2022", "20.07.2022"),
        ("03-01-2022", "12-04-2022", "20-07-2022"),
        ("03Jan2022", "12Apr2022", "20Jul2022"),
        ("3 janvier 2022", "12 avril 2022", "20 juillet 2022"),
        ("2022_01_03", "2022_04_12", "2022_07_20"),
        ("A2022003", "A2022102", "A2022201"),
    ],
)
def test_init_reads_dates_in_the_forms_of_file_names(tmp_path, read, names):
    for k, name in enumerate(names):
        write_raster(tmp_path / f"img/S2_{name}_B04.tif", flat(1000 + k))
        write_raster(tmp_path / f"img/S2_{name}_B08.tif", flat(2000 + k))
    source = read(tmp_path / "img")["s2"]
    assert source.bands == ("red", "nir")
    assert [f"{t:%Y%m%d}" for t in source.times] == list(DAYS)
    assert [date[0] for date in first(source)] == pytest.approx([0.1, 0.1001, 0.1002])


def test_coordinates_in_the_name_of_a_tile_are_no_date(tmp_path):
    for tile in ("0605-6275", "0605-6280", "1235-6275"):
        write_raster(tmp_path / f"31-2022-{tile}-LA93-0M20-E080.tif", flat(100, 3, dtype=np.uint8))
    found = look(tmp_path)
    assert len(found.images) == 3
    assert not found.skipped


def test_a_single_image_whose_name_has_no_date_after_all_is_an_image(tmp_path):
    write_raster(tmp_path / "ortho_20221939.tif", flat(100, 3))
    found = look(tmp_path)
    assert list(found.images) == ["ortho_20221939"]
    assert not found.skipped
    assert "used as an image without a date: '20221939' is not a date" in found.remarks[0]


def test_init_reads_months(tmp_path, read):
    for k, month in enumerate(("2022_01", "2022_02")):
        write_raster(tmp_path / f"img/s2_{month}_red.tif", flat(1000 + k))
    assert [f"{t:%Y%m%d}" for t in read(tmp_path / "img")["s2"].times] == ["20220115", "20220215"]


def test_init_does_not_guess_the_order_of_day_and_month(tmp_path):
    for day in ("03.01.2022", "04.02.2022"):
        write_raster(tmp_path / f"S2_{day}_B04.tif", flat(1000))
    found = look(tmp_path)
    assert not found.series
    assert not found.images
    assert any("may have the day or the month first" in line for line in found.skipped)


def test_init_names_bands_after_other_words(tmp_path):
    for day in DAYS:
        for band in ("swir16", "swir1", "red"):
            write_raster(tmp_path / f"été/image {day} {band}.tif", flat(1000))
    (one,) = [s for s in look(tmp_path).series.values() if "red" in s.variables]
    assert "swir16" in one.variables


# --- quality layers
CODES = np.repeat(np.array([[0] * 4 + [1] * 4], np.uint16), 8, axis=0)


@pytest.mark.parametrize("name", ["cloudmask", "QA60"])
def test_a_quality_layer_within_the_files_per_date_masks(tmp_path, read, name):
    for day in DAYS:
        pixels = np.stack([flat(1000)[0], flat(2000)[0], CODES * 1024 if name == "QA60" else CODES])
        write_raster(tmp_path / f"img/s2_{day}.tif", pixels, descriptions=["red", "nir", name])
    source = read(tmp_path / "img")["s2"]
    assert source.bands == ("red", "nir")
    valid = source.read(source.grid, source.grid.window)[1]
    assert valid[:, 0, 0].all()
    assert not valid[:, 0, 7].any()


@pytest.mark.parametrize("name", ["valid", "QC", "qual", "etat"])
def test_a_layer_of_codes_is_never_a_band(tmp_path, name):
    for day in DAYS:
        for band in ("red", "nir"):
            write_raster(tmp_path / f"s2_{day}_{band}.tif", flat(1000))
        write_raster(tmp_path / f"s2_{day}_{name}.tif", CODES[None].astype(np.uint8))
    (one,) = look(tmp_path).series.values()
    assert set(one.variables) == {"red", "nir"}
    assert name in one.quality


def test_a_usual_nodata_value_of_bands_of_any_name_is_proposed(tmp_path, fields):
    for day in DAYS:
        pixels = np.linspace(0, 0.9, 64, dtype=np.float32).reshape(1, 8, 8)
        pixels[:, 0] = -9999
        write_raster(tmp_path / f"img/NDVI_{day}.tif", pixels)
    write_recipe(tmp_path / "img", fields, "crop", tmp_path / "r.toml")
    assert "nodata = -9999" in (tmp_path / "r.toml").read_text()


@pytest.mark.parametrize("others", [("x_20180131.tif",), ("x_31Jan2018.tif",), ("x_2018031.tif",)])
def test_two_texts_of_one_date_are_refused(tmp_path, others):
    for name in ("x_2018-01-31.tif", *others):
        write_raster(tmp_path / name, np.ones((1, 4, 4), np.uint16))
    with pytest.raises(SourceError, match="have the same date"):
        series.find(series.Settings({"x": tmp_path / "x_{date}.tif"}))


def test_init_joins_files_with_times(tmp_path):
    for name in ("ndvi_2018-01-31T10-20-30.tif", "ndvi_2018-02-28T10-21-00.tif"):
        write_raster(tmp_path / name, np.ones((1, 4, 4), np.uint16))
    (found,) = look(tmp_path).series.values()
    assert len(found.places) == 2
