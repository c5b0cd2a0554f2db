"""Arrays with a row for each object, in temporary files: their size does not count as memory of the process."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.disk import naming


@dataclass(frozen=True)
class Stored:
    """Arrays of zeros with a row for each object from 1 to `count`, and one for pixels without an object."""

    folder: Path
    count: int

    def array(self, name: str, tail: tuple[int, ...], dtype: str = "float64") -> NDArray[Any]:
        """Return a new array (count + 1, *tail); its space on disk is taken now.

        Raises
        ------
        OSError
            The disk is full.
        """
        path, shape = self.folder / f"{name}.bin", (self.count + 1, *tail)
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        with naming(path), path.open("wb") as stream:
            if size and hasattr(os, "posix_fallocate"):  # a full disk is an error here, and would end the process later
                os.posix_fallocate(stream.fileno(), 0, size)
            stream.truncate(size)
        return np.memmap(path, dtype, "r+", shape=shape) if size else np.zeros(shape, dtype)
