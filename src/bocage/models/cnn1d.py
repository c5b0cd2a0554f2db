"""One-dimensional CNN over the dates of one series, with the layers of M3Fusion's image branch.

Layers as in the team's script for Sentinel-2 series (``tanodino/CNN_RemoteSensing_TimeSeries``, 2018), published beside the
LSTM of Ienco et al. 2017, doi:10.1109/LGRS.2017.2728698.

Masks: masked dates are replaced by 0, the mean of the training pixels if the scaling centres the values on it.

::

    pixels (N, C, T) → 7, 256 → pool 2 → 3, 512 ─┬→ 3 (padded), 512 ─┐
                                                 └───────────────────┴→ 1024 → 1, 512 → mean over dates → linear → K
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from bocage.errors import ModelError
from bocage.models.base import Batch, choose, pixel_footprint
from bocage.models.card import InputSpec
from bocage.models.heads import SourceEncoder, single_source
from bocage.models.layers import DateConv, over_pixels
from bocage.models.settings.cnn1d import CARD, Config

__all__ = ["CARD", "Config", "Model"]

FEWEST = 12
"""Minimum number of dates for the unpadded convolutions."""


class Encoder(SourceEncoder):
    """Series → features per map pixel."""

    def __init__(self, inputs: Mapping[str, InputSpec], config: Config) -> None:
        super().__init__()
        self.spec = choose(inputs, config.source, "series", "cnn1d", "source")
        if self.spec.dates < FEWEST:
            raise ModelError(
                f"cnn1d needs {FEWEST} dates; '{self.spec.name}' has {self.spec.dates}. Fill the series at shorter intervals, "
                "or use tempcnn, gru or ltae."
            )
        first, rest = config.filters
        self.footprint, self.width = pixel_footprint(self.spec), rest
        self.conv1 = DateConv(len(self.spec.bands), first, 7, config.norm)
        self.conv2 = DateConv(first, rest, 3, config.norm)
        self.conv3 = DateConv(rest, rest, 3, config.norm, padding=1)
        self.conv4 = DateConv(2 * rest, rest, 1, config.norm)

    def forward(self, batch: Batch, shape: tuple[int, int]) -> Tensor:
        """Return the features (B, F, Y, X)."""
        return over_pixels(self._pixels, batch[self.spec.name], self.spec, shape, 2 * self.width, False)

    def _pixels(self, series: Tensor, clear: Tensor, days: Tensor) -> Tensor:
        x = functional.max_pool1d(self.conv1(series.transpose(1, 2)), 2)
        x = self.conv2(x)
        x = torch.cat([x, self.conv3(x)], 1)
        pooled: Tensor = self.conv4(x).mean(2)
        return pooled


Model = single_source(Encoder)
