"""Settings of the network ``ltae``, and its card."""

from dataclasses import dataclass
from typing import Annotated

from bocage.models.card import Card, Norm, Published
from bocage.models.settings.gru import S2
from bocage.ranges import SHARE, Range, check_ranges

CARD = Card(
    paper="Garnot & Landrieu 2020, arXiv 2007.00586",
    takes="one series, native or gap-filled dates",
    masks="masked dates get attention 0",
    published=Published(epochs=100, batch_size=128, learning_rate=1e-3, keep="validation", scaling="mean-std"),
    example={"s2": S2},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network; the defaults are the paper's."""

    source: str = ""
    """Name of the series; empty: the only series of the recipe."""
    heads: Annotated[int, Range(1, 1024)] = 16
    """Attention heads, at least 1."""
    keys: Annotated[int, Range(1, 4096)] = 8
    """Size of a key, at least 1."""
    width: Annotated[int, Range(1, 16_384)] = 256
    """Channels, a multiple of `heads` and at least twice `heads`."""
    features: Annotated[int, Range(1, 16_384)] = 128
    """Features after the attention, at least 1."""
    dropout: Annotated[float, SHARE] = 0.2
    """Dropout rate of the features, from 0 to below 1."""
    norm: Norm = "batch"
    """Normalisation after the dense layer: "batch" (the paper), "affine", "group" or "layer"."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.width % self.heads or self.width // self.heads < 2:
            raise ValueError(
                f"'width' must be a multiple of 'heads' and at least twice 'heads'; found {self.width} and {self.heads}"
            )
