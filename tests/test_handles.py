"""Datasets shared by threads (sources/handles.py)."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio

from bocage.grid import Window
from bocage.sources import handles, image, open_source, raster


def _write(path, values):
    about = {"height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": "uint16", "crs": "EPSG:32631"}
    transform = rasterio.transform.from_origin(500_000, 5_600_000, 10, 10)
    tiled = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    with rasterio.open(path, "w", driver="GTiff", transform=transform, **about, **tiled) as dataset:
        dataset.write(values, 1)
    return path


@pytest.fixture
def values():
    return np.random.default_rng(0).integers(1, 60_000, (256, 320)).astype(np.uint16)


def test_threads_use_one_dataset_and_read_the_same(tmp_path, values, monkeypatch):
    opened, start = [], raster._open
    monkeypatch.setattr(raster, "_open", lambda path: opened.append(path) or start(path))
    source = open_source("x", image, image.Settings(_write(tmp_path / "x.tif", values)))
    opened.clear()
    windows = [Window(y, x, 66, 66) for y in range(0, 190, 16) for x in range(0, 250, 16)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda window: source.read(source.grid, window)[0][0, 0], windows))
    for window, layer in zip(windows, found):
        np.testing.assert_array_equal(layer, values[window.slices])
    assert len(opened) <= 1


def test_a_changed_file_is_opened_again(tmp_path, values):
    path = _write(tmp_path / "x.tif", values)
    source = open_source("x", image, image.Settings(path))
    window = Window(0, 0, 64, 64)
    assert source.read(source.grid, window)[0][0, 0, 0, 0] == values[0, 0]
    path.unlink()
    _write(path, values[::-1])
    assert source.read(source.grid, window)[0][0, 0, 0, 0] == values[-1, 0]


class _Dataset:
    def __init__(self, path):
        self.path, self.closed = path, False

    def close(self):
        self.closed = True


def test_a_failed_dataset_is_closed_and_opened_again():
    def fail():
        with handles.using((Path("fails.tif"), 0), True, _Dataset) as dataset:
            failed.append(dataset)
            raise ValueError("damaged")

    failed = []
    with pytest.raises(ValueError, match="damaged"):
        fail()
    assert failed[0].closed
    with handles.using((Path("fails.tif"), 0), True, _Dataset) as dataset:
        assert dataset is not failed[0]


def test_one_thread_at_a_time_and_virtual_rasters_apart():
    def other(shared):
        with handles.using((Path("one.tif"), 0), shared, _Dataset) as dataset:
            found.append(dataset)

    for shared in (True, False):
        found = []
        with handles.using((Path("one.tif"), 0), shared, _Dataset) as dataset:
            thread = threading.Thread(target=other, args=(shared,))
            thread.start()
            thread.join(0.1)
            assert bool(found) != shared
        thread.join()
        assert (found[0] is dataset) == shared


def test_few_datasets_stay_open(monkeypatch):
    monkeypatch.setattr(handles, "MOST_OPEN", 2)
    kept = []
    for number in range(4):
        with handles.using((Path(f"many{number}.tif"), 0), False, _Dataset) as dataset:
            kept.append(dataset)
    assert [dataset.closed for dataset in kept] == [True, True, False, False]


def test_an_opening_does_not_search_the_open_files(monkeypatch):
    class Place(int):
        """A path, which counts how often it is compared."""

        __hash__ = int.__hash__

        def __eq__(self, other):
            compared.append(self)
            return int(self) == int(other)

    compared, found = [], handles._Handles()
    monkeypatch.setattr(handles, "MOST_OPEN", 50)
    for place in range(80):
        found.at((Place(place), "new"))
    assert [int(place) for place, _ in found.handles] == list(range(30, 80))
    compared.clear()
    found.at((Place(80), "new"))
    assert len(compared) < 20
    found.at((Place(80), "newer"))
    assert [key for key in found.handles if key[0] == 80] == [(80, "newer")], "the earlier state is closed"
    found.drop((Place(80), "newer"))
    assert set(found.keys) == {int(place) for place, _ in found.handles} == set(range(31, 80))
