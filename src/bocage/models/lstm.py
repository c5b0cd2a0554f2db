"""LSTM on one series.

Ienco, Gaetano, Dupaquier & Maurel 2017, "Land Cover Classification via Multitemporal Spatial Data by Deep Recurrent
Neural Networks", doi:10.1109/LGRS.2017.2728698 (arXiv 1704.04055); 512 units and the last output, as in the team's later
scripts. Departures: masked dates are skipped exactly; with native dates, two inputs encode the day of the year.

::

    s2 (B, T, C, Y, X) → pixels (N, T, C) → LSTM → state after the last clear date (N, U) → linear → (B, K, Y, X)
"""

from collections.abc import Mapping

from torch import nn

from bocage.models.card import InputSpec
from bocage.models.heads import single_source
from bocage.models.recurrent import PixelEncoder
from bocage.models.settings.lstm import CARD, Config

__all__ = ["CARD", "Config", "Model"]


class Encoder(PixelEncoder):
    """Series → features of `units` per map pixel."""

    def __init__(self, inputs: Mapping[str, InputSpec], config: Config) -> None:
        super().__init__(inputs, config, "lstm", nn.LSTM, attention=False)


Model = single_source(Encoder)
