"""One multi-band raster: a VHR scene, a composite, a digital terrain model."""

from dataclasses import dataclass
from pathlib import Path

from bocage.errors import SourceError
from bocage.progress import QUIET, Progress
from bocage.sources.base import Acquisition, BandFile, Decoding, SensorSpec, clear_where_listed
from bocage.sources.raster import inspect

SPEC = SensorSpec("image", "one multi-band raster, without a date")
clear_mask = clear_where_listed


@dataclass(frozen=True)
class Settings:
    """Settings of an image in the recipe."""

    path: Path
    """Path of the raster."""
    bands: tuple[str, ...] = ()
    """Common names of its bands, in file order; empty: ``b1``, ``b2``, …; ``"-"`` skips a band."""
    scale: float = 1.0
    """Factor of the stored values: ``value = stored * scale + offset``."""
    offset: float = 0.0
    """Offset that is added to the scaled values, in the unit of the source."""
    nodata: float | None = None
    """Stored nodata value; default: the nodata value that the file declares."""
    quality: Path | None = None
    """One-band quality raster, on any grid."""
    clear: tuple[int, ...] = ()
    """Values of the quality layer that are clear; empty: all values but 0."""

    def decoding(self) -> Decoding:
        """Return scale, offset and nodata value."""
        return Decoding(self.scale, self.offset, self.nodata)


def find(settings: Settings, progress: Progress = QUIET) -> list[Acquisition]:
    """Return a list with the only acquisition.

    Raises
    ------
    SourceError
        The file cannot be used, or its number of bands differs from the number of names.
    """
    count = inspect(settings.path).count
    names = settings.bands or tuple(f"b{i}" for i in range(1, count + 1))
    if len(names) != count:
        raise SourceError(
            f"{settings.path} has {count} band(s), but 'bands' names {len(names)}. Name each band; '-' skips a band."
        )
    files = {
        name: BandFile(settings.path, i, settings.decoding()) for i, name in enumerate(names, start=1) if name != "-"
    }
    if not files:
        raise SourceError(f"{settings.path}: 'bands' skips every band. Name at least one.")
    quality = {"quality": BandFile(settings.quality, 1)} if settings.quality else {}
    if settings.quality:
        inspect(settings.quality)
    return [Acquisition(None, files, quality, settings.clear)]
