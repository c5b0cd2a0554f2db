"""What a file declares about its values (scale, offset, names of its bands), beside what the recipe says."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SourceError
from bocage.grid import Window
from bocage.progress import Progress
from bocage.sources.base import BandFile, Decoding
from bocage.sources.raster import inspect, read
from bocage.words import Note

RADAR = ("vv", "vh", "hh", "hv")
"""Common names of polarisations."""
COMMON = (
    "coastal", "blue", "green", "yellow", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "nir09", "swir16", "swir22",
    "pan", *RADAR,
)  # fmt: skip
"""Common names of bands that a description can contradict."""
PEEK = 64
"""Side of the windows from which values are looked at, in pixels."""


def common_name(description: str) -> str:
    """Return the common name that a band description gives; empty if it gives none.

    >>> common_name("B4 nir"), common_name("Red"), common_name("red edge"), common_name("B04")
    ('nir', 'red', '', '')
    """
    match = re.fullmatch(r"(?:b(?:and)?[\W_]*\d+a?[\W_]+)?([a-z]+\d*)", description.strip().lower())
    return match[1] if match and match[1] in COMMON else ""


@dataclass
class Decoder:
    """Gives the decoding of each band of each file: what the recipe says, else what the file declares."""

    scale: float | None
    """Scale of the recipe; None: the scale of each file."""
    offset: float | None
    """Offset of the recipe; None: the offset of each file."""
    nodata: float | None
    decibel: Literal["", "power", "amplitude"] = ""
    """Conversion of the scaled values to dB."""
    used: set[tuple[float, float]] = field(default_factory=set)
    """Scales and offsets of files that were used."""
    other: dict[tuple[float, float], Path] = field(default_factory=dict)
    """Scales and offsets of files that differ from those of the recipe, with the first file of each."""

    def of(self, path: Path, index: int) -> BandFile:
        """Return a band of a file with its decoding."""
        info = inspect(path)
        declared = (info.scales[index - 1], info.offsets[index - 1])
        if self.scale is None and self.offset is None:
            if declared != (1.0, 0.0):
                self.used.add(declared)
            return BandFile(path, index, Decoding(*declared, self.nodata, decibel=self.decibel))
        given = (
            declared[0] if self.scale is None else self.scale,
            declared[1] if self.offset is None else self.offset,
        )
        if declared != (1.0, 0.0) and not np.allclose(declared, given, rtol=1e-6):
            self.other.setdefault(declared, path)
        return BandFile(path, index, Decoding(*given, self.nodata, decibel=self.decibel))

    def say(self, progress: Progress) -> None:
        """Report scales and offsets that files declare: those that are used, and those that the recipe replaces."""
        if self.used:
            shown = [f"{scale:g}, {offset:g}" for scale, offset in sorted(self.used)]
            progress.say(Note.of("declared_scale", n=len(shown), shown="; ".join(shown[:3])))
        for (scale, offset), path in list(self.other.items())[:1]:
            progress.say(Note.of("scale_differs", file=path.name, scale=f"{scale:g}", offset=f"{offset:g}"))


def without_alpha(file: BandFile) -> BandFile:
    """Return a band of a file whose alpha band is something else: a date, or a quality layer."""
    return replace(file, decoding=replace(file.decoding, alpha=False)) if inspect(file.path).alpha else file


def without_quality_as_alpha(files: Mapping[str, BandFile], quality: BandFile) -> dict[str, BandFile]:
    """Return bands by name. If their file has its quality layer where GDAL sees an alpha band, this band hides no pixel."""

    def shared(file: BandFile) -> bool:
        return file.path == quality.path and inspect(file.path).alpha == quality.index

    return {name: without_alpha(file) if shared(file) else file for name, file in files.items()}


def check_names(files: Mapping[str, BandFile]) -> None:
    """Check that no description of a band in its file contradicts the name that the recipe gives to the band.

    Raises
    ------
    SourceError
        A description has the common name of another band.
    """
    for name, file in files.items():
        description = inspect(file.path).descriptions[file.index - 1]
        declared = common_name(description)
        if declared and name in COMMON and declared != name:
            raise SourceError(
                f"{file.path}: the description of band {file.index} is '{description}', but the recipe calls it '{name}'. "
                "Correct the order of the bands in the recipe, or the descriptions in the file."
            )


def check_fractions(file: BandFile) -> None:
    """Check that values with a fraction are not scaled as if they were integers.

    Raises
    ------
    SourceError
        The file holds fractions between -1 and 2 (reflectance), and the scale of the recipe is at most 0.001.
    """
    if abs(file.decoding.scale) > 1e-3 or np.dtype(inspect(file.path).dtypes[file.index - 1]).kind != "f":
        return
    values = peek(file)
    if values.size and np.abs(values - 0.5).max() <= 1.5 and (values % 1 != 0).any():
        low, high = (float(v) for v in np.percentile(values, (1, 99)))
        raise SourceError(
            f"{file.path} holds values with a fraction, from {low:.3g} to {high:.3g}, but scale = {file.decoding.scale:g} "
            "expects integers. Set scale = 1."
        )


def peek(file: BandFile) -> NDArray[np.float64]:
    """Return valid values of small windows in the middle and at four other places of a band, as they are stored."""
    grid = inspect(file.path).grid
    height, width = (min(PEEK, n) for n in grid.shape)
    places: Sequence[tuple[float, float]] = ((0.5, 0.5), (0.25, 0.25), (0.75, 0.75), (0.25, 0.75), (0.75, 0.25))
    for down, across in places:
        window = Window(round(down * (grid.shape[0] - height)), round(across * (grid.shape[1] - width)), height, width)
        stored, valid = read(file.path, [file.index], grid, window, "nearest", file.decoding)
        if valid.any():
            return np.asarray(stored[valid], np.float64)
    return np.array([])
