"""Cut samples from a scene: write the footprint of every labelled pixel in every source to memory-mapped files.

Footprints of neighbouring pixels overlap. The files therefore store chips. A chip is the smallest window that contains
the footprints of one part of a polygon. Where single footprints take less space, each footprint is a chip.
Chips are stored in the order of the squares of the map in which they lie.
"""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bocage.disk import DIGITS, artefact, digest, digest_of, inside, naming, replacing_folder, safe_name, write_json
from bocage.errors import SamplesError
from bocage.grid import Ratio, Window
from bocage.progress import Progress
from bocage.samples.rasterise import Pixels
from bocage.scene import Alignment, Cube, Scene, aligned, halos_of, keep_blocks
from bocage.scene.alignment import Surroundings
from bocage.sources.edges import no_edges_after

TILE = 256
"""Side of the windows in which the scene is read, in map pixels."""
CELL = 32
"""Side of the squares within which the samples of a polygon share a chip, in map pixels."""
CUT, USABLE = "cut.json", "usable.npy"
STORE = 2
"""Version of the file layout. It is part of the key of the samples stage: files of another version are cut again."""


class Reach(Surroundings, Protocol):
    """Footprint of a network in one source: the source pixels that it reads around one map pixel."""

    def window(self, window: Window, ratio: Ratio) -> Window:
        """Return the window of the source, halo included, for a window of the map."""


class Needs(Protocol):
    """Data that a network requires from a scene: its footprints, and how many sources must be valid at a pixel."""

    @property
    def footprints(self) -> Mapping[str, Any]:
        """Source → :class:`Reach`."""

    @property
    def any_source(self) -> bool:
        """Whether one valid source is enough to use a pixel; if False, all sources must be valid."""


@dataclass(frozen=True)
class Cut:
    """Footprints of all samples in one source."""

    folder: Path
    """Folder of the files."""
    name: str
    """Name of the source."""
    days: NDArray[np.int32]
    """(T,) days given to the network, on its clock: calendar days since 1970-01-01, or thermal days."""
    dates: NDArray[np.int32]
    """(T,) calendar days since 1970-01-01."""
    bands: int
    """Number of bands."""
    size: int
    """Side of a footprint, in pixels of the source."""
    chips: NDArray[np.int64]
    """(chips, 3): number of pixels stored before the chip, height, width."""
    place: NDArray[np.int64]
    """(pixels cut, 3): number of the chip, first row and first column of the footprint within the chip."""
    index: NDArray[np.int64]
    """(N,) position of each sample among the pixels cut."""
    last: int | None = None
    """Calendar day, since 1970-01-01, after which the dates are masked; None: no date is masked."""
    content: str = ""
    """Digest of the values and the validity in the files; empty in files of earlier versions, which do not record it."""

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """Chips in sequence, each (T, C, height, width), in physical units; 0 where not valid."""
        values: NDArray[np.float32] = np.load(_file(self.folder, self.name, "values"), mmap_mode="r")
        return values

    @cached_property
    def valid(self) -> NDArray[np.bool_]:
        """Validity of the chips in sequence, each (T, height, width)."""
        valid: NDArray[np.bool_] = np.load(_file(self.folder, self.name, "valid"), mmap_mode="r")
        return valid

    def __getstate__(self) -> dict[str, Any]:
        """Exclude the memory-mapped pixels from the pickle; the receiving process maps the files again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def identity(self) -> str:
        """Digest of the days, of the content of the files, and of the part of them that each sample is."""
        settings = digest(self.content, self.bands, self.size, self.last)
        arrays = (self.days, self.dates, self.chips, self.place[self.index])
        return digest_of(settings.encode(), *(np.ascontiguousarray(array).tobytes() for array in arrays))

    @property
    def sample_bytes(self) -> int:
        """Size of one footprint, in bytes."""
        return len(self.days) * self.size**2 * (4 * self.bands + 1)

    def days_of(self, members: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the days of the samples `members`, (B, T)."""
        return np.tile(self.days, (len(members), 1))

    def dates_of(self, members: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the calendar days since 1970-01-01 of the samples `members`, (B, T)."""
        return np.tile(self.dates, (len(members), 1))

    def until(self, day: int) -> "Cut":
        """Return the footprints with the dates after the calendar day `day` masked; an image of one date stays as it is."""
        return replace(self, last=day) if len(self.dates) > 1 else self

    def stored(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return numbers in the order in which the samples `members` are stored, (B,)."""
        return np.asarray(self.place[self.index[members], 0])

    @cached_property
    def _single(self) -> bool:
        """Whether every chip contains exactly one footprint."""
        return bool((self.chips[:, 1:] == self.size).all())

    def within(self, first: int, size: int) -> "Cut":
        """Return the part of each footprint that starts at row and column `first` and has `size` pixels a side."""
        if (first, size) == (0, self.size):
            return self
        return replace(self, size=size, place=self.place + np.array([0, first, first]))

    def read(self, members: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return values (B, T, C, S, S) and validity (B, T, S, S) of the samples `members`."""
        values, valid = self._read(members)
        if self.last is None:
            return values, valid
        valid = valid & (self.dates <= self.last)[:, None, None]
        return values * valid[:, :, None], valid

    def _read(self, members: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        place, t, c, s = self.place[self.index[members]], len(self.days), self.bands, self.size
        # As plain arrays of the same memory: each part of a memory map is a memory map, which takes longer than its pixels.
        all_values, all_valid = np.asarray(self.values), np.asarray(self.valid)
        if self._single:
            chip = place[:, 0]
            return all_values.reshape(-1, t, c, s, s)[chip], all_valid.reshape(-1, t, s, s)[chip]
        values, valid = np.empty((len(members), t, c, s, s), np.float32), np.empty((len(members), t, s, s), bool)
        for k, (chip, y, x) in enumerate(place.tolist()):
            first, height, width = self.chips[chip].tolist()
            part, end = (..., slice(y, y + s), slice(x, x + s)), first + height * width
            values[k] = all_values[first * t * c : end * t * c].reshape(t, c, height, width)[part]
            valid[k] = all_valid[first * t : end * t].reshape(t, height, width)[part]
        return values, valid


def cut(
    scene: Scene,
    pixels: Pixels,
    needs: Needs,
    folder: Path,
    progress: Progress,
) -> tuple[dict[str, Cut], NDArray[np.bool_]]:
    """Cut the footprints of every sample from the scene and write them to `folder`; each window of the scene is read once.

    Returns
    -------
    cuts : source name → its footprints, memory-mapped
    usable : (N,) bool; False where one source (with `any_source`: every source) has no valid date at the pixel itself

    Raises
    ------
    SamplesError
        There is not enough free disk space.
    """
    with replacing_folder(folder) as partial:
        usable, contents = _write_all(scene, pixels, needs, partial, progress)
        record = {n: _record(scene.cubes[n], f, contents[n]) for n, f in needs.footprints.items()}
        write_json(partial / CUT, record, None)
        _save(partial / USABLE, usable)
    return open_cut(folder)


def _write_all(
    scene: Scene, pixels: Pixels, needs: Needs, folder: Path, progress: Progress
) -> tuple[NDArray[np.bool_], dict[str, str]]:
    """Write the chips of every source; return which pixels are usable, (N,) bool, and the digest of each source's content."""
    tile, footprints = tile_of(scene), needs.footprints
    alignment = _aligned(scene, footprints, tile)
    squares = Squares(tile, alignment)
    plans = {name: _Plan.of(pixels, scene.cubes[name].ratio, f, squares) for name, f in footprints.items()}
    _check_room(scene, plans, folder, len(pixels))
    keep_blocks([scene.cubes[name] for name in footprints], alignment)
    writers = {name: _Writer(folder, scene.cubes[name], f, plans[name]) for name, f in footprints.items()}
    usable, done = np.zeros(len(pixels), bool), 0
    enough = np.any if needs.any_source else np.all
    with no_edges_after():
        for window, members in by_tile(pixels, squares):
            seen = [writer.write(window, members, pixels.take(members)) for writer in writers.values()]
            usable[members] = enough(seen, axis=0)
            done += len(members)
            progress.step("cutting samples", done, len(pixels))
    return usable, {name: writer.close() for name, writer in writers.items()}


def _record(cube: Cube, footprint: Reach, content: str) -> dict[str, Any]:
    """Describe the files of a source: days, dates, number of bands, footprint size and digest of the content."""
    return {
        "days": cube.clock.tolist(), "dates": cube.days.tolist(), "bands": len(cube.bands), "size": footprint.size,
        "content": content,
    }  # fmt: skip


def open_cut(folder: Path) -> tuple[dict[str, Cut], NDArray[np.bool_]]:
    """Open the files written by :func:`cut`; return the same values."""
    with artefact(folder):
        return _opened(folder)


def _opened(folder: Path) -> tuple[dict[str, Cut], NDArray[np.bool_]]:
    record = json.loads((folder / CUT).read_text(encoding="utf-8"))
    usable = np.load(folder / USABLE)
    cuts = {
        name: Cut(
            folder,
            name,
            np.array(entry["days"], np.int32),
            np.array(entry.get("dates", entry["days"]), np.int32),
            entry["bands"],
            entry["size"],
            np.load(_file(folder, name, "chips")),
            np.load(_file(folder, name, "place")),
            np.arange(len(usable)),
            content=entry.get("content", ""),
        )
        for name, entry in record.items()
    }
    return cuts, usable


def _file(folder: Path, source: str, part: str) -> Path:
    return inside(folder, f"{safe_name(source)}.{part}.npy")


def _save(path: Path, array: NDArray[Any]) -> None:
    """Write an array as NPY through a buffer: NumPy's own error on a full disk does not say that the disk is full."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    path.write_bytes(buffer.getvalue())


def _mapped(path: Path, dtype: Any, size: int) -> Any:
    """Return a new memory-mapped array whose space on disk is reserved: a full disk would end the process without a message."""
    array = np.lib.format.open_memmap(path, "w+", dtype, (size,))
    with naming(path), path.open("r+b") as stream:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return array


@dataclass(frozen=True)
class _Plan:
    """Chips to cut from one source."""

    corner: NDArray[np.int64]
    """(chips, 2): first row and first column, in pixels of the source."""
    chips: NDArray[np.int64]
    """As in :class:`Cut`."""
    place: NDArray[np.int64]
    """As in :class:`Cut`."""

    @classmethod
    def of(cls, pixels: Pixels, ratio: Ratio, footprint: Reach, squares: "Squares") -> "_Plan":
        """Plan one chip for the samples of a polygon in a square, or single footprints where these take less space."""
        start = np.stack([pixels.row, pixels.column], 1).astype(np.int64)
        apart, tile = start - squares.start, squares.tile
        square = apart // tile @ np.array([1 << 40, 1 << 16]) + apart % tile // CELL @ np.array([1 << 8, 1])
        square = np.unique(np.stack([square, pixels.polygon], 1), axis=0, return_inverse=True)[1].ravel()
        start = start * ratio.finer // ratio.coarser - footprint.before
        low, high, n = _extremes(start, square)
        alone = ((high - low + footprint.size).prod(1) > n * footprint.size**2) | (footprint.size <= ratio.finer)
        # A sample stored as a single footprint forms its own group; groups keep the order of the squares.
        own = np.where(alone[square], np.arange(len(start)), -1)
        chip = np.unique(np.stack([square, own], 1), axis=0, return_inverse=True)[1].ravel()
        low, high, _ = _extremes(start, chip)
        shape = high - low + footprint.size
        first = np.cumsum(shape.prod(1)) - shape.prod(1)
        return cls(low, np.column_stack([first, shape]), np.column_stack([chip, start - low[chip]]))

    @property
    def pixels(self) -> int:
        """Total number of pixels of all chips."""
        return int(self.chips[:, 1:].prod(1).sum())


def _extremes(
    start: NDArray[np.int64], group: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return minimum and maximum row and column of every group, each (groups, 2), and the number of its members."""
    count = np.bincount(group)
    low, high = np.full((len(count), 2), np.iinfo(np.int64).max), np.full((len(count), 2), np.iinfo(np.int64).min)
    np.minimum.at(low, group, start)
    np.maximum.at(high, group, start)
    return low, high, count


class _Writer:
    """Writer of the files of one source."""

    def __init__(self, folder: Path, cube: Cube, footprint: Reach, plan: _Plan) -> None:
        self.cube, self.footprint, self.plan = cube, footprint, plan
        t, c = len(cube.days), len(cube.bands)
        self.values = _mapped(_file(folder, cube.name, "values"), np.float32, plan.pixels * t * c)
        self.valid = _mapped(_file(folder, cube.name, "valid"), np.bool_, plan.pixels * t)
        _save(_file(folder, cube.name, "chips"), plan.chips)
        _save(_file(folder, cube.name, "place"), plan.place)
        self.content = hashlib.sha256()

    def write(self, window: Window, members: NDArray[np.int64], pixels: Pixels) -> NDArray[np.bool_]:
        """Write the chips of the samples `members`; return which of them have a valid date at the pixel itself."""
        ratio = self.cube.ratio
        around = self.footprint.window(window, ratio)
        block = self.cube.read(around)
        t, c = block.values.shape[:2]
        for chip in np.unique(self.plan.place[members, 0]):
            (first, height, width), (y, x) = self.plan.chips[chip].tolist(), self.plan.corner[chip].tolist()
            part, end = (
                (..., slice(y - around.y, y - around.y + height), slice(x - around.x, x - around.x + width)),
                first + height * width,
            )
            values, valid = (np.ascontiguousarray(array[part]) for array in (block.values, block.valid))
            self.values[first * t * c : end * t * c] = values.ravel()
            self.valid[first * t : end * t] = valid.ravel()
            for array in (values, valid):
                self.content.update(array.data)
        rows = pixels.row.astype(np.int64) * ratio.finer // ratio.coarser - around.y
        columns = pixels.column.astype(np.int64) * ratio.finer // ratio.coarser - around.x
        ever, seen = np.asarray(block.valid.any(0)), np.zeros(len(members), bool)
        for dy, dx in np.ndindex(ratio.finer, ratio.finer):
            seen |= ever[rows + dy, columns + dx]
        return seen

    def close(self) -> str:
        """Flush the files to disk; return the digest of their content."""
        self.values.flush()
        self.valid.flush()
        return self.content.hexdigest()[:DIGITS]


def _check_room(scene: Scene, plans: Mapping[str, _Plan], folder: Path, n: int) -> None:
    need = sum(
        plan.pixels * len(scene.cubes[name].days) * (4 * len(scene.cubes[name].bands) + 1)
        for name, plan in plans.items()
    )
    free = shutil.disk_usage(folder).free
    if need > free:
        raise SamplesError(
            f"{folder.parent}: {n} samples take {need / 1e6:.0f} MB, but {free / 1e6:.0f} MB are free. Free disk space, "
            "choose another --out, or use fewer or smaller polygons."
        )


def _aligned(scene: Scene, footprints: Mapping[str, Reach], tile: int) -> Alignment | None:
    """Return the alignment of windows that have the samples of a square and the footprints around them."""
    cubes = {name: scene.cubes[name] for name in footprints}
    step = int(np.lcm.reduce([cube.ratio.coarser for cube in cubes.values()]))
    return aligned(cubes, scene.grid.shape, halos_of(footprints, cubes), tile, step)


def tile_of(scene: Scene) -> int:
    """Return the side of the windows in which samples are cut, in map pixels; it covers whole pixels of every source."""
    step = int(np.lcm.reduce([cube.ratio.coarser for cube in scene.cubes.values()]))
    return max(1, TILE // step) * step


@dataclass(frozen=True)
class Squares:
    """Squares of the map, in whose windows samples are cut."""

    tile: int
    """Side in map pixels."""
    alignment: Alignment | None = None
    """Blocks of the files within which the windows lie; None: the first square starts at the corner of the map."""

    @property
    def start(self) -> NDArray[np.int64]:
        """Row and column where a square starts, (2,); at most 0."""
        return -np.array(self.alignment.lead(self.tile) if self.alignment else (0, 0), np.int64)

    def order(self, square: NDArray[np.int64]) -> tuple[int, ...]:
        """Return a key by which squares, given by their numbers of rows and columns, are ordered for reading."""
        y, x = (square * self.tile + self.start).tolist()
        return self.alignment.order(Window(y, x, self.tile, self.tile)) if self.alignment else (y, x)


def by_tile(pixels: Pixels, squares: Squares) -> Iterator[tuple[Window, NDArray[np.int64]]]:
    """Yield, for each square with samples, the smallest window of map pixels that contains them, and their positions."""
    place = (np.stack([pixels.row, pixels.column], 1).astype(np.int64) - squares.start) // squares.tile
    found, which = np.unique(place, axis=0, return_inverse=True)
    members = np.split(np.argsort(which.ravel(), kind="stable"), np.cumsum(np.bincount(which.ravel()))[:-1])
    for k in sorted(range(len(found)), key=lambda k: squares.order(found[k])):
        rows, columns = pixels.row[members[k]], pixels.column[members[k]]
        y, x = int(rows.min()), int(columns.min())
        yield Window(y, x, int(rows.max()) - y + 1, int(columns.max()) - x + 1), members[k]
