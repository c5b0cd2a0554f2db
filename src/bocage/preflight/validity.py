"""Check of what a source holds on the map: share of valid pixels, constant bands, saturated values."""

from collections.abc import Iterator, Mapping

from bocage.preflight.finding import Finding
from bocage.scene import Cube
from bocage.scene.facts import Facts
from bocage.sources import HistorySource, ObjectsSource, RegionsSource
from bocage.words import Note

COMPUTED = RegionsSource | HistorySource | ObjectsSource
"""Sources that Bocage computes: weights, classes and features may have one value at many pixels."""

WHOLE = 0.99
"""Share of pixels, 0 to 1, from which a source has values on the whole map."""
FEW = 0.9
"""Share of valid pixels, 0 to 1, below which an image without a date is reported."""
CLOUDED = 0.15
"""Share of valid pixels, 0 to 1, below which a series is reported: its mask may be inverted. Clouds leave more of a year."""


def check_validity(cube: Cube, facts: Facts) -> Iterator[Finding]:
    """Return findings on the valid pixels of a source on the map, and on measured bands that are constant or saturated."""
    note = Note.of("valid_share", share=100 * facts.valid, n=facts.dates)
    if not facts.valid:
        yield Finding.of("error", cube.name, note, "check_validity")
    elif facts.valid < (CLOUDED if cube.source.dated else FEW) and not isinstance(cube.source, HistorySource):
        yield Finding.of("warning", cube.name, note, "check_validity")
    else:
        yield Finding.of("note", cube.name, note)
    for band in () if isinstance(cube.source, COMPUTED) else facts.bands:
        where = f"{cube.name}.{band.name}"
        if band.constant:  # a band of zeros is a finding of check_files
            yield Finding.of("warning", where, Note.of("constant_band", value=band.constant))
        if band.saturated:
            yield Finding.of("warning", where, Note.of("saturated", share=100 * band.saturated, value=band.largest))


def check_needed(ever: Mapping[str, float], model: str) -> Iterator[Finding]:
    """Return findings on the sources without a value in a part of the map, for a model that needs all its sources.

    Parameters
    ----------
    ever
        Source of the model → share of the pixels of the map that have a value on some date, 0 to 1.
    """
    for name, share in ever.items():
        if len(ever) > 1 and 0 < share < WHOLE:  # without any, it is an error of check_validity
            yield Finding.of("warning", name, Note.of("partial_source", share=100 * share, model=model))
