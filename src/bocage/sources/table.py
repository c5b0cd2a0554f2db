"""Time series of samples in a table (Parquet or CSV): the band values of each sample and date, without an image.

A table is presented to the scene as a raster one pixel wide with a row per sample, so that gap filling and indices work as for
images. A table supports training and evaluation, but not mapping.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date as Day  # noqa: N812 - `date` is a setting
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from affine import Affine
from numpy.typing import NDArray

from bocage.errors import SourceError
from bocage.grid import Grid, Window
from bocage.ranges import STORED, VALUE, Range, check_ranges
from bocage.shelf import did_you_mean
from bocage.sources.base import FILL, Decoding, SensorSpec
from bocage.sources.raster import fingerprint
from bocage.sources.times import read_times
from bocage.textfile import read_text, separator_of
from bocage.vectorfile import PARQUET
from bocage.words import Note

SPEC = SensorSpec(
    "table", "time series of samples in a Parquet or CSV table, long or wide, for training and evaluation only"
)
NOWHERE = 'ENGCRS["rows of a table",EDATUM["samples"],CS[Cartesian,2],AXIS["(x)",east],AXIS["(y)",north],LENGTHUNIT["metre",1]]'
"""Coordinate reference system of a table: it has no location."""
DATED = r"\d[\dTZ:+./ -]*"
"""What ``{date}`` stands for in column names: a number, or a date with or without time and zone."""
MONTH = r"\d{4}(?:\d{2})?"
"""A year, or a year and a month."""
MISSING = (
    "nodata",
    "no data",
    "no_data",
    "masked",
    "missing",
    "none",
    "nan",
    "na",
    "n/a",
    "#n/a",
    "#value!",
    "null",
    "-",
    "--",
)
"""Words for a missing value in a column of numbers, in lower case."""
FEW = 0.6
"""Share of the dates of a table, 0 to 1, below which a sample has few of them: with the dates of two orbits, it has half."""
MILLISECONDS = (315_532_800_000, 4_102_444_800_000)
"""Milliseconds from 1970-01-01 to 1980 and to 2100. Dates as numbers, with hours and minutes, are smaller or larger."""
COMMA, POINT = (re.compile(rf"(?m)(?:^|[;\t])[ \"]*-?\d+{mark}\d+[ \"]*(?:[;\t\r]|$)") for mark in (",", r"\."))
"""A cell with a decimal comma, or point, between semicolons or tabulators."""
SHORTEST = 6
"""Fewest characters of a date in a column name, as in ``202401``."""


@dataclass(frozen=True)
class Settings:
    """Settings of a table of time series in the recipe."""

    path: Path
    """Path of a ``.parquet``, ``.csv`` or ``.tsv`` file."""
    id: str
    """Column of the sample id; ``sample_id`` in [reference] names the field with the same ids."""
    bands: dict[str, str]
    """Common name to column name (long table), or to the text that replaces ``{band}`` in `wide` (wide table)."""
    date: str = ""
    """Column of the date, for a long table (a row per sample and date)."""
    wide: str = ""
    """Pattern of the column names of a wide table (a row per sample), for example ``"{band}_{date}"``; ``*`` stands for any
    text."""
    start: Day | None = None
    """First date of a wide table whose columns are numbered, for example ``NDVI_1`` to ``NDVI_23``."""
    every: Annotated[int, Range(0, 366)] = 0
    """Days between two numbered columns, with `start`; 0: `{date}` stands for a date."""
    valid: str = ""
    """Column (long table) or band (wide table) that is true or above 0 where the observation is clear; empty: all are."""
    clear: Annotated[tuple[int, ...], VALUE] = ()
    """Values of `valid` where the observation is clear, for example 4, 5, 6 and 7 of SCL; empty: those above 0."""
    scale: Annotated[float, Range(0, 1e12, above=True)] = 1.0
    """Factor of the stored values: ``value = stored * scale + offset``."""
    offset: Annotated[float, Range(-1e12, 1e12)] = 0.0
    """Offset that is added to the scaled values, in the unit of the source."""
    nodata: Annotated[float | None, STORED] = None
    """Stored nodata value. Empty cells and NaN are always nodata."""
    decibel: Literal["", "power", "amplitude"] = ""
    """Conversion of the scaled value to dB, as "power" or "amplitude"; empty: no conversion."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if bool(self.date) == bool(self.wide):
            raise ValueError("give either 'date' (long table) or 'wide' (pattern of column names)")
        if self.wide and not ("{band}" in self.wide and "{date}" in self.wide):
            raise ValueError("'wide' must contain {band} and {date}, as in \"{band}_{date}\"")
        if self.clear and not self.valid:
            raise ValueError("'clear' has values of the column 'valid', which is missing: give it")
        if (self.start is None) != (self.every == 0) or (self.every and not self.wide):
            raise ValueError(
                "'start' and 'every' give the dates of numbered columns of a wide table: give both, with 'wide'"
            )


@dataclass(frozen=True)
class TableSource:
    """Samples of a table, read as a raster of one column. `ids` gives the sample of each row."""

    name: str
    path: Path
    bands: tuple[str, ...]
    ids: tuple[str, ...]
    """Sample ids as text, sorted, one per row of the grid."""
    times: tuple[datetime, ...]
    decoding: Decoding
    stored: NDArray[np.float32]
    """Stored values (sample, time, band); NaN where the table has none."""
    seen: NDArray[np.bool_]
    """(sample, time)."""
    notes: tuple[Note, ...] = ()
    columns: str = ""
    """Text of the settings that say what is read from which column."""

    @property
    def dated(self) -> bool:
        """True: each row of a table has a date."""
        return True

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Whether the table has a value of each sample, date and band, (sample, time, band)."""
        stored, nodata = self.stored, self.decoding.nodata
        there = np.abs(stored) < FILL
        return there if nodata is None else there & (stored != np.float32(nodata))

    @property
    def observed(self) -> NDArray[np.bool_]:
        """Whether each sample has a valid date, (sample,)."""
        return np.asarray(self.seen.any(1))

    @property
    def days(self) -> NDArray[np.int32]:
        """Days since 1970-01-01 of each date, int32 (time,)."""
        return np.array([np.datetime64(t, "D") for t in self.times]).astype(np.int32)

    @cached_property
    def own_dates(self) -> float:
        """Mean share of the dates of the table at which a sample has a value, 0 to 1, over the samples with a value."""
        seen = self.seen[self.seen.any(1)]
        return float(seen.mean()) if seen.size else 0.0

    @cached_property
    def own_span(self) -> float:
        """Median share of the period of the table that the series of a sample covers, above 0 and at most 1."""
        first, last = self.own_ends
        whole = int(self.days[-1] - self.days[0])
        return float(np.median(last - first + 1)) / (whole + 1) if len(first) else 1.0

    @property
    def own_ends(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """First and last day, since 1970-01-01, of the series of each sample with a value."""
        seen = self.seen[self.seen.any(1)]
        return self.days[seen.argmax(1)], self.days[::-1][seen[:, ::-1].argmax(1)]

    @cached_property
    def own_step(self) -> float:
        """Median number of days between two dates of a sample; 0 if no sample has two."""
        samples, dates = np.nonzero(self.seen)
        steps = np.diff(self.days[dates])[np.diff(samples) == 0]
        return float(np.median(steps)) if len(steps) else 0.0

    @property
    def different_dates(self) -> bool:
        """Whether the samples share few dates within the period that their series cover."""
        return self.own_dates < FEW * self.own_span

    @property
    def different_seasons(self) -> bool:
        """Whether the samples share few dates only because their series are of different periods, such as seasons."""
        return self.own_dates < FEW <= self.own_dates / self.own_span

    @cached_property
    def grid(self) -> Grid:
        """Grid of one column, with a row per sample."""
        return Grid.of(NOWHERE, Affine(1, 0, 0, 0, -1, 0), (len(self.ids), 1))

    @property
    def described(self) -> tuple[str, ...]:
        """Text of the settings that the values depend on besides the file; part of the digests."""
        return (repr((self.bands, self.decoding, self.columns)),)

    def over(self, grid: Grid) -> "TableSource":
        """Return the table itself: it has no location."""
        return self

    def nests_in(self, grid: Grid) -> bool:
        """Return whether `grid` is the grid of the table."""
        return grid == self.grid

    def touching(self, grid: Grid, window: Window) -> tuple[int, ...]:
        """Return no acquisition: a table is a single file."""
        return ()

    def fingerprints(self, members: tuple[int, ...] | None = None) -> dict[str, str]:
        """Return the path of the table to its digest."""
        return {str(self.path): fingerprint(self.path)}

    def read(
        self, grid: Grid, window: Window, resampling: str = "nearest"
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:  # fmt: skip
        """Return values (time, band, y, x) in physical units and valid (time, y, x), of a window of the grid of the table."""
        part = window.clip(grid.shape)
        rows, inner = slice(part.y, part.y + part.height), part.within(window)
        values = np.zeros((len(self.times), len(self.bands), window.height, window.width), np.float32)
        valid = np.zeros((len(self.times), window.height, window.width), bool)
        if part.height and part.width:
            stored, seen = self.stored[rows], self.seen[rows]
            physical = np.where(seen[..., None], self.decoding.physical(np.where(seen[..., None], stored, 1)), 0)
            values[(..., *inner)] = physical.transpose(1, 2, 0)[..., None]
            valid[(..., *inner)] = seen.T[..., None]
        return values, valid


def open(name: str, settings: Settings) -> TableSource:  # noqa: A001 - name required by Opener
    """Read a table into memory and return it as a source.

    Raises
    ------
    SourceError
        The file cannot be read, lacks a column, has invalid values, or has two rows for a sample and date.
    """
    frame = read_table(settings.path, {settings.id: str})
    _need(frame, settings.id, settings)
    written, frame = frame, (_long if settings.date else _melted)(frame, settings).drop_duplicates()
    twice = frame.duplicated(["id", "time"])
    if twice.any():
        row, several = frame[twice].iloc[0], _told_apart(written, frame, settings)
        raise SourceError(
            f"{settings.path}: sample {row.id} has two rows for {row.time:%Y-%m-%d} ({int(twice.sum())} such rows). "
            + (several or "Keep one.")
        )
    ids, times = sorted(frame.id.unique()), sorted(frame.time.unique())
    stored = np.full((len(ids), len(times), len(settings.bands)), np.nan, np.float32)
    seen = np.zeros(stored.shape[:2], bool)
    place = (
        pd.Categorical(frame.id, categories=ids).codes,
        pd.Categorical(frame.time, categories=times).codes,
    )
    with np.errstate(over="ignore"):  # fill values of 64 bits, such as -1.8e308, become infinite, and are no data
        stored[place] = frame[list(settings.bands)].to_numpy(np.float32)
    seen[place] = frame.valid.to_numpy(bool)
    seen &= (np.abs(stored) < FILL).all(-1)
    if settings.nodata is not None:
        seen &= (stored != np.float32(settings.nodata)).all(-1)
    decoding = Decoding(settings.scale, settings.offset, settings.nodata, decibel=settings.decibel)
    moments = tuple(pd.Timestamp(t).to_pydatetime() for t in times)
    columns = repr(replace(settings, path=Path())).replace(", clear=()", "")  # the text of versions without it
    return TableSource(
        name, settings.path, tuple(settings.bands), tuple(ids), moments, decoding, stored, seen, columns=columns
    )


def _told_apart(written: pd.DataFrame, rows: pd.DataFrame, settings: Settings) -> str:
    """Return what to do if a column tells the rows of a sample and date apart, as the pixels of a field; else an empty text."""
    if settings.wide:
        return ""
    values, own = {settings.id, settings.date, settings.valid, *settings.bands.values()}, written.loc[rows.index]
    for column in (c for c in own.columns if c not in values):
        of_one = not (own.groupby(column)[settings.id].nunique() > 1).any() and own[column].duplicated().any()
        if of_one and not pd.DataFrame({"own": own[column], "time": rows.time}).duplicated().any():
            return (
                f"Column '{column}' tells them apart: a '{settings.id}' has several. Set id = \"{column}\", and write a "
                f"reference with a row for each '{column}': its label, and '{settings.id}', which is polygon_id of [reference], "
                "so that the split keeps them together."
            )
    return ""


def read_table(path: Path, text: Any = None) -> pd.DataFrame:
    """Return the columns of a Parquet or CSV file; `text` is the data type of the columns of a CSV file, for pandas.

    Raises
    ------
    SourceError
        The file is missing, cannot be read, or has cells without a column name.
    """
    if not path.exists():
        raise SourceError(
            f"{path} does not exist. Check the path in the recipe (paths are relative to the recipe file)."
        )
    try:
        return _parquet(path) if path.suffix.lower() in PARQUET else _csv(path, text)
    except Exception as error:  # pandas and pyarrow raise many types; all mean that the file is unreadable
        raise SourceError(
            f"{path} cannot be read as a table: {' '.join(str(error).split())[:200].rstrip('.')}."
        ) from error


def _parquet(path: Path) -> pd.DataFrame:
    """Return a Parquet file; the named levels of an index that pandas has written, such as id and date, are columns."""
    frame = pd.read_parquet(path)
    named = [name for name in frame.index.names if name is not None and name not in frame.columns]
    return frame.reset_index(named) if named else frame


def _csv(path: Path, text: Any) -> pd.DataFrame:
    content = read_text(path)
    separator = separator_of(content)
    comma = separator != "," and bool(COMMA.search(content)) and not POINT.search(content)
    frame = pd.read_csv(
        io.StringIO(content), sep=separator, dtype=text, skipinitialspace=True, keep_default_na=text is not str,
        na_values=[""], decimal="," if comma else ".",
    )  # fmt: skip
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes surplus cells as an index
        raise ValueError("its rows have more cells than its first line has names. Name every column")
    return frame


def _need(frame: pd.DataFrame, column: str, settings: Settings) -> None:
    if column not in frame.columns:
        names = [str(c) for c in frame.columns]
        raise SourceError(
            f"{settings.path} has no column '{column}'.{did_you_mean(column, names)} Its columns are {', '.join(names[:20])}."
        )


def _long(frame: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return the table with the columns ``id``, ``time``, ``valid`` and the bands."""
    for column in (settings.date, *settings.bands.values(), *filter(None, [settings.valid])):
        _need(frame, column, settings)
    columns = {"id": texts(frame[settings.id]), "time": _times(frame[settings.date], settings)}
    columns["valid"] = _clear(frame[settings.valid], settings) if settings.valid else np.ones(len(frame), bool)
    return pd.DataFrame(columns | {name: _numbers(frame[column], settings) for name, column in settings.bands.items()})


def _melted(frame: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return a wide table as a long table, with the columns of :func:`_long`."""
    found = _wide_columns(frame, settings)
    times = _times_of(list(found), settings)
    parts = []
    for date, columns in found.items():
        missing = [name for name in settings.bands if name not in columns]
        if missing:
            raise SourceError(f"{settings.path}: the date {date} has no column for {missing[0]}.")
        part = {name: _numbers(frame[columns[name]], settings) for name in settings.bands}
        clear = _clear(frame[columns["valid"]], settings) if "valid" in columns else np.ones(len(frame), bool)
        parts.append(pd.DataFrame({"id": texts(frame[settings.id]), "time": times[date], "valid": clear, **part}))
    return pd.concat(parts, ignore_index=True)


def _wide_columns(frame: pd.DataFrame, settings: Settings) -> dict[str, dict[str, str]]:
    """Return date, as written → band, or ``valid`` → column of a wide table.

    Raises
    ------
    SourceError
        No column has a band and a date, or two columns have the same.
    """
    wanted = {column: name for name, column in settings.bands.items()} | {settings.valid: "valid"}
    bands = "|".join(map(re.escape, sorted(filter(None, wanted), key=len, reverse=True)))
    pattern = re.escape(settings.wide).replace(r"\{band\}", f"(?P<band>{bands})").replace(r"\*", ".*?")
    pattern = pattern.replace(r"\{date\}", f"(?P<date>{DATED})")
    found: dict[str, dict[str, str]] = {}
    for column in map(str, frame.columns):
        if not (match := re.fullmatch(pattern, column)):
            continue
        own, name = found.setdefault(match["date"], {}), wanted[match["band"]]
        if name in own:
            raise SourceError(
                f"{settings.path}: columns '{own[name]}' and '{column}' have the same band and date. Remove one of them."
            )
        own[name] = column
    if not found:
        raise SourceError(
            f"{settings.path}: no column matches {settings.wide}, with {', '.join(settings.bands.values())} for {{band}} and "
            f"a date or a number for {{date}}. Its columns are {', '.join(map(str, frame.columns[:10]))}."
        )
    return found


def _times_of(found: Sequence[str], settings: Settings) -> dict[str, np.datetime64]:
    """Return text in a column name → time. Numbered columns count from the lowest number, at `start`.

    Raises
    ------
    SourceError
        The columns are numbered, and the recipe does not give their dates.
    """
    if settings.start is None:
        if short := [text for text in found if len(text) < SHORTEST]:
            raise SourceError(
                f"{settings.path}: '{short[0]}' in a column name is a number, not a date. Give the date of the first column and "
                "the days between columns: start = 2024-01-01, every = 10."
            )
        return dict(zip(found, _read_times(found, settings), strict=True))
    numbers = {text: int(text) for text in found if text.isdecimal()}
    if odd := [text for text in found if text not in numbers]:
        raise SourceError(f"{settings.path}: '{odd[0]}' in a column name is no number. Remove 'start' and 'every'.")
    first = min(numbers.values())
    days = {text: settings.start + timedelta((n - first) * settings.every) for text, n in numbers.items()}
    return {text: np.datetime64(day, "us") for text, day in days.items()}


def _times(values: Any, settings: Settings) -> Any:
    """Return a column of dates as times in UTC."""
    if values.isna().any():
        raise SourceError(
            f"{settings.path}: {int(values.isna().sum())} rows have no date. Add it, or remove these rows."
        )
    if values.dtype.kind == "M":
        return pd.to_datetime(values, utc=True).dt.tz_localize(None)
    if in_milliseconds(values):
        return pd.to_datetime(values.astype("int64"), unit="ms")
    codes, written = pd.factorize(texts(values))
    return _read_times(list(written), settings)[codes]


def in_milliseconds(values: Any) -> bool:
    """Return whether a column has milliseconds since 1970-01-01, of 1980 or later, as Google Earth Engine writes times."""
    known = values.dropna()
    return values.dtype.kind in "iuf" and len(known) > 0 and bool(known.between(*MILLISECONDS).all())


def _read_times(written: Sequence[str], settings: Settings) -> NDArray[np.datetime64]:
    """Return times written as text; a year or a month stands for its first day."""
    whole = [f"{text}0101"[:8] if re.fullmatch(MONTH, text) else text for text in written]
    try:
        return np.array(read_times(whole), "datetime64[us]")
    except ValueError as error:
        raise SourceError(f"{settings.path}: {error}.") from error


def _numbers(values: Any, settings: Settings) -> Any:
    try:
        found = numbers_in(values.to_frame())
        return pd.to_numeric(values) if found is None else found.iloc[:, 0]
    except (ValueError, TypeError) as error:
        raise SourceError(f"{settings.path}, column {values.name}: {error}. Bands must be numbers.") from error


def numbers_in(frame: pd.DataFrame) -> pd.DataFrame | None:
    """Return columns as numbers, NaN where a cell has one of the words for a missing value; None if a cell is no number."""
    found = {}
    for name, values in frame.items():
        column = values
        if column.dtype.kind not in "iufb":
            if column.dtype.kind in "mM":
                return None
            column = column.where(~column.astype(str).str.strip().str.lower().isin(MISSING))
        try:
            found[name] = pd.to_numeric(column)
        except (ValueError, TypeError):
            return None
    return pd.DataFrame(found, index=frame.index)


def _clear(values: Any, settings: Settings) -> Any:
    """Return whether each value of the column ``valid`` is one of ``clear``, or without it above 0; false where there is none.

    Raises
    ------
    SourceError
        The column holds text.
    """
    try:
        numbers = pd.to_numeric(values).astype("Float64")
    except (ValueError, TypeError) as error:
        raise SourceError(
            f"{settings.path}, column {values.name}: {error}. A clear sample has a number above 0 or true, the others 0 or false."
        ) from error
    if not settings.clear:
        return numbers.fillna(0).gt(0).to_numpy(bool)
    return numbers.isin(settings.clear).fillna(False).to_numpy(bool)


def texts(values: Any) -> Any:
    """Return ids as text. Whole numbers that are stored or written as floats are without ``.0``."""
    if values.dtype.kind == "f" and bool((values.dropna() % 1 == 0).all()):
        values = values.astype("Int64")
    written = values.astype(str)
    whole = written[values.notna()].str.fullmatch(r"-?\d+\.0")
    return written.str.removesuffix(".0") if len(whole) and whole.all() else written
