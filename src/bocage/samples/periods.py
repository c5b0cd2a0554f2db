"""Periods of labels: what a file says of a place holds for a season or a year, and other labels of the place for others."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from bocage.errors import SamplesError
from bocage.legend import plain
from bocage.samples.condition import day_text
from bocage.sources.times import YEAR, read_times

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

    A last day that is the first day of another period, or of the next year, is not included in the period, unless it is the only
    day. Features without a first or a last day are in no period.

    Raises
    ------
    SamplesError
        A value is no date or year, a period ends before it begins, or there are too many different ones.
    """
    columns = [frame[field].map(day_text) for field in fields]
    written = Counter(texts for texts in zip(*columns, strict=True) if all(texts))
    if len(written) > MOST:
        raise SamplesError(
            f"The labels hold for {len(written)} different periods (fields '{fields[0]}' and '{fields[1]}'), and a recipe has a "
            f"site for each, {MOST} at most. Write a field with the season of each label, and a file for each."
        )
    firsts, lasts = _days([texts[0] for texts in written], [texts[1] for texts in written], fields)
    begins = {firsts[a] for a, b in written if firsts[a] != lasts[b]}  # a period of one day follows no other
    found: list[Period] = []
    for texts in sorted(written, key=lambda texts: (firsts[texts[0]], lasts[texts[1]])):
        first, last = firsts[texts[0]], lasts[texts[1]]
        shared = last != first and (last in begins or _is_a_year_later(first, last))
        end = last - ONE_DAY if shared else last
        if end < first:
            raise SamplesError(
                f"{written[texts]} of the labels hold from {texts[0]} to {texts[1]} (fields '{fields[0]}' and '{fields[1]}'): "
                "the period ends before it begins. Correct these dates."
            )
        condition = " AND ".join(f'"{field}" = {_literal(text)}' for field, text in zip(fields, texts, strict=True))
        if found and (found[-1].first, found[-1].last) == (first, end):  # written in two ways
            condition = f"({found[-1].where}) OR ({condition})"
            found[-1] = Period("", first, end, condition, found[-1].count + written[texts])
        else:
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
    firsts, lasts = (frame[field].map(day_text) for field in fields)
    begins, ends = _days(firsts[firsts != ""], lasts[lasts != ""], fields)
    count = 0
    for name, first, last in zip(frame[sample_id].map(plain), firsts, lasts, strict=True):
        if name in spans and first and last:
            begin, end = spans[name]
            count += begin < begins[first] - NEAR or end > ends[last] + NEAR
    return count


def about_periods(
    frame: pd.DataFrame, fields: tuple[str, str], every: Sequence[Period], imaged: Sequence[Period]
) -> list[str]:
    """Return remarks on the periods of labels: those without images, blank ones, and those that overlap."""
    first, last = fields
    remarks = [
        f"{p.count} {'labels hold' if p.count > 1 else 'label holds'} from {p.first} to {p.last}, and no series has a date then: "
        f"{'they are' if p.count > 1 else 'it is'} not used"
        for p in (every if imaged else ())
        if p not in imaged
    ]
    blank = len(frame) - sum(p.count for p in every)
    if blank and imaged:
        have, are = ("labels have", "are") if blank > 1 else ("label has", "is")
        remarks.append(f"{blank} {have} no period (fields '{first}' and '{last}') and {are} not used")
    twice = [f"{a.name} and {b.name}" for a, b in itertools.pairwise(imaged) if b.first <= a.last]
    if twice:
        remarks.append(f"periods overlap ({', '.join(twice[:3])}): check the dates in 'period' of each site")
    if len(imaged) > 1:
        remarks.append(
            f"each label holds for a period (fields '{first}' and '{last}'), so each of the {len(imaged)} periods is a site of "
            "the recipe, with the images of this period. Labels at one place are in the same part of the split"
        )
    elif imaged:
        remarks.append(
            f"the labels hold from {imaged[0].first} to {imaged[0].last} (fields '{first}' and '{last}'): 'period' chooses the "
            "images of this time"
        )
    return remarks


def _days(
    firsts: Iterable[str], lasts: Iterable[str], fields: tuple[str, str]
) -> tuple[dict[str, date], dict[str, date]]:
    """Return text → date, of first days and of last days; a year is its first or its last day.

    Raises
    ------
    SamplesError
        A text is neither a date nor a year, or the order of day and month cannot be known.
    """
    begins, ends = dict.fromkeys(firsts), dict.fromkeys(lasts)
    others = [text for text in {**begins, **ends} if not re.fullmatch(YEAR, text)]
    try:
        dates = {text: time.date() for text, time in zip(others, read_times(others), strict=True)}
    except ValueError as error:
        raise SamplesError(
            f"The periods of the labels (fields '{fields[0]}' and '{fields[1]}') cannot be read: {error}."
        ) from error
    return (
        {text: dates.get(text) or date(int(text), 1, 1) for text in begins},
        {text: dates.get(text) or date(int(text), 12, 31) for text in ends},
    )


def _is_a_year_later(first: date, last: date) -> bool:
    return (last.year, last.month, last.day) == (first.year + 1, first.month, first.day)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _names(periods: list[Period]) -> list[str]:
    """Return a name for each period: its years if they differ from those of the others, else its days."""
    years = [f"{p.first.year}" if p.first.year == p.last.year else f"{p.first.year}-{p.last.year}" for p in periods]
    days = [f"{p.first} to {p.last}" for p in periods]
    return years if len(set(years)) == len(years) else days
