"""What a sensor is: its bands, how to find its acquisitions, and what its quality layer means."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SourceError


@dataclass(frozen=True)
class Band:
    """One band of a sensor, or one variable of a series."""

    name: str
    """Common name (``blue``, ``nir``, ``vv``), by which indices ask for it."""
    wavelength: float | None = None
    """Centre, in micrometres."""
    gsd: float | None = None
    """Ground sampling distance in metres; None takes it from the file."""


@dataclass(frozen=True)
class SensorSpec:
    """What is declared of a sensor before any file is opened."""

    name: str
    title: str
    """One line for ``bocage sensors``."""
    bands: tuple[Band, ...] = ()
    """Empty where the files or the recipe name the bands."""


@dataclass(frozen=True)
class Decoding:
    """How stored numbers become physical ones: ``value = stored * scale + offset``."""

    scale: float = 1.0
    """Not 0."""
    offset: float = 0.0
    nodata: float | None = None
    """Stored value that means no data; None takes the one that each file declares. NaN is always no data."""
    special: tuple[float, ...] = ()
    """Further stored values that are not measurements (saturated, detector missing)."""
    decibel: Literal["", "power", "amplitude"] = ""
    """What the scaled value is where it is turned into dB: 10 or 20 times its logarithm."""
    floor: float = -40.0
    """Least dB kept: a power at or below the noise has no logarithm."""

    def __post_init__(self) -> None:
        if self.scale == 0:
            raise SourceError(
                "'scale' is 0, which makes every value the same; give the factor from stored to physical."
            )

    def physical(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Return the values that stored numbers stand for, in single precision."""
        # The offset in stored units is a whole number for most products: added first, it costs no precision.
        values = stored.astype(np.float32)
        values += np.float32(self.offset / self.scale)
        values *= np.float32(self.scale)
        if self.decibel:
            times = 10 if self.decibel == "power" else 20
            values = times * np.log10(np.maximum(values, np.float32(10 ** (self.floor / times))))
        return np.asarray(values, np.float32)


@dataclass(frozen=True)
class BandFile:
    """Where one band of one acquisition lies, and what its numbers mean."""

    path: Path
    """As GDAL opens it: a member of an archive is ``/vsizip/{archive}/member``."""
    index: int
    """Band number in the file, from 1."""
    decoding: Decoding = Decoding()


@dataclass(frozen=True)
class Cover:
    """Polygons that hide the ground, as some products deliver their cloud mask."""

    crs: str
    polygons: Any
    """A shapely geometry."""


@dataclass(frozen=True)
class Acquisition:
    """One sensor at one time, over one tile."""

    time: datetime | None
    """UTC; None for imagery without a date."""
    files: Mapping[str, BandFile]
    """Band name to file."""
    quality: Mapping[str, BandFile] = field(default_factory=dict)
    """Name to file of every quality layer; their decoding is not used."""
    clear: tuple[int, ...] = ()
    """Values of the quality layer that mean "clear"."""
    date: str = ""
    """Acquisitions that share it are one date of the series (tiles of a mosaic, duplicates); empty: alone."""
    hidden: Cover | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    """What the metadata says besides (baseline, sun angles, orbit), for reports."""


class Sensor(Protocol):
    """A file of ``sources/``: what differs between sensors, and nothing else. It does not reproject or cache."""

    @property
    def SPEC(self) -> SensorSpec:  # noqa: N802 - a module's constant
        """The declaration."""

    @property
    def Settings(self) -> type[Any]:  # noqa: N802 - a module's class
        """Frozen dataclass of what ``[sources.<name>]`` may say."""

    @property
    def find(self) -> Any:
        """``find(settings, progress) -> list[Acquisition]``: in order of time; of one date, the best first.

        What it leaves out it says through `progress`; the report repeats it. It raises
        :class:`~bocage.errors.SourceError`.
        """

    @property
    def clear_mask(self) -> Any:
        """``clear_mask(acquisition, layers) -> bool array``, from the quality layers by name (as in ``quality``)."""


@runtime_checkable
class Opener(Protocol):
    """A file of ``sources/`` whose numbers are not rasters: it makes the source itself."""

    @property
    def SPEC(self) -> SensorSpec:  # noqa: N802 - a module's constant
        """The declaration."""

    @property
    def Settings(self) -> type[Any]:  # noqa: N802 - a module's class
        """Frozen dataclass of what ``[sources.<name>]`` may say."""

    @property
    def open(self) -> Any:
        """``open(name, settings) -> Readable``; raises :class:`~bocage.errors.SourceError`."""


@runtime_checkable
class Deriver(Protocol):
    """A file of ``sources/`` that makes a source out of others of the same recipe."""

    @property
    def SPEC(self) -> SensorSpec:  # noqa: N802 - a module's constant
        """The declaration."""

    @property
    def Settings(self) -> type[Any]:  # noqa: N802 - a module's class
        """Frozen dataclass of what ``[sources.<name>]`` may say."""

    @property
    def derive(self) -> Any:
        """``derive(name, settings, sources: Mapping[str, Readable]) -> Readable``, of sources that read files.

        It raises :class:`~bocage.errors.SourceError`.
        """


def clear_where_listed(acquisition: Acquisition, layers: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Clear is every value of the one quality layer that the acquisition lists; with no list, every value but 0."""
    (layer,) = layers.values()
    if not acquisition.clear:
        return np.asarray(layer != 0)
    return np.isin(layer, acquisition.clear)
