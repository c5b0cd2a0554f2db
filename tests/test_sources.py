import gc
import os
import subprocess
import sys
import weakref
from datetime import datetime

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bocage.errors import SourceError, UnknownNameError
from bocage.grid import Grid, Ratio, Window
from bocage.sources import SENSORS, check_overlap, image, open_source, series
from bocage.sources.raster import fingerprint, inspect
from bocage.testing import Place, fake_pixels, write_raster
from bocage.testing.fakes import CORNER

REUSED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)


def opened(path, **more):
    return open_source("x", image, image.Settings(path, **more))


@pytest.fixture(scope="module")
def raster(tmp_path_factory):
    return write_raster(tmp_path_factory.mktemp("raster") / "r.tif", fake_pixels(1, 1, 3, 20, 31)[0].astype(np.uint16))


@REUSED
@given(st.integers(-5, 25), st.integers(-5, 35), st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 2, 4]))
def test_any_window_of_a_nested_grid_is_exact(raster, y, x, height, width, span):
    """This includes grids that start inside a pixel of the file."""
    source = opened(raster)
    step = 10 / span
    grid = Grid.of("EPSG:32740", Affine(step, 0, CORNER[0] - 3 * step, 0, -step, CORNER[1] + step), (90, 140))
    values, valid = source.read(grid, Window(y, x, height, width))
    pixels = fake_pixels(1, 1, 3, 20, 31)[0]
    rows = (np.arange(y, y + height) - 1) // span
    columns = (np.arange(x, x + width) - 3) // span
    inside = ((rows >= 0) & (rows < 20))[:, None] & ((columns >= 0) & (columns < 31))[None, :]
    expected = pixels[:, rows.clip(0, 19)][:, :, columns.clip(0, 30)] * inside
    assert np.array_equal(valid[0], inside)
    assert np.array_equal(values[0], expected)


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic", "average"])
@pytest.mark.parametrize(("shift", "nodata"), [((3, -7), None), ((0, 10), 0)])
def test_a_warped_window_does_not_depend_on_its_size(tmp_path, resampling, shift, nodata):
    """By default, GDAL derives the kernel width from the shape of the window."""
    pixels = fake_pixels(2, 1, 40, 33, 29)[0]
    corner = (CORNER[0] + shift[0], CORNER[1] + shift[1])
    source = opened(write_raster(tmp_path / "r.tif", pixels, Place(resolution=20, corner=corner), nodata=nodata))
    grid = Grid.of("EPSG:32740", Affine(20, 0, *CORNER[:1], 0, -20, CORNER[1]), (32, 29))
    whole, seen = source.read(grid, grid.window, resampling)
    part = Window(5, 6, 10, 9)
    values, valid = source.read(grid, part, resampling)
    assert np.array_equal(valid, seen[(..., *part.within(grid.window))])
    assert np.allclose(values, whole[(..., *part.within(grid.window))], rtol=1e-6)
    assert seen.any()


def test_reprojection_from_another_crs_is_accurate(tmp_path):
    """A warped pixel comes from within one pixel of its true location."""
    y, x = np.meshgrid(np.arange(400), np.arange(300), indexing="ij")
    path = write_raster(
        tmp_path / "geo.tif", (y * 300 + x + 1).astype(np.uint32)[None], Place(0.0001, (55.45, -21.08), "EPSG:4326")
    )
    utm = Grid.from_bounds("EPSG:32740", 10, (340_000, 7_666_500, 340_200, 7_666_800))
    values, valid = opened(path).read(utm, utm.window)
    assert valid.all()
    import pyproj

    project = pyproj.Transformer.from_crs("EPSG:32740", "EPSG:4326", always_xy=True)
    lon, lat = project.transform(340_005, 7_666_795)
    found = int(values[0, 0, 0, 0]) - 1
    assert abs(found // 300 - (-21.08 - lat) / 1e-4) < 1.01
    assert abs(found % 300 - (lon - 55.45) / 1e-4) < 1.01


@pytest.mark.parametrize("fill", [-3.4028235e38, 9.96921e36, -1.7e308, 1e20])
@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
def test_fill_values_that_a_file_does_not_declare_are_no_measurements(tmp_path, fill, resampling):
    pixels = np.array([[[fill, 1.5, 2.5, 3.5]] * 4], np.float64 if abs(fill) > 3.5e38 else np.float32)
    path = write_raster(tmp_path / "a.tif", pixels)
    source = open_source("a", image, image.Settings(path))
    grid = source.grid
    moved = Grid.of(grid.crs, grid.transform @ Affine.translation(0.25, 0), (4, 3))
    for target, expected in (
        (grid, [0, 1.5, 2.5, 3.5]),
        (moved, [0, 1.75, 2.75] if resampling == "bilinear" else None),
    ):
        values, valid = source.read(target, target.window, resampling)
        assert not valid[0, :, 0].any()
        assert valid[0, :, 1:].all()
        assert expected is None or np.allclose(values[0, 0], expected)


def test_scale_offset_nodata_and_nan(tmp_path):
    pixels = np.array([[[0, 100], [200, 7]]], np.uint16)
    source = opened(write_raster(tmp_path / "r.tif", pixels), scale=0.5, offset=-10, nodata=7)
    values, valid = source.read(source.grid, source.grid.window)
    assert valid[0].tolist() == [[True, True], [True, False]]
    assert values[0, 0].tolist() == [[-10, 40], [90, 0]]
    floats = np.array([[[np.nan, 1.5], [2.5, np.inf]]], np.float32)
    source = opened(write_raster(tmp_path / "f.tif", floats))
    values, valid = source.read(source.grid, source.grid.window)
    assert valid[0].tolist() == [[False, True], [True, False]]
    assert np.isfinite(values).all()


def _layouts(tmp_path):
    """Return the same four dates and two bands, in every layout of a series."""
    pixels = fake_pixels(3, 4, 2, 9, 11)
    days = ["2021-03-01", "2021-03-11", "2021-04-02", "2021-12-31"]
    a, b, c, d = (tmp_path / k for k in "abcd")
    for i, name in enumerate(("red", "nir")):
        write_raster(a / f"{name}.tif", pixels[:, i], descriptions=days)
        write_raster(d / f"{name}.tif", pixels[:, i])
    for t, day in enumerate(days):
        write_raster(b / f"scene_{day.replace('-', '')}.tif", pixels[t])
        for i, name in enumerate(("red", "nir")):
            write_raster(c / day.replace("-", "") / f"X_{day.replace('-', '')}_{name}.tif", pixels[t, i][None])
    (d / "dates.csv").write_text("n,date\n" + "\n".join(f"{i},{day}" for i, day in enumerate(days)))
    return pixels, {
        "a band per date": series.Settings({"red": a / "red.tif", "nir": a / "nir.tif"}),
        "a file per date": series.Settings(path=b / "scene_{date}.tif", bands=("red", "nir")),
        "a file per date and band": series.Settings({n: c / "*" / f"X_{{date}}_{n}.tif" for n in ("red", "nir")}),
        "dates in a file": series.Settings({n: d / f"{n}.tif" for n in ("red", "nir")}, dates=d / "dates.csv"),
        "dates in the recipe": series.Settings({n: d / f"{n}.tif" for n in ("red", "nir")}, dates=tuple(days)),
    }


def test_all_layouts_of_a_series_give_the_same_values(tmp_path):
    pixels, layouts = _layouts(tmp_path)
    for title, settings_ in layouts.items():
        source = open_source("s", series, settings_)
        values, valid = source.read(source.grid, source.grid.window)
        assert np.array_equal(values, pixels), title
        assert valid.all()
        assert [a.time for a in source.acquisitions][0] == datetime(2021, 3, 1), title
        assert np.diff(source.days).tolist() == [10, 22, 273], title


def test_bands_of_two_resolutions_and_a_quality_layer(tmp_path):
    fine, coarse = fake_pixels(1, 2, 1, 10, 12)[:, 0], fake_pixels(2, 2, 1, 5, 6)[:, 0]
    days = ["2021-01-01", "2021-01-11"]
    quality = np.full((2, 5, 6), 4, np.uint8)
    quality[1, 2, 3] = 9
    quality[0, 0, 0] = 0
    write_raster(tmp_path / "red.tif", fine, descriptions=days)
    write_raster(tmp_path / "swir.tif", coarse, Place(resolution=20), descriptions=days)
    write_raster(tmp_path / "scl.tif", quality, Place(resolution=20), descriptions=days)
    variables = {"red": tmp_path / "red.tif", "swir16": tmp_path / "swir.tif"}
    source = open_source("s", series, series.Settings(variables, quality=tmp_path / "scl.tif", clear=(4, 5)))
    values, valid = source.read(source.grid, source.grid.window)
    assert source.grid.resolution == 10
    assert np.array_equal(values[1, 1][valid[1]], coarse[1].repeat(2, 0).repeat(2, 1)[valid[1]])
    masked = np.zeros((10, 12), bool)
    masked[4:6, 6:8] = True
    assert np.array_equal(~valid[1], masked)
    assert not valid[0, :2, :2].any()


def test_invalid_files_are_refused(tmp_path):
    with pytest.raises(SourceError, match="does not exist"):
        opened(tmp_path / "none.tif")
    path = write_raster(tmp_path / "cut.tif", fake_pixels(1, 1, 2, 300, 200)[0])
    path.write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(SourceError, match=r"cut\.tif.*truncated"):
        opened(path)
    (tmp_path / "text.tif").write_text("not a raster")
    with pytest.raises(SourceError, match="not a raster"):
        opened(tmp_path / "text.tif")
    write_raster(tmp_path / "nocrs.tif", fake_pixels(1, 1, 1, 4, 4)[0], Place(crs=None))
    with pytest.raises(SourceError, match="no coordinate reference system"):
        opened(tmp_path / "nocrs.tif")
    write_raster(tmp_path / "ok.tif", fake_pixels(1, 1, 2, 4, 4)[0])
    with pytest.raises(SourceError, match="'bands' names 3"):
        opened(tmp_path / "ok.tif", bands=("a", "b", "c"))


def test_invalid_series_are_refused(tmp_path):
    write_raster(
        tmp_path / "a.tif", fake_pixels(1, 3, 1, 4, 4)[:, 0], descriptions=["2021-01-01", "2021-01-02", "2021-01-03"]
    )
    write_raster(tmp_path / "b.tif", fake_pixels(1, 2, 1, 4, 4)[:, 0], descriptions=["2021-01-01", "2021-01-02"])
    write_raster(tmp_path / "c.tif", fake_pixels(1, 2, 1, 4, 4)[:, 0], descriptions=["one", "two"])
    write_raster(tmp_path / "d.tif", fake_pixels(1, 2, 1, 4, 4)[:, 0], descriptions=["2021-02-30", "2021-01-02"])
    cases = {
        "same dates": {"variables": {"a": tmp_path / "a.tif", "b": tmp_path / "b.tif"}},
        "'one' is not a date": {"variables": {"c": tmp_path / "c.tif"}},
        "is not a date": {"variables": {"d": tmp_path / "d.tif"}},
        "2 band.s., but 1 date": {"variables": {"c": tmp_path / "c.tif"}, "dates": ("2021-01-01",)},
        "is repeated": {"variables": {"c": tmp_path / "c.tif"}, "dates": ("2021-01-01", "2021-01-01")},
        "No file matches": {"variables": {"e": tmp_path / "e_{date}.tif"}},
        "does not exist": {"variables": {"c": tmp_path / "c.tif"}, "dates": tmp_path / "none.csv"},
    }
    for message, settings_ in cases.items():
        with pytest.raises(SourceError, match=message):
            open_source("s", series, series.Settings(**settings_))
    with pytest.raises(ValueError, match="either 'variables' or 'path'"):
        series.Settings()


def test_sources_that_do_not_overlap_the_map_are_refused(tmp_path):
    source = opened(write_raster(tmp_path / "far.tif", fake_pixels(1, 1, 1, 5, 5)[0], Place(corner=(400000, 7600000))))
    grid = Grid.of("EPSG:32740", Affine(10, 0, CORNER[0], 0, -10, CORNER[1]), (20, 20))
    with pytest.raises(SourceError, match="does not overlap"):
        check_overlap(source, grid)


def test_what_was_read_from_earlier_versions_of_a_file_is_not_kept(tmp_path):
    """A process that writes and reads the same file again and again does not grow."""
    path, read = tmp_path / "map.tif", []
    for value in range(5):
        inspected = inspect(write_raster(path, np.full((1, 8, 8), value, np.uint8)))
        assert inspect(path) is inspected
        read.append(weakref.ref(inspected))
    del inspected
    gc.collect()
    assert [one() is not None for one in read] == [False, False, False, False, True]


def test_a_fingerprint_detects_a_changed_pixel(tmp_path):
    path = write_raster(tmp_path / "r.tif", fake_pixels(1, 1, 1, 30, 30)[0])
    before = fingerprint(path)
    with rasterio.open(path, "r+") as dataset:
        pixels = dataset.read()
        pixels[0, 17, 4] += 1
        dataset.write(pixels)
    assert fingerprint(path) != before


READ = """
import sys
from pathlib import Path

from rasterio.env import get_gdal_config

from bocage.grid import Window
from bocage.sources import image, open_source
from bocage.sources.raster import inspect

grid = inspect(Path(sys.argv[1])).grid
open_source("x", image, image.Settings(Path(sys.argv[1]))).read(grid, Window(0, 0, 2, 2))
print(get_gdal_config("GDAL_CACHEMAX"))
"""
DEFAULT = "from rasterio.env import get_gdal_config as get; print(get('GDAL_CACHEMAX'))"


def printed(code: str, *arguments: object, given: str | None = None) -> int:
    """Return the number printed by a new process, with `given` as GDAL_CACHEMAX."""
    environment = {k: v for k, v in os.environ.items() if k != "GDAL_CACHEMAX"}
    environment |= {"GDAL_CACHEMAX": given} if given else {}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


@pytest.mark.slow
def test_the_block_cache_keeps_its_size_after_reading(raster):
    """GDAL's default is 5 % of the memory. A size set by the user is kept."""
    assert printed(READ, raster) == min(printed(DEFAULT), 256 << 20)
    assert printed(READ, raster, given="48") == 48 << 20


@pytest.mark.slow
def test_the_block_cache_grows_with_the_bands_of_a_scene():
    """Up to 1 GB and GDAL's default; a size set by the user is kept."""
    grow = "import sys; from bocage.sources.block_cache import grow_block_cache; [grow_block_cache(int(n) << 20) for n in sys.argv[1:]];"
    grown, default = grow + DEFAULT, printed(DEFAULT)
    assert printed(grown, 300) == min(default, 300 << 20)
    assert printed(grown, 300, 10) == min(default, 300 << 20), "it never shrinks"
    assert printed(grown, 5000) == min(default, 1 << 30)
    assert printed(grown, 300, given="48") == 48 << 20


@pytest.mark.slow
def test_large_blocks_have_a_larger_cache(tmp_path):
    """Windows beside one another would decode them again."""
    pixels = np.random.default_rng(0).integers(1, 4000, (1, 1024, 1024)).astype(np.uint16)
    path = write_raster(tmp_path / "r.tif", pixels)
    rasterio.shutil.copy(path, tmp_path / "r.jp2", driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    assert printed(READ, tmp_path / "r.jp2") == printed(DEFAULT)


def test_an_unknown_sensor_gives_a_suggestion():
    with pytest.raises(UnknownNameError, match="Did you mean 'series'"):
        SENSORS.get("serie")
    assert Ratio(coarser=2).window(Window(1, 1, 1, 1)) == Window(0, 0, 1, 1)
