"""Training data of a network: the footprints cut from every source, with the label and the polygon of each sample."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from bocage.samples.cut import Cut
from bocage.samples.sites import SiteCuts


@dataclass(frozen=True)
class Chips:
    """Footprints, labels and polygon numbers of N samples."""

    cuts: Mapping[str, Cut | SiteCuts]
    """Source → its footprints, stored in files."""
    label: NDArray[Any]
    """(N,) position of the class in the legend; −1 for an unlabelled pixel."""
    polygon: NDArray[Any]
    """(N,) number of the polygon that contains the pixel."""
    site: NDArray[Any] | None = None
    """(N,) number of the site; None with one site."""

    def __len__(self) -> int:
        return len(self.label)

    def until(self, day: int) -> "Chips":
        """Return the samples of one site with the dates after the calendar day `day`, since 1970-01-01, masked."""
        return replace(self, cuts={name: cut.until(day) for name, cut in self.cuts.items() if isinstance(cut, Cut)})

    @property
    def sample_bytes(self) -> int:
        """Size of the footprints of one sample in all sources, in bytes."""
        return sum(cut.sample_bytes for cut in self.cuts.values())
