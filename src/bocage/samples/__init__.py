"""Polygons + Scene → Samples: rasterise, reject with reasons, split, cut, batch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.errors import SamplesError
from bocage.legend import Legend
from bocage.progress import QUIET, Progress
from bocage.samples.cut import Cut, Reach, cut, open_cut
from bocage.samples.points import folds_of, label_rows
from bocage.samples.rasterise import Pixels, rasterise
from bocage.samples.reference import Reference, Rejection, read_polygons
from bocage.samples.split import Draw, Split, Units, deal, draw, drop_rare
from bocage.scene import Scene


@dataclass(frozen=True)
class Samples:
    """Every labelled pixel that can be used, and the footprints cut around it."""

    row: NDArray[np.int32]
    column: NDArray[np.int32]
    label: NDArray[np.int16]
    """Position of the class in `legend`."""
    polygon: NDArray[np.int32]
    block: NDArray[np.int32]
    """Number of the square of the ground (``[split] block`` a side) that holds the middle of the pixel's polygon."""
    legend: Legend
    """The legend less the classes dropped."""
    rejections: tuple[Rejection, ...]
    notes: tuple[str, ...]
    cuts: Mapping[str, Cut]
    fold: NDArray[np.int32] | None = None
    """Position in `folds` of every sample, where the split goes by a field."""
    folds: tuple[str, ...] = ()
    """Names of the folds, sorted."""
    place: NDArray[np.float64] | None = None
    """(N, 2) metres north and east of anywhere; None for rows of a table whose features have no CRS."""

    def draw(self, split: Split, number: int) -> Draw:
        """Return one draw of the polygons, or one fold."""
        return draw(self._units, split, number)

    def group(self, split: Split) -> NDArray[Any]:
        """What the split draws: number of the polygon, block or pixel of every sample."""
        return self._units.group(split)

    @property
    def _units(self) -> Units:
        return Units(self.label, self.polygon, self.block, self.place, self.fold)

    def without(self, members: NDArray[np.int64]) -> str:
        """Names of the classes that none of the samples `members` has, in words; empty where there is none."""
        return ", ".join(np.delete(np.array(self.legend.names), np.unique(self.label[members])).tolist())

    def count_polygons(self, index: int) -> int:
        """Usable polygons of the class at `index`."""
        return len(np.unique(self.polygon[self.label == index]))

    def to_parquet(self, path: Path) -> None:
        """Write one row per sample: row, column, code, class, polygon, block."""
        codes = np.array(self.legend.codes)
        pd.DataFrame(
            {
                "row": self.row,
                "column": self.column,
                "code": codes[self.label],
                "class": np.array(self.legend.names)[self.label],
                "polygon": self.polygon,
                "block": self.block,
            }
        ).to_parquet(path)


@dataclass(frozen=True)
class Labelled:
    """Labelled pixels: those inside polygons, or the rows of a table."""

    pixels: Pixels
    rejections: tuple[Rejection, ...]
    notes: tuple[str, ...]
    folds: pd.Series
    """Fold of each polygon number; empty without a field of folds."""
    place: NDArray[np.float64] | None
    """(N, 2) metres north and east; None where the features of a table have no CRS."""


def make_samples(
    scene: Scene,
    legend: Legend,
    reference: Reference,
    split: Split,
    footprints: Mapping[str, Reach],
    folder: Path,
    progress: Progress = QUIET,
    any_source: bool = False,
) -> Samples:
    """Turn reference polygons into samples that a network with these footprints can learn from.

    The footprints are written to `folder`; one that :func:`make_samples` already wrote there is read again. Pixels are left
    out where a source has no valid date; with `any_source`, where none has.

    Raises
    ------
    SamplesError
        The polygons cannot be used; the message says what to do.
    """
    _check_footprints(scene, footprints)
    found = labelled(scene, legend, reference, split)
    pixels, rejections, notes = found.pixels, list(found.rejections), list(found.notes)
    if not len(pixels):
        raise SamplesError(
            f"No pixel centre of the map lies in a polygon of {reference.path}; the polygons are smaller than the pixels "
            f"({scene.grid.resolution:g}) or overlap each other everywhere."
        )
    there = folder.exists()
    cuts, usable = open_cut(folder) if there else cut(scene, pixels, footprints, folder, progress, any_source)
    rejections += _masked(pixels, usable, legend)
    if not usable.any():
        which = (" and " if any_source else " or ").join(footprints)
        raise SamplesError(
            f"All {len(pixels)} reference pixels are masked: at each, {which} has no valid date. Check nodata, the quality "
            "layer and the values listed as clear."
        )
    kept = np.flatnonzero(usable)
    kept_classes, legend, dropped = drop_rare(pixels.take(kept), legend, split)
    if dropped:
        notes.append(f"Classes dropped for want of polygons: {', '.join(r.label for r in dropped)}.")
    kept = kept[kept_classes]
    pixels = pixels.take(kept)
    cuts = {name: replace(one, index=kept) for name, one in cuts.items()}
    samples = _made(legend, split, replace(found, pixels=pixels, place=_taken(found.place, kept)), cuts)
    return replace(samples, rejections=tuple(rejections + dropped), notes=tuple(notes))


def _check_footprints(scene: Scene, footprints: Mapping[str, Reach]) -> None:
    """Refuse patches that no image holds.

    Raises
    ------
    SamplesError
        A footprint is larger than the whole image (a table of samples is one pixel wide).
    """
    for name, footprint in footprints.items():
        rows, columns = scene.cubes[name].grid.shape
        if footprint.size > min(rows, columns):
            what = "a table has single pixels only" if scene.ids is not None else f"its image has {rows} x {columns}"
            raise SamplesError(
                f"The network looks at patches of {footprint.size} pixels a side of the source '{name}', but {what}; lower "
                "the patch in [model], or take a network of single pixels."
            )


def samples_of(
    scene: Scene, legend: Legend, split: Split, reference: Reference, pixels: Pixels, cuts: Mapping[str, Cut]
) -> Samples:
    """Return samples of pixels that are labelled already, whose footprints may be borrowed (``bocage plan`` does)."""
    folds = labelled(scene, legend, reference, split).folds if split.fold else pd.Series(dtype=str)
    place = None if scene.ids is not None else _places(pixels, scene)
    return _made(legend, split, Labelled(pixels, (), (), folds, place), cuts)


def _made(legend: Legend, split: Split, found: Labelled, cuts: Mapping[str, Cut]) -> Samples:
    pixels = found.pixels
    block = _blocks(pixels, found.place, split)
    fold, names = _numbered(pixels, found.folds)
    if split.folds:
        fold = deal(pixels.label, block if split.unit == "block" else pixels.polygon, split)
        names = tuple(str(k + 1) for k in range(split.folds))
    label = _positions(pixels.label)
    return Samples(
        pixels.row, pixels.column, label, pixels.polygon, block, legend, (), (), cuts, fold, names, found.place
    )


def labelled(scene: Scene, legend: Legend, reference: Reference, split: Split) -> Labelled:
    """Label the pixels inside polygons, or the rows of a table."""
    if scene.ids is not None:
        pixels, rejections, folds, place = label_rows(reference, scene.ids, legend, split.fold)
        return Labelled(pixels, tuple(rejections), (), folds, place)
    table, rejections, notes = read_polygons(reference, scene.grid, legend, tuple(filter(None, [split.fold])))
    pixels, more = rasterise(table, scene.grid, legend)
    return Labelled(pixels, tuple(rejections + more), tuple(notes), folds_of(table, split.fold), _places(pixels, scene))


def _places(pixels: Pixels, scene: Scene) -> NDArray[np.float64]:
    """Return the pixels' centres in metres from the map's north-west corner, northwards and eastwards."""
    height, width = scene.grid.metres
    return np.stack([-(pixels.row + 0.5) * height, (pixels.column + 0.5) * width], 1)


def _taken(place: NDArray[np.float64] | None, kept: NDArray[np.int64]) -> NDArray[np.float64] | None:
    return None if place is None else place[kept]


def _numbered(pixels: Pixels, folds: pd.Series) -> tuple[NDArray[np.int32] | None, tuple[str, ...]]:
    """Position of every pixel's fold among the folds that are left, and their names."""
    if folds.empty:
        return None, ()
    found = folds.reindex(pixels.polygon).to_numpy()
    names, fold = np.unique(found.astype(str), return_inverse=True)
    if len(names) < 2:
        raise SamplesError(f"All samples lie in the fold '{names[0]}'; a split by folds needs two.")
    return fold.astype(np.int32), tuple(names.tolist())


def _positions(label: NDArray[np.int16]) -> NDArray[np.int16]:
    """Renumber the classes that remain, in the legend's order."""
    return np.unique(label, return_inverse=True)[1].astype(np.int16)


def _masked(pixels: Pixels, usable: NDArray[np.bool_], legend: Legend) -> list[Rejection]:
    rejections = []
    for label in np.unique(pixels.label[~usable]):
        lost = ~usable & (pixels.label == label)
        whole = set(pixels.polygon[lost]) - set(pixels.polygon[usable & (pixels.label == label)])
        rejections.append(Rejection("nodata", legend.names[int(label)], len(whole), int(lost.sum())))
    return rejections


def _blocks(pixels: Pixels, place: NDArray[np.float64] | None, split: Split) -> NDArray[np.int32]:
    """Number of every pixel's block, by the middle of its polygon: no polygon is in two."""
    if place is None:
        return np.zeros(len(pixels), np.int32)
    _, which = np.unique(pixels.polygon, return_inverse=True)
    middle = np.stack([np.bincount(which, axis) for axis in place.T], 1) / np.bincount(which)[:, None]
    square = np.floor(middle / split.block).astype(np.int64)
    return np.unique(square, axis=0, return_inverse=True)[1].ravel().astype(np.int32)[which]


__all__ = [
    "Cut",
    "Draw",
    "Labelled",
    "Reference",
    "Rejection",
    "Samples",
    "Split",
    "drop_rare",
    "labelled",
    "make_samples",
    "samples_of",
]
