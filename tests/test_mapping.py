from dataclasses import replace

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import torch
from rio_cogeo.cogeo import cog_validate

from bocage.errors import MappingError, SourceError
from bocage.grid import Grid
from bocage.legend import LandClass, Legend
from bocage.mapping import WRITERS, Computing, Mapping, Workers, codes_beside, make_map, predict, work
from bocage.mapping.lattice import lattice
from bocage.mapping.store import Store
from bocage.mapping.writers import MapBand
from bocage.recipe import read_recipe
from bocage.run import open_run
from bocage.testing import Place, write_raster
from bocage.training import Trainer, Training
from conftest import FOREST, GRU, MULTIRESOLCC, PAN_MS, S2

CASES = {"random_forest": (FOREST, S2, "s2"), "gru": (GRU, S2, "s2"), "multiresolcc": (MULTIRESOLCC, PAN_MS, "pan")}


@pytest.fixture(params=list(CASES))
def trained(request, brief):
    found = brief(*CASES[request.param])
    return found.trained, found.scene


def pixels(land, layer="classes"):
    with rasterio.open(land.files[layer]) as dataset:
        return dataset.read(1)


ALL = ("classes", "confidence", "probabilities", "entropy", "margin", "validity")


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.mark.slow
def test_any_tiling_gives_the_same_map_bit_for_bit(trained, tmp_path, small_cells):
    model, scene = trained
    settings = {"layers": ALL, "probabilities": "uint16"}
    make_map(model, scene, Mapping(tile=64, **settings), tmp_path / "whole")
    whole = contents(tmp_path / "whole")
    for tile, threads in ((16, 1), (23, 3), (30, 2)):
        folder = tmp_path / str(tile)
        land = make_map(
            model, scene, Mapping(tile=tile, **settings), folder, computing=Computing(workers=Workers(threads=threads))
        )
        assert contents(folder) == whole, tile
    assert set(np.unique(pixels(land))) <= {1, 2, 3}
    assert pixels(land, "confidence").max() <= 100


def test_layers_say_what_they_should(trained, tmp_path, small_cells):
    model, scene = trained
    land = make_map(model, scene, Mapping(tile=24, layers=ALL), tmp_path / "map")
    found = predict(model, scene, scene.grid.window, torch.device("cpu"))
    with rasterio.open(land.files["probabilities"]) as dataset:
        assert dataset.descriptions == model.legend.names
        assert dataset.scales == (0.01,) * 3
        stored = dataset.read()
    assert np.abs(stored - 100 * found.probabilities).max() <= 0.51
    ordered = np.sort(found.probabilities, 0)
    assert np.abs(pixels(land, "margin") - 100 * (ordered[-1] - ordered[-2])).max() <= 0.51
    p = np.maximum(found.probabilities, 1e-30)
    assert np.abs(pixels(land, "entropy") + 100 * (p * np.log(p)).sum(0) / np.log(3)).max() <= 0.51
    with rasterio.open(land.files["validity"]) as dataset:
        assert dataset.descriptions == tuple(f"{name}: clear dates" for name in model.footprints)
        for band, name in enumerate(model.footprints, start=1):
            cube = scene.cubes[name]
            f, c = cube.ratio.finer, cube.ratio.coarser
            assert f == 1
            rows, columns = (np.arange(n) // c for n in scene.grid.shape)
            clear = cube.read(cube.grid.window).clear[np.ix_(rows, columns)]
            assert np.array_equal(dataset.read(band), clear)


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
        ".windows", "areas.csv", "checksums.sha256", "classes.qml", "classes.sld", "classes.tif", "classes.tif.aux.xml",
        "confidence.tif", "item.json",
    ]  # fmt: skip


def test_pixels_without_data_are_0_and_255(recipe, landscape, tmp_path):
    with rasterio.open(landscape / "s2/red.tif", "r+") as dataset:
        values = dataset.read()
        values[:, 40:, 45:] = 0
        dataset.write(values)
    run = open_run(read_recipe(recipe()), tmp_path / "run")
    r = run.recipe
    model = Trainer(replace(r.choice, training=Training()), run.scene, run.samples).train(0, tmp_path / "t")
    land = make_map(model, run.scene, Mapping(tile=16), tmp_path / "map")
    empty = np.zeros(run.scene.grid.shape, bool)
    empty[40:, 45:] = True
    assert np.array_equal(pixels(land) == 0, empty)
    assert np.array_equal(pixels(land, "confidence") == 255, empty)


class Impatient:
    """Interrupts after some windows, as ^C would."""

    def __init__(self, after):
        self.after, self.said, self.steps = after, [], []

    def say(self, text):
        self.said.append(text)

    def step(self, task, done, total, note=""):
        self.steps.append((task, done))
        if task == "mapping" and done == self.after:
            raise KeyboardInterrupt


def test_an_interrupted_map_goes_on_with_what_is_missing(trained, tmp_path, small_cells):
    model, scene = trained
    make_map(model, scene, Mapping(tile=24), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        make_map(model, scene, Mapping(tile=24), tmp_path / "map", progress=Impatient(2))
    assert [p.name for p in (tmp_path / "map").iterdir()] == [".windows"]
    kept = len(Store(tmp_path / "map/.windows", {}, 24).journal.notes)
    assert kept == 2
    heard = Impatient(0)
    make_map(model, scene, Mapping(tile=24), tmp_path / "map", progress=heard)
    assert heard.steps[0] == ("mapping", 3)
    assert any("windows are there already" in text for text in heard.said)
    assert contents(tmp_path / "map") == contents(tmp_path / "whole")


def test_damaged_windows_are_made_again(trained, tmp_path, small_cells):
    model, scene = trained
    make_map(model, scene, Mapping(tile=24), tmp_path / "map")
    whole = contents(tmp_path / "map")
    chunk = next(p for p in (tmp_path / "map/.windows/windows.zarr/classes/c").rglob("*") if p.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-5])
    next(p for p in (tmp_path / "map/.windows/windows.zarr/confidence/c").rglob("*") if p.is_file()).unlink()
    heard = Impatient(0)
    make_map(model, scene, Mapping(tile=24), tmp_path / "map", progress=heard)
    assert any("do not read back as written" in text for text in heard.said)
    assert contents(tmp_path / "map") == whole


@pytest.mark.slow
def test_only_windows_that_a_changed_file_touches_are_made_again(recipe, landscape, tmp_path, small_cells):
    run = open_run(read_recipe(recipe()), tmp_path / "run")
    r = run.recipe
    model = Trainer(replace(r.choice, training=Training()), run.scene, run.samples).train(0, tmp_path / "t")
    make_map(model, run.scene, Mapping(tile=24), tmp_path / "map")
    with rasterio.open(landscape / "s2/red.tif", "r+") as dataset:
        values = dataset.read()
        values[:, 30:, :] += 500
        dataset.write(values)
    heard = Impatient(0)
    scene = open_run(read_recipe(recipe()), tmp_path / "other").scene
    make_map(model, scene, Mapping(tile=24), tmp_path / "map", progress=heard)
    make_map(model, scene, Mapping(tile=24), tmp_path / "fresh")
    assert any("made from other inputs or settings" in text for text in heard.said)
    assert contents(tmp_path / "map") == contents(tmp_path / "fresh")


def test_a_file_that_changes_while_the_map_is_made_is_noticed(recipe, landscape, tmp_path, small_cells):
    run = open_run(read_recipe(recipe()), tmp_path / "run")
    r = run.recipe
    model = Trainer(replace(r.choice, training=Training()), run.scene, run.samples).train(0, tmp_path / "t")

    class Meddler(Impatient):
        def step(self, task, done, total, note=""):
            if task == "mapping" and done == 2:
                with rasterio.open(landscape / "s2/red.tif", "r+") as dataset:
                    dataset.write(dataset.read() + 1)

    with pytest.raises(MappingError, match=r"red\.tif changed while the map was computed"):
        make_map(model, run.scene, Mapping(tile=24), tmp_path / "map", progress=Meddler(0))
    assert contents(tmp_path / "map") == {}


def test_windows_that_cannot_be_read_leave_the_rest_under_partial_names(trained, tmp_path, small_cells, monkeypatch):
    model, scene = trained
    make_map(model, scene, Mapping(tile=24), tmp_path / "whole")
    broken, read, side = [True], work.read_inputs, lattice(model, scene.grid.shape, 24)[1]

    def fails(trained, scene, window):
        if broken[0] and window.y == window.x == side:
            raise SourceError("red.tif cannot be read: it is truncated.")
        return read(trained, scene, window)

    monkeypatch.setattr(work, "read_inputs", fails)
    with pytest.raises(
        MappingError, match=rf"1 window could not be computed:\n  - row {side}, column {side}: red.tif cannot be read"
    ):
        make_map(model, scene, Mapping(tile=24), tmp_path / "map")
    assert sorted(contents(tmp_path / "map")) == [
        "classes.partial.tif",
        "classes.partial.tif.aux.xml",
        "confidence.partial.tif",
    ]
    with rasterio.open(tmp_path / "map/classes.partial.tif") as dataset:
        assert (dataset.read(1)[side:, side:][:side, :side] == 0).all()
        assert (dataset.read(1)[:side] > 0).all()
    broken[0] = False
    heard = Impatient(0)
    make_map(model, scene, Mapping(tile=24), tmp_path / "map", progress=heard)
    assert [s for s in heard.steps if s[0] == "mapping"] == [("mapping", heard.steps[0][1])]
    assert contents(tmp_path / "map") == contents(tmp_path / "whole")


def test_a_region_limits_the_map(trained, tmp_path, small_cells):
    model, scene = trained
    west, _, _, north = scene.grid.bounds
    r = scene.grid.resolution
    inside = shapely.box(west + 3 * r, north - 20 * r, west + 17 * r, north - 5 * r)
    other = shapely.box(west - 900 * r, north - 20 * r, west - 800 * r, north)
    table = geopandas.GeoDataFrame({"tile": ["a", "b"]}, geometry=[inside, other], crs=scene.grid.crs.to_wkt())
    table.to_crs("EPSG:4326").to_file(tmp_path / "region.gpkg")
    heard = Impatient(0)
    settings = Mapping(tile=16, region=tmp_path / "region.gpkg", layers=("classes", "validity"))
    land = make_map(model, scene, settings, tmp_path / "map", progress=heard)
    expected = np.zeros(scene.grid.shape, bool)
    expected[5:20, 3:17] = True
    assert np.array_equal(pixels(land) > 0, expected)
    whole = make_map(model, scene, Mapping(tile=16), tmp_path / "whole")
    assert np.array_equal(pixels(land)[expected], pixels(whole)[expected])
    assert max(done for task, done in heard.steps if task == "mapping") < len(list(scene.grid.tiles(24)))
    with rasterio.open(land.files["validity"]) as dataset:
        assert np.array_equal((dataset.read() != dataset.nodata).all(0), expected), "whatever the windows"
    with pytest.raises(MappingError, match="is outside the map"):
        make_map(model, scene, replace(settings, where="tile = 'b'"), tmp_path / "b")
    with pytest.raises(MappingError, match="has no polygon where tile = 'c'; found 0 features"):
        make_map(model, scene, replace(settings, where="tile = 'c'"), tmp_path / "c")
    with pytest.raises(MappingError, match="cannot be read"):
        make_map(model, scene, replace(settings, region=tmp_path / "none.gpkg"), tmp_path / "d")


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
    write_raster(tmp_path / "truth.tif", fine, Place(resolution=2.5), nodata=0)
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
    with pytest.raises(ValueError, match="which is not given"):
        Mapping(where="a = 1")
    with pytest.raises(ValueError, match="must name classes"):
        Mapping(layers=("confidence",))
