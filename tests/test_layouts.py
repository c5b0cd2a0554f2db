"""Folders as public services deliver them: names of files and bands, masks, units."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bocage.sources.inventory import look
from bocage.sources.series import Settings, find
from bocage.testing import write_raster


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
    assert len(found.skipped) == 2
