"""Settings of the table of features, which the forest and the boosted trees share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from bocage.models.card import Gaps
from bocage.ranges import Range, check_ranges


@dataclass(frozen=True)
class Columns:
    """Columns of the table."""

    sources: tuple[str, ...] = ()
    """Names of the sources; empty: all."""
    patches: Annotated[Mapping[str, int], Range(1, 99)] = field(default_factory=dict)
    """Source → side of its patch, in its own pixels; sources that are not listed give the map pixel only."""
    texture: Annotated[Mapping[str, int], Range(2, 99)] = field(default_factory=dict)
    """Source → side of its window of texture, in its own pixels, 2 to 99, centred on the map pixel. Each band of each date adds
    ten features of the window: eight of Haralick's measures, and mean and standard deviation of the pixels."""
    grey_levels: Annotated[int, Range(2, 64)] = 8
    """Number of grey levels of the texture, 2 to 64, between the 2nd and the 98th percentile of the training pixels."""
    gaps: Gaps = "missing"
    """Masked dates of a series of native dates: "missing" values, which the trees handle, or "linear" interpolation in time
    between the clear dates of the pixel. No effect on a series with `fill`."""

    def __post_init__(self) -> None:
        check_ranges(self)
