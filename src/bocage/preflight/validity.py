"""Check of what a source holds on the map: share of valid pixels, constant bands, saturated values."""

from collections.abc import Iterator

from bocage.preflight.finding import Finding
from bocage.scene import Cube
from bocage.scene.facts import facts_of
from bocage.words import Note

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
    note = Note.of("valid_share", share=100 * facts.valid, n=facts.dates)
    if not facts.valid:
        yield Finding.of("error", cube.name, note, "check_validity")
    elif not cube.source.dated and facts.valid < FEW:
        yield Finding.of("warning", cube.name, note, "check_validity")
    else:
        yield Finding.of("note", cube.name, note)
    for band in facts.bands:
        where = f"{cube.name}.{band.name}"
        if band.constant:  # a band of zeros is a finding of check_files
            yield Finding.of("warning", where, Note.of("constant_band", value=band.constant))
        if band.saturated:
            yield Finding.of("warning", where, Note.of("saturated", share=100 * band.saturated, value=band.largest))
