"""A sensor and its settings → a source that can be read."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bocage.errors import SourceError
from bocage.progress import QUIET, Heard, Progress
from bocage.sources.base import Deriver, Opener, Sensor
from bocage.sources.source import Readable, Source


def open_source(
    name: str,
    sensor: Sensor | Opener | Deriver,
    settings: Any,
    progress: Progress = QUIET,
    others: Mapping[str, Readable] = MappingProxyType({}),
) -> Readable:
    """Find a sensor's acquisitions and return them as a source called `name`, made of `others` where it derives.

    Raises
    ------
    SourceError
        Nothing was found, or what was found cannot be used; the message opens with the source's name.
    """
    heard = Heard(progress, name)
    try:
        if isinstance(sensor, Deriver):
            derived: Readable = sensor.derive(name, settings, others)
            return derived
        if isinstance(sensor, Opener):
            opened: Readable = sensor.open(name, settings)
            return opened
        acquisitions = tuple(sensor.find(settings, heard))
    except SourceError as error:
        raise SourceError(f"Source '{name}': {error}") from error
    if not acquisitions:
        raise SourceError(f"Source '{name}': no acquisition was found.")
    return Source(name, sensor, acquisitions, tuple(heard.notes))


def opening_order(sensors: Mapping[str, Sensor | Opener | Deriver]) -> list[str]:
    """Return the names of sources in an order in which they can be opened: derived sources come last."""
    return sorted(sensors, key=lambda name: isinstance(sensors[name], Deriver))
