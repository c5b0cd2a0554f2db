"""What a sensor is: its bands, how to find its acquisitions, and what its quality layer means."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


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
class BandFile:
    """Where one band of one acquisition lies."""

    path: Path
    index: int
    """Band number in the file, from 1."""


@dataclass(frozen=True)
class Acquisition:
    """One sensor at one time."""

    time: datetime | None
    """UTC; None for imagery without a date."""
    files: Mapping[str, BandFile]
    """Band name to file."""
    quality: BandFile | None = None
    """The quality layer, where there is one."""
    clear: tuple[int, ...] = ()
    """Values of the quality layer that mean "clear"."""


@dataclass(frozen=True)
class Decoding:
    """How stored numbers become physical ones: ``value = stored * scale + offset``."""

    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    """Stored value that means no data; None takes the one that each file declares. NaN is always no data."""


class Sensor(Protocol):
    """A file of ``sources/``: what differs between sensors, and nothing else. It does not reproject or cache."""

    @property
    def SPEC(self) -> SensorSpec:  # noqa: N802 - a module's constant
        """The declaration."""

    @property
    def Settings(self) -> type[Any]:  # noqa: N802 - a module's class
        """Frozen dataclass of what ``[sources.<name>]`` may say; ``decoding()`` gives its :class:`Decoding`."""

    @property
    def find(self) -> Any:
        """``find(settings) -> list[Acquisition]``: in order of time; raises :class:`~bocage.errors.SourceError`."""

    @property
    def clear_mask(self) -> Any:
        """``clear_mask(acquisition, quality) -> bool array`` from the values of the quality layer."""


def clear_where_listed(acquisition: Acquisition, quality: NDArray[Any]) -> NDArray[np.bool_]:
    """Clear is every quality value that the acquisition lists; with no list, every value but 0."""
    if not acquisition.clear:
        return np.asarray(quality != 0)
    return np.isin(quality, acquisition.clear)
