"""One multi-band raster: a VHR scene, a composite, a digital terrain model; or a mosaic of such rasters."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from bocage.errors import SourceError
from bocage.progress import QUIET, Progress
from bocage.ranges import STORED, VALUE, Range, check_ranges
from bocage.sources.base import Acquisition, BandFile, SensorSpec, clear_where_listed
from bocage.sources.declared import Decoder, check_fractions, check_names, without_alpha, without_quality_as_alpha
from bocage.sources.pattern import Match, matching
from bocage.sources.products import distinct
from bocage.sources.raster import inspect

SPEC = SensorSpec("image", "one multi-band raster, or tiles of one, without a date")
clear_mask = clear_where_listed


@dataclass(frozen=True)
class Settings:
    """Settings of an image in the recipe."""

    path: Path
    """Path of the raster. ``{tile}`` stands for the part of the name in which the tiles of a mosaic differ."""
    bands: tuple[str, ...] = ()
    """Common names of its bands, in file order; empty: ``b1``, ``b2``, …; ``"-"`` skips a band."""
    scale: Annotated[float | None, Range(0, 1e12, above=True)] = None
    """Factor of the stored values: ``value = stored * scale + offset``; default: what the file declares, else 1."""
    offset: Annotated[float | None, Range(-1e12, 1e12)] = None
    """Offset that is added to the scaled values, in the unit of the source; default: what the file declares, else 0."""
    nodata: Annotated[float | None, STORED] = None
    """Stored nodata value; default: the value that each band declares. NaN and the mask or alpha band of a file always count."""
    decibel: Literal["", "power", "amplitude"] = ""
    """Conversion of the scaled values to dB, for radar stored as linear "power" or as "amplitude"; empty: no conversion."""
    quality: Path | None = None
    """Quality raster, on any grid; with ``{tile}`` if `path` has it."""
    quality_band: Annotated[int, Range(0, 65_535)] = 0
    """Band of the quality raster, from 1; 0: its only band."""
    clear: Annotated[tuple[int, ...], VALUE] = ()
    """Values of the quality layer that are clear; empty: all values but 0."""

    def __post_init__(self) -> None:
        check_ranges(self)


def find(settings: Settings, progress: Progress = QUIET) -> list[Acquisition]:
    """Return a list with the only acquisition, or with the tiles of a mosaic.

    Raises
    ------
    SourceError
        A file cannot be used, its number of bands differs from the number of names, or its descriptions contradict the names.
    """
    decoder = Decoder(settings.scale, settings.offset, settings.nodata, settings.decibel)
    layers = _tiles(settings.quality) if settings.quality else {}
    found = []
    for tile, path in _tiles(settings.path).items():
        files = _bands(path, settings, decoder)
        quality = {}
        if settings.quality:
            layer = layers.get(tile, layers.get(""))
            if layer is None:
                raise SourceError(f"{settings.quality} has no file for the tile '{tile}' of {settings.path}. Add it.")
            quality = {"quality": quality_of(layer, settings.quality_band)}
            files = without_quality_as_alpha(files, quality["quality"])
        found.append(Acquisition(None, files, quality, settings.clear, "mosaic" if tile else ""))
    decoder.say(progress)
    return found


def _tiles(path: Path) -> dict[str, Path]:
    """Return tile to file; for a path without ``{tile}``, the path itself."""
    if "{date}" in str(path):
        raise SourceError(
            f"{path}: an image has no date. Use the sensor 'series' for files with {{date}} in their path."
        )
    found = matching(path) if "{tile}" in str(path) else [Match(path, "", "")]
    return {match.tile: match.path for match in found}


def _bands(path: Path, settings: Settings, decoder: Decoder) -> dict[str, BandFile]:
    count = inspect(path).count
    names = settings.bands or tuple(f"b{i}" for i in range(1, count + 1))
    if len(names) != count:
        raise SourceError(
            f"{path} has {count} band(s), but 'bands' names {len(names)}. Name each band; '-' skips a band."
        )
    distinct([name for name in names if name != "-"], "'bands'")
    files = {name: decoder.of(path, i) for i, name in enumerate(names, start=1) if name != "-"}
    if not files:
        raise SourceError(f"{path}: 'bands' skips every band. Name at least one.")
    check_names(files)
    check_fractions(next(iter(files.values())))
    return files


def quality_of(path: Path, band: int) -> BandFile:
    """Return the quality layer in a file: its band `band`, or its only band if `band` is 0.

    Raises
    ------
    SourceError
        The file does not have this band, or has several bands and `band` is 0.
    """
    count = inspect(path).count
    if band > count or (band == 0 and count > 1):
        raise SourceError(f"The quality layer {path} has {count} bands. Set 'quality_band' to one of 1 to {count}.")
    file = BandFile(path, band or 1)
    return without_alpha(file) if inspect(path).alpha == file.index else file
