"""Series in a table (Parquet or CSV): for each sample and date, the values of the bands. There is no image to map.

A table is given to the scene as a raster one pixel wide, with a row for each sample, so that gaps are filled and
indices are computed as they are for images. Training and evaluation work on it; mapping does not.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from affine import Affine
from numpy.typing import NDArray

from bocage.errors import SourceError
from bocage.grid import Grid, Window
from bocage.shelf import did_you_mean
from bocage.sources.base import Decoding, SensorSpec
from bocage.sources.raster import fingerprint
from bocage.words import Note

SPEC = SensorSpec(
    "table", "series of samples in a Parquet or CSV table, long or wide; trains and evaluates, maps nothing"
)
NOWHERE = 'ENGCRS["rows of a table",EDATUM["samples"],CS[Cartesian,2],AXIS["(x)",east],AXIS["(y)",north],LENGTHUNIT["metre",1]]'
"""The coordinate system of a raster that lies nowhere."""


@dataclass(frozen=True)
class Settings:
    """What the recipe says of a table of series."""

    path: Path
    """A ``.parquet`` or ``.csv`` file."""
    id: str
    """Column of the sample's id; [reference] has the same field (``sample_id``)."""
    bands: dict[str, str]
    """Common name to column (long table), or to what stands for ``{band}`` in `wide`."""
    date: str = ""
    """Column of the date (long table: a row for each sample and date)."""
    wide: str = ""
    """Names of the columns of a wide table (a row for each sample), such as ``"{band}_{date}"``."""
    valid: str = ""
    """Column (long), or band (wide), that is true or above 0 where the sample was seen clearly."""
    scale: float = 1.0
    """``value = stored * scale + offset``."""
    offset: float = 0.0
    nodata: float | None = None
    """Stored value that means no data; empty cells and NaN always do."""
    decibel: Literal["", "power", "amplitude"] = ""
    """The scaled value is a power or an amplitude; give dB."""

    def __post_init__(self) -> None:
        if bool(self.date) == bool(self.wide):
            raise ValueError("give either 'date' (long table) or 'wide' (how columns are called)")
        if self.wide and not ("{band}" in self.wide and "{date}" in self.wide):
            raise ValueError("'wide' holds {band} and {date}, as in \"{band}_{date}\"")


@dataclass(frozen=True)
class TableSource:
    """Samples of a table, readable as a raster of one column; the ids tell which sample a row is."""

    name: str
    path: Path
    bands: tuple[str, ...]
    ids: tuple[str, ...]
    """Sample ids as text, sorted: one for each row of the grid."""
    times: tuple[datetime, ...]
    decoding: Decoding
    stored: NDArray[np.float32]
    """(sample, time, band), as stored; NaN where the table has none."""
    seen: NDArray[np.bool_]
    """(sample, time)."""
    notes: tuple[Note, ...] = ()

    @property
    def dated(self) -> bool:
        """Always."""
        return True

    @property
    def days(self) -> NDArray[np.int32]:
        """Days since 1970-01-01 of every date."""
        return np.array([np.datetime64(t, "D") for t in self.times]).astype(np.int32)

    @cached_property
    def grid(self) -> Grid:
        """One column, a row for each sample."""
        return Grid.of(NOWHERE, Affine(1, 0, 0, 0, -1, 0), (len(self.ids), 1))

    @property
    def described(self) -> tuple[str, ...]:
        """What its values depend on besides the file."""
        return (repr((self.bands, self.decoding)),)

    def over(self, grid: Grid) -> "TableSource":
        """Return itself."""
        return self

    def nests_in(self, grid: Grid) -> bool:
        """Whether `grid` is its own."""
        return grid == self.grid

    def touching(self, grid: Grid, window: Window) -> tuple[int, ...]:
        """No acquisition: a table is one file."""
        return ()

    def fingerprints(self, members: tuple[int, ...] | None = None) -> dict[str, str]:
        """Path to digest of the table."""
        return {str(self.path): fingerprint(self.path)}

    def read(
        self, grid: Grid, window: Window, resampling: str = "nearest"
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:  # fmt: skip
        """Values (time, band, y, x) in physical units and valid (time, y, x) of a window of its own grid."""
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


def open(name: str, settings: Settings) -> TableSource:  # noqa: A001 - the door's name
    """Read a table whole.

    Raises
    ------
    SourceError
        The file cannot be read, lacks a column, or has two rows for a sample and date.
    """
    frame = _read(settings.path)
    _need(frame, settings.id, settings)
    frame = (_long if settings.date else _melted)(frame, settings)
    twice = frame.duplicated(["id", "time"])
    if twice.any():
        row = frame[twice].iloc[0]
        raise SourceError(
            f"{settings.path}: sample {row.id} has two rows for {row.time:%Y-%m-%d}; keep one ({int(twice.sum())} such rows)."
        )
    ids, times = sorted(frame.id.unique()), sorted(frame.time.unique())
    stored = np.full((len(ids), len(times), len(settings.bands)), np.nan, np.float32)
    seen = np.zeros(stored.shape[:2], bool)
    place = (
        pd.Categorical(frame.id, categories=ids).codes,
        pd.Categorical(frame.time, categories=times).codes,
    )
    stored[place] = frame[list(settings.bands)].to_numpy(np.float32)
    seen[place] = frame.valid.to_numpy(bool)
    seen &= np.isfinite(stored).all(-1)
    if settings.nodata is not None:
        seen &= (stored != np.float32(settings.nodata)).all(-1)
    decoding = Decoding(settings.scale, settings.offset, settings.nodata, decibel=settings.decibel)
    moments = tuple(pd.Timestamp(t).to_pydatetime() for t in times)
    return TableSource(name, settings.path, tuple(settings.bands), tuple(ids), moments, decoding, stored, seen)


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise SourceError(f"{path} does not exist; check the path in the recipe (relative paths start at the recipe).")
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except Exception as error:  # pandas and pyarrow raise many kinds; each means that the file cannot be read
        raise SourceError(f"{path} cannot be read as a table: {' '.join(str(error).split())[:200]}.") from error


def _need(frame: pd.DataFrame, column: str, settings: Settings) -> None:
    if column not in frame.columns:
        names = [str(c) for c in frame.columns]
        raise SourceError(
            f"{settings.path} has no column '{column}'.{did_you_mean(column, names)} It has {', '.join(names[:20])}."
        )


def _long(frame: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Columns ``id``, ``time``, ``valid`` and the bands."""
    for column in (settings.date, *settings.bands.values(), *filter(None, [settings.valid])):
        _need(frame, column, settings)
    made = {"id": texts(frame[settings.id]), "time": _times(frame[settings.date], settings)}
    made["valid"] = frame[settings.valid].astype(float) > 0 if settings.valid else np.ones(len(frame), bool)
    return pd.DataFrame(made | {name: _numbers(frame[column], settings) for name, column in settings.bands.items()})


def _melted(frame: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Turn a wide table into a long one."""
    wanted = {column: name for name, column in settings.bands.items()} | {settings.valid: "valid"}
    pattern = re.escape(settings.wide).replace(r"\{band\}", "(?P<band>.+)").replace(r"\{date\}", r"(?P<date>\d[\d-]+)")
    found: dict[str, dict[str, str]] = {}
    for column in frame.columns:
        match = re.fullmatch(pattern, str(column))
        if match and match["band"] in wanted:
            found.setdefault(match["date"], {})[wanted[match["band"]]] = str(column)
    if not found:
        raise SourceError(
            f"{settings.path}: no column is called like {settings.wide} with one of {', '.join(settings.bands)}."
        )
    parts = []
    for date, columns in found.items():
        missing = [name for name in settings.bands if name not in columns]
        if missing:
            raise SourceError(f"{settings.path}: the date {date} has no column for {missing[0]}.")
        part = {name: _numbers(frame[columns[name]], settings) for name in settings.bands}
        clear = frame[columns["valid"]].astype(float) > 0 if "valid" in columns else np.ones(len(frame), bool)
        time = _times(pd.Series([date] * len(frame), index=frame.index), settings)
        parts.append(pd.DataFrame({"id": texts(frame[settings.id]), "time": time, "valid": clear, **part}))
    return pd.concat(parts, ignore_index=True)


def _times(values: Any, settings: Settings) -> Any:
    try:
        times = pd.to_datetime(values, utc=True, format=None if values.dtype.kind == "M" else "ISO8601")
    except (ValueError, TypeError) as error:
        raise SourceError(f"{settings.path}: {error}; dates are written like 2018-01-31.") from error
    return times.dt.tz_localize(None)


def _numbers(values: Any, settings: Settings) -> Any:
    try:
        return pd.to_numeric(values)
    except (ValueError, TypeError) as error:
        raise SourceError(f"{settings.path}, column {values.name}: {error}; bands are numbers.") from error


def texts(values: Any) -> Any:
    """Ids as text; whole numbers that a file holds as floats lose their ``.0``."""
    if values.dtype.kind == "f" and bool((values.dropna() % 1 == 0).all()):
        values = values.astype("Int64")
    return values.astype(str)
