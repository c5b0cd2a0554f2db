"""A cube written once to disk: Zarr v3, sharded, each shard a window that divides the map's tiles.

A shard is computed, written in one piece (the store renames it into place), then noted in a journal beside the store,
with a digest of everything that it came from: settings, grid, and the content of the files that touch it. Preparing
again computes the shards that are not noted, or whose digest has changed, and no others.
"""

import shutil
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

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
from bocage.scene.cube import Block, Cube

FORMAT = 1
MEMORY = 256 << 20
"""Bytes of source values that one shard may need in memory; larger shards are halved."""
INNER = 4
"""Chunks a side of a shard."""


@dataclass(frozen=True)
class Preparing:
    """What the recipe says of the prepared scene."""

    prepare: Literal["auto", "always", "never"] = "auto"
    """Write cubes to disk once: where warping, filling or filtering makes that pay, always, or never."""
    tile: int = 256
    """Map pixels a side that a shard covers at most; the map's tiles should be as large, or a multiple."""
    workers: int = 0
    """Threads that prepare; 0: one for each core."""

    def __post_init__(self) -> None:
        if self.tile < 16 or self.workers < 0:
            raise ValueError("'tile' is at least 16 pixels and 'workers' at least 0")

    def wants(self, cube: Cube) -> bool:
        """Whether a cube is written to disk."""
        return self.prepare == "always" or (self.prepare == "auto" and cube.is_laborious)


@dataclass(frozen=True)
class Prepared:
    """A cube on disk."""

    path: Path
    done: int
    """Shards computed by this call."""
    shards: int
    pixels: int
    never_clear: int
    """Pixels without one clear date."""


def prepare(cube: Cube, path: Path, settings: Preparing, progress: Progress = QUIET) -> Prepared:
    """Write a cube to the Zarr group `path`, or what is missing or stale of it.

    The group has ``values`` (time, band, y, x), ``valid`` (time, y, x) and ``clear`` (y, x: clear dates before filling);
    the journal is ``<path>.journal``.

    Raises
    ------
    SceneError
        There is no room on the disk, or it cannot be written; what is complete is kept.
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
            f"{path} cannot be written: {error.strerror or error}. Free some room or choose another --out, and run the same "
            f"command again: {count} of {len(windows)} parts are kept."
        ) from error
    never = sum(journal.notes[window.corner]["never"] for window in windows)
    height, width = cube.grid.shape
    return Prepared(path, len(todo), len(windows), height * width, never)


def _never_clear(block: Block) -> int:
    return int((block.clear == 0).sum())


def shard_side(cube: Cube, tile: int) -> int:
    """Cube pixels a side of a shard: those under `tile` map pixels, halved until a shard fits in memory."""
    side = max(INNER, tile * cube.ratio.finer // cube.ratio.coarser)
    per_pixel = max(len(cube.source.days), len(cube.days)) * len(cube.bands) * 4
    while side * side * per_pixel > MEMORY and side % (2 * INNER) == 0 and side > 8 * INNER:
        side //= 2
    return side // INNER * INNER


def _group(cube: Cube, path: Path, side: int, journal: Journal) -> Any:
    """Open the store, or make it anew where it is not this cube's."""
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
                for torn in path.rglob("*.partial"):  # a chunk that a killed process was writing
                    torn.unlink()
                return group
        except (OSError, ValueError, KeyError):
            pass  # not a store, or not a complete one
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
    group.attrs.update(about)  # last: a store without them is not complete
    return group


def _keys(cube: Cube, windows: list[Window], side: int) -> dict[Window, str]:
    """Return, for every shard, a digest of everything that it is made from."""
    settings = (FORMAT, replace(cube.preparation, thermal=None), cube.source.bands, side, cube.source.described)
    common, keys, known = repr(settings).encode(), {}, dict[tuple[int, ...], bytes]()
    for window in windows:
        near = cube.touching(window)
        if near not in known:  # most windows lie in the same tiles
            known[near] = repr(sorted(cube.source.fingerprints(near).items())).encode()
        keys[window] = digest_of(common, repr(window).encode(), known[near])
    return keys


def _check_room(cube: Cube, path: Path, todo: list[Window]) -> None:
    per_pixel = len(cube.days) * (4 * len(cube.bands) + 1) + 2
    need = sum(w.height * w.width for w in todo) * per_pixel
    free = shutil.disk_usage(path.parent).free
    if need > free:
        raise SceneError(
            f"Preparing '{cube.name}' takes up to {need / 1e6:.0f} MB in {path.parent}, where {free / 1e6:.0f} MB are free; "
            'free some room, choose another --out, or set [scene] prepare = "never" (slower: everything is made anew each '
            "time it is read)."
        )


def _write(group: Any, window: Window, block: Block) -> None:
    ys, xs = slice(window.y, window.y + window.height), slice(window.x, window.x + window.width)
    group["values"][:, :, ys, xs] = block.values
    group["valid"][:, ys, xs] = block.valid
    group["clear"][ys, xs] = block.clear
