"""Prepared cubes: a cube stored on disk in Zarr v3 with sharding. The shards subdivide the tiles of the map.

A shard is computed, written atomically (the store renames a complete file), then recorded in a journal next to the store. The
record has a digest of all inputs of the shard: settings, grid, and content of the files that touch it. A second preparation
computes only the shards that are not recorded or whose digest has changed.
"""

import shutil
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import zarr
from dask.base import compute
from dask.delayed import delayed
from zarr.codecs import BloscCodec, BytesCodec

from bocage.disk import Journal, digest_of
from bocage.errors import SceneError
from bocage.grid import Window, in_blocks
from bocage.machine import cores
from bocage.progress import QUIET, Progress
from bocage.ranges import Range, check_ranges
from bocage.scene.cube import Block, Cube

FORMAT = 1
MEMORY = 256 << 20
"""Maximum memory of the values of a shard, in bytes. The side of a larger shard is halved."""
INNER = 4
"""Number of chunks along each axis of a shard."""


@dataclass(frozen=True)
class Preparing:
    """Settings of the prepared scene ([scene] in the recipe)."""

    prepare: Literal["auto", "always", "never"] = "auto"
    """Whether to write cubes to disk: "auto" (those that are warped, gap-filled or filtered), "always" or "never"."""
    tile: Annotated[int, Range(16, 8192)] = 256
    """Maximum side of a shard, in map pixels, at least 16. The tile size of the map should be this size or a multiple."""
    workers: Annotated[int, Range(0, 1024)] = 0
    """Number of threads, at least 0; 0: one per core."""

    def __post_init__(self) -> None:
        check_ranges(self)

    def wants(self, cube: Cube) -> bool:
        """Return whether a cube is written to disk."""
        return self.prepare == "always" or (self.prepare == "auto" and cube.is_laborious)


@dataclass(frozen=True)
class Prepared:
    """Result of the preparation of a cube."""

    path: Path
    """Zarr group."""
    done: int
    """Number of shards computed by this call."""
    shards: int
    """Number of shards of the cube."""
    pixels: int
    """Number of pixels of the grid of the cube."""
    never_clear: int
    """Number of pixels without any clear date."""


def prepare(cube: Cube, path: Path, settings: Preparing, progress: Progress = QUIET) -> Prepared:
    """Write the missing or outdated shards of a cube to the Zarr group `path`.

    The group has the arrays ``values`` (time, band, y, x), ``valid`` (time, y, x) and ``clear`` (y, x: number of clear dates
    before gap filling). The journal is ``<path>.journal``.

    Raises
    ------
    SceneError
        The disk is full or cannot be written. Complete shards are kept.
    SourceError
        A file cannot be read.
    """
    side = shard_side(cube, settings.tile)
    journal = Journal(path.with_name(path.name + ".journal"))
    group = _group(cube, path, side, journal)
    windows = in_blocks(cube.grid.tiles(side))
    keys = _keys(cube, windows, side)
    todo = [window for window in windows if journal.notes.get(window.corner, {}).get("key") != keys[window]]
    _check_room(cube, path, todo)
    task, count, lock = f"preparing {cube.name}", len(windows) - len(todo), threading.Lock()
    if todo and count:
        progress.say(f"{cube.name}: {count} of {len(windows)} parts are up to date")

    def work(window: Window) -> None:
        nonlocal count
        block = cube.compute(window)
        _write(group, window, block)
        with lock:
            journal.add(window.corner, key=keys[window], never=_never_clear(block))
            count += 1
            progress.step(task, count, len(windows))

    try:
        workers = settings.workers or cores()
        # Dask goes by the names of the tasks, which are random unless they are given.
        names = (f"{task} {number:09d}" for number in range(len(todo)))
        tasks = [
            delayed(work, pure=False)(window, dask_key_name=name) for window, name in zip(todo, names, strict=True)
        ]
        compute(*tasks, scheduler="threads", num_workers=workers)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise SceneError(
            f"{path} cannot be written: {error.strerror or error}. Free some disk space or choose another --out, and run the "
            f"same command again: {count} of {len(windows)} parts are kept."
        ) from error
    never = sum(journal.notes[window.corner]["never"] for window in windows)
    height, width = cube.grid.shape
    return Prepared(path, len(todo), len(windows), height * width, never)


def _never_clear(block: Block) -> int:
    return int((block.clear == 0).sum())


def shard_side(cube: Cube, tile: int) -> int:
    """Return the side of a shard in pixels of the cube: `tile` map pixels, halved until a shard fits in ``MEMORY``."""
    side = max(INNER, tile * cube.ratio.finer // cube.ratio.coarser)
    per_pixel = max(len(cube.source.days), len(cube.days)) * len(cube.bands) * 4
    while side * side * per_pixel > MEMORY and side % (2 * INNER) == 0 and side > 8 * INNER:
        side //= 2
    return side // INNER * INNER


def _group(cube: Cube, path: Path, side: int, journal: Journal) -> Any:
    """Open the store, or create it if it is missing or belongs to another cube."""
    height, width = cube.grid.shape
    bands, dates = len(cube.bands), len(cube.days)
    about = {
        "format": FORMAT, "bands": list(cube.bands), "days": cube.days.tolist(), "crs": cube.grid.crs.to_wkt(),
        "transform": list(cube.grid.transform)[:6], "shape": [height, width], "shard": side,
    }  # fmt: skip
    if path.exists():
        try:
            group = zarr.open_group(path, mode="r+", zarr_format=3)
            if dict(group.attrs) == about:
                for torn in path.rglob("*.partial"):  # left by a process killed while writing
                    torn.unlink()
                return group
        except (OSError, ValueError, KeyError):
            pass  # not a store, or an incomplete store
        shutil.rmtree(path)
    journal.clear()
    path.parent.mkdir(parents=True, exist_ok=True)
    group = zarr.create_group(path, zarr_format=3)
    compressor = BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")
    shapes = {
        "values": ((dates, bands, height, width), (dates, bands), np.float32, ("time", "band", "y", "x")),
        "valid": ((dates, height, width), (dates,), np.bool_, ("time", "y", "x")),
        "clear": ((height, width), (), np.uint16, ("y", "x")),
    }
    for name, (shape, lead, dtype, dimensions) in shapes.items():
        group.create_array(
            name, shape=shape, chunks=(*lead, side // INNER, side // INNER), shards=(*lead, side, side), dtype=dtype,
            dimension_names=dimensions, compressors=compressor, serializer=BytesCodec(), fill_value=0,
        )  # fmt: skip
    group.attrs.update(about)  # last: a store without attributes is incomplete
    return group


def _keys(cube: Cube, windows: list[Window], side: int) -> dict[Window, str]:
    """Return, for every shard, a digest of everything that it is made from."""
    settings = (FORMAT, replace(cube.preparation, thermal=None), cube.source.bands, side, cube.source.described)
    common, keys, known = repr(settings).encode(), {}, dict[tuple[int, ...], bytes]()
    for window in windows:
        near = cube.touching(window)
        if near not in known:  # most windows touch the same tiles
            known[near] = repr(sorted(cube.source.fingerprints(near).items())).encode()
        keys[window] = digest_of(common, repr(window).encode(), known[near])
    return keys


def _check_room(cube: Cube, path: Path, todo: list[Window]) -> None:
    per_pixel = len(cube.days) * (4 * len(cube.bands) + 1) + 2
    need = sum(w.height * w.width for w in todo) * per_pixel
    free = shutil.disk_usage(path.parent).free
    if need > free:
        raise SceneError(
            f"Preparing '{cube.name}' takes up to {need / 1e6:.0f} MB in {path.parent}, where {free / 1e6:.0f} MB are free. "
            'Free some disk space, choose another --out, or set [scene] prepare = "never" (slower: each reading computes '
            "the values again)."
        )


def _write(group: Any, window: Window, block: Block) -> None:
    ys, xs = slice(window.y, window.y + window.height), slice(window.x, window.x + window.width)
    group["values"][:, :, ys, xs] = block.values
    group["valid"][:, ys, xs] = block.valid
    group["clear"][ys, xs] = block.clear
