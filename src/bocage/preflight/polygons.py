"""Reference polygons, looked at before any pixel is labelled."""

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

SLIVER = 0.5
"""Overlaps narrower than this share of a pixel are slivers of digitising."""
FEW = 5
"""Polygons of a class below which its accuracy is hardly known."""
REMEDIES: dict[Reason, str] = {
    "unknown_label": "Add the label to a class of the legend (values = [...]), or list it in [reference] ignore.",
    "outside": "Nothing to do if this is meant; otherwise check the CRS of the file and [grid].",
    "empty": "Remove the feature, or draw it again.",
    "no_polygon": "Give polygons; points and lines label no pixel.",
    "too_small": "Nothing to do; smaller polygons than a pixel cannot train this map.",
    "ignored": "Nothing to do: [reference] ignore says so.",
}


def check_polygons(
    reference: Reference, grid: Grid, legend: Legend, split: Split
) -> tuple[list[Finding], Pixels | None]:
    """Read the reference and tell what is wrong with it.

    Returns
    -------
    The findings, and the labelled pixels of the map; None where the polygons cannot be read.
    """
    lenient = Reference(**{**vars(reference), "unknown": "reject"})
    try:
        raw, ignored = labelled_features(lenient, legend)
        table, rejections, _ = usable_polygons(raw, lenient, grid, legend)
        pixels, more = rasterise(table, grid, legend)
    except BocageError as error:
        return [Finding("error", "reference", str(error), "See the message.")], None
    findings = []
    for r in (*ignored, *rejections, *more):
        severity = _severity(r.reason, reference)
        count = f"{r.polygons} polygons" + (f" ({r.pixels} pixels)" if r.pixels else "")
        findings.append(
            Finding(
                severity, f"reference, {r.label}", f"{count}: {r.text()}", REMEDIES.get(r.reason, "Correct the file.")
            )
        )
    findings += [*_invalid(raw), *_overlaps(table, grid, legend)]
    findings += _counts(pixels, legend, split)
    return findings, pixels


def _severity(reason: Reason, reference: Reference) -> Severity:
    if reason == "unknown_label":
        return "error" if reference.unknown == "stop" else "warning"
    return "note" if reason in ("ignored", "outside") else "warning"


def _invalid(raw: Any) -> Iterator[Finding]:
    """Invalid geometries of the file, which are repaired on reading."""
    bad = ~shapely.is_valid(raw.geometry.to_numpy()) & ~shapely.is_missing(raw.geometry.to_numpy())
    if bad.any():
        reasons = shapely.is_valid_reason(raw.geometry.to_numpy()[bad])
        yield Finding(
            "warning", "reference", f"{int(bad.sum())} invalid geometries (feature {int(np.flatnonzero(bad)[0])}: {reasons[0]})",
            "They are mended on reading; mend them in the file (QGIS: Fix geometries) to be sure of the result.",
        )  # fmt: skip


def _overlaps(table: Any, grid: Grid, legend: Legend) -> Iterator[Finding]:
    """Polygons of different classes that overlap: slivers along borders, or more."""
    shapes, labels = table.geometry.to_numpy(), table.label.to_numpy()
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    differ = (first < second) & (labels[first] != labels[second])
    if not differ.any():
        return
    parts = shapely.intersection(shapes[first[differ]], shapes[second[differ]])
    area = shapely.area(parts)
    width = 2 * area / np.maximum(shapely.length(parts), 1e-9)  # of a long thin ring: about its breadth
    real = width >= SLIVER * grid.resolution
    slivers = (area > 0) & ~real
    names = sorted(
        {
            tuple(sorted((legend.names[labels[i]], legend.names[labels[j]])))
            for i, j in _pairs(first, second, differ, real)
        }
    )
    if real.any():
        yield Finding(
            "warning", "reference", f"{int(real.sum())} overlaps between polygons of different classes, {area[real].sum():.0f} m² in all "
            f"({', '.join(' / '.join(pair) for pair in names[:3])})",
            "Pixels in two classes are rejected, and counted; correct the polygons, or give one class.",
        )  # fmt: skip
    if slivers.any():
        yield Finding(
            "note", "reference", f"{int(slivers.sum())} slivers between polygons of different classes, narrower than half a pixel",
            "Nothing to do; [reference] buffer keeps pixels away from borders.",
        )  # fmt: skip


def _pairs(first: Any, second: Any, differ: Any, real: Any) -> Iterator[tuple[int, int]]:
    return zip(first[differ][real], second[differ][real], strict=True)


def _counts(pixels: Pixels, legend: Legend, split: Split) -> Iterator[Finding]:
    """Classes with too few polygons for the split asked for."""
    for k, name in enumerate(legend.names):
        of_class = pixels.label == k
        polygons = len(np.unique(pixels.polygon[of_class]))
        if polygons < FEWEST:
            severity: Any = "error" if split.rare == "stop" else "warning"
            yield Finding(
                severity, f"class {name}", f"{polygons} usable polygon(s), {int(of_class.sum())} pixels; training, validation and test need {FEWEST}",
                'Survey more, merge the class with another (values = [...]), or set [split] rare = "drop".',
            )  # fmt: skip
        elif polygons < FEW:
            yield Finding(
                "warning", f"class {name}", f"{polygons} usable polygons: its accuracy will hardly be known",
                "Survey more, or merge the class with another.",
            )  # fmt: skip
