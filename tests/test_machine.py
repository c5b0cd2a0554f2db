"""Memory: what is free goes back to the system, threads share it, and no job reads a map in one piece."""

import os
import subprocess
import sys
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pytest
import shapely
from shapely import box

from bocage import machine
from bocage.finish.zones import read_zones, zone_statistics
from bocage.jobs.change import Year, change
from bocage.jobs.fuse import Fusing, fuse
from bocage.jobs.mosaic import make_mosaic
from bocage.jobs.reconcile import Reconciling, reconcile
from bocage.mapping import Computing, Mapping, Workers, make_map, work
from bocage.progress import QUIET
from bocage.sources import raster
from bocage.sources.areas import areas_of
from conftest import GRU, S2, Told
from test_fuse import with_probabilities
from test_zones_and_change import delivered

BEGIN = """
import ctypes, os, threading
from bocage import machine
libc = machine._glibc()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
"""
ARENAS = (
    BEGIN
    + """
machine.few_arenas()
gate = threading.Barrier(8)
def hold():
    gate.wait()
    kept = [libc.malloc(1000) for _ in range(100)]
    gate.wait()
for thread in (threads := [threading.Thread(target=hold) for _ in range(8)]):
    thread.start()
for thread in threads:
    thread.join()
read, write = os.pipe()
libc.fdopen.restype = ctypes.c_void_p
stream = ctypes.c_void_p(libc.fdopen(write, b"w"))
libc.malloc_info(0, stream)
libc.fclose(stream)
print(os.read(read, 1 << 16).count(b"<heap nr="))
"""
)
FREE = (
    BEGIN
    + """
libc.mallopt(-3, 1 << 25)  # M_MMAP_THRESHOLD: from the heap, as the arrays of windows are after a while
arrays, kept = [], []
for _ in range(100):
    arrays.append(libc.malloc(1 << 20))
    ctypes.memset(arrays[-1], 1, 1 << 20)
    kept.append(libc.malloc(100_000))
for one in arrays:
    libc.free(one)
before = resident()
machine.release_memory()
print(before - resident())
"""
)
REUSED = (
    BEGIN
    + """
machine.reuse_memory()
before, array = resident(), libc.malloc(100 << 20)
ctypes.memset(array, 1, 100 << 20)
libc.free(array)
kept = resident() - before
machine.release_memory()
print(kept - (resident() - before) if kept > 90 else kept)
"""
)
glibc = pytest.mark.skipif(machine._glibc() is None, reason="another C library")


def run(code, **environment):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=clean | environment
    )
    return float(done.stdout)


@glibc
def test_threads_allocate_from_few_pools():
    assert run(ARENAS) <= max(1, machine.cores() // 4)
    assert run(ARENAS, MALLOC_ARENA_MAX="5") == 5, "what the user sets is kept"


@glibc
def test_free_memory_between_used_pieces_goes_back_to_the_system():
    assert run(FREE) > 80, "MB of 100 that are free"


@glibc
def test_the_memory_of_a_window_is_used_again_until_it_is_released():
    assert run(REUSED) > 90, "MB of 100 that were kept and then released"
    assert run(REUSED, MALLOC_MMAP_THRESHOLD_="1000000") < 10, "what the user sets is kept"


@pytest.mark.parametrize(
    ("largest", "expected"),
    [(1 << 30, [(-3, 1 << 30), (-1, 1 << 30)]), (1 << 25, [(-3, 1 << 30), (-3, 1 << 25), (-1, 1 << 30)]), (0, None)],
    ids=["glibc 2.35", "earlier", "refuses"],
)
def test_memory_is_kept_only_if_the_allocator_takes_the_size(monkeypatch, largest, expected):
    """The second setting alone would prevent glibc from adapting the first."""
    calls = []

    def mallopt(number, value):
        calls.append((number, value))
        return int(number == machine.TRIM_THRESHOLD or value <= largest)

    monkeypatch.setattr(machine, "_glibc", lambda: SimpleNamespace(mallopt=mallopt))
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    machine.reuse_memory()
    assert calls == (expected or [(-3, 1 << 30), (-3, 1 << 25)])


def test_another_c_library_is_left_alone(monkeypatch):
    def other(name):
        raise ValueError(name)

    machine._glibc.cache_clear()
    monkeypatch.setattr(os, "confstr", other, raising=False)
    try:
        assert machine._glibc() is None
        machine.few_arenas()
        machine.reuse_memory()
        machine.release_memory()
    finally:
        machine._glibc.cache_clear()


@pytest.mark.slow
def test_a_map_returns_its_free_memory_after_some_windows_and_at_their_end(brief, small_cells, tmp_path, monkeypatch):
    found, calls = brief(GRU, S2), []
    monkeypatch.setattr(work, "release_memory", lambda: calls.append("windows"))
    monkeypatch.setattr("bocage.mapping.engine.release_memory", lambda: calls.append("end"))
    monkeypatch.setattr(work, "BETWEEN", 2)
    one = Computing(workers=Workers(threads=1))
    make_map(found.trained, found.scene, Mapping(tile=24), tmp_path, computing=one)
    count = int(np.prod([-(-n // 24) for n in found.scene.grid.shape]))
    assert calls == ["windows"] * (count // 2) + ["end"]


# --- maps are read in windows
LARGEST = 1024 * 1024
"""Largest number of pixels that a job reads at a time, of each map and layer."""


@pytest.fixture
def pieces(monkeypatch):
    """Sizes in pixels of what is read from files."""
    sizes, own = [], raster._Image.read

    def noted(image, part):
        sizes.append(part.height * part.width)
        return own(image, part)

    monkeypatch.setattr(raster._Image, "read", noted)
    return sizes


def stripes(shape=(1030, 1040)):
    """Codes of a map of few objects, and its confidence."""
    codes = np.array([4, 2, 9])[np.arange(shape[0]) // 40 % 3][:, None].repeat(shape[1], 1)
    return codes, np.full(shape, 70)


@pytest.mark.slow
@pytest.mark.parametrize("job", ["fuse", "mosaic", "change", "zones", "reconcile"])
def test_no_job_reads_a_map_in_one_piece(job, tmp_path, pieces):
    codes, sure = stripes()
    first, second = (delivered(tmp_path / name, codes, confidence=sure) for name in ("one", "two"))
    whole = gpd.GeoDataFrame({"name": ["all"]}, geometry=[box(*first.grid.bounds)], crs=first.grid.crs.to_wkt())
    whole.assign(maize=0.5).to_file(tmp_path / "zones.gpkg")
    pieces.clear()
    if job == "fuse":
        fuse([first.folder, second.folder], tmp_path / "out", Fusing(), Told())
    elif job == "mosaic":
        make_mosaic([first.folder, second.folder], tmp_path / "out")
    elif job == "change":
        change(Year(first.folder), Year(second.folder), tmp_path / "out")
    elif job == "zones":
        zone_statistics(first, read_zones(tmp_path / "zones.gpkg", "name", first.grid, QUIET), None, QUIET)
    else:
        with_probabilities(first, np.full((3, *codes.shape), 33))
        reconcile(first.folder, tmp_path / "zones.gpkg", tmp_path / "out", Reconciling(), Told())
    assert sum(pieces) >= codes.size
    assert max(pieces) <= LARGEST


@pytest.mark.slow
def test_a_raster_of_labels_is_read_in_windows_and_its_areas_are_whole(tmp_path, pieces):
    codes = stripes()[0]
    delivered(tmp_path / "map", codes)
    pieces.clear()
    found = areas_of(tmp_path / "map/classes.tif")
    assert max(pieces) <= LARGEST
    assert set(found.codes) == {4, 2, 9}
    assert shapely.area(found.polygons).sum() == pytest.approx(codes.size * 100)
    assert not shapely.overlaps(found.polygons[:50, None], found.polygons[:50]).any()
