"""Settings of the network ``cnn1d``, and its card."""

from dataclasses import dataclass
from typing import Annotated

from bocage.models.card import Card, Norm, Published
from bocage.models.settings.gru import S2
from bocage.ranges import Range, check_ranges

CARD = Card(
    paper="script beside Ienco et al. 2017, doi:10.1109/LGRS.2017.2728698",
    takes="one series of 12 dates or more, preferably gap-filled",
    masks="replaces masked dates by 0, the training mean",
    published=Published(epochs=200, batch_size=32, learning_rate=2e-4),
    example={"s2": S2},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network."""

    source: str = ""
    """Name of the series; empty: the only series of the recipe."""
    filters: Annotated[tuple[int, int], Range(1, 16_384)] = (256, 512)
    """Filters of the first layer, and of the other layers."""
    norm: Norm = "batch"
    """Normalisation after each ReLU: "batch", "affine" (the released code), "group" or "layer"."""

    def __post_init__(self) -> None:
        check_ranges(self)
