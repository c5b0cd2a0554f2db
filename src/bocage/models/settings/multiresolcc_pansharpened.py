"""Settings of the network ``multiresolcc_pansharpened``, and its card."""

from dataclasses import dataclass
from typing import Annotated

from bocage.grid import Ratio
from bocage.models.card import Card, InputSpec, Norm
from bocage.models.settings.multiresolcc import PUBLISHED
from bocage.ranges import SHARE, Range, check_ranges

CARD = Card(
    paper="competitor in Gaetano, Ienco, Ose & Cresson 2018, doi:10.3390/rs10111746",
    takes="one image on the map's grid (pansharpened)",
    masks="replaces masked pixels by 0, the training mean",
    reconstruction=True,
    published=PUBLISHED,
    example={"pansharpened": InputSpec("pansharpened", ("blue", "green", "red", "nir"), 1, Ratio())},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network."""

    source: str = ""
    """Name of the image; empty: the only image of the recipe."""
    patch: Annotated[int, Range(22, 512)] = 32
    """Side of a patch in pixels, at least 22."""
    filters: Annotated[tuple[int, int, int], Range(1, 16_384)] = (128, 256, 512)
    """Filters of the convolutions."""
    kernel: Annotated[int, Range(1, 99, odd=True)] = 3
    """Side of the first kernel, odd."""
    dropout: Annotated[float, SHARE] = 0.4
    """Dropout rate of the features, from 0 to below 1."""
    norm: Norm = "batch"
    """Normalisation after each ReLU: "batch", "affine" (the authors' released code), "group" or "layer"."""

    def __post_init__(self) -> None:
        check_ranges(self)
