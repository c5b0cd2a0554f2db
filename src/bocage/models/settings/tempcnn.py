"""Settings of the network ``tempcnn``, and its card."""

from dataclasses import dataclass
from typing import Annotated

from bocage.models.card import Card, Norm, Published
from bocage.models.settings.gru import S2
from bocage.ranges import SHARE, Range, check_ranges

CARD = Card(
    paper="Pelletier, Webb & Petitjean 2019, doi:10.3390/rs11050523",
    takes="one series, preferably gap-filled",
    masks="replaces masked dates by 0, the training mean",
    same_dates=True,
    published=Published(
        epochs=20, batch_size=32, learning_rate=1e-3, weight_decay=1e-6, keep="validation", scaling="percentile"
    ),
    example={"s2": S2},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network; the defaults are the paper's."""

    source: str = ""
    """Name of the series; empty: the only series of the recipe."""
    filters: Annotated[int, Range(1, 16_384)] = 64
    """Filters of each convolution, at least 1."""
    dense: Annotated[int, Range(1, 16_384)] = 256
    """Units of the dense layer, at least 1."""
    kernel: Annotated[int, Range(1, 99, odd=True)] = 5
    """Number of dates that each convolution reads, odd."""
    dropout: Annotated[float, SHARE] = 0.5
    """Dropout rate after each layer, from 0 to below 1."""
    dense_dropout: Annotated[float | None, SHARE] = None
    """Dropout rate after the dense layer, from 0 to below 1; default: that of the other layers."""
    norm: Norm = "batch"
    """Normalisation before each ReLU: "batch" (the paper), "affine", "group" or "layer"."""

    def __post_init__(self) -> None:
        check_ranges(self)
