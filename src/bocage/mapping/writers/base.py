"""Interface of an output format: it writes windows of bands, then closes into a complete file."""

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
    """Whether the values are class codes of the legend."""
    numbers: bool = False
    """Whether the values are numbers of objects, counts or bits, which overviews do not average."""
    scale: float = 1.0
    """Scale factor: value = scale × stored value."""
    bits: tuple[str, ...] = ()
    """Names of what each bit stands for, the lowest bit first; empty if the values are no bits."""


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


def no_writer(thing: Any) -> str:
    """Return why an object from outside the package is not a writer; empty if it may be one."""
    if not isinstance(getattr(thing, "SUFFIX", None), str):
        return "it has no text 'SUFFIX'"
    return "" if callable(getattr(thing, "open", None)) else "it has no function 'open'"
