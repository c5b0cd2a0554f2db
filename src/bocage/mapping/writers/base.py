"""Interface of an output format: it writes windows of bands, then closes into a complete file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from bocage.grid import Grid, Window
from bocage.legend import Legend


@dataclass(frozen=True)
class MapBand:
    """One band of an output."""

    name: str
    dtype: str
    nodata: int
    categorical: bool = False
    """Whether the values are class codes of the legend."""
    scale: float = 1.0
    """Scale factor: value = scale × stored value."""


class OpenMap(Protocol):
    """A file open for writing."""

    def put(self, window: Window, array: NDArray[Any]) -> None:
        """Write an array (bands, height, width) at a window; each window is written once, in any order."""

    def close(self) -> None:
        """Finish the file and rename it to its final name; no file has that name before."""

    def discard(self) -> None:
        """Close and remove all temporary files."""


class Writer(Protocol):
    """Interface of a module of ``mapping/writers/``."""

    @property
    def SUFFIX(self) -> str:  # noqa: N802 - a module's constant
        """File extension, with the dot."""

    @property
    def open(self) -> Any:
        """``open(path: Path, grid: Grid, bands: tuple[MapBand, ...], legend: Legend) -> OpenMap``."""


def partial_path(path: Path) -> Path:
    """Return the temporary path of an incomplete file: in the same folder, hidden, with the extension ``.part``."""
    return path.with_name(f".{path.name}.part")


__all__ = ["Grid", "Legend", "MapBand", "OpenMap", "Writer", "partial_path"]
