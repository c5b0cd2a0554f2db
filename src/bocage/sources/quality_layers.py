"""Which rasters of a folder are quality layers: by their names, their bands and their values."""

import re
from pathlib import Path

import numpy as np

from bocage.grid import Window
from bocage.sources.band_names import band_names
from bocage.sources.base import Decoding
from bocage.sources.declared import COMMON
from bocage.sources.raster import RasterInfo, inspect, read
from bocage.sources.values import BITS, MOST_CODES

FEW_CODES = 16
"""Maximum number of values of an 8-bit layer beside bands of 16 bits that is a quality layer, whatever its name."""
_APPLIED = r"(?:free|less|mas[kq]u?[eé]+[ds]|removed|filled|corrected)"
_NONE = r"(?<!de)(?<!no)(?<!non)(?<!sans)(?<!no[-_ ])(?<!non[-_ ])(?<!sans[-_ ])(?<!without[-_ ])"
NAME = re.compile(
    r"(?i)(scl|quality|pixel_?reliability|(?<![a-z])(?:qa|qai|mg2|qc|qual|valid|validity|clear|bqa)(?![a-z])|clm|(?<!clo)udm"
    rf"|{_NONE}(?<![a-z])nuages?(?![a-z])"
    r"|(?<!un)mask(?!ed)|(?<!de)masq(?!u(?:é|ee))"
    rf"|{_NONE}cloud(?!s?[-_ ]?{_APPLIED})"
    r"|(?:cld|snw|snow)[-_ ]?(?:prb|prob)|^[-_ ]*prob(?:abilit(?:y|é|e)s?|s)?(?![a-z]))"
)
"""Names of quality layers. Names of imagery without clouds, or with a mask applied, are no such names."""
LAND_MASK = re.compile(
    r"(?i)(?:crop(?:land)?s?|agri\w*|cultures?|field|parcel\w*|forest|for[eê]t|tree|urban|b[aâ]ti|building|built\w*|(?<!ice)land|sea|water"
    r"|eau)[-_ ]?mas[kq]\w*|mas[kq]\w*[-_ ](?:crop(?:land)?s?|agri\w*|cultures?|parcel\w*|forest|urban|water|land)"
)
"""Names of masks of a land cover, which show no clouds."""
PROBABILITY = re.compile(r"(?i)prb|prob")
"""Names of quality layers that are probabilities, in percent or from 0 to 1."""
SNOW = re.compile(r"(?i)(?:snw|snow|neige)[-_ ]?(?:prb|prob)")
"""Names of probabilities of snow, which do not show clouds."""


def rank(name: str) -> int:
    """Return how useful a quality layer is, 0 for the best: a scene classification, other codes, a probability."""
    if "scl" in name.lower():
        return 0
    return 2 if PROBABILITY.search(name) else 1


def names_quality(text: str) -> bool:
    """Return whether the name of a file or of a band is that of a quality layer.

    >>> [names_quality(name) for name in ("S2_SCL", "cloud_mask", "S2_cloudfree_mosaic", "S2_masked", "crop_mask")]
    [True, True, False, False, False]
    """
    return NAME.search(text) is not None and not LAND_MASK.search(text)


def is_quality(path: Path, info: RasterInfo, stem: str) -> bool:
    """Return whether a raster with this name is a quality layer, and neither bands of imagery nor measurements."""
    if not names_quality(stem) or of_imagery(info, stem):
        return False
    return codes_in(path) <= MOST_CODES or bool(BITS.search(stem) and np.dtype(info.dtype).kind in "iu")


def of_imagery(info: RasterInfo, stem: str) -> bool:
    """Return whether a raster has several bands with common names, as imagery has."""
    return sum(name in COMMON for name in band_names(info, stem)) > 1


def codes_in(path: Path) -> int:
    """Return the number of different values in the middle of a raster."""
    info = inspect(path)
    height, width = info.grid.shape
    middle = Window(max(height // 2 - 256, 0), max(width // 2 - 256, 0), 512, 512).clip(info.grid.shape)
    values, _ = read(path, list(range(1, info.count + 1)), info.grid, middle, "nearest", Decoding(nodata=np.nan))
    return len(np.unique(values))
