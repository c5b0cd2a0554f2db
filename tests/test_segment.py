"""Objects of a scene: the same for any tiles and after interruptions, none below the minimum, and every pixel with values in one."""

import resource
from dataclasses import dataclass

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, label

from bocage.cli import main
from bocage.errors import SceneError
from bocage.grid import Grid
from bocage.jobs.segment import segment as job
from bocage.layout import RunLayout
from bocage.objects import Segmenting
from bocage.objects.clusters import Clusters
from bocage.objects.segment import segment
from bocage.objects.stack import Stack
from bocage.progress import QUIET
from bocage.recipe import read_recipe
from bocage.run import open_scene
from bocage.testing.fakes import Place, write_raster
from conftest import PAN_MS, S2, Told, written


@dataclass
class Pixels:
    """A stack in memory; it counts what is read."""

    values: np.ndarray
    valid: np.ndarray
    reads: int = 0
    last: int = 10**9
    cubes: tuple = ()

    @property
    def grid(self):
        return Grid.of("EPSG:32740", Affine(10, 0, 300000, 0, -10, 7650000), self.valid.shape)

    def read(self, window):
        self.reads += 1
        if self.reads > self.last:
            raise KeyboardInterrupt
        return self.values[(slice(None), *window.slices)], self.valid[window.slices]


def patchy(seed, shape=(60, 83), smooth=2.0, hole=0.08):
    """Patches of three bands with noise, and gaps without data."""
    rng = np.random.default_rng(seed)
    bands = [gaussian_filter(rng.normal(size=shape), smooth) * 10 + 0.2 * rng.normal(size=shape) for _ in range(3)]
    return Pixels(np.stack(bands).astype(np.float32), gaussian_filter(rng.normal(size=shape), 3) < hole)


def segmented(pixels, folder, tile=8192, **settings):
    found = segment(pixels, Segmenting(tile=tile, **settings), folder / "s", f"{tile}", QUIET)
    ids = np.zeros(pixels.valid.shape, np.uint32)
    for window, numbers in found.tiles:
        ids[window.slices] = numbers
    return ids, found


@pytest.mark.parametrize("minimum", [1, 5, 40])
def test_objects_do_not_depend_on_tiles(tmp_path, minimum):
    pixels = patchy(1)
    whole, found = segmented(pixels, tmp_path, clusters=9, minimum=minimum)
    assert found.count > 5
    for tile in (16, 23, 64):
        ids, again = segmented(pixels, tmp_path, tile, clusters=9, minimum=minimum)
        assert np.array_equal(ids, whole)
        assert (again.count, again.left) == (found.count, found.left)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("any")


@given(
    seed=st.integers(0, 10_000), tile=st.integers(16, 40), minimum=st.integers(1, 30), clusters=st.integers(2, 12),
    shape=st.tuples(st.integers(3, 50), st.integers(3, 50)), smooth=st.sampled_from([0.0, 1.0, 3.0]),
)  # fmt: skip
@pytest.mark.slow
def test_objects_do_not_depend_on_tiles_for_any_scene(folder, seed, tile, minimum, clusters, shape, smooth):
    pixels = patchy(seed, shape, smooth, hole=0.02)
    if pixels.valid.sum() < minimum:
        return
    whole, found = segmented(pixels, folder, clusters=clusters, minimum=minimum)
    assert np.array_equal(segmented(pixels, folder, tile, clusters=clusters, minimum=minimum)[0], whole)
    check_objects(whole, pixels.valid, minimum, found)


def check_objects(ids, valid, minimum, found):
    """Objects cover the valid pixels, are connected, have numbers in order, and are small only without a neighbour."""
    assert np.array_equal(ids > 0, valid)
    numbers, first = np.unique(ids[valid], return_index=True)
    assert numbers.tolist() == list(range(1, found.count + 1))
    assert (np.diff(first) > 0).all()
    small = np.flatnonzero(np.bincount(ids[valid])[1:] < minimum) + 1
    assert len(small) == found.left
    pieces, _ = label(valid)
    for number in small:
        piece = np.unique(pieces[ids == number])
        assert len(piece) == 1
        assert ((pieces == piece[0]) == (ids == number)).all()
    assert sum(label(ids == number)[1] for number in numbers) == found.count


def test_known_objects_of_a_scene(tmp_path):
    """Four fields, and a small one of 6 pixels that is spectrally nearest to the darkest of its neighbours."""
    land = np.zeros((20, 30), int)
    land[:10, 12:], land[10:, :12], land[10:, 12:] = 1, 2, 3
    land[8:10, 10:13] = 4
    value = np.array([100, 400, 800, 600, 150])[land]
    pixels = Pixels(value[None].astype(np.float32), np.ones(land.shape, bool))
    ids, found = segmented(pixels, tmp_path, 16, clusters=5, minimum=10)
    land[land == 4] = 0
    assert np.array_equal(ids, land + 1)
    assert (found.count, found.clusters) == (4, 5)
    kept, _ = segmented(pixels, tmp_path, 16, clusters=5, minimum=6)
    assert kept.max() == 5


def test_the_smallest_objects_merge_first(tmp_path):
    """A pixel (value 300) and its neighbour of 3 pixels (250) are one object of 4, which has the minimum."""
    row = np.array([0] * 6 + [250] * 3 + [300] + [1000] * 6, np.float32)
    pixels = Pixels(row[None, None], np.ones((1, 16), bool))
    ids, _ = segmented(pixels, tmp_path, clusters=4, minimum=4)
    assert ids[0].tolist() == [1] * 6 + [2] * 4 + [3] * 6


def test_objects_just_below_the_minimum_merge_if_no_smaller_one_did(tmp_path):
    """Limits are 1, 2, 4, 8 and 10: two objects of 10 pixels merge in the last round only."""
    pixels = Pixels(np.repeat([0, 1000], 10)[None, None].astype(np.float32), np.ones((1, 20), bool))
    assert segmented(pixels, tmp_path, clusters=2, minimum=11)[0].tolist() == [[1] * 20]
    assert segmented(pixels, tmp_path, 4096, clusters=2, minimum=10)[0].max() == 2


def test_an_object_without_a_neighbour_stays_and_is_counted(tmp_path):
    pixels = patchy(3)
    pixels.valid[:] = False
    pixels.valid[5:40, 5:40] = True
    pixels.valid[50, 70:73] = True
    pixels.values[:, 50, 70:73] = 5
    ids, found = segmented(pixels, tmp_path, 16, clusters=6, minimum=20)
    assert found.left == 1
    assert len(np.unique(ids[50, 70:73])) == 1
    check_objects(ids, pixels.valid, 20, found)


def test_scaling_does_not_depend_on_units_or_a_few_bright_pixels(tmp_path):
    pixels = patchy(4)
    whole, _ = segmented(pixels, tmp_path, clusters=9, minimum=8)
    other = Pixels(pixels.values * np.float32(1024) - np.float32(65536), pixels.valid)
    ids, _ = segmented(other, tmp_path, 4096, clusters=9, minimum=8)
    assert np.mean(ids == whole) > 0.99  # float32 rounds
    clusters = Clusters(np.zeros(1), np.ones(1), np.zeros((0, 1)))
    assert clusters.scaled(np.array([[[0.5, 99.0, -99.0]]], np.float32), np.ones((1, 3), bool)).tolist() == [
        [[500, 3000, -1000]]
    ]


@pytest.mark.slow
@pytest.mark.parametrize("last", [1, 3, 9, 13])
def test_an_interrupted_segmentation_resumes_with_the_same_objects(tmp_path, last):
    complete = patchy(5)
    whole, _ = segmented(complete, tmp_path / "complete", 23, clusters=9, minimum=12)
    broken = patchy(5)
    broken.last = last
    with pytest.raises(KeyboardInterrupt):
        segmented(broken, tmp_path, 23, clusters=9, minimum=12)
    again = patchy(5)
    assert np.array_equal(segmented(again, tmp_path, 23, clusters=9, minimum=12)[0], whole)
    drawn = 2  # squares of the sample
    assert again.reads == complete.reads - (last if last >= drawn else 0)
    other = patchy(5)
    segmented(other, tmp_path, 23, clusters=8, minimum=12)
    assert other.reads == complete.reads  # other settings: nothing is kept


def test_scenes_that_cannot_be_segmented_are_reported(tmp_path):
    with pytest.raises(SceneError, match=r"minimum, mmu: 6000 pixels are more than the \d+ pixels with values"):
        segmented(patchy(1), tmp_path, minimum=6000)
    nothing = patchy(1)
    nothing.valid[:] = False
    with pytest.raises(SceneError, match="no pixel has values"):
        segmented(nothing, tmp_path)
    with pytest.raises(ValueError, match="'clusters' must be at least 2"):
        Segmenting(clusters=1)


def test_the_minimum_is_the_larger_of_pixels_and_hectares():
    grid = Grid.of("EPSG:32740", Affine(5, 0, 300000, 0, -5, 7650000), (9, 9))
    assert Segmenting(minimum=10, mmu=0.1).pixels(grid) == 40
    assert Segmenting(minimum=50, mmu=0.1).pixels(grid) == 50


def test_sources_of_different_grids_and_series_are_one_stack(landscape):
    scene = open_scene(read_recipe(written(landscape, sources=S2 + PAN_MS, like="pan")))
    stack = Stack.of(scene.cubes, ("pan", "ms", "s2"), ())
    assert stack.grid == scene.cubes["pan"].grid
    window = scene.grid.window
    values, valid = stack.read(window)
    assert len(values) == 1 + 2 + 3 * len(scene.cubes["s2"].bands)
    assert valid.all()
    y, x = np.indices(valid.shape)
    ms = scene.cubes["ms"].read(scene.cubes["ms"].grid.window).values[0]
    assert np.array_equal(values[1:3], ms[:, y // 4, x // 4])
    series = scene.cubes["s2"].read(window)
    expected = np.quantile(series.values, (0.25, 0.5, 0.75), axis=0).reshape(-1, *valid.shape)
    assert values[3:] == pytest.approx(expected, abs=1e-5)
    part = stack.grid.crop(window)
    assert part == stack.grid
    inner = next(w for w in stack.grid.tiles(17) if w.y and w.x)
    assert np.array_equal(stack.read(inner)[0], values[(slice(None), *inner.slices)])
    assert [cube.bands for cube in Stack.of(scene.cubes, ("ms", "s2"), ("nir",)).cubes] == [("nir",), ("nir",)]
    with pytest.raises(SceneError, match="none of the sources pan has 'nir'"):
        Stack.of(scene.cubes, ("pan",), ("nir",))
    with pytest.raises(SceneError, match="the source 'pan' has none of nir"):
        Stack.of(scene.cubes, ("pan", "ms"), ("nir",))


SEGMENT = '[segment]\nsources = ["pan"]\nclusters = 8\nminimum = 9\ntile = 20\n'


@pytest.fixture
def recipe(landscape):
    return lambda more=SEGMENT: written(landscape, sources=PAN_MS, like="pan", more=more)


def read_ids(out):
    with rasterio.open(RunLayout(out).objects.ids) as dataset:
        assert dataset.dtypes == ("uint32",)
        assert dataset.nodata == 0
        return dataset.read(1)


def test_another_tile_keeps_the_objects_and_other_contents_do_not(recipe, landscape, tmp_path):
    out, told = tmp_path / "out", Told()
    job(read_recipe(recipe()), out)
    before = read_ids(out)
    job(read_recipe(recipe(SEGMENT.replace("tile = 20", "tile = 64"))), out, told)
    assert not any("objects: " in word for word in told.words)
    with rasterio.open(landscape / "pan.tif") as dataset:
        pan = dataset.read()
    pan[0, :, 20:30] = 3000
    write_raster(landscape / "pan.tif", pan)
    job(read_recipe(recipe()), out, overwrite=True)
    assert not np.array_equal(read_ids(out), before)


class Stops(Told):
    """Interrupts the process in one task."""

    def step(self, task, done, *_):
        if task == "merging small objects":
            raise KeyboardInterrupt


def test_nothing_looks_finished_after_an_interruption_and_the_next_run_completes(recipe, tmp_path):
    out, path = tmp_path / "out", recipe()
    job(read_recipe(path), tmp_path / "other")
    with pytest.raises(KeyboardInterrupt):
        job(read_recipe(path), out, Stops())
    assert not RunLayout(out).objects.ids.exists()
    job(read_recipe(path), out)
    assert np.array_equal(read_ids(out), read_ids(tmp_path / "other"))
    assert not RunLayout(out).objects.scratch.exists()


def test_a_process_killed_while_it_removes_what_it_needed_can_resume(recipe, tmp_path, monkeypatch):
    out, path = tmp_path / "out", recipe()
    job(read_recipe(path), tmp_path / "other")

    def killed(folder, **_):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        for file in files[::2]:
            file.unlink()
        if files:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            job(read_recipe(path), out)
    assert not RunLayout(out).objects.scratch.exists()
    RunLayout(out).objects.ids.unlink()
    job(read_recipe(path), out)
    assert np.array_equal(read_ids(out), read_ids(tmp_path / "other"))
    assert not [left for left in RunLayout(out).objects.path.iterdir() if left.name.endswith(".removed")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('sources = ["pam"]', "no source is called 'pam'. Did you mean 'pan'"),
        ('sources = ["pan"]\nbands = ["nir"]', "has 'nir'"),
        ("minimum = 100000", "100000 pixels are more than the 2544 pixels with values"),
        ("mmu = 900", "mmu: 90000 pixels are more than"),
        ("clusters = 1", "'clusters' must be at least 2"),
    ],
)
def test_settings_that_do_not_fit_are_one_line_and_exit_1(recipe, tmp_path, capsys, change, message):
    out = tmp_path / "out"
    assert main(["segment", str(recipe(f"[segment]\n{change}\n")), "--out", str(out)]) == 1
    shown = capsys.readouterr().err.strip().splitlines()
    assert message in " ".join(shown)
    assert "Traceback" not in " ".join(shown)
    assert not RunLayout(out).objects.ids.exists()


def test_an_image_without_data_is_one_line_and_exit_1(recipe, landscape, tmp_path, capsys):
    write_raster(landscape / "pan.tif", np.zeros((1, 48, 53), np.uint16), Place(), nodata=0)
    assert main(["segment", str(recipe()), "--out", str(tmp_path / "out")]) == 1
    assert "no pixel has values in all of pan" in capsys.readouterr().err


def test_a_disk_that_fills_up_leaves_no_objects(recipe, tmp_path, capsys):
    path, out = str(recipe()), tmp_path / "out"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    try:
        assert main(["segment", path, "--out", str(out)]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "error:" in capsys.readouterr().err
    assert not RunLayout(out).objects.ids.exists()
    assert main(["segment", path, "--out", str(out)]) == 0
    assert read_ids(out).max() > 2
