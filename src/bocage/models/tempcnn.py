"""TempCNN: three convolutions over the dates of one series, then a dense layer on all dates.

Pelletier, Webb & Petitjean 2019, "Temporal Convolutional Neural Network for the Classification of Satellite Image Time
Series", doi:10.3390/rs11050523. As in the paper, the final linear layer follows the dense layer directly. Departure: masked
dates are replaced by 0.

::

    pixels (N, C, T) → 3 × [5 (padded), 64 → norm → ReLU → dropout] → flatten T·64 → 256 → norm → ReLU → dropout → K
"""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from bocage.models.base import Batch, choose, pixel_footprint
from bocage.models.card import InputSpec
from bocage.models.heads import SourceEncoder, single_source
from bocage.models.layers import norm_of, over_pixels
from bocage.models.settings.tempcnn import CARD, Config

__all__ = ["CARD", "Config", "Model"]


class Encoder(SourceEncoder):
    """Series → features per map pixel."""

    def __init__(self, inputs: Mapping[str, InputSpec], config: Config) -> None:
        super().__init__()
        self.spec = choose(inputs, config.source, "series", "tempcnn", "source")
        self.footprint, self.width = pixel_footprint(self.spec), config.dense
        self.hidden = config.filters
        sizes = [len(self.spec.bands), config.filters, config.filters]
        self.convs = nn.ModuleList(
            nn.Conv1d(inside, config.filters, config.kernel, padding=config.kernel // 2) for inside in sizes
        )
        self.norms = nn.ModuleList(norm_of(config.norm, config.filters, 1) for _ in sizes)
        self.dense = nn.Linear(config.filters * self.spec.dates, config.dense)
        self.dense_norm = norm_of(config.norm, config.dense, 1)
        self.dropout = nn.Dropout(config.dropout)
        self.dense_dropout = nn.Dropout(config.dropout if config.dense_dropout is None else config.dense_dropout)

    def forward(self, batch: Batch, shape: tuple[int, int]) -> Tensor:
        """Return the features (B, F, Y, X)."""
        return over_pixels(self._pixels, batch[self.spec.name], self.spec, shape, self.hidden, False)

    def _pixels(self, series: Tensor, clear: Tensor, days: Tensor) -> Tensor:
        x = series.transpose(1, 2)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = self.dropout(functional.relu(norm(conv(x))))
        features: Tensor = self.dense_dropout(functional.relu(self.dense_norm(self.dense(x.flatten(1)))))
        return features


Model = single_source(Encoder)
