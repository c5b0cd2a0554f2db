"""Which pixels of a file are valid: nodata, masks, alpha, the outside of the file, nested and warped; and files behind files."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from bocage.errors import SourceError
from bocage.grid import Grid
from bocage.scene import Preparation
from bocage.sources import SENSORS, Acquisition, BandFile, Decoding, Source, image, open_source, series
from bocage.sources.raster import inspect
from bocage.testing import write_raster
from bocage.testing.fakes import CORNER

SIDE = 24
OWN = Grid.of("EPSG:32740", Affine(10, 0, CORNER[0], 0, -10, CORNER[1]), (SIDE, SIDE))
SHIFTED = Grid.of("EPSG:32740", Affine(10, 0, CORNER[0] + 2, 0, -10, CORNER[1] - 2), (SIDE - 1, SIDE - 1))
"""A grid that does not nest: reading onto it warps."""
HOLE = np.zeros((SIDE, SIDE), bool)
HOLE[:8] = True
"""North of the image, which was never seen."""
GRIDS = pytest.mark.parametrize("grid", [OWN, SHIFTED], ids=["nested", "warped"])
WARPS = pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic", "average"])


def opened(path, **more):
    return open_source("x", image, image.Settings(path, **more))


def seen(path, grid, **more):
    """Return values (band, y, x) and valid (y, x), read with bilinear resampling."""
    values, valid = opened(path, **more).read(grid, grid.window, "bilinear")
    return values[0], valid[0]


def pixels(count, dtype="uint16", base=1000):
    """Return bands without a 0 in the south, and 0 in the hole."""
    bands = (
        base + np.arange(count)[:, None, None] * 10 + np.arange(SIDE)[None, :, None] + np.arange(SIDE)[None, None, :]
    )
    return np.where(HOLE, 0, bands).astype(dtype)


def tagged(path, bands, tags=None, **profile):
    """Write a GeoTIFF with further creation options, and metadata."""
    with rasterio.open(
        path, "w", driver="GTiff", height=SIDE, width=SIDE, count=len(bands), dtype=bands.dtype, crs="EPSG:32740",
        transform=OWN.transform, **profile,
    ) as dataset:  # fmt: skip
        dataset.write(bands)
        dataset.update_tags(**(tags or {}))
    return path


def masked(path, internal):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(~HOLE)
    return path


def vrt(path, files, nodata=None, more=""):
    """Write a VRT with one band per file, or per band of the only file."""
    bands = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{i}">'
        + (f"<NoDataValue>{nodata[i - 1]}</NoDataValue>" if nodata else "")
        + f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename><SourceBand>{band}</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for i, (name, band) in enumerate(files, start=1)
    )
    place = ", ".join(str(OWN.transform.to_gdal()[i]) for i in range(6))
    path.write_text(
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}"><SRS>EPSG:32740</SRS><GeoTransform>{place}</GeoTransform>'
        f"{bands}{more}</VRTDataset>"
    )
    return path


def _per_band(folder):
    bands = pixels(2)
    bands[1, :8] = 7
    write_raster(folder / "stored.tif", bands)
    return vrt(folder / "r.vrt", [("stored.tif", 1), ("stored.tif", 2)], nodata=(65535, 7)), {}


def _mask_of_vrt(folder):
    write_raster(folder / "stored.tif", pixels(2))
    write_raster(folder / "mask.tif", ~HOLE[None] * np.uint8(255))
    band = '<SimpleSource><SourceFilename relativeToVRT="1">mask.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
    mask = f'<MaskBand><VRTRasterBand dataType="Byte">{band}</VRTRasterBand></MaskBand>'
    return vrt(folder / "r.vrt", [("stored.tif", 1), ("stored.tif", 2)], more=mask), {}


UNSEEN = {
    "declared": lambda f: (write_raster(f / "r.tif", pixels(2), nodata=0), {}),
    "internal mask": lambda f: (masked(write_raster(f / "r.tif", pixels(2)), True), {}),
    "mask beside the file": lambda f: (masked(write_raster(f / "r.tif", pixels(2)), False), {}),
    "mask of five bands": lambda f: (masked(write_raster(f / "r.tif", pixels(5)), True), {}),
    "alpha of 16 bits": lambda f: (
        tagged(
            f / "r.tif", np.concatenate([pixels(3), ~HOLE[None] * np.uint16(65535)]), photometric="RGB", alpha="yes"
        ),
        {"bands": ("red", "green", "blue", "-")},
    ),
    "alpha of 8 bits, read as a band": lambda f: (
        tagged(f / "r.tif", np.concatenate([pixels(3, "uint8", 60), ~HOLE[None] * np.uint8(255)])),
        {},
    ),
    "nodata of each band": _per_band,
    "nodata of all bands together": lambda f: (
        tagged(f / "r.tif", pixels(2), tags={"NODATA_VALUES": "0 0"}),
        {},
    ),
    "mask of a VRT": _mask_of_vrt,
    "NaN": lambda f: (write_raster(f / "r.tif", np.where(HOLE, np.nan, pixels(2)).astype(np.float32)), {}),
}


@GRIDS
@pytest.mark.parametrize("case", list(UNSEEN))
def test_what_was_never_seen_is_not_valid(tmp_path, case, grid):
    path, more = UNSEEN[case](tmp_path)
    values, valid = seen(path, grid, **more)
    assert not valid[:7].any()
    assert valid[8:].all()
    assert values[0, valid].min() >= 60, "no value mixed with 0"


@GRIDS
def test_near_infrared_that_gdal_declares_as_alpha_is_a_measurement(tmp_path, grid):
    """GDAL declares the fourth band of an 8-bit image as alpha; in water, near infrared is 0."""
    bands = np.concatenate([pixels(3, "uint8", 60), pixels(1, "uint8", 90)])
    bands[:, HOLE] = np.array([9, 8, 7, 0])[:, None]
    path = tagged(tmp_path / "r.tif", bands)
    with rasterio.open(path) as dataset:
        assert dataset.colorinterp[3].name == "alpha"
    values, valid = seen(path, grid, bands=("red", "green", "blue", "nir"))
    assert valid.all()
    assert not values[3, :7].any()


@WARPS
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_nothing_is_valid_outside_a_warped_file_without_nodata(tmp_path, dtype, count, resampling):
    path = write_raster(tmp_path / "r.tif", np.full((count, 12, 12), 100, dtype))
    grid = Grid.of("EPSG:32740", Affine(10, 0, CORNER[0] - 57, 0, -10, CORNER[1] + 57), (24, 24))
    values, valid = opened(path).read(grid, grid.window, resampling)
    assert valid.sum() == pytest.approx(144, abs=26)
    assert np.allclose(values[0][:, valid[0]], 100)


def test_the_first_tile_of_a_date_does_not_hide_the_second(tmp_path):
    """Tiles in two zones, float, without nodata: the warped outside of one covers the other."""
    for name, zone in (("a", 31), ("b", 32)):
        with rasterio.open(
            tmp_path / f"{name}.tif", "w", driver="GTiff", height=40, width=40, count=1, dtype="float32",
            crs=f"EPSG:326{zone}", transform=Affine(10, 0, 500_000 if zone == 32 else 972_800, 0, -10, 5_000_200),
        ) as dataset:  # fmt: skip
            dataset.write(np.full((1, 40, 40), 0.3, np.float32))
    tiles = [Acquisition(None, {"b1": BandFile(tmp_path / f"{name}.tif", 1)}, date="one date") for name in ("a", "b")]
    with rasterio.open(tmp_path / "b.tif") as dataset:
        grid = Grid.of(dataset.crs, dataset.transform @ Affine.translation(-60, -10), (60, 120))
    for order in (tiles, tiles[::-1]):
        values, valid = Source("s", image, tuple(order)).read(grid, grid.window)
        assert valid[:, 10:50, 60:100].all()
        assert np.allclose(values[:, 0][valid], 0.3)


@GRIDS
def test_a_clear_value_that_a_quality_layer_declares_as_nodata_is_clear(tmp_path, grid):
    path = write_raster(tmp_path / "r.tif", pixels(1) + np.uint16(1))
    cloud = write_raster(tmp_path / "cloud.tif", HOLE[None].astype(np.uint8), nodata=0)
    _, valid = seen(path, grid, quality=cloud, clear=(0,))
    assert not valid[:7].any()
    assert valid[8:].all()
    unlisted = write_raster(tmp_path / "other.tif", np.where(HOLE, 255, 1)[None].astype(np.uint8), nodata=255)
    _, valid = seen(path, grid, quality=unlisted)
    assert not valid[:7].any()
    assert valid[8:].all()


def test_theia_masks_that_declare_0_as_nodata_mask_nothing(tmp_path):
    path = write_raster(tmp_path / "r.tif", pixels(1) + np.uint16(1))
    mask = write_raster(tmp_path / "clm.tif", HOLE[None].astype(np.uint8), nodata=0)
    theia = SENSORS.get("sentinel2_theia")
    acquisition = Acquisition(None, {"red": BandFile(path, 1)}, {"CLM_R1": BandFile(mask, 1)}, theia.CLEAR)
    _, valid = Source("s", theia, (acquisition,)).read(OWN, OWN.window)
    assert np.array_equal(valid[0], ~HOLE)


@WARPS
def test_special_values_do_not_bleed_into_their_neighbours(tmp_path, resampling):
    """A saturated pixel and nodata beside 3000: every valid pixel is 3000."""
    bands = np.full((2, SIDE, SIDE), 3000, np.uint16)
    bands[0, 12, 12], bands[1, 5, 6], bands[:, :3] = 65535, 65535, 0
    path = write_raster(tmp_path / "r.tif", bands, nodata=0)
    files = {f"b{i}": BandFile(path, i, Decoding(special=(65535,))) for i in (1, 2)}
    values, valid = Source("s", image, (Acquisition(None, files),)).read(SHIFTED, SHIFTED.window, resampling)
    assert np.array_equal(np.unique(values[:, :, valid[0]]), [3000])
    assert not valid[0, 12, 12], "most of its area is saturated"
    assert not valid[0, 5, 6]
    assert valid[0, 3:].sum() == (SIDE - 1) * (SIDE - 4) - 2, "no other pixel is lost"


def test_a_large_reduction_is_read_in_parts_with_the_same_result(tmp_path, monkeypatch):
    """Warping a whole image onto a small picture does not hold the image in memory."""
    from bocage.sources import raster

    path = write_raster(tmp_path / "r.tif", pixels(2), nodata=0)
    picture = Grid.of("EPSG:32740", OWN.transform @ Affine.scale(2.4), (10, 10))
    source = opened(path)
    whole = source.read(picture, picture.window, "average")
    monkeypatch.setattr(raster, "AT_ONCE", 200)
    parts = source.read(picture, picture.window, "average")
    assert np.array_equal(whole[0], parts[0])
    assert np.array_equal(whole[1], parts[1])


def test_imagery_is_interpolated_and_codes_are_not(tmp_path):
    assert Preparation().resampling == "bilinear"
    codes = np.where(HOLE, 1, 9)[None].astype(np.uint8)
    path = write_raster(tmp_path / "classes.tif", codes)
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {1: (255, 0, 0, 255), 9: (0, 255, 0, 255)})
    values, _ = seen(path, SHIFTED)
    assert set(np.unique(values)) <= {1, 9}


# --- files behind files
def later(path: Path) -> None:
    """Set the modification time a second ahead: two writes may fall in one tick of the clock."""
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))


@pytest.mark.parametrize("link", ["file", "folder"])
@pytest.mark.parametrize("name", ["a.tif", "../img/a.tif"])
def test_a_vrt_behind_a_link_refers_to_the_files_beside_the_vrt(tmp_path, link, name):
    deep, user = tmp_path / "store/deep", tmp_path / "user"
    for folder in (user, deep, tmp_path / "store/img"):
        folder.mkdir(parents=True)
    target = write_raster((deep / name).resolve(), np.ones((1, 8, 8), np.uint8))
    vrt(deep / "r.vrt", [(name, 1)])
    if link == "file":
        (user / "r.vrt").symlink_to(deep / "r.vrt")
    else:
        (user / "linked").symlink_to(deep)
    path = user / "r.vrt" if link == "file" else user / "linked/r.vrt"
    found = {Path(os.path.realpath(file)) for file in inspect(path).files}
    assert found == {deep / "r.vrt", target}


def test_rasters_behind_a_vrt_count_whatever_the_depth(tmp_path):
    """Replaced images give another fingerprint, and are read anew in the same process."""
    write_raster(tmp_path / "img/a.tif", pixels(1))
    vrt(tmp_path / "inner.vrt", [("img/a.tif", 1)])
    source = opened(vrt(tmp_path / "outer.vrt", [("inner.vrt", 1)]))
    before, (values, _) = source.fingerprints(), source.read(OWN, OWN.window)
    assert [Path(p).name for p in before] == ["a.tif", "inner.vrt", "outer.vrt"]
    write_raster(tmp_path / "img/a.tif", pixels(1) + np.uint16(5))
    later(tmp_path / "img/a.tif")
    after, (again, _) = source.fingerprints(), source.read(OWN, OWN.window)
    assert {Path(p).name for p in before if before[p] != after[p]} == {"a.tif"}
    assert np.array_equal(again, values + 5)


def test_the_mask_of_a_vrt_counts_and_a_missing_raster_is_refused(tmp_path):
    path, _ = _mask_of_vrt(tmp_path)
    assert [Path(p).name for p in opened(path).fingerprints()] == ["mask.tif", "r.vrt", "stored.tif"]
    (tmp_path / "mask.tif").unlink()
    for _ in range(2):  # GDAL gives zeros from the second time on
        with pytest.raises(SourceError, match=r"r\.vrt refers to .*mask\.tif, which does not exist"):
            opened(path)


def test_rasters_of_a_zip_behind_a_vrt_count(tmp_path):
    write_raster(tmp_path / "a.tif", pixels(1))
    shutil.make_archive(str(tmp_path / "tiles"), "zip", tmp_path, "a.tif")
    path = vrt(tmp_path / "r.vrt", [("X", 1)])
    path.write_text(path.read_text().replace('"1">X', f'"0">/vsizip/{tmp_path}/tiles.zip/a.tif'))
    source = open_source("x", series, series.Settings({"red": path}, dates=("2022-01-03",)))
    assert [Path(p).name for p in source.fingerprints()] == ["r.vrt", "tiles.zip"]


def test_statistics_of_qgis_with_the_descriptions_of_the_file_do_not_count(tmp_path):
    """GDAL writes the descriptions of the bands with the statistics that QGIS asks for when it shows an image."""
    path = write_raster(tmp_path / "r.tif", np.repeat(pixels(1), 2, 0), descriptions=["2022-01-03", "2022-02-03"])
    before = open_source("x", series, series.Settings({"red": path})).fingerprints()
    text = (
        '<PAMDataset><PAMRasterBand band="1"><Description>2022-01-03</Description><Metadata><MDI key="STATISTICS_MEAN">3</MDI>'
        '</Metadata></PAMRasterBand><PAMRasterBand band="2"><Description>{}</Description></PAMRasterBand></PAMDataset>'
    )
    side = tmp_path / "r.tif.aux.xml"
    side.write_text(text.format("2022-02-03"))
    source = open_source("x", series, series.Settings({"red": path}))
    assert source.fingerprints() == before
    side.write_text(text.format("2022-03-03"))
    other = open_source("x", series, series.Settings({"red": path}))
    assert other.times[1].month == 3
    assert set(other.fingerprints()) - set(before) == {str(side)}


def test_a_mask_beside_a_file_counts_and_statistics_do_not(tmp_path):
    """Viewers write statistics beside an image: they change nothing that is read."""
    path = write_raster(tmp_path / "r.tif", pixels(1))
    source = opened(path)
    before = source.fingerprints()
    side = tmp_path / "r.tif.aux.xml"
    text = '<PAMDataset><PAMRasterBand band="1">{}<Metadata><MDI key="STATISTICS_MEAN">3</MDI></Metadata></PAMRasterBand></PAMDataset>'
    side.write_text(text.format(""))
    assert source.fingerprints() == before
    assert source.read(OWN, OWN.window)[1].all()
    side.write_text(text.format("<NoDataValue>0</NoDataValue>"))
    nodata = source.fingerprints()
    assert nodata.keys() - before.keys() == {str(side)}
    assert np.array_equal(source.read(OWN, OWN.window)[1][0], ~HOLE)
    side.unlink()
    masked(path, False)
    assert [Path(p).name for p in source.fingerprints()] == ["r.tif", "r.tif.msk"]
    assert np.array_equal(source.read(OWN, OWN.window)[1][0], ~HOLE)
