"""Dates of the rasters of a folder: in their names, their folders and the names of their bands, or in a text file beside them."""

import re
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

from bocage.errors import SourceError
from bocage.sources.found import Found, Member
from bocage.sources.raster import RasterInfo
from bocage.sources.series import declared_dates
from bocage.sources.times import MONTH_NAMES, read_times

DATE = re.compile(
    r"(?<!\d)(?:(?:19|20)\d{2}(?:(?P<hyphen>-?)[01]\d(?P=hyphen)[0-3]\d(?:T\d{2}[:-]?\d{2}[:-]?\d{2}|\d{6})?|_[01]\d_[0-3]\d|\.[01]\d\.[0-3]\d)"
    r"|[0-3]\d(?P<mark>[-_.])[0-3]\d(?P=mark)(?:19|20)\d{2}"
    rf"|[0-3]?\d[-_ ]?(?i:{MONTH_NAMES})[-_ ]?(?:19|20)\d{{2}}|(?:19|20)\d{{2}}[-_ ]?(?i:{MONTH_NAMES})[-_ ]?[0-3]\d)(?!\d)"
)
LOOSE_DATE = re.compile(r"(?<!\d)(?:19|20)\d{2}(?:[0-3]\d{2}(?!\d)|[-_](?:0[1-9]|1[0-2])(?![\dA-Za-z]))")
"""Year and day of the year, or year and month: a date only if files differ in it."""
OTHER_DATE = re.compile(r"(?<!\d)((?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])(?:19|20)\d{2})(?!\d)")
"""Day, month and year without separators, which a series does not read: the digits can be another date with the year first."""
DATES = ("", ".txt", ".csv", ".dat", ".tsv")
"""Suffixes of files that may list the dates of the bands of a raster."""
LARGEST = 1_000_000
"""Largest size of such a file, in bytes."""


def member_of(folder: Path, path: Path, info: RasterInfo) -> Member:
    """Return a raster with its pattern. The date is searched in the name of the file, then in those of its folders.

    Further dates, such as that of the processing, may differ from file to file: ``*`` stands for them.
    """
    relative = path.relative_to(folder).as_posix()
    before, _, name = relative.rpartition("/")
    match = DATE.search(name) or next(reversed(list(DATE.finditer(before))), None)
    if match:
        pattern = DATE.sub(lambda m: "{date}" if m[0] == match[0] else "*", relative)
        return Member(path, info, str(folder / pattern), (match[0],), "")
    found = [DATE.search(text) for text in info.descriptions]
    days = tuple(m[0] for m in found if m) if all(found) and info.count > 1 else ()
    return Member(path, info, str(path), days, "")


def with_dates_beside(members: list[Member], files: list[Path], found: Found) -> list[Member]:
    """Return the rasters, with dates from a text file beside them where their bands have no names and no dates.

    The file is the only one in the folder of the raster with as many dates as the raster has bands.
    """
    unnamed = [m for m in members if not m.days and m.info.count > 1 and not any(m.info.descriptions)]
    folders = {member.path.parent for member in unnamed}
    lists = {path: dates for path in files if path.parent in folders and (dates := _dates_in(path))}
    new = {}
    for member in unnamed:
        near = {path: dates for path, dates in lists.items() if path.parent == member.path.parent}
        fitting = {path: dates for path, dates in near.items() if len(dates) == member.info.count}
        if len(set(fitting.values())) == 1:
            path, dates = next(iter(fitting.items()))
            new[member.path] = replace(member, days=dates, dates=str(path))
        elif fitting:
            listed = ", ".join(path.name for path in fitting)
            found.remarks.append(f"{member.path}: {listed} give different dates for its bands; choose one in 'dates'")
        elif near:
            listed = ", ".join(f"{path.name} ({len(dates)})" for path, dates in near.items())
            found.remarks.append(f"{member.path}: no file has {member.info.count} dates for its bands; found {listed}")
    return [new.get(member.path, member) for member in members]


def _dates_in(path: Path) -> tuple[str, ...]:
    """Return the dates of a small text file that has a column of dates; none for another file."""
    if path.suffix.lower() not in DATES or path.stat().st_size > LARGEST:
        return ()
    try:
        texts = declared_dates(path)
        read_times(texts)
    except (SourceError, ValueError, OSError):
        return ()
    return tuple(text.strip() for text in texts)


def with_known_dates(folder: Path, members: list[Member], found: Found) -> list[Member]:
    """Return the rasters with their dates as year, month and day.

    Rasters that differ only in a date that a series does not read are left out: they are no images without a date. A single
    raster with a text that is no date is an image without a date.
    """
    loose = with_loose_dates(folder, members)
    alike = Counter(OTHER_DATE.sub("", str(m.path)) for m in loose if not m.days and OTHER_DATE.search(m.path.stem))
    texts: dict[str, list[str]] = defaultdict(list)
    for member in loose:
        texts[member.pattern] += member.days
    days = {pattern: _days(written) for pattern, written in texts.items()}
    kept = []
    for member in loose:
        match = OTHER_DATE.search(member.path.stem)
        read = days[member.pattern]
        if isinstance(read, str) and len(texts[member.pattern]) == 1:
            found.remarks.append(f"{member.path}: used as an image without a date: {read}")
            kept.append(replace(member, pattern=str(member.path), days=()))
        elif isinstance(read, str):
            found.skipped.append(f"{member.path}: {read}, in the name of the file or its bands")
        elif not member.days and match and alike[OTHER_DATE.sub("", str(member.path))] > 1:
            found.skipped.append(
                f"{member.path}: a series needs the date as year, month, day, and the name has '{match[0]}'. Rename the file"
            )
        else:
            kept.append(replace(member, days=tuple(read[text] for text in member.days)))
    return kept


def with_loose_dates(folder: Path, members: list[Member]) -> list[Member]:
    """Return the rasters with a date where the names of several differ only in the day of the year, or in the month."""
    patterns = {}
    for member in (m for m in members if not m.days):
        relative = member.path.relative_to(folder).as_posix()
        before, _, name = relative.rpartition("/")
        if match := LOOSE_DATE.search(name) or next(reversed(list(LOOSE_DATE.finditer(before))), None):
            patterns[member.path] = (str(folder / relative.replace(match[0], "{date}")), match[0])
    alike = Counter(pattern for pattern, _ in patterns.values())
    return [
        replace(m, pattern=patterns[m.path][0], days=(patterns[m.path][1],))
        if m.path in patterns and alike[patterns[m.path][0]] > 1
        else m
        for m in members
    ]


def _days(texts: list[str]) -> dict[str, str] | str:
    """Return text → date in ISO 8601, for the dates of the files of one pattern; or why they are no dates."""
    try:
        times = read_times(texts)
    except ValueError as error:
        return str(error)
    return {text: f"{time:%Y-%m-%d}" for text, time in zip(texts, times, strict=True)}
