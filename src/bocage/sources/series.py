"""Time series of rasters: one file per variable with a band per date, or files per date whose name contains the date."""

import csv
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from bocage.errors import SourceError
from bocage.progress import QUIET, Progress
from bocage.sources.base import Acquisition, BandFile, Decoding, SensorSpec, clear_where_listed
from bocage.sources.raster import inspect

SPEC = SensorSpec("series", "time series of rasters: a file per variable or per date")
clear_mask = clear_where_listed
_DATE = r"(?P<date>\d{8}(?:T?\d{6})?|\d{4}-\d{2}-\d{2}(?:T\d{2}[:-]?\d{2}[:-]?\d{2})?)"


@dataclass(frozen=True)
class Settings:
    """Settings of a time series of rasters in the recipe.

    Give either `variables` (a path per variable) or `path` and `bands` (multi-band files, one per date). A path that contains
    ``{date}`` stands for one file per date. A path without ``{date}`` is a file with a band per date.
    """

    variables: dict[str, Path] = field(default_factory=dict)
    """Common name to path: ``blue = "S2_B02.tif"`` or ``blue = "*_{date}_B02.tif"``."""
    path: Path | None = None
    """Path of multi-band files, one per date; it must contain ``{date}``."""
    bands: tuple[str, ...] = ()
    """Common names of the bands of `path`, in file order."""
    dates: Path | tuple[str, ...] = ()
    """ISO dates in band order, or a CSV file with a column of dates; empty: the dates in the band descriptions."""
    scale: float = 1.0
    """Factor of the stored values: ``value = stored * scale + offset``."""
    offset: float = 0.0
    """Offset that is added to the scaled values, in the unit of the source."""
    nodata: float | None = None
    """Stored nodata value; default: the nodata value that each file declares."""
    quality: Path | None = None
    """Path of the quality layer, in the same layout as a variable."""
    clear: tuple[int, ...] = ()
    """Values of the quality layer that are clear; empty: all values but 0."""

    def __post_init__(self) -> None:
        if bool(self.variables) == bool(self.path):
            raise ValueError("a series needs either 'variables' or 'path' with 'bands'")
        if self.path and ("{date}" not in str(self.path) or not self.bands):
            raise ValueError("'path' must contain {date} and needs 'bands'; for one file per variable, use 'variables'")

    def decoding(self) -> Decoding:
        """Return scale, offset and nodata value."""
        return Decoding(self.scale, self.offset, self.nodata)


def find(settings: Settings, progress: Progress = QUIET) -> list[Acquisition]:
    """Return the acquisitions in order of time.

    Raises
    ------
    SourceError
        A file is missing or damaged, a date is invalid, or the variables do not have the same dates.
    """
    if settings.path:
        by_variable = {
            name: {time: BandFile(path, i, settings.decoding()) for time, path in _dated_files(settings.path).items()}
            for i, name in enumerate(settings.bands, start=1)
        }
        _check_band_counts(settings)
    else:
        by_variable = {name: _times(path, settings) for name, path in settings.variables.items()}
    quality = _times(settings.quality, settings) if settings.quality else {}
    times = _common_times(by_variable | ({"quality": quality} if settings.quality else {}))
    return [
        Acquisition(
            time,
            {name: files[time] for name, files in by_variable.items()},
            {"quality": quality[time]} if quality else {},
            settings.clear,
        )
        for time in times
    ]


def _check_band_counts(settings: Settings) -> None:
    assert settings.path is not None
    for path in _dated_files(settings.path).values():
        count = inspect(path).count
        if count != len(settings.bands):
            raise SourceError(
                f"{path} has {count} band(s), but 'bands' names {len(settings.bands)}. Name each band of the file."
            )


def _common_times(by_variable: dict[str, dict[datetime, BandFile]]) -> list[datetime]:
    first, *others = by_variable.items()
    for name, files in others:
        different = sorted(set(files) ^ set(first[1]))
        if different:
            shown = ", ".join(t.isoformat() for t in different[:3])
            raise SourceError(
                f"The variables {first[0]} and {name} do not have the same dates: {len(different)} differ (first: {shown}). "
                "Remove these dates, or declare two sources."
            )
    return sorted(first[1])


def _times(path: Path, settings: Settings) -> dict[datetime, BandFile]:
    if "{date}" in str(path):
        for found in (files := _dated_files(path)).values():
            inspect(found)
        return {time: BandFile(found, 1, settings.decoding()) for time, found in files.items()}
    info = inspect(path)
    texts = _declared_dates(settings.dates) or list(info.descriptions)
    if len(texts) != info.count:
        raise SourceError(
            f"{path} has {info.count} band(s), but {len(texts)} date(s) are declared in 'dates'. Give a date per band."
        )
    times = [_parse(text, f"{path}, band {i}") for i, text in enumerate(texts, start=1)]
    twice = sorted({t for t in times if times.count(t) > 1}) if len(set(times)) < len(times) else []
    if twice:
        raise SourceError(f"{path}: the date {twice[0].isoformat()} is repeated. Give one band per date and time.")
    return {time: BandFile(path, i, settings.decoding()) for i, time in enumerate(times, start=1)}


def _dated_files(pattern: Path) -> dict[datetime, Path]:
    """Return date to file, for the files that match a path with ``{date}`` (and ``*``) in its name or folders."""
    root = Path(pattern.anchor) if pattern.is_absolute() else Path()
    parts = [p for p in pattern.parts if p != pattern.anchor]
    while parts and "{date}" not in parts[0] and "*" not in parts[0]:
        root = root / parts.pop(0)
    tail = "/".join(parts)
    escaped = re.escape(tail).replace(r"\{date\}", _DATE, 1).replace(r"\{date\}", "(?P=date)").replace(r"\*", "[^/]*")
    found: dict[datetime, Path] = {}
    for path in sorted(root.glob(tail.replace("{date}", "*"))):
        match = re.fullmatch(escaped, path.relative_to(root).as_posix())
        if not match:
            continue
        time = _parse(match["date"], str(path))
        if time in found:
            raise SourceError(f"{found[time]} and {path} have the same date. Give them different times, or remove one.")
        found[time] = path
    if not found:
        raise SourceError(
            f"No file matches {pattern}. {{date}} stands for 20180131 or 2018-01-31, with or without a time after it."
        )
    return found


def _declared_dates(dates: Path | tuple[str, ...]) -> list[str]:
    if isinstance(dates, tuple):
        return list(dates)
    if not dates.exists():
        raise SourceError(f"The file of dates {dates} does not exist. Check 'dates' in the recipe.")
    with dates.open(newline="", encoding="utf-8-sig") as stream:
        rows = [row for row in csv.reader(stream) if row]
    for column in range(len(rows[0]) if rows else 0):
        texts = [row[column] for row in rows if column < len(row)]
        start = 0 if _is_date(texts[0]) else 1
        if len(texts) > start and all(_is_date(t) for t in texts[start:]):
            return texts[start:]
    raise SourceError(f"The file of dates {dates} has no column of ISO dates such as 2018-01-31.")


def _is_date(text: str) -> bool:
    return re.fullmatch(_DATE, text.strip()) is not None


def _parse(text: str, where: str) -> datetime:
    if not _is_date(text):
        raise SourceError(f"{where}: '{text}' is not a date such as 2018-01-31. Give the dates in 'dates'.")
    digits = re.sub(r"\D", "", text).ljust(14, "0")
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S")
    except ValueError as error:
        raise SourceError(f"{where}: '{text}' is not a date ({error}).") from error
