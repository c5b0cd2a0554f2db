"""The machine: cores, memory, devices for PyTorch, and versions of the packages that results depend on."""

import functools
import gc
import hashlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bocage.errors import TrainedError

if TYPE_CHECKING:  # importing PyTorch takes seconds; not all commands need it
    import torch

PACKAGES = ("bocage", "torch", "numpy", "scikit-learn", "rasterio", "odc-geo", "geopandas")
"""Packages whose versions are recorded with results and in error logs."""


ARENA_MAX = -8
"""Number of the setting M_ARENA_MAX in ``malloc.h`` of glibc."""
MMAP_THRESHOLD, TRIM_THRESHOLD, KEPT = -3, -1, 1 << 30
"""Numbers of two more settings there, and their value: the size from which memory is returned at once."""
ACCEPTED = 1 << 25
"""Largest value of the first of them that glibc before 2.35 accepts: 32 MB."""


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compiled(function: Callable[..., Any], uses: Sequence[Path] = ()) -> Any:
    """Return a function compiled by numba on first use, without the interpreter lock, and cached on disk if possible.

    Parameters
    ----------
    uses
        Other source files whose functions become part of the compiled one. numba compares the time of the function's own file
        only; here, the content of all files is part of the name in the cache, so that an earlier version is never used.
    """
    import numba  # it takes half a second to import

    files = (Path(function.__code__.co_filename), *uses)
    content = hashlib.sha256(b"".join(path.read_bytes() for path in files if path.is_file()))
    function.__qualname__ = f"{function.__qualname__}_{content.hexdigest()[:16]}"
    try:
        return numba.njit(nogil=True, cache=True, boundscheck=False)(function)
    except RuntimeError:  # numba has no writable folder for its cache
        return numba.njit(nogil=True, boundscheck=False)(function)


def versions() -> dict[str, str]:
    """Return the versions of Python and of ``PACKAGES``; "not installed" where a package is missing."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def peak_memory() -> int:
    """Return the largest resident memory of this process so far, in bytes; 0 where the system does not report it."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would include the parent process
        lines = (line.split() for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return next((int(line[1]) * 1024 for line in lines), 0)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


@functools.cache
def _glibc() -> Any:
    """Return the C library of the process if it is glibc, whose allocator can be set; None otherwise."""
    try:
        glibc = (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):  # Windows; macOS, musl
        glibc = False
    if not glibc:
        return None
    import ctypes

    return ctypes.CDLL(None)


def few_arenas() -> None:
    """Let all threads of this process allocate memory from a few pools: one for every four cores.

    By default, glibc has a pool for each thread, and keeps what is free in one pool from the threads of the others. Does nothing
    with another C library, or if the environment variable MALLOC_ARENA_MAX is set. Pools that are there already remain.
    """
    if (libc := _glibc()) and "MALLOC_ARENA_MAX" not in os.environ:
        libc.mallopt(ARENA_MAX, max(1, cores() // 4))


def collect_rarely() -> None:
    """Let this process search for cyclic garbage after 10,000 new objects, instead of 700.

    The imports of a command create many objects that remain. Arrays are not in cycles: without any search, a map and a training
    have the same peak memory.
    """
    gc.set_threshold(10_000)


def reuse_memory() -> None:
    """Let this process use the memory of the arrays of a window for the next window.

    By default, glibc returns an array of more than 32 MB to the system when it is freed, and the system fills the pages of the
    next one with zeros. :func:`release_memory` returns what is free. Does nothing with another C library, or if one of the
    environment variables MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ is set.

    The second setting alone would prevent glibc from adapting the first. Versions of glibc before 2.35 accept 32 MB at
    most, with which arrays of 32 to 64 MB take two to five times as long.
    """
    libc = _glibc()
    if libc is None or {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"} & set(os.environ):
        return
    if libc.mallopt(MMAP_THRESHOLD, KEPT) or libc.mallopt(MMAP_THRESHOLD, ACCEPTED):
        libc.mallopt(TRIM_THRESHOLD, KEPT)


def release_memory() -> None:
    """Return the free memory of this process to the system.

    glibc keeps free memory below the first used piece of a pool, and pieces that stay for long (the blocks that GDAL caches) lie
    between the arrays of the windows: without this, the resident memory grows with the number of windows. Does nothing with
    another C library.
    """
    if libc := _glibc():
        libc.malloc_trim(0)


def description() -> str:
    """Return processor, cores and memory in one line."""
    import psutil

    processor = platform.processor() or platform.machine()
    return f"{processor}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.0f} GB"


def one_core() -> None:
    """Set PyTorch to one thread in this thread, so that the order of summation does not depend on the number of cores."""
    import torch

    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@contextmanager
def cores_given_back() -> Iterator[None]:
    """Restore PyTorch's number of threads on exit."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_of(wanted: str) -> "torch.device":
    """Return the device `wanted`; "auto" is the first available of CUDA, MPS and CPU.

    Raises
    ------
    TrainedError
        The device is not available on this machine.
    """
    import torch

    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, available in has.items() if available))
    if not has[wanted]:
        raise TrainedError(f"The device '{wanted}' is not on this machine; set [training] device = \"auto\".")
    return torch.device(wanted)


def device_count(wanted: str) -> int:
    """Return the number of GPUs that "auto" or "cuda" would use; 0 for any other device."""
    import torch

    return torch.cuda.device_count() if device_of(wanted).type == "cuda" else 0
