"""Paths that stand for several files: ``{date}`` for a date, ``{tile}`` for a part of a mosaic, ``*`` for any text."""

import re
from dataclasses import dataclass
from pathlib import Path

from bocage.errors import SourceError
from bocage.sources.folders import is_system
from bocage.sources.times import FOLDERS, IN_NAMES, RARE

DATE = IN_NAMES
"""Dates that ``{date}`` stands for."""
TILE = r"[^/]+?"
"""Texts that ``{tile}`` stands for."""
_PLACES = {"{date}": ("date", DATE), "{tile}": ("tile", TILE)}


@dataclass(frozen=True)
class Match:
    """A file that matches a pattern."""

    path: Path
    date: str
    """Text at ``{date}``; empty if the pattern has none."""
    tile: str
    """Text at ``{tile}``; empty if the pattern has none."""


def matching(pattern: Path) -> list[Match]:
    """Return the files that match a pattern, sorted by path. All characters but the three placeholders are literal.

    Raises
    ------
    SourceError
        No file matches, or two files have the same date and tile.
    """
    root = Path(pattern.anchor) if pattern.is_absolute() else Path()
    parts = [p for p in pattern.parts if p != pattern.anchor]
    while len(parts) > 1 and not any(mark in parts[0] for mark in (*_PLACES, "*")):
        root = root / parts.pop(0)
    tail = "/".join(parts)
    for date, levels in ((DATE, 1), (RARE, 1), (FOLDERS, 3), (FOLDERS, 2)):
        found = _matches(root, tail, date, levels)
        if found or "{date}" not in tail:
            break
    if not found:
        raise SourceError(
            f"No file matches {pattern}. {{date}} stands for 20180131 or 2018-01-31, with or without a time after it, for "
            "31.01.2018, 31Jan2018, 2018031 (day of the year), 2018-01, 180131 or the folders 2018/01/31; {tile} and * for any "
            "text."
        )
    return list(found.values())


def _matches(root: Path, tail: str, date: str, levels: int) -> dict[tuple[str, str], Match]:
    """Return date and tile → file, where `date` is the pattern of the dates, which are folders of several levels or one part."""
    expression = re.compile(_expression(tail, date))
    files = root.glob(_glob(tail, "/".join("*" * levels)))
    found: dict[tuple[str, str], Match] = {}
    for path in sorted(path for path in files if not is_system(path.relative_to(root).as_posix())):
        if not (match := expression.fullmatch(path.relative_to(root).as_posix())):
            continue
        parts_of = match.groupdict()
        one = Match(path, parts_of.get("date") or "", parts_of.get("tile") or "")
        twin = found.setdefault((one.date, one.tile), one)
        if twin is not one:
            raise same_date(twin, one)
    return found


def same_date(first: Match, second: Match) -> SourceError:
    """Return the error of two files with the same date and tile: one of them would be lost."""
    return SourceError(
        f"{first.path} and {second.path} have the same date. Give them different times, remove one, or write {{tile}} in the "
        "path where the names of neighbouring tiles differ."
    )


def _expression(tail: str, date: str) -> str:
    """Return the regular expression of a pattern; a placeholder that is repeated has the same text each time."""
    text, seen = "", set()
    for piece in re.split(r"(\{date\}|\{tile\}|\*)", tail):
        if piece == "*":
            text += "[^/]*"
        elif piece in _PLACES:
            name, inside = _PLACES[piece]
            inside = date if name == "date" else inside
            text += f"(?P={name})" if name in seen else f"(?P<{name}>{inside})"
            seen.add(name)
        else:
            text += re.escape(piece)
    return text


def _glob(tail: str, date: str) -> str:
    """Return the pattern for :meth:`pathlib.Path.glob`, with its special characters taken literally."""
    literal = re.sub(r"([\[?])", r"[\1]", tail)
    return re.sub(r"\*+", "*", literal.replace("{date}", date).replace("{tile}", "*"))
