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

from torch import nn

from bocage.models.card import InputSpec
from bocage.models.heads import single_source
from bocage.models.recurrent import PixelEncoder
from bocage.models.settings.gru import CARD, Config

__all__ = ["CARD", "Config", "Model"]


class Encoder(PixelEncoder):
    """Series → features of `units` per map pixel."""

    def __init__(self, inputs: Mapping[str, InputSpec], config: Config) -> None:
        super().__init__(inputs, config, "gru", nn.GRU, attention=config.attention)


Model = single_source(Encoder)
