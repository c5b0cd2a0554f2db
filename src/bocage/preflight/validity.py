"""Check of what a source holds on the map: share of valid pixels, constant bands, saturated values."""

from collections.abc import Iterator

from bocage.preflight.finding import Finding, Severity
from bocage.scene import Cube
from bocage.scene.facts import facts_of

FEW = 0.9
"""Share of valid pixels, 0 to 1, below which an image without a date is reported."""


def check_validity(cube: Cube) -> Iterator[Finding]:
    """Return findings on the valid pixels of a source on the map, and on bands that are constant or saturated.

    Raises
    ------
    SourceError
        A file cannot be read.
    """
    facts = facts_of(cube)
    severity: Severity = "note"
    remedy = "Nothing to do if this is as expected. Nodata, masks, clouds and the outside of the files are not valid."
    if not facts.valid or (not cube.source.dated and facts.valid < FEW):
        severity = "warning" if facts.valid else "error"
        remedy = "Check nodata, the mask or alpha band of the files, and the quality layer."
    dates = f" (mean of {facts.dates} dates)" if facts.dates > 1 else ""
    yield Finding(severity, cube.name, f"{100 * facts.valid:.0f} % of its pixels on the map are valid{dates}", remedy)
    for band in facts.bands:
        where = f"{cube.name}.{band.name}"
        if band.constant:  # a band of zeros is a finding of check_files
            yield Finding(
                "warning", where, f"every valid pixel read has the value {band.constant:g}",
                "Check the file, or remove the band: a constant band has no information.",
            )  # fmt: skip
        if band.saturated:
            yield Finding(
                "warning", where, f"{100 * band.saturated:.0f} % of the valid pixels have the largest value, {band.largest:g}: they are saturated",
                "Check the export of this band. If the value stands for nodata, set nodata.",
            )  # fmt: skip
