"""Settings of the network ``m3fusion``, and its card."""

from dataclasses import dataclass
from typing import Annotated, Literal

from bocage.grid import Ratio
from bocage.models.card import Card, InputSpec, Norm, Published
from bocage.models.settings import gru
from bocage.ranges import SHARE, Range, check_ranges

VHR = InputSpec("vhr", ("blue", "green", "red", "nir"), 1, Ratio(finer=7))

CARD = Card(
    paper="Benedetti et al. 2018, doi:10.1109/JSTARS.2018.2876357",
    takes="one series and one very high resolution image (pansharpened)",
    masks="GRU: skips masked dates; CNN: replaces masked pixels by 0, the training mean",
    dense="patches",
    published=Published(epochs=400, batch_size=64, learning_rate=2e-4),
    example={"s2": gru.S2, "vhr": VHR},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network. Ablations: `use`, `auxiliary` = 0, `attention` = false."""

    series: str = ""
    """Name of the series; empty: the only series of the recipe."""
    vhr: str = ""
    """Name of the very high resolution image; empty: the only image of the recipe."""
    use: Literal["both", "series", "vhr"] = "both"
    """Branches used."""
    attention: bool = True
    """Weight the GRU's states of all dates by attention; false: use the state after the last clear date."""
    auxiliary: Annotated[float, Range(0, 100)] = 0.3
    """Weight of the losses of the auxiliary heads, at least 0; 0: no auxiliary heads."""
    units: Annotated[int, Range(1, 16_384)] = 1024
    """Hidden units of the GRU and of the attention, at least 1."""
    patch: Annotated[int, Range(12, 512)] = 25
    """Side of the image patch in pixels, at least 12."""
    filters: Annotated[tuple[int, int], Range(1, 16_384)] = (256, 512)
    """Filters of the CNN's first layer, and of its other layers."""
    dropout: Annotated[float, SHARE] = 0.0
    """Dropout rate of the features of each branch, from 0 to below 1 (the script declares a rate but does not apply it)."""
    norm: Norm = "batch"
    """Normalisation after each ReLU: "batch", "affine" (the released code), "group" or "layer"."""

    def __post_init__(self) -> None:
        check_ranges(self)
