"""Polygons + Scene → Samples: rasterise polygons, record rejections, cut samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.disk import artefact
from bocage.errors import SamplesError
from bocage.grid import Grid
from bocage.legend import Legend
from bocage.progress import QUIET, Progress
from bocage.samples.chips import AnyCut
from bocage.samples.coordinates import degrees_in
from bocage.samples.cut import Cut, Needs, Reach, cut, open_cut
from bocage.samples.fixed import fixed_parts, is_tested
from bocage.samples.masked import notes_on_masked, notes_without_series
from bocage.samples.points import folds_of, label_rows, weights_of
from bocage.samples.purposive import check_untested, notes_on_purposive, purposive_of
from bocage.samples.rare import Counted, drop_rare, reserved_classes
from bocage.samples.rasterise import Pixels, rasterise
from bocage.samples.reference import Reason, Reference, Rejection, read_polygons
from bocage.samples.samples import Labelled, Samples, Survey
from bocage.samples.sites import SiteCuts
from bocage.samples.split import Split, Units, deal
from bocage.samples.windows import WindowNeeds, WindowPixels, Windows, cut_windows
from bocage.scene import Scene
from bocage.words import Note

T = TypeVar("T", bound=np.generic)


def make_samples(scene: Scene, survey: Survey, needs: Needs, folder: Path, progress: Progress = QUIET) -> Samples:
    """Return the training samples that reference polygons give for a network with these footprints.

    The footprints are written to `folder`. If :func:`make_samples` has written the folder before, it is read instead.
    A pixel is left out if one source has no valid date there. For a network with `any_source`, it is left out if no source
    has a valid date.

    Raises
    ------
    SamplesError
        The polygons cannot be used; the message states the correction.
    """
    usable = cut_usable(scene, survey, needs, folder, progress)
    kept, legend, dropped = drop_rare(usable.found.counted, survey.legend, survey.split)
    usable = usable.take(np.flatnonzero(kept))
    samples = replace(assembled(legend, survey.split, usable.found, usable.cuts), windows=usable.windows)
    notes = (*usable.found.notes, *notes_on_classes(samples, dropped))
    return replace(samples, rejections=(*usable.found.rejections, *dropped), notes=notes)


def reopened(scene: Scene, survey: Survey, path: Path) -> Samples:
    """Return the samples of a run from its polygons and its table (:meth:`Samples.to_parquet`), without footprints.

    Raises
    ------
    SamplesError
        The polygons cannot be read, or are no longer those of the table.
    """
    with artefact(path):
        table = pd.read_parquet(path, columns=["row", "column"])
    found = in_table(scene, survey, table)
    if found is not None:
        same, legend, _ = drop_rare(found.counted, survey.legend, survey.split)
    if found is None or not same.all():
        raise changed(survey.reference, path)
    return assembled(legend, survey.split, found, {})


def in_table(scene: Scene, survey: Survey, table: pd.DataFrame) -> Labelled | None:
    """Return the labelled pixels of a scene that are in a table of samples; None if they are not all of the table."""
    found, width = labelled(scene, survey), np.int64(scene.grid.shape[1])
    place = found.pixels.row * width + found.pixels.column
    kept = np.flatnonzero(np.isin(place, table.row.to_numpy() * width + table.column.to_numpy()))
    return Usable(found, {}).take(kept).found if len(kept) == len(table) else None


def changed(reference: Reference, path: Path) -> SamplesError:
    """Return the error of polygons that no longer give the samples of a table."""
    return SamplesError(
        f"{reference.shown} does not give the samples of {path}: the polygons were changed. Run the recipe again."
    )


@dataclass(frozen=True)
class Usable:
    """Labelled pixels with valid data, and their footprints."""

    found: Labelled
    cuts: Mapping[str, Cut | WindowPixels]
    windows: Windows | None = None
    """Windows that contain the pixels, for a training on windows."""

    def take(self, members: NDArray[np.int64]) -> "Usable":
        """Return the pixels at the positions `members`."""
        cuts = {name: replace(one, index=one.index[members]) for name, one in self.cuts.items()}
        return Usable(self.found.take(members), cuts, self.windows and self.windows.take(members))


def cut_usable(scene: Scene, survey: Survey, needs: Needs, folder: Path, progress: Progress = QUIET) -> Usable:
    """Cut the footprints of the labelled pixels of a scene, or open those in `folder`, and keep the pixels with valid data.

    Raises
    ------
    SamplesError
        A footprint is larger than an image, the polygons label no pixel, or all pixels are masked.
    """
    found = labelled(scene, survey)
    pixels = found.pixels
    check_any(pixels, survey.reference, scene.grid)
    cuts, windows, usable = _cut(scene, pixels, needs, folder, progress)
    if not usable.any():
        which = (" and " if needs.any_source else " or ").join(needs.footprints)
        raise SamplesError(
            f"All {len(pixels)} reference pixels are masked: {which} has no valid date there. Check nodata, the quality layer "
            "and the list of clear values."
        )
    rejections = (*found.rejections, *_masked(pixels, usable, survey.legend))
    masked = [note.advised for note in notes_on_masked(scene, needs, pixels, usable, survey.legend)]
    notes = (*found.notes, *notes_without_series(found.rejections), *masked)
    return Usable(replace(found, rejections=rejections, notes=notes), cuts, windows).take(np.flatnonzero(usable))


def _cut(
    scene: Scene, pixels: Pixels, needs: Needs, folder: Path, progress: Progress
) -> tuple[Mapping[str, Cut | WindowPixels], Windows | None, NDArray[np.bool_]]:
    """Cut footprints or windows, or open those in `folder`; return them, and which pixels are usable."""
    if isinstance(needs, WindowNeeds):
        return cut_windows(scene, pixels, needs, folder, progress)
    _check_footprints(scene, needs.footprints)
    cuts, usable = open_cut(folder) if folder.exists() else cut(scene, pixels, needs, folder, progress)
    return cuts, None, usable


def notes_on_classes(samples: Samples, dropped: Sequence[Rejection]) -> list[Note]:
    """Return the notes on folds without a test, on classes that were dropped, and on classes that are mapped without a test."""
    notes = list(samples.notes)
    notes += [Note.of("classes_dropped", classes=tuple(r.label for r in dropped))] if dropped else []
    return [*notes, Note.of("classes_untested", classes=samples.untested)] if samples.untested else notes


def finest(found: Labelled, legend: Legend) -> Labelled:
    """Return labelled pixels without those of coarser classes, which are added to the rejections."""
    return _without(found, found.pixels.label < 0, "coarser", legend)


def without_purposive(found: Labelled, legend: Legend) -> Labelled:
    """Return labelled pixels without those of purposive polygons, which are added to the rejections."""
    alone = found.trains_only
    return found if alone is None else _without(found, alone, "purposive", legend)


def _without(found: Labelled, out: NDArray[np.bool_], reason: Reason, legend: Legend) -> Labelled:
    rejections = list(found.rejections)
    for label in np.unique(found.pixels.label[out]).tolist():
        of_class = out & (found.pixels.label == label)
        polygons = len(np.unique(found.pixels.polygon[of_class]))
        rejections.append(Rejection(reason, legend.labelled(label).name, polygons, int(of_class.sum())))
    return replace(found.take(np.flatnonzero(~out)), rejections=tuple(rejections))


def check_any(pixels: Pixels, reference: Reference, grid: Grid) -> None:
    """Check that polygons label at least one pixel.

    Raises
    ------
    SamplesError
        They label none.
    """
    if not len(pixels):
        raise SamplesError(
            f"{reference.shown}: no pixel centre of the map is inside a usable polygon. The features are lines, smaller "
            f"than the pixels ({grid.resolution:g} CRS units), or overlap each other. Use larger polygons or a finer [grid]."
        )


def check_split(counted: Counted, scene: Scene, survey: Survey) -> Samples:
    """Check, before a training, that labelled pixels can be split as it will split them; return them without footprints.

    Raises
    ------
    SamplesError
        Fewer than two classes have enough polygons, or a draw cannot be made.
    """
    check_any(counted.pixels, survey.reference, scene.grid)
    split = replace(survey.split, rare="drop") if survey.split.rare == "stop" else survey.split
    kept, legend, _ = drop_rare(counted, survey.legend, split)
    samples = samples_of(scene, replace(survey, legend=legend), counted.pixels.take(np.flatnonzero(kept)), {})
    samples.check_draws()
    return samples


def _check_footprints(scene: Scene, footprints: Mapping[str, Reach]) -> None:
    """Check that every footprint fits into the image of its source.

    Raises
    ------
    SamplesError
        A footprint is larger than the image (a table of samples is one pixel wide).
    """
    for name, footprint in footprints.items():
        rows, columns = scene.cubes[name].grid.shape
        if footprint.size > min(rows, columns):
            extent = "a table has single pixels only" if scene.ids is not None else f"its image has {rows} x {columns}"
            raise SamplesError(
                f"Source '{name}': the network reads patches of {footprint.size} x {footprint.size} pixels, but {extent}. "
                "Reduce the patch size in [model], or choose a network of single pixels."
            )


def samples_of(scene: Scene, survey: Survey, pixels: Pixels, cuts: Mapping[str, Cut]) -> Samples:
    """Return samples for labelled pixels and given footprints; ``bocage plan`` passes the footprints of other pixels."""
    found = Labelled(pixels, (), (), pd.Series(dtype=str), None)
    if scene.ids is None:
        found = replace(found, place=_places(pixels, scene))
    if scene.ids is not None or survey.split.fold or survey.split.field or survey.reference.purposive:
        # The legend may lack dropped classes, whose labels are then unknown.
        read = labelled(scene, replace(survey, reference=replace(survey.reference, unknown="reject")))
        found = replace(found, folds=read.folds, tested=read.tested, purposive=read.purposive)
        if scene.ids is not None:
            rows = np.searchsorted(read.pixels.row, pixels.row)
            found = replace(found, place=_taken(read.place, rows), ground=_taken(read.ground, rows))
    return assembled(survey.legend, survey.split, found, cuts)


def assembled(
    legend: Legend,
    split: Split,
    found: Labelled,
    cuts: Mapping[str, AnyCut],
    site: NDArray[np.int16] | None = None,
) -> Samples:
    """Return the samples of labelled pixels, with their blocks and folds; `site` is the number of their site."""
    pixels, label = found.pixels, positions(found.pixels.label)
    unit = pixels.polygon if found.ground is None else found.ground
    block, alone, tested = _blocks(unit, found.place, split), found.trains_only, is_tested(pixels, found.tested)
    weight = None if found.weights.empty else found.weights.reindex(pixels.polygon).to_numpy(np.float64)
    reserved = reserved_classes(Counted(replace(pixels, label=label), tested, alone, found.ground), split)
    units = Units(label, pixels.polygon, block, found.place, None, reserved, site, alone, found.ground)
    fold, names, notes = _folds(units, found.folds, split, tested)
    return Samples(
        pixels.row,
        pixels.column,
        label,
        pixels.polygon,
        block,
        legend,
        (),
        notes,
        cuts,
        split,
        fold,
        names,
        found.place,
        weight,
        reserved,
        site,
        purposive=alone,
        ground=found.ground,
        degrees=found.degrees,
    )


def taken(samples: Samples, members: NDArray[np.int64]) -> Samples:
    """Return the samples at the positions `members`, without their folds."""
    cuts = {
        name: replace(one, index=one.index[members])
        for name, one in samples.cuts.items()
        if not isinstance(one, SiteCuts)
    }
    return replace(
        samples,
        row=samples.row[members],
        column=samples.column[members],
        label=samples.label[members],
        polygon=samples.polygon[members],
        block=samples.block[members],
        cuts=cuts,
        fold=None,
        folds=(),
        place=_taken(samples.place, members),
        weight=_taken(samples.weight, members),
        purposive=_taken(samples.purposive, members),
        ground=_taken(samples.ground, members),
        degrees=_taken(samples.degrees, members),
        trust=None,
        windows=None,
    )


def _dealt(units: Units, split: Split) -> NDArray[np.int32]:
    """Return the fold of each sample, (N,); -1 for purposive polygons, which train whatever fold is tested."""
    drawn = np.arange(len(units.label)) if units.purposive is None else np.flatnonzero(~units.purposive)
    fold, own = np.full(len(units.label), -1, np.int32), units.take(drawn)
    fold[drawn] = deal(own.strata(split), own.group(split), split, own.testable(split))
    return fold


def labelled(scene: Scene, survey: Survey) -> Labelled:
    """Return the labelled pixels inside polygons, or the labelled rows of a table."""
    reference, legend, split = survey.reference, survey.legend, survey.split
    if scene.ids is not None:
        if reference.weight:
            raise SamplesError(
                "The sources are tables, which have no map and no areas. Remove [reference] weight, or use it with imagery."
            )
        return label_rows(reference, scene.ids, legend, split)
    fields = tuple(filter(None, [split.fold, split.field, reference.weight, reference.purposive]))
    table, rejections, notes = read_polygons(reference, scene.grid, legend, fields)
    parts = fixed_parts(table, reference, split, legend)
    pixels, more = rasterise(parts.table, scene.grid, legend)
    purposive = purposive_of(parts.table, reference)
    check_untested(purposive, parts.tested, reference)
    drawn = parts.table[~parts.table.polygon.isin(purposive.index[purposive])]  # the others have no weight
    folds, weights = folds_of(parts.table, split.fold), weights_of(drawn, reference.weight)
    everything = (*rejections, *parts.rejections, *more)
    told = (*notes, *parts.notes, *notes_on_purposive(purposive, reference))
    return Labelled(
        pixels, everything, told, folds, _places(pixels, scene), weights, parts.tested, purposive, scene.grid,
        degrees=degrees_in(scene.grid, pixels.row, pixels.column),
    )  # fmt: skip


def _places(pixels: Pixels, scene: Scene) -> NDArray[np.float64]:
    """Return the pixel centres (N, 2) in metres north and metres east of the map's north-west corner."""
    height, width = scene.grid.metres
    return np.stack([-(pixels.row + 0.5) * height, (pixels.column + 0.5) * width], 1)


def _taken(values: NDArray[T] | None, kept: NDArray[np.int64]) -> NDArray[T] | None:
    return None if values is None else values[kept]


def _folds(
    units: Units, folds: pd.Series, split: Split, tested: NDArray[np.bool_] | None
) -> tuple[NDArray[np.int32] | None, tuple[str, ...], tuple[Note, ...]]:
    """Return the position of the fold of every pixel, the names of the folds, and a note on those that are never tested.

    The folds are those of a field, or those into which the units are dealt; a fixed test part, `tested`, is the only one.
    """
    fold, names, notes = _numbered(units, folds, split)
    if split.folds:
        fold, names = _dealt(units, split), tuple(str(k + 1) for k in range(split.folds))
    if tested is not None:
        fold = np.where(tested, 0, -1).astype(np.int32)
    return fold, names, notes


def _numbered(
    units: Units, folds: pd.Series, split: Split
) -> tuple[NDArray[np.int32] | None, tuple[str, ...], tuple[Note, ...]]:
    """Return the position of every pixel's fold among the folds that can be tested, their names, and a note on the others.

    The position is -1 for the pixels of the others: they are used for training whatever fold is tested.
    """
    if folds.empty:
        return None, (), ()
    values = folds.reindex(units.polygon).to_numpy().astype(str)
    names = np.unique(values[units.testable(split)])
    if len(names) < 2:
        raise SamplesError(
            f"All samples that can be tested are in the fold '{''.join(names)}'; a split by folds needs at least 2. Check the "
            "field in [split] fold."
        )
    fold = np.where(np.isin(values, names), np.searchsorted(names, values), -1).astype(np.int32)
    others = tuple(np.setdiff1d(values, names).tolist())
    notes = (Note.of("folds_untested", field=split.fold, folds=others),) if others else ()
    return fold, tuple(names.tolist()), notes


def positions(label: NDArray[np.int16]) -> NDArray[np.int16]:
    """Renumber the classes that remain, in the legend's order; labels of coarser classes stay."""
    renumbered, finest = label.astype(np.int16), label >= 0
    renumbered[finest] = np.unique(label[finest], return_inverse=True)[1]
    return renumbered


def _masked(pixels: Pixels, usable: NDArray[np.bool_], legend: Legend) -> list[Rejection]:
    rejections = []
    for label in np.unique(pixels.label[~usable]):
        lost = ~usable & (pixels.label == label)
        whole = set(pixels.polygon[lost]) - set(pixels.polygon[usable & (pixels.label == label)])
        rejections.append(Rejection("masked", legend.labelled(int(label)).name, len(whole), int(lost.sum())))
    return rejections


def _blocks(unit: NDArray[np.int32], place: NDArray[np.float64] | None, split: Split) -> NDArray[np.int32]:
    """Return the block number of every pixel (N,), from the centroid of the pixels of its sampling unit `unit` (N,).

    No polygon is split, and the polygons of several years on the same ground are in one block.
    """
    if place is None:
        return np.zeros(len(unit), np.int32)
    _, which = np.unique(unit, return_inverse=True)
    middle = np.stack([np.bincount(which, axis) for axis in place.T], 1) / np.bincount(which)[:, None]
    square = np.floor(middle / split.block).astype(np.int64)
    return np.unique(square, axis=0, return_inverse=True)[1].ravel().astype(np.int32)[which]
