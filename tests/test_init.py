"""What ``bocage init`` proposes: sources and model, clear values, units, names of classes, paths; then ``check`` accepts it."""

import os
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio.shutil
import shapely

from bocage.errors import BocageError, RecipeError, SamplesError, SourceError
from bocage.jobs.check import check
from bocage.jobs.init import write_recipe
from bocage.legend import PALETTE
from bocage.recipe import read_recipe
from bocage.recipe.colors import KINDS
from bocage.recipe.draft import Draft, DraftClass, DraftReference, quoted
from bocage.report.palette import alike
from bocage.samples.labels import read_labels
from bocage.samples.leaks import leaks_of
from bocage.samples.points import label_rows
from bocage.samples.rasterise import Pixels, rasterise
from bocage.samples.reference import read_polygons
from bocage.sources import SENSORS, image, open_source
from bocage.sources.columns import layout_of
from bocage.sources.inventory import look
from bocage.sources.raster import inspect
from bocage.sources.values import Codes, clear_of, unit_of
from bocage.testing import Place, write_raster
from bocage.testing.fakes import CORNER

SIZE = 40
REFERENCE = DraftReference('"fields.gpkg"', "crop")
DAYS = ("2022-01-03", "2022-04-12", "2022-07-20", "2022-10-01")


def parcels(folder, classes=("maize", "meadow", "water"), each=4, **more):
    """Write polygons of 3 x 3 pixels in rows by class, and return their path."""
    west, north = CORNER
    rows = []
    for k, name in enumerate(classes):
        for i in range(each):
            x, y = west + 10 * (1 + 5 * i), north - 10 * (1 + 6 * k)
            rows.append({"crop": name, "geometry": shapely.box(x, y - 30, x + 30, y)})
    frame = geopandas.GeoDataFrame(rows, crs="EPSG:32740").assign(**more)
    path = folder / "parcels.gpkg"
    frame.to_file(path)
    return path


def noise(low, high, bands=4, dtype=np.uint16, size=SIZE):
    return np.random.default_rng(1).uniform(low, high, (bands, size, size)).astype(dtype)


def series(folder, low=300, high=4000, dtype=np.uint16, quality=None):
    """Write red and nir, a band per date; `quality`: values of the left and of the right half, the right half is cloudy."""
    for band in ("red", "nir"):
        pixels = noise(low, high, dtype=dtype)
        if quality:
            pixels[..., SIZE // 2 :] = high * 2
        write_raster(folder / f"s2/S2_{band}.tif", pixels, descriptions=DAYS)
    if quality:
        codes = np.full(pixels.shape, quality[0], np.uint8)
        codes[..., SIZE // 2 :] = quality[1]
        write_raster(folder / "s2/S2_quality.tif", codes, descriptions=DAYS)
    return folder


def written(folder, reference, label="crop"):
    out = folder / "mine.toml"
    return write_recipe(folder, reference, label, out), out, out.read_text()


def test_the_next_commands_quote_paths_with_spaces(tmp_path):
    series(tmp_path)
    out = tmp_path / "my land" / "recipe.toml"
    lines = write_recipe(tmp_path, parcels(tmp_path), "crop", out)
    assert [shlex.split(line) for line in lines[-3:]] == [["bocage", c, str(out)] for c in ("check", "run", "compare")]


# --- sources and model
def test_all_sources_are_used_on_the_grid_of_the_finest_series(tmp_path):
    series(tmp_path)
    write_raster(tmp_path / "s1/S1_vv.tif", noise(-20, -5, dtype=np.float32, size=20), Place(20), descriptions=DAYS)
    write_raster(tmp_path / "pan.tif", noise(300, 4000, 1, size=160), Place(2.5))
    lines, out, _ = written(tmp_path, parcels(tmp_path))
    recipe = read_recipe(out)
    assert set(recipe.sources) == {"s2", "s1", "pan"}
    assert (recipe.grid.like, recipe.choice.title) == ("s2", "patchwork"), "one network: three map more slowly"
    assert [c.choice.name for c in recipe.compare] == ["random_forest"]
    assert recipe.sources["s2"].preparation.fill is None, "patchwork uses the dates as acquired"
    forest = read_recipe(tmp_path / "mine-forest.toml")
    assert (forest.name, forest.choice.name, forest.split) == ("mine-forest", "random_forest", recipe.split)
    assert forest.sources.keys() == recipe.sources.keys()
    assert forest.sources["s2"].preparation.fill.end.isoformat() == "2022-10-01"
    assert [line.strip() for line in lines[-3:]] == [f"bocage {c} {out}" for c in ("check", "run", "compare")]
    for path in (out, tmp_path / "mine-forest.toml"):
        assert not check(path).has_errors
    with pytest.raises(RecipeError, match="mine.toml.*the file exists"):
        written(tmp_path, tmp_path / "parcels.gpkg")


def test_without_a_series_the_map_has_the_grid_of_the_pan_image(tmp_path):
    write_raster(tmp_path / "pan.tif", noise(300, 4000, 1, size=160), Place(2.5))
    write_raster(tmp_path / "ms.tif", noise(300, 4000, 4), Place(10), descriptions=["blue", "green", "red", "nir"])
    _, out, text = written(tmp_path, parcels(tmp_path))
    recipe = read_recipe(out)
    assert (recipe.grid.like, recipe.choice.name) == ("pan", "patchwork")
    assert not check(out).has_errors
    published = "[[compare]]                  # published for a PAN and an MS image of one product\n# model"
    assert published in text
    out.write_text(text.replace(f"# {published}", published.replace("# model", "model")))
    assert [c.choice.name for c in read_recipe(out).compare] == ["random_forest", "multiresolcc"]


def test_a_source_elsewhere_is_left_out(tmp_path):
    series(tmp_path)
    write_raster(tmp_path / "dem.tif", noise(1, 900, 1), Place(corner=(CORNER[0] + 90_000, CORNER[1])))
    lines, out, text = written(tmp_path, parcels(tmp_path))
    assert set(read_recipe(out).sources) == {"s2"}
    assert any("'dem' is left out" in line and "does not overlap" in line for line in lines)
    assert "# Remark: source 'dem' is left out" in text


# --- quality layers
def test_clear_values_are_read_from_the_layer_and_the_brightness_of_its_pixels(tmp_path):
    series(tmp_path, quality=(4, 9))
    _, out, _ = written(tmp_path, parcels(tmp_path))
    assert read_recipe(out).sources["s2"].settings.clear == (4, 5, 6, 7)


@pytest.mark.parametrize(("quality", "clear"), [((0, 1), (0,)), ((1, 0), (1,))])
def test_of_two_values_the_brighter_one_is_cloud(tmp_path, quality, clear):
    series(tmp_path, quality=quality)
    _, out, _ = written(tmp_path, parcels(tmp_path))
    assert read_recipe(out).sources["s2"].settings.clear == clear


def test_a_layer_whose_values_are_unknown_stops_the_recipe_until_the_user_says(tmp_path):
    series(tmp_path, quality=(17, 33))
    lines, out, text = written(tmp_path, parcels(tmp_path))
    assert 'clear = "?"  # found 17 (50 %), 33 (50 %): write the values that mean clear' in text
    assert any("write the clear values of s2" in line for line in lines)
    with pytest.raises(
        RecipeError, match=r'sources\.s2\.clear: write the values, for example \[4, 5\], in place of "\?"'
    ):
        read_recipe(out)
    (finding,) = check(out).findings
    assert finding.severity == "error"
    out.write_text(text.replace('"?"', "[17]"))
    assert not check(out).has_errors


def shares(*values, light=()):
    return Codes(dict.fromkeys(values, 1 / len(values)), dict(light))


@pytest.mark.parametrize(
    ("name", "codes", "clear"),
    [
        ("T31_SCL_20m.tif", shares(2, 3, 4, 9), (4, 5, 6, 7)),
        ("T31_SCL_20m.tif", shares(4, 64), ()),
        ("S2_CLM_R1.tif", shares(0, 1, 255), (0,)),
        ("S2_CLM_R1.tif", shares(0, 1, light={0: 9000, 1: 500}), ()),
        ("x_MG2_R1.tif", shares(0, 1, 2, 4, 9, 128), (0, 1, 128)),
        ("LC08_QA_PIXEL.TIF", shares(1, 21824, 22280, 54596), (21824, 21952)),
        ("LE07_QA_PIXEL.TIF", shares(1, 5440, 5896), (5440, 5504)),
        ("x_QA_PIXEL.TIF", shares(0, 3), ()),
        ("quality.tif", shares(21824, 21952, 22280), (21824, 21952)),
        ("a_udm2.tif", shares(0, 1), (1,)),
        ("SummaryQA.tif", shares(0, 1, 2, 3), (0, 1)),
        ("quality.tif", shares(3, 4, 9), ()),
        ("quality.tif", shares(3, 4, 9, light={3: 200, 4: 500, 9: 6000}), (4, 5, 6, 7)),
        ("quality.tif", shares(3, 4, 9, light={3: 200, 4: 6000, 9: 500}), ()),
        ("mask.tif", shares(0, 1), ()),
        ("mask.tif", shares(0, 255, light={0: 6000, 255: 500}), (255,)),
        ("mask.tif", shares(1), ()),
        # Shadows are masked: clear land is brighter, and no cloud.
        ("mask.tif", Codes({255: 0.96, 0: 0.04}, {255: 909, 0: 510}), ()),
        ("mask.tif", Codes({0: 0.6, 1: 0.4}, {0: 0.051, 1: 0.091}), ()),
        ("S2_cloud_mask.tif", Codes({255: 0.96, 0: 0.04}, {255: 909, 0: 510}), ()),
        ("S2_cloud_mask.tif", Codes({255: 0.6, 0: 0.4}, {255: 4000, 0: 700}), (0,)),
        ("pixel_reliability.tif", shares(-1, 0, 1, 3), (0, 1)),
        ("probability_cloud.tif", shares(*range(201)), ()),
        ("quality.tif", Codes(), ()),
    ],
)
def test_conventions_of_quality_layers(name, codes, clear):
    assert clear_of(name, codes).values == clear


# --- units
@pytest.mark.parametrize(
    ("bands", "dtype", "low", "high", "unit"),
    [
        ("red nir", "uint16", 300, 4000, (0.0001, 0, "")),
        ("red nir", "int16", 300, 4000, (0.0001, 0, "")),
        ("red nir", "float64", 300.5, 4000.5, (0.0001, 0, "")),
        ("red nir", "float32", 0.01, 0.6, (1, 0, "")),
        ("red nir", "float32", 1.5, 60.2, (0.01, 0, "")),
        ("blue red nir", "uint16", 1010, 4500, (0.0001, -0.1, "")),
        ("blue red nir", "uint16", 7500, 30000, (2.75e-5, -0.2, "")),
        ("blue red nir", "uint8", 20, 200, (0.00392157, 0, "")),
        ("b1 b2", "uint16", 300, 4000, (1, 0, "")),
        ("vv vh", "float32", -22, -4, (1, 0, "")),
        ("vv vh", "float32", 0.001, 0.4, (1, 0, "power")),
        ("vv vh", "uint16", 900, 5000, (7.0795e-5, 0, "amplitude")),
        ("vv vh", "int16", -2200, -500, (0.01, 0, "")),
        ("ndvi", "float32", -0.2, 0.9, (1, 0, "")),
    ],
)
def test_the_unit_follows_from_type_and_values(bands, dtype, low, high, unit):
    rng = np.random.default_rng(2)
    values = {band: rng.uniform(low, high, 500).astype(dtype).astype(np.float64) for band in bands.split()}
    found = unit_of(values, dtype, (pd.Timestamp("2023-05-01").to_pydatetime(),), "s2")
    assert np.allclose((found.scale, found.offset), unit[:2], rtol=1e-4)
    assert found.decibel == unit[2]


def test_dark_values_mean_that_there_is_no_offset_and_so_do_dates_before_it():
    rng = np.random.default_rng(2)
    late, early = (pd.Timestamp(day).to_pydatetime() for day in ("2023-05-01", "2020-05-01"))
    dark = {band: rng.uniform(200, 4500, 500).round() for band in ("blue", "red", "nir")}
    bright = {band: rng.uniform(1010, 4500, 500).round() for band in ("blue", "red", "nir")}
    cases = ((dark, late, "s2"), (bright, early, "s2"), (bright, late, "planet"), (bright, late, "s2"))
    assert [unit_of(v, "uint16", (t,), name).offset for v, t, name in cases] == [0, 0, 0, -0.1]


def test_nodata_that_no_file_declares_is_proposed_and_left_out_of_the_range(tmp_path):
    values = {"red": np.array([-9999.0] * 50 + [0.25, 0.5, 0.1] * 50)}
    found = unit_of(values, "float32")
    assert (found.nodata, found.scale) == (-9999, 1)
    for fill in (-3000, -10000, -28672):
        ndvi = np.array([fill] * 5 + [-200, 3000, 8000] * 50, float)
        assert unit_of({"ndvi": ndvi}, "int16").nodata == fill
    assert unit_of({"depth": np.arange(-3000.0, 100)}, "int16").nodata is None, "a value among others"


def test_float_reflectance_gets_no_scale_and_linear_radar_is_converted(tmp_path):
    series(tmp_path, 0.02, 0.4, np.float32)
    for pol in ("vv", "vh"):
        write_raster(tmp_path / f"s1/S1_{pol}.tif", noise(0.01, 0.2, dtype=np.float32), descriptions=DAYS)
    _, out, _ = written(tmp_path, parcels(tmp_path))
    recipe = read_recipe(out)
    assert recipe.sources["s2"].settings.scale is None
    assert recipe.sources["s1"].settings.decibel == "power"
    assert not check(out).has_errors


def test_decibel_converts_an_image(tmp_path):
    path = write_raster(tmp_path / "vv.tif", np.full((1, 8, 8), 0.01, np.float32))
    source = open_source("s1", image, image.Settings(path, ("vv",), decibel="power"))
    assert np.allclose(source.read(source.grid, source.grid.window)[0], -20, atol=1e-4)


# --- labels
def test_names_come_from_the_field_in_one_to_one_correspondence(tmp_path):
    crops = {
        "code": [17, 17, 5, 5, 9, 9] * 2,
        "nom": ["blé", "blé", "maïs", "maïs", "pré", "pré"] * 2,
        "area": range(12),
    }
    labels = read_labels(parcels(tmp_path, **crops), "code")
    assert labels.beside == "nom"
    assert [(c.code, c.name, c.values) for c in labels.classes] == [(5, "maïs", ()), (9, "pré", ()), (17, "blé", ())]
    assert labels.counts == (4, 4, 4)


def test_codes_come_from_the_field_beside_and_are_distinct(tmp_path):
    path = parcels(tmp_path, ident=[4] * 4 + [2] * 4 + [9] * 4)
    assert [(c.code, c.name) for c in read_labels(path, "crop").classes] == [(4, "maize"), (2, "meadow"), (9, "water")]
    twice = parcels(tmp_path, ("a b", "a  b", "c"), ident=[1] * 8 + [2] * 4)
    labels = read_labels(twice, "crop")
    assert len({c.code for c in labels.legend.classes}) == len(labels.classes) == 2, "blanks make no difference"


def test_a_name_of_two_codes_is_made_distinct(tmp_path):
    path = parcels(tmp_path, kode=[1] * 4 + [2] * 4 + [3] * 4, navn=["Mais"] * 8 + ["Byg"] * 4)
    assert [c.name for c in read_labels(path, "kode").legend.classes] == ["maize", "meadow", "water"]


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({"Afgkode": [593, 24, 5] * 4, "CVR": [1, 2, 1, 2] * 3}, "Afgkode"),
        ({"KASVIKOODI": [9409, 1, 2] * 4, "VUOSI": [2022, 2023] * 6}, "KASVIKOODI"),
        ({"fold": [0, 1, 2] * 4, "label": ["a", "b"] * 6}, "label"),
        ({"area": [1, 2, 3] * 4, "gewas": ["x", "y"] * 6}, "gewas"),
        ({"lc": [11, 12] * 6, "ct": [1200, 0] * 6}, "lc"),
    ],
)
def test_the_label_field_is_guessed(tmp_path, fields, label):
    frame = geopandas.read_file(parcels(tmp_path)).drop(columns="crop").assign(**fields)
    frame.to_file(tmp_path / "x.gpkg")
    assert read_labels(tmp_path / "x.gpkg").reference.label == label


def test_a_text_is_named_by_a_longer_one_only_if_it_is_an_abbreviation(tmp_path):
    longer = ["winter wheat"] * 4 + ["winter barley"] * 4 + ["fallow land"] * 4
    path = parcels(tmp_path, ("WW", "WB", "FL"), name=longer)
    assert [c.name for c in read_labels(path, "crop").classes] == ["fallow land", "winter barley", "winter wheat"]
    assert read_labels(parcels(tmp_path, group=longer), "crop").beside == ""


def test_the_life_of_a_record_in_a_register_is_no_period_of_its_label(tmp_path):
    dates = {"valid_from": ["2021-01-01", "2022-03-01"] * 6, "valid_to": ["2100-01-01"] * 12}
    labels = read_labels(parcels(tmp_path, **dates), "crop")
    assert labels.period is None
    assert labels.years == ()


def test_measurements_are_no_classes(tmp_path):
    with pytest.raises(SamplesError, match="no field looks like a class; give --label. Its fields: area, height"):
        frame = geopandas.read_file(parcels(tmp_path)).drop(columns="crop")
        frame.assign(area=np.linspace(0.5, 9, 12), height=[1.5, 2.25] * 6).to_file(tmp_path / "x.gpkg")
        read_labels(tmp_path / "x.gpkg")


def test_classes_with_too_few_polygons_and_other_years_are_remarks(tmp_path):
    series(tmp_path)
    path = parcels(tmp_path, year=[2019] * 12)
    frame = geopandas.read_file(path)
    frame.iloc[:-3].to_file(path)  # one polygon of water
    lines, out, text = written(tmp_path, path)
    assert any("labels are of 2019, the images of 2022" in line for line in lines)
    assert any("too few polygons" in line and "'water' (1)" in line for line in lines)
    assert "# Remark: too few polygons" in text
    assert "  # 1 polygon\n" in text
    assert read_recipe(out).split.rare == "drop"
    assert not check(out).has_errors


def test_the_legend_has_the_classes_on_the_map(tmp_path):
    series(tmp_path)
    path = parcels(tmp_path)
    frame = geopandas.read_file(path)
    away = frame.assign(geometry=frame.translate(50_000), crop=["rice"] * 6 + ["maize"] * 6)
    pd.concat([frame, away]).to_file(path)
    _, out, text = written(tmp_path, path)
    recipe = read_recipe(out)
    assert recipe.legend.names == ("maize", "meadow", "water")
    assert recipe.reference.unknown == "reject"
    assert "# 10 polygons, 4 usable on the map" in text
    assert not check(out).has_errors


def test_polygons_elsewhere_are_a_remark_and_keep_their_counts(tmp_path):
    series(tmp_path)
    path = parcels(tmp_path)
    geopandas.read_file(path).translate(50_000).to_frame("geometry").assign(crop=["a", "b"] * 6).to_file(path)
    lines, _, text = written(tmp_path, path)
    assert any("all polygons are outside the map" in line for line in lines)
    assert 'name = "a", values = ["a"] },  # 6 polygons' in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(geometry=f.boundary), "lines, and only polygons and points label pixels"),
        (lambda f: f.assign(**{"from": ["2011", "2012"] * 6, "to": ["2011", "2012"] * 6}), "fields 'from' and 'to'"),
    ],
)
def test_labels_that_a_recipe_cannot_express_are_said_in_one_line(tmp_path, change, message):
    series(tmp_path)
    path = parcels(tmp_path)
    change(geopandas.read_file(path)).to_file(tmp_path / "x.gpkg")
    with pytest.raises(SamplesError, match=message):
        written(tmp_path, tmp_path / "x.gpkg")
    with pytest.raises(SamplesError, match="no geometry, so they label no pixel"):
        (tmp_path / "codes.csv").write_text("crop,area\na,1\nb,2\na,3\n")
        written(tmp_path, tmp_path / "codes.csv")
    assert not list(tmp_path.glob("mine*"))


# --- rasters of labels
def test_an_earlier_map_is_left_out_and_said(tmp_path):
    series(tmp_path)
    codes = np.zeros((1, SIZE, SIZE), np.uint8)
    for k in range(3):
        codes[0, 6 * k : 6 * k + 5] = 10 + k
    write_raster(tmp_path / "zones_2021.tif", codes)
    lines, out, text = written(tmp_path, parcels(tmp_path))
    assert set(read_recipe(out).sources) == {"s2"}
    assert any("'zones_2021' is left out: its 3 values give the label of 12 of 12 polygons" in line for line in lines)
    assert "# Remark: source 'zones_2021' is left out" in text


@pytest.mark.parametrize(
    "name",
    [
        "OSO_2017",
        "CLC2018",
        "ESA_WorldCover_10m_2020",
        "classif_2017",
        "pred",
        "L7_result",
        "ocsol",
        "RPG_raster",
        "crop_mask",
    ],
)
def test_an_earlier_map_of_other_classes_is_left_out_by_its_name(tmp_path, name):
    """A third of its pixels are wrong, so that its values do not give the labels."""
    series(tmp_path)
    codes, rng = class_codes(np.uint8), np.random.default_rng(0)
    write_raster(tmp_path / f"{name}.tif", np.where(rng.random(codes.shape) < 0.35, rng.permuted(codes), codes))
    lines, out, text = written(tmp_path, parcels(tmp_path))
    assert set(read_recipe(out).sources) == {"s2"}
    assert any("4 values are those of a map of classes" in line and name in line for line in lines)
    assert "quality" not in text


@pytest.mark.parametrize("name", ["map_of_heights", "results"])
def test_a_raster_with_the_name_of_a_map_and_many_values_is_used(tmp_path, name):
    series(tmp_path)
    write_raster(tmp_path / f"{name}.tif", noise(0, 3000, 1))
    _, out, _ = written(tmp_path, parcels(tmp_path))
    assert len(read_recipe(out).sources) == 2


@pytest.mark.parametrize("name", ["OBJ_20200101_RASTER_V1-0", "zones_2021-06-30", "zones_2020_12_31"])
def test_an_earlier_map_with_a_date_is_left_out(tmp_path, name):
    series(tmp_path)
    codes = np.zeros((1, SIZE, SIZE), np.uint8)
    for k in range(3):
        codes[0, 6 * k : 6 * k + 5] = 10 + k
    write_raster(tmp_path / f"{name}.tif", codes)
    lines, out, _ = written(tmp_path, parcels(tmp_path))
    assert set(read_recipe(out).sources) == {"s2"}
    assert any("is left out: its 3 values give the label of 12 of 12 polygons" in line for line in lines)


def class_codes(dtype=np.uint16):
    """Return the code of each parcel of :func:`parcels`, 0 elsewhere."""
    codes = np.zeros((1, SIZE, SIZE), dtype)
    for k in range(3):
        codes[0, 6 * k : 6 * k + 5] = 10 + k
    return codes


def per_date(folder, last=None, name="class", days=DAYS):
    """Write files per date with the bands red and nir, and a third one of these values or noise."""
    for i, day in enumerate(days):
        pixels = np.random.default_rng(i).uniform(300, 4000, (3, SIZE, SIZE)).astype(np.uint16)
        pixels[2:] = pixels[2:] if last is None else last
        write_raster(folder / f"S2_{day}.tif", pixels, descriptions=("red", "nir", name))


@pytest.mark.parametrize(
    "days", [DAYS, [f"{year}-07-01" for year in range(2000, 2020)]], ids=["few dates", "many dates"]
)
def test_a_band_of_classes_in_each_file_of_a_series_is_skipped(tmp_path, days):
    (tmp_path / "in").mkdir()
    per_date(tmp_path / "in", class_codes(), days=days)
    lines, out, text = written(tmp_path / "in", parcels(tmp_path))
    source = read_recipe(out).sources["s2"]
    assert source.settings.bands == ("red", "nir", "-")
    assert 'indices = ["ndvi"]' in text
    assert any("source 's2': its band 'class' is left out: its 3 values give the label of 12 of 12" in s for s in lines)
    assert not check(out).has_errors


def test_a_measured_band_of_a_series_stays(tmp_path):
    per_date(tmp_path)
    lines, out, _ = written(tmp_path, parcels(tmp_path))
    assert read_recipe(out).sources["s2"].settings.bands == ("red", "nir", "class")
    assert not any("left out" in line for line in lines)


def test_a_variable_of_classes_is_left_out_and_clouds_do_not_hide_it(tmp_path):
    series(tmp_path, quality=(0, 1))
    write_raster(tmp_path / "s2/S2_landuse.tif", np.repeat(class_codes(), 4, 0), descriptions=DAYS)
    lines, out, _ = written(tmp_path, parcels(tmp_path))
    assert set(read_recipe(out).sources["s2"].settings.variables) == {"red", "nir"}
    assert any("source 's2': its band 's2_landuse' is left out" in line for line in lines)


def test_a_series_of_yearly_maps_is_left_out(tmp_path):
    series(tmp_path)
    shuffled = np.roll(class_codes(np.uint8), 9, 1)
    write_raster(tmp_path / "zones_2021-07-01.tif", shuffled)
    write_raster(tmp_path / "zones_2022-07-01.tif", class_codes(np.uint8))
    lines, out, _ = written(tmp_path, parcels(tmp_path))
    assert set(read_recipe(out).sources) == {"s2"}
    assert any("(variable 'zones') is left out: its 3 values give the label" in line for line in lines)


def test_a_band_of_classes_in_the_only_image_is_skipped(tmp_path):
    pixels = np.concatenate([noise(300, 4000, 2), class_codes()])
    write_raster(tmp_path / "scene.tif", pixels, descriptions=("red", "nir", "class"))
    lines, out, _ = written(tmp_path, parcels(tmp_path))
    assert read_recipe(out).sources["scene"].settings.bands == ("red", "nir", "-")
    assert any("source 'scene': its band 'class' is left out" in line for line in lines)


@pytest.mark.parametrize("kind", ["noise", "one value", "two strata"])
def test_a_raster_that_does_not_give_the_labels_stays(tmp_path, kind):
    layer = {"noise": noise(0, 5, 1), "one value": noise(3, 3, 1), "two strata": noise(0, 1, 1)}[kind].astype(np.uint8)
    layer[0, :, 20:] += kind == "two strata"
    path = write_raster(tmp_path / "soil.tif", layer)
    source = open_source("soil", image, image.Settings(path))
    where = [(k, i) for k in range(3) for i in range(4)]
    cells = [(1 + 6 * k + y, 1 + 5 * i + x, k, n) for n, (k, i) in enumerate(where) for y in range(3) for x in range(3)]
    assert leaks_of(source, source.grid, Pixels(*np.array(cells, np.int32).T)) == ()


# --- files of a folder
def test_copies_coarser_versions_and_virtual_rasters_are_used_once(tmp_path):
    first = write_raster(tmp_path / "a/dem.tif", noise(1, 900, 1))
    (tmp_path / "b").mkdir()
    (tmp_path / "b/dem.tif").write_bytes(first.read_bytes())
    for gsd, size in ((10, 40), (20, 20)):
        write_raster(tmp_path / f"S2_red_{gsd}m.tif", noise(300, 4000, size=size), Place(gsd), descriptions=DAYS)
    rasterio.shutil.copy(first, tmp_path / "copy.vrt", driver="VRT")
    rasterio.shutil.copy(tmp_path / "S2_red_10m.tif", tmp_path / "stack.vrt", driver="VRT")
    found = look(tmp_path)
    assert list(found.images) == ["copy"]
    assert [s.resolution for s in found.series.values()] == [10]
    assert any("b/dem.tif: a copy of" in line for line in found.skipped)
    assert any("a/dem.tif: a part of a virtual raster" in line for line in found.skipped)
    assert any("stack.vrt: a virtual raster (VRT) of files with dates" in line for line in found.skipped)
    assert any("S2_red_20m.tif: the folder has a finer version" in line for line in found.skipped)


def test_a_quality_layer_without_a_date_belongs_to_the_image_of_its_extent(tmp_path):
    write_raster(tmp_path / "ms.tif", noise(300, 4000, 3), descriptions=["green", "red", "nir"])
    write_raster(tmp_path / "ms_cloudmask.tif", noise(0, 2, 1, np.uint8, 20), Place(20))
    write_raster(tmp_path / "other_mask.tif", noise(0, 2, 1, np.uint8), Place(corner=(CORNER[0] + 5000, CORNER[1])))
    found = look(tmp_path)
    assert list(found.images) == ["ms"]
    assert found.images["ms"].quality.endswith("ms_cloudmask.tif")
    assert any("other_mask.tif: this quality layer is not used" in line for line in found.remarks)


COLORS = ["blue", "green", "red", "nir"]


@pytest.mark.parametrize(
    "name",
    ["cloudfree_mosaic", "cloud_free", "cloudless", "nocloud", "cloudmasked", "masked", "sans_nuages", "mask_applied"],
)
def test_imagery_without_clouds_is_no_quality_layer(tmp_path, name):
    write_raster(tmp_path / f"image/S2_{name}.tif", noise(300, 4000), descriptions=COLORS)
    write_raster(tmp_path / f"radar/S1_{name}.tif", noise(300, 4000, 1))
    for day in ("20220103", "20220412"):
        write_raster(tmp_path / f"dates/S2_{name}_{day}.tif", noise(300, 4000), descriptions=COLORS)
        write_raster(tmp_path / f"dates/S2_{name}_{day}_vv.tif", noise(300, 4000, 1))
    found = look(tmp_path)
    assert sorted(image.bands for image in found.images.values()) == [("b1",), tuple(COLORS)]
    assert not any(one.quality for one in (*found.images.values(), *found.series.values()))
    assert sorted(one.names for one in found.series.values())[0] == tuple(COLORS)


@pytest.mark.parametrize(
    "name", ["SCL", "cloud_mask", "masque", "nuages", "mask_clouds", "QA_PIXEL", "udm2", "cloudmask"]
)
def test_quality_layers_are_found_by_their_names(tmp_path, name):
    for day in ("20220103", "20220412"):
        write_raster(tmp_path / f"S2_{day}_red.tif", noise(300, 4000, 1))
        write_raster(tmp_path / f"S2_{day}_{name}.tif", noise(0, 6, 1, np.uint8))
    found = look(tmp_path)
    (one,) = found.series.values()
    assert one.quality.endswith(f"{name}.tif")
    assert not found.remarks


def test_measurements_named_as_a_quality_layer_are_a_remark(tmp_path):
    write_raster(tmp_path / "clear.tif", noise(300, 4000, 1))
    found = look(tmp_path)
    assert list(found.images) == ["clear"]
    assert "clear.tif: named as a quality layer, but its values are measurements" in found.remarks[0]


def test_masks_that_are_the_same_on_two_dates_are_no_copies(tmp_path):
    for day in DAYS:
        write_raster(tmp_path / f"{day}/red.tif", noise(300, 4000, 1))
        write_raster(tmp_path / f"{day}/scl.tif", noise(4, 4, 1, np.uint8))
    found = look(tmp_path)
    assert not found.skipped
    assert found.series[next(iter(found.series))].quality.endswith("{date}/scl.tif")


def test_a_date_is_no_alpha_band_of_a_mask_with_four_dates(tmp_path):
    layer = np.ones((4, 8, 8), np.uint8)
    layer[3] = 0
    path = write_raster(tmp_path / "mask.tif", layer, descriptions=DAYS)
    assert inspect(path).alpha == 0


def test_paths_are_the_shorter_of_relative_and_absolute(tmp_path):
    out = tmp_path / "a/b/c/d/recipe.toml"
    out.parent.mkdir(parents=True)
    assert quoted(out.parent / "x.tif", out) == '"x.tif"'
    assert quoted(out.parents[1] / "x.tif", out) == '"../x.tif"'
    assert quoted(Path(os.sep) / "x.tif", out) == f'"{(Path(os.sep) / "x.tif").as_posix()}"'


# --- tables
def table(folder, ids, columns, suffix="parquet"):
    rng = np.random.default_rng(3)
    rows = [
        {"sample": i, "when": pd.Timestamp(day), **{c: f(rng) for c, f in columns.items()}} for i in ids for day in DAYS
    ]
    frame = pd.DataFrame(rows)
    path = folder / f"series.{suffix}"
    frame.to_parquet(path) if suffix == "parquet" else frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_table_of_series_gives_a_source_for_each_sensor(tmp_path, suffix):
    columns = {
        "S2-L2A-B04": lambda r: int(r.integers(300, 900)), "S2-L2A-B08": lambda r: int(r.integers(2000, 4000)),
        "S1-VV": lambda r: float(r.uniform(-15, -8)),
    }  # fmt: skip
    table(tmp_path, range(12), columns, suffix)
    text = "sample,crop,name\n" + "".join(f"{i},{115 + i % 3},{'abc'[i % 3]}{i % 3}\n" for i in range(12))
    (tmp_path / "fields.csv").write_text(text)
    _, out, _ = written(tmp_path, tmp_path / "fields.csv")
    recipe = read_recipe(out)
    assert set(recipe.sources) == {"s1", "s2"}
    assert recipe.sources["s2"].settings.bands == {"red": "S2-L2A-B04", "nir": "S2-L2A-B08"}
    assert recipe.sources["s2"].settings.scale == 0.0001
    assert recipe.sources["s1"].settings.decibel == ""
    assert recipe.reference.sample_id == "sample"
    assert recipe.legend.names == ("a0", "b1", "c2")
    for path in (out, tmp_path / "mine-forest.toml"):
        assert not check(path).has_errors


@pytest.mark.parametrize("wide", [False, True])
def test_columns_with_quotes_backslashes_and_accents_are_escaped(tmp_path, wide):
    odd = 'no "1" \\ a'
    rng = np.random.default_rng(3)
    rows = [
        {
            odd: f"s{i}",
            'day "d"': day,
            'B4 "red"': int(rng.integers(300, 900)),
            "température \\": float(rng.uniform(5, 9)),
        }
        for i in range(12)
        for day in DAYS
    ]
    if wide:
        rows = [
            {odd: f"s{i}", **{f'B"{k}"_{day}': int(rng.integers(300, 900)) for day in DAYS for k in "48"}}
            for i in range(12)
        ]
    pd.DataFrame(rows).to_csv(tmp_path / "series.csv", index=False)
    labels = pd.DataFrame({odd: [f"s{i}" for i in range(12)], "crop": [f"c{i % 3}" for i in range(12)]})
    labels.to_csv(tmp_path / "fields.csv", index=False)
    _, out, _ = written(tmp_path, tmp_path / "fields.csv")
    recipe = read_recipe(out)
    settings = recipe.sources["s2"].settings
    assert settings.id == recipe.reference.sample_id == odd
    if wide:
        assert set(settings.bands.values()) == {'B"4"', 'B"8"'}
    else:
        assert settings.date == 'day "d"'
        assert settings.bands == {"red": 'B4 "red"', "temperature": "température \\"}
    assert not check(out).has_errors


def test_the_columns_of_a_wide_table_are_recognised(tmp_path):
    frame = pd.DataFrame({"ID": range(5), "B4_20220103": 1, "B4_20220412": 2, "B8_20220103": 3, "B8_20220412": 4})
    frame.to_csv(tmp_path / "w.csv", index=False)
    found = layout_of(tmp_path / "w.csv", {"fid": frozenset("01234")})
    assert (found.id, found.field, found.wide) == ("ID", "fid", "{band}_{date}")
    assert found.bands == {"s2": {"red": "B4", "nir": "B8"}}
    with pytest.raises(
        SourceError, match="no column has the ids of a field of the reference .fid.. Its columns are ID"
    ):
        layout_of(tmp_path / "w.csv", {"fid": frozenset("abc")})


def test_a_folder_without_imagery_or_series_is_one_line(tmp_path):
    path = parcels(tmp_path)
    (tmp_path / "dates.csv").write_text("band,date\n1,2022-01-03\n")
    with pytest.raises(BocageError, match="no known product, no readable raster .* and no table of series.*dates.csv"):
        written(tmp_path, path)


# --- real and simulated folders
FOLDERS = {
    "flanders/A_31UDS_2018": ("label_parcels_derived.gpkg", {"s1", "s2"}),
    "flanders/C_31UES_2019_no10m": ("label_parcels_derived.gpkg", {"s1", "s2"}),
    "canada": ("points.gpkg", {"s1", "s2"}),
    "wake": ("landsat96_polygons.gpkg", {"l7_ms_28m5", "l7_pan_14m25"}),
    "rondonia": ("points_labels.gpkg", {"s2"}),
    "bavaria": ("fields.csv", {"s2"}),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_real_folders_are_checked_without_an_edit(data, tmp_path, name):
    reference, sources = FOLDERS[name]
    out = tmp_path / "mine.toml"
    write_recipe(data / name, data / name / reference, "", out)
    assert set(read_recipe(out).sources) == sources
    for path in (out, tmp_path / "mine-forest.toml"):
        assert not check(path).has_errors


@pytest.mark.parametrize("form", ["plain", "safe", "theia", "landsat", "stac"])
def test_simulated_folders_are_checked_without_an_edit(lands, tmp_path, form):
    out = tmp_path / "mine.toml"
    write_recipe(lands[form], lands[form] / "reference.gpkg", "", out)
    assert read_recipe(out).choice.name == "patchwork"
    assert not check(out).has_errors


# --- points
def test_points_label_the_pixels_that_contain_them(tmp_path):
    series(tmp_path)
    frame = geopandas.read_file(parcels(tmp_path))
    (tmp_path / "parcels.gpkg").unlink()
    centres = frame.assign(geometry=frame.centroid)
    centres.to_crs(4326).to_file(tmp_path / "points.gpkg")
    _, out, text = written(tmp_path, tmp_path / "points.gpkg")
    assert "# 4 polygons" in text
    recipe = read_recipe(out)
    grid = open_source("s2", SENSORS.get("series"), recipe.sources["s2"].settings).grid
    table, rejections, _ = read_polygons(replace(recipe.reference, buffer=30), grid, recipe.legend)
    pixels, _ = rasterise(table, grid, recipe.legend)
    assert not rejections
    x, y = centres.geometry.x.to_numpy(), centres.geometry.y.to_numpy()
    columns, rows = ~grid.transform @ (x, y)
    assert set(zip(pixels.row.tolist(), pixels.column.tolist(), strict=True)) == set(
        zip(np.floor(rows).astype(int).tolist(), np.floor(columns).astype(int).tolist(), strict=True)
    )
    assert len(pixels) == len(frame)
    assert not [f for f in check(out).findings if f.severity == "error"]


def test_other_fields_that_look_like_labels_are_named(tmp_path):
    frame = geopandas.read_file(parcels(tmp_path)).assign(lc_type=[1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2], owner="x")
    frame.to_file(tmp_path / "more.gpkg")
    (remark,) = read_labels(tmp_path / "more.gpkg").remarks
    assert "lc_type" in remark
    assert "owner" not in remark


def test_check_says_that_a_rare_class_is_excluded_already(tmp_path):
    series(tmp_path)
    frame = geopandas.read_file(parcels(tmp_path))
    (tmp_path / "parcels.gpkg").unlink()
    frame.iloc[:-2].to_file(tmp_path / "fewer.gpkg")
    _, out, text = written(tmp_path, tmp_path / "fewer.gpkg")
    assert "fewer than 3 polygons" in text
    (finding,) = [f for f in check(out).findings if f.what.code == "too_few_polygons"]
    assert finding.remedy.code == "rare_dropped_remedy"


def test_recipes_of_tables_speak_of_samples(tmp_path):
    labels = pd.DataFrame({"id": range(12), "crop": ["a", "b", "c"] * 4})
    labels.to_csv(tmp_path / "fields.csv", index=False)
    rows = [{"id": i, "date": day, "B04": 900 + i, "B08": 3000} for i in range(12) for day in DAYS]
    (tmp_path / "tables").mkdir()
    pd.DataFrame(rows).to_csv(tmp_path / "tables/series.csv", index=False)
    _, _, text = written(tmp_path / "tables", tmp_path / "fields.csv")
    assert "Split of the samples of each class" in text
    assert "polygons" not in text


def test_a_table_with_series_and_labels_is_both(tmp_path):
    rows = [
        {"id": i, "crop": "abc"[i % 3], **{f"{band}_{day}": 900 + i for band in ("B04", "B08") for day in DAYS}}
        for i in range(12)
    ]
    (tmp_path / "tables").mkdir()
    pd.DataFrame(rows).to_csv(tmp_path / "tables/series.csv", index=False)
    _, out, _ = written(tmp_path / "tables", tmp_path / "tables/series.csv")
    assert read_recipe(out).reference.label == "crop"
    assert not check(out).has_errors


def test_a_table_with_a_row_per_date_can_have_the_labels(tmp_path):
    rows = [
        {"id": i, "crop": "abc"[i % 3], "region": "ew"[i % 2], "date": day, "B04": 900 + i, "B08": 3000 + 100 * (i % 3)}
        for i in range(18)
        for day in DAYS
    ]
    (tmp_path / "tables").mkdir()
    pd.DataFrame(rows).to_csv(tmp_path / "tables/all.csv", index=False)
    lines, out, text = written(tmp_path / "tables", tmp_path / "tables/all.csv")
    recipe = read_recipe(out)
    assert recipe.reference.sample_id == "id"
    assert recipe.sources["s2"].settings.bands == {"red": "B04", "nir": "B08"}
    assert 'name = "a", values = ["a"] },  # 6 samples' in text
    assert any("3 classes, 18 samples" in line for line in lines)
    assert not check(out).has_errors
    reference, legend = replace(recipe.reference, sample_id="region"), recipe.legend
    with pytest.raises(SamplesError, match="70 features repeat a sample id with another label .first: e"):
        label_rows(reference, ("e", "w"), legend, recipe.split)


def test_labels_that_are_blank_or_contradict_each_other_on_some_dates(tmp_path):
    rows = [
        {"id": f"p{i}", "crop": "ab"[i % 2], "date": day, "B04": i, "B08": 2 * i} for i in range(24) for day in DAYS
    ]
    rows[1]["crop"] = ""
    (tmp_path / "tables").mkdir()
    pd.DataFrame(rows).to_csv(tmp_path / "tables/all.csv", index=False)
    _, out, _ = written(tmp_path / "tables", tmp_path / "tables/all.csv")
    assert not check(out).has_errors
    rows[2]["crop"] = "b"
    pd.DataFrame(rows).to_csv(tmp_path / "tables/all.csv", index=False)
    (tmp_path / "mine.toml").unlink(missing_ok=True)
    out.unlink(), out.with_name("mine-forest.toml").unlink()
    with pytest.raises(SamplesError, match="repeat a sample id with another label .first: p0"):
        written(tmp_path / "tables", tmp_path / "tables/all.csv")


@pytest.mark.parametrize("numbered", [True, False])
def test_a_column_of_row_numbers_is_no_id_of_samples(tmp_path, numbered):
    rows = [
        {"id": f"p{i}", "crop": "ab"[i % 2], "date": day, "B04": i, "B08": 2 * i} for i in range(12) for day in DAYS
    ]
    (tmp_path / "tables").mkdir()
    pd.DataFrame(rows).to_csv(tmp_path / "tables/all.csv", index=numbered)
    _, out, _ = written(tmp_path / "tables", tmp_path / "tables/all.csv")
    assert read_recipe(out).sources["s2"].settings.id == "id"


def test_bands_without_names_are_a_remark(tmp_path):
    write_raster(tmp_path / "stack.tif", noise(300, 4000, 6))
    lines, _, _ = written(tmp_path, parcels(tmp_path))
    assert any("its 6 bands have no name" in line and "'dates'" in line for line in lines)


def test_classes_get_the_colours_that_their_names_suggest():
    names = ["Cultures d'hiver", "forêts", "eau libre", "verger", "Bâti dense", "prairie", "Water"]
    draft = Draft(
        "land", "s2", (), REFERENCE, tuple(DraftClass(k, name, (), "3 polygons") for k, name in enumerate(names, 1))
    )
    written = tomllib.loads(draft.text("[model]"))["legend"]["classes"]
    colors = dict(zip(names, [one["color"] for one in written], strict=True))
    assert colors["eau libre"] == "#20476e"
    assert colors["forêts"] == "#6ebd82"
    assert colors["Bâti dense"] == "#d04747"
    assert colors["prairie"] == "#a9e46e"
    assert not alike(names, list(colors.values()))  # the second water and the orchard have what is left of the palette


def test_no_pair_of_the_colours_that_names_suggest_is_hard_to_tell_apart():
    assert set(KINDS) <= set(PALETTE[:15])
    assert not alike(list(PALETTE[:15]), list(PALETTE[:15]))


def test_classes_without_known_names_get_no_colour():
    draft = Draft(
        "land", "s2", (), REFERENCE, (DraftClass(1, "teff", (), "3 polygons"), DraftClass(2, "noug", (), "3 polygons"))
    )
    assert "color =" not in draft.text("[model]").split("[legend]\n")[1]
