"""Polygons + Scene → Samples: rasterise polygons, record rejections, split and cut samples."""

from bocage.samples.chips import AnyCut, Chips
from bocage.samples.cut import Cut, Needs
from bocage.samples.make import check_split, finest, labelled, make_samples, positions, samples_of, without_purposive
from bocage.samples.parcels import depths
from bocage.samples.rare import drop_rare
from bocage.samples.raster import names_raster
from bocage.samples.rasterise import Pixels
from bocage.samples.reference import Reference, Rejection
from bocage.samples.samples import Labelled, Samples, Survey
from bocage.samples.sites import SiteCuts
from bocage.samples.split import Draw, Split
from bocage.samples.windows import WindowNeeds, WindowPixels, Windows, by_window, check_side

__all__ = [
    "AnyCut", "Chips", "Cut", "Draw", "Labelled", "Needs", "Pixels", "Reference", "Rejection", "Samples", "SiteCuts",
    "Split", "Survey", "WindowNeeds", "WindowPixels", "Windows", "by_window", "check_side", "check_split",
    "depths", "drop_rare", "finest", "labelled", "make_samples", "names_raster", "positions", "samples_of", "without_purposive",
]  # fmt: skip
