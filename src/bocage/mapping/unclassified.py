"""Pixels of the mapped area without a class, because a source that the model needs has no value there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.words import Note

LEAST = 0.01
"""Share of the mapped area, 0 to 1, from which pixels without a class, or without a value of a source, are reported."""


@dataclass(frozen=True)
class Unclassified:
    """Numbers of map pixels inside the region, or of the whole map without a region."""

    inside: int = 0
    """All pixels."""
    pixels: int = 0
    """Pixels without a class."""
    sources: Mapping[str, int] = field(default_factory=dict)
    """Source → pixels without a value of this source on any date."""

    @classmethod
    def of(
        cls,
        seen: Mapping[str, NDArray[np.bool_]],
        valid: NDArray[np.bool_],
        inner: tuple[slice, slice],
        wanted: NDArray[np.bool_] | None,
    ) -> "Unclassified":
        """Count the pixels of a window.

        Parameters
        ----------
        seen
            Source → whether it has a valid date, at the pixels that were read (Y, X).
        valid
            Whether these pixels have a class (Y, X).
        inner
            The window in them.
        wanted
            Whether a pixel of the window is inside the region (height, width); None: all are.
        """
        inside = np.ones_like(valid[inner]) if wanted is None else wanted
        lacking = {name: int((inside & ~one[inner]).sum()) for name, one in seen.items()}
        return cls(int(inside.sum()), int((inside & ~valid[inner]).sum()), lacking)

    @classmethod
    def total(cls, parts: Iterable["Unclassified"]) -> "Unclassified":
        """Return the sum of the counts of windows."""
        inside, pixels, sources = 0, 0, dict[str, int]()
        for part in parts:
            inside, pixels = inside + part.inside, pixels + part.pixels
            for name, count in part.sources.items():
                sources[name] = sources.get(name, 0) + count
        return cls(inside, pixels, sources)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Unclassified":
        """Return the counts from their JSON form."""
        return cls(int(record["inside"]), int(record["pixels"]), dict(record["sources"]))

    def note(self, model: str) -> Note | None:
        """Return what to say of the map of a model, and what to do; None if few pixels have no class."""
        few = LEAST * self.inside
        if not self.pixels or self.pixels < few:
            return None
        share, lacking = 100 * self.pixels / self.inside, {n: k for n, k in self.sources.items() if k >= few}
        if self.pixels - min(self.sources.values()) < few:
            names = tuple(f"'{name}'" for name in self.sources)
            return Note.of("unclassified_all", share=share, n=len(names), sources=names)
        causes = tuple(
            Note.of("unclassified_source", name=name, share=100 * lacking[name] / self.inside)
            for name in sorted(lacking, key=lambda name: -lacking[name])
        )
        return Note.of("unclassified", share=share, model=model, sources=causes).advised
