"""Names that other programs give to images: a folder per band, forms of dates, bands, masks; what ``bocage init`` makes of them."""

from datetime import datetime

import geopandas
import numpy as np
import pytest
import shapely

from bocage.jobs.check import check
from bocage.jobs.init import write_recipe
from bocage.recipe import read_recipe
from bocage.recipe.sections import candidates_of
from bocage.sources import SENSORS, open_source
from bocage.sources.inventory import look
from bocage.sources.values import Codes, clear_of, unit_of
from bocage.testing import Place, write_raster
from bocage.testing.fakes import CORNER

DAYS = ("20220103", "20220412", "20220720")
SIZE = 40


CHANCE = np.random.default_rng(1)


def pixels(bands=1, low=300, high=4000, dtype=np.uint16, size=SIZE):
    return CHANCE.uniform(low, high, (bands, size, size)).astype(dtype)


def codes(size=SIZE):
    return np.random.default_rng(2).choice(np.array([4, 5, 9], np.uint8), (1, size, size))


def the_only(found):
    """Return the only source: a series."""
    assert not found.images
    (series,) = found.series.values()
    return series


@pytest.fixture
def proposed(tmp_path):
    """Return a function that writes a recipe for a folder, checks it, and returns its sources and the messages."""
    west, north = CORNER
    boxes = [shapely.box(west + k, north - 30, west + k + 20, north - 10) for k in range(0, 360, 30)]
    path = tmp_path / "fields.gpkg"
    geopandas.GeoDataFrame({"crop": ["a", "b", "c"] * 4}, geometry=boxes, crs="EPSG:32740").to_file(path)

    def write(folder):
        lines = write_recipe(folder, path, "crop", tmp_path / "mine.toml")
        assert not check(tmp_path / "mine.toml").has_errors
        recipe = read_recipe(tmp_path / "mine.toml")
        return {n: open_source(n, SENSORS.get(c.sensor), c.settings) for n, c in recipe.sources.items()}, lines

    return write


# --- a folder per band
@pytest.mark.parametrize(
    ("folders", "name"),
    [
        (("B04", "B08", "SCL"), "{day}"),
        (("band_red", "band_nir", "cloudmask"), "img_{day}"),
        (("red/10m", "nir/10m", "scl/10m"), "{day}_{folder}"),
        (("R4/B04", "R4/B08", "R4/SCL"), "S2_{day}_{size}m"),
    ],
)
def test_a_folder_per_band_is_one_series_with_its_mask(tmp_path, folders, name):
    for folder, layer in zip(folders, (pixels(), pixels(), codes(SIZE // 2)), strict=True):
        gsd = 20 if layer.dtype == np.uint8 else 10
        for day in DAYS:
            stem = name.format(day=day, folder=folder.split("/")[0], size=gsd)
            write_raster(tmp_path / f"images/{folder}/{stem}.tif", layer, Place(gsd))
    series = the_only(look(tmp_path / "images"))
    assert set(series.variables) == {"red", "nir"}
    assert folders[2] in series.quality
    assert len(series.places) == 3


def test_folders_of_years_sites_and_sensors_are_no_bands(tmp_path):
    for year in ("2021", "2022"):
        write_raster(tmp_path / f"years/{year}/NDVI_{year}0103.tif", pixels())
    for k, site in enumerate(("north", "south")):
        for day in DAYS:
            place = Place(corner=(CORNER[0] + 5000 * k, CORNER[1]))
            write_raster(tmp_path / f"sites/{site}/{day}.tif", pixels(), place)
            write_raster(tmp_path / f"sensors/{('pan', 'ms')[k]}/{day}.tif", pixels(1 + 3 * k))
    assert [set(s.variables) for s in look(tmp_path / "years").series.values()] == [{"ndvi"}] * 2
    assert list(look(tmp_path / "sites").series) == ["north", "south"]
    assert list(look(tmp_path / "sensors").series) == ["ms", "pan"]


def test_a_mask_in_a_folder_beside_images_of_several_bands(tmp_path):
    for day in DAYS:
        write_raster(tmp_path / f"S2/{day}.tif", pixels(4), descriptions=["blue", "green", "red", "nir"])
        write_raster(tmp_path / f"SCL/{day}.tif", codes())
    series = the_only(look(tmp_path))
    assert series.bands == ("blue", "green", "red", "nir")
    assert series.quality.endswith("SCL/{date}.tif")


# --- dates
FORMS = {
    "HLS.S30.T40KCB.{y}{doy}T10552{k}.v2.0.{b}": ("2018-01-11", "2018-01-26", "2018-02-15"),
    "MOD13Q1.A{y}{doy}.h12v10.061.202114{k}1246{k}5_250m_{b}": ("2018-01-11", "2018-01-26", "2018-02-15"),
    "MOD09A1.A{y}{doy}.h12v10.006.201500{k}_{b}": ("2018-01-11", "2018-01-26", "2018-02-15"),
    "MOD13Q1.061__{b}_doy{y}{doy}_aid0001": ("2018-01-11", "2018-01-26", "2018-02-15"),
    "MOD13Q1.061__{b}_doy{y}{doy}000000_aid0001": ("2018-01-11", "2018-01-26", "2018-02-15"),
    "{y}/{m}/{d}/{b}": ("2018-01-11", "2018-01-26", "2018-02-15"),
    "{y}/{doy}/{b}": ("2018-01-11", "2018-01-26", "2018-02-15"),
    "S2_{y}_{doy}_{b}": ("2018-01-11", "2018-01-26", "2018-02-15"),
    "S2_18{m}{d}_{b}": ("2018-01-11", "2018-01-26", "2018-02-15"),
    "sentinel-2-l2a_{y}-{m}-{d}-105{k}_{b}": ("2018-01-11", "2018-01-26", "2018-02-15"),
    "S2_{y}{m}{d}T105{k}_{b}": ("2018-01-11", "2018-01-26", "2018-02-15"),
    "S2_{y}{m}{d}_105{k}_{b}": ("2018-01-11", "2018-01-26", "2018-02-15"),
    "composite_20180{k}_{b}": ("2018-01-15", "2018-02-15", "2018-03-15"),
    "{y}/0{k}/{b}": ("2018-01-15", "2018-02-15", "2018-03-15"),
}


@pytest.mark.parametrize("form", FORMS)
def test_dates_in_names_are_read_by_init_and_by_the_source(tmp_path, proposed, form):
    for k, (month, day, doy) in enumerate((("01", "11", "011"), ("01", "26", "026"), ("02", "15", "046")), 1):
        for band in ("B04", "B08"):
            name = form.format(y="2018", m=month, d=day, doy=doy, b=band, k=k)
            write_raster(tmp_path / f"images/{name}.tif", pixels())
    sources, _ = proposed(tmp_path / "images")
    (source,) = sources.values()
    assert source.bands == ("red", "nir")
    assert tuple(f"{time:%Y-%m-%d}" for time in source.times) == FORMS[form]


def test_equal_masks_of_other_dates_in_folders_are_no_copies(tmp_path):
    for day in ("11", "26"):
        write_raster(tmp_path / f"2018/01/{day}/B04.tif", pixels())
        write_raster(tmp_path / f"2018/01/{day}/SCL.tif", np.full((1, SIZE, SIZE), 4, np.uint8))
    found = look(tmp_path)
    assert not found.skipped
    assert len(the_only(found).places) == 2


@pytest.mark.parametrize(
    "numbers", [("180111", "180126", "180245"), ("000101", "000102", "000199"), ("180111", "180126")]
)
def test_six_digits_are_no_dates_unless_all_are_valid_and_there_are_three(tmp_path, numbers):
    for number in numbers:
        write_raster(tmp_path / f"S2_{number}.tif", pixels(4))
    found = look(tmp_path)
    assert not found.series
    assert any("differ only in numbers" in line for line in found.remarks) == (len(numbers) > 2)


def test_six_digits_that_are_months_or_days_are_not_guessed(tmp_path):
    for number in ("201001", "201002", "201003"):
        write_raster(tmp_path / f"S2_{number}.tif", pixels(4))
    found = look(tmp_path)
    assert not found.series
    assert any("3 images of one grid differ only in numbers" in line for line in found.remarks)


def test_dates_that_could_be_numbers_are_a_remark(tmp_path):
    for number in ("180111", "180126", "180215"):
        write_raster(tmp_path / f"S2_{number}.tif", pixels(4))
    assert any("'180215' is read as the date 2018-02-15" in line for line in look(tmp_path).remarks)


def test_bands_and_neighbouring_tiles_are_no_undated_images(tmp_path):
    for k in range(1, 5):
        write_raster(tmp_path / f"bands/lsat_B{k}.tif", pixels())
        place = Place(corner=(CORNER[0] + 5000 * k, CORNER[1]))
        write_raster(tmp_path / f"chips/chip_{k}.tif", pixels(4), place)
    assert not any("differ only in numbers" in line for line in look(tmp_path).remarks)


def test_bands_with_names_of_months_have_the_year_of_the_file(tmp_path, proposed):
    for band in ("B04", "B08"):
        write_raster(tmp_path / f"images/{band}_2018.tif", pixels(3), descriptions=("jan", "fev", "mar"))
    sources, _ = proposed(tmp_path / "images")
    (source,) = sources.values()
    assert [f"{time:%Y-%m}" for time in source.times] == ["2018-01", "2018-02", "2018-03"]
    write_raster(tmp_path / "other/stack.tif", pixels(3), descriptions=("jan", "feb", "mar"))
    assert any("its bands are months" in line for line in look(tmp_path / "other").remarks)


def test_the_bits_of_fmask_of_harmonized_landsat_sentinel2():
    clear = clear_of("HLS.S30.T31UDS.Fmask.tif", Codes({64: 0.5, 66: 0.4, 200: 0.1})).values
    assert {0, 32, 64, 96, 128, 160, 192, 224} <= set(clear)
    assert not any(value & 0b11110 for value in clear)
    assert clear_of("Fmask.tif", Codes({0: 0.5, 4: 0.4, 255: 0.1})).values == (0, 1)


def test_a_mask_without_a_date_beside_a_series_says_why_it_is_not_used(tmp_path):
    for day in DAYS:
        write_raster(tmp_path / f"S2_{day}.tif", pixels(4))
    write_raster(tmp_path / "mask.tif", codes())
    assert any("its name has no date" in line for line in look(tmp_path).remarks)


# --- masks
def test_a_probability_of_clouds_is_a_quality_layer_whose_threshold_the_user_chooses(tmp_path):
    for day in DAYS:
        write_raster(tmp_path / f"S2_{day}.tif", pixels(4))
        write_raster(tmp_path / f"CLDPRB_{day}.tif", pixels(1, 0, 101, np.uint8))
        write_raster(tmp_path / f"SNWPRB_{day}.tif", pixels(1, 0, 101, np.uint8))
    found = look(tmp_path)
    assert "CLDPRB" in the_only(found).quality
    assert any("probability of snow" in line for line in found.skipped)
    clear = clear_of("CLDPRB_{date}.tif", Codes({0: 0.5, 20: 0.3, 80: 0.2}))
    assert not clear.values
    assert "list the values below a threshold" in clear.why
    assert "[0, 1, 2," in clear.why


def test_a_scene_classification_is_preferred_to_a_probability(tmp_path):
    for day in DAYS:
        for layer, name in ((pixels(4), "S2"), (pixels(1, 0, 101, np.uint8), "CLDPRB"), (codes(), "SCL")):
            write_raster(tmp_path / f"{name}_{day}.tif", layer)
    found = look(tmp_path)
    assert "SCL" in the_only(found).quality
    assert any("CLDPRB" in line and "'SCL_{date}.tif' is the quality layer" in line for line in found.remarks)


def test_fractions_of_a_probability_of_clouds_are_no_imagery(tmp_path):
    for day in DAYS:
        write_raster(tmp_path / f"S2_{day}.tif", pixels(4))
        write_raster(tmp_path / f"cloud_prob_{day}.tif", pixels(1, 0, 1, np.float32))
    found = look(tmp_path)
    assert not the_only(found).quality
    assert any("store it in percent" in line for line in found.skipped)


@pytest.mark.parametrize(
    ("names", "used", "kept"),
    [
        (("red", "QA60", "SCL", "MSK_CLDPRB"), 3, ("red", "-", "-", "-")),
        (("red", "MSK_CLDPRB", "QA60"), 3, ("red", "-", "-")),
        (("red", "MSK_CLDPRB", "MSK_SNWPRB"), 2, ("red", "-", "-")),
        (("red", "MSK_SNWPRB"), 0, ("red", "-")),
        (("VV", "VH", "angle"), 0, ("vv", "vh", "-")),
    ],
)
def test_bands_of_exports_that_are_no_imagery(tmp_path, names, used, kept):
    for day in DAYS:
        write_raster(tmp_path / f"{day}.tif", pixels(len(names)), descriptions=names)
    found = look(tmp_path)
    series = the_only(found)
    assert (series.bands, series.quality_band, bool(series.quality)) == (kept, used, bool(used))
    assert found.remarks


# --- offset
@pytest.mark.parametrize(
    ("name", "year", "offset", "doubt"),
    [
        ("s2", 2023, -0.1, True),
        ("img T31UDS_20230111T105031_B04_10m.tif", 2023, -0.1, True),
        ("img {date}_T31UDS.tif B2 B3", 2023, -0.1, True),
        ("img T31UDS_{date}_SCL_20m.tif", 2023, -0.1, True),
        ("img x_MSIL2A_x.tif", 2023, -0.1, True),
        ("planet", 2023, 0, True),
        ("s2", 2018, 0, True),
        ("planet", 2018, 0, False),
    ],
)
def test_the_offset_of_sentinel2_is_proposed_or_a_doubt(name, year, offset, doubt):
    rng = np.random.default_rng(2)
    values = {band: rng.uniform(1010, 4500, 500).round() for band in ("blue", "red", "nir")}
    found = unit_of(values, "uint16", (datetime(year, 5, 1),), name)
    assert (found.offset, bool(found.doubt)) == (offset, doubt)
    dark = {band: rng.uniform(200, 4500, 500).round() for band in ("blue", "red", "nir")}
    assert not unit_of(dark, "uint16", (datetime(year, 5, 1),), name).doubt


@pytest.mark.parametrize("later", [True, False])
def test_a_series_with_the_offset_of_sentinel2_on_its_later_dates_is_a_doubt(tmp_path, proposed, later):
    """Products until 2021 have no offset; those since January 2022 have, unless the archive was harmonised."""
    for day in ("20210503", "20210612", "20220412", "20220720"):
        added = 1000 * (later and day > "2022")
        for band in ("B02", "B04", "B08"):
            write_raster(tmp_path / f"images/T40KCB_{day}_{band}_10m.tif", pixels(low=150) + np.uint16(added))
    _, lines = proposed(tmp_path / "images")
    assert any("no value since 2022-04-12 is below 1000" in line for line in lines) == later
    assert "\noffset =" not in (tmp_path / "mine.toml").read_text()


# --- orbits of Sentinel-1
def radar(folder, name, polarisations):
    values = np.linspace(0.01, 0.2, SIZE * SIZE, dtype=np.float32).reshape(1, SIZE, SIZE)
    for pol in polarisations:
        write_raster(folder / name.format(pol=pol), values, nodata=0)


@pytest.mark.parametrize("polarisations", [("vv", "vh"), ("vv",)])
def test_sentinel1_of_two_orbits_is_a_source_for_each(tmp_path, proposed, polarisations):
    for day in DAYS:
        radar(tmp_path / "images", f"s1a_40KCB_{{pol}}_ASC_044_{day}t013000.tif", polarisations)
        radar(tmp_path / "images", f"s1b_40KCB_{{pol}}_DES_110_{day[:-1]}9t013000.tif", polarisations)
    sources, lines = proposed(tmp_path / "images")
    assert set(sources) == {"s1_asc044", "s1_des110"}
    assert [(s.bands, len(s.times)) for s in sources.values()] == [(polarisations, 3)] * 2
    assert any("a source for each orbit (ASC 044, DES 110)" in line for line in lines)


def test_an_image_without_a_polarisation_of_the_others_is_named(tmp_path):
    for day, polarisations in zip(DAYS, (("vv", "vh"), ("vv",), ("vv", "vh")), strict=True):
        radar(tmp_path, f"s1a_40KCB_{{pol}}_ASC_044_{day}t013000.tif", polarisations)
    found = look(tmp_path)
    assert not candidates_of(found, tmp_path, tmp_path / "mine.toml")
    assert any("of 20220412" in line and "has no VH" in line for line in found.remarks)


# --- names of bands
@pytest.mark.parametrize(
    ("descriptions", "bands"),
    [
        (("B02", "B03", "B04", "B08"), ("blue", "green", "red", "nir")),
        (("S2_B02", "S2_B04", "S2_B8A"), ("blue", "red", "nir08")),
        (("B2", "B4", "B8", "B8A"), ("blue", "red", "nir", "nir08")),
        (("B2", "B4", "B8", "SCL"), ("blue", "red", "nir", "-")),
        (("B04", "B08", "NDVI"), ("red", "nir", "ndvi")),
        (("B2", "B4", "B5"), ("b2", "b4", "b5")),
        (("B01", "B02", "B33"), ("b01", "b02", "b33")),
        (("sur_refl_b01", "sur_refl_b02"), ("sur_refl_b01", "sur_refl_b02")),
    ],
)
def test_band_numbers_are_sentinel2_only_if_certain(tmp_path, proposed, descriptions, bands):
    for day in DAYS:
        layers = pixels(len(descriptions))
        if "SCL" in descriptions:
            layers[-1] = codes()[0]
        write_raster(tmp_path / f"images/img_{day}.tif", layers, descriptions=descriptions)
    sources, lines = proposed(tmp_path / "images")
    (source,) = sources.values()
    assert source.bands == tuple(name for name in bands if name != "-")
    assert any("their unit is not proposed" in line for line in lines) == ("red" not in bands)
    indices = 'indices = ["ndvi"]' in (tmp_path / "mine.toml").read_text()
    assert indices == ("nir" in bands and "ndvi" not in bands)


def test_the_bands_of_harmonized_landsat_are_those_of_landsat(tmp_path):
    for k, day in enumerate(("2018011", "2018027", "2018043")):
        for band in ("B04", "B05", "B06"):
            write_raster(tmp_path / f"HLS.L30.T40KCB.{day}T06300{k}.v2.0.{band}.tif", pixels())
    assert set(the_only(look(tmp_path)).variables) == {"red", "nir", "swir16"}


@pytest.mark.parametrize(
    ("stem", "bands"),
    [
        ("landsat8_{day}_{band}", {"B04": "red", "B05": "nir", "B08": "pan"}),
        ("LC09_199030_{day}_{band}", {"B04": "red", "B05": "nir", "B06": "swir16"}),
        ("LT05_199030_{day}_{band}", {"B03": "red", "B04": "nir", "B05": "swir16"}),
        ("S2B_T31UDS_{day}_{band}", {"B04": "red", "B05": "rededge1", "B08": "nir"}),
    ],
)
def test_the_bands_of_landsat_have_its_own_numbers(tmp_path, stem, bands):
    """Services write numbers of two digits for Landsat too: its panchromatic band B08 is not the near infrared."""
    for day in DAYS:
        for band in bands:
            write_raster(tmp_path / f"{stem.format(day=day, band=band)}.tif", pixels())
    assert set(the_only(look(tmp_path)).variables) == set(bands.values())


def test_the_files_of_two_landsat_satellites_are_one_series_with_the_bands_of_both(tmp_path):
    for unit, day in zip(("08", "09", "08"), DAYS, strict=True):
        for band in ("B04", "B05"):
            write_raster(tmp_path / f"LC{unit}_199030_{day}_{band}.tif", pixels())
    assert set(the_only(look(tmp_path)).variables) == {"red", "nir"}


def test_the_bands_of_a_landsat_image_are_described_by_its_numbers(tmp_path):
    write_raster(tmp_path / "landsat8.tif", pixels(3), descriptions=("B04", "B05", "B08"))
    (one,) = look(tmp_path).images.values()
    assert one.bands == ("red", "nir", "pan")


def test_a_file_per_band_has_the_band_of_its_name(tmp_path, proposed):
    for band in ("red", "nir", "swir1", "pan"):
        write_raster(tmp_path / f"images/lsat7_2000_{band}.tif", pixels())
    sources, lines = proposed(tmp_path / "images")
    assert sorted(source.bands[0] for source in sources.values()) == ["nir", "pan", "red", "swir16"]
    (line,) = [line for line in lines if "are a file each" in line]
    assert "gdalbuildvrt -separate" in line
    assert "_pan.tif" not in line


# --- dates and variables in the names of bands
def test_dates_in_the_names_of_the_bands_of_a_variable_are_read(tmp_path, proposed):
    for band in ("B04", "B08"):
        names = [f"{day}T104431_{day}T104432_T40KCB_{band}" for day in DAYS]
        write_raster(tmp_path / f"images/S2_{band}.tif", pixels(3), descriptions=names)
    sources, _ = proposed(tmp_path / "images")
    assert [f"{time:%Y%m%d}" for time in sources["s2"].times] == list(DAYS)


def test_files_of_bands_of_several_dates_are_not_advised_to_be_one_image(tmp_path):
    for number in (1, 3, 5):
        for band in ("B04", "B08"):
            write_raster(tmp_path / f"img0{number}_{band}.tif", pixels())
    found = look(tmp_path)
    assert len(candidates_of(found, tmp_path, tmp_path / "mine.toml")) == 6
    (line,) = found.remarks
    assert "6 images of one grid differ only in numbers" in line
