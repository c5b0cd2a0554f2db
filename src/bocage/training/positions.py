"""Days of the series that a model compares by position: those of a scene beside those of its training.

A model without the day of the year as an input (a random forest, the boosted trees, most networks of regular dates) takes date
number 5 of a scene for date number 5 of its training. Where the two are not of the same part of the year, it classifies January
as April, and nothing in the values shows it. Series of other years have the same days of the year; leap years move them by a day.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bocage.days import YEAR, date_of
from bocage.scene import Scene
from bocage.training.records import CALENDAR, YEARS_BEFORE, Region, SourceRecord, source_records
from bocage.words import quantity

if TYPE_CHECKING:  # it imports this module
    from bocage.training.trained import Trained

MONTH = 30
"""Largest difference of the days of the year, in days, at which a model that compares dates by position is applied.
Monthly composites that are one position off are above it."""
LEAST = 2
"""Smallest difference that is mentioned, in days: leap years move a date by one day."""


def moved(then: SourceRecord, now: SourceRecord, opposite: bool = False) -> NDArray[np.float64]:
    """Return by how many days each date is later in the year than that of the training (T,), -183 to 183.

    Whole years are ignored. With `opposite`, the seasons are half a year apart, and a series that is moved by half a year is at
    its place. Empty where the dates have no position in common: another number of dates, or sources without days. Regular dates
    are compared by their first day, because their thermal days differ between two years.
    """
    if now.spec.dates != then.spec.dates or then.spec.dates == 1 or not _dated_alike(then, now):
        return np.zeros(0)
    if then.fill and now.fill:
        start, before = (date.fromisoformat(one.fill[1]) for one in (now, then) if one.fill)
        return _of_season(np.full(then.spec.dates, (start - before).days), opposite)
    known, days = then.by_position, now.by_position
    if then.spec.regular or now.spec.regular or len(known) != len(days):  # no days, or those of several sites
        return np.zeros(0)
    return _of_season(np.array(days) - np.array(known), opposite)


def _dated_alike(then: SourceRecord, now: SourceRecord) -> bool:
    return then.clock == now.clock != YEARS_BEFORE


def _of_season(days: NDArray[np.integer], opposite: bool) -> NDArray[np.float64]:
    """Return differences of days without whole years, or if that is less and `opposite`, without a half year too."""
    found = [_of_year(days), _of_year(days - YEAR / 2)][: 1 + opposite]
    return min(found, key=lambda one: float(np.abs(one).max()))


def _of_year(days: NDArray[Any]) -> NDArray[np.float64]:
    """Return differences of days without whole years, -183 to 183."""
    return np.asarray((days + YEAR / 2) % YEAR - YEAR / 2)


def half_a_year(trained: "Trained", scene: Scene, name: str) -> bool:
    """Return whether the dates of a source, compared by position, are half a year from those of the training."""
    if name not in trained.model.by_position or name not in scene.cubes:
        return False
    later = moved(trained.sources[name], source_records(scene, [name])[name])
    return bool(len(later)) and float(np.abs(_of_year(later - YEAR / 2)).max()) <= MONTH


def moved_differences(trained: "Trained", scene: Scene, name: str) -> Iterator[str]:
    """Yield why a model cannot map a source: a date is more than a month from that of the training at the same position."""
    then, now, later = _compared(trained, scene, name)
    if len(later) and trained.ties(name) and float(np.abs(later).max()) > MONTH:
        yield (
            f"source '{name}': {_worst(then, now, later)}, and {trained.title} compares dates by their position. Trained with "
            f"{spanned(then)}, found {spanned(now)}. {_remedy(then, now, later)}"
        )


def moved_remarks(trained: "Trained", scene: Scene) -> Iterator[str]:
    """Yield warnings: dates about half an interval, or more, from those of the training at the same position."""
    for name in sorted(trained.model.by_position & set(trained.footprints) & set(scene.cubes)):
        then, now, later = _compared(trained, scene, name)
        tied = trained.ties(name)
        if not tied:  # the number of dates may differ: only the start of the series can be compared
            later = later[:1] if len(later) else _first(then, now, trained.region.opposite(Region.of(scene)))
        least = max(LEAST, float(np.median(np.diff(then.by_position))) / 2) if tied else MONTH
        if len(later) and float(np.abs(later).max()) >= least:
            yield (
                f"Source '{name}': {_worst(then, now, later)}, and {trained.title} compares dates by their position: the map may "
                f"be less accurate. {_remedy(then, now, later)}"
            )


def _compared(trained: "Trained", scene: Scene, name: str) -> tuple[SourceRecord, SourceRecord, NDArray[np.float64]]:
    """Return the source in the training and in the scene, and the differences of their days; empty if not by position."""
    then, now = trained.sources[name], source_records(scene, [name])[name]
    if name not in trained.model.by_position:
        return then, now, np.zeros(0)
    return then, now, moved(then, now, trained.region.opposite(Region.of(scene)))


def _first(then: SourceRecord, now: SourceRecord, opposite: bool) -> NDArray[np.float64]:
    """Return by how many days the first date of a native series is later in the year (1,); empty for another source."""
    if then.spec.regular or now.spec.regular or not _dated_alike(then, now):
        return np.zeros(0)
    return _of_season(np.array([now.days[0] - then.days[0]]), opposite)


def _worst(then: SourceRecord, now: SourceRecord, later: NDArray[np.float64]) -> str:
    """Return the date that differs most, as a part of a sentence."""
    i = int(np.abs(later).argmax())
    days, unit = round(abs(float(later[i]))), "day" if then.clock == CALENDAR or then.fill else "thermal day"
    how = "later" if later[i] > 0 else "earlier"
    return (
        f"date {i + 1} is {quantity(days, unit)} {how} in the year than in the training "
        f"({_written(then, i)}, here {_written(now, i)})"
    )


def _written(record: SourceRecord, i: int) -> str:
    """Return a date of a record, from 0: a day, or a thermal day counted from 0."""
    if record.fill:
        return str(date.fromisoformat(record.fill[1]) + timedelta(record.fill[0] * i))
    day = date_of(record.by_position[i])
    return str(day) if record.clock == CALENDAR else f"thermal day {day.timetuple().tm_yday - 1}"


def spanned(record: SourceRecord) -> str:
    """Return number, first and last of the dates of a source."""
    count = record.spec.dates
    return f"{count} dates from {_written(record, 0)} to {_written(record, count - 1)}"


def _remedy(then: SourceRecord, now: SourceRecord, later: NDArray[np.float64]) -> str:
    """Return what to do: for regular dates the start that is at the place of that of the training."""
    if then.fill and now.fill:
        start = date.fromisoformat(now.fill[1]) - timedelta(round(float(later[0])))
        return f"Set 'start' of its 'fill' to {start}, and 'end' so that the number of dates is the same"
    return (
        "Use acquisitions of the same days of the year, or train again with the same 'fill' on both scenes, or with patchwork, "
        "which uses the day of the year"
    )
