"""Polygons + Scene → Samples: rasterise, reject with reasons, cut."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.errors import SamplesError
from bocage.legend import Legend
from bocage.progress import QUIET, Progress
from bocage.samples.cut import Cut, Needs, Reach, cut, open_cut
from bocage.samples.points import folds_of, label_rows
from bocage.samples.rasterise import Pixels, rasterise
from bocage.samples.reference import Rejection, read_polygons
from bocage.samples.samples import Labelled, Samples, Survey
from bocage.samples.split import Split, deal, drop_rare
from bocage.scene import Scene
from bocage.words import Note


def make_samples(scene: Scene, survey: Survey, needs: Needs, folder: Path, progress: Progress = QUIET) -> Samples:
    """Turn reference polygons into samples that a network with these footprints can learn from.

    The footprints are written to `folder`; a folder that :func:`make_samples` wrote is read again. Pixels are left out where
    a source has no valid date; for a network that needs any one source, where no source has.

    Raises
    ------
    SamplesError
        The polygons cannot be used; the message says what to do.
    """
    _check_footprints(scene, needs.footprints)
    found, legend = labelled(scene, survey), survey.legend
    pixels, rejections, notes = found.pixels, list(found.rejections), list(found.notes)
    if not len(pixels):
        raise SamplesError(
            f"No pixel centre of the map lies in a polygon of {survey.reference.shown}; the polygons are smaller than the pixels "
            f"({scene.grid.resolution:g}) or overlap each other everywhere."
        )
    there = folder.exists()
    cuts, usable = open_cut(folder) if there else cut(scene, pixels, needs, folder, progress)
    rejections += _masked(pixels, usable, legend)
    if not usable.any():
        which = (" and " if needs.any_source else " or ").join(needs.footprints)
        raise SamplesError(
            f"All {len(pixels)} reference pixels are masked: at each, {which} has no valid date. Check nodata, the quality "
            "layer and the values listed as clear."
        )
    kept = np.flatnonzero(usable)
    kept_classes, legend, dropped = drop_rare(pixels.take(kept), legend, survey.split)
    if dropped:
        notes.append(Note.of("classes_dropped", classes=tuple(r.label for r in dropped)))
    kept = kept[kept_classes]
    pixels = pixels.take(kept)
    cuts = {name: replace(one, index=kept) for name, one in cuts.items()}
    samples = _made(legend, survey.split, replace(found, pixels=pixels, place=_taken(found.place, kept)), cuts)
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


def samples_of(scene: Scene, survey: Survey, pixels: Pixels, cuts: Mapping[str, Cut]) -> Samples:
    """Return samples of pixels that are labelled already, whose footprints may be borrowed (``bocage plan`` does)."""
    folds = labelled(scene, survey).folds if survey.split.fold else pd.Series(dtype=str)
    place = None if scene.ids is not None else _places(pixels, scene)
    return _made(survey.legend, survey.split, Labelled(pixels, (), (), folds, place), cuts)


def _made(legend: Legend, split: Split, found: Labelled, cuts: Mapping[str, Cut]) -> Samples:
    pixels = found.pixels
    block = _blocks(pixels, found.place, split)
    fold, names = _numbered(pixels, found.folds)
    if split.folds:
        fold = deal(pixels.label, block if split.unit == "block" else pixels.polygon, split)
        names = tuple(str(k + 1) for k in range(split.folds))
    label = _positions(pixels.label)
    return Samples(
        pixels.row, pixels.column, label, pixels.polygon, block, legend, (), (), cuts, split, fold, names, found.place
    )


def labelled(scene: Scene, survey: Survey) -> Labelled:
    """Label the pixels inside polygons, or the rows of a table."""
    reference, legend, split = survey.reference, survey.legend, survey.split
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
        rejections.append(Rejection("masked", legend.names[int(label)], len(whole), int(lost.sum())))
    return rejections


def _blocks(pixels: Pixels, place: NDArray[np.float64] | None, split: Split) -> NDArray[np.int32]:
    """Number of every pixel's block, by the middle of its polygon: no polygon is in two."""
    if place is None:
        return np.zeros(len(pixels), np.int32)
    _, which = np.unique(pixels.polygon, return_inverse=True)
    middle = np.stack([np.bincount(which, axis) for axis in place.T], 1) / np.bincount(which)[:, None]
    square = np.floor(middle / split.block).astype(np.int64)
    return np.unique(square, axis=0, return_inverse=True)[1].ravel().astype(np.int32)[which]
