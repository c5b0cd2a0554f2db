"""Zarr v3 store of a prepared cube: three arrays in shards, with a checksum in every chunk.

Every shard is written, even if it contains fill values only. A missing or damaged shard is therefore an error, and never read
as nodata.
"""

import functools
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.disk import digest_of, remove_folder
from bocage.errors import SceneError
from bocage.grid import Window
from bocage.later import Library

zarr: Any = Library("zarr")

ARRAYS = {"values": 2, "valid": 1, "clear": 0}
"""Name of an array → number of its dimensions before y and x."""
INNER = 4
"""Number of chunks along each axis of a shard."""
SIDE, LAYOUT = "shard", "arrays"
"""Attributes of the group: side of a shard in pixels, and digest of the metadata of the arrays."""


def opened(path: Path, about: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the arrays of a store for writing; None if it is missing, damaged, or not the store of `about`."""
    try:
        found = dict(zarr.open_group(path, mode="r", zarr_format=3).attrs)
        if found != {**about, LAYOUT: metadata_of(path, ARRAYS)}:
            return None
        remove_torn(path)
        return _writable(path)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def created(path: Path, about: Mapping[str, Any], shape: tuple[int, int, int, int]) -> dict[str, Any]:
    """Create a store in place of what is at `path`; return its arrays for writing.

    Parameters
    ----------
    about
        Description of the cube, with the side of a shard.
    shape
        Dates, bands, height and width.
    """
    remove_folder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    group, side = zarr.create_group(path, zarr_format=3), about[SIDE]
    dates, bands, height, width = shape
    compressor = zarr.codecs.BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")
    shapes: dict[str, tuple[tuple[int, ...], Any, tuple[str, ...]]] = {
        "values": ((dates, bands), np.float32, ("time", "band", "y", "x")),
        "valid": ((dates,), np.bool_, ("time", "y", "x")),
        "clear": ((), np.uint16, ("y", "x")),
    }
    for name, (lead, dtype, dimensions) in shapes.items():
        group.create_array(
            name, shape=(*lead, height, width), chunks=(*lead, side // INNER, side // INNER), shards=(*lead, side, side),
            dtype=dtype, dimension_names=dimensions, compressors=(compressor, zarr.codecs.Crc32cCodec()),
            serializer=zarr.codecs.BytesCodec(),
            fill_value=0,
        )  # fmt: skip
    group.attrs.update({**about, LAYOUT: metadata_of(path, ARRAYS)})  # last: a store without attributes is incomplete
    return _writable(path)


def write(arrays: Mapping[str, Any], window: Window, **blocks: NDArray[Any]) -> None:
    """Write the blocks of a shard, by the names of the arrays."""
    for name, block in blocks.items():
        arrays[name][(..., *window.slices)] = block


def read(path: Path, window: Window) -> dict[str, NDArray[Any]]:
    """Return a window of every array.

    Raises
    ------
    SceneError
        A shard is missing or damaged.
    """
    try:
        group: Any = _OPENED.groups(path, (path / "zarr.json").stat().st_mtime_ns)
        if gone := missing(path, window, group.attrs[SIDE]):
            raise SceneError(f"{gone[0]} is missing from the prepared scene. Run the same command again to compute it.")
        return {name: group[name][(..., *window.slices)] for name in ARRAYS}
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise SceneError(
            f"{path} is damaged near row {window.y}, column {window.x} ({error}). Delete this folder and run the same command "
            "again: the source is then prepared again."
        ) from error


def missing(path: Path, window: Window, side: int) -> list[Path]:
    """Return the files of the shards of a window that do not exist; `side` is the side of a shard in pixels."""
    rows, columns = (range(part.start // side, (part.stop - 1) // side + 1) for part in window.slices)
    files = [
        path.joinpath(name, "c", *["0"] * lead, str(y), str(x))
        for name, lead in ARRAYS.items()
        for y in rows
        for x in columns
    ]
    return [file for file in files if not file.exists()]


def _writable(path: Path) -> dict[str, Any]:
    with zarr.config.set({"array.write_empty_chunks": True}):
        group = zarr.open_group(path, mode="r+", zarr_format=3)
        return {name: group[name] for name in ARRAYS}


def metadata_of(path: Path, names: Iterable[str]) -> str:
    """Return a digest of the metadata of the arrays of a Zarr group.

    Raises
    ------
    OSError
        An array is missing.
    """
    return digest_of(*((path / name / "zarr.json").read_bytes() for name in names))


def remove_torn(path: Path) -> None:
    """Remove the incomplete chunks that a process left which was killed while writing."""
    for torn in path.rglob("*.partial"):
        torn.unlink(missing_ok=True)


class _Opened(threading.local):
    """Zarr groups that a thread keeps open."""

    def __init__(self) -> None:
        self.groups = functools.lru_cache(maxsize=64)(
            lambda path, changed: zarr.open_group(path, mode="r", zarr_format=3)
        )


_OPENED = _Opened()
