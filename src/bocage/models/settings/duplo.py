"""Settings of the network ``duplo``, and its card."""

from dataclasses import dataclass
from typing import Annotated

from bocage.models.card import Card, Norm, Published
from bocage.models.settings.gru import S2
from bocage.ranges import SHARE, Range, check_ranges

CARD = Card(
    paper="Interdonato, Ienco, Gaetano & Ose 2019, doi:10.1016/j.isprsjprs.2019.01.011",
    takes="one series, preferably gap-filled",
    masks="GRU: skips dates masked at the pixel; CNN: replaces masked values by 0, the training mean",
    same_dates=True,
    reconstruction=True,
    published=Published(epochs=300, batch_size=64, learning_rate=2e-4),
    example={"s2": S2},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network."""

    source: str = ""
    """Name of the series; empty: the only series of the recipe."""
    filters: Annotated[tuple[int, int], Range(1, 16_384)] = (256, 512)
    """Filters of the CNN on the stacked dates."""
    date_filters: Annotated[tuple[int, int], Range(1, 16_384)] = (32, 64)
    """Filters of the CNN of each date."""
    units: Annotated[int, Range(1, 16_384)] = 1024
    """Hidden units of the GRU, at least 1."""
    auxiliary: Annotated[float, Range(0, 100)] = 0.3
    """Weight of the losses of the auxiliary heads, at least 0; 0: no auxiliary heads."""
    dropout: Annotated[float, SHARE] = 0.4
    """Dropout rate of the features of each view, from 0 to below 1."""
    norm: Norm = "batch"
    """Normalisation after each ReLU: "batch", "affine", "group" or "layer"."""

    def __post_init__(self) -> None:
        check_ranges(self)
