"""Rasters of one year each, in tiles: files of a folder → acquisitions with a date in the middle of their year."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bocage.errors import SourceError
from bocage.progress import Progress
from bocage.sources.base import Acquisition, BandFile
from bocage.sources.folders import files_below
from bocage.sources.raster import RasterInfo, inspect

RASTERS = (".tif", ".tiff", ".vrt")
"""Endings of the files that are read."""
MIDDLE = (7, 1)
"""Month and day of the date of a year: 1 July. The values describe the whole year."""
YEAR = r"(?<!\d)(20\d\d)(?!\d)"
"""Years in the names of files and folders."""


@dataclass(frozen=True)
class Product:
    """What is expected of the files of a product."""

    name: str
    bands: tuple[str, ...]
    """Names of the bands, in file order."""
    bands_of: Callable[[Path, RasterInfo], dict[str, BandFile]]
    """File and its properties → its bands with their decoding."""


def acquisitions(root: Path, years: Sequence[int], product: Product, progress: Progress) -> list[Acquisition]:
    """Return the rasters of a product below a folder (or a single raster), in order of time; the tiles of a year are one date.

    The year is the last one in the name of the file, else that of the nearest folder whose name is a year. Rasters with another
    number of bands are skipped and reported. A VRT beside a TIFF of the same name stands for it.

    Raises
    ------
    SourceError
        The folder does not exist or has no such raster, a raster has no year, or a wanted year is missing.
    """
    if not root.exists():
        raise SourceError(f"{root} does not exist. Give the folder with the rasters of {product.name}.")
    files = [root] if root.is_file() else _rasters(root)
    found: list[tuple[int, Path, RasterInfo]] = []
    for path in files:
        info = inspect(path)
        if info.count != len(product.bands):
            progress.say(f"{path} is skipped: it has {info.count} bands, and {product.name} has {len(product.bands)}.")
            continue
        found.append((_year(path, root), path, info))
    there = sorted({year for year, *_ in found})
    if not found:
        raise SourceError(
            f"{root} has no raster ({', '.join(RASTERS)}) with the {len(product.bands)} bands of {product.name}."
        )
    if missing := sorted(set(years) - set(there)):
        raise SourceError(f"{root} has no raster of {missing[0]}; its years are {', '.join(map(str, there))}.")
    return [
        Acquisition(datetime(year, *MIDDLE), product.bands_of(path, info), date=str(year))
        for year, path, info in sorted(found, key=lambda item: item[:2])
        if not years or year in years
    ]


def _rasters(root: Path) -> list[Path]:
    """Return the rasters below a folder; a TIFF that has a VRT of the same name beside it is left out."""
    files = [path for path in files_below(root) if path.suffix.lower() in RASTERS]
    virtual = {path.with_suffix("") for path in files if path.suffix.lower() == ".vrt"}
    return [path for path in files if path.suffix.lower() == ".vrt" or path.with_suffix("") not in virtual]


def _year(path: Path, root: Path) -> int:
    if inside := re.findall(YEAR, path.stem):
        return int(inside[-1])
    for folder in path.absolute().parents:
        if match := re.fullmatch(YEAR, folder.name):
            return int(match[1])
        if folder == root.absolute().parent:
            break
    raise SourceError(f"{path}: neither its name nor its folders have a year. Put it in a folder named as the year.")
