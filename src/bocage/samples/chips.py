"""Cut footprints of every source, with label and polygon: what a network learns from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from bocage.samples.cut import Cut


@dataclass(frozen=True)
class Chips:
    """The footprints of N samples in every source."""

    cuts: Mapping[str, Cut]
    """Source → its footprints, in files."""
    label: NDArray[Any]
    """(N,) position of the class in the legend; −1 where there is none."""
    polygon: NDArray[Any]
    """(N,) number of the polygon."""

    def __len__(self) -> int:
        return len(self.label)

    @property
    def sample_bytes(self) -> int:
        """Bytes of the footprints of one sample, in all sources."""
        return sum(cut.sample_bytes for cut in self.cuts.values())
