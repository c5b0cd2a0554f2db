"""Time series of rasters: one file per variable with a band per date, or files per date whose path contains the date."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from bocage.errors import SourceError
from bocage.progress import QUIET, Progress
from bocage.ranges import STORED, VALUE, Range, check_ranges
from bocage.sources.base import Acquisition, BandFile, SensorSpec, clear_where_listed
from bocage.sources.declared import Decoder, check_fractions, check_names, without_alpha, without_quality_as_alpha
from bocage.sources.image import quality_of
from bocage.sources.pattern import Match, matching, same_date
from bocage.sources.products import distinct
from bocage.sources.raster import inspect
from bocage.sources.times import dates_within, looks_dated, read_times
from bocage.textfile import read_rows

SPEC = SensorSpec("series", "time series of rasters: a file per variable or per date")
clear_mask = clear_where_listed
QUALITY = "quality"
"""Name of the bands of a stack that are its quality layer."""
_Place = tuple[datetime, str]
"""Time and tile of an acquisition."""


@dataclass(frozen=True)
class Settings:
    """Settings of a time series of rasters in the recipe.

    Give either `variables` (a path per variable) or `path` and `bands` (multi-band files, one per date). A path that contains
    ``{date}`` stands for one file per date. A path without ``{date}`` is a file with a band per date. ``{tile}`` stands for the
    part of the path in which the tiles of a mosaic differ: the tiles of one date become one date of the series.
    """

    variables: dict[str, Path] = field(default_factory=dict)
    """Common name to path: ``blue = "S2_B02.tif"`` or ``blue = "{tile}/*_{date}_B02.tif"``."""
    path: Path | None = None
    """Path of multi-band files, one per date, with ``{date}``; or of a stack, whose bands are several variables on several
    dates."""
    bands: tuple[str, ...] = ()
    """Common names of the bands of `path`, in file order; ``"-"`` skips a band. A name is repeated for each date of a stack; its
    quality layer is called ``"quality"`` if `quality` is the stack itself."""
    dates: Path | tuple[str, ...] = ()
    """Dates such as 2018-01-31 in band order, or a CSV file with a column of dates; empty: the dates in the band
    descriptions, as in 2018-01-31 or 20180131_B02."""
    scale: Annotated[float | None, Range(0, 1e12, above=True)] = None
    """Factor of the stored values: ``value = stored * scale + offset``; default: what each file declares, else 1."""
    offset: Annotated[float | None, Range(-1e12, 1e12)] = None
    """Offset that is added to the scaled values, in the unit of the source; default: what each file declares, else 0."""
    nodata: Annotated[float | None, STORED] = None
    """Stored nodata value; default: the value that each band declares. NaN and the mask or alpha band of a file always count."""
    decibel: Literal["", "power", "amplitude"] = ""
    """Conversion of the scaled values to dB, for radar stored as linear "power" or as "amplitude"; empty: no conversion."""
    quality: Path | None = None
    """Path of the quality layer, in the same layout as a variable."""
    quality_band: Annotated[int, Range(0, 65_535)] = 0
    """Band of the quality layer in files per date, from 1; 0: their only band."""
    clear: Annotated[tuple[int, ...], VALUE] = ()
    """Values of the quality layer that are clear; empty: all values but 0."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if bool(self.variables) == bool(self.path):
            raise ValueError("a series needs either 'variables' or 'path' with 'bands'")
        if self.path and not (self.bands and ("{date}" in str(self.path) or self.is_stack)):
            raise ValueError("'path' must contain {date} and needs 'bands'; for one file per variable, use 'variables'")

    @property
    def is_stack(self) -> bool:
        """Whether `path` is a raster whose bands are several variables on several dates: a name is repeated."""
        named = [name for name in self.bands if name != "-"]
        return bool(self.path) and "{date}" not in str(self.path) and len(set(named)) < len(named)


def find(settings: Settings, progress: Progress = QUIET) -> list[Acquisition]:
    """Return the acquisitions in order of time.

    Raises
    ------
    SourceError
        A file is missing or damaged, a date is invalid, a file has more bands than names, its descriptions contradict the names,
        or the variables do not have the same dates.
    """
    decoder = Decoder(settings.scale, settings.offset, settings.nodata, settings.decibel)
    read = _stacked if settings.is_stack else _multiband if settings.path else _single_band
    by_variable = read(settings, decoder)
    own = settings.is_stack and settings.quality == settings.path
    quality = by_variable.pop(QUALITY, {}) if own else _quality(settings) if settings.quality else {}
    places = _common_places(by_variable | ({"quality": quality} if settings.quality else {}))
    found = []
    for time, tile in places:
        files = {name: of_place[time, tile] for name, of_place in by_variable.items()}
        layers = {"quality": quality[time, tile]} if quality else {}
        if layers:
            files = without_quality_as_alpha(files, layers["quality"])
        found.append(Acquisition(time, files, layers, settings.clear, time.isoformat() if tile else ""))
    for acquisition in found:
        check_names(acquisition.files)
    for file in found[0].files.values():
        check_fractions(file)
    decoder.say(progress)
    return found


def _multiband(settings: Settings, decoder: Decoder) -> dict[str, dict[_Place, BandFile]]:
    """Return band to the files of `path`."""
    assert settings.path is not None
    files = _dated_files(settings.path)
    for path in files.values():
        count = inspect(path).count
        if count != len(settings.bands):
            raise SourceError(
                f"{path} has {count} band(s), but 'bands' names {len(settings.bands)}. "
                "Name each band of the file; '-' skips a band."
            )
    named = {name: i for i, name in enumerate(settings.bands, start=1) if name != "-"}
    distinct([name for name in settings.bands if name != "-"], "'bands'")
    if not named:
        raise SourceError(f"{settings.path}: 'bands' skips every band. Name at least one.")
    return {name: {place: decoder.of(path, i) for place, path in files.items()} for name, i in named.items()}


def _stacked(settings: Settings, decoder: Decoder) -> dict[str, dict[_Place, BandFile]]:
    """Return variable to the bands of `path`, a raster whose bands are several variables on several dates, or its tiles."""
    assert settings.path is not None
    found: dict[str, dict[_Place, BandFile]] = {name: {} for name in settings.bands if name != "-"}
    tiled = "{tile}" in str(settings.path)
    for match in matching(settings.path) if tiled else [Match(settings.path, "", "")]:
        path, info = match.path, inspect(match.path)
        texts = declared_dates(settings.dates) or [day for day, _ in dates_within(info.descriptions)]
        if not len(texts) == len(settings.bands) == info.count:
            raise SourceError(
                f"{path} has {info.count} band(s), 'bands' has {len(settings.bands)} name(s), and {len(texts)} date(s) are "
                "declared. Give a name and a date for each band; '-' skips a band."
            )
        for i, (name, time) in enumerate(zip(settings.bands, _times(texts, path), strict=True), start=1):
            if (time, match.tile) in found.get(name, {}):
                raise SourceError(
                    f"{path}: two bands are '{name}' of {time.isoformat()}. Give one band per name and date."
                )
            if name != "-":
                file = BandFile(path, i) if name == QUALITY else decoder.of(path, i)
                found[name][time, match.tile] = without_alpha(file)
    return found


def _single_band(settings: Settings, decoder: Decoder) -> dict[str, dict[_Place, BandFile]]:
    """Return variable to its files per date, or to the bands of its file per variable."""
    found = {}
    for name, pattern in settings.variables.items():
        if "{date}" in str(pattern):
            files = _dated_files(pattern)
            for path in files.values():
                count = inspect(path).count
                if count > 1:
                    raise SourceError(
                        f"{path} has {count} bands, and the variable '{name}' is one band. Give 'path' and 'bands' instead of "
                        "'variables' for files with several bands per date."
                    )
            found[name] = {place: decoder.of(path, 1) for place, path in files.items()}
        else:
            places = _bands_of(pattern, settings).items()
            found[name] = {place: without_alpha(decoder.of(path, i)) for place, (path, i) in places}
    return found


def _quality(settings: Settings) -> dict[_Place, BandFile]:
    assert settings.quality is not None
    if "{date}" in str(settings.quality):
        return {p: quality_of(path, settings.quality_band) for p, path in _dated_files(settings.quality).items()}
    places = _bands_of(settings.quality, settings).items()
    return {place: without_alpha(BandFile(path, i)) for place, (path, i) in places}


def _common_places(by_variable: dict[str, dict[_Place, BandFile]]) -> list[_Place]:
    first, *others = by_variable.items()
    for name, files in others:
        different = sorted(set(files) ^ set(first[1]))
        if different:
            shown = ", ".join(f"{time.isoformat()} {tile}".strip() for time, tile in different[:3])
            raise SourceError(
                f"The variables {first[0]} and {name} do not have the same dates: {len(different)} differ (first: {shown}). "
                "Remove these dates, or declare two sources."
            )
    return sorted(first[1])


def _bands_of(pattern: Path, settings: Settings) -> dict[_Place, tuple[Path, int]]:
    """Return the file and band of each date of a variable whose files have a band per date."""
    matches = matching(pattern) if "{tile}" in str(pattern) else [Match(pattern, "", "")]
    found: dict[_Place, tuple[Path, int]] = {}
    for match in matches:
        path, info = match.path, inspect(match.path)
        texts = declared_dates(settings.dates) or _described_dates(info.descriptions)
        if len(texts) != info.count:
            raise SourceError(
                f"{path} has {info.count} band(s), but {len(texts)} date(s) are declared in 'dates'. Give a date per band."
            )
        times = _times(texts, path)
        twice = sorted({t for t in times if times.count(t) > 1}) if len(set(times)) < len(times) else []
        if twice:
            raise SourceError(f"{path}: the date {twice[0].isoformat()} is repeated. Give one band per date and time.")
        found |= {(time, match.tile): (path, i) for i, time in enumerate(times, start=1)}
    return found


def _dated_files(pattern: Path) -> dict[_Place, Path]:
    """Return date and tile to file, for the files that match a path with ``{date}``."""
    matches = matching(pattern)
    try:
        times = read_times([match.date for match in matches])
    except ValueError as error:
        wrong = next((match.path for match in matches if f"'{match.date}'" in str(error)), pattern)
        raise SourceError(f"{wrong}: {error}, or give them in 'dates'.") from error
    found: dict[_Place, Match] = {}
    for time, match in zip(times, matches, strict=True):  # other texts can be the same date
        twin = found.setdefault((time, match.tile), match)
        if twin is not match:
            raise same_date(twin, match)
    return {place: match.path for place, match in found.items()}


def declared_dates(dates: Path | tuple[str, ...]) -> list[str]:
    """Return dates as they are written: those of a list, or those of the first column of dates of a text file.

    Raises
    ------
    SourceError
        The file does not exist, is no text, or has no column of dates.
    """
    if isinstance(dates, tuple):
        return list(dates)
    try:
        rows = [cells for _, cells in read_rows(dates)]
    except FileNotFoundError:
        raise SourceError(f"The file of dates {dates} does not exist. Check 'dates' in the recipe.") from None
    except ValueError as error:
        raise SourceError(f"The file of dates {dates} cannot be read: {error}. Save it as CSV in UTF-8.") from error
    columns = [[row[i] if i < len(row) else "" for row in rows] for i in range(len(rows[0]) if rows else 0)]
    dated = [texts[0 if looks_dated(texts[0]) else 1 :] for texts in columns]
    dated = [texts for texts in dated if texts and all(map(looks_dated, texts))]
    if not dated:
        raise SourceError(f"The file of dates {dates} has no column of dates such as 2018-01-31.")
    return next(filter(_readable, dated), dated[0])  # identifiers such as 20220001 look like dates


def _described_dates(descriptions: Sequence[str]) -> list[str]:
    """Return the dates in the names of the bands of a variable; the names themselves if they differ in more than the date."""
    within = dates_within(descriptions)
    same = len({rest for _, rest in within}) == 1 and all(day for day, _ in within)
    return [day for day, _ in within] if same else list(descriptions)


def _readable(texts: list[str]) -> bool:
    try:
        read_times(texts)
    except ValueError:
        return False
    return True


def _times(texts: list[str], path: Path) -> list[datetime]:
    try:
        return read_times(texts)
    except ValueError as error:
        raise SourceError(f"{path}: {error}, or give them in 'dates'.") from error
