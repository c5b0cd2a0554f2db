"""Which pixels of a file are valid: nodata, masks, alpha, the outside of the file, nested and warped; and files behind files."""

import os
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import MaskFlags

from bocage.errors import SourceError
from bocage.grid import Grid, Window
from bocage.scene import Preparation
from bocage.sources import SENSORS, Acquisition, BandFile, Decoding, Source, image, open_source, series
from bocage.sources.raster import inspect, read
from bocage.sources.until import within
from bocage.sources.values import codes_of
from bocage.testing import write_raster
from bocage.testing.fakes import CORNER
from bocage.view import imagery

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


def vrt(path, files, nodata=None, more="", types=None):
    """Write a VRT with one band per file, or per band of the only file."""
    bands = "".join(
        f'<VRTRasterBand dataType="{types[i - 1] if types else "UInt16"}" band="{i}">'
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


@GRIDS
@pytest.mark.parametrize("fill", [0, 9], ids=["black", "dark"])
def test_bands_that_are_read_do_not_change_the_validity_of_others(tmp_path, grid, fill):
    """Near infrared is 0 on water, and the recipe may skip it: only pixels that are 0 in all bands have no data."""
    bands = np.concatenate([pixels(3, "uint8", 60), pixels(1, "uint8", 90)])
    bands[:3, HOLE] = fill
    path = tagged(tmp_path / "r.tif", bands)
    expected = seen(path, grid, bands=("red", "green", "blue", "nir"))[1]
    assert bool(expected[:7].any()) == bool(fill)
    for names in ("red", "green", "blue", "-"), ("-", "green", "-", "-"), ("-", "-", "-", "nir"):
        assert np.array_equal(seen(path, grid, bands=names)[1], expected)


@GRIDS
def test_an_alpha_band_with_soft_edges_is_a_mask(tmp_path, grid):
    """White outside the image; the row at its edge is half transparent."""
    alpha = np.where(HOLE, 0, 255).astype(np.uint8)
    alpha[8] = 128
    colours = np.where(HOLE, 255, pixels(3, "uint8", 60)).astype(np.uint8)
    path = tagged(tmp_path / "r.tif", np.concatenate([colours, alpha[None]]))
    for names in ("red", "green", "blue", "-"), ():
        _, valid = seen(path, grid, bands=names)
        assert not valid[:7].any()
        assert valid[8:].all()


DATES = ("2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01")


def _cloudy():
    """Return clouds of four dates (date, y, x), 1 where cloudy."""
    return (np.random.default_rng(0).random((4, SIDE, SIDE)) < 0.2).astype(np.uint8)


def test_dates_of_the_recipe_are_no_alpha_band(tmp_path):
    """GDAL declares the fourth of four 8-bit bands as alpha; these have no description, and only two values."""
    clouds = write_raster(tmp_path / "cloud_mask.tif", _cloudy())
    red = write_raster(tmp_path / "red.tif", np.full((4, SIDE, SIDE), 900, np.uint16))
    assert inspect(clouds).alpha == 4
    settings = series.Settings({"red": red}, dates=DATES, quality=clouds, clear=(0,))
    source = open_source("x", series, settings)
    assert np.array_equal(source.read(OWN, OWN.window)[1], _cloudy() == 0)
    assert np.array_equal(codes_of(source).share((0,)), (_cloudy() == 0).mean())
    spring = within(source, (date(2020, 1, 1), date(2020, 3, 31)))
    assert np.array_equal(spring.read(OWN, OWN.window)[1], _cloudy()[:3] == 0)
    measured = open_source("x", series, series.Settings({"frost": clouds}, dates=DATES))
    values, valid = measured.read(OWN, OWN.window)
    assert valid.all()
    assert np.array_equal(values[:, 0], _cloudy())


def test_a_quality_layer_is_no_alpha_band_of_its_image(tmp_path):
    """The clouds are the fourth band, 0 where clear."""
    cloudy = _cloudy()[0]
    path = tagged(tmp_path / "20200101.tif", np.concatenate([pixels(3, "uint8", 60), cloudy[None]]))
    names = ("red", "green", "blue", "-")
    _, valid = seen(path, OWN, bands=names, quality=path, quality_band=4, clear=(0,))
    assert np.array_equal(valid, cloudy == 0)
    dated = tmp_path / "{date}.tif"
    settings = series.Settings(path=dated, bands=names, quality=dated, quality_band=4, clear=(0,))
    _, valid = open_source("x", series, settings).read(OWN, OWN.window)
    assert np.array_equal(valid[0], cloudy == 0)


def test_sources_without_an_alpha_band_are_described_as_before(tmp_path):
    """The text is part of the digests of prepared scenes."""
    red = write_raster(tmp_path / "red.tif", np.full((4, SIDE, SIDE), 900, np.uint16))
    (first, *_) = open_source("x", series, series.Settings({"red": red}, dates=DATES)).described
    assert first.endswith(
        "files={'red': BandFile(path=PosixPath('red.tif'), index=1, decoding=Decoding(scale=1.0, offset=0.0, nodata=None, "
        "special=(), decibel='', floor=-40.0, squared=False))}, quality={}, clear=(), date='', hidden=None, details={})"
    )


TYPED = {"scl": "uint8", "red": "uint16", "ndvi": "float32", "dem": "int32"}


@GRIDS
@pytest.mark.parametrize(
    "bands", [("-", "red", "-", "-"), ("scl", "red", "-", "-"), ("scl", "-", "ndvi", "dem"), tuple(TYPED)]
)
def test_bands_of_different_data_types_are_read_as_each_alone(tmp_path, bands, grid):
    """As ``gdalbuildvrt -separate`` writes them. The order of the bands is that of the recipe."""
    rows = np.arange(1, SIDE + 1)[:, None] * np.ones(SIDE)
    stored = {"scl": rows, "red": rows * 1000, "ndvi": rows * 12.3, "dem": rows * -70_000 - 1}
    files = {
        name: write_raster(tmp_path / f"{name}.tif", layer[None].astype(TYPED[name])) for name, layer in stored.items()
    }
    kinds = ("Byte", "UInt16", "Float32", "Int32")
    nodata = (3, 4000, float(np.float32(5 * 12.3)), -70_001)
    path = vrt(tmp_path / "r.vrt", [(file.name, 1) for file in files.values()], nodata, types=kinds)
    assert inspect(path).dtypes == tuple(TYPED.values())
    source = opened(path, bands=bands)
    values, valid = source.read(grid, grid.window, "bilinear")
    for band in source.bands:
        alone, known = seen(path, grid, bands=tuple(name if name == band else "-" for name in TYPED))
        own = opened(files[band], bands=(band,)).read(grid, grid.window, "bilinear")[0][0, 0]
        assert np.array_equal(values[0, source.bands.index(band)][valid[0]], alone[0][valid[0]])
        assert not known[:7].all()
        assert np.allclose(alone[0][8:], own[8:])
        assert not (valid[0] & ~known).any()
    assert valid[0, 8:].all()


def test_values_of_each_band_are_stored_in_its_own_type(tmp_path):
    write_raster(tmp_path / "a.tif", np.full((1, SIDE, SIDE), 200, np.uint8))
    write_raster(tmp_path / "b.tif", np.full((1, SIDE, SIDE), 292.7, np.float32))
    path = vrt(tmp_path / "r.vrt", [("a.tif", 1), ("b.tif", 1)], types=("Byte", "Float32"))
    for indexes, dtype, expected in (
        ([1], "uint8", [200]),
        ([2], "float32", [292.7]),
        ([2, 1, 2], "float32", [292.7, 200, 292.7]),
    ):
        values, valid = read(path, indexes, OWN, OWN.window, "nearest")
        assert (values.dtype, valid.all()) == (dtype, True)
        assert np.allclose(values[:, 0, 0], expected)
    outside, valid = read(path, [1, 2], OWN, Window(100, 100, 3, 3), "nearest")
    assert (outside.shape, valid.any()) == ((2, 3, 3), False)


def test_bands_of_different_types_are_shown(tmp_path):
    """The viewer reads the files with rio-tiler."""
    write_raster(tmp_path / "a.tif", np.full((1, SIDE, SIDE), 200, np.uint8))
    write_raster(tmp_path / "b.tif", np.full((1, SIDE, SIDE), 292.7, np.float32))
    path = vrt(tmp_path / "r.vrt", [("a.tif", 1), ("b.tif", 1)], types=("Byte", "Float32"))
    values, valid = imagery._acquired(opened(path), OWN, 0)
    assert valid.all()
    assert np.allclose(values[:, 0, 0], [200, 292.7])


def test_a_quality_layer_in_a_file_of_another_type(tmp_path):
    write_raster(tmp_path / "red.tif", np.full((1, SIDE, SIDE), 3000, np.uint16))
    write_raster(tmp_path / "scl.tif", np.where(HOLE, 9, 4)[None].astype(np.uint8))
    path = vrt(tmp_path / "r.vrt", [("scl.tif", 1), ("red.tif", 1)], types=("Byte", "UInt16"))
    values, valid = seen(path, OWN, bands=("-", "red"), quality=path, quality_band=1, clear=(4,))
    assert np.array_equal(valid, ~HOLE)
    assert (values[0, valid] == 3000).all()


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


# --- rows from south to north
def upside_down(path, usual):
    """Write the pixels, nodata value and mask of a raster with rows from south to north."""
    with rasterio.open(usual) as dataset:
        place = dataset.transform @ Affine.translation(0, SIDE) @ Affine.scale(1, -1)
        values, profile, masked = dataset.read(), dataset.profile, MaskFlags.per_dataset in dataset.mask_flag_enums[0]
        mask = dataset.dataset_mask() if masked and MaskFlags.alpha not in dataset.mask_flag_enums[0] else None
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", **profile | {"transform": place}) as dataset,
    ):
        dataset.write(values[:, ::-1])
        if mask is not None:
            dataset.write_mask(mask[::-1])
    return path


def _large_numbers(folder):
    return write_raster(folder / "r.tif", (2**53 + 1 + np.arange(SIDE * SIDE)).reshape(1, SIDE, SIDE))


def _near_infrared_on_water(folder):
    bands = np.concatenate([pixels(3, "uint8", 60), pixels(1, "uint8", 90)])
    bands[:3, HOLE] = 9
    return tagged(folder / "r.tif", bands)


TURNED = {
    "nodata": lambda f: write_raster(f / "r.tif", pixels(2), nodata=0),
    "mask": lambda f: masked(write_raster(f / "r.tif", pixels(2)), True),
    "near infrared": _near_infrared_on_water,
    "above 2^53": _large_numbers,
    "NaN": lambda f: write_raster(f / "r.tif", np.where(HOLE, np.nan, pixels(2)).astype(np.float32)),
}


@GRIDS
@pytest.mark.parametrize("case", list(TURNED))
def test_rows_from_south_to_north_are_read_as_from_north_to_south(tmp_path, case, grid):
    usual = TURNED[case](tmp_path)
    turned = upside_down(tmp_path / "turned.tif", usual)
    about, own = inspect(turned), inspect(usual)
    assert about.turned
    assert (about.grid, about.nodatas, about.masked) == (own.grid, own.nodatas, own.masked)
    bands = range(1, own.count + 1)
    for window in grid.window, Window(3, 2, 9, 7), grid.window.pad(2, 3):
        for ours, theirs in zip(
            *(read(path, bands, grid, window, "bilinear") for path in (turned, usual)), strict=True
        ):
            assert np.array_equal(ours, theirs, equal_nan=True)


def test_each_band_of_rows_from_south_to_north_keeps_its_nodata(tmp_path):
    stored = np.stack([np.where(HOLE, k, 9 + k) for k in (1, 2, 3)]).astype(np.uint16)
    write_raster(tmp_path / "stored.tif", stored[:, ::-1])
    path = vrt(tmp_path / "r.vrt", [("stored.tif", i) for i in (1, 2, 3)], nodata=(1, 2, 3))
    up = OWN.transform @ Affine.translation(0, SIDE) @ Affine.scale(1, -1)
    usual, turned = (", ".join(map(str, place.to_gdal())) for place in (OWN.transform, up))
    path.write_text(path.read_text().replace(usual, turned))
    assert inspect(path).nodatas == (1, 2, 3)
    values, valid = read(path, [1, 2, 3], OWN, OWN.window, "nearest")
    assert np.array_equal(valid, np.broadcast_to(~HOLE, valid.shape))
    assert np.array_equal(values, stored)


# --- files behind files
def later(path: Path) -> None:
    """Set the modification time a second ahead: two writes may fall in one tick of the clock."""
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))


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
