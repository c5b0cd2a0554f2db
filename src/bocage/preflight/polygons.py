"""Checks of the reference polygons: labels, geometry, overlaps, and number of polygons per class."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import shapely

from bocage.errors import BocageError
from bocage.finish.ground import ground_areas
from bocage.grid import Grid
from bocage.legend import Legend
from bocage.preflight.finding import Finding, Severity
from bocage.samples import Reference, Split
from bocage.samples.fixed import fixed_parts, is_tested
from bocage.samples.ground import Ground
from bocage.samples.points import folds_of, weights_of
from bocage.samples.purposive import check_untested, is_purposive, notes_on_purposive, purposive_of
from bocage.samples.rare import Counted
from bocage.samples.rasterise import joined_pixels, rasterise
from bocage.samples.reference import MOST, Reason, Rejection, labelled_features, usable_polygons
from bocage.samples.split import FEWEST
from bocage.words import Note

SLIVER = 0.5
"""Overlaps narrower than this share of a pixel are treated as digitising slivers."""
FEW = 5
"""Number of polygons of a class below which its accuracy is too uncertain."""
REMEDIES = {"drop": "rare_dropped_remedy", "train": "rare_trained_remedy"}
"""Treatment of classes with few polygons → what the user should do; "stop" is an error with a remedy of its own."""


def check_polygons(
    reference: Reference, grid: Grid, legend: Legend, split: Split
) -> tuple[list[Finding], Counted | None]:
    """Check the reference polygons, without the number of polygons of each class (:func:`check_classes`).

    Returns
    -------
    The findings, and the labelled pixels of the map (None if the polygons cannot be read).
    """
    lenient = Reference(**{**vars(reference), "unknown": "reject"})
    fields = tuple(filter(None, [split.fold, split.field, reference.weight, reference.purposive]))
    try:
        raw, ignored = labelled_features(lenient, legend, fields)
        table, rejections, _ = usable_polygons(raw, lenient, grid, legend)
        parts = fixed_parts(table, reference, split, legend)
        pixels, more = rasterise(parts.table, grid, legend)
        purposive = purposive_of(parts.table, reference)
        check_untested(purposive, parts.tested, reference)
        folds_of(parts.table, split.fold)
        weights_of(parts.table[~parts.table.polygon.isin(purposive.index[purposive])], reference.weight)
    except BocageError as error:
        return [Finding.quoting("reference", error)], None
    findings = []
    for r in in_one_row([*ignored, *rejections, *parts.rejections, *more]):
        count = Note.of(
            "polygons_pixels" if r.pixels else "polygons", n=r.polygons, pixels=Note.of("pixels", n=r.pixels)
        )
        note = Note.of("rejected", count=count, reason=r.note)
        severity = _severity(r.reason, reference)
        findings.append(Finding.of(severity, f"reference, {r.label}", note, f"{r.note.code}_remedy"))
    findings += [*_invalid(raw), *_overlaps(parts.table, grid, legend)]
    findings += [
        Finding.of("note", "reference", note, "do_nothing") for note in notes_on_purposive(purposive, reference)
    ]
    return findings, Counted(pixels, is_tested(pixels, parts.tested), is_purposive(pixels.polygon, purposive))


def at_all_sites(sites: Sequence[Counted], grids: Sequence[Grid], split: Split) -> Counted:
    """Return the labelled pixels of several sites on their grids, with polygon numbers of their own for each.

    Polygons of several sites at one place are one sampling unit, unless one site is left out at a time.
    """
    parts = [one.pixels for one in sites]
    whole = joined_pixels(parts)
    alone = [np.zeros(len(one.pixels), bool) if one.purposive is None else one.purposive for one in sites]
    ground = None if split.site else Ground.of(parts, grids).units(whole.polygon)
    return Counted(whole, purposive=np.concatenate(alone), ground=ground)


def in_one_row(rejections: list[Rejection]) -> list[Rejection]:
    """Return the rejections with all unknown labels as one, whose label lists them."""
    unknown = [r for r in rejections if r.reason == "unknown_label"]
    if len(unknown) < 2:
        return rejections
    names = ", ".join(f"'{r.label}' ({r.polygons})" for r in unknown[:MOST]) + (", …" if len(unknown) > MOST else "")
    whole = Rejection("unknown_label", f"{len(unknown)}: {names}", sum(r.polygons for r in unknown), 0)
    return [whole, *(r for r in rejections if r.reason != "unknown_label")]


def _severity(reason: Reason, reference: Reference) -> Severity:
    if reason == "unknown_label":
        return "error" if reference.unknown == "stop" else "warning"
    return "note" if reason in ("ignored", "outside", "other_part") else "warning"


def _invalid(raw: Any) -> Iterator[Finding]:
    """Return a finding on invalid geometries; they are repaired when the file is read."""
    bad = ~shapely.is_valid(raw.geometry.to_numpy()) & ~shapely.is_missing(raw.geometry.to_numpy())
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        why = str(shapely.is_valid_reason(raw.geometry.to_numpy()[first]))
        yield Finding.of(
            "warning", "reference", Note.of("invalid_geometries", n=int(bad.sum()), first=str(first), why=why)
        )


def _overlaps(table: Any, grid: Grid, legend: Legend) -> Iterator[Finding]:
    """Return findings on overlaps between polygons of different classes: real overlaps, and slivers along borders."""
    shapes, labels = table.geometry.to_numpy(), table.label.to_numpy()
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    differ = (first < second) & (labels[first] != labels[second])
    if not differ.any():
        return
    parts = shapely.intersection(shapes[first[differ]], shapes[second[differ]])
    area = shapely.area(parts)
    width = 2 * area / np.maximum(shapely.length(parts), 1e-9)  # approximate width of a long, narrow polygon
    real = width >= SLIVER * grid.resolution
    slivers = (area > 0) & ~real
    names = sorted(
        {
            tuple(sorted(legend.labelled(int(labels[k])).name for k in (i, j)))
            for i, j in _pairs(first, second, differ, real)
        }
    )
    if real.any():
        classes = tuple(" / ".join(pair) for pair in names[:3])
        note = Note.of("overlaps", n=int(real.sum()), area=_on_ground(parts[real], grid), classes=classes)
        yield Finding.of("warning", "reference", note)
    if slivers.any():
        yield Finding.of("note", "reference", Note.of("slivers", n=int(slivers.sum())))


def _on_ground(parts: Any, grid: Grid) -> float:
    """Return the area of intersections of polygons in m²; those along a line have none."""
    pieces = shapely.get_parts(shapely.get_parts(parts))
    polygons = pieces[(shapely.get_type_id(pieces) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(pieces)]
    return float(ground_areas(polygons, grid.crs.proj).sum()) if len(polygons) else 0.0


def _pairs(first: Any, second: Any, differ: Any, real: Any) -> Iterator[tuple[int, int]]:
    return zip(first[differ][real], second[differ][real], strict=True)


def check_classes(counted: Counted, legend: Legend, split: Split) -> Iterator[Finding]:
    """Yield findings on classes with too few sampling units for the split."""
    counted, size = counted.drawn(split), len(legend.classes)
    fixed = counted.tested is not None
    units, polygons = counted.units(split, size).tolist(), counted.polygons(size).tolist()
    training, test = (part.tolist() for part in counted.parts(split, size)) if fixed else (units, units)
    for k, name in enumerate(legend.names):
        where, n = Note.of("class_place", name=name), units[k]
        stops = split.rare == "stop" or (split.rare == "train" and not training[k])
        severity: Severity = "error" if stops else "warning"
        if fixed and not (training[k] and test[k]):
            yield Finding.of(severity, where, Note.of("one_part_only", n=training[k], test=test[k]))
        elif not n and not split.tests:
            yield Finding.of(severity, where, Note.of("no_polygons"))
        elif not fixed and split.tests and n < FEWEST:
            pixels = int((counted.pixels.label == k).sum())
            note = _counting("too_few", n, polygons[k], pixels=Note.of("pixels", n=pixels), fewest=FEWEST)
            remedy = "too_few_polygons_remedy" if stops else REMEDIES[split.rare]
            yield Finding.of(severity, where, note, remedy)
        elif split.tests and n < FEW:
            yield Finding.of("warning", where, _counting("few", n, polygons[k]), "few_polygons_remedy")


def _counting(code: str, units: int, polygons: int, **values: Any) -> Note:
    """Return the note on the polygons of a class, or on its places if several polygons are at one place."""
    if units == polygons:
        return Note.of(f"{code}_polygons", n=units, **values)
    return Note.of(f"{code}_places", n=units, polygons=polygons, **values)
