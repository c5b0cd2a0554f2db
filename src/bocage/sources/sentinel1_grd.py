"""Sentinel-1 backscatter, calibrated and orthorectified by S1Tiling or an RTC service: a GeoTIFF per polarisation.

Supported file names: S1Tiling's ``s1a_40KCB_vv_ASC_044_20220103t013000.tif`` (https://s1-tiling.pages.orfeo-toolbox.org) and
HyP3's ``S1A_IW_20220103T013000_DVP_RTC20_G_gpuned_1A2B_VV.tif``. For other names, give ``pattern``. The unit that a name, a tag
or the values show is compared with the recipe. An orbit that the name does not give is read from the tags of the file.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from bocage.errors import SourceError
from bocage.progress import QUIET, Progress
from bocage.ranges import STORED, Range, check_ranges
from bocage.sources.base import Acquisition, Band, BandFile, Decoding, SensorSpec, clear_where_listed
from bocage.sources.declared import peek
from bocage.sources.products import (
    Product,
    ProductSettings,
    chosen_bands,
    collect,
    generated,
    passes,
    products,
    same_ground,
    within,
)
from bocage.sources.raster import inspect
from bocage.words import Note

SPEC = SensorSpec(
    "sentinel1_grd", "Sentinel-1 calibrated and orthorectified (S1Tiling, RTC), in dB", (Band("vv"), Band("vh"))
)
clear_mask = clear_where_listed
NAMES = (
    r"(?P<unit>s1[abcd])_(?P<tile>\d{2}[A-Z]{3})_(?P<pol>vv|vh)_(?P<direction>ASC|DES)_(?P<orbit>\d{3})_"
    r"(?P<time>\d{8}t(?:\d{6}|x{6}))(?:_\w+)?\.tiff?",
    r"(?P<unit>S1[ABCD])_\w\w_(?P<time>\d{8}T\d{6})_(?P<tile>\w+)_(?P<pol>VV|VH)\.tiff?",
)
UNITS = {"p": "linear", "a": "amplitude", "d": "db"}
"""Letter of the scale in the names of HyP3 (``gpuned``: gamma0, power, …) → unit of the values."""
ORBIT_TAGS = (
    ("ORBIT_DIRECTION", "ORBIT_PASS", "PASS", "SAT:ORBIT_STATE"),
    ("RELATIVE_ORBIT_NUMBER", "RELATIVE_ORBIT", "SAT:RELATIVE_ORBIT"),
)  # fmt: skip
"""Tags of a file that give the direction and the relative orbit."""
NAMED = {"linear": "linear power", "amplitude": "amplitude", "db": "decibels"}
NOT_DATA = ("BorderMask", "_LIA", "_mask", "_inc_map", "_ls_map")


@dataclass(frozen=True)
class Settings(ProductSettings):
    """Settings of a folder of Sentinel-1 images in the recipe."""

    stored: Literal["linear", "amplitude", "db"] = "linear"
    """Unit of the files: linear power (σ0 or γ0), its square root (amplitude) or dB. The source is always in dB."""
    orbit: Literal["", "ascending", "descending"] = ""
    """Orbit direction to keep; empty: both."""
    relative_orbit: Annotated[int, Range(0, 175)] = 0
    """Relative orbit to keep, 1 to 175; 0: all."""
    mix_orbits: bool = False
    """Whether a series may mix several orbits. Backscatter of the same field depends on the viewing geometry of the orbit."""
    floor: Annotated[float, Range(-1000, 100)] = -40.0
    """Minimum in dB. Zero or negative power, which results from thermal noise removal, gets this value."""
    nodata: Annotated[float | None, STORED] = 0.0
    """Stored nodata value (outside the swath), besides the nodata value that each file declares."""
    pattern: str = ""
    """Regular expression of file names, with the groups ``pol`` and ``time``, and optionally ``direction`` (ASC, DES),
    ``orbit``, ``tile`` and ``unit`` (the satellite); empty: file names of S1Tiling and HyP3."""

    def __post_init__(self) -> None:
        check_ranges(self)
        try:
            missing = {"pol", "time"} - set(re.compile(self.pattern).groupindex) if self.pattern else set()
        except re.error as error:
            raise ValueError(f"'pattern' is no regular expression: {error}") from error
        if missing:
            raise ValueError(
                f"'pattern' has no group {' and no group '.join(f'(?P<{name}>…)' for name in sorted(missing))}"
            )


def find(settings: Settings, progress: Progress = QUIET) -> list[Acquisition]:
    """Return one acquisition per tile, orbit and time.

    Raises
    ------
    SourceError
        No image is found, a polarisation is missing, or there are several orbits and ``mix_orbits`` is false.
    """
    names = chosen_bands(SPEC, settings.bands)
    groups, made = _groups(settings)
    if not groups:
        raise SourceError(
            f"{settings.path} has no Sentinel-1 image of these days and this orbit. Check 'start', 'end', 'orbit' and "
            "'relative_orbit'; names and tags of the files may not give the orbit."
        )
    _check_orbits(settings, groups, progress)
    found = [Product(settings.path, "_".join(filter(None, key)), files, "") for key, files in sorted(groups.items())]
    keys = {product.name: key for product, key in zip(found, sorted(groups), strict=True)}
    unknown = passes({key: _time_of(key[0]) for key in groups if not (key[1] or key[2])})

    def read(image: Product) -> list[Acquisition]:
        key = keys[image.name]
        acquisition = _acquisition(image, key, names, settings)
        if key in unknown:
            acquisition = replace(acquisition, date=unknown[key])
        return [replace(acquisition, details={**acquisition.details, **made[key]})]

    acquisitions = collect(found, settings, read, progress)
    _check_versions(acquisitions)
    return acquisitions


def _groups(settings: Settings) -> tuple[dict[tuple[str, ...], dict[str, Path]], dict[tuple[str, ...], dict[str, str]]]:
    """Return (time, direction, orbit, tile, satellite) → polarisation → file, and the details of each image.

    Raises
    ------
    SourceError
        There is no image, or two files have the same name.
    """
    patterns = (settings.pattern,) if settings.pattern else NAMES
    groups: dict[tuple[str, ...], dict[str, Path]] = defaultdict(dict)
    made: dict[tuple[str, ...], dict[str, str]] = {}
    for product in products(settings.path, _without_groups(patterns), "Sentinel-1 image"):
        name = Path(product.metadata).name
        if any(word in name for word in NOT_DATA):
            continue
        match = next(m for m in (re.fullmatch(p, name) for p in patterns) if m)
        parts = match.groupdict()
        path = product.files[product.metadata]
        time, tile, unit = (parts.get(part) or "" for part in ("time", "tile", "unit"))
        key = (time, *_orbit(path, parts), tile, unit)
        if _wanted(settings, *key[:3]):
            twin = groups[key].get(parts["pol"].lower())
            if twin:
                raise SourceError(f"{twin} and {path} are the same image according to their names. Keep only one.")
            groups[key][parts["pol"].lower()] = path
            made[key] = _generated(product)
    return groups, made


def orbits_in(path: Path) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return (direction, relative orbit) → polarisations of its images; a text is empty if it is not known.

    Raises
    ------
    SourceError
        There is no image, or two files have the same name.
    """
    found: dict[tuple[str, str], set[str]] = {}
    for (_, direction, orbit, *_), files in sorted(_groups(Settings(path))[0].items()):
        found.setdefault((direction, orbit), set()).update(files)
    return {key: tuple(band.name for band in SPEC.bands if band.name in own) for key, own in found.items()}


def _generated(product: Product) -> dict[str, str]:
    """Return the detail that orders the versions of an image: when it was processed, by its README (HyP3) or its tags."""
    name = product.metadata.rpartition("_")[0] + ".README.md.txt"
    readme = product.content(name).decode("utf-8", "replace") if name in product.files else ""
    tag = dict(inspect(product.files[product.metadata]).tags).get("TIFFTAG_DATETIME", "")
    written = re.search(r"Processing Date/Time: *(\d{4}-\S+)", readme)
    stamped = re.fullmatch(r"(\d{4}):(\d\d):(\d\d \d\d:\d\d:\d\d)", tag)
    return generated(written[1] if written else "-".join(stamped.groups()) if stamped else None, product)


def _check_versions(acquisitions: Sequence[Acquisition]) -> None:
    """Check that the newest of several images of one acquisition and one place is known.

    Raises
    ------
    SourceError
        Neither a README nor a tag says when one of them was processed.
    """
    for versions in same_ground(acquisitions).values():
        for one, other in pairwise(versions):
            if one.time == other.time and other.details.get("generated") in (None, one.details.get("generated")):
                paths = " and ".join(str(next(iter(a.files.values())).path) for a in (one, other))
                raise SourceError(
                    f"{paths} are the same acquisition, and neither a README nor the tag TIFFTAG_DATETIME says which is newer. "
                    "Keep only one."
                )


def _without_groups(patterns: tuple[str, ...]) -> str:
    """Return one expression that matches any of the patterns. Group names are removed: an expression cannot repeat a name."""
    return "|".join(f"(?:{re.sub(r'[?]P<[a-z]+>', '?:', pattern)})" for pattern in patterns)


def _time_of(stamp: str) -> datetime:
    """Return the time of an image from the text in its name: a date of eight digits, with or without a time after it.

    Raises
    ------
    SourceError
        The text is no time.
    """
    digits = re.sub(r"\D", "", stamp)
    try:
        if len(digits) not in (8, 10, 12, 14):  # 2022123, a day of the year, would be 30 December
            raise ValueError(f"{len(digits)} digits")
        return datetime.strptime(digits.ljust(14, "0"), "%Y%m%d%H%M%S")
    except ValueError as error:
        raise SourceError(
            f"'{stamp}' in the name of a Sentinel-1 image is no time such as 20220103T013000. Check 'time' in 'pattern'."
        ) from error


def _wanted(settings: Settings, time: str, direction: str, orbit: str) -> bool:
    day = _time_of(time).date()
    if settings.orbit and not direction.upper().startswith(settings.orbit[:3].upper()):
        return False
    if settings.relative_orbit and (not orbit or int(orbit) != settings.relative_orbit):
        return False
    return within(day, settings.start, settings.end)


def _orbit(path: Path, parts: Mapping[str, str | None]) -> tuple[str, str]:
    """Return direction (ASC, DES) and relative orbit of an image, from its name or else from its tags; empty if unknown."""
    direction, orbit = parts.get("direction") or "", parts.get("orbit") or ""
    if direction and orbit:
        return direction, orbit
    tags = dict(inspect(path).tags)
    direction, orbit = (
        given or next((tags[name] for name in names if name in tags), "")
        for given, names in zip((direction, orbit), ORBIT_TAGS, strict=True)
    )
    number = re.sub(r"\D", "", orbit)
    return direction[:3].upper(), f"{int(number):03d}" if number else ""


def _check_orbits(settings: Settings, groups: Mapping[tuple[str, ...], object], progress: Progress) -> None:
    if len(groups) > 1 and not settings.mix_orbits and all(not (key[1] or key[2]) for key in groups):
        progress.say(Note.of("no_orbit", n=len(groups)))
    orbits = Counter((direction, orbit) for _, direction, orbit, *_ in groups)
    if len(orbits) > 1 and not settings.mix_orbits:
        listed = ", ".join(f"{d} {o} ({n} images)" for (d, o), n in sorted(orbits.items()))
        raise SourceError(
            f"{settings.path} has several orbits: {listed}. Backscatter of the same field differs between orbits. Declare a "
            "source for each orbit (relative_orbit = …), or set mix_orbits = true."
        )


def _acquisition(product: Product, key: tuple[str, ...], names: tuple[str, ...], settings: Settings) -> Acquisition:
    stamp, direction, orbit, tile, unit = key
    time = _time_of(stamp)
    kinds: dict[str, Literal["", "power", "amplitude"]] = {"linear": "power", "amplitude": "amplitude", "db": ""}
    kind = kinds[settings.stored]
    special = () if settings.nodata is None else (settings.nodata,)
    in_decibels = settings.stored == "db"
    decoding = Decoding(special=special, decibel=kind, floor=settings.floor, stored_decibels=in_decibels)
    missing = [name for name in names if name not in product.files]
    if missing:
        raise SourceError(
            f"{settings.path}: the image of {stamp} ({direction} {orbit} {tile}) has no {', '.join(missing).upper()}. "
            f"Download it, or set bands = [{', '.join(repr(n) for n in product.files)}]."
        )
    files = {name: BandFile(product.files[name], 1, decoding) for name in names}
    for file in files.values():
        _check_unit(file, settings.stored)
    details = {"orbit": f"{direction} {orbit}".strip(), "unit": unit, "tile": tile}
    return Acquisition(time, files, {}, (), f"{time:%Y%m%d}{direction}{orbit}", None, details)


def _check_unit(file: BandFile, stored: str) -> None:
    """Check that neither the name, nor the tags, nor the values of a file show another unit than that of the recipe.

    Raises
    ------
    SourceError
        They do.
    """
    shown, why = _declared_unit(file)
    if not shown:
        values = peek(file)
        if values.size and stored != "db" and np.median(values) < -1:
            shown, why = "db", "power and amplitude are not negative, and most of its values are below -1"
        elif values.size and stored == "db" and values.min() >= 0 and values.max() > values.min():
            shown, why = "linear", "none of its values is negative"
    if shown and shown != stored:
        raise SourceError(
            f'{file.path} holds {NAMED[shown]} ({why}), but the recipe says stored = "{stored}". Set stored = "{shown}".'
        )


def _declared_unit(file: BandFile) -> tuple[str, str]:
    """Return the unit of a file that its name or its tags give, and where it is given; empty if none does."""
    name, tags = file.path.name, dict(inspect(file.path).tags)
    if match := re.search(r"_RTC\d*_\w_[gsb]([pad])[a-z]{4}_", name):
        return UNITS[match[1]], f"the letter '{match[1]}' in its name"
    if match := re.search(r"(?i)_(db|decibels?|amplitude|amp|linear|power)(?=[_.])", name):
        return _unit_of(match[1]), f"'{match[1]}' in its name"
    for tag in ("UNIT", "UNITS", "UNITTYPE"):
        if unit := _unit_of(tags.get(tag, "")):
            return unit, f"its tag {tag} is '{tags[tag]}'"
    return "", ""


def _unit_of(text: str) -> str:
    """Return the unit that a word stands for; empty if none.

    >>> _unit_of("dB"), _unit_of("Amplitude"), _unit_of("1")
    ('db', 'amplitude', '')
    """
    word = text.strip().lower()
    if word.startswith(("db", "decibel")):
        return "db"
    if word.startswith("amp"):
        return "amplitude"
    return "linear" if word.startswith(("linear", "power")) else ""
