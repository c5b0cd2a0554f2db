"""Periods of labels: what a file says of a place holds for a season or a year, and other labels of the place for others."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from bocage.errors import SamplesError
from bocage.legend import plain
from bocage.sources.times import read_times

MOST = 20
"""Most periods that become sites of a recipe."""
ONE_DAY = timedelta(1)
NEAR = timedelta(31)
"""Time by which the series of a sample may begin before its period, or end after it: composites have a date of their own."""


@dataclass(frozen=True)
class Period:
    """A period, and the labels that hold for it."""

    name: str
    """Its year or years, or its first and its last day."""
    first: date
    last: date
    """Last day, included."""
    where: str
    """SQL condition that selects its labels."""
    count: int
    """Number of its labels."""


def periods_in(frame: pd.DataFrame, fields: tuple[str, str]) -> list[Period]:
    """Return the periods of the features of a file, in order of time, from the fields of their first and of their last day.

    A last day that is the first day of another period, or of the next year, is not included in the period.

    Raises
    ------
    SamplesError
        A value is no date or year, a period ends before it begins, or there are too many different ones.
    """
    written = Counter(zip(*(frame[field].map(plain) for field in fields), strict=True))
    written.pop(("", ""), None)
    if len(written) > MOST:
        raise SamplesError(
            f"The labels hold for {len(written)} different periods (fields '{fields[0]}' and '{fields[1]}'), and a recipe has a "
            f"site for each, {MOST} at most. Write a field with the season of each label, and a file for each."
        )
    days = {texts: (_day(texts[0], fields[0]), _day(texts[1], fields[1], last=True)) for texts in written}
    begins = {first for first, _ in days.values()}
    found = []
    for texts, (first, last) in sorted(days.items(), key=lambda one: one[1]):
        end = last - ONE_DAY if last in begins or _is_a_year_later(first, last) else last
        if end < first:
            raise SamplesError(f"A label holds from {texts[0]} to {texts[1]}: its period ends before it begins.")
        condition = " AND ".join(f'"{field}" = {_literal(text)}' for field, text in zip(fields, texts, strict=True))
        found.append(Period("", first, end, condition, written[texts]))
    return [Period(name, p.first, p.last, p.where, p.count) for name, p in zip(_names(found), found, strict=True)]


def outside(
    frame: pd.DataFrame, fields: tuple[str, str], spans: Mapping[str, tuple[date, date]], sample_id: str
) -> int:
    """Return the number of labelled samples whose series has dates that are not in the period of the label.

    Parameters
    ----------
    spans
        Identifier of a sample → first and last date of its series.
    sample_id
        Field with the identifier.

    Raises
    ------
    SamplesError
        A value is no date or year.
    """
    count = 0
    for name, first, last in zip(frame[sample_id].map(plain), *(frame[f].map(plain) for f in fields), strict=True):
        if name in spans and first and last:
            begin, end = spans[name]
            count += begin < _day(first, fields[0]) - NEAR or end > _day(last, fields[1], last=True) + NEAR
    return count


def _day(text: str, field: str, last: bool = False) -> date:
    """Return a date; of a year, its first or its last day.

    Raises
    ------
    SamplesError
        The text is neither.
    """
    if re.fullmatch(r"(19|20)\d\d", text):
        return date(int(text), 12, 31) if last else date(int(text), 1, 1)
    try:
        return read_times([text])[0].date()
    except ValueError as error:
        raise SamplesError(f"The period of a label cannot be read, field '{field}': {error}.") from error


def _is_a_year_later(first: date, last: date) -> bool:
    return (last.year, last.month, last.day) == (first.year + 1, first.month, first.day)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _names(periods: list[Period]) -> list[str]:
    """Return a name for each period: its years if they differ from those of the others, else its days."""
    years = [f"{p.first.year}" if p.first.year == p.last.year else f"{p.first.year}-{p.last.year}" for p in periods]
    days = [f"{p.first} to {p.last}" for p in periods]
    return years if len(set(years)) == len(years) else days
