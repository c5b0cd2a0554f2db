"""SPOT 6/7 orthoimages in DIMAP version 2: PAN and MS, each read as a source at its native resolution."""

from dataclasses import dataclass

from bocage.progress import QUIET, Progress
from bocage.sources.base import Acquisition, Band, SensorSpec, clear_where_listed
from bocage.sources.dimap import DimapSettings, find_images

BANDS = (
    Band("pan", 0.600, 1.5), Band("blue", 0.485, 6), Band("green", 0.560, 6), Band("red", 0.660, 6), Band("nir", 0.825, 6),
)  # fmt: skip
SPEC = SensorSpec("spot67", "SPOT 6/7 orthoimages (DIMAP v2): PAN or MS, tiled JP2 or TIFF", BANDS)
CODES = {"pan": "P", "blue": "B0", "green": "B1", "red": "B2", "nir": "B3"}
"""Common name to band identifier in the metadata."""
MISSIONS = ("SPOT6", "SPOT7", "SPOT")
clear_mask = clear_where_listed


@dataclass(frozen=True)
class Settings(DimapSettings):
    """Settings of a folder of SPOT 6/7 products in the recipe."""


def find(settings: Settings, progress: Progress = QUIET) -> list[Acquisition]:
    """Return the tiles of every SPOT 6/7 orthoimage of the type set by `image` ("pan" or "ms").

    Raises
    ------
    SourceError
        No such image is found, or an image cannot be used and ``on_error`` is "stop".
    """
    return find_images(settings, SPEC, MISSIONS, CODES, progress)
