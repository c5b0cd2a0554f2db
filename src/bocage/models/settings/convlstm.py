"""Settings of the network ``convlstm``, and its card."""

from dataclasses import dataclass
from typing import Annotated

from bocage.models.card import Card, Published
from bocage.models.settings.gru import S2
from bocage.ranges import SHARE, Range, check_ranges

CARD = Card(
    paper="cell of Shi et al. 2015, arXiv 1506.04214",
    takes="one series",
    masks="masked dates leave the state of the pixel unchanged",
    dense="patches",
    reconstruction=True,
    published=Published(epochs=300, batch_size=64, learning_rate=2e-4),
    example={"s2": S2},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network."""

    source: str = ""
    """Name of the series; empty: the only series of the recipe."""
    patch: Annotated[int, Range(1, 511, odd=True)] = 5
    """Side of the patch in pixels, odd."""
    units: Annotated[int, Range(1, 16_384)] = 64
    """Channels of the state, at least 1."""
    kernel: Annotated[int, Range(1, 99, odd=True)] = 3
    """Side of the kernels, odd."""
    dropout: Annotated[float, SHARE] = 0.0
    """Dropout rate of the features, from 0 to below 1."""

    def __post_init__(self) -> None:
        check_ranges(self)
