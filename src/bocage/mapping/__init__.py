"""Trained + Scene → map on disk: read windows with a halo, run the network, write files, on one or more machines."""

from bocage.mapping.areas import Areas
from bocage.mapping.codes import check_truth, codes_at, codes_beside, count_codes, locate, read_codes
from bocage.mapping.delivery import Item
from bocage.mapping.engine import LandCoverMap, make_map, open_map, open_map_folder
from bocage.mapping.predict import Prediction, classify_at, predict
from bocage.mapping.region import read_region
from bocage.mapping.settings import Mapping
from bocage.mapping.speed import pixels_per_second
from bocage.mapping.sureness import Sureness, sureness
from bocage.mapping.workers import Computing, Workers
from bocage.mapping.writers import WRITERS

__all__ = [
    "WRITERS",
    "Areas",
    "Computing",
    "Item",
    "LandCoverMap",
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
    "open_map",
    "open_map_folder",
    "pixels_per_second",
    "predict",
    "read_codes",
    "read_region",
    "sureness",
]
