"""One multi-band raster: a VHR scene, a composite, a terrain model."""

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
    """What the recipe says of an image."""

    path: Path
    """The raster."""
    bands: tuple[str, ...] = ()
    """Common names of its bands, in the file's order; empty takes ``b1``, ``b2``, …; ``"-"`` leaves a band out."""
    scale: float = 1.0
    """``value = stored * scale + offset``."""
    offset: float = 0.0
    nodata: float | None = None
    """Stored value that means no data; left out: the one the file declares."""
    quality: Path | None = None
    """A one-band raster on any grid; its values listed in `clear` are used."""
    clear: tuple[int, ...] = ()

    def decoding(self) -> Decoding:
        """Scale, offset and no data."""
        return Decoding(self.scale, self.offset, self.nodata)


def find(settings: Settings, progress: Progress = QUIET) -> list[Acquisition]:
    """Return the one acquisition.

    Raises
    ------
    SourceError
        The file cannot be used, or has fewer bands than names were given.
    """
    count = inspect(settings.path).count
    names = settings.bands or tuple(f"b{i}" for i in range(1, count + 1))
    if len(names) != count:
        raise SourceError(
            f"{settings.path} has {count} band(s), but 'bands' names {len(names)}; name each, '-' to leave one out."
        )
    files = {
        name: BandFile(settings.path, i, settings.decoding()) for i, name in enumerate(names, start=1) if name != "-"
    }
    if not files:
        raise SourceError(f"{settings.path}: 'bands' leaves out every band.")
    quality = {"quality": BandFile(settings.quality, 1)} if settings.quality else {}
    if settings.quality:
        inspect(settings.quality)
    return [Acquisition(None, files, quality, settings.clear)]
