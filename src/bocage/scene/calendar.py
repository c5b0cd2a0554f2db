"""Crop calendars: the days of a place are expressed as the days of another place at the same part of the season.

A crop calendar gives the usual start and end of the season of each crop, as those of FAO, GEOGLAM or a ministry of agriculture.
A model reads the time of an image as the day of the year. Where the seasons are earlier or later than in the training, the
difference between both calendars corrects the days. The shift is interpolated linearly between the starts and ends of the
classes, and across the end of the year. Measurements: docs/decisions/0034-climate.md.
"""

import functools
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bocage.days import YEAR
from bocage.errors import SceneError
from bocage.scene.thermal import changed_at
from bocage.textfile import read_rows

COLUMNS = ("class", "start", "end")


@dataclass(frozen=True)
class Calendar:
    """Crop calendar of the place, and that of the place whose days the model knows."""

    here: Path
    """CSV file with the columns ``class``, ``start`` and ``end`` (month and day, such as 10-01), one line per class: the seasons
    of this place."""
    like: Path
    """CSV file with the same columns and classes: the seasons where the model was trained."""

    def days(self, days: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the days of `like` that are at the same part of the season as `days` here, both in days since 1970-01-01.

        Raises
        ------
        SceneError
            A table cannot be read, the tables have other classes, or the dates of the classes follow in another order.
        """
        of_year, shift = _shifts(self.here, self.like, self.changed)
        dates = np.asarray(days, np.int64).astype("datetime64[D]")
        passed = (dates - dates.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) + 1
        return np.asarray(np.rint(days + np.interp(passed, of_year, shift, period=YEAR)), np.int32)

    @property
    def tables(self) -> tuple[Path, ...]:
        """Both tables."""
        return self.here, self.like

    @property
    def changed(self) -> tuple[int, ...]:
        """Modification times of the tables in nanoseconds; 0 where a table is missing."""
        return tuple(map(changed_at, self.tables))


@functools.lru_cache(maxsize=16)
def _shifts(here: Path, like: Path, changed: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return days of the year here, in order, and the days to add to each."""
    own, other = _read(here), _read(like)
    for one, table, missing in ((here, like, own.keys() - other.keys()), (like, here, other.keys() - own.keys())):
        if missing:
            raise SceneError(
                f"{table} has no line for the class '{min(missing)}' of {one}. Both crop calendars need the same classes: "
                "add the line, or remove the other."
            )
    dates = np.array([own[name] for name in own], float).ravel()
    shift = np.array([other[name] for name in own], float).ravel() - dates
    shift = (shift + YEAR / 2) % YEAR - YEAR / 2  # the nearest of the dates of all years
    known, which = np.unique(dates, return_inverse=True)
    mean = np.bincount(which, shift) / np.bincount(which)
    backwards = np.flatnonzero(np.diff([*(known + mean), known[0] + YEAR + mean[0]]) < 0)
    if len(backwards):
        first, second = (_named(own, day) for day in (known[backwards[0]], known[(backwards[0] + 1) % len(known)]))
        raise SceneError(
            f"{here} has {first} before {second}, and {like} has them in the other order, so that days would go backwards. "
            "Correct one of the dates, or remove a class from both crop calendars."
        )
    return known, mean


def _named(calendar: dict[str, tuple[int, int]], day: float) -> str:
    """Return a description of the first date of a calendar that is on a day of the year."""
    return next(
        f"the {edge} of '{name}'"
        for name, dates in calendar.items()
        for edge, date in zip(COLUMNS[1:], dates, strict=True)
        if date == day
    )


def _read(path: Path) -> dict[str, tuple[int, int]]:
    """Return class → days of the year of the start and the end of the season, of a year without 29 February."""
    need = "A crop calendar needs the columns class, start and end (month and day, such as 10-01)."
    try:
        rows = read_rows(path)
    except FileNotFoundError:
        raise SceneError(f"{path} does not exist. {need}") from None
    except ValueError as error:
        raise SceneError(f"{path} cannot be read: {error}. {need}") from error
    header = rows[0][1] if rows else []
    if any(column not in header for column in COLUMNS):
        raise SceneError(f"{path} has the columns {', '.join(header) or 'of an empty file'}. {need}")
    places, found = [header.index(column) for column in COLUMNS], dict[str, tuple[int, int]]()
    for line, cells in rows[1:]:
        name, start, end = (cells[place] if place < len(cells) else "" for place in places)
        if not name or name in found:
            raise SceneError(
                f"{path}, line {line}: the class '{name}' is {'given twice' if name else 'empty'}. {need} "
                "Two seasons of a crop are two classes, such as 'rice 1' and 'rice 2'."
            )
        found[name] = (_day(path, line, start), _day(path, line, end))
    if not found:
        raise SceneError(f"{path} has no class. {need}")
    return found


def _day(path: Path, line: int, text: str) -> int:
    try:
        return datetime.strptime(f"2023-{text}", "%Y-%m-%d").timetuple().tm_yday
    except ValueError:
        raise SceneError(f"{path}, line {line}: '{text}' is not a month and a day. Write 20 March as 03-20.") from None
