"""Settings of the network ``random_forest``, and its card."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from bocage.models.card import Card, Gaps
from bocage.models.settings.gru import S2
from bocage.ranges import Range, check_ranges

CARD = Card(
    paper="Breiman 2001, doi:10.1023/A:1010933404324",
    takes="any sources",
    masks="masked values are NaN, which the splits of the trees handle, or interpolated in time (`gaps`)",
    same_dates=True,
    example={"s2": S2},
)


@dataclass(frozen=True)
class Config:
    """Settings of the forest."""

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
    trees: Annotated[int, Range(1, 10_000)] = 200
    """Number of trees, at least 1."""
    max_depth: Annotated[int, Range(1, 10_000)] = 25
    """Maximum depth of a tree, at least 1; the default is iota2's usual setting."""
    min_leaf: Annotated[int, Range(1, 1e9)] = 1
    """Minimum number of samples in a leaf, at least 1."""

    def __post_init__(self) -> None:
        check_ranges(self)
