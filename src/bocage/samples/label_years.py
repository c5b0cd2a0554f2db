"""Labels of several years in one file: the field of the year, and the labels that fit the dates of the images."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import pandas as pd

from bocage.legend import plain
from bocage.samples.label_field import unaccented
from bocage.samples.periods import MOST, ONE_DAY, Period
from bocage.sources.times import YEAR

FIELD = (
    r"(?i)year|jahr|annee|jaar|vuosi|ano|anyo|campanya|arslager|bezugsjahr|antragjahr|"
    r"(valid|obs|survey|sample|label|acqui)\w*date|date"
)
"""Pattern of the names of fields with the year or the date of a label, without accents."""
SEASON = 400
"""Longest series of one season, in days: it can begin before New Year."""
NEAR = 45
"""Number of days by which a series may be longer or shorter than whole years."""


@dataclass(frozen=True)
class Years:
    """Years of the labels in a field."""

    field: str
    counts: dict[int, int]
    """Year → number of labels, in order of time."""
    dates: bool
    """Whether the values are dates, and no years."""
    blank: int
    """Number of labels without a year."""

    @property
    def shown(self) -> str:
        """The years, with the field."""
        years = list(self.counts)
        return f"field '{self.field}': {', '.join(map(str, years[:6]))}" + ", …" * (len(years) > 6)

    def where(self, year: int) -> str:
        """Return the condition that selects the labels of a year."""
        name = self.field if re.fullmatch(r"[A-Za-z_]\w*", self.field, re.ASCII) else f'"{self.field}"'
        return f"{name} LIKE '{year}%'" if self.dates else f"{name} = {year}"


@dataclass(frozen=True)
class Chosen:
    """Labels that fit the dates of the images: those of one year, or of each year its own."""

    where: str = ""
    periods: list[Period] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def years_of(frame: pd.DataFrame, fields: Sequence[str]) -> Years | None:
    """Return the years in the first of the fields of years or dates that has some; None without such a field."""
    for name in fields:
        if re.fullmatch(FIELD, unaccented(name)):
            texts = frame[name].map(plain)
            found = [m for text in texts if (m := re.match(rf"{YEAR}(?!\d)", text))]
            counts = Counter(int(m[0]) for m in found)
            if counts:
                dates = any(m[0] != m.string for m in found)
                return Years(name, dict(sorted(counts.items())), dates, len(texts) - len(found))
    return None


def chosen(years: Years, days: Sequence[date]) -> Chosen:
    """Return the labels of several years that fit the dates of the images, in order of time.

    If the images are of one season, these are the labels of the year with most of the dates, else each year with images is a
    period. Days of a survey can lie on both sides of New Year, so dates of labels are a remark only.
    """
    inside = Counter(day.year for day in days if day.year in years.counts)
    several = f"the labels are of several years ({years.shown})"
    is_season = bool(days) and (days[-1] - days[0]).days <= SEASON
    if len(years.counts) < 2 or (years.dates and is_season and len(inside) == len(years.counts)):
        return Chosen()
    year = max(inside or years.counts, key=lambda y: (inside[y], y))
    condition = f'where = "{years.where(year)}"'
    if not inside or years.dates or len(inside) > MOST:
        return Chosen(
            remarks=[f"{several}, and all of them are used. For those of {year} only, add {condition} to [reference]"]
        )
    if len(inside) == 1 or is_season:
        rest = sum(years.counts.values()) + years.blank - years.counts[year]
        what = f"{several}, the images of {_listed(days)}: {condition} chooses those of {year}"
        return Chosen(years.where(year), remarks=[f"{what}; {_labels_are(rest)} not used"])
    periods = [
        Period(str(year), *span, years.where(year), years.counts[year])
        for year, span in _spans(sorted(inside), days).items()
    ]
    return Chosen("", periods, _about(several, years, periods))


def _about(several: str, years: Years, periods: Sequence[Period]) -> list[str]:
    """Return remarks on labels of several years with images."""
    spans = ", ".join(f"{p.name} from {p.first} to {p.last}" for p in periods[:3]) + ", …" * (len(periods) > 3)
    remarks = [
        f"{several}, so each of the {len(periods)} years with images is a site of the recipe, with the images of this year: "
        f"check the dates in 'period' of each site ({spans}). Labels at one place are in the same part of the split"
    ]
    rest = sum(years.counts.values()) + years.blank - sum(p.count for p in periods)
    return remarks + [f"{_labels_are(rest)} of other years or of none, and not used"] * (rest > 0)


def _spans(years: Sequence[int], days: Sequence[date]) -> dict[int, tuple[date, date]]:
    """Return the first and the last day of each year: the calendar year, or 12 months from the day of the first image.

    The latter holds if the series begins in the year before the first label, has as many years as the labels, and ends in the
    last one of them: these are seasons, which have the year of their end.
    """
    first, last = days[0], days[-1]
    whole = abs((last - first).days + 1 - 365.25 * len(years)) <= NEAR
    if whole and first.year == years[0] - 1 and last.year == years[-1] == years[0] + len(years) - 1:
        starts = [_in_year(first, year - 1) for year in [*years, years[-1] + 1]]
        return {year: (a, b - ONE_DAY) for year, a, b in zip(years, starts, starts[1:], strict=False)}
    return {year: (date(year, 1, 1), date(year, 12, 31)) for year in years}


def _in_year(day: date, year: int) -> date:
    """Return the same day in another year."""
    return (day - timedelta((day.month, day.day) == (2, 29))).replace(year=year)


def _listed(days: Sequence[date]) -> str:
    return ", ".join(str(year) for year in sorted({day.year for day in days})[:6])


def _labels_are(n: int) -> str:
    return f"{n} label is" if n == 1 else f"{n} labels are"
