"""A source as it is known on a day: a series without its later dates."""

from dataclasses import replace

import numpy as np

from bocage.sources.source import Readable, Source
from bocage.sources.table import TableSource


def is_series(source: Readable) -> bool:
    """Return whether a source has acquisitions of several dates."""
    return source.dated and len(source.days) > 1


YEARLY = ("alphaearth", "tessera")
"""Sensors whose values describe a whole year."""


def describes_a_year(source: Readable) -> bool:
    """Return whether the values of a source are computed from all images of a year."""
    return isinstance(source, Source) and source.sensor.SPEC.name in YEARLY


def until(source: Readable, day: int) -> Readable | None:
    """Return a series without the dates after `day`, in days since 1970-01-01; None if no date is left.

    Sources of one date, and sources without dates, are returned unchanged.
    """
    kept = source.days <= day
    if not is_series(source) or kept.all():
        return source
    if not kept.any():
        return None
    if isinstance(source, TableSource):
        dates = np.flatnonzero(kept)
        times = tuple(source.times[i] for i in dates)
        return replace(source, times=times, stored=source.stored[:, dates], seen=source.seen[:, dates])
    assert isinstance(source, Source)  # no other source has several dates
    chosen = {i for members, there in zip(source.dates, kept, strict=True) if there for i in members}
    return replace(source, acquisitions=tuple(a for i, a in enumerate(source.acquisitions) if i in chosen))
