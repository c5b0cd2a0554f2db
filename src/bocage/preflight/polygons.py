"""Checks of the reference polygons: labels, geometry, overlaps, and number of polygons per class."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import shapely

from bocage.errors import BocageError
from bocage.grid import Grid
from bocage.legend import Legend
from bocage.preflight.finding import Finding, Severity
from bocage.samples import Reference, Split
from bocage.samples.rasterise import Pixels, rasterise
from bocage.samples.reference import Reason, labelled_features, usable_polygons
from bocage.samples.split import FEWEST
from bocage.words import Note

SLIVER = 0.5
"""Overlaps narrower than this share of a pixel are treated as digitising slivers."""
FEW = 5
"""Number of polygons of a class below which its accuracy is too uncertain."""


def check_polygons(
    reference: Reference, grid: Grid, legend: Legend, split: Split
) -> tuple[list[Finding], Pixels | None]:
    """Check the reference polygons.

    Returns
    -------
    The findings, and the labelled pixels of the map (None if the polygons cannot be read).
    """
    lenient = Reference(**{**vars(reference), "unknown": "reject"})
    try:
        raw, ignored = labelled_features(lenient, legend)
        table, rejections, _ = usable_polygons(raw, lenient, grid, legend)
        pixels, more = rasterise(table, grid, legend)
    except BocageError as error:
        return [Finding.quoting("reference", error)], None
    findings = []
    for r in (*ignored, *rejections, *more):
        count = Note.of("polygons_pixels" if r.pixels else "polygons", n=r.polygons, pixels=r.pixels)
        note = Note.of("rejected", count=count, reason=r.note)
        severity = _severity(r.reason, reference)
        findings.append(Finding.of(severity, f"reference, {r.label}", note, f"{r.note.code}_remedy"))
    findings += [*_invalid(raw), *_overlaps(table, grid, legend)]
    findings += _counts(pixels, legend, split)
    return findings, pixels


def _severity(reason: Reason, reference: Reference) -> Severity:
    if reason == "unknown_label":
        return "error" if reference.unknown == "stop" else "warning"
    return "note" if reason in ("ignored", "outside") else "warning"


def _invalid(raw: Any) -> Iterator[Finding]:
    """Return a finding on invalid geometries; they are repaired when the file is read."""
    bad = ~shapely.is_valid(raw.geometry.to_numpy()) & ~shapely.is_missing(raw.geometry.to_numpy())
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        why = str(shapely.is_valid_reason(raw.geometry.to_numpy()[first]))
        yield Finding.of("warning", "reference", Note.of("invalid_geometries", n=int(bad.sum()), first=first, why=why))


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
            tuple(sorted((legend.names[labels[i]], legend.names[labels[j]])))
            for i, j in _pairs(first, second, differ, real)
        }
    )
    if real.any():
        classes = tuple(" / ".join(pair) for pair in names[:3])
        note = Note.of("overlaps", n=int(real.sum()), area=float(area[real].sum()), classes=classes)
        yield Finding.of("warning", "reference", note)
    if slivers.any():
        yield Finding.of("note", "reference", Note.of("slivers", n=int(slivers.sum())))


def _pairs(first: Any, second: Any, differ: Any, real: Any) -> Iterator[tuple[int, int]]:
    return zip(first[differ][real], second[differ][real], strict=True)


def _counts(pixels: Pixels, legend: Legend, split: Split) -> Iterator[Finding]:
    """Return findings on classes with too few polygons for the split."""
    for k, name in enumerate(legend.names):
        of_class, where = pixels.label == k, Note.of("class_place", name=name)
        polygons = len(np.unique(pixels.polygon[of_class]))
        if polygons < FEWEST:
            note = Note.of("too_few_polygons", n=polygons, pixels=int(of_class.sum()), fewest=FEWEST)
            yield Finding.of("error" if split.rare == "stop" else "warning", where, note)
        elif polygons < FEW:
            yield Finding.of("warning", where, Note.of("few_polygons", n=polygons))
