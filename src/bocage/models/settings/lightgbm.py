"""Settings of the network ``lightgbm``, and its card."""

from dataclasses import dataclass
from typing import Annotated

from bocage.models.card import Card
from bocage.models.settings.columns import Columns
from bocage.models.settings.gru import S2
from bocage.ranges import Range

CARD = Card(
    paper="Ke et al. 2017, NIPS 30",
    takes="any sources",
    masks="masked values are NaN, which the splits of the trees handle, or interpolated in time (`gaps`)",
    same_dates=True,
    fitted=True,
    example={"s2": S2},
)


@dataclass(frozen=True)
class Config(Columns):
    """Settings of the boosted trees."""

    rounds: Annotated[int, Range(1, 100_000)] = 150
    """Boosting rounds, at least 1; each adds one tree per class."""
    leaves: Annotated[int, Range(2, 131_072)] = 31
    """Maximum number of leaves of a tree, at least 2."""
    learning_rate: Annotated[float, Range(0, 10, above=True)] = 0.1
    """Shrinkage: factor applied to each tree's correction, above 0."""
    min_leaf: Annotated[int, Range(1, 1e9)] = 20
    """Minimum number of samples in a leaf, at least 1; at most a tenth of the training samples is used. With the default, this
    limit holds below 200 training samples."""
    columns: Annotated[float, Range(0, 1, above=True)] = 0.3
    """Share of the features used by each tree, above 0 and at most 1."""
