"""Objects of a segmentation as an image: the bands are the features of the object at each pixel.

``bocage segment`` writes the numbers of the objects as a raster and their features as a table. A pixel without an object, or
whose object lacks a value of a feature, is masked.
"""

import functools
import json
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bocage.disk import State, state_of
from bocage.errors import SourceError
from bocage.grid import Grid, Window
from bocage.layout import ObjectsLayout
from bocage.shelf import did_you_mean
from bocage.sources.base import Decoding, SensorSpec
from bocage.sources.placement import nests, touches
from bocage.sources.raster import fingerprint, inspect, read
from bocage.sources.undated import Undated
from bocage.words import Note

SPEC = SensorSpec("objects", "the features of the objects of a segmentation ('bocage segment'), at each pixel")
GROUP = 1024
"""Number of objects in a row group of the table."""
IDENTITY = b"bocage"
"""Key of the metadata of the table."""
HELD = 64
"""Number of row groups in memory."""


@dataclass(frozen=True)
class Settings:
    """Settings of the objects in the recipe."""

    path: Path | None = None
    """Folder with ``objects.tif`` and ``objects.parquet``; default: the folder ``objects/`` of the run, which 'bocage run' writes
    first as ``[segment]`` says."""
    features: tuple[str, ...] = ()
    """Features that are used, by name; ``*`` stands for any characters (``"s2_ndvi_*_mean"``); empty: all."""


def of_the_run(settings: Any) -> bool:
    """Whether settings are those of a source of the objects that the run itself segments."""
    return isinstance(settings, Settings) and settings.path is None


@dataclass(frozen=True)
class ObjectsSource(Undated):
    """Numbers of objects and a table of their features, read as one image."""

    name: str
    folder: Path
    bands: tuple[str, ...]
    """Names of the features."""
    notes: tuple[Note, ...] = ()

    @property
    def layout(self) -> ObjectsLayout:
        """The files."""
        return ObjectsLayout(self.folder)

    @property
    def grid(self) -> Grid:
        """Grid of the objects."""
        return inspect(self.layout.ids).grid

    @property
    def described(self) -> tuple[str, ...]:
        """Names of the features; part of the digests."""
        return self.bands

    def over(self, grid: Grid) -> "ObjectsSource":
        """Return the source itself, which is one image."""
        return self

    def nests_in(self, grid: Grid) -> bool:
        """Return whether the pixels of the objects can be repeated onto `grid`."""
        return nests(self.grid, grid) is not None

    def touching(self, grid: Grid, window: Window) -> tuple[int, ...]:
        """Return (0,) if the image touches a window of `grid`, otherwise ()."""
        return (0,) if touches(self.grid, grid, window) else ()

    def fingerprints(self, members: tuple[int, ...] | None = None) -> dict[str, str]:
        """Return file path to digest of the raster and of the table."""
        if members == ():
            return {}
        return {str(path): fingerprint(path) for path in (*inspect(self.layout.ids).files, self.layout.table)}

    def read(
        self, grid: Grid, window: Window, resampling: str = "nearest"
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return values (1, band, y, x) and valid (1, y, x). Numbers are not interpolated: the nearest pixel has the object."""
        found, known = read(self.layout.ids, [1], grid, window, "nearest", Decoding(nodata=0))
        numbers, which = np.unique(np.where(known[0], found[0], 0), return_inverse=True)
        features = self._features(numbers.astype(np.int64))
        valid = np.asarray(~np.isnan(features).any(1))
        features[~valid] = 0
        which = which.ravel()
        values = features.T[:, which].reshape(1, len(self.bands), window.height, window.width)
        return np.ascontiguousarray(values), valid[which].reshape(1, window.height, window.width)

    def _features(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the features (n, band) of objects in ascending order; NaN for 0 and where there is no value."""
        found = np.full((len(numbers), len(self.bands)), np.nan, np.float32)
        group = (numbers - 1) // GROUP
        table = self.layout.table
        for one in np.unique(group[numbers > 0]).tolist():
            own = np.flatnonzero((group == one) & (numbers > 0))
            rows = _row_group(table, state_of(table), one, self.bands)
            place = numbers[own] - 1 - one * GROUP
            if place[-1] >= len(rows):
                raise SourceError(f"{table} has no object {numbers[own][-1]}. Run 'bocage segment' again.")
            found[own] = rows[place]
        return found


@functools.lru_cache(maxsize=HELD)
def _row_group(table: Path, state: State, number: int, bands: tuple[str, ...]) -> NDArray[np.float32]:
    """Return the features (n, band) of a row group; the state of the file in the key keeps the cache up to date."""
    try:
        read_group = pq.ParquetFile(table).read_row_group(number, columns=list(bands))
    except (OSError, pa.ArrowException, IndexError) as error:
        raise SourceError(
            f"{table} cannot be read: {' '.join(str(error).split())}. Run 'bocage segment' again."
        ) from error
    columns = [read_group.column(band).to_numpy(zero_copy_only=False) for band in bands]
    return np.stack(columns, 1).astype(np.float32)


def open(name: str, settings: Settings) -> ObjectsSource:  # noqa: A001 - the name of the protocol
    """Open the objects of a segmentation.

    Raises
    ------
    SourceError
        A file is missing or damaged, the table is that of other objects, or a feature has an unknown name.
    """
    if settings.path is None:
        raise SourceError("the objects have no folder. Run the recipe with 'bocage run', or set 'path'.")
    layout = ObjectsLayout(settings.path)
    for path in (layout.ids, layout.table):
        if not path.exists():
            raise SourceError(f"{path} does not exist. Run 'bocage segment' first.")
    try:
        file = pq.ParquetFile(layout.table)
        known = json.loads(file.schema_arrow.metadata[IDENTITY])
        names = [column for column in file.schema_arrow.names if column != "id"]
        groups = [file.metadata.row_group(k) for k in range(file.metadata.num_row_groups)]
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        why = " ".join(str(error).split())
        raise SourceError(f"{layout.table} is not a table of 'bocage segment' ({why}). Run it again.") from error
    if known.get("objects") != fingerprint(layout.ids):
        raise SourceError(
            f"{layout.table} has the features of other objects than {layout.ids.name}. Run 'bocage segment' again."
        )
    bands = _bands(names, settings)
    source = ObjectsSource(name, settings.path, bands)
    missing = _incomplete(layout.table, bands, groups)
    note = Note.of("objects_incomplete", name, n=missing, total=file.metadata.num_rows) if missing else None
    return replace(source, notes=(note,)) if note else source


def _bands(names: list[str], settings: Settings) -> tuple[str, ...]:
    """Return the features that the settings select, in the order of the table."""
    for wanted in settings.features:
        if not any(fnmatchcase(name, wanted) for name in names):
            raise SourceError(
                f"no feature is called '{wanted}'.{did_you_mean(wanted, names)} They are the columns of the table."
            )
    if not settings.features:
        return tuple(names)
    return tuple(name for name in names if any(fnmatchcase(name, wanted) for wanted in settings.features))


def _incomplete(table: Path, bands: tuple[str, ...], groups: list[Any]) -> int:
    """Return the number of objects without a value of some feature; only row groups with such objects are read."""
    count = 0
    for number, group in enumerate(groups):
        columns = [group.column(k) for k in range(group.num_columns)]
        if any(c.path_in_schema in bands and not (c.statistics and c.statistics.null_count == 0) for c in columns):
            rows = _row_group(table, state_of(table), number, bands)
            count += int(np.isnan(rows).any(1).sum())
    return count
