"""Settings of the network ``random_forest``, and its card."""

from dataclasses import dataclass
from typing import Annotated

from bocage.models.card import Card
from bocage.models.settings.columns import Columns
from bocage.models.settings.gru import S2
from bocage.ranges import Range

CARD = Card(
    paper="Breiman 2001, doi:10.1023/A:1010933404324",
    takes="any sources",
    masks="masked values are NaN, which the splits of the trees handle, or interpolated in time (`gaps`)",
    same_dates=True,
    fitted=True,
    example={"s2": S2},
)


@dataclass(frozen=True)
class Config(Columns):
    """Settings of the forest."""

    trees: Annotated[int, Range(1, 10_000)] = 200
    """Number of trees, at least 1."""
    max_depth: Annotated[int, Range(1, 10_000)] = 25
    """Maximum depth of a tree, at least 1; the default is iota2's usual setting."""
    min_leaf: Annotated[int, Range(1, 1e9)] = 1
    """Minimum number of samples in a leaf, at least 1."""
