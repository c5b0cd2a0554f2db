"""Settings of the network ``twinns``, and its card."""

from dataclasses import dataclass
from typing import Annotated, Literal

from bocage.grid import Ratio
from bocage.models.card import Card, InputSpec, Norm, Published
from bocage.models.settings.gru import S2
from bocage.ranges import SHARE, Range, check_ranges

S1 = InputSpec("s1", ("vv", "vh"), 24, Ratio())

CARD = Card(
    paper="Ienco, Interdonato, Gaetano & Ho Tong Minh 2019, doi:10.1016/j.isprsjprs.2019.09.016",
    takes="two series (Sentinel-1 and Sentinel-2), preferably gap-filled",
    masks="ConvGRU: masked dates leave the state unchanged; CNN: replaces masked values by 0, the training mean",
    dense="patches",
    same_dates=True,
    reconstruction=True,
    published=Published(epochs=300, batch_size=64, learning_rate=2e-4),
    example={"s1": S1, "s2": S2},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network. Ablations: `use`, `branches`, `auxiliary` = 0, `attention` = false."""

    first: str = "s1"
    """Name of the series of the first stream."""
    second: str = "s2"
    """Name of the series of the second stream."""
    use: Literal["both", "first", "second"] = "both"
    """Streams used."""
    branches: Literal["both", "convgru", "cnn"] = "both"
    """Branches of each stream."""
    attention: bool = True
    """Weight the ConvGRU's states of all dates by attention; false: use the last state."""
    auxiliary: Annotated[float, Range(0, 100)] = 0.3
    """Weight of the losses of the auxiliary heads, at least 0 (unpublished; value of the team's other networks); 0: no
    auxiliary heads."""
    patch: Annotated[int, Range(5, 511, odd=True)] = 5
    """Side of the patch in pixels, odd, at least 5 (unpublished)."""
    units: Annotated[int, Range(1, 16_384)] = 64
    """Channels of the ConvGRU's state, at least 1 (unpublished)."""
    filters: Annotated[tuple[int, int], Range(1, 16_384)] = (256, 512)
    """Filters of the CNN's first layer, and of its other layers (unpublished)."""
    dropout: Annotated[float, SHARE] = 0.4
    """Dropout rate of the features before the heads, from 0 to below 1 (unpublished)."""
    norm: Norm = "batch"
    """Normalisation after each ReLU: "batch", "affine" (released code of the team's other papers), "group" or "layer"."""

    def __post_init__(self) -> None:
        check_ranges(self)
