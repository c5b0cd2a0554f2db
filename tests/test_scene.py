import itertools
from datetime import date
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from bocage.errors import SourceError
from bocage.grid import Grid, Ratio, Window
from bocage.scene import Cube, Fill, Preparation, Speckle, make_scene, reading
from bocage.scene.gaps import interpolate, whittaker
from bocage.scene.indices import INDICES
from bocage.sources import image, open_source, series
from bocage.testing import Place, fake_pixels, write_raster


@given(st.data())
def test_linear_filling_equals_numpy_interp_of_the_clear_dates(data):
    n = data.draw(st.integers(1, 12))
    days = np.array(sorted(data.draw(st.sets(st.integers(0, 200), min_size=n, max_size=n))), np.int32)
    target = np.array(sorted(data.draw(st.sets(st.integers(-20, 220), min_size=1, max_size=9))), np.int32)
    generator = np.random.default_rng(data.draw(st.integers(0, 1000)))
    values = generator.uniform(0, 1, (n, 2, 3, 4)).astype(np.float32)
    valid = generator.uniform(size=(n, 3, 4)) < 0.6
    filled, seen = interpolate(values, valid, days, target)
    for y in range(3):
        for x in range(4):
            clear = valid[:, y, x]
            assert (seen[:, y, x] == clear.any()).all()
            for c in range(2):
                expected = (
                    np.interp(target, days[clear], values[clear, c, y, x]) if clear.any() else np.zeros(len(target))
                )
                assert np.allclose(filled[:, c, y, x], expected, atol=1e-5)


def test_masked_values_do_not_affect_filled_values():
    values = np.zeros((5, 1, 1, 1), np.float32)
    values[2] = 1e30
    valid = np.ones((5, 1, 1), bool)
    valid[2] = False
    filled, _ = interpolate(values, valid, np.arange(0, 50, 10, dtype=np.int32), np.arange(0, 45, 5, dtype=np.int32))
    assert not filled.any()


def test_declared_dates():
    fill = Fill(10, date(2021, 1, 1), date(2021, 2, 1))
    assert len(fill.days) == 4
    assert fill.days[0] == np.datetime64("2021-01-01").astype(int)
    with pytest.raises(ValueError, match="before 'start'"):
        Fill(10, date(2021, 2, 1), date(2021, 1, 1))


def test_values_of_indices():
    red, nir, green = np.array([0.1]), np.array([0.4]), np.array([0.2])
    assert INDICES.get("ndvi")(red=red, nir=nir)[0] == pytest.approx(0.6)
    assert INDICES.get("ndwi")(green=green, nir=nir)[0] == pytest.approx(-1 / 3)
    assert INDICES.get("savi")(red=red, nir=nir)[0] == pytest.approx(0.45)
    assert INDICES.get("brightness")(green=green, red=red, nir=nir)[0] == pytest.approx(np.sqrt(0.07))
    assert INDICES.get("evi")(blue=np.array([0.05]), red=red, nir=nir)[0] == pytest.approx(0.75 / 1.625)
    assert INDICES.get("ndvi")(red=np.array([0.0105]), nir=np.array([-0.01]))[0] == -1, "held in its range"
    assert INDICES.get("msavi")(red=red, nir=nir)[0] == pytest.approx((1.8 - np.sqrt(1.8**2 - 2.4)) / 2)


def _series(folder, masked=False):
    days = ["2021-01-01", "2021-01-21", "2021-02-10"]
    for i, name in enumerate(("red", "nir")):
        write_raster(folder / f"{name}.tif", fake_pixels(i, 3, 1, 12, 15)[:, 0], descriptions=days)
    quality = np.full((3, 12, 15), 4, np.uint8)
    quality[1, 3:5] = 9
    write_raster(folder / "q.tif", quality, descriptions=days)
    variables = {"red": folder / "red.tif", "nir": folder / "nir.tif"}
    return open_source("s2", series, series.Settings(variables, quality=folder / "q.tif", clear=(4,)))


def test_a_cube_masks_fills_and_appends_indices(tmp_path):
    source = _series(tmp_path)
    native = make_scene(source.grid, [source], {"s2": Preparation(("ndvi",))}).cubes["s2"]
    block = native.read(Window(2, 1, 5, 6))
    assert block.values.shape == (3, 3, 5, 6)
    assert not block.valid[1, 1:3].any()
    assert not block.values[1, :, 1:3].any()
    red, nir = block.values[0, 0], block.values[0, 1]
    assert np.allclose(block.values[0, 2], (nir - red) / (nir + red))
    fill = Fill(20, date(2021, 1, 1), date(2021, 2, 10))
    filled = make_scene(source.grid, [source], {"s2": Preparation((), fill)}).cubes["s2"].read(Window(2, 1, 5, 6))
    assert filled.valid.all()
    assert np.allclose(filled.values[1, :, 1], (filled.values[0, :, 1] + filled.values[2, :, 1]) / 2)


def test_a_window_of_a_cube_equals_the_same_part_of_the_whole(tmp_path):
    source = _series(tmp_path)
    cube = make_scene(
        source.grid, [source], {"s2": Preparation(("ndvi",), Fill(7, date(2021, 1, 1), date(2021, 2, 10)))}
    ).cubes["s2"]
    whole = cube.read(Window(-3, -3, 20, 22))
    for window in (Window(0, 0, 1, 1), Window(4, 5, 7, 3), Window(-2, 10, 9, 8)):
        part = cube.read(window)
        assert np.array_equal(part.values, whole.values[(..., *window.within(Window(-3, -3, 20, 22)))])
        assert np.array_equal(part.valid, whole.valid[(..., *window.within(Window(-3, -3, 20, 22)))])


def test_sources_keep_their_own_grids(tmp_path):
    pan = open_source(
        "pan", image, image.Settings(write_raster(tmp_path / "p.tif", fake_pixels(1, 1, 1, 30, 41)[0], Place(1.5)))
    )
    ms = open_source(
        "ms", image, image.Settings(write_raster(tmp_path / "m.tif", fake_pixels(2, 1, 4, 8, 11)[0], Place(6.0)))
    )
    scene = make_scene(pan.grid, [pan, ms], {})
    assert scene.notes == ()
    assert scene.cubes["ms"].ratio == Ratio(coarser=4)
    assert scene.cubes["ms"].grid.shape == (8, 11)
    shifted = write_raster(tmp_path / "s.tif", fake_pixels(2, 1, 4, 8, 11)[0], Place(6.0, (338002.0, 7668001.0)))
    scene = make_scene(pan.grid, [pan, open_source("ms", image, image.Settings(shifted))], {})
    assert scene.notes[0].code == "warped"
    assert scene.cubes["ms"].grid.transform @ (0, 0) == pan.grid.transform @ (0, 0)


def test_an_index_without_its_bands_is_refused(tmp_path):
    source = _series(tmp_path)
    with pytest.raises(SourceError, match="needs the band.s. green"):
        make_scene(source.grid, [source], {"s2": Preparation(("ndwi",))})


def clouded(seed: int, dates: int = 17, height: int = 3, width: int = 210):
    """Return two bands of random values, half of them clear. Pixel 0 is never clear, pixel 1 once, pixel 2 twice."""
    generator = np.random.default_rng(seed)
    values = generator.random((dates, 2, height, width)).astype(np.float32)
    valid = generator.random((dates, height, width)) < 0.5
    valid[:, 0, :3] = False
    valid[4, 0, 1] = True
    valid[[3, 8], 0, 2] = True
    days = np.sort(generator.choice(200, dates, replace=False)).astype(np.int32) + 100
    return np.where(valid[:, None], values, 0).astype(np.float32), valid, days


TARGET = np.arange(60, 330, 13, dtype=np.int32)


def test_linear_filling_of_many_pixels_equals_numpy_interp() -> None:
    values, valid, days = clouded(1)
    filled, seen = interpolate(values, valid, days, TARGET)
    for y, x in np.ndindex(valid.shape[1:]):
        clear = valid[:, y, x]
        assert seen[:, y, x].all() == clear.any()
        for c in range(2):
            expected = np.interp(TARGET, days[clear], values[clear, c, y, x]) if clear.any() else np.zeros(len(TARGET))
            assert np.allclose(filled[:, c, y, x], expected, atol=1e-6)


@pytest.mark.parametrize("fill", [interpolate, partial(whittaker, smoothing=2.0)])
def test_two_images_of_one_day_are_filled(fill) -> None:
    """Radar of two orbits, and a pixel that is seen on a regular date only, by both."""
    values, valid = np.arange(1, 5, dtype=np.float32).reshape(4, 1, 1, 1), np.array([0, 1, 1, 0], bool)[:, None, None]
    target = np.arange(0, 31, 10, dtype=np.int32)
    filled, seen = fill(values * valid[:, None], valid, np.array([0, 10, 10, 25], np.int32), target)
    assert seen.all()
    assert np.isin(filled, [2, 3]).all()


def test_whittaker_solves_its_equations_and_keeps_the_ends() -> None:
    values, valid, days = clouded(2)
    smooth, seen = whittaker(values, valid, days, TARGET, 2.0)
    straight, _ = interpolate(values, valid, days, TARGET)
    m = len(TARGET)
    difference = np.diff(np.eye(m), 2, axis=0)
    for y, x in np.ndindex(valid.shape[1:]):
        clear = valid[:, y, x]
        if clear.sum() < 3:
            assert np.allclose(smooth[:, :, y, x], straight[:, :, y, x], atol=1e-6)
            continue
        place = np.clip((days[clear] - TARGET[0]) / 13, 0, m - 1)
        low = np.minimum(place.astype(int), m - 2)
        weights = np.zeros((clear.sum(), m))
        weights[np.arange(len(low)), low], weights[np.arange(len(low)), low + 1] = 1 - (place - low), place - low
        matrix = weights.T @ weights + 2.0 * difference.T @ difference
        curve = np.linalg.solve(matrix, weights.T @ values[clear, :, y, x])
        inside = (days[clear][0] <= TARGET) & (days[clear][-1] >= TARGET)
        assert np.allclose(smooth[inside, :, y, x], curve[inside], atol=1e-5)
        after = np.flatnonzero(days[clear][-1] < TARGET)
        if inside.any() and len(after):
            assert np.array_equal(smooth[after[-1], :, y, x], smooth[np.flatnonzero(inside)[-1], :, y, x])
    assert not seen[:, 0, 0].any()


def test_dates_outside_the_span_weigh_on_their_own_day() -> None:
    """A straight line, seen from 120 days before the span to 90 days after it, has no roughness: the curve is the line."""
    days = np.array([-120, -90, -40, 5, 33, 61, 100, 150], np.int32)
    line = (0.2 + 0.001 * days).astype(np.float32)[:, None, None, None]
    valid = np.ones((len(days), 1, 1), bool)
    for target in (np.arange(0, 61, 10, dtype=np.int32), np.arange(3, 60, 27, dtype=np.int32)):
        smooth, seen = whittaker(line, valid, days, target, 1.0)
        assert seen.all()
        assert np.allclose(smooth[:, 0, 0, 0], 0.2 + 0.001 * target, atol=1e-5)
    valid[3:] = False
    smooth, _ = whittaker(line, valid, days, np.arange(0, 61, 10, dtype=np.int32), 1.0)
    assert np.allclose(smooth[:, 0, 0, 0], 0.16, atol=1e-5), "after the last clear date, its value"


def test_whittaker_smooths_noise_and_follows_a_season() -> None:
    generator = np.random.default_rng(3)
    days = np.arange(0, 360, 6, dtype=np.int32)
    season = np.sin(days / 360 * 2 * np.pi)
    noisy = (season + 0.2 * generator.standard_normal(len(days)))[:, None, None, None].astype(np.float32)
    valid = np.ones((len(days), 1, 1), bool)
    target = np.arange(0, 355, 10, dtype=np.int32)
    truth = np.sin(target / 360 * 2 * np.pi)
    smooth = whittaker(noisy, valid, days, target, 20.0)[0][:, 0, 0, 0]
    straight = interpolate(noisy, valid, days, target)[0][:, 0, 0, 0]
    assert np.abs(smooth - truth).mean() < 0.6 * np.abs(straight - truth).mean()
    with pytest.raises(ValueError, match="above 0"):
        Fill(10, date(2021, 1, 1), date(2021, 12, 31), "whittaker", 0.0)


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 400))
def test_filling_does_not_depend_on_neighbouring_pixels(seed: int, height: int, width: int) -> None:
    """Threads and blocks divide a window at any pixel: a part filled alone is identical bit for bit."""
    values, valid, days = clouded(seed % 7, 9, height, width + 3)
    y, x = seed % height, seed % width
    for fill in (partial(interpolate, target=TARGET), partial(whittaker, target=TARGET, smoothing=1.0)):
        whole, _ = fill(values, valid, days)
        part, _ = fill(values[:, :, y:, x : x + 3], valid[:, y:, x : x + 3], days)
        assert np.array_equal(part, whole[:, :, y:, x : x + 3])


def test_filling_is_the_same_in_many_threads(monkeypatch) -> None:
    from bocage.scene import gaps

    values, valid, days = clouded(5, 12, 40, 300)
    single = interpolate(values, valid, days, TARGET)[0]
    monkeypatch.setattr(gaps, "WORTH_SHARING", 0)
    monkeypatch.setattr(gaps, "cores", lambda: 5)
    assert np.array_equal(interpolate(values, valid, days, TARGET)[0], single)


def test_the_speckle_filter_refuses_linear_backscatter(tmp_path):
    path = write_raster(tmp_path / "vv_20220103.tif", np.linspace(0.01, 0.2, 64, dtype=np.float32).reshape(1, 8, 8))
    filtered = {"s1": Preparation(speckle=Speckle())}
    linear = open_source("s1", series, series.Settings({"vv": tmp_path / "vv_{date}.tif"}))
    with pytest.raises(SourceError, match=r"no value of vv in .*vv_20220103.tif is negative.*Set decibel"):
        make_scene(linear.grid, [linear], filtered)
    converted = open_source("s1", series, series.Settings({"vv": path.with_name("vv_{date}.tif")}, decibel="power"))
    assert make_scene(converted.grid, [converted], filtered).cubes["s1"].read(Window(0, 0, 8, 8)).valid.all()


def test_acquisitions_that_touch_only_the_halo_are_included():
    class Echo:
        def touching(self, grid, window):
            return window

    speckle = Speckle()
    cube = Cube(Echo(), None, Ratio(), Preparation(speckle=speckle))
    assert speckle.halo > 0
    assert cube.touching(Window(8, 8, 4, 4)) == Window(8, 8, 4, 4).pad(speckle.halo, speckle.halo)


def test_the_block_cache_is_wanted_for_the_stored_bytes_of_a_scene(tmp_path, monkeypatch):
    coarse = write_raster(tmp_path / "a.tif", np.ones((3, 8, 8), np.uint16))
    fine = write_raster(tmp_path / "b.tif", np.ones((1, 16, 16), np.uint8), Place(5.0))
    ms, pan = (open_source(path.stem, image, image.Settings(path)) for path in (coarse, fine))
    wanted = []
    monkeypatch.setattr(reading, "grow_block_cache", wanted.append)
    reading.keep_blocks(make_scene(ms.grid, [ms, pan], {}).cubes.values())
    assert wanted == [reading.TOGETHER * (3 * 2 + 4 * 1)], "three bands of two bytes, and four pixels of one byte"


def _decoded(windows, block, room, side):
    """Return how often a block is decoded on average, with a cache for `room` blocks and a halo of 2 pixels."""
    cache, count = {}, 0
    for window in windows:
        ys, xs = (
            range(max(0, at - 2) // block, min(side - 1, at + 257) // block + 1) for at in (window.y, window.x)
        )  # fmt: skip
        for place in itertools.product(ys, xs):
            count += place not in cache
            cache[place] = cache.pop(place, True)  # the last one used is the last one
            if len(cache) > room:
                del cache[next(iter(cache))]
    return count / (side // block) ** 2


@pytest.mark.parametrize(
    ("block", "room", "most"),
    [(256, 9, 3), (256, 13, 2), (256, 20, 1.5), (512, 4, 4), (512, 6, 3), (512, 9, 2), (1024, 4, 4)],
)
def test_windows_in_strips_decode_blocks_as_seldom_as_the_cache_allows(block, room, most, monkeypatch):
    side = 8192
    grid = Grid.of("EPSG:32631", Affine(10, 0, 0, 0, -10, 0), (side, side))
    monkeypatch.setattr(reading, "_stored_size", lambda _: 800.0)
    monkeypatch.setattr(reading, "_files", lambda _: [SimpleNamespace(path=None)])
    monkeypatch.setattr(reading, "block_of", lambda _: (block, block))
    monkeypatch.setattr(reading, "block_cache", lambda: 800 * block**2 * room)
    windows = reading.in_strips(grid.tiles(256), [SimpleNamespace(ratio=Ratio())])
    assert len(set(windows)) == (side // 256) ** 2
    assert _decoded(windows, block, room, side) <= most
