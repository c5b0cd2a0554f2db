"""A part of the dates of a source: those of a period, or those that are known on a day."""

from dataclasses import replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SourceError
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
    return _kept(source, source.days <= day) if is_series(source) else source


def within(source: Readable, period: tuple[date, date]) -> Readable:
    """Return a source with the dates of a period only, its first and its last day included.

    Raises
    ------
    SourceError
        The source has no dates, or none in the period.
    """
    first, last = period
    if not source.dated or not isinstance(source, Source | TableSource):
        raise SourceError(
            f"Source '{source.name}' has no dates of acquisition, so it takes no 'period'. Remove the setting."
        )
    days = source.days.astype("datetime64[D]")
    found = _kept(source, (days >= np.datetime64(first)) & (days <= np.datetime64(last)))
    if found is None:
        raise SourceError(
            f"Source '{source.name}' has no date in its 'period' from {first} to {last}: its dates are from {days[0]} to "
            f"{days[-1]}."
        )
    return found


def _kept(source: Readable, kept: NDArray[np.bool_]) -> Readable | None:
    """Return a source with the dates of which `kept` (T,) is true; None if none is left."""
    if kept.all():
        return source
    if not kept.any():
        return None
    if isinstance(source, TableSource):
        dates = np.flatnonzero(kept)
        times = tuple(source.times[i] for i in dates)
        return replace(source, times=times, stored=source.stored[:, dates], seen=source.seen[:, dates])
    assert isinstance(source, Source)  # no other source has dates
    chosen = {i for members, there in zip(source.dates, kept, strict=True) if there for i in members}
    return replace(source, acquisitions=tuple(a for i, a in enumerate(source.acquisitions) if i in chosen))
