"""Sentinel-2 Level-2A of THEIA (MAJA, MUSCATE format): surface reflectance (SRE) or flat reflectance (FRE), with four masks.

Reference: THEIA's description of the product format (https://labo.obs-mip.fr/multitemp/sentinel-2/theias-sentinel-2-l2a-product-format/)
and Hagolle et al. 2017, MAJA ATBD (doi:10.5281/zenodo.1209633).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SourceError
from bocage.progress import QUIET, Progress
from bocage.sources.base import Acquisition, BandFile, Decoding, SensorSpec
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
from bocage.sources.sentinel2_l2a import BANDS as ESA_BANDS
from bocage.sources.sentinel2_l2a import CODES as ESA_CODES
from bocage.sources.sentinel2_l2a import LAND

CODES = {name: re.sub(r"^B0", "B", ESA_CODES[name]) for name in LAND}
"""Common name to band number in THEIA's notation (B2, B8A)."""
BANDS = tuple(band for band in ESA_BANDS if band.name in LAND)
SPEC = SensorSpec("sentinel2_theia", "Sentinel-2 L2A of THEIA (MAJA): folders or zips, with their masks", BANDS)

MARKER = r"SENTINEL2.*_L2A_.*_MTD_ALL\.xml"
"""File name pattern of the metadata file that identifies a product."""
SNOW, TERRAIN_SHADOW, UNSEEN, LOW_SUN = 4, 16, 32, 64
"""Bits of the geophysical mask MG2 that are masked. Clouds and their shadows are taken from CLM."""
GROUPS = {"R1": ("B2", "B3", "B4", "B8"), "R2": ("B5", "B6", "B7", "B8A", "B11", "B12")}
"""Bands of each resolution group, in the order of the bits of its saturation mask."""


@dataclass(frozen=True)
class Settings(ProductSettings):
    """Settings of a folder of THEIA products in the recipe."""

    reflectance: Literal["FRE", "SRE"] = "FRE"
    """Flat reflectance (FRE, corrected for terrain slope) or surface reflectance (SRE)."""
    saturated: bool = False
    """Whether saturated pixels are kept."""


def find(settings: Settings, progress: Progress = QUIET) -> list[Acquisition]:
    """Return one acquisition per product. For each date, the product that was produced last comes first.

    Raises
    ------
    SourceError
        No product is found, or a product cannot be used and ``on_error`` is "stop".
    """
    names = chosen_bands(SPEC, settings.bands)
    found = products(settings.path, MARKER, "THEIA Sentinel-2 L2A product")
    found.sort(key=lambda p: (_version_descending(p), p.name))
    return collect(found, settings, lambda product: [_acquisition(product, names, settings)], progress)


def _version_descending(product: Product) -> tuple[int, int]:
    match = re.search(r"_V(\d+)-(\d+)", product.metadata)
    return (-int(match[1]), -int(match[2])) if match else (0, 0)


def _acquisition(product: Product, names: tuple[str, ...], settings: Settings) -> Acquisition:
    root = product.xml()
    quantification = float(product.text(root, ".//REFLECTANCE_QUANTIFICATION_VALUE"))
    special = {e.attrib.get("name"): float(e.text or "nan") for e in root.iter("SPECIAL_VALUE")}
    decoding = Decoding(1 / quantification, 0.0, special.get("nodata", -10000.0))
    time = utc(product.text(root, ".//ACQUISITION_DATE"), product)
    files = {}
    for name in names:
        pattern = rf"_{settings.reflectance}_{CODES[name]}\.(?i:tiff?)"
        files[name] = BandFile(product.one(pattern, f"band {CODES[name]} ({name})"), 1, decoding)
    _check_sizes(product, root, files)
    quality = _masks(product, {group for group, codes in GROUPS.items() for n in names if CODES[n] in codes}, settings)
    angles = root.find(".//Mean_Value_List/Sun_Angles")
    angles = root.find(".//Sun_Angles") if angles is None else angles
    details = {"product": product.name} | generated(root.findtext(".//PRODUCTION_DATE"), product)
    if angles is not None:
        details |= {
            "sun zenith": angles.findtext("ZENITH_ANGLE") or "",
            "sun azimuth": angles.findtext("AZIMUTH_ANGLE") or "",
        }
    return Acquisition(time, files, quality, (), f"{time:%Y%m%d}", None, details)


def _masks(product: Product, groups: set[str], settings: Settings) -> dict[str, BandFile]:
    """Return mask name to file: CLM and MG2 at the finest resolution of the bands read, EDG and SAT at each resolution."""
    finest = min(groups)
    wanted = [("CLM", finest), ("MG2", finest), *(("EDG", g) for g in sorted(groups))]
    if not settings.saturated:
        wanted += [("SAT", g) for g in sorted(groups)]
    return {
        f"{mask}_{group}": BandFile(
            product.one(rf"MASKS/[^/]*_{mask}_{group}\.(?i:tiff?)", f"the mask {mask} at {group}"), 1
        )
        for mask, group in wanted
    }


def _check_sizes(product: Product, root: Any, files: Mapping[str, BandFile]) -> None:
    for group in root.iter("Group_Geopositioning"):
        size = (int(group.findtext("NROWS") or 0), int(group.findtext("NCOLS") or 0))
        codes = GROUPS.get(group.attrib.get("group_id", ""), ())
        if not all(size):
            raise SourceError(
                f"{product}: {product.metadata} has no size for the bands {', '.join(codes)}. Download the product again."
            )
        for name, file in files.items():
            if CODES[name] in codes:
                check_size(product, file.path, *size)


def clear_mask(acquisition: Acquisition, layers: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Return True where no mask applies.

    The masks are clouds and their shadows (CLM), snow, terrain shadow, hidden areas and low sun (MG2), image edges (EDG) and
    saturation (SAT).
    """
    clear = np.ones(next(iter(layers.values())).shape, bool)
    for name, layer in layers.items():
        mask = name.partition("_")[0]
        bits = SNOW | TERRAIN_SHADOW | UNSEEN | LOW_SUN if mask == "MG2" else _saturation_bits(acquisition, name)
        clear &= (layer.astype(np.uint8) & bits) == 0
    return clear


def _saturation_bits(acquisition: Acquisition, name: str) -> int:
    """Return the bits of a mask to test: all bits, or for a saturation mask the bits of the bands read."""
    mask, _, group = name.partition("_")
    if mask != "SAT":
        return 255
    read = {CODES[band] for band in acquisition.files}
    return sum(1 << i for i, code in enumerate(GROUPS[group]) if code in read)
