"""Files → Source. One sensor per module of this folder, registered in ``SENSORS``."""

from bocage.shelf import Shelf
from bocage.sources import (
    alphaearth,
    history,
    image,
    landsat_c2l2,
    objects,
    pansharpened,
    pleiades,
    regions,
    sentinel1_grd,
    sentinel2_l2a,
    sentinel2_theia,
    series,
    spot67,
    stac,
    table,
    tessera,
)  # fmt: skip
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
    no_sensor,
)  # fmt: skip
from bocage.sources.history import HistorySource
from bocage.sources.objects import ObjectsSource
from bocage.sources.opening import open_source, opening_order
from bocage.sources.regions import RegionsSource
from bocage.sources.rows import same_rows
from bocage.sources.source import Readable, Source, check_overlap, dates_of, spread, with_bands
from bocage.sources.table import TableSource

SENSORS: Shelf[Sensor | Opener | Deriver] = Shelf(
    "sensor",
    "sensors",
    {
        "alphaearth": alphaearth,
        "history": history,
        "image": image,
        "landsat_c2l2": landsat_c2l2,
        "objects": objects,
        "pansharpened": pansharpened,
        "pleiades": pleiades,
        "regions": regions,
        "sentinel1_grd": sentinel1_grd,
        "sentinel2_l2a": sentinel2_l2a,
        "sentinel2_theia": sentinel2_theia,
        "series": series,
        "spot67": spot67,
        "stac": stac,
        "table": table,
        "tessera": tessera,
    },
    no_sensor,
)

__all__ = [
    "SENSORS", "Acquisition", "Band", "BandFile", "Decoding", "Deriver", "HistorySource", "ObjectsSource", "Opener", "Readable",
    "RegionsSource", "Sensor", "SensorSpec", "Source", "TableSource", "check_overlap", "clear_where_listed", "dates_of",
    "open_source", "opening_order", "same_rows", "spread", "with_bands",
]  # fmt: skip
