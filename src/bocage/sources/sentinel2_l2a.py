"""Sentinel-2 Level-2A of ESA (Sen2Cor), as SAFE folders or zip archives.

Reference: Sentinel-2 Products Specification Document, S2-PDGS-TAS-DI-PSD. From processing baseline 04.00 on, stored
reflectance has an offset per band (``BOA_ADD_OFFSET``), which is read from the metadata of each product. Products of 2017
have ``L2A_`` before some tags and file names. Bands may have been converted to TIFF.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SourceError
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

CODES = {
    "coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "rededge1": "B05", "rededge2": "B06",
    "rededge3": "B07", "nir": "B08", "nir08": "B8A", "nir09": "B09", "swir16": "B11", "swir22": "B12",
}  # fmt: skip
"""Common name to ESA band number."""
BANDS = (
    Band("coastal", 0.443, 60), Band("blue", 0.490, 10), Band("green", 0.560, 10), Band("red", 0.665, 10),
    Band("rededge1", 0.705, 20), Band("rededge2", 0.740, 20), Band("rededge3", 0.783, 20), Band("nir", 0.842, 10),
    Band("nir08", 0.865, 20), Band("nir09", 0.945, 60), Band("swir16", 1.610, 20), Band("swir22", 2.190, 20),
)  # fmt: skip
LAND = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")
"""Bands of 10 and 20 m, which image the land surface; read by default."""
SPEC = SensorSpec("sentinel2_l2a", "Sentinel-2 L2A of ESA (Sen2Cor): SAFE folders or zips", BANDS)
MARKER = r"MTD_MSIL2A\.xml"
"""File name pattern of the metadata file that identifies a product."""
CLEAR = (4, 5, 6, 7)
"""Classes of the scene classification (SCL) that are clear by default: vegetation, not vegetated, water, unclassified."""
IMAGE = r"\.(?i:jp2|tiff?)"
"""Suffix of a band: JPEG 2000, or TIFF where a user converted it."""
OFFSET_SINCE = (4, 0)
"""First processing baseline with an offset (major, minor)."""
_INDEX = {band: i for i, band in enumerate(CODES.values())}
"""Position of each band in ``BOA_ADD_OFFSET``: B01 … B08, B8A, B09, B10, B11, B12."""
_INDEX |= {"B8A": 8, "B09": 9, "B11": 11, "B12": 12}


@dataclass(frozen=True)
class Settings(ProductSettings):
    """Settings of a folder of SAFE products in the recipe."""

    clear: tuple[int, ...] = CLEAR
    """Values of the scene classification (SCL) that are clear."""


def find(settings: Settings, progress: Progress = QUIET) -> list[Acquisition]:
    """Return one acquisition per product. For each date, the product that was generated last comes first.

    Raises
    ------
    SourceError
        No product is found, or a product cannot be used and ``on_error`` is "stop".
    """
    names = chosen_bands(SPEC, settings.bands, LAND)
    found = products(settings.path, MARKER, "Sentinel-2 L2A SAFE product")
    baselines = {id(p): _baseline_of_name(p) for p in found}
    found.sort(key=lambda p: (-baselines[id(p)], p.name))
    return collect(found, settings, lambda product: [_acquisition(product, names, settings.clear)], progress)


def _baseline_of_name(product: Product) -> int:
    match = re.search(r"_N(\d{4})_", product.name)
    return int(match[1]) if match else 0


def _acquisition(product: Product, names: tuple[str, ...], clear: tuple[int, ...]) -> Acquisition:
    root = product.xml()
    baseline = product.text(root, ".//PROCESSING_BASELINE")
    old = root.find(".//L2A_BOA_QUANTIFICATION_VALUE") is not None
    quantification = float(product.text(root, f".//{'L2A_' if old else ''}BOA_QUANTIFICATION_VALUE"))
    offsets = _offsets(product, root, baseline)
    nodata, saturated = _special(root)
    time = utc(product.text(root, ".//PRODUCT_START_TIME"), product)
    files = {}
    for name in names:
        code = CODES[name]
        gsd = next(int(b.gsd or 0) for b in BANDS if b.name == name)
        path = product.one(rf"R{gsd}m/[^/]*_{code}_{gsd}m{IMAGE}", f"band {code} ({name})")
        decoding = Decoding(1 / quantification, offsets[_INDEX[code]] / quantification, nodata, saturated)
        files[name] = BandFile(path, 1, decoding)
    scl = product.one(rf"(?:R20m|IMG_DATA)/[^/]*_SCL_20m{IMAGE}", "the scene classification (SCL)")
    _check_sizes(product, files)
    details = {"baseline": baseline, "product": product.name}
    details |= generated(root.findtext(".//GENERATION_TIME"), product)
    return Acquisition(time, files, {"scl": BandFile(scl, 1)}, clear, f"{time:%Y%m%d}", None, details)


def _offsets(product: Product, root: Any, baseline: str) -> list[float]:
    """Return the offset of each of the 13 bands; zeros for a baseline before 04.00 without offsets.

    Raises
    ------
    SourceError
        The baseline has offsets, but the metadata does not give them.
    """
    found = {int(e.attrib["band_id"]): float(e.text) for e in root.iter("BOA_ADD_OFFSET") if e.text}
    if found:
        return [found.get(i, 0.0) for i in range(13)]
    major, _, minor = baseline.partition(".")
    if (int(major), int(minor or 0)) >= OFFSET_SINCE:
        raise SourceError(
            f"{product} has baseline {baseline}, whose reflectance has an offset, but {product.metadata} has no "
            "BOA_ADD_OFFSET. Download the product again."
        )
    return [0.0] * 13


def _special(root: Any) -> tuple[float, tuple[float, ...]]:
    special = {
        (e.findtext("SPECIAL_VALUE_TEXT") or "").upper(): float(e.findtext("SPECIAL_VALUE_INDEX") or 0)
        for e in root.iter("Special_Values")
    }
    saturated = (special["SATURATED"],) if "SATURATED" in special else ()
    return special.get("NODATA", 0.0), saturated


def _check_sizes(product: Product, files: Mapping[str, BandFile]) -> None:
    tile = product.match(r"MTD_TL\.xml")
    if not tile:
        raise SourceError(f"{product} has no MTD_TL.xml (metadata of the tile). Download the product again.")
    root = product.xml(tile[0])
    sizes = {
        e.attrib["resolution"]: (int(e.findtext("NROWS") or 0), int(e.findtext("NCOLS") or 0))
        for e in root.iter("Size")
    }
    for name, file in files.items():
        gsd = next(int(b.gsd or 0) for b in BANDS if b.name == name)
        if str(gsd) in sizes:
            check_size(product, file.path, *sizes[str(gsd)])


def clear_mask(acquisition: Acquisition, layers: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Return True where the scene classification has one of the classes of ``acquisition.clear``."""
    return np.isin(layers["scl"], acquisition.clear)
