"""Trained + Scene → map on disk: read windows with a halo, run the network, write files, on one or more machines."""

from bocage.mapping.areas import AreaCount, Areas, pixel_areas
from bocage.mapping.codes import check_truth, codes_at, codes_beside, count_codes, locate, read_codes
from bocage.mapping.delivered import Delivered, open_delivered
from bocage.mapping.delivery import Item
from bocage.mapping.engine import LandCoverMap, make_map, open_map, open_map_folder
from bocage.mapping.predict import Prediction, classify_at, predict
from bocage.mapping.region import read_region
from bocage.mapping.settings import Mapping
from bocage.mapping.speed import pixels_per_second
from bocage.mapping.sureness import Sureness, sureness
from bocage.mapping.workers import Computing, Workers
from bocage.mapping.writers import WRITERS, MapBand

__all__ = [
    "WRITERS",
    "AreaCount",
    "Areas",
    "Computing",
    "Delivered",
    "Item",
    "LandCoverMap",
    "MapBand",
    "Mapping",
    "Prediction",
    "Sureness",
    "Workers",
    "check_truth",
    "classify_at",
    "codes_at",
    "codes_beside",
    "count_codes",
    "locate",
    "make_map",
    "open_delivered",
    "open_map",
    "open_map_folder",
    "pixel_areas",
    "pixels_per_second",
    "predict",
    "read_codes",
    "read_region",
    "sureness",
]
