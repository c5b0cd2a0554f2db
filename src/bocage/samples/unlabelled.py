"""Unlabelled pixels for pretraining and adaptation: pixels of random squares of the scene, or rows of a table."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from bocage.errors import SamplesError
from bocage.progress import Progress
from bocage.samples.chips import Chips
from bocage.samples.cut import Needs, cut
from bocage.samples.rasterise import Pixels
from bocage.scene import Scene

NONE = -1
"""Label of an unlabelled pixel."""
SIDE = 8
"""Side of a square, in map pixels: neighbouring pixels share most of their footprints, so less data is read."""


def scatter(scene: Scene, many: int, seed: int, first: int = 0, side: int = SIDE) -> Pixels:
    """Draw about `many` pixels of the scene, in squares of `side` pixels; each has its own polygon number, from `first`."""
    generator = np.random.default_rng(seed)
    height, width = scene.grid.shape
    if scene.ids is not None:
        row = np.sort(generator.permutation(height)[:many]).astype(np.int32)
        return _pixels(row, np.zeros_like(row), first + np.arange(len(row)))
    side = min(side, height, width)
    rows, columns = height // side, width // side
    chosen = np.sort(generator.permutation(rows * columns)[: max(1, many // side**2)])
    y, x = (part.ravel() for part in np.mgrid[:side, :side])
    row = (chosen // columns * side)[:, None] + y
    column = (chosen % columns * side)[:, None] + x
    return _pixels(row.ravel(), column.ravel(), first + np.repeat(np.arange(len(chosen)), side**2))


def _pixels(row: np.ndarray, column: np.ndarray, polygon: np.ndarray) -> Pixels:
    label = np.full(len(row), NONE, np.int16)
    return Pixels(row.astype(np.int32), column.astype(np.int32), label, polygon.astype(np.int32))


def joined(first: Pixels, second: Pixels) -> Pixels:
    """Return the pixels of `first`, followed by the pixels of `second`."""
    fields = ("row", "column", "label", "polygon")
    return Pixels(*(np.concatenate([getattr(first, name), getattr(second, name)]) for name in fields))


@contextmanager
def cut_pixels(scene: Scene, pixels: Pixels, needs: Needs, folder: Path, progress: Progress) -> Iterator[Chips]:
    """Yield the footprints of the pixels that have valid data; remove the files at the end.

    Raises
    ------
    SamplesError
        No pixel has valid data, or the disk has not enough room.
    """
    with cut_valid(scene, pixels, needs, folder, progress) as chips:
        if not len(chips.label):
            raise SamplesError("All pixels drawn from the scene are masked. Check nodata and the list of clear values.")
        yield chips


@contextmanager
def cut_valid(scene: Scene, pixels: Pixels, needs: Needs, folder: Path, progress: Progress) -> Iterator[Chips]:
    """Yield the footprints of the pixels that have valid data, perhaps none; remove the files at the end."""
    try:
        cuts, usable = cut(scene, pixels, needs, folder, progress)
        kept = np.flatnonzero(usable)
        left = pixels.take(kept)
        yield Chips({name: replace(source, index=kept) for name, source in cuts.items()}, left.label, left.polygon)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
