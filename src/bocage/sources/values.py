"""What stored values show of a source that is not described: the unit of its bands, and the clear values of its quality layer."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from bocage.sources.band_names import S2_TILE, SENTINEL2_NAME
from bocage.sources.base import BandFile, Decoding
from bocage.sources.declared import COMMON, RADAR
from bocage.sources.landsat_c2l2 import CIRRUS, CLOUD, DILATED, FILL, SHADOW, SNOW
from bocage.sources.raster import inspect, read
from bocage.sources.sentinel2_l2a import CLEAR as SCL_CLEAR
from bocage.sources.sentinel2_theia import LOW_SUN, TERRAIN_SHADOW, UNSEEN
from bocage.sources.sentinel2_theia import SNOW as THEIA_SNOW
from bocage.sources.source import Source, spread

DATES = 6
"""Maximum number of dates of which values are read."""
SIDE, SPOTS = 128, 3
"""Side of a window that is read, in pixels, and number of windows along each axis."""
OPTICAL = tuple(name for name in COMMON if name not in RADAR)
MOST_CODES = 200
"""Maximum number of values of a quality layer; a layer with more holds measurements."""
BRIGHTER = 1.5
"""Ratio of the medians of a visible band from which the pixels of one value are clouds compared with those of another."""
LESS_USUAL, APART = (-3000.0, -10000.0, -28672.0, -99999.0), 500
"""Nodata values of MODIS and of other products, and their distance from the next value, without which they may be values."""
WHITE = 0.18
"""Reflectance of a visible band from which the median of some pixels is that of clouds; that of cropland is below."""
MOSTLY = 0.5
"""Share of the pixels above which a value is no cloud without another reason: shadows make clear land the brighter part, too."""
PERCENT = (
    "a probability in percent: list the values below a threshold that you choose; for clouds below 40 %: "
    f"[{', '.join(map(str, range(40)))}]"
)
"""How to write the clear values of a probability of clouds."""
OFFSET_SINCE = datetime(2022, 1, 25)
"""Sentinel-2 products that were processed since this day have an offset of 1000 in their stored values (baseline 04.00), also
those of earlier acquisitions that were processed again."""
FORCE = 1 | 2 | 4 | 8 | 16 | 256 | 512
"""Bits of QAI of FORCE: no data, cloud (two bits), shadow, snow, reflectance below 0, saturation."""
BITS = re.compile(r"(?i)(?<![a-z])(?:qai|qa_?pixel)(?![a-z])")
"""Names of quality layers of bits, which can have more values than codes have."""
LARGEST_POWER = 10.0
"""Median of calibrated backscatter in linear power above which radar images are not calibrated, or amplitudes."""
S2_BAND = re.compile(r"(?<![A-Za-z0-9])(?:B0?[1-9]|B8A|B1[12]|SCL)(?![A-Za-z0-9])")

SCENE_CLASSES = re.compile(r"(?i)(?<![a-z0-9])scl(?![a-z0-9])")
"""Scene classification, which only Sen2Cor writes, in the name of a quality layer."""


@dataclass(frozen=True)
class Unit:
    """Conversion of stored values, and the reason for it."""

    scale: float = 1.0
    offset: float = 0.0
    decibel: str = ""
    nodata: float | None = None
    why: str = ""
    doubt: str = ""
    """What the user should check; empty if nothing."""


@dataclass(frozen=True)
class Codes:
    """Values of a quality layer."""

    shares: Mapping[int, float] = field(default_factory=dict)
    """Value → share of the pixels, the most frequent first."""
    brightness: Mapping[int, float] = field(default_factory=dict)
    """Value → median of a visible band, in stored units, where this value has pixels of the band."""

    def __str__(self) -> str:
        shown = [f"{value} ({100 * share:.3g} %)" for value, share in list(self.shares.items())[:8]]
        return ", ".join(shown) + (", …" if len(self.shares) > 8 else "")

    def share(self, values: tuple[int, ...]) -> float:
        """Return the share of the pixels with one of the values, 0 to 1."""
        return sum(share for value, share in self.shares.items() if value in values)


@dataclass(frozen=True)
class Clear:
    """Proposal for the clear values of a quality layer."""

    values: tuple[int, ...] = ()
    """The clear values; empty if they are unknown."""
    why: str = ""


NO_CLEAR = Clear()
"""No clear values are known."""


# --- reading
def stored_values(source: Source) -> dict[str, NDArray[np.float64]]:
    """Return stored valid values of each band, from windows of a few dates, without scale and offset.

    Raises
    ------
    SourceError
        A file cannot be read.
    """
    found: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    for i in spread(len(source.acquisitions), DATES):
        for name, file in source.acquisitions[i].files.items():
            grid = inspect(file.path).grid
            for window in grid.spots(SIDE, SPOTS):
                decoding = Decoding(nodata=file.decoding.nodata, alpha=file.decoding.alpha)
                stored, valid = read(file.path, [file.index], grid, window, "nearest", decoding)
                found[name].append(stored[valid].astype(np.float64))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def codes_of(source: Source) -> Codes:
    """Return the values of the quality layer of a source, and how bright the pixels of each value are.

    Raises
    ------
    SourceError
        A file cannot be read.
    """
    count: dict[int, int] = defaultdict(int)
    bright: dict[int, list[NDArray[np.float64]]] = defaultdict(list)
    band = next((name for name in ("blue", "green", "red", "pan") if name in source.bands), "")
    for i in spread(len(source.acquisitions), DATES):
        acquisition = source.acquisitions[i]
        for layer in acquisition.quality.values():
            for codes, light in _layer(layer, acquisition.files.get(band)):
                for value, n in zip(*np.unique(codes, return_counts=True), strict=True):
                    count[int(value)] += int(n)
                    if light is not None:
                        bright[int(value)].append(light[codes == value])
        if len(count) > MOST_CODES:
            break
    total = sum(count.values())
    shares = {value: n / total for value, n in sorted(count.items(), key=lambda item: -item[1])}
    joined = {value: np.concatenate(parts) for value, parts in bright.items()}
    medians = {value: float(np.nanmedian(light)) for value, light in joined.items() if np.isfinite(light).any()}
    return Codes(shares, medians)


def _layer(layer: BandFile, band: BandFile | None) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64] | None]]:
    """Yield the values of windows of a quality layer, and those of a band at the same pixels, NaN where it has none."""
    grid = inspect(layer.path).grid
    for window in grid.spots(SIDE, SPOTS):
        decoding = Decoding(nodata=np.nan, alpha=layer.decoding.alpha)
        stored, inside = read(layer.path, [layer.index], grid, window, "nearest", decoding)
        light = None
        if band is not None:
            values, valid = read(band.path, [band.index], grid, window, "nearest", band.decoding)
            light = np.where(valid[0], values[0].astype(np.float64), np.nan)[inside[0]]
        yield stored[0][inside[0]].astype(np.int64), light


# --- unit
def unit_of(
    values: Mapping[str, NDArray[np.float64]], dtype: str, times: tuple[datetime | None, ...] = (), name: str = ""
) -> Unit:
    """Return the conversion of stored values of bands, whose names say whether they are optical or radar.

    Parameters
    ----------
    values
        Band → stored values that are not declared as nodata.
    dtype
        Data type of the files.
    name
        Name of the source, and of its files and their bands: only those of Sentinel-2 can have the offset of its products.
    """
    radar = {name: layer for name, layer in values.items() if name in RADAR}
    optical = {name: layer for name, layer in values.items() if name in OPTICAL}
    chosen = radar if len(radar) > len(optical) else optical
    pixels = np.concatenate(list((chosen or values).values()) or [np.array([])])
    nodata, pixels = _nodata(pixels, dtype)
    if not chosen:
        return Unit(nodata=nodata)
    if nodata is None and np.dtype(dtype) != np.uint8 and _zero_is_nodata(values, chosen):
        nodata, pixels = 0.0, pixels[pixels != 0]
    whole = np.dtype(dtype).kind in "iu" or not (pixels % 1 != 0).any()
    if whole:
        pixels = pixels[pixels != 0]
    if not pixels.size:
        return Unit(nodata=nodata)
    if chosen is radar:
        return _backscatter(pixels, whole, nodata, name)
    unit = _reflectance(pixels, dtype, whole, nodata)
    lows, bright = _darkest(optical, nodata)
    return _with_offset(unit, times, name, bright) if 900 <= lows <= 1600 else unit


def _zero_is_nodata(values: Mapping[str, NDArray[np.float64]], bands: Collection[str]) -> bool:
    """Return whether 0 is the value of pixels without data: all `bands` have it in the same share of the pixels.

    Water and shadow have 0 in some bands only, the outside of an image and masked pixels in all of them. No other variable may
    have more zeros, such as days without rain. Of a single polarisation, 1 % of the pixels must have it.
    """
    shares = {name: float((layer == 0).mean()) for name, layer in values.items() if layer.size}
    own = [shares[name] for name in bands if name in shares]
    enough = len(own) > 1 or (set(bands) <= set(RADAR) and min(own, default=0) >= 0.01)
    return enough and 0 < 0.9 * max(own) <= min(own) < 1 and 0.9 * max(shares.values()) <= max(own)


def _with_offset(unit: Unit, times: tuple[datetime | None, ...], name: str, bright: bool) -> Unit:
    """Return the unit of values without one below 1000: with the offset of Sentinel-2, or a doubt if it is not certain.

    `bright`: whether each band has high values too. Otherwise, dark values may be missing because the image has a narrow range.
    """
    late = any(time and time >= OFFSET_SINCE for time in times)
    if late and bright and _of_sentinel2(name):
        return _baseline(unit.nodata)
    if unit.scale != 0.0001:
        return unit
    if _of_sentinel2(name):
        doubt = "'offset': -0.1 if they are products of Sentinel-2 that were processed since January 2022, as in Collection 1"
    else:
        doubt = "'offset': -0.1 if they are of Sentinel-2 and were processed since January 2022"
    return replace(unit, doubt=f"{doubt}; no value is below 1000") if late or _of_sentinel2(name) else unit


def _of_sentinel2(name: str) -> bool:
    """Return whether the names of a source, its files and their bands are those of Sentinel-2.

    They name the satellite, a tile and a band, or a scene classification.

    >>> _of_sentinel2("img T31UDS_20230111T105031_B04_10m.tif"), _of_sentinel2("img T31UDS.tif"), _of_sentinel2("planet")
    (True, False, False)
    """
    if SENTINEL2_NAME.search(name) or SCENE_CLASSES.search(name):
        return True
    return bool(S2_TILE.search(name) and S2_BAND.search(name)) and "HLS" not in name


def _nodata(pixels: NDArray[np.float64], dtype: str) -> tuple[float | None, NDArray[np.float64]]:
    """Return the usual nodata value that the pixels hold, if any, and the other pixels."""
    kind = np.dtype(dtype)
    usual = [-9999.0, -32768.0, -32767.0] + ([65535.0] if kind.kind in "iu" and kind.itemsize > 1 else [])
    for value in usual:
        held = pixels == value
        if held.any() and not held.all():
            return value, pixels[~held]
    lowest = pixels.min(initial=0.0)
    if lowest in LESS_USUAL and (above := pixels[pixels != lowest]).size and above.min() - lowest >= APART:
        return float(lowest), above
    return None, pixels


def _backscatter(pixels: NDArray[np.float64], whole: bool, nodata: float | None, name: str) -> Unit:
    low, middle, high = (float(p) for p in np.percentile(pixels, (1, 50, 99)))
    shown = f"values from {low:.3g} to {high:.3g}"
    if low < 0 and not whole:
        return Unit(nodata=nodata, why=f"{shown}: decibels")
    if low < 0:
        return Unit(0.01 if middle < -100 else 1.0, nodata=nodata, why=f"{shown}: decibels, stored as integers")
    if whole and middle > 100:
        scale = round(10 ** (-83 / 20), 9)
        why = f"{shown}: amplitude as integers, with the usual calibration of -83 dB"
        return Unit(scale, decibel="amplitude", nodata=nodata, why=why, doubt="the calibration of radar amplitudes")
    amplitude = re.search(r"(?i)amplitude", name) is not None
    kind = "amplitude" if amplitude else "power"
    doubt = (
        "'decibel' and the calibration: backscatter is rarely above 10" if amplitude or middle > LARGEST_POWER else ""
    )
    return Unit(decibel=kind, nodata=nodata, why=f"{shown}: linear {kind}, converted to dB", doubt=doubt)


def _reflectance(pixels: NDArray[np.float64], dtype: str, whole: bool, nodata: float | None) -> Unit:
    low, high = (float(p) for p in np.percentile(pixels, (1, 99)))
    scale, offset, why, doubt = 1.0, 0.0, "reflectance, no scale", ""
    if np.dtype(dtype) == np.uint8:
        scale, why = 0.00392157, "8-bit numbers, divided by 255; no calibrated reflectance"
    elif not whole and 2 < high <= 150:
        scale, why = 0.01, "reflectance in percent"
    elif whole and high <= 255:
        why, doubt = "unknown unit", "the unit of the values"
    elif low >= 7000 and dtype == "uint16":
        scale, offset, why = 2.75e-5, -0.2, "reflectance as in Landsat Collection 2 Level 2"
    elif 2 < high <= 25_000:
        scale, why = 0.0001, "reflectance x 10000"
    elif high > 25_000:
        scale, why = 1.5259e-5, "16-bit numbers, divided by 65535; no calibrated reflectance"
    return Unit(scale, offset, "", nodata, f"values from {low:.4g} to {high:.4g}: {why}", doubt)


def _has_offset(optical: Mapping[str, NDArray[np.float64]], nodata: float | None) -> bool:
    """Return whether the values have the offset of 1000 of Sentinel-2 products since baseline 04.00.

    No band has values below 1000, and the darkest is near 1000: without the offset, vegetation, water and shadow have values
    below 500 in the visible bands.
    """
    lows, bright = _darkest(optical, nodata)
    return bright and 900 <= lows <= 1600


def _darkest(optical: Mapping[str, NDArray[np.float64]], nodata: float | None) -> tuple[float, bool]:
    """Return the first percentile of the darkest band, and whether all bands have values above 2000.

    The percentile is NaN for fewer than three bands, bands without contrast, and images whose bands are all below 2000.
    """
    seen = [layer[(layer != 0) & (layer != nodata)] for layer in optical.values()]
    if len(seen) < 3 or not all(layer.size and np.ptp(layer) >= 100 for layer in seen):
        return np.nan, False
    highest = [float(layer.max()) for layer in seen]
    low = min(float(np.percentile(layer, 1)) for layer in seen)
    return (low if max(highest) > 2000 else np.nan), min(highest) > 2000


def offset_since(source: Source) -> datetime | None:
    """Return the first date from which on values have the offset of Sentinel-2 products, if those of earlier dates have not.

    Raises
    ------
    SourceError
        A file cannot be read.
    """
    late = tuple(a for a in source.acquisitions if a.time and a.time >= OFFSET_SINCE)
    early = tuple(a for a in source.acquisitions if a.time and a.time < OFFSET_SINCE)
    if not late or not early:
        return None
    found = []
    for part in (early, late):
        values = stored_values(replace(source, acquisitions=part))
        found.append(_has_offset({name: layer for name, layer in values.items() if name in OPTICAL}, None))
    return late[0].time if found == [False, True] else None


def _baseline(nodata: float | None) -> Unit:
    why = "no value is below 1000: reflectance x 10000 with the offset of Sentinel-2 products since January 2022"
    return Unit(0.0001, -0.1, nodata=nodata, why=why, doubt="the offset of Sentinel-2")


# --- clear values
def _bits(masked: int) -> Callable[[Codes], tuple[int, ...]]:
    return lambda codes: tuple(sorted(value for value in codes.shares if value >= 0 and not value & masked))


def _landsat(codes: Codes) -> tuple[int, ...]:
    """Return the values of QA_PIXEL without fill, clouds, shadow and snow: those found, and clear land and water."""
    found = _bits(FILL | DILATED | CIRRUS | CLOUD | SHADOW | SNOW)(codes)
    usual = (5440, 5504) if max(codes.shares) < 1 << 14 else (21824, 21952)
    return tuple(sorted({*found, *usual})) if all(value == 1 or value & 0x5540 for value in codes.shares) else ()


def _theia_mg2(codes: Codes) -> tuple[int, ...]:
    cloud, shadow_of_cloud = 2, 8
    return _bits(cloud | shadow_of_cloud | THEIA_SNOW | TERRAIN_SHADOW | UNSEEN | LOW_SUN)(codes)


def _fmask(codes: Codes) -> tuple[int, ...]:
    """Return the values of Fmask of clear land and water: classes from 0 to 4, or the bits of Harmonized Landsat Sentinel-2."""
    if set(codes.shares) <= {*range(5), 255}:
        return (0, 1)
    cloud, adjacent, shadow, snow = 2, 4, 8, 16
    return tuple(value for value in range(255) if not value & (cloud | adjacent | shadow | snow))


def _force(codes: Codes) -> tuple[int, ...]:
    """Return the values of QAI of FORCE that FORCE uses by default: without the bits that :data:`FORCE` names.

    Those with the other frequent bits (water, aerosol, illumination, slope) are listed too: few windows do not show them all.
    """
    free = (32, 64, 128, 2048, 4096, 8192)
    usual = (sum(bit for k, bit in enumerate(free) if number >> k & 1) for number in range(1 << len(free)))
    return tuple(sorted({*usual, *_bits(FORCE)(codes)}))


def _within(clear: tuple[int, ...], known: range) -> Callable[[Codes], tuple[int, ...]]:
    return lambda codes: clear if all(value in known or value == 255 for value in codes.shares) else ()


CONVENTIONS: tuple[tuple[str, str, Callable[[Codes], tuple[int, ...]]], ...] = (
    (r"scl|scene_?class", "scene classification of Sen2Cor", _within(SCL_CLEAR, range(12))),
    (r"qa_?pixel|pixel_?qa|bqa", "pixel quality of Landsat Collection 2", _landsat),
    (r"qai", "quality layer of FORCE", _force),
    (r"mg2", "geophysical mask of THEIA", _theia_mg2),
    (r"qa60", "cloud mask of Sentinel-2, 0 where clear", lambda codes: (0,) if 0 in codes.shares else ()),
    (r"clm|cloud_?mask", "cloud mask, 0 where clear", lambda codes: (0,) if 0 in codes.shares else ()),
    (r"udm2", "usable data mask of Planet, 1 where clear", _within((1,), range(2))),
    (r"udm", "unusable data mask of Planet, 0 where usable", lambda codes: (0,) if 0 in codes.shares else ()),
    (r"summary_?qa|pixel_?reliability", "pixel reliability of MODIS: good and marginal", _within((0, 1), range(-1, 4))),
    (r"fmask", "Fmask: clear land and water", _fmask),
)
"""Pattern of the file name, meaning of the layer, and function that returns its clear values; none if the values do not fit."""


def clear_of(name: str, codes: Codes) -> Clear:
    """Return the clear values of a quality layer, from the name of its file, its values, and how bright their pixels are.

    Without certainty, the proposal is empty: a mask must never be inverted or ignored.
    """
    if re.search(r"(?i)prb|prob", name):
        whole = all(0 <= value <= 100 for value in codes.shares if value != 255)
        return Clear(why=PERCENT if codes.shares and whole and max(codes.shares) > 1 else "a probability, no codes")
    if not codes.shares or (len(codes.shares) > MOST_CODES and not BITS.search(name)):
        return Clear(why="its values are measurements, no codes" if codes.shares else "it has no value")
    for pattern, meaning, values in CONVENTIONS:
        if re.search(rf"(?i)(?<![a-z])(?:{pattern})", name):
            clear = values(codes)
            if clear and not _inverted(clear, codes):
                return Clear(clear, f"{meaning}; found {codes}")
            return Clear(why=f"the name suggests '{meaning}', and the values contradict it")
    for clear, meaning in _by_values(codes):
        return Clear(clear, f"{meaning}; found {codes}")
    return Clear(why="the meaning of its values is not known")


def _by_values(codes: Codes) -> Iterator[tuple[tuple[int, ...], str]]:
    """Yield the clear values of a layer whose name says nothing, if its values and the brightness of their pixels agree."""
    found = set(codes.shares)
    if found & {21824, 5440} and (clear := _landsat(codes)):
        yield clear, "values of the pixel quality of Landsat Collection 2"
    if {127} <= found <= {0, 127, 255}:
        yield (127,), "values of the cloud mask of Brazil Data Cube"
    clouds, lands = found & {8, 9}, found & {4, 5}
    if found <= set(range(12)) and clouds and lands and _brighter(_usual(clouds, codes), _usual(lands, codes), codes):
        yield SCL_CLEAR, "values of Sen2Cor's scene classification, whose clouds are bright here"
    pair = found if len(found) == 2 else found - {255}
    if len(pair) == 2 and 0 in pair:
        other = max(pair)
        for land, cloud in ((0, other), (other, 0)):
            if _brighter(cloud, land, codes) and _white(cloud, codes) and codes.share((cloud,)) <= MOSTLY:
                yield (land,), f"the pixels of {cloud} are as bright as clouds, those of {land} are not"


def _usual(values: set[int], codes: Codes) -> int:
    """Return the most frequent of some values."""
    return max(values, key=lambda value: codes.shares[value])


def _brighter(cloud: int, land: int, codes: Codes) -> bool:
    """Return whether the pixels of `cloud` are so much brighter than those of `land` that they are clouds."""
    light = codes.brightness
    return cloud in light and light.get(land, 0) > 0 and light[cloud] >= BRIGHTER * light[land]


def _white(cloud: int, codes: Codes) -> bool:
    """Return whether the pixels of a value are as bright as clouds, in reflectance, reflectance x 10000 or 8-bit numbers."""
    light = codes.brightness.get(cloud, 0.0)
    return light / (1 if light <= 2 else 255 if light <= 255 else 10_000) >= WHITE


def _inverted(clear: tuple[int, ...], codes: Codes) -> bool:
    """Return whether, of the two values of a layer, the pixels of the clear one are the clouds, or those of the other are not."""
    values = set(codes.shares) if len(codes.shares) == 2 else set(codes.shares) - {255}
    others = values - set(clear)
    if len(values) != 2 or len(others) != 1:
        return False
    land, cloud = min(values - others), min(others)
    most = codes.share((cloud,)) > MOSTLY and cloud in codes.brightness and not _white(cloud, codes)
    return most or _brighter(land, cloud, codes)
