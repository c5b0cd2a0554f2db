"""Land cover of earlier years as a series: a date per year, a band per class, from rasters or polygons of class codes.

A band is 1 where the pixel had its class in that year, or the confidence of the class if it is known, and 0 elsewhere. A pixel
without a code in a year is masked in that year. Networks do not know the years themselves, only how many years before the
season of the map each one is, so that a model can be used for another season.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SourceError
from bocage.grid import Grid, Window
from bocage.legend import plain
from bocage.ranges import VALUE, Range, check_ranges
from bocage.sources.base import YEARS, Decoding, SensorSpec
from bocage.sources.codes import MISSING, PolygonCodes, RasterCodes, Table, polygon_codes
from bocage.sources.raster import inspect
from bocage.textfile import identifier
from bocage.words import Note

SPEC = SensorSpec("history", "land cover or declarations of earlier years: a date per year, a band per class")
STEP = 395
"""Days between two years on the clock of networks: a year and a month, so that each year has its own day of the year."""
LISTED = 20
"""Maximum number of codes listed in a message."""


@dataclass(frozen=True)
class Settings:
    """Settings of the history in the recipe. Give either `rasters`, or `path` and `fields`."""

    classes: Annotated[dict[str, tuple[int | str, ...]], VALUE] = field(default_factory=dict)
    """Class of the history to its codes: ``{ cereals = [1, 2], grass = ["PPH", "PTR"] }``. The classes are the bands of the
    source. They need not be those of the legend. A code that no class has, and that is not in `missing`, is an error."""
    rasters: dict[str, Path] = field(default_factory=dict)
    """Year to a raster of class codes: ``{ 2020 = "map_2020.tif", 2021 = "map_2021.tif" }``."""
    confidence: dict[str, Path] = field(default_factory=dict)
    """Year to a raster with the confidence of `rasters`, 0 to 100; a pixel without a confidence is masked. Default: 100."""
    path: Path | None = None
    """Vector file of polygons, such as declared parcels, with a field of class codes for each year."""
    fields: dict[str, str] = field(default_factory=dict)
    """Year to the field of `path` with the codes: ``{ 2020 = "crop_2020", 2021 = "crop_2021" }``."""
    layer: str = ""
    """Layer of `path`; empty: the only layer that has geometries."""
    where: str = ""
    """SQL condition that selects polygons of `path`; empty: all."""
    missing: Annotated[tuple[int | str, ...], VALUE] = (0,)
    """Codes that stand for no data. Nodata of a raster and empty values of a field always do."""
    season: Annotated[int, Range(0, YEARS[1])] = 0
    """Year of the map, after all years of the history. Default, 0: the year after the last one."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if bool(self.rasters) == bool(self.path) or bool(self.path) != bool(self.fields):
            raise ValueError("a history needs either 'rasters', or 'path' and 'fields'")
        years = list(self.rasters or self.fields)
        if odd := [year for year in (*years, *self.confidence) if not (year.isdecimal() and len(year) == 4)]:
            raise ValueError(f"a year must be written with four digits; found '{odd[0]}'")
        if lacking := [year for year in self.confidence if year not in self.rasters]:
            raise ValueError(f"'confidence' has the year {lacking[0]}, which 'rasters' does not have")
        if self.season and self.season <= max(map(int, years)):
            raise ValueError(f"'season' must be after the years of the history; found {self.season} and {max(years)}")


@dataclass(frozen=True)
class HistorySource:
    """Codes of several years, read as a series of class indicators."""

    name: str
    settings: Settings
    years: tuple[int, ...]
    """Years, ascending."""
    codes: RasterCodes | PolygonCodes
    map: Grid | None = None
    """Grid of the map; None before :meth:`over`."""
    notes: tuple[Note, ...] = ()

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the classes of the history as letters, digits and underscores."""
        return tuple(identifier(name) for name in self.settings.classes)

    @cached_property
    def table(self) -> Table:
        """Position of the class of each code."""
        listed = {plain(code): k for k, codes in enumerate(self.settings.classes.values()) for code in codes}
        return Table({**{plain(code): MISSING for code in self.settings.missing}, **listed})

    @property
    def times(self) -> tuple[datetime | None, ...]:
        """An entry for each year, without a time: the dates of the map are those of the imagery."""
        return (None,) * len(self.years)

    @property
    def dated(self) -> bool:
        """False: a history has years, not acquisitions."""
        return False

    @property
    def days(self) -> NDArray[np.int32]:
        """The first of January of each year, as days since 1970-01-01."""
        return np.array([f"{year}-01-01" for year in self.years], "datetime64[D]").astype(np.int32)

    @property
    def clock(self) -> NDArray[np.int32]:
        """Days that networks use as time input: the same for years that lie equally far before the season of the map."""
        season = self.settings.season or self.years[-1] + 1
        return np.array([-STEP * (season - year) for year in self.years], np.int32)

    @property
    def grid(self) -> Grid:
        """Grid of the rasters; of polygons, the grid of the map, and before it is known a nominal one."""
        return self.map if self.map is not None and isinstance(self.codes, PolygonCodes) else self.codes.grid

    @property
    def decoding(self) -> Decoding:
        """Values are stored as they are."""
        return Decoding()

    @property
    def described(self) -> tuple[str, ...]:
        """Text of the settings that the values depend on besides the files; part of the digests."""
        rasters, confidence = self.settings.rasters, self.settings.confidence
        order = sorted({*rasters.values(), *confidence.values()})  # that of the digests: years may not be exchanged
        plainly = {
            "path": None,
            "rasters": {year: order.index(path) for year, path in rasters.items()},
            "confidence": {year: order.index(path) for year, path in confidence.items()},
        }
        return (repr({**vars(self.settings), **plainly}),)

    @property
    def ids(self) -> None:
        """None: the source is imagery."""
        return None

    def over(self, grid: Grid) -> "HistorySource":
        """Return the history on the grid of a map.

        Raises
        ------
        SourceError
            The codes cannot be read, or some have no class.
        """
        try:
            return replace(self, map=grid, codes=self.codes.over(grid, self.table))
        except SourceError as error:
            raise SourceError(f"Source '{self.name}': {error}") from error

    def nests_in(self, grid: Grid) -> bool:
        """Return True: codes are not interpolated, so each pixel has the code at its centre."""
        return True

    def touching(self, grid: Grid, window: Window) -> tuple[int, ...]:
        """Return the positions of the years whose files touch a window of `grid`."""
        return self.codes.touching(grid, window)

    def fingerprints(self, members: tuple[int, ...] | None = None) -> dict[str, str]:
        """Return file path to digest, for all years or for those at the positions `members`."""
        return self.codes.fingerprints(members)

    def read(
        self, grid: Grid, window: Window, resampling: str = "nearest"
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return values (year, class, y, x), 0 to 1, and valid (year, y, x): whether the pixel has a class in the year."""
        classes, sure = self.codes.read(grid, window, self.table)
        every = np.arange(len(self.bands))[:, None, None]
        values = (classes[:, None] == every) * sure[:, None]
        return values.astype(np.float32), classes >= 0


def open(name: str, settings: Settings) -> HistorySource:  # noqa: A001 - the name that the interface gives
    """Open the codes of earlier years.

    Raises
    ------
    SourceError
        A file cannot be read, or the classes are not given, or a code has two classes.
    """
    years = sorted(settings.rasters or settings.fields)
    if settings.path is not None:
        fields = [settings.fields[year] for year in years]
        codes: RasterCodes | PolygonCodes = polygon_codes(settings.path, settings.layer, settings.where, fields)
    else:
        codes = RasterCodes(
            tuple(settings.rasters[year] for year in years), tuple(settings.confidence.get(year) for year in years)
        )
        for path in (*settings.rasters.values(), *settings.confidence.values()):
            _check_single(path)
    source = HistorySource(name, settings, tuple(map(int, years)), codes)
    _check_classes(source)
    return source


def _check_single(path: Path) -> None:
    """Check that a raster has one band of codes.

    Raises
    ------
    SourceError
        It has several.
    """
    if (count := inspect(path).count) > 1:
        raise SourceError(
            f"{path} has {count} bands; one band of codes is expected. Extract it with gdal_translate -b."
        )


def _check_classes(source: HistorySource) -> None:
    """Check that each class has codes and a name of its own.

    Raises
    ------
    SourceError
        There is no class, a code has two classes, or two names are the same without accents and signs.
    """
    classes, missing = source.settings.classes, {plain(code) for code in source.settings.missing}
    if not classes:
        found = source.codes.codes(source.table)
        raise SourceError(
            "the classes of the history are not given. Write the codes of each: classes = { wheat = [1], grass = [2, 3] }. "
            f"Codes found: {_listed(found)}"
        )
    pairs = [(plain(code), name) for name, codes in classes.items() for code in codes]
    for code, name in pairs:
        others = [other for own, other in pairs if own == code and other != name]
        if others or code in missing:
            where = f"'{others[0]}'" if others else "'missing'"
            raise SourceError(f"the code {code} is in the class '{name}' and in {where} of the history. Keep one.")
    if empty := [name for name, codes in classes.items() if not codes]:
        raise SourceError(f"the class '{empty[0]}' of the history has no code. Give it one, or remove it.")
    if odd := [band for band in source.bands if not band or source.bands.count(band) > 1]:
        raise SourceError(f"class names of the history must differ without accents and signs; found '{odd[0]}' twice.")


def _listed(codes: Sequence[str]) -> str:
    more = f" and {len(codes) - LISTED} more" if len(codes) > LISTED else ""
    return f"{', '.join(codes[:LISTED]) or 'none'}{more}."
