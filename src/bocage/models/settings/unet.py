"""Settings of the network ``unet``, and its card."""

from dataclasses import dataclass
from typing import Annotated

from bocage.models.card import Card, Norm
from bocage.models.settings.multiresolcc import PAN
from bocage.ranges import SHARE, Range, check_ranges

OF_WINDOWS = {
    "window": 64,
    "batch_size": 4,
    "epochs": 100,
    "steps": (1000, 20_000),
    "keep": "last",
    "optimiser": "adamw",
    "learning_rate": 1e-3,
    "schedule": "one-cycle",
    "class_weights": "root",
}
"""Default training of the networks that segment windows."""

CARD = Card(
    paper="Ronneberger, Fischer & Brox 2015, doi:10.1007/978-3-319-24574-4_28",
    takes="one image, or one gap-filled series, whose dates are stacked as bands",
    masks="replaces masked values by 0, the training mean",
    same_dates=True,
    windows=True,
    training=OF_WINDOWS,
    example={"pan": PAN},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network; the sizes are the paper's."""

    source: str = ""
    """Name of the image or series; empty: the only source of the recipe."""
    width: Annotated[int, Range(1, 4096)] = 64
    """Filters at the resolution of the source, at least 1; each pooling doubles them."""
    depth: Annotated[int, Range(1, 6)] = 4
    """Number of poolings by 2, from 1 to 6. A map pixel is computed from 7 · 2^depth pixels on each side."""
    dropout: Annotated[float, SHARE] = 0.5
    """Dropout rate of the features at the lowest resolution, from 0 to below 1."""
    norm: Norm = "batch"
    """Normalisation after each ReLU (not in the paper, as in later versions): "batch", "affine", "group" or "layer"."""

    def __post_init__(self) -> None:
        check_ranges(self)
