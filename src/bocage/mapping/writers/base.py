"""What an output format is: something that takes windows of bands and closes into a complete file."""

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from bocage.grid import Window


@dataclass(frozen=True)
class MapBand:
    """One band of an output."""

    name: str
    dtype: str
    nodata: int
    categorical: bool = False
    """Whether its values are codes of the legend."""
    scale: float = 1.0
    """What a stored 1 stands for."""


class OpenMap(Protocol):
    """A file being written."""

    def put(self, window: Window, array: NDArray[Any]) -> None:
        """Write (bands, height, width) at a window; windows come once each, in any order."""

    def close(self) -> None:
        """Finish the file and give it its name; before this, nothing has that name."""

    def discard(self) -> None:
        """Leave nothing behind."""


class Writer(Protocol):
    """A file of ``mapping/writers/``."""

    @property
    def SUFFIX(self) -> str:  # noqa: N802 - a module's constant
        """Ending of its files, with the dot."""

    @property
    def open(self) -> Any:
        """``open(path: Path, grid: Grid, bands: tuple[MapBand, ...], legend: Legend) -> OpenMap``."""
