"""LSTM on one series.

Ienco, Gaetano, Dupaquier & Maurel 2017, "Land Cover Classification via Multitemporal Spatial Data by Deep Recurrent
Neural Networks", doi:10.1109/LGRS.2017.2728698 (arXiv 1704.04055); 512 units and the last output, as in the team's later
scripts. Departures: masked dates are skipped exactly; with native dates, two inputs encode the day of the year.

::

    s2 (B, T, C, Y, X) → pixels (N, T, C) → LSTM → state after the last clear date (N, U) → linear → (B, K, Y, X)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from torch import nn

from bocage.models.base import Card, InputSpec, Published
from bocage.models.gru import S2
from bocage.models.heads import single_source
from bocage.models.recurrent import PixelEncoder
from bocage.ranges import SHARE, Range, check_ranges

CARD = Card(
    paper="Ienco et al. 2017, doi:10.1109/LGRS.2017.2728698",
    takes="one series",
    masks="skips masked dates",
    published=Published(epochs=200, batch_size=32, learning_rate=2e-4),
    example={"s2": S2},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network."""

    source: str = ""
    """Name of the series; empty: the only series of the recipe."""
    units: Annotated[int, Range(1, 16_384)] = 512
    """Hidden units, at least 1."""
    dropout: Annotated[float, SHARE] = 0.0
    """Dropout rate of the features before the classifier, from 0 to below 1."""
    day_of_year: Literal["auto", "yes", "no"] = "auto"
    """Append sine and cosine of the day of the year to each date; "auto": for native (irregular) dates only."""

    def __post_init__(self) -> None:
        check_ranges(self)


class Encoder(PixelEncoder):
    """Series → features of `units` per map pixel."""

    def __init__(self, inputs: Mapping[str, InputSpec], config: Config) -> None:
        super().__init__(inputs, config, "lstm", nn.LSTM, attention=False)


Model = single_source(Encoder)
