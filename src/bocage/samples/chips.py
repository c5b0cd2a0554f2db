"""Training data of a network: the footprints cut from every source, with the label and the polygon of each sample."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.disk import digest, digest_of
from bocage.samples.cut import Cut
from bocage.samples.sites import SiteCuts
from bocage.samples.windows import WindowPixels, Windows

AnyCut = Cut | SiteCuts | WindowPixels
"""Footprints of the samples in one source."""


@dataclass(frozen=True)
class Chips:
    """Footprints, labels and polygon numbers of N samples."""

    cuts: Mapping[str, AnyCut]
    """Source → its footprints, stored in files."""
    label: NDArray[Any]
    """(N,) position of the class in the legend; −1 for an unlabelled pixel."""
    polygon: NDArray[Any]
    """(N,) number of the polygon that contains the pixel."""
    site: NDArray[Any] | None = None
    """(N,) number of the site; None with one site."""
    trust: NDArray[np.float64] | None = None
    """(N,) probability with which a training sample takes part in an epoch, or in the fit of a model; None: all take part."""
    ground: NDArray[Any] | None = None
    """(N,) number of the sampling unit where polygons of several sites are at one place; None: each polygon is a unit."""
    windows: Windows | None = None
    """Windows that contain the samples, for a training on windows; None: the network classifies single footprints."""

    depth: NDArray[np.float32] | None = None
    """(N,) how far each sample is inside its parcel (:func:`~bocage.samples.parcels.depths`); None: no parcels are learnt."""

    @property
    def identity(self) -> str:
        """Digest of the samples: what each source has there (days and content), labels, polygons, sites, trust and depths."""
        cuts = digest([(name, cut.identity) for name, cut in self.cuts.items()])
        arrays = {
            "label": self.label, "polygon": self.polygon, "site": self.site, "trust": self.trust, "ground": self.ground,
            "depth": self.depth,
        }  # fmt: skip
        there = {name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None}
        return digest_of(
            cuts.encode(), *(part for name, array in there.items() for part in (name.encode(), array.tobytes()))
        )

    @property
    def unit(self) -> NDArray[Any]:
        """(N,) number that samples have in common which must not be trained on and held out at once."""
        return self.polygon if self.ground is None else self.ground

    def trusted(self, members: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        """Return those of the training samples `members` that take part; a class keeps one sample at least."""
        if self.trust is None:
            return members
        chance = generator.random(len(members))
        part = chance < self.trust[members]
        label = self.label[members]
        for value in np.setdiff1d(label, label[part]):
            own = np.flatnonzero(label == value)
            part[own[np.argmax(self.trust[members[own]])]] = True
        return members[part]

    def items(self, members: NDArray[np.int64]) -> int:
        """Return the number of items of which the samples `members` make batches: themselves, or their windows."""
        return len(members) if self.windows is None else self.windows.count(members)

    def share(self, members: NDArray[np.int64], rank: int, world: int) -> NDArray[np.int64]:
        """Return those of the samples `members` that process `rank` of `world` computes: whole windows are not computed twice."""
        if self.windows is None:
            return members[rank::world]
        return np.asarray(members[self.windows.number[members] % world == rank])

    def __len__(self) -> int:
        return len(self.label)

    def until(self, day: int) -> "Chips":
        """Return the samples of one site with the dates after the calendar day `day`, since 1970-01-01, masked."""
        return replace(self, cuts={name: cut.until(day) for name, cut in self.cuts.items() if isinstance(cut, Cut)})

    @property
    def sample_bytes(self) -> int:
        """Size of the footprints of one sample in all sources, in bytes."""
        return sum(cut.sample_bytes for cut in self.cuts.values())
