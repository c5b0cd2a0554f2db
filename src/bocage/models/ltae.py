"""L-TAE: lightweight temporal attention; each head has its share of the channels and a learnt query.

Garnot & Landrieu 2020, "Lightweight Temporal Self-Attention for Classifying Satellite Images Time Series",
arXiv 2007.00586. Departures: the input is one pixel instead of a set of pixels of a parcel; days are counted from the
first date of the series; masked dates get attention 0.

::

    pixels (N, T, C) → linear 256 → group norm → + position(day) → keys (N, T, 16 heads, 8)
                                        │                             a = softmax over dates of key · query
                                        └→ 16 slices of 16 channels → Σ a_t x_t → 256 → 128 → dropout → linear → K
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bocage.models.base import Batch, choose, pixel_footprint
from bocage.models.card import InputSpec
from bocage.models.heads import SourceEncoder, single_source
from bocage.models.layers import DayPosition, Dense, masked_softmax, over_pixels
from bocage.models.settings.ltae import CARD, Config

__all__ = ["CARD", "Config", "Model"]


class Encoder(SourceEncoder):
    """Series → features per map pixel."""

    def __init__(self, inputs: Mapping[str, InputSpec], config: Config) -> None:
        super().__init__()
        self.spec = choose(inputs, config.source, "series", "ltae", "source")
        self.footprint, self.width, self.channels = pixel_footprint(self.spec), config.features, config.width
        self.embed = nn.Linear(len(self.spec.bands), config.width)
        self.norm = nn.GroupNorm(config.heads, config.width)
        self.keys = nn.Linear(
            config.width, config.heads * config.keys, bias=False
        )  # a bias would cancel in the softmax
        self.query = nn.Parameter(torch.randn(config.heads, config.keys) * math.sqrt(2 / config.keys))
        self.dense = Dense(config.width, config.features, config.norm, config.dropout)
        self.position = DayPosition(config.width, config.heads)

    def forward(self, batch: Batch, shape: tuple[int, int]) -> Tensor:
        """Return the features (B, F, Y, X)."""
        return over_pixels(self._pixels, batch[self.spec.name], self.spec, shape, 3 * self.channels, False)

    def _pixels(self, series: Tensor, clear: Tensor, days: Tensor) -> Tensor:
        n, t = clear.shape
        x = self.norm(self.embed(series).flatten(0, 1)).unflatten(0, (n, t)) + self.position(days)
        heads, size = self.query.shape
        keys = self.keys(x).unflatten(2, (heads, size))
        energy = torch.einsum("nthk,hk->nht", keys, self.query) / math.sqrt(size)
        weight = masked_softmax(energy, clear[:, None].expand_as(energy))
        pooled = torch.einsum("nht,nthd->nhd", weight, x.unflatten(2, (heads, -1)))
        features: Tensor = self.dense(pooled.flatten(1))
        return features


Model = single_source(Encoder)
