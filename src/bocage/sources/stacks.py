"""Rasters whose bands are several variables on several dates, such as stacks of Google Earth Engine: what each band is."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bocage.sources.band_names import band_names
from bocage.sources.found import Found, Member
from bocage.sources.raster import RasterInfo
from bocage.sources.times import dates_within

LAST = re.compile(r"(?:^|[_\-. ])((?:(?:SR|ST|QA|MSK)_)?[A-Za-z][A-Za-z0-9]*)[_\-. ]*$")
"""Last word of the name of a band without its date, which names the variable: B4 of ``20230115T105031_T31TDL_B4``."""
NUMBERED = re.compile(r"(\d+)_([A-Za-z]\w*)")
"""Name of a band with the number of its image, as ``0_B4``."""


def stack_of(descriptions: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the variable and the date of each band; nothing if each variable does not have each date once.

    >>> stack_of(["20230115_T31TDL_B4", "20230115_T31TDL_B8", "20230209_T31TDL_B4", "20230209_T31TDL_B8"])
    (('B4', 'B8', 'B4', 'B8'), ('20230115', '20230115', '20230209', '20230209'))
    """
    within = dates_within(descriptions)
    days = tuple(day for day, _ in within)
    rests = tuple(rest.strip("_-. ") for _, rest in within)
    words = [LAST.search(rest) for rest in rests]
    named = [tuple(match[1] for match in words if match)] if all(words) else []
    for variables in (*named, rests):
        if all(days) and _is_complete(variables, days):
            return variables, days
    return (), ()


def numbered(descriptions: Sequence[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the variable of each band and the number of its image; nothing if the names do not have both.

    >>> numbered(["0_B4", "0_B8", "1_B4", "1_B8"])
    (('B4', 'B8', 'B4', 'B8'), (0, 0, 1, 1))
    """
    found = [match for text in descriptions if (match := NUMBERED.fullmatch(text))]
    variables, numbers = tuple(match[2] for match in found), tuple(int(match[1]) for match in found)
    complete = len(found) == len(descriptions) and _is_complete(variables, numbers)
    return (variables, numbers) if complete else ((), ())


def with_numbers(member: Member, lists: Sequence[tuple[Path, tuple[str, ...]]], found: Found) -> Member:
    """Return a stack whose bands have numbers of images with the dates of the text file beside it, in order of the numbers.

    Parameters
    ----------
    lists
        Each text file beside the raster, with its dates.
    """
    variables, numbers = numbered(member.info.descriptions)
    order = sorted(set(numbers))
    if not variables:
        return member
    for _, dates in lists:
        if len(dates) == len(order):
            days = tuple(dates[order.index(number)] for number in numbers)
            return replace(member, days=days, dates=days, variables=variables)
    found.remarks.append(
        f"{member.path}: its bands are {len(set(variables))} variables of {len(order)} numbered images "
        f"({', '.join(member.info.descriptions[:2])}, …) without dates, and are read as one image without a date. For a time "
        f"series, write a text file with the {len(order)} dates, one a line, beside it"
    )
    return member


def names_of(info: RasterInfo, variables: Sequence[str], stem: str) -> dict[str, str]:
    """Return variable → name of the band."""
    unique = tuple(dict.fromkeys(variables))
    return dict(
        zip(unique, band_names(replace(info, count=len(unique), descriptions=unique, alpha=0), stem), strict=True)
    )


def _is_complete(variables: Sequence[str], images: Sequence[object]) -> bool:
    """Return whether there are several variables and images, and a band for each of both."""
    pairs = set(zip(variables, images, strict=True))
    several = len(set(variables)) > 1 and len(set(images)) > 1
    return several and len(pairs) == len(variables) == len(set(variables)) * len(set(images))
