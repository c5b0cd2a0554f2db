"""Windows that lie within the blocks of the files: every block is decoded once, and the map stays the same."""

from collections import OrderedDict
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine

from bocage.grid import Grid, Window
from bocage.mapping import Computing, Mapping, Workers, make_map
from bocage.mapping.lattice import Lattice
from bocage.models import Footprint
from bocage.progress import QUIET
from bocage.recipe import read_recipe
from bocage.run import open_run
from bocage.samples import Pixels
from bocage.samples.cut import cut
from bocage.scene import Alignment, aligned, make_scene
from bocage.scene.alignment import TOGETHER
from bocage.scene.reading import block_by_block
from bocage.sources import edges, image, open_source
from bocage.sources.edges import keep_edges, no_edges_after, read_blocks
from bocage.testing import tiny_landscape, write_raster
from bocage.training import Trainer, Training
from conftest import FOREST, GRU, S2, written

BLOCK = 64
SQUARE = "EPSG:32631", Affine(10, 0, 0, 0, -10, 0), (300, 300)


class Decoding:
    """A file of blocks of which a cache holds the last ones used; counts how often a block is decoded."""

    def __init__(self, pixels, block, room):
        self.pixels, self.shape, self.block, self.room = pixels, pixels.shape[1:], block, room
        self.block_shapes, self.cache, self.decoded = [block] * len(pixels), OrderedDict(), 0

    def read(self, indexes, window):
        y, x, height, width = window.row_off, window.col_off, window.height, window.width
        (rows, columns) = self.block
        for place in np.ndindex(
            (y + height - 1) // rows - y // rows + 1, (x + width - 1) // columns - x // columns + 1
        ):
            self._decode((place[0] + y // rows, place[1] + x // columns))
        return self.pixels[[i - 1 for i in indexes], y : y + height, x : x + width]

    def _decode(self, place):
        self.decoded += place not in self.cache
        self.cache[place] = True
        self.cache.move_to_end(place)
        if len(self.cache) > self.room:
            self.cache.popitem(last=False)


@pytest.fixture(autouse=True)
def no_edges():
    yield
    keep_edges({})


@pytest.fixture
def small(monkeypatch):
    """Scenes of any size are aligned, and cells are small."""
    for size in ("SMALLEST", "WHOLE"):
        monkeypatch.setattr(f"bocage.scene.alignment.{size}", 0)
    for side in ("SMALL", "DENSE"):
        monkeypatch.setattr(f"bocage.mapping.lattice.{side}", 16)


def tiled(path, block=BLOCK):
    """Write a raster again, in blocks."""
    strips = path.rename(path.with_suffix(".strips.tif"))
    options = {"tiled": True, "blockxsize": block, "blockysize": block, "compress": "deflate"}
    rasterio.shutil.copy(strips, path, driver="GTiff", **options)
    strips.unlink()
    return path


def scene_of(folder, grid=None):
    path = tiled(write_raster(folder / "a.tif", np.arange(1, 180_001, dtype=np.uint32).reshape(3, 200, 300)))
    source = open_source("a", image, image.Settings(path))
    return make_scene(grid or source.grid, [source], {})


def found(scene, halo, tile, step=1):
    return aligned(scene.cubes, scene.grid.shape, {"a": halo}, tile, step)


@pytest.mark.parametrize(("halo", "tile"), [(0, 32), (2, 32), (2, 64), (5, 16), (2, 128)])
def test_each_block_is_decoded_once_with_a_cache_for_one_place(halo, tile, tmp_path, small):
    scene = scene_of(tmp_path)
    alignment = found(scene, halo, tile)
    windows = Lattice((16, 16), tile, alignment).windows(scene, ("a",))
    pixels = np.arange(3 * 200 * 300).reshape(3, 200, 300)
    places = max(1, tile // BLOCK) ** 2
    file, path = Decoding(pixels, (BLOCK, BLOCK), places), next(iter(alignment.widths))
    keep_edges(alignment.widths)
    covered = np.zeros(scene.grid.shape, int)
    for window in windows:
        covered[window.slices] += 1
        part = window.pad(halo, halo).clip(scene.grid.shape)
        assert np.array_equal(read_blocks(file, (path, 0), (1, 3), part), pixels[[0, 2]][(slice(None), *part.slices)])
    assert (covered == 1).all(), "the windows do not cover the map once"
    assert file.decoded == 4 * 5


def test_without_alignment_blocks_are_decoded_again(tmp_path):
    file = Decoding(np.zeros((1, 200, 300)), (BLOCK, BLOCK), 1)
    for window in Grid.of("EPSG:32631", Affine(10, 0, 0, 0, -10, 0), (200, 300)).tiles(32):
        read_blocks(file, (tmp_path, 0), (1,), window.pad(2, 2).clip((200, 300)))
    assert file.decoded > 3 * 4 * 5


def test_a_region_of_a_file_is_aligned_with_its_blocks(tmp_path, small):
    whole = scene_of(tmp_path).grid
    alignment = found(scene_of(tmp_path, grid=whole.crop(Window(10, 50, 150, 150))), 2, 32)
    assert alignment.origin == (-12, -52), "a block less the halo, from the corner of the region"
    assert Lattice((16, 16), 32, alignment).start == (20, 12)


@pytest.mark.parametrize(
    ("why", "halo", "tile"),
    [
        ("crossed", 2, 48),
        ("strips", 2, 32),
        ("a large halo", 33, 32),
        ("south up", 2, 32),
        ("virtual", 2, 32),
        ("many edges", 2, 32),
    ],
)
def test_windows_that_do_not_fit_are_not_aligned(why, halo, tile, tmp_path, small, monkeypatch):
    if why == "strips":
        path = write_raster(tmp_path / "a.tif", np.ones((3, 200, 300), np.uint16))
        source = open_source("a", image, image.Settings(path))
        assert found(make_scene(source.grid, [source], {}), halo, tile) is None
        return
    scene = scene_of(tmp_path)
    assert found(scene, 2, 32) is not None
    if why == "south up":
        with rasterio.open(tmp_path / "a.tif", "r+") as dataset:
            t = dataset.transform
            dataset.transform = Affine(t.a, 0, t.c, 0, -t.e, t.f + 200 * t.e)
        source = open_source("a", image, image.Settings(tmp_path / "a.tif"))
        scene = make_scene(source.grid, [source], {})
    if why == "virtual":
        rasterio.shutil.copy(tmp_path / "a.tif", tmp_path / "a.vrt", driver="VRT")
        source = open_source("a", image, image.Settings(tmp_path / "a.vrt"))
        scene = make_scene(source.grid, [source], {})
    if why == "many edges":
        monkeypatch.setattr("bocage.scene.alignment.ROOM", 4 * 3 * 4 * (300 + BLOCK) - 1)
    assert found(scene, halo, tile) is None


def test_a_window_starts_at_a_step_of_the_network(tmp_path, small):
    whole = scene_of(tmp_path).grid
    here = {side: scene_of(tmp_path, grid=whole.crop(Window(side, side, 130, 130))) for side in (8, 10)}
    assert found(here[8], 2, 32, 4).origin == (-12, -12), "the halo is rounded up to a step"
    assert found(here[10], 2, 32, 4) is None


@pytest.mark.parametrize(("size", "bands", "most"), [("SMALLEST", 3, TOGETHER), ("WHOLE", 3, 200 * 300)])
def test_a_scene_whose_blocks_the_cache_holds_is_not_aligned(size, bands, most, tmp_path, small, monkeypatch):
    scene = scene_of(tmp_path)
    monkeypatch.setattr(f"bocage.scene.alignment.{size}", 4 * bands * most - 1)
    assert found(scene, 2, 32) is not None
    monkeypatch.setattr(f"bocage.scene.alignment.{size}", 4 * bands * most)
    assert found(scene, 2, 32) is None


@pytest.fixture(
    scope="module", params=[FOREST, GRU, 'name = "patchwork"\npreset = "small"'], ids=["forest", "gru", "patchwork"]
)
def trained(request, tmp_path_factory):
    """A model, and a scene of 80 x 85 pixels in blocks of 32: a series and, for patchwork, an image."""
    folder = tmp_path_factory.mktemp("aligned")
    land = tiny_landscape(folder / "land", size=80)
    for name in ("s2/red.tif", "s2/nir.tif", "s2/quality.tif", "pan.tif"):
        tiled(land / name, 32)
    pan = '[sources.pan]\nsensor = "image"\npath = "pan.tif"\nbands = ["pan"]\n' if "patchwork" in request.param else ""
    run = open_run(read_recipe(written(land, request.param, S2 + pan)), folder / "run")
    settings = Training(epochs=2, learning_rate=0.02, batch_size=16)
    return Trainer(replace(run.recipe.choice, training=settings), run.scene, run.samples).train(
        0, folder / "t"
    ), run.scene


def layers(land):
    return {name: rasterio.open(path).read() for name, path in land.files.items()}


SETTINGS = {"layers": ("classes", "confidence", "validity", "probabilities"), "probabilities": "uint16"}


def test_the_map_is_that_of_windows_that_start_at_its_corner(trained, tmp_path, small, monkeypatch):
    model, scene = trained
    shifted = Lattice.of(model, scene, 16)
    assert shifted.start != (0, 0) or not any(f.size > 1 for f in model.footprints.values())
    first, *others = [
        make_map(model, scene, Mapping(tile=tile, **SETTINGS), tmp_path / str(tile), computing=Computing(workers=Workers(threads=n)))
        for tile, n in ((16, 1), (32, 3), (64, 2))
    ]  # fmt: skip
    monkeypatch.setattr("bocage.scene.alignment.SMALLEST", 1 << 40)
    assert Lattice.of(model, scene, 16).alignment is None
    plain = layers(make_map(model, scene, Mapping(tile=16, **SETTINGS), tmp_path / "plain"))
    for name, values in layers(first).items():
        assert all(np.array_equal(values, layers(other)[name]) for other in others), name
        most = 1 if name in ("confidence", "probabilities") else 0
        assert np.abs(values.astype(int) - plain[name].astype(int)).max() <= most, name


class Stopping:
    """Interrupts after two windows."""

    def say(self, text):
        """Nothing."""

    def step(self, task, done, total, note=""):
        if task == "mapping" and done == 2:
            raise KeyboardInterrupt


def test_an_interrupted_map_of_aligned_windows_goes_on(trained, tmp_path, small):
    model, scene = trained
    whole = layers(make_map(model, scene, Mapping(tile=32), tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        make_map(model, scene, Mapping(tile=32), tmp_path / "map", progress=Stopping())
    again = layers(make_map(model, scene, Mapping(tile=32), tmp_path / "map"))
    assert all(np.array_equal(again[name], whole[name]) for name in whole)


def test_edges_of_a_file_that_changed_are_not_used():
    old, new = (Decoding(np.full((1, 8, 8), k), (4, 4), 1) for k in (1, 2))
    keep_edges({"a": 2})
    for state, file in enumerate((old, new)):
        assert (read_blocks(file, ("a", state), (1,), Window(0, 0, 4, 4)) == state + 1).all()
        assert (read_blocks(file, ("a", state), (1,), Window(2, 2, 4, 4)) == state + 1).all()


def test_edges_take_no_more_than_their_room(monkeypatch):
    monkeypatch.setattr(edges, "ROOM", 300)
    file = Decoding(np.zeros((1, 16, 16)), (4, 4), 1)
    keep_edges({"a": 2})
    read_blocks(file, ("a", 0), (1,), Window(0, 0, 16, 16))
    assert 0 < edges._EDGES.bytes <= 300
    assert edges._EDGES.bytes == sum(edge.size for edge in edges._EDGES.found.values())
    keep_edges({})
    assert not edges._EDGES.found


def test_a_cube_is_prepared_block_by_block(tmp_path, small):
    cube = next(iter(scene_of(tmp_path).cubes.values()))
    windows = block_by_block(cube, 32)
    assert sorted(windows, key=lambda w: (w.y, w.x)) == list(cube.grid.tiles(32))
    blocks = [(w.y // BLOCK, w.x // BLOCK) for w in windows]
    assert sum(a != b for a, b in pairwise(blocks)) == len(set(blocks)) - 1


@pytest.mark.parametrize("tile", [16, 32, 64])
def test_samples_are_cut_within_blocks(tile, tmp_path, small, monkeypatch):
    monkeypatch.setattr("bocage.samples.cut.TILE", tile)
    monkeypatch.setattr("bocage.samples.cut.CELL", 8)
    scene, footprints = scene_of(tmp_path), {"a": Footprint(5, 2)}
    rows, columns = np.meshgrid(np.arange(3, 195, 4), np.arange(5, 290, 4), indexing="ij")
    pixels = Pixels(*(n.ravel().astype(np.int32) for n in (rows, columns, rows * 0, rows // 30)))
    needs = SimpleNamespace(footprints=footprints, any_source=False)
    decoding = Decoding(rasterio.open(tmp_path / "a.tif").read(), (BLOCK, BLOCK), 1)
    monkeypatch.setattr("bocage.sources.raster.read_blocks", lambda _, *what: read_blocks(decoding, *what))
    cuts, usable = cut(scene, pixels, needs, tmp_path / "cut", QUIET)
    assert usable.all()
    assert decoding.decoded == 4 * 5
    values, valid = cuts["a"].read(np.arange(len(pixels)))
    places = zip(pixels.row, pixels.column, strict=True)
    around = np.stack([decoding.pixels[:, y - 2 : y + 3, x - 2 : x + 3] for y, x in places])
    assert np.array_equal(values[:, 0], around)
    assert valid.all()


def test_windows_of_a_block_are_consecutive_within_a_larger_block():
    alignment = Alignment((-2, -2), (64, 64), (128, 128), {}, 0, 0)
    windows = sorted(Lattice((16, 16), 32, alignment).tiles(Grid.of(*SQUARE)), key=alignment.order)
    for side in (64, 128):
        blocks = [((w.y + 2) // side, (w.x + 2) // side) for w in windows]
        assert sum(a != b for a, b in pairwise(blocks)) == len(set(blocks)) - 1


def test_masks_are_read_with_edges(tmp_path, small):
    scene = scene_of(tmp_path)
    seen = np.random.default_rng(0).random((200, 300)) > 0.5
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(tmp_path / "a.tif", "r+") as dataset:
        dataset.write_mask(seen)
    source = open_source("a", image, image.Settings(tmp_path / "a.tif"))
    scene = make_scene(source.grid, [source], {})
    for window in Lattice((16, 16), 32, found(scene, 2, 32)).windows(scene, ("a",)):
        part = window.pad(2, 2).clip(scene.grid.shape)
        assert np.array_equal(source.read(source.grid, part)[1][0], seen[part.slices])
    assert any(masks for _, _, masks, _ in edges._EDGES.found)


def test_edges_are_forgotten_after_an_error():
    keep_edges({"a": 2})
    with pytest.raises(KeyboardInterrupt), no_edges_after():
        read_blocks(Decoding(np.zeros((1, 8, 8)), (4, 4), 1), ("a", 0), (1,), Window(0, 0, 8, 8))
        assert edges._EDGES.found
        raise KeyboardInterrupt
    assert not edges._EDGES.found
    assert not edges._EDGES.widths
