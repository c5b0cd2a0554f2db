"""How files lie on maps in another CRS: global rasters, longitudes from 0 to 360, and maps across 180 degrees."""

import numpy as np
import pytest
from affine import Affine
from rasterio.warp import transform

from bocage.errors import SourceError
from bocage.grid import Grid, Window
from bocage.preflight.grids import check_coverage
from bocage.sources import check_overlap, image, open_source, series
from bocage.sources.codes import RasterCodes, Table
from bocage.sources.placement import placement, resolution_on, share_covered, touches
from bocage.sources.raster import inspect
from bocage.testing import Place, write_raster

DATES = ("2020-01-01", "2020-02-01", "2020-03-01")
GLOBES = {"-180": (1.0, -180.0, 90.0, (180, 360)), "ERA5": (1.0, -180.5, 90.5, (181, 360)),
          "0": (1.0, -0.5, 90.5, (181, 360)), "84": (1.0, -180.0, 84.0, (174, 360))}  # fmt: skip
"""Pixel size, west, north in degrees, and shape, by the western limit or what is special."""
MAPS = {"zone 31": (32631, 500_000, 5_000_000), "zone 14": (32614, 500_000, 5_000_000), "south": (32719, 500_000, 6_000_000),
        "across 0": (32631, 140_000, 5_000_000), "across 180": (32760, 790_000, 8_200_000)}  # fmt: skip
"""EPSG code, west and north of maps of 60 km."""


def _map(name):
    epsg, west, north = MAPS[name]
    return Grid.of(f"EPSG:{epsg}", Affine(1000, 0, west, 0, -1000, north), (60, 60))


def _field(longitude, latitude):
    """Return values that are continuous across 0 and 180 degrees."""
    return 1000 + 5 * latitude + 100 * np.cos(np.radians(longitude))


def _globe(path, name, count=1):
    size, west, north, (height, width) = GLOBES[name]
    x, y = west + (np.arange(width) + 0.5) * size, north - (np.arange(height) + 0.5) * size
    values = np.stack([_field(*np.meshgrid(x, y)) + k for k in range(count)]).astype(np.float32)
    write_raster(path, values, Place(size, (west, north), "EPSG:4326"))
    return path


@pytest.mark.parametrize("where", list(MAPS))
@pytest.mark.parametrize("name", list(GLOBES))
def test_a_global_raster_covers_a_projected_map(tmp_path, name, where):
    """As a series, whose dates are only read where they touch the window, and as an image."""
    path, grid = _globe(tmp_path / "globe.tif", name, 3), _map(where)
    source = open_source("t", series, series.Settings({"t": path}, dates=DATES))
    values, valid = source.read(grid, grid.window, "bilinear")
    assert valid.all()
    columns, rows = np.meshgrid(np.arange(60) + 0.5, np.arange(60) + 0.5)
    x, y = grid.transform @ (columns.ravel(), rows.ravel())
    expected = _field(*np.array(transform(grid.crs.to_wkt(), "EPSG:4326", x, y))).reshape(60, 60)
    for k in range(3):
        assert np.abs(values[k, 0] - expected - k).max() < 3
    window = Window(20, 30, 16, 16)
    part, seen = source.read(grid, window, "bilinear")
    assert seen.all()
    np.testing.assert_allclose(part, values[:, :, 20:36, 30:46], atol=0.02)  # 0.004 pixel
    assert source.touching(grid, window) == (0, 1, 2)
    assert open_source("i", image, image.Settings(path)).touching(grid, window) == (0,)
    assert share_covered(source.grid, grid) == 1
    check_overlap(source, grid)
    assert not list(check_coverage(source, grid))


@pytest.mark.parametrize("name", list(GLOBES))
def test_a_map_in_degrees_takes_the_longitudes_of_the_file(tmp_path, name):
    source = open_source("t", series, series.Settings({"t": _globe(tmp_path / "globe.tif", name)}, dates=DATES[:1]))
    for west in (-90.0, -2.5, 177.5, 260.5):
        grid = Grid.of("EPSG:4326", Affine(0.5, 0, west, 0, -0.5, 50), (8, 10))
        values, valid = source.read(grid, grid.window)
        assert valid.all()
        x = west + (np.arange(10) + 0.5) / 2
        y = 50 - (np.arange(8) + 0.5) / 2
        assert np.abs(values[0, 0] - _field(*np.meshgrid(x, y))).max() < 4
        assert share_covered(source.grid, grid) == pytest.approx(1)


def test_a_usual_file_has_one_place():
    for crs in ("EPSG:4326", "EPSG:32631"):
        grid = Grid.of(crs, Affine(0.01, 0, 2, 0, -0.01, 46), (100, 100))
        for target in (_map("zone 31"), Grid.of("EPSG:4326", Affine(0.1, 0, 0, 0, -0.1, 50), (90, 90))):
            assert placement(grid, target).places == (grid,)


@pytest.mark.parametrize("crs", ["EPSG:3460", "EPSG:3832", "EPSG:32701"])
def test_imagery_across_180_degrees_covers_a_map_there(tmp_path, crs):
    path = tmp_path / "tile.tif"
    write_raster(path, np.full((1, 549, 549), 7, np.uint16), Place(200, (780_000, 8_200_000), "EPSG:32760"))
    (x,), (y,) = transform("EPSG:4326", crs, [-179.7], [-16.8])
    grid = Grid.of(crs, Affine(100, 0, x, 0, -100, y), (50, 50))
    source = open_source("s2", image, image.Settings(path))
    check_overlap(source, grid)
    assert share_covered(source.grid, grid) == 1
    assert source.read(grid, grid.window)[1].all()
    (x,), (y,) = transform("EPSG:4326", crs, [-177.0], [-16.8])
    apart = Grid.of(crs, Affine(100, 0, x, 0, -100, y), (50, 50))
    assert not touches(source.grid, apart, apart.window)
    with pytest.raises(SourceError, match="does not overlap"):
        check_overlap(source, apart)
    (finding,) = check_coverage(source, apart)
    assert finding.severity == "error"


def test_the_share_of_a_map_that_a_file_covers(tmp_path):
    grid = Grid.of("EPSG:32632", Affine(100, 0, 300_000, 0, -100, 5_000_000), (300, 300))
    (x,), (y,) = transform("EPSG:32632", "EPSG:4326", [315_000], [5_000_000])
    east = Grid.of("EPSG:4326", Affine(0.001, 0, x, 0, -0.001, y + 0.2), (900, 900))
    assert share_covered(east, grid) == pytest.approx(0.5, abs=0.02)
    dot = Grid.of("EPSG:4326", Affine(0.0001, 0, x, 0, -0.0001, y - 0.1), (4, 4))
    assert 0 < share_covered(dot, grid) < 1e-3
    beside = Grid.of("EPSG:32632", grid.transform @ Affine.translation(150, 300), (10, 300))
    assert share_covered(beside, grid) == 0
    assert share_covered(Grid.of("EPSG:32632", grid.transform, (75, 900)), grid) == 0.25


def test_the_pixel_size_of_a_global_raster_is_that_on_the_map(tmp_path):
    """Zone 14 is 90 degrees and more from the middle of a raster from -180 to 180, which has no place there."""
    grids = [inspect(_globe(tmp_path / f"{k}.tif", name)).grid for k, name in enumerate(GLOBES)]
    for where in MAPS:
        sizes = [resolution_on(grid, _map(where)) for grid in grids]
        assert max(sizes) - min(sizes) < 0.01 * max(sizes)
        assert 70_000 < min(sizes) <= max(sizes) < 115_000


def test_a_map_of_the_globe_has_parts_without_a_place_in_a_projection(tmp_path):
    """Most windows of a global map have no coordinates in UTM, and the file is in one of the others."""
    path = tmp_path / "zone.tif"
    write_raster(path, np.full((1, 300, 300), 7, np.uint8), Place(1000, (400_000, 5_200_000), "EPSG:32631"))
    grid = Grid.of("EPSG:4326", Affine(0.1, 0, -180, 0, -0.1, 90), (1800, 3600))
    source = open_source("x", series, series.Settings({"x": path}, dates=DATES[:1]))
    near = [window for window in grid.tiles(200) if touches(source.grid, grid, window)]
    assert Window(400, 1800, 200, 200) in near
    assert len(near) < 12
    assert sum(int(source.read(grid, window)[1].sum()) for window in near) == pytest.approx(27 * 39, rel=0.1)
    check_overlap(source, grid)


def test_codes_of_a_global_raster_are_read(tmp_path):
    path, grid = tmp_path / "cci.tif", _map("zone 14")
    write_raster(path, np.full((1, 1800, 3600), 10, np.uint8), Place(0.1, (-180, 90), "EPSG:4326"))
    codes = RasterCodes((path,), (None,))
    classes, _ = codes.read(grid, grid.window, Table({"10": 3}))
    assert (classes == 3).all()
    assert codes.touching(grid, grid.window) == (0,)
