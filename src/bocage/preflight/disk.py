"""Check of the free disk space for a run."""

import math
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bocage.preflight.finding import Finding
from bocage.scene import Preparing, Scene
from bocage.words import Note


@dataclass(frozen=True)
class Needs:
    """Maximum number of bytes that a run writes, before compression."""

    scene: int
    samples: int
    map: int

    @property
    def total(self) -> int:
        """Total number of bytes."""
        return self.scene + self.samples + self.map


def needs(scene: Scene, preparing: Preparing, sample_pixels: int, footprints: dict[str, int], layers: int) -> Needs:
    """Return the maximum number of bytes that a run writes.

    Parameters
    ----------
    sample_pixels
        Number of labelled pixels.
    footprints
        Source name → side of the network's footprint, in source pixels.
    layers
        Bytes per map pixel.
    """
    prepared = cut = 0
    for name, cube in scene.cubes.items():
        per_pixel = len(cube.days) * (4 * len(cube.bands) + 1)
        if preparing.wants(cube):
            prepared += cube.grid.shape[0] * cube.grid.shape[1] * (per_pixel + 2)
        if name in footprints:
            cut += sample_pixels * footprints[name] ** 2 * per_pixel
    height, width = scene.grid.shape
    return Needs(prepared, cut, 0 if scene.ids else height * width * layers)


def check_disk(need: Needs, folder: Path) -> Iterator[Finding]:
    """Return a finding that compares `need` with the free space on the disk of `folder` (which may not exist yet)."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    sizes: dict[str, Any] = {name: _gigabytes(size) for name, size in (*asdict(need).items(), ("total", need.total))}
    values: dict[str, Any] = {
        "need": Note.of("disk_need", **sizes),
        "free": math.floor(free / 1e6) / 1e3,
        "folder": str(folder),
    }
    disk = Note.of("disk_place")
    if need.total > free:
        yield Finding.of("error", disk, Note.of("disk_full", **values))
    elif need.total > 0.8 * free:
        yield Finding.of("warning", disk, Note.of("disk_tight", **values))
    else:
        yield Finding.of("note", disk, Note.of("disk_enough", **values), "do_nothing")


def _gigabytes(size: float) -> float:
    """Return a size in GB, rounded up to a whole MB, so that a small one is written without an exponent."""
    return math.ceil(size / 1e6) / 1e3
