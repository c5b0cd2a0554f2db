"""Features of pixels as sources: AlphaEarth and TESSERA as they are delivered, rows from south to north."""

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine

from bocage.errors import SourceError
from bocage.jobs.check import check
from bocage.jobs.init import write_recipe
from bocage.recipe import read_recipe
from bocage.sources import SENSORS, open_source
from bocage.sources.alphaearth import NAMES, Settings
from bocage.sources.raster import inspect, read
from bocage.sources.tessera import NAMES as TESSERA
from bocage.sources.tessera import Settings as TesseraSettings
from bocage.testing import Place, check_sensor, write_raster
from bocage.testing.fakes import CORNER
from test_init import parcels

SIZE = 12


def stored(seed=0, bands=64):
    return np.random.default_rng(seed).integers(-127, 128, (bands, SIZE, SIZE)).astype(np.int8)


def earth(folder, years=(2023, 2024), pixels=None):
    """Write two neighbouring tiles a year in the layout of the bucket, and return the folder."""
    for k, year in enumerate(years):
        for tile in (0, 1):
            place = Place(10, (CORNER[0] + 10 * SIZE * tile, CORNER[1]))
            values = stored(2 * k + tile) if pixels is None else pixels
            write_raster(folder / f"{year}/40S/x{tile}-0000000000-0000000000.tiff", values, place, -128, NAMES)
    return folder


def opened(name, settings):
    return open_source("features", SENSORS.get(name), settings)


# --- AlphaEarth
def test_stored_values_are_squared_with_their_sign(tmp_path):
    pixels = stored()
    pixels[:, 0, 0] = -128
    pixels[:4, 1, 1] = [-127, 0, 64, 127]
    source = opened("alphaearth", Settings(earth(tmp_path, (2024,), pixels)))
    values, valid = source.read(source.grid, source.grid.window)
    whole = pixels.astype(np.float64)
    assert np.allclose(values[0, :, 1:, :SIZE], (np.sign(whole) * (whole / 127.5) ** 2)[:, 1:], atol=1e-6)
    assert np.allclose(values[0, :4, 1, 1], [-0.992172, 0, 0.251965, 0.992172], atol=1e-6)
    assert not valid[0, 0, 0]
    assert valid.sum() == 2 * SIZE * SIZE - 2


def test_the_tiles_of_a_year_are_one_date(tmp_path):
    source = opened("alphaearth", Settings(earth(tmp_path)))
    assert [f"{time:%Y-%m-%d}" for time in source.times] == ["2023-07-01", "2024-07-01"]
    assert source.bands == NAMES
    assert source.grid.shape == (SIZE, 2 * SIZE)
    one = opened("alphaearth", Settings(tmp_path, (2024,)))
    assert np.array_equal(one.read(one.grid, one.grid.window)[0][0], source.read(one.grid, one.grid.window)[0][1])
    with pytest.raises(SourceError, match="no raster of 2019; its years are 2023, 2024"):
        opened("alphaearth", Settings(tmp_path, (2019, 2024)))
    check_sensor(SENSORS.get("alphaearth"), Settings(tmp_path))


def upside_down(path, pixels):
    """Write a raster whose rows run from south to north."""
    west, north = CORNER
    up = Affine(10, 0, west, 0, 10, north - 10 * SIZE)
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "height": SIZE, "width": SIZE, "count": len(pixels), "dtype": pixels.dtype}
    with rasterio.open(path, "w", crs="EPSG:32740", transform=up, nodata=-128, **profile) as dataset:
        dataset.write(pixels[:, ::-1])
        dataset.descriptions = NAMES[: len(pixels)]
    return path


def test_rows_from_south_to_north_are_read_as_the_usual_ones(tmp_path):
    pixels = stored()
    pixels[:, 3, 4] = -128
    turned = upside_down(tmp_path / "a/2024/x.tiff", pixels)
    usual = write_raster(tmp_path / "b/2024/x.tiff", pixels, Place(10), -128, NAMES)
    grid = inspect(usual).grid
    assert inspect(turned).grid == grid
    for window in (grid.window, grid.window.pad(2, 3)):
        for one, other in zip(*(read(path, [2, 64], grid, window, "nearest") for path in (turned, usual)), strict=True):
            assert np.array_equal(one, other)
    first, second = (opened("alphaearth", Settings(tmp_path / name)) for name in "ab")
    assert np.array_equal(first.read(grid, grid.window)[0], second.read(grid, grid.window)[0])


def test_a_vrt_beside_a_file_stands_for_it(tmp_path):
    path = write_raster(tmp_path / "2024/x.tiff", stored(), Place(10), -128, NAMES)
    rasterio.shutil.copy(path, path.with_suffix(".vrt"), driver="VRT")
    source = opened("alphaearth", Settings(tmp_path))
    assert [file.path.suffix for file in source.acquisitions[0].files.values()] == [".vrt"] * 64


def test_exports_of_earth_engine_are_read_as_they_are(tmp_path):
    pixels = np.random.default_rng(1).uniform(-1, 1, (64, SIZE, SIZE)).astype(np.float32)
    path = write_raster(tmp_path / "aef_2021.tif", pixels, Place(10), descriptions=NAMES)
    source = opened("alphaearth", Settings(path))
    assert source.times[0].year == 2021
    assert np.array_equal(source.read(source.grid, source.grid.window)[0][0], pixels)


@pytest.mark.parametrize(
    ("name", "pixels", "names", "message"),
    [
        ("x_2021.tif", stored().astype(np.uint8), (), "values of type uint8; AlphaEarth has signed 8-bit"),
        ("x_2021.tif", stored().astype(np.int16), (), "values of type int16; AlphaEarth has signed 8-bit"),
        ("x_2021.tif", stored(), NAMES[::-1], "its bands are A63, …, A00; AlphaEarth has A00 to A63 in order"),
        ("x.tif", stored(), (), "neither its name nor its folders have a year"),
        ("x_2021.tif", stored(bands=3), (), "no raster .* with the 64 bands of AlphaEarth"),
    ],
)
def test_other_rasters_are_refused(tmp_path, name, pixels, names, message):
    write_raster(tmp_path / "in" / name, pixels, Place(10), descriptions=names)
    with pytest.raises(SourceError, match=message):
        opened("alphaearth", Settings(tmp_path / "in"))


def test_a_missing_folder_and_other_band_counts_are_said(tmp_path):
    with pytest.raises(SourceError, match="does not exist. Give the folder with the rasters of AlphaEarth"):
        opened("alphaearth", Settings(tmp_path / "nowhere"))
    write_raster(earth(tmp_path) / "2024/40S/preview.tif", stored(bands=3), Place(10))
    assert "preview.tif is skipped: it has 3 bands" in str(opened("alphaearth", Settings(tmp_path)).notes)


# --- TESSERA
def tessera(folder, dtype=np.float32):
    values = np.random.default_rng(2).normal(0, 3, (128, SIZE, SIZE)).astype(dtype)
    if dtype == np.float32:
        values[:, 0, 0] = np.nan
    return write_raster(folder / "2024/grid_0.15_52.05/grid_0.15_52.05_2024.tiff", values, Place(10)), values


def test_tiles_of_tessera_are_features_of_a_year(tmp_path):
    _, values = tessera(tmp_path)
    source = opened("tessera", TesseraSettings(tmp_path))
    found, valid = source.read(source.grid, source.grid.window)
    assert (source.bands, f"{source.times[0]:%Y-%m-%d}") == (TESSERA, "2024-07-01")
    assert np.array_equal(found[0][:, 1:], values[:, 1:])
    assert not valid[0, 0, 0]
    check_sensor(SENSORS.get("tessera"), TesseraSettings(tmp_path))


def test_quantised_deliveries_of_tessera_are_refused_with_what_to_do(tmp_path):
    (tmp_path / "npy").mkdir()
    np.save(tmp_path / "npy/grid_0.15_52.05_scales.npy", np.ones((2, 2), np.float32))
    (tmp_path / "zarr").mkdir()
    (tmp_path / "zarr/zarr.json").write_text("{}")
    tessera(tmp_path / "int", np.int8)
    for folder, message in (
        ("npy", "quantised arrays without a CRS"),
        ("zarr", "a Zarr store"),
        ("int", "of type int8"),
    ):
        with pytest.raises(SourceError, match=f"{message}.*geotessera download --format tiff"):
            opened("tessera", TesseraSettings(tmp_path / folder))


# --- init
@pytest.mark.slow
def test_init_proposes_the_sensor_of_the_features(tmp_path, monkeypatch):
    monkeypatch.setattr("test_embeddings.SIZE", 40)
    earth(tmp_path / "in", (2024,))
    tessera(tmp_path / "in")
    write_recipe(tmp_path / "in", parcels(tmp_path), "crop", tmp_path / "r.toml")
    recipe = read_recipe(tmp_path / "r.toml")
    assert set(recipe.sources) == {"alphaearth", "tessera"}
    assert not check(tmp_path / "r.toml").has_errors


def test_init_reads_written_features_as_an_image_with_their_scale(tmp_path):
    path = write_raster(tmp_path / "in/features.tif", np.full((5, 40, 40), 100, np.int16), Place(10), -32768)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales = [0.5] * 5
    write_recipe(tmp_path / "in", parcels(tmp_path), "crop", tmp_path / "r.toml")
    source = read_recipe(tmp_path / "r.toml").sources["features"]
    assert source.settings.scale is None
