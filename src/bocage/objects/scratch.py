"""Temporary rasters on disk, in chunks: what one pass over the tiles leaves for the next."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.disk import naming
from bocage.grid import Window
from bocage.later import Library

zarr: Any = Library("zarr")


@dataclass(frozen=True)
class Raster:
    """A temporary raster; 0 where nothing was written, and outside."""

    array: Any
    path: Path

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.array.shape
        return int(height), int(width)

    def write(self, window: Window, values: NDArray[Any]) -> None:
        """Write a window inside the raster."""
        with naming(self.path):
            self.array[window.slices] = values

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window, which may extend beyond the raster."""
        inside = window.clip(self.shape)
        if inside == window:
            return np.asarray(self.array[window.slices])
        values = np.zeros((window.height, window.width), self.array.dtype)
        if inside.height and inside.width:
            values[inside.within(window)] = self.array[inside.slices]
        return values


@dataclass(frozen=True)
class Scratch:
    """A folder of temporary rasters."""

    folder: Path

    def raster(self, name: str, shape: tuple[int, int], dtype: str, chunk: int) -> Raster:
        """Return a new raster of zeros with chunks of `chunk` pixels a side."""
        path = self.folder / name
        with naming(path):
            array = zarr.create_array(
                path, shape=shape, chunks=(min(chunk, shape[0]), min(chunk, shape[1])), dtype=dtype, fill_value=0,
                compressors=zarr.codecs.BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"),
                serializer=zarr.codecs.BytesCodec(), zarr_format=3,
                overwrite=True,
            )  # fmt: skip
        return Raster(array, path)

    def opened(self, name: str) -> Raster:
        """Return a raster that :meth:`raster` created, with what was written to it."""
        path = self.folder / name
        return Raster(zarr.open_array(path, mode="r+", zarr_format=3), path)


@contextmanager
def scratch(folder: Path) -> Iterator[Scratch]:
    """Yield a new folder for temporary rasters, which is removed at the end of the block."""
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    try:
        with naming(folder):
            folder.mkdir(parents=True)
        yield Scratch(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
