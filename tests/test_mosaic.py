import json

import numpy as np
import pytest
import rasterio

from bocage.cli import main
from bocage.errors import MappingError, RunFolderError
from bocage.grid import Grid
from bocage.jobs.mosaic import make_mosaic
from bocage.layout import MapLayout
from bocage.legend import LandClass, Legend
from bocage.mapping.areas import AreaCount
from bocage.mapping.delivery import Delivery
from bocage.mapping.writers import WRITERS, MapBand
from bocage.run import held

LEGEND = Legend((LandClass(1, "maize", "#f2c14e", parent="crops"), LandClass(4, "water", "#2e86ab")))
BANDS = {"classes": (MapBand("class", "uint8", 0, True),), "confidence": (MapBand("confidence", "uint8", 255),)}


def a_map(folder, west, codes, sure, legend=LEGEND, resolution=10.0, crs="EPSG:32631"):
    """A complete map of 20 rows and 30 columns that starts at `west`."""
    folder.mkdir()
    north = 5_600_000
    bounds = (west, north - 20 * resolution, west + 30 * resolution, north)
    grid = Grid.from_bounds(crs, resolution, bounds)
    layers = {"classes": np.broadcast_to(codes, (1, 20, 30)), "confidence": np.broadcast_to(sure, (1, 20, 30))}
    areas = AreaCount(grid, legend)
    for name, array in layers.items():
        opened = WRITERS.get("cog").open(folder / f"{name}.tif", grid, BANDS[name], legend)
        opened.put(grid.window, np.ascontiguousarray(array.astype(np.uint8)))
        opened.close()
    areas.count(grid.window, layers["classes"][0])
    files = {name: folder / f"{name}.tif" for name in BANDS}
    Delivery(MapLayout(folder), grid, legend, BANDS, files, {}, None, 0.0).write(areas.areas())
    return folder


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def test_the_more_confident_map_wins_where_maps_overlap(tmp_path):
    sure = np.full((20, 30), 60)
    sure[:10] = 90
    codes = np.ones((20, 30), int)
    codes[:, :5] = 0  # no data in the west of the first
    one = a_map(tmp_path / "one", 500_000, codes, np.where(codes, 70, 255))
    two = a_map(tmp_path / "two", 500_200, 4, sure)
    assert main(["mosaic", str(tmp_path / "both"), str(one), str(two)]) == 0
    classes, scene = read(tmp_path / "both/classes.tif"), read(tmp_path / "both/scene.tif")
    assert classes.shape == (20, 50)
    assert (classes[:, :5] == 0).all()
    assert (classes[:, 5:20] == 1).all()
    assert (classes[:10, 20:30] == 4).all()  # 90 against 70
    assert (classes[10:, 20:30] == 1).all()  # 60 against 70
    assert (classes[:, 30:] == 4).all()
    assert np.array_equal(scene, np.select([classes == 1, classes == 4], [1, 2]))
    assert np.array_equal(read(tmp_path / "both/confidence.tif")[:, 25], np.where(np.arange(20) < 10, 90, 70))
    item = json.loads((tmp_path / "both/item.json").read_text())
    assert item["properties"]["bocage:rule"] == "confidence"
    assert item["assets"]["classes"]["classification:classes"][0]["bocage:parent"] == "crops"
    make_mosaic([one, two], tmp_path / "first", "first")
    assert (read(tmp_path / "first/classes.tif")[:, 5:30] == 1).all()
    assert "crops &gt; maize" in (tmp_path / "first/classes.qml").read_text()


def test_maps_that_do_not_fit_are_refused(tmp_path):
    one = a_map(tmp_path / "one", 500_000, 1, 70)
    other = Legend((LandClass(1, "maize"), LandClass(5, "water")))
    for name, settings, message in (
        ("legend", {"legend": other}, "another legend than .*only .* has 5 water; only .* has 4 water"),
        ("lattice", {"west": 500_204}, "0.40 pixels off"),
        ("resolution", {"resolution": 20.0}, "resolution 20 and 10"),
        ("crs", {"crs": "EPSG:32632"}, "is in EPSG:32632, .* in EPSG:32631"),
    ):
        two = a_map(tmp_path / name, **{"west": 500_200, "codes": 4, "sure": 50, **settings})
        with pytest.raises(MappingError, match=message):
            make_mosaic([one, two], tmp_path / "out")
        assert not (tmp_path / "out").exists()
    with pytest.raises(MappingError, match="takes 2 to 255 maps; found 1"):
        make_mosaic([one], tmp_path / "out")
    (one / "checksums.sha256").unlink()
    with pytest.raises(MappingError, match="holds no complete map"):
        make_mosaic([one, one], tmp_path / "out")


def test_a_mosaic_replaces_no_map_but_a_mosaic(tmp_path, finished):
    one, two = a_map(tmp_path / "one", 500_000, 1, 70), a_map(tmp_path / "two", 500_200, 4, 50)
    other = a_map(tmp_path / "other", 500_200, 4, 50)
    out = finished().copied(tmp_path / "run")
    for folder, message in (
        (tmp_path / "two/../one", "holds one of the maps"),
        (other, "other holds a map that is not a mosaic"),
        (out, "has a run, with a map of its own"),
        (out / "map", "run has a run, with a map of its own"),
    ):
        before = {path: path.stat().st_mtime_ns for path in folder.resolve().rglob("*")}
        with pytest.raises(RunFolderError, match=message):
            make_mosaic([one, two], folder)
        assert {path: path.stat().st_mtime_ns for path in folder.resolve().rglob("*")} == before
    make_mosaic([one, two], tmp_path / "both")
    make_mosaic([one, two], tmp_path / "both", "first")
    with pytest.raises(RunFolderError, match="both holds one of the maps"):
        make_mosaic([tmp_path / "both", two], tmp_path / "both")


def test_a_folder_in_use_is_refused(tmp_path):
    """Two mosaics in one folder would mix their layers."""
    one, two = a_map(tmp_path / "one", 500_000, 1, 70), a_map(tmp_path / "two", 500_200, 4, 50)
    with held(tmp_path / "both"), pytest.raises(RunFolderError, match="in use by another run"):
        make_mosaic([one, two], tmp_path / "both")
    assert not (tmp_path / "both").exists()
    make_mosaic([one, two], tmp_path / "both")
    with pytest.raises(RunFolderError, match="in use by another run"), held(tmp_path / "both"):
        make_mosaic([one, two], tmp_path / "both")
    make_mosaic([one, two], tmp_path / "both")
