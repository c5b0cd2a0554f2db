"""Settings of the network ``dmil``, and its card."""

from dataclasses import dataclass
from typing import Annotated

from bocage.models.card import Card, Norm
from bocage.models.settings.multiresolcc import MS, PAN, PUBLISHED
from bocage.ranges import SHARE, Range, check_ranges

CARD = Card(
    paper="after Liu et al. 2018, IEEE TGRS 56(1):461-473",
    takes="one PAN and one coarser MS image; the map is on the PAN grid",
    masks="replaces masked pixels by 0, the training mean",
    reconstruction=True,
    published=PUBLISHED,
    example={"pan": PAN, "ms": MS},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network; none of the sizes is published."""

    pan: str = "pan"
    """The panchromatic source (one band)."""
    ms: str = "ms"
    """The multispectral source, coarser than `pan` by a whole ratio."""
    patch: Annotated[int, Range(22, 512)] = 32
    """Side of a patch in PAN pixels; at least 22 and a multiple of the ratio."""
    pan_filters: Annotated[tuple[int, int, int], Range(1, 16_384)] = (64, 128, 256)
    """Filters of the PAN branch's convolutions."""
    codes: Annotated[tuple[int, int], Range(1, 16_384)] = (256, 128)
    """Units of the autoencoder's layers."""
    dense: Annotated[tuple[int, int], Range(1, 16_384)] = (256, 256)
    """Units of the fusion layers."""
    reconstruction: Annotated[float, Range(0, 100)] = 0.3
    """Weight of the squared reconstruction error in the loss, at least 0; 0: no reconstruction."""
    dropout: Annotated[float, SHARE] = 0.4
    """Dropout rate of the fused features, from 0 to below 1."""
    norm: Norm = "batch"
    """Normalisation after each ReLU: "batch", "affine", "group" or "layer"."""

    def __post_init__(self) -> None:
        check_ranges(self)
