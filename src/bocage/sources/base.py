"""Interface of a sensor: its bands, its acquisitions and its quality layers."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SourceError

FILL = 1e18
"""Magnitude from which a floating-point value is no measurement, but a fill value that the file may not declare: -3.4e38 of GIS
programs, 9.97e36 of NetCDF, 1e20 of climate models."""


@dataclass(frozen=True)
class Band:
    """One band of a sensor, or one variable of a series."""

    name: str
    """Common name (``blue``, ``nir``, ``vv``), as used by spectral indices."""
    wavelength: float | None = None
    """Central wavelength in micrometres."""
    gsd: float | None = None
    """Ground sampling distance in metres; None: read from the file."""


@dataclass(frozen=True)
class SensorSpec:
    """Properties of a sensor that are known before a file is opened."""

    name: str
    title: str
    """One-line description for ``bocage sensors``."""
    bands: tuple[Band, ...] = ()
    """Bands of the sensor; empty if the files or the recipe name them."""


@dataclass(frozen=True)
class Decoding:
    """Conversion of stored values to physical values: ``value = stored * scale + offset``, then dB or the signed square."""

    scale: float = 1.0
    """Not 0."""
    offset: float = 0.0
    nodata: float | None = None
    """Stored nodata value; None: the nodata value that each file declares. NaN is always nodata."""
    special: tuple[float, ...] = ()
    """Other stored values that are not measurements (saturated, missing detector)."""
    decibel: Literal["", "power", "amplitude"] = ""
    """Conversion of the scaled value to dB: "power" (10 log10), "amplitude" (20 log10), or empty (no conversion)."""
    floor: float = -40.0
    """Minimum in dB. Zero or negative power has no logarithm and gets this value."""
    squared: bool = False
    """Whether the scaled value is squared with its sign kept, as quantised embeddings are that have more steps near 0."""
    alpha: bool = field(default=True, repr=False)
    """Whether the alpha band of the file hides pixels. False: the recipe uses this band as a date or as a quality layer."""
    stored_decibels: bool = field(default=False, repr=False)
    """Whether the stored values are known to be in dB already."""

    def __post_init__(self) -> None:
        if self.scale == 0:
            raise SourceError(
                "'scale' is 0, which gives every pixel the same value. Give the factor from stored to physical values."
            )

    @property
    def units(self) -> str:
        """Unit of the physical values: "dB", or "linear" for all other units, and for dB of which nothing tells."""
        return "dB" if self.decibel or self.stored_decibels else "linear"

    def physical(self, stored: NDArray[Any], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return the physical values of stored values, float32, same shape; written to `out` if given."""
        # For most products the offset is a whole number in stored units: adding it first loses no precision.
        values = np.empty(stored.shape, np.float32) if out is None else out
        values[...] = stored
        values += np.float32(self.offset / self.scale)
        values *= np.float32(self.scale)
        if self.squared:
            values *= np.abs(values)
        if self.decibel:
            times = 10 if self.decibel == "power" else 20
            values[...] = times * np.log10(np.maximum(values, np.float32(10 ** (self.floor / times))))
        return values


@dataclass(frozen=True)
class BandFile:
    """File of one band of one acquisition, and the decoding of its values."""

    path: Path
    """Path for GDAL. A member of a zip archive is ``/vsizip/{archive}/member``."""
    index: int
    """Band number in the file, from 1."""
    decoding: Decoding = Decoding()


@dataclass(frozen=True)
class Cover:
    """Cloud mask of a product that delivers it as polygons."""

    crs: str
    polygons: Any
    """A shapely geometry."""


YEARS = (1950, 2100)
"""First and last year of imagery; another year is a fault of the file name or of the metadata."""


@dataclass(frozen=True)
class Acquisition:
    """Images of one sensor, at one time, over one tile."""

    time: datetime | None
    """UTC; None for imagery without a date."""
    files: Mapping[str, BandFile]
    """Band name to file."""
    quality: Mapping[str, BandFile] = field(default_factory=dict)
    """Quality layer name to file. Of the decoding of these files, only ``alpha`` is used."""
    clear: tuple[int, ...] = ()
    """Values of the quality layer that are clear, as interpreted by the ``clear_mask`` of the sensor. Any other value that the
    file of the layer declares as nodata is masked."""
    date: str = ""
    """Key of the date. Acquisitions with the same key form one date of the series (tiles of a mosaic, duplicates). Empty: the
    acquisition is a date of its own."""
    hidden: Cover | None = None
    """Polygons whose pixels are masked."""
    details: Mapping[str, str] = field(default_factory=dict)
    """Further metadata for reports (processing baseline, sun angles, orbit)."""


class Sensor(Protocol):
    """Module of a sensor that reads raster files. It neither reprojects nor caches."""

    @property
    def SPEC(self) -> SensorSpec:  # noqa: N802 - a module's constant
        """Name, title and bands."""

    @property
    def Settings(self) -> type[Any]:  # noqa: N802 - a module's class
        """Frozen dataclass of the keys of ``[sources.<name>]``."""

    @property
    def find(self) -> Any:
        """``find(settings, progress) -> list[Acquisition]``, in order of time.

        Acquisitions of the same date are ordered by preference, the best first. It reports skipped products with
        ``progress.say``, which also puts them in the report. It raises :class:`~bocage.errors.SourceError`.
        """

    @property
    def clear_mask(self) -> Any:
        """``clear_mask(acquisition, layers) -> bool array``, True where clear; `layers` is quality layer name to array."""


@runtime_checkable
class Opener(Protocol):
    """Module of a sensor that reads no rasters and creates its own source object."""

    @property
    def SPEC(self) -> SensorSpec:  # noqa: N802 - a module's constant
        """Name, title and bands."""

    @property
    def Settings(self) -> type[Any]:  # noqa: N802 - a module's class
        """Frozen dataclass of the keys of ``[sources.<name>]``."""

    @property
    def open(self) -> Any:
        """``open(name, settings) -> Readable``; raises :class:`~bocage.errors.SourceError`."""


@runtime_checkable
class Deriver(Protocol):
    """Module of a sensor that derives a source from other sources of the same recipe."""

    @property
    def SPEC(self) -> SensorSpec:  # noqa: N802 - a module's constant
        """Name, title and bands."""

    @property
    def Settings(self) -> type[Any]:  # noqa: N802 - a module's class
        """Frozen dataclass of the keys of ``[sources.<name>]``."""

    @property
    def derive(self) -> Any:
        """``derive(name, settings, sources: Mapping[str, Readable]) -> Readable``.

        `sources` are the sources of the recipe that read files. It raises :class:`~bocage.errors.SourceError`.
        """


def no_sensor(thing: Any) -> str:
    """Return why an object from outside the package is not a sensor; empty if it may be one."""
    if not isinstance(getattr(thing, "SPEC", None), SensorSpec):
        return "it has no 'SPEC'"
    settings = getattr(thing, "Settings", None)
    if not (isinstance(settings, type) and dataclasses.is_dataclass(settings)):
        return "it has no dataclass 'Settings'"
    ways = (("find", "clear_mask"), ("open",), ("derive",))
    found = any(all(callable(getattr(thing, name, None)) for name in names) for names in ways)
    return "" if found else "it has neither 'find' and 'clear_mask', nor 'open', nor 'derive'"


def clear_where_listed(acquisition: Acquisition, layers: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Return True where the only quality layer has a value of ``acquisition.clear``, or any value but 0 if that is empty."""
    (layer,) = layers.values()
    if not acquisition.clear:
        return np.asarray(layer != 0)
    return np.isin(layer, acquisition.clear)
