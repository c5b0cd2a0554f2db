"""Dates and times written as text → UTC: ISO 8601, with or without a zone, and the usual forms of file names.

These are the year last, if the order of day and month is certain; the name of the month; the day of the year; a month; the year
with two digits, if all dates are then valid, and not all are months.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

ADVICE = "Write dates as 2018-01-31"
MIDDLE = 15
"""Day of a date that is a month only, for example of a monthly composite."""
MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan janvier january", "feb fev fevrier february", "mar mars march", "apr avr avril april", "may mai",
            "jun juin june", "jul juil juillet july", "aug aou aout august", "sep sept septembre september",
            "oct octobre october", "nov novembre november", "dec decembre december",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
"""English and French names of months, without accents → number."""
MONTH_NAMES = "|".join(sorted(MONTHS, key=len, reverse=True))
"""Pattern of the names of months."""
IN_NAMES = "|".join(
    (
        r"\d{4}-\d{2}-\d{2}(?:T\d{2}[:-]?\d{2}[:-]?\d{2})?",
        r"\d{8}(?:T?\d{6})?",
        r"\d{4}_\d{2}_\d{2}|\d{4}\.\d{2}\.\d{2}",
        r"\d{2}-\d{2}-\d{4}|\d{2}_\d{2}_\d{4}|\d{2}\.\d{2}\.\d{4}",
        rf"\d{{1,2}}[-_ ]?(?i:{MONTH_NAMES})[-_ ]?\d{{4}}|\d{{4}}[-_ ]?(?i:{MONTH_NAMES})[-_ ]?\d{{2}}",
        r"(?<!\d)\d{7}(?!\d)",
        r"(?<!\d)\d{4}[-_]\d{2}(?!\d)",
        rf"(?<![A-Za-z])(?i:{MONTH_NAMES})[-_ ]?(?:19|20)\d{{2}}(?!\d)",
        rf"(?<!\d)(?:19|20)\d{{2}}[-_ ]?(?i:{MONTH_NAMES})(?![A-Za-z\d])",
    )
)
"""Pattern of the forms of dates in names of files, the most certain first."""

RARE = "|".join(
    (
        r"\d{4}-\d{2}-\d{2}[-T](?:[01]\d|2[0-3])[0-5]\d(?!\d)|\d{8}T(?:[01]\d|2[0-3])[0-5]\d(?!\d)",
        r"(?<!\d)(?:19|20)\d{2}[0-3]\d{2}T?\d{6}(?!\d)",
        r"(?<!\d)(?:19|20)\d{2}[-_.][0-3]\d{2}(?!\d)",
        r"(?<!\d)\d{6}(?!\d)",
    )
)
"""Pattern of further forms of dates, for names in which no form of ``IN_NAMES`` fits: minutes, day of the year with a separator
or a time, year with two digits."""
FOLDERS = r"(?:19|20)\d{2}/[01]?\d/[0-3]?\d|(?:19|20)\d{2}/[0-3]\d{2}|(?:19|20)\d{2}/(?:0[1-9]|1[0-2])"
"""Pattern of dates whose parts are folders: year, month and day; year and day of the year; year and month."""
OWN_DAY = r"(?<!\d)(?:(?<![A-Za-z])[0-3]?\d[-_ ]?|[0-3]\d)"
"""Day before the name of a month, in a name that is searched: the 2 of ``S2_Jan2018`` is a part of another word."""
YEAR = r"(?:19|20)\d{2}"
"""Pattern of a year."""
_IN_NAMES = re.compile(IN_NAMES.replace(r"\d{1,2}[-_ ]?(?i:", rf"{OWN_DAY}(?i:"))
_YEAR_FIRST = re.compile(r"(\d{4})([-/._])(\d{1,2})\2(\d{1,2})(\D.*)?")
_YEAR_LAST = re.compile(r"(\d{1,2})([-/._])(\d{1,2})\2(\d{4})(\D.*)?")
_DIGITS = re.compile(r"(\d{8})T?(\d{6})?")
_MINUTES = re.compile(r"(\d{4}-?\d{2}-?\d{2})[-T](\d{2})(\d{2})")
_SHORT = re.compile(r"\d{6}")
"""Year with two digits, month and day; or year and month."""
_NAMED = re.compile(
    rf"(?P<day>\d{{1,2}})[-_ ]?(?P<month>{MONTH_NAMES})[-_ ]?(?P<year>\d{{4}})"
    rf"|(?P<year2>\d{{4}})[-_ ]?(?P<month2>{MONTH_NAMES})[-_ ]?(?P<day2>\d{{1,2}})",
    re.I,
)
_DAY_OF_YEAR = re.compile(r"((?:19|20)\d\d)([0-3]\d\d)")
_DAY_AND_TIME = re.compile(r"((?:19|20)\d\d)[-_./]?([0-3]\d\d)(?:T?(\d{6}))?")
_MONTH = re.compile(r"((?:19|20)\d\d)[-_/](0[1-9]|1[0-2])")
_NAMED_MONTH = re.compile(
    rf"(?P<month>{MONTH_NAMES})[-_ ]?(?P<year>(?:19|20)\d\d)|(?P<year2>(?:19|20)\d\d)[-_ ]?(?P<month2>{MONTH_NAMES})",
    re.I,
)


def in_utc(time: datetime) -> datetime:
    """Return a time as UTC without time zone. A time without zone is UTC."""
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time


def looks_dated(text: str) -> bool:
    """Return whether a text has the form of a date, which may still not exist.

    >>> looks_dated("31/01/2018"), looks_dated("2018-01-31T10:00Z"), looks_dated("12")
    (True, True, False)
    """
    return any(
        form.fullmatch(text.strip()) for form in (_DIGITS, _YEAR_FIRST, _YEAR_LAST, _NAMED, _DAY_OF_YEAR, _MONTH)
    )


def dates_within(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Return the date in each text, such as the name of a band, and the rest of the text; no date if the text contains none.

    The number of the image in a stack of SNAP (``mst``, ``slv1``) is no part of the rest.

    >>> dates_within(["20180111_B02", "B02 2018-01-11", "nir"])
    [('20180111', '_B02'), ('2018-01-11', 'B02 '), ('', 'nir')]
    """
    found = [_IN_NAMES.search(text) for text in texts]
    rests = (re.sub(r"_(?:mst|slv\d+)(?=_|$)", "", _IN_NAMES.sub("", text)) for text in texts)
    return [(m[0] if m else "", rest) for m, rest in zip(found, rests, strict=True)]


def years_within(text: str) -> list[int]:
    """Return the years in a text, such as the name of a file; digits of a longer number are none.

    >>> years_within("lpis_2019_2020.gpkg"), years_within("20190501")
    ([2019, 2020], [])
    """
    return [int(year) for year in re.findall(rf"(?<!\d){YEAR}(?!\d)", text)]


def read_times(texts: Sequence[str]) -> list[datetime]:
    """Return dates or times written as text, as UTC without time zone. A time without zone is UTC.

    The texts are those of one column. Where the year is last, the day is the number that is above 12 in one of them.

    Raises
    ------
    ValueError
        A text is not a date, or the day and the month cannot be distinguished.

    >>> read_times(["2020-05-01T00:30:00+02:00"])
    [datetime.datetime(2020, 4, 30, 22, 30)]
    >>> [f"{time:%d %b}" for time in read_times(["01/05/2020", "13/05/2020"])]
    ['01 May', '13 May']
    >>> [f"{time:%d %b}" for time in read_times(["01Feb2020", "2020034", "2020_05"])]
    ['01 Feb', '03 Feb', '15 May']
    >>> [f"{time:%d %b %Y}" for time in read_times(["201801", "201802"]) + read_times(["180131"])]
    ['15 Jan 2018', '15 Feb 2018', '31 Jan 2018']
    """
    texts = _with_full_years(texts)
    matches = [_YEAR_LAST.fullmatch(text.strip()) for text in texts]
    month_first = _month_first([(match[0], int(match[1]), int(match[3])) for match in matches if match])
    return [
        _time(text) if match is None else _time("-".join(match.group(*order)) + (match[5] or ""), text)
        for order in [(4, 1, 3) if month_first else (4, 3, 1)]
        for text, match in zip(texts, matches, strict=True)
    ]


def _with_full_years(texts: Sequence[str]) -> list[str]:
    """Return texts in which dates of six digits are year and month (2018-01), or year, month and day (2018-01-31).

    Raises
    ------
    ValueError
        All of them can be both, or some can be neither.
    """
    short = [text for text in texts if _SHORT.fullmatch(text.strip())]
    if not short:
        return list(texts)
    months = all(_MONTH.fullmatch(f"{text.strip()[:4]}-{text.strip()[4:]}") for text in short)
    days = all(_is_day(text.strip()) for text in short)
    if months == days:
        raise ValueError(
            f"'{short[0]}' may be a year and a month, or a year with two digits, a month and a day. {ADVICE}"
            if months
            else f"'{short[0]}' is not a date. {ADVICE}"
        )
    full = {t: f"{t[:4]}-{t[4:]}" if months else f"{_full_year(t)}-{t[2:4]}-{t[4:]}" for t in map(str.strip, short)}
    return [full.get(text.strip(), text) for text in texts]


def _full_year(text: str) -> str:
    """Return the year of a date with two digits for the year, 1970 to 2069."""
    return f"{'19' if int(text[:2]) >= 70 else '20'}{text[:2]}"


def _is_day(text: str) -> bool:
    try:
        datetime(int(_full_year(text)), int(text[2:4]), int(text[4:]))
    except ValueError:
        return False
    return True


def _month_first(pairs: Sequence[tuple[str, int, int]]) -> bool:
    """Return whether the first number is the month, in (text, first number, second number) of each date.

    Raises
    ------
    ValueError
        Both orders are possible, or neither.
    """
    day_first = [text for text, first, _ in pairs if first > 12]
    month_first = [text for text, _, second in pairs if second > 12]
    if day_first and month_first:
        raise ValueError(f"'{day_first[0]}' has the day first and '{month_first[0]}' the month. {ADVICE}")
    if not (day_first or month_first):
        for text, first, second in pairs:
            if first != second:
                raise ValueError(f"'{text}' may have the day or the month first. {ADVICE}")
    return bool(month_first)


def _time(text: str, shown: str = "") -> datetime:
    """Return the time of a text with the year first; messages show `shown`, or the text itself."""
    text = text.strip()
    shown = shown or text
    if (match := _YEAR_FIRST.fullmatch(text)) and not _MINUTES.fullmatch(text):
        text = f"{match[1]}-{match[3]:0>2}-{match[4]:0>2}{match[5] or ''}"
    elif match := _MINUTES.fullmatch(text):
        text = f"{match[1]}T{match[2]}:{match[3]}"
    elif match := _DIGITS.fullmatch(text):
        text = f"{match[1]}T{match[2] or '000000'}"
    elif match := _NAMED.fullmatch(text):
        year, month, day = (match[part] or match[f"{part}2"] for part in ("year", "month", "day"))
        text = f"{year}-{MONTHS[month.lower()]:02}-{day:0>2}"
    elif match := _DAY_AND_TIME.fullmatch(text):
        text = _of_year(int(match[1]), int(match[2]), shown) + (f"T{match[3]}" if match[3] else "")
    elif match := _MONTH.fullmatch(text):
        text = f"{match[1]}-{match[2]}-{MIDDLE}"
    elif match := _NAMED_MONTH.fullmatch(text):
        year, month = (match[part] or match[f"{part}2"] for part in ("year", "month"))
        text = f"{year}-{MONTHS[month.lower()]:02}-{MIDDLE}"
    elif not text:
        raise ValueError(f"a date is missing. {ADVICE}")
    else:
        raise ValueError(f"'{shown}' is not a date. {ADVICE}")
    try:
        return in_utc(datetime.fromisoformat(re.sub(r"(T\d\d)-(\d\d)-(\d\d)$", r"\1:\2:\3", text)))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"'{shown}' is not a date ({error}). {ADVICE}") from error


def _of_year(year: int, day: int, shown: str) -> str:
    """Return the date of a day of a year, from 1.

    Raises
    ------
    ValueError
        The year has no such day.
    """
    found = datetime(year, 1, 1) + timedelta(days=day - 1)
    if day < 1 or found.year != year:
        raise ValueError(f"'{shown}' is not a date: {year} has no day {day}. {ADVICE}")
    return f"{found:%Y-%m-%d}"
