"""Windows of the map while it is made: a Zarr array for each layer, a chunk for each window, and a journal.

Whoever computes a window writes its chunks, each in one piece (the store renames it into place). Whoever directs the
work notes the window in the journal, with a checksum of every layer and a digest of what it was made from: the model,
the settings, the files that touch it. A window that is noted, reads back as noted and would be made from the same things
is never made again.
"""

import shutil
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, BytesCodec

from bocage.disk import Journal
from bocage.errors import MappingError
from bocage.grid import Grid, Window
from bocage.mapping.writers import MapBand

FORMAT = 1
FOLDER, JOURNAL = "windows.zarr", "windows.journal"


@dataclass(frozen=True)
class Store:
    """Windows on disk; a process opens its own."""

    folder: Path
    layers: Mapping[str, tuple[MapBand, ...]]
    tile: int

    @property
    def journal(self) -> Journal:
        """What is complete, as the disk has it now."""
        return Journal(self.folder / JOURNAL)

    def make(self, grid: Grid) -> None:
        """Make the arrays, or keep those that are there for the same grid, tiles and layers.

        Raises
        ------
        MappingError
            The folder cannot be written.
        """
        about = {
            "format": FORMAT, "tile": self.tile, "shape": list(grid.shape), "crs": grid.crs.to_wkt(),
            "transform": list(grid.transform)[:6],
            "layers": {name: [[b.name, b.dtype] for b in bands] for name, bands in self.layers.items()},
        }  # fmt: skip
        path = self.folder / FOLDER
        try:
            if path.exists():
                if _attributes(path) == about:
                    for torn in path.rglob("*.partial"):  # a chunk that a killed process was writing
                        torn.unlink(missing_ok=True)
                    return
                shutil.rmtree(path)
            self.journal.clear()
            self.folder.mkdir(parents=True, exist_ok=True)
            group = zarr.create_group(path, zarr_format=3)
            for name, bands in self.layers.items():
                group.create_array(
                    name, shape=(len(bands), *grid.shape), chunks=(len(bands), self.tile, self.tile),
                    dtype=bands[0].dtype, fill_value=bands[0].nodata, dimension_names=("band", "y", "x"),
                    compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"), serializer=BytesCodec(),
                )  # fmt: skip
            group.attrs.update(about)  # last: a store without them is not complete
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def open(self) -> Any:
        """Return the Zarr group, for reading and writing."""
        return zarr.open_group(self.folder / FOLDER, mode="r+", zarr_format=3)

    def remove(self) -> None:
        """Remove windows and journal."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def sound(self, windows: Iterable[Window]) -> set[Window]:
        """Those of some windows that are noted and read back as noted."""
        notes, group = self.journal.notes, self.open()
        return {w for w in windows if w.corner in notes and read_sums(group, self.layers, w) == notes[w.corner]["sums"]}


def _attributes(path: Path) -> dict[str, Any] | None:
    try:
        return dict(zarr.open_group(path, mode="r", zarr_format=3).attrs)
    except (OSError, ValueError, KeyError):
        return None


def put(group: Any, window: Window, layers: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """Write every layer (bands, height, width) of a window; return their checksums."""
    for name, array in layers.items():
        group[name][(slice(None), *window.slices)] = array
    return {name: checksum(array) for name, array in layers.items()}


def take(group: Any, name: str, window: Window) -> NDArray[Any]:
    """Read a layer (bands, height, width) of a window."""
    return np.asarray(group[name][(slice(None), *window.slices)])


def read_sums(group: Any, layers: Iterable[str], window: Window) -> dict[str, int]:
    """Checksums of what is on disk; none where it cannot be read."""
    try:
        return {name: checksum(take(group, name, window)) for name in layers}
    except (OSError, ValueError, RuntimeError):
        return {}


def checksum(array: NDArray[Any]) -> int:
    """CRC-32 of an array's bytes."""
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def cannot_write(folder: Path, error: OSError, kept: str = "") -> MappingError:
    """Tell that the map's folder takes no more."""
    return MappingError(
        f"{folder} cannot be written: {error.strerror or error}. Free some room or check its rights, and run the same command "
        f"again{kept}."
    )
