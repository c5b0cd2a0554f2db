"""Memory that is free goes back to the system, and threads share it."""

import os
import subprocess
import sys

import numpy as np
import pytest

from bocage import machine
from bocage.mapping import Computing, Mapping, Workers, make_map, work
from conftest import GRU, S2

BEGIN = """
import ctypes, os, threading
from bocage import machine
libc = machine._glibc()
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
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
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


def test_another_c_library_is_left_alone(monkeypatch):
    def other(name):
        raise ValueError(name)

    machine._glibc.cache_clear()
    monkeypatch.setattr(os, "confstr", other, raising=False)
    try:
        assert machine._glibc() is None
        machine.few_arenas()
        machine.release_memory()
    finally:
        machine._glibc.cache_clear()


def test_a_map_returns_its_free_memory_after_some_windows_and_at_their_end(brief, small_cells, tmp_path, monkeypatch):
    found, calls = brief(GRU, S2), []
    monkeypatch.setattr(work, "release_memory", lambda: calls.append("windows"))
    monkeypatch.setattr("bocage.mapping.engine.release_memory", lambda: calls.append("end"))
    monkeypatch.setattr(work, "BETWEEN", 2)
    one = Computing(workers=Workers(threads=1))
    make_map(found.trained, found.scene, Mapping(tile=24), tmp_path, computing=one)
    count = int(np.prod([-(-n // 24) for n in found.scene.grid.shape]))
    assert calls == ["windows"] * (count // 2) + ["end"]
