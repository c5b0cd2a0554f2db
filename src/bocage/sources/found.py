"""What an inventory of a folder finds: rasters, images, time series and products."""

from dataclasses import dataclass, field
from pathlib import Path

from bocage.sources.raster import RasterInfo


@dataclass(frozen=True)
class Member:
    """A raster with the pattern of its path, by which it may belong to a series or to a mosaic."""

    path: Path
    info: RasterInfo
    pattern: str
    """Path with ``{date}`` and ``{tile}``; the path itself if it has neither."""
    days: tuple[str, ...]
    """Date of the file, or of each of its bands, as written; empty for an image without a date."""
    tile: str
    """Text at ``{tile}``."""
    dates: str | tuple[str, ...] = ""
    """File with the dates of its bands, or these dates; empty if the raster gives them itself."""
    variables: tuple[str, ...] = ()
    """Variable of each band, of a raster with several variables on several dates."""


@dataclass
class Image:
    """An image of the folder, without a date."""

    path: str
    """Path or pattern."""
    info: RasterInfo
    """Description of the image, or of its first tile."""
    quality: str = ""
    """Path of the quality layer."""
    quality_band: int = 0
    bands: tuple[str, ...] = ()
    """Names of the bands, "-" for a quality layer."""


@dataclass
class Series:
    """A time series of the folder."""

    places: frozenset[tuple[str, str]]
    """Day (ISO 8601) and tile of every acquisition."""
    dates: str | tuple[str, ...] = ""
    """File with the dates of the bands, or these dates, where the files of the variables do not give them."""
    variables: dict[str, str] = field(default_factory=dict)
    """Variable → path or pattern."""
    path: str = ""
    """Pattern of files with several bands per date, or path of a stack of variables and dates, instead of variables."""
    bands: tuple[str, ...] = ()
    """Names of the bands of `path`."""
    quality: str = ""
    """Path or pattern of the quality layer."""
    quality_band: int = 0
    layer: str = ""
    """Name of the quality layer, if it is not that of its file or of its band."""
    resolution: float = 0.0
    """Finest ground sampling distance, in CRS units."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the bands."""
        return self.bands or tuple(self.variables)


@dataclass
class Found:
    """Images, series and products of a folder, by source name. A name is used once."""

    images: dict[str, Image] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)
    products: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Source name → sensor, and additional setting of its section."""
    skipped: list[str] = field(default_factory=list)
    """Files that are not used, each with the reason."""
    remarks: list[str] = field(default_factory=list)
    """What was merged or kept apart."""

    @property
    def reasons(self) -> list[str]:
        """Why files are not used; the results of earlier runs are left out."""
        return [line for line in self.skipped if not line.endswith("not imagery")]

    def unused(self, name: str) -> str:
        """Return `name`, with a number if a source has this name already."""
        taken = {*self.images, *self.series, *self.products}
        return next(n for i in range(1, len(taken) + 2) if (n := name if i == 1 else f"{name}_{i}") not in taken)
