"""One-dimensional CNN over the dates of one series, with the layers of M3Fusion's image branch.

Layers as in the team's script for Sentinel-2 series (``tanodino/CNN_RemoteSensing_TimeSeries``, 2018), published beside the
LSTM of Ienco et al. 2017, doi:10.1109/LGRS.2017.2728698.

Masks: masked dates are replaced by 0, the mean of the training pixels if the scaling centres the values on it.

::

    pixels (N, C, T) → 7, 256 → pool 2 → 3, 512 ─┬→ 3 (padded), 512 ─┐
                                                 └───────────────────┴→ 1024 → 1, 512 → mean over dates → linear → K
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from bocage.errors import ModelError
from bocage.models.base import Batch, Card, InputSpec, Published, choose, pixel_footprint
from bocage.models.gru import S2
from bocage.models.heads import SourceEncoder, single_source
from bocage.models.layers import DateConv, Norm, over_pixels
from bocage.ranges import Range, check_ranges

FEWEST = 12
"""Minimum number of dates for the unpadded convolutions."""
CARD = Card(
    paper="script beside Ienco et al. 2017, doi:10.1109/LGRS.2017.2728698",
    takes="one series of 12 dates or more, preferably gap-filled",
    masks="replaces masked dates by 0, the training mean",
    published=Published(epochs=200, batch_size=32, learning_rate=2e-4),
    example={"s2": S2},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network."""

    source: str = ""
    """Name of the series; empty: the only series of the recipe."""
    filters: Annotated[tuple[int, int], Range(1, 16_384)] = (256, 512)
    """Filters of the first layer, and of the other layers."""
    norm: Norm = "batch"
    """Normalisation after each ReLU: "batch", "affine" (the released code), "group" or "layer"."""

    def __post_init__(self) -> None:
        check_ranges(self)


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
