"""Prepared cubes: a cube stored on disk in Zarr v3 with sharding. The shards subdivide the tiles of the map.

A shard is computed, written atomically (the store renames a complete file), then recorded in a journal next to the store. The
record has a digest of all inputs of the shard: settings, grid, and content of the files that touch it. A second preparation
computes only the shards that are not recorded or whose digest has changed.
"""

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from dask.base import compute
from dask.delayed import delayed

from bocage.disk import Journal, Watch
from bocage.errors import SceneError
from bocage.grid import Window
from bocage.machine import cores
from bocage.progress import QUIET, Progress
from bocage.ranges import Range, check_ranges
from bocage.scene import store
from bocage.scene.cube import Block, Cube
from bocage.scene.origin import Origin, origins_of
from bocage.scene.reading import block_by_block
from bocage.sources.edges import no_edges_after

FORMAT = 4
"""Version of the content of a store: it increases when the same files give other values."""
MEMORY = 256 << 20
"""Maximum memory of the values of a shard, in bytes. The side of a larger shard is halved."""


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
    arrays = _arrays(cube, path, side, journal)
    windows, watch = block_by_block(cube, side), Watch.on(cube.paths)
    origins = _origins(cube, windows, side)
    noted = {window for window in windows if journal.notes.get(window.corner, {}).get("key") == origins[window].key}
    todo = [window for window in windows if window not in noted or store.missing(path, window, side)]
    _check_room(cube, path, todo)
    task, count, lock = f"preparing {cube.name}", len(windows) - len(todo), threading.Lock()
    if todo and count:
        progress.say(f"{cube.name}: {count} of {len(windows)} parts are up to date")

    def work(window: Window) -> None:
        nonlocal count
        block = cube.compute(window)
        _check_unchanged(cube, watch, origins[window])
        store.write(arrays, window, values=block.values, valid=block.valid, clear=block.clear)
        with lock:
            journal.add(window.corner, key=origins[window].key, never=_never_clear(block))
            count += 1
            progress.step(task, count, len(windows))

    try:
        with no_edges_after():
            _in_threads(work, todo, task, settings.workers or cores())
    except OSError as error:
        raise SceneError(
            f"{path} cannot be written: {error.strerror or error}. Free some disk space or choose another --out, and run the "
            f"same command again: {count} of {len(windows)} parts are kept."
        ) from error
    never = sum(journal.notes[window.corner]["never"] for window in windows)
    height, width = cube.grid.shape
    return Prepared(path, len(todo), len(windows), height * width, never)


def _check_unchanged(cube: Cube, watch: Watch, origin: Origin) -> None:
    if changed := watch.changed(origin.files):
        raise SceneError(
            f"{changed[0]} changed while '{cube.name}' was prepared. Run the same command again when the input files no "
            "longer change: complete parts are kept."
        )


def _in_threads(work: Callable[[Window], None], windows: list[Window], task: str, workers: int) -> None:
    # Dask goes by the names of the tasks, which are random unless they are given.
    names = (f"{task} {number:09d}" for number in range(len(windows)))
    tasks = [delayed(work, pure=False)(window, dask_key_name=name) for window, name in zip(windows, names, strict=True)]
    compute(*tasks, scheduler="threads", num_workers=workers)  # type: ignore[no-untyped-call]


def _never_clear(block: Block) -> int:
    return int((block.clear == 0).sum())


def shard_side(cube: Cube, tile: int) -> int:
    """Return the side of a shard in pixels of the cube: `tile` map pixels, halved until a shard fits in ``MEMORY``."""
    side = max(store.INNER, tile * cube.ratio.finer // cube.ratio.coarser)
    per_pixel = max(len(cube.source.days), len(cube.days)) * len(cube.bands) * 4
    while side * side * per_pixel > MEMORY and side % (2 * store.INNER) == 0 and side > 8 * store.INNER:
        side //= 2
    return side // store.INNER * store.INNER


def _arrays(cube: Cube, path: Path, side: int, journal: Journal) -> dict[str, Any]:
    """Open the store, or create it if it is missing, damaged or belongs to another cube."""
    height, width = cube.grid.shape
    about = {
        "format": FORMAT, "bands": list(cube.bands), "days": cube.days.tolist(), "crs": cube.grid.crs.to_wkt(),
        "transform": list(cube.grid.transform)[:6], "shape": [height, width], store.SIDE: side,
    }  # fmt: skip
    arrays = store.opened(path, about)
    if arrays is None:
        journal.clear()
        arrays = store.created(path, about, (len(cube.days), len(cube.bands), height, width))
    return arrays


def _origins(cube: Cube, windows: list[Window], side: int) -> dict[Window, Origin]:
    """Return the origin of each shard. The table of temperatures is not part of it: the values do not depend on it."""
    cube = replace(cube, preparation=replace(cube.preparation, thermal=None))
    settings = (FORMAT, cube.preparation, cube.source.bands, side)
    return origins_of(windows, {cube.name: cube}, lambda _, window: window, settings)


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
