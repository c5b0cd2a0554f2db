"""Pansharpening of a PAN and an MS source of the recipe."""

from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from scipy import ndimage

from bocage.cli import main
from bocage.disk import digest
from bocage.errors import SourceError
from bocage.grid import Grid, Window
from bocage.recipe import read_recipe
from bocage.run import open_scene
from bocage.run.opened import read_for
from bocage.sources import image, open_source, pansharpened
from bocage.testing import Place, write_raster
from conftest import PAN_MS

SHARP = PAN_MS.replace("path", "scale = 0.0001\npath") + '[sources.sharp]\nsensor = "pansharpened"\n'
CNN = 'name = "multiresolcc_pansharpened"\nsource = "sharp"\nfilters = [3, 4, 6]\npatch = 22'


@pytest.fixture
def pair(tmp_path):
    generator = np.random.default_rng(0)
    pan = generator.uniform(100, 900, (1, 61, 83)).astype(np.float32)
    ms = generator.uniform(50, 400, (2, 16, 21)).astype(np.float32)
    pan[0, 30, 40], ms[:, 3, 5] = 0, 0
    write_raster(tmp_path / "pan.tif", pan, nodata=0)
    write_raster(tmp_path / "ms.tif", ms, Place(resolution=40.0), nodata=0)
    sources = {
        name: open_source(name, image, image.Settings(tmp_path / f"{name}.tif", bands))
        for name, bands in (("pan", ("pan",)), ("ms", ("red", "nir")))
    }
    return pan, ms, sources


def sharpened(sources, **settings):
    return open_source("sharp", pansharpened, pansharpened.Settings(**settings), others=sources)


def test_the_value_is_ms_times_pan_divided_by_its_local_mean(pair):
    pan, ms, sources = pair
    source = sharpened(sources)
    assert source.bands == ("red", "nir")
    values, valid = source.read(source.grid, source.grid.window)
    y, x = 20, 50  # far from masked pixels
    mean = ndimage.uniform_filter(pan[0].astype(float), 7)[y, x]
    rows, columns = ((y + 0.5) / 4 - 0.5, (x + 0.5) / 4 - 0.5)
    for band in range(2):
        smooth = ndimage.map_coordinates(ms[band].astype(float), [[rows], [columns]], order=1)[0]
        assert values[0, band, y, x] == pytest.approx(smooth * pan[0, y, x] / mean, rel=1e-5)
    assert not valid[0, 30, 40], "masked in PAN"
    assert not valid[0, 12:16, 20:24].any(), "masked in MS"
    assert valid[0, 29, 40], "the neighbour of a masked pixel is valid, and its mean excludes that pixel"
    square = np.ma.masked_equal(pan[0, 26:33, 37:44], 0)
    near = (
        values[0, 0, 29, 40]
        / ndimage.map_coordinates(ms[0].astype(float), [[29.5 / 4 - 0.5], [40.5 / 4 - 0.5]], order=1)[0]
    )
    assert near == pytest.approx(pan[0, 29, 40] / square.mean(), rel=1e-5)


def test_a_window_does_not_depend_on_its_neighbours(pair):
    *_, sources = pair
    source = sharpened(sources, radius=2)
    whole, seen = source.read(source.grid, source.grid.window)
    for window in (Window(0, 0, 9, 7), Window(11, 13, 20, 30), Window(50, 60, 11, 23)):
        values, valid = source.read(source.grid, window)
        inner = (..., slice(window.y, window.y + window.height), slice(window.x, window.x + window.width))
        assert np.array_equal(valid, seen[inner])
        assert np.allclose(values, whole[inner], rtol=1e-5)
    outside, valid = source.read(source.grid, Window(-2, -3, 5, 5))
    assert not valid[0, :2].any()
    assert not outside[0, :, :2].any()


def test_ms_that_does_not_nest_is_warped(pair, tmp_path):
    pan, ms, sources = pair
    write_raster(tmp_path / "off.tif", ms, Place(resolution=41.0, corner=(338003.0, 7668005.0)), nodata=0)
    off = open_source("ms", image, image.Settings(tmp_path / "off.tif", ("red", "nir")))
    values, valid = sharpened({**sources, "ms": off}).read(sources["pan"].grid, Window(0, 0, 61, 83))
    assert valid.mean() > 0.9
    assert 40 < np.median(values[0, 0][valid[0]]) < 500


def test_sources_that_cannot_be_sharpened_are_refused(pair, tmp_path):
    *_, sources = pair
    with pytest.raises(SourceError, match="Source 'sharp': no source is called 'p'; the sources are pan, ms"):
        sharpened(sources, pan="p")
    with pytest.raises(SourceError, match="A panchromatic image has one band"):
        sharpened(sources, pan="ms")
    with pytest.raises(SourceError, match="pansharpening has no effect"):
        sharpened(sources, ms="pan")
    with pytest.raises(ValueError, match="'radius' must be at least 1"):
        pansharpened.Settings(radius=0)


def test_a_change_of_the_images_behind_a_pansharpened_one_repeats_the_samples(recipe):
    sources = read_recipe(recipe(CNN, SHARP, "pan")).sources
    assert list(read_for(sources, ["sharp"])) == ["sharp", "pan", "ms"]
    assert list(read_for(sources, ["ms"])) == ["ms"]
    other = {**sources, "ms": replace(sources["ms"], settings=replace(sources["ms"].settings, nodata=7))}
    assert digest(read_for(sources, ["sharp"])) != digest(read_for(other, ["sharp"]))


@pytest.mark.slow
def test_a_recipe_with_a_pansharpened_source_gives_a_map(recipe, tmp_path):
    path = recipe(CNN, SHARP, "pan")
    scene = open_scene(read_recipe(path))
    assert isinstance(scene.grid, Grid)
    assert scene.cubes["sharp"].grid.transform == scene.grid.transform
    assert scene.grid.transform.almost_equals(Affine(10, 0, 338_000, 0, -10, 7_668_000))
    assert main(["check", str(path)]) == 0
    assert main(["run", str(path), "--out", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run/map/classes.tif").exists()
