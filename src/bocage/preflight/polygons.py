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
from bocage.samples.reference import MOST, Reason, Rejection, labelled_features, usable_polygons
from bocage.samples.split import FEWEST

SLIVER = 0.5
"""Overlaps narrower than this share of a pixel are treated as digitising slivers."""
FEW = 5
"""Number of polygons of a class below which its accuracy is too uncertain."""
REMEDIES: dict[Reason, str] = {
    "unknown_label": "Add the label to a class of the legend (values = [...]), or list it in [reference] ignore.",
    "outside": "Nothing to do if this is intended. Otherwise check the CRS of the file, and [grid].",
    "empty": "Remove the feature, or digitise it again.",
    "no_polygon": "Use polygons. Points and lines are not supported.",
    "too_small": "Nothing to do. Polygons without a pixel centre give no sample.",
    "no_label": "Fill the field, or ignore this if it is intended.",
    "ignored": "Nothing to do: the label is listed in [reference] ignore.",
}


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
        return [Finding("error", "reference", str(error), "See the message.")], None
    findings = []
    for r in in_one_row([*ignored, *rejections, *more]):
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


def in_one_row(rejections: list[Rejection]) -> list[Rejection]:
    """Return the rejections with all unknown labels as one."""
    unknown = [r for r in rejections if r.reason == "unknown_label"]
    if len(unknown) < 2:
        return rejections
    listed = ", ".join(f"'{r.label}' ({r.polygons})" for r in unknown[:MOST])
    more = f" and {len(unknown) - MOST} more" if len(unknown) > MOST else ""
    whole = Rejection("unknown_label", f"{len(unknown)} labels: {listed}{more}", sum(r.polygons for r in unknown), 0)
    return [whole, *(r for r in rejections if r.reason != "unknown_label")]


def _severity(reason: Reason, reference: Reference) -> Severity:
    if reason == "unknown_label":
        return "error" if reference.unknown == "stop" else "warning"
    return "note" if reason in ("ignored", "outside") else "warning"


def _invalid(raw: Any) -> Iterator[Finding]:
    """Return a finding on invalid geometries; they are repaired when the file is read."""
    bad = ~shapely.is_valid(raw.geometry.to_numpy()) & ~shapely.is_missing(raw.geometry.to_numpy())
    if bad.any():
        reasons = shapely.is_valid_reason(raw.geometry.to_numpy()[bad])
        yield Finding(
            "warning", "reference", f"{int(bad.sum())} invalid geometries (feature {int(np.flatnonzero(bad)[0])}: {reasons[0]})",
            "They are repaired when read. Repair them in the file (QGIS: Fix geometries) to control the result.",
        )  # fmt: skip


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
        yield Finding(
            "warning", "reference", f"{int(real.sum())} overlaps between polygons of different classes, {area[real].sum():.0f} m² in total "
            f"({', '.join(' / '.join(pair) for pair in names[:3])})",
            "Pixels in two classes are rejected. To keep them, correct the polygons.",
        )  # fmt: skip
    if slivers.any():
        yield Finding(
            "note", "reference", f"{int(slivers.sum())} slivers between polygons of different classes, narrower than half a pixel",
            "Nothing to do. Set [reference] buffer to exclude pixels near borders.",
        )  # fmt: skip


def _pairs(first: Any, second: Any, differ: Any, real: Any) -> Iterator[tuple[int, int]]:
    return zip(first[differ][real], second[differ][real], strict=True)


def _counts(pixels: Pixels, legend: Legend, split: Split) -> Iterator[Finding]:
    """Return findings on classes with too few polygons for the split."""
    for k, name in enumerate(legend.names):
        of_class = pixels.label == k
        polygons = len(np.unique(pixels.polygon[of_class]))
        if polygons < FEWEST:
            severity: Any = "error" if split.rare == "stop" else "warning"
            yield Finding(
                severity, f"class {name}", f"{polygons} usable polygon(s), {int(of_class.sum())} pixels; training, validation and test need {FEWEST} polygons",
                'Survey more polygons, merge the class with another (values = [...]), or set [split] rare = "drop".',
            )  # fmt: skip
        elif polygons < FEW:
            yield Finding(
                "warning", f"class {name}", f"{polygons} usable polygons: the estimate of its accuracy will be very uncertain",
                "Survey more polygons, or merge the class with another.",
            )  # fmt: skip
