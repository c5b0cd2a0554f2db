"""Trained + Scene → map on disk: read windows with a halo, run the network, write files, on one or more machines."""

from typing import TYPE_CHECKING

from bocage.later import later

if TYPE_CHECKING:
    from bocage.mapping.areas import AreaCount, Areas, pixel_areas
    from bocage.mapping.codes import check_truth, codes_at, codes_beside, count_codes, locate, read_codes
    from bocage.mapping.delivered import Delivered, is_edited, open_delivered, report_edited
    from bocage.mapping.delivery import Item
    from bocage.mapping.engine import LandCoverMap, make_map, open_map, open_map_folder
    from bocage.mapping.predict import Classified, Forward, Prediction, attention_at, classify_at, predict, predict_at
    from bocage.mapping.region import read_region, region_of
    from bocage.mapping.settings import Computing, Mapping, Workers
    from bocage.mapping.speed import pixels_per_second
    from bocage.mapping.suitability import Sight, compare_legends, proposal, sight_of
    from bocage.mapping.sureness import Sureness, share_beyond, sureness
    from bocage.mapping.until import EARLY, scene_for
    from bocage.mapping.writers import WRITERS, MapBand

__all__ = [
    "EARLY",
    "WRITERS",
    "AreaCount",
    "Areas",
    "Classified",
    "Computing",
    "Delivered",
    "Forward",
    "Item",
    "LandCoverMap",
    "MapBand",
    "Mapping",
    "Prediction",
    "Sight",
    "Sureness",
    "Workers",
    "attention_at",
    "check_truth",
    "classify_at",
    "codes_at",
    "codes_beside",
    "compare_legends",
    "count_codes",
    "is_edited",
    "locate",
    "make_map",
    "open_delivered",
    "open_map",
    "open_map_folder",
    "pixel_areas",
    "pixels_per_second",
    "predict",
    "predict_at",
    "proposal",
    "read_codes",
    "read_region",
    "region_of",
    "report_edited",
    "scene_for",
    "share_beyond",
    "sight_of",
    "sureness",
]

later(__name__)
