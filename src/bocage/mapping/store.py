"""Store of the computed windows of a map: a Zarr array for each layer, a chunk for each window, and a journal.

The worker that computes a window writes its chunks; each chunk is replaced atomically (the store renames it into place).
The main process then records the window in the journal, with a checksum of each layer and a digest of the inputs: the model,
the settings and the files that intersect the window. A window is not computed again if it is in the journal, its checksums
match, and its digest is unchanged.
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.disk import Journal, remove_folder
from bocage.errors import MappingError
from bocage.grid import Grid, Window
from bocage.later import Library
from bocage.mapping.writers import MapBand
from bocage.scene.store import LAYOUT, metadata_of, remove_torn

zarr: Any = Library("zarr")

FORMAT = 2
FOLDER, JOURNAL, PARTS = "windows.zarr", "windows.journal", "parts.journal"


@dataclass(frozen=True)
class Store:
    """Windows on disk. Each process opens the store itself."""

    folder: Path
    layers: Mapping[str, tuple[MapBand, ...]]
    tile: int
    lead: tuple[int, int] = (0, 0)
    """Rows and columns of the first windows outside the map; the arrays have them too, so that each window is a chunk."""

    @property
    def journal(self) -> Journal:
        """Journal of the complete windows, as it is on disk now."""
        return Journal(self.folder / JOURNAL)

    @property
    def parts(self) -> Journal:
        """Journal of the settings and acquisitions that windows were computed from."""
        return Journal(self.folder / PARTS)

    def make(self, grid: Grid) -> None:
        """Create the arrays, or keep existing arrays if they have the same grid, tiles and layers.

        Raises
        ------
        MappingError
            The folder cannot be written.
        """
        about = {
            "format": FORMAT, "tile": self.tile, "shape": list(grid.shape), "crs": grid.crs.to_wkt(),
            "transform": list(grid.transform)[:6],
            "layers": {name: [[b.name, b.dtype] for b in bands] for name, bands in self.layers.items()},
            **({"lead": list(self.lead)} if any(self.lead) else {}),
        }  # fmt: skip
        shape = tuple(n + more for n, more in zip(grid.shape, self.lead, strict=True))
        path = self.folder / FOLDER
        try:
            if path.exists():
                if self._is_intact(about):
                    remove_torn(path)
                    return
                remove_folder(path)
            self.journal.clear()
            self.parts.clear()
            self.folder.mkdir(parents=True, exist_ok=True)
            group = zarr.create_group(path, zarr_format=3)
            for name, bands in self.layers.items():
                group.create_array(
                    name, shape=(len(bands), *shape), chunks=(len(bands), self.tile, self.tile),
                    dtype=bands[0].dtype, fill_value=bands[0].nodata, dimension_names=("band", "y", "x"),
                    compressors=zarr.codecs.BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
                    serializer=zarr.codecs.BytesCodec(),
                )  # fmt: skip
            # Written last: a store without attributes is incomplete.
            group.attrs.update({**about, LAYOUT: metadata_of(path, self.layers)})
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def _is_intact(self, about: Mapping[str, Any]) -> bool:
        """Return whether the store is the one of `about`, and the metadata of its arrays is intact."""
        path = self.folder / FOLDER
        try:
            found = dict(zarr.open_group(path, mode="r", zarr_format=3).attrs)
            return found == {**about, LAYOUT: metadata_of(path, self.layers)}
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def open(self) -> Any:
        """Return the Zarr group, for reading and writing."""
        return zarr.open_group(self.folder / FOLDER, mode="r+", zarr_format=3)

    def remove(self) -> None:
        """Remove the windows and the journal."""
        remove_folder(self.folder)

    def sound(self, windows: Iterable[Window]) -> set[Window]:
        """Return the windows that are in the journal and whose checksums match."""
        notes, group = self.journal.notes, self.open()
        return {w for w in windows if w.corner in notes and self._sums(group, w) == notes[w.corner]["sums"]}

    def put(self, group: Any, window: Window, layers: Mapping[str, NDArray[Any]]) -> dict[str, int]:
        """Write all layers (bands, height, width) of a window; return their checksums."""
        for name, array in layers.items():
            group[name][self._place(window)] = array
        return {name: checksum(array) for name, array in layers.items()}

    def take(self, group: Any, name: str, window: Window) -> NDArray[Any]:
        """Read a layer (bands, height, width) of a window."""
        return np.asarray(group[name][self._place(window)])

    def _sums(self, group: Any, window: Window) -> dict[str, int]:
        """Return the checksums of the layers of a window on disk; empty if they cannot be read."""
        try:
            return {name: checksum(self.take(group, name, window)) for name in self.layers}
        except (OSError, ValueError, RuntimeError):
            return {}

    def _place(self, window: Window) -> tuple[slice, slice, slice]:
        """Return the part of an array (bands, y, x) that a window is."""
        y, x = self.lead
        return slice(None), *Window(window.y + y, window.x + x, window.height, window.width).slices


def checksum(array: NDArray[Any]) -> int:
    """Return the CRC-32 of the bytes of an array."""
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def cannot_write(folder: Path, error: OSError) -> MappingError:
    """Return the error for a map folder that cannot be written."""
    return MappingError(
        f"{folder} cannot be written: {error.strerror or error}. Free disk space or check the permissions, and run the same "
        "command again."
    )
