import numpy as np
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

from bocage.errors import MappingError
from bocage.grid import Grid
from bocage.legend import LandClass, Legend
from bocage.mapping import WRITERS, Mapping, codes_beside, make_map
from bocage.mapping.writers import MapBand
from bocage.pipeline import open_run, read_recipe
from bocage.testing import write_raster
from bocage.training import Training, train
from conftest import FOREST, GRU, MULTIRESOLCC, PAN_MS, S2

CASES = {"random_forest": (FOREST, S2, "s2"), "gru": (GRU, S2, "s2"), "multiresolcc": (MULTIRESOLCC, PAN_MS, "pan")}


@pytest.fixture(params=list(CASES))
def trained(request, recipe, tmp_path):
    run = open_run(read_recipe(recipe(*CASES[request.param])), tmp_path / "run")
    r = run.recipe
    settings = Training(epochs=3, learning_rate=0.02, batch_size=16)
    return train(run.scene, run.samples, r.split, 0, r.model, r.config, settings, tmp_path / "t"), run.scene


def pixels(land, layer="classes"):
    with rasterio.open(land.files[layer]) as dataset:
        return dataset.read(1)


def test_any_tiling_gives_the_same_map(trained, tmp_path):
    model, scene = trained
    whole = make_map(model, scene, Mapping(tile=64), tmp_path / "whole")
    for tile in (16, 23, 30):
        land = make_map(model, scene, Mapping(tile=tile), tmp_path / str(tile))
        assert np.array_equal(pixels(land), pixels(whole)), tile
        assert np.abs(pixels(land, "confidence").astype(int) - pixels(whole, "confidence")).max() <= 1
    assert set(np.unique(pixels(whole))) <= {1, 2, 3}
    assert pixels(whole, "confidence").max() <= 100


def test_files_are_cogs_with_codes_colours_and_names(trained, tmp_path):
    model, scene = trained
    land = make_map(model, scene, Mapping(), tmp_path / "map")
    for path in land.files.values():
        valid, errors, warnings = cog_validate(path, strict=True)
        assert valid, (errors, warnings)
    with rasterio.open(land.files["classes"]) as dataset:
        assert dataset.shape == scene.grid.shape
        assert dataset.transform == scene.grid.transform
        assert dataset.nodata == 0
        assert dataset.colormap(1)[1] == (0xF2, 0xC1, 0x4E, 255)
        assert dataset.tags(1)["CLASS_3"] == "water"
        assert dataset.profile["compress"] == "deflate"
    assert "<Category>meadow</Category>" in (tmp_path / "map/classes.tif.aux.xml").read_text()
    with rasterio.open(land.files["confidence"]) as dataset:
        assert dataset.nodata == 255
    assert sorted(p.name for p in (tmp_path / "map").iterdir()) == [
        "classes.tif",
        "classes.tif.aux.xml",
        "confidence.tif",
    ]


def test_pixels_without_data_are_0_and_255(recipe, landscape, tmp_path):
    with rasterio.open(landscape / "s2/red.tif", "r+") as dataset:
        values = dataset.read()
        values[:, 40:, 45:] = 0
        dataset.write(values)
    run = open_run(read_recipe(recipe()), tmp_path / "run")
    r = run.recipe
    model = train(run.scene, run.samples, r.split, 0, r.model, r.config, Training(), tmp_path / "t")
    land = make_map(model, run.scene, Mapping(tile=16), tmp_path / "map")
    empty = np.zeros(run.scene.grid.shape, bool)
    empty[40:, 45:] = True
    assert np.array_equal(pixels(land) == 0, empty)
    assert np.array_equal(pixels(land, "confidence") == 255, empty)


def test_a_map_that_is_interrupted_leaves_nothing(trained, tmp_path, monkeypatch):
    model, scene = trained
    calls = []

    class Impatient:
        def say(self, text):
            pass

        def step(self, task, done, total, note=""):
            calls.append(done)
            if done == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_map(model, scene, Mapping(tile=16), tmp_path / "map", progress=Impatient())
    assert calls == [1, 2]
    assert list((tmp_path / "map").iterdir()) == []


def test_codes_above_255_keep_their_colours(tmp_path):
    legend = Legend((LandClass(1110, "winter wheat", "#102030"), LandClass(9120, "grass")))
    grid = Grid.from_bounds("EPSG:32631", 10, (500_000, 5_600_000, 500_700, 5_600_600))
    opened = WRITERS.get("cog").open(tmp_path / "c.tif", grid, (MapBand("class", "uint16", 0, True),), legend)
    opened.put(grid.window, np.full((1, *grid.shape), 1110, np.uint16))
    opened.close()
    with rasterio.open(tmp_path / "c.tif") as dataset:
        assert dataset.colormap(1)[1110] == (0x10, 0x20, 0x30, 255)
        assert dataset.read(1)[3, 4] == 1110
    assert cog_validate(tmp_path / "c.tif", strict=True)[0]


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    grid = Grid.from_bounds("EPSG:32631", 10, (0, 0, 700, 600))
    opened = WRITERS.get("cog").open(
        tmp_path / "c.tif", grid, (MapBand("class", "uint8", 0, True),), Legend((LandClass(1, "a"),))
    )

    def full(*args, **kwargs):
        raise rasterio.errors.RasterioIOError("No space left on device")

    monkeypatch.setattr("rasterio.shutil.copy", full)
    with pytest.raises(MappingError, match="No space left on device.*is the disk full"):
        opened.close()
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_read_back_is_not_finished(tmp_path):
    grid = Grid.from_bounds("EPSG:32631", 10, (0, 0, 700, 600))
    opened = WRITERS.get("cog").open(
        tmp_path / "c.tif", grid, (MapBand("class", "uint8", 0, True),), Legend((LandClass(1, "a"),))
    )
    opened.put(grid.window, np.ones((1, *grid.shape), np.uint8))
    opened.dataset.write(np.zeros((1, 9, 9), np.uint8), window=((0, 9), (0, 9)))  # as a lost block would read
    with pytest.raises(MappingError, match="does not read back as written"):
        opened.close()
    assert list(tmp_path.iterdir()) == []


def test_truth_of_another_resolution_is_laid_beside_the_map(tmp_path):
    fine = np.zeros((1, 40, 40), np.uint8)
    fine[0, :, :20], fine[0, :, 20:] = 1, 2
    write_raster(tmp_path / "truth.tif", fine, resolution=2.5, nodata=0)
    write_raster(tmp_path / "map.tif", np.ones((1, 10, 10), np.uint8), nodata=0)
    grid = Grid.from_bounds("EPSG:32740", 10, (338_000, 7_667_900, 338_100, 7_668_000))
    ((truth, mapped),) = codes_beside(tmp_path / "truth.tif", tmp_path / "map.tif", grid)
    assert truth[:, :5].tolist() == [[1] * 5] * 10
    assert truth[:, 5:].tolist() == [[2] * 5] * 10
    assert (mapped == 1).all()


def test_settings_have_ranges():
    with pytest.raises(ValueError, match="no layer 'probability'"):
        Mapping(layers=("probability",))
    with pytest.raises(ValueError, match="at least 16"):
        Mapping(tile=4)
