"""Simulated products of every sensor with known truth: values, masks, and errors of damaged products."""

import re
import shutil
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import rasterio

from bocage.cli import main
from bocage.errors import BocageError, SourceError
from bocage.grid import Grid, Window
from bocage.recipe import read_recipe
from bocage.run import open_scene
from bocage.scene import make_scene
from bocage.simulate import Simulation
from bocage.simulate.formats import FORMATS
from bocage.simulate.formats.plain import write_raster as write_product
from bocage.sources import SENSORS, open_source, pleiades, sentinel1_grd, sentinel2_l2a, sentinel2_theia, spot67
from bocage.testing import Place, check_sensor, write_raster
from conftest import once


def cubes(folder: Path, vhr: bool):
    return open_scene(read_recipe(folder / ("multiresolcc.toml" if vhr else "gru.toml"))).cubes


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"landsat", "s1tiling"}))
def test_every_format_gives_the_plain_values(lands: dict[str, Path], name: str) -> None:
    vhr = FORMATS[name].SENSOR == "vhr"
    plain = cubes(lands["plain"], vhr)
    for source, cube in cubes(lands[name], vhr).items():
        expected = plain[source]
        assert cube.grid == expected.grid, "the tiles are merged into the whole grid"
        assert cube.bands == expected.bands
        assert vhr or np.array_equal(cube.source.days, expected.source.days)
        values, valid = cube.source.read(cube.grid, cube.grid.window)
        truth, clear = expected.source.read(expected.grid, expected.grid.window)
        assert np.array_equal(valid, clear)
        assert np.abs(values - truth).max() == 0


def test_s1tiling_gives_the_plain_decibels(lands: dict[str, Path]) -> None:
    path = lands["s1tiling"] / "random_forest.toml"
    cube = open_scene(read_recipe(path)).cubes["s1"]
    expected = open_scene(read_recipe(lands["plain"] / "random_forest.toml")).cubes["s1"]
    values, valid = cube.source.read(cube.grid, cube.grid.window)
    truth, clear = expected.source.read(expected.grid, expected.grid.window)
    assert np.array_equal(valid, clear)
    assert np.abs(values - truth).max() < 1e-4


def test_landsat_gives_means_of_the_plain_values(lands: dict[str, Path]) -> None:
    cube, expected = cubes(lands["landsat"], False)["s2"], cubes(lands["plain"], False)["s2"]
    assert cube.grid.resolution == 30
    values, valid = cube.source.read(cube.grid, cube.grid.window)
    truth, clear = expected.source.read(expected.grid, expected.grid.window)
    rows, columns = cube.grid.shape
    red = truth[:, 2, : rows * 3, : columns * 3].reshape(-1, rows, 3, columns, 3).mean((2, 4))
    whole = clear[:, : rows * 3, : columns * 3].reshape(-1, rows, 3, columns, 3).all((2, 4))
    assert np.array_equal(valid, whole)
    assert np.abs(values[:, cube.bands.index("red")] - red)[valid].max() < 2.8e-5


@pytest.fixture
def copied(lands: dict[str, Path], tmp_path: Path):
    """Return a function that copies some products of a format, so that a test can change them."""

    def copy(form: str, keep: str = "") -> Path:
        source = lands[form] / FORMATS[form].SENSOR
        for path in sorted(source.iterdir()):
            if re.search(keep, path.name):
                copy_one = shutil.copytree if path.is_dir() else shutil.copy
                (tmp_path / form).mkdir(exist_ok=True)
                copy_one(path, tmp_path / form / path.name)
        return tmp_path / form

    return copy


SETTINGS = {
    "landsat_c2l2": ("landsat", "", {}),
    "pleiades": ("pleiades", "", {"image": "ms"}),
    "sentinel1_grd": ("s1tiling", "", {}),
    "sentinel2_l2a": ("safe", "_20220[34]", {}),
    "sentinel2_theia": ("theia", "_20220[34]", {}),
    "spot67": ("spot67", "", {"image": "pan"}),
}


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_sensor_contract(copied, name: str) -> None:
    form, keep, more = SETTINGS[name]
    sensor = SENSORS.get(name)
    check_sensor(sensor, sensor.Settings(copied(form, keep), **more))


def product(folder: Path, pattern: str) -> Path:
    return next(iter(sorted(folder.rglob(pattern))))


@pytest.mark.parametrize(("form", "keep"), [("safe", "_202203"), ("theia", "_202203"), ("pleiades", "")])
def test_archives_are_read_in_place(copied, tmp_path: Path, form: str, keep: str) -> None:
    folder = copied(form, keep)
    name = {"safe": "sentinel2_l2a", "theia": "sentinel2_theia", "pleiades": "pleiades"}[form]
    sensor = SENSORS.get(name)
    plain = open_source("x", sensor, sensor.Settings(folder))
    (tmp_path / "zips").mkdir()
    for path in sorted(folder.iterdir()):
        with zipfile.ZipFile(tmp_path / "zips" / f"{path.stem}.zip", "w") as out:
            for file in sorted(path.rglob("*")):
                out.write(file, file.relative_to(folder))
    packed = open_source("x", sensor, sensor.Settings(tmp_path / "zips"))
    window = Window(3, 2, 9, 11)
    for a, b in zip(plain.read(plain.grid, window), packed.read(plain.grid, window), strict=True):
        assert np.array_equal(a, b)
    assert all(path.endswith(".zip") for path in packed.fingerprints())


def test_two_baselines_form_one_series(copied) -> None:
    source = open_source("s2", sentinel2_l2a, sentinel2_l2a.Settings(copied("safe", "_20220(113|202|123)T")))
    assert {a.details["baseline"] for a in source.acquisitions} == {"03.01", "04.00"}
    offsets = {a.details["baseline"]: a.files["red"].decoding.offset for a in source.acquisitions}
    assert offsets == {"03.01": 0.0, "04.00": -0.1}


def test_a_missing_offset_is_refused(copied) -> None:
    folder = copied("safe", "_20220403T")
    for path in folder.rglob("MTD_MSIL2A.xml"):
        path.write_text(re.sub(r"<BOA_ADD_OFFSET_VALUES_LIST>.*?</BOA_ADD_OFFSET_VALUES_LIST>", "", path.read_text()))
    with pytest.raises(SourceError, match=r"baseline 04.00.*BOA_ADD_OFFSET\. Download"):
        sentinel2_l2a.find(sentinel2_l2a.Settings(folder))


def test_of_duplicates_the_newest_processing_is_used_and_its_gaps_are_filled_from_the_other(copied) -> None:
    folder = copied("safe", r"_20220403T.*T40KCB")
    old = next(folder.iterdir())
    new = folder / old.name.replace("N0400", "N0510")
    shutil.copytree(old, new)
    for path in new.rglob("*_B04_10m.jp2"):
        with rasterio.open(path) as d:
            pixels, grid = d.read(), Grid.of(d.crs, d.transform, d.shape)
        pixels[:, :4] = 0
        write_product(path, np.where(pixels > 0, pixels + 500, 0).astype(np.uint16), grid)
    alone = open_source("s2", sentinel2_l2a, sentinel2_l2a.Settings(old, clear=(3, 4, 9)))
    both = open_source("s2", sentinel2_l2a, sentinel2_l2a.Settings(folder, clear=(3, 4, 9)))
    assert len(both.times) == 1
    assert len(both.acquisitions) == 2
    a, clear = alone.read(alone.grid, alone.grid.window)
    b, valid = both.read(alone.grid, alone.grid.window)
    assert clear.all()
    assert valid.all()
    red = both.bands.index("red")
    assert np.allclose(b[0, red, 4:], a[0, red, 4:] + 0.05, atol=1e-6), "the most recent processing is preferred"
    assert np.allclose(b[0, :, :4], a[0, :, :4], atol=1e-6), (
        "where it has nodata, all bands come from the other product"
    )


def test_the_theia_product_that_was_produced_last_wins_whatever_its_name(copied) -> None:
    folder = copied("theia", r"_20220403-.*T40KCB")
    old = next(folder.iterdir())
    new = old.with_name(old.name.replace("SENTINEL2", "A_SENTINEL2"))
    shutil.copytree(old, new)
    _edit(new, r"<PRODUCTION_DATE>2022", "<PRODUCTION_DATE>2024", "*_MTD_ALL.xml")
    _edit(new, r"(<REFLECTANCE_QUANTIFICATION_VALUE>)\d+", r"\g<1>5000", "*_MTD_ALL.xml")
    read = lambda path: open_source("s2", sentinel2_theia, sentinel2_theia.Settings(path, bands=("red",)))  # noqa: E731
    both, alone = read(folder), read(old)
    values, valid = both.read(alone.grid, alone.grid.window)
    expected, clear = alone.read(alone.grid, alone.grid.window)
    assert len(both.times) == 1
    assert np.array_equal(valid, clear)
    assert clear.any()
    assert np.allclose(values, 2 * expected)
    assert [note.code for note in both.notes] == ["several_versions"]


def test_a_mosaic_across_utm_zones_is_warped_once(tmp_path: Path) -> None:
    for tile, crs, corner in (
        ("40KCB", "EPSG:32740", (800000.0, 7660000.0)),
        ("41KKR", "EPSG:32741", (178000.0, 7660000.0)),
    ):
        ramp = np.full((1, 60, 90), {"40KCB": 0.1, "41KKR": 0.4}[tile], np.float32)
        for pol in ("vv", "vh"):
            path = tmp_path / f"s1a_{tile}_{pol}_ASC_044_20220105t014522.tif"
            write_raster(path, ramp, Place(corner=corner, crs=crs), nodata=0)
    source = open_source("s1", sentinel1_grd, sentinel1_grd.Settings(tmp_path))
    assert len(source.times) == 1
    grid = source.grid
    assert grid.crs_name == "EPSG:32740"
    assert grid.shape[1] > 90, "the union of both tiles"
    scene = make_scene(grid, [source], {})
    assert any(note.code == "warped" for note in scene.notes)
    block = scene.cubes["s1"].read(grid.window)
    assert set(np.round(block.values[0, 0][block.valid[0]], 3)) == {-10.0, np.round(np.float32(10 * np.log10(0.4)), 3)}
    part = Window(10, 70, 20, 50)
    assert np.array_equal(scene.cubes["s1"].read(part).values, block.values[(..., *part.within(grid.window))])


def test_acquisitions_outside_the_map_are_excluded_and_counted(lands: dict[str, Path]) -> None:
    source = open_source("s2", sentinel2_theia, sentinel2_theia.Settings(lands["theia"] / "s2", bands=("red",)))
    west = source.grid.crop(Window(0, 0, 8, 6))
    scene = make_scene(west, [source], {})
    assert len(scene.cubes["s2"].source.acquisitions) == 13
    assert any((note.code, note.value("n"), note.value("total")) == ("outside_map", 13, 26) for note in scene.notes)


def test_several_orbits_are_refused_by_default(tmp_path: Path) -> None:
    for direction, orbit, day in (("ASC", "044", "05"), ("DES", "151", "05"), ("ASC", "044", "17")):
        for pol in ("vv", "vh"):
            name = f"s1a_40KCB_{pol}_{direction}_{orbit}_202201{day}t014522.tif"
            write_raster(tmp_path / name, np.full((1, 6, 7), 0.1, np.float32), nodata=0)
    with pytest.raises(SourceError, match=r"ASC 044 \(2 images\), DES 151 \(1 images\).*mix_orbits"):
        sentinel1_grd.find(sentinel1_grd.Settings(tmp_path))
    assert len(sentinel1_grd.find(sentinel1_grd.Settings(tmp_path, relative_orbit=44))) == 2
    assert len(sentinel1_grd.find(sentinel1_grd.Settings(tmp_path, orbit="descending"))) == 1
    mixed = open_source("s1", sentinel1_grd, sentinel1_grd.Settings(tmp_path, mix_orbits=True))
    assert len(mixed.times) == 3, "two orbits on the same day are two dates"


def test_backscatter_in_db_and_below_the_noise(tmp_path: Path) -> None:
    pixels = np.array([[[0.01, 0.0, -0.002, 1e-9, 2.0]]], np.float32)
    for pol in ("VV", "VH"):
        write_raster(tmp_path / f"S1A_IW_20220103T013000_DVP_RTC20_G_gpuned_1A2B_{pol}.tif", pixels, nodata=0)
    source = open_source("s1", sentinel1_grd, sentinel1_grd.Settings(tmp_path, floor=-35))
    values, valid = source.read(source.grid, source.grid.window)
    assert valid[0, 0].tolist() == [True, False, True, True, True]
    assert np.allclose(values[0, 0, 0], [-20, 0, -35, -35, 10 * np.log10(2)], atol=1e-5)


def test_a_missing_polarisation_is_reported(tmp_path: Path) -> None:
    write_raster(tmp_path / "s1a_40KCB_vv_ASC_044_20220105t014522.tif", np.ones((1, 4, 4), np.float32))
    with pytest.raises(SourceError, match=r"has no VH.*bands = \['vv'\]"):
        sentinel1_grd.find(sentinel1_grd.Settings(tmp_path))
    assert len(sentinel1_grd.find(sentinel1_grd.Settings(tmp_path, bands=("vv",)))) == 1


def _edit(folder: Path, old: str, new: str, name: str = "*.XML") -> None:
    for path in folder.rglob(name):
        text = path.read_text()
        assert re.search(old, text), (path, old)
        path.write_text(re.sub(old, new, text))


def test_spot_radiometry(copied) -> None:
    folder = copied("spot67")
    settings = partial(spot67.Settings, folder, image="ms", bands=("red",))
    reflectance = spot67.find(settings())[0].files["red"].decoding
    assert (reflectance.scale, reflectance.offset) == (1 / 10000, 0)
    radiance = spot67.find(settings(radiometry="radiance"))[0].files["red"].decoding
    assert radiance.scale == 1 / 10
    _edit(folder, "REFLECTANCE</RADIOMETRIC", "BASIC</RADIOMETRIC")
    top = spot67.find(settings())[0].files["red"].decoding
    sun, day = np.radians(90 - 52.4), 98
    distance = 1 - 0.01672 * np.cos(np.radians(0.9856 * (day - 4)))
    assert top.scale == pytest.approx(np.pi * distance**2 / (1540 * np.cos(sun)) / 10)
    _edit(folder, "BASIC</RADIOMETRIC", "LINEAR_STRETCH</RADIOMETRIC")
    with pytest.raises(SourceError, match="stretched for display"):
        spot67.find(settings())
    assert spot67.find(settings(radiometry="stored"))[0].files["red"].decoding.scale == 1


def test_spot_clouds_and_saturation_are_masked(copied) -> None:
    folder = copied("spot67")
    clear = open_source("ms", spot67, spot67.Settings(folder, image="ms"))
    west, south, east, north = clear.grid.bounds
    ring = f"{west + 12} {north - 12} {west + 60} {north - 12} {west + 60} {north - 36} {west + 12} {north - 36} {west + 12} {north - 12}"
    polygon = (
        '<eop:maskMembers xmlns:gml="http://www.opengis.net/gml/3.2"><gml:Polygon srsName="urn:ogc:def:crs:EPSG::32740"><gml:exterior>'
        f"<gml:LinearRing><gml:posList>{ring}</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon></eop:maskMembers></eop:Mask>"
    )
    _edit(folder, "</eop:Mask>", polygon, "CLD_*MS*.GML")
    cloudy = open_source("ms", spot67, spot67.Settings(folder, image="ms"))
    (valid,), (before,) = cloudy.read(cloudy.grid, cloudy.grid.window)[1], clear.read(clear.grid, clear.grid.window)[1]
    assert before.all()
    assert not valid[2:6, 2:10].any()
    assert valid[7:, :].all()
    assert valid[:, 11:].all()
    values, _ = clear.read(clear.grid, clear.grid.window)
    value = round(float(values[0, 0, 20, 20]) * 10000)
    _edit(folder, "<SPECIAL_VALUE_COUNT>65535", f"<SPECIAL_VALUE_COUNT>{value}")
    hidden = open_source("ms", spot67, spot67.Settings(folder, image="ms", saturated=False, clouds=False))
    assert not hidden.read(hidden.grid, hidden.grid.window)[1][0, 20, 20]


def test_tiff_tiles_are_read_like_jp2(copied) -> None:
    folder = copied("pleiades")
    before = open_source("pan", pleiades, pleiades.Settings(folder, image="pan"))
    expected = before.read(before.grid, before.grid.window)
    for path in folder.rglob("*.JP2"):
        with rasterio.open(path) as d:
            write_raster(path.with_suffix(".TIF"), d.read(), Place(d.res[0], (d.bounds.left, d.bounds.top)))
        path.unlink()
    _edit(folder, r"\.JP2", ".TIF")
    after = open_source("pan", pleiades, pleiades.Settings(folder, image="pan"))
    for a, b in zip(expected, after.read(before.grid, before.grid.window), strict=True):
        assert np.array_equal(a, b)


def test_gdal_reads_the_simulated_dimap_as_dimap(lands: dict[str, Path]) -> None:
    for path in (lands["spot67"] / "vhr").rglob("DIM_*.XML"):
        with rasterio.open(path) as dataset:
            assert dataset.driver == "DIMAP"
            assert dataset.count == (1 if "_P_" in path.name else 4)
            assert dataset.tags(1)["RADIANCE_GAIN"] == "10.0"


# --- damaged input: the message names the file, the problem and the solution
def _truncate(folder: Path) -> None:
    path = product(folder, "*_B04_10m.jp2")
    path.write_bytes(path.read_bytes()[:-40])


def _drop_band(folder: Path) -> None:
    product(folder, "*_B11_20m.jp2").unlink()


def _drop_scl(folder: Path) -> None:
    product(folder, "*_SCL_20m.jp2").unlink()


def _entities(folder: Path) -> None:
    path = product(folder, "MTD_MSIL2A.xml")
    text = path.read_text().split("\n", 1)[1]
    path.write_text('<?xml version="1.0"?>\n<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>\n' + text)


def _cut_xml(folder: Path) -> None:
    path = product(folder, "MTD_MSIL2A.xml")
    path.write_text(path.read_text()[:400])


def _other_size(folder: Path) -> None:
    path = product(folder, "*_B08_10m.jp2")
    with rasterio.open(path) as d:
        pixels, grid = d.read()[:, :-2], Grid.of(d.crs, d.transform, (d.height - 2, d.width))
    write_product(path, pixels, grid)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_truncate, r"B04_10m\.jp2 cannot be read: it is truncated.*download it again"),
        (_drop_band, r"\.SAFE has no file for band B11 \(swir16\).*download"),
        (_drop_scl, r"\.SAFE has no file for the scene classification \(SCL\).*download"),
        (_entities, r"MTD_MSIL2A\.xml declares XML entities.*refused"),
        (_cut_xml, r"MTD_MSIL2A\.xml is not complete XML.*download"),
        (_other_size, r"B08_10m\.jp2 has 18 x .* pixels, but MTD_MSIL2A\.xml gives 20 x .*Download it again"),
    ],
)  # fmt: skip
def test_damaged_products_are_refused_or_skipped(copied, spoil, message: str) -> None:
    folder = copied("safe", "_202204[01]3T.*T40KCB")
    spoil(folder)
    with pytest.raises(SourceError, match=f"(?i){message}"):
        sentinel2_l2a.find(sentinel2_l2a.Settings(folder))
    source = open_source("s2", sentinel2_l2a, sentinel2_l2a.Settings(folder, on_error="skip"))
    assert len(source.times) == 1
    assert any("1 of 2 products left out" in str(note) for note in source.notes)


def test_a_missing_theia_mask_is_reported(copied) -> None:
    folder = copied("theia", "_20220403-.*T40KCB")
    product(folder, "*_SAT_R2.tif").unlink()
    with pytest.raises(SourceError, match=r"V3-0 has no file for the mask SAT at R2"):
        sentinel2_theia.find(sentinel2_theia.Settings(folder))
    assert sentinel2_theia.find(sentinel2_theia.Settings(folder, saturated=True))


def test_the_bits_of_theia_masks_are_masked(copied) -> None:
    folder = copied("theia", "_20220403-.*T40KCB")
    marks = {"CLM_R1": (0, 1), "MG2_R1": (1, 4), "EDG_R2": (1, 1), "SAT_R1": (3, 1 << 2), "SAT_R2": (2, 1 << 3)}
    for name, (row, value) in marks.items():
        path = product(folder, f"*_{name}.tif")
        with rasterio.open(path, "r+") as d:
            mask = np.zeros(d.shape, np.uint8)
            mask[row] = value
            d.write(mask, 1)
    for path in folder.rglob("*_MG2_R1.tif"):  # water and cloud bits of MG2 are not masked: clouds come from CLM
        with rasterio.open(path, "r+") as d:
            mask = d.read(1)
            mask[9] = 1 | 2
            d.write(mask, 1)
    source = open_source("s2", sentinel2_theia, sentinel2_theia.Settings(folder))
    (valid,) = source.read(source.grid, source.grid.window)[1]
    masked = [not valid[r].any() for r in range(12)]
    assert masked == [r in (0, 1, 2, 3, 4, 5) for r in range(12)]
    few = open_source("s2", sentinel2_theia, sentinel2_theia.Settings(folder, bands=("blue", "swir16")))
    (valid,) = few.read(few.grid, few.grid.window)[1]
    assert valid[4].any(), "row 4 is saturated in a band that is not read"


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(SourceError, match=r"empty\.zip is an empty archive"):
        sentinel2_l2a.find(sentinel2_l2a.Settings(tmp_path))
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as out:
        out.writestr("a.SAFE/../../MTD_MSIL2A.xml", "<x/>")
    with pytest.raises(SourceError, match=r"member called 'a\.SAFE/\.\./\.\./MTD_MSIL2A\.xml', which points outside"):
        sentinel2_l2a.find(sentinel2_l2a.Settings(tmp_path))
    (tmp_path / "empty.zip").write_bytes(b"PK\x03\x04 half a download")
    with pytest.raises(SourceError, match=r"not a complete zip archive.*Download it again"):
        sentinel2_l2a.find(sentinel2_l2a.Settings(tmp_path))


def test_a_damaged_member_of_an_archive_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("a.SAFE/MTD_MSIL2A.xml", "<x>" + "text " * 400 + "</x>")
    content = bytearray(path.read_bytes())
    content[60:64] = b"\0\xff\0\xff"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.zip: a\.SAFE/MTD_MSIL2A\.xml is damaged .*Download the archive again"):
        sentinel2_l2a.find(sentinel2_l2a.Settings(tmp_path))


def test_an_empty_folder_and_an_unknown_band_are_reported(tmp_path: Path, lands: dict[str, Path]) -> None:
    with pytest.raises(SourceError, match="has no Sentinel-2 L2A SAFE product"):
        sentinel2_l2a.find(sentinel2_l2a.Settings(tmp_path))
    with pytest.raises(SourceError, match=r"no band 'redd'. Did you mean 'red'"):
        sentinel2_l2a.find(sentinel2_l2a.Settings(lands["safe"] / "s2", bands=("redd",)))
    with pytest.raises(SourceError, match="'pan' is not in the ms image"):
        spot67.find(spot67.Settings(lands["spot67"] / "vhr", image="ms", bands=("pan",)))


def test_one_format_for_each_sensor() -> None:
    with pytest.raises(BocageError, match="at most one format per sensor"):
        Simulation(formats=("safe", "theia"))
    with pytest.raises(BocageError, match="needs the sensor vhr, which is not simulated"):
        Simulation(formats=("spot67",), sensors=("s2",))


def forest(land: Path, sensor: str, out: Path) -> None:
    """Map a landscape with a small forest."""
    text = (land / ("multiresolcc.toml" if sensor == "vhr" else "random_forest.toml")).read_text()
    text = re.sub(r"\[model\]\n.*?\n\n", '[model]\nname = "random_forest"\ntrees = 30\n\n', text, flags=re.DOTALL)
    text = re.sub(r"draws = \d+", 'draws = 1\nrare = "drop"\nseed = 1', text)
    text = re.sub(r"\[training\]\n(\w+ = .*\n)+", "[training]\n", text)
    text = text.replace("[evaluation]\n", "[evaluation]\nimportance = 0\n")
    path = land / f"same-{sensor}.toml"
    path.write_text(text)
    assert main(["run", str(path), "--out", str(out)]) == 0


@pytest.mark.parametrize("formats", [("safe", "s1tiling"), ("theia",), ("stac",), ("spot67",), ("pleiades",)])
def test_every_format_gives_the_same_map(
    lands: dict[str, Path], shared: Path, tmp_path: Path, formats: tuple[str, ...]
) -> None:
    """The forest of one draw, trained and mapped from each delivery of one landscape."""
    sensor = FORMATS[formats[0]].SENSOR
    once(shared / f"mapped-{sensor}", lambda folder: forest(lands["plain"], sensor, folder))
    forest(lands[formats[0]], sensor, tmp_path / "out")
    maps = []
    for out in (shared / f"mapped-{sensor}", tmp_path / "out"):
        with rasterio.open(out / "map/classes.tif") as dataset:
            maps.append(dataset.read(1))
    assert maps[0].shape == maps[1].shape
    assert len(np.unique(maps[0])) > 2
    assert (maps[0] == maps[1]).mean() >= 0.999


@pytest.mark.parametrize(
    ("form", "sources"),
    [("safe", {"s2", "pan", "ms", "s1"}), ("theia", {"s2_theia", "pan", "ms", "s1"}), ("landsat", {"landsat"})],
)
def test_init_recognises_products(lands: dict[str, Path], tmp_path: Path, form: str, sources: set[str]) -> None:
    from bocage.jobs.init import write_recipe

    out, land = tmp_path / "recipe.toml", tmp_path / "land"
    spring = shutil.ignore_patterns(*(f"*_2022{month:02d}[0-3]*" for month in range(1, 13) if month not in (3, 4)))
    shutil.copytree(lands[form], land, ignore=spring)
    write_recipe(land, land / "reference.gpkg", "code", out)
    recipe = read_recipe(out)
    assert sources <= set(recipe.sources)
    if form == "safe":
        assert set(recipe.sources) == sources, "files inside products are not listed a second time"
        assert recipe.grid.like == "s2", "the grid of the finest series"
        assert recipe.choice.name == "patchwork"
    assert open_scene(recipe).cubes
