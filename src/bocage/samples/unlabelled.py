"""Pixels without a label, for whoever learns from imagery alone: squares at random places, or rows of a table."""

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
"""Label of a pixel that has none."""
SIDE = 8
"""Map pixels a side of a square: neighbours share what is read around them."""


def scatter(scene: Scene, many: int, seed: int, first: int = 0) -> Pixels:
    """Draw about `many` pixels of the scene, in squares of 8 x 8, each a polygon of its own numbered from `first` on."""
    generator = np.random.default_rng(seed)
    height, width = scene.grid.shape
    if scene.ids is not None:
        row = np.sort(generator.permutation(height)[:many]).astype(np.int32)
        return _pixels(row, np.zeros_like(row), first + np.arange(len(row)))
    side = min(SIDE, height, width)
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
    """Return both, one after the other."""
    fields = ("row", "column", "label", "polygon")
    return Pixels(*(np.concatenate([getattr(first, name), getattr(second, name)]) for name in fields))


@contextmanager
def cut_pixels(scene: Scene, pixels: Pixels, needs: Needs, folder: Path, progress: Progress) -> Iterator[Chips]:
    """Yield the footprints that a network needs around pixels, less pixels without data; the files are removed at the end.

    Raises
    ------
    SamplesError
        No pixel is left.
    """
    try:
        cuts, usable = cut(scene, pixels, needs, folder, progress)
        kept = np.flatnonzero(usable)
        if not len(kept):
            raise SamplesError(
                "Every pixel drawn from the scene is masked. Check nodata and the values listed as clear."
            )
        left = pixels.take(kept)
        yield Chips({name: replace(one, index=kept) for name, one in cuts.items()}, left.label, left.polygon)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
