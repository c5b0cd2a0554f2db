"""Size of GDAL's cache of decoded blocks, which all datasets of a process share."""

import functools
import os
import threading
from collections.abc import Iterable

from rasterio.env import get_gdal_config, set_gdal_config

_SETTING = threading.Lock()
SMALLEST, MOST = 256 << 20, 1 << 30
"""Size in bytes, and the largest one that :func:`grow_block_cache` gives. GDAL's default, 5 % of the memory, fills up during a
run. The first holds windows of 256 pixels with their halo, which touch nine blocks, for about 60 bands and dates."""
ALIGNED = 2.5
"""The largest size relative to GDAL's default, for windows that are aligned with blocks: without the blocks at one place, each
window would decode them again."""
LARGE = 512 * 512
"""Pixels per block above which GDAL's default is kept: neighbouring windows reuse large blocks, which are slow to decode (JPEG
2000)."""


def cap_block_cache() -> int:
    """Set the size, unless the environment variable GDAL_CACHEMAX is set, and return the previous size.

    The size is set once per process, and not with ``rasterio.Env``, which restores the previous size for all threads on exit.
    """
    with _SETTING:
        return _capped()


def widen_block_cache(blocks: Iterable[tuple[int, int]]) -> None:
    """Keep GDAL's default for a file that has a block, of these rows and columns, above ``LARGE``."""
    usual = cap_block_cache()
    if any(rows * columns > LARGE for rows, columns in blocks):
        _raise_to(usual)


def grow_block_cache(wanted: int, limit: float = 1) -> None:
    """Let the cache hold `wanted` bytes, up to ``MOST`` and `limit` times GDAL's default; it never shrinks.

    Does nothing if the environment variable GDAL_CACHEMAX is set.
    """
    _raise_to(min(round(limit * cap_block_cache()), MOST, wanted))


def block_cache() -> int:
    """Return the present size in bytes."""
    cap_block_cache()
    return int(get_gdal_config("GDAL_CACHEMAX"))


def _raise_to(size: int) -> None:
    with _SETTING:
        if "GDAL_CACHEMAX" not in os.environ and size > int(get_gdal_config("GDAL_CACHEMAX")):
            set_gdal_config("GDAL_CACHEMAX", size)


@functools.cache
def _capped() -> int:
    before = int(get_gdal_config("GDAL_CACHEMAX"))
    if "GDAL_CACHEMAX" not in os.environ:
        set_gdal_config("GDAL_CACHEMAX", min(before, SMALLEST))
    return before
