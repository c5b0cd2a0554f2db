"""Landsat 4 to 9, Collection 2 Level 2: surface reflectance and pixel quality band (QA_PIXEL).

Reference: USGS, Landsat 8-9 Collection 2 Level 2 Science Product Guide (LSDS-1619). Scale and offset are read from the
metadata of each product.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.progress import QUIET, Progress
from bocage.sources.base import Acquisition, Band, BandFile, Decoding, SensorSpec
from bocage.sources.products import (
    Product,
    ProductSettings,
    check_size,
    chosen_bands,
    collect,
    generated,
    products,
    utc,
)

BANDS = (
    Band("coastal", 0.443, 30), Band("blue", 0.482, 30), Band("green", 0.561, 30), Band("red", 0.655, 30),
    Band("nir", 0.865, 30), Band("swir16", 1.609, 30), Band("swir22", 2.201, 30),
)  # fmt: skip
SPEC = SensorSpec("landsat_c2l2", "Landsat 4 to 9 Collection 2 Level 2: folders, tars or zips", BANDS)
MARKER = r"L[COTEM]0[4-9]_L2S[PR]_.*_MTL\.xml"
"""File name pattern of the metadata file that identifies a product."""
LAND = ("blue", "green", "red", "nir", "swir16", "swir22")
"""Bands common to all Landsat missions since 1982; read by default."""
OLI = {"coastal": 1, "blue": 2, "green": 3, "red": 4, "nir": 5, "swir16": 6, "swir22": 7}
TM = {"blue": 1, "green": 2, "red": 3, "nir": 4, "swir16": 5, "swir22": 7}
FILL, DILATED, CIRRUS, CLOUD, SHADOW, SNOW = (1 << bit for bit in range(6))
"""Bit values of QA_PIXEL."""


@dataclass(frozen=True)
class Settings(ProductSettings):
    """Settings of a folder of Landsat products in the recipe."""

    snow: bool = False
    """Whether snow is clear."""


def find(settings: Settings, progress: Progress = QUIET) -> list[Acquisition]:
    """Return one acquisition per product. For each date, the product that was generated last comes first.

    Raises
    ------
    SourceError
        No product is found, or a product cannot be used and ``on_error`` is "stop".
    """
    names = chosen_bands(SPEC, settings.bands, LAND)
    found = products(settings.path, MARKER, "Landsat Collection 2 Level 2 product")
    found.sort(key=lambda p: p.metadata)
    found.sort(key=_processed, reverse=True)
    return collect(found, settings, lambda product: [_acquisition(product, names, settings)], progress)


def _processed(product: Product) -> str:
    match = re.search(r"_\d{8}_(\d{8})_02_", product.metadata)
    return match[1] if match else ""


def _acquisition(product: Product, names: tuple[str, ...], settings: Settings) -> Acquisition:
    root = product.xml()
    numbers = OLI if product.metadata[3] in "89" else TM
    clear = () if settings.snow else (SNOW,)
    day = product.text(root, ".//DATE_ACQUIRED")
    time = utc(f"{day}T{product.text(root, './/SCENE_CENTER_TIME')[:8]}", product)
    shape = int(product.text(root, ".//REFLECTIVE_LINES")), int(product.text(root, ".//REFLECTIVE_SAMPLES"))
    files = {}
    for name in names:
        number = numbers.get(name, 0)
        path = product.one(rf"_SR_B{number}\.(?i:tiff?)", f"surface reflectance of {name} (band {number or 'none'})")
        check_size(product, path, *shape)
        parameters = ".//LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"
        scale = float(product.text(root, f"{parameters}/REFLECTANCE_MULT_BAND_{number}"))
        offset = float(product.text(root, f"{parameters}/REFLECTANCE_ADD_BAND_{number}"))
        files[name] = BandFile(path, 1, Decoding(scale, offset, 0.0))
    quality = {"qa_pixel": BandFile(product.one(r"_QA_PIXEL\.(?i:tiff?)", "the pixel quality (QA_PIXEL)"), 1)}
    details = {"product": product.name}
    details |= generated(root.findtext(".//LEVEL2_PROCESSING_RECORD/DATE_PRODUCT_GENERATED"), product)
    return Acquisition(time, files, quality, clear, f"{time:%Y%m%d}", None, details)


def clear_mask(acquisition: Acquisition, layers: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Return True where QA_PIXEL has no fill, cloud, dilated cloud, cirrus or cloud shadow bit, nor snow unless `snow` is set."""
    masked = FILL | DILATED | CIRRUS | CLOUD | SHADOW | sum(acquisition.clear)
    return np.asarray((layers["qa_pixel"].astype(np.uint16) & masked) == 0)
