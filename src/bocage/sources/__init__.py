"""Files → Source. One sensor per file of this folder; ``SENSORS`` is their shelf."""

from typing import Any

from bocage.errors import SourceError
from bocage.progress import QUIET, Heard, Progress
from bocage.shelf import Shelf
from bocage.sources import (
    image,
    landsat_c2l2,
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
    Opener,
    Sensor,
    SensorSpec,
    clear_where_listed,
)
from bocage.sources.source import Readable, Source, check_overlap

SENSORS: Shelf[Sensor | Opener] = Shelf(
    "sensor",
    "sensors",
    {
        "image": image,
        "landsat_c2l2": landsat_c2l2,
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


def open_source(name: str, sensor: Sensor | Opener, settings: Any, progress: Progress = QUIET) -> Readable:
    """Find a sensor's acquisitions and return them as a source called `name`.

    Raises
    ------
    SourceError
        Nothing was found, or what was found cannot be used; the message opens with the source's name.
    """
    heard = Heard(progress, f"Source '{name}': ")
    try:
        if isinstance(sensor, Opener):
            opened: Readable = sensor.open(name, settings)
            return opened
        acquisitions = tuple(sensor.find(settings, heard))
    except SourceError as error:
        raise SourceError(f"Source '{name}': {error}") from error
    if not acquisitions:
        raise SourceError(f"Source '{name}': no acquisition was found.")
    return Source(name, sensor, acquisitions, tuple(heard.said))


__all__ = [
    "SENSORS", "Acquisition", "Band", "BandFile", "Decoding", "Opener", "Readable", "Sensor", "SensorSpec", "Source",
    "check_overlap", "clear_where_listed", "open_source",
]  # fmt: skip
