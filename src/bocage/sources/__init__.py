"""Files → Source. One sensor per file of this folder; ``SENSORS`` is their shelf."""

from typing import Any

from bocage.errors import SourceError
from bocage.shelf import Shelf
from bocage.sources import image, series
from bocage.sources.base import Acquisition, Band, BandFile, Decoding, Sensor, SensorSpec, clear_where_listed
from bocage.sources.source import Source, check_overlap

SENSORS: Shelf[Sensor] = Shelf("sensor", "sensors", {"image": image, "series": series})


def open_source(name: str, sensor: Sensor, settings: Any) -> Source:
    """Find a sensor's acquisitions and return them as a source called `name`.

    Raises
    ------
    SourceError
        Nothing was found, or what was found cannot be used; the message opens with the source's name.
    """
    try:
        acquisitions = tuple(sensor.find(settings))
    except SourceError as error:
        raise SourceError(f"Source '{name}': {error}") from error
    if not acquisitions:
        raise SourceError(f"Source '{name}': no acquisition was found.")
    return Source(name, sensor, acquisitions, settings.decoding())


__all__ = [
    "SENSORS", "Acquisition", "Band", "BandFile", "Decoding", "Sensor", "SensorSpec", "Source", "check_overlap",
    "clear_where_listed", "open_source",
]  # fmt: skip
