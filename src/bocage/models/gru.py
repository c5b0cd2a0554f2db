"""GRU with softmax attention on one series: the temporal branch of M3Fusion.

Benedetti et al. 2018, "M3Fusion: A Deep Learning Architecture for Multiscale Multimodal Multitemporal Satellite Data
Fusion", doi:10.1109/JSTARS.2018.2876357 (arXiv 1803.01945). Departures: masked dates are skipped exactly (they leave the
state unchanged and get attention 0); with native dates, two inputs encode the day of the year. PyTorch's cell has a
second, redundant bias: 3 072 parameters more than the paper's at 1024 units.

::

    s2 (B, T, C, Y, X) → pixels (N, T, C) → GRU → H (N, T, U)
                                             │     e_t = tanh(H_t W + b) · u,  a = softmax over dates
                                             └──→ Σ a_t H_t (N, U) → dropout → linear → (B, K, Y, X)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from torch import nn

from bocage.grid import Ratio
from bocage.models.base import Card, InputSpec, Published
from bocage.models.heads import single_source
from bocage.models.recurrent import PixelEncoder
from bocage.ranges import SHARE, Range, check_ranges

S2 = InputSpec("s2", tuple(f"b{i}" for i in range(16)), 34, Ratio())
CARD = Card(
    paper="temporal branch of M3Fusion, Benedetti et al. 2018, doi:10.1109/JSTARS.2018.2876357",
    takes="one series",
    masks="skips masked dates",
    published=Published(epochs=400, batch_size=64, learning_rate=2e-4),
    example={"s2": S2},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network; `units` is as published, `dropout` comes from a public port (the paper gives none)."""

    source: str = ""
    """Name of the series; empty: the only series of the recipe."""
    units: Annotated[int, Range(1, 16_384)] = 1024
    """Hidden units of the GRU and of the attention, at least 1."""
    dropout: Annotated[float, SHARE] = 0.4
    """Dropout rate of the features before the classifier, from 0 to below 1."""
    attention: bool = True
    """Weight the states of all dates by attention; false: use the state after the last clear date."""
    day_of_year: Literal["auto", "yes", "no"] = "auto"
    """Append sine and cosine of the day of the year to each date; "auto": for native (irregular) dates only."""

    def __post_init__(self) -> None:
        check_ranges(self)


class Encoder(PixelEncoder):
    """Series → features of `units` per map pixel."""

    def __init__(self, inputs: Mapping[str, InputSpec], config: Config) -> None:
        super().__init__(inputs, config, "gru", nn.GRU, attention=config.attention)


Model = single_source(Encoder)
