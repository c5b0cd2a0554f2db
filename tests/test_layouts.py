"""Folders as public services deliver them: names of files and bands, masks, units."""

import json
import shutil
import tomllib
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from bocage.errors import BocageError, SamplesError, SourceError
from bocage.jobs.init import write_recipe
from bocage.recipe import read_recipe
from bocage.recipe.sections import Candidate, candidates_of
from bocage.samples.labels import read_labels
from bocage.simulate import FORMATS
from bocage.sources import open_source, series, table
from bocage.sources.inventory import look
from bocage.sources.series import Settings, find
from bocage.sources.values import Codes, clear_of, unit_of
from bocage.testing import Place, write_raster
from bocage.testing.fakes import CORNER


def _ones(bands: int = 1) -> NDArray[np.uint16]:
    return np.ones((bands, 8, 8), np.uint16)


# --- dates
@pytest.mark.parametrize("form", ["S2_{}.tif", "S12_{}_10m.tif"])
@pytest.mark.parametrize(("first", "second"), [("Jan2018", "Feb2018"), ("2018_Jan", "2018_Feb")])
def test_the_number_of_a_sensor_before_a_month_is_no_day(tmp_path: Path, form: str, first: str, second: str) -> None:
    for month in (first, second):
        write_raster(tmp_path / form.format(month), _ones(2))
    (found,) = look(tmp_path).series.values()
    assert {day for day, _ in found.places} == {"2018-01-15", "2018-02-15"}
    assert len(find(Settings(path=Path(found.path), bands=("red", "nir")))) == 2


def test_the_number_of_a_band_before_a_month_is_no_day(tmp_path: Path) -> None:
    write_raster(tmp_path / "red.tif", _ones(2), descriptions=("B4_Jan_2018", "B4_Feb_2018"))
    (found,) = look(tmp_path).series.values()
    assert {day for day, _ in found.places} == {"2018-01-15", "2018-02-15"}


# --- names of products
S1 = (
    "S1A_IW_GRDH_1SDV_20230115T173210_20230115T173235_046830_0510E1_1B8F",
    "S1A_IW_GRDH_1SDV_20230127T173211_20230127T173236_047005_052FD0_3A7E",
)
S2 = (
    "S2A_MSIL2A_20230115T105031_N0509_R051_T31TDL_20230115T160000",
    "S2B_MSIL2A_20230209T105031_N0510_R008_T31TDL_20230209T160100",
)
THEIA = ("SENTINEL2A_20230115-105033-460_L2A_T31TDL_C_V3-1", "SENTINEL2B_20230209-105034-461_L2A_T31TDL_D_V3-2")


@pytest.mark.parametrize(
    "names",
    [
        [f"{name}.tif" for name in S1],
        [f"{name}_Orb_Cal_TC.data/Sigma0_VV.tif" for name in S1],
        [f"{name}.tif" for name in S2],
        [f"{name}/{name}_FRE_B4.tif" for name in THEIA],
        ["20230115_LEVEL2_SEN2A_BOA.tif", "20230209_LEVEL2_SEN2B_BOA.tif"],
        ["S2A_31TDL_20230115_0_L2A/B04.tif", "S2B_31TDL_20230209_1_L2A/B04.tif"],
        [
            "a/LC08_L2SP_197028_20230115_20230124_02_T1_SR_B4.TIF",
            "a/LC09_L2SP_197028_20230209_20230212_02_T2_SR_B4.TIF",
        ],
        ["a_2018-01-31T10-20-30.tif", "a_2018-02-28T10-21-00.tif"],
    ],
)
def test_products_of_several_dates_are_one_series_whatever_identifies_them(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        write_raster(
            tmp_path / name, _ones(2 if "/" not in name else 1), descriptions=("red", "nir") if "/" not in name else ()
        )
    (found,) = look(tmp_path).series.values()
    assert len(found.places) == 2
    settings = (
        Settings(path=Path(found.path), bands=("red", "nir"))
        if found.path
        else Settings({"red": Path(*found.variables.values())})
    )
    assert len(find(settings)) == 2


def test_products_of_one_date_stay_apart(tmp_path: Path) -> None:
    old, new = (f"S2A_MSIL2A_20230115_N0{n}_R051_T31TDL_x" for n in (509, 510))
    for name in (old, new):
        write_raster(tmp_path / f"{name}.tif", _ones(2), descriptions=("red", "nir"))
    assert len(look(tmp_path).series) == 2


def test_images_of_several_orbits_in_one_series_are_a_remark(tmp_path: Path) -> None:
    other = S1[1].replace("047005", "047006")
    for name in (S1[0], other):
        write_raster(tmp_path / f"{name}.tif", _ones(2), descriptions=("vv", "vh"))
    (remark,) = look(tmp_path).remarks
    assert "relative orbits 33, 34 of Sentinel-1" in remark


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("X0060_Y0041/20230115_LEVEL2_SEN2A_BOA.tif", "X0061_Y0041/20230115_LEVEL2_SEN2A_BOA.tif"),
        ("mosaic_2023-01/1058-1420_quad.tif", "mosaic_2023-01/1059-1420_quad.tif"),
        ("IMG_PNEO3_PAN_R1C1.TIF", "IMG_PNEO3_PAN_R1C2.TIF"),
        ("T31TDL_20230115_N0509_R051_T31TDL_x.tif", "T31TDM_20230115_N0510_R008_T31TDM_x.tif"),
    ],
)
def test_tiles_are_merged(tmp_path: Path, one: str, other: str) -> None:
    for k, name in enumerate((one, other)):
        write_raster(tmp_path / name, k + _ones(2), descriptions=("red", "nir"))
    found = look(tmp_path)
    ((_, source),) = [*found.series.items(), *found.images.items()]
    assert "{tile}" in source.path


@pytest.mark.parametrize("name", ["ls_map", "inc_map", "localIncidenceAngle", "layoverShadowMask", "sin_LIA"])
def test_layers_beside_radar_images_are_left_out(tmp_path: Path, name: str) -> None:
    for day in ("20230115", "20230127"):
        write_raster(tmp_path / f"S1A_IW_{day}_VV.tif", _ones().astype(np.float32) / 7)
        write_raster(tmp_path / f"S1A_IW_{day}_{name}.tif", _ones().astype(np.float32))
    found = look(tmp_path)
    assert all(name not in path for series in found.series.values() for path in series.variables.values())
    (skipped,) = found.skipped
    assert f"_{name}.tif and 1 more: the file name indicates the incidence angle or the layover" in skipped


# --- names of bands
@pytest.mark.parametrize(
    ("form", "numbers", "names"),
    [
        ("S2_{day}_{band}.tif", ["B2", "B4", "B8"], {"blue", "red", "nir"}),
        ("{day}_{band}.tif", ["B2", "B4", "B8", "B11"], {"blue", "red", "nir", "swir16"}),
        ("{day}_{band}.tif", ["B4", "B8A"], {"red", "nir08"}),
        ("{band}/{day}.tif", ["B2", "B4", "B8"], {"blue", "red", "nir"}),
        ("LC08_L2SP_197028_{day}_02_T1_SR_{band}.TIF", ["B2", "B4", "B5"], {"blue", "red", "nir"}),
        ("LE07_L2SP_197028_{day}_02_T1_SR_{band}.TIF", ["B1", "B3", "B4"], {"blue", "red", "nir"}),
    ],
)
def test_numbers_of_bands_without_zero_are_read_where_the_sensor_is_sure(
    tmp_path: Path, form: str, numbers: list[str], names: set[str]
) -> None:
    for k, band in enumerate(numbers):
        for day in ("20220103", "20220412"):
            write_raster(tmp_path / form.format(day=day, band=band), k + _ones())
    (found,) = look(tmp_path).series.values()
    assert set(found.variables) == names


def test_numbers_of_bands_that_two_sensors_have_get_no_name(tmp_path: Path) -> None:
    for k, band in enumerate(("B4", "B5", "B8")):
        for day in ("20220103", "20220412"):
            write_raster(tmp_path / f"{day}_{band}.tif", k + _ones())
    (found,) = look(tmp_path).series.values()
    assert not set(found.variables) & {"red", "nir"}


@pytest.mark.parametrize(
    ("stem", "described", "names"),
    [
        ("20230115T105031_T31TDL", ("B2", "B4", "B8"), ("blue", "red", "nir")),
        ("20230115", ("B2", "B4", "B8", "B11"), ("blue", "red", "nir", "swir16")),
        ("20230115", ("B4", "B5"), ("b4", "b5")),
        ("S1A_20230115", ("Sigma0_VH_db", "Sigma0_VV_db"), ("vh", "vv")),
        ("S1A_20230115", ("Gamma0_VV", "Beta0_IW1_VH"), ("vv", "vh")),
        ("S1A_20230115", ("Amplitude_VV", "Amplitude_VH"), ("amplitude_vv", "amplitude_vh")),
        ("LC08_197028_20230115", ("SR_B4", "SR_B5", "ST_B10"), ("red", "nir", "st_b10")),
        ("20230115", ("SR_B4", "SR_B5", "SR_B6"), ("red", "nir", "swir16")),
        ("20230115", ("SR_B4", "SR_B5"), ("sr_b4", "sr_b5")),
        ("HLSL30_20230115", ("B4", "B5"), ("red", "nir")),
        ("20230115", ("B4_median", "B8_median"), ("red", "nir")),
        ("20230115", ("B4_p25", "B4_p75"), ("b4_p25", "b4_p75")),
        ("20230115", ("B4 nir", "b3_red"), ("nir", "red")),
        ("20230115", ("red", "nir", "cs_cdf"), ("red", "nir", "-")),
    ],
)
def test_bands_of_files_are_named(
    tmp_path: Path, stem: str, described: tuple[str, ...], names: tuple[str, ...]
) -> None:
    write_raster(tmp_path / f"{stem}.tif", _ones(len(described)), descriptions=described)
    (found,) = look(tmp_path).series.values()
    assert found.bands == names


def test_bands_of_quads_of_planet_are_named_without_the_alpha_band(tmp_path: Path) -> None:
    for k in range(1, 5):
        name = f"mosaic_2023-0{1 + k // 3}/{1058 + k % 2}-1420_quad.tif"
        path = write_raster(tmp_path / name, np.full((5, 8, 8), 250 + k, np.uint16))
        with rasterio.open(path, "r+") as dataset:
            dataset.colorinterp = [ColorInterp.gray, *[ColorInterp.undefined] * 3, ColorInterp.alpha]
    (found,) = look(tmp_path).series.values()
    assert found.bands == ("blue", "green", "red", "nir", "-")


def test_a_ratio_of_radar_bands_is_a_remark(tmp_path: Path) -> None:
    for day in ("20230115", "20230127"):
        values = np.random.default_rng(0).uniform(0.01, 0.4, (3, 40, 40)).astype(np.float32)
        write_raster(tmp_path / f"img/S1_{day}.tif", values, descriptions=("VV", "VH", "ratio"))
    (candidate,) = candidates_of(look(tmp_path), tmp_path, tmp_path / "recipe.toml")
    assert any("'decibel' converts all bands, and ratio may be no" in remark for remark in candidate.remarks)


def test_radar_and_optical_bands_in_one_file_are_a_remark(tmp_path: Path) -> None:
    for k, day in enumerate(("20230115", "20230127")):
        values = np.linspace(300, 4000, 1600).reshape(1, 40, 40) + k
        pixels = np.concatenate([values, values, -values / 200])
        write_raster(tmp_path / f"img/{day}.tif", pixels.astype(np.float32).round(), descriptions=("red", "nir", "vv"))
    (candidate,) = candidates_of(look(tmp_path), tmp_path, tmp_path / "recipe.toml")
    assert any("Write radar and optical bands" in remark for remark in candidate.remarks)


# --- units
def _lines(folder: Path) -> list[str]:
    (candidate, *_) = candidates_of(look(folder), folder, folder.parent / "recipe.toml")
    return [line.partition("#")[0].strip() for line in candidate.draft.settings]


def test_the_bands_give_the_unit_and_not_a_layer_of_another_type_beside_them(tmp_path: Path) -> None:
    for day in ("20220103", "20220412"):
        write_raster(
            tmp_path / f"img/{day}_a.tif", np.random.default_rng(0).integers(0, 250, (1, 40, 40)).astype(np.uint8)
        )
        for band in ("red", "nir"):
            write_raster(
                tmp_path / f"img/{day}_{band}.tif", np.linspace(300, 4000, 1600).reshape(1, 40, 40).astype(np.uint16)
            )
    assert "scale = 0.0001" in _lines(tmp_path / "img")


@pytest.mark.parametrize(
    ("bands", "dtype", "low", "high"), [("red nir", "uint16", 300, 4000), ("vv vh", "float32", -22, -4)]
)
def test_zero_in_all_bands_is_nodata(bands: str, dtype: str, low: float, high: float) -> None:
    drawn = {
        band: np.random.default_rng(1).uniform(low, high, 500).astype(dtype).astype(float) for band in bands.split()
    }
    assert unit_of(drawn, dtype).nodata is None
    border = {band: np.append(values, np.zeros(20)) for band, values in drawn.items()}
    assert unit_of(border, dtype).nodata == 0
    dark = {
        band: values
        for k, (band, values) in enumerate((border | {"red" if low > 0 else "vv": list(drawn.values())[0]}).items())
    }
    assert unit_of(dark, dtype).nodata is None
    dry = border | {"rain": np.append(np.zeros(300), np.ones(220))}
    assert unit_of(dry, dtype).nodata is None


def test_zero_of_a_single_polarisation_is_nodata() -> None:
    drawn = np.random.default_rng(1).uniform(0.01, 0.4, 500)
    assert unit_of({"vv": drawn}, "float32").nodata is None
    assert unit_of({"vv": np.append(drawn, np.zeros(20))}, "float32").nodata == 0
    assert unit_of({"red": np.append(drawn, np.zeros(20))}, "float32").nodata is None


def test_large_fractions_of_radar_are_no_calibrated_power() -> None:
    values = {"vv": np.random.default_rng(1).uniform(40, 600, 500)}
    found = [unit_of(values, "float32", name=name) for name in ("s1 Amplitude_VV.img", "s1 VV.img", "s1 Sigma0_VV.img")]
    assert [unit.decibel for unit in found] == ["amplitude", "power", "power"]
    assert all("calibration" in unit.doubt for unit in found)
    assert not unit_of({"vv": values["vv"] / 1000}, "float32").doubt


def test_a_possible_offset_of_dark_images_is_a_doubt() -> None:
    bands = {"blue": (1010, 1900), "red": (1020, 1950), "nir": (1500, 4500)}
    values = {band: np.random.default_rng(1).uniform(*span, 500).round() for band, span in bands.items()}
    found = unit_of(values, "uint16", (datetime(2023, 5, 1),), "s2")
    assert found.offset == 0
    assert "'offset': -0.1" in found.doubt


def test_a_scene_classification_shows_that_images_are_of_sentinel2() -> None:
    values = {band: np.random.default_rng(1).uniform(1010, 4500, 500).round() for band in ("blue", "red", "nir")}
    found = [unit_of(values, "uint16", (datetime(2023, 5, 1),), name).offset for name in ("img red.tif", "img scl.tif")]
    assert found == [0, -0.1]


# --- masks
def test_bits_of_the_quality_layer_of_force_are_clear_without_cloud_shadow_and_snow() -> None:
    clear = clear_of("LEVEL2_SEN2A_QAI.tif", Codes({8192: 0.7, 8194: 0.2, 8200: 0.05, 1: 0.05})).values
    assert {0, 32, 8192, 8192 + 2048} <= set(clear)
    assert not {1, 2, 4, 8, 16, 8194, 8200} & set(clear)


def test_the_quality_layer_of_force_is_no_band(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for day in ("20220103", "20220412"):
        write_raster(tmp_path / f"{day}_LEVEL2_SEN2A_BOA.tif", _ones(2), descriptions=("RED", "NIR"))
        write_raster(tmp_path / f"{day}_LEVEL2_SEN2A_QAI.tif", rng.integers(0, 9000, (1, 40, 40)).astype(np.int16))
    (found,) = look(tmp_path).series.values()
    assert "QAI" in found.quality


def test_the_clear_value_of_brazil_data_cube_is_127() -> None:
    assert clear_of("CMASK.tif", Codes({127: 0.8, 255: 0.1, 0: 0.1})).values == (127,)


# --- tables
def _labels(path: Path, ids: list[str]) -> Path:
    pd.DataFrame({"id": ids, "crop": [f"crop {k % 3}" for k in range(len(ids))]}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("form", "bands", "wide"),
    [
        ("{day}T105031_{day}T105322_T31TDL_{band}", ("B4", "B8"), "{date}_*_{band}"),
        ("LC08_197028_{day}_{band}", ("SR_B4", "SR_B5"), "L*_{date}_{band}"),
        ("S1A_IW_GRDH_1SDV_{day}T173231_{day}T173256_046830_059D8B_1A2B_{band}", ("VH", "VV"), "S1*_{date}_*_{band}"),
    ],
)
def test_columns_of_stacks_of_earth_engine_are_series(
    tmp_path: Path, form: str, bands: tuple[str, ...], wide: str
) -> None:
    ids = [f"{k:020x}" for k in range(12)]
    labels = _labels(tmp_path / "labels.csv", ids)
    frame = pd.DataFrame({"id": ids})
    for k, day in enumerate(("20230115", "20230412", "20230720")):
        for band in bands:
            frame[form.format(day=day, band=band)] = np.arange(12) + 300 * k + len(band)
    (tmp_path / "t").mkdir()
    frame.to_csv(tmp_path / "t/series.csv", index=False)
    write_recipe(tmp_path / "t", labels, "crop", tmp_path / "r.toml")
    settings = next(iter(read_recipe(tmp_path / "r.toml").sources.values())).settings
    assert settings.wide == wide
    assert [f"{time:%Y%m%d}" for time in open_source("x", table, settings).times] == [
        "20230115",
        "20230412",
        "20230720",
    ]


def test_two_columns_of_one_band_and_date_are_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["a"], "20230115_T31TDL_B4": [1], "20230115_T31TDM_B4": [2]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(SourceError, match="same band and date"):
        open_source("x", table, table.Settings(tmp_path / "t.csv", "id", {"red": "B4"}, wide="{date}_*_{band}"))


def test_tables_of_one_sample_each_are_one_message(tmp_path: Path) -> None:
    labels = _labels(tmp_path / "labels.csv", [str(k) for k in range(12)])
    for k in range(12):
        path = tmp_path / f"t/{k}.csv"
        path.parent.mkdir(exist_ok=True)
        pd.DataFrame({"doa": ["2017-01-01", "2017-02-01"], "B4": [k, k], "B8": [k, 2]}).to_csv(path, index=False)
    with pytest.raises(BocageError, match=r"12 tables \(0\.csv.*Join them"):
        write_recipe(tmp_path / "t", labels, "crop", tmp_path / "r.toml")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("S2_10000.npy", "arrays of NumPy"),
        ("cube.nc", "NETCDF:"),
        ("cube.zarr/B04/0.0", "Zarr"),
        ("samples.rds", r"write\.csv"),
    ],
)
def test_formats_that_are_not_read_have_an_advice(tmp_path: Path, name: str, advice: str) -> None:
    for path in (tmp_path / "t" / name, tmp_path / "t" / name.replace("0.0", "0.1")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    with pytest.raises(BocageError, match=advice):
        write_recipe(
            tmp_path / "t", _labels(tmp_path / "labels.csv", ["1", "2", "3", "4"]), "crop", tmp_path / "r.toml"
        )


# --- labels
def test_fields_of_lists_and_objects_are_text(tmp_path: Path) -> None:
    square = {"type": "Polygon", "coordinates": [[[2, 46], [2, 47], [3, 47], [2, 46]]]}
    fields = [{"ID_PATCH": k, "dates-S2": {"0": 20180917}, "tags": ["a", str(k)]} for k in range(4)]
    features = [{"type": "Feature", "geometry": square, "properties": own} for own in fields]
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    frame = geopandas.read_file(tmp_path / "a.geojson").assign(bbox=[{"xmin": 2.0}] * 4)
    frame.to_parquet(tmp_path / "a.parquet")
    for name in ("a.geojson", "a.parquet"):
        found = read_labels(tmp_path / name, "ID_PATCH")
        assert set(found.siblings) == {"ID_PATCH", "tags"}
        assert set(found.ids()) == {"ID_PATCH", "tags"}


@pytest.mark.parametrize(
    "names", [("th_long", "th_lat"), ("decimalLongitude", "decimalLatitude"), ("gps_long", "gps_lat")]
)
def test_coordinates_of_lucas_and_of_gbif_are_read(tmp_path: Path, names: tuple[str, str]) -> None:
    pd.DataFrame({"lc1": ["B11", "B16"], names[0]: [2.5, 3.5], names[1]: [46.5, 47.5]}).to_csv(
        tmp_path / "p.csv", index=False
    )
    found = read_labels(tmp_path / "p.csv", "lc1")
    assert found.frame.crs.to_epsg() == 4326
    assert found.frame.geometry.x.tolist() == [2.5, 3.5]


# --- stacks of Google Earth Engine
def _stack(path: Path, form: str, bands: tuple[str, ...] = ("B4", "B8", "SCL"), east: int = 0) -> Path:
    """Write a stack whose values are 1000 × date + 100 × band, and a scene classification that is cloud at the second date."""
    values = [
        9 if band == "SCL" and k == 1 else 4 if band == "SCL" else 1000 * k + 100 * b + 300
        for k in (0, 1)
        for b, band in enumerate(bands)
    ]
    names = [form.format(day=day, k=k, band=band) for k, day in enumerate(("20230115", "20230209")) for band in bands]
    pixels = np.stack([np.full((8, 8), value, np.uint16) for value in values])
    return write_raster(path, pixels, Place(corner=(CORNER[0] + east, CORNER[1])), descriptions=names)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("S2_2023.tif", "{day}T105031_{day}T105322_T31TDL_{band}"),
        ("S2_20230101_20231231.tif", "{day}_{band}"),
        ("S2.tif", "{band}_{day}"),
    ],
)
def test_a_stack_of_variables_and_dates_is_a_series(tmp_path: Path, name: str, form: str) -> None:
    _stack(tmp_path / name, form)
    found = look(tmp_path)
    (candidate,) = candidates_of(found, tmp_path, tmp_path / "recipe.toml")
    source = candidate.source
    assert source.bands == ("red", "nir")
    assert [f"{time:%Y%m%d}" for time in source.times] == ["20230115", "20230209"]
    values, valid = source.read(source.grid, source.grid.window)
    assert np.unique(values[0]).tolist() == [300, 400]
    assert np.unique(values[1]).tolist() == [1300, 1400]
    assert 'quality = "' in " ".join(candidate.draft.settings)
    opened = open_source("s2", series, replace(_settings(candidate, tmp_path), clear=(4, 5, 6, 7)))
    assert opened.read(opened.grid, opened.grid.window)[1].any(axis=(1, 2)).tolist() == [True, False]


def _settings(candidate: Candidate, folder: Path) -> Settings:
    """Return the settings of the section of a series."""
    lines = [line for line in candidate.draft.settings if line.startswith(("path", "bands", "quality"))]
    given = tomllib.loads("\n".join(lines))
    return Settings(path=folder / given["path"], bands=tuple(given["bands"]), quality=folder / given["quality"])


@pytest.mark.parametrize("polarisations", [("VH", "VV"), ("VV",)])
def test_a_coregistered_stack_of_snap_is_a_series(tmp_path: Path, polarisations: tuple[str, ...]) -> None:
    images = ("mst_15Jan2023", "slv1_27Jan2023", "slv2_08Feb2023")
    names = [f"Sigma0_{polarisation}_{image}" for image in images for polarisation in polarisations]
    write_raster(
        tmp_path / "stack_vv.tif",
        np.linspace(0.01, 0.4, 64 * len(names), dtype=np.float32).reshape(-1, 8, 8),
        descriptions=names,
    )
    (candidate,) = candidates_of(look(tmp_path), tmp_path, tmp_path / "recipe.toml")
    assert candidate.source.bands == tuple(map(str.lower, polarisations))
    assert [f"{time:%m%d}" for time in candidate.source.times] == ["0115", "0127", "0208"]


def test_pieces_of_a_stack_are_merged(tmp_path: Path) -> None:
    for k in range(2):
        _stack(tmp_path / f"S2-0000000000-{8 * k:010d}.tif", "{day}_{band}", east=80 * k)
    (found,) = look(tmp_path).series.values()
    assert "{tile}" in found.path
    settings = Settings(path=Path(found.path), bands=found.bands, quality=Path(found.path))
    assert open_source("s2", series, settings).grid.shape == (8, 16)


def test_dates_beside_a_stack_that_can_be_read_in_two_ways(tmp_path: Path) -> None:
    write_raster(tmp_path / "B04.tif", np.random.default_rng(0).integers(300, 4000, (3, 8, 8)).astype(np.uint16))
    (tmp_path / "dates.txt").write_text("05/03/2018\n01/04/2018\n04/04/2018\n")
    (remark,) = [remark for remark in look(tmp_path).remarks if "dates.txt" in remark]
    assert (
        "B04.tif: the dates of its bands are not read from dates.txt: '05/03/2018' may have the day or the month"
        in remark
    )


def test_a_stack_of_numbered_images_needs_dates(tmp_path: Path) -> None:
    _stack(tmp_path / "S2.tif", "{k}_{band}")
    found = look(tmp_path)
    assert not found.series
    assert "text file with the 2 dates" in found.remarks[0]
    (tmp_path / "dates.txt").write_text("2023-01-15\n2023-02-09\n")
    (one,) = look(tmp_path).series.values()
    assert {day for day, _ in one.places} == {"2023-01-15", "2023-02-09"}
    assert find(Settings(path=Path(one.path), bands=one.bands, dates=one.dates, quality=Path(one.path)))


def test_variables_with_different_dates_are_skipped_with_the_command_that_splits_them(tmp_path: Path) -> None:
    names = ["20230115_B4", "20230115_B8", "20230209_B4", "20230209_B8", "20230310_B4"]
    write_raster(tmp_path / "my stack.tif", _ones(5), descriptions=names)
    found = look(tmp_path)
    assert not found.series
    assert "gdal_translate -b 1 -b 3 -b 5" in found.skipped[0]


def test_a_stack_needs_a_name_and_a_date_for_each_band(tmp_path: Path) -> None:
    path = _stack(tmp_path / "S2.tif", "{day}_{band}")
    with pytest.raises(SourceError, match="Give a name and a date for each band"):
        find(Settings(path=path, bands=("red", "nir", "red")))
    with pytest.raises(SourceError, match="two bands are 'red'"):
        find(Settings(path=path, bands=("red", "red", "-", "red", "nir", "-")))
    with pytest.raises(ValueError, match="must contain"):
        Settings(path=path, bands=("red", "nir"))


def test_names_of_a_shapefile_of_utf8_without_its_encoding_are_a_remark(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame(
        {"culture": ["Blé tendre", "Maïs", "Blé tendre", "Maïs"]},
        geometry=geopandas.points_from_xy(range(4), range(4)),
        crs=4326,
    )
    frame.to_file(tmp_path / "fields.shp", encoding="UTF-8")
    assert not read_labels(tmp_path / "fields.shp").remarks
    (tmp_path / "fields.cpg").unlink()
    (remark,) = read_labels(tmp_path / "fields.shp").remarks
    assert "is 'Blé tendre'" in remark
    assert ".cpg" in remark


# --- products
def test_products_of_some_bands_are_read_with_the_bands_that_all_have(lands: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "img"
    shutil.copytree(lands["safe"] / FORMATS["safe"].SENSOR, folder)
    for path in [path for path in folder.rglob("*_B11_*") if path.is_file()]:
        path.unlink()
    (candidate,) = candidates_of(look(folder), folder, tmp_path / "recipe.toml")
    assert "swir16" not in candidate.source.bands
    assert {"red", "nir"} <= set(candidate.source.bands)
    assert any(line.startswith("bands = ") for line in candidate.draft.settings)
    assert "products lack bands" in candidate.remarks[0]


@pytest.mark.parametrize(
    ("name", "advice"), [("a.xlsx", "Save the sheet as CSV"), ("a.rds", r"write\.csv"), ("a.npy", "NumPy")]
)
def test_labels_in_a_format_that_is_not_read_have_an_advice(tmp_path: Path, name: str, advice: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(SamplesError, match=advice):
        read_labels(tmp_path / name)


def test_layers_that_are_classes_can_be_joined(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame({"id": [1, 2]}, geometry=geopandas.points_from_xy([1, 2], [1, 2]), crs=4326)
    for name in ("wheat", "maize"):
        frame.to_file(tmp_path / "a.gpkg", layer=name)
    with pytest.raises(SamplesError, match="If each layer is a class, join them: ogrmerge"):
        read_labels(tmp_path / "a.gpkg")
