"""Samples cut from a scene: one footprint per labelled pixel and source, kept in files and mapped into memory."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SamplesError
from bocage.grid import Ratio, Window
from bocage.progress import Progress
from bocage.samples.rasterise import Pixels
from bocage.scene import Cube, Scene

TILE = 256
"""Map pixels a side of the windows in which the scene is read."""


class Reach(Protocol):
    """The pixels of a source around one map pixel; a network's footprint."""

    @property
    def size(self) -> int:
        """Pixels a side."""

    @property
    def before(self) -> int:
        """Pixels above and left of the anchor."""

    def window(self, window: Window, ratio: Ratio) -> Window:
        """Return the source's window, halo included, for a window of the map."""


@dataclass(frozen=True)
class Cut:
    """One source's footprints, one per sample."""

    values: NDArray[np.float32]
    """(all pixels cut, T, C, S, S), physical units, 0 where not valid."""
    valid: NDArray[np.bool_]
    """(all pixels cut, T, S, S)."""
    days: NDArray[np.int32]
    """(T,)."""
    index: NDArray[np.int64]
    """Where each sample's footprint is among the pixels cut."""

    def read(self, members: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Values (B, T, C, S, S) and valid (B, T, S, S) of some samples."""
        rows = self.index[members]
        return np.asarray(self.values[rows]), np.asarray(self.valid[rows])


def cut(
    scene: Scene, pixels: Pixels, footprints: Mapping[str, Reach], folder: Path, progress: Progress
) -> tuple[dict[str, Cut], NDArray[np.bool_]]:
    """Cut every sample's footprints out of the scene into `folder`, reading each window of the scene once.

    Returns
    -------
    cuts : source name → its footprints, memory-mapped
    usable : (N,) bool; False where a source has no valid date at the pixel itself

    Raises
    ------
    SamplesError
        There is not enough room on the disk.
    """
    partial = folder.with_name(folder.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _check_room(scene, footprints, len(pixels), partial)
    usable = np.ones(len(pixels), bool)
    done = 0
    arrays = {name: _allocate(partial, scene.cubes[name], len(pixels), f.size) for name, f in footprints.items()}
    for window, members in by_tile(pixels, tile_of(scene)):
        for name, footprint in footprints.items():
            cube = scene.cubes[name]
            values, valid = arrays[name]
            usable[members] &= _cut_window(cube, footprint, window, pixels.take(members), members, values, valid)
        done += len(members)
        progress.step("cutting samples", done, len(pixels))
    for values, valid in arrays.values():
        values.flush()
        valid.flush()
    (partial / "cut.json").write_text(json.dumps({name: scene.cubes[name].days.tolist() for name in footprints}))
    np.save(partial / "usable.npy", usable)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    return open_cut(folder)


def open_cut(folder: Path) -> tuple[dict[str, Cut], NDArray[np.bool_]]:
    """Open what :func:`cut` wrote."""
    days = json.loads((folder / "cut.json").read_text())
    usable = np.load(folder / "usable.npy")
    cuts = {
        name: Cut(
            np.load(folder / f"{name}.values.npy", mmap_mode="r"),
            np.load(folder / f"{name}.valid.npy", mmap_mode="r"),
            np.array(days[name], np.int32),
            np.arange(len(usable)),
        )
        for name in days
    }
    return cuts, usable


def _check_room(scene: Scene, footprints: Mapping[str, Reach], n: int, folder: Path) -> None:
    need = sum(
        n * len(scene.cubes[name].days) * f.size**2 * (4 * len(scene.cubes[name].bands) + 1)
        for name, f in footprints.items()
    )
    free = shutil.disk_usage(folder).free
    if need > free:
        raise SamplesError(
            f"{n} samples take {need / 1e6:.0f} MB in {folder.parent}, where {free / 1e6:.0f} MB are free; free some room, "
            "choose another --out, or use fewer or smaller polygons."
        )


def _allocate(folder: Path, cube: Cube, n: int, size: int) -> tuple[Any, Any]:
    t, c = len(cube.days), len(cube.bands)
    make = np.lib.format.open_memmap
    values = make(folder / f"{cube.name}.values.npy", "w+", np.float32, (n, t, c, size, size))
    valid = make(folder / f"{cube.name}.valid.npy", "w+", np.bool_, (n, t, size, size))
    return values, valid


def tile_of(scene: Scene) -> int:
    """Map pixels a side of the windows in which samples are cut: whole pixels of every source."""
    step = int(np.lcm.reduce([cube.ratio.coarser for cube in scene.cubes.values()]))
    return max(1, TILE // step) * step


def by_tile(pixels: Pixels, tile: int) -> Iterator[tuple[Window, NDArray[np.int64]]]:
    """Samples grouped by window: the tightest one, within each tile, that holds them (its corner on whole pixels)."""
    key = (pixels.row // tile).astype(np.int64) * (1 << 32) + pixels.column // tile
    order = np.argsort(key, kind="stable")
    cuts = np.flatnonzero(np.diff(key[order])) + 1
    for members in np.split(order, cuts):
        if len(members):
            rows, columns = pixels.row[members], pixels.column[members]
            y, x = int(rows.min()), int(columns.min())
            yield Window(y, x, int(rows.max()) - y + 1, int(columns.max()) - x + 1), members


def _cut_window(
    cube: Cube, footprint: Reach, window: Window, pixels: Pixels, members: NDArray[np.int64], values: Any, valid: Any
) -> NDArray[np.bool_]:
    around = footprint.window(window, cube.ratio)
    block = cube.read(around)
    anchor_rows = pixels.row.astype(np.int64) * cube.ratio.finer // cube.ratio.coarser - around.y
    anchor_columns = pixels.column.astype(np.int64) * cube.ratio.finer // cube.ratio.coarser - around.x
    n = footprint.size
    seen = np.zeros(len(members), bool)
    for k, (row, column) in enumerate(zip(anchor_rows, anchor_columns, strict=True)):
        y, x = row - footprint.before, column - footprint.before
        values[members[k]] = block.values[:, :, y : y + n, x : x + n]
        valid[members[k]] = block.valid[:, y : y + n, x : x + n]
        centre = block.valid[:, row : row + cube.ratio.finer, column : column + cube.ratio.finer]
        seen[k] = centre.any()
    return seen
