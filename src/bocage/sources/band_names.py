"""Names of bands and of variables of a series, from descriptions and file names."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from bocage.sources.declared import COMMON, common_name
from bocage.sources.raster import RasterInfo
from bocage.sources.sentinel2_l2a import CODES
from bocage.textfile import identifier

PLANET = {
    4: ("blue", "green", "red", "nir"),
    8: ("coastal", "blue", "greeni", "green", "yellow", "red", "rededge1", "nir"),
}
"""Number of bands of a scene of PlanetScope → common names."""
SENTINEL2 = {code: name for name, code in CODES.items()}
"""Sentinel-2 band number → common name, as spectral indices use it."""
OLI = {
    "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "nir", "B06": "swir16", "B07": "swir22", "B08": "pan",
}  # fmt: skip
"""Band number of Landsat 8 and 9 → common name; the Harmonized Landsat Sentinel-2 products have the same numbers."""
TM = {"B01": "blue", "B02": "green", "B03": "red", "B04": "nir", "B05": "swir16", "B07": "swir22", "B08": "pan"}
"""Band number of Landsat 4 to 7 → common name."""
LANDSAT = (
    (re.compile(r"(?i)HLS[._]?L30|(?<![a-z\d])(?:l[co]0?[89]|l[co]0|l[89]|landsat[-_ ]?[89])(?![a-z\d])"), OLI),
    (re.compile(r"(?i)(?<![a-z\d])(?:l[temc]0?[4-7]|landsat[-_ ]?[4-7])(?![a-z\d])"), TM),
)
"""Names of files of Landsat (``LC0`` for two satellites), and its band numbers. Services name its bands as those of Sentinel-2,
for example B05."""
SENTINEL2_NAME = re.compile(
    r"(?i)^(?:s2|sentinel[-_ ]?2)|(?<![a-z0-9])(?:s2[a-d]?|msil[12][ac]|sentinel[-_ ]?2[a-d]?)(?![a-z0-9])"
)
"""Sentinel-2 in the name of a file or a source."""
S2_TILE = re.compile(r"(?<![A-Za-z0-9])T\d{2}[C-HJ-NP-X][A-HJ-NP-Z]{2}(?![A-Za-z0-9])")
"""Tile of Sentinel-2 in the name of a file; the products HLS have it too."""
BACKSCATTER = re.compile(r"(?i)(?:sigma|gamma|beta)_?(?:0|nought)_(?:[a-z]{2}\d_)?(vv|vh|hh|hv)(?:_db)?")
"""Names of bands of calibrated radar images, as SNAP writes them. The unit of its Amplitude_VV is not proposed."""
SWIR = {"swir1": "swir16", "swir2": "swir22"}
"""Other names of bands → common names."""
INDICES = ("ndvi", "evi", "evi2", "savi", "ndwi", "ndmi", "nbr", "lai", "fapar", "fcover")
"""Variables that are no bands, and that names of files contain."""
NAMED = {*COMMON, *INDICES}
"""Names that a file with a single band gives to it."""


def band_names(info: RasterInfo, stem: str) -> tuple[str, ...]:
    """Return a distinct name for each band of a file: from its description, else from the product, else its number.

    A band that makes pixels transparent is ``alpha``.
    """
    described = _without_reducer(info.descriptions)
    names = [_band(d) if d else f"b{i}" for i, d in enumerate(described, start=1)]
    numbers = [_number(d) for d in described]
    named = OLI if "SR_B6" in described else numbering(stem)
    if named is not SENTINEL2 or names_sentinel2(stem) or _of_sentinel2(described):
        names = [named.get(number, name) for number, name in zip(numbers, names, strict=True)]
    if info.count == 1 and not info.descriptions[0] and variable_of(stem) in NAMED:
        names = [variable_of(stem)]
    if info.count == 1 and not info.descriptions[0] and re.search(r"(?i)(?<![a-z])pan(?![a-z])", stem):
        names = ["pan"]
    if not any(info.descriptions) and re.search(r"(?i)AnalyticMS|_SR(_|$)", stem) and info.count in PLANET:
        names = list(PLANET[info.count])
    if not any(info.descriptions) and re.search(r"_quad$", stem) and info.count in (4, 5):
        names = [*PLANET[4], *names[4:]]
    if info.alpha and info.two_valued and not info.descriptions[info.alpha - 1]:
        names[info.alpha - 1] = "alpha"
    twice = {name for name, n in Counter(names).items() if n > 1}
    return tuple(f"{name}_b{i}" if name in twice else name for i, name in enumerate(names, start=1))


def _without_reducer(descriptions: Sequence[str]) -> tuple[str, ...]:
    """Return descriptions of bands without the reducer of Google Earth Engine at their end, if all have the same one.

    >>> _without_reducer(["B4_median", "B8_median"]), _without_reducer(["B4_p25", "B4_p75"])
    (('B4', 'B8'), ('B4_p25', 'B4_p75'))
    """
    found = [re.fullmatch(r"(.+)_(median|mean|mosaic|medoid|mode|min|max|p\d{1,2})", text) for text in descriptions]
    same = all(found) and len({match[2] for match in found if match}) == 1
    return tuple(match[1] for match in found if match) if same else tuple(descriptions)


def names_sentinel2(stem: str) -> bool:
    """Return whether the name of a file is that of a product of Sentinel-2: the satellite, or a tile.

    >>> names_sentinel2("S2_2018"), names_sentinel2("20180111T105031_T31TDL"), names_sentinel2("HLS.S30.T31TDL.v2.0")
    (True, True, False)
    """
    return bool(SENTINEL2_NAME.search(stem)) or bool(S2_TILE.search(stem) and "HLS" not in stem)


def _number(description: str) -> str:
    """Return the number of a band in a description (B4, B04, S2_B04, SR_B4), as in B04; empty if there is none."""
    match = re.fullmatch(r"(?:S2[A-D]?[-_ .]|SR_)?B(\d+)(A?)", description)
    return f"B{int(match[1]):02d}{match[2]}".replace("B08A", "B8A") if match else ""


def _of_sentinel2(descriptions: Sequence[str]) -> bool:
    """Return whether bands are those of Sentinel-2: B04 (with a zero), S2_B4, their numbers, or B4 beside quality layers."""
    numbers = [text for text in descriptions if _number(text) and not text.startswith("SR_")]
    sure = any(re.search(r"B0\d$|B8A$|^S2", text) for text in numbers) or are_sentinel2([_number(t) for t in numbers])
    sure |= bool(numbers) and not {"SCL", "QA60"}.isdisjoint(descriptions)
    return sure and all(_number(text) in SENTINEL2 for text in numbers)


def are_sentinel2(numbers: Sequence[str]) -> bool:
    """Return whether numbers of bands are those of Sentinel-2, and not of Landsat, which has other bands at B4 and B8.

    >>> are_sentinel2(["B02", "B04", "B08", "B11"]), are_sentinel2(["B02", "B12"]), are_sentinel2(["B04", "B05", "B08"])
    (True, True, False)
    """
    found = set(numbers)
    only = {"B8A", "B12"} & found or ({"B04", "B08"} <= found and not {"B05", "B06", "B07", "B10"} & found)
    return bool(only) and found <= set(SENTINEL2)


def variable_of(stem: str) -> str:
    """Return the common name of the band in the name of a file, else the name as a plain one."""
    for code, common in numbering(stem).items():
        if re.search(rf"(?<![A-Za-z0-9]){code}(?![A-Za-z0-9])", stem.upper().replace("_", " ")):
            return common
    for word in (*COMMON, *SWIR, *INDICES):
        if re.search(rf"(?i)(^|[_\W]){word}([_\W]|$)", stem):
            return SWIR.get(word, word)
    return plain_name(stem)


def numbering(stem: str) -> Mapping[str, str]:
    """Return band number → common name of the satellite in the name of a file; of Sentinel-2 if it names none of Landsat."""
    return next((names for form, names in LANDSAT if form.search(stem)), SENTINEL2)


def plain_name(stem: str) -> str:
    """Return a name that TOML takes without quotes: lower case, no accents."""
    return identifier(stem.lower()) or "source"


def _band(description: str) -> str:
    """Return the common name of a band with a description such as ``B4 nir``."""
    if match := BACKSCATTER.fullmatch(description.strip()):
        return match[1].lower()
    plain = plain_name(description)
    name = common_name(description) or re.sub(r"^b\d+[a-z]?_", "", plain)
    return SWIR.get(name, name) if name in (*COMMON, *SWIR) else plain
