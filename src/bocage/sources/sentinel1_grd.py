"""Sentinel-1 backscatter, calibrated and orthorectified by S1Tiling or an RTC service: a GeoTIFF per polarisation.

Supported file names: S1Tiling's ``s1a_40KCB_vv_ASC_044_20220103t013000.tif`` (https://s1-tiling.pages.orfeo-toolbox.org) and
HyP3's ``S1A_IW_20220103T013000_DVP_RTC20_G_gpuned_1A2B_VV.tif``. For other names, give ``pattern``.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal

from bocage.errors import SourceError
from bocage.progress import QUIET, Progress
from bocage.ranges import STORED, Range, check_ranges
from bocage.sources.base import Acquisition, Band, BandFile, Decoding, SensorSpec, clear_where_listed
from bocage.sources.products import Product, ProductSettings, chosen_bands, collect, products, within

SPEC = SensorSpec(
    "sentinel1_grd", "Sentinel-1 calibrated and orthorectified (S1Tiling, RTC), in dB", (Band("vv"), Band("vh"))
)
clear_mask = clear_where_listed
NAMES = (
    r"(?P<unit>s1[abcd])_(?P<tile>\d{2}[A-Z]{3})_(?P<pol>vv|vh)_(?P<direction>ASC|DES)_(?P<orbit>\d{3})_"
    r"(?P<time>\d{8}t(?:\d{6}|x{6}))(?:_\w+)?\.tiff?",
    r"(?P<unit>S1[ABCD])_\w\w_(?P<time>\d{8}T\d{6})_(?P<tile>\w+)_(?P<pol>VV|VH)\.tiff?",
)
NOT_DATA = ("BorderMask", "_LIA", "_mask", "_inc_map", "_ls_map")


@dataclass(frozen=True)
class Settings(ProductSettings):
    """Settings of a folder of Sentinel-1 images in the recipe."""

    stored: Literal["linear", "db"] = "linear"
    """Unit of the files: linear power (σ0 or γ0) or dB. The source is always in dB."""
    orbit: Literal["", "ascending", "descending"] = ""
    """Orbit direction to keep; empty: both."""
    relative_orbit: Annotated[int, Range(0, 175)] = 0
    """Relative orbit to keep, 1 to 175; 0: all."""
    mix_orbits: bool = False
    """Whether a series may mix several orbits. Backscatter of the same field depends on the viewing geometry of the orbit."""
    floor: Annotated[float, Range(-1000, 100)] = -40.0
    """Minimum in dB. Zero or negative power, which results from thermal noise removal, gets this value."""
    nodata: Annotated[float | None, STORED] = 0.0
    """Stored nodata value (outside the swath); None: the nodata value that each file declares."""
    pattern: str = ""
    """Regular expression of file names, with the groups ``pol`` and ``time``, and optionally ``direction`` (ASC, DES),
    ``orbit``, ``tile`` and ``unit`` (the satellite); empty: file names of S1Tiling and HyP3."""

    def __post_init__(self) -> None:
        check_ranges(self)


def find(settings: Settings, progress: Progress = QUIET) -> list[Acquisition]:
    """Return one acquisition per tile, orbit and time.

    Raises
    ------
    SourceError
        No image is found, a polarisation is missing, or there are several orbits and ``mix_orbits`` is false.
    """
    names = chosen_bands(SPEC, settings.bands)
    patterns = (settings.pattern,) if settings.pattern else NAMES
    groups: dict[tuple[str, ...], dict[str, Path]] = defaultdict(dict)
    for product in products(settings.path, _without_groups(patterns), "Sentinel-1 image"):
        name = Path(product.metadata).name
        if any(word in name for word in NOT_DATA):
            continue
        match = next(m for m in (re.fullmatch(p, name) for p in patterns) if m)
        parts = match.groupdict()
        key = tuple(parts.get(part) or "" for part in ("time", "direction", "orbit", "tile", "unit"))
        if _wanted(settings, *key[:3]):
            path, twin = product.files[product.metadata], groups[key].get(parts["pol"].lower())
            if twin:
                raise SourceError(f"{twin} and {path} are the same image according to their names. Keep only one.")
            groups[key][parts["pol"].lower()] = path
    _check_orbits(settings, groups)
    found = [Product(settings.path, "_".join(filter(None, key)), files, "") for key, files in sorted(groups.items())]
    keys = {product.name: key for product, key in zip(found, sorted(groups), strict=True)}
    return collect(found, settings, lambda image: [_acquisition(image, keys[image.name], names, settings)], progress)


def _without_groups(patterns: tuple[str, ...]) -> str:
    """Return one expression that matches any of the patterns. Group names are removed: an expression cannot repeat a name."""
    return "|".join(f"(?:{re.sub(r'[?]P<[a-z]+>', '?:', pattern)})" for pattern in patterns)


def _wanted(settings: Settings, time: str, direction: str, orbit: str) -> bool:
    day = date.fromisoformat(f"{time[:4]}-{time[4:6]}-{time[6:8]}")
    if settings.orbit and not direction.upper().startswith(settings.orbit[:3].upper()):
        return False
    if settings.relative_orbit and (not orbit or int(orbit) != settings.relative_orbit):
        return False
    return within(day, settings.start, settings.end)


def _check_orbits(settings: Settings, groups: Mapping[tuple[str, ...], object]) -> None:
    orbits = Counter((direction, orbit) for _, direction, orbit, *_ in groups)
    if len(orbits) > 1 and not settings.mix_orbits:
        listed = ", ".join(f"{d} {o} ({n} images)" for (d, o), n in sorted(orbits.items()))
        raise SourceError(
            f"{settings.path} has several orbits: {listed}. Backscatter of the same field differs between orbits. Declare a "
            "source for each orbit (relative_orbit = …), or set mix_orbits = true."
        )


def _acquisition(product: Product, key: tuple[str, ...], names: tuple[str, ...], settings: Settings) -> Acquisition:
    stamp, direction, orbit, tile, unit = key
    digits = re.sub(r"\D", "", stamp).ljust(14, "0")
    time = datetime.strptime(digits, "%Y%m%d%H%M%S")
    kind: Literal["", "power"] = "power" if settings.stored == "linear" else ""
    decoding = Decoding(nodata=settings.nodata, decibel=kind, floor=settings.floor)
    missing = [name for name in names if name not in product.files]
    if missing:
        raise SourceError(
            f"{settings.path}: the image of {stamp} ({direction} {orbit} {tile}) has no {', '.join(missing).upper()}. "
            f"Download it, or set bands = [{', '.join(repr(n) for n in product.files)}]."
        )
    files = {name: BandFile(product.files[name], 1, decoding) for name in names}
    details = {"orbit": f"{direction} {orbit}".strip(), "unit": unit, "tile": tile}
    return Acquisition(time, files, {}, (), f"{time:%Y%m%d}{direction}{orbit}", None, details)
