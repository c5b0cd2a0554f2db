"""A sensor and its settings → a source that can be read."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from bocage.errors import SourceError
from bocage.progress import QUIET, Heard, Progress
from bocage.sources.base import YEARS, Deriver, Opener, Sensor
from bocage.sources.source import Readable, Source


def open_source(
    name: str,
    sensor: Sensor | Opener | Deriver,
    settings: Any,
    progress: Progress = QUIET,
    others: Mapping[str, Readable] = MappingProxyType({}),
) -> Readable:
    """Find the acquisitions of a sensor and return them as the source `name`.

    A :class:`Deriver` computes its source from the sources `others` instead.

    Raises
    ------
    SourceError
        No acquisition is found, or one cannot be used. The message starts with the name of the source.
    """
    heard = Heard(progress, name)
    try:
        if isinstance(sensor, Deriver):
            derived: Readable = sensor.derive(name, settings, others)
            return derived
        if isinstance(sensor, Opener):
            opened: Readable = sensor.open(name, settings)
            _check_years(opened.times)
            return opened
        acquisitions = tuple(sensor.find(settings, heard))
        _check_years(tuple(acquisition.time for acquisition in acquisitions))
    except SourceError as error:
        raise SourceError(f"Source '{name}': {error}") from error
    if not acquisitions:
        raise SourceError(f"Source '{name}': no acquisition was found.")
    return Source(name, sensor, acquisitions, tuple(heard.notes))


def available_bands(sensor: Any, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the bands that all products of a folder have, of those that a sensor reads by default; empty if none can be read."""
    names = getattr(sensor, "LAND", ()) or tuple(band.name for band in sensor.SPEC.bands)
    found = []
    for name in names:
        try:
            open_source(name, sensor, sensor.Settings(**settings, bands=(name,)))
        except SourceError:
            continue
        found.append(name)
    return tuple(found)


def _check_years(times: tuple[datetime | None, ...]) -> None:
    odd = [time for time in times if time and not YEARS[0] <= time.year <= YEARS[1]]
    if odd:
        raise SourceError(
            f"The date {odd[0]:%Y-%m-%d} is not between {YEARS[0]} and {YEARS[1]}. Correct the date of the file."
        )


def opening_order(sensors: Mapping[str, Sensor | Opener | Deriver]) -> list[str]:
    """Return the names of sources in an order in which they can be opened: derived sources come last."""
    return sorted(sensors, key=lambda name: isinstance(sensors[name], Deriver))
