"""Files → Source. One sensor per module of this folder, registered in ``SENSORS``."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bocage.errors import SourceError
from bocage.progress import QUIET, Heard, Progress
from bocage.shelf import Shelf
from bocage.sources import (
    image,
    landsat_c2l2,
    pansharpened,
    pleiades,
    sentinel1_grd,
    sentinel2_l2a,
    sentinel2_theia,
    series,
    spot67,
    stac,
    table,
)
from bocage.sources.base import (
    Acquisition,
    Band,
    BandFile,
    Decoding,
    Deriver,
    Opener,
    Sensor,
    SensorSpec,
    clear_where_listed,
)
from bocage.sources.source import Readable, Source, check_overlap, dates_of, spread, with_bands

SENSORS: Shelf[Sensor | Opener | Deriver] = Shelf(
    "sensor",
    "sensors",
    {
        "image": image,
        "landsat_c2l2": landsat_c2l2,
        "pansharpened": pansharpened,
        "pleiades": pleiades,
        "sentinel1_grd": sentinel1_grd,
        "sentinel2_l2a": sentinel2_l2a,
        "sentinel2_theia": sentinel2_theia,
        "series": series,
        "spot67": spot67,
        "stac": stac,
        "table": table,
    },
)


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
    heard = Heard(progress, f"Source '{name}': ")
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
        raise SourceError(f"Source '{name}': no acquisition found. Check its settings in the recipe.")
    return Source(name, sensor, acquisitions, tuple(heard.said))


def derived_last(kinds: Mapping[str, str]) -> list[str]:
    """Return the names of sources, given the sensor of each, with derived sources after those that they need."""
    return sorted(kinds, key=lambda name: isinstance(SENSORS.get(kinds[name]), Deriver))


__all__ = [
    "SENSORS", "Acquisition", "Band", "BandFile", "Decoding", "Deriver", "Opener", "Readable", "Sensor", "SensorSpec", "Source",
    "check_overlap", "clear_where_listed", "dates_of", "derived_last", "open_source", "spread", "with_bands",
]  # fmt: skip
