"""Dates of the rasters of a folder: in their names, their folders and the names of their bands, or in a text file beside them."""

import re
import shlex
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from bocage.errors import SourceError
from bocage.sources import times
from bocage.sources.band_names import plain_name
from bocage.sources.found import Found, Member
from bocage.sources.identifiers import without_identifiers
from bocage.sources.raster import RasterInfo
from bocage.sources.series import declared_dates
from bocage.sources.stacks import numbered, stack_of, with_numbers
from bocage.sources.times import MONTH_NAMES, MONTHS, OWN_DAY, dates_within, looks_dated, read_times, years_within

DATE = re.compile(
    r"(?<!\d)(?:(?:19|20)\d{2}-[01]\d-[0-3]\d-(?:[01]\d|2[0-3])[0-5]\d(?![-\d])"
    r"|(?:19|20)\d{2}(?:(?P<hyphen>-?)[01]\d(?P=hyphen)[0-3]\d"
    r"(?:T\d{2}[:-]?\d{2}[:-]?\d{2}|\d{6}|T(?:[01]\d|2[0-3])[0-5]\d)?|_[01]\d_[0-3]\d|\.[01]\d\.[0-3]\d)"
    r"|[0-3]\d(?P<mark>[-_.])[0-3]\d(?P=mark)(?:19|20)\d{2}"
    rf"|{OWN_DAY}(?i:{MONTH_NAMES})[-_ ]?(?:19|20)\d{{2}}"
    rf"|(?:19|20)\d{{2}}[-_ ]?(?i:{MONTH_NAMES})[-_ ]?[0-3]\d(?!m(?![A-Za-z])))(?!\d)"
)
ACQUIRED = re.compile(r"(?<=\.A)(?:19|20)\d{2}[0-3]\d{2}(?=\.)")
"""Year and day of the year of the acquisition in the names of MODIS and VIIRS, before the time of the processing."""
STAMP = re.compile(r"(?<!\d)(?:19|20)\d{2}[0-3]\d{2}(?:T?\d{6})?(?!\d)")
"""Year and day of the year, with or without a time."""
FOLDERS = re.compile(rf"(?<![^/])(?:{times.FOLDERS})(?=/)")
"""A date whose parts are folders."""
LOOSE_DATE = re.compile(
    rf"{STAMP.pattern}|(?<!\d)(?:19|20)\d{{2}}(?:[-_.][0-3]\d{{2}}(?!\d)|[-_](?:0[1-9]|1[0-2])(?![\dA-Za-z]))"
    rf"|(?<![A-Za-z])(?i:{MONTH_NAMES})[-_ ]?(?:19|20)\d{{2}}(?!\d)|(?<!\d)(?:19|20)\d{{2}}[-_ ]?(?i:{MONTH_NAMES})(?![A-Za-z\d])"
)
"""Year and day of the year, or year and month: a date only if files differ in it."""
SHORT_DATE = re.compile(r"(?<![\d.])\d{6}(?![\d.]\d|\d)")
"""Year with two digits, month and day, or year and month: a date only if all files that differ in it have a valid one."""
FEWEST = 3
"""Fewest files whose names differ in a date of six digits, or in numbers that are no dates."""
NUMBER = re.compile(r"\d{6}|\d{4}[-_.]\d{3}")
"""Dates that can also be numbers of images."""
NUMBERS = re.compile(r"(?i)(?P<band>(?<![a-z\d])(?:b|band|bande)[-_ ]?\d+a?(?![a-z\d]))|\d+")
"""Numbers in a path; those of bands are in the group ``band``."""
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
    variables, days = stack_of(info.descriptions)
    if variables:
        return Member(path, info, str(path), days, "", variables=variables)
    relative = path.relative_to(folder).as_posix()
    before, _, name = relative.rpartition("/")
    if match := ACQUIRED.search(name):
        pattern = _placed(STAMP, match[0], relative)
        return Member(path, info, str(folder / pattern), (match[0],), "")
    if match := DATE.search(name) or next(reversed(list(DATE.finditer(before))), None):
        pattern = _placed(DATE, match[0], relative)
        return Member(path, info, str(folder / pattern), (match[0],), "")
    if match := FOLDERS.search(f"{before}/"):
        return Member(path, info, str(folder / relative.replace(match[0], "{date}", 1)), (match[0],), "")
    if monthly := _monthly(relative, info):
        return Member(path, info, str(path), monthly, "", monthly)
    return Member(path, info, str(path), _described_days(info.descriptions) if info.count > 1 else (), "")


def _described_days(descriptions: tuple[str, ...]) -> tuple[str, ...]:
    """Return the date in the name of each band; a month only where the names differ in nothing else. None if one has no date."""
    found = [DATE.search(text) for text in descriptions]
    if all(found):
        return tuple(match[0] for match in found if match)
    within = dates_within(descriptions)
    days = tuple(day for day, _ in within)
    return days if all(days) and len(set(days)) == len(days) and len({rest for _, rest in within}) == 1 else ()


def _placed(form: re.Pattern[str], text: str, relative: str) -> str:
    """Return a path with ``{date}`` for a text, and ``*`` for the other texts of the form."""
    return form.sub(lambda match: "{date}" if match[0] == text else "*", relative)


def several_variables(path: Path, info: RasterInfo) -> str:
    """Return why the bands of a file are no series, if they are several variables that do not have the same dates; else empty."""
    within = dates_within(info.descriptions)
    rests = [rest for _, rest in within]
    if not all(day for day, _ in within) or len({day for day, _ in within}) < 2 or len(set(rests)) < 2:
        return ""
    if stack_of(info.descriptions)[0]:
        return ""
    if len(set(within)) < len(within) or len(set(rests)) == len(rests):
        return ""
    shown, name = ", ".join(info.descriptions[:3]), plain_name(rests[0])
    bands = " ".join(f"-b {i}" for i, rest in enumerate(rests, start=1) if rest == rests[0])
    files = f"{shlex.quote(str(path))} {shlex.quote(f'{path.stem}_{name}.tif')}"
    return (
        f"its bands are {len(set(rests))} variables ({shown}, …) that do not have the same dates, as a series needs. "
        f"Write a file for each variable; for the first: gdal_translate {bands} {files}"
    )


def with_dates_beside(members: list[Member], files: list[Path], found: Found) -> list[Member]:
    """Return the rasters, with dates from a text file beside them where their bands have no names and no dates.

    The file is the only one in the folder of the raster with as many dates as the raster has bands.
    """
    unnamed = [m for m in members if not m.days and m.info.count > 1 and not any(m.info.descriptions)]
    stacks = [m for m in members if not m.days and numbered(m.info.descriptions)[0]]
    folders = {member.path.parent for member in (*unnamed, *stacks)}
    unread = dict[Path, str]()
    lists = {path: dates for path in files if path.parent in folders and (dates := _dates_in(path, unread))}
    new = {m.path: with_numbers(m, [x for x in lists.items() if x[0].parent == m.path.parent], found) for m in stacks}
    for member in unnamed:
        near = {path: dates for path, dates in lists.items() if path.parent == member.path.parent}
        fitting = {path: dates for path, dates in near.items() if len(dates) == member.info.count}
        if len(set(fitting.values())) == 1:
            path, dates = next(iter(fitting.items()))
            new[member.path] = replace(member, days=dates, dates=str(path))
        elif fitting:
            listed = ", ".join(path.name for path in fitting)
            found.remarks.append(f"{member.path}: {listed} give different dates for its bands; choose one in 'dates'")
        elif why := next((f"{p.name}: {text}" for p, text in unread.items() if p.parent == member.path.parent), ""):
            found.remarks.append(f"{member.path}: the dates of its bands are not read from {why}")
        elif near:
            listed = ", ".join(f"{path.name} ({len(dates)})" for path, dates in near.items())
            found.remarks.append(f"{member.path}: no file has {member.info.count} dates for its bands; found {listed}")
    return [new.get(member.path, member) for member in members]


def _dates_in(path: Path, unread: dict[Path, str]) -> tuple[str, ...]:
    """Return the dates of a small text file that has a column of dates; none for another file.

    `unread` gets the reason of a file whose texts have the form of dates, which cannot be read.
    """
    if path.suffix.lower() not in DATES or path.stat().st_size > LARGEST:
        return ()
    texts: Sequence[str] = ()
    try:
        texts = declared_dates(path)
        read_times(texts)
    except (SourceError, ValueError, OSError) as error:
        if texts and all(map(looks_dated, texts)):
            unread[path] = str(error)
        return ()
    return tuple(text.strip() for text in texts)


def with_known_dates(members: list[Member], found: Found) -> list[Member]:
    """Return the rasters with their dates as year, month and day.

    Rasters that differ only in a date that a series does not read are left out: they are no images without a date. A single
    raster with a text that is no date is an image without a date.
    """
    loose = without_identifiers(members, found)
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


def with_loose_dates(folder: Path, members: list[Member], found: Found) -> list[Member]:
    """Return the rasters with a date where the names of several differ only in the day of the year, the month, or six digits.

    Forms that can also be a number of an image become a remark.
    """
    loose = _dated_by(LOOSE_DATE, folder, members, 2)
    loose = _dated_by(SHORT_DATE, folder, loose, FEWEST)
    read = {old.path.parent: new for old, new in zip(members, loose, strict=True) if new.days != old.days}
    for member in (m for m in read.values() if NUMBER.fullmatch(m.days[0])):
        (day,) = read_times(member.days) if not SHORT_DATE.fullmatch(member.days[0]) else _first_day(member, loose)
        found.remarks.append(f"{member.pattern}: '{member.days[0]}' is read as the date {day:%Y-%m-%d}; check it")
    return loose


def _first_day(member: Member, members: list[Member]) -> list[datetime]:
    """Return the date of a raster, whose form the dates of the other rasters of its pattern show."""
    texts = [member.days[0], *(m.days[0] for m in members if m.pattern == member.pattern)]
    return read_times(texts)[:1]


def _dated_by(form: re.Pattern[str], folder: Path, members: list[Member], fewest: int) -> list[Member]:
    """Return the rasters with a date of a form, if enough files differ only in it and all of these texts are dates."""
    dated = {}
    for member in (m for m in members if not m.days):
        relative = member.path.relative_to(folder).as_posix()
        before, _, name = relative.rpartition("/")
        if match := form.search(name) or next(reversed(list(form.finditer(before))), None):
            pattern = _placed(form, match[0], relative)
            dated[member.path] = replace(member, pattern=str(folder / pattern), days=(match[0],))
    texts: dict[str, set[str]] = defaultdict(set)
    for member in dated.values():
        texts[member.pattern] |= set(member.days)
    fit = {pattern for pattern, own in texts.items() if len(own) >= fewest and not isinstance(_days(sorted(own)), str)}
    return [dated[m.path] if m.path in dated and dated[m.path].pattern in fit else m for m in members]


def _days(texts: list[str]) -> dict[str, str] | str:
    """Return text → date in ISO 8601, for the dates of the files of one pattern; or why they are no dates."""
    try:
        times = read_times(texts)
    except ValueError as error:
        return str(error)
    return {text: f"{time:%Y-%m-%d}" for text, time in zip(texts, times, strict=True)}


def remark_undated(folder: Path, members: list[Member], found: Found) -> None:
    """Add a remark if rasters of one grid differ only in numbers that are no dates, and if the bands of a raster are months."""
    alike = defaultdict(list)
    for member in (m for m in members if not m.days):
        name = NUMBERS.sub(lambda m: m["band"] or "#", member.path.relative_to(folder).as_posix())
        alike[name, (member.info.grid, member.info.count)].append(member)
    several = [group for group in alike.values() if len(group) >= FEWEST]
    if several:
        count, names = sum(map(len, several)), [member.path.name for member in several[0]]
        found.remarks.append(
            f"{count} images of one grid differ only in numbers that are not read as dates ({', '.join(names[:3])}, …), so each "
            "is an image without a date. If the numbers are dates, write dates in the names, as in 20180131 or 2018-01-31"
        )
    for member in members:
        if not member.days and len(_months(member.info)) > 1:
            found.remarks.append(
                f"{member.path}: its bands are months ({', '.join(member.info.descriptions[:3])}, …), and the year of each is "
                "not known. For a time series, use sensor 'series' with a date for each band in 'dates', as in 2018-01"
            )


def _months(info: RasterInfo) -> list[int]:
    """Return the month of each band, by the names of the bands; empty if they are no names of months."""
    names = [
        unicodedata.normalize("NFKD", text.strip().lower()).encode("ascii", "ignore").decode()
        for text in info.descriptions
    ]
    return [MONTHS[name] for name in names] if all(name in MONTHS for name in names) else []


def _monthly(relative: str, info: RasterInfo) -> tuple[str, ...]:
    """Return the dates of bands with names of months in order, of a raster with one year in its path; else none."""
    months, years = _months(info), set(years_within(relative))
    in_order = len(months) > 1 and months == sorted(set(months))
    return tuple(f"{min(years)}-{month:02}" for month in months) if in_order and len(years) == 1 else ()
