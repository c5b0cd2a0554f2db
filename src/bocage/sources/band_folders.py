"""Names of the bands of single-band rasters: that of the file, or that of its folder where a folder holds the files of a band."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from bocage.sources.band_names import SENTINEL2, are_sentinel2, names_sentinel2, numbering, variable_of
from bocage.sources.dating import DATE
from bocage.sources.declared import COMMON
from bocage.sources.found import Member
from bocage.sources.quality_layers import names_quality

PLACES = re.compile(r"\{date\}|\{tile\}|\*")
RESOLUTION = re.compile(r"(?<![A-Za-z0-9])R?\d+(?:\.\d+)?m(?![A-Za-z0-9])")
"""Resolution in a path, as in ``B04_20m`` or ``R20m/``."""

NUMBER = re.compile(r"(?i)(?<![A-Za-z0-9])B(\d{1,2})(A?)(?![A-Za-z0-9])")
"""Number of a band in the name of a file."""


def names_band(folder: str) -> bool:
    """Return whether a folder has the name of a band or of a quality layer, and not that of a sensor.

    >>> [names_band(folder) for folder in ("B04", "B4", "band_red", "cloudmask", "S2", "pan", "2018")]
    [True, True, True, True, False, False, False]
    """
    return variable_of(NUMBER.sub(_two_digits, folder)) in set(COMMON) - {"pan"} or names_quality(folder)


def labels_of(groups: Mapping[str, Sequence[Member]]) -> dict[str, str]:
    """Return pattern of a group of rasters → text that names its band: the file name without date and tile, or a folder.

    A folder names the band of files with a single band if sibling folders have files of the same name, extent and dates, and
    the file name is that of no band.
    """
    labels = {pattern: _stem(pattern, group[0]) for pattern, group in groups.items()}
    alike = defaultdict(list)
    for pattern in groups:
        path = Path(pattern)
        if not PLACES.search(path.parent.name) and re.search(r"[^\W\d_]", path.parent.name):
            alike[path.parent.parent, RESOLUTION.sub("", path.name)].append(pattern)
    for (_, name), patterns in alike.items():
        stem = _plain(Path(name).stem)
        known = any(names_band(Path(pattern).parent.name) for pattern in patterns)
        if names_band(stem) or not (known or not re.search(r"[^\W\d_]", stem)):
            continue
        for one, other in combinations(patterns, 2):
            if _together(groups[one], groups[other]):
                labels |= {p: Path(p).parent.name for p in (one, other) if groups[p][0].info.count == 1}
    return _with_two_digits(labels)


def _with_two_digits(labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels with B04 for B4, where the name is that of a satellite or the numbers are those of Sentinel-2 only."""
    numbers: dict[str, set[str]] = defaultdict(set)
    for pattern, label in labels.items():
        if match := NUMBER.search(label):
            numbers[NUMBER.sub("#", pattern)].add(_two_digits(match))
    new = dict(labels)
    for pattern, label in labels.items():
        known = numbering(label) is not SENTINEL2 or names_sentinel2(label)
        if known or are_sentinel2(sorted(numbers[NUMBER.sub("#", pattern)])):
            new[pattern] = NUMBER.sub(_two_digits, label)
    return new


def _two_digits(match: re.Match[str]) -> str:
    return f"B{int(match[1]):02d}{match[2]}".upper().replace("B08A", "B8A")


def _stem(pattern: str, first: Member) -> str:
    """Return the name of a file without its date and its tile."""
    return _plain(Path(pattern).stem) if first.days or first.tile else Path(pattern).stem


def _plain(stem: str) -> str:
    return PLACES.sub("", DATE.sub("", stem))


def _together(one: Sequence[Member], other: Sequence[Member]) -> bool:
    """Return whether two groups of rasters show the same ground, on the same dates."""
    own, theirs = one[0].info.grid, other[0].info.grid
    near = 2 * max(own.resolution, theirs.resolution)
    if own.crs != theirs.crs or not np.allclose(own.bounds, theirs.bounds, rtol=0, atol=near):
        return False
    days = [{(day, member.tile) for member in group for day in member.days} for group in (one, other)]
    return days[0] == days[1] or bool(days[0] & days[1])
