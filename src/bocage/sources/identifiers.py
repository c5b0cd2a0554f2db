"""Parts of file names that identify a product, and differ from date to date without meaning for a series."""

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bocage.errors import SourceError
from bocage.sources.found import Found, Member
from bocage.sources.pattern import matching

TILES = (
    re.compile(r"(?<=-)\d{10}-\d{10}(?=\.)"),
    re.compile(r"(?<=\{date\}_)\d{6}(?:_\d{2})?(?:_(?:[0-9a-f]{4}|ssc\d+))?(?=[_./])"),
    re.compile(r"(?<![A-Za-z0-9])T?\d{2}[C-HJ-NP-X][A-HJ-NP-Z]{2}(?![A-Za-z0-9])"),
    re.compile(r"(?<![A-Za-z0-9])h\d{2}v\d{2}(?![A-Za-z0-9])"),
    re.compile(r"(?<![A-Za-z0-9])X-?\d{4}_Y-?\d{4}(?![A-Za-z0-9])"),
    re.compile(r"(?<![A-Za-z0-9])(?:\d{1,4}-\d{1,4}(?=_quad)|L\d\d-\d{4}E-\d{4}N)(?![A-Za-z0-9])"),
    re.compile(r"(?<=_)R\d{1,2}C\d{1,2}(?=\.)"),
)
"""Parts of a path in which the files of a mosaic differ: pieces of an export of Google Earth Engine, scenes of Planet (time and
satellite), tiles of Sentinel-2, of MODIS and of FORCE, quads of Planet, and parts of an image of Airbus."""
_UNITS = (("S[12]", "[A-D]"), ("SEN2", "[A-D]"), ("SENTINEL[12]", "[A-D]"), ("L[CO]0", "[89]"), ("LND0", "[89]"))
UNIT = re.compile("|".join(rf"(?<=(?<![A-Za-z0-9]){mission}){unit}(?![A-Za-z0-9])" for mission, unit in _UNITS))
"""Satellite of a pair with the same bands (S2A and S2B, LC08 and LC09, SEN2A and SEN2B), after the name of the mission."""
CLOCK = re.compile(r"(?<=\{date\}[-_])(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?(?:-\d{3})?(?=[-_.])")
"""Time of the day after a date, with or without milliseconds."""
SENTINEL1 = re.compile(r"(?<![A-Za-z0-9])\d{6}_[0-9A-F]{6}_[0-9A-F]{4}(?![A-Za-z0-9])")
"""Absolute orbit, data take and identifier of a product of Sentinel-1."""
RULES = (
    UNIT,
    CLOCK,
    SENTINEL1,
    re.compile(r"(?<=_RTC\d\d_[A-Z]_[a-z]{6}_)[0-9A-F]{4}(?![A-Za-z0-9])"),  # HyP3
    re.compile(r"(?<![A-Za-z0-9])N\d{4}_R\d{3}(?=_T\d\d[A-Z]{3})"),  # baseline and relative orbit of Sentinel-2
    re.compile(r"(?<=_)[A-Z]_V\d+-\d+(?=[_./])"),  # version of THEIA
    re.compile(r"(?<=\{date\}_)\d(?=_L2A)"),  # number of the product of a day, of Earth Search
    re.compile(r"(?<=_0[12]_)(?:T[12]|RT)(?![A-Za-z0-9])"),  # tier of Landsat
)
"""Parts that identify the product of a date."""
FIRST_ORBIT = {"A": 73, "B": 27, "C": 172}
"""Satellite of Sentinel-1 → absolute orbit of the relative orbit 1; a cycle has 175 orbits."""


def without_identifiers(members: list[Member], found: Found) -> list[Member]:
    """Return the rasters with ``*`` for the identifiers in which files of different dates differ, where this joins patterns.

    Files of several tiles get the same pattern, apart from the tile.
    """
    dated = [member for member in members if member.days]
    root = os.path.commonpath([member.path.parent for member in dated]) if dated else ""
    alike: dict[str, list[Member]] = defaultdict(list)
    for member in dated:
        alike[with_tile(_starred(member.pattern[len(root) :], RULES))[0]].append(member)
    new: dict[Path, Member] = {}
    for group in (group for group in alike.values() if len({m.pattern for m in group}) > 1):
        rules = [rule for rule in RULES if len({tuple(rule.findall(m.pattern)) for m in group}) > 1]
        joined: dict[str, list[Member]] = defaultdict(list)
        for member in group:
            joined[root + _starred(member.pattern[len(root) :], rules)].append(member)
        for pattern, own in joined.items():
            if _fits(pattern, own):
                new |= {member.path: replace(member, pattern=pattern) for member in own}
                found.remarks += _orbits(pattern, own)
    return [new.get(member.path, member) for member in members]


def with_tile(pattern: str) -> tuple[str, str]:
    """Return a pattern with ``{tile}`` for its tile, and the tile; empty if it has none.

    >>> with_tile("X0060_Y0041/{date}_BOA.tif")
    ('{tile}/{date}_BOA.tif', 'X0060_Y0041')
    """
    tile = next((m[0] for expression in TILES if (m := expression.search(pattern))), "")
    if not tile:
        return pattern, ""
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(tile)}(?![A-Za-z0-9])", "{tile}", pattern), tile


def _starred(path: str, rules: Sequence[re.Pattern[str]]) -> str:
    """Return a path with ``*`` for the identifiers of `rules`."""
    for rule in rules:
        path = rule.sub("*", path)
    return path


def _fits(pattern: str, members: list[Member]) -> bool:
    """Return whether a pattern stands for these rasters, for no other file, and for one file of each date."""
    if len({member.days for member in members}) < len(members):
        return False
    try:
        return {match.path for match in matching(Path(pattern))} == {member.path for member in members}
    except SourceError:
        return False


def _orbits(pattern: str, members: list[Member]) -> list[str]:
    """Return a remark if images of Sentinel-1 of several relative orbits are in one series."""
    names = [re.search(r"S1([A-C])_.*?(?<![A-Za-z0-9])(\d{6})_[0-9A-F]{6}_", str(member.path)) for member in members]
    orbits = sorted({(int(name[2]) - FIRST_ORBIT[name[1]]) % 175 + 1 for name in names if name})
    if len(orbits) < 2:
        return []
    return [
        f"{pattern}: images of the relative orbits {', '.join(map(str, orbits))} of Sentinel-1 are one series, and backscatter "
        "differs between orbits. Put the images of each orbit in a folder of their own"
    ]
